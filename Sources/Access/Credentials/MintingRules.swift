import Tenancy

/// What holds for every key and token that is made, through whatever door it is asked for.
///
/// Source: the authorization contract, section 4. What the statements of a key or a token obey is checked where they
/// become a ``PermissionSet``.
package enum MintingRules {
    /// The longest `token_id`, in Unicode scalars: not in characters as a reader sees them, of which one can hold
    /// thousands of scalars.
    package static let tokenIDCeiling = 64

    /// How long a token may live where the tenant has no limit of its own: 25 hours.
    package static let tokenSecondsCeiling: UInt64 = 90_000

    /// Super-user keys are the operator's to give; a super-user gives data keys; data keys and tokens give nothing.
    ///
    /// - Throws: ``MartletError/permissionDenied(_:)``.
    package static func requireMayMintKey(
        _ minter: Caller, grant: Grant, in tenant: TenantID
    ) throws(MartletError) {
        try minter.require(grant.isSuperUser ? .mintSuperUserKey : .mintDataKey, in: tenant)
    }

    /// - Throws: ``MartletError/permissionDenied(_:)`` unless the minter is root or the tenant's super-user.
    package static func requireMayMintToken(_ minter: Caller, in tenant: TenantID) throws(MartletError) {
        try minter.require(.mintToken, in: tenant)
    }

    /// - Throws: ``MartletError/invalidArgument(field:reason:)`` for a label that is empty, longer than 64 characters,
    ///   or holds what would garble a log line.
    package static func validate(tokenID: String?, field: String = "token_id") throws(MartletError) {
        guard let tokenID else { return }
        guard !tokenID.isEmpty else {
            throw .invalidArgument(field: field, reason: "must not be empty")
        }
        guard tokenID.unicodeScalars.count <= tokenIDCeiling else {
            throw .invalidArgument(field: field, reason: "must be at most \(tokenIDCeiling) characters long")
        }
        guard Permission.plainText(Array(tokenID.utf8)) != nil else {
            throw .invalidArgument(field: field, reason: "must not contain control characters")
        }
    }

    /// From when to when a token holds, in whole seconds as its claims tell them. It lives at least as long as was
    /// asked and less than a second longer, so that one of one second is not dead on arrival.
    ///
    /// - Parameter ceilingSeconds: the tenant's `max_token_ttl_seconds`, or nil for ``tokenSecondsCeiling``.
    /// - Throws: ``MartletError/invalidArgument(field:reason:)`` for zero, a negative number, or more than the ceiling.
    package static func tokenLifetime(
        seconds: Int64, ceilingSeconds: UInt64?, now: Timestamp, field: String = "ttl_seconds"
    ) throws(MartletError) -> (issuedAt: Timestamp, expiresAt: Timestamp) {
        // Whatever a tenant's limit says, what cannot be a TTL cannot be a token's.
        let ceiling = min(ceilingSeconds ?? tokenSecondsCeiling, TTL.ceilingMilliseconds / 1000)
        return try lifetime(seconds: seconds, ceiling: ceiling, now: now, field: field)
    }

    /// When an API key expires: never where no TTL is given.
    ///
    /// - Throws: as ``tokenLifetime(seconds:ceilingSeconds:now:field:)``, with a ceiling of 2^42 ms.
    package static func keyExpiry(
        seconds: Int64?, now: Timestamp, field: String = "ttl_seconds"
    ) throws(MartletError) -> Timestamp? {
        guard let seconds else { return nil }
        return try lifetime(seconds: seconds, ceiling: TTL.ceilingMilliseconds / 1000, now: now, field: field).expiresAt
    }

    /// How long a tenant's signing key may live: a year.
    package static let signingKeyMinutesCeiling: UInt64 = 525_600

    /// When a tenant's signing key expires.
    ///
    /// - Throws: as ``tokenLifetime(seconds:ceilingSeconds:now:field:)``, in minutes.
    package static func signingKeyExpiry(
        minutes: Int64, now: Timestamp, field: String = "ttl_minutes"
    ) throws(MartletError) -> Timestamp {
        guard minutes > 0 else {
            throw .invalidArgument(field: field, reason: "must be greater than zero")
        }
        guard UInt64(minutes) <= signingKeyMinutesCeiling else {
            throw .invalidArgument(field: field, reason: "must be at most \(signingKeyMinutesCeiling)")
        }
        let ceiling = signingKeyMinutesCeiling * 60
        return try lifetime(seconds: minutes * 60, ceiling: ceiling, now: now, field: field).expiresAt
    }

    private static func lifetime(
        seconds: Int64, ceiling: UInt64, now: Timestamp, field: String
    ) throws(MartletError) -> (issuedAt: Timestamp, expiresAt: Timestamp) {
        guard seconds > 0 else {
            throw .invalidArgument(field: field, reason: "must be greater than zero")
        }
        guard UInt64(seconds) <= ceiling else {
            throw .invalidArgument(field: field, reason: "must be at most \(ceiling)")
        }
        let issuedAt = Timestamp(seconds: now.seconds)
        let start = issuedAt == now ? issuedAt : issuedAt.adding(milliseconds: 1000)
        // `seconds` is at most 2^42 / 1000 here, so its milliseconds fit.
        return (issuedAt, start.adding(milliseconds: seconds * 1000))
    }
}
