import NIOCore
import Tenancy
import Testing

@testable import Gateway

private func encode(_ bytes: [UInt8]) -> String {
    var buffer = ByteBuffer()
    bytes.withUnsafeBytes { GRPCWebText.encode($0, into: &buffer) }
    return String(buffer: buffer)
}

/// What the pieces decode to, or nil for a fault.
private func decode(_ pieces: [[UInt8]]) -> [UInt8]? {
    var decoder = GRPCWebTextDecoder()
    var buffer = ByteBuffer()
    do throws(MartletError) {
        for piece in pieces {
            try piece.withUnsafeBufferPointer { (piece) throws(MartletError) in
                try decoder.decode(UnsafeRawBufferPointer(piece), into: &buffer)
            }
        }
        try decoder.finish()
    } catch {
        #expect(error == .malformed("the body is not base64, as its content type says"))
        return nil
    }
    return Array(buffer.readableBytesView)
}

private func decode(_ text: String) -> [UInt8]? { decode([Array(text.utf8)]) }

@Suite struct GRPCWebTextTests {
    /// RFC 4648 section 10.
    static let vectors = [
        ("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE="),
        ("foobar", "Zm9vYmFy"),
    ]

    @Test(arguments: vectors) func theVectorsOfTheRFC(plain: String, text: String) {
        #expect(encode(Array(plain.utf8)) == text)
        #expect(decode(text) == Array(plain.utf8))
        #expect(GRPCWebText.encodedCount(plain.utf8.count) == text.utf8.count)
    }

    @Test func everyLetterHasItsPlace() {
        // All 64 letters in order, as three bytes of each four of them.
        let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        let decoded = decode(alphabet)
        #expect(decoded?.prefix(3) == [0x00, 0x10, 0x83])
        #expect(decoded?.suffix(3) == [0xF3, 0xDF, 0xBF])
        #expect(decoded.map(encode) == alphabet)
    }

    @Test func paddingMayStandInside() {
        #expect(decode("Zg==Zm8=Zm9v") == Array("ffofoo".utf8))
        #expect(decode("AAAAAAA=AAAA") == [UInt8](repeating: 0, count: 8))
    }

    @Test(arguments: [
        "A", "AA", "AAA", "AAAAA", "=", "A=", "A===", "====", "Zg=", "Zg=Z", "Zg===", "Zm8==", "Zm9v=", "Z=g=", "AAAA=",
        "Zh==", "Zm9=", "Zm9v\n", "Zm 9v", "Zm-_", "Zm9\u{0}", "Zm9é",
    ])
    func refusesWhatIsNoBase64(text: String) {
        #expect(decode(text) == nil)
    }

    @Test func everyCutGivesTheSame() {
        let text = Array("Zg==Zm8=Zm9vYmFyAAAAAAA=Zm9vYg==".utf8)
        let whole = decode([text])
        #expect(whole == Array("ffofoobar".utf8) + [0, 0, 0, 0, 0] + Array("foob".utf8))
        for first in 0...text.count {
            for second in first...text.count {
                #expect(
                    decode([Array(text[..<first]), Array(text[first..<second]), Array(text[second...])]) == whole,
                    "cut at \(first) and \(second)")
            }
        }
    }

    @Test(arguments: 0..<4) func whatIsEncodedInPiecesIsDecodedInOthers(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        for _ in 0..<500 {
            var bytes: [UInt8] = []
            var text: [UInt8] = []
            for _ in 0..<Int.random(in: 0...5, using: &generator) {
                let piece = generator.bytes(Int.random(in: 0...100, using: &generator))
                bytes += piece
                text += encode(piece).utf8
            }
            var pieces: [[UInt8]] = []
            while !text.isEmpty {
                let count = min(text.count, Int.random(in: 1...50, using: &generator))
                pieces.append(Array(text[..<count]))
                text.removeFirst(count)
            }
            #expect(decode(pieces) == bytes)
        }
    }

    @Test(arguments: 0..<4) func mutatedTextNeverTrapsAndIsTheSameInPieces(seed: UInt64) {
        var generator = SeededGenerator(seed: 50 + seed)
        let letters = Array("AZaz09+/==-_ \n".utf8)
        for _ in 0..<5000 {
            var text = Array((encode(generator.bytes(20)) + encode(generator.bytes(4))).utf8)
            for _ in 0..<Int.random(in: 1...4, using: &generator) {
                text[Int.random(in: 0..<text.count, using: &generator)] =
                    Bool.random(using: &generator)
                    ? letters.randomElement(using: &generator) ?? 0
                    : UInt8(
                        truncatingIfNeeded: generator.next())
            }
            #expect(decode([text]) == decode(text.map { [$0] }))
        }
    }

    @Test func aFaultIsFinal() {
        var decoder = GRPCWebTextDecoder()
        var buffer = ByteBuffer()
        func feed(_ text: String) -> Bool {
            do throws(MartletError) {
                try Array(text.utf8).withUnsafeBufferPointer { (bytes) throws(MartletError) in
                    try decoder.decode(UnsafeRawBufferPointer(bytes), into: &buffer)
                }
                return true
            } catch {
                return false
            }
        }
        #expect(feed("Zm9v"))
        #expect(!feed("Zg==Z$"))
        #expect(!feed("AAAA"))
        #expect(throws: MartletError.self) { try decoder.finish() }
        #expect(String(buffer: buffer) == "foof")
    }
}

@Suite struct GRPCWebTrailersTests {
    private func frame(_ trailers: [(name: String, value: String)]) -> [UInt8] {
        var buffer = ByteBuffer(string: "before")
        GRPCWebTrailers.write(trailers, to: &buffer)
        #expect(buffer.readString(length: 6) == "before")
        return Array(buffer.readableBytesView)
    }

    @Test func aFrameOfLines() {
        #expect(frame([("grpc-status", "0")]) == [0x80, 0, 0, 0, 16] + Array("grpc-status: 0\r\n".utf8))
        let text = "grpc-status: 5\r\ngrpc-message: Cache Not Found\r\nerr: x\r\n"
        #expect(
            frame([("grpc-status", "5"), ("grpc-message", "Cache Not Found"), ("err", "x")])
                == [0x80, 0, 0, 0, UInt8(text.utf8.count)] + Array(text.utf8))
        #expect(frame([]) == [0x80, 0, 0, 0, 0])
    }

    @Test func theLengthIsBigEndian() {
        let long = String(repeating: "x", count: 70_000)
        let written = frame([("err", long)])
        #expect(written.count == 5 + 70_007)
        #expect(Array(written[..<5]) == [0x80, 0, 1, 0x11, 0x77])
    }

    @Test func aLineBreakInAValueBeginsNoOtherTrailer() {
        #expect(
            frame([("grpc-message", "a\r\ngrpc-status: 0")]).dropFirst(5)
                == ArraySlice(Array("grpc-message: a  grpc-status: 0\r\n".utf8)))
    }
}

@Suite struct GRPCWebCORSTests {
    private func allowed(_ requested: String?) -> String? {
        let bytes = requested.map { Array($0.utf8) }
        let fields =
            bytes?.withUnsafeBytes { GRPCWebCORS.preflight(requested: $0) } ?? GRPCWebCORS.preflight(requested: nil)
        #expect(
            fields.map(\.name) == [
                "access-control-allow-methods", "access-control-allow-headers", "access-control-max-age",
            ])
        #expect(fields[0].value == "POST, OPTIONS" && fields[2].value == "86400")
        return fields[1].value
    }

    @Test(arguments: [
        "authorization,cache,content-type,x-grpc-web,x-user-agent", "x", "a, b ,\tc", "request-id, error-rpcs",
        "X-Custom!#$%&'*+-.^_`|~09",
    ])
    func aSaneListComesBack(requested: String) {
        #expect(allowed(requested) == requested)
    }

    @Test(arguments: [
        nil, "", ",", "a,,b", "a,", "a b", "a\r\nset-cookie: x", "a:b", "é", "a;b", "\"a\"",
        String(repeating: "a", count: 1025),
    ])
    func anythingElseGetsTheDefault(requested: String?) {
        #expect(
            allowed(requested)
                == "content-type, x-grpc-web, x-user-agent, grpc-timeout, authorization, cache, agent, "
                + "runtime-version, read-concern, request-id")
    }

    @Test func theLongestListIsBounded() {
        let longest = String(repeating: "a", count: 1024)
        #expect(allowed(longest) == longest)
        #expect("\(GRPCWebCORS.exposedHeaders)" == "grpc-status, grpc-message, err, grpc-status-details-bin")
    }
}
