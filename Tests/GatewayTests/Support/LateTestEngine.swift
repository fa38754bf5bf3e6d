import CacheService
import Engine
import Foundation
import Synchronization
import Tenancy

/// An engine that answers what the embedded one would, but late, from a thread of its own and in shuffled order.
///
/// Commands are performed in the order in which they come, so that their results are those of the embedded engine; the
/// answers are held back until as many wait as the test says, then handed out in an order drawn from a seed.
final class LateTestEngine: LateEngine {
    private struct State {
        var generator: SeededGenerator
        var caches: [CacheID: EngineCache] = [:]
        var answers: [@Sendable () -> Void] = []
    }

    private let engine: EmbeddedEngine
    private let state: Mutex<State>
    private let queue = DispatchQueue(label: "late")
    private let performed = DispatchSemaphore(value: 0)

    init(_ engine: EmbeddedEngine, seed: UInt64) {
        self.engine = engine
        state = Mutex(State(generator: SeededGenerator(seed: seed)))
    }

    /// Commands whose answers are held back.
    var waitingCount: Int { queue.sync { state.withLock { $0.answers.count } } }

    func perform(
        _ command: LateCommand, on cache: CacheID, now: Timestamp,
        reply: @escaping @Sendable (Result<LateReply, MartletError>) -> Void
    ) {
        queue.async { [self] in
            let items = state.withLock { state in
                if let known = state.caches[cache] { return known }
                let made = engine.openCache(cache, limits: EngineCacheLimits())
                state.caches[cache] = made
                return made
            }
            let result = Result { () throws(MartletError) in try Self.perform(command, on: items, now: now) }
            state.withLock { $0.answers.append { reply(result) } }
        }
    }

    func forget(_ cache: CacheID) {
        state.withLock { $0.caches[cache] }?.flush()
    }

    /// Hands out all answers that wait, shuffled, from another thread. Returns how many.
    @discardableResult
    func answerAll() -> Int {
        queue.sync {
            let answers = state.withLock { state in
                let answers = state.answers.shuffled(using: &state.generator)
                state.answers = []
                return answers
            }
            for answer in answers { answer() }
            return answers.count
        }
    }

    private static func perform(
        _ command: LateCommand, on items: EngineCache, now: Timestamp
    ) throws(MartletError) -> LateReply {
        switch command {
        case .get(let key):
            var value: [UInt8] = []
            let result = key.withUnsafeBytes { key in
                Result { () throws(MartletError) in try readItem(key, of: items, now: now, into: &value) }
            }
            return .item(try result.get().map { LateItem(facts: $0, value: value) })
        case .facts(let key):
            let result = key.withUnsafeBytes { key in
                Result { () throws(MartletError) in try items.facts(key, now: now) }
            }
            return .facts(try result.get())
        case .set(let key, let value, let expiresAt, let condition):
            let result = key.withUnsafeBytes { key in
                value.withUnsafeBytes { value in
                    Result { () throws(MartletError) in
                        try items.set(key, value: value, expiresAt: expiresAt, condition: condition, now: now)
                    }
                }
            }
            return .isDone(try result.get())
        case .delete(let key, let condition):
            let result = key.withUnsafeBytes { key in
                Result { () throws(MartletError) in try delete(key, of: items, condition, now: now) }
            }
            return .isDone(try result.get())
        case .increment(let key, let amount, let expiresAt):
            let result = key.withUnsafeBytes { key in
                Result { () throws(MartletError) in
                    try items.increment(key, by: amount, expiresAt: expiresAt, now: now)
                }
            }
            return .number(try result.get())
        case .setIf(let key, let value, let expiresAt, let condition):
            let isStored = try key.span.bytes.withUnsafeBytes { (key) throws(MartletError) in
                try value.span.bytes.withUnsafeBytes { (value) throws(MartletError) in
                    try items.set(key, value: value, expiresAt: expiresAt, if: condition, now: now)
                }
            }
            return .isDone(isStored)
        case .describe(let key):
            return .description(key.withUnsafeBytes { items.description(of: $0, now: now) })
        case .exist(let keys):
            return .existence(items.exist(keys, now: now))
        case .updateExpiry(let key, let expiresAt, let rule):
            return try key.span.bytes.withUnsafeBytes { (key) throws(MartletError) in
                .expiry(try items.setExpiry(key, expiresAt, rule: rule, now: now))
            }
        case .command(let command):
            return .command(try command.execute(on: items, now: now))
        case .collection(let key, let command, let expiry):
            return .collection(try perform(command, key, expiry, on: items, now: now))
        }
    }

    private static func perform(
        _ command: CollectionCommand, _ key: [UInt8], _ expiry: CollectionExpiry, on items: EngineCache, now: Timestamp
    ) throws(MartletError) -> CollectionReply {
        var dice = Dice()
        let outcome = try key.span.bytes.withUnsafeBytes { (key) throws(MartletError) in
            try command.execute(on: items, key: key, expiry: expiry, now: now, dice: &dice)
        }
        switch outcome {
        case .reply(let reply): return reply
        case .unfinished(let work):
            while true {
                if let reply = try work.step(now: now, dice: &dice) { return reply }
            }
        }
    }

    private static func readItem(
        _ key: UnsafeRawBufferPointer, of items: EngineCache, now: Timestamp, into value: inout [UInt8]
    ) throws(MartletError) -> ItemFacts? {
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 8 << 20, alignment: 8)
        defer { memory.deallocate() }
        let facts = try items.get(key, now: now) { UnsafeMutableRawBufferPointer(rebasing: memory[..<$0]) }
        value = Array(memory.prefix(facts?.byteCount ?? 0))
        return facts
    }

    private static func delete(
        _ key: UnsafeRawBufferPointer, of items: EngineCache, _ condition: SetCondition, now: Timestamp
    ) throws(MartletError) -> Bool {
        switch condition {
        case .ifPresent: return items.delete(key, now: now)
        case .ifHashIn(let hashes): return try items.delete(key, ifHashIn: hashes, now: now) == .removed
        default:
            _ = items.delete(key, now: now)
            return true
        }
    }
}
