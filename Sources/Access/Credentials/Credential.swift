/// What a caller sent to say who it is, sorted by form but not believed yet.
///
/// ```
/// [Bearer ]mroot_<64 hex digits>                      root key        ─▶ .rootKey   its hash
/// [Bearer ]mk1_<64 hex digits>                        v1, inner       ─▶ .apiKey    its hash
/// [Bearer ]<JWT with "t":"g">                         v2              ─▶ .apiKey    its hash
/// [Bearer ]<JWT>                                      token           ─▶ .token     to be verified
/// [Bearer ]base64({"api_key":<any of the above>,"endpoint":…})        ─▶ the same
/// ```
///
/// The forms cannot be confused: base64 that begins with `m` begins with a byte that no JSON text begins with, and only
/// a JWT has dots. A random secret leaves this type as its hash alone.
package enum Credential: Sendable {
    case rootKey(SecretHash)
    case apiKey(SecretHash)
    case token(SignedToken)

    /// The most bytes of a credential without its scheme. Longer ones are not valid, whatever they are.
    package static let byteCeiling = 8192

    /// Sorts what an `authorization` header, a `token` parameter, an `AUTH` command or a subprotocol holds. Of any
    /// bytes it makes a credential or nil, and never traps; nil means 401.
    ///
    /// Cost: linear in the input, with some allocations; some 10 µs for a token. The result is remembered by the raw
    /// bytes, so this is not paid for every request.
    package static func parse(_ raw: UnsafeRawBufferPointer) -> Credential? {
        let text = withoutScheme(raw)
        guard text.count <= byteCeiling else { return nil }
        if let credential = parseInner(text) { return credential }
        // What has a dot is a JWT that was refused, not base64.
        guard !text.contains(UInt8(ascii: ".")), let inner = OuterForm.unwrap(text) else { return nil }
        return inner.withUnsafeBytes { parseInner($0) }
    }

    /// The same for a text.
    package static func parse(_ text: String) -> Credential? {
        Array(text.utf8).withUnsafeBytes { parse($0) }
    }

    /// One layer only: an outer form within an outer form is nothing.
    private static func parseInner(_ text: UnsafeRawBufferPointer) -> Credential? {
        if SecretForm.rootKey.matches(text) { return .rootKey(SecretHash(of: text)) }
        if SecretForm.apiKey.matches(text) { return .apiKey(SecretHash(of: text)) }
        guard let token = SignedToken(text) else { return nil }
        guard let type = token.claims["t"] else { return .token(token) }
        return type == .string("g") ? .apiKey(SecretHash(of: text)) : nil
    }

    /// RFC 9110 section 11.1: the scheme's case does not matter, and at least one space follows it.
    private static func withoutScheme(_ raw: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        let scheme: StaticString = "bearer"
        guard raw.count > scheme.utf8CodeUnitCount else { return raw }
        for index in 0..<scheme.utf8CodeUnitCount where raw[index] | 0x20 != scheme.utf8Start[index] {
            return raw
        }
        var start = scheme.utf8CodeUnitCount
        guard raw[start] == UInt8(ascii: " ") else { return raw }
        while start < raw.count, raw[start] == UInt8(ascii: " ") {
            start += 1
        }
        return UnsafeRawBufferPointer(rebasing: raw[start...])
    }
}

/// The shape of a random secret: a prefix that a person and a secret scanner recognise, then 256 bits in hexadecimal.
enum SecretForm: CaseIterable, Sendable {
    case rootKey
    case apiKey
    case refreshToken

    static let entropyByteCount = 32

    var prefix: StaticString {
        switch self {
        case .rootKey: "mroot_"
        case .apiKey: "mk1_"
        case .refreshToken: "mrt1_"
        }
    }

    func matches(_ text: UnsafeRawBufferPointer) -> Bool {
        let prefixCount = prefix.utf8CodeUnitCount
        guard text.count == prefixCount + 2 * Self.entropyByteCount else { return false }
        for index in 0..<prefixCount where text[index] != prefix.utf8Start[index] {
            return false
        }
        return text[prefixCount...].allSatisfy { byte in
            (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
                || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(byte)
        }
    }
}
