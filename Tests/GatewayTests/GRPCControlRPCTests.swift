import Access
import CacheService
import Catalog
import Foundation
import Synchronization
import SwiftProtobuf
import Tenancy
import Testing
import Wire

@testable import Gateway

/// `ScsControl`, and what holds for all calls of the control plane.
struct GRPCControlRPCTests {
    @Test func everyCallHasAPathOfItsOwn() {
        let paths = ControlRPC.allCases.map { "\($0.path)" }
        #expect(Set(paths).count == ControlRPC.allCases.count)
        for path in paths {
            let parts = path.split(separator: "/", omittingEmptySubsequences: false)
            #expect(parts.count == 3 && parts[0] == "" && parts[1].contains(".") && parts[2].first?.isUppercase == true)
        }
        #expect("\(ControlRPC.generateDisposableToken.path)" == "/token.Token/GenerateDisposableToken")
    }

    @Test func cacheIsMadeListedFlushedAndDeleted() throws {
        let fixture = try AdminRoutesFixture()
        let acme = try fixture.makeTenant("acme")
        let _: Control_CreateCacheResponse = try fixture.call(
            .createCache, Control_CreateCacheRequest("shop"), as: acme)
        #expect(try names(fixture, acme) == ["shop"])
        #expect(fixture.catalog.snapshot.cache(tenant: acme.tenant, name: try CacheName("shop")) != nil)
        // A super-user acts in its own tenant, root in `default`.
        #expect(try names(fixture, fixture.root).isEmpty)

        var flush = Control_FlushCacheRequest()
        flush.cacheName = "shop"
        let _: Control_FlushCacheResponse = try fixture.call(.flushCache, flush, as: acme)
        var delete = Control_DeleteCacheRequest()
        delete.cacheName = "shop"
        #expect(try fixture.refusal(.deleteCache, delete) == .cacheNotFound)
        let _: Control_DeleteCacheResponse = try fixture.call(.deleteCache, delete, as: acme)
        #expect(try names(fixture, acme).isEmpty)
        #expect(try fixture.refusal(.deleteCache, delete, as: acme) == .cacheNotFound)
        #expect(try fixture.refusal(.flushCache, flush, as: acme) == .cacheNotFound)
    }

    @Test func cacheThatExistsIsNotMadeAgain() throws {
        let fixture = try AdminRoutesFixture()
        let _: Control_CreateCacheResponse = try fixture.call(.createCache, Control_CreateCacheRequest("shop"))
        let refusal = try fixture.refusal(.createCache, Control_CreateCacheRequest("shop"))
        #expect(refusal == .alreadyExists("Cache"))
        #expect(refusal?.row.grpcStatus == 6 && refusal?.row.grpcErr == nil)
    }

    @Test(arguments: ["", " ", "a/b", "\u{7}", String(repeating: "x", count: 256)])
    func nameThatNoCacheCanHaveIsRefused(_ name: String) throws {
        let fixture = try AdminRoutesFixture()
        var delete = Control_DeleteCacheRequest()
        delete.cacheName = name
        var flush = Control_FlushCacheRequest()
        flush.cacheName = name
        for refusal in [
            try fixture.refusal(.createCache, Control_CreateCacheRequest(name)),
            try fixture.refusal(.deleteCache, delete), try fixture.refusal(.flushCache, flush),
        ] {
            #expect(refusal?.row.grpcStatus == 3 && refusal?.field == "cache_name")
        }
    }

    @Test func tenantHasAtMostMaxCaches() throws {
        let fixture = try AdminRoutesFixture()
        var change = TenantChange()
        change.limits = [.maxCaches: 1]
        let acme = try fixture.makeTenant("acme")
        _ = try fixture.control.putTenant(TenantName("acme"), change, caller: fixture.root)
        let _: Control_CreateCacheResponse = try fixture.call(.createCache, Control_CreateCacheRequest("a"), as: acme)
        let refusal = try fixture.refusal(.createCache, Control_CreateCacheRequest("b"), as: acme)
        #expect(refusal == .countLimited(limit: .maxCaches, value: 1))
        #expect(refusal?.row.grpcStatus == 8)
    }

    @Test func ofManyThatMakeOneCacheAtOnceExactlyOneDoes() throws {
        let fixture = try AdminRoutesFixture()
        let message: [UInt8] = try Control_CreateCacheRequest("shop").serializedBytes()
        let calls = ControlRPCs(control: fixture.control)
        let root = fixture.root
        let outcomes = Mutex<[MartletError?]>([])
        DispatchQueue.concurrentPerform(iterations: 8) { _ in
            var outcome: MartletError?
            do throws(MartletError) {
                _ = try calls.respond(to: .createCache, message: message, caller: root)
            } catch {
                outcome = error
            }
            outcomes.withLock { $0.append(outcome) }
        }
        let all = outcomes.withLock { $0 }
        #expect(all.count == 8)
        #expect(all.filter { $0 == nil }.count == 1)
        #expect(all.filter { $0 == .alreadyExists("Cache") }.count == 7)
    }

    @Test func aListNamesAllCachesAtOnce() throws {
        let fixture = try AdminRoutesFixture()
        for number in 0..<205 {
            try fixture.control.createCache(CacheName("cache \(1000 + number)"), caller: fixture.root)
        }
        var seen: [String] = []
        var counts: [Int] = []
        var request = Control_ListCachesRequest()
        repeat {
            let page: Control_ListCachesResponse = try fixture.call(.listCaches, request)
            seen += page.cache.map(\.cacheName)
            counts.append(page.cache.count)
            request.nextToken = page.nextToken
        } while !request.nextToken.isEmpty
        #expect(counts == [205])
        #expect(seen == (0..<205).map { "cache \(1000 + $0)" })

        request.nextToken = "nonsense"
        #expect(try fixture.refusal(.listCaches, request)?.field == "next_token")
    }

    // MARK: Limits

    @Test func limitsThatAreNotSetAreShownAsTheNominalOnes() throws {
        let fixture = try AdminRoutesFixture()
        try fixture.control.createCache(CacheName("shop"), caller: fixture.root)
        let cache = try onlyCache(fixture, fixture.root)
        #expect(cache.hasCacheLimits && cache.hasTopicLimits)
        #expect(cache.cacheLimits.maxTrafficRate == 500 && cache.cacheLimits.maxThroughputKbps == 10_240)
        #expect(cache.cacheLimits.maxItemSizeKb == 4_883 && cache.cacheLimits.maxTtlSeconds == 86_400)
        #expect(cache.topicLimits.maxPublishRate == 100 && cache.topicLimits.maxSubscriptionCount == 100)
        #expect(cache.topicLimits.maxPublishMessageSizeKb == 100)
    }

    @Test func limitsThatAreSetAreShownTheSmallerOfCacheAndTenant() throws {
        let fixture = try AdminRoutesFixture()
        let acme = try fixture.makeTenant("acme")
        var tenant = TenantChange()
        tenant.limits = [
            .maxOperationsPerSecond: 70, .maxBytesInPerSecond: 1 << 20, .maxItemBytes: 1 << 20, .maxTTLSeconds: 60,
            .maxSubscriptions: 9, .maxMessageBytes: 2_047,
        ]
        _ = try fixture.control.putTenant(TenantName("acme"), tenant, caller: fixture.root)
        var cache = CacheChange()
        cache.limits = [
            .maxOperationsPerSecond: 80, .maxBytesOutPerSecond: 512 << 10, .maxItemBytes: 1 << 30, .maxTTLSeconds: 30,
            .maxPublishPerSecond: UInt64.max >> 11,
        ]
        _ = try fixture.control.putCache(CacheName("shop"), cache, caller: acme)
        let shown = try onlyCache(fixture, acme)
        #expect(shown.cacheLimits.maxTrafficRate == 70)
        #expect(shown.cacheLimits.maxThroughputKbps == 512)
        #expect(shown.cacheLimits.maxItemSizeKb == 1_024)
        #expect(shown.cacheLimits.maxTtlSeconds == 30)
        #expect(shown.topicLimits.maxSubscriptionCount == 9)
        // Whole kilobytes, rounded down; and what does not fit is the most that does.
        #expect(shown.topicLimits.maxPublishMessageSizeKb == 1)
        #expect(shown.topicLimits.maxPublishRate == .max)
    }

    // MARK: Who may, and what is no request

    @Test func onlySuperUsersAndRootMay() throws {
        let fixture = try AdminRoutesFixture()
        let acme = try fixture.makeTenant("acme")
        let dataKey = try fixture.makeDataKey(acme)
        // Also with bytes that are no request: who may not learns nothing of them.
        for rpc in Self.answered where rpc.credentialPlace != .none {
            for message in [[], [0xFF]] as [[UInt8]] {
                let refusal = fixture.refusal(rpc, message, as: dataKey)
                #expect(refusal?.row.grpcStatus == 7, "\(rpc)")
                #expect(refusal?.message.contains("Insufficient permissions") == true, "\(rpc)")
                #expect(fixture.refusal(rpc, message, as: nil) == .missingCredential, "\(rpc)")
            }
        }
        try fixture.control.deleteTenant(TenantName("acme"), caller: fixture.root)
        #expect(fixture.refusal(.listCaches, [], as: acme) == .revokedCredential)
    }

    @Test(arguments: [ControlRPC.createIndex, .deleteIndex, .listIndexes, .login])
    func whatIsNotOfferedSaysSo(_ rpc: ControlRPC) throws {
        let fixture = try AdminRoutesFixture()
        for message in [[], [0xFF, 0xFF]] as [[UInt8]] {
            #expect(fixture.refusal(rpc, message, as: fixture.root)?.row.grpcStatus == 12)
        }
        // A login is for whoever has nothing yet.
        #expect(fixture.refusal(.login, [], as: nil)?.row.grpcStatus == 12)
    }

    @Test func credentialInTheMessageIsFound() throws {
        var key = Auth_GenerateApiTokenRequest(.ofSuperUser)
        key.authToken = "secret"
        var token = Token_GenerateDisposableTokenRequest(.ofSuperUser, seconds: 1)
        token.authToken = "secret"
        #expect(ControlRPC.generateApiToken.credential(in: try key.serializedBytes()) == "secret")
        #expect(ControlRPC.generateDisposableToken.credential(in: try token.serializedBytes()) == "secret")
        #expect(ControlRPC.createCache.credential(in: try key.serializedBytes()) == nil)
        key.authToken = ""
        #expect(ControlRPC.generateApiToken.credential(in: try key.serializedBytes()) == nil)
        for rpc in ControlRPC.allCases {
            #expect(rpc.credential(in: [0xFF]) == nil)
        }
        let places = ControlRPC.allCases.filter { $0.credentialPlace == .metadataOrMessage }
        #expect(places == [.generateApiToken, .generateDisposableToken])
        #expect(ControlRPC.allCases.filter { $0.credentialPlace == .none } == [.refreshApiToken, .login])
    }

    @Test func requestsThatAreCutOrAlteredNeverTrap() throws {
        let fixture = try AdminRoutesFixture()
        var generator = SeededGenerator(seed: 61)
        var refused = 0
        for (rpc, message) in try Self.samples() {
            for end in message.indices {
                if fixture.refusal(rpc, Array(message[..<end]), as: fixture.root) != nil { refused += 1 }
            }
            for _ in 0..<60 {
                var altered = message
                for _ in 0..<Int.random(in: 1...3, using: &generator) where !altered.isEmpty {
                    let place = Int.random(in: altered.indices, using: &generator)
                    altered[place] = UInt8.random(in: .min ... .max, using: &generator)
                }
                _ = rpc.credential(in: altered)
                guard let error = fixture.refusal(rpc, altered, as: fixture.root) else { continue }
                #expect((1...16).contains(error.row.grpcStatus) && error.row.grpcStatus != 13, "\(rpc) \(altered)")
                refused += 1
            }
        }
        #expect(refused > 100)
    }

    /// All but what is answered without looking at the caller or the message, and webhooks.
    private static let answered: [ControlRPC] = [
        .createCache, .deleteCache, .listCaches, .flushCache, .createSigningKey, .revokeSigningKey, .listSigningKeys,
        .generateApiToken, .refreshApiToken, .generateDisposableToken,
    ]

    /// A good request of each call.
    private static func samples() throws -> [(ControlRPC, [UInt8])] {
        let permissions = PermissionPermissions.explicit([.cache(.cacheReadOnly, "shop"), .topic()])
        var key = Auth_GenerateApiTokenRequest(permissions, seconds: 60)
        key.tokenID = "label"
        key.description_p = "text"
        var refresh = Auth_RefreshApiTokenRequest()
        refresh.apiKey = "mk1_" + String(repeating: "0", count: 64)
        refresh.refreshToken = "mrt1_" + String(repeating: "0", count: 64)
        var signing = Control_CreateSigningKeyRequest()
        signing.ttlMinutes = 60
        var revoke = Control_RevokeSigningKeyRequest()
        revoke.keyID = "unknown"
        return [
            (.createCache, try Control_CreateCacheRequest("shop").serializedBytes()),
            (.deleteCache, try Control_CreateCacheRequest("shop").serializedBytes()),
            (.flushCache, try Control_CreateCacheRequest("shop").serializedBytes()),
            (.listCaches, try Control_CreateCacheRequest("token").serializedBytes()),
            (.createSigningKey, try signing.serializedBytes()), (.revokeSigningKey, try revoke.serializedBytes()),
            (.listSigningKeys, try revoke.serializedBytes()), (.generateApiToken, try key.serializedBytes()),
            (.refreshApiToken, try refresh.serializedBytes()),
            (
                .generateDisposableToken,
                try Token_GenerateDisposableTokenRequest(permissions, seconds: 60).serializedBytes()
            ),
        ]
    }

    private func names(_ fixture: AdminRoutesFixture, _ caller: Caller) throws -> [String] {
        let page: Control_ListCachesResponse = try fixture.call(.listCaches, Control_ListCachesRequest(), as: caller)
        return page.cache.map(\.cacheName)
    }

    private func onlyCache(_ fixture: AdminRoutesFixture, _ caller: Caller) throws -> Control_Cache {
        let page: Control_ListCachesResponse = try fixture.call(.listCaches, Control_ListCachesRequest(), as: caller)
        #expect(page.cache.count == 1)
        return try #require(page.cache.first)
    }
}
