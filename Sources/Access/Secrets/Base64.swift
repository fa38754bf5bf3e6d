/// Base64 (RFC 4648 sections 4 and 5), strict: one sequence of bytes has one text.
///
/// Foundation's decoder ignores the bits that the last character has to spare, so that several texts give the same
/// bytes. In a credential that would be a second spelling of the same secret, which a memory of refused credentials, a
/// log filter or a test for equality does not know. Here those bits must be zero, padding is all or nothing, white
/// space is refused, and the two alphabets do not mix.
package enum Base64 {
    /// Which letters, and whether with padding.
    package enum Alphabet: Sendable {
        /// `+` and `/`, padded when encoding.
        case standard
        /// `-` and `_`, not padded when encoding, and padding refused when decoding: the form of JOSE (RFC 7515).
        case url
        /// Decoding only: either alphabet but not both, padded or not.
        case either
    }

    /// - Returns: the bytes, or nil when `text` is not the one encoding of any.
    package static func decode(_ text: UnsafeRawBufferPointer, _ alphabet: Alphabet) -> [UInt8]? {
        var length = text.count
        var padding = 0
        while padding < 2, length > 0, text[length - 1] == UInt8(ascii: "=") {
            length -= 1
            padding += 1
        }
        guard isPaddingRight(padding, unpadded: length, alphabet), length % 4 != 1 else { return nil }

        var bytes: [UInt8] = []
        bytes.reserveCapacity(length / 4 * 3 + 2)
        var seenStandard = false
        var seenURL = false
        var bits: UInt32 = 0
        var bitCount = 0
        for index in 0..<length {
            let character = text[index]
            switch character {
            case UInt8(ascii: "+"), UInt8(ascii: "/"): seenStandard = true
            case UInt8(ascii: "-"), UInt8(ascii: "_"): seenURL = true
            default: break
            }
            guard let sextet = sextet(of: character) else { return nil }
            bits = (bits << 6 | UInt32(sextet)) & 0xFFFF
            bitCount += 6
            if bitCount >= 8 {
                bitCount -= 8
                bytes.append(UInt8(truncatingIfNeeded: bits >> UInt32(bitCount)))
            }
        }
        let spareBits = bits & (1 << UInt32(bitCount) - 1)
        let isAlphabetRight =
            switch alphabet {
            case .standard: !seenURL
            case .url: !seenStandard
            case .either: !(seenStandard && seenURL)
            }
        guard spareBits == 0, isAlphabetRight else { return nil }
        return bytes
    }

    /// The same for a text's bytes.
    package static func decode(_ text: some Sequence<UInt8>, _ alphabet: Alphabet) -> [UInt8]? {
        Array(text).withUnsafeBytes { decode($0, alphabet) }
    }

    /// The one text of these bytes; ``Alphabet/either`` writes as ``Alphabet/standard``.
    package static func encode(_ bytes: some Collection<UInt8>, _ alphabet: Alphabet) -> String {
        let characters = Array(alphabet == .url ? urlCharacters.utf8 : standardCharacters.utf8)
        var text: [UInt8] = []
        text.reserveCapacity((bytes.count + 2) / 3 * 4)
        var bits: UInt32 = 0
        var bitCount = 0
        for byte in bytes {
            bits = (bits << 8 | UInt32(byte)) & 0xFFFF
            bitCount += 8
            while bitCount >= 6 {
                bitCount -= 6
                text.append(characters[Int(bits >> UInt32(bitCount) & 63)])
            }
        }
        if bitCount > 0 {
            text.append(characters[Int(bits << UInt32(6 - bitCount) & 63)])
        }
        while alphabet != .url, text.count % 4 != 0 {
            text.append(UInt8(ascii: "="))
        }
        return String(decoding: text, as: UTF8.self)
    }

    private static let letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    private static let standardCharacters = letters + "+/"
    private static let urlCharacters = letters + "-_"

    private static func isPaddingRight(_ padding: Int, unpadded length: Int, _ alphabet: Alphabet) -> Bool {
        let wanted = (4 - length % 4) % 4
        return switch alphabet {
        case .standard: padding == wanted
        case .url: padding == 0
        case .either: padding == 0 || padding == wanted
        }
    }

    private static func sextet(of character: UInt8) -> UInt8? {
        switch character {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): character - UInt8(ascii: "A")
        case UInt8(ascii: "a")...UInt8(ascii: "z"): character - UInt8(ascii: "a") + 26
        case UInt8(ascii: "0")...UInt8(ascii: "9"): character - UInt8(ascii: "0") + 52
        case UInt8(ascii: "+"), UInt8(ascii: "-"): 62
        case UInt8(ascii: "/"), UInt8(ascii: "_"): 63
        default: nil
        }
    }
}
