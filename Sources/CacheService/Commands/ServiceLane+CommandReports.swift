import Access
import Admission
import Catalog
import Engine
import Metering
import Tenancy
import Topics

/// What the caller of a command may know of its cache beside items.
package struct CommandReport {
    package let tenant: String
    package let cache: String
    /// Nil where the caller may not read all items: then figures of the cache are none of its business.
    package let figures: Figures?

    package struct Figures {
        package let statistics: CacheStatistics
        /// About how many of the items have a time, and the average of what is left of it.
        package let volatileItems: Int
        package let averageTTLMilliseconds: Int64
        /// What was counted since the cache was made, by door.
        package let usage: [(door: Door, values: [Meter: UInt64])]

        package func total(_ meter: Meter) -> UInt64 {
            usage.reduce(0) { $0 &+ ($1.values[meter] ?? 0) }
        }
    }

    /// The ceiling of the cache's bytes; nil for that of the process alone.
    package let maxBytes: UInt64?
}

/// One limit in force, and how much of it is used.
package struct LimitReport {
    package let name: LimitName
    /// Nil: none is set.
    package let limit: UInt64?
    /// Nil where there is nothing to use up, as with sizes, or where the caller may not know.
    package let used: UInt64?
}

extension ServiceLane {
    /// The cache of a connection, under the present snapshot.
    func cache(of identity: CommandIdentity) throws(MartletError) -> LaneCache {
        if identity.grant.version != snapshot.version { try renewGrant(of: identity) }
        guard let cache = identity.grant.cache else { throw .cacheNotFound }
        return cache
    }

    /// Whether a caller may still use its cache, under the present snapshot.
    package func isGood(_ identity: CommandIdentity) -> Bool {
        guard fault(of: identity.caller) == nil else { return false }
        return (try? cache(of: identity)) != nil
    }

    /// Steps one to four, and six, for a command that its door carries out.
    ///
    /// Commands about the server and the cache are calls as others are: admitted and counted. What is about the connection
    /// is not held back by limits, so that a client that has used them up still finds its connection alive.
    /// - Throws: The refusal, which is counted.
    package func enter(
        _ command: CommandSpec, _ arguments: Arguments, for identity: CommandIdentity
    ) throws(MartletError) {
        if let fault = fault(of: identity.caller) { throw fault }
        try permit(command, arguments, identity)
        guard command.group == .server || command.group == .martlet else { return }
        guard let cache = identity.grant.cache else { throw .cacheNotFound }
        let row = try row(cache, .resp)
        do throws(MartletError) {
            try admit(cache, .other, operations: 1, bytesIn: 0)
            row.recordCall()
        } catch {
            row.recordRefusal(error)
            throw error
        }
    }

    /// Why a command that would need it may not be queued; nil for one that may.
    package func refusalToQueue(
        _ command: CommandSpec, _ arguments: Arguments, for identity: CommandIdentity
    ) -> MartletError? {
        do throws(MartletError) {
            if let fault = fault(of: identity.caller) { throw fault }
            try permit(command, arguments, identity)
            return nil
        } catch {
            return error
        }
    }

    /// Counts a command that is not offered, and gives the refusal.
    package func unsupported(_ entry: RefusedCommands.Entry, _ name: String, for identity: CommandIdentity)
        -> MartletError
    {
        do throws(MartletError) {
            if let fault = fault(of: identity.caller) { throw fault }
            try cache(of: identity).shared.commands.unsupported.count(entry)
            return refused(identity.grant, .resp, .unsupported(name))
        } catch {
            return error
        }
    }

    // MARK: Reports

    package func report(for identity: CommandIdentity) throws(MartletError) -> CommandReport {
        let cache = try cache(of: identity)
        return CommandReport(
            tenant: tenantName(of: identity), cache: cache.record.name.text,
            figures: mayReadAll(identity) ? figures(of: cache) : nil,
            maxBytes: ceiling(.maxBytes, cache))
    }

    private func figures(of cache: LaneCache) -> CommandReport.Figures {
        let items = cache.shared.items
        var (seen, volatile, left): (Int, Int, Int64) = (0, 0, 0)
        let now = now
        var cursor: UInt64 = 0
        repeat {
            cursor = items.scan(from: cursor, limit: 64, now: now) { _, _, expiresAt in
                seen += 1
                guard let expiresAt else { return }
                volatile += 1
                left &+= max(0, expiresAt.milliseconds &- now.milliseconds)
            }
        } while cursor != 0 && seen < Self.sampledItems
        let statistics = CacheStatistics(
            items: items.statistics, topics: cache.shared.topics.statistics,
            unsupportedCommands: cache.shared.commands.unsupported.counts)
        let count =
            cursor == 0 ? volatile : Int(Double(volatile) / Double(max(1, seen)) * Double(statistics.items.items))
        return CommandReport.Figures(
            statistics: statistics, volatileItems: count,
            averageTTLMilliseconds: volatile > 0 ? left / Int64(volatile) : 0,
            usage: service.meters.totals(of: cache.record.id))
    }

    private static let sampledItems = 512

    /// Whether the caller may read all items of the cache.
    package func mayReadAll(_ identity: CommandIdentity) -> Bool {
        identity.grant.scope.allows(.scan, key: nil)
    }

    package func mayRead(_ key: UnsafeRawBufferPointer, _ identity: CommandIdentity) -> Bool {
        identity.grant.scope.allows(.get, key: key)
    }

    private func tenantName(of identity: CommandIdentity) -> String {
        snapshot.tenant(identity.caller.caller.tenant)?.name.text ?? ""
    }

    /// The smaller of what the cache and its tenant set.
    private func ceiling(_ name: LimitName, _ cache: LaneCache) -> UInt64? {
        let tenant = snapshot.tenant(cache.record.tenant)?.limitsInForce ?? Limits()
        return [cache.record.limits[name], tenant[name]].compactMap(\.self).min()
    }

    /// The limits that calls on the cache meet.
    package func limits(for identity: CommandIdentity) throws(MartletError) -> [LimitReport] {
        let cache = try cache(of: identity)
        let (shared, sizes) = (cache.shared, cache.sizes)
        let statistics = mayReadAll(identity) ? shared.items.statistics : nil
        let defaultTTL = cache.ttl.defaultTTL.map { $0.milliseconds / 1000 }
        let admission = shared.admission
        func rate(_ name: LimitName) -> LimitReport {
            let limit = ceiling(name, cache)
            let isOfTenant = limit != cache.record.limits[name]
            let rates = isOfTenant ? admission.tenant.usedRates(nowNanoseconds) : admission.usedRates(nowNanoseconds)
            return LimitReport(name: name, limit: limit, used: limit == nil ? nil : rates[name])
        }
        /// What exists of something at one time, of the level whose limit is met first.
        func count(_ name: LimitName, _ own: CountLimit, _ tenants: CountLimit) -> LimitReport {
            let limit = ceiling(name, cache)
            let isOfTenant = limit != cache.record.limits[name]
            return LimitReport(name: name, limit: limit, used: (isOfTenant ? tenants : own).count)
        }
        func size(_ name: LimitName, _ bytes: Int) -> LimitReport {
            LimitReport(name: name, limit: UInt64(clamping: bytes), used: nil)
        }
        return [
            LimitReport(
                name: .maxBytes, limit: ceiling(.maxBytes, cache), used: statistics.map { UInt64(clamping: $0.bytes) }),
            LimitReport(
                name: .maxItems, limit: ceiling(.maxItems, cache), used: statistics.map { UInt64(clamping: $0.items) }),
            rate(.maxOperationsPerSecond), rate(.maxBytesInPerSecond), rate(.maxBytesOutPerSecond),
            rate(.maxPublishPerSecond),
            size(.maxItemBytes, sizes.itemBytes), size(.maxElementBytes, sizes.elementBytes),
            size(.maxKeyBytes, sizes.keyBytes), size(.maxMessageBytes, sizes.messageBytes),
            LimitReport(name: .maxTTLSeconds, limit: cache.ttl.maxTTLSeconds, used: nil),
            LimitReport(name: .defaultTTLSeconds, limit: defaultTTL.map { UInt64(clamping: $0) }, used: nil),
            count(.maxConnections, admission.connections, admission.tenant.connections),
            LimitReport(
                name: .maxSubscriptions, limit: ceiling(.maxSubscriptions, cache),
                used: UInt64(clamping: shared.topics.statistics.subscriptions)),
        ]
    }

    /// What is known of the caller.
    package func whoAmI(_ identity: CommandIdentity) throws(MartletError) -> CallerReport {
        let cache = try cache(of: identity)
        let caller = identity.caller.caller
        let permissions: [Permission] =
            switch caller.grant {
            case .superUser: []
            case .permissions(let set): set.permissions.filter { $0.cache.covers(cache.record.name) }
            }
        return CallerReport(
            tenant: tenantName(of: identity), cache: cache.record.name.text, kind: caller.kind,
            credentialID: caller.credentialID, tokenID: caller.tokenID, expiresAt: caller.expiresAt,
            permissions: permissions)
    }

    /// About how many bytes an item takes with its key; nil for none.
    package func memoryUsage(
        of key: UnsafeRawBufferPointer, for identity: CommandIdentity
    ) throws(MartletError) -> Int? {
        let cache = try cache(of: identity)
        return try cache.shared.items.withItem(key, now: now) { (item) throws(MartletError) in
            guard item.kind != nil else { return nil }
            let held = try item.withValue { $0.count } ?? item.elementBytes
            return held + key.count + Self.itemOverhead
        }
    }

    /// What an item takes beside its key and value: the record's header, its place in the index.
    private static let itemOverhead = 48

    package func commandLog(for identity: CommandIdentity) throws(MartletError) -> CommandLog {
        try cache(of: identity).shared.commands.log
    }

    /// The cache's `notify-keyspace-events`.
    package func keyspaceEvents(for identity: CommandIdentity) throws(MartletError) -> KeyspaceEventRules {
        try cache(of: identity).shared.commands.events.rules
    }

    /// Switches events of expired keys on or off, for the whole cache, until the server ends.
    package func setKeyspaceEvents(
        _ rules: KeyspaceEventRules, for identity: CommandIdentity
    ) throws(MartletError) {
        let shared = try cache(of: identity).shared
        shared.commands.events.set(rules, on: shared.items, schedule: schedule)
    }
}

package struct CallerReport {
    package let tenant: String
    package let cache: String
    package let kind: Caller.Kind
    package let credentialID: String
    package let tokenID: String?
    package let expiresAt: Timestamp?
    /// What the credential allows in this cache; none for who may do everything.
    package let permissions: [Permission]
}
