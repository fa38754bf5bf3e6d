import Access
import Tenancy

/// Whatever a socket can carry as a credential, and every text form of permissions.
///
/// Besides not trapping, what is read must be what is written: a value that was accepted is encoded and read again, and
/// must come out the same.
@_cdecl("LLVMFuzzerTestOneInput")
package func fuzzCredential(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let input = UnsafeRawBufferPointer(start: start, count: count)
    let bytes = Array(input)

    if case .token(let token)? = Credential.parse(input) {
        // No key is known, so nothing may verify.
        let verifier = TokenVerifier(authority: TokenAuthority(issuer: "martlet", audience: "martlet"))
        precondition((try? verifier.verify(token, keys: [:], now: Timestamp(seconds: 0))) == nil)
    }
    _ = Credential.parse(OuterForm.wrap(apiKey: String(decoding: bytes, as: UTF8.self), endpoint: "localhost"))
    _ = APIKeys.refreshTokenHash(input)

    if let decoded = Base64.decode(input, .url) {
        precondition(Base64.encode(decoded, .url).utf8.elementsEqual(bytes))
    }
    if let value = try? JSONParser.parse(bytes, ceiling: 1 << 16) {
        precondition((try? JSONParser.parse(value.encoded(), ceiling: 1 << 20)) == value)
        if let grant = try? Grant(json: value) {
            precondition((try? Grant(json: grant.json)) == grant)
            precondition(Grant(stored: grant.stored) == grant)
        }
        if let permissions = PermissionSet(compact: value) {
            precondition(PermissionSet(compact: permissions.compact) == permissions)
            precondition((try? PermissionSet(json: permissions.json)) == permissions)
        }
    }
    if let grant = Grant(stored: bytes) {
        precondition(grant.stored == bytes)
    }
    return 0
}
