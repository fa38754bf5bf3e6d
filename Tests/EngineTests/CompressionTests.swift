import Testing

@testable import Engine

@Suite struct CompressionTests {
    private static func values(_ seed: UInt64) -> [[UInt8]] {
        var corpus = CompressionCorpus(seed: seed)
        var values: [[UInt8]] = []
        for _ in 0..<50 { values += [corpus.session(), corpus.product(), corpus.reading()] }
        for length in [0, 1, 63, 64, 65, 127, 128, 129, 255, 256, 257, 1000, 65_535, 65_536, 65_537, 300_000] {
            values += [corpus.noise(length), [UInt8](repeating: 65, count: length)]
        }
        return values + [corpus.page(), corpus.page()]
    }

    @Test(arguments: CompressionMode.allCases) func whatIsCompressedOpensAgain(_ mode: CompressionMode) {
        for seed in testSeeds() {
            var corpus = CompressionCorpus(seed: seed)
            let compressor = CacheCompressor(mode: mode)
            if mode == .zstdDictionary { compressor.train { corpus.session() } }
            for value in Self.values(seed) {
                let item = compressor.item(value)
                #expect(compressor.value(item) == value, "seed \(seed)")
                #expect(item.encoding == .identity || item.payload.count <= value.count - max(16, value.count / 8))
                compressor.release(version: item.version)
            }
        }
    }

    @Test func eachModeUsesItsEncodings() {
        var corpus = CompressionCorpus(seed: 5)
        let off = CacheCompressor(mode: .off)
        #expect(off.item(corpus.page()).encoding == .identity)
        let plain = CacheCompressor(mode: .zstd)
        #expect(plain.item(corpus.page()).encoding == .zstd)
        #expect(plain.item(corpus.noise(5000)).encoding == .identity)
        #expect(plain.item([UInt8](repeating: 1, count: CacheCompressor.plainThreshold - 1)).encoding == .identity)
        let trained = CacheCompressor(mode: .zstdDictionary)
        #expect(trained.item(corpus.page()).encoding == .zstd)
        trained.train { corpus.session() }
        let item = trained.item(corpus.session())
        #expect(item.encoding == .zstdDictionary)
        #expect(item.version == 1)
        let long = [UInt8](repeating: 1, count: CacheCompressor.dictionaryLimit + 1)
        #expect(trained.item(long).encoding == .zstd)
        #expect(trained.item(corpus.noise(500)).encoding == .identity)
    }

    @Test func aPlainFrameIsWhatAnyClientReads() {
        var corpus = CompressionCorpus(seed: 6)
        let compressor = CacheCompressor(mode: .zstd)
        for value in [corpus.page(), corpus.product(), [UInt8](repeating: 7, count: 20 << 20)] {
            let item = compressor.item(value)
            item.payload.withUnsafeBytes { payload in
                let header = ZstdFrameHeader(payload)
                #expect(header?.contentBytes == UInt64(value.count))
                #expect(header?.dictionaryID == 0)
                #expect(header.map { $0.windowBytes <= ZstdFrame.maximumWindowBytes } == true)
                #expect(ZstdFrame.contentSize(payload) == value.count)
            }
            let received = item.payload.withUnsafeBytes { body in
                try? ZstdFrame.receive(body, limit: value.count)
            }
            #expect(received?.form == .asReceived)
        }
    }

    @Test func theFiguresAddUp() {
        var corpus = CompressionCorpus(seed: 7)
        let compressor = CacheCompressor(mode: .zstdDictionary)
        var plain: UInt64 = 0
        var stored: UInt64 = 0
        for round in 0..<3000 {
            let value = round % 5 == 0 ? corpus.noise(300) : corpus.session()
            let item = compressor.item(value)
            if item.encoding != .identity {
                plain += UInt64(value.count)
                stored += UInt64(item.payload.count)
            }
            _ = compressor.tick()
        }
        let statistics = compressor.statistics
        #expect(statistics.plainBytes == plain)
        #expect(statistics.storedBytes == stored)
        #expect(statistics.dictionaryVersion == 1)
        #expect(statistics.trainings == 1)
        #expect(statistics.dictionaryBytes == compressor.chargedBytes)
        #expect((100_000..<140_000).contains(compressor.chargedBytes))
    }

    @Test func theModeCanChangeWhileOldItemsStayReadable() {
        var corpus = CompressionCorpus(seed: 8)
        let compressor = CacheCompressor(mode: .zstdDictionary)
        compressor.train { corpus.session() }
        let value = corpus.session()
        let first = compressor.item(value)
        #expect(first.encoding == .zstdDictionary)
        let full = compressor.chargedBytes
        compressor.setMode(.zstd)
        let second = compressor.item(value)
        #expect(second.encoding == .zstd)
        compressor.setMode(.off)
        #expect(compressor.item(value).encoding == .identity)
        #expect(compressor.value(first) == value && compressor.value(second) == value)
        #expect(compressor.chargedBytes < full / 2)
        compressor.release(version: first.version)
        #expect(compressor.chargedBytes == 0)
        #expect(compressor.value(first) == nil)
        compressor.setMode(.zstdDictionary)
        compressor.train { corpus.session() }
        #expect(compressor.item(value).version == 2)
    }

    @Test func contextsAreKeptButFew() throws {
        let pool = ZstdContextPool(.decompression, placeCount: 2)
        let one = pool.withContext { first in
            pool.withContext { second in pool.withContext { third in [first, second, third] } }
        }
        #expect(Set(try #require(one)).count == 3)
        let kept = pool.idleBytes
        #expect((150_000..<250_000).contains(kept))
        let again = pool.withContext { $0 }
        #expect(try #require(one).contains(try #require(again)))
        #expect(pool.idleBytes == kept)
    }
}
