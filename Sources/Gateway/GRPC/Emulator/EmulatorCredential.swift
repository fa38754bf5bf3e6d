import CacheService

/// Who needs no credential where the server stands in for the emulator: programs on this machine, for they name it by a
/// loopback name, and pages that were loaded from it.
///
/// A browser on the developer's machine also runs pages of strangers, and can be made to send their requests here. They
/// give themselves away: by their `Origin`, or, where a name of theirs was pointed at this machine (DNS rebinding), by
/// the `Host` or `:authority` that they ask for.
enum EmulatorCredential {
    /// Whether a request without a credential is let in.
    ///
    /// - Parameters:
    ///   - origin: The request's `Origin`, nil where it has none.
    ///   - host: Its `Host` or `:authority`, nil where it has none.
    ///   - site: Its `Sec-Fetch-Site`, nil where it has none.
    static func isAdmitted(
        origin: UnsafeRawBufferPointer?, host: UnsafeRawBufferPointer?, site: UnsafeRawBufferPointer? = nil
    ) -> Bool {
        if let host, !isLoopback(authority: host) { return false }
        // What a page embeds, an image say, is asked for without an origin.
        guard let origin else { return !(site?.matches("cross-site") ?? false) }
        for scheme in ["http://", "https://"] as [StaticString] where origin.starts(withText: scheme) {
            return isLoopback(authority: origin.slice(scheme.utf8CodeUnitCount..<origin.count))
        }
        // `null` among them, which is what a sandboxed page of anybody's sends.
        return false
    }

    /// Whether a credential is none: what a client sends that was given an empty key.
    static func isEmpty(_ credential: UnsafeRawBufferPointer) -> Bool {
        let text = credential.filter { $0 != 0x20 && $0 != 0x09 }
        return text.isEmpty || text.withUnsafeBytes { $0.matchesIgnoringCase("bearer") }
    }

    /// `localhost`, an address of 127.0.0.0/8, or `[::1]`, with or without a port.
    private static func isLoopback(authority: UnsafeRawBufferPointer) -> Bool {
        let isBracketed = authority.first == UInt8(ascii: "[")
        let nameEnd =
            isBracketed
            ? authority.firstIndex(of: UInt8(ascii: "]")).map { $0 + 1 }
            : authority.firstIndex(of: UInt8(ascii: ":"))
        if isBracketed, nameEnd == nil { return false }
        let name = authority.slice(0..<(nameEnd ?? authority.count))
        let rest = authority.slice(name.count..<authority.count)
        guard rest.isEmpty || (rest[0] == UInt8(ascii: ":") && isPort(rest.slice(1..<rest.count))) else { return false }
        return name.matchesIgnoringCase("localhost") || name.matches("[::1]") || isLoopbackAddress(name)
    }

    private static func isPort(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard bytes.count <= 5, let port = bytes.decimal else { return false }
        return port <= 65_535
    }

    /// Four decimal numbers, of which the first is 127. Other spellings of an address are refused: not every reader
    /// takes them for the same, and `127.example.com` is nobody's loopback.
    private static func isLoopbackAddress(_ name: UnsafeRawBufferPointer) -> Bool {
        let parts = name.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard parts.count == 4 else { return false }
        let numbers = parts.compactMap { part -> UInt64? in
            let digits = UnsafeRawBufferPointer(rebasing: part)
            guard digits.count <= 3, digits.count == 1 || digits.first != UInt8(ascii: "0") else { return nil }
            return digits.decimal
        }
        return numbers.count == 4 && numbers[0] == 127 && numbers.allSatisfy { $0 <= 255 }
    }
}

extension GatewayLane {
    /// The caller behind a request that shows no credential, or nil where it needs one: without `--emulator` always, and
    /// on the control plane's paths always. Never remembered for a connection, on which a browser may send the requests
    /// of another page next.
    func emulatorCaller(for exchange: Exchange, _ credential: ByteRange) -> LaneCaller? {
        guard let caller = service.emulatorCaller, !exchange.rest.isControl else { return nil }
        let isAdmitted = exchange.request.withArena { bytes in
            guard EmulatorCredential.isEmpty(bytes.slice(credential.range)) else { return false }
            return EmulatorCredential.isAdmitted(
                origin: exchange.request.range(.origin).map { bytes.slice($0.range) },
                host: exchange.request.range(.host).map { bytes.slice($0.range) },
                site: exchange.request.range("sec-fetch-site").map { bytes.slice($0.range) })
        }
        guard isAdmitted, service.fault(of: caller) == nil else { return nil }
        return caller
    }
}
