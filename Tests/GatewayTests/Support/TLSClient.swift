import NIOCore
import NIOEmbedded
import NIOSSL

@testable import Gateway

/// A connection of a fixture's lane behind TLS, and the client's end of the encryption.
final class TLSClient {
    let connection: TestConnection
    private let fixture: GatewayFixture
    private let client: EmbeddedChannel
    /// What the server's application has sent.
    private(set) var received = ""
    /// Bytes that came from the server, encrypted.
    private(set) var encryptedCount = 0

    /// - Parameter door: Makes what stands behind TLS.
    init(
        _ fixture: GatewayFixture, _ tls: TLSContextBox,
        door: @escaping (GatewayLane) -> any ChannelHandler = { ProtocolDetector(lane: $0) }
    ) throws {
        self.fixture = fixture
        connection = try TestConnection(fixture) { HandshakeGate(lane: $0, tls: tls, makeDoor: door) }
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.certificateVerification = .none
        let context = try NIOSSLContext(configuration: configuration)
        client = EmbeddedChannel()
        try client.pipeline.syncOperations.addHandler(NIOSSLClientHandler(context: context, serverHostname: nil))
        client.connect(to: try SocketAddress(ipAddress: "203.0.113.1", port: 443), promise: nil)
    }

    deinit {
        client.close(promise: nil)
        // TLS waits for the peer's farewell, and this ends that.
        client.embeddedEventLoop.advanceTime(by: .seconds(60))
    }

    /// What the client would send now.
    func takeMessage() -> [UInt8] {
        client.embeddedEventLoop.run()
        var bytes: [UInt8] = []
        while let buffer = try? client.readOutbound(as: ByteBuffer.self) { bytes += Array(buffer.readableBytesView) }
        return bytes
    }

    /// Sends what the client has to say.
    func send() {
        let bytes = takeMessage()
        if !bytes.isEmpty { connection.send(bytes) }
    }

    /// Takes what the server has sent.
    func receive() {
        let bytes = connection.receive()
        guard !bytes.isEmpty else { return }
        encryptedCount += bytes.count
        // An alert is an error here, as it is to a client.
        _ = try? client.writeInbound(ByteBuffer(bytes: bytes))
        while let buffer = try? client.readInbound(as: ByteBuffer.self) { received += String(buffer: buffer) }
    }

    /// Has the text sent once the handshake is over, right behind the client's last message.
    func write(_ text: String) {
        client.writeAndFlush(ByteBuffer(string: text), promise: nil)
    }

    /// Lets both ends talk until they have nothing more to say.
    func talk(rounds: Int = 8) {
        for _ in 0..<rounds {
            send()
            receive()
            fixture.advance(milliseconds: 1)
            connection.deliver()
        }
    }

    private func has(_ handler: (some ChannelHandler).Type) -> Bool {
        (try? connection.channel.pipeline.syncOperations.context(handlerType: handler)) != nil
    }

    var hasGate: Bool { has(HandshakeGate.self) }
    var hasTLS: Bool { has(NIOSSLServerHandler.self) }
}

/// A certificate of `gateway.test`, signed with its own key, good until 2126. It guards nothing.
enum TestIdentity {
    static func contextBox() throws -> TLSContextBox {
        TLSContextBox(
            try NIOSSLContext(
                configuration: .makeServerConfiguration(
                    certificateChain: [.certificate(try NIOSSLCertificate(bytes: Array(text.utf8), format: .pem))],
                    privateKey: .privateKey(try NIOSSLPrivateKey(bytes: Array(key.utf8), format: .pem)))))
    }

    private static let text = """
        -----BEGIN CERTIFICATE-----
        MIIBnzCCAUSgAwIBAgIURlUcEkUemlCeCfXJj2RGjXAOJ0wwCgYIKoZIzj0EAwIw
        FzEVMBMGA1UEAwwMZ2F0ZXdheS50ZXN0MCAXDTI2MTEyMTIyMzg1MloYDzIxMjYx
        MDI4MjIzODUyWjAXMRUwEwYDVQQDDAxnYXRld2F5LnRlc3QwWTATBgcqhkjOPQIB
        BggqhkjOPQMBBwNCAATGD+U5Y0S/vCzPuFcrBpgGWnP9RyNINCbHFpUm02k0+XsD
        WO4Gt/JtsHN++y09BBSEV3rD+747Kx9Vk1V5r21Ho2wwajAdBgNVHQ4EFgQUVy/D
        zy0JDohNoZ+LmaoLgeDRThMwHwYDVR0jBBgwFoAUVy/Dzy0JDohNoZ+LmaoLgeDR
        ThMwDwYDVR0TAQH/BAUwAwEB/zAXBgNVHREEEDAOggxnYXRld2F5LnRlc3QwCgYI
        KoZIzj0EAwIDSQAwRgIhAJdBVDMkXEElrayEeyLdMesLegTFvZWzb/KW+1P3E4ms
        AiEAjgMkc4PBYofXjn20HuAQdb1zbg9GuwD4sAj7Li5kNGM=
        -----END CERTIFICATE-----
        """

    private static let key = """
        -----BEGIN PRIVATE KEY-----
        MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgfzstuoLi0Zvfa48b
        h4oudaxTXCTPZcB+ZY5lfyo460GhRANCAATGD+U5Y0S/vCzPuFcrBpgGWnP9RyNI
        NCbHFpUm02k0+XsDWO4Gt/JtsHN++y09BBSEV3rD+747Kx9Vk1V5r21H
        -----END PRIVATE KEY-----
        """
}

extension TLSClient: CustomReflectable {
    var customMirror: Mirror { Mirror(self, children: []) }
}
