import Tenancy

@testable import Engine

/// More of the operations on whole strings, for tests.
extension EngineCache {
    /// All keys that a scan finds.
    func scannedKeys(now: Timestamp = start) -> Set<[UInt8]> {
        var keys: Set<[UInt8]> = []
        var cursor: UInt64 = 0
        repeat {
            cursor = scan(from: cursor, limit: 100, now: now) { key, _, _ in keys.insert(Array(key)) }
        } while cursor != 0
        return keys
    }

    func move(
        _ key: String, to newKey: String, overwrites: Bool = true, copies: Bool = false, now: Timestamp = start
    ) throws(MartletError) -> Bool? {
        let slices = Slices([key.raw, newKey.raw])
        defer { withExtendedLifetime(slices) {} }
        return copies
            ? try copy(slices.all[0], to: slices.all[1], overwrites: overwrites, now: now)
            : try rename(slices.all[0], to: slices.all[1], overwrites: overwrites, now: now)
    }

    @discardableResult
    func changeExpiry(
        _ key: String, _ expiresAt: Timestamp?, rule: ExpiryRule = .always, now: Timestamp = start
    ) throws(MartletError) -> ExpiryOutcome {
        let slices = Slices([key.raw])
        defer { withExtendedLifetime(slices) {} }
        return try setExpiry(slices.all[0], expiresAt, rule: rule, now: now)
    }

    /// The values of several keys, read in one step.
    func readTogether(_ keys: [String], now: Timestamp = start) throws(MartletError) -> [String?] {
        let slices = Slices(keys.map(\.raw))
        defer { withExtendedLifetime(slices) {} }
        var values: [String?] = []
        try getBatch(slices.all, now: now) { (_, value, _) throws(MartletError) in
            values.append(value.map { String(decoding: $0, as: UTF8.self) })
        }
        return values
    }

    func exclusively<Result>(
        reserving byteCount: Int = 0, now: Timestamp = start, _ body: () throws(MartletError) -> Result
    ) throws(MartletError) -> Result {
        try withExclusiveAccess(reserving: byteCount, now: now, body)
    }
}
