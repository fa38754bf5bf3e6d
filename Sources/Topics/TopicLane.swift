import Synchronization
import Tenancy

/// The subscriptions of one event loop, used on it alone.
package final class TopicLane {
    let mailbox: TopicMailbox
    /// Listeners to be attended to, from `queueHead` on, beginning with the one whose round is under way.
    var queue: ContiguousArray<TopicListener> = []
    var queueHead = 0
    /// Above zero while subscribers are being handed messages.
    var deliveryDepth = 0
    /// The batch that was last made for a subscription that caught up: where many do, they share it.
    var replayed: TopicBatch?
    var latestTime = Timestamp(milliseconds: 0)

    /// The subscriptions, dealt out to the ticks of the heartbeat.
    private var beats: [ContiguousArray<TopicSubscription>]
    private var currentBeat = 0
    private var nextBeat = 0
    package private(set) var subscriptionCount = 0

    /// - Parameters:
    ///   - heartbeatTicks: after how many calls of ``heartbeat(now:)`` every subscription has had its turn.
    ///   - wake: asks the loop to call ``drain(now:atMost:)``; called from any thread, once for each transition from
    ///     nothing waiting to something waiting.
    package init(heartbeatTicks: Int, wake: @escaping @Sendable () -> Void) {
        mailbox = TopicMailbox(wake: wake)
        beats = Array(repeating: [], count: max(1, heartbeatTicks))
    }

    deinit {
        for subscription in beats.joined() { leaveTopic(subscription) }
        // The mailbox and the listeners in it hold each other. Nobody posts to it any more.
        var waiting: ContiguousArray<TopicListener> = []
        mailbox.fetch(into: &waiting)
    }

    // MARK: Subscribing

    /// Registers a subscription. From now on nothing is missed, but nothing is handed over before ``resume(_:now:)``.
    /// Cost: one lock of the space, which is charged for the topic and the lane's part in it if they are new.
    /// - Throws: ``MartletError/cacheNotFound`` when the space is closed, ``MartletError/memoryExhausted`` when another
    ///   topic would be too many and none can give way.
    package func subscribe(
        to name: TopicName, in space: TopicSpace, from position: TopicPosition, now: Timestamp,
        as subscriber: any TopicSubscriber
    ) throws(MartletError) -> TopicSubscription {
        latestTime = now
        let mailbox = mailbox
        let key = HashedName(name)
        let (listener, start) = try space.withContents { (contents) throws(MartletError) in
            try contents.subscribe(to: key, from: position, mailbox: mailbox, now: now)
        }
        let fanout = listener.fanout ?? TopicFanout(space: space, listener: listener)
        listener.fanout = fanout
        let subscription = TopicSubscription(start, fanout: fanout, subscriber: subscriber)
        fanout.add(subscription)
        subscription.beat = Int32(nextBeat)
        subscription.beatPlace = Int32(beats[nextBeat].count)
        beats[nextBeat].append(subscription)
        nextBeat = (nextBeat + 1) % beats.count
        subscriptionCount += 1
        space.core.relieve()
        return subscription
    }

    /// Ends a subscription: its subscriber is never called again. Once is enough; again does nothing. O(1).
    package func cancel(_ subscription: TopicSubscription) {
        guard !subscription.isCancelled else { return }
        leaveTopic(subscription)
        let beat = Int(subscription.beat)
        let place = Int(subscription.beatPlace)
        // The last takes the place of the one that goes.
        let last = beats[beat].removeLast()
        if last !== subscription {
            beats[beat][place] = last
            last.beatPlace = Int32(place)
        }
        subscriptionCount -= 1
    }

    private func leaveTopic(_ subscription: TopicSubscription) {
        let fanout = subscription.fanout
        let listener = fanout.listener
        let now = latestTime
        subscription.subscriber = nil
        fanout.remove(subscription)
        let isLast = fanout.count == 0
        if isLast { listener.fanout = nil }
        fanout.space.withContents { $0.unsubscribe(listener, isLast: isLast, now: now) }
    }

    // MARK: Heartbeat

    /// One tick of the heartbeat: visits one in `heartbeatTicks` of the subscriptions, those that were started and
    /// whose subscribers are ready.
    package func heartbeat(now: Timestamp) {
        latestTime = now
        replayed = nil
        let beat = currentBeat
        currentBeat = (currentBeat + 1) % beats.count
        // From the end, because whoever is cancelled meanwhile is replaced by the last, which has had its turn: it may
        // have another, and nobody is left out.
        var place = beats[beat].count - 1
        while place >= 0 {
            let subscription = beats[beat][place]
            if subscription.isStarted, let subscriber = subscription.subscriber, subscriber.isReady {
                subscriber.heartbeat()
            }
            place = min(place, beats[beat].count) - 1
        }
    }
}
