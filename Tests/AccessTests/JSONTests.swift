import Access
import Tenancy
import Testing

@Suite struct JSONTests {
    @Test func readsEveryKindOfValue() throws {
        let value = try json(#" {"a":[1,-2.5e+3,true,false,null],"b":{"c":"d\n\u00e9\ud83d\ude00\/"}} "#)
        #expect(
            value
                == .members([
                    "a": .array([.number("1"), .number("-2.5e+3"), .boolean(true), .boolean(false), .null]),
                    "b": .members(["c": .string("d\né😀/")]),
                ]))
        #expect(value["a"]?.array?.first?.integer == 1)
        #expect(value["a"]?.array?[1].integer == nil)
        #expect(value["b"]?["c"]?.string == "d\né😀/")
    }

    @Test(arguments: [
        "", " ", "{", "[", "[1", "[1,", "[1,]", "[,1]", "{,}", #"{"a"}"#, #"{"a":}"#, #"{"a":1,}"#, "{a:1}", "{1:1}",
        "01",
        "-", "1.", ".5", "1e", "1e+", "+1", "0x1", "NaN", "tru", "nul", "truee", "1 2", "[] []", #""a"#, #""\x""#,
        #""\u12""#,
        #""\ud800""#, #""\ud800\u0041""#, #""\udc00""#, "\"\u{1}\"", "\u{FEFF}{}", "'a'", "/**/1", #"{"a":1,"a":2}"#,
        #"{"a":1,"\u0061":2}"#,
    ])
    func refusesWhatIsNotJSON(_ text: String) {
        #expect(throws: MartletError.self) { try json(text) }
    }

    @Test(arguments: [
        [0x22, 0xFF, 0x22], [0x22, 0xC0, 0xAF, 0x22], [0x22, 0xED, 0xA0, 0x80, 0x22], [0x22, 0xC3, 0x22],
    ])
    func refusesWhatIsNotUTF8(_ bytes: [UInt8]) {
        #expect(throws: MartletError.self) { try JSONParser.parse(bytes, ceiling: 100) }
    }

    @Test func nestingAndSizeHaveLimits() throws {
        let deepest = JSONParser.nestingCeiling
        _ = try json(String(repeating: "[", count: deepest) + String(repeating: "]", count: deepest))
        #expect(throws: MartletError.self) {
            try json(String(repeating: "[", count: deepest + 1) + String(repeating: "]", count: deepest + 1))
        }
        #expect(throws: MartletError.self) { try json(String(repeating: "[", count: 1 << 20)) }
        #expect(throws: MartletError.self) { try json(String(repeating: #"{"a":"#, count: 100_000)) }
        _ = try JSONParser.parse(Array("1234".utf8), ceiling: 4)
        #expect(throws: MartletError.malformed("the JSON text is longer than 3 bytes")) {
            try JSONParser.parse(Array("1234".utf8), ceiling: 3)
        }
    }

    @Test func namesAreComparedByTheirBytes() throws {
        let value = try json(#"{"\u00e9":1,"e\u0301":2,"\u212a":3,"K":4}"#)
        #expect(value["\u{E9}"]?.integer == 1)
        #expect(value["e\u{301}"]?.integer == 2)
        #expect(value["K"]?.integer == 4)
    }

    @Test func wholeNumbersDoNotRound() throws {
        #expect(try json("9223372036854775807").integer == .max)
        #expect(try json("9223372036854775808").integer == nil)
        #expect(try json("18446744073709551615").unsignedInteger == .max)
        #expect(try json("-1").unsignedInteger == nil)
        #expect(try json("1.0").integer == nil)
        #expect(try json("1e3").integer == nil)
    }

    @Test func errorsNeverQuoteTheInput() {
        let error = failure { () throws(MartletError) in _ = try json(#"{"key":"mk1_secret" x"#) }
        #expect(error == .malformed("the JSON text is malformed at byte 20: ',' or '}' was expected"))
    }

    @Test(arguments: 0..<20)
    func roundTripAndMutationsNeverTrap(_ seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        for _ in 0..<50 {
            let value = Self.random(&generator, depth: 0)
            var bytes = value.encoded()
            #expect(try JSONParser.parse(bytes, ceiling: 1 << 20) == value)
            for end in bytes.indices {
                _ = try? JSONParser.parse(Array(bytes[..<end]), ceiling: 1 << 20)
            }
            for _ in 0..<20 {
                let place = Int.random(in: bytes.indices, using: &generator)
                bytes[place] = UInt8.random(in: .min ... .max, using: &generator)
                if let other = try? JSONParser.parse(bytes, ceiling: 1 << 20) {
                    #expect(try JSONParser.parse(other.encoded(), ceiling: 1 << 20) == other)
                }
            }
        }
    }

    private static func random(_ generator: inout SeededGenerator, depth: Int) -> JSONValue {
        switch Int.random(in: 0..<(depth < 4 ? 7 : 5), using: &generator) {
        case 0: .null
        case 1: .boolean(Bool.random(using: &generator))
        case 2: .integer(Int64.random(in: .min ... .max, using: &generator))
        case 3: .number("-0.5E-7")
        case 4: .string(text(&generator))
        case 5: .array((0..<3).map { _ in random(&generator, depth: depth + 1) })
        default:
            .object((0..<3).map { .init("\($0)" + text(&generator), random(&generator, depth: depth + 1)) })
        }
    }

    private static func text(_ generator: inout SeededGenerator) -> String {
        let alphabet: [Unicode.Scalar] = [
            "a", "\"", "\\", "\n", "\u{0}", "\u{7F}", "é", "\u{301}", "😀", "/", "\u{2028}",
        ]
        var text = ""
        for _ in 0..<Int.random(in: 0..<6, using: &generator) {
            text.unicodeScalars.append(alphabet[Int.random(in: alphabet.indices, using: &generator)])
        }
        return text
    }
}
