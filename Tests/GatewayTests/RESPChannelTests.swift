import Access
import CacheService
import Catalog
import Foundation
import NIOCore
import NIOEmbedded
import Tenancy
import Testing

@testable import Gateway

/// One connection of the RESP door on a stage, as its peer sees it.
private final class RESPPeer {
    let channel: EmbeddedChannel
    let socket = SocketStandIn()
    private let stage: TopicStage

    /// - Parameter commands: Sent behind the credential.
    init(_ stage: TopicStage, _ commands: String..., credential: String? = nil) throws {
        self.stage = stage
        channel = EmbeddedChannel(loop: stage.fixture.loop)
        try channel.pipeline.syncOperations.addHandlers([
            socket, RESPConnection(lane: stage.lane, isDevelopment: false),
        ])
        channel.connect(to: try SocketAddress(ipAddress: "203.0.113.9", port: 40_001), promise: nil)
        channel.read()
        #expect(ask("AUTH shop \(credential ?? stage.fixture.rootKey)") == "+OK\r\n")
        if !commands.isEmpty { send(commands.joined(separator: "\r\n")) }
    }

    deinit {
        channel.close(promise: nil)
        stage.fixture.loop.run()
    }

    func send(_ line: String) {
        channel.pipeline.fireChannelRead(ByteBuffer(string: line + "\r\n"))
        channel.pipeline.fireChannelReadComplete()
    }

    /// Sends lines, and receives what is answered and what else has come, before anything is fanned out.
    func ask(_ lines: String...) -> String {
        send(lines.joined(separator: "\r\n"))
        return take()
    }

    func take() -> String {
        String(decoding: socket.takeSent(), as: UTF8.self)
    }

    func drainSocket(capacity: Int) {
        socket.capacity = capacity
        if let context = try? channel.pipeline.syncOperations.context(handler: socket) { socket.drain(context) }
        stage.settle()
    }
}

@Suite struct RESPChannelTests {
    private let stage: TopicStage

    init() throws {
        var limits = GatewayLimits()
        limits.subscriberBacklogBytes = 1 << 20
        limits.subscriberBacklogBytesPerLoop = 4 << 20
        stage = try TopicStage(limits: limits)
    }

    private static let subscribed = "*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n"

    @Test func messagesOfOtherDoorsComeAsFramesOfTheVersion() throws {
        let old = try RESPPeer(stage, "SUBSCRIBE news")
        let new = try RESPPeer(stage, "HELLO 3", "PSUBSCRIBE n*")
        #expect(old.take() == Self.subscribed)
        #expect(new.take().hasSuffix(">3\r\n$10\r\npsubscribe\r\n$2\r\nn*\r\n:1\r\n"))
        #expect(stage.publish("hello") == 204)
        #expect(old.take() == "*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$5\r\nhello\r\n")
        #expect(new.take() == ">4\r\n$8\r\npmessage\r\n$2\r\nn*\r\n$4\r\nnews\r\n$5\r\nhello\r\n")
    }

    @Test func messagesOfThisDoorReachTheOthers() throws {
        let socket = try Subscriber(stage, .webSocket, .http1)
        let peer = try RESPPeer(stage)
        #expect(peer.ask("PUBLISH news hello") == ":0\r\n")
        stage.settle()
        #expect(socket.take().compactMap(\.text) == ["hello"])
    }

    @Test func messagesOfOneTurnLeaveWithOneWrite() throws {
        let peer = try RESPPeer(stage, "SUBSCRIBE news")
        let writes = peer.socket.writeCount
        _ = stage.publishUnseen([Array("a".utf8), Array("b".utf8), Array("c".utf8)])
        stage.settle()
        #expect(peer.socket.writeCount == writes + 1)
    }

    @Test func whatWasPublishedBeforeComesBeforeTheWordThatItIsOver() throws {
        let peer = try RESPPeer(stage, "HELLO 3", "SUBSCRIBE news")
        _ = peer.take()
        let told = peer.ask("PUBLISH news a", "PUBLISH news b", "UNSUBSCRIBE", "PUBLISH news c")
        #expect(
            told == ":1\r\n:1\r\n>3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$1\r\na\r\n"
                + ">3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$1\r\nb\r\n"
                + ">3\r\n$11\r\nunsubscribe\r\n$4\r\nnews\r\n:0\r\n:0\r\n")
        stage.settle()
        #expect(peer.take() == "")
    }

    @Test func oneWhoDoesNotReadIsDisconnectedAndOthersGoOn() throws {
        let (slow, other) = (try RESPPeer(stage, "SUBSCRIBE news"), try RESPPeer(stage, "SUBSCRIBE news"))
        slow.socket.capacity = 0
        for _ in 0..<20 { stage.publish([UInt8](repeating: 120, count: 100_000)) }
        #expect(slow.socket.isClosed)
        #expect(slow.socket.highestPendingBytes <= (1 << 20) + 200_000)
        #expect(!other.socket.isClosed)
        #expect(other.take().utf8.count > 2_000_000)
        #expect(stage.lane.resp.backlogBytes == 0)
        let peer = try RESPPeer(stage)
        #expect(peer.ask("PUBLISH news x") == ":1\r\n")
    }

    @Test func manyWhoDoNotReadAreDisconnectedSooner() throws {
        let slow = try (0..<12).map { _ in try RESPPeer(stage, "SUBSCRIBE news") }
        for peer in slow { peer.socket.capacity = 0 }
        for _ in 0..<9 { stage.publish([UInt8](repeating: 120, count: 100_000)) }
        #expect(slow.contains { $0.socket.isClosed })
        #expect(stage.lane.resp.backlogBytes <= 5 << 20)
    }

    @Test func oneWhoReadsSlowlyGetsEverything() throws {
        let slow = try RESPPeer(stage, "SUBSCRIBE news")
        _ = slow.take()
        slow.socket.capacity = 0
        for number in 0..<50 { stage.publish("\(number) " + String(repeating: "x", count: 10_000)) }
        while slow.socket.pendingBytes > 0 { slow.drainSocket(capacity: 50_000) }
        #expect(slow.take().components(separatedBy: "message\r\n").count == 51)
        #expect(stage.lane.resp.backlogBytes == 0)
    }

    @Test func oneWhoPublishesTooFastWaitsForTheLoopToFollow() throws {
        let subscriber = try RESPPeer(stage, "SUBSCRIBE news")
        _ = subscriber.take()
        let publisher = try RESPPeer(stage)
        let command =
            "*3\r\n$7\r\nPUBLISH\r\n$4\r\nnews\r\n$60000\r\n" + String(repeating: "x", count: 60_000) + "\r\n"
        publisher.send(String(repeating: command, count: 200) + "PING")
        // More than a lane's feed holds: all of it comes nevertheless.
        #expect(!publisher.take().contains("PONG"))
        for _ in 0..<40 { stage.pass(milliseconds: 1, step: 1) }
        #expect(publisher.take().hasSuffix("+PONG\r\n"))
        #expect(subscriber.take().components(separatedBy: "message\r\n").count == 201)
    }

    @Test func aRevokedCredentialIsToldAndCloses() throws {
        let order = KeyOrder(format: .v2, grant: .permissions(.allDataReadWrite), ttlSeconds: nil)
        let key = try stage.fixture.control.mintKey(order, caller: stage.fixture.root)
        let peer = try RESPPeer(stage, "SUBSCRIBE news", credential: key.secret.presented)
        _ = peer.take()
        try stage.fixture.control.revokeKey(id: key.record.id, caller: stage.fixture.root)
        stage.pass(milliseconds: 300)
        #expect(peer.take().hasPrefix("-NOAUTH"))
        #expect(peer.socket.isClosed)
    }

    @Test func aConnectionThatEndsLeavesNothing() throws {
        let watcher = try RESPPeer(stage)
        do {
            let peer = try RESPPeer(stage, "SUBSCRIBE news", "PSUBSCRIBE n*", "SSUBSCRIBE news")
            #expect(watcher.ask("PUBLISH news x") == ":2\r\n")
            peer.channel.close(promise: nil)
            stage.settle()
        }
        #expect(watcher.ask("PUBLISH news x", "PUBSUB NUMPAT", "PUBSUB SHARDCHANNELS") == ":0\r\n:0\r\n*0\r\n")
    }

    @Test func anotherCacheNeedsTheSubscriptionsToBeEnded() throws {
        try stage.fixture.makeCache("other")
        let peer = try RESPPeer(stage, "HELLO 3", "SUBSCRIBE news")
        _ = peer.take()
        #expect(peer.ask("AUTH other \(stage.fixture.rootKey)").hasPrefix("-ERR unsubscribe from everything"))
        #expect(peer.ask("AUTH shop \(stage.fixture.rootKey)") == "+OK\r\n")
        #expect(peer.ask("RESET", "AUTH other \(stage.fixture.rootKey)") == "+RESET\r\n+OK\r\n")
    }
}
