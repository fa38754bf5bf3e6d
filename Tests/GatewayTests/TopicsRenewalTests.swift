import Access
import CacheService
import NIOCore
import NIOEmbedded
import Tenancy
import Testing

@testable import Gateway

/// A credential is replaced by another while its stream goes on.
@Suite struct TopicsRenewalTests {
    private let stage: TopicStage

    init() throws {
        stage = try TopicStage()
    }

    private static let sockets: [Subscriber.Form] = [.webSocket, .stream]

    private func authentication(_ credential: String) -> String {
        "{\"auth\":{\"token\":\"\(credential)\"}}"
    }

    @Test(arguments: sockets, Subscriber.Version.allCases)
    func aStreamThatIsRenewedInTimeGoesOn(form: Subscriber.Form, version: Subscriber.Version) throws {
        let first = try stage.key(ttlSeconds: 60)
        let subscriber = try Subscriber(stage, form, version, credential: first.presented)
        stage.pass(milliseconds: 50_000, step: 250)
        _ = subscriber.take()
        let second = try stage.key(ttlSeconds: 60)
        subscriber.send(authentication(second.presented))
        let expiry = stage.now / 1000 + 60
        let answer = subscriber.take()
        #expect(answer.map(\.name) == ["authenticated"])
        #expect(answer.first?.body["expires_at"]?.integer == expiry)
        stage.pass(milliseconds: 50_000, step: 250)
        stage.publish("after the first has expired")
        #expect(subscriber.take().compactMap(\.text) == ["after the first has expired"])
        // And under the first's revocation too.
        try stage.fixture.control.revokeKey(id: first.id, caller: stage.fixture.root)
        stage.pass(milliseconds: 500)
        #expect(!subscriber.isEnded)
        subscriber.send(authentication(stage.fixture.rootKey))
        #expect(subscriber.take().filter { $0.name != "heartbeat" }.map(\.body) == [.members(["expires_at": .null])])
        stage.pass(milliseconds: 60_000, step: 250)
        #expect(!subscriber.take().contains { $0.name == "error" })
        subscriber.sendClose()
        #expect(try stage.leftovers() == [])
    }

    @Test(arguments: sockets, Subscriber.Version.allCases)
    func whatIsRefusedLeavesTheOldOneInForce(form: Subscriber.Form, version: Subscriber.Version) throws {
        let tenant = try TenantName("acme")
        _ = try stage.fixture.control.putTenant(tenant, TenantChange(), caller: stage.fixture.root)
        let first = try stage.key(ttlSeconds: 120)
        let subscriber = try Subscriber(stage, form, version, credential: first.presented)
        _ = subscriber.take()
        subscriber.send(authentication("nonsense"))
        #expect(subscriber.take().map(\.errorCode) == ["Unauthenticated"])
        subscriber.send(authentication(try stage.key(tenant: tenant).presented))
        #expect(subscriber.take().map(\.name) == ["error"])
        // The same name in the other tenant is another cache.
        _ = try stage.fixture.control.putCache(
            CacheName("shop"), CacheChange(), tenant: tenant, caller: stage.fixture.root)
        subscriber.send(authentication(try stage.key(tenant: tenant).presented))
        #expect(subscriber.take().map(\.errorCode) == ["PermissionDenied"])
        stage.publish("still here")
        #expect(subscriber.take().map(\.text) == ["still here"])
        try stage.fixture.control.revokeKey(id: first.id, caller: stage.fixture.root)
        stage.pass(milliseconds: 250)
        #expect(subscriber.take().last?.code == 4403)
    }

    @Test(arguments: Subscriber.Version.allCases)
    func aTokenThatDoesNotPermitTheTopicIsRefused(version: Subscriber.Version) throws {
        let subscriber = try Subscriber(stage, .webSocket, version)
        _ = subscriber.take()
        subscriber.send(authentication(try stage.key(.writeOnly).presented))
        #expect(subscriber.take().map(\.errorCode) == ["PermissionDenied"])
        subscriber.send(authentication(try stage.key(topics: .named("other")).presented))
        #expect(subscriber.take().map(\.errorCode) == ["PermissionDenied"])
        subscriber.send("{\"publish\":{\"text\":\"as root\"}}")
        #expect(subscriber.take().map(\.name) == ["published", "item"])
    }

    @Test(arguments: Subscriber.Version.allCases)
    func onAStreamSocketSubscriptionsThatAreNotPermittedEnd(version: Subscriber.Version) throws {
        let subscriber = try Subscriber(stage, .stream, version)
        subscriber.send("{\"subscribe\":{\"id\":\"b\",\"cache\":\"shop\",\"topic\":\"weather\"}}")
        _ = subscriber.take()
        subscriber.send(authentication(try stage.key(.readOnly, topics: .named("weather")).presented))
        let told = subscriber.take()
        #expect(told.map(\.name) == ["authenticated", "error"])
        #expect(told.last?.id == "a")
        #expect(told.last?.errorCode == "PermissionDenied")
        stage.publish("news")
        stage.publish("rain", to: "weather")
        #expect(subscriber.take().map(\.text) == ["rain"])
        // The id is free again; the permission is not there.
        subscriber.send("{\"subscribe\":{\"id\":\"a\",\"cache\":\"shop\",\"topic\":\"news\"}}")
        #expect(subscriber.take().map(\.errorCode) == ["PermissionDenied"])
        subscriber.vanish()
        #expect(try stage.leftovers() == [])
    }

    // MARK: While the signature is being checked

    private func token(_ role: Role, tokenID: String) throws -> String {
        let permissions = try PermissionSet(validating: [Permission(role, cache: .all, .topics(.all))])
        return try stage.fixture.control.mintToken(
            TokenOrder(permissions: permissions, ttlSeconds: 3600, tokenID: tokenID), caller: stage.fixture.root
        ).presented
    }

    @Test(arguments: sockets, Subscriber.Version.allCases)
    func whatComesBehindARenewalInOneReadWaitsForIt(form: Subscriber.Form, version: Subscriber.Version) throws {
        let subscriber = try Subscriber(stage, form, version)
        _ = subscriber.take()
        let publish = form == .stream ? "{\"publish\":{\"id\":\"a\",\"text\":\"x\"}}" : "{\"publish\":{\"text\":\"x\"}}"
        subscriber.send(
            clientText(authentication(try token(.readWrite, tokenID: "renewed"))) + clientText(publish)
                + clientText(publish))
        #expect(subscriber.take().isEmpty)
        stage.takeLate()
        let told = subscriber.take()
        #expect(told.map(\.name) == ["authenticated", "published", "published", "item", "item"])
        #expect(told.last?.body["publisher_id"]?.string == "renewed")
    }

    /// Reads that the socket has made already come one after the other, wanted or not.
    @Test(arguments: sockets)
    func whatComesBehindARenewalInTheNextReadWaitsForIt(form: Subscriber.Form) throws {
        let subscriber = try Subscriber(stage, form, .http1)
        _ = subscriber.take()
        let publish = form == .stream ? "{\"publish\":{\"id\":\"a\",\"text\":\"x\"}}" : "{\"publish\":{\"text\":\"x\"}}"
        let pipeline = subscriber.connection.channel.pipeline
        pipeline.fireChannelRead(
            ByteBuffer(bytes: clientText(authentication(try token(.readWrite, tokenID: "renewed")))))
        pipeline.fireChannelRead(ByteBuffer(bytes: clientText(publish)))
        pipeline.fireChannelRead(ByteBuffer(bytes: clientText(publish)))
        pipeline.fireChannelReadComplete()
        #expect(subscriber.take().isEmpty)
        stage.takeLate()
        let told = subscriber.take()
        #expect(told.map(\.name) == ["authenticated", "published", "published", "item", "item"])
        #expect(told.last?.body["publisher_id"]?.string == "renewed")
    }

    @Test(arguments: sockets, Subscriber.Version.allCases)
    func messagesArriveWhileARenewalIsChecked(form: Subscriber.Form, version: Subscriber.Version) throws {
        let subscriber = try Subscriber(stage, form, version)
        _ = subscriber.take()
        subscriber.send(authentication(try token(.readOnly, tokenID: "renewed")))
        stage.publishUnseen([Array("meanwhile".utf8)])
        stage.takeLate()
        stage.settle()
        #expect(Set(subscriber.take().map(\.name)) == ["authenticated", "item"])
    }

    @Test(arguments: sockets, Subscriber.Version.allCases)
    func aClientThatGoesWhileItsTokenIsCheckedLeavesNothing(
        form: Subscriber.Form, version: Subscriber.Version
    ) throws {
        let subscriber = try Subscriber(stage, form, version)
        _ = subscriber.take()
        subscriber.send(authentication(try token(.readWrite, tokenID: "renewed")))
        subscriber.vanish()
        stage.takeLate()
        #expect(try stage.leftovers() == [])
    }

    @Test(arguments: sockets, Subscriber.Version.allCases)
    func theOldCredentialMayEndWhileTheNewOneIsChecked(
        form: Subscriber.Form, version: Subscriber.Version
    ) throws {
        let key = try stage.key()
        let subscriber = try Subscriber(stage, form, version, credential: key.presented)
        _ = subscriber.take()
        subscriber.send(authentication(try token(.readWrite, tokenID: "renewed")))
        try stage.fixture.control.revokeKey(id: key.id, caller: stage.fixture.root)
        stage.lane.tickStreams()
        #expect(subscriber.take().last?.code == 4403)
        subscriber.sendClose()
        stage.takeLate()
        subscriber.pump()
        #expect(subscriber.isEnded)
        #expect(try stage.leftovers() == [])
    }

    /// More than a client may send while it waits ends the socket.
    @Test func aClientThatSendsOnWhileItsTokenIsCheckedIsBounded() throws {
        let subscriber = try Subscriber(stage, .webSocket, .http1)
        _ = subscriber.take()
        subscriber.send(authentication(try token(.readWrite, tokenID: "renewed")))
        let piece = ByteBuffer(bytes: [UInt8](repeating: 0, count: 65_536))
        var highest = 0
        for _ in 0..<200 {
            subscriber.connection.channel.pipeline.fireChannelRead(piece)
            highest = max(highest, stage.fixture.bodyBytesInFlight)
        }
        #expect(highest <= 8 << 20)
        #expect(subscriber.take().last?.code == 1008)
        stage.takeLate()
        stage.pass(milliseconds: 3000)
        #expect(try stage.leftovers() == [])
    }
}
