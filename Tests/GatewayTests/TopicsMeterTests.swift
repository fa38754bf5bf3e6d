import Access
import Admission
import CacheService
import Catalog
import Metering
import Tenancy
import Testing

@testable import Gateway

/// What topics put on the bill, to the millisecond and the byte.
@Suite struct TopicsMeterTests {
    private let stage: TopicStage

    init() throws {
        stage = try TopicStage()
    }

    private func row(_ form: Subscriber.Form) -> Door {
        form == .webSocket || form == .stream ? .webSocket : .rest
    }

    private func counts(_ door: Door) throws -> [Meter: UInt64] {
        try stage.fixture.counts(door: door)
    }

    private func milliseconds(_ door: Door) throws -> UInt64 {
        try counts(door)[.subscriptionMilliseconds] ?? 0
    }

    // MARK: Time

    private static let endings = ["the client leaves", "revoked", "the connection goes"]

    @Test(arguments: Subscriber.Form.allCases, Subscriber.Version.allCases)
    func aSubscriptionCountsWhileItIsOpen(form: Subscriber.Form, version: Subscriber.Version) throws {
        for ending in Self.endings {
            let key = try stage.key()
            // So that neither end falls on a tick.
            stage.pass(milliseconds: 130)
            let before = try milliseconds(row(form))
            let subscriber = try Subscriber(stage, form, version, credential: key.presented)
            stage.pass(milliseconds: 7410, step: 10)
            switch ending {
            case "the client leaves" where form == .webSocket || form == .stream: subscriber.sendClose()
            case "the client leaves": subscriber.vanish()
            case "revoked":
                try stage.fixture.control.revokeKey(id: key.id, caller: stage.fixture.root)
                // What ends it is a tick.
                stage.lane.tickStreams()
            default:
                subscriber.connection.abort()
                stage.settle()
            }
            #expect(try stage.subscriptions() == 0)
            stage.pass(milliseconds: 3000)
            #expect(try milliseconds(row(form)) - before == 7410, "\(ending)")
        }
        #expect(try milliseconds(row(form) == .rest ? .webSocket : .rest) == 0)
    }

    @Test func manySubscriptionsAddUp() throws {
        let pair = try HTTP2Pair(stage.fixture)
        var expected: UInt64 = 0
        var open: [(subscriber: Subscriber, since: Int64)] = []
        var generator = SeededGenerator(seed: 7)
        for _ in 0..<60 {
            stage.pass(milliseconds: Int64.random(in: 1...400, using: &generator), step: 10)
            if open.count > 3, Bool.random(using: &generator) {
                let place = Int.random(in: 0..<open.count, using: &generator)
                let ended = open.remove(at: place)
                ended.subscriber.vanish()
                expected += UInt64(stage.now - ended.since)
            } else {
                open.append((try Subscriber(stage, .events, .http2, on: pair), stage.now))
            }
        }
        // What a reading has not come to yet is at most a tick's.
        stage.lane.tickStreams()
        expected += open.reduce(0) { $0 + UInt64(stage.now - $1.since) }
        #expect(try milliseconds(.rest) == expected)
    }

    @Test func aPollThatWaitsInVainCountsItsTime() throws {
        let poll = try Subscriber(stage, .poll, .http1)
        stage.pass(milliseconds: 31_000)
        #expect(poll.isEnded)
        let counted = try milliseconds(.rest)
        #expect((30_000...30_250).contains(counted))
        #expect(try counts(.rest)[.calls] == 1)
    }

    // MARK: Messages

    @Test(arguments: Subscriber.Form.allCases)
    func publishingAndDeliveriesAreCharged(form: Subscriber.Form) throws {
        let all = try (0..<3).map { _ in try Subscriber(stage, form, .http1) }
        let publishedBefore = try counts(.rest)
        #expect(stage.publish(String(repeating: "x", count: 3000)) == 204)
        let published = try counts(.rest)
        let delivered = try counts(row(form))
        _ = all
        // Under one door both stand in one row.
        let deliveredToRest: UInt64 = row(form) == .rest ? 1 : 0
        func added(_ meter: Meter) -> UInt64 { (published[meter] ?? 0) - (publishedBefore[meter] ?? 0) }
        #expect(added(.publishes) == 1)
        #expect(added(.calls) == 1)
        #expect(added(.bytesIn) == 3000)
        #expect(added(.requestChunks) == 3)
        #expect(added(.operations) == 3 + 9 * deliveredToRest)
        #expect(delivered[.deliveries] == 3)
        #expect(delivered[.bytesOut] == 9000)
        #expect(delivered[.responseChunks] == 9)
        if deliveredToRest == 0 { #expect(delivered[.operations] == 9) }
        #expect(delivered[.throttled] == 0)
        #expect(delivered[.clientErrors] == 0)
    }

    @Test func anEmptyMessageIsAnOperation() throws {
        let subscriber = try Subscriber(stage, .webSocket, .http2)
        _ = subscriber.take()
        stage.publish("")
        #expect(subscriber.take().map(\.text) == [""])
        #expect(try counts(.rest)[.operations] == 1)
        #expect(try counts(.webSocket)[.operations] == 1)
        #expect(try counts(.webSocket)[.bytesOut] == 0)
        #expect(try counts(.webSocket)[.deliveries] == 1)
    }

    @Test(arguments: [Subscriber.Form.webSocket, .stream])
    func publishingByAFrameIsTheWebSockets(form: Subscriber.Form) throws {
        let subscriber = try Subscriber(stage, form, .http1)
        subscriber.send(
            form == .stream ? "{\"publish\":{\"id\":\"a\",\"text\":\"four\"}}" : "{\"publish\":{\"text\":\"four\"}}")
        let counts = try counts(.webSocket)
        #expect(counts[.publishes] == 1)
        #expect(counts[.bytesIn] == 4)
        #expect(counts[.bytesOut] == 4)
        #expect(counts[.deliveries] == 1)
        #expect(counts[.operations] == 2)
        // The subscription and the message.
        #expect(counts[.calls] == 2)
        #expect(try self.counts(.rest)[.calls] == 0)
    }

    @Test(arguments: Subscriber.Form.allCases)
    func heartbeatsAndDiscontinuitiesCostNothing(form: Subscriber.Form) throws {
        stage.publish("old")
        let before = try counts(row(form))
        let subscriber = try Subscriber(stage, form, .http1, query: "?sequence_number=5&sequence_page=77")
        stage.pass(milliseconds: 25_000)
        _ = subscriber.take()
        let after = try counts(row(form))
        let items = UInt64(subscriber.told.filter { $0.name == "item" }.count)
        #expect(items == 1)
        #expect((after[.deliveries] ?? 0) - (before[.deliveries] ?? 0) == items)
        #expect((after[.operations] ?? 0) - (before[.operations] ?? 0) == items)
        #expect((after[.bytesOut] ?? 0) - (before[.bytesOut] ?? 0) == 3 * items)
    }

    // MARK: Refusals

    @Test func refusalsCountAtTheirDoor() throws {
        try stage.fixture.makeCache("shop", [.maxMessageBytes: 10, .maxSubscriptions: 1])
        try expectOneRefusal(.rest, .throttled) { stage.publish("eleven byte") == 413 }
        try expectOneRefusal(.rest, .clientErrors) { stage.publish([0xFF]) == 400 }
        try expectOneRefusal(.rest, .clientErrors) { stage.publish("x", to: "%01") == 400 }
        try expectOneRefusal(.rest, .clientErrors) {
            try Subscriber(stage, .poll, .http1, query: "?sequence_number=x").status == 400
        }
        try expectOneRefusal(.rest, .clientErrors) {
            try Subscriber(stage, .events, .http2, fields: [("last-event-id", "x")]).status == 400
        }
        try expectOneRefusal(.webSocket, .clientErrors) {
            try Subscriber(stage, .webSocket, .http1, query: "?sequence_page=-1").status == 400
        }
        let readOnly = try stage.key(.readOnly).presented
        let socket = try Subscriber(stage, .webSocket, .http1, credential: readOnly)
        try expectOneRefusal(.webSocket, .clientErrors) {
            socket.send("{\"publish\":{\"text\":\"x\"}}")
            return socket.told.last?.errorCode == "PermissionDenied"
        }
        // One subscription is open: another is one too many, at every door.
        try expectOneRefusal(.webSocket, .throttled) { try Subscriber(stage, .webSocket, .http2).status == 429 }
        try expectOneRefusal(.webSocket, .throttled) {
            try Subscriber(stage, .stream, .http1).told.last?.errorCode == "LimitExceeded"
        }
        try expectOneRefusal(.rest, .throttled) { try Subscriber(stage, .poll, .http2).status == 429 }
        try expectOneRefusal(.rest, .throttled) { try Subscriber(stage, .events, .http1).status == 429 }
        socket.sendClose()
        let stream = try Subscriber(stage, .stream, .http2)
        try expectOneRefusal(.webSocket, .throttled) {
            stream.send("{\"publish\":{\"cache\":\"shop\",\"topic\":\"t\",\"text\":\"eleven byte\"}}")
            return stream.told.last?.errorCode == "TooLarge"
        }
    }

    /// Checks that something is refused, counts once under that meter at that door, and is neither published nor counted
    /// at the other.
    private func expectOneRefusal(
        _ door: Door, _ meter: Meter, sourceLocation: SourceLocation = #_sourceLocation, _ body: () throws -> Bool
    ) throws {
        let before = try counts(door)
        let others = try counts(door == .rest ? .webSocket : .rest)
        let isRefused = try body()
        let after = try counts(door)
        let othersAfter = try counts(door == .rest ? .webSocket : .rest)
        #expect(isRefused, sourceLocation: sourceLocation)
        #expect(after[meter] == (before[meter] ?? 0) + 1, sourceLocation: sourceLocation)
        #expect(after[.publishes] == before[.publishes], sourceLocation: sourceLocation)
        #expect(othersAfter == others, sourceLocation: sourceLocation)
    }

    // MARK: After the end of a cache

    /// The counters of a cache that is gone are soon another's.
    @Test(arguments: Subscriber.Form.allCases, Subscriber.Version.allCases)
    func nothingIsAddedAfterTheCacheIsDeleted(form: Subscriber.Form, version: Subscriber.Version) throws {
        let tenant = stage.service.defaultTenant
        let name = try CacheName("shop")
        let cache = try #require(stage.fixture.catalog.snapshot.cache(tenant: tenant, name: name)).id
        let subscriber = try Subscriber(stage, form, version)
        stage.pass(milliseconds: 1000)
        let rows = try [Door.rest, .webSocket].map {
            try stage.fixture.meters.row(lane: 0, tenant: tenant, cache: cache, door: $0)
        }
        try stage.fixture.control.deleteCache(name, caller: stage.fixture.root)
        try stage.fixture.makeCache("shop")
        stage.lane.beginTick()
        let before = rows.map { row in Meter.allCases.map { row.count(of: $0) } }
        #expect(before.joined().contains(1000))
        stage.publish("to another")
        if form == .webSocket { subscriber.send("{\"publish\":{\"text\":\"x\"}}") }
        if form == .stream {
            subscriber.send("{\"publish\":{\"id\":\"a\",\"text\":\"x\"}}")
            subscriber.send("{\"unsubscribe\":{\"id\":\"a\"}}")
        }
        stage.pass(milliseconds: 5000)
        subscriber.vanish()
        stage.pass(milliseconds: 1000)
        #expect(rows.map { row in Meter.allCases.map { row.count(of: $0) } } == before)
    }

    /// The same for a publication whose body is still on its way.
    @Test func nothingIsAddedForABodyThatComesAfterTheDeletion() throws {
        let tenant = stage.service.defaultTenant
        let name = try CacheName("shop")
        let cache = try #require(stage.fixture.catalog.snapshot.cache(tenant: tenant, name: name)).id
        let head =
            "POST /topics/shop/news HTTP/1.1\r\nHost: h\r\nAuthorization: \(stage.fixture.rootKey)\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
        let ended = try TestConnection(stage.fixture)
        let tooLong = try TestConnection(stage.fixture)
        let stalled = try TestConnection(stage.fixture)
        for connection in [ended, tooLong, stalled] { connection.send(head) }
        let row = try stage.fixture.meters.row(lane: 0, tenant: tenant, cache: cache, door: .rest)
        try stage.fixture.control.deleteCache(name, caller: stage.fixture.root)
        stage.lane.beginTick()
        let before = Meter.allCases.map { row.count(of: $0) }
        ended.send("0\r\n\r\n")
        #expect(ended.replies().map(\.status) == [404])
        tooLong.send(Array("30000\r\n".utf8) + [UInt8](repeating: 120, count: 0x30000))
        #expect([404, 413].contains(tooLong.replies().first?.status))
        stage.pass(milliseconds: 35_000, step: 250)
        #expect(stalled.replies().first?.status == 408)
        #expect(Meter.allCases.map { row.count(of: $0) } == before)
    }
}
