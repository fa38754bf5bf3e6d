import Tenancy

/// A secret at the one moment when it is known: shown to whoever asked for it, and stored by hash alone.
package struct IssuedSecret: Sendable, Redacted {
    /// What a client sends: the `api_key` of the gRPC contract.
    package let inner: String
    /// What the user is shown: the outer form of a v1 key, else ``inner``.
    package let presented: String
    /// What the catalog stores, and how the inner form is found again.
    package let hash: SecretHash

    fileprivate init(inner: String, presented: String? = nil) {
        self.inner = inner
        self.presented = presented ?? inner
        self.hash = SecretHash(of: inner)
    }
}

/// Makes the long-lived secrets.
///
/// Every one is known by its hash alone, a v2 key too: it is a signed JWT because SDKs want to read one, but nobody
/// ever checks that signature, so a rotation of signing keys does not touch it.
package enum APIKeys {
    /// A v1 key, in its outer form for `endpoint`.
    ///
    /// - Throws: ``MartletError/internalFailure(_:)`` when there is no randomness.
    package static func issueV1(endpoint: String) throws(MartletError) -> IssuedSecret {
        let inner = try random(.apiKey)
        return IssuedSecret(inner: inner, presented: OuterForm.wrap(apiKey: inner, endpoint: endpoint))
    }

    /// A v2 key: a JWT with the claims `t` (`"g"`), `jti`, `iat` and, if it expires, `exp`. The random bits that nobody
    /// can guess are those of its signature.
    ///
    /// - Parameter id: the `jti`; the id under which the catalog stores the key.
    /// - Throws: ``MartletError/internalFailure(_:)`` when it cannot be signed.
    package static func issueV2(
        id: String, signingKey: SigningKey, issuedAt: Timestamp, expiresAt: Timestamp?
    ) throws(MartletError) -> IssuedSecret {
        var members: [JSONValue.Member] = [
            .init("t", .string("g")), .init("jti", .string(id)), .init("iat", .integer(issuedAt.seconds)),
        ]
        if let expiresAt {
            members.append(.init("exp", .integer(expiresAt.seconds)))
        }
        return IssuedSecret(inner: try LibJWT.sign(claims: .object(members), with: signingKey))
    }

    /// The root key.
    ///
    /// - Throws: ``MartletError/internalFailure(_:)`` when there is no randomness.
    package static func issueRoot() throws(MartletError) -> IssuedSecret {
        IssuedSecret(inner: try random(.rootKey))
    }

    /// The secret that, together with its unexpired key, gets a new key. It is not a credential by itself.
    ///
    /// - Throws: ``MartletError/internalFailure(_:)`` when there is no randomness.
    package static func issueRefreshToken() throws(MartletError) -> IssuedSecret {
        IssuedSecret(inner: try random(.refreshToken))
    }

    /// The hash by which a refresh token is compared, or nil for what cannot be one.
    package static func refreshTokenHash(_ text: UnsafeRawBufferPointer) -> SecretHash? {
        SecretForm.refreshToken.matches(text) ? SecretHash(of: text) : nil
    }

    /// The same for a text.
    package static func refreshTokenHash(_ text: String) -> SecretHash? {
        Array(text.utf8).withUnsafeBytes { refreshTokenHash($0) }
    }

    private static func random(_ form: SecretForm) throws(MartletError) -> String {
        "\(form.prefix)" + SecureRandom.hexadecimal(try SecureRandom.bytes(SecretForm.entropyByteCount))
    }
}
