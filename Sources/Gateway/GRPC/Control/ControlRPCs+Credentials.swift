import Access
import CacheService
import Catalog
import Tenancy
import Wire

extension ControlRPCs {
    func generateAPIToken(_ message: [UInt8], _ caller: Caller) throws(MartletError) -> [UInt8] {
        try control.permit(.mintDataKey, caller)
        let request = try Self.decode(Auth_GenerateApiTokenRequest.self, message)
        if case .superUser(.superUser)? = request.permissions.kind { try control.permit(.mintSuperUserKey, caller) }
        let grant = try Grant(request.hasPermissions ? request.permissions : nil)
        let ttlSeconds: Int64?
        switch request.expiry {
        case .never: ttlSeconds = nil
        case .expires(let expires): ttlSeconds = Int64(expires.validForSeconds)
        case nil: throw .invalidArgument(field: "expiry", reason: "is required: never or expires")
        }
        // The format that carries the endpoint: the SDK puts the two together.
        let order = KeyOrder(
            format: .v1, grant: grant, ttlSeconds: ttlSeconds, description: Self.optional(request.description_p),
            tokenID: Self.optional(request.tokenID))
        let key = try Self.naming("ttl_seconds", "expires.valid_for_seconds") { () throws(MartletError) in
            try control.mintKey(order, caller: caller)
        }
        var response = Auth_GenerateApiTokenResponse()
        response.apiKey = key.secret.inner
        response.refreshToken = key.refreshToken.inner
        response.endpoint = control.endpoint
        response.validUntil = Timestamp.epochSeconds(key.record.expiresAt)
        return try Self.encode(response)
    }

    /// Whoever holds the key and its refresh token may: there is no other caller.
    func refreshAPIToken(_ message: [UInt8]) throws(MartletError) -> [UInt8] {
        let request = try Self.decode(Auth_RefreshApiTokenRequest.self, message)
        let key = try control.refreshKey(presented: request.apiKey, refreshToken: request.refreshToken)
        var response = Auth_RefreshApiTokenResponse()
        response.apiKey = key.secret.inner
        response.refreshToken = key.refreshToken.inner
        response.endpoint = control.endpoint
        response.validUntil = Timestamp.epochSeconds(key.record.expiresAt)
        return try Self.encode(response)
    }

    func generateDisposableToken(_ message: [UInt8], _ caller: Caller) throws(MartletError) -> [UInt8] {
        try control.permit(.mintToken, caller)
        let request = try Self.decode(Token_GenerateDisposableTokenRequest.self, message)
        guard case .permissions(let permissions) = try Grant(request.hasPermissions ? request.permissions : nil) else {
            throw .permissionDenied("a token cannot be a super-user's")
        }
        guard request.hasExpires else { throw .invalidArgument(field: "expires", reason: "is required") }
        let order = TokenOrder(
            permissions: permissions, ttlSeconds: Int64(request.expires.validForSeconds),
            tokenID: Self.optional(request.tokenID))
        let token = try Self.naming("ttl_seconds", "expires.valid_for_seconds") { () throws(MartletError) in
            try control.mintToken(order, caller: caller)
        }
        var response = Token_GenerateDisposableTokenResponse()
        response.apiKey = token.presented
        response.endpoint = control.endpoint
        response.validUntil = Timestamp.epochSeconds(token.claims.expiresAt)
        return try Self.encode(response)
    }

    /// A text field that is not sent reads as an empty one.
    private static func optional(_ text: String) -> String? {
        text.isEmpty ? nil : text
    }
}
