import Access
import COpenSSL
import Tenancy
import Testing

/// A generator that gives the same numbers for the same seed: SplitMix64.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) {
        state = seed
    }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    mutating func bytes(_ counts: ClosedRange<Int>) -> [UInt8] {
        (0..<Int.random(in: counts, using: &self)).map { _ in UInt8.random(in: .min ... .max, using: &self) }
    }
}

func parse(_ bytes: [UInt8]) -> Credential? {
    bytes.withUnsafeBytes { Credential.parse($0) }
}

func json(_ text: String) throws(MartletError) -> JSONValue {
    try JSONParser.parse(Array(text.utf8), ceiling: 1 << 20)
}

extension Credential {
    var token: SignedToken? {
        guard case .token(let token) = self else { return nil }
        return token
    }
}

/// The error that `body` throws, or nil.
func failure(_ body: () throws(MartletError) -> Void) -> MartletError? {
    do {
        try body()
        return nil
    } catch {
        return error
    }
}

func named(_ text: String) throws -> CacheSelector {
    .named(try CacheName(text))
}

/// Keys, tokens and coordinates that were made with another implementation (Python's cryptography).
enum Vectors {
    static let now = Timestamp(seconds: 1_700_000_000)
    static let authority = TokenAuthority(issuer: "https://cache.example", audience: "martlet")

    /// The key of RFC 7515 appendix A.3, as PKCS #8.
    static let privatePEM = """
        -----BEGIN PRIVATE KEY-----
        MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgjpsQnnGQmL+YBIff
        H1136cspYG6+0iY7X1fCE9+E9LKhRANCAAR/zc4ncPbEXUGDy+5v20t7WAczNXvp
        7xO6z248e9FURcfxRM0bvZt+hyzf7bnuufSzaV1uqQskrYpGIyiFiOWt
        -----END PRIVATE KEY-----

        """
    static let publicPEM = """
        -----BEGIN PUBLIC KEY-----
        MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEf83OJ3D2xF1Bg8vub9tLe1gHMzV7
        6e8Tus9uPHvRVEXH8UTNG72bfocs3+257rn0s2ldbqkLJK2KRiMohYjlrQ==
        -----END PUBLIC KEY-----

        """
    static let kid = "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U"
    static let x = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"
    static let y = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"

    /// A point whose x begins with a zero byte.
    static let paddedPublicPEM = """
        -----BEGIN PUBLIC KEY-----
        MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEAFVDiUrz0A7X10Cr29dclrBod7eH
        219w7qeLkKjXwAq7TIWj2Oop76r6JEBpEt2E1bFNwyv2Vu9sa9WKXZQ/kg==
        -----END PUBLIC KEY-----

        """
    static let paddedX = "AFVDiUrz0A7X10Cr29dclrBod7eH219w7qeLkKjXwAo"
    static let paddedKid = "7Yxe6c_3bAa6kiaK1G-BZmi9EeNsUmlcbdnrtLeuK4E"

    /// The key of ``privatePEM``, locked with a passphrase.
    static let encryptedPEM = """
        -----BEGIN ENCRYPTED PRIVATE KEY-----
        MIH0MF8GCSqGSIb3DQEFDTBSMDEGCSqGSIb3DQEFDDAkBBDUKQrqfk0wWn6sZDfG
        11brAgIIADAMBggqhkiG9w0CCQUAMB0GCWCGSAFlAwQBKgQQRjfLhRtqUh+so0Qv
        wRizgQSBkI55BCow0jabBD4mOAfH+kBFCeZyOeDl1tuCeuBCOOFTFqLdfznpvaiE
        LUnMwHqx03lvC9pHZ04ZwzWOvigEIxCvt+VqW0afQ1UtJob4OgKiMqLINnvuSB7g
        3LpCYm9wKA8L5faQVNb1A/VE3A9wkhzWzICeNR+DxuMgH71mgeLmpn+LMMY2txoT
        4DD+PYKetQ==
        -----END ENCRYPTED PRIVATE KEY-----

        """
    static let p384PrivatePEM = """
        -----BEGIN PRIVATE KEY-----
        MIG2AgEAMBAGByqGSM49AgEGBSuBBAAiBIGeMIGbAgEBBDAAAAAAAAAAAAAAAAAA
        AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAWhZANiAAQR3iSiwlHHd1c8
        rF6gJeRn8gjlHb/5j8VPZmHL5WWDsDeIL0ocopfmCrzbw4NthLyPppbHdED5LQ9Y
        N+kKAOfFKEtEd1TV3uiMmGUztpAa6zF3aG0K6PszGEQUq+bBcTo=
        -----END PRIVATE KEY-----

        """
    static let secp256k1PrivatePEM = """
        -----BEGIN PRIVATE KEY-----
        MIGEAgEAMBAGByqGSM49AgEGBSuBBAAKBG0wawIBAQQgX0H9AtZUKuPLqnKMoHX9
        BOvI1+CNyFQ+3vxKy8x8fU6hRANCAATlshnqCtMY4IuEAkjzgcI8h2CqXUJyj3NC
        P0RioCBJ15lqhLImmrTB5eisfxucO5Y2DyjVFYRx6ymOeWHXSHRI
        -----END PRIVATE KEY-----

        """

    /// Signed by ``privatePEM``; the claims are ``claims``.
    static let token =
        "eyJhbGciOiJFUzI1NiIsImtpZCI6Im9LSXl3dkdVcFRWVHl4TVEzYndJSWVRVXVkZnJfQ2tMTWpDRTE5RUNELVUiLCJ0eXAiOiJKV1QifQ"
        + ".eyJhdWQiOiJtYXJ0bGV0IiwiZXhwIjoxNzAwMDAwNjAwLCJpYXQiOjE3MDAwMDAwMDAsImlzcyI6Imh0dHBzOi8vY2FjaGUuZXhhbXBs"
        + "ZSIsImp0aSI6IjAwMDEwMjAzMDQwNTA2MDcwODA5MGEwYjBjMGQwZTBmIiwicGVybWlzc2lvbnMiOltbInJ3Iiwic2hvcCIsInAiLCJj"
        + "YXJ0OiJdXSwic3ViIjoiNyIsInRva2VuX2lkIjoidXNlci00MiJ9"
        + ".TV8s_7KDUakPhZPmxXVfs-MX0cO2f3UQDOpTpS_dHYINErIE3imvny7YtGpCOLnsLvsWaPH-K4ajxbnSG3vuCA"
    static let payload =
        #"{"aud":"martlet","exp":1700000600,"iat":1700000000,"iss":"https://cache.example","#
        + #""jti":"000102030405060708090a0b0c0d0e0f","permissions":[["rw","shop","p","cart:"]],"#
        + #""sub":"7","token_id":"user-42"}"#
    static let header = #"{"alg":"ES256","kid":"\#(kid)","typ":"JWT"}"#

    static func claims() throws -> TokenClaims {
        TokenClaims(
            id: "000102030405060708090a0b0c0d0e0f", tenant: TenantID(rawValue: 7), tokenID: "user-42",
            permissions: try PermissionSet(validating: [
                Permission(.readWrite, cache: try named("shop"), .items(.keyPrefix(Array("cart:".utf8))))
            ]),
            issuedAt: now, expiresAt: now.adding(milliseconds: 600_000)
        )
    }

    static func signingKey() throws -> SigningKey {
        try SigningKey(privatePEM: privatePEM, createdAt: now)
    }

    static func keys() throws -> [String: PublicSigningKey] {
        [kid: try PublicSigningKey(pem: publicPEM)]
    }
}

/// A forger's workshop: JWTs with any header, any payload and any signature, made by libcrypto without libjwt.
enum Forge {
    static func part(_ text: String) -> String {
        Base64.encode(text.utf8, .url)
    }

    static func jwt(header: String, payload: String, signature: (String) throws -> [UInt8]) rethrows -> String {
        let signed = part(header) + "." + part(payload)
        return signed + "." + Base64.encode(try signature(signed), .url)
    }

    /// ECDSA with SHA-256 as JOSE wants it: r and s, each padded to 32 bytes.
    static func es256(_ text: String, privatePEM: String = Vectors.privatePEM) throws -> [UInt8] {
        let pem = Array(privatePEM.utf8)
        let bio = try #require(BIO_new_mem_buf(pem, CInt(pem.count)))
        defer { BIO_free(bio) }
        let key = try #require(PEM_read_bio_PrivateKey(bio, nil, nil, nil))
        defer { EVP_PKEY_free(key) }
        let context = try #require(EVP_MD_CTX_new())
        defer { EVP_MD_CTX_free(context) }
        let message = Array(text.utf8)
        try #require(EVP_DigestSignInit(context, nil, EVP_sha256(), nil, key) == 1)
        var length = 128
        var der = [UInt8](repeating: 0, count: length)
        try #require(EVP_DigestSign(context, &der, &length, message, message.count) == 1)
        return try raw(Array(der.prefix(length)))
    }

    /// The same signature with s replaced by n - s, which verifies as well and needs no key to make.
    static func malleated(_ signature: [UInt8]) throws -> [UInt8] {
        let group = try #require(EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1))
        defer { EC_GROUP_free(group) }
        let order = try #require(EC_GROUP_get0_order(group))
        let s = try #require(BN_bin2bn(Array(signature[32...]), 32, nil))
        defer { BN_free(s) }
        let other = try #require(BN_new())
        defer { BN_free(other) }
        try #require(BN_sub(other, order, s) == 1)
        var bytes = [UInt8](repeating: 0, count: 32)
        try #require(BN_bn2binpad(other, &bytes, 32) == 32)
        return Array(signature[..<32]) + bytes
    }

    static func hs256(_ text: String, secret: [UInt8]) -> [UInt8] {
        var digest = [UInt8](repeating: 0, count: 32)
        let message = Array(text.utf8)
        HMAC(EVP_sha256(), secret, CInt(secret.count), message, message.count, &digest, nil)
        return digest
    }

    private static func raw(_ der: [UInt8]) throws -> [UInt8] {
        var signature: OpaquePointer?
        der.withUnsafeBufferPointer { buffer in
            var cursor = buffer.baseAddress
            signature = d2i_ECDSA_SIG(nil, &cursor, buffer.count)
        }
        let parsed = try #require(signature)
        defer { ECDSA_SIG_free(parsed) }
        var bytes = [UInt8](repeating: 0, count: 64)
        try bytes.withUnsafeMutableBufferPointer { buffer in
            let base = try #require(buffer.baseAddress)
            try #require(BN_bn2binpad(ECDSA_SIG_get0_r(parsed), base, 32) == 32)
            try #require(BN_bn2binpad(ECDSA_SIG_get0_s(parsed), base + 32, 32) == 32)
        }
        return bytes
    }
}
