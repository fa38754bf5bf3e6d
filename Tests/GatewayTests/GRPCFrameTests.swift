import Tenancy
import Testing

@testable import Gateway

private func frame(_ message: [UInt8], isCompressed: Bool = false) -> [UInt8] {
    [isCompressed ? 1 : 0] + bigEndian(UInt64(message.count)).suffix(4) + message
}

private func single(_ body: [UInt8]) throws(MartletError) -> (message: [UInt8], isCompressed: Bool) {
    let found = try body.withUnsafeBufferPointer { (bytes) throws(MartletError) in
        try GRPCFrame.single(UnsafeRawBufferPointer(bytes))
    }
    return (Array(body[found.message]), found.isCompressed)
}

@Suite struct GRPCFrameTests {
    @Test func readsTheOneMessageOfABody() throws {
        #expect(try single([0, 0, 0, 0, 0]) == ([], false))
        #expect(try single([0, 0, 0, 0, 3, 10, 1, 97]) == ([10, 1, 97], false))
        #expect(try single([1, 0, 0, 0, 2, 31, 139]) == ([31, 139], true))
        let long = [UInt8](repeating: 5, count: 65_792)
        #expect(try single([0, 0, 1, 1, 0] + long) == (long, false))
    }

    @Test func everyPrefixAndEveryAdditionIsRefused() {
        let whole = frame(Array(0..<40))
        for count in 0..<whole.count {
            #expect(throws: MartletError.self, "the first \(count) bytes") { try single(Array(whole[..<count])) }
        }
        #expect(throws: MartletError.malformed("the request must be one message, and 1 bytes follow the first")) {
            try single(whole + [0])
        }
        #expect(throws: MartletError.malformed("the request must be one message, and 45 bytes follow the first")) {
            try single(whole + whole)
        }
    }

    @Test(
        arguments: [
            ([], "the request has no message"),
            ([0, 0, 0, 0], "the head of the message is cut off"),
            ([2, 0, 0, 0, 0], "the message begins with a flag that has no meaning"),
            ([0x80, 0, 0, 0, 0], "the message begins with a flag that has no meaning"),
            ([0, 0, 0, 0, 4, 1], "the message announces 4 bytes, and 1 follow"),
            ([0, 0xFF, 0xFF, 0xFF, 0xFF, 1], "the message announces 4294967295 bytes, and 1 follow"),
        ] as [([UInt8], String)])
    func tellsWhatIsWrong(body: [UInt8], reason: String) {
        #expect(throws: MartletError.malformed(reason)) { try single(body) }
    }

    @Test func whatIsReadIsExactlyWhatLiesBehindAHeadOfItsLength() throws {
        var generator = SeededGenerator(seed: 3)
        for _ in 0..<20_000 {
            var body = frame(generator.bytes(Int.random(in: 0...20, using: &generator)))
            for _ in 0..<Int.random(in: 0...3, using: &generator) {
                body[Int.random(in: 0..<body.count, using: &generator)] = UInt8.random(in: 0...9, using: &generator)
            }
            if Bool.random(using: &generator) { body.removeLast(Int.random(in: 0..<body.count, using: &generator)) }
            guard let read = try? single(body) else { continue }
            #expect(frame(read.message, isCompressed: read.isCompressed) == body)
        }
    }
}

@Suite struct GRPCEncodingTests {
    private func plain(_ encoding: String?, _ message: [UInt8], isCompressed: Bool, limit: Int = 100) throws -> [UInt8]
    {
        let field = encoding.map { Array($0.utf8) }
        let coding = try field?.withUnsafeBytes { try GRPCEncoding($0) } ?? GRPCEncoding(nil)
        return try message.withUnsafeBytes { message in
            try coding.withPlain(message, isCompressed: isCompressed, limit: limit) { Array($0) }
        }
    }

    @Test func theFlagSaysWhetherTheNamedCodingWasUsed() throws {
        #expect(try plain(nil, [1, 2], isCompressed: false) == [1, 2])
        #expect(try plain("identity", [1, 2], isCompressed: false) == [1, 2])
        #expect(try plain("gzip", [1, 2], isCompressed: false) == [1, 2])
        #expect(try plain("gzip", gzip([1, 2]), isCompressed: true) == [1, 2])
    }

    @Test func aFlagWithoutACodingIsRefused() {
        for encoding in [nil, "identity"] {
            #expect(
                throws: MartletError.malformed(
                    "the message is flagged as compressed, and the request names no grpc-encoding")
            ) { try plain(encoding, gzip([1, 2]), isCompressed: true) }
        }
    }

    @Test func otherCodingsAreNotTaken() {
        for encoding in ["deflate", "snappy", "zstd", "GZIP", "gzip ", ""] {
            #expect(throws: MartletError.unsupportedEncoding) { try plain(encoding, [], isCompressed: false) }
        }
    }

    @Test func theLimitHoldsForThePlainMessage() throws {
        let zeroes = [UInt8](repeating: 0, count: 100)
        #expect(try plain("gzip", gzip(zeroes), isCompressed: true) == zeroes)
        #expect(try plain(nil, zeroes, isCompressed: false) == zeroes)
        #expect(throws: MartletError.bodyTooLarge(limit: 100)) {
            try plain("gzip", gzip(zeroes + [0]), isCompressed: true)
        }
        #expect(throws: MartletError.bodyTooLarge(limit: 100)) { try plain(nil, zeroes + [0], isCompressed: false) }
    }
}

/// A message or a fault.
private enum Read: Equatable {
    case message([UInt8], Bool)
    case fault(MartletError)
}

extension GRPCFrameReader {
    fileprivate mutating func read(_ bytes: some Sequence<UInt8>) -> [Read] {
        Array(bytes).withUnsafeBytes { append($0) }
        var reads: [Read] = []
        do throws(MartletError) {
            while let message = try next() { reads.append(.message(message.bytes, message.isCompressed)) }
        } catch {
            reads.append(.fault(error))
        }
        return reads
    }
}

@Suite struct GRPCFrameReaderTests {
    private static let stream = frame([1, 2, 3]) + frame([]) + frame([9], isCompressed: true) + frame(Array(0..<200))
    private static let messages: [Read] = [
        .message([1, 2, 3], false), .message([], false), .message([9], true), .message(Array(0..<200), false),
    ]

    @Test func readsAStreamInOnePieceAndFromEveryCut() {
        for cut in 0...Self.stream.count {
            var reader = GRPCFrameReader(limit: 200)
            let reads = reader.read(Self.stream[..<cut]) + reader.read(Self.stream[cut...])
            #expect(reads == Self.messages, "cut at \(cut)")
            #expect(!reader.isMidFrame && reader.bufferedBytes == 0)
        }
    }

    @Test func readsAStreamByteByByte() {
        var reader = GRPCFrameReader(limit: 200)
        var reads: [Read] = []
        for byte in Self.stream { reads += reader.read([byte]) }
        #expect(reads == Self.messages)
    }

    @Test func anUnfinishedFrameShows() {
        var reader = GRPCFrameReader(limit: 200)
        #expect(!reader.isMidFrame)
        for count in 1..<8 {
            #expect(reader.read([[0, 0, 0, 0, 3, 1, 2, 3][count - 1]]) == [])
            #expect(reader.isMidFrame, "after \(count) bytes")
        }
        #expect(reader.read([3]) == [.message([1, 2, 3], false)])
        #expect(!reader.isMidFrame)
    }

    @Test func aMessageOverTheLimitIsRefusedByItsHead() {
        var reader = GRPCFrameReader(limit: 199)
        #expect(reader.read([0, 0, 0, 0]) == [])
        #expect(reader.read([200]) == [.fault(.bodyTooLarge(limit: 199))])
        #expect(reader.bufferedBytes == 0)
        // For good, and what comes is not kept.
        #expect(reader.read(frame([1])) == [.fault(.bodyTooLarge(limit: 199))])
        #expect(reader.bufferedBytes == 0 && !reader.isMidFrame)
    }

    @Test func whatCameBeforeAFaultIsReadFirst() {
        var reader = GRPCFrameReader(limit: 10)
        let fault = MartletError.malformed("the message begins with a flag that has no meaning")
        #expect(reader.read(frame([1]) + [7, 0, 0, 0, 0] + frame([2])) == [.message([1], false), .fault(fault)])
    }

    @Test func memoryGrowsWithWhatArrivesAndNotWithWhatIsAnnounced() {
        var reader = GRPCFrameReader(limit: 1 << 30)
        #expect(reader.read([0, 0x3F, 0xFF, 0xFF, 0xFF]) == [])
        for _ in 0..<100 { #expect(reader.read([UInt8](repeating: 0, count: 100)) == []) }
        #expect(reader.bufferedBytes < 4 * 10_005)
    }

    @Test(arguments: 0..<4) func randomStreamsInRandomPiecesAreReadAsTheyWereWritten(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        for _ in 0..<200 {
            var stream: [UInt8] = []
            var written: [Read] = []
            for _ in 0..<Int.random(in: 0...8, using: &generator) {
                let message = generator.bytes(Int.random(in: 0...300, using: &generator))
                let isCompressed = Bool.random(using: &generator)
                stream += frame(message, isCompressed: isCompressed)
                written.append(.message(message, isCompressed))
            }
            var reader = GRPCFrameReader(limit: 300)
            var reads: [Read] = []
            var rest = stream[...]
            while !rest.isEmpty {
                let piece = rest.prefix(Int.random(in: 1...100, using: &generator))
                reads += reader.read(piece)
                rest = rest.dropFirst(piece.count)
                #expect(reader.bufferedBytes <= 2 * (300 + 5 + 100))
            }
            #expect(reads == written)
        }
    }

    @Test(arguments: 0..<4) func mutatedStreamsNeverTrapAndReadTheSameInPieces(seed: UInt64) {
        var generator = SeededGenerator(seed: 100 + seed)
        for _ in 0..<1000 {
            var stream = Self.stream
            for _ in 0..<Int.random(in: 1...4, using: &generator) {
                stream[Int.random(in: 0..<stream.count, using: &generator)] = UInt8.random(
                    in: 0...255, using: &generator)
            }
            var whole = GRPCFrameReader(limit: 1000)
            var pieces = GRPCFrameReader(limit: 1000)
            let expected = whole.read(stream)
            var reads: [Read] = []
            for start in stride(from: 0, to: stream.count, by: 7) {
                reads += pieces.read(stream[start..<min(start + 7, stream.count)])
                if case .fault? = reads.last { break }
            }
            #expect(reads == expected)
        }
    }
}
