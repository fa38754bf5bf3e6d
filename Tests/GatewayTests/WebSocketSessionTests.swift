import Access
import CacheService
import NIOCore
import NIOEmbedded
import Tenancy
import Testing

@testable import Gateway

/// A WebSocket from its handshake to its end, over both carriers.
@Suite struct WebSocketSessionTests {
    private let stage: TopicStage

    init() throws {
        stage = try TopicStage()
    }

    private func open(_ version: Subscriber.Version) throws -> Subscriber {
        let subscriber = try Subscriber(stage, .webSocket, version)
        #expect(subscriber.take().map(\.name) == ["heartbeat"])
        return subscriber
    }

    // MARK: Handshake

    @Test func framesInTheReadOfTheHandshakeAreNotLost() throws {
        let connection = try TestConnection(stage.fixture)
        connection.send(handshake + clientText("{\"publish\":{\"text\":\"first\"}}") + clientFrame(9, [1, 2]))
        stage.settle()
        let told = told(connection.receive())
        #expect(told.map(\.name) == ["heartbeat", "published", "pong", "item"])
    }

    private var handshake: [UInt8] {
        Array(
            Subscriber.head(
                .webSocket, "/topics/shop/news", [(name: "authorization", value: stage.fixture.rootKey)]
            ).utf8)
    }

    private func told(_ bytes: [UInt8]) -> [Told] {
        let (replies, rest) = HTTP1Reply.all(in: bytes)
        guard replies.map(\.status) == [101] else { return [Told(name: "\(replies.map(\.status))")] }
        return Subscriber.frames(rest)
    }

    @Test func aCutAtEveryByteFromTheHandshakeOnIsTheSame() throws {
        let frames =
            clientText("{\"publish\":{\"text\":\"one\"}}") + clientFrame(9, [7])
            + clientText("{\"publish\":{\"te", final: false) + clientFrame(0, Array("xt\":\"two\"}}".utf8))
            + clientText("{}") + clientFrame(8, [0x03, 0xE8])
        let bytes = handshake + frames
        func essence(_ cuts: [Int]) throws -> [String] {
            let connection = try TestConnection(stage.fixture)
            var start = 0
            for cut in cuts + [bytes.count] {
                connection.send(Array(bytes[start..<cut]))
                start = cut
            }
            stage.settle()
            let names = told(connection.receive()).map { $0.name == "error" ? $0.errorCode ?? "" : $0.name }
            #expect(!connection.isOpen)
            return names.filter { $0 != "item" }
        }
        let whole = try essence([])
        #expect(whole == ["heartbeat", "published", "pong", "published", "InvalidArgument", "close"])
        for cut in 1..<bytes.count {
            let cutInTwo = try essence([cut])
            #expect(cutInTwo == whole, "cut at byte \(cut)")
        }
        #expect(try essence(Array(1..<bytes.count)) == whole)
        #expect(try stage.leftovers() == [])
    }

    @Test func aCutAtEveryByteOfAnHTTP2StreamIsTheSame() throws {
        let pair = try HTTP2Pair(stage.fixture)
        let frames =
            clientText("{\"publish\":{\"text\":\"one\"}}") + clientFrame(9, [7]) + clientFrame(8, [0x03, 0xE8])
        for cut in 1..<frames.count {
            let subscriber = try Subscriber(stage, .webSocket, .http2, on: pair, topic: "topic\(cut)")
            subscriber.send(Array(frames[..<cut]))
            subscriber.send(Array(frames[cut...]))
            let names = subscriber.take().map(\.name).filter { $0 != "item" }
            #expect(names == ["heartbeat", "published", "pong", "close"], "cut at byte \(cut)")
            #expect(subscriber.streamCode == 0)
        }
        #expect(try stage.leftovers() == [])
    }

    @Test(
        arguments: [
            ("without a credential", "", "news", 401), ("of an unknown cache", nil, "news", 404),
            ("of a bad topic", nil, "%00", 400),
        ] as [(String, String?, String, Int)])
    func aRefusedHandshakeIsAnAnswerOfHTTP(what: String, credential: String?, topic: String, status: Int) throws {
        for version in Subscriber.Version.allCases {
            let subscriber = try Subscriber(
                stage, .webSocket, version, topic: topic, cache: status == 404 ? "nowhere" : "shop",
                credential: credential)
            #expect(subscriber.status == status)
            if version == .http1 {
                // What follows could be frames: nothing more is read as HTTP.
                #expect(!subscriber.connection.isOpen)
                #expect(subscriber.connection.socket.lostBytes == 0)
            } else {
                #expect(subscriber.isEnded)
                #expect(subscriber.connection.isOpen)
            }
        }
        #expect(try stage.leftovers() == [])
    }

    /// The subscription is made before the handshake is answered; a client that is gone by then leaves none behind.
    @Test func aClientThatGoesBeforeTheAnswerLeavesNothing() throws {
        let connection = try TestConnection(stage.fixture)
        connection.socket.failsNextFlush = true
        connection.send(handshake)
        stage.settle()
        #expect(!connection.isOpen)
        #expect(try stage.leftovers() == [])
    }

    @Test func aHandshakeWithABodyIsRefusedOrAnsweredAndLeavesNothing() throws {
        let credential = (name: "authorization", value: stage.fixture.rootKey)
        for sent in [0, 2, 5] {
            let connection = try TestConnection(stage.fixture)
            let head = Subscriber.head(
                .webSocket, "/topics/shop/news", [credential, (name: "content-length", value: "5")])
            connection.send(Array(head.utf8) + [UInt8](repeating: 120, count: sent))
            stage.settle()
            stage.pass(milliseconds: 1000, step: 250)
            connection.abort()
            stage.settle()
            #expect(try stage.leftovers() == [], "after \(sent) bytes")
        }
    }

    // MARK: The closing handshake

    @Test(arguments: Subscriber.Version.allCases)
    func aCloseOfTheClientIsAnsweredWithItsCode(version: Subscriber.Version) throws {
        for code: UInt16 in [1000, 1001, 3000, 4999] {
            let subscriber = try open(version)
            subscriber.sendClose(code)
            #expect(subscriber.take() == [Told(name: "close", body: .string(""), code: code)])
            #expect(subscriber.isEnded)
        }
        let silent = try open(version)
        silent.send(clientFrame(8, []))
        #expect(silent.take() == [Told(name: "close", body: .string(""), code: nil)])
        #expect(silent.isEnded)
        #expect(try stage.leftovers() == [])
    }

    @Test(arguments: Subscriber.Version.allCases)
    func aClientThatDoesNotAnswerACloseIsLeftAfterTwoSeconds(version: Subscriber.Version) throws {
        let key = try stage.key()
        let subscriber = try Subscriber(stage, .webSocket, version, credential: key.presented)
        try stage.fixture.control.revokeKey(id: key.id, caller: stage.fixture.root)
        stage.pass(milliseconds: 250)
        #expect(subscriber.take().last?.code == 4403)
        stage.pass(milliseconds: 1900)
        #expect(!subscriber.isEnded)
        stage.pass(milliseconds: 500)
        #expect(subscriber.isEnded)
        #expect(subscriber.streamCode ?? 0 == 0)
        #expect(try stage.leftovers() == [])
    }

    /// It cannot answer any more: its frames cannot be told apart.
    @Test(arguments: Subscriber.Version.allCases)
    func aClientThatBrokeTheRulesIsToldThatNothingMoreComes(version: Subscriber.Version) throws {
        let subscriber = try open(version)
        subscriber.send(clientFrame(8, [3]))
        #expect(subscriber.take().map(\.code) == [1002])
        #expect(version == .http1 ? subscriber.connection.socket.isOutputClosed : subscriber.streamCode == 0)
        subscriber.connection.closeInput()
        stage.pass(milliseconds: 2500)
        #expect(subscriber.isEnded)
        #expect(try stage.leftovers() == [])
    }

    @Test(arguments: Subscriber.Version.allCases)
    func garbageBehindAViolationIsThrownAway(version: Subscriber.Version) throws {
        let subscriber = try open(version)
        var generator = SeededGenerator(seed: 11)
        subscriber.send(clientFrame(3, [1]))
        #expect(subscriber.take().map(\.code) == [1002])
        for _ in 0..<20 { subscriber.send(generator.bytes(10_000)) }
        #expect(subscriber.take().isEmpty)
        #expect(stage.fixture.bodyBytesInFlight == 0)
        stage.pass(milliseconds: 2300)
        subscriber.pump()
        #expect(subscriber.isEnded)
        #expect(try stage.leftovers() == [])
    }

    @Test(
        arguments: [
            (clientFrame(1, [0xFF]), 1007), (clientFrame(3, []), 1002), (clientFrame(0, [1]), 1002),
            (clientFrame(9, [UInt8](repeating: 0, count: 126)), 1002), ([0x81, 0x01, 0x41], 1002),
            (clientFrame(1, [], final: false) + clientFrame(1, []), 1002), (clientFrame(8, [0x03, 0xED]), 1002),
            ([0x81, 0xFF, 0x7F, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4], 1009),
        ] as [([UInt8], UInt16)], Subscriber.Version.allCases)
    func aViolationHasItsCode(frames: ([UInt8], UInt16), version: Subscriber.Version) throws {
        let subscriber = try open(version)
        subscriber.send(frames.0)
        #expect(subscriber.take().map(\.code) == [frames.1])
        subscriber.sendClose()
        stage.pass(milliseconds: 2500)
        subscriber.pump()
        #expect(subscriber.isEnded)
        #expect(try stage.leftovers() == [])
    }

    @Test(arguments: Subscriber.Version.allCases)
    func aClientThatVanishesLeavesNothing(version: Subscriber.Version) throws {
        let subscriber = try open(version)
        subscriber.vanish()
        #expect(try stage.leftovers() == [])
        stage.publish("one")
    }

    @Test func aClientThatStopsSendingIsLeft() throws {
        let subscriber = try open(.http1)
        subscriber.connection.closeInput()
        stage.settle()
        #expect(!subscriber.connection.isOpen)
        #expect(try stage.leftovers() == [])
        let pair = try HTTP2Pair(stage.fixture)
        let other = try Subscriber(stage, .webSocket, .http2, on: pair)
        pair.client.upload([], on: other.stream, isLast: true)
        other.pump()
        #expect(other.streamCode == 0)
        #expect(try stage.leftovers() == [])
    }

    // MARK: Floods and slowness

    @Test(arguments: Subscriber.Version.allCases)
    func aFloodOfPingsEndsIt(version: Subscriber.Version) throws {
        let subscriber = try open(version)
        let pings = Array((0..<1000).map { _ in clientFrame(9, [1]) }.joined())
        for _ in 0..<4 { subscriber.send(pings) }
        #expect(subscriber.take().count == 4000)
        // Ten seconds later as many are allowed again.
        stage.pass(milliseconds: 10_250, step: 250)
        for _ in 0..<4 { subscriber.send(pings) }
        #expect(subscriber.take().filter { $0.name == "pong" }.count == 4000)
        subscriber.send(clientFrame(10, []))
        #expect(subscriber.take().last?.code == 1008)
    }

    @Test(arguments: Subscriber.Version.allCases)
    func aMessageThatDoesNotEndInTimeEndsTheSocket(version: Subscriber.Version) throws {
        let subscriber = try open(version)
        subscriber.send(clientText("{\"publish\"", final: false))
        for _ in 0..<14 {
            stage.pass(milliseconds: 2000, step: 250)
            // A drop now and then does not help, nor does a ping.
            subscriber.send(clientFrame(0, [0x20], final: false) + clientFrame(9, []))
        }
        #expect(!subscriber.take().contains { $0.name == "close" })
        stage.pass(milliseconds: 2500, step: 250)
        #expect(subscriber.take().last?.code == 1008)
        stage.pass(milliseconds: 2500, step: 250)
        subscriber.pump()
        #expect(subscriber.isEnded)
        #expect(try stage.leftovers() == [])
    }

    @Test(arguments: Subscriber.Version.allCases)
    func aMessageThatIsTooLongIsRefusedBeforeItIsKept(version: Subscriber.Version) throws {
        let subscriber = try open(version)
        let limit = WebSocketSession.frameBytes(forMessagesOf: 102_400)
        subscriber.send(Array(clientFrame(1, [UInt8](repeating: 32, count: limit)).prefix(1000)))
        #expect(subscriber.take().isEmpty)
        let other = try Subscriber(stage, .webSocket, version)
        _ = other.take()
        other.send(Array(clientFrame(1, [UInt8](repeating: 32, count: limit + 1)).prefix(14)))
        #expect(other.take().last?.code == 1009)
        #expect(stage.fixture.bodyBytesInFlight == 0)
    }

    @Test(arguments: Subscriber.Version.allCases)
    func whatAMessageKeepsIsReservedAndGivenBack(version: Subscriber.Version) throws {
        let subscriber = try open(version)
        let text = "{\"publish\":{\"text\":\"\(String(repeating: "x", count: 100_000))\"}}"
        let frame = clientText(text)
        subscriber.send(Array(frame.prefix(90_000)))
        #expect(stage.fixture.bodyBytesInFlight >= 80_000)
        subscriber.send(Array(frame.dropFirst(90_000)))
        #expect(subscriber.take().map(\.name) == ["published", "item"])
        #expect(stage.fixture.bodyBytesInFlight == 0)

        subscriber.send(Array(frame.prefix(90_000)))
        #expect(stage.fixture.bodyBytesInFlight >= 80_000)
        subscriber.vanish()
        #expect(try stage.leftovers() == [])
    }

    @Test(arguments: Subscriber.Version.allCases)
    func aMessageOfManyFragmentsIsPublishedWhole(version: Subscriber.Version) throws {
        let subscriber = try open(version)
        let text = Array("{\"publish\":{\"text\":\"\(String(repeating: "é€😀", count: 30))\"}}".utf8)
        for (index, byte) in text.enumerated() {
            subscriber.send(clientFrame(index == 0 ? 1 : 0, [byte], final: index == text.count - 1))
        }
        #expect(subscriber.take().compactMap(\.text) == [String(repeating: "é€😀", count: 30)])
    }

    // MARK: What the client may say

    @Test(arguments: Subscriber.Version.allCases)
    func aBadFrameIsToldAndTheSocketGoesOn(version: Subscriber.Version) throws {
        let subscriber = try open(version)
        subscriber.send("no JSON")
        subscriber.send("{\"subscribe\":{\"id\":\"a\",\"cache\":\"shop\",\"topic\":\"t\"}}")
        subscriber.send(clientFrame(2, [1, 2, 3]))
        subscriber.send("{\"publish\":{\"text\":\"\(String(repeating: "x", count: 102_401))\"}}")
        let told = subscriber.take()
        #expect(told.map(\.errorCode) == ["InvalidArgument", "InvalidArgument", "InvalidArgument", "TooLarge"])
        #expect(told.last?.body["limit"]?.string == "max_message_bytes")
        subscriber.send("{\"publish\":{\"text\":\"\(String(repeating: "\\u0001", count: 102_400))\"}}")
        #expect(subscriber.take().map(\.name) == ["published", "item"])
    }

    @Test(arguments: Subscriber.Version.allCases)
    func publishingWithoutPermissionIsToldAndTheSocketGoesOn(version: Subscriber.Version) throws {
        let key = try stage.key(.readOnly)
        let subscriber = try Subscriber(stage, .webSocket, version, credential: key.presented)
        _ = subscriber.take()
        subscriber.send("{\"publish\":{\"text\":\"x\"}}")
        #expect(subscriber.take().map(\.errorCode) == ["PermissionDenied"])
        stage.publish("from another")
        #expect(subscriber.take().map(\.text) == ["from another"])
    }

    @Test func whatIsPublishedIsAnsweredBeforeItComesBack() throws {
        let subscriber = try open(.http1)
        subscriber.send(
            clientText("{\"publish\":{\"text\":\"a\"}}") + clientText("{\"publish\":{\"binary\":\"AAEC\"}}"))
        let told = subscriber.take()
        #expect(told.map(\.name) == ["published", "published", "item", "item"])
        #expect(told.map(\.sequence) == [1, 2, 1, 2])
        #expect(told.last?.body["value"]?["binary"]?.string == "AAEC")
    }
}
