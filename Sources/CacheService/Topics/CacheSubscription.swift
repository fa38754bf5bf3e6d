import Access
import Admission
import Catalog
import Metering
import Tenancy
import Topics

/// One subscriber of one topic, as the service sees it: between the hub, which hands messages on, and a door's stream,
/// which carries them.
///
/// ```
/// hub ─▶ TopicLane ─▶ CacheSubscription ─▶ TopicSink ─▶ bytes
///                     │ still permitted?   its credential, its permission, its cache
///                     │ admit              charged to the rates: a debt holds back what follows
///                     └ meter              before the bytes leave
/// ```
///
/// It lives until it is cancelled by its door or ended by the service. Belongs to its lane.
package final class CacheSubscription: TopicSubscriber {
    package let topic: TopicName
    package let door: Door
    package private(set) var caller: LaneCaller
    // A lane outlives its subscriptions: it holds them, and ends with its event loop.
    private unowned(unsafe) let lane: ServiceLane
    private var grant: CacheGrant
    /// Nil once the subscription is over: it and its sink hold each other until then.
    private var sink: (any TopicSink)?
    private var registration: TopicSubscription?
    private let clock: SubscriptionClock
    /// The place in the lane's list; -1 when it is over.
    var slot = -1

    init(
        _ lane: ServiceLane, _ caller: LaneCaller, _ grant: CacheGrant, _ topic: TopicName, _ door: Door,
        _ clock: SubscriptionClock, _ sink: any TopicSink
    ) {
        self.lane = lane
        self.caller = caller
        self.grant = grant
        self.topic = topic
        self.door = door
        self.clock = clock
        self.sink = sink
    }

    func register(_ registration: TopicSubscription) {
        self.registration = registration
    }

    package var isOver: Bool { registration == nil }

    package var cacheName: [UInt8] { grant.cacheName }

    // MARK: What the door calls

    /// Starts the subscription, or goes on after ``TopicSink/isReady`` was off.
    package func resume() {
        guard let registration else { return }
        lane.topics.lane.resume(registration, now: lane.now)
    }

    /// Ends the subscription without a word to its sink.
    package func cancel() {
        guard let registration else { return }
        self.registration = nil
        sink = nil
        lane.topics.lane.cancel(registration)
        lane.forget(self)
        clock.leave(lane.now)
        grant.cache?.shared.admission.releaseSubscription()
    }

    /// Goes on under another credential of the same tenant.
    ///
    /// - Throws: ``MartletError/permissionDenied(_:)`` when it does not permit the subscription, which then goes on under
    ///   the old one.
    package func renew(_ new: LaneCaller) throws(MartletError) {
        let renewed = try lane.permitRenewal(of: grant, new, topic, door)
        caller = new
        grant = renewed
        lane.topics.expires(at: new.caller.expiresAt)
    }

    // MARK: TopicSubscriber

    package var isReady: Bool {
        sink?.isReady ?? false
    }

    package func receive(_ batch: TopicBatch) {
        guard isStillPermitted(), let sink, let cache = grant.cache else { return }
        clock.row.recordDeliveries(
            messages: batch.messages.count, chunks: UInt64(batch.chunkCount), messageBytes: batch.payloadBytes)
        cache.shared.admission.settle(
            extraOperations: UInt64(batch.chunkCount), bytesOut: UInt64(batch.payloadBytes),
            nowNanoseconds: lane.nowNanoseconds)
        sink.send(batch, of: self)
    }

    package func receive(_ discontinuity: TopicDiscontinuity) {
        guard isStillPermitted() else { return }
        sink?.send(discontinuity, of: self)
    }

    package func heartbeat() {
        guard isStillPermitted() else { return }
        sink?.sendHeartbeat(of: self)
    }

    // MARK: Permit

    /// Whether the subscriber may still have what comes; if not, the subscription ends here. Cost: two comparisons while
    /// the catalog stands still.
    @inline(__always)
    @discardableResult
    func isStillPermitted() -> Bool {
        if !caller.caller.isExpired(at: lane.now), caller.version == lane.snapshot.version,
            grant.version == lane.snapshot.version
        {
            return registration != nil
        }
        return renewGrant()
    }

    private func renewGrant() -> Bool {
        guard registration != nil else { return false }
        do throws(MartletError) {
            if let fault = lane.fault(of: caller) { throw fault }
            let renewed = try lane.permit(grant, caller, topic, door)
            // A cache that was deleted and made again under its name is another, with other topics.
            guard renewed.isForSameCache(as: grant) else { throw .cacheNotFound }
            grant = renewed
            return true
        } catch {
            end(error)
            return false
        }
    }

    private func end(_ error: MartletError) {
        let sink = sink
        cancel()
        sink?.end(self, error)
    }
}
