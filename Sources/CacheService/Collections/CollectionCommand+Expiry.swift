import Admission
import Engine
import Tenancy

extension CollectionCommand {
    /// When what the command writes expires; for a command that gives nothing a time, never and no refreshing.
    ///
    /// - Parameter field: The parameter in which the caller asks for a TTL.
    /// - Throws: as ``TTLRules/resolve(_:field:)``.
    package func expiry(_ rules: TTLRules, now: Timestamp, field: String) throws(MartletError) -> CollectionExpiry {
        let ttl: CollectionTTL
        switch self {
        case .dictionarySet(_, _, let given), .dictionaryIncrement(_, _, let given), .setUnion(_, let given),
            .listPush(_, _, _, let given), .sortedSetPut(_, _, let given), .sortedSetIncrement(_, _, let given):
            ttl = given
        case .listRetain(_, let given):
            // It makes no list: where nothing is to be refreshed, no time is missing.
            guard given.refreshes || given.ttl != nil else { return Self.unchanged }
            ttl = given
        case .sortedSetUnionStore(_, _, _, let given):
            ttl = CollectionTTL(given, refreshes: true)
        case .leaderboard(.upsert(_, _, let given)):
            ttl = CollectionTTL(
                given == nil ? try LeaderboardCommand.ttl(rules, field: field) : given, refreshes: true)
        case .leaderboard(.remove):
            ttl = CollectionTTL(try LeaderboardCommand.ttl(rules, field: field), refreshes: true)
        default:
            return Self.unchanged
        }
        return CollectionExpiry(
            expiresAt: try rules.expiry(of: ttl.ttl, now: now, field: field), refresh: ttl.refreshes)
    }

    private static let unchanged = CollectionExpiry(expiresAt: nil, refresh: false)
}

extension LeaderboardCommand {
    /// How long a leaderboard lives after a write: seven days, or less where the cache allows less.
    static let ttlMilliseconds: UInt64 = 7 * 86_400_000

    fileprivate static func ttl(_ rules: TTLRules, field: String) throws(MartletError) -> TTL {
        guard let seconds = rules.maxTTLSeconds, seconds < ttlMilliseconds / 1000 else {
            return try TTL(milliseconds: ttlMilliseconds, field: field)
        }
        return try TTL(milliseconds: seconds * 1000, field: field)
    }
}
