import Tenancy
import Testing

@testable import Engine

/// Blobs that nobody wrote: an error or some answer, never a trap, and never a changed item after an error.
struct DictionaryDamageTests {
    private func blob(_ kind: ItemKind, seed: UInt64) throws -> Bytes {
        var generator = DictSetGenerator(seed: seed)
        let cache = makeDictSetCache()
        for index in 0..<12 {
            let size = index == 3 ? 300 : generator.below(20)
            if kind == .set {
                try cache.addMembers("k", [number(index) + generator.bytes(size)])
            } else {
                try cache.setFields("k", [(number(index), generator.bytes(size))])
            }
        }
        return try #require(try cache.packedBlob("k"))
    }

    private func tryAll(_ blob: Bytes, _ kind: ItemKind) throws {
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: blob.count, alignment: 1)
        memory.copyBytes(from: blob)
        defer { memory.deallocate() }
        fuzzPackedDictionary(UnsafeRawBufferPointer(memory))
        fuzzPackedSet(UnsafeRawBufferPointer(memory))

        let cache = makeDictSetCache()
        let probes = [number(0), number(5), number(11), text("absent")]
        var generator = DictSetGenerator(seed: 3)
        for operation in 0..<(kind == .set ? 6 : 7) {
            try cache.storePacked("k", kind, blob)
            let error = dictSetError { () throws(MartletError) in
                if kind == .set {
                    switch operation {
                    case 0: try cache.addMembers("k", probes)
                    case 1: try cache.removeMembers("k", probes)
                    case 2: try cache.addMembers("k", [number(9, "x")])
                    case 3: try cache.addMembers("k", (0..<600).map { number($0) })
                    case 4: _ = try cache.cache.setCombination(.union, of: [], now: dictSetNow)
                    default:
                        try cache.item("k") { (item) throws(MartletError) in
                            _ = try item.setPop(3, using: &generator) { _ in }
                        }
                    }
                } else {
                    switch operation {
                    case 0: try cache.setFields("k", probes.map { ($0, $0) })
                    case 1: try cache.removeFields("k", probes)
                    case 2: _ = try cache.setField("k", number(5), text("y"))
                    case 3: try cache.setFields("k", (0..<600).map { (number($0), []) })
                    case 4: _ = try cache.increment("k", number(5), by: 1)
                    case 5: _ = try cache.setField("k", number(5), Bytes(repeating: 1, count: 5000))
                    default: _ = try cache.setFieldIfAbsent("k", text("absent"), [])
                    }
                }
            }
            if let error {
                #expect(error == .notAnInteger || error == PackedReader.damaged)
                #expect(try cache.packedBlob("k") == blob)
            }
        }
    }

    @Test(arguments: [ItemKind.dictionary, .set]) func cutAtEveryByte(_ kind: ItemKind) throws {
        let whole = try blob(kind, seed: 1)
        for end in 0..<whole.count { try tryAll(Bytes(whole[..<end]), kind) }
    }

    @Test(arguments: [ItemKind.dictionary, .set]) func mutatedAtRandom(_ kind: ItemKind) throws {
        for seed in 1...400 as ClosedRange<UInt64> {
            var generator = DictSetGenerator(seed: seed)
            var damaged = try blob(kind, seed: seed)
            for _ in 0..<1 + generator.below(4) {
                damaged[generator.below(damaged.count)] =
                    generator.chance(30) ? [254, 255, 0, 253][generator.below(4)] : UInt8(generator.below(256))
            }
            try tryAll(damaged, kind)
        }
    }

    @Test func bytesOfNoMeaningAtAll() {
        for seed in 1...2000 as ClosedRange<UInt64> {
            var generator = DictSetGenerator(seed: seed)
            let bytes = generator.bytes(generator.below(generator.chance(5) ? 5000 : 60))
            bytes.withUnsafeBytes { bytes in
                fuzzPackedDictionary(bytes)
                fuzzPackedSet(bytes)
            }
        }
    }

    @Test func aCutBlobIsToldAsDamaged() throws {
        let cache = makeDictSetCache()
        let whole = try blob(.dictionary, seed: 1)
        try cache.storePacked("k", .dictionary, whole.dropLast())
        #expect(dictSetError { () throws(MartletError) in _ = try cache.pairs("k") } == PackedReader.damaged)
        // A field without a value.
        try cache.storePacked("k", .dictionary, [1, 65])
        #expect(dictSetError { () throws(MartletError) in _ = try cache.pairs("k") } == PackedReader.damaged)
    }
}
