import Access
import Foundation
import NIOCore
import Tenancy
import Testing
import Topics

@testable import Gateway

/// What stands on the wire, read by another reader: Foundation's.
@Suite struct TopicWireTests {
    private struct Item: Decodable, Equatable {
        struct Value: Decodable, Equatable {
            var text: String?
            var binary: String?
        }

        var topic_sequence_number: UInt64
        var sequence_page: UInt64
        var value: Value
        var publisher_id: String?
    }

    private func message(
        _ bytes: [UInt8], _ kind: TopicValueKind = .text, sequence: UInt64 = 1, page: UInt64 = 2,
        publisherID: String = ""
    ) -> TopicMessage {
        bytes.withUnsafeBytes {
            TopicMessage(
                $0, kind, at: TopicPosition(sequence: sequence, page: page), publisherID: Array(publisherID.utf8),
                publishedAt: Timestamp(milliseconds: 0))
        }
    }

    private func json(_ message: TopicMessage) -> [UInt8] {
        var buffer = ByteBuffer()
        TopicWire.writeItem(message, to: &buffer)
        return Array(buffer.readableBytesView)
    }

    private func read(_ json: [UInt8]) throws -> Item {
        try JSONDecoder().decode(Item.self, from: Data(json))
    }

    private func expectRoundTrip(_ text: String, publisherID: String = "", _ comment: Comment? = nil) throws {
        let json = json(message(Array(text.utf8), publisherID: publisherID))
        let item = try read(json)
        // By bytes: texts that are equal in the eyes of Unicode are not the same message.
        #expect(item.value.text.map { Array($0.utf8) } == Array(text.utf8), comment)
        #expect(item.publisher_id.map { Array($0.utf8) } ?? [] == Array(publisherID.utf8), comment)
        // An event has it on one line, whatever its reader takes for the end of one.
        #expect(!json.contains { $0 < 0x20 }, comment)
    }

    @Test func aTextGoesAsItIs() throws {
        #expect(
            String(
                decoding: json(message(Array("a\"b\\c\n\t\u{0}é😀/\u{7F}".utf8), sequence: 104, page: 1_748_358_253)),
                as: UTF8.self)
                == "{\"topic_sequence_number\":104,\"sequence_page\":1748358253,\"value\":{\"text\":\"a\\\"b\\\\c\\n\\u0009\\u0000é😀/\u{7F}\"}}"
        )
        #expect(
            String(decoding: json(message([], publisherID: "x\"y")), as: UTF8.self)
                == "{\"topic_sequence_number\":1,\"sequence_page\":2,\"value\":{\"text\":\"\"},\"publisher_id\":\"x\\\"y\"}"
        )
    }

    @Test func everyScalarOfUnicodeArrives() throws {
        var text = String.UnicodeScalarView()
        for code in 0...0x10FFFF as ClosedRange<UInt32> {
            if let scalar = Unicode.Scalar(code) { text.append(scalar) }
            if text.count == 0x4000 || code == 0x10FFFF {
                try expectRoundTrip(String(text), "up to \(code)")
                text.removeAll()
            }
        }
    }

    @Test func textsOfAGeneratorArrive() throws {
        let alphabet = Array(
            "\"\\/\u{0}\u{1}\u{8}\t\n\u{B}\u{C}\r\u{1B}\u{1F} aZ\u{7F}\u{80}\u{85}éße\u{301}€\u{2028}\u{2029}\u{FEFF}\u{FFFD}\u{FFFF}😀👩‍👩‍👧\u{10FFFF}"
                .unicodeScalars)
        for seed in 0..<2000 as Range<UInt64> {
            var generator = SeededGenerator(seed: seed)
            func text(upTo most: Int) -> String {
                var scalars = String.UnicodeScalarView()
                for _ in 0..<Int.random(in: 0...most, using: &generator) {
                    scalars.append(alphabet.randomElement(using: &generator) ?? "a")
                }
                return String(scalars)
            }
            try expectRoundTrip(text(upTo: 60), publisherID: text(upTo: 8), "seed \(seed)")
        }
    }

    @Test func bytesGoAsBase64() throws {
        for seed in 0..<200 as Range<UInt64> {
            var generator = SeededGenerator(seed: seed)
            let bytes = generator.bytes(Int(seed))
            let item = try read(json(message(bytes, .binary)))
            #expect(item.value.text == nil)
            #expect(item.value.binary.flatMap { Data(base64Encoded: $0) }.map(Array.init) == bytes, "seed \(seed)")
        }
    }

    @Test(arguments: [0, 1, 9, 10, 99, 100, 1_000_000_007, UInt64(Int64.max), .max - 1, .max])
    func numbersGoWhole(number: UInt64) throws {
        let item = try read(json(message([], sequence: number, page: number)))
        #expect(item.topic_sequence_number == number)
        #expect(item.sequence_page == number)
        var buffer = ByteBuffer()
        TopicWire.writeDiscontinuity(
            TopicDiscontinuity(lastSequence: number, newSequence: number, page: number), to: &buffer)
        #expect(
            String(buffer: buffer)
                == "{\"last_topic_sequence\":\(number),\"new_topic_sequence\":\(number),\"new_sequence_page\":\(number)}"
        )
    }

    // MARK: Batches

    @Test func framesAndEventsOfABatchHaveTheSameItems() throws {
        var generator = SeededGenerator(seed: 5)
        // Around the lengths at which the head of a frame grows.
        let lengths = [0, 1, 30, 50, 51, 52, 53, 54, 60, 65_400, 65_450, 65_470, 65_480, 65_500, 70_000]
        let messages = lengths.enumerated().map { index, length in
            message(
                generator.bytes(length).map { 0x61 + $0 % 26 }, sequence: UInt64(index + 1), page: 9,
                publisherID: index % 2 == 0 ? "" : "me")
        }
        let encoded = EncodedBatch.of(TopicBatch(messages))
        let told = Subscriber.frames(Array(encoded.frames.readableBytesView))
        #expect(told.map(\.name) == Array(repeating: "item", count: lengths.count))
        #expect(told.map(\.sequence) == (1...lengths.count).map { UInt64($0) })
        #expect(told.map { $0.text?.utf8.count } == lengths)
        let events = String(buffer: encoded.events).components(separatedBy: "\n\n").dropLast()
        for (event, message) in zip(events, messages) {
            let expected =
                "event: item\nid: 9:\(message.sequence)\ndata: " + String(decoding: json(message), as: UTF8.self)
            #expect(event == expected)
        }
        #expect(events.count == messages.count)
        let named = encoded.makeFrames(prefix: ServerFrame.prefix("item", id: ServerFrame.quoted("a\"b")))
        #expect(Subscriber.frames(Array(named.readableBytesView)).allSatisfy { $0.id == "a\"b" })
    }

    @Test func aBatchIsEncodedOnce() {
        let batch = TopicBatch([message([65])])
        let first = EncodedBatch.of(batch)
        #expect(EncodedBatch.of(batch) === first)
    }

    /// Whoever keeps frames keeps neither the batch nor the messages.
    @Test func anEncodingDoesNotKeepItsBatch() {
        weak var kept: TopicMessage?
        weak var keptBatch: TopicBatch?
        var frames = ByteBuffer()
        do {
            let message = message([65])
            let batch = TopicBatch([message])
            kept = message
            keptBatch = batch
            frames = EncodedBatch.of(batch).frames
        }
        #expect(frames.readableBytes > 0)
        #expect(kept == nil)
        #expect(keptBatch == nil)
    }

    // MARK: Frames of the server

    @Test(arguments: ["a", "\"", "\\", "\u{0}\u{1F}", "é😀", "</script>"])
    func anIDIsQuoted(id: String) throws {
        let quoted = ServerFrame.quoted(id)
        #expect(try JSONDecoder().decode(String.self, from: Data(quoted)) == id)
        let frame = ServerFrame.json("heartbeat", id: quoted)
        let value = try JSONParser.parse(frame, ceiling: frame.count)
        #expect(value["id"]?.string == id)
        #expect(value["heartbeat"] == .object([]))
    }

    @Test func theOtherFramesAreJSON() throws {
        func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }
        #expect(text(ServerFrame.heartbeat) == "{\"heartbeat\":{}}")
        #expect(
            text(ServerFrame.published(TopicPosition(sequence: 3, page: 4)))
                == "{\"published\":{\"topic_sequence_number\":3,\"sequence_page\":4}}")
        #expect(
            text(ServerFrame.published(TopicPosition(sequence: 3, page: 4), id: ServerFrame.quoted("x")))
                == "{\"id\":\"x\",\"published\":{\"topic_sequence_number\":3,\"sequence_page\":4}}")
        #expect(text(ServerFrame.authenticated(expiresAt: nil)) == "{\"authenticated\":{\"expires_at\":null}}")
        #expect(
            text(ServerFrame.authenticated(expiresAt: Timestamp(milliseconds: 12_345)))
                == "{\"authenticated\":{\"expires_at\":12}}")
        let discontinuity = TopicDiscontinuity(lastSequence: 1, newSequence: 2, page: 3)
        #expect(
            text(ServerFrame.discontinuity(discontinuity, id: ServerFrame.quoted("x")))
                == "{\"id\":\"x\",\"discontinuity\":{\"last_topic_sequence\":1,\"new_topic_sequence\":2,\"new_sequence_page\":3}}"
        )
    }
}
