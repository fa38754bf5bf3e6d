import Tenancy
import Testing

@testable import Gateway

extension RequestHead {
    /// Adds a field as text.
    func add(_ name: String, _ value: String, limit: Int = 32_768) {
        Array(name.utf8).withUnsafeBytes { name in
            Array(value.utf8).withUnsafeBytes { add(name: name, value: $0, limit: limit) }
        }
    }

    func setPath(_ path: String, limit: Int = 32_768) {
        Array(path.utf8).withUnsafeBytes { setPath($0, limit: limit) }
    }

    func text(_ range: ByteRange) -> String {
        withArena { String(decoding: $0[range.range], as: UTF8.self) }
    }

    func text(_ field: Known) -> String? {
        withValue(field) { String(decoding: $0, as: UTF8.self) }
    }
}

@Suite struct RequestHeadTests {
    @Test func keepsPathAndEveryField() {
        let head = RequestHead()
        head.setPath("/cache/shop?key=a")
        head.add("authorization", "secret")
        head.add("x-unknown", "something")
        head.add("x-empty", "")
        #expect(head.text(head.path) == "/cache/shop?key=a")
        #expect(head.text(.authorization) == "secret")
        #expect(head.fields.map { head.text($0.name) } == ["authorization", "x-unknown", "x-empty"])
        #expect(head.fields.map { head.text($0.value) } == ["secret", "something", ""])
        #expect(head.fault(GatewayLimits()) == nil)
    }

    @Test(arguments: [
        ("authorization", RequestHead.Known.authorization), ("content-type", .contentType),
        ("content-length", .contentLength), ("accept", .accept), ("expect", .expect), ("if-match", .ifMatch),
        ("if-none-match", .ifNoneMatch), ("origin", .origin), ("accept-encoding", .acceptEncoding),
        ("content-encoding", .contentEncoding), ("host", .host),
    ])
    func knowsAField(name: String, field: RequestHead.Known) {
        let head = RequestHead()
        #expect(!head.has(field))
        #expect(head.range(field) == nil)
        #expect(head.text(field) == nil)
        head.add(name, "value of \(name)")
        #expect(head.has(field))
        #expect(head.text(field) == "value of \(name)")
        for other in RequestHead.Known.allCases where other != field { #expect(!head.has(other)) }
        head.reset()
        #expect(!head.has(field))
    }

    @Test func namesOfTheSameLengthAsAKnownFieldAreNotTakenForIt() {
        let head = RequestHead()
        for name in [
            "hose", "accepT", "if-matcH", "content-typo", "authorizatiom", "content-lengtl", "accept-encodinh",
        ] {
            head.add(name, "x")
        }
        for field in RequestHead.Known.allCases { #expect(!head.has(field)) }
    }

    @Test func aRepeatedFieldWithOneValueIsTolerated() {
        let head = RequestHead()
        head.setPath("/")
        head.add("authorization", "same")
        head.add("authorization", "same")
        #expect(!head.hasConflictingFields)
        #expect(head.text(.authorization) == "same")
        #expect(head.fields.count == 1)
    }

    @Test func aRepeatedFieldWithTwoValuesIsAFault() {
        for field in ["authorization", "content-length", "host", "if-match", "expect"] {
            let head = RequestHead()
            head.setPath("/")
            head.add(field, "one")
            head.add(field, "two")
            #expect(head.hasConflictingFields)
            #expect(head.text(head.fields[0].value) == "one")
            #expect(head.fault(GatewayLimits())?.row.httpStatus == 400)
            head.reset()
            #expect(!head.hasConflictingFields)
        }
    }

    @Test func anUnknownFieldMayStandAnyNumberOfTimes() {
        let head = RequestHead()
        head.setPath("/")
        head.add("x-tag", "one")
        head.add("x-tag", "two")
        #expect(!head.hasConflictingFields)
        #expect(head.fields.count == 2)
    }

    @Test func fieldsUpToTheLimitAreKeptAndOneByteMoreIsNot() {
        let head = RequestHead()
        head.setPath("/", limit: 100)
        head.add("a", String(repeating: "x", count: 100 - 1 - 1 - 32), limit: 100)
        #expect(!head.isTooLarge)
        #expect(head.size == 100)
        let larger = RequestHead()
        larger.setPath("/", limit: 100)
        larger.add("a", String(repeating: "x", count: 100 - 1 - 1 - 31), limit: 100)
        #expect(larger.isTooLarge)
        #expect(larger.fields.isEmpty)
        #expect(larger.fault(GatewayLimits()) == .headersTooLarge(limit: 32_768))
    }

    @Test func manyEmptyFieldsMeetTheLimitToo() {
        let head = RequestHead()
        head.setPath("/")
        for _ in 0..<100_000 { head.add("a", "") }
        #expect(head.isTooLarge)
        #expect(head.fields.count <= 32_768 / 33)
        #expect(head.arena.count <= 32_768)
    }

    @Test func aTargetOverItsLimitIsTooLong() {
        var limits = GatewayLimits()
        limits.targetBytes = 20
        let head = RequestHead()
        head.setPath("/cache/" + String(repeating: "x", count: 13))
        #expect(head.fault(limits) == nil)
        head.reset()
        head.setPath("/cache/" + String(repeating: "x", count: 14))
        #expect(head.fault(limits) == .uriTooLong(limit: 20))
    }

    @Test func aTargetOverTheLimitOfTheWholeHeadIsStillATargetThatIsTooLong() {
        let head = RequestHead()
        head.setPath("/cache/shop?key=" + String(repeating: "x", count: 40_000))
        #expect(head.fault(GatewayLimits()) == .uriTooLong(limit: GatewayLimits().targetBytes))
    }

    @Test func aHeadWithoutAPathIsMalformed() {
        let head = RequestHead()
        #expect(head.fault(GatewayLimits())?.row.httpStatus == 400)
    }

    @Test func resetForgetsEverything() {
        let head = RequestHead()
        head.setPath("/cache/a")
        Array("PUT".utf8).withUnsafeBytes { head.setMethod($0) }
        head.add("authorization", "secret")
        head.reset()
        #expect(head.arena.isEmpty)
        #expect(head.fields.isEmpty)
        #expect(head.path.isEmpty)
        #expect(head.method == .other)
        #expect(head.size == 0)
        head.setPath("/other")
        head.add("host", "here")
        #expect(head.text(head.path) == "/other")
        #expect(head.text(.host) == "here")
        #expect(head.text(.authorization) == nil)
    }

    @Test func resetGivesBackAnArenaThatOneRequestHasBlownUp() {
        let head = RequestHead()
        head.add("x", String(repeating: "x", count: 30_000))
        #expect(head.arena.capacity >= 30_000)
        head.reset()
        #expect(head.arena.capacity <= 8192)
    }

    @Test func usualRequestsDoNotGrowTheArenaAgain() {
        let head = RequestHead()
        for _ in 0..<3 {
            head.setPath("/cache/shop?key=some-key-of-usual-length")
            head.add("authorization", String(repeating: "t", count: 600))
            let capacity = head.arena.capacity
            head.reset()
            #expect(head.arena.capacity == capacity)
        }
    }
}

@Suite struct HTTPMethodTests {
    @Test(arguments: [
        ("GET", HTTPMethod.get), ("HEAD", .head), ("PUT", .put), ("POST", .post), ("DELETE", .delete),
        ("OPTIONS", .options), ("get", .other), ("GETT", .other), ("PATCH", .other), ("", .other), ("PRI", .other),
        ("OPTIONs", .other), ("TRACE", .other),
    ])
    func isComparedExactly(text: String, method: HTTPMethod) {
        Array(text.utf8).withUnsafeBytes { #expect(HTTPMethod($0) == method) }
    }

    @Test func namesAreTheTokensThatAreRead() {
        for method in [HTTPMethod.get, .head, .put, .post, .delete, .options] {
            Array(method.name.utf8).withUnsafeBytes { #expect(HTTPMethod($0) == method) }
        }
    }
}

@Suite struct ByteTests {
    @Test(arguments: [
        ("0", UInt64?.some(0)), ("7", 7), ("007", 7), ("9999999999999999999", 9_999_999_999_999_999_999), ("", nil),
        ("10000000000000000000", nil), ("-1", nil), ("+1", nil), ("1 ", nil), ("0x1", nil), ("1.0", nil),
        ("\u{664}", nil),
    ])
    func decimalIsDigitsOnly(text: String, number: UInt64?) {
        Array(text.utf8).withUnsafeBytes { #expect($0.decimal == number) }
    }

    @Test func comparisonsAreExactAndKnowTheEmptyText() {
        Array("Expect".utf8).withUnsafeBytes { bytes in
            #expect(bytes.matchesIgnoringCase("expect"))
            #expect(!bytes.matches("expect"))
            #expect(!bytes.matchesIgnoringCase("expec"))
            #expect(bytes.starts(withText: "Exp"))
            #expect(!bytes.starts(withText: "Expected"))
            #expect(bytes.equals(bytes))
        }
        let empty = UnsafeRawBufferPointer(start: nil, count: 0)
        #expect(empty.matches(""))
        #expect(empty.starts(withText: ""))
        #expect(!empty.starts(withText: "a"))
        #expect(empty.equals(empty))
    }
}
