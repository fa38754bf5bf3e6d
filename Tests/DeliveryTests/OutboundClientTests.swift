import Foundation
import NIOCore
import NIOPosix
import NIOSSL
import Synchronization
import Tenancy
import Testing

@testable import Delivery

/// Answers whatever comes with a line.
private final class Greeter: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        context.writeAndFlush(NIOAny(ByteBuffer(string: "220 mail.test ready\r\n")), promise: nil)
    }
}

struct OutboundClientTests {
    private static let ok = "HTTP/1.1 204 No Content\r\n\r\n"

    private func client(
        allow: [String] = ["127.0.0.0/8"], listeners: [OwnListener] = [], milliseconds: Int64 = 60_000,
        resolver: any HostResolver = TestResolver([:]), trust: NIOSSLTrustRoots = .default,
        _ change: (inout OutboundLimits) -> Void = { _ in }
    ) -> OutboundClient {
        var limits = OutboundLimits()
        limits.milliseconds = milliseconds
        change(&limits)
        return OutboundClient(
            loops: MultiThreadedEventLoopGroup.singleton,
            addressGuard: AddressGuard(allowed: allow.compactMap { NetworkBlock($0) }, listeners: listeners),
            limits: limits, resolver: resolver, trust: trust)
    }

    private func post(_ client: OutboundClient, _ url: String, payer: UInt64 = 1) async throws -> OutboundOutcome {
        let call = OutboundCall(
            try OutboundURL(url), headers: [("content-type", "application/json")], body: Array("{\"a\":1}".utf8),
            payer: TenantID(rawValue: payer))
        return await withCheckedContinuation { continuation in
            client.start(call) { continuation.resume(returning: $0) }
        }
    }

    @Test func aCallIsOnePlainRequest() async throws {
        let receiver = try await TestReceiver(reply: Self.ok)
        let client = client()
        #expect(try await post(client, "http://127.0.0.1:\(receiver.port)/in?x=1") == .answered(status: 204))
        let request = try #require(receiver.texts.first)
        #expect(request.hasPrefix("POST /in?x=1 HTTP/1.1\r\nhost: 127.0.0.1:\(receiver.port)\r\n"))
        #expect(
            request.contains("\r\ncontent-type: application/json\r\ncontent-length: 7\r\nconnection: close\r\n\r\n"))
        #expect(request.hasSuffix("{\"a\":1}"))
        #expect(receiver.connections == 1 && client.callsUnderWay == 0)
    }

    @Test(arguments: ["127.0.0.1", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]", "[::1]", "0.0.0.0", "0"])
    func withoutLeaveNoSpellingOfLoopbackIsCalled(host: String) async throws {
        let receiver = try await TestReceiver(reply: Self.ok)
        let outcome = try await post(client(allow: []), "http://\(host):\(receiver.port)/")
        guard case .refused = outcome else { Issue.record("\(outcome)"); return }
        #expect(receiver.connections == 0)
    }

    @Test func aNameIsResolvedOnceAndTheAddressThatWasCheckedIsCalled() async throws {
        let receiver = try await TestReceiver(reply: Self.ok)
        let resolver = TestResolver(["hook.test": ["10.0.0.1", "169.254.169.254", "127.0.0.1"]])
        let outcome = try await post(client(resolver: resolver), "http://Hook.test.:\(receiver.port)/")
        #expect(outcome == .answered(status: 204))
        #expect(resolver.questions == ["hook.test"])
        #expect(receiver.texts.first?.contains("\r\nhost: hook.test:\(receiver.port)\r\n") == true)
    }

    @Test func aNameWithoutAnAddressThatMayBeCalledIsRefused() async throws {
        let resolver = TestResolver(["inside.test": ["10.0.0.1", "fd00::1"]])
        #expect(try await post(client(resolver: resolver), "http://inside.test/") == .refused(.privateUse))
        #expect(try await post(client(resolver: resolver), "http://nowhere.test/") == .failed(.unresolvable))
    }

    @Test func ownListenersAreNotCalled() async throws {
        let receiver = try await TestReceiver(reply: Self.ok)
        let everywhere = try #require(IPAddress("0.0.0.0"))
        let client = client(listeners: [OwnListener(address: everywhere, port: receiver.port)])
        #expect(try await post(client, "http://127.0.0.1:\(receiver.port)/") == .refused(.ownListener))
        #expect(receiver.connections == 0)
    }

    @Test func theNextAddressIsTriedWhereOneTakesNoConnection() async throws {
        let receiver = try await TestReceiver(reply: Self.ok)
        // Nobody listens there: the receiver is bound to 127.0.0.1 alone.
        let resolver = TestResolver(["hook.test": ["127.0.0.2", "127.0.0.1"]])
        let outcome = try await post(client(resolver: resolver), "http://hook.test:\(receiver.port)/")
        #expect(outcome == .answered(status: 204) && receiver.texts.count == 1)
    }

    @Test func redirectsAreNotFollowed() async throws {
        let other = try await TestReceiver(reply: Self.ok)
        let receiver = try await TestReceiver(
            reply: "HTTP/1.1 307 Go\r\nlocation: http://127.0.0.1:\(other.port)/\r\ncontent-length: 0\r\n\r\n")
        #expect(try await post(client(), "http://127.0.0.1:\(receiver.port)/") == .answered(status: 307))
        #expect(other.connections == 0)
    }

    @Test(
        arguments: [
            ("HTTP/1.1 500 No\r\ncontent-length: 2\r\n\r\nno", .answered(status: 500)),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", .answered(status: 200)),
            ("HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 202 Yes\r\ncontent-length: 0\r\n\r\n", .answered(status: 202)),
            ("HTTP/1.0 200 OK\r\n\r\nuntil the end", .answered(status: 200)),
            ("SSH-2.0-OpenSSH_9.2\r\n\r\n", .failed(.brokenReply)), ("", .failed(.closed)),
            ("HTTP/1.1 200 OK\r\nx: y", .failed(.closed)),
        ] as [(String, OutboundOutcome)])
    func whatTheReplySays(reply: String, outcome: OutboundOutcome) async throws {
        let receiver = try await TestReceiver(reply: reply)
        #expect(try await post(client(), "http://127.0.0.1:\(receiver.port)/") == outcome)
    }

    /// Writes again and again, until the connection ends.
    private static func flood(_ channel: any Channel, _ piece: ByteBuffer) {
        channel.writeAndFlush(piece).whenSuccess { channel.eventLoop.execute { flood(channel, piece) } }
    }

    @Test(.timeLimit(.minutes(10)))
    func ofAReplyWithoutEndNoMoreIsReadThanTheBound() async throws {
        let body = try await TestReceiver { channel in
            channel.write(ByteBuffer(string: "HTTP/1.1 200 OK\r\n\r\n"), promise: nil)
            Self.flood(channel, ByteBuffer(repeating: 0x61, count: 4096))
        }
        #expect(
            try await post(client(milliseconds: 600_000), "http://127.0.0.1:\(body.port)/") == .answered(status: 200))
        let head = try await TestReceiver { channel in
            channel.write(ByteBuffer(string: "HTTP/1.1 200 OK\r\n"), promise: nil)
            Self.flood(channel, ByteBuffer(string: "a-field: with a value\r\n"))
        }
        let outcome = try await post(client(milliseconds: 600_000), "http://127.0.0.1:\(head.port)/")
        #expect(outcome == .failed(.replyTooLarge) || outcome == .failed(.brokenReply))
    }

    @Test func aReceiverThatDoesNotAnswerIsGivenUpAtTheDeadline() async throws {
        let silent = try await TestReceiver { _ in }
        #expect(try await post(client(milliseconds: 100), "http://127.0.0.1:\(silent.port)/") == .timedOut)
        let slow = try await TestReceiver { $0.writeAndFlush(ByteBuffer(string: "HTTP/1.1 200 O"), promise: nil) }
        #expect(try await post(client(milliseconds: 100), "http://127.0.0.1:\(slow.port)/") == .timedOut)
        // The status is there in time, the end of the reply never.
        let endless = try await TestReceiver {
            $0.writeAndFlush(ByteBuffer(string: "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n"), promise: nil)
        }
        // On a busy machine the status may take longer than any one deadline.
        var outcome = OutboundOutcome.timedOut
        for milliseconds in [500, 4000, 30_000] as [Int64] where outcome == .timedOut {
            let client = client(milliseconds: milliseconds)
            outcome = try await post(client, "http://127.0.0.1:\(endless.port)/")
            #expect(client.callsUnderWay == 0)
        }
        #expect(outcome == .answered(status: 200))
    }

    @Test func whereNobodyListensNoConnectionIsMade() async throws {
        let receiver = try await TestReceiver(reply: Self.ok)
        try await receiver.close()
        #expect(try await post(client(), "http://127.0.0.1:\(receiver.port)/") == .failed(.unreachable))
    }

    @Test func whatIsTooMuchIsNotQueued() async throws {
        let waiting = Mutex<[any Channel]>([])
        let (arrivals, arrival) = AsyncStream.makeStream(of: Void.self)
        let receiver = try await TestReceiver { channel in
            waiting.withLock { $0.append(channel) }
            arrival.yield()
        }
        let client = client { $0.callsPerHost = 1 }
        let url = "http://127.0.0.1:\(receiver.port)/"
        async let first = post(client, url)
        var iterator = arrivals.makeAsyncIterator()
        await iterator.next()
        #expect(try await post(client, url) == .crowded)
        async let other = post(client, url, payer: 2)
        await iterator.next()
        for channel in waiting.withLock({ $0 }) { channel.writeAndFlush(ByteBuffer(string: Self.ok), promise: nil) }
        #expect(try await first == .answered(status: 204))
        #expect(try await other == .answered(status: 204))
        #expect(client.callsUnderWay == 0 && receiver.connections == 2)
    }

    /// Blocks until it is let go.
    private final class StuckResolver: HostResolver {
        let gate = DispatchSemaphore(value: 0)

        func addresses(of host: String) -> [IPAddress] {
            gate.wait()
            return []
        }
    }

    @Test func aResolverThatHangsKeepsItsSlotAndNothingElse() async throws {
        let resolver = StuckResolver()
        let client = client(milliseconds: 100, resolver: resolver) { $0.callsPerHost = 1 }
        #expect(try await post(client, "http://slow.test/") == .timedOut)
        #expect(client.callsUnderWay == 1)
        #expect(try await post(client, "http://slow.test/") == .crowded)
        resolver.gate.signal()
        while client.callsUnderWay > 0 { await Task.yield() }
    }

    @Test func certificatesAreVerifiedForTheNameOfTheURL() async throws {
        let receiver = try await TestReceiver(tls: try TestCertificate.serverContext(), reply: Self.ok)
        let resolver = TestResolver(["hook.test": ["127.0.0.1"], "other.test": ["127.0.0.1"]])
        let trusting = client(resolver: resolver, trust: .certificates([try TestCertificate.certificate()]))
        #expect(try await post(trusting, "https://hook.test:\(receiver.port)/") == .answered(status: 204))
        #expect(try await post(trusting, "https://other.test:\(receiver.port)/") == .failed(.untrusted))
        #expect(try await post(trusting, "https://127.0.0.1:\(receiver.port)/") == .failed(.untrusted))
        let system = client(resolver: resolver)
        #expect(try await post(system, "https://hook.test:\(receiver.port)/") == .failed(.untrusted))
        #expect(receiver.texts.count == 1)
    }

    @Test func aReceiverThatSpeaksNoTLSIsNotTrusted() async throws {
        let plain = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(Greeter()) }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        let port = try #require(plain.localAddress?.port)
        #expect(try await post(client(), "https://127.0.0.1:\(port)/") == .failed(.untrusted))
        try await plain.close()
    }
}
