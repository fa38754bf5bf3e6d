import CacheService
import Tenancy

/// The value of `If-Match` or `If-None-Match` (RFC 9110 section 13.1).
enum EntityTags: Equatable {
    /// `*`: any stored value.
    case any
    /// The tags that we could have made, and whether each is weak. Foreign tags match nothing and are left out.
    case list([(tag: EntityTag, isWeak: Bool)])

    static func == (left: EntityTags, right: EntityTags) -> Bool {
        switch (left, right) {
        case (.any, .any): true
        case (.list(let left), .list(let right)):
            left.map(\.tag) == right.map(\.tag) && left.map(\.isWeak) == right.map(\.isWeak)
        default: false
        }
    }

    /// At most so many tags are read; a longer list is refused.
    static let maximumCount = 64

    /// - Throws: ``MartletError/invalidArgument(field:reason:)`` when the value is not `*` nor a list of entity tags.
    init(_ bytes: UnsafeRawBufferPointer, field: String) throws(MartletError) {
        let refusal = MartletError.invalidArgument(field: field, reason: "must be * or a list of entity tags")
        var tags: [(tag: EntityTag, isWeak: Bool)] = []
        var index = 0
        var count = 0
        func skipSpace() {
            while index < bytes.count, bytes[index] == 0x20 || bytes[index] == 0x09 { index += 1 }
        }
        skipSpace()
        if index < bytes.count, bytes[index] == 0x2A {
            index += 1
            skipSpace()
            guard index == bytes.count else { throw refusal }
            self = .any
            return
        }
        while index < bytes.count {
            count += 1
            guard count <= Self.maximumCount else { throw refusal }
            var isWeak = false
            if index + 1 < bytes.count, bytes[index] == 0x57, bytes[index + 1] == 0x2F {
                isWeak = true
                index += 2
            }
            guard index < bytes.count, bytes[index] == 0x22 else { throw refusal }
            let start = index + 1
            index = start
            while index < bytes.count, bytes[index] != 0x22 { index += 1 }
            guard index < bytes.count else { throw refusal }
            if let tag = Self.tag(bytes.slice(start..<index)) { tags.append((tag, isWeak)) }
            index += 1
            skipSpace()
            if index < bytes.count {
                guard bytes[index] == 0x2C else { throw refusal }
                index += 1
                skipSpace()
                guard index < bytes.count else { throw refusal }
            }
        }
        guard count > 0 else { throw refusal }
        self = .list(tags)
    }

    private static func tag(_ text: UnsafeRawBufferPointer) -> EntityTag? {
        switch text.count {
        case 32: hash(text).map { EntityTag(hash: $0) }
        case 37 where text.slice(32..<37).matches(EntityTag.zstdSuffix):
            hash(text.slice(0..<32)).map { EntityTag(hash: $0, coding: .zstd) }
        default: nil
        }
    }

    private static func hash(_ digits: UnsafeRawBufferPointer) -> ValueHash? {
        guard digits.count == 32 else { return nil }
        var words: (UInt64, UInt64) = (0, 0)
        for (index, byte) in digits.enumerated() {
            let nibble: UInt64
            switch byte {
            case 0x30...0x39: nibble = UInt64(byte - 0x30)
            case 0x61...0x66: nibble = UInt64(byte - 0x57)
            default: return nil
            }
            if index < 16 { words.0 = words.0 << 4 | nibble } else { words.1 = words.1 << 4 | nibble }
        }
        return ValueHash(low: words.1, high: words.0)
    }

    // A condition is about the value, in whichever form the caller has it: a value that was read compressed can be
    // replaced by whoever names it so.

    /// The hashes that count under strong comparison, which `If-Match` demands.
    var strong: [ValueHash] {
        switch self {
        case .any: []
        case .list(let tags): tags.filter { !$0.isWeak }.map(\.tag.hash)
        }
    }

    /// All hashes: what counts under weak comparison, which `If-None-Match` demands.
    var weak: [ValueHash] {
        switch self {
        case .any: []
        case .list(let tags): tags.map(\.tag.hash)
        }
    }

    /// Which form of a value the list names: the one that would be sent if it is among them, else another.
    func named(_ sent: EntityTag) -> EntityTag {
        guard case .list(let tags) = self, !tags.contains(where: { $0.tag == sent }) else { return sent }
        return tags.first { $0.tag.hash == sent.hash }?.tag ?? sent
    }

    /// The hashes that a read compares: strongly for `If-Match`, weakly for `If-None-Match`.
    func hashes(isStrong: Bool) -> ReadCondition.Hashes {
        switch self {
        case .any: .every
        case .list(let tags): .these(tags.filter { !isStrong || !$0.isWeak }.map(\.tag.hash))
        }
    }
}
