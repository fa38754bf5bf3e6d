import Tenancy

/// Who receives what a topic delivers. Called on its lane's event loop only.
///
/// Any of these may call ``TopicLane/cancel(_:)``, ``TopicLane/subscribe(to:in:from:now:as:)`` and
/// ``TopicLane/resume(_:now:)`` of any subscription. To resume a subscription while it is being handed something does
/// nothing, and is not needed: who hands over asks again.
package protocol TopicSubscriber: AnyObject {
    /// Whether more may be handed over now. Asked before each call of the others. A subscriber for which this was false
    /// calls ``TopicLane/resume(_:now:)`` when it is true again.
    var isReady: Bool { get }
    /// Messages that follow those before. The batch is shared with others: fill its encoding, keep it, do not wait.
    func receive(_ batch: TopicBatch)
    /// Messages are missing before the next batch.
    func receive(_ discontinuity: TopicDiscontinuity)
    /// Nothing to tell but that the subscription lives.
    func heartbeat()
}

/// One subscriber's place in one topic. Belongs to the lane that made it. Cost: about a hundred bytes.
package final class TopicSubscription {
    /// Nil when the subscription is cancelled.
    var subscriber: (any TopicSubscriber)?
    let fanout: TopicFanout
    /// The number of the next message wanted.
    var next: UInt64
    /// With `owesDiscontinuity`: the last number before the gap.
    var gapLast: UInt64
    /// Where the fan-out has it.
    var place: Int32 = 0
    /// Where the heartbeat has it.
    var beatPlace: Int32 = 0
    var beat: Int32 = 0
    /// Whether ``TopicLane/resume(_:now:)`` was called.
    var isStarted = false
    /// Whether a discontinuity goes before the next message.
    var owesDiscontinuity: Bool
    /// Whether the message before `next` is wanted too, if it is still there.
    var wantsNewest: Bool
    /// Whether it is being handed something.
    var isBusy = false

    init(_ start: SubscriptionStart, fanout: TopicFanout, subscriber: any TopicSubscriber) {
        self.subscriber = subscriber
        self.fanout = fanout
        next = start.next
        gapLast = start.gapLast
        owesDiscontinuity = start.owesDiscontinuity
        wantsNewest = start.wantsNewest
    }

    package var name: TopicName { fanout.listener.topic.name }

    /// The next message wanted, on the topic's page: where a later subscription goes on after this one.
    package var position: TopicPosition { TopicPosition(sequence: next, page: fanout.page) }

    /// Begins with what is published from now on, whatever is retained. To be called before the subscription is resumed.
    package func skipNewest() {
        wantsNewest = false
    }

    package var isCancelled: Bool { subscriber == nil }

    /// Whether `next` alone says what it is to be handed.
    @inline(__always)
    var isPlain: Bool { !owesDiscontinuity && !wantsNewest }
}

/// Where a subscription begins.
struct SubscriptionStart: Sendable {
    var next: UInt64
    var gapLast: UInt64 = 0
    var owesDiscontinuity = false
    var wantsNewest = false

    /// Where a subscriber that asks for `position` begins in a topic, after `momento-topics` section 3:
    ///
    /// | asked for | begins with |
    /// |---|---|
    /// | nothing known | the newest message, if it is retained |
    /// | a number that is retained, or the next to come | it |
    /// | a number that is not retained any more | a discontinuity, the oldest retained |
    /// | a number beyond the next to come | a discontinuity, the newest |
    /// | any number of another page | a discontinuity, the newest |
    ///
    /// That a message is retained is looked up when it is handed over, so of the third row there is nothing here. The
    /// newest is what was newest when the subscription was made: what came after it follows.
    init(from position: TopicPosition, in topic: Topic) {
        let isSamePage = position.page == 0 || position.page == topic.page
        if position.sequence > 0, isSamePage, position.sequence <= topic.last + 1 {
            next = position.sequence
            return
        }
        next = topic.last + 1
        wantsNewest = !topic.ring.isEmpty
        guard position.sequence > 0 else { return }
        owesDiscontinuity = true
        gapLast = position.sequence - 1
    }
}
