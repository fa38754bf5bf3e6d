import Tenancy
import Testing

@testable import Engine

extension DictSetCache {
    /// nil: no dictionary.
    func setFieldExpiry(
        _ key: String, _ fields: [Bytes], _ expiresAt: Timestamp?, rule: ExpiryRule = .always,
        now: Timestamp = dictSetNow
    ) throws(MartletError) -> [FieldExpiryOutcome]? {
        try lend(fields) { (runs) throws(MartletError) in
            try item(key, now: now) { (item) throws(MartletError) in
                var outcomes: [FieldExpiryOutcome] = []
                let found = try item.dictionarySetExpiry(runs.span, expiresAt, rule: rule) { index, outcome in
                    #expect(index == outcomes.count)
                    outcomes.append(outcome)
                }
                return found ? outcomes : nil
            }
        }
    }

    /// nil: no dictionary.
    func fieldExpiry(
        _ key: String, _ fields: [Bytes], now: Timestamp = dictSetNow
    ) throws(MartletError) -> [FieldExpiry]? {
        try lend(fields) { (runs) throws(MartletError) in
            try item(key, now: now) { (item) throws(MartletError) in
                var times: [FieldExpiry] = []
                let found = try item.dictionaryExpiry(runs.span) { index, time in
                    #expect(index == times.count)
                    times.append(time)
                }
                return found ? times : nil
            }
        }
    }

    @discardableResult
    func setFieldsKeepingTimes(
        _ key: String, _ pairs: [(Bytes, Bytes)], expiry: CollectionExpiry = keepTime, now: Timestamp = dictSetNow
    ) throws(MartletError) -> Int {
        try lend(pairs.flatMap { [$0.0, $0.1] }) { (runs) throws(MartletError) in
            let pairs = stride(from: 0, to: runs.count, by: 2).map {
                DictionaryPair(field: runs[$0], value: runs[$0 + 1])
            }
            return try item(key, now: now) { (item) throws(MartletError) in
                try item.dictionarySet(pairs.span, expiry: expiry, keepingFieldTimes: true)
            }
        }
    }

    func length(_ key: String, now: Timestamp = dictSetNow) throws(MartletError) -> Int? {
        try item(key, now: now) { (item) throws(MartletError) in try item.dictionaryLength() }
    }

    /// All that a snapshot hands out; a field that comes twice is a failure.
    func contents(of snapshot: DictionarySnapshot) throws(MartletError) -> [Bytes: Bytes] {
        var seen: [Bytes: Bytes] = [:]
        var handedOut = 0
        var cursor: UInt64 = 0
        repeat {
            cursor = try snapshot.visit(from: cursor, limit: 50) {
                seen[Bytes($0)] = Bytes($1)
                handedOut += 1
            }
        } while cursor != 0
        #expect(handedOut == seen.count)
        #expect(handedOut == snapshot.count)
        return seen
    }

    /// What does not hold of a dictionary's two trees.
    func treeViolations(_ key: String, now: Timestamp) throws(MartletError) -> [String] {
        try item(key, now: now) { (item) in
            let entries = HashedTree(item.trees.0, source: item.source, hashKey: item.hashKey)
            let ordered = ScoredTree(item.trees.1, source: item.source)
            var found = entries.violations() + ordered.violations()
            let times = FieldTimePages(TreeNode(address: item.trees.1.root), hashKey: item.hashKey)
            var (timed, earliest) = (0, Timestamp?.none)
            entries.forEach { field, _ in
                guard let time = times.time(of: field) else { return true }
                timed += 1
                earliest = earliest.map { min($0, time) } ?? time
                return true
            }
            if ordered.count != 2 * timed { found.append("\(timed) timed fields, \(ordered.count) entries of times") }
            if item.hasFieldTimes != (timed > 0) { found.append("the record's mark is wrong") }
            if FieldTimePages.earliest(item.trees.1) != earliest { found.append("another time is the earliest") }
            return found
        }
    }
}
