import Access
import Admission
import Catalog
import NIOCore
import NIOEmbedded
import Tenancy
import Testing
import Topics

@testable import CacheService
@testable import Gateway

/// A gateway with the doors of topics, its timers running, and a connection to publish on.
final class TopicStage {
    let fixture: GatewayFixture
    private var publisher: TestConnection?

    init(limits: GatewayLimits = GatewayLimits(), heartbeatMilliseconds: Int64 = 10_000) throws {
        fixture = try GatewayFixture(
            limits: limits,
            others: [
                (prefix: TopicsDoor.prefix, door: TopicsDoor()), (prefix: StreamDoor.path, door: StreamDoor()),
            ], heartbeatMilliseconds: heartbeatMilliseconds)
        fixture.lane.startSweeping()
    }

    var lane: GatewayLane { fixture.lane }
    var service: CacheService { fixture.service }

    // MARK: Time

    /// Runs what is queued on the event loop and what the hub has asked for, slices of a long fan-out too.
    func settle() {
        repeat {
            fixture.loop.run()
            fixture.loop.advanceTime(by: .microseconds(100))
        } while fixture.mailbox.runOwn() > 0 || lane.isTurnScheduled || lane.isSliceScheduled
        fixture.loop.run()
    }

    /// Waits until the verifying thread has checked a token, and takes its answer in.
    func takeLate() {
        settle()
        fixture.mailbox.runOne()
        settle()
    }

    /// Lets time pass, step by step, so that the timers of the lane see each of their turns.
    func pass(milliseconds: Int64, step: Int64 = 50) {
        var left = milliseconds
        while left > 0 {
            fixture.advance(milliseconds: min(step, left))
            settle()
            left -= step
        }
    }

    /// When it is, in milliseconds since the epoch.
    var now: Int64 { fixture.clock.now().milliseconds }

    // MARK: Publishing

    /// Publishes by POST. Returns the status of the answer.
    @discardableResult
    func publish(_ text: String, to topic: String = "news", cache: String = "shop", type: String? = nil) -> Int {
        publish(Array(text.utf8), to: topic, cache: cache, type: type)
    }

    @discardableResult
    func publish(_ bytes: [UInt8], to topic: String = "news", cache: String = "shop", type: String? = nil) -> Int {
        let status = publishUnseen([bytes], to: topic, cache: cache, type: type).first
        settle()
        return status ?? 0
    }

    /// Publishes in one read, before any subscriber is told. Returns the statuses.
    @discardableResult
    func publishUnseen(
        _ messages: [[UInt8]], to topic: String = "news", cache: String = "shop", type: String? = nil
    ) -> [Int] {
        var bytes: [UInt8] = []
        for message in messages {
            let type = type.map { "Content-Type: \($0)\r\n" } ?? ""
            bytes += Array(
                "POST /topics/\(cache)/\(topic) HTTP/1.1\r\nHost: h\r\nAuthorization: \(fixture.rootKey)\r\n\(type)Content-Length: \(message.count)\r\n\r\n"
                    .utf8)
            bytes += message
        }
        // One that has been idle is closed.
        if publisher?.isOpen != true { publisher = try? TestConnection(fixture) }
        publisher?.send(bytes)
        return HTTP1Reply.all(in: publisher?.receive() ?? []).replies.map(\.status)
    }

    // MARK: Credentials

    /// A key for topics, known without a signature check.
    func key(
        _ role: Role = .readWrite, cache: CacheSelector = .all, topics: TopicSelector = .all,
        tenant: TenantName? = nil, ttlSeconds: Int64? = nil, tokenID: String? = nil
    ) throws -> (id: String, presented: String) {
        let grant = Grant.permissions(try PermissionSet(validating: [Permission(role, cache: cache, .topics(topics))]))
        let order = KeyOrder(format: .v2, grant: grant, ttlSeconds: ttlSeconds, tokenID: tokenID)
        let key = try fixture.control.mintKey(order, tenant: tenant, caller: fixture.root)
        return (key.record.id, key.secret.presented)
    }

    // MARK: Figures

    /// What the admission of a cache counts as open, and that of its tenant.
    func admitted(of cache: String = "shop") throws -> [UInt64] {
        let name = try CacheName(cache)
        guard let record = fixture.catalog.snapshot.cache(tenant: service.defaultTenant, name: name),
            let admission = service.shared(record.id)?.admission
        else { return [] }
        return [admission.topics.subscriptions.count, admission.tenant.topics.subscriptions.count]
    }

    /// Subscriptions that the hub has in a cache.
    func subscriptions(of cache: String = "shop") throws -> Int {
        let name = try CacheName(cache)
        guard let record = fixture.catalog.snapshot.cache(tenant: service.defaultTenant, name: name) else { return 0 }
        return service.statistics(record.id)?.topics.subscriptions ?? 0
    }

    /// What is left of subscriptions and streams, at every place that keeps them; empty when all are gone.
    func leftovers() throws -> [String] {
        var found: [String] = []
        func look(_ count: Int, _ place: String) { if count > 0 { found.append("\(count) \(place)") } }
        look(try subscriptions(), "at the hub")
        look(lane.service.topics.subscriptions.count, "in the service's lane")
        look(lane.service.topics.lane.subscriptionCount, "in the hub's lane")
        look(lane.streams.count, "streams")
        look(lane.backlogBytes, "bytes of backlog")
        look(fixture.bodyBytesInFlight, "bytes reserved")
        for count in try admitted() { look(Int(count), "admitted") }
        return found
    }
}

extension TopicStage: CustomReflectable {
    var customMirror: Mirror { Mirror(self, children: []) }
}
