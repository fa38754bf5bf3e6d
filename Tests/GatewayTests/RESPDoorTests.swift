import Access
import CacheService
import NIOCore
import NIOEmbedded
import Tenancy
import Testing

@testable import Gateway

/// A client of the RESP door on a fixture's lane.
struct RESPClient {
    let connection: TestConnection

    init(_ fixture: GatewayFixture, address: String = "203.0.113.7", isDevelopment: Bool = false) throws {
        connection = try TestConnection(fixture, address: address) { lane in
            RESPConnection(lane: lane, isDevelopment: isDevelopment)
        }
    }

    /// One command as an array of strings.
    static func command(_ words: String...) -> String { command(words) }

    static func command(_ words: [String]) -> String {
        "*\(words.count)\r\n" + words.map { "$\($0.utf8.count)\r\n\($0)\r\n" }.joined()
    }

    /// Sends commands, each a line of words, and gives what comes back.
    func ask(_ lines: String...) -> String {
        connection.send(lines.map { Self.command($0.split(separator: " ").map(String.init)) }.joined())
        return receive()
    }

    func receive() -> String { String(decoding: connection.receive(), as: UTF8.self) }
}

@Suite struct RESPDoorTests {
    private func client(_ fixture: GatewayFixture) throws -> RESPClient {
        let client = try RESPClient(fixture)
        #expect(client.ask("AUTH shop \(fixture.rootKey)") == "+OK\r\n")
        return client
    }

    @Test func aPipelineIsAnsweredInItsOrderWithOneWrite() throws {
        let fixture = try GatewayFixture()
        let client = try client(fixture)
        let writes = client.connection.socket.writeCount
        #expect(
            client.ask("SET a 1", "GET a", "GET none", "PING", "NONSENSE x", "GET", "GET a")
                == "+OK\r\n$1\r\n1\r\n$-1\r\n+PONG\r\n"
                + "-ERR unknown command 'NONSENSE', with args beginning with: 'x' \r\n"
                + "-ERR wrong number of arguments for 'get' command\r\n$1\r\n1\r\n")
        #expect(client.connection.socket.writeCount == writes + 1)
    }

    @Test func aCutAtAnyByteChangesNothing() throws {
        let fixture = try GatewayFixture()
        let client = try client(fixture)
        let text = Array(
            (RESPClient.command("SET", "k", "v\r\n\0") + "GET k\r\nPING 'a b'\r\n" + RESPClient.command("GET", "k"))
                .utf8)
        client.connection.send(text)
        let whole = client.receive()
        for cut in 1..<text.count {
            client.connection.send(Array(text[..<cut]))
            client.connection.send(Array(text[cut...]))
            #expect(client.receive() == whole, "cut at \(cut)")
        }
    }

    @Test func withoutACredentialNothingIsAnswered() throws {
        let fixture = try GatewayFixture()
        let client = try RESPClient(fixture)
        #expect(
            client.ask("GET a", "PING") == "-NOAUTH Authentication required.\r\n-NOAUTH Authentication required.\r\n")
        #expect(client.ask("AUTH shop nonsense").hasPrefix("-WRONGPASS "))
        #expect(client.ask("AUTH none \(fixture.rootKey)") == "-ERR no such cache\r\n")
        #expect(client.ask("GET a") == "-NOAUTH Authentication required.\r\n")
        client.connection.send("*11\r\n")
        #expect(client.receive() == "-ERR Protocol error: unauthenticated multibulk length\r\n")
        #expect(!client.connection.isOpen)
    }

    @Test func onTheSameMachineADeveloperNeedsNoCredentialForCacheDefault() throws {
        let fixture = try GatewayFixture(developmentCache: "default")
        try fixture.makeCache("default")
        for address in ["127.0.0.1", "127.1.2.3", "::1"] {
            let client = try RESPClient(fixture, address: address, isDevelopment: true)
            #expect(client.ask("SET a 1", "GET a") == "+OK\r\n$1\r\n1\r\n", "\(address)")
        }
        for (address, isDevelopment) in [("203.0.113.7", true), ("127.0.0.1", false), ("10.0.0.1", true)] {
            let client = try RESPClient(fixture, address: address, isDevelopment: isDevelopment)
            #expect(client.ask("GET a") == "-NOAUTH Authentication required.\r\n", "\(address)")
        }
    }

    @Test func aTokenThatEndsIsNoLongerGood() throws {
        let fixture = try GatewayFixture()
        let client = try RESPClient(fixture)
        let order = TokenOrder(permissions: .allDataReadWrite, ttlSeconds: 60)
        let token = try fixture.control.mintToken(order, caller: fixture.root)
        client.connection.send(RESPClient.command("AUTH", "shop", token.presented))
        fixture.takeLate()
        #expect(client.receive() == "+OK\r\n")
        #expect(client.ask("SET a 1") == "+OK\r\n")
        fixture.advance(milliseconds: 61_000)
        #expect(client.ask("GET a", "PING").split(separator: "\r\n").allSatisfy { $0.hasPrefix("-NOAUTH ") })
        #expect(client.ask("AUTH shop \(fixture.rootKey)", "GET a") == "+OK\r\n$1\r\n1\r\n")
    }

    @Test func aCommandWhileATokenIsCheckedWaitsForIt() throws {
        let fixture = try GatewayFixture()
        let client = try RESPClient(fixture)
        let token = try fixture.makeToken()
        client.connection.send(
            RESPClient.command("AUTH", "shop", token) + RESPClient.command("SET", "a", "1")
                + RESPClient.command("GET", "a"))
        #expect(client.receive() == "")
        fixture.takeLate()
        #expect(client.receive() == "+OK\r\n+OK\r\n$1\r\n1\r\n")
    }

    @Test func whatLooksLikeHTTPIsClosed() throws {
        let fixture = try GatewayFixture(developmentCache: "default")
        try fixture.makeCache("default")
        for line in ["POST / HTTP/1.1", "Host: localhost:6380"] {
            let client = try RESPClient(fixture, address: "127.0.0.1", isDevelopment: true)
            client.connection.send(line + "\r\n\r\nSET a 1\r\n")
            #expect(client.receive() == "")
            #expect(!client.connection.isOpen)
        }
    }

    @Test func readsAndWritesAreMetered() throws {
        let fixture = try GatewayFixture()
        let client = try client(fixture)
        let before = try fixture.counts(door: .resp)
        let large = String(repeating: "x", count: 3000)
        _ = client.ask("SET a 1", "GET a", "GET none", "SET b \(large)", "GET b", "PING")
        let after = try fixture.counts(door: .resp)
        func added(_ meter: Meter) -> UInt64 { (after[meter] ?? 0) - (before[meter] ?? 0) }
        #expect(added(.operations) == 1 + 1 + 1 + 3 + 3)
        #expect(added(.hits) == 2 && added(.misses) == 1)
        #expect(added(.bytesOut) == 3001)
    }

    @Test func whoDoesNotReadIsNotServedFurther() throws {
        let fixture = try GatewayFixture()
        let client = try client(fixture)
        #expect(client.ask("SET a \(String(repeating: "x", count: 100_000))") == "+OK\r\n")
        client.connection.stopReading()
        for _ in 0..<50 { client.connection.send(String(repeating: RESPClient.command("GET", "a"), count: 20)) }
        #expect(client.connection.socket.highestPendingBytes < 1_000_000)
        var received = 0
        for _ in 0..<2000 where received < 1000 * 100_011 {
            received += client.connection.receive(atMost: 1 << 20).count
            client.connection.deliver()
        }
        #expect(received == 1000 * 100_011)
        #expect(client.connection.unread.isEmpty)
    }

    @Test func limitsAreThoseOfTheConnectionsOwnCache() throws {
        let fixture = try GatewayFixture()
        try fixture.makeCache("short", [.defaultTTLSeconds: 10])
        try fixture.makeCache("long", [.defaultTTLSeconds: 1000])
        let clients = try ["short", "long"].map { name in
            let client = try RESPClient(fixture)
            #expect(client.ask("AUTH \(name) \(fixture.rootKey)") == "+OK\r\n")
            return client
        }
        for round in 0..<3 {
            for (client, ttl) in zip(clients, [10, 1000]) {
                #expect(client.ask("SET k\(round) 1", "TTL k\(round)") == "+OK\r\n:\(ttl)\r\n")
            }
        }
    }

    @Test func aReplyHasABoundAndTheConnectionGoesOn() throws {
        let fixture = try GatewayFixture()
        let client = try client(fixture)
        #expect(client.ask("SET a \(String(repeating: "x", count: 4_000_000))") == "+OK\r\n")
        let many = RESPClient.command(["MGET"] + Array(repeating: "a", count: 20))
        client.connection.send(many + RESPClient.command("PING"))
        // It goes in turns.
        for _ in 0..<100 { fixture.advance(milliseconds: 1) }
        #expect(client.receive() == "-ERR the reply would be larger than 67108864 bytes\r\n+PONG\r\n")
        let gets = String(repeating: RESPClient.command("GET", "a"), count: 20)
        client.connection.send(RESPClient.command("MULTI") + gets + RESPClient.command("EXEC"))
        #expect(client.receive().hasSuffix("-ERR the reply would be larger than 67108864 bytes\r\n"))
        #expect(client.ask("STRLEN a") == ":4000000\r\n")
    }

    @Test func aCommandInTurnsEndsWithItsConnection() throws {
        let fixture = try GatewayFixture()
        let client = try client(fixture)
        #expect(client.ask("SET a \(String(repeating: "x", count: 1_000_000))") == "+OK\r\n")
        client.connection.channel.pipeline.fireChannelRead(
            ByteBuffer(string: RESPClient.command(["MGET"] + Array(repeating: "a", count: 50))))
        #expect(fixture.lane.service.hasCallsLeft)
        client.connection.abort()
        #expect(!fixture.lane.service.hasCallsLeft)
    }

    @Test func everyCommandAnswersWithoutArguments() throws {
        let fixture = try GatewayFixture()
        for command in CommandTable.shared.commands where !["quit", "monitor"].contains(command.name) {
            let client = try client(fixture)
            #expect(!client.ask(command.name).isEmpty, "\(command.name)")
            #expect(client.connection.isOpen, "\(command.name)")
        }
    }

    @Test func aTokenThatManyConnectionsShowAtOnceIsCheckedOnce() throws {
        let fixture = try GatewayFixture()
        let token = try fixture.makeToken()
        let clients = try (0..<200).map { _ in try RESPClient(fixture) }
        for client in clients { client.connection.send(RESPClient.command("AUTH", "shop", token)) }
        fixture.takeLate()
        for client in clients { #expect(client.receive() == "+OK\r\n") }
    }

    @Test(arguments: 0..<4) func aLateEngineIsAnsweredInOrder(seed: Int) throws {
        var made: LateTestEngine?
        let late = try GatewayFixture {
            let engine = LateTestEngine($0, seed: UInt64(seed))
            made = engine
            return .late(engine)
        }
        let engine = try #require(made)
        let plain = try GatewayFixture()
        let (lateClient, plainClient) = (try client(late), try client(plain))
        var random = SeededGenerator(seed: UInt64(seed))
        for _ in 0..<20 {
            var batch = ""
            for _ in 0..<Int.random(in: 1...12, using: &random) {
                let key = "k\(Int.random(in: 0..<3, using: &random))"
                switch Int.random(in: 0..<4, using: &random) {
                case 0: batch += RESPClient.command("SET", key, "\(Int.random(in: 0..<100, using: &random))")
                case 1: batch += RESPClient.command("DEL", key)
                case 2: batch += RESPClient.command("PING", key)
                default: batch += RESPClient.command("GET", key)
                }
            }
            plainClient.connection.send(batch)
            lateClient.connection.send(batch)
            late.turn()
            while engine.answerAll() > 0 { late.turn() }
            #expect(lateClient.receive() == plainClient.receive())
        }
        #expect(try late.counts(door: .resp) == plain.counts(door: .resp))
    }
}
