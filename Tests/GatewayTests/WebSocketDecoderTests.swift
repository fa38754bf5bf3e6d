import Testing

@testable import Gateway

private func decoder(limit: Int = 1 << 20) -> WebSocketDecoder { WebSocketDecoder(messageBytesLimit: limit) }

@Suite struct WebSocketDecoderTests {
    // MARK: What is read

    /// RFC 6455 section 5.7, as a client sends them.
    @Test func readsTheExamplesOfTheRFC() {
        var decoder = decoder()
        #expect(
            decoder.read([0x81, 0x85, 0x37, 0xFA, 0x21, 0x3D, 0x7F, 0x9F, 0x4D, 0x51, 0x58]) == [.text("Hello")])
        // "A fragmented unmasked text message" with a key of zeroes, which changes nothing.
        #expect(decoder.read([0x01, 0x83, 0, 0, 0, 0, 0x48, 0x65, 0x6C]) == [])
        #expect(decoder.read([0x80, 0x82, 0, 0, 0, 0, 0x6C, 0x6F]) == [.text("Hello")])
        #expect(
            decoder.read([0x89, 0x85, 0x37, 0xFA, 0x21, 0x3D, 0x7F, 0x9F, 0x4D, 0x51, 0x58])
                == [.ping(Array("Hello".utf8))])
        #expect(decoder.read([0x8A, 0x85, 0x37, 0xFA, 0x21, 0x3D, 0x7F, 0x9F, 0x4D, 0x51, 0x58]) == [.pong])
        let quarter = [UInt8](repeating: 7, count: 256)
        #expect(decoder.read([0x82, 0xFE, 0x01, 0x00, 0, 0, 0, 0] + quarter) == [.binary(quarter)])
        let large = [UInt8](repeating: 9, count: 65_536)
        #expect(decoder.read([0x82, 0xFF, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0] + large) == [.binary(large)])
        #expect(decoder.bufferedBytes == 0)
    }

    @Test func theUnmaskedExamplesOfTheRFCAreRefused() {
        for bytes: [UInt8] in [
            [0x81, 0x05, 0x48, 0x65, 0x6C, 0x6C, 0x6F], [0x01, 0x03, 0x48, 0x65, 0x6C], [0x89, 0x05, 0x48],
            [0x82, 0x7E, 0x01, 0x00], [0x82, 0x7F, 0, 0, 0, 0, 0, 1, 0, 0],
        ] {
            var decoder = decoder()
            #expect(decoder.read(bytes) == [.violation(.unmasked)])
        }
    }

    /// One of everything, with control frames between and inside messages.
    private static let conversation: [UInt8] =
        clientText("first") + clientFrame(2, [0, 0xFF, 0x80]) + clientText("") + clientText("é", final: false)
        + clientFrame(9, "ping".utf8) + clientFrame(0, [0xE2, 0x82], final: false) + clientFrame(10, "pong".utf8)
        + clientFrame(0, [0xAC]) + clientFrame(2, (0..<300).map { UInt8(truncatingIfNeeded: $0) })
        + clientFrame(1, [], final: false) + clientFrame(0, [], final: false) + clientFrame(9, [])
        + clientFrame(0, "late".utf8) + clientFrame(8, [0x03, 0xE8] + Array("bye".utf8))

    private static let heard: [SeenEvent] = [
        .text("first"), .binary([0, 0xFF, 0x80]), .text(""), .ping(Array("ping".utf8)), .pong, .text("é€"),
        .binary((0..<300).map { UInt8(truncatingIfNeeded: $0) }), .ping([]), .text("late"), .close(1000, "bye"),
    ]

    @Test func aConversationIsReadAtOnce() {
        var decoder = decoder()
        #expect(decoder.read(Self.conversation) == Self.heard)
        #expect(!decoder.isInsideMessage)
        #expect(decoder.bufferedBytes == 0)
    }

    @Test func aCutAtAnyByteChangesNothing() {
        for cut in 0...Self.conversation.count {
            var decoder = decoder()
            let seen = decoder.read(pieces: [
                Array(Self.conversation[..<cut]), [], Array(Self.conversation[cut...]),
            ])
            #expect(seen == Self.heard)
            #expect(decoder.bufferedBytes == 0)
        }
    }

    @Test(arguments: 1...17)
    func piecesOfAnySizeChangeNothing(size: Int) {
        var decoder = decoder()
        let bytes = Self.conversation
        let pieces = stride(from: 0, to: bytes.count, by: size).map {
            Array(bytes[$0..<min(bytes.count, $0 + size)])
        }
        #expect(decoder.read(pieces: pieces) == Self.heard)
        #expect(decoder.bufferedBytes == 0)
    }

    @Test func unmaskingIsRightForEveryLengthAndCut() {
        var generator = SeededGenerator(seed: 6455)
        for length in 0...40 {
            let payload = generator.bytes(length)
            let frame = clientFrame(2, payload, mask: generator.bytes(4))
            for cut in 0...frame.count {
                var decoder = decoder()
                #expect(decoder.read(pieces: [Array(frame[..<cut]), Array(frame[cut...])]) == [.binary(payload)])
            }
        }
    }

    @Test func aBinaryMessageNeedNotBeText() {
        var decoder = decoder()
        #expect(decoder.read(clientFrame(2, [0xC0, 0x80])) == [.binary([0xC0, 0x80])])
        #expect(decoder.read(clientFrame(9, [0xFF])) == [.ping([0xFF])])
    }

    @Test func aScalarMayBeCutBetweenFragments() {
        let scalar = Array("😀".utf8)
        for cut in 0...4 {
            var decoder = decoder()
            let bytes = clientFrame(1, scalar[..<cut], final: false) + clientFrame(0, scalar[cut...])
            #expect(decoder.read(bytes) == [.text("😀")])
        }
    }

    // MARK: Violations

    struct Fault: CustomTestStringConvertible, Sendable {
        let violation: WebSocketViolation
        let bytes: [UInt8]
        /// At which byte it must be found, counted from 1, whatever follows.
        let place: Int
        var testDescription: String { "\(violation) \(bytes.prefix(16))" }

        init(_ violation: WebSocketViolation, _ bytes: [UInt8], at place: Int) {
            self.violation = violation
            self.bytes = bytes
            self.place = place
        }
    }

    private static let begun = clientText("begun", final: false)

    static let faults: [Fault] =
        [
            Fault(.reservedBits, [0xC1], at: 1), Fault(.reservedBits, [0xA1], at: 1),
            Fault(.reservedBits, [0x91], at: 1), Fault(.reservedBits, [0xF8], at: 1),
            Fault(.fragmentedControlFrame, [0x08], at: 1), Fault(.fragmentedControlFrame, [0x09], at: 1),
            Fault(.fragmentedControlFrame, [0x0A], at: 1),
            Fault(.unmasked, [0x81, 0x00], at: 2), Fault(.unmasked, [0x88, 0x02, 0x03, 0xE8], at: 2),
            Fault(.oversizedControlFrame, [0x88, 0xFE, 0, 126], at: 2),
            Fault(.oversizedControlFrame, [0x89, 0xFE, 0, 1], at: 2),
            Fault(.oversizedControlFrame, [0x8A, 0xFF], at: 2),
            Fault(.nonMinimalLength, [0x81, 0xFE, 0, 125], at: 4),
            Fault(.nonMinimalLength, [0x81, 0xFE, 0, 0], at: 4),
            Fault(.nonMinimalLength, [0x82, 0xFF, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF], at: 10),
            Fault(.nonMinimalLength, [0x82, 0xFF, 0, 0, 0, 0, 0, 0, 0, 0], at: 10),
            Fault(.unexpectedContinuation, [0x80], at: 1), Fault(.unexpectedContinuation, [0x00], at: 1),
            Fault(.unexpectedContinuation, clientText("whole") + [0x80], at: 12),
            Fault(.unfinishedMessage, begun + [0x81], at: begun.count + 1),
            Fault(.unfinishedMessage, begun + [0x02], at: begun.count + 1),
            Fault(.unfinishedMessage, begun + clientFrame(9, []) + [0x82], at: begun.count + 7),
            Fault(.messageTooLarge, [0x82, 0xFF] + bigEndian(1 << 20 + 1), at: 10),
            Fault(.messageTooLarge, [0x82, 0xFF] + bigEndian(1 << 63), at: 10),
            Fault(.messageTooLarge, [0x01, 0xFF] + bigEndian(.max), at: 10),
            Fault(.messageTooLarge, begun + [0x80, 0xFF] + bigEndian(1 << 20 - 4), at: begun.count + 10),
            Fault(.truncatedCloseCode, clientFrame(8, [0x03]), at: 7),
        ]
        + [3, 4, 5, 6, 7, 11, 12, 13, 14, 15].flatMap { (opcode: UInt8) in
            [Fault(.reservedOpcode, [0x80 | opcode], at: 1), Fault(.reservedOpcode, [opcode], at: 1)]
        }
        + [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535].map { (code: UInt64) in
            Fault(.invalidCloseCode, clientFrame(8, bigEndian(code).suffix(2)), at: 8)
        }
        + [
            [0x80], [0xC0, 0x80], [0xC3], [0xE2, 0x82], [0xED, 0xA0, 0x80], [0xF0, 0x80, 0x80, 0x80],
            [0xF4, 0x90, 0x80, 0x80], [0xF8, 0x88, 0x80, 0x80, 0x80], [0xFF], [0x61, 0xFE, 0x62],
        ].flatMap { (wrong: [UInt8]) in
            [
                Fault(.invalidText, clientFrame(1, wrong), at: 6 + wrong.count),
                Fault(
                    .invalidText, clientFrame(1, Array("long enough for words".utf8) + wrong), at: 27 + wrong.count),
                Fault(.invalidText, begun + clientFrame(0, wrong), at: begun.count + 6 + wrong.count),
                Fault(.invalidCloseReason, clientFrame(8, [0x03, 0xE8] + wrong), at: 8 + wrong.count),
            ]
        }

    @Test(arguments: faults)
    func aFaultIsFoundAtItsByteWhateverTheCut(fault: Fault) {
        for cut in 0..<fault.place {
            var decoder = decoder()
            #expect(decoder.read(fault.bytes[..<cut]).allSatisfy { $0 == .text("whole") || $0 == .ping([]) })
            #expect(decoder.read(fault.bytes[cut..<fault.place]).last == .violation(fault.violation))
            #expect(decoder.bufferedBytes == 0)
            #expect(!decoder.isInsideMessage)
        }
        var early = decoder()
        for byte in fault.bytes[..<(fault.place - 1)] {
            #expect(early.read([byte]).allSatisfy { $0 == .text("whole") || $0 == .ping([]) })
        }
    }

    @Test func everyViolationHasItsCode() {
        #expect(
            WebSocketViolation.allCases.map(\.closeCode)
                == [1002, 1002, 1002, 1002, 1002, 1002, 1002, 1002, 1009, 1008, 1007, 1002, 1002, 1007])
        for violation in WebSocketViolation.allCases {
            #expect(WebSocketEvent.isSendable(violation.closeCode))
            #expect((1...WebSocketEncoder.reasonBytesLimit).contains(violation.reason.utf8.count))
        }
        let found = Set(Self.faults.map { "\($0.violation)" }).union(["\(WebSocketViolation.tooManyFragments)"])
        #expect(found.count == WebSocketViolation.allCases.count)
    }

    @Test func aViolationComesAfterWhatWasRightAndIsFinal() {
        var decoder = decoder()
        #expect(decoder.read(clientText("right") + [0x80]) == [.text("right"), .violation(.unexpectedContinuation)])
        #expect(decoder.read(clientText("later")) == [.violation(.unexpectedContinuation)])
        #expect(decoder.read([]) == [.violation(.unexpectedContinuation)])
        #expect(decoder.bufferedBytes == 0)
    }

    @Test(arguments: [1000, 1001, 1002, 1003, 1007, 1008, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999] as [UInt16])
    func aCloseCodeThatMayBeSentIsHandedOut(code: UInt16) {
        var decoder = decoder()
        #expect(decoder.read(clientFrame(8, bigEndian(UInt64(code)).suffix(2))) == [.close(code, "")])
    }

    @Test func aCloseMayHaveNoCodeOrTheLongestReason() {
        var decoder = decoder()
        #expect(decoder.read(clientFrame(8, [])) == [.close(nil, "")])
        var other = WebSocketDecoder(messageBytesLimit: 0)
        let reason = String(repeating: "r", count: 123)
        #expect(other.read(clientFrame(8, [0x0F, 0xA0] + Array(reason.utf8))) == [.close(4000, reason)])
    }

    @Test func nothingIsReadAfterAClose() {
        var decoder = decoder()
        #expect(decoder.read(clientFrame(8, []) + clientText("after") + [0xFF, 0xFF]) == [.close(nil, "")])
        #expect(decoder.read([0xFF] + clientText("after")) == [])
        var inside = WebSocketDecoder(messageBytesLimit: 100)
        #expect(inside.read(Self.begun + clientFrame(8, [])) == [.close(nil, "")])
        #expect(!inside.isInsideMessage)
        #expect(inside.bufferedBytes == 0)
    }

    // MARK: Limits

    @Test func aMessageMayBeAsLargeAsTheLimitAndNoLarger() {
        for limit in [0, 1, 125, 126, 127, 65_535, 65_536, 70_000] {
            let most = [UInt8](repeating: 1, count: limit)
            var decoder = decoder(limit: limit)
            #expect(decoder.read(clientFrame(2, most)) == [.binary(most)])
            // The head alone tells, before its masking key and payload.
            let over = clientFrame(2, most + [1])
            let lengthEnd = over.count - limit - 1 - 4
            #expect(decoder.read(over[..<(lengthEnd - 1)]) == [])
            #expect(decoder.read([over[lengthEnd - 1]]) == [.violation(.messageTooLarge)])
            #expect(decoder.bufferedBytes == 0)
        }
    }

    @Test func fragmentsCountTogether() {
        var decoder = decoder(limit: 10)
        let part = [UInt8](repeating: 1, count: 4)
        let begun = clientFrame(2, part, final: false) + clientFrame(0, part, final: false)
        #expect(decoder.read(begun + clientFrame(0, [2, 2])) == [.binary(part + part + [2, 2])])
        #expect(decoder.read(begun + [0x80, 0x83]) == [.violation(.messageTooLarge)])
    }

    @Test func controlFramesAreNoPartOfTheMessage() {
        var decoder = decoder(limit: 4)
        let ping = [UInt8](repeating: 1, count: 125)
        let bytes = clientFrame(1, "ab".utf8, final: false) + clientFrame(9, ping) + clientFrame(0, "cd".utf8)
        #expect(decoder.read(bytes) == [.ping(ping), .text("abcd")])
    }

    @Test func theLimitMayChange() {
        var decoder = decoder(limit: 4)
        #expect(decoder.read(clientText("four")) == [.text("four")])
        decoder.messageBytesLimit = 5
        #expect(decoder.read(clientText("fives", final: false)) == [])
        decoder.messageBytesLimit = 3
        #expect(decoder.read(clientFrame(0, [])) == [.text("fives")])
        #expect(decoder.read(clientText("four")) == [.violation(.messageTooLarge)])
        decoder.messageBytesLimit = -1
        #expect(decoder.read([]) == [.violation(.messageTooLarge)])
    }

    @Test func emptyFragmentsDoNotGoOnForEver() {
        var decoder = decoder()
        let empty = clientFrame(0, [], final: false)
        let most = [clientText("", final: false)] + Array(repeating: empty, count: WebSocketDecoder.fragmentLimit - 2)
        // Control frames do not count, and one message's fragments not towards another's.
        for _ in 0..<2 {
            #expect(
                decoder.read(most.joined() + clientFrame(9, []) + clientFrame(0, [0x61])) == [.ping([]), .text("a")])
        }
        #expect(decoder.read(most.joined()) == [])
        #expect(decoder.read(empty) == [])
        #expect(decoder.read([0x80]) == [.violation(.tooManyFragments)])
    }

    // MARK: Memory

    @Test func anIdleDecoderOwnsNothing() {
        var decoder = decoder()
        #expect(decoder.bufferedBytes == 0)
        #expect(MemoryLayout<WebSocketDecoder>.size <= 128)
        for size in [0, 1, 100, 1000, 10_000, 100_000] {
            let frame = clientFrame(2, [UInt8](repeating: 1, count: size))
            _ = decoder.read(frame)
            #expect(decoder.bufferedBytes == 0)
            _ = decoder.read(frame.dropLast())
            #expect(decoder.isInsideMessage)
            #expect(size <= 1 || decoder.bufferedBytes >= size - 1)
            _ = decoder.read(frame.suffix(1))
            #expect(!decoder.isInsideMessage)
            #expect(decoder.bufferedBytes == 0)
        }
    }

    @Test func aPartOfAHeadIsInsideAMessageAndTakesNoMemory() {
        let frame = clientFrame(2, [UInt8](repeating: 1, count: 70_000))
        for count in 1...14 {
            var decoder = decoder()
            _ = decoder.read(frame[..<count])
            #expect(decoder.isInsideMessage)
            #expect(decoder.bufferedBytes == 0)
        }
    }

    @Test func memoryFollowsWhatArrivedAndNotWhatWasAnnounced() {
        var decoder = decoder()
        let frame = clientFrame(2, [UInt8](repeating: 1, count: 1 << 20))
        _ = decoder.read(frame[..<15])
        #expect(decoder.bufferedBytes <= 64)
        _ = decoder.read(frame[15..<10_000])
        #expect((9_000...21_000).contains(decoder.bufferedBytes))
        _ = decoder.read(frame[10_000..<600_000])
        // Nothing is reserved beyond the end of the message.
        #expect((590_000..<1 << 20 + 4096).contains(decoder.bufferedBytes))
    }

    // MARK: Stopping

    @Test(arguments: 1...4)
    func anOwnerMayStopAfterAnyEventAndGoOn(count: Int) {
        for cut in stride(from: 0, through: Self.conversation.count, by: 7) {
            var decoder = decoder()
            var seen = decoder.read(Self.conversation[..<cut], upTo: count)
            seen += decoder.read(Self.conversation[cut...], upTo: count)
            var rounds = 0
            while decoder.hasUnread, rounds < 20 {
                let more = decoder.read([], upTo: count)
                #expect(more.count <= count)
                seen += more
                rounds += 1
            }
            #expect(seen == Self.heard)
            #expect(decoder.bufferedBytes == 0)
        }
    }

    @Test func aStoppedDecoderSaysWhatItKeeps() {
        var decoder = decoder()
        #expect(decoder.read(clientText("one") + clientText("two"), upTo: 1) == [.text("one")])
        #expect(decoder.hasUnread)
        #expect(!decoder.isInsideMessage)
        #expect(decoder.bufferedBytes >= 9)
        #expect(decoder.read(clientText("three")) == [.text("two"), .text("three")])
        #expect(!decoder.hasUnread)
        #expect(decoder.bufferedBytes == 0)
    }

    @Test func aViolationBehindAStopWaits() {
        var decoder = decoder()
        #expect(decoder.read(clientText("one") + [0x80], upTo: 1) == [.text("one")])
        #expect(decoder.read([]) == [.violation(.unexpectedContinuation)])
        #expect(!decoder.hasUnread)
    }

    @Test func manyMessagesReadOneAtATimeWhileMoreArriveKeepTheirOrder() {
        var decoder = decoder()
        var seen: [SeenEvent] = []
        let batch = (0..<10).map { clientText("\($0)") }.joined()
        for _ in 0..<100 { seen += decoder.read(batch, upTo: 1) }
        for _ in 0..<900 { seen += decoder.read([], upTo: 1) }
        #expect(seen == (0..<1000).map { .text("\($0 % 10)") })
        #expect(decoder.bufferedBytes == 0)
    }

    @Test func bytesThatWereReadAreGivenBackThoughOthersAlwaysWait() {
        var decoder = decoder()
        let message = clientText(String(repeating: "m", count: 94))
        for _ in 0..<10 { _ = decoder.read(message, upTo: 1) }
        #expect(decoder.hasUnread == false)
        _ = decoder.read(Array(repeating: message, count: 10).joined(), upTo: 1)
        for _ in 0..<1000 {
            #expect(decoder.read(message, upTo: 1).count == 1)
            #expect(decoder.hasUnread)
            #expect(decoder.bufferedBytes <= 4 * 10 * message.count)
        }
    }
}
