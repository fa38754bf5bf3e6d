import Admission
import Foundation
import NIOCore
import NIOEmbedded
import Testing

@testable import Gateway

@Suite struct HandshakeGateTests {
    private static let request = "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n"
    private let tls: TLSContextBox

    init() throws {
        tls = try TestIdentity.contextBox()
    }

    private func fixture(_ change: (inout GatewayLimits) -> Void = { _ in }) throws -> GatewayFixture {
        var limits = GatewayLimits()
        change(&limits)
        return try GatewayFixture(limits: limits)
    }

    @Test func requestRightBehindTheLastMessageIsAnsweredAndTheGateLeaves() throws {
        let fixture = try fixture()
        let client = try TLSClient(fixture, tls)
        client.write(Self.request)
        client.talk()
        #expect(client.received.hasPrefix("HTTP/1.1 200 "))
        #expect(!client.hasGate)
        #expect(client.hasTLS)
        #expect(fixture.handshakes.completed == 1)
        #expect(fixture.handshakes.underway == 0)
        // And it goes on.
        client.write(Self.request)
        client.talk()
        #expect(client.received.components(separatedBy: "HTTP/1.1 200 ").count == 3)
    }

    @Test func commandsBehindTLSAreAnsweredBehindTLS() throws {
        let fixture = try fixture()
        let client = try TLSClient(fixture, tls) { RESPConnection(lane: $0, isDevelopment: false) }
        client.write("*1\r\n$4\r\nPING\r\n")
        client.talk()
        #expect(client.received.hasPrefix("-NOAUTH") || client.received.hasPrefix("+PONG"))
        #expect(!client.hasGate)
    }

    @Test func aLoneHandshakeDoesNotWait() throws {
        let fixture = try fixture()
        let client = try TLSClient(fixture, tls)
        client.send()
        client.receive()
        #expect(client.encryptedCount > 0)
        #expect(client.hasTLS)
        #expect(fixture.handshakes.underway == 1)
    }

    @Test func nothingIsComputedForTheBeginningOfAMessage() throws {
        let fixture = try fixture()
        let client = try TLSClient(fixture, tls)
        let hello = client.takeMessage()
        for byte in hello.dropLast() { client.connection.send([byte]) }
        fixture.advance(milliseconds: 5)
        #expect(!client.hasTLS)
        #expect(fixture.handshakes.waiting == 0)
        client.connection.send(Array(hello.suffix(1)))
        #expect(client.hasTLS)
        client.write(Self.request)
        client.talk()
        #expect(client.received.hasPrefix("HTTP/1.1 200 "))
    }

    @Test func theNextHandshakeWaitsForALookAtTheSockets() throws {
        let fixture = try fixture()
        let clients = try (0..<3).map { _ in try TLSClient(fixture, tls) }
        for client in clients { client.send() }
        #expect(clients.map(\.hasTLS) == [true, false, false])
        #expect(fixture.handshakes.waiting == 2)
        // Whoever waits is not read from.
        #expect(!clients[1].connection.socket.isReadWanted)
        for client in clients { client.write(Self.request) }
        for _ in 0..<8 {
            for client in clients { client.talk(rounds: 1) }
        }
        #expect(clients.allSatisfy { $0.received.hasPrefix("HTTP/1.1 200 ") })
        #expect(fixture.handshakes.waiting == 0)
        #expect(fixture.handshakes.completed == 3)
    }

    @Test func whatIsNoHandshakeIsToldSoAndClosed() throws {
        let fixture = try fixture()
        let client = try TLSClient(fixture, tls)
        client.connection.send(Self.request)
        fixture.advance(milliseconds: 5)
        #expect(!client.connection.isOpen)
        #expect(fixture.connectionCount == 0)
        #expect(fixture.handshakes.underway == 0)
    }

    @Test func aFirstMessageWithoutEndIsClosed() throws {
        let fixture = try fixture()
        let client = try TLSClient(fixture, tls)
        client.connection.send([22, 3, 1, 255, 255] + [UInt8](repeating: 1, count: 40_000))
        fixture.advance(milliseconds: 5)
        #expect(!client.connection.isOpen)
        #expect(fixture.connectionCount == 0)
    }

    @Test func theStalestSilentConnectionIsClosedWhenTheyAreTooMany() throws {
        let fixture = try fixture { $0.unidentifiedPerLoop = 2 }
        let clients = try (0..<3).map { _ in try TLSClient(fixture, tls) }
        fixture.turn()
        #expect(clients.map(\.connection.isOpen) == [false, true, true])
        #expect(fixture.handshakes.dropped == 1)
        #expect(fixture.connectionCount == 2)
    }

    @Test func theStalestHandshakeIsClosedWhenTheyAreTooMany() throws {
        let fixture = try fixture { $0.handshakesPerLoop = 2 }
        let clients = try (0..<3).map { _ in try TLSClient(fixture, tls) }
        for client in clients {
            client.send()
            fixture.advance(milliseconds: 1)
        }
        #expect(clients.map(\.connection.isOpen) == [false, true, true])
        #expect(fixture.handshakes.underway == 2)
        #expect(fixture.handshakes.dropped == 1)
    }

    @Test(arguments: [0, 1, 100, Int.max])
    func aHandshakeThatDoesNotGoOnIsClosed(byteCount: Int) throws {
        let fixture = try fixture { $0.handshakeMilliseconds = 3000 }
        fixture.lane.startSweeping()
        let client = try TLSClient(fixture, tls)
        client.connection.send(Array(client.takeMessage().prefix(byteCount)))
        fixture.advance(milliseconds: 2000)
        #expect(client.connection.isOpen)
        fixture.advance(milliseconds: 3000)
        #expect(!client.connection.isOpen)
        #expect(fixture.connectionCount == 0)
        #expect(fixture.handshakes.dropped == 1)
    }

    @Test func nothingIsComputedForOneWhoHasGone() throws {
        let fixture = try fixture()
        let clients = try (0..<2).map { _ in try TLSClient(fixture, tls) }
        for client in clients { client.send() }
        clients[1].connection.closeInput()
        fixture.advance(milliseconds: 5)
        #expect(!clients[1].connection.isOpen)
        #expect(!clients[1].hasTLS)
        #expect(fixture.handshakes.waiting == 0)
    }

    @Test func theRequestOfOneWhoSendsNothingMoreIsAnswered() throws {
        let fixture = try fixture()
        let (first, second) = (try TLSClient(fixture, tls), try TLSClient(fixture, tls))
        second.send()
        fixture.advance(milliseconds: 1)
        second.receive()
        second.write(Self.request)
        // The loop's step for this look is taken, so the second's last message waits.
        first.send()
        second.send()
        #expect(second.hasGate)
        second.connection.closeInput()
        for _ in 0..<4 {
            fixture.advance(milliseconds: 1)
            second.receive()
        }
        #expect(second.received.hasPrefix("HTTP/1.1 200 "))
    }

    @Test func drainClosesWhoIsInTheMiddle() throws {
        let fixture = try fixture()
        let clients = try (0..<3).map { _ in try TLSClient(fixture, tls) }
        clients[0].send()
        clients[1].send()
        fixture.lane.drain()
        fixture.turn()
        #expect(clients.allSatisfy { !$0.connection.isOpen })
        #expect(fixture.connectionCount == 0)
        #expect(fixture.handshakes.waiting == 0)
        #expect(fixture.handshakes.underway == 0)
    }

    // MARK: Cleartext

    private func clear(_ fixture: GatewayFixture) throws -> TestConnection {
        let connection = try TestConnection(fixture)
        // What a listener does: before the door.
        try connection.channel.pipeline.syncOperations.addHandler(
            SilenceGuard(lane: fixture.lane), position: .after(connection.socket))
        return connection
    }

    @Test func silenceInCleartextIsBoundedToo() throws {
        let fixture = try fixture { $0.unidentifiedPerLoop = 2 }
        let speaking = try clear(fixture)
        speaking.send(Self.request)
        #expect(String(decoding: speaking.receive(), as: UTF8.self).hasPrefix("HTTP/1.1 200 "))
        let silent = try (0..<3).map { _ in try clear(fixture) }
        fixture.turn()
        #expect(silent.map(\.isOpen) == [false, true, true])
        #expect(speaking.isOpen)
        silent[1].abort()
        let last = try clear(fixture)
        #expect(silent[2].isOpen)
        last.send(Self.request)
        #expect(String(decoding: last.receive(), as: UTF8.self).hasPrefix("HTTP/1.1 200 "))
    }
}
