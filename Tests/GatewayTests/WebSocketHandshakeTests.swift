import Tenancy
import Testing

@testable import Gateway

/// A head with the fields of a good handshake, `changes` in place of theirs; nil leaves one out.
private func upgrade(_ changes: [String: String?] = [:], more: [(String, String)] = []) -> RequestHead {
    let good = [
        ("host", "localhost"), ("upgrade", "websocket"), ("connection", "Upgrade"), ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ]
    let head = RequestHead()
    Array("GET".utf8).withUnsafeBytes { head.setMethod($0) }
    head.setPath("/topics/shop/orders")
    for (name, value) in good {
        if let value = changes[name, default: value] { head.add(name, value) }
    }
    for (name, value) in changes.sorted(by: { $0.key < $1.key }) where !good.contains(where: { $0.0 == name }) {
        if let value { head.add(name, value) }
    }
    for (name, value) in more { head.add(name, value) }
    return head
}

/// A head with the fields of an extended CONNECT.
private func connect(_ fields: [(String, String)] = []) -> RequestHead {
    let head = RequestHead()
    Array("CONNECT".utf8).withUnsafeBytes { head.setMethod($0) }
    Array("websocket".utf8).withUnsafeBytes { head.setProtocol($0) }
    head.setPath("/topics/shop/orders")
    for (name, value) in fields { head.add(name, value) }
    return head
}

/// Which field a refusal names.
private func fault(_ head: RequestHead) -> String? {
    do throws(MartletError) {
        _ = try WebSocketHandshake(head)
        return nil
    } catch {
        switch error {
        case .invalidArgument(let field, _): return field
        case .upgradeRequired: return "426"
        default: return "\(error)"
        }
    }
}

@Suite struct WebSocketHandshakeTests {
    /// RFC 6455 section 1.3.
    @Test func theAcceptOfTheRFCsExample() throws {
        let handshake = try WebSocketHandshake(upgrade())
        #expect(handshake.accept == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
        #expect(handshake.protocolToEcho == nil)
        #expect(handshake.credential == nil)
    }

    @Test func spaceAroundAValueIsNoPartOfIt() throws {
        let head = upgrade(["sec-websocket-key": " \tdGhlIHNhbXBsZSBub25jZQ==\t ", "sec-websocket-version": " 13 "])
        #expect(try WebSocketHandshake(head).accept == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    }

    @Test(arguments: [
        ("websocket", "Upgrade"), ("WebSocket", "keep-alive, Upgrade"), ("h2c, WEBSOCKET", "UPGRADE,,"),
        (" websocket ", "keep-alive\t,\tupgrade"), (",websocket", "close,upgrade"),
    ])
    func tokensAreFoundInListsWhateverTheirCase(upgradeValue: String, connection: String) {
        let head = upgrade(["upgrade": upgradeValue, "connection": connection])
        #expect(WebSocketHandshake.isUpgrade(head))
        #expect(fault(head) == nil)
    }

    @Test func listsMayBeSpreadOverFields() throws {
        let head = upgrade(
            ["connection": "keep-alive", "upgrade": "h2c", "sec-websocket-protocol": "martlet.auth.abc"],
            more: [("connection", "upgrade"), ("upgrade", "websocket"), ("sec-websocket-protocol", "x,martlet.v1")])
        #expect(WebSocketHandshake.isUpgrade(head))
        let handshake = try WebSocketHandshake(head)
        #expect(handshake.protocolToEcho == "martlet.v1")
        #expect(handshake.credential.map { head.text($0) } == "abc")
    }

    @Test(arguments: [nil, "", "h2c", "websockets", "web socket", "websocket/13", "xwebsocket"] as [String?])
    func withoutTheTokenItIsNoUpgrade(value: String?) {
        let head = upgrade(["upgrade": value])
        #expect(!WebSocketHandshake.isUpgrade(head))
        #expect(fault(head) == "upgrade")
    }

    @Test func onlyAGetAsksForAWebSocket() {
        for method in ["POST", "HEAD", "CONNECT", "OPTIONS"] {
            let head = upgrade()
            Array(method.utf8).withUnsafeBytes { head.setMethod($0) }
            #expect(!WebSocketHandshake.isUpgrade(head))
        }
    }

    @Test(arguments: [nil, "", "keep-alive", "upgrades", "close"] as [String?])
    func anUpgradeThatConnectionDoesNotNameIsRefused(value: String?) {
        let head = upgrade(["connection": value])
        #expect(WebSocketHandshake.isUpgrade(head))
        #expect(fault(head) == "connection")
    }

    @Test(arguments: [nil, "", "12", "8", "14", "013", "13, 8", "thirteen", "1"] as [String?])
    func anotherVersionIsToldWhichIsSpoken(value: String?) {
        #expect(fault(upgrade(["sec-websocket-version": value])) == "426")
    }

    @Test(
        arguments: [
            nil, "", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25jZR==", "dGhlIHNhbXBsZSBub25jZQ= ",
            "dGhlIHNhbXBsZSBub25jZQ==dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZTE=", "dGhlIHNhbXBsZSBub25j",
            "SGVsbG8sIHdvcmxkIQ==", "-_lIHNhbXBsZSBub25jZQ---", "????????????????????????", "========================",
        ] as [String?])
    func aKeyThatIsNotSixteenBytesOfBase64IsRefused(value: String?) {
        #expect(fault(upgrade(["sec-websocket-key": value])) == "sec-websocket-key")
    }

    @Test func whatMustStandOnceMustNotStandTwice() {
        #expect(
            fault(upgrade(more: [("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")])) == "sec-websocket-key")
        #expect(fault(upgrade(more: [("sec-websocket-version", "13")])) == "sec-websocket-version")
        #expect(
            fault(connect([("sec-websocket-version", "13"), ("sec-websocket-version", "8")]))
                == "sec-websocket-version")
    }

    // MARK: Extended CONNECT

    @Test func anExtendedConnectNeedsNeitherKeyNorUpgrade() throws {
        let head = connect([("sec-websocket-protocol", "martlet.v1, martlet.auth.token")])
        let handshake = try WebSocketHandshake(head)
        #expect(handshake.accept == nil)
        #expect(handshake.protocolToEcho == "martlet.v1")
        #expect(handshake.credential.map { head.text($0) } == "token")
        #expect(fault(connect()) == nil)
        #expect(!WebSocketHandshake.isUpgrade(head))
    }

    @Test func theVersionOfAnExtendedConnectMustBeRightIfItIsGiven() {
        #expect(fault(connect([("sec-websocket-version", "13")])) == nil)
        #expect(fault(connect([("sec-websocket-version", "8")])) == "426")
        #expect(fault(connect([("sec-websocket-version", "")])) == "426")
    }

    // MARK: Subprotocols

    private func offered(_ list: String) throws(MartletError) -> (echo: String?, credential: String?) {
        let head = upgrade(["sec-websocket-protocol": list])
        let handshake = try WebSocketHandshake(head)
        #expect(try WebSocketHandshake.credential(in: head) == handshake.credential)
        return (handshake.protocolToEcho, handshake.credential.map { head.text($0) })
    }

    @Test func onlyTheProtocolItselfIsEchoed() throws {
        let cases: [(String, String?)] = [
            ("martlet.v1", nil), ("martlet.v1, martlet.auth.a.b-c_d", "a.b-c_d"), ("chat,martlet.v1", nil),
            ("martlet.auth.x,martlet.v1", "x"), ("martlet.v1, martlet.authority", nil),
            ("martlet.v1, martlet.auth.martlet.auth.x", "martlet.auth.x"), (" , martlet.v1,, ", nil),
        ]
        for (list, credential) in cases {
            let result = try offered(list)
            #expect(result.echo == "martlet.v1")
            #expect(result.credential == credential)
        }
        let none = try offered(" ")
        #expect(none.echo == nil)
        #expect(none.credential == nil)
    }

    @Test(arguments: [
        "chat", "martlet.v2", "martlet.auth.abc", "Martlet.v1", "martlet.v1x", "martlet.v1, martlet.auth.",
        "martlet.v1, martlet.auth.a, martlet.auth.a", "martlet.v1, martlet.auth.a, martlet.auth.b",
        "martlet.v1, two words", "martlet.v1, martlet.auth.a=", "martlet.v1, \"quoted\"", "martlet.v1, é",
        "martlet.v1;q=1",
    ])
    func otherOffersAreRefused(list: String) {
        #expect(fault(upgrade(["sec-websocket-protocol": list])) == "sec-websocket-protocol")
        #expect(fault(connect([("sec-websocket-protocol", list)])) == "sec-websocket-protocol")
    }

    @Test func aCredentialIsFoundInAHandshakeThatIsWrongOtherwise() throws {
        let head = upgrade(["sec-websocket-protocol": "martlet.auth.abc", "sec-websocket-key": nil])
        #expect(try WebSocketHandshake.credential(in: head).map { head.text($0) } == "abc")
        let two = upgrade(["sec-websocket-protocol": "martlet.auth.a, martlet.auth.b"])
        #expect(throws: MartletError.self) { try WebSocketHandshake.credential(in: two) }
    }

    @Test func mutatedHeadsNeverTrap() {
        var generator = SeededGenerator(seed: 8441)
        let alphabet = Array("martlet.v1auth, \t=13websocketUPGRADE\"é+/".utf8)
        let names = [
            "upgrade", "connection", "sec-websocket-key", "sec-websocket-version", "sec-websocket-protocol", "x",
        ]
        for _ in 0..<5000 {
            let head = upgrade()
            for _ in 0..<Int.random(in: 0...3, using: &generator) {
                let length = Int.random(in: 0...40, using: &generator)
                let value = (0..<length).map { _ in alphabet.randomElement(using: &generator) ?? 0 }
                let name = Array((names.randomElement(using: &generator) ?? "x").utf8)
                name.withUnsafeBytes { name in value.withUnsafeBytes { head.add(name: name, value: $0, limit: 4096) } }
            }
            for isConnect in [false, true] {
                if isConnect { Array("websocket".utf8).withUnsafeBytes { head.setProtocol($0) } }
                guard let handshake = try? WebSocketHandshake(head) else { continue }
                #expect((handshake.accept == nil) == isConnect)
                if let credential = handshake.credential {
                    #expect(!credential.isEmpty)
                    #expect(handshake.protocolToEcho != nil)
                }
            }
        }
    }
}
