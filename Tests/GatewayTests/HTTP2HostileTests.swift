import Tenancy
import Testing

@testable import Gateway

/// Input that no well-behaved client sends.
@Suite struct HTTP2HostileTests {
    /// The bytes of a connection that stores, reads, misses and asks for its health, as one client sends them.
    private static func conversation(
        _ fixture: GatewayFixture, _ client: HTTP2Client = HTTP2Client()
    ) -> (bytes: [UInt8], streams: [Int32]) {
        let credential = [("authorization", fixture.rootKey)]
        let streams = [
            client.request("PUT", "/cache/shop?key=a&ttl_seconds=60", credential, body: Array("some value".utf8)),
            client.request("GET", "/cache/shop?key=a", credential),
            client.request("GET", "/cache/shop?key=b", credential),
            client.request("DELETE", "/cache/shop?key=a", credential), client.request("GET", "/healthz"),
        ]
        return (client.takeOutput(), streams)
    }

    /// What comes back when the bytes arrive in these pieces.
    private static func answers(_ pieces: [ArraySlice<UInt8>], _ fixture: GatewayFixture) throws -> [String] {
        let connection = try TestConnection(fixture)
        for piece in pieces { connection.send(Array(piece)) }
        // The reader must have asked for the streams whose answers it reads.
        let reader = HTTP2Client()
        let streams = conversation(fixture, reader).streams
        reader.receive(connection.receive())
        return streams.map { reader.responses[$0]?.essence ?? "none" }
    }

    @Test func aCutAtEveryByteGivesTheSameAnswers() throws {
        let fixture = try GatewayFixture()
        let (bytes, _) = Self.conversation(fixture)
        // The body is the last to come, so what one run stores is there for the next.
        _ = try Self.answers([bytes[...]], fixture)
        let whole = try Self.answers([bytes[...]], fixture)
        #expect(whole.count == 5)
        #expect(!whole.contains("none"))
        for cut in 1..<bytes.count {
            let answers = try Self.answers([bytes[..<cut], bytes[cut...]], fixture)
            #expect(answers == whole, "cut at byte \(cut)")
        }
        #expect(try Self.answers(bytes.indices.map { bytes[$0...$0] }, fixture) == whole)
    }

    @Test func aConnectionThatEndsAtAnyByteLeavesNothingBehind() throws {
        let fixture = try GatewayFixture()
        let (bytes, _) = Self.conversation(fixture)
        for cut in stride(from: 0, through: bytes.count, by: 3) {
            let connection = try TestConnection(fixture)
            connection.send(Array(bytes[..<cut]))
            connection.abort()
            #expect(fixture.connectionCount == 0)
            #expect(fixture.lane.backlogBytes == 0)
            #expect(fixture.bodyBytesInFlight == 0)
        }
    }

    @Test(arguments: 0..<8)
    func mutatedFramesNeverTrapAndLeaveNothingBehind(seed: Int) throws {
        let door = TestDoor()
        let fixture = try GatewayFixture(others: [("/test/", door)])
        var generator = SeededGenerator(seed: UInt64(seed))
        let (bytes, _) = Self.conversation(fixture)
        for _ in 0..<150 {
            var mutated = bytes
            for _ in 0..<Int.random(in: 1...8, using: &generator) {
                // Behind the preface, whose loss ends the connection at once.
                let index = Int.random(in: 24..<mutated.count, using: &generator)
                switch Int.random(in: 0..<4, using: &generator) {
                case 0: mutated[index] = UInt8.random(in: 0...255, using: &generator)
                case 1: mutated[index] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
                case 2:
                    mutated.insert(contentsOf: generator.bytes(Int.random(in: 1...20, using: &generator)), at: index)
                default:
                    mutated.removeSubrange(
                        index..<min(mutated.count, index + Int.random(in: 1...20, using: &generator)))
                }
                if mutated.count <= 24 { break }
            }
            let connection = try TestConnection(fixture)
            var position = 0
            while position < mutated.count {
                let count = min(Int.random(in: 1...400, using: &generator), mutated.count - position)
                connection.send(Array(mutated[position..<position + count]))
                position += count
            }
            connection.abort()
            #expect(fixture.connectionCount == 0)
            #expect(fixture.lane.backlogBytes == 0)
            #expect(fixture.bodyBytesInFlight == 0)
        }
        #expect(try HTTP2Pair(fixture).perform("GET", "/healthz").status == 200)
    }

    /// Frames of every type with random flags, streams and payloads: correct in form, without sense.
    @Test(arguments: 0..<8)
    func framesWithoutSenseNeverTrapAndLeaveNothingBehind(seed: Int) throws {
        let fixture = try GatewayFixture()
        var generator = SeededGenerator(seed: 1000 + UInt64(seed))
        for _ in 0..<150 {
            let connection = try TestConnection(fixture)
            var bytes = RawFrame.preface
            for _ in 0..<Int.random(in: 1...40, using: &generator) {
                let type = UInt8.random(in: 0...11, using: &generator)
                let stream = UInt32.random(in: 0...9, using: &generator)
                var payload = generator.bytes(Int.random(in: 0...60, using: &generator))
                if type == RawFrame.headers, Bool.random(using: &generator) {
                    payload = RawFrame.get("/cache/shop?key=a") + RawFrame.field("authorization", fixture.rootKey)
                }
                let flags = UInt8([0, 1, 4, 5, 8, 0x20, 0xFF].randomElement(using: &generator) ?? 0)
                bytes += RawFrame.frame(type: type, flags: flags, stream: stream, payload)
            }
            connection.send(bytes)
            connection.abort()
            #expect(fixture.connectionCount == 0)
            #expect(fixture.lane.backlogBytes == 0)
            #expect(fixture.bodyBytesInFlight == 0)
        }
    }

    @Test(arguments: [
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\r", "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n........................",
        "PRI / HTTP/1.1\r\n\r\n        ",
    ])
    func aFalsePrefaceEndsTheConnection(text: String) throws {
        let connection = try TestConnection(GatewayFixture())
        connection.send(text + "\0\0\0\u{4}\0\0\0\0\0")
        #expect(!connection.isOpen)
    }

    // MARK: What is counted is given back

    @Test func aRequestThatIsMalformedCountsForNothing() throws {
        let fixture = try GatewayFixture()
        let connection = try TestConnection(fixture)
        connection.send(RawFrame.preface)
        for index in 0..<20 {
            // No path: a stream error, found when the block is complete.
            let block = RawFrame.field(":method", "GET") + RawFrame.field(":scheme", "http") + RawFrame.field("x", "y")
            connection.send(
                RawFrame.frame(
                    type: RawFrame.headers, flags: RawFrame.endHeaders | RawFrame.endStream,
                    stream: UInt32(index * 2 + 1),
                    block))
        }
        #expect(connection.isOpen)
        #expect(connection.exchangeCount == 0)
        #expect(connection.headBytes == 0)
        // Nor does the connection wait for a head that was refused.
        fixture.lane.startSweeping()
        fixture.advance(milliseconds: 12_000)
        #expect(connection.isOpen)
    }

    @Test func headsOfOneConnectionAreBounded() throws {
        var limits = GatewayLimits()
        limits.headBytesPerConnection = 10_000
        let door = TestDoor()
        let fixture = try GatewayFixture(limits: limits, others: [("/test/", door)])
        let pair = try HTTP2Pair(fixture)
        let streams = (0..<20).map { _ in
            pair.client.request(
                "POST", "/test/silent", [("x", String(repeating: "x", count: 900))], body: [1], isComplete: false)
        }
        pair.exchange()
        let refused = streams.filter { pair.response($0).closeCode == 7 }
        #expect(refused.count >= 9)
        #expect(refused.count < 20)
        #expect(pair.connection.headBytes <= 10_000)
        for stream in streams where pair.response(stream).closeCode == nil { pair.client.reset(stream) }
        pair.exchange()
        #expect(pair.connection.headBytes == 0)
        #expect(pair.perform("GET", "/healthz").status == 200)
    }

    // MARK: Floods

    private func flood(_ limits: GatewayLimits = GatewayLimits(), _ frame: (Int) -> [UInt8]) throws -> TestConnection {
        let connection = try TestConnection(GatewayFixture(limits: limits))
        connection.send(RawFrame.preface)
        for round in 0..<200 where connection.isOpen {
            connection.send((0..<100).flatMap { frame(round * 100 + $0) })
            _ = connection.receive()
        }
        return connection
    }

    @Test func aFloodOfPingsEndsTheConnection() throws {
        #expect(try !flood { _ in RawFrame.frame(type: RawFrame.ping, [1, 2, 3, 4, 5, 6, 7, 8]) }.isOpen)
    }

    @Test func aFloodOfSettingsEndsTheConnection() throws {
        #expect(try !flood { _ in RawFrame.frame(type: RawFrame.settings) }.isOpen)
    }

    @Test func aFloodOfPrioritiesEndsTheConnection() throws {
        #expect(try !flood { _ in RawFrame.frame(type: RawFrame.priority, stream: 1, [0, 0, 0, 0, 16]) }.isOpen)
    }

    @Test func aFloodOfWindowUpdatesEndsTheConnection() throws {
        #expect(try !flood { _ in RawFrame.frame(type: RawFrame.windowUpdate, [0, 0, 0, 1]) }.isOpen)
    }

    @Test func aFloodOfResetStreamsEndsTheConnection() throws {
        let connection = try flood { index in
            RawFrame.frame(
                type: RawFrame.headers, flags: RawFrame.endHeaders, stream: UInt32(index * 2 + 1),
                RawFrame.get("/cache/shop"))
                + RawFrame.frame(type: RawFrame.reset, stream: UInt32(index * 2 + 1), [0, 0, 0, 8])
        }
        #expect(!connection.isOpen)
    }

    @Test func aFloodOfContinuationsEndsTheConnection() throws {
        let connection = try flood { index in
            index == 0
                ? RawFrame.frame(type: RawFrame.headers, flags: RawFrame.endStream, stream: 1, RawFrame.get())
                : RawFrame.frame(type: RawFrame.continuation, stream: 1, RawFrame.field("x", "y"))
        }
        #expect(!connection.isOpen)
    }

    @Test func aFloodOfEmptyContinuationsEndsTheConnection() throws {
        let connection = try flood { index in
            index == 0
                ? RawFrame.frame(type: RawFrame.headers, flags: RawFrame.endStream, stream: 1, RawFrame.get())
                : RawFrame.frame(type: RawFrame.continuation, stream: 1)
        }
        #expect(!connection.isOpen)
    }

    @Test func aFloodOfEmptyDataEndsTheConnection() throws {
        let fixture = try GatewayFixture()
        let connection = try TestConnection(fixture)
        let head =
            RawFrame.field(":method", "PUT") + RawFrame.field(":scheme", "http")
            + RawFrame.field(":authority", "cache.test") + RawFrame.field(":path", "/cache/shop?key=a&ttl_seconds=60")
            + RawFrame.field("authorization", fixture.rootKey)
        connection.send(
            RawFrame.preface + RawFrame.frame(type: RawFrame.headers, flags: RawFrame.endHeaders, stream: 1, head))
        for _ in 0..<200 where connection.isOpen {
            connection.send((0..<100).flatMap { _ in RawFrame.frame(type: RawFrame.data, stream: 1) })
        }
        #expect(!connection.isOpen)
    }

    @Test func aFloodOfDataThatIsOnlyPaddingEndsTheConnection() throws {
        let fixture = try GatewayFixture()
        let connection = try TestConnection(fixture)
        let head =
            RawFrame.field(":method", "PUT") + RawFrame.field(":scheme", "http")
            + RawFrame.field(":authority", "cache.test") + RawFrame.field(":path", "/cache/shop?key=a&ttl_seconds=60")
            + RawFrame.field("authorization", fixture.rootKey)
        connection.send(
            RawFrame.preface + RawFrame.frame(type: RawFrame.headers, flags: RawFrame.endHeaders, stream: 1, head))
        for _ in 0..<200 where connection.isOpen {
            connection.send((0..<100).flatMap { _ in RawFrame.frame(type: RawFrame.data, flags: 8, stream: 1, [0]) })
        }
        #expect(!connection.isOpen)
    }

    @Test func streamsThatWeAreMadeToResetEndTheConnection() throws {
        // A window update of nothing is an error of its stream, so we reset it: as cheap for the peer as its own reset
        // (CVE-2025-8671).
        let connection = try flood { index in
            RawFrame.frame(
                type: RawFrame.headers, flags: RawFrame.endHeaders, stream: UInt32(index * 2 + 1),
                RawFrame.get("/cache/shop"))
                + RawFrame.frame(type: RawFrame.windowUpdate, stream: UInt32(index * 2 + 1), [0, 0, 0, 0])
        }
        #expect(!connection.isOpen)
    }

    @Test func manyFieldsInOneSettingsFrameEndTheConnection() throws {
        let connection = try TestConnection(GatewayFixture())
        let entries = (0..<1000).flatMap { _ in [0, 3, 0, 0, 0, 100] as [UInt8] }
        connection.send(Array(RawFrame.preface.prefix(24)) + RawFrame.frame(type: RawFrame.settings, entries))
        #expect(!connection.isOpen)
    }

    @Test func aHeadThatUnpacksToMuchMoreThanItsBytesIsRefused() throws {
        // One large field in the table, then a thousand references of one byte each.
        let connection = try TestConnection(GatewayFixture())
        let large: [UInt8] = [0x40, 1, 0x78, 127] + [0x81, 0x1E] + [UInt8](repeating: 0x61, count: 4000)
        connection.send(
            RawFrame.preface
                + RawFrame.frame(
                    type: RawFrame.headers, flags: RawFrame.endHeaders | RawFrame.endStream, stream: 1,
                    RawFrame.get() + large + [UInt8](repeating: 0xBE, count: 1000)))
        let reader = HTTP2Client()
        reader.request("GET", "/healthz")
        _ = reader.takeOutput()
        reader.receive(connection.receive())
        let response = reader.responses[1]
        #expect(response?.status == 431 || response?.closeCode != nil || !connection.isOpen)
        #expect(response?.status != 200)
    }

    @Test func aConnectionThatTalksSenselesslyButSlowlyIsKept() throws {
        let fixture = try GatewayFixture()
        let pair = try HTTP2Pair(fixture)
        for _ in 0..<60 {
            for _ in 0..<50 { pair.client.ping() }
            pair.exchange()
            fixture.advance(milliseconds: 1000)
        }
        #expect(pair.connection.isOpen)
        #expect(pair.client.pingAcknowledgements == 3000)
    }
}
