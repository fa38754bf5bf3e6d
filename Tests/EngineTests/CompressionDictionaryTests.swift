import Synchronization
import Testing

@testable import Engine

@Suite struct CompressionDictionaryTests {
    private static let itemOverhead = 30
    private static let itemCount = 20_000

    /// Memory of 20,000 sessions: payloads, 30 bytes each for the item, and what the compressor itself is charged with.
    /// The first ones are stored before there is a dictionary, and stay as they are.
    @Test func smallJSONTakesLessThanHalfTheMemory() {
        for seed in [1, testSeeds()[0] + 1000] {
            var corpus = CompressionCorpus(seed: seed)
            let compressor = CacheCompressor(mode: .zstdDictionary)
            var uncompressed = 0
            var compressed = 0
            for _ in 0..<Self.itemCount {
                let value = corpus.session()
                precondition((200...500).contains(value.count), "sessions have 200 to 500 bytes")
                uncompressed += value.count + Self.itemOverhead
                compressed += compressor.item(value).payload.count + Self.itemOverhead
                _ = compressor.tick(heldBytes: compressed)
            }
            compressed += compressor.chargedBytes
            #expect(compressed * 2 <= uncompressed, "seed \(seed): \(compressed) of \(uncompressed) bytes")
        }
    }

    @Test func aSmallCacheGetsNoDictionaryAndKeepsNoSamples() {
        var corpus = CompressionCorpus(seed: 9)
        let compressor = CacheCompressor(mode: .zstdDictionary)
        for _ in 0..<3000 {
            _ = compressor.item(corpus.session())
            #expect(!compressor.tick(heldBytes: CacheCompressor.minimumHeldBytes - 1))
        }
        #expect(compressor.chargedBytes == 0)
        // It grows, and is emptied before there are enough samples.
        #expect(!compressor.tick(heldBytes: CacheCompressor.minimumHeldBytes))
        for _ in 0..<100 { _ = compressor.item(corpus.session()) }
        #expect(compressor.chargedBytes > 0)
        _ = compressor.tick(heldBytes: 1000)
        #expect(compressor.chargedBytes == 0)
    }

    @Test func aCacheThatIsEmptiedLosesItsDictionary() {
        var corpus = CompressionCorpus(seed: 10)
        let compressor = CacheCompressor(mode: .zstdDictionary)
        compressor.train { corpus.session() }
        #expect(compressor.chargedBytes > 100_000)
        _ = compressor.tick(heldBytes: 10_000)
        #expect(compressor.chargedBytes == 0)
        #expect(compressor.item(corpus.session()).encoding != .zstdDictionary)
    }

    @Test func valuesThatChangedGetANewDictionaryAndOldItemsKeepTheirs() {
        var corpus = CompressionCorpus(seed: 11)
        let compressor = CacheCompressor(mode: .zstdDictionary)
        compressor.train { corpus.session() }
        var old: [(item: CompressedItem, value: [UInt8])] = []
        for _ in 0..<10_000 {
            let value = corpus.session()
            let item = compressor.item(value)
            if old.count < 20 { old.append((item, value)) } else { compressor.release(version: item.version) }
            #expect(!compressor.tick())
        }
        #expect(compressor.statistics.dictionaryVersion == 1)
        compressor.train { corpus.reading() }
        #expect(compressor.statistics.dictionaryVersion == 2)
        #expect(compressor.statistics.trainings == 2)
        let new = corpus.reading()
        let item = compressor.item(new)
        #expect(item.version == 2)
        #expect(compressor.value(item) == new)
        for (item, value) in old {
            #expect(item.version == 1)
            #expect(compressor.value(item) == value)
        }
        let charged = compressor.chargedBytes
        for (item, _) in old { compressor.release(version: item.version) }
        #expect((30_000..<50_000).contains(charged - compressor.chargedBytes))
        #expect(compressor.value(old[0].item) == nil)
    }

    @Test func valuesWithoutAnythingInCommonGetNoDictionary() {
        var corpus = CompressionCorpus(seed: 12)
        let compressor = CacheCompressor(mode: .zstdDictionary)
        compressor.train { corpus.noise(300) }
        #expect(compressor.statistics.dictionaryVersion == 0)
        #expect(compressor.statistics.trainings == 0)
        #expect(compressor.chargedBytes == 0)
    }

    /// The mix changes as soon as a dictionary fits it. The shares of trainings must shrink, not stay.
    @Test func aHostileMixDoesNotKeepItTraining() {
        var corpus = CompressionCorpus(seed: 13)
        let samples: [[[UInt8]]] = [
            (0..<300).map { _ in corpus.session() }, (0..<300).map { _ in corpus.reading() },
            (0..<300).map { _ in corpus.noise(300) }, (0..<300).map { _ in corpus.product() },
        ]
        let compressor = CacheCompressor(mode: .zstdDictionary)
        var kind = 0
        var trainedAt: [Int] = []
        var bytes = 0
        var round = 0
        while bytes < 48 << 20 {
            let value = samples[kind][round % 300]
            compressor.release(version: compressor.item(value).version)
            bytes += value.count
            round += 1
            if round % 16 == 0, compressor.tick() {
                trainedAt.append(bytes)
                kind = (kind + 1) % samples.count
            }
        }
        let gaps = zip(trainedAt, trainedAt.dropFirst()).map { $1 - $0 }
        #expect(trainedAt.count <= 5, "\(trainedAt)")
        #expect(trainedAt.count >= 2)
        for (index, gap) in gaps.enumerated() { #expect(gap >= Int(RatioWatch.shortestInterval) << index) }
    }

    @Test func versionsGoRoundOnlyOntoThoseWithoutItems() throws {
        var corpus = CompressionCorpus(seed: 14)
        let samples = (0..<600).map { _ in corpus.session() }
        let training = TrainingSamples(bytes: samples.flatMap { $0 }, sizes: samples.map(\.count))
        let made = try #require(DictionaryTrainer.train(training, current: nil))
        func dictionary() throws -> TrainedDictionary {
            // The same text each time; but each gives its compressing half up in the end.
            try #require(TrainedDictionary(UnsafeRawBufferPointer(made.dictionary.text)))
        }
        let table = DictionaryTable()
        #expect(table.withCurrent { _ in true } == .noDictionary)
        #expect(table.adopt(made.dictionary))
        #expect(table.withCurrent { _ in true } == .held(1))
        var expected = 1
        for _ in 0..<280 {
            #expect(table.adopt(try dictionary()))
            // Version 1 has an item: all others with its lower four bits are passed over.
            repeat { expected = expected % 255 + 1 } while expected % 16 == 1
            #expect(table.currentVersion == UInt8(expected))
            #expect(table.decompressor(1) != nil)
        }
        #expect(table.bytes < 200_000)
        // Sixteen that all have items: there is no room.
        while table.hasRoom {
            guard case .held = table.withCurrent({ _ in true }) else { break }
            #expect(table.adopt(try dictionary()))
        }
        _ = table.withCurrent { _ in true }
        #expect(!table.hasRoom)
        #expect(!table.adopt(try dictionary()))
        table.release(1)
        #expect(table.decompressor(1) == nil)
        #expect(table.hasRoom)
    }

    /// Threads compress, keep, open and drop items while another keeps replacing the dictionary.
    @Test func itemsOpenWhileDictionariesComeAndGo() throws {
        var corpus = CompressionCorpus(seed: 15)
        let sessions = (0..<600).map { _ in corpus.session() }
        let training = TrainingSamples(bytes: sessions.flatMap { $0 }, sizes: sessions.map(\.count))
        let compressor = CacheCompressor(mode: .zstdDictionary)
        let first = try #require(DictionaryTrainer.train(training, current: nil))
        #expect(compressor.table.adopt(first.dictionary))
        let left = Atomic<Int>(3)
        runOnThreads(4) { thread in
            if thread == 3 {
                while left.load(ordering: .acquiring) > 0 {
                    guard let made = DictionaryTrainer.train(training, current: nil) else { continue }
                    _ = compressor.table.adopt(made.dictionary)
                    _ = compressor.tick()
                }
                return
            }
            var random = SeededGenerator(seed: UInt64(thread))
            var kept: [(CompressedItem, Int)] = []
            for _ in 0..<4000 {
                let index = Int(random.next() % UInt64(sessions.count))
                kept.append((compressor.item(sessions[index]), index))
                let (item, value) = kept[Int(random.next() % UInt64(kept.count))]
                compressor.retain(version: item.version)
                precondition(compressor.value(item) == sessions[value], "an item does not open any more")
                compressor.release(version: item.version)
                if kept.count > 40 {
                    let (item, _) = kept.remove(at: Int(random.next() % 40))
                    compressor.release(version: item.version)
                }
            }
            for (item, _) in kept { compressor.release(version: item.version) }
            left.wrappingSubtract(1, ordering: .releasing)
        }
        for version in UInt8(1)...255 { #expect(compressor.table.itemCount(version) == 0) }
        compressor.setMode(.off)
        #expect(compressor.chargedBytes == 0)
    }
}
