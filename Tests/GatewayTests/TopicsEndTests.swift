import Access
import CacheService
import Tenancy
import Testing

@testable import Gateway

/// How streams end for reasons of the service's: what the client is told last, and what becomes of the connection.
@Suite struct TopicsEndTests {
    enum Cause: CaseIterable {
        case expiry, revocation, deletion, drain

        var code: String {
            switch self {
            case .expiry: "CredentialExpired"
            case .revocation: "CredentialRevoked"
            case .deletion: "NotFound"
            case .drain: "Unavailable"
            }
        }

        var closeCode: UInt16 {
            switch self {
            case .expiry: 4401
            case .revocation: 4403
            case .deletion: 4404
            case .drain: 1001
            }
        }

        var pollStatus: Int {
            switch self {
            case .expiry, .revocation: 401
            case .deletion: 404
            case .drain: 200
            }
        }
    }

    private let stage: TopicStage

    init() throws {
        stage = try TopicStage()
    }

    /// Opens a subscriber with a key that lives a minute, and brings about its end.
    private func subscriber(_ form: Subscriber.Form, _ version: Subscriber.Version, ending cause: Cause) throws
        -> Subscriber
    {
        let key = try stage.key(.readWrite, ttlSeconds: 60)
        let subscriber = try Subscriber(stage, form, version, credential: key.presented)
        stage.pass(milliseconds: 500)
        if form != .poll { stage.publish("before") }
        _ = subscriber.take()
        #expect(!subscriber.isEnded)
        switch cause {
        case .expiry:
            if form == .poll {
                // A poll lasts half as long as the shortest key.
                stage.pass(milliseconds: 25_000)
                _ = subscriber.take()
                subscriber.vanish()
                stage.pass(milliseconds: 20_000)
                return try lateSubscriber(form, version, key.presented)
            }
            stage.pass(milliseconds: 59_000)
            #expect(!subscriber.take().contains { $0.name == "error" })
            #expect(!subscriber.isEnded)
            stage.pass(milliseconds: 750)
        case .revocation:
            try stage.fixture.control.revokeKey(id: key.id, caller: stage.fixture.root)
            stage.pass(milliseconds: 250)
        case .deletion:
            try stage.fixture.control.deleteCache(CacheName("shop"), caller: stage.fixture.root)
            stage.pass(milliseconds: 250)
        case .drain:
            stage.lane.drain()
            stage.settle()
        }
        return subscriber
    }

    private func lateSubscriber(
        _ form: Subscriber.Form, _ version: Subscriber.Version, _ credential: String
    ) throws -> Subscriber {
        let subscriber = try Subscriber(stage, form, version, credential: credential)
        stage.pass(milliseconds: 14_000)
        #expect(subscriber.take().isEmpty)
        #expect(!subscriber.isEnded)
        stage.pass(milliseconds: 750)
        return subscriber
    }

    @Test(arguments: Cause.allCases, Subscriber.Version.allCases)
    func aWebSocketIsToldWhyAndClosed(cause: Cause, version: Subscriber.Version) throws {
        let subscriber = try subscriber(.webSocket, version, ending: cause)
        let last = subscriber.take().filter { $0.name != "heartbeat" }
        #expect(last.map(\.name) == ["error", "close"])
        #expect(last.first?.errorCode == cause.code)
        #expect(last.last?.code == cause.closeCode)
        #expect(last.last?.body.string == cause.code)
        #expect(try stage.subscriptions() == 0)
        #expect(!subscriber.isEnded)
        // What it says now is thrown away, until it says that it closes too.
        subscriber.send("{\"publish\":{\"text\":\"late\"}}")
        #expect(subscriber.take().isEmpty)
        subscriber.sendClose(cause.closeCode)
        #expect(subscriber.take().isEmpty)
        #expect(subscriber.isEnded)
        #expect(subscriber.streamCode ?? 0 == 0)
        #expect(try stage.leftovers() == [])
    }

    @Test(arguments: [Cause.expiry, .revocation, .drain], Subscriber.Version.allCases)
    func aStreamSocketIsToldWhyAndClosed(cause: Cause, version: Subscriber.Version) throws {
        let subscriber = try subscriber(.stream, version, ending: cause)
        let last = subscriber.take().filter { $0.name != "heartbeat" }
        #expect(last.map(\.name) == ["error", "close"])
        #expect(last.first?.errorCode == cause.code)
        // It is the socket that ends, and not one subscription.
        #expect(last.first?.id == nil)
        #expect(last.last?.code == cause.closeCode)
        subscriber.sendClose()
        #expect(subscriber.isEnded)
        #expect(try stage.leftovers() == [])
    }

    @Test(arguments: Subscriber.Version.allCases)
    func aStreamSocketOutlivesACache(version: Subscriber.Version) throws {
        try stage.fixture.makeCache("other")
        let subscriber = try subscriber(.stream, version, ending: .deletion)
        let last = subscriber.take().filter { $0.name != "heartbeat" }
        #expect(last.map(\.errorCode) == ["NotFound"])
        #expect(last.first?.id == "a")
        subscriber.send("{\"subscribe\":{\"id\":\"a\",\"cache\":\"other\",\"topic\":\"news\"}}")
        #expect(subscriber.take().map(\.name).first == "subscribed")
        stage.publish("after", cache: "other")
        #expect(subscriber.take().map(\.text) == ["after"])
        subscriber.vanish()
        stage.settle()
        #expect(try stage.leftovers() == [])
    }

    @Test(arguments: Cause.allCases, Subscriber.Version.allCases)
    func anEventStreamIsToldWhyAndEnds(cause: Cause, version: Subscriber.Version) throws {
        let subscriber = try subscriber(.events, version, ending: cause)
        let last = subscriber.take().filter { $0.name != "heartbeat" }
        #expect(last.map(\.errorCode) == [cause.code])
        #expect(subscriber.isEnded)
        #expect(subscriber.streamCode ?? 0 == 0)
        try expectServed(subscriber, cause)
        #expect(try stage.leftovers() == [])
    }

    @Test(arguments: Cause.allCases, Subscriber.Version.allCases)
    func aLongPollIsAnswered(cause: Cause, version: Subscriber.Version) throws {
        let subscriber = try subscriber(.poll, version, ending: cause)
        #expect(subscriber.isEnded)
        #expect(subscriber.status == cause.pollStatus)
        if cause == .drain {
            #expect(String(decoding: subscriber.body, as: UTF8.self) == "{\"items\":[]}\n")
        } else {
            #expect(subscriber.take().first?.errorCode == cause.code)
        }
        try expectServed(subscriber, cause)
        #expect(try stage.leftovers() == [])
    }

    /// The connection goes on, unless the server does not.
    private func expectServed(_ subscriber: Subscriber, _ cause: Cause) throws {
        guard subscriber.version == .http1 else { return }
        if cause == .drain {
            #expect(!subscriber.connection.isOpen)
            #expect(subscriber.connection.socket.lostBytes == 0)
        } else {
            #expect(subscriber.connection.isOpen)
            subscriber.connection.request("GET", "/healthz")
            #expect(subscriber.connection.replies().map(\.status) == [200])
        }
    }

    /// A cache of the same name is another cache: nobody is carried over.
    @Test(arguments: [Subscriber.Form.webSocket, .stream, .events, .poll], Subscriber.Version.allCases)
    func aCacheThatIsMadeAnewInTheSameMomentIsAnother(form: Subscriber.Form, version: Subscriber.Version) throws {
        let subscriber = try Subscriber(stage, form, version)
        _ = subscriber.take()
        try stage.fixture.control.deleteCache(CacheName("shop"), caller: stage.fixture.root)
        try stage.fixture.makeCache("shop")
        stage.publish("in another")
        stage.pass(milliseconds: 250)
        let last = subscriber.take()
        #expect(last.filter { $0.name != "heartbeat" }.first?.errorCode == "NotFound")
        #expect(subscriber.texts == [])
        #expect(try stage.subscriptions() == 0)
    }

    /// A permission that ends with a change of the key's tenant: the tenant goes, and all that it had.
    @Test func aTenantThatGoesTakesItsStreamsWithIt() throws {
        let tenant = try TenantName("acme")
        let control = stage.fixture.control
        _ = try control.putTenant(tenant, TenantChange(), caller: stage.fixture.root)
        _ = try control.putCache(CacheName("theirs"), CacheChange(), tenant: tenant, caller: stage.fixture.root)
        let key = try stage.key(tenant: tenant)
        let webSocket = try Subscriber(stage, .webSocket, .http1, cache: "theirs", credential: key.presented)
        let stream = try Subscriber(stage, .stream, .http2, cache: "theirs", credential: key.presented)
        #expect(webSocket.status == 101)
        _ = (webSocket.take(), stream.take())
        try control.deleteCache(CacheName("theirs"), tenant: tenant, caller: stage.fixture.root)
        try control.deleteTenant(tenant, caller: stage.fixture.root)
        stage.pass(milliseconds: 250)
        #expect(webSocket.take().last?.code == 4403)
        #expect(stream.take().last?.code == 4403)
        stage.pass(milliseconds: 3000)
        #expect(try stage.leftovers() == [])
    }

    // MARK: What follows on the connection

    @Test func aRequestThatWaitsBehindALongPollIsAnsweredAfterIt() throws {
        let connection = try TestConnection(stage.fixture)
        let fields = ["Authorization: \(stage.fixture.rootKey)"]
        connection.send(
            HTTP1Text.request("GET", "/topics/shop/news", fields) + HTTP1Text.request("GET", "/healthz")
                + HTTP1Text.request("GET", "/topics/shop/news?sequence_number=1", fields))
        #expect(connection.receive().isEmpty)
        stage.publish("one")
        let replies = connection.replies()
        #expect(replies.map(\.status) == [200, 200, 200])
        #expect(replies.first?.text == replies.last?.text)
        #expect(try stage.leftovers() == [])
    }

    @Test func anUpgradeThatWaitsBehindALongPollIsAnsweredAfterItWithItsFrames() throws {
        let connection = try TestConnection(stage.fixture)
        let credential = [(name: "authorization", value: stage.fixture.rootKey)]
        connection.send(
            Array(
                (Subscriber.head(.poll, "/topics/shop/news", credential)
                    + Subscriber.head(.webSocket, "/topics/shop/news", credential)).utf8)
                + clientText("{\"publish\":{\"text\":\"two\"}}"))
        #expect(connection.receive().isEmpty)
        stage.publish("one")
        stage.settle()
        let (replies, rest) = HTTP1Reply.all(in: connection.receive())
        #expect(replies.map(\.status) == [200, 101])
        let told = Subscriber.frames(rest)
        #expect(told.map(\.name).first == "heartbeat")
        #expect(told.compactMap(\.text) == ["one", "two"])
        #expect(told.filter { $0.name == "published" }.count == 1)
    }

    @Test func aDrainEndsTheConnectionOfALongPollBeforeWhatWaitsBehindIt() throws {
        let connection = try TestConnection(stage.fixture)
        let fields = ["Authorization: \(stage.fixture.rootKey)"]
        let poll = HTTP1Text.request("GET", "/topics/shop/news", fields)
        connection.send(poll + poll)
        stage.lane.drain()
        stage.settle()
        let replies = connection.replies()
        #expect(replies.map(\.text) == ["{\"items\":[]}\n"])
        #expect(replies.first?.fields["connection"] == "close")
        #expect(!connection.isOpen)
        #expect(try stage.leftovers() == [])
    }
}
