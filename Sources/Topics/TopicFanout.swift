/// The subscriptions of one topic on one lane, and the round in which they are handed a batch. Belongs to the lane.
///
/// A cancelled subscription leaves a hole, so that a round that is cut into slices can go on by its index: nobody moves
/// while it lasts. Between rounds the holes are closed when they are many.
///
///     members   [ a, b, -, d, -, f, g ]      7 places, 5 subscriptions
///                          ^
///                         cursor: a and b have been handed the round's batch
final class TopicFanout {
    let space: TopicSpace
    let listener: TopicListener
    let page: UInt64
    private(set) var members: ContiguousArray<TopicSubscription?> = []
    /// How many of the members are no holes.
    private(set) var count = 0

    /// The batch of the round under way.
    private(set) var round: TopicBatch?
    private(set) var cursor = 0
    /// Whether more was pending than the round's batch.
    private(set) var hasMorePending = false
    /// The suffix of the round's batch that was last asked for: where many begin in its midst, they share it.
    private var suffix: TopicBatch?

    init(space: TopicSpace, listener: TopicListener) {
        self.space = space
        self.listener = listener
        page = listener.topic.page
    }

    func add(_ subscription: TopicSubscription) {
        subscription.place = Int32(members.count)
        members.append(subscription)
        count += 1
    }

    func remove(_ subscription: TopicSubscription) {
        members[Int(subscription.place)] = nil
        count -= 1
        closeHoles()
    }

    /// - Parameter hasMorePending: whether another round is to follow.
    func beginRound(_ batch: TopicBatch, hasMorePending: Bool) {
        round = batch
        cursor = 0
        self.hasMorePending = hasMorePending
    }

    /// The next member of the round, nil at its end; a hole counts as a member that is cancelled.
    @inline(__always)
    func advance() -> TopicSubscription?? {
        guard cursor < members.count else { return nil }
        defer { cursor += 1 }
        return .some(members[cursor])
    }

    func endRound() {
        round = nil
        suffix = nil
        closeHoles()
    }

    /// The part of the round's batch that begins with a number that it contains.
    func suffixOfRound(_ round: TopicBatch, from sequence: UInt64) -> TopicBatch {
        if let suffix, suffix.first == sequence { return suffix }
        let made = round.suffix(from: sequence)
        if made !== round { suffix = made }
        return made
    }

    /// Constant cost for each cancelled subscription: it takes as many cancellations as there are members left.
    private func closeHoles() {
        guard round == nil, members.count - count > max(8, count) else { return }
        var kept = ContiguousArray<TopicSubscription?>()
        kept.reserveCapacity(count)
        for case let member? in members {
            member.place = Int32(kept.count)
            kept.append(member)
        }
        members = kept
    }
}
