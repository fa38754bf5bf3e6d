import Engine
import Tenancy
import Testing

/// A group and its caches.
struct GroupOfCaches {
    let group: EngineGroup
    let caches: [EngineCache]

    /// - Parameter reserved: for each cache.
    init(_ engine: EmbeddedEngine, _ limits: EngineCacheLimits, count: Int = 3, reserved: [Int] = []) {
        let group = engine.openGroup(limits: limits)
        self.group = group
        caches = (0..<count).map { number in
            let reservedBytes = number < reserved.count ? reserved[number] : 0
            return engine.open(UInt64(number + 1), EngineCacheLimits(reservedBytes: reservedBytes), in: group)
        }
    }

    var bytes: Int { group.statistics.liveBytes }
    var evictions: UInt64 { caches.reduce(0) { $0 + $1.statistics.evictions } }

    /// Writes so many items of a hundred bytes to each cache.
    func fill(_ range: Range<Int>) throws {
        for item in range {
            for cache in caches { try cache.write(groupKey(item), groupValue()) }
        }
    }
}

func groupKey(_ number: Int) -> [UInt8] { Array("key:\(number)".utf8) }
func groupValue(_ length: Int = 100) -> [UInt8] { [UInt8](repeating: 0x76, count: length) }

extension EmbeddedEngine {
    func open(_ id: UInt64, _ limits: EngineCacheLimits = EngineCacheLimits(), in group: EngineGroup) -> EngineCache {
        openCache(CacheID(rawValue: id), in: group, limits: limits)
    }
}
