import CacheService
import Catalog
import Engine
import Tenancy
import Testing

@testable import Gateway

/// Values and messages that come compressed.
@Suite struct EncodedWriteTests {
    private static let value = Array(String(repeating: "{\"name\":\"value\",\"more\":[1,2,3]}", count: 40).utf8)
    private static let zstd = [("content-encoding", "zstd")]
    private static let put = "/cache/shop?key=a&ttl_seconds=60"
    private let fixture: GatewayFixture
    private let pair: HTTP2Pair

    init() throws {
        fixture = try GatewayFixture(others: [(TopicsDoor.prefix, TopicsDoor())])
        pair = try HTTP2Pair(fixture)
    }

    private func stored(_ fields: [(name: String, value: String)] = []) -> [UInt8] {
        pair.perform("GET", "/cache/shop?key=a", fields).body
    }

    @Test(arguments: CacheCompression.allCases)
    func isStoredAsWhatItHolds(compression: CacheCompression) throws {
        try fixture.compress(compression)
        for body in [ZstdBody.frame(Self.value), ZstdBody.unsized(Self.value)] {
            #expect(pair.perform("PUT", Self.put, Self.zstd, body: body).status == 204)
            #expect(stored() == Self.value)
            #expect(pair.perform("HEAD", "/cache/shop?key=a").value("content-length") == String(Self.value.count))
        }
    }

    @Test(arguments: ["zstd", "ZSTD", "Zstd"])
    func aFrameLiesAsItCameWhereTheCacheCompressesSo(coding: String) throws {
        try fixture.compress(.zstd)
        let value = Self.value + [UInt8](repeating: 0x20, count: 600)
        let frame = ZstdBody.sized(value, shortenedBy: 600)
        #expect(pair.perform("PUT", Self.put, [("content-encoding", coding)], body: frame).status == 204)
        #expect(stored([("accept-encoding", "zstd")]) == frame)
        let plain = pair.perform("GET", "/cache/shop?key=a")
        #expect(plain.body == value)
        // The tag is the value's, however it came.
        #expect(pair.perform("PUT", Self.put, body: value).status == 204)
        #expect(pair.perform("GET", "/cache/shop?key=a").value("etag") == plain.value("etag"))
    }

    /// What several frames hold is one value, and readers are sent one frame.
    @Test func severalFramesAreMadeOne() throws {
        try fixture.compress(.zstd)
        let body = ZstdBody.frame(Self.value) + ZstdBody.unsized(Self.value)
        #expect(pair.perform("PUT", Self.put, Self.zstd, body: body).status == 204)
        #expect(stored() == Self.value + Self.value)
        let packed = stored([("accept-encoding", "zstd")])
        #expect(packed.withUnsafeBytes { ZstdFrame.contentSize($0) } == 2 * Self.value.count)
    }

    @Test func conditionsAreAboutTheValue() throws {
        #expect(pair.perform("PUT", Self.put, body: Self.value).status == 204)
        let tag = try #require(pair.perform("GET", "/cache/shop?key=a").value("etag"))
        let other = ZstdBody.frame(Self.value + Self.value)
        #expect(pair.perform("PUT", Self.put, Self.zstd + [("if-none-match", "*")], body: other).status == 412)
        #expect(pair.perform("PUT", Self.put, Self.zstd + [("if-match", tag)], body: other).status == 204)
        #expect(stored() == Self.value + Self.value)
    }

    @Test(arguments: ["identity", "IDENTITY", ""])
    func identityIsNoCoding(coding: String) throws {
        #expect(pair.perform("PUT", Self.put, [("content-encoding", coding)], body: [1, 2]).status == 204)
        #expect(stored() == [1, 2])
    }

    // MARK: Refusals

    @Test(arguments: ["gzip", "br", "deflate", "x-zstd", "zstd, zstd", "gzip, zstd", "zstd, identity", "*", "zstd;q=1"])
    func otherCodingsAreRefusedAndWhatIsTakenIsSaid(coding: String) throws {
        for target in ["PUT \(Self.put)", "POST /topics/shop/news"].map({ $0.split(separator: " ") }) {
            let response = pair.perform(
                String(target[0]), String(target[1]), [("content-encoding", coding)], body: Self.value)
            #expect(response.status == 415)
            #expect(response.value("accept-encoding") == "zstd")
            #expect(response.text.contains("UnsupportedEncoding"))
        }
        #expect(pair.perform("GET", "/cache/shop?key=a").status == 404)
        #expect(try fixture.counts()[.clientErrors] == 2)
    }

    @Test func theOrderOfRefusalsHolds() throws {
        let gzip = [("content-encoding", "gzip")]
        #expect(pair.perform("PUT", Self.put, gzip + [("authorization", "nonsense")], body: [1]).status == 401)
        #expect(pair.perform("PUT", "/cache/none?key=a&ttl_seconds=60", gzip, body: [1]).status == 404)
        #expect(pair.perform("PUT", Self.put + "&ttl_ms=1", gzip, body: [1]).status == 400)
    }

    @Test func bothVersionsOfHTTPRefuseInWords() throws {
        let connection = try TestConnection(fixture)
        connection.request(
            "PUT", Self.put, ["Authorization: \(fixture.rootKey)", "Content-Encoding: gzip"], body: "abc")
        let bytes = connection.receive()
        let text = String(decoding: bytes, as: UTF8.self)
        #expect(text.hasPrefix("HTTP/1.1 415 Unsupported Media Type\r\n"))
        #expect(text.contains("\r\naccept-encoding: zstd\r\n"))
    }

    @Test func whatIsNotZstdIsMalformed() throws {
        let frame = ZstdBody.frame(Self.value)
        var damaged = frame
        damaged[0] ^= 0xFF
        let bodies = [
            [], Self.value, Array(frame.dropLast()), frame + [0], Array(frame.prefix(4)), damaged,
            ZstdBody.claiming(100),
        ]
        for body in bodies {
            let response = pair.perform("PUT", Self.put, Self.zstd, body: body)
            #expect(response.status == 400, "\(body.count) bytes")
        }
        #expect(pair.perform("GET", "/cache/shop?key=a").status == 404)
        #expect(try fixture.counts()[.clientErrors] == UInt64(bodies.count))
    }

    /// No more is unpacked than a value may have: a bomb is refused by its outline, or when it has filled that much.
    @Test func aBombIsTooLarge() throws {
        for body in [ZstdBody.bomb(blocks: 8000), ZstdBody.bomb(blocks: 40), ZstdBody.claiming(1 << 40)] {
            let response = pair.perform("PUT", Self.put, Self.zstd, body: body)
            #expect(response.status == 413 || body.count < 20 && response.status == 400)
        }
        let limit = 5_000_192 - 1
        #expect(
            pair.perform("PUT", Self.put, Self.zstd, body: ZstdBody.frame([UInt8](repeating: 7, count: limit))).status
                == 204)
        let over = pair.perform(
            "PUT", Self.put, Self.zstd, body: ZstdBody.frame([UInt8](repeating: 7, count: limit + 1)))
        #expect(over.status == 413)
        #expect(over.text.contains("\"limit\":\"max_item_bytes\",\"value\":5000192"))
        #expect(pair.perform("HEAD", "/cache/shop?key=a").value("content-length") == String(limit))
    }

    /// Zstd makes what it cannot compress a little longer: the limit is the value's.
    @Test func theLimitIsThatOfTheValue() throws {
        try fixture.makeCache("small", [.maxItemBytes: 1001])
        let target = "/cache/small?key=a&ttl_seconds=60"
        let most = [UInt8](repeating: 1, count: 1000)
        #expect(pair.perform("PUT", target, Self.zstd, body: ZstdBody.unsized(most)).status == 204)
        #expect(pair.perform("PUT", target, Self.zstd, body: ZstdBody.unsized(most + [1])).status == 413)
        // A body that cannot hold a value within the limit is not taken in.
        let stream = pair.start("PUT", target, Self.zstd + [("content-length", "3000")], body: [], isComplete: false)
        pair.exchange()
        #expect(pair.response(stream).status == 413)
    }

    // MARK: Meters

    @Test func bytesAreThoseOnTheWireAndOperationsThoseOfTheValue() throws {
        for body in [ZstdBody.frame(Self.value), ZstdBody.unsized(Self.value)] {
            let before = try fixture.counts()
            #expect(pair.perform("PUT", Self.put, Self.zstd, body: body).status == 204)
            let after = try fixture.counts()
            func growth(_ meter: Meter) -> UInt64 { (after[meter] ?? 0) - (before[meter] ?? 0) }
            #expect(growth(.bytesIn) == UInt64(body.count + 1))
            #expect(growth(.operations) == UInt64((Self.value.count + 1 + 1023) / 1024))
            #expect(growth(.requestChunks) == growth(.operations))
        }
    }

    /// A body that does not announce what it holds is charged for it all the same.
    @Test func operationsThatABodyHidesAreADebt() throws {
        try fixture.makeCache("slow", [.maxOperationsPerSecond: 10])
        let target = "/cache/slow?key=a&ttl_seconds=60"
        #expect(pair.perform("PUT", target, Self.zstd, body: ZstdBody.bomb(blocks: 8)).status == 204)
        #expect(pair.perform("GET", "/cache/slow?key=a").status == 429)
    }

    // MARK: Messages

    @Test func aMessageIsPublishedAsWhatItHolds() throws {
        let text = Array(String(repeating: "hello ", count: 100).utf8)
        let body = ZstdBody.frame(text)
        #expect(pair.perform("POST", "/topics/shop/news", Self.zstd, body: body).status == 204)
        let counts = try fixture.counts()
        #expect(counts[.bytesIn] == UInt64(body.count) && counts[.operations] == 1 && counts[.publishes] == 1)
        let poll = pair.perform("GET", "/topics/shop/news")
        #expect(poll.text.contains(String(decoding: text, as: UTF8.self)))
        // It is text: so must be what comes out.
        let binary = [UInt8](repeating: 0xFF, count: 300)
        #expect(pair.perform("POST", "/topics/shop/news", Self.zstd, body: ZstdBody.frame(binary)).status == 400)
        #expect(pair.perform("POST", "/topics/shop/news", Self.zstd, body: text).status == 400)
        let bomb = pair.perform("POST", "/topics/shop/news", Self.zstd, body: ZstdBody.bomb(blocks: 4))
        #expect(bomb.status == 413 && bomb.text.contains("max_message_bytes"))
    }
}
