#!/usr/bin/env bash
# Rules of this repository that swift-format does not know. Prints each offence with its place; fails if there is one.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

offences=0

# offence PLACE SENTENCE
offence() {
    echo "$1: $2" >&2
    offences=$((offences + 1))
}

# Every line that matches the pattern in the given files and folders, as FILE:LINE:TEXT.
matches() {
    local pattern=$1
    shift
    grep -rnIE --include='*.swift' -- "$pattern" "$@" || true
}

# The modules that a source file imports, as FILE:LINE:MODULE.
imports() {
    matches '^[[:space:]]*(@[[:alnum:]_]+(\([^)]*\))?[[:space:]]+)*((public|package|internal|fileprivate|private)[[:space:]]+)?import[[:space:]]' "$@" \
        | sed -E 's/^([^:]*:[0-9]+):.*import[[:space:]]+((struct|class|enum|protocol|func|let|var|typealias|actor)[[:space:]]+)?([[:alnum:]_]+).*$/\1:\4/'
}

# 1. Nothing names a place on somebody's machine.
while IFS=: read -r file line _; do
    [ -n "$file" ] && offence "$file:$line" "names a place on somebody's machine"
done < <(git ls-files -z --cached --others --exclude-standard \
    | xargs -0 -r grep -nIE '(^|[^[:alnum:]_.-])/(work|root|opt/swift|Users|home/[[:alnum:]]+)/' -- 2> /dev/null \
    | grep -v '^Tests/lint\.sh:' || true)

# 2. Arrows point down only. A room may import rooms of a lower height; rooms of one height do not know each other.
declare -A height=(
    [Tenancy]=0
    [Engine]=1 [Topics]=1 [Access]=1 [Admission]=1 [Metering]=1 [Catalog]=1 [Delivery]=1
    [CacheService]=2
    [Gateway]=3
    [Server]=4
    [martlet]=5
)
for room in "${!height[@]}"; do
    [ -d "Sources/$room" ] || continue
    while IFS=: read -r file line module; do
        [ -n "$file" ] || continue
        if [ -n "${height[$module]:-}" ] && [ "${height[$module]}" -ge "${height[$room]}" ]; then
            offence "$file:$line" "$room must not import $module: arrows point down only"
        fi
    done < <(imports "Sources/$room")
done

# 3. Who may use which library.
# allowed MODULE-PATTERN ROOM...
allowed() {
    local pattern=$1 file line module room
    shift
    while IFS=: read -r file line module; do
        [[ $module =~ ^($pattern)$ ]] || continue
        room=${file#Sources/}
        room=${room%%/*}
        [[ " $* " == *" $room "* ]] || offence "$file:$line" "$room must not import $module: only $* may"
    done < <(imports Sources)
}
allowed 'NIO[[:alnum:]]*' Delivery Gateway Server
allowed 'CNGHTTP2' Gateway
allowed 'CJWT' Access
allowed 'CZstd' Engine
allowed 'CZlib' Gateway
allowed 'COpenSSL' Access Delivery Engine Server
allowed 'GRDB' Catalog Metering
allowed 'ArgumentParser' martlet
allowed 'Foundation[[:alnum:]]*' Tenancy Access Admission Metering Catalog CacheService Delivery Wire Gateway Server martlet

# 4. Two copies of libcrypto's headers in one file would mean two things by one name.
while read -r file; do
    grep -qE '^import NIOSSL' "$file" && offence "$file" "imports both COpenSSL and NIOSSL"
done < <(grep -rlE '^import COpenSSL' Sources Tests --include='*.swift' || true)

# 5. Whoever switches off a check says on the line above why that is safe.
while IFS=: read -r file line text; do
    [ -n "$file" ] || continue
    [[ $text =~ ^[[:space:]]*// ]] && continue
    above=$((line - 1))
    while [ "$above" -gt 0 ] && sed -n "${above}p" "$file" | grep -qE '^[[:space:]]*@[[:alnum:]_]+(\([^)]*\))?[[:space:]]*$'; do
        above=$((above - 1))
    done
    if [ "$above" -eq 0 ] || ! sed -n "${above}p" "$file" | grep -qE '^[[:space:]]*//'; then
        offence "$file:$line" "needs a comment above that says who owns the data and why this is safe"
    fi
done < <(matches '@unchecked[[:space:]]+Sendable|nonisolated\(unsafe\)' Sources)

if [ "$offences" -gt 0 ]; then
    echo "lint: $offences offences" >&2
    exit 1
fi
