import Tenancy

/// Handing over.
extension TopicLane {
    /// Hands on what was published, at most about so many deliveries of it. Cost: some ten nanoseconds for each
    /// subscriber beside what the subscriber does.
    ///
    /// A topic is attended to in rounds: one batch, offered to each of its subscriptions on this lane. A round that the
    /// limit cuts short goes on with the next call; after each round the next topic has its turn.
    /// - Returns: whether more waits, so that the caller should soon call again.
    package func drain(now: Timestamp, atMost deliveries: Int) -> Bool {
        latestTime = now
        // A subscriber that drains while it is being handed something: whoever hands over comes to the rest.
        guard deliveryDepth == 0 else { return true }
        deliveryDepth += 1
        defer { deliveryDepth -= 1 }
        var budget = max(1, deliveries)
        while budget > 0 {
            guard let listener = nextListener() else { return false }
            guard let fanout = listener.fanout, hasRound(fanout, of: listener) else {
                queueHead += 1
                budget -= 1
                continue
            }
            guard goOn(with: fanout, now: now, budget: &budget) else { return true }
            fanout.endRound()
            queueHead += 1
            if fanout.hasMorePending { queue.append(listener) }
        }
        return queueHead < queue.count || !mailbox.isEmpty
    }

    /// The listener to attend to: the one at hand, or the first of those that came in.
    private func nextListener() -> TopicListener? {
        if queueHead == queue.count {
            queue.removeAll(keepingCapacity: queue.capacity <= 1024)
            queueHead = 0
            mailbox.fetch(into: &queue)
            guard !queue.isEmpty else { return nil }
        } else if queueHead > 64, queueHead > queue.count / 2 {
            queue.removeFirst(queueHead)
            queueHead = 0
        }
        return queue[queueHead]
    }

    /// Whether a round is under way, or can be begun with what is pending.
    private func hasRound(_ fanout: TopicFanout, of listener: TopicListener) -> Bool {
        guard fanout.round == nil else { return true }
        let (messages, hasMore) = fanout.space.withContents { $0.fetchPending(of: listener) }
        guard !messages.isEmpty else { return false }
        fanout.beginRound(TopicBatch(messages), hasMorePending: hasMore)
        return true
    }

    /// Offers the round's batch to the subscriptions that have not had it.
    /// - Returns: whether the round is complete.
    private func goOn(with fanout: TopicFanout, now: Timestamp, budget: inout Int) -> Bool {
        guard let batch = fanout.round else { return true }
        let first = batch.first
        let following = batch.last + 1
        while budget > 0 {
            guard let member = fanout.advance() else { return true }
            budget -= 1
            // None of them is busy: nothing drains while somebody is being handed something.
            guard let subscription = member, let subscriber = subscription.subscriber, subscription.isStarted,
                subscriber.isReady
            else { continue }
            if subscription.next == first, subscription.isPlain {
                subscription.next = following
                subscription.isBusy = true
                subscriber.receive(batch)
                subscription.isBusy = false
            } else if subscription.next < following || !subscription.isPlain {
                budget -= catchUp(subscription, now: now)
            }
        }
        return false
    }

    // MARK: Catching up

    /// Starts a subscription, or goes on where its subscriber was not ready: a discontinuity if one is due, then what
    /// is still there of what was published, until it is caught up or not ready.
    package func resume(_ subscription: TopicSubscription, now: Timestamp) {
        latestTime = now
        guard !subscription.isCancelled, !subscription.isBusy else { return }
        subscription.isStarted = true
        deliveryDepth += 1
        defer { deliveryDepth -= 1 }
        _ = catchUp(subscription, now: now)
    }

    /// Brings a subscription that was started up to the newest message that there was at the beginning. What is
    /// published meanwhile is pending, and a round brings it.
    /// - Returns: how much was handed over.
    private func catchUp(_ subscription: TopicSubscription, now: Timestamp) -> Int {
        subscription.isBusy = true
        defer { subscription.isBusy = false }
        let fanout = subscription.fanout
        var handedOver = 0
        var goal: UInt64?
        while let subscriber = subscription.subscriber, subscriber.isReady {
            if subscription.isPlain {
                if let goal, subscription.next > goal { break }
                if let round = fanout.round, round.contains(subscription.next) {
                    let suffix = fanout.suffixOfRound(round, from: subscription.next)
                    subscription.next = round.last + 1
                    subscriber.receive(suffix)
                    handedOver += 1
                    continue
                }
            }
            guard let found = look(for: subscription, now: now) else { break }
            goal = goal ?? found.last
            // Before anything is called, which might make another batch to be replayed.
            let batch = batch(of: found, in: fanout)
            if batch == nil, let first = found.messages.first {
                fanout.space.withContents { $0.dropRetained(upTo: first.sequence, of: fanout.listener.topic) }
                continue
            }
            if subscription.owesDiscontinuity {
                subscription.owesDiscontinuity = false
                let discontinuity = TopicDiscontinuity(
                    lastSequence: subscription.gapLast, newSequence: subscription.next - 1, page: fanout.page)
                subscriber.receive(discontinuity)
                handedOver += 1
            }
            guard let batch else { continue }
            guard !subscription.isCancelled, subscriber.isReady else { break }
            subscription.next = batch.last + 1
            subscriber.receive(batch)
            handedOver += 1
        }
        return handedOver
    }

    /// Looks up how a subscription goes on, and moves it there: over what is lost, which it is owed a discontinuity
    /// for.
    private func look(for subscription: TopicSubscription, now: Timestamp) -> CatchUp? {
        let fanout = subscription.fanout
        let listener = fanout.listener
        let (wanted, wantsNewest) = (subscription.next, subscription.wantsNewest)
        let round = fanout.round.map { $0.first...$0.last }
        let replayedFirst = replayed.flatMap { $0.page == fanout.page ? $0.first : nil }
        let found = fanout.space.withContents { contents in
            contents.catchUp(
                listener, wanted: wanted, wantsNewest: wantsNewest, round: round, replayed: replayedFirst, now: now)
        }
        guard let found else { return nil }
        if found.next > wanted, !subscription.owesDiscontinuity {
            subscription.owesDiscontinuity = true
            subscription.gapLast = wanted - 1
        }
        subscription.next = found.next
        subscription.wantsNewest = false
        return found
    }

    /// The batch to hand over, made before or now. None if there is nothing, or nobody can open it.
    private func batch(of found: CatchUp, in fanout: TopicFanout) -> TopicBatch? {
        if found.canReplay { return replayed }
        let messages = fanout.space.opened(found.messages, of: fanout.listener.topic.name)
        guard !messages.isEmpty else { return nil }
        let batch = TopicBatch(messages)
        replayed = batch
        return batch
    }
}
