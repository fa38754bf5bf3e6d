import Tenancy
import Testing
import Topics

@testable import Gateway

@Suite struct ClientFrameTests {
    private func read(_ text: String, namesTopics: Bool = true) throws(MartletError) -> ClientFrame {
        try read(Array(text.utf8), namesTopics: namesTopics)
    }

    private func read(_ bytes: [UInt8], namesTopics: Bool = true) throws(MartletError) -> ClientFrame {
        try bytes.withUnsafeBufferPointer { (bytes) throws(MartletError) in
            try ClientFrame(UnsafeRawBufferPointer(bytes), namesTopics: namesTopics)
        }
    }

    private func error(_ text: String, namesTopics: Bool = true) -> MartletError? {
        do throws(MartletError) {
            _ = try read(text, namesTopics: namesTopics)
            return nil
        } catch {
            return error
        }
    }

    // MARK: What is understood

    @Test(arguments: [true, false])
    func publishing(namesTopics: Bool) throws {
        guard
            case .publish(let text) = try read(
                "{\"publish\":{\"text\":\"a\\u0000é\\ud83d\\ude00\"}}", namesTopics: namesTopics)
        else {
            Issue.record("no publish")
            return
        }
        #expect(text.kind == .text)
        #expect(text.bytes == Array("a\0é😀".utf8))
        #expect(text.id == nil && text.cache == nil && text.topic == nil)
        for (base64, bytes): (String, [UInt8]) in [
            ("", []), ("AA==", [0]), ("AA", [0]), ("+/8=", [0xFB, 0xFF]), ("-_8", [0xFB, 0xFF]),
        ] {
            guard
                case .publish(let binary) = try read(
                    "{\"publish\":{\"binary\":\"\(base64)\"}}", namesTopics: namesTopics)
            else {
                Issue.record("no publish")
                continue
            }
            #expect(binary.kind == .binary)
            #expect(binary.bytes == bytes)
        }
        guard case .publish(let empty) = try read(" {\n\"publish\" : {\"text\":\"\"} }\t", namesTopics: namesTopics)
        else {
            Issue.record("no publish")
            return
        }
        #expect(empty.bytes.isEmpty)
    }

    @Test func publishingToATopicThatIsNamed() throws {
        let text = "{\"publish\":{\"topic\":\"t\",\"id\":\"i\",\"cache\":\"c\",\"text\":\"x\"}}"
        guard case .publish(let frame) = try read(text) else {
            Issue.record("no publish")
            return
        }
        #expect(frame.id == "i")
        #expect(frame.cache == "c")
        #expect(frame.topic == "t")
        #expect(error(text, namesTopics: false)?.field == "topic")
    }

    @Test func subscribing() throws {
        guard
            case .subscribe("a", "c", "t", let fresh) = try read(
                "{\"subscribe\":{\"id\":\"a\",\"cache\":\"c\",\"topic\":\"t\"}}"),
            case .subscribe("a", "c", "t", let position) = try read(
                "{\"subscribe\":{\"sequence_page\":18446744073709551615,\"sequence_number\":7,\"topic\":\"t\",\"cache\":\"c\",\"id\":\"a\"}}"
            ),
            case .unsubscribe("a") = try read("{\"unsubscribe\":{\"id\":\"a\"}}"),
            case .authenticate("t") = try read("{\"auth\":{\"token\":\"t\"}}"),
            case .authenticate("t") = try read("{\"auth\":{\"token\":\"t\"}}", namesTopics: false)
        else {
            Issue.record("not what was said")
            return
        }
        #expect(fresh == .fresh)
        #expect(position == TopicPosition(sequence: 7, page: .max))
    }

    @Test func anIDHasOneToAHundredAndTwentyEightCharacters() throws {
        for id in ["x", String(repeating: "x", count: 128), String(repeating: "😀", count: 128), " "] {
            guard case .unsubscribe(id) = try read("{\"unsubscribe\":{\"id\":\"\(id)\"}}") else {
                Issue.record("\(id)")
                continue
            }
        }
        for id in ["", String(repeating: "x", count: 129), String(repeating: "e\\u0301", count: 65)] {
            #expect(error("{\"unsubscribe\":{\"id\":\"\(id)\"}}")?.field == "id")
            #expect(error("{\"publish\":{\"id\":\"\(id)\",\"text\":\"x\"}}")?.field == "id")
            #expect(error("{\"subscribe\":{\"id\":\"\(id)\",\"cache\":\"c\",\"topic\":\"t\"}}")?.field == "id")
        }
    }

    // MARK: What is not

    @Test(arguments: [
        "", " ", "{", "{}", "[]", "1", "\"publish\"", "null", "true", "{\"publish\":{\"text\":\"x\"}",
        "{\"publish\":{\"text\":\"x\"}}x", "{\"publish\":{\"text\":\"x\"},\"auth\":{\"token\":\"t\"}}",
        "{\"publish\":{\"text\":\"x\"},\"publish\":{\"text\":\"x\"}}", "{\"publish\":{\"text\":\"x\",\"text\":\"y\"}}",
        "{publish:{\"text\":\"x\"}}", "{\"publish\":{\"text\":\"\\ud800\"}}", "{\"publish\":{\"text\":\"\u{0}\"}}",
        "{\"publish\":{\"text\":'x'}}", "\u{FEFF}{\"publish\":{\"text\":\"x\"}}",
    ])
    func whatIsNoObjectWithOneMemberIsMalformed(text: String) {
        for namesTopics in [true, false] {
            guard case .malformed = error(text, namesTopics: namesTopics) else {
                Issue.record("\(text) is taken")
                continue
            }
        }
    }

    @Test func deepNestingIsMalformed() {
        let text = String(repeating: "{\"publish\":", count: 10_000) + String(repeating: "}", count: 10_000)
        guard case .malformed = error(text) else {
            Issue.record("it is taken")
            return
        }
    }

    @Test func bytesThatAreNoTextAreMalformed() {
        let bytes: [UInt8] = Array("{\"publish\":{\"text\":\"".utf8) + [0xFF] + Array("\"}}".utf8)
        #expect(throws: MartletError.self) { try read(bytes) }
    }

    @Test(arguments: [
        // What to do.
        ("{\"nothing\":{}}", "nothing"), ("{\"Publish\":{\"text\":\"x\"}}", "Publish"), ("{\"\":{}}", ""),
        ("{\"published\":{}}", "published"),
        // Its form.
        ("{\"publish\":null}", "publish"), ("{\"publish\":\"x\"}", "publish"), ("{\"publish\":[]}", "publish"),
        ("{\"subscribe\":1}", "subscribe"), ("{\"unsubscribe\":\"a\"}", "unsubscribe"),
        ("{\"auth\":\"token\"}", "auth"),
        // Fields that are missing, or beside each other.
        ("{\"publish\":{}}", "text"), ("{\"publish\":{\"text\":\"x\",\"binary\":\"AA==\"}}", "text"),
        ("{\"subscribe\":{\"cache\":\"c\",\"topic\":\"t\"}}", "id"),
        ("{\"subscribe\":{\"id\":\"a\",\"topic\":\"t\"}}", "cache"),
        ("{\"subscribe\":{\"id\":\"a\",\"cache\":\"c\"}}", "topic"), ("{\"unsubscribe\":{}}", "id"),
        ("{\"auth\":{}}", "token"),
        // Fields that nobody knows.
        ("{\"publish\":{\"text\":\"x\",\"ttl\":1}}", "ttl"), ("{\"publish\":{\"Text\":\"x\"}}", "Text"),
        ("{\"subscribe\":{\"id\":\"a\",\"cache\":\"c\",\"topic\":\"t\",\"page\":1}}", "page"),
        ("{\"unsubscribe\":{\"id\":\"a\",\"cache\":\"c\"}}", "cache"),
        ("{\"auth\":{\"token\":\"t\",\"id\":\"a\"}}", "id"),
        // Fields of another type.
        ("{\"publish\":{\"text\":1}}", "text"), ("{\"publish\":{\"text\":null}}", "text"),
        ("{\"publish\":{\"binary\":[0]}}", "binary"), ("{\"publish\":{\"binary\":\"A\"}}", "binary"),
        ("{\"publish\":{\"binary\":\"A*==\"}}", "binary"), ("{\"publish\":{\"binary\":\"AA==\\n\"}}", "binary"),
        ("{\"publish\":{\"id\":1,\"text\":\"x\"}}", "id"),
        ("{\"publish\":{\"cache\":1,\"topic\":\"t\",\"text\":\"x\"}}", "cache"),
        ("{\"publish\":{\"cache\":\"c\",\"topic\":{},\"text\":\"x\"}}", "topic"),
        ("{\"subscribe\":{\"id\":1,\"cache\":\"c\",\"topic\":\"t\"}}", "id"),
        ("{\"subscribe\":{\"id\":\"a\",\"cache\":true,\"topic\":\"t\"}}", "cache"),
        ("{\"subscribe\":{\"id\":\"a\",\"cache\":\"c\",\"topic\":[]}}", "topic"), ("{\"auth\":{\"token\":1}}", "token"),
    ])
    func aFieldThatIsAtFaultIsNamed(text: String, field: String) {
        #expect(error(text)?.field == field)
    }

    @Test(arguments: [
        "-1", "1.0", "1.5", "1e3", "18446744073709551616", "\"1\"", "true", "[1]", "99999999999999999999999999",
    ])
    func aNumberIsWholeAndNotNegative(number: String) {
        for field in ["sequence_number", "sequence_page"] {
            let text = "{\"subscribe\":{\"id\":\"a\",\"cache\":\"c\",\"topic\":\"t\",\"\(field)\":\(number)}}"
            #expect(error(text)?.field == field)
        }
    }

    @Test(arguments: ["subscribe", "unsubscribe"])
    func aSocketOfOneTopicSubscribesToNoOther(name: String) {
        let text = "{\"\(name)\":{\"id\":\"a\",\"cache\":\"c\",\"topic\":\"t\"}}"
        #expect(error(text, namesTopics: false)?.field == name)
        #expect(error("{\"publish\":{\"id\":\"a\",\"text\":\"x\"}}", namesTopics: false)?.field == "id")
    }

    /// What a client sent is given back cut, so that an answer is not as long as the question.
    @Test func aNameThatIsGivenBackIsShort() {
        let name = String(repeating: "n", count: 10_000)
        #expect(error("{\"\(name)\":{}}")?.field?.count == 64)
        #expect(error("{\"publish\":{\"\(name)\":1}}")?.field?.count == 64)
    }

    @Test func mutatedFramesNeverTrap() throws {
        let frames = [
            "{\"publish\":{\"id\":\"a\",\"cache\":\"c\",\"topic\":\"t\",\"text\":\"x\\u00e9\"}}",
            "{\"subscribe\":{\"id\":\"a\",\"cache\":\"c\",\"topic\":\"t\",\"sequence_number\":12,\"sequence_page\":13}}",
            "{\"publish\":{\"binary\":\"AAECAw==\"}}", "{\"auth\":{\"token\":\"t\"}}",
        ].map { Array($0.utf8) }
        for seed in 0..<3000 as Range<UInt64> {
            var generator = SeededGenerator(seed: seed)
            var bytes = frames[Int(seed) % frames.count]
            for _ in 0..<Int.random(in: 1...4, using: &generator) where !bytes.isEmpty {
                let place = Int.random(in: 0..<bytes.count, using: &generator)
                switch Int.random(in: 0..<3, using: &generator) {
                case 0: bytes[place] = UInt8.random(in: 0...255, using: &generator)
                case 1: bytes.remove(at: place)
                default: bytes.insert(contentsOf: bytes[place...].prefix(8), at: place)
                }
            }
            _ = try? read(bytes, namesTopics: seed % 2 == 0)
        }
    }
}
