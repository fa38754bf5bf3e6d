import Engine
import Synchronization
import Tenancy

/// The hot keys of one cache, counted together by all event loops. Any thread may call any method.
///
/// The memory (some 10 KiB) is taken with the first operation and given back when nothing was asked for so long that all of it
/// has decayed, or when the cache is flushed: so it is there for caches in use, and charged to nobody.
package final class HotKeys: Sendable {
    private struct Contents: ~Copyable, Sendable {
        var sketch: KeySketch?

        mutating func add(_ key: UnsafeRawBufferPointer, hash: UInt64, weight: UInt64, nowMilliseconds: Int64) {
            if sketch == nil { sketch = KeySketch(nowMilliseconds: nowMilliseconds) }
            sketch?.add(key, hash: hash, weight: weight, nowMilliseconds: nowMilliseconds)
        }

        mutating func report(limit: Int, nowMilliseconds: Int64) -> HotKeyReport {
            sketch?.report(limit: limit, nowMilliseconds: nowMilliseconds)
                ?? HotKeyReport(windowSeconds: 1, samples: 0, keys: [])
        }

        mutating func trim(nowMilliseconds: Int64) {
            if sketch?.isForgotten(nowMilliseconds: nowMilliseconds) ?? false { sketch = nil }
        }
    }

    private let contents = Mutex(Contents())

    /// Counts a sampled operation.
    /// - Parameter weight: How many operations it stands for.
    func add(_ key: UnsafeRawBufferPointer, weight: UInt64, nowMilliseconds: Int64) {
        // Hashed before the lock, which is then held for tenths of a microsecond.
        let hash = Self.hash(key)
        contents.withLock { $0.add(key, hash: hash, weight: weight, nowMilliseconds: nowMilliseconds) }
    }

    /// - Parameter limit: How many keys at most.
    func report(limit: Int, nowMilliseconds: Int64) -> HotKeyReport {
        contents.withLock { $0.report(limit: limit, nowMilliseconds: nowMilliseconds) }
    }

    /// Forgets everything.
    func clear() {
        contents.withLock { $0.sketch = nil }
    }

    /// Gives the memory back if nothing is left of what was counted.
    func trim(nowMilliseconds: Int64) {
        contents.withLock { $0.trim(nowMilliseconds: nowMilliseconds) }
    }

    /// Whether memory is held.
    var isAllocated: Bool { contents.withLock { $0.sketch != nil } }

    private static func hash(_ key: UnsafeRawBufferPointer) -> UInt64 {
        SipHash.digest(of: key, key: hashKey, compressionRounds: 1, finalizationRounds: 3, isWide: false).low
    }

    private static let hashKey: SipHashKey = {
        var generator = SystemRandomNumberGenerator()
        return SipHashKey(k0: generator.next(), k1: generator.next())
    }()
}
