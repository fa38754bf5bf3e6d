import CacheService
import Catalog
import Engine
import Tenancy
import Testing

@testable import Gateway

extension GatewayFixture {
    func compress(_ compression: CacheCompression, cache name: String = "shop") throws {
        var change = CacheChange()
        change.compression = compression
        _ = try control.putCache(CacheName(name), change, caller: root)
    }
}

/// Values of a cache that compresses with plain zstd, sent as they lie to whoever takes that.
@Suite struct EncodedReadTests {
    private static let value = Array(String(repeating: "{\"name\":\"value\",\"more\":[1,2,3]}", count: 40).utf8)
    private static let zstd = [("accept-encoding", "gzip, zstd")]
    private static let target = "/cache/shop?key=a"
    private let fixture: GatewayFixture
    private let pair: HTTP2Pair

    init() throws {
        fixture = try GatewayFixture()
        pair = try HTTP2Pair(fixture)
        try fixture.compress(.zstd)
        #expect(pair.perform("PUT", Self.target + "&ttl_seconds=60", body: Self.value).status == 204)
    }

    private func unpacked(_ body: [UInt8]) throws -> [UInt8] {
        try body.withUnsafeBytes { try ZstdFrame.decompress($0, limit: 1 << 20) }
    }

    @Test func whoTakesZstdGetsTheFrameAsItLies() throws {
        let packed = pair.perform("GET", Self.target, Self.zstd)
        #expect(packed.status == 200)
        #expect(packed.value("content-encoding") == "zstd")
        #expect(packed.value("vary") == "accept-encoding")
        #expect(packed.value("content-type") == "application/octet-stream")
        #expect(packed.value("content-length") == String(packed.body.count))
        #expect(packed.body.count < Self.value.count / 4)
        #expect(try unpacked(packed.body) == Self.value)
    }

    @Test(arguments: [nil, "gzip", "zstd;q=0", "identity"])
    func whoDoesNotGetsTheValue(accepted: String?) throws {
        let plain = pair.perform("GET", Self.target, accepted.map { [("accept-encoding", $0)] } ?? [])
        #expect(plain.status == 200)
        #expect(plain.body == Self.value)
        #expect(plain.value("content-encoding") == nil)
        #expect(plain.value("content-length") == String(Self.value.count))
        #expect(plain.value("vary") == "accept-encoding", "the answer would have been another")
    }

    @Test func headTellsWhatGetWouldSend() throws {
        for fields in [[], Self.zstd] {
            let get = pair.perform("GET", Self.target, fields)
            let head = pair.perform("HEAD", Self.target, fields)
            #expect(head.status == 200 && head.body.isEmpty)
            for name in ["content-length", "content-encoding", "etag", "vary", "content-type"] {
                #expect(head.value(name) == get.value(name))
            }
        }
    }

    @Test func bothVersionsOfHTTPSayTheSame() throws {
        let connection = try TestConnection(fixture)
        for (method, fields) in [("GET", []), ("GET", Self.zstd), ("HEAD", Self.zstd)] {
            let second = pair.perform(method, Self.target, fields)
            connection.request(
                method, Self.target,
                ["Authorization: \(fixture.rootKey)"] + fields.map { "Accept-Encoding: \($0.1)" })
            let first = try #require(connection.replies(to: [method]).first)
            #expect(first.status == second.status)
            #expect(first.body == second.body)
            for name in ["content-length", "content-encoding", "etag", "vary"] {
                #expect(first.fields[name] == second.value(name))
            }
        }
    }

    // MARK: Entity tags

    @Test func eachFormHasATagOfItsOwnAndBothNameTheValue() throws {
        let plain = try #require(pair.perform("GET", Self.target).value("etag"))
        let packed = try #require(pair.perform("GET", Self.target, Self.zstd).value("etag"))
        #expect(plain.count == 34)
        #expect(packed == plain.dropLast() + "-zstd\"")
        for tag in [plain, packed] {
            for fields in [[], Self.zstd] {
                let known = pair.perform("GET", Self.target, fields + [("if-none-match", tag)])
                #expect(known.status == 304 && known.body.isEmpty)
                // The tag by which the caller finds what he has.
                #expect(known.value("etag") == tag)
                #expect(known.value("vary") == "accept-encoding")
                #expect(known.value("content-encoding") == nil && known.value("content-length") == nil)
                #expect(pair.perform("HEAD", Self.target, fields + [("if-none-match", tag)]).status == 304)
                #expect(pair.perform("GET", Self.target, fields + [("if-match", tag)]).status == 200)
                #expect(pair.perform("GET", Self.target, fields + [("if-none-match", "\"x\"")]).status == 200)
                #expect(pair.perform("GET", Self.target, fields + [("if-match", "\"x\"")]).status == 412)
            }
        }
        let both = [("if-none-match", "\(plain), W/\(packed)")]
        #expect(pair.perform("GET", Self.target, both).value("etag") == plain)
        #expect(pair.perform("GET", Self.target, Self.zstd + both).value("etag") == packed)
        #expect(pair.perform("GET", Self.target, Self.zstd + [("if-none-match", "*")]).value("etag") == packed)
    }

    @Test func writesMayNameTheValueInEitherForm() throws {
        let put = Self.target + "&ttl_seconds=60"
        let packed = try #require(pair.perform("GET", Self.target, Self.zstd).value("etag"))
        #expect(pair.perform("PUT", put, [("if-none-match", packed)], body: [1]).status == 412)
        #expect(pair.perform("PUT", put, [("if-match", "W/\(packed)")], body: [1]).status == 412)
        #expect(pair.perform("PUT", put, [("if-match", packed)], body: [1]).status == 204)
        #expect(pair.perform("PUT", put, [("if-match", packed)], body: [2]).status == 412)
        #expect(pair.perform("DELETE", Self.target, [("if-match", packed)]).status == 412)
    }

    // MARK: What is not held so

    @Test func whatIsNotWorthCompressingIsSentAsItIs() throws {
        for (key, body) in [("small", [1, 2, 3]), ("empty", [])] as [(String, [UInt8])] {
            #expect(pair.perform("PUT", "/cache/shop?key=\(key)&ttl_seconds=60", body: body).status == 204)
            for accepted in ["zstd", "zstd, identity;q=0"] {
                let response = pair.perform("GET", "/cache/shop?key=\(key)", [("accept-encoding", accepted)])
                #expect(response.status == 200 && response.body == body)
                #expect(response.value("content-encoding") == nil)
                #expect(response.value("etag")?.count == 34)
            }
        }
    }

    @Test func whatAnotherCacheHoldsIsSentAsItIs() throws {
        try fixture.makeCache("other")
        #expect(pair.perform("PUT", "/cache/other?key=a&ttl_seconds=60", body: Self.value).status == 204)
        let response = pair.perform("GET", "/cache/other?key=a", Self.zstd)
        #expect(response.body == Self.value)
        #expect(response.value("content-encoding") == nil)
        #expect(response.value("vary") == nil)
        #expect(response.value("etag")?.count == 34)
    }

    /// Until a dictionary is trained, such a cache holds plain zstd, and that is sent as it lies.
    @Test func aCacheWithoutItsDictionaryYetSendsPlainFrames() throws {
        try fixture.makeCache("other")
        try fixture.compress(.zstdDictionary, cache: "other")
        #expect(pair.perform("PUT", "/cache/other?key=a&ttl_seconds=60", body: Self.value).status == 204)
        let response = pair.perform("GET", "/cache/other?key=a", Self.zstd)
        #expect(response.value("content-encoding") == "zstd")
        #expect(response.value("vary") == "accept-encoding")
        let plain = pair.perform("GET", "/cache/other?key=a")
        #expect(plain.body == Self.value)
    }

    @Test func aChangeOfCompressionHoldsForWhatIsWrittenNext() throws {
        try fixture.compress(.off)
        #expect(pair.perform("PUT", "/cache/shop?key=b&ttl_seconds=60", body: Self.value).status == 204)
        let later = pair.perform("GET", "/cache/shop?key=b", Self.zstd)
        #expect(later.body == Self.value && later.value("content-encoding") == nil)
        let earlier = pair.perform("GET", Self.target, Self.zstd)
        #expect(earlier.value("content-encoding") == "zstd", "what lies there stays as it is")
        #expect(later.value("vary") == "accept-encoding" && earlier.value("vary") == "accept-encoding")
        try fixture.compress(.zstd)
        #expect(pair.perform("PUT", "/cache/shop?key=b&ttl_seconds=60", body: Self.value).status == 204)
        #expect(pair.perform("GET", "/cache/shop?key=b", Self.zstd).value("content-encoding") == "zstd")
    }

    @Test func severalLinesOfWhatIsAcceptedAreNoFault() throws {
        let response = pair.perform("GET", Self.target, [("accept-encoding", "zstd"), ("accept-encoding", "br")])
        #expect(response.status == 200 && response.value("content-encoding") == "zstd")
    }

    @Test func errorsAreNotEncoded() throws {
        let response = pair.perform("GET", "/cache/shop?key=none", Self.zstd)
        #expect(response.status == 404)
        #expect(response.value("content-encoding") == nil)
        #expect(response.text.contains("Key Not Found"))
    }

    // MARK: Meters

    @Test func bytesAreThoseOnTheWireAndOperationsThoseOfTheValue() throws {
        let before = try fixture.counts()
        let packed = pair.perform("GET", Self.target, Self.zstd)
        let after = try fixture.counts()
        func growth(_ meter: Meter) -> UInt64 { (after[meter] ?? 0) - (before[meter] ?? 0) }
        #expect(growth(.bytesOut) == UInt64(packed.body.count))
        #expect(growth(.operations) == UInt64((Self.value.count + 1 + 1023) / 1024))
        #expect(growth(.responseChunks) == growth(.operations))
        #expect(growth(.bytesIn) == 1 && growth(.hits) == 1)
    }
}

/// A collection under a key that is asked for its value.
@Suite struct WrongTypeTests {
    private struct CollectionEngine: LateEngine {
        func perform(
            _ command: LateCommand, on cache: CacheID, now: Timestamp,
            reply: @escaping @Sendable (Result<LateReply, MartletError>) -> Void
        ) {
            reply(.failure(.wrongType))
        }

        func forget(_ cache: CacheID) {}
    }

    @Test func isAConflict() throws {
        let fixture = try GatewayFixture { _ in .late(CollectionEngine()) }
        let pair = try HTTP2Pair(fixture)
        for method in ["GET", "HEAD"] {
            let response = pair.perform(method, "/cache/shop?key=a", [("accept-encoding", "zstd")])
            #expect(response.status == 409)
            #expect(method == "HEAD" || response.text.contains("WrongType"))
        }
        #expect(try fixture.counts()[.clientErrors] == 2)
    }
}
