import Tenancy

/// Makes tokens: JWTs (RFC 7519) signed with ES256.
package struct TokenSigner: Sendable {
    /// In whose name tokens are made.
    package let authority: TokenAuthority

    /// The longest token that is made. In its outer form, with an endpoint of 255 bytes, it stays below
    /// ``Credential/byteCeiling``: (5632 + 255 + 30) * 4 / 3 < 8192.
    package static let byteCeiling = 5632

    package init(authority: TokenAuthority) {
        self.authority = authority
    }

    /// The token in its inner form; ``OuterForm/wrap(apiKey:endpoint:)`` makes the other.
    ///
    /// Cost: some 0.5 ms, most of which libcrypto 3.0 takes to read the PEM text.
    ///
    /// - Throws: ``MartletError/invalidArgument(field:reason:)`` when the label is not valid or the statements make the
    ///   token longer than a credential may be; ``MartletError/internalFailure(_:)`` when it cannot be signed.
    package func sign(_ claims: TokenClaims, with key: SigningKey) throws(MartletError) -> String {
        try MintingRules.validate(tokenID: claims.tokenID)
        let json = claims.json(authority)
        // What the verifier would refuse is not signed.
        guard TokenClaims(json: json, authority) == claims else {
            throw .internalFailure("a token's claims are not valid")
        }
        // Before signing, with room for the header and the signature: it is the statements that can be long.
        let tooLong = MartletError.invalidArgument(
            field: "permissions", reason: "would make a token longer than \(Self.byteCeiling) bytes"
        )
        guard json.encoded().count <= Self.byteCeiling else { throw tooLong }
        let token = try LibJWT.sign(claims: json, with: key)
        guard token.utf8.count <= Self.byteCeiling else { throw tooLong }
        return token
    }
}
