import Tenancy
import Testing

@testable import Gateway

private func inflate(_ bytes: [UInt8], limit: Int = 1 << 20) throws(MartletError) -> [UInt8] {
    try bytes.withUnsafeBufferPointer { (bytes) throws(MartletError) in
        try Gzip.inflate(UnsafeRawBufferPointer(bytes), limit: limit)
    }
}

@Suite struct GzipTests {
    /// `printf 'hello hello hello' | gzip -n`, written down.
    private static let hello: [UInt8] = [
        0x1F, 0x8B, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x03, 0xCB, 0x48, 0xCD, 0xC9, 0xC9, 0x57,
        0xC8, 0x40, 0x90, 0x00, 0x80, 0x88, 0xF9, 0xE5, 0x11, 0x00, 0x00, 0x00,
    ]
    /// A head with every optional field of RFC 1952 section 2.3: extra, name, comment and its own checksum.
    private static let dressed: [UInt8] = [
        0x1F, 0x8B, 0x08, 0x1E, 0x00, 0x00, 0x00, 0x00, 0x00, 0xFF, 0x07, 0x00, 0x41, 0x42, 0x03, 0x00,
        0x78, 0x79, 0x7A, 0x6E, 0x61, 0x6D, 0x65, 0x2E, 0x74, 0x78, 0x74, 0x00, 0x61, 0x20, 0x63, 0x6F,
        0x6D, 0x6D, 0x65, 0x6E, 0x74, 0x00, 0x47, 0x09, 0x4B, 0x29, 0x4A, 0x2D, 0x2E, 0x4E, 0x4D, 0x01,
        0x00, 0xA7, 0x00, 0xC5, 0x88, 0x07, 0x00, 0x00, 0x00,
    ]
    private static let text = Array("hello hello hello".utf8)

    @Test func readsWhatOthersWrote() throws {
        #expect(try inflate(Self.hello) == Self.text)
        #expect(try inflate(Self.dressed) == Array("dressed".utf8))
        #expect(try inflate(gzip([])) == [])
        #expect(gzip([]).count == 20)
    }

    @Test(arguments: 0..<2) func unpacksWhatWasPacked(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        for level in [Int32(0), 1, 9] {
            for count in [0, 1, 100, 4095, 4096, 4097, 70_000, 300_000] {
                let noise = generator.bytes(count)
                #expect(try inflate(gzip(noise, level: level)) == noise)
                let plain = noise.map { $0 & 3 }
                #expect(try inflate(gzip(plain, level: level)) == plain)
            }
        }
    }

    @Test func membersBehindOneAnotherAreOneText() throws {
        #expect(try inflate(Self.hello + Self.hello) == Self.text + Self.text)
        #expect(try inflate(gzip([]) + Self.hello + gzip([])) == Self.text)
        let noise = (0..<9).map { UInt8($0) }
        var many: [UInt8] = []
        for _ in 0..<1000 { many += gzip(noise) }
        #expect(try inflate(many, limit: 9000).count == 9000)
        #expect(throws: MartletError.bodyTooLarge(limit: 8999)) { try inflate(many, limit: 8999) }
    }

    // MARK: Limit

    @Test func theLimitIsExact() throws {
        for count in [0, 1, 20, 4095, 4096, 4097, 8192, 100_000] {
            let plain = [UInt8](repeating: 7, count: count)
            let packed = gzip(plain)
            let unpacked = try inflate(packed, limit: count)
            #expect(unpacked == plain)
            #expect(unpacked.capacity <= max(count, 4096) + 4096)
            guard count > 0 else { continue }
            #expect(throws: MartletError.bodyTooLarge(limit: count - 1)) { try inflate(packed, limit: count - 1) }
        }
    }

    @Test func aBombIsRefusedOnceItIsOverTheLimit() {
        // An eighth of a gigabyte, in an eighth of a megabyte.
        let bomb = gzipBomb(1 << 27)
        #expect(bomb.count < 140_000)
        #expect(throws: MartletError.bodyTooLarge(limit: 65_536)) { try inflate(bomb, limit: 65_536) }
        #expect(throws: MartletError.bodyTooLarge(limit: 0)) { try inflate(bomb, limit: 0) }
    }

    @Test func roomGrowsWithWhatComesOutAndNeverPastTheLimitAndOneByte() {
        var generator = SeededGenerator(seed: 8)
        for _ in 0..<10_000 {
            let room = Int.random(in: 1...(10 << 20), using: &generator)
            let expected = Int.random(in: 0...(1 << 32), using: &generator)
            var count = 0
            var rounds = 0
            while count < room {
                let capacity = Gzip.capacity(after: count, expected: expected, room: room)
                #expect(capacity > count && capacity <= room)
                count = capacity
                rounds += 1
            }
            #expect(rounds < 16)
        }
    }

    @Test func aForgedSizeReservesNoMoreThanTheBodyCouldUnpackTo() throws {
        // What is read first is the hint; that it is wrong shows at the end.
        var forged = gzip([1, 2, 3])
        forged.replaceSubrange(forged.count - 4..<forged.count, with: [0xFF, 0xFF, 0xFF, 0xFF])
        #expect(throws: MartletError.malformed("the message is said to be gzip, and is not")) {
            try inflate(forged, limit: Int(Int32.max))
        }
    }

    // MARK: Faults

    @Test func everyPrefixIsRefused() {
        for whole in [Self.hello, Self.dressed, gzip(Array(0...255), level: 0)] {
            for count in 0..<whole.count {
                #expect(throws: MartletError.self, "the first \(count) bytes") { try inflate(Array(whole[..<count])) }
            }
        }
        let two = Self.hello + Self.hello
        for count in Self.hello.count + 1..<two.count {
            #expect(throws: MartletError.self, "the first \(count) bytes of two") { try inflate(Array(two[..<count])) }
        }
    }

    @Test func whatFollowsTheEndIsRefused() {
        for tail: [UInt8] in [
            [0], [0, 0, 0, 0], [0x1F], [0x1F, 0x8B], Array("garbage".utf8), [0x78, 0x9C, 3, 0, 0, 0, 0, 1],
        ] {
            #expect(throws: MartletError.self, "\(tail)") { try inflate(Self.hello + tail) }
        }
    }

    @Test func aWrongChecksumOrLengthIsRefused() {
        for index in Self.hello.count - 8..<Self.hello.count {
            for bit in 0..<8 {
                var wrong = Self.hello
                wrong[index] ^= 1 << UInt8(bit)
                #expect(throws: MartletError.malformed("the message is said to be gzip, and is not")) {
                    try inflate(wrong)
                }
            }
        }
    }

    @Test func otherFormsOfDeflateAreRefused() {
        // zlib's (RFC 1950) and deflate without a frame (RFC 1951), of nothing; longer than the shortest gzip.
        let zeroes = [UInt8](repeating: 0, count: 20)
        for form: [UInt8] in [[0x78, 0x9C, 3, 0, 0, 0, 0, 1] + zeroes, [3, 0] + zeroes, zeroes] {
            #expect(throws: MartletError.malformed("the message is said to be gzip, and is not")) { try inflate(form) }
        }
    }

    @Test(arguments: 0..<4) func mutatedInputNeverTrapsAndKeepsToTheLimit(seed: UInt64) {
        var generator = SeededGenerator(seed: 40 + seed)
        let packed = gzip((0..<5000).map { UInt8(truncatingIfNeeded: $0 / 7) })
        var unpacked = 0
        for _ in 0..<2000 {
            var mutated = packed
            for _ in 0..<Int.random(in: 0...3, using: &generator) {
                mutated[Int.random(in: 0..<mutated.count, using: &generator)] = UInt8.random(
                    in: 0...255, using: &generator)
            }
            if let plain = try? inflate(mutated, limit: 6000) {
                unpacked += 1
                #expect(plain.count <= 6000)
            }
        }
        // Those that were not mutated, and those in parts of the head that mean nothing.
        #expect(unpacked > 200 && unpacked < 1900)
    }
}
