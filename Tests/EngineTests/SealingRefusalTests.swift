import Testing

@testable import Engine

@Suite struct SealingRefusalTests {
    private let plain = Array("{\"session\":\"4b1f\"}".utf8)
    private let key = Array("user:1".utf8)
    private let context = Array("field".utf8)

    @Test func everyFlippedBitIsFoundOut() throws {
        let sealer = CacheSealer(cacheID: 7, laneCount: 1)
        let stored = try #require(sealer.sealed(plain, key: key, context: context))
        for bit in 0..<stored.count * 8 {
            var damaged = stored
            damaged[bit / 8] ^= 1 << UInt8(bit % 8)
            #expect(sealer.opened(damaged, key: key, context: context) == nil, "bit \(bit)")
        }
        #expect(sealer.opened(stored, key: key, context: context) == plain)
    }

    @Test func whatIsCutOrExtendedIsFoundOut() throws {
        let sealer = CacheSealer(cacheID: 7, laneCount: 1)
        for plain in [plain, []] {
            let stored = try #require(sealer.sealed(plain, key: key))
            for length in 0..<stored.count {
                #expect(sealer.opened(Array(stored.prefix(length)), key: key) == nil)
                #expect(sealer.opened(Array(stored.suffix(length)), key: key) == nil)
            }
            #expect(sealer.opened(stored + [0], key: key) == nil)
        }
    }

    @Test func anotherKeyContextCacheOrLifeIsRefused() throws {
        let sealer = CacheSealer(cacheID: 7, laneCount: 2)
        let stored = try #require(sealer.sealed(plain, key: key, context: context))
        #expect(sealer.opened(stored, key: key + [0], context: context) == nil)
        #expect(sealer.opened(stored, key: [], context: context) == nil)
        #expect(sealer.opened(stored, key: key, context: []) == nil)
        #expect(sealer.opened(stored, key: key, context: context + [0]) == nil)
        // The same bytes, divided elsewhere.
        #expect(sealer.opened(stored, key: key + context, context: []) == nil)
        #expect(sealer.opened(stored, key: Array(key.dropLast()), context: [key.last!] + context) == nil)
        // The same cache after a flush, whose first nonce is the same.
        let next = CacheSealer(cacheID: 7, laneCount: 2)
        #expect(next.opened(stored, key: key, context: context) == nil)
        #expect(sealer.opened(stored, key: key, context: context) == plain)
    }

    /// Two caches never share a key, so the cache's id is tried where there is only one: in a lane.
    @Test func theCacheIsAuthenticated() throws {
        let secret = [UInt8](repeating: 8, count: 32)
        let lane = try #require(secret.withUnsafeBytes { SealingLane(key: $0, index: 0, firstCounter: 0) })
        defer { lane.destroy() }
        var text = plain
        var tag = [UInt8](repeating: 0, count: 16)
        withAll(plain, key, context) { plain, key, context in
            func associated(_ cacheID: UInt64) -> AssociatedData {
                AssociatedData(cacheID: cacheID, key: key, context: context)
            }
            text.withUnsafeMutableBytes { text in
                tag.withUnsafeMutableBytes { tag in
                    let (text, tag) = (text.baseAddress!, tag.baseAddress!)
                    #expect(lane.seal(plain, nonce: 1, associated: associated(7), to: text, tag: tag))
                    let copy = [UInt8](UnsafeRawBufferPointer(start: text, count: plain.count))
                    copy.withUnsafeBytes {
                        #expect(!lane.open($0, nonce: 1, associated: associated(8), tag: tag, to: text))
                        #expect(lane.open($0, nonce: 1, associated: associated(7), tag: tag, to: text))
                    }
                }
            }
        }
        #expect(text == plain)
    }

    /// Associated data is put together on the stack up to a length, and handed over piece by piece beyond it.
    @Test func longKeysAndContextsAreAuthenticatedInFull() throws {
        var random = SeededGenerator(seed: 4)
        let sealer = CacheSealer(cacheID: 7, laneCount: 1)
        for length in [0, 1, 200, 238, 239, 240, 241, 242, 300, 5000] {
            for contextLength in [0, 1, 2, 240, 241] {
                let key = random.noise(length)
                let context = random.noise(contextLength)
                let stored = try #require(sealer.sealed(plain, key: key, context: context))
                #expect(sealer.opened(stored, key: key, context: context) == plain)
                for position in [0, length - 1] where length > 0 {
                    var other = key
                    other[position] ^= 1
                    #expect(sealer.opened(stored, key: other, context: context) == nil)
                }
                guard contextLength > 0 else { continue }
                var other = context
                other[contextLength - 1] ^= 1
                #expect(sealer.opened(stored, key: key, context: other) == nil)
            }
        }
    }

    @Test func memoryOfAWrongSizeIsRefused() throws {
        let sealer = CacheSealer(cacheID: 7, laneCount: 1)
        let stored = try #require(sealer.sealed(plain, key: key))
        for count in [0, 23, plain.count, plain.count + 23, plain.count + 25] {
            var target = [UInt8](repeating: 0, count: count)
            let isSealed = withAll(plain, key, []) { plain, key, context in
                target.withUnsafeMutableBytes { sealer.seal(plain, key: key, context: context, lane: 0, into: $0) }
            }
            #expect(!isSealed)
        }
        for count in [0, plain.count - 1, plain.count + 1] {
            var target = [UInt8](repeating: 1, count: count)
            let isOpened = withAll(stored, key, []) { stored, key, context in
                target.withUnsafeMutableBytes { sealer.open(stored, key: key, context: context, lane: 0, into: $0) }
            }
            #expect(!isOpened)
            #expect(target.allSatisfy { $0 == 0 })
        }
    }
}
