import Engine
import Metering
import Synchronization
import Tenancy
import Testing

@testable import CacheService

/// Random commands, held against plain Swift values and, behind an engine that answers late, against each other.
@Suite struct CollectionModelTests {
    /// In an order that both sides share.
    private func ordered(_ reply: CollectionReply, to command: CollectionCommand) -> CollectionReply {
        switch (command, reply) {
        case (.setFetch, .elements(let members)):
            return .elements(Elements(texts: members.texts.sorted()))
        case (.dictionaryFetch, .pairs(let fields, let values)):
            let pairs = zip(fields.texts, values.texts).sorted { $0.0 < $1.0 }
            return .pairs(fields: Elements(texts: pairs.map(\.0)), values: Elements(texts: pairs.map(\.1)))
        default: return reply
        }
    }

    @Test(arguments: [(1, 30, false), (2, 30, true), (3, 1500, false), (4, 1500, true)] as [(UInt64, Int, Bool)])
    func commandsDoWhatTheModelDoes(seed: UInt64, variety: Int, seals: Bool) throws {
        let stage = try CollectionStage(limits: [.defaultTTLSeconds: 20], seals: seals)
        var model = CollectionModel(now: stage.lane.now, defaultTTL: try TTL(milliseconds: 20_000, field: "ttl"))
        var commands = RandomCommands(seed: seed, variety: variety)
        for step in 0..<4000 {
            let context = "seed \(seed), variety \(variety), step \(step)"
            let (key, command) = commands.next()
            var copy = model
            let reply = Result { () throws(MartletError) -> CollectionReply in
                do { return try stage.run(key, command) } catch { throw error as? MartletError ?? .malformed("") }
            }
            var popped: [String] = []
            if case .success(.elements(let members)) = reply, case .setPop = command { popped = members.texts }
            let expected = Result { () throws(MartletError) -> CollectionReply? in
                do { return try copy.perform(key, command, popped: popped) } catch {
                    throw error as? MartletError ?? .malformed("")
                }
            }
            switch (reply, expected) {
            case (.failure(let error), .failure(let other)):
                #expect(error == other, "\(context): \(command)")
            case (.success(let reply), .success(let other?)):
                let reply = ordered(reply, to: command)
                #expect(reply == other, "\(context): \(command)")
                guard reply == other else { return }
            case (.success(let reply), .success(nil)):
                try checkRandom(reply, key, command, &model, context)
            default:
                Issue.record("\(context): \(command) gives \(reply), not \(expected)")
                return
            }
            model = copy
            if try stage.expiresAt(key) != model.expiresAt(key) {
                Issue.record("\(context): \(command) leaves another expiry")
                return
            }
            if commands.number(0..<20) == 0 {
                stage.advance(seconds: Int64(commands.number(0..<15)))
                model.now = stage.lane.now
            }
        }
    }

    /// What a sample or a pop gave are members, each once, and as many as there should be.
    private func checkRandom(
        _ reply: CollectionReply, _ key: String, _ command: CollectionCommand, _ model: inout CollectionModel,
        _ context: String
    ) throws {
        guard case .elements(let elements) = reply,
            case .elements(let all)? = try model.perform(key, .setFetch)
        else {
            Issue.record("\(context): \(reply)")
            return
        }
        let asked =
            switch command {
            case .setSample(let limit): limit
            case .setPop(let count): count
            default: -1
            }
        let members = Set(elements.texts)
        #expect(members.count == elements.count && members.isSubset(of: all.texts), "\(context)")
        #expect(members.count == max(0, min(asked, all.count)), "\(context)")
    }

    // MARK: Late

    @Test(arguments: [1, 2] as [UInt64]) func aLateEngineGivesTheSameAndCountsTheSame(seed: UInt64) throws {
        let here = try CollectionStage(limits: [.defaultTTLSeconds: 20])
        let engine = QueuedEngine()
        let late = try CollectionStage(limits: [.defaultTTLSeconds: 20], choice: { engine.open($0) })
        var commands = RandomCommands(seed: seed, samples: false)
        for step in 0..<2500 {
            let (key, command) = commands.next()
            let first = try here.begin(key, command)
            let second = try late.begin(key, command)
            if second.result == nil { engine.answer() }
            func text(_ answer: CollectionStage.Answer<CollectionReply>, _ stage: CollectionStage) throws -> String {
                do { return "\(ordered(try stage.finish(answer), to: command))" } catch { return "\(error)" }
            }
            let (expected, found) = (try text(first, here), try text(second, late))
            #expect(found == expected, "seed \(seed), step \(step): \(command)")
            guard found == expected else { return }
            if commands.number(0..<20) == 0 {
                let seconds = Int64(commands.number(0..<15))
                here.advance(seconds: seconds)
                late.advance(seconds: seconds)
            }
        }
        #expect(try late.counts() == here.counts())
        #expect(try here.counts()[.clientErrors] ?? 0 > 0)
    }

    @Test func theOtherOperationsAreTheSameLate() throws {
        let here = try CollectionStage()
        let engine = QueuedEngine()
        let late = try CollectionStage(choice: { engine.open($0) })
        let long = try TTL(milliseconds: 9_000_000, field: "ttl")
        func both<Value: Equatable>(
            _ key: String,
            _ call: (ServiceLane, CacheGrant, UnsafeRawBufferPointer, @escaping () -> LateHandler<Value>) -> Reply<
                Value
            >
        ) throws -> Value {
            let first = try here.finish(here.ask(key) { call(here.lane, $0, $1, $2) })
            let answer = try late.ask(key) { call(late.lane, $0, $1, $2) }
            engine.answer()
            let second = try late.finish(answer)
            #expect(first == second)
            return first
        }
        for (condition, absent, _, _, _) in KeyOperationTests.conditions {
            let isStored = try both("\(condition)") { lane, grant, key, later in
                lane.setIf(grant, .grpc, key: key, value: key, ttl: nil, condition: condition, later: later)
            }
            #expect(isStored == absent)
            let description = try both("\(condition)") { $0.describe($1, .grpc, key: $2, later: $3) }
            #expect((description?.kind == .scalar) == absent)
            let outcome = try both("\(condition)") {
                $0.updateTTL($1, .grpc, key: $2, ttl: long, rule: .onlyIfLater, later: $3)
            }
            #expect(outcome == (absent ? .changed : .absent))
        }
        let keys = Elements(texts: KeyOperationTests.conditions.map { "\($0.0)" })
        #expect(
            try both("") { $0.exist($1, .grpc, keys: keys, later: $3) } == KeyOperationTests.conditions.map(\.absent))
        #expect(try late.counts() == here.counts())
    }
}

/// An engine that holds its answers back until it is told to give them.
final class QueuedEngine: LateEngine {
    /// The engine lives as long as somebody holds it.
    private let items = Mutex<(engine: EmbeddedEngine, cache: EngineCache)?>(nil)
    private let answers = Mutex<[@Sendable () -> Void]>([])

    func open(_ engine: EmbeddedEngine) -> EngineChoice {
        let cache = engine.openCache(CacheID(rawValue: 1 << 40), limits: EngineCacheLimits())
        items.withLock { $0 = (engine, cache) }
        return .late(self)
    }

    func answer() {
        let answers = answers.withLock { answers in
            defer { answers = [] }
            return answers
        }
        for answer in answers { answer() }
    }

    func forget(_ cache: CacheID) { items.withLock { $0 }?.cache.flush() }

    func perform(
        _ command: LateCommand, on cache: CacheID, now: Timestamp,
        reply: @escaping @Sendable (Result<LateReply, MartletError>) -> Void
    ) {
        guard let items = items.withLock({ $0 })?.cache else { return }
        let result = Result { () throws(MartletError) in try Self.perform(command, on: items, now: now) }
        answers.withLock { $0.append { reply(result) } }
    }

    private static func perform(
        _ command: LateCommand, on items: EngineCache, now: Timestamp
    ) throws(MartletError) -> LateReply {
        switch command {
        case .setIf(let key, let value, let expiresAt, let condition):
            return try key.span.bytes.withUnsafeBytes { (key) throws(MartletError) in
                try value.span.bytes.withUnsafeBytes { (value) throws(MartletError) in
                    .isDone(try items.set(key, value: value, expiresAt: expiresAt, if: condition, now: now))
                }
            }
        case .describe(let key):
            return .description(key.withUnsafeBytes { items.description(of: $0, now: now) })
        case .exist(let keys):
            return .existence(items.exist(keys, now: now))
        case .updateExpiry(let key, let expiresAt, let rule):
            return try key.span.bytes.withUnsafeBytes { (key) throws(MartletError) in
                .expiry(try items.setExpiry(key, expiresAt, rule: rule, now: now))
            }
        case .collection(let key, let command, let expiry):
            return try key.span.bytes.withUnsafeBytes { (key) throws(MartletError) in
                var dice = Dice()
                switch try command.execute(on: items, key: key, expiry: expiry, now: now, dice: &dice) {
                case .reply(let reply): return .collection(reply)
                case .unfinished(let work):
                    while true {
                        if let reply = try work.step(now: now, dice: &dice) { return .collection(reply) }
                    }
                }
            }
        case .get, .facts, .set, .delete, .increment, .command:
            throw .internalFailure("is not asked here")
        }
    }
}
