import Testing

@testable import Gateway

/// What a decoder made of some bytes, with copies of the arguments.
private enum Seen: Equatable {
    case command([[UInt8]])
    case nothing
    case refused(RESPDecoder.Refusal)
    case violation(String)

    static func words(_ words: String...) -> Seen { .command(words.map { Array($0.utf8) }) }
}

/// Feeds a decoder as a connection does: what is not used up stays in front of what comes.
private struct Reader {
    var decoder = RESPDecoder()
    private var pending: [UInt8] = []
    private(set) var seen: [Seen] = []
    /// The most that had to be kept.
    private(set) var mostPending = 0

    init(isAuthenticated: Bool = true, arguments: Int = 65_536, commandBytes: Int = 32 << 20) {
        decoder.limits.isAuthenticated = isAuthenticated
        decoder.limits.arguments = arguments
        decoder.limits.commandBytes = commandBytes
    }

    mutating func feed(_ bytes: some Sequence<UInt8>) {
        pending += bytes
        while step() {}
        mostPending = max(mostPending, pending.count)
    }

    private mutating func step() -> Bool {
        if case .violation = seen.last { return false }
        let before = decoder
        let (decoder, used, seen, isMore) = pending.withUnsafeBytes {
            bytes -> (RESPDecoder, Int, Seen?, Bool) in
            var decoder = before
            let step = decoder.next(bytes)
            switch step {
            case .command(let count):
                let words = decoder.words
                let arguments = decoder.slices.map { slice in
                    let range = Int(slice.start)..<Int(slice.start) + Int(slice.count)
                    return words.map { Array($0[range]) } ?? Array(bytes[range])
                }
                decoder.finish()
                return (decoder, count, .command(arguments), true)
            case .nothing(let count): return (decoder, count, .nothing, true)
            case .needsMore: return (decoder, 0, nil, false)
            case .dropped(let count): return (decoder, count, nil, count < bytes.count)
            case .refused(let count, let refusal):
                decoder.finish()
                return (decoder, count, .refused(refusal), true)
            case .violation(let what): return (decoder, 0, .violation(what), false)
            }
        }
        self.decoder = decoder
        pending.removeFirst(used)
        if let seen { self.seen.append(seen) }
        return isMore && !pending.isEmpty
    }

    static func read(
        _ text: String, isAuthenticated: Bool = true, arguments: Int = 65_536, commandBytes: Int = 32 << 20
    ) -> [Seen] {
        var reader = Reader(isAuthenticated: isAuthenticated, arguments: arguments, commandBytes: commandBytes)
        reader.feed(text.utf8)
        return reader.seen
    }
}

@Suite struct RESPDecoderTests {
    @Test func arraysAndLinesAreCommands() {
        #expect(Reader.read("*2\r\n$3\r\nGET\r\n$1\r\nk\r\n") == [.words("GET", "k")])
        #expect(Reader.read("GET k\r\n") == [.words("GET", "k")])
        #expect(Reader.read("GET k\n") == [.words("GET", "k")])
        #expect(Reader.read("*1\r\n$0\r\n\r\n") == [.words("")])
        #expect(Reader.read("PING\r\n*1\r\n$4\r\nPING\r\n") == [.words("PING"), .words("PING")])
        #expect(Reader.read("\r\n*0\r\n*-1\r\n  \r\n") == [.nothing, .nothing, .nothing, .nothing])
    }

    @Test func wordsMayBeQuoted() {
        #expect(Reader.read("SET \"a b\" 'c d'\r\n") == [.words("SET", "a b", "c d")])
        #expect(
            Reader.read("SET \"\\x00\\xfF\\n\\r\\t\\a\\b\\q\\\"\" 'it\\'s \\n'\r\n")
                == [
                    .command([
                        Array("SET".utf8), [0, 0xFF, 0x0A, 0x0D, 0x09, 0x07, 0x08, 0x71, 0x22],
                        Array("it's \\n".utf8),
                    ])
                ])
        #expect(Reader.read("a\"b c\"\r\n") == [.words("ab c")])
        for line in ["SET \"a", "SET 'a", "SET \"a\"b", "SET 'a'b", "\"\\"] {
            #expect(Reader.read(line + "\r\n") == [.violation("unbalanced quotes in request")], "\(line)")
        }
    }

    @Test(arguments: [
        ("*x\r\n", "invalid multibulk length"), ("*99999999999\r\n", "invalid multibulk length"),
        ("*\r\n", "invalid multibulk length"), ("*1\r\nGET\r\n", "expected '$', got 'G'"),
        ("*1\r\n$x\r\n", "invalid bulk length"), ("*1\r\n$-1\r\n", "invalid bulk length"),
        ("*1\r\n$536870913\r\n", "invalid bulk length"), ("*1\r\n$\r\n", "invalid bulk length"),
        ("*1\r\n$9223372036854775808\r\n", "invalid bulk length"),
    ])
    func whatCannotBeToldApartEndsIt(text: String, reason: String) {
        #expect(Reader.read(text) == [.violation(reason)])
    }

    @Test func linesHaveAnEnd() {
        let long = String(repeating: "1", count: 70_000)
        #expect(Reader.read(long) == [.violation("too big inline request")])
        #expect(Reader.read("*" + long) == [.violation("too big mbulk count string")])
        #expect(Reader.read("*1\r\n$" + long) == [.violation("too big bulk count string")])
    }

    @Test func whoHasNotShownWhoHeIsMaySendLittle() {
        #expect(Reader.read("*11\r\n", isAuthenticated: false) == [.violation("unauthenticated multibulk length")])
        #expect(
            Reader.read("*1\r\n$16385\r\n", isAuthenticated: false) == [.violation("unauthenticated bulk length")])
        #expect(
            Reader.read("*2\r\n$4\r\nAUTH\r\n$1\r\nx\r\n", isAuthenticated: false) == [.words("AUTH", "x")])
    }

    @Test func whatIsTooMuchIsDroppedAndAnsweredAndWhatFollowsIsRead() {
        let after = "*1\r\n$4\r\nPING\r\n"
        let many = "*5\r\n" + String(repeating: "$1\r\na\r\n", count: 5)
        let large = "*2\r\n$3\r\nGET\r\n$200\r\n" + String(repeating: "x", count: 200) + "\r\n"
        for (text, refusal) in [(many, RESPDecoder.Refusal.tooManyArguments), (large, .tooLarge)] {
            let expected: [Seen] = [.refused(refusal), .words("PING")]
            #expect(Reader.read(text + after, arguments: 4, commandBytes: 100) == expected)
            for size in 1...40 {
                var reader = Reader(arguments: 4, commandBytes: 100)
                let bytes = Array((text + after).utf8)
                for start in stride(from: 0, to: bytes.count, by: size) {
                    reader.feed(bytes[start..<min(bytes.count, start + size)])
                }
                #expect(reader.seen == expected, "in pieces of \(size)")
                #expect(reader.mostPending < 100)
            }
        }
    }

    @Test func aCutAtAnyByteChangesNothing() {
        let text =
            "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nv\r\n\0x\r\nPING\r\n*0\r\n\r\n*1\r\n$4\r\nPING\r\nSET \"a b\" c\r\n"
        let whole = Reader.read(text)
        #expect(whole.count == 6)
        let bytes = Array(text.utf8)
        for cut in 0...bytes.count {
            var reader = Reader()
            reader.feed(bytes[..<cut])
            reader.feed(bytes[cut...])
            #expect(reader.seen == whole, "cut at \(cut)")
        }
        var reader = Reader()
        for byte in bytes { reader.feed([byte]) }
        #expect(reader.seen == whole)
    }

    /// Mutated bytes never trap, and in pieces they are what they are in one.
    @Test(arguments: 0..<20) func damagedBytesAreReadTheSameInPieces(seed: Int) {
        var random = SeededGenerator(seed: UInt64(seed))
        let base = Array(
            "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$3\r\nabc\r\nGET 'a' \"b\"\r\n*1\r\n$4\r\nPING\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"
                .utf8)
        for _ in 0..<200 {
            var bytes = base
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            var whole = Reader(arguments: 8, commandBytes: 64)
            whole.feed(bytes)
            var pieces = Reader(arguments: 8, commandBytes: 64)
            var start = 0
            while start < bytes.count {
                let end = min(bytes.count, start + Int.random(in: 1...9, using: &random))
                pieces.feed(bytes[start..<end])
                start = end
            }
            #expect(whole.seen == pieces.seen, "seed \(seed): \(bytes)")
        }
    }
}
