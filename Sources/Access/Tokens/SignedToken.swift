/// A JWT in the only shape that Martlet issues, taken apart but **not verified**: nothing in it is to be believed
/// before ``TokenVerifier`` has checked its signature.
///
/// All that can be told without a key is decided here, so that libjwt never sees anything else (it would follow the
/// token's own `alg`):
///
/// - three parts of base64url without padding, each the only spelling of its bytes (RFC 7515 section 2);
/// - a header that is a JSON object with exactly `alg`, `kid` and `typ`, none of them twice: `alg` is `ES256`, `typ` is
///   `JWT`, `kid` has the shape of a thumbprint. So there is no `crit`, `jwk`, `jku`, `x5c` to be tempted by;
/// - a signature of 64 bytes (RFC 7518 section 3.4);
/// - a payload that is a JSON object without a name twice.
package struct SignedToken: Sendable, Redacted {
    /// The token as it was sent.
    let raw: [UInt8]
    /// Which signing key it claims.
    package let keyID: String
    /// The SHA-256 of the token as it was sent: under which a failed check is remembered (``FailureMemory``). No
    /// identity of the token: see ``TokenClaims/id``.
    package var hash: SecretHash { raw.withUnsafeBytes { SecretHash(of: $0) } }
    /// The payload.
    let claims: JSONValue

    private static let signatureByteCount = 64

    /// The length of a key's id: 32 bytes of SHA-256 in base64url.
    private static let keyIDLength = 43

    init?(_ text: UnsafeRawBufferPointer) {
        guard text.count <= Credential.byteCeiling else { return nil }
        let parts = text.split(separator: UInt8(ascii: "."), maxSplits: 3, omittingEmptySubsequences: false)
        guard parts.count == 3,
            let header = Self.object(parts[0]),
            let claims = Self.object(parts[1]),
            let signature = Base64.decode(UnsafeRawBufferPointer(rebasing: parts[2]), .url),
            signature.count == Self.signatureByteCount,
            let keyID = Self.keyID(header)
        else { return nil }
        self.raw = Array(text)
        self.keyID = keyID
        self.claims = claims
    }

    /// The same for a text.
    package init?(_ text: String) {
        guard let token = Array(text.utf8).withUnsafeBytes({ SignedToken($0) }) else { return nil }
        self = token
    }

    private static func object(_ part: Slice<UnsafeRawBufferPointer>) -> JSONValue? {
        guard let json = Base64.decode(UnsafeRawBufferPointer(rebasing: part), .url),
            let value = try? JSONParser.parse(json, ceiling: Credential.byteCeiling),
            value.object != nil
        else { return nil }
        return value
    }

    private static func keyID(_ header: JSONValue) -> String? {
        guard header.object?.count == 3,
            let algorithm = header["alg"]?.string, algorithm.utf8.elementsEqual("ES256".utf8),
            let type = header["typ"]?.string, type.utf8.elementsEqual("JWT".utf8),
            let keyID = header["kid"]?.string, keyID.utf8.count == keyIDLength,
            Base64.decode(keyID.utf8, .url) != nil
        else { return nil }
        return keyID
    }
}
