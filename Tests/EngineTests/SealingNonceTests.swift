import Testing

@testable import Engine

@Suite struct SealingNonceTests {
    private static func nonce(_ stored: [UInt8]) -> UInt64 {
        stored.withUnsafeBytes { UInt64(littleEndian: $0.loadUnaligned(as: UInt64.self)) }
    }

    /// Threads seal on all lanes at once, each opening what it sealed on another lane, while the sealer is widened.
    @Test func aNonceIsNeverUsedTwice() {
        let sealer = CacheSealer(cacheID: 1, laneCount: 1)
        let gathered = Guarded<[UInt64]>([])
        let rounds = 3000
        runOnThreads(4) { thread in
            var seen: [UInt64] = []
            let plain = [UInt8](repeating: UInt8(thread), count: 40)
            for round in 0..<rounds {
                if round == 500 * thread { sealer.widen(to: 1 << (thread + 1)) }
                guard let stored = sealer.sealed(plain, lane: round &* 7 &+ thread) else { continue }
                seen.append(Self.nonce(stored))
                if round % 8 == 0 { precondition(sealer.opened(stored, lane: round) == plain) }
            }
            gathered.withLock { $0 += seen }
        }
        let nonces = gathered.withLock { $0 }
        #expect(nonces.count == 4 * rounds)
        #expect(Set(nonces).count == nonces.count)
        #expect(nonces.allSatisfy { $0 >> 48 < 16 })
        #expect(sealer.laneCount == 16)
    }

    @Test func aLaneRefusesWhenItsCounterIsUsedUp() throws {
        let sealer = CacheSealer(cacheID: 1, laneCount: 2, firstCounter: 1 << 48 - 2)
        var nonces: [UInt64] = []
        for lane in 0..<2 {
            for left in [2, 1] {
                let stored = try #require(sealer.sealed([1, 2, 3], lane: lane), "\(left) left")
                nonces.append(Self.nonce(stored))
                #expect(sealer.opened(stored, lane: lane) == [1, 2, 3])
            }
            for _ in 0..<3 { #expect(sealer.sealed([1, 2, 3], lane: lane) == nil) }
        }
        let last: UInt64 = 1 << 48 - 1
        #expect(nonces == [last - 1, last, 1 << 48 | last - 1, 1 << 48 | last])
    }

    @Test func aRefusedSealLeavesNothingOfThePlain() {
        let sealer = CacheSealer(cacheID: 1, laneCount: 1, firstCounter: 1 << 48)
        var stored = [UInt8](repeating: 0, count: 27)
        let isSealed = withAll([9, 9, 9], [], []) { plain, key, context in
            stored.withUnsafeMutableBytes { sealer.seal(plain, key: key, context: context, lane: 0, into: $0) }
        }
        #expect(!isSealed)
        #expect(!stored.contains(9))
    }

    @Test func lanesAreMadeWhenFirstUsed() {
        let sealer = CacheSealer(cacheID: 1, laneCount: 3)
        let empty = sealer.chargedBytes
        #expect(sealer.laneCount == 4)
        #expect(empty < 512)
        _ = sealer.sealed([1], lane: 2)
        #expect(sealer.chargedBytes == empty + CacheSealer.laneCharge)
        _ = sealer.sealed([1], lane: 6)
        #expect(sealer.chargedBytes == empty + CacheSealer.laneCharge)
        _ = sealer.sealed([1], lane: 1)
        #expect(sealer.chargedBytes == empty + 2 * CacheSealer.laneCharge)
        sealer.widen(to: 2)
        #expect(sealer.laneCount == 4)
        sealer.widen(to: 100)
        #expect(sealer.laneCount == 16)
    }
}
