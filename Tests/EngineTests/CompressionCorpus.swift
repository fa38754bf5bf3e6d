@testable import Engine

/// Values as applications keep them, from a seed.
struct CompressionCorpus {
    private var random: SeededGenerator

    init(seed: UInt64) {
        random = SeededGenerator(seed: seed)
    }

    private mutating func pick<Element>(_ elements: [Element]) -> Element {
        elements[Int(random.next() % UInt64(elements.count))]
    }

    private mutating func number(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &random) }

    private mutating func hexadecimal(_ digits: Int) -> String {
        String((0..<digits).map { _ in pick(Array("0123456789abcdef")) })
    }

    private mutating func words(_ count: Int) -> String {
        (0..<count).map { _ in pick(Self.vocabulary) }.joined(separator: " ")
    }

    private mutating func time() -> String {
        func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
        let (month, day) = (two(number(1...12)), two(number(1...28)))
        return "2026-\(month)-\(day)T\(two(number(0...23))):\(two(number(0...59))):\(two(number(0...59)))Z"
    }

    /// A session of 200 to 500 bytes, of which some 60 are random and cannot shrink.
    mutating func session() -> [UInt8] {
        let (first, last) = (pick(Self.firstNames), pick(Self.lastNames))
        var text = "{\"session_id\":\"\(hexadecimal(32))\",\"user_id\":\(number(10_000...9_999_999))"
        text += ",\"email\":\"\(first).\(last)\(number(1...99))@\(pick(["example.com", "mail.test", "shop.example"]))\""
        text += ",\"created_at\":\"\(time())\",\"locale\":\"\(pick(["en-US", "de-DE", "fr-FR", "ja-JP"]))\""
        if number(0...9) < 6 { text += ",\"user_agent\":\"\(pick(Self.agents))\"" }
        if number(0...9) < 7 {
            text += ",\"ip\":\"\(number(1...254)).\(number(1...254)).\(number(1...254)).\(number(1...254))\""
        }
        text += ",\"roles\":[\"\(pick(["user", "editor", "admin"]))\"]"
        if number(0...9) < 5 {
            let lines = (0..<number(1...2)).map { _ in
                "{\"sku\":\"SKU-\(number(10_000...99_999))\",\"quantity\":\(number(1...4)),\"price_cents\":\(number(99...9999))}"
            }
            text += ",\"cart\":[\(lines.joined(separator: ","))]"
        }
        text += ",\"flags\":{\"two_factor\":\(pick(["true", "false"])),\"newsletter\":\(pick(["true", "false"]))}}"
        return Array(text.utf8)
    }

    /// A reading of a sensor: other fields, other words, 200 to 300 bytes.
    mutating func reading() -> [UInt8] {
        var text = "<reading station=\"\(hexadecimal(12))\" taken=\"\(number(1_700_000_000...1_799_999_999))\">"
        for name in ["temperature", "humidity", "pressure", "wind-speed"] {
            text += "<measure of=\"\(name)\" unit=\"si\">\(number(0...9999))</measure>"
        }
        return Array((text + "</reading>").utf8)
    }

    /// About 2 KB.
    mutating func product() -> [UInt8] {
        var text =
            "{\"id\":\(number(1...9_999_999)),\"title\":\"\(words(4))\",\"description\":\"\(words(150))\",\"images\":["
        text += (0..<5).map { "\"https://cdn.shop.example/\(hexadecimal(12))/\($0).jpg\"" }.joined(separator: ",")
        text += "],\"reviews\":["
        text += (0..<4).map { _ in "{\"stars\":\(number(1...5)),\"at\":\"\(time())\",\"text\":\"\(words(12))\"}" }
            .joined(separator: ",")
        return Array((text + "]}").utf8)
    }

    /// About 10 KB.
    mutating func page() -> [UInt8] {
        var text = "<!doctype html><html><head><title>\(words(3))</title></head><body><ul class=\"products\">"
        while text.utf8.count < 10_000 {
            text += "<li class=\"product\" data-id=\"\(number(1...999_999))\"><a href=\"/p/\(number(1...999_999))\">"
            text +=
                "<img src=\"/i/\(hexadecimal(12)).jpg\"></a><p class=\"price\">\(number(1...999)) EUR</p><p>\(words(20))</p></li>"
        }
        return Array((text + "</ul></body></html>").utf8)
    }

    /// Cannot shrink.
    mutating func noise(_ count: Int) -> [UInt8] { random.noise(count) }

    private static let firstNames = [
        "anna", "ben", "carla", "david", "emma", "felix", "greta", "hans", "ines", "jonas",
    ]
    private static let lastNames = ["smith", "miller", "jones", "garcia", "chen", "novak", "rossi", "silva", "kim"]
    private static let agents = [
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/124.0 Safari/537.36",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) Safari/604.1", "ShopApp/5.12 (Android 14)",
    ]
    private static let vocabulary = [
        "steel", "light", "classic", "cotton", "summer", "running", "water", "proof", "wireless", "compact", "kitchen",
        "garden", "leather", "travel", "ultra", "soft", "premium", "bottle", "lamp", "chair", "table", "shoe", "jacket",
    ]
}

/// A value as the engine would hold it.
struct CompressedItem {
    var encoding: StoredEncoding
    var version: UInt8
    var payload: [UInt8]
}

extension CacheCompressor {
    /// As the engine does it: compressed if that is worth it, as it is otherwise.
    func item(_ value: [UInt8]) -> CompressedItem {
        var scratch = ScratchBytes()
        let form = value.withUnsafeBytes { compress($0, into: &scratch) }
        guard let form else {
            precondition(scratch.count == 0, "nothing is appended for a value that stays as it is")
            return CompressedItem(encoding: .identity, version: 0, payload: value)
        }
        return CompressedItem(encoding: form.encoding, version: form.version, payload: Array(scratch.bytes))
    }

    /// nil if it says that the payload is damaged.
    func value(_ item: CompressedItem) -> [UInt8]? {
        item.payload.withUnsafeBytes { payload in
            guard let size = Self.plainSize(payload, item.encoding), size <= 1 << 26 else { return nil }
            var plain = [UInt8](repeating: 0xee, count: size)
            let isOpened = plain.withUnsafeMutableBytes {
                decompress(payload, item.encoding, version: item.version, into: $0)
            }
            return isOpened ? plain : nil
        }
    }

    /// Feeds it values until it has trained on them; what came of them is dropped.
    func train(_ value: () -> [UInt8]) {
        var count = 0
        while !tick() {
            release(version: item(value()).version)
            count += 1
            precondition(count < 2_000_000, "it never trains")
        }
    }
}
