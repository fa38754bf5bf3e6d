import Access
import CacheService
import Catalog
import NIOCore
import Tenancy
import Testing

@testable import Gateway

@Suite struct EmulatorCredentialTests {
    private func isAdmitted(origin: String?, host: String?) -> Bool {
        func lend<R>(_ text: String?, _ body: (UnsafeRawBufferPointer?) -> R) -> R {
            guard let text else { return body(nil) }
            return Array(text.utf8).withUnsafeBytes { body($0) }
        }
        return lend(origin) { origin in
            lend(host) { host in EmulatorCredential.isAdmitted(origin: origin, host: host) }
        }
    }

    private static let loopback = [
        "localhost", "localhost:8080", "LocalHost:1", "127.0.0.1", "127.0.0.1:8080", "127.255.3.4", "[::1]",
        "[::1]:8080", "localhost:65535",
    ]
    private static let others = [
        "", "example.com", "localhost.example.com", "localhost.", "mylocalhost", "127.0.0.1.example.com", "127.1",
        "127.0.0.256", "127.0.0.01", "127.0.0.1.", "127.0.0.", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536",
        "127.0.0.1:1:2", "0.0.0.0", "126.0.0.1", "128.0.0.1", "10.0.0.1", "192.168.0.1:8080", "2130706433",
        "0x7f.0.0.1",
        "[::2]", "[::1", "[::1]x", "[::ffff:127.0.0.1]", "::1", "localhost@example.com", "example.com:80@localhost",
        "localhost:8080/", " localhost", "localhost ",
    ]

    @Test func aProgramThatNamesALoopbackIsLetIn() {
        #expect(isAdmitted(origin: nil, host: nil))
        for host in Self.loopback { #expect(isAdmitted(origin: nil, host: host), "\(host)") }
        for host in Self.others { #expect(!isAdmitted(origin: nil, host: host), "\(host)") }
    }

    @Test func aPageFromALoopbackIsLetIn() {
        for name in Self.loopback {
            for scheme in ["http://", "https://"] {
                #expect(isAdmitted(origin: scheme + name, host: "localhost:8080"), "\(scheme)\(name)")
                #expect(isAdmitted(origin: scheme + name, host: nil), "\(scheme)\(name)")
            }
            #expect(!isAdmitted(origin: name, host: "localhost"), "\(name)")
        }
    }

    @Test func aPageFromElsewhereIsNot() {
        for name in Self.others { #expect(!isAdmitted(origin: "http://" + name, host: "localhost"), "\(name)") }
        for origin in ["null", "", "file://", "http:localhost", "chrome-extension://localhost", "HTTP://localhost"] {
            #expect(!isAdmitted(origin: origin, host: "localhost"), "\(origin)")
        }
        #expect(!isAdmitted(origin: "http://localhost", host: "example.com"))
        #expect(!isAdmitted(origin: "http://example.com", host: nil))
    }

    @Test func anEmptyKeyIsNone() {
        for credential in ["", " ", "Bearer", "Bearer ", "bearer  ", "\t"] {
            #expect(Array(credential.utf8).withUnsafeBytes { EmulatorCredential.isEmpty($0) }, "\(credential)")
        }
        for credential in ["x", "Bearer x", "Basic ", "Bearer Bearer"] {
            #expect(!Array(credential.utf8).withUnsafeBytes { EmulatorCredential.isEmpty($0) }, "\(credential)")
        }
    }
}

/// The doors of a server that stands in for the emulator, and of one that does not.
@Suite struct EmulatorDoorTests {
    private func fixture(isEmulator: Bool = true) throws -> GatewayFixture {
        let fixture = try GatewayFixture(
            others: [
                (prefix: TopicsDoor.prefix, door: TopicsDoor()), (prefix: StreamDoor.path, door: StreamDoor()),
            ], heartbeatMilliseconds: 1000, isEmulator: isEmulator)
        try fixture.makeCache("shop")
        return fixture
    }

    private func request(
        _ connection: TestConnection, _ method: String, _ target: String, host: String = "localhost:8080",
        _ fields: [String] = [], body: String? = nil
    ) -> HTTP1Reply? {
        var text = "\(method) \(target) HTTP/1.1\r\nHost: \(host)\r\n"
        for field in fields { text += field + "\r\n" }
        if let body { text += "Content-Length: \(body.utf8.count)\r\n" }
        connection.send(text + "\r\n" + (body ?? ""))
        return HTTP1Reply.all(in: connection.receive(), methods: [method], isClosed: !connection.isOpen).replies.first
    }

    private static let item = "/cache/shop?key=a"

    @Test func itemsNeedNoCredential() throws {
        let fixture = try fixture()
        let connection = try TestConnection(fixture)
        #expect(request(connection, "PUT", Self.item + "&ttl_seconds=60", body: "v")?.status == 204)
        for fields in [[], ["Authorization:"], ["Authorization: Bearer "], ["Origin: http://localhost:3000"]] {
            let reply = request(connection, "GET", Self.item, fields)
            #expect(reply?.status == 200 && reply?.text == "v", "\(fields)")
        }
        #expect(request(connection, "GET", "/cache/none?key=a")?.status == 404)
        #expect(request(connection, "GET", Self.item, ["Authorization: wrong"])?.status == 401)
        #expect(request(connection, "GET", Self.item, ["Authorization: \(fixture.rootKey)"])?.status == 200)
        #expect(request(connection, "GET", Self.item)?.status == 200)
    }

    @Test func withoutTheFlagTheyDo() throws {
        let connection = try TestConnection(fixture(isEmulator: false))
        for fields in [[], ["Authorization:"], ["Authorization: Bearer "]] {
            #expect(request(connection, "GET", Self.item, fields)?.status == 401, "\(fields)")
        }
        #expect(request(connection, "GET", "/topics/shop/news")?.status == 401)
    }

    /// A browser sends the requests of all its pages on one connection.
    @Test func whoeverIsFromElsewhereNeedsOneWhoeverWasThereBefore() throws {
        let connection = try TestConnection(fixture())
        #expect(request(connection, "GET", Self.item)?.status == 404)
        for fields in [[], ["Authorization:"], ["Authorization: Bearer "]] {
            for origin in ["http://example.com", "null", "https://localhost.example.com"] {
                #expect(
                    request(connection, "GET", Self.item, fields + ["Origin: \(origin)"])?.status == 401,
                    "\(fields) \(origin)")
            }
            #expect(request(connection, "GET", Self.item, host: "rebound.example:8080", fields)?.status == 401)
        }
        #expect(
            request(connection, "PUT", Self.item + "&ttl_seconds=9", ["Origin: http://example.com"], body: "v")?.status
                == 401)
        #expect(request(connection, "GET", Self.item)?.status == 404)
    }

    @Test func theAuthorityOfHTTP2IsAHostToo() throws {
        // The client of these tests asks for cache.test.
        let pair = try HTTP2Pair(fixture())
        let stream = pair.client.request("GET", Self.item, [])
        pair.exchange()
        #expect(pair.response(stream).status == 401)
    }

    @Test func theControlPlaneNeedsOneAlways() throws {
        let connection = try TestConnection(fixture())
        #expect(request(connection, "GET", Self.item)?.status == 404)
        for fields in [[], ["Authorization:"], ["Authorization: Bearer "]] {
            for target in ["/v1/admin/caches", "/v1/admin/keys", "/v1/admin/tenants", "/v1/admin/audit"] {
                #expect(request(connection, "GET", target, fields)?.status == 401, "\(target) \(fields)")
            }
            #expect(request(connection, "PUT", "/v1/admin/caches/mine", fields, body: "{}")?.status == 401)
        }
    }

    @Test(arguments: Subscriber.Form.allCases) func topicsNeedNone(form: Subscriber.Form) throws {
        let fixture = try fixture()
        let connection = try TestConnection(fixture)
        let path = form == .stream ? "/v1/stream" : "/topics/shop/news"
        #expect(request(connection, "POST", "/topics/shop/news", body: "first")?.status == 204)
        for (host, isAdmitted) in [("127.0.0.1:8080", true), ("example.com", false)] {
            let subscriber = try TestConnection(fixture)
            subscriber.send(
                Subscriber.head(form, path, []).replacing("Host: cache.test", with: "Host: \(host)"))
            let head = String(decoding: subscriber.receive(), as: UTF8.self)
            let isSocket = form == .webSocket || form == .stream
            #expect(head.hasPrefix("HTTP/1.1 \(isAdmitted ? (isSocket ? 101 : 200) : 401) "), "\(head)")
        }
    }

    /// Its caller is in no catalog, so no change of the catalog may end it.
    @Test func itOutlivesChangesOfTheCatalog() throws {
        let fixture = try fixture()
        let lane = fixture.lane
        let caller = try #require(lane.service.emulatorCaller)
        for index in 0..<3 {
            try fixture.makeCache("other-\(index)")
            lane.beginTick()
            #expect(lane.service.fault(of: caller) == nil)
            let connection = try TestConnection(fixture)
            #expect(request(connection, "GET", "/cache/other-\(index)?key=a")?.status == 404)
        }
    }

    @Test func theControlPlaneTakesItFromTheDoorsThatMayPassIt() throws {
        let fixture = try fixture()
        let caller = try #require(fixture.service.emulatorCaller)
        #expect(caller.kind == .superUser && caller.tenant == fixture.service.defaultTenant)
        _ = try fixture.control.putCache(CacheName("made"), CacheChange(), caller: caller)
        // It is not the operator.
        #expect(throws: MartletError.self) {
            try fixture.control.permit(.manageTenants, caller)
        }
        // Another of its name is nobody.
        let impostor = Caller.emulator(defaultTenant: fixture.service.defaultTenant)
        #expect(throws: MartletError.revokedCredential) {
            try fixture.control.putCache(CacheName("more"), CacheChange(), caller: impostor)
        }
        let ordinary = try self.fixture(isEmulator: false)
        #expect(ordinary.service.emulatorCaller == nil && ordinary.lane.service.emulatorCaller == nil)
    }
}
