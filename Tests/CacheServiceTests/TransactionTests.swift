import Access
import Catalog
import Engine
import Metering
import Tenancy
import Testing

@testable import CacheService

/// A cache with one caller who sends commands, without a wire.
private final class Stage {
    let fixture: Fixture
    let lane: ServiceLane
    let identity: CommandIdentity
    let writer: ReplyWriter
    let call: CommandCall
    let name: CacheName
    let tenant: Caller

    init(_ change: CacheChange = CacheChange(), grant: Grant = .permissions(.allDataReadWrite)) throws {
        let fixture = try Fixture()
        let lane = fixture.lane
        let tenant = try fixture.makeTenant("acme")
        let name = try CacheName("shop")
        _ = try fixture.control.putCache(name, change, caller: tenant)
        let key = try fixture.control.mintKey(KeyOrder(format: .v2, grant: grant), caller: tenant)
        let caller = try fixture.remember(key.secret.presented)
        let identity = try "shop".withBytes { try lane.openCommands(caller, cacheName: $0) }
        let ping = OwnedArguments(Self.words("ping"))
        let writer = ReplyWriter()
        let made = withExtendedLifetime(ping) { lane.makeCall(identity, ping.arguments, reply: writer) }
        call = try #require(made)
        self.writer = writer
        self.fixture = fixture
        self.lane = lane
        self.tenant = tenant
        self.name = name
        self.identity = identity
    }

    static func words(_ text: String) -> [[UInt8]] { text.split(separator: " ").map { Array($0.utf8) } }

    func send(_ text: String) throws -> String {
        lane.beginTick()
        let owned = OwnedArguments(Self.words(text))
        let command = try #require(CommandTable.shared.command(named: owned.arguments[0]))
        writer.clear()
        withExtendedLifetime(owned) {
            _ = lane.perform(command, call, owned.arguments, for: identity) { { _ in } }
        }
        return String(decoding: writer.bytes, as: UTF8.self)
    }

    func execute(_ texts: [String], watched: WatchedKeys? = nil) throws -> String {
        lane.beginTick()
        let queued = try texts.map { text in
            let owned = OwnedArguments(Self.words(text))
            return QueuedCommand(
                try #require(CommandTable.shared.command(named: owned.arguments[0])), owned.arguments)
        }
        writer.clear()
        lane.performTransaction(queued, call, for: identity, watched: watched) { _, _ in
        } connection: { _, _ in
            writer.simple("CONNECTION")
        }
        return String(decoding: writer.bytes, as: UTF8.self)
    }

    func watch(_ key: String) throws -> WatchedKeys {
        lane.beginTick()
        let owned = OwnedArguments(Self.words("watch \(key)"))
        return try withExtendedLifetime(owned) {
            try lane.watch(owned.arguments, for: identity, besides: nil)
        }
    }

    func count(_ meter: Meter) throws -> UInt64 {
        let record = try #require(fixture.catalog.snapshot.cache(tenant: tenant.tenant, name: name))
        return fixture.service.meters.totals(of: record.id).reduce(0) { $0 + ($1.values[meter] ?? 0) }
    }
}

extension String {
    fileprivate func withBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
        try Array(utf8).withUnsafeBytes(body)
    }
}

@Suite struct TransactionTests {
    @Test func commandsAreExecutedInOrderAndCountedEach() throws {
        let stage = try Stage()
        let calls = try stage.count(.calls)
        #expect(
            try stage.execute(["set a 1", "get a", "ping", "set", "get b"].filter { $0 != "set" })
                == "*4\r\n+OK\r\n$1\r\n1\r\n+CONNECTION\r\n$-1\r\n")
        #expect(try stage.count(.calls) == calls + 3)
        #expect(try stage.count(.hits) == 1)
        #expect(try stage.count(.misses) == 1)
    }

    @Test func limitRefusesTheWholeTransaction() throws {
        var change = CacheChange()
        change.limits = [.maxOperationsPerSecond: .some(10)]
        let stage = try Stage(change)
        _ = try stage.send("set a 1")
        let reply = try stage.execute((0..<10).map { "set a \($0 + 2)" })
        #expect(reply.hasPrefix("-EXECABORT Transaction discarded because of: THROTTLED "), "\(reply)")
        #expect(try stage.send("get a") == "$1\r\n1\r\n")
        #expect(try stage.count(.throttled) == 1)
    }

    @Test func permissionIsAskedWhenItIsExecuted() throws {
        let grant = Grant.permissions(
            try PermissionSet(validating: [Permission(.readOnly, cache: .all, .items(.all))]))
        let stage = try Stage(grant: grant)
        let reply = try stage.execute(["get a", "set a 1", "get a"])
        #expect(reply.hasPrefix("*3\r\n$-1\r\n-NOPERM "), "\(reply)")
        #expect(reply.hasSuffix("\r\n$-1\r\n"))
    }

    @Test func watchedKeyThatChangesMakesItNull() throws {
        let stage = try Stage()
        let watched = try stage.watch("a")
        _ = try stage.send("set b 1")
        #expect(try stage.execute(["get b"], watched: watched) == "*1\r\n$1\r\n1\r\n")
        _ = try stage.send("set a 1")
        #expect(try stage.execute(["get b"], watched: watched) == "*-1\r\n")
    }

    @Test func watchedKeyWhoseTimeIsOverMakesItNull() throws {
        let stage = try Stage()
        var change = CacheChange()
        change.limits = [.defaultTTLSeconds: .some(5)]
        _ = try stage.fixture.control.putCache(stage.name, change, caller: stage.tenant)
        _ = try stage.send("set a 1")
        let watched = try stage.watch("a")
        #expect(try stage.execute(["get a"], watched: watched) == "*1\r\n$1\r\n1\r\n")
        stage.fixture.clock.advance(milliseconds: 6000)
        #expect(try stage.execute(["get a"], watched: watched) == "*-1\r\n")
    }

    @Test func watchedKeyThatWasGoneBeforeStaysSo() throws {
        let stage = try Stage()
        var change = CacheChange()
        change.limits = [.defaultTTLSeconds: .some(5)]
        _ = try stage.fixture.control.putCache(stage.name, change, caller: stage.tenant)
        _ = try stage.send("set a 1")
        stage.fixture.clock.advance(milliseconds: 6000)
        let watched = try stage.watch("a")
        _ = stage.fixture.service.engine.tick(now: stage.fixture.clock.now())
        #expect(try stage.execute(["get a"], watched: watched) == "*1\r\n$-1\r\n")
    }

    @Test func flushTouchesOnlyKeysThatThereAre() throws {
        let stage = try Stage()
        _ = try stage.send("set a 1")
        let (held, absent) = (try stage.watch("a"), try stage.watch("b"))
        try stage.fixture.control.flushCache(stage.name, caller: stage.tenant)
        #expect(try stage.execute(["get a"], watched: held) == "*-1\r\n")
        #expect(try stage.execute(["get a"], watched: absent) == "*1\r\n$-1\r\n")
    }

    @Test func unsupportedCommandsAreCountedForTheCache() throws {
        let stage = try Stage()
        for name in ["EVAL", "eval", "JSON.SET", "json.get"] {
            let entry = try #require(RefusedCommands.entry(named: name))
            let error = stage.lane.unsupported(entry, name, for: stage.identity)
            #expect(error.commandText == "ERR unsupported command '\(name.uppercased())'")
        }
        let report = try stage.fixture.control.cache(stage.name, caller: stage.tenant)
        #expect(report.statistics?.unsupportedCommands == ["eval": 2, "json.*": 2])
        #expect(RefusedCommands.entry(named: "get") == nil)
        #expect(RefusedCommands.entry(named: "client|pause") != nil)
    }
}

@Suite struct TrackedKeysTests {
    private func track(_ stage: Stage, prefixes: [[UInt8]]? = nil, isDeafToOwn: Bool = false) throws -> TrackedKeys {
        try stage.lane.track(for: stage.identity, prefixes: prefixes, isDeafToOwn: isDeafToOwn) {}
    }

    @Test func changeIsToldOnceUntilTheKeyIsReadAgain() throws {
        let stage = try Stage()
        let keys = try track(stage)
        "a".withBytes { keys.note($0) }
        _ = try stage.send("set b 1")
        #expect(!keys.hasNews)
        _ = try stage.send("set a 1")
        _ = try stage.send("set a 2")
        #expect(keys.takeNews() == [Array("a".utf8)])
        _ = try stage.send("set a 3")
        #expect(!keys.hasNews)
        "a".withBytes { keys.note($0) }
        _ = try stage.send("set a 4")
        #expect(keys.takeNews() == [Array("a".utf8)])
    }

    @Test func ownChangesAreNotToldToWhoDoesNotWantThem() throws {
        let stage = try Stage()
        let keys = try track(stage, isDeafToOwn: true)
        "a".withBytes { keys.note($0) }
        _ = try keys.executing { Result { try stage.send("set a 1") } }.get()
        #expect(!keys.hasNews)
        _ = try stage.send("set a 2")
        #expect(keys.takeNews() == [Array("a".utf8)])
    }

    @Test func tooManyKeysGiveWayToNewOnes() throws {
        let stage = try Stage()
        let keys = try track(stage)
        let large = [UInt8](repeating: 120, count: 60_000)
        for number in 0..<75 { (large + Array("\(number)".utf8)).withUnsafeBytes { keys.note($0) } }
        let news = try #require(keys.takeNews())
        #expect(news.count > 3 && news.count < 9)
    }

    @Test func tooMuchNewsBecomesOneWord() throws {
        let stage = try Stage()
        let keys = try track(stage, prefixes: [Array("k".utf8)])
        for number in 0..<20_000 { _ = try stage.send("set k\(number) 1") }
        #expect(keys.takeNews() == nil)
        _ = try stage.send("set other 1")
        #expect(!keys.hasNews)
        _ = try stage.send("set k 1")
        #expect(keys.takeNews() == [Array("k".utf8)])
    }

    @Test func changesOfAllKeysTakePermissionOnAllItems() throws {
        let grant = Grant.permissions(
            try PermissionSet(
                validating: [Permission(.readWrite, cache: .all, .items(.keyPrefix(Array("k".utf8))))]))
        let stage = try Stage(grant: grant)
        #expect(throws: MartletError.self) { try track(stage, prefixes: [Array("k".utf8)]) }
        _ = try track(stage)
    }
}
