import Tenancy
import Testing

@Suite struct TopicNameTests {
    @Test(arguments: [
        "a", "news/today", "a topic with spaces", " padded ", "日本語", "emoji 🐦", "{}\"\\&?#%", "\u{a0}x",
        String(repeating: "x", count: 1024), String(repeating: "é", count: 512),
    ])
    func acceptsWhatAPersonCanRead(text: String) throws {
        #expect(try TopicName(text).text == text)
        #expect(try TopicName(text).description == text)
    }

    @Test(arguments: [
        ("", "must not be empty"),
        (" ", "must not be blank"),
        ("\u{a0}\u{2003}\u{3000} ", "must not be blank"),
        ("a\nb", "must not contain control characters"),
        ("\u{0}", "must not contain control characters"),
        ("tab\t", "must not contain control characters"),
        ("\u{7f}", "must not contain control characters"),
        ("next line \u{85}", "must not contain control characters"),
        (String(repeating: "x", count: 1025), "must be at most 1024 bytes long, is 1025"),
        (String(repeating: "é", count: 513), "must be at most 1024 bytes long, is 1026"),
    ])
    func refusesWithAReason(text: String, reason: String) {
        #expect(throws: MartletError.invalidArgument(field: "topic", reason: reason)) { try TopicName(text) }
        #expect(throws: MartletError.invalidArgument(field: "name", reason: reason)) {
            try TopicName(text, field: "name")
        }
    }

    /// The two ranges are those that Unicode calls control characters.
    @Test func refusesExactlyTheControlCharacters() {
        for value in UInt32(0)...0x2fff {
            guard let scalar = Unicode.Scalar(value) else { continue }
            let isRefused = (try? TopicName("x" + String(scalar))) == nil
            #expect(isRefused == (scalar.properties.generalCategory == .control), "U+\(String(value, radix: 16))")
        }
    }

    @Test func isComparedByteByByte() throws {
        // One letter in two spellings: equal as strings, two names.
        #expect("\u{e9}" == "e\u{301}")
        #expect(try TopicName("\u{e9}") != TopicName("e\u{301}"))
        let long = String(repeating: "long", count: 50)
        #expect(try TopicName(long) == TopicName(long + ""))
        #expect(try TopicName(long) != TopicName(long.dropLast() + "h"))
        #expect(try Set([TopicName("a"), TopicName("b"), TopicName("a"), TopicName("A")]).count == 3)
        #expect(try TopicName(long).hashValue == TopicName(String(decoding: Array(long.utf8), as: UTF8.self)).hashValue)
    }
}
