import CZstd
import Tenancy
import Testing

@testable import Engine

/// Bodies as clients make them, by libzstd.
enum ClientFrame {
    /// - Parameter knowsSize: false: as a client that streams, whose frame does not say the content's size.
    static func make(
        _ plain: [UInt8], windowLog: CInt = 0, hasChecksum: Bool = false, knowsSize: Bool = true, level: CInt = 3
    ) -> [UInt8] {
        let context = ZSTD_createCCtx()
        defer { ZSTD_freeCCtx(context) }
        ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, level)
        ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, windowLog)
        ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, hasChecksum ? 1 : 0)
        ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, knowsSize ? 1 : 0)
        var frame = [UInt8](repeating: 0, count: ZSTD_compressBound(plain.count))
        let count = ZSTD_compress2(context, &frame, frame.count, plain, plain.count)
        precondition(ZSTD_isError(count) == 0, "libzstd compresses")
        return Array(frame.prefix(count))
    }

    static func skippable(_ content: [UInt8]) -> [UInt8] {
        [0x53, 0x2a, 0x4d, 0x18] + withUnsafeBytes(of: UInt32(content.count).littleEndian) { Array($0) } + content
    }

    /// A frame without a content size, of blocks that repeat one byte 128 KiB times: four bytes each.
    static func bomb(blocks: Int) -> [UInt8] {
        var frame: [UInt8] = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58]
        for block in 0..<blocks {
            let head = (128 << 10) << 3 | 1 << 1 | (block == blocks - 1 ? 1 : 0)
            frame += [UInt8(head & 255), UInt8(head >> 8 & 255), UInt8(head >> 16), 65]
        }
        return frame
    }
}

@Suite struct CompressionFrameTests {
    private static let limit = 32 << 20

    private static func receive(_ body: [UInt8], limit: Int = limit) throws(MartletError) -> ZstdFrame.Received {
        try body.withUnsafeBytes { body -> Result<ZstdFrame.Received, MartletError> in
            Result { () throws(MartletError) in try ZstdFrame.receive(body, limit: limit) }
        }.get()
    }

    private static func contentSize(_ body: [UInt8]) -> Int? { body.withUnsafeBytes { ZstdFrame.contentSize($0) } }

    private static func error(_ body: [UInt8], limit: Int = limit) -> MartletError? {
        do {
            _ = try receive(body, limit: limit)
            return nil
        } catch { return error }
    }

    private static func isMalformed(_ body: [UInt8]) -> Bool {
        guard case .malformed = error(body) else { return false }
        return true
    }

    /// That a form is one frame that any client accepts, of that plain.
    private static func check(_ frame: [UInt8], isFrameOf plain: [UInt8]) throws {
        let header = try #require(frame.withUnsafeBytes { ZstdFrameHeader($0) })
        #expect(header.contentBytes == UInt64(plain.count))
        #expect(header.windowBytes <= ZstdFrame.maximumWindowBytes)
        var back = [UInt8](repeating: 0, count: plain.count)
        #expect(ZSTD_decompress(&back, back.count, frame, frame.count) == plain.count)
        #expect(back == plain)
    }

    @Test(arguments: [false, true]) func aFrameWithItsSizeIsStoredAsItCame(hasChecksum: Bool) throws {
        var corpus = CompressionCorpus(seed: 21)
        for plain in [corpus.page(), corpus.product(), [UInt8](repeating: 1, count: 8 << 20)] {
            let body = ClientFrame.make(plain, hasChecksum: hasChecksum)
            let received = try Self.receive(body, limit: plain.count)
            #expect(received.plain == plain)
            #expect(received.form == .asReceived)
            #expect(Self.contentSize(body) == plain.count)
            #expect(
                Self.error(body, limit: plain.count - 1)
                    == .tooLarge(limit: .maxItemBytes, value: UInt64(plain.count - 1)))
        }
    }

    @Test func otherStreamsAreAcceptedAndCompressedAgain() throws {
        var corpus = CompressionCorpus(seed: 22)
        let page = corpus.page()
        let long = (0..<900).flatMap { _ in page }
        let sized = ClientFrame.make(page)
        let streamed = ClientFrame.make(page, knowsSize: false)
        let bodies: [(String, [UInt8], [UInt8])] = [
            ("no size", streamed, page),
            ("no size, checksum", ClientFrame.make(page, hasChecksum: true, knowsSize: false), page),
            ("large window", ClientFrame.make(long, windowLog: 27), long),
            ("large window, no size", ClientFrame.make(long, windowLog: 25, knowsSize: false), long),
            ("two frames", sized + ClientFrame.make(Array(page.reversed())), page + page.reversed()),
            ("two frames, one with a size", streamed + sized, page + page),
            ("skippable before", ClientFrame.skippable([1, 2, 3]) + sized, page),
            ("skippable after", sized + ClientFrame.skippable([]), page),
            ("skippable between", streamed + ClientFrame.skippable([0]) + streamed, page + page),
            ("an empty frame first", ClientFrame.make([]) + sized, page),
        ]
        for (name, body, plain) in bodies {
            let received = try Self.receive(body, limit: plain.count)
            #expect(received.plain == plain, "\(name)")
            guard case .recompressed(let frame) = received.form else {
                Issue.record("\(name): \(received.form)")
                continue
            }
            try Self.check(frame, isFrameOf: plain)
            #expect(
                Self.error(body, limit: plain.count - 1)
                    == .tooLarge(limit: .maxItemBytes, value: UInt64(plain.count - 1)))
        }
        #expect(Self.contentSize(streamed) == nil)
        #expect(Self.contentSize(sized + ClientFrame.skippable([9]) + sized) == 2 * page.count)
    }

    @Test func whatHardlyShrinksIsStoredPlain() throws {
        var corpus = CompressionCorpus(seed: 23)
        for plain in [corpus.noise(5000), [], [1], [UInt8](repeating: 2, count: 100)] {
            for knowsSize in [false, true] {
                let received = try Self.receive(ClientFrame.make(plain, knowsSize: knowsSize))
                #expect(received.plain == plain)
                if plain.count != 100 { #expect(received.form == .notWorthwhile) }
            }
        }
        // A frame that is hardly compressed is not kept because it came so.
        let page = corpus.page()
        let blown = Self.uncompressedFrame(page)
        #expect(try Self.receive(blown).form != .asReceived)
        #expect(try Self.receive(blown).plain == page)
    }

    /// One block, as it is.
    private static func uncompressedFrame(_ plain: [UInt8]) -> [UInt8] {
        let size = withUnsafeBytes(of: UInt32(plain.count).littleEndian) { Array($0) }
        let head = plain.count << 3 | 1
        return [0x28, 0xb5, 0x2f, 0xfd, 0xa0] + size
            + [UInt8(head & 255), UInt8(head >> 8 & 255), UInt8(head >> 16 & 255)] + plain
    }

    @Test func whatIsNoStreamIsRefused() {
        var corpus = CompressionCorpus(seed: 24)
        let page = corpus.page()
        let frame = ClientFrame.make(page)
        #expect(Self.isMalformed([]))
        #expect(Self.isMalformed(page))
        #expect(Self.isMalformed(ClientFrame.skippable([1, 2])))
        #expect(Self.isMalformed(frame + [0]))
        #expect(Self.isMalformed(frame + frame.prefix(3)))
        #expect(Self.isMalformed([0] + frame))
        #expect(Self.isMalformed(frame + ClientFrame.skippable([1, 2, 3]).dropLast()))
        var summed = ClientFrame.make(page, hasChecksum: true)
        summed[summed.count - 1] ^= 1
        #expect(Self.isMalformed(summed))
        // A dictionary's id of one byte, 5.
        var withDictionary = frame
        withDictionary[4] |= 1
        withDictionary.insert(5, at: 5)
        #expect(Self.isMalformed(withDictionary))
        // A head that claims more than the blocks can hold; eight bytes of size.
        let claim: [UInt8] = [0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0, 1, 0, 0, 0, 0]
        #expect(Self.isMalformed(claim + [0x0b, 0, 0, 1]))
        #expect(Self.isMalformed(Array(claim.prefix(5)) + [UInt8](repeating: 255, count: 8) + [0x0b, 0, 0, 1]))
    }

    @Test func everyCutIsRefused() {
        var corpus = CompressionCorpus(seed: 25)
        let plain = corpus.product()
        for body in [
            ClientFrame.make(plain), ClientFrame.make(plain, hasChecksum: true, knowsSize: false),
            ClientFrame.skippable([1, 2, 3]) + ClientFrame.make(plain),
        ] {
            for length in 0..<body.count { #expect(Self.isMalformed(Array(body.prefix(length)))) }
        }
    }

    @Test func aBombStopsAtTheLimit() throws {
        let zeros = [UInt8](repeating: 0, count: 64 << 20)
        let tooLarge = MartletError.tooLarge(limit: .maxItemBytes, value: 1 << 20)
        for body in [
            ClientFrame.make(zeros), ClientFrame.make(zeros, knowsSize: false), ClientFrame.bomb(blocks: 100_000),
            (0..<50_000).flatMap { _ in ClientFrame.bomb(blocks: 1) },
        ] {
            #expect(Self.error(body, limit: 1 << 20) == tooLarge)
        }
        let small = ClientFrame.bomb(blocks: 8)
        #expect(try Self.receive(small, limit: 1 << 20).plain == [UInt8](repeating: 65, count: 1 << 20))
        #expect(Self.error(small, limit: 1 << 20 - 1) != nil)
        #expect(Self.error(small, limit: 0) != nil)
        #expect(Self.error(small, limit: -1) != nil)
    }

    @Test func damagedBodiesNeverTrap() {
        for seed in testSeeds() {
            var random = SeededGenerator(seed: seed)
            var corpus = CompressionCorpus(seed: seed)
            let bodies = [
                ClientFrame.make(corpus.product(), hasChecksum: true),
                ClientFrame.make(corpus.session(), knowsSize: false),
                ClientFrame.bomb(blocks: 5), ClientFrame.make(corpus.page()) + ClientFrame.skippable([1]),
            ]
            for _ in 0..<4000 {
                var body = bodies[Int(random.next() % 4)]
                for _ in 0...(random.next() % 4) {
                    let position = Int(
                        random.next() % UInt64(random.next() % 2 == 0 ? min(body.count, 16) : body.count))
                    body[position] = UInt8(truncatingIfNeeded: random.next())
                }
                if let received = try? Self.receive(body, limit: 1 << 20) {
                    #expect(received.plain.count <= 1 << 20, "seed \(seed)")
                    if let size = Self.contentSize(body) { #expect(size == received.plain.count, "seed \(seed)") }
                }
            }
        }
    }

    /// The heads read here and those that libzstd reads are the same, whatever the bytes.
    @Test(arguments: [false, true]) func headsAreReadLikeLibzstdReadsThem(isMagicless: Bool) {
        for seed in testSeeds() {
            var random = SeededGenerator(seed: seed)
            for _ in 0..<20_000 {
                var bytes: [UInt8] = isMagicless ? [] : [0x28, 0xb5, 0x2f, 0xfd]
                bytes += random.noise(Int(random.next() % 20))
                var expected = ZSTD_frameHeader()
                let format = isMagicless ? ZSTD_f_zstd1_magicless : ZSTD_f_zstd1
                let isRead = ZSTD_getFrameHeader_advanced(&expected, bytes, bytes.count, format) == 0
                let header = bytes.withUnsafeBytes { ZstdFrameHeader($0, isMagicless: isMagicless) }
                // libzstd refuses windows that it does not support.
                guard isRead else {
                    #expect(header == nil || header!.windowBytes > 1 << 31, "seed \(seed): \(bytes)")
                    continue
                }
                #expect(header?.byteCount == Int(expected.headerSize), "seed \(seed): \(bytes)")
                #expect(header?.windowBytes == expected.windowSize, "seed \(seed): \(bytes)")
                #expect(header?.contentBytes == (expected.frameContentSize == .max ? nil : expected.frameContentSize))
                #expect(header?.dictionaryID == expected.dictID)
                #expect(header?.hasChecksum == (expected.checksumFlag != 0))
                #expect(header?.blockBytes == Int(expected.blockSizeMax))
            }
        }
    }
}
