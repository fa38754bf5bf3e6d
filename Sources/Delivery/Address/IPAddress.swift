#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// An Internet address of either version.
package struct IPAddress: Hashable, Sendable, CustomStringConvertible {
    package enum Family: Sendable {
        case v4
        case v6

        /// How many bits an address has.
        var width: Int { self == .v4 ? 32 : 128 }
    }

    package let family: Family
    /// The address as a number: of version 4 in the lower 32 bits.
    let number: UInt128

    init(_ family: Family, number: UInt128) {
        self.family = family
        self.number = number
    }

    /// The address that is written in its usual form: `192.0.2.1`, or `2001:db8::1` without brackets and zone.
    package init?(_ text: String) {
        guard !text.utf8.contains(0) else { return nil }
        var bytes = [UInt8](repeating: 0, count: 16)
        if inet_pton(AF_INET, text, &bytes) == 1 {
            self.init(bytes: Array(bytes[..<4]))
        } else if inet_pton(AF_INET6, text, &bytes) == 1 {
            self.init(bytes: bytes)
        } else {
            return nil
        }
    }

    /// The address whose bytes these are, in network order: 4 or 16 of them.
    package init?(bytes: [UInt8]) {
        guard bytes.count == 4 || bytes.count == 16 else { return nil }
        self.init(bytes.count == 4 ? .v4 : .v6, number: bytes.reduce(0) { $0 << 8 | UInt128($1) })
    }

    /// In network order.
    package var bytes: [UInt8] {
        (0..<family.width / 8).reversed().map { UInt8(truncatingIfNeeded: number >> UInt128(8 * $0)) }
    }

    package var description: String {
        var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        let bytes = bytes
        let isWritten = inet_ntop(family == .v4 ? AF_INET : AF_INET6, bytes, &text, socklen_t(text.count)) != nil
        return isWritten ? String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self) : ""
    }

    /// The address of version 4 that stands in one of version 6 by RFC 4291, section 2.5.5.2: to the system the same
    /// destination. Any other is itself.
    var unmapped: IPAddress {
        guard family == .v6, number >> 32 == 0xffff else { return self }
        return IPAddress(.v4, number: number & 0xffff_ffff)
    }
}

extension IPAddress {
    /// An address of version 4 in any of the forms that `inet_aton` of the C library has always taken, and with it many
    /// resolvers: one to four numbers, each decimal, octal behind `0` or hexadecimal behind `0x`, of which the last fills
    /// what is left. `127.1`, `0x7f000001`, `017700000001` and `2130706433` are all `127.0.0.1`.
    init?(anySpelling text: some StringProtocol) {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard (1...4).contains(parts.count) else { return nil }
        var number: UInt64 = 0
        for (index, part) in parts.enumerated() {
            guard let value = Self.number(part) else { return nil }
            let isLast = index == parts.count - 1
            let bits = isLast ? UInt64(8 * (5 - parts.count)) : 8
            guard value < 1 << bits else { return nil }
            number = number << bits | value
        }
        self.init(.v4, number: UInt128(number))
    }

    private static func number(_ part: some StringProtocol) -> UInt64? {
        let digits: Substring
        let radix: Int
        let text = Substring(part)
        if text.hasPrefix("0x") || text.hasPrefix("0X") {
            (digits, radix) = (text.dropFirst(2), 16)
        } else if text.hasPrefix("0"), text.utf8.count > 1 {
            (digits, radix) = (text.dropFirst(), 8)
        } else {
            (digits, radix) = (text, 10)
        }
        // Swift's own parser takes a sign, which is none of the forms.
        guard digits.utf8.first != UInt8(ascii: "+"), digits.utf8.first != UInt8(ascii: "-") else { return nil }
        return UInt64(digits, radix: radix)
    }
}
