import Tenancy
import Testing

@testable import Engine

/// A cache for the tests of dictionaries and sets, with the engine that it lives in.
struct DictSetCache {
    let engine: EmbeddedEngine
    let cache: EngineCache

    /// What does not hold of the engine's books, once what was left to be freed is.
    func violations(now: Timestamp = dictSetNow) -> [String] {
        engine.settle(now: now)
        return engine.checkInvariants()
    }
}

func makeDictSetCache(seals: Bool = false) -> DictSetCache {
    let engine = makeEngine(memoryBytes: 256 << 20, seals: seals)
    return DictSetCache(engine: engine, cache: engine.openCache(CacheID(rawValue: 1), limits: EngineCacheLimits()))
}

/// Seeded (SplitMix64), so that a run can be repeated.
struct DictSetGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mix = state
        mix = (mix ^ mix &>> 30) &* 0xbf58_476d_1ce4_e5b9
        mix = (mix ^ mix &>> 27) &* 0x94d0_49bb_1331_11eb
        return mix ^ mix &>> 31
    }

    mutating func below(_ bound: Int) -> Int { Int.random(in: 0..<bound, using: &self) }
    mutating func chance(_ percent: Int) -> Bool { below(100) < percent }

    mutating func bytes(_ count: Int) -> [UInt8] {
        (0..<count).map { _ in UInt8(truncatingIfNeeded: next()) }
    }
}

typealias Bytes = [UInt8]

func text(_ string: String) -> Bytes { Bytes(string.utf8) }
func number(_ value: Int, _ prefix: String = "") -> Bytes { Bytes("\(prefix)\(value)".utf8) }

let dictSetNow = Timestamp(milliseconds: 1_700_000_000_000)
let keepTime = CollectionExpiry(expiresAt: nil, refresh: false)

/// Lends several runs of bytes at once.
func lend<R: ~Copyable>(
    _ runs: [Bytes], _ body: ([UnsafeRawBufferPointer]) throws(MartletError) -> R
) throws(MartletError) -> R {
    let all: Bytes = runs.reduce(into: []) { $0 += $1 } + [0]
    return try all.span.bytes.withUnsafeBytes { (memory) throws(MartletError) in
        var start = 0
        return try body(
            runs.map { run in
                defer { start += run.count }
                return UnsafeRawBufferPointer(rebasing: memory[start..<start + run.count])
            })
    }
}

/// The error that a body throws.
func dictSetError(_ body: () throws(MartletError) -> Void) -> MartletError? {
    do throws(MartletError) {
        try body()
        return nil
    } catch {
        return error
    }
}

/// The operations on whole arrays.
extension DictSetCache {
    func item<R: Sendable>(
        _ key: String, now: Timestamp = dictSetNow, _ body: (inout ItemAccess) throws(MartletError) -> R
    ) throws(MartletError) -> R {
        try lend([text(key)]) { (keys) throws(MartletError) in
            try cache.withItem(keys[0], reserving: 1 << 16, now: now, body)
        }
    }

    func items<R: Sendable>(
        _ keys: [String], now: Timestamp = dictSetNow, _ body: (inout Transaction) throws(MartletError) -> R
    ) throws(MartletError) -> R {
        try lend(keys.map(text)) { (keys) throws(MartletError) in
            try cache.transact(keys, reserving: 1 << 16, now: now, body)
        }
    }

    @discardableResult
    func setFields(
        _ key: String, _ pairs: [(Bytes, Bytes)], expiry: CollectionExpiry = keepTime, now: Timestamp = dictSetNow
    ) throws(MartletError) -> Int {
        try lend(pairs.flatMap { [$0.0, $0.1] }) { (runs) throws(MartletError) in
            let pairs = stride(from: 0, to: runs.count, by: 2).map {
                DictionaryPair(field: runs[$0], value: runs[$0 + 1])
            }
            return try item(key, now: now) { (item) throws(MartletError) in
                try item.dictionarySet(pairs.span, expiry: expiry)
            }
        }
    }

    func setField(
        _ key: String, _ field: Bytes, _ value: Bytes, expiry: CollectionExpiry = keepTime,
        now: Timestamp = dictSetNow
    ) throws(MartletError) -> Bool {
        try lend([field, value]) { (runs) throws(MartletError) in
            try item(key, now: now) { (item) throws(MartletError) in
                try item.dictionarySet(runs[0], runs[1], expiry: expiry)
            }
        }
    }

    func setFieldIfAbsent(
        _ key: String, _ field: Bytes, _ value: Bytes, expiry: CollectionExpiry = keepTime,
        now: Timestamp = dictSetNow
    ) throws(MartletError) -> Bool {
        try lend([field, value]) { (runs) throws(MartletError) in
            try item(key, now: now) { (item) throws(MartletError) in
                try item.dictionarySetIfAbsent(runs[0], runs[1], expiry: expiry)
            }
        }
    }

    @discardableResult
    func removeFields(
        _ key: String, _ fields: [Bytes], now: Timestamp = dictSetNow
    ) throws(MartletError) -> Int? {
        try lend(fields) { (runs) throws(MartletError) in
            try item(key, now: now) { (item) throws(MartletError) in try item.dictionaryRemove(runs.span) }
        }
    }

    /// nil: no dictionary, or no such field.
    func field(_ key: String, _ field: Bytes, now: Timestamp = dictSetNow) throws(MartletError) -> Bytes? {
        try lend([field]) { (runs) throws(MartletError) in
            try item(key, now: now) { (item) throws(MartletError) in
                var value: Bytes?
                let found = try item.dictionaryGet(runs[0]) { value = Bytes($0) }
                #expect((found == true) == (value != nil))
                return value
            }
        }
    }

    /// nil: no dictionary.
    func fields(_ key: String, _ fields: [Bytes], now: Timestamp = dictSetNow) throws(MartletError) -> [Bytes?]? {
        try lend(fields) { (runs) throws(MartletError) in
            try item(key, now: now) { (item) throws(MartletError) in
                var values: [Bytes?] = []
                let found = try item.dictionaryGet(runs.span) { (index, value) in
                    #expect(index == values.count)
                    values.append(value.map { Bytes($0) })
                }
                return found ? values : nil
            }
        }
    }

    /// nil: no dictionary. A field that is handed out twice is a failure.
    func pairs(_ key: String, now: Timestamp = dictSetNow) throws(MartletError) -> [Bytes: Bytes]? {
        try item(key, now: now) { (item) throws(MartletError) in
            var pairs: [Bytes: Bytes] = [:]
            let count = try item.dictionaryForEach { pairs[Bytes($0)] = Bytes($1) }
            #expect(count == nil || count == pairs.count)
            return count == nil ? nil : pairs
        }
    }

    func increment(
        _ key: String, _ field: Bytes, by amount: Int64, expiry: CollectionExpiry = keepTime,
        now: Timestamp = dictSetNow
    ) throws(MartletError) -> Int64 {
        try lend([field]) { (runs) throws(MartletError) in
            try item(key, now: now) { (item) throws(MartletError) in
                try item.dictionaryIncrement(runs[0], by: amount, expiry: expiry)
            }
        }
    }

    func increment(_ key: String, _ field: Bytes, byFraction amount: Double) throws(MartletError) -> String {
        try lend([field]) { (runs) throws(MartletError) in
            try item(key) { (item) throws(MartletError) in
                var text = ""
                try item.dictionaryIncrement(runs[0], byFraction: amount, expiry: keepTime) {
                    text = String(decoding: $0, as: UTF8.self)
                }
                return text
            }
        }
    }

    @discardableResult
    func addMembers(
        _ key: String, _ members: [Bytes], expiry: CollectionExpiry = keepTime, now: Timestamp = dictSetNow
    ) throws(MartletError) -> Int {
        try lend(members) { (runs) throws(MartletError) in
            try item(key, now: now) { (item) throws(MartletError) in
                try item.setAdd(runs.span, expiry: expiry)
            }
        }
    }

    @discardableResult
    func removeMembers(
        _ key: String, _ members: [Bytes], now: Timestamp = dictSetNow
    ) throws(MartletError) -> Int? {
        try lend(members) { (runs) throws(MartletError) in
            try item(key, now: now) { (item) throws(MartletError) in try item.setRemove(runs.span) }
        }
    }

    /// nil: no set. A member that is handed out twice is a failure.
    func members(_ key: String, now: Timestamp = dictSetNow) throws(MartletError) -> Set<Bytes>? {
        try item(key, now: now) { (item) throws(MartletError) in
            var members = Set<Bytes>()
            let count = try item.setForEach { members.insert(Bytes($0)) }
            #expect(count == nil || count == members.count)
            return count == nil ? nil : members
        }
    }

    func hasMembers(
        _ key: String, _ members: [Bytes], now: Timestamp = dictSetNow
    ) throws(MartletError) -> [Bool]? {
        try lend(members) { (runs) throws(MartletError) in
            try item(key, now: now) { (item) throws(MartletError) in
                var answers: [Bool] = []
                let found = try item.setContains(runs.span) { (index, answer) in
                    #expect(index == answers.count)
                    answers.append(answer)
                }
                return found ? answers : nil
            }
        }
    }

    func isLarge(_ key: String) throws(MartletError) -> Bool { try item(key) { (item) in item.isLarge } }
    func kind(_ key: String, now: Timestamp = dictSetNow) throws(MartletError) -> ItemKind? {
        try item(key, now: now) { (item) in item.kind }
    }
    func expiry(_ key: String) throws(MartletError) -> Timestamp? { try item(key) { (item) in item.expiresAt } }

    func storePacked(_ key: String, _ kind: ItemKind, _ blob: Bytes) throws(MartletError) {
        try lend([blob]) { (runs) throws(MartletError) in
            try item(key) { (item) throws(MartletError) in try item.store(kind, runs[0], expiresAt: nil) }
        }
    }

    func packedBlob(_ key: String) throws(MartletError) -> Bytes? {
        try item(key) { (item) throws(MartletError) in
            try item.withValue { (bytes) in Bytes(bytes) }
        }
    }
}
