import Access
import Catalog
import Engine
import Metering
import Synchronization
import Tenancy
import Testing

@testable import CacheService

/// A cache, someone who may do everything in it, and a lane whose turns the test takes one by one.
final class CollectionStage {
    /// What the lane wants to do later.
    private final class Turns: Sendable {
        private let waiting = Mutex<[@Sendable () -> Void]>([])

        func put(_ work: @escaping @Sendable () -> Void) { waiting.withLock { $0.append(work) } }

        func take() -> (@Sendable () -> Void)? { waiting.withLock { $0.isEmpty ? nil : $0.removeFirst() } }
    }

    let fixture: Fixture
    let lane: ServiceLane
    private let turns = Turns()
    private let caller: LaneCaller
    let cacheName: String

    /// - Parameter choice: Makes the engine that answers, beside the embedded one.
    init(
        limits: LimitChanges = [.defaultTTLSeconds: 3600], seals: Bool = false,
        choice: (EmbeddedEngine) -> EngineChoice = { _ in .embedded }
    ) throws {
        // An engine elsewhere has one of its own.
        let other = try EmbeddedEngine(
            configuration: EngineConfiguration(
                memoryBytes: 64 << 20, indexKey: SipHashKey(k0: 3, k1: 4), valueHashKey: SipHashKey(k0: 3, k1: 4)))
        fixture = try Fixture(choice: choice(other), seals: seals)
        cacheName = "shop"
        try fixture.makeCache(cacheName, limits)
        let turns = turns
        lane = ServiceLane(service: fixture.service, index: 1) { turns.put($0) }
        lane.dice = Dice(seed: (1, 2))
        let order = KeyOrder(format: .v2, grant: .permissions(.allDataReadWrite))
        let credential = try fixture.control.mintKey(order, caller: fixture.root).secret.presented
        caller = try fixture.remember(credential, on: lane)
    }

    func grant(_ operation: CacheOperation = .get, _ key: String = "k") throws -> CacheGrant {
        lane.beginTick()
        return try Array(cacheName.utf8).withUnsafeBytes { cache in
            try Array(key.utf8).withUnsafeBytes { key in
                try lane.permit(caller, cacheName: cache, operation: operation, key: key, door: .grpc)
            }
        }
    }

    /// Takes one turn. False: none was asked for.
    @discardableResult
    func turn() -> Bool {
        guard let work = turns.take() else { return false }
        work()
        return true
    }

    /// What has come of a call.
    final class Answer<Value> {
        fileprivate(set) var result: Result<Value, MartletError>?
        /// Whether it was there at once.
        fileprivate(set) var wasHere = false
    }

    func ask<Value>(
        _ key: String, _ operation: CacheOperation = .get,
        _ call: (CacheGrant, UnsafeRawBufferPointer, @escaping () -> LateHandler<Value>) -> Reply<Value>
    ) throws -> Answer<Value> {
        let grant = try grant(operation, key)
        let answer = Answer<Value>()
        let reply = Array(key.utf8).withUnsafeBytes { key in
            call(grant, key) { return { answer.result = $0 } }
        }
        switch reply {
        case .here(let value):
            answer.result = .success(value)
            answer.wasHere = true
        case .refused(let error):
            answer.result = .failure(error)
            answer.wasHere = true
        case .later: break
        }
        return answer
    }

    func begin(_ key: String, _ command: CollectionCommand) throws -> Answer<CollectionReply> {
        try ask(key, command.operation) { lane.perform($0, .grpc, key: $1, command, later: $2) }
    }

    /// Takes turns until the answer is there.
    func finish<Value>(_ answer: Answer<Value>) throws -> Value {
        while answer.result == nil {
            guard turn() else { throw MartletError.internalFailure("no turn was asked for, and no answer came") }
        }
        return try #require(answer.result).get()
    }

    @discardableResult
    func run(_ key: String, _ command: CollectionCommand) throws -> CollectionReply {
        try finish(begin(key, command))
    }

    func error(_ key: String, _ command: CollectionCommand) throws -> MartletError? {
        do {
            _ = try run(key, command)
            return nil
        } catch {
            return error as? MartletError
        }
    }

    /// What the cache's counters are.
    func counts() throws -> [Meter: UInt64] {
        let cache = try #require(try grant().cache)
        let row = try lane.row(cache, .grpc)
        return Dictionary(uniqueKeysWithValues: Meter.allCases.map { ($0, row.count(of: $0)) })
    }

    /// What `body` adds to the counters.
    func counted(_ body: () throws -> Void) throws -> [Meter: UInt64] {
        let before = try counts()
        try body()
        return try counts().merging(before) { $0 - $1 }.filter { $0.value > 0 }
    }

    func counted(_ key: String, _ command: CollectionCommand) throws -> [Meter: UInt64] {
        try counted { _ = try? run(key, command) }
    }

    func expiresAt(_ key: String) throws -> Timestamp? {
        try finish(ask(key) { lane.describe($0, .grpc, key: $1, later: $2) })?.expiresAt
    }

    func kind(_ key: String) throws -> ItemKind? {
        try finish(ask(key) { lane.describe($0, .grpc, key: $1, later: $2) })?.kind
    }

    func advance(seconds: Int64) {
        fixture.clock.advance(milliseconds: seconds * 1000)
        lane.beginTick()
    }

    /// Puts a scalar under a key.
    func set(_ key: String, _ value: String) throws {
        let answer = try ask(key, .set) { grant, key, later in
            Array(value.utf8).withUnsafeBytes {
                lane.set(grant, .grpc, key: key, value: $0, ttl: nil, condition: .always, later: later)
            }
        }
        #expect(try finish(answer))
    }

    func value(_ key: String) throws -> String? {
        var value: [UInt8] = []
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 16, alignment: 8)
        defer { memory.deallocate() }
        let grant = try grant(.get, key)
        let reply = Array(key.utf8).withUnsafeBytes { key in
            lane.get(grant, .grpc, key: key, into: { UnsafeMutableRawBufferPointer(rebasing: memory[..<$0]) }) {
                return { _ in }
            }
        }
        guard case .here(let facts) = reply, let facts else { return nil }
        value = Array(memory.prefix(facts.byteCount))
        return String(decoding: value, as: UTF8.self)
    }
}

extension Elements: ExpressibleByArrayLiteral {
    public init(arrayLiteral elements: String...) {
        self.init(elements.map { $0.utf8 })
    }

    init(texts: [String]) {
        self.init(texts.map { $0.utf8 })
    }

    var texts: [String] { (0..<count).map { String(decoding: self[$0], as: UTF8.self) } }
}

extension CollectionTTL {
    /// The default, refreshed.
    static let usual = CollectionTTL(nil, refreshes: true)
    static let kept = CollectionTTL(nil, refreshes: false)

    static func seconds(_ seconds: UInt64, refreshes: Bool) throws -> CollectionTTL {
        CollectionTTL(try TTL(milliseconds: seconds * 1000, field: "ttl"), refreshes: refreshes)
    }
}

extension CollectionReply {
    /// Members in an order of their own, sorted.
    var sortedTexts: [String]? {
        guard case .elements(let elements) = self else { return nil }
        return elements.texts.sorted()
    }

    var pairs: [String: String]? {
        guard case .pairs(let fields, let values) = self else { return nil }
        return Dictionary(zip(fields.texts, values.texts)) { $1 }
    }
}
