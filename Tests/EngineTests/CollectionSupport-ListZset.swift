import Tenancy
import Testing

@testable import Engine

/// The cache that the tests of lists and sorted sets run on, with the engine that it lives in.
func makeListZsetCache(seals: Bool = false) -> (engine: EmbeddedEngine, cache: EngineCache) {
    let engine = makeEngine(memoryBytes: 256 << 20, seals: seals)
    return (engine, engine.openCache(CacheID(rawValue: 1), limits: EngineCacheLimits()))
}

/// The numbers of ``SeededGenerator``, in the forms that the tests of collections draw.
struct CollectionDice: RandomNumberGenerator {
    private var generator: SeededGenerator

    init(seed: UInt64) {
        generator = SeededGenerator(seed: seed)
    }

    mutating func next() -> UInt64 { generator.next() }

    mutating func below(_ bound: Int) -> Int { Int.random(in: 0..<bound, using: &self) }

    mutating func chance(_ numerator: Int, in denominator: Int) -> Bool { below(denominator) < numerator }

    mutating func bytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8.random(in: 0...255, using: &self) } }
}

/// The seeds of a random test: fixed ones and a fresh one, which is printed with a failure as the test's argument.
func collectionSeeds() -> [UInt64] { [1, 2, 3, UInt64.random(in: 4...999_999)] }

/// Runs of bytes at fixed addresses.
final class Slices {
    private let memory: UnsafeMutableRawBufferPointer
    let all: [UnsafeRawBufferPointer]

    init(_ arrays: [[UInt8]]) {
        let memory = UnsafeMutableRawBufferPointer.allocate(
            byteCount: max(arrays.reduce(0) { $0 + $1.count }, 1), alignment: 1)
        var offset = 0
        all = arrays.map { array in
            let slice = UnsafeMutableRawBufferPointer(rebasing: memory[offset..<offset + array.count])
            slice.copyBytes(from: array)
            offset += array.count
            return UnsafeRawBufferPointer(slice)
        }
        self.memory = memory
    }

    deinit { memory.deallocate() }
}

extension String {
    var raw: [UInt8] { Array(utf8) }
}

/// A cache and a clock, with the operations on arrays.
struct CollectionHarness {
    static let start = Timestamp(milliseconds: 1_700_000_000_000)

    let engine: EmbeddedEngine
    let cache: EngineCache
    var now = CollectionHarness.start

    init(seals: Bool = false) {
        (engine, cache) = makeListZsetCache(seals: seals)
    }

    /// A rule that sets no time.
    static let noTime = CollectionExpiry(expiresAt: nil, refresh: false)

    func with<R: Sendable>(
        _ key: String, _ body: (inout ItemAccess) throws(MartletError) -> R
    ) throws(MartletError) -> R {
        let slices = Slices([key.raw])
        defer { withExtendedLifetime(slices) {} }
        return try cache.withItem(slices.all[0], reserving: 1 << 20, now: now, body)
    }

    func together<R: Sendable>(
        _ keys: [String], _ body: (inout Transaction) throws(MartletError) -> R
    ) throws(MartletError) -> R {
        let slices = Slices(keys.map(\.raw))
        defer { withExtendedLifetime(slices) {} }
        return try cache.transact(slices.all, reserving: 1 << 20, now: now, body)
    }

    func isLarge(_ key: String) throws(MartletError) -> Bool {
        try with(key) { (item) throws(MartletError) in item.isLarge }
    }

    func expiry(_ key: String) throws(MartletError) -> Timestamp? {
        try with(key) { (item) throws(MartletError) in item.expiresAt }
    }

    func exists(_ key: String) throws(MartletError) -> Bool {
        try with(key) { (item) throws(MartletError) in item.kind != nil }
    }

    func storeBlob(_ key: String, _ kind: ItemKind, _ blob: [UInt8]) throws(MartletError) {
        let slices = Slices([blob])
        try with(key) { (item) throws(MartletError) in
            try item.store(kind, slices.all[0], expiresAt: nil)
        }
        withExtendedLifetime(slices) {}
    }

    func blob(_ key: String) throws(MartletError) -> [UInt8]? {
        try with(key) { (item) throws(MartletError) in
            try item.withValue { (bytes) throws(MartletError) in Array(bytes) }
        }
    }

    // MARK: - Lists

    @discardableResult
    func push(
        _ key: String, _ values: [[UInt8]], _ end: ListEnd = .back, keepingOrder: Bool = true,
        onlyIfPresent: Bool = false, limit: Int = 0, _ rule: CollectionExpiry = noTime
    ) throws(MartletError) -> Int {
        let slices = Slices(values)
        defer { withExtendedLifetime(slices) {} }
        return try with(key) { (item) throws(MartletError) in
            try item.pushToList(
                slices.all, at: end, keepingOrder: keepingOrder, onlyIfPresent: onlyIfPresent, limit: limit,
                expiry: rule)
        }
    }

    func list(
        _ key: String, _ bounds: SliceBounds = .all, reversed: Bool = false
    ) throws(MartletError) -> [[UInt8]]? {
        try with(key) { (item) throws(MartletError) -> [[UInt8]]? in
            guard let range = try item.listRange(bounds) else { return nil }
            var elements: [[UInt8]] = []
            try item.visitList(range, reversed: reversed) { element in
                elements.append(Array(element))
                return true
            }
            return elements
        }
    }

    func pop(
        _ key: String, _ end: ListEnd, count: Int = 1
    ) throws(MartletError) -> (elements: [[UInt8]], left: Int)? {
        try with(key) { (item) throws(MartletError) in
            var elements: [[UInt8]] = []
            guard let left = try item.popFromList(end, count: count, { elements.append(Array($0)) }) else { return nil }
            return (elements, left)
        }
    }

    // MARK: - Sorted sets

    @discardableResult
    func add(
        _ key: String, _ elements: [(Double, [UInt8])], _ condition: SortedSetCondition = [],
        _ rule: CollectionExpiry = noTime
    ) throws(MartletError) -> SortedSetAddition {
        let slices = Slices(elements.map(\.1))
        defer { withExtendedLifetime(slices) {} }
        let given = zip(elements, slices.all).map { SortedSetElement(score: $0.0, member: $1) }
        return try with(key) { (item) throws(MartletError) in
            try item.addToSortedSet(given, condition: condition, expiry: rule)
        }
    }

    func sortedSet(
        _ key: String, _ selection: SortedSetSelection = SortedSetSelection(.ranks(.all))
    ) throws(MartletError) -> [ScoredMember]? {
        try with(key) { (item) throws(MartletError) -> [ScoredMember]? in
            guard let ranks = try item.sortedSetRanks(selection) else { return nil }
            var elements: [ScoredMember] = []
            try item.visitSortedSet(ranks, reversed: selection.isReversed) { score, member in
                elements.append(ScoredMember(score, Array(member)))
                return true
            }
            return elements
        }
    }

    /// With one member: what `body` makes of it.
    func withMember<R: Sendable>(
        _ key: String, _ member: [UInt8],
        _ body: (inout ItemAccess, UnsafeRawBufferPointer) throws(MartletError) -> R
    ) throws(MartletError) -> R {
        let slices = Slices([member])
        defer { withExtendedLifetime(slices) {} }
        return try with(key) { (item) throws(MartletError) in try body(&item, slices.all[0]) }
    }

    @discardableResult
    func increment(
        _ key: String, _ member: [UInt8], by amount: Double, _ condition: SortedSetCondition = [],
        _ rule: CollectionExpiry = noTime
    ) throws(MartletError) -> Double? {
        try withMember(key, member) { (item, member) throws(MartletError) in
            try item.incrementInSortedSet(member, by: amount, condition: condition, expiry: rule)
        }
    }

    func removeMembers(_ key: String, _ members: [[UInt8]]) throws(MartletError) -> Int? {
        let slices = Slices(members)
        defer { withExtendedLifetime(slices) {} }
        return try with(key) { (item) throws(MartletError) in try item.removeFromSortedSet(slices.all) }
    }
}

/// An element as the models hold it. Two are equal if their scores have the same bits.
struct ScoredMember: Equatable, Sendable, CustomStringConvertible {
    var score: Double
    var member: [UInt8]

    init(_ score: Double, _ member: [UInt8]) {
        self.score = score
        self.member = member
    }

    static func == (left: ScoredMember, right: ScoredMember) -> Bool {
        left.score.bitPattern == right.score.bitPattern && left.member == right.member
    }

    static func precedes(_ left: ScoredMember, _ right: ScoredMember) -> Bool {
        left.score != right.score ? left.score < right.score : left.member.lexicographicallyPrecedes(right.member)
    }

    var description: String { "\(String(decoding: member, as: UTF8.self)):\(score)" }
}
