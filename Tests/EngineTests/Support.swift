import Engine
import Foundation
import Tenancy
import Testing

/// What every test engine is made with; the keys are arbitrary and fixed, so that a run can be repeated.
func makeEngine(memoryBytes: Int = 64 << 20, seals: Bool = false) -> EmbeddedEngine {
    let configuration = EngineConfiguration(
        memoryBytes: memoryBytes, indexKey: SipHashKey(k0: 0x0123_4567, k1: 0x89ab_cdef),
        valueHashKey: SipHashKey(k0: 11, k1: 12), seals: seals)
    guard let engine = try? EmbeddedEngine(configuration: configuration) else {
        fatalError("the system reserves no addresses")
    }
    return engine
}

/// What a call that should not fail returns, or nil with an issue on record.
func expectNoError<Result>(_ body: () throws -> Result?) -> Result? {
    do {
        return try body()
    } catch {
        Issue.record(error)
        return nil
    }
}

let start = Timestamp(milliseconds: 1_700_000_000_000)

/// The operations on whole arrays, for tests.
extension EngineCache {
    func read(_ key: some Collection<UInt8>, now: Timestamp = start) -> (value: [UInt8], facts: ItemFacts)? {
        Array(key).withUnsafeBytes { key in
            var buffer: UnsafeMutableRawBufferPointer?
            defer { buffer?.deallocate() }
            let facts = expectNoError {
                try get(key, now: now) { count in
                    precondition(buffer == nil, "a read asks for memory once")
                    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 1)
                    buffer = memory
                    return memory
                }
            }
            precondition((facts == nil) == (buffer == nil), "a read asks for memory on a hit only")
            guard let facts, let buffer else { return nil }
            let value = Array(buffer)
            return (value, facts)
        }
    }

    func read(_ key: String, now: Timestamp = start) -> String? {
        read(key.utf8, now: now).map { String(decoding: $0.value, as: UTF8.self) }
    }

    func facts(_ key: some Collection<UInt8>, now: Timestamp = start) -> ItemFacts? {
        Array(key).withUnsafeBytes { key in expectNoError { try facts(key, now: now) } }
    }

    @discardableResult
    func write(
        _ key: some Collection<UInt8>, _ value: some Collection<UInt8>, expiresAt: Timestamp? = nil,
        condition: SetCondition = .always, now: Timestamp = start
    ) throws(MartletError) -> Bool {
        try withBytes(Array(key), Array(value)) { (key, value) throws(MartletError) in
            try set(key, value: value, expiresAt: expiresAt, condition: condition, now: now)
        }
    }

    @discardableResult
    func write(
        _ key: String, _ value: String, expiresAt: Timestamp? = nil, condition: SetCondition = .always,
        now: Timestamp = start
    ) throws(MartletError) -> Bool {
        try write(key.utf8, value.utf8, expiresAt: expiresAt, condition: condition, now: now)
    }

    func remove(_ key: some Collection<UInt8>, now: Timestamp = start) -> Bool {
        Array(key).withUnsafeBytes { delete($0, now: now) }
    }

    func remove(_ key: some Collection<UInt8>, ifHashIn hashes: [ValueHash], now: Timestamp = start) -> DeleteOutcome {
        Array(key).withUnsafeBytes { key in
            expectNoError { try delete(key, ifHashIn: hashes, now: now) } ?? .absent
        }
    }

    @discardableResult
    func add(
        _ amount: Int64, to key: some Collection<UInt8>, expiresAt: Timestamp? = nil, now: Timestamp = start
    ) throws(MartletError) -> Int64 {
        try withBytes(Array(key), []) { (key, _) throws(MartletError) in
            try increment(key, by: amount, expiresAt: expiresAt, now: now)
        }
    }
}

/// `withUnsafeBytes` of two arrays that keeps the type of the error.
private func withBytes<Result>(
    _ first: [UInt8], _ second: [UInt8],
    _ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) throws(MartletError) -> Result
) throws(MartletError) -> Result {
    let outcome = first.withUnsafeBytes { first in
        second.withUnsafeBytes { second -> Swift.Result<Result, MartletError> in
            do throws(MartletError) {
                return .success(try body(first, second))
            } catch {
                return .failure(error)
            }
        }
    }
    return try outcome.get()
}

extension EmbeddedEngine {
    func open(_ id: UInt64 = 1, _ limits: EngineCacheLimits = EngineCacheLimits()) -> EngineCache {
        openCache(CacheID(rawValue: id), limits: limits)
    }

    func hash(of text: String) -> ValueHash {
        Array(text.utf8).withUnsafeBytes { hash(of: $0) }
    }

    func hash(of bytes: [UInt8]) -> ValueHash {
        bytes.withUnsafeBytes { hash(of: $0) }
    }

    /// Ticks until nothing waits. The bound is far above what any test needs.
    func settle(now: Timestamp = start) {
        var ticks = 0
        while tick(now: now) {
            ticks += 1
            precondition(ticks < 100_000, "the background work does not end")
        }
    }
}

/// SplitMix64: the same numbers for the same seed, everywhere.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) {
        state = seed
    }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}

/// The seeds of a random test: two fixed ones and a fresh one, or the one in `MARTLET_TEST_SEED`.
func testSeeds() -> [UInt64] {
    if let text = ProcessInfo.processInfo.environment["MARTLET_TEST_SEED"], let seed = UInt64(text) { return [seed] }
    return [1, 2, UInt64.random(in: 3...999_999)]
}
