import Foundation
import Synchronization
import Testing

@testable import Engine

extension TreeGround {
    /// Dismantles one tree; returns the number of calls that took.
    @discardableResult
    func dismantle(_ handle: inout TreeHandle, budget: Int) -> Int {
        var calls = 1
        var left = budget
        while !TreeCore.dismantle(&handle, source: source, budget: &left) {
            #expect(left == 0)
            left = budget
            calls += 1
        }
        #expect(handle == TreeHandle())
        return calls
    }
}

extension TreeGround {
    /// The end of a test: gives back the last tree. After that nothing may be left.
    func finish(_ handle: TreeHandle, budget: Int = 50) {
        var handle = handle
        dismantle(&handle, budget: budget)
        drain(budget: budget)
        #expect(chargedBytes == 0)
    }
}

/// A value behind a pthread mutex, which ThreadSanitizer understands; it does not see what `Mutex` orders on Linux.
///
/// `@unchecked Sendable`: the value is only touched while the mutex is held.
final class TreeTestLock<Value>: @unchecked Sendable {
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private var value: Value

    init(_ value: Value) {
        self.value = value
        pthread_mutex_init(mutex, nil)
    }

    deinit {
        pthread_mutex_destroy(mutex)
        mutex.deallocate()
    }

    func withLock<Result>(_ body: (inout Value) -> Result) -> Result {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return body(&value)
    }
}

/// SplitMix64: replayable from its seed.
struct TreeGenerator: RandomNumberGenerator {
    private var state: UInt64
    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }

    mutating func below(_ limit: Int) -> Int { Int.random(in: 0..<limit, using: &self) }

    /// Bytes of mostly short lengths; now and then as long as a page takes, and rarely longer than that.
    mutating func bytes(rarelyUpTo limit: Int = 20_000) -> [UInt8] {
        let count: Int
        switch below(100) {
        case 0..<80: count = below(24)
        case 80..<94: count = below(400)
        case 94..<98: count = 900 + below(300)
        default: count = below(limit)
        }
        let fill = UInt8(truncatingIfNeeded: next())
        var bytes = [UInt8](repeating: fill, count: count)
        for index in 0..<min(count, 8) { bytes[index] = UInt8(truncatingIfNeeded: next()) }
        return bytes
    }
}

func treeBytes(_ text: String) -> [UInt8] { Array(text.utf8) }

extension HashedTree {
    mutating func put(_ key: [UInt8], _ value: [UInt8]) -> Bool {
        key.withUnsafeBytes { key in value.withUnsafeBytes { self.set(key, $0) } }
    }
    mutating func drop(_ key: [UInt8]) -> Bool { key.withUnsafeBytes { self.remove($0) } }
}

extension HashedReading where Self: ~Copyable {
    func value(_ key: [UInt8]) -> [UInt8]? { key.withUnsafeBytes { find($0).map { Array($0) } } }

    var contents: [[UInt8]: [UInt8]] {
        var result: [[UInt8]: [UInt8]] = [:]
        forEach { key, value in
            result[Array(key)] = Array(value)
            return true
        }
        return result
    }
}

/// What a scored tree is compared with.
struct TreeMember: Comparable, Hashable {
    var score: Double
    var member: [UInt8]
    static func < (left: Self, right: Self) -> Bool {
        left.score == right.score
            ? left.member.lexicographicallyPrecedes(right.member) : left.score < right.score
    }
}

extension ScoredTree {
    mutating func add(_ entry: TreeMember) -> Bool {
        entry.member.withUnsafeBytes { self.insert(score: entry.score, $0) }
    }
    mutating func drop(_ entry: TreeMember) -> Bool {
        entry.member.withUnsafeBytes { self.remove(score: entry.score, $0) }
    }
}

extension ScoredReading where Self: ~Copyable {
    func rank(_ entry: TreeMember) -> Int? {
        entry.member.withUnsafeBytes { rank(score: entry.score, $0) }
    }
    func range(from rank: Int, count: Int, reversed: Bool = false) -> [TreeMember] {
        var result: [TreeMember] = []
        visit(from: rank, count: count, reversed: reversed) { score, member in
            result.append(TreeMember(score: score, member: Array(member)))
            return true
        }
        return result
    }
    var contents: [TreeMember] { range(from: 0, count: count) }
}

extension PositionalTree {
    mutating func put(_ element: [UInt8], at position: Int) {
        element.withUnsafeBytes { self.insert($0, at: position) }
    }
    mutating func put(_ element: [UInt8], inPlaceOf position: Int) {
        element.withUnsafeBytes { self.replace(at: position, with: $0) }
    }
}

extension PositionalReading where Self: ~Copyable {
    func range(from position: Int, count: Int, reversed: Bool = false) -> [[UInt8]] {
        var result: [[UInt8]] = []
        visit(from: position, count: count, reversed: reversed) {
            result.append(Array($0))
            return true
        }
        return result
    }
    var contents: [[UInt8]] { range(from: 0, count: count) }
}
