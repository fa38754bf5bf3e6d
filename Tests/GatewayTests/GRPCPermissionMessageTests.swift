import Access
import Foundation
import SwiftProtobuf
import Tenancy
import Testing
import Wire

@testable import Gateway

struct GRPCPermissionMessageTests {
    private func grant(_ statements: PermissionPermissionsType...) throws(MartletError) -> Grant {
        try Grant(.explicit(statements))
    }

    private func refusedField(_ statements: PermissionPermissionsType...) -> String? {
        do throws(MartletError) {
            _ = try Grant(.explicit(statements))
            return nil
        } catch {
            #expect(error.row.grpcStatus == 3)
            return error.field
        }
    }

    @Test func rolesAndSelectorsAreWhatTheySay() throws {
        let shop = CacheSelector.named(try CacheName("shop"))
        for (message, role) in [
            (PermissionCacheRole.cacheReadWrite, Role.readWrite), (.cacheReadOnly, .readOnly),
            (.cacheWriteOnly, .writeOnly),
        ] {
            #expect(try grant(.cache(message)) == only(Permission(role, cache: .all, .items(.all))))
            #expect(try grant(.cache(message, "shop")) == only(Permission(role, cache: shop, .items(.all))))
        }
        for (message, role) in [
            (PermissionTopicRole.topicReadWrite, Role.readWrite), (.topicReadOnly, .readOnly),
            (.topicWriteOnly, .writeOnly),
        ] {
            #expect(try grant(.topic(message)) == only(Permission(role, cache: .all, .topics(.all))))
            #expect(try grant(.topic(message, "shop")) == only(Permission(role, cache: shop, .topics(.all))))
        }
        var all = PermissionPermissionsType.cache()
        all.cachePermissions.allItems = .init()
        #expect(try grant(all) == only(Permission(.readWrite, cache: .all, .items(.all))))
        var key = PermissionPermissionsType.cache()
        key.cachePermissions.itemSelector.key = Data([0, 255])
        #expect(try grant(key) == only(Permission(.readWrite, cache: .all, .items(.key([0, 255])))))
        var prefix = PermissionPermissionsType.cache()
        prefix.cachePermissions.itemSelector.keyPrefix = Data([0, 255])
        #expect(try grant(prefix) == only(Permission(.readWrite, cache: .all, .items(.keyPrefix([0, 255])))))
        var topic = PermissionPermissionsType.topic()
        topic.topicPermissions.topicSelector.topicName = "news"
        #expect(try grant(topic) == only(Permission(.readWrite, cache: .all, .topics(.named("news")))))
        var topics = PermissionPermissionsType.topic()
        topics.topicPermissions.topicSelector.topicNamePrefix = "news."
        #expect(try grant(topics) == only(Permission(.readWrite, cache: .all, .topics(.prefix("news.")))))
        #expect(try grant(.cache(), .topic()) == .permissions(.allDataReadWrite))
        #expect(try Grant(.ofSuperUser) == .superUser)
        // A key and a topic of one name, and a key and its prefix, are not the same.
        #expect(try grant(key, prefix, topic, topics, .cache(), .topic()).isSuperUser == false)
    }

    @Test func rolesThatPermitNothingOrAreNotKnownAreRefused() {
        let cache = "permissions[0].cache_permissions.role"
        let topic = "permissions[0].topic_permissions.role"
        #expect(refusedField(.cache(.cachePermitNone)) == cache)
        #expect(refusedField(.cache(.UNRECOGNIZED(4))) == cache)
        #expect(refusedField(.cache(.UNRECOGNIZED(-1))) == cache)
        #expect(refusedField(.topic(.topicPermitNone)) == topic)
        #expect(refusedField(.topic(.UNRECOGNIZED(77))) == topic)
        #expect(refusedField(.topic(), .cache(.cachePermitNone)) == "permissions[1].cache_permissions.role")
    }

    @Test func whatIsNotSelectedIsAskedFor() {
        var noCache = PermissionPermissionsType()
        noCache.cachePermissions.role = .cacheReadWrite
        #expect(refusedField(noCache) == "permissions[0].cache_permissions.cache")
        var emptySelector = noCache
        emptySelector.cachePermissions.cacheSelector = .init()
        #expect(refusedField(emptySelector) == "permissions[0].cache_permissions.cache_selector")
        #expect(
            refusedField(.cache(.cacheReadOnly, "")) == "permissions[0].cache_permissions.cache_selector.cache_name")
        var noItem = PermissionPermissionsType.cache()
        noItem.cachePermissions.itemSelector = .init()
        #expect(refusedField(noItem) == "permissions[0].cache_permissions.item_selector")

        var noTopicCache = PermissionPermissionsType()
        noTopicCache.topicPermissions.role = .topicReadWrite
        noTopicCache.topicPermissions.allTopics = .init()
        #expect(refusedField(noTopicCache) == "permissions[0].topic_permissions.cache")
        var noTopic = PermissionPermissionsType()
        noTopic.topicPermissions.role = .topicReadWrite
        noTopic.topicPermissions.allCaches = .init()
        #expect(refusedField(noTopic) == "permissions[0].topic_permissions.topic")
        noTopic.topicPermissions.topicSelector = .init()
        #expect(refusedField(noTopic) == "permissions[0].topic_permissions.topic_selector")

        #expect(refusedField(PermissionPermissionsType()) == "permissions[0]")
        #expect(refusedField() == "permissions")
    }

    @Test func emptySelectorsAreRefused() {
        var key = PermissionPermissionsType.cache()
        key.cachePermissions.itemSelector.key = Data()
        #expect(refusedField(key) == "permissions[0].key")
        var topic = PermissionPermissionsType.topic()
        topic.topicPermissions.topicSelector.topicName = ""
        #expect(refusedField(topic) == "permissions[0].topic")
    }

    @Test func thereAreNoFunctions() {
        var function = PermissionPermissionsType()
        function.functionPermissions.role = .functionInvoke
        function.functionPermissions.allCaches = .init()
        function.functionPermissions.allFunctions = .init()
        #expect(refusedField(.cache(), function) == "permissions[1].function_permissions")
    }

    @Test func twoForTheSameResourceAreRefusedWhateverTheirRoles() {
        var all = PermissionPermissionsType.cache(.cacheReadOnly)
        all.cachePermissions.allItems = .init()
        #expect(refusedField(.cache(.cacheWriteOnly), all) == "permissions[1]")
        #expect(refusedField(.topic(), .cache(), .topic(.topicReadOnly)) == "permissions[2]")
        var key = PermissionPermissionsType.cache(.cacheReadOnly, "shop")
        key.cachePermissions.itemSelector.key = Data("k".utf8)
        var same = PermissionPermissionsType.cache(.cacheWriteOnly, "shop")
        same.cachePermissions.itemSelector.key = Data("k".utf8)
        #expect(refusedField(key, same) == "permissions[1]")
        // All caches and one of them are two resources.
        #expect(refusedField(.cache(.cacheReadOnly), .cache(.cacheWriteOnly, "shop")) == nil)
    }

    @Test func atMostTwentyStatements() {
        let statements = (0..<21).map { PermissionPermissionsType.cache(.cacheReadOnly, "cache \($0)") }
        #expect(throws: Never.self) { try Grant(.explicit(Array(statements.prefix(20)))) }
        #expect(
            throws: MartletError.invalidArgument(
                field: "permissions", reason: "must hold at most 20 statements, holds 21")
        ) { try Grant(.explicit(statements)) }
    }

    @Test func unknownKindsAreRefused() throws {
        #expect(throws: MartletError.self) { try Grant(nil) }
        #expect(throws: MartletError.self) { try Grant(PermissionPermissions()) }
        // super_user = 5, and a kind of statement that this version does not know.
        let other = try PermissionPermissions(serializedBytes: [0x08, 0x05] as [UInt8])
        #expect(throws: MartletError.invalidArgument(field: "permissions.super_user", reason: "is not a known value")) {
            try Grant(other)
        }
        let unknown = try PermissionPermissionsType(serializedBytes: [0x7A, 0x00] as [UInt8])
        #expect(refusedField(unknown) == "permissions[0]")
    }

    private func only(_ permission: Permission) throws -> Grant {
        .permissions(try PermissionSet(validating: [permission]))
    }
}
