import Access
import CacheService
import Catalog
import SwiftProtobuf
import Tenancy
import Testing
import Wire

@testable import Gateway

extension AdminRoutesFixture {
    /// Performs a call as the door does.
    ///
    /// - Parameter caller: Nil for root.
    func call<Response: Message>(
        _ rpc: ControlRPC, _ request: some Message, as caller: Caller? = nil, giving: Response.Type = Response.self
    ) throws -> Response {
        let message: [UInt8] = try request.serializedBytes()
        let answer = try ControlRPCs(control: control).respond(to: rpc, message: message, caller: caller ?? root)
        return try Response(serializedBytes: answer)
    }

    /// What becomes of bytes that may be no request at all; nil when they were answered.
    func refusal(_ rpc: ControlRPC, _ message: [UInt8], as caller: Caller?) -> MartletError? {
        do throws(MartletError) {
            _ = try ControlRPCs(control: control).respond(to: rpc, message: message, caller: caller)
            return nil
        } catch {
            return error
        }
    }

    func refusal(_ rpc: ControlRPC, _ request: some Message, as caller: Caller? = nil) throws -> MartletError? {
        refusal(rpc, try request.serializedBytes(), as: caller ?? root)
    }

    /// The API key behind an inner text.
    func record(of apiKey: String) throws -> APIKeyRecord {
        guard case .apiKey(let hash) = Credential.parse(apiKey) else { throw MartletError.invalidCredential }
        return try #require(catalog.snapshot.apiKey(hash: hash.bytes))
    }

    /// The holder of a new data key of the caller's tenant.
    func makeDataKey(_ caller: Caller) throws -> Caller {
        let key = try control.mintKey(KeyOrder(format: .v1, grant: .permissions(.allDataReadWrite)), caller: caller)
        return .apiKey(
            id: key.record.id, tenant: key.record.tenant, tokenID: nil, expiresAt: nil,
            grant: .permissions(.allDataReadWrite))
    }
}

extension Control_CreateCacheRequest {
    init(_ name: String) {
        self.init()
        cacheName = name
    }
}

extension PermissionPermissionsType {
    /// A role on all caches, or on one, and on all their items.
    static func cache(_ role: PermissionCacheRole = .cacheReadWrite, _ name: String? = nil) -> Self {
        var permission = CachePermissions()
        permission.role = role
        if let name { permission.cacheSelector.cacheName = name } else { permission.allCaches = All() }
        var statement = PermissionPermissionsType()
        statement.cachePermissions = permission
        return statement
    }

    /// A role on all topics of all caches, or of one.
    static func topic(_ role: PermissionTopicRole = .topicReadWrite, _ name: String? = nil) -> Self {
        var permission = TopicPermissions()
        permission.role = role
        if let name { permission.cacheSelector.cacheName = name } else { permission.allCaches = All() }
        permission.allTopics = All()
        var statement = PermissionPermissionsType()
        statement.topicPermissions = permission
        return statement
    }
}

extension PermissionPermissions {
    static func explicit(_ statements: [PermissionPermissionsType]) -> Self {
        var permissions = PermissionPermissions()
        permissions.explicit.permissions = statements
        return permissions
    }

    static var ofSuperUser: Self {
        var permissions = PermissionPermissions()
        permissions.superUser = .superUser
        return permissions
    }
}

extension Auth_GenerateApiTokenRequest {
    /// - Parameter seconds: Nil for a key that never expires.
    init(_ permissions: PermissionPermissions, seconds: UInt32? = nil) {
        self.init()
        self.permissions = permissions
        if let seconds { expires.validForSeconds = seconds } else { never = Never() }
    }
}

extension Token_GenerateDisposableTokenRequest {
    init(_ permissions: PermissionPermissions, seconds: UInt32) {
        self.init()
        self.permissions = permissions
        expires.validForSeconds = seconds
    }
}
