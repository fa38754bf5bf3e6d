import Access
import CacheService
import Catalog
import Tenancy
import Wire

extension ControlRPCs {
    func createSigningKey(_ message: [UInt8], _ caller: Caller) throws(MartletError) -> [UInt8] {
        try control.permit(.manageTenantSigningKeys, caller)
        let request = try Self.decode(Control_CreateSigningKeyRequest.self, message)
        let key = try control.createTenantSigningKey(ttlMinutes: Int64(request.ttlMinutes), caller: caller)
        var response = Control_CreateSigningKeyResponse()
        response.key = String(decoding: key.privateJWK, as: UTF8.self)
        response.expiresAt = Timestamp.epochSeconds(key.record.expiresAt)
        return try Self.encode(response)
    }

    func revokeSigningKey(_ message: [UInt8], _ caller: Caller) throws(MartletError) -> [UInt8] {
        try control.permit(.manageTenantSigningKeys, caller)
        let request = try Self.decode(Control_RevokeSigningKeyRequest.self, message)
        try control.revokeTenantSigningKey(kid: request.keyID, caller: caller)
        return try Self.encode(Control_RevokeSigningKeyResponse())
    }

    func listSigningKeys(_ message: [UInt8], _ caller: Caller) throws(MartletError) -> [UInt8] {
        try control.permit(.manageTenantSigningKeys, caller)
        let request = try Self.decode(Control_ListSigningKeysRequest.self, message)
        let page = try control.tenantSigningKeys(try Self.page(after: request.nextToken), caller: caller)
        var response = Control_ListSigningKeysResponse()
        response.signingKey = page.items.map { record in
            var key = Control_SigningKey()
            key.keyID = record.kid
            key.expiresAt = Timestamp.epochSeconds(record.expiresAt)
            return key
        }
        response.nextToken = page.nextToken ?? ""
        return try Self.encode(response)
    }
}
