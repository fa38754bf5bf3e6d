import Tenancy

/// Decides whether a token is to be believed.
package struct TokenVerifier: Sendable {
    /// Whose tokens are believed.
    package let authority: TokenAuthority

    package init(authority: TokenAuthority) {
        self.authority = authority
    }

    /// The claims of a token that one of `keys` has signed for this authority and that has not expired.
    ///
    /// What is left to the caller, who has the catalog: that the tenant still exists and the `jti` is not revoked.
    ///
    /// Cost: some 0.5 ms, most of which libcrypto 3.0 takes to read the PEM text. It runs off the data path, and its
    /// result is remembered.
    ///
    /// - Parameter keys: the signing keys whose tokens may live, by their `kid`.
    /// - Throws: ``MartletError/invalidCredential``; ``MartletError/expiredCredential`` only where all but the time is
    ///   right, so that nobody learns from it anything about a token that is not ours.
    package func verify(
        _ token: SignedToken, keys: [String: PublicSigningKey], now: Timestamp
    ) throws(MartletError) -> TokenClaims {
        guard let key = keys[token.keyID],
            // Cheap, so before the signature: most false tokens end here.
            let claims = TokenClaims(json: token.claims, authority),
            LibJWT.isSigned(token, by: key.pem)
        else {
            throw .invalidCredential
        }
        guard now < claims.expiresAt else {
            throw .expiredCredential
        }
        return claims
    }

    /// The claims of a token that a tenant has signed with `key`, and that has not expired, nor its key.
    ///
    /// What is left to the caller, who has the catalog: that the tenant and the key still exist.
    ///
    /// Cost and errors: as ``verify(_:keys:now:)``.
    package func verify(
        _ token: SignedToken, key: TenantSigningKey, now: Timestamp
    ) throws(MartletError) -> TenantTokenClaims {
        guard token.keyID == key.publicKey.kid,
            let claims = TenantTokenClaims(json: token.claims),
            LibJWT.isSigned(token, by: key.publicKey.pem)
        else {
            throw .invalidCredential
        }
        guard now < claims.expiresAt, now < key.expiresAt else {
            throw .expiredCredential
        }
        return claims
    }
}
