import Access
import Admission
import Catalog
import Tenancy
import Testing

@testable import CacheService

/// Caches `a` and `b` of the tenant `default` and of a tenant `other`, and connections that use them.
private final class Stage {
    let fixture: Fixture
    let lane: ServiceLane
    let caller: LaneCaller
    let other: LaneCaller
    private let otherKey: Caller

    init(_ limits: LimitChanges = [:]) throws {
        fixture = try Fixture()
        lane = fixture.lane
        otherKey = try fixture.makeTenant("other")
        for owner in [fixture.root, otherKey] {
            for name in ["a", "b"] {
                _ = try fixture.control.putCache(try CacheName(name), CacheChange(), caller: owner)
            }
        }
        caller = LaneCaller(fixture.root, rootKeyHash: nil, version: fixture.catalog.snapshot.version)
        other = LaneCaller(otherKey, rootKeyHash: nil, version: fixture.catalog.snapshot.version)
        if !limits.isEmpty { try limit("a", limits) }
    }

    func limit(_ name: String, _ limits: LimitChanges) throws {
        var change = CacheChange()
        change.limits = limits
        _ = try fixture.control.putCache(try CacheName(name), change, caller: fixture.root)
        lane.beginTick()
    }

    func limitTenant(_ limits: LimitChanges) throws {
        var change = TenantChange()
        change.limits = limits
        _ = try fixture.control.putTenant(TenantName("default"), change, caller: fixture.root)
        lane.beginTick()
    }

    @discardableResult
    func use(_ name: String, _ connection: ConnectionClaims, by user: LaneCaller? = nil) throws -> CacheGrant {
        lane.beginTick()
        let user = user ?? caller
        _ = lane.fault(of: user)
        return try Array(name.utf8).withUnsafeBytes { name in
            try [0x6B].withUnsafeBytes { key in
                try lane.permit(user, cacheName: name, operation: .get, key: key, door: .rest, on: connection)
            }
        }
    }

    func refusal(_ name: String, _ connection: ConnectionClaims, by user: LaneCaller? = nil) -> MartletError? {
        do {
            try use(name, connection, by: user)
            return nil
        } catch {
            return error as? MartletError
        }
    }

    func admission(_ name: String, of user: LaneCaller? = nil) throws -> CacheAdmission {
        let tenant = (user ?? caller).caller.tenant
        let record = try #require(fixture.catalog.snapshot.cache(tenant: tenant, name: try CacheName(name)))
        return try #require(fixture.service.shared(record.id)).admission
    }
}

@Suite struct ConnectionClaimsTests {
    @Test func aCacheTakesAsManyConnectionsAsItMayAndOneMoreWhenOneEnds() throws {
        let stage = try Stage([.maxConnections: 2])
        let connections = (0..<3).map { _ in ConnectionClaims() }
        try stage.use("a", connections[0])
        try stage.use("a", connections[1])
        for _ in 0..<3 {
            #expect(stage.refusal("a", connections[2]) == .countLimited(limit: .maxConnections, value: 2))
            try stage.use("a", connections[0])
        }
        #expect(try stage.admission("a").connections.count == 2)
        // What was refused uses the neighbour as before.
        try stage.use("b", connections[2])
        connections[0].end()
        connections[0].end()
        try stage.use("a", connections[2])
        #expect(try stage.admission("a").connections.count == 2)
        #expect(try stage.admission("a").tenant.connections.count == 2)
    }

    @Test func aTenantCountsAConnectionOnceAndTheCacheOfARefusedOneNot() throws {
        let stage = try Stage()
        try stage.limitTenant([.maxConnections: 1])
        let (first, second) = (ConnectionClaims(), ConnectionClaims())
        try stage.use("a", first)
        try stage.use("b", first)
        #expect(stage.refusal("b", second) == .countLimited(limit: .maxConnections, value: 1))
        #expect(try stage.admission("b").connections.count == 1)
        // Another tenant is none the worse, on the same connection too.
        try stage.use("b", second, by: stage.other)
        try stage.use("b", first, by: stage.other)
        #expect(try stage.admission("b", of: stage.other).tenant.connections.count == 2)
        #expect(try stage.admission("b").tenant.connections.count == 1)
        first.end()
        try stage.use("b", second)
        #expect(try stage.admission("a").connections.count == 0)
        #expect(try stage.admission("a", of: stage.other).tenant.connections.count == 1)
    }

    @Test func theCachesLimitIsToldBeforeTheTenants() throws {
        let stage = try Stage([.maxConnections: 1])
        try stage.limitTenant([.maxConnections: 3])
        let connections = (0..<4).map { _ in ConnectionClaims() }
        try stage.use("a", connections[0])
        #expect(stage.refusal("a", connections[1]) == .countLimited(limit: .maxConnections, value: 1))
        // One that the cache refuses takes no place of the tenant's other caches.
        #expect(try stage.admission("a").tenant.connections.count == 1)
        try stage.use("b", connections[1])
        try stage.use("b", connections[2])
        #expect(try stage.admission("a").tenant.connections.count == 3)
        #expect(stage.refusal("a", connections[3]) == .countLimited(limit: .maxConnections, value: 1))
        #expect(stage.refusal("b", connections[3]) == .countLimited(limit: .maxConnections, value: 3))
    }

    @Test func whoeverIsIdentifiedCountsWhateverHeAsksFor() throws {
        let stage = try Stage()
        let connection = ConnectionClaims()
        #expect(stage.refusal("nothing", connection) == .cacheNotFound)
        #expect(try stage.admission("a").tenant.connections.count == 1)
        // Without a ceiling too, so that one that is set later finds it.
        try stage.limitTenant([.maxConnections: 1])
        #expect(stage.refusal("a", ConnectionClaims()) == .countLimited(limit: .maxConnections, value: 1))
        try stage.use("a", connection)
    }

    @Test func aCeilingThatSinksCutsNobodyAndOneThatRisesLetsIn() throws {
        let stage = try Stage([.maxConnections: 3])
        let connections = (0..<5).map { _ in ConnectionClaims() }
        for connection in connections.prefix(3) { try stage.use("a", connection) }
        try stage.limit("a", [.maxConnections: 1])
        for connection in connections.prefix(3) { try stage.use("a", connection) }
        #expect(stage.refusal("a", connections[3]) == .countLimited(limit: .maxConnections, value: 1))
        connections[0].end()
        connections[1].end()
        #expect(stage.refusal("a", connections[3]) != nil)
        try stage.limit("a", [.maxConnections: 2])
        try stage.use("a", connections[3])
        #expect(stage.refusal("a", connections[4]) != nil)
        try stage.limit("a", [.maxConnections: nil as UInt64?])
        try stage.use("a", connections[4])
        #expect(try stage.admission("a").connections.count == 3)
    }

    @Test func aDeletedCacheIsLetGoAndItsSuccessorCountsAnew() throws {
        let stage = try Stage([.maxConnections: 1])
        let connection = ConnectionClaims()
        try stage.use("a", connection)
        let before = try stage.admission("a")
        try stage.fixture.control.deleteCache(try CacheName("a"), caller: stage.fixture.root)
        try stage.limit("a", [.maxConnections: 1])
        try stage.use("a", connection)
        #expect(before.connections.count == 0)
        #expect(try stage.admission("a").connections.count == 1)
        #expect(stage.refusal("a", ConnectionClaims()) == .countLimited(limit: .maxConnections, value: 1))
        #expect(try stage.admission("a").tenant.connections.count == 1)
    }

    @Test func whatComesAfterTheEndCountsForNothing() throws {
        let stage = try Stage([.maxConnections: 1])
        let connection = ConnectionClaims()
        connection.end()
        try stage.use("a", connection)
        #expect(try stage.admission("a").connections.count == 0)
        #expect(try stage.admission("a").tenant.connections.count == 0)
    }

    @Test func aConnectionThatIsForgottenGivesBackToo() throws {
        let stage = try Stage([.maxConnections: 1])
        try stage.use("a", ConnectionClaims())
        #expect(try stage.admission("a").connections.count == 0)
    }

    @Test func aConnectionOfOneCacheAtATimeKeepsThatOne() throws {
        let stage = try Stage()
        let connection = ConnectionClaims()
        try stage.use("a", connection)
        connection.keepOnly(try stage.use("b", connection))
        #expect(try stage.admission("a").connections.count == 0)
        #expect(try stage.admission("b").connections.count == 1)
        connection.keepOnly(try stage.use("b", connection, by: stage.other))
        #expect(try stage.admission("b").connections.count == 0)
        #expect(try stage.admission("b").tenant.connections.count == 0)
        #expect(try stage.admission("b", of: stage.other).connections.count == 1)
        connection.keepOnly(nil)
        #expect(try stage.admission("b", of: stage.other).connections.count == 0)
        #expect(try stage.admission("b", of: stage.other).tenant.connections.count == 0)
    }

    /// Connections come, use what they like, are narrowed and end, in any order: the counts are those of a plain model.
    @Test(arguments: 0..<8 as Range<UInt64>) func countsAreThoseOfAModel(seed: UInt64) throws {
        let stage = try Stage()
        var state = seed &* 0x9E37_79B9_7F4A_7C15 | 1
        func next(_ bound: Int) -> Int {
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            return Int(state % UInt64(bound))
        }
        let users = [stage.caller, stage.other]
        let places = [(0, "a"), (0, "b"), (1, "a"), (1, "b")]
        var ceilings: [UInt64?] = [nil, nil]
        var live: [(claims: ConnectionClaims, places: Set<Int>)] = []
        for step in 0..<600 {
            switch next(10) {
            case 0, 1: live.append((ConnectionClaims(), []))
            case 2 where !live.isEmpty:
                let gone = live.remove(at: next(live.count))
                gone.claims.end()
            case 3 where !live.isEmpty:
                live.remove(at: next(live.count))  // its handlers are gone, and nobody has said so
            case 4 where !live.isEmpty:
                let index = next(live.count)
                live[index].claims.keepOnly(nil)
                live[index].places = []
            case 5:
                let place = next(2)
                let ceiling = next(3) == 0 ? nil : UInt64(next(4))
                ceilings[place] = ceiling
                try stage.limit(places[place].1, [.maxConnections: ceiling])
            case _ where !live.isEmpty:
                let (index, place) = (next(live.count), next(4))
                let count = live.count { $0.places.contains(place) }
                let ceiling = place < 2 ? ceilings[place] : nil
                let fits = live[index].places.contains(place) || ceiling.map { UInt64(count) < $0 } ?? true
                let refusal = stage.refusal(places[place].1, live[index].claims, by: users[places[place].0])
                #expect((refusal == nil) == fits, "step \(step), seed \(seed)")
                if fits { live[index].places.insert(place) }
            default: break
            }
            for (place, (user, name)) in places.enumerated() {
                let count = try stage.admission(name, of: users[user]).connections.count
                #expect(count == UInt64(live.count { $0.places.contains(place) }), "step \(step), seed \(seed)")
            }
        }
        live = []
        for user in users { #expect(try stage.admission("a", of: user).tenant.connections.count == 0) }
    }
}
