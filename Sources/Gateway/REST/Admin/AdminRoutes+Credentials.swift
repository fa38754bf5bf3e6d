import Access
import CacheService
import Catalog
import Tenancy

extension AdminRoutes {
    /// `POST /keys`
    func mintKey(_ call: AdminCall) throws(MartletError) -> AdminResponse {
        let tenant = try call.tenant()
        try control.permit(.mintDataKey, call.caller, tenant: tenant)
        let body = try AdminBody(
            call.request.body, fields: ["format", "permissions", "ttl_seconds", "description", "token_id"])
        guard let format = try body.required("format").string.flatMap(APIKeyFormat.init(rawValue:)) else {
            throw .invalidArgument(field: "format", reason: "must be \"v1\" or \"v2\"")
        }
        let order = KeyOrder(
            format: format, grant: try Grant(json: try body.required("permissions")),
            ttlSeconds: try body.whole("ttl_seconds"), description: try body.text("description"),
            tokenID: try body.text("token_id"))
        let key = try control.mintKey(order, tenant: tenant, caller: call.caller)
        return AdminResponse(
            201,
            .members([
                "key": .string(key.secret.presented),
                "id": .string(key.record.id),
                "expires_at": JSONValue(key.record.expiresAt),
                "refresh_token": .string(key.refreshToken.presented),
            ]))
    }

    /// `GET /keys`
    func listKeys(_ call: AdminCall) throws(MartletError) -> AdminResponse {
        let tenant = try call.tenant()
        try control.permit(.manageCredentials, call.caller, tenant: tenant)
        let page = try control.keys(try call.query.page(), tenant: tenant, caller: call.caller)
        return .list("keys", page.items.map(\.json), nextToken: page.nextToken)
    }

    /// `DELETE /keys/{id}`
    func revokeKey(_ id: String, _ call: AdminCall) throws(MartletError) -> AdminResponse {
        try control.revokeKey(id: id, tenant: try call.tenant(), caller: call.caller)
        return .done
    }

    /// `POST /tokens`
    func mintToken(_ call: AdminCall) throws(MartletError) -> AdminResponse {
        let tenant = try call.tenant()
        try control.permit(.mintToken, call.caller, tenant: tenant)
        let body = try AdminBody(call.request.body, fields: ["permissions", "ttl_seconds", "token_id"])
        let order = TokenOrder(
            permissions: try PermissionSet(json: try body.required("permissions")),
            ttlSeconds: try body.requiredWhole("ttl_seconds"), tokenID: try body.text("token_id"))
        let token = try control.mintToken(order, tenant: tenant, caller: call.caller)
        return AdminResponse(
            201,
            .members([
                "token": .string(token.presented),
                "id": .string(token.claims.id),
                "expires_at": JSONValue(token.claims.expiresAt),
            ]))
    }

    /// `DELETE /tokens/{id}`
    func revokeToken(_ id: String, _ call: AdminCall) throws(MartletError) -> AdminResponse {
        try control.revokeToken(id: id, tenant: try call.tenant(), caller: call.caller)
        return .done
    }

    /// `DELETE /tokens?token_id=`: what carries the label is revoked afterwards, whether anything did or not.
    func revokeTokens(_ call: AdminCall) throws(MartletError) -> AdminResponse {
        let tenant = try call.tenant()
        try control.permit(.manageCredentials, call.caller, tenant: tenant)
        guard let label = try call.query.text("token_id") else {
            throw .invalidArgument(field: "token_id", reason: "is required: name a label, or an id as /tokens/{id}")
        }
        try control.revokeTokens(tokenID: label, tenant: tenant, caller: call.caller)
        return .done
    }

    /// `GET /signing-keys`
    func listSigningKeys(_ call: AdminCall) throws(MartletError) -> AdminResponse {
        var keys = try control.signingKeys(caller: call.caller)[...]
        let page = try call.query.page()
        if let after = page.nextToken {
            guard let place = keys.firstIndex(where: { $0.kid == after }) else {
                throw .invalidArgument(field: "next_token", reason: "is not one that this list has given")
            }
            keys = keys[(place + 1)...]
        }
        let shown = keys.prefix(page.limit)
        return .list(
            "signing_keys", shown.map(\.json), nextToken: shown.count < keys.count ? shown.last?.kid : nil)
    }

    /// `POST /signing-keys/rotate`
    func rotateSigningKey(_ call: AdminCall) throws(MartletError) -> AdminResponse {
        AdminResponse(201, try control.rotateSigningKey(caller: call.caller).json)
    }
}
