import Testing

@testable import Gateway

@Suite struct GRPCStatusTextTests {
    @Test(arguments: [
        ("", ""),
        ("Cache Not Found", "Cache Not Found"),
        (" !\"#$&'()*+,-./0~", " !\"#$&'()*+,-./0~"),
        ("100%", "100%25"),
        ("%41", "%2541"),
        ("a\r\nb\tc\u{0}", "a%0D%0Ab%09c%00"),
        ("\u{7F}", "%7F"),
        ("ä€😀", "%C3%A4%E2%82%AC%F0%9F%98%80"),
    ])
    func encodesAllButPrintableASCII(text: String, encoded: String) {
        #expect(GRPCStatusText.percentEncode(text) == encoded)
    }

    /// As the specification has a client decode it.
    private func decode(_ text: String) -> String? {
        var bytes: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            guard let decoded = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16) else { return nil }
            bytes.append(decoded)
            rest = rest.dropFirst(2)
        }
        return String(validating: bytes, as: UTF8.self)
    }

    @Test func whatIsEncodedDecodesToTheText() {
        var generator = SeededGenerator(seed: 12)
        for _ in 0..<5000 {
            let bytes = generator.bytes(Int.random(in: 0...30, using: &generator))
            let text = String(decoding: bytes, as: UTF8.self)
            let encoded = GRPCStatusText.percentEncode(text)
            #expect(encoded.utf8.allSatisfy { $0 >= 0x20 && $0 <= 0x7E })
            #expect(decode(encoded) == text)
        }
    }
}

@Suite struct GRPCTimeoutTests {
    private func milliseconds(_ text: String) -> Int64? {
        Array(text.utf8).withUnsafeBytes { GRPCTimeout.milliseconds($0) }
    }

    @Test(
        arguments: [
            ("1H", 3_600_000), ("2M", 120_000), ("1S", 1000), ("100m", 100), ("5u", 1), ("1n", 1),
            ("0m", 0), ("0n", 0), ("1000u", 1), ("1001u", 2), ("999999n", 1), ("1000000n", 1), ("1000001n", 2),
            ("00000001S", 1000), ("99999999m", 99_999_999), ("99999999n", 100),
            ("8784H", 31_622_400_000), ("8785H", 31_622_400_000), ("99999999H", 31_622_400_000),
        ] as [(String, Int64)])
    func readsAmountsOfEveryUnitAndRoundsUp(text: String, expected: Int64) {
        #expect(milliseconds(text) == expected)
    }

    @Test(arguments: [
        "", "S", "1", "12", "1s", "1h", "1 S", " 1S", "1S ", "+1S", "-1S", "1.5S", "0x1S", "123456789m", "1SS", "m1",
        "1M\0",
        "１S",
    ])
    func refusesEverythingElse(text: String) {
        #expect(milliseconds(text) == nil)
    }

    @Test func noBytesTrap() {
        var generator = SeededGenerator(seed: 2)
        for _ in 0..<20_000 {
            let bytes = generator.bytes(Int.random(in: 0...12, using: &generator))
            if let value = bytes.withUnsafeBytes({ GRPCTimeout.milliseconds($0) }) {
                #expect((0...GRPCTimeout.ceilingMilliseconds).contains(value))
            }
        }
    }
}
