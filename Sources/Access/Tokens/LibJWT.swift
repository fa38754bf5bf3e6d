import CJWT
import COpenSSL
import Tenancy

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// The only place that calls libjwt (1.10). It signs and checks signatures; what the claims say is read by
/// ``JSONParser`` from the very bytes that were signed, never from libjwt's own copy.
enum LibJWT {
    /// A JWT with the header `{"alg":"ES256","kid":…,"typ":"JWT"}`.
    ///
    /// - Throws: ``MartletError/internalFailure(_:)``, whose text holds neither the key nor a claim.
    static func sign(claims: JSONValue, with key: SigningKey) throws(MartletError) -> String {
        guard let token = encode(claims, key) else {
            ERR_clear_error()
            throw .internalFailure("a token could not be signed")
        }
        return token
    }

    private static func encode(_ claims: JSONValue, _ key: SigningKey) -> String? {
        var object: OpaquePointer?
        guard jwt_new(&object) == 0, let object else { return nil }
        // It overwrites its copy of the key before it frees it.
        defer { jwt_free(object) }
        let json = String(decoding: claims.encoded(), as: UTF8.self)
        let pem = Array(key.privatePEM.utf8)
        guard jwt_add_header(object, "kid", key.kid) == 0,
            jwt_add_grants_json(object, json) == 0,
            jwt_set_alg(object, JWT_ALG_ES256, pem, CInt(clamping: pem.count)) == 0,
            let text = jwt_encode_str(object)
        else { return nil }
        defer { free(text) }
        return String(cString: text)
    }

    /// Whether the signature of `token` was made by the private half of `publicPEM`.
    ///
    /// That the header says ES256 is a property of the type ``SignedToken``: without it, libjwt would take an HMAC
    /// whose secret is the public key's text for a good signature.
    static func isSigned(_ token: SignedToken, by publicPEM: String) -> Bool {
        let text = token.raw + [0]
        let pem = Array(publicPEM.utf8)
        var object: OpaquePointer?
        let status = text.withUnsafeBytes { bytes in
            // An array always has an address here: it holds at least the final zero.
            jwt_decode(&object, bytes.baseAddress?.assumingMemoryBound(to: CChar.self), pem, CInt(clamping: pem.count))
        }
        guard status == 0, let object else {
            ERR_clear_error()
            return false
        }
        defer { jwt_free(object) }
        return jwt_get_alg(object) == JWT_ALG_ES256
    }
}
