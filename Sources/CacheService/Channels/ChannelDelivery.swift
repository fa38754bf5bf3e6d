import Tenancy
import Topics

/// One message as the subscribers of one lane get it who listen in the same way. Belongs to the lane.
package final class ChannelDelivery {
    /// How those listen whom it goes to.
    package let kind: ChannelKind
    /// The pattern that matched, for ``ChannelKind/pattern``.
    package let pattern: [UInt8]
    package let channel: [UInt8]
    package let message: TopicMessage
    let origin: ChannelOrigin
    /// What the door made of it once for all.
    package var encoding: AnyObject?

    init(_ kind: ChannelKind, pattern: [UInt8] = [], _ posting: ChannelPosting) {
        self.kind = kind
        self.pattern = pattern
        channel = posting.name
        message = posting.message
        origin = posting.origin
    }
}

/// Where a subscriber's messages go: a connection. Called on its lane's thread only, and not any more once ``end(_:)`` was
/// called or the subscriber was cancelled.
package protocol ChannelSink: AnyObject {
    func send(_ delivery: ChannelDelivery)
    /// All subscriptions are over, for a reason of the service's.
    func end(_ error: MartletError)
}

/// One thing that one subscriber listens to.
final class ChannelMembership {
    // The subscriber holds its memberships, and takes them out of every list when it goes.
    unowned let subscriber: ChannelSubscriber
    let members: ChannelMembers
    /// The first message that is meant for it, by the feed's numbers.
    let since: UInt64
    /// Whether messages may be had, and not events alone.
    var mayHaveMessages: Bool
    var isOver = false
    var place = 0

    init(_ subscriber: ChannelSubscriber, _ members: ChannelMembers, since: UInt64, mayHaveMessages: Bool) {
        self.subscriber = subscriber
        self.members = members
        self.since = since
        self.mayHaveMessages = mayHaveMessages
    }
}

/// Those of one lane who listen to one channel, pattern or shard channel.
final class ChannelMembers {
    let kind: ChannelKind
    let name: [UInt8]
    let pattern: ChannelPattern?
    private(set) var list: ContiguousArray<ChannelMembership> = []

    init(_ kind: ChannelKind, _ name: [UInt8], pattern: ChannelPattern? = nil) {
        self.kind = kind
        self.name = name
        self.pattern = pattern
    }

    func add(_ membership: ChannelMembership) {
        membership.place = list.count
        list.append(membership)
    }

    func remove(_ membership: ChannelMembership) {
        membership.isOver = true
        let last = list.removeLast()
        guard last !== membership else { return }
        list[membership.place] = last
        last.place = membership.place
    }
}
