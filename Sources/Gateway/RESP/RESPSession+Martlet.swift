import Access
import CacheService
import Engine
import Tenancy

/// `MARTLET.LIMITS`, `MARTLET.USAGE`, `MARTLET.WHOAMI`: maps, in version 2 of the protocol arrays of names and values.
extension RESPSession {
    /// For each limit a map: `limit`, null where none is set, and `used`, null where there is nothing to use up. Of limits a
    /// second, `used` is what of a second's allowance is taken at this moment.
    func writeLimits(_ identity: CommandIdentity, _ writer: ReplyWriter) throws(MartletError) {
        let limits = try lane.service.limits(for: identity)
        writer.map(limits.count)
        for limit in limits {
            writer.bulk(limit.name.rawValue)
            writer.map(2)
            writer.bulk("limit")
            write(limit.limit, writer)
            writer.bulk("used")
            write(limit.used, writer)
        }
    }

    /// The counters of the bill since the cache was made, for each door by which it was used, and `total`. What it holds is
    /// beside them. Takes permission on all items, as other figures of the whole cache do.
    func writeUsage(_ identity: CommandIdentity, _ writer: ReplyWriter) throws(MartletError) {
        let report = try lane.service.report(for: identity)
        guard let figures = report.figures else {
            throw .command("NOPERM this user has no permissions to run the 'martlet.usage' command")
        }
        writer.map(figures.usage.count + 3)
        writer.bulk("items")
        writer.integer(figures.statistics.items.items)
        writer.bulk("bytes")
        writer.integer(figures.statistics.items.bytes)
        writer.bulk("total")
        write(meters: { figures.total($0) }, writer)
        for (door, values) in figures.usage {
            writer.bulk(door.name)
            write(meters: { values[$0] ?? 0 }, writer)
        }
    }

    private func write(meters: (Meter) -> UInt64, _ writer: ReplyWriter) {
        writer.map(Meter.allCases.count)
        for meter in Meter.allCases {
            writer.bulk(meter.name)
            write(meters(meter), writer)
        }
    }

    /// Who the connection is: nothing secret, and nothing that the credential does not say itself.
    func writeCaller(_ identity: CommandIdentity, _ writer: ReplyWriter) throws(MartletError) {
        let caller = try lane.service.whoAmI(identity)
        writer.map(9)
        writer.bulk("tenant")
        writer.bulk(caller.tenant)
        writer.bulk("cache")
        writer.bulk(caller.cache)
        writer.bulk("kind")
        writer.bulk(caller.kind.name)
        writer.bulk("credential_id")
        writer.bulk(caller.credentialID)
        writer.bulk("token_id")
        if let tokenID = caller.tokenID { writer.bulk(tokenID) } else { writer.null() }
        writer.bulk("expires_at")
        if let expiresAt = caller.expiresAt { writer.integer(Int(expiresAt.seconds)) } else { writer.null() }
        writer.bulk("expires_in_milliseconds")
        if let expiresAt = caller.expiresAt {
            writer.integer(Int(max(0, expiresAt.milliseconds - lane.now.milliseconds)))
        } else {
            writer.null()
        }
        writer.bulk("permissions")
        if caller.kind == .root || caller.kind == .superUser {
            writer.array(1)
            writer.bulk("everything in the tenant")
        } else {
            writer.array(caller.permissions.count)
            for permission in caller.permissions { writer.bulk(permission.sentence) }
        }
        writer.bulk("connection_id")
        writer.integer(Int(clamping: id))
    }

    private func write(_ number: UInt64?, _ writer: ReplyWriter) {
        if let number { writer.integer(Int(clamping: number)) } else { writer.null() }
    }
}

extension Caller.Kind {
    fileprivate var name: String {
        switch self {
        case .root: "root"
        case .superUser: "super_user"
        case .dataKey: "api_key"
        case .token: "token"
        }
    }
}

extension Permission {
    /// `readwrite key_prefix cart:`, and the like. Keys that are no text are shown as far as they are.
    fileprivate var sentence: String {
        let what =
            switch resource {
            case .items(.all): "all items"
            case .items(.key(let key)): "key \(String(decoding: key, as: UTF8.self))"
            case .items(.keyPrefix(let prefix)): "key_prefix \(String(decoding: prefix, as: UTF8.self))"
            case .topics(.all): "all topics"
            case .topics(.named(let name)): "topic \(name)"
            case .topics(.prefix(let prefix)): "topic_prefix \(prefix)"
            }
        return "\(role.text) \(what)"
    }
}
