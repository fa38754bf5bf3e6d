import Access
import Admission
import Catalog
import Metering
import Tenancy
import Topics

/// Topics: the six steps for publishing, subscribing, and each delivery (``CacheSubscription``).
extension ServiceLane {
    /// How often ``tickTopics()`` is to be called: a revocation reaches idle streams within that time.
    package static let topicTickMilliseconds: Int64 = 250

    /// How often an open stream says that it is alive, at least.
    package var heartbeatMilliseconds: Int64 { service.heartbeatMilliseconds }

    /// The longest message that a caller may publish where no cache is named yet. Cost: a look-up; after a change
    /// O(caches of the tenant with a `max_message_bytes` of their own).
    package func messageBytesDefault(for caller: LaneCaller) -> Int {
        let id = caller.caller.tenant
        if topics.messageBytes.version != snapshot.version { topics.messageBytes = (snapshot.version, [:]) }
        if let known = topics.messageBytes.byTenant[id] { return known }
        let found = longestMessage(of: id)
        topics.messageBytes.byTenant[id] = found
        return found
    }

    private func longestMessage(of id: TenantID) -> Int {
        let limits = snapshot.tenant(id)?.limitsInForce ?? Limits()
        let common = SizeLimits(tenant: limits, defaults: service.sizes).messageBytes
        guard let largest = snapshot.largestMessageLimit(of: id) else { return common }
        var cache = Limits()
        cache[.maxMessageBytes] = largest
        return max(common, SizeLimits(cache: cache, tenant: limits, defaults: service.sizes).messageBytes)
    }

    /// The longest message that the cache of a grant takes now, however old the grant is. Cost: two look-ups at most.
    package func messageBytes(of grant: CacheGrant) -> Int {
        guard let cache = grant.cache else { return 0 }
        if cache.version == snapshot.version { return cache.sizes.messageBytes }
        return snapshot.cache(cache.record.id).flatMap(laneCache)?.sizes.messageBytes ?? cache.sizes.messageBytes
    }

    /// What a caller's tenant may have in messages that are not complete.
    package func byteBudget(of caller: LaneCaller) -> SharedByteBudget {
        guard let tenant = snapshot.tenant(caller.caller.tenant) else { return service.bodyBudget }
        return service.admission(of: tenant).bytesInFlight
    }

    // MARK: Publish

    /// How many bytes a message may have, and the body that it comes in.
    ///
    /// - Parameter declared: The length of the body that the request announces, where it does.
    /// - Throws: ``MartletError/tooLarge(limit:value:)`` when that is over the limit.
    package func messageLimit(
        _ grant: CacheGrant, _ door: Door, declared: Int? = nil, coding: ContentCoding = .identity
    ) throws(MartletError) -> (messageBytes: Int, bodyBytes: Int) {
        guard let cache = grant.cache else { throw .cacheNotFound }
        let limit = cache.sizes.messageBytes
        let bodyBytes = coding.bodyBytes(holding: limit)
        guard declared ?? 0 <= bodyBytes else {
            throw refused(grant, door, .tooLarge(limit: .maxMessageBytes, value: UInt64(limit)))
        }
        return (limit, bodyBytes)
    }

    /// Publishes a message to a topic that the caller was permitted to publish to.
    ///
    /// - Parameter bodyBytes: The length of the form in which the message came; nil where it came as it is.
    /// - Returns: Its number and page. It is on its way to the subscribers of every lane.
    /// - Throws: ``MartletError/tooLarge(limit:value:)``, ``MartletError/rateLimited(limit:value:retryAfterMilliseconds:)``,
    ///   ``MartletError/memoryExhausted`` where the cache's share for topics is used up by topics that all have
    ///   subscribers.
    package func publish(
        _ grant: CacheGrant, _ door: Door, _ caller: LaneCaller, topic: TopicName, kind: TopicValueKind,
        bytes: UnsafeRawBufferPointer, bodyBytes: Int? = nil
    ) throws(MartletError) -> TopicPosition {
        try publish(grant, door, caller, topic: topic, kind: kind, bytes: bytes, bodyBytes: bodyBytes, as: .topic)
            .position
    }

    /// As ``publish(_:_:_:topic:kind:bytes:bodyBytes:)``, with those among the RESP subscribers whom it reaches.
    ///
    /// - Parameter origin: By which of the ways into a topic it came.
    func publish(
        _ grant: CacheGrant, _ door: Door, _ caller: LaneCaller, topic: TopicName, kind: TopicValueKind,
        bytes: UnsafeRawBufferPointer, bodyBytes: Int?, as origin: ChannelOrigin
    ) throws(MartletError) -> (position: TopicPosition, audience: ChannelAudience?) {
        guard let cache = grant.cache else { throw .cacheNotFound }
        let row = try row(cache, door)
        do throws(MartletError) {
            guard !topic.isReserved else {
                throw MartletError.permissionDenied(
                    "topics whose names begin with '\(TopicName.reservedPrefix)' are the server's to publish to")
            }
            try cache.sizes.checkMessage(byteCount: bytes.count)
            let admission = cache.shared.admission
            try admission.admitPublish(nowNanoseconds: nowNanoseconds)
            do throws(MartletError) {
                try admit(
                    cache, .other, operations: BillingPolicy.message(byteCount: bytes.count),
                    bytesIn: UInt64(bodyBytes ?? bytes.count))
            } catch {
                admission.giveBackPublish()
                throw error
            }
            let audience = cache.shared.channels.audience(of: topic, origin)
            let position = try cache.shared.topics.publish(
                bytes, kind, publisherID: caller.publisherID, to: topic, now: now,
                alongside: audience.map { audience in { audience.post($0) } })
            audience?.wake()
            row.recordPublish(messageBytes: bytes.count, bodyBytes: bodyBytes)
            return (position, audience)
        } catch {
            row.recordRefusal(error)
            throw error
        }
    }

    // MARK: Subscribe

    /// Subscribes to a topic that the caller was permitted to subscribe to. Nothing is sent before
    /// ``CacheSubscription/resume()``.
    ///
    /// - Parameter position: The next message wanted.
    /// - Throws: ``MartletError/countLimited(limit:value:)``,
    ///   ``MartletError/rateLimited(limit:value:retryAfterMilliseconds:)`` while what was delivered before is not paid for,
    ///   ``MartletError/memoryExhausted`` as for ``publish(_:_:_:topic:kind:bytes:)``.
    package func subscribe(
        _ grant: CacheGrant, _ door: Door, _ caller: LaneCaller, topic: TopicName, from position: TopicPosition,
        sink: any TopicSink
    ) throws(MartletError) -> CacheSubscription {
        guard let cache = grant.cache else { throw .cacheNotFound }
        let clock = try clock(cache, door)
        do throws(MartletError) {
            let admission = cache.shared.admission
            try admit(cache, .other, operations: 0, bytesIn: 0)
            try admission.admitSubscription()
            let subscription = CacheSubscription(self, caller, grant, topic, door, clock, sink)
            do throws(MartletError) {
                subscription.register(
                    try topics.lane.subscribe(
                        to: topic, in: cache.shared.topics, from: position, now: now, as: subscription))
            } catch {
                admission.releaseSubscription()
                throw error
            }
            clock.row.add(.calls, 1)
            clock.enter(now)
            subscription.slot = topics.subscriptions.count
            topics.subscriptions.append(subscription)
            topics.expires(at: caller.caller.expiresAt)
            return subscription
        } catch {
            clock.row.recordRefusal(error)
            throw error
        }
    }

    func clock(_ cache: LaneCache, _ door: Door) throws(MartletError) -> SubscriptionClock {
        if let clock = topics.clocks[cache.record.id]?[door] { return clock }
        let clock = SubscriptionClock(row: try row(cache, door), now: now)
        topics.clocks[cache.record.id, default: [:]][door] = clock
        return clock
    }

    /// Takes a subscription that is over out of the lane's list.
    func forget(_ subscription: CacheSubscription) {
        let slot = subscription.slot
        guard slot >= 0 else { return }
        subscription.slot = -1
        let last = topics.subscriptions.removeLast()
        guard slot < topics.subscriptions.count else { return }
        topics.subscriptions[slot] = last
        last.slot = slot
    }

    // MARK: Permit

    /// As ``permit(_:cacheName:operation:key:door:on:)``, for names that stand apart from a request's bytes.
    package func permit(
        _ caller: LaneCaller, cacheName: [UInt8], topic: String, _ operation: CacheOperation, _ door: Door,
        on connection: ConnectionClaims? = nil
    ) throws(MartletError) -> CacheGrant {
        let key = Array(topic.utf8)
        return try cacheName.withUnsafeBufferPointer { (cacheName) throws(MartletError) -> CacheGrant in
            try key.withUnsafeBufferPointer { (key) throws(MartletError) -> CacheGrant in
                try permit(
                    caller, cacheName: UnsafeRawBufferPointer(cacheName), operation: operation,
                    key: UnsafeRawBufferPointer(key), door: door, on: connection)
            }
        }
    }

    /// Whether a caller may still subscribe, under the present snapshot.
    func permit(
        _ grant: CacheGrant, _ caller: LaneCaller, _ topic: TopicName, _ door: Door
    ) throws(MartletError) -> CacheGrant {
        try permit(caller, cacheName: grant.cacheName, topic: topic.text, .subscribe, door)
    }

    /// As ``permit(_:_:_:_:)`` for another credential, which has to be of the same tenant: a name means another cache in
    /// another.
    func permitRenewal(
        of grant: CacheGrant, _ caller: LaneCaller, _ topic: TopicName, _ door: Door
    ) throws(MartletError) -> CacheGrant {
        let renewed = try permit(grant, caller, topic, door)
        guard renewed.isForSameCache(as: grant) else {
            throw refused(renewed, door, .permissionDenied("a subscription goes on under its own tenant only"))
        }
        return renewed
    }

    // MARK: Deliver

    /// Hands on what was published, up to so many deliveries.
    ///
    /// - Returns: Whether more waits: call again soon, with a look at the sockets in between.
    package func drainTopics(atMost deliveries: Int) -> Bool {
        let isMoreWaiting = topics.lane.drain(now: now, atMost: deliveries)
        return channels.drain(atMost: deliveries) || isMoreWaiting
    }

    /// Heartbeats, and the end of whatever is no longer permitted, waiting commands among it. To be called every ``topicTickMilliseconds``.
    /// Cost: O(1) and one heartbeat for a share of the subscriptions; O(subscriptions) when the catalog has changed or a
    /// credential expires.
    package func tickTopics() {
        if topics.sweptVersion != snapshot.version || topics.nextExpiry.map({ $0 <= now }) ?? false {
            topics.sweptVersion = snapshot.version
            topics.forgetExpiry()
            // A copy: those that end leave the list.
            for subscription in topics.subscriptions where subscription.isStillPermitted() {
                topics.expires(at: subscription.caller.caller.expiresAt)
            }
            for subscriber in channels.subscribers where subscriber.isStillPermitted() {
                topics.expires(at: subscriber.caller.caller.expiresAt)
            }
        }
        topics.lane.heartbeat(now: now)
        readClocks()
        tickWaiters()
        relaxSamplers()
    }

    private func readClocks() {
        for (cache, clocks) in topics.clocks {
            for (door, clock) in clocks {
                clock.read(now)
                if clock.isIdle { topics.clocks[cache]?[door] = nil }
            }
            if topics.clocks[cache]?.isEmpty ?? false { topics.clocks[cache] = nil }
        }
    }

    /// The cache's counters are about to be given back.
    func stopClocks(of cache: CacheID) {
        guard let clocks = topics.clocks.removeValue(forKey: cache) else { return }
        for clock in clocks.values { clock.stop(now) }
    }
}
