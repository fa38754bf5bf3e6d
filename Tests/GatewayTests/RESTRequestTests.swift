import Tenancy
import Testing

@testable import Gateway

/// A request target as the REST door reads it.
private struct Parsed {
    let head = RequestHead()
    var request = RESTRequest()
    let isOurs: Bool

    init(_ target: String) {
        self.init(bytes: Array(target.utf8))
    }

    init(bytes: [UInt8]) {
        let head = head
        let target = head
        bytes.withUnsafeBytes { target.setPath($0, limit: 1 << 20) }
        isOurs = request.parse(target)
    }

    func bytes(_ range: ByteRange?) -> [UInt8]? {
        range.map { Array(head.arena[$0.range]) }
    }

    func text(_ range: ByteRange?) -> String? {
        bytes(range).map { String(decoding: $0, as: UTF8.self) }
    }

    var field: String? { request.fault?.field }

    func ttl() -> Result<TTL?, MartletError> {
        Result { () throws(MartletError) in try request.ttl(in: head) }
    }

    func amount() -> Result<Int64, MartletError> {
        Result { () throws(MartletError) in try request.amount(in: head) }
    }
}

@Suite struct RESTRequestTests {
    @Test func readsEveryParameter() {
        let parsed = Parsed("/cache/shop?key=a&token=t&ttl_seconds=1&ttl_ms=2&by=3")
        #expect(parsed.isOurs)
        #expect(parsed.request.resource == .item)
        #expect(parsed.text(parsed.request.cacheName) == "shop")
        #expect(parsed.text(parsed.request.key) == "a")
        #expect(parsed.text(parsed.request.token) == "t")
        #expect(parsed.text(parsed.request.ttlSeconds) == "1")
        #expect(parsed.text(parsed.request.ttlMilliseconds) == "2")
        #expect(parsed.text(parsed.request.by) == "3")
        #expect(parsed.request.fault == nil)
    }

    @Test(arguments: [
        "/", "", "/cache", "/cache/", "/cach/shop", "/v1/admin", "/cache/shop/", "/cache/shop/other?key=a",
        "/cache/shop/increment/?key=a", "/cache/a/b/increment?key=a", "/cache/shop/INCREMENT?key=a",
    ])
    func otherPathsAreNotOurs(target: String) {
        // The router has compared the first seven bytes; what is shorter never comes here.
        #expect(!Parsed(target).isOurs || !target.hasPrefix("/cache/"))
    }

    @Test func incrementIsAResourceOfItsOwn() {
        let parsed = Parsed("/cache/shop/increment?key=a")
        #expect(parsed.isOurs)
        #expect(parsed.request.resource == .increment)
        #expect(parsed.text(parsed.request.cacheName) == "shop")
    }

    @Test func aCacheNamedIncrementIsACache() {
        let parsed = Parsed("/cache/increment?key=a")
        #expect(parsed.request.resource == .item)
        #expect(parsed.text(parsed.request.cacheName) == "increment")
    }

    @Test func aSlashInTheQueryIsNoPartOfThePath() {
        let parsed = Parsed("/cache/shop?key=a/b/increment")
        #expect(parsed.request.resource == .item)
        #expect(parsed.text(parsed.request.key) == "a/b/increment")
    }

    @Test func anEncodedSlashInTheNameStaysInTheName() {
        let parsed = Parsed("/cache/a%2Fincrement?key=k")
        #expect(parsed.request.resource == .item)
        #expect(parsed.text(parsed.request.cacheName) == "a/increment")
    }

    @Test func anEmptyCacheNameIsForTheServiceToRefuse() {
        let parsed = Parsed("/cache/?key=a")
        #expect(parsed.isOurs)
        #expect(parsed.request.cacheName.isEmpty)
    }

    @Test(arguments: [
        ("%61", "a"), ("a%20b", "a b"), ("a+b", "a+b"), ("%2B", "+"), ("%e2%82%ac", "€"), ("%E2%82%AC", "€"),
        ("a=b", "a=b"), ("a%26b", "a&b"), ("%00", "\0"), ("a?b", "a?b"), ("%25", "%"), ("%2525", "%25"),
        ("~!$'()*,;:@/", "~!$'()*,;:@/"),
    ])
    func aKeyIsPercentDecodedOnceAndPlusIsPlus(encoded: String, key: String) {
        let parsed = Parsed("/cache/shop?key=\(encoded)")
        #expect(parsed.text(parsed.request.key) == key)
        #expect(parsed.request.fault == nil)
    }

    @Test func aKeyMayBeAnyBytes() {
        let parsed = Parsed("/cache/shop?key=%ff%00%80")
        #expect(parsed.bytes(parsed.request.key) == [0xFF, 0, 0x80])
        let raw = Parsed(bytes: Array("/cache/shop?key=".utf8) + [0xFF, 0x80])
        #expect(raw.bytes(raw.request.key) == [0xFF, 0x80])
    }

    @Test(arguments: ["%", "%4", "a%", "a%4", "%zz", "%4z", "%z4", "%%41", "%+1", "% 1", "%-1"])
    func badPercentEncodingOfAKeyIsAFault(encoded: String) {
        let parsed = Parsed("/cache/shop?key=\(encoded)")
        #expect(parsed.field == "key")
        #expect(parsed.request.key == nil)
    }

    @Test func badPercentEncodingDoesNotReachIntoTheNextParameter() {
        #expect(Parsed("/cache/shop?key=%4&token=1").field == "key")
        #expect(Parsed("/cache/sho%7?key=a").field == "cache")
        #expect(Parsed("/cache/%?key=a").field == "cache")
    }

    @Test(
        arguments: [
            ("YQ==", [0x61]), ("YQ", [0x61]), ("-_8=", [0xFB, 0xFF]), ("-_8", [0xFB, 0xFF]), ("+/8=", [0xFB, 0xFF]),
            ("%2B%2F8%3D", [0xFB, 0xFF]), ("YWJj", [0x61, 0x62, 0x63]), ("YWI=", [0x61, 0x62]),
        ] as [(String, [UInt8])])
    func aKeyMayBeBase64InEitherAlphabet(encoded: String, key: [UInt8]) {
        let parsed = Parsed("/cache/shop?key_base64=\(encoded)")
        #expect(parsed.bytes(parsed.request.key) == key)
        #expect(parsed.request.fault == nil)
    }

    @Test(arguments: ["Y", "YQ=", "YQ===", "=", "Y Q=", "+_8=", "YR==", "*", "YWJj=", "%zz", "YQ==YQ=="])
    func badBase64IsAFault(encoded: String) {
        let parsed = Parsed("/cache/shop?key_base64=\(encoded)")
        #expect(parsed.field == "key_base64")
        #expect(parsed.request.key == nil)
    }

    @Test(arguments: ["key=", "key", "key_base64=", "key_base64"])
    func anEmptyKeyIsAFault(query: String) {
        #expect(Parsed("/cache/shop?\(query)").request.fault != nil)
        #expect(Parsed("/cache/shop?\(query)").request.key == nil)
    }

    @Test(arguments: ["", "?", "?&", "?&&&", "?=", "?=a", "?kex=a", "?KEY=a", "?key%3Da", "?ttl_seconds=1"])
    func aMissingKeyIsAFault(query: String) {
        let parsed = Parsed("/cache/shop\(query)")
        #expect(parsed.isOurs)
        #expect(parsed.field == "key")
    }

    @Test(arguments: [
        ("key=a&key=a", "key"), ("key=a&key_base64=YQ", "key_base64"), ("key_base64=YQ&key=a", "key"),
        ("key_base64=YQ&key_base64=YQ", "key_base64"), ("key=a&token=t&token=t", "token"),
        ("key=a&ttl_seconds=1&ttl_seconds=1", "ttl_seconds"), ("key=a&ttl_ms=1&ttl_ms=1", "ttl_ms"),
        ("key=a&by=1&by=1", "by"), ("key=a&token=%", "token"),
    ])
    func aParameterThatStandsTwiceIsAFault(query: String, field: String) {
        #expect(Parsed("/cache/shop?\(query)").field == field)
    }

    @Test func theFirstFaultIsTold() {
        #expect(Parsed("/cache/shop?key=%&key_base64=*").field == "key")
        #expect(Parsed("/cache/%?key=%").field == "cache")
    }

    @Test func unknownParametersAreIgnored() {
        let parsed = Parsed("/cache/shop?x=%zz&y&=z&&key=a&Key=b&key_=c&ttl=1")
        #expect(parsed.request.fault == nil)
        #expect(parsed.text(parsed.request.key) == "a")
    }

    @Test func resetForgetsEverything() {
        var request = Parsed("/cache/shop?key=a&token=t&ttl_ms=5").request
        request.allowsAnyOrigin = true
        request.reset()
        #expect(request.key == nil && request.token == nil && request.ttlMilliseconds == nil)
        #expect(!request.allowsAnyOrigin)
        #expect(request.resource == .none)
    }

    @Test func resetForgetsTheOriginOfARequestWithoutAnItem() {
        var request = RESTRequest()
        request.allowsAnyOrigin = true
        request.reset()
        #expect(!request.allowsAnyOrigin)
    }

    @Test func mutatedTargetsNeverTrap() {
        var generator = SeededGenerator(seed: 17)
        let seed = Array(
            "/cache/shop%20a/increment?key=a%41&key_base64=YQ==&token=%ff&ttl_seconds=60&ttl_ms=1&by=-5".utf8)
        for _ in 0..<20_000 {
            var bytes = seed
            for _ in 0..<Int.random(in: 1...6, using: &generator) {
                switch Int.random(in: 0..<3, using: &generator) {
                case 0:
                    bytes[Int.random(in: 0..<bytes.count, using: &generator)] = UInt8.random(
                        in: 0...255, using: &generator)
                case 1:
                    bytes.insert(
                        seed.randomElement(using: &generator) ?? 0,
                        at: Int.random(in: 0...bytes.count, using: &generator))
                default: bytes.remove(at: Int.random(in: 0..<bytes.count, using: &generator))
                }
            }
            let parsed = Parsed(bytes: bytes)
            guard parsed.isOurs else { continue }
            #expect(parsed.request.key != nil || parsed.request.fault != nil)
            _ = parsed.ttl()
            _ = parsed.amount()
        }
    }
}

@Suite struct RESTRequestTTLTests {
    @Test(arguments: [
        ("ttl_seconds=1", UInt64(1000)), ("ttl_seconds=060", 60_000), ("ttl_ms=1", 1),
        ("ttl_ms=4398046511104", 1 << 42),
        ("ttl_seconds=4398046511", 4_398_046_511_000),
    ])
    func aTTLIsAWholeNumberOfItsUnit(query: String, milliseconds: UInt64) throws {
        #expect(try Parsed("/cache/shop?key=a&\(query)").ttl().get()?.milliseconds == milliseconds)
    }

    @Test func noTTLIsNone() throws {
        #expect(try Parsed("/cache/shop?key=a").ttl().get() == nil)
    }

    @Test(arguments: [
        ("ttl_seconds=0", "ttl_seconds"), ("ttl_seconds=-1", "ttl_seconds"), ("ttl_seconds=", "ttl_seconds"),
        ("ttl_seconds", "ttl_seconds"), ("ttl_seconds=1.5", "ttl_seconds"), ("ttl_seconds=1e3", "ttl_seconds"),
        ("ttl_seconds=+1", "ttl_seconds"), ("ttl_seconds= 1", "ttl_seconds"), ("ttl_seconds=NaN", "ttl_seconds"),
        ("ttl_seconds=4398046512", "ttl_seconds"), ("ttl_seconds=9999999999999999999", "ttl_seconds"),
        ("ttl_seconds=99999999999999999999999", "ttl_seconds"), ("ttl_ms=0", "ttl_ms"),
        ("ttl_ms=4398046511105", "ttl_ms"),
        ("ttl_ms=18446744073709551616", "ttl_ms"), ("ttl_seconds=1&ttl_ms=1", "ttl_ms"),
    ])
    func everythingElseIsRefusedWithItsField(query: String, field: String) {
        #expect(throws: MartletError.self) { try Parsed("/cache/shop?key=a&\(query)").ttl().get() }
        if case .failure(let error) = Parsed("/cache/shop?key=a&\(query)").ttl() { #expect(error.field == field) }
    }

    @Test(arguments: [
        ("", Int64(1)), ("&by=5", 5), ("&by=-5", -5), ("&by=0", 0), ("&by=9223372036854775807", .max),
        ("&by=-9223372036854775808", .min),
    ])
    func anAmountIsASigned64BitInteger(query: String, amount: Int64) throws {
        #expect(try Parsed("/cache/shop/increment?key=a\(query)").amount().get() == amount)
    }

    @Test(arguments: ["by=", "by", "by=+5", "by=1.0", "by=9223372036854775808", "by=a", "by=--1", "by= 1", "by=%FF"])
    func anythingElseIsRefused(query: String) {
        #expect(throws: MartletError.self) { try Parsed("/cache/shop/increment?key=a&\(query)").amount().get() }
    }
}
