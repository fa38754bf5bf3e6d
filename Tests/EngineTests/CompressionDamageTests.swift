import Testing

@testable import Engine

/// Stored payloads that are not what was stored: refused, never a trap, never a byte beyond the target.
@Suite struct CompressionDamageTests {
    private static func trained(_ corpus: inout CompressionCorpus) -> CacheCompressor {
        let compressor = CacheCompressor(mode: .zstdDictionary)
        compressor.train { corpus.session() }
        return compressor
    }

    @Test func everyCutIsRefused() {
        var corpus = CompressionCorpus(seed: 31)
        let compressor = Self.trained(&corpus)
        let plain = CacheCompressor(mode: .zstd)
        for item in [
            compressor.item(corpus.session()), compressor.item(corpus.product()), plain.item(corpus.product()),
        ] {
            #expect(item.encoding != .identity)
            for length in 0..<item.payload.count {
                var cut = item
                cut.payload = Array(item.payload.prefix(length))
                #expect(compressor.value(cut) == nil, "\(item.encoding) cut to \(length)")
            }
            var extended = item
            extended.payload.append(0)
            #expect(compressor.value(extended) == nil)
        }
    }

    @Test func damagedPayloadsNeverTrap() {
        for seed in testSeeds() {
            var corpus = CompressionCorpus(seed: seed)
            var random = SeededGenerator(seed: seed)
            let compressor = Self.trained(&corpus)
            let plain = CacheCompressor(mode: .zstd)
            let items = [
                compressor.item(corpus.session()), compressor.item(corpus.product()), plain.item(corpus.page()),
            ]
            for _ in 0..<6000 {
                var item = items[Int(random.next() % 3)]
                for _ in 0...(random.next() % 3) {
                    let position = Int(random.next() % UInt64(item.payload.count))
                    item.payload[position] ^= UInt8(truncatingIfNeeded: 1 + random.next() % 255)
                }
                if let value = compressor.value(item) {
                    let size = item.payload.withUnsafeBytes { CacheCompressor.plainSize($0, item.encoding) }
                    #expect(value.count == size, "seed \(seed)")
                }
            }
        }
    }

    @Test func aTargetOfAnotherSizeIsRefused() {
        var corpus = CompressionCorpus(seed: 32)
        let compressor = Self.trained(&corpus)
        let value = corpus.session()
        for item in [compressor.item(value), CompressedItem(encoding: .identity, version: 0, payload: value)] {
            for count in [0, 1, value.count - 1, value.count + 1, value.count + 1000] {
                var memory = [UInt8](repeating: 0xee, count: count + 64)
                let isOpened = item.payload.withUnsafeBytes { payload in
                    memory.withUnsafeMutableBytes {
                        compressor.decompress(
                            payload, item.encoding, version: item.version,
                            into: UnsafeMutableRawBufferPointer(rebasing: $0.prefix(count)))
                    }
                }
                #expect(!isOpened)
                #expect(memory.suffix(64).allSatisfy { $0 == 0xee })
            }
        }
    }

    @Test func anotherVersionOrEncodingIsRefused() {
        var corpus = CompressionCorpus(seed: 33)
        let compressor = Self.trained(&corpus)
        let value = corpus.session()
        let item = compressor.item(value)
        for version in UInt8(0)...255 where version != item.version {
            #expect(
                compressor.value(CompressedItem(encoding: .zstdDictionary, version: version, payload: item.payload))
                    == nil)
        }
        #expect(compressor.value(CompressedItem(encoding: .zstd, version: 0, payload: item.payload)) == nil)
        #expect(CacheCompressor(mode: .zstdDictionary).value(item) == nil)
        #expect(compressor.value(CompressedItem(encoding: .zstdDictionary, version: item.version, payload: [])) == nil)
    }

    /// A damaged head cannot make the caller ask for memory that such a payload could never fill.
    @Test func aClaimedSizeIsBoundedByThePayload() {
        let claim: [UInt8] = [0xe0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0]
        claim.withUnsafeBytes { #expect(CacheCompressor.plainSize($0, .zstdDictionary) == nil) }
        let most: [UInt8] = [0xe0] + [UInt8](repeating: 255, count: 8)
        most.withUnsafeBytes { #expect(CacheCompressor.plainSize($0, .zstdDictionary) == nil) }
    }
}
