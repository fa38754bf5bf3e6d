import Access
import Testing

@Suite struct Base64Tests {
    @Test(arguments: [
        ("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE="),
        ("foobar", "Zm9vYmFy"),
    ])
    func knownAnswersOfTheRFC(_ plain: String, _ encoded: String) {
        #expect(Base64.encode(plain.utf8, .standard) == encoded)
        #expect(Base64.decode(encoded.utf8, .standard) == Array(plain.utf8))
        #expect(Base64.encode(plain.utf8, .url) == encoded.filter { $0 != "=" })
    }

    @Test func alphabetsDifferInTwoLetters() {
        #expect(Base64.encode([0xFB, 0xFF], .standard) == "+/8=")
        #expect(Base64.encode([0xFB, 0xFF], .url) == "-_8")
        #expect(Base64.decode("+/8=".utf8, .url) == nil)
        #expect(Base64.decode("-_8=".utf8, .standard) == nil)
        for text in ["+/8=", "+/8", "-_8", "-_8="] {
            #expect(Base64.decode(text.utf8, .either) == [0xFB, 0xFF])
        }
        #expect(Base64.decode("+_8".utf8, .either) == nil)
    }

    @Test(arguments: [
        "Zg=", "Zg===", "Z", "Z===", "=", "====", "Zh==", "Zm9=", "Zm9vY", "Zg==Zg==", "Zm 9v", "Zm9v\n", "Zm9v=",
        "Zm9v====",
        "Zm9vé", "Z=g=",
    ])
    func whatIsNotTheOneEncodingIsRefused(_ text: String) {
        #expect(Base64.decode(text.utf8, .either) == nil)
        #expect(Base64.decode(text.utf8, .standard) == nil)
    }

    @Test func urlFormRefusesPadding() {
        #expect(Base64.decode("Zg".utf8, .url) == [0x66])
        #expect(Base64.decode("Zg==".utf8, .url) == nil)
    }

    @Test func roundTripAndUniqueness() {
        var generator = SeededGenerator(seed: 1)
        for _ in 0..<100 {
            let bytes = generator.bytes(0...40)
            for alphabet in [Base64.Alphabet.standard, .url] {
                let text = Base64.encode(bytes, alphabet)
                #expect(Base64.decode(text.utf8, alphabet) == bytes)
                // No other text, one character changed, gives the same bytes.
                guard var changed = Optional(Array(text.utf8)), !changed.isEmpty else { continue }
                let place = Int.random(in: changed.indices, using: &generator)
                let original = changed[place]
                let others = (UInt8.min ... .max).filter { byte in
                    changed[place] = byte
                    return byte != original && Base64.decode(changed, alphabet) == bytes
                }
                #expect(others.isEmpty)
            }
        }
    }
}
