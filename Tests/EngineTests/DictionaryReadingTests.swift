import Tenancy
import Testing

@testable import Engine

/// Scans, snapshots and random entries.
struct DictionaryReadingTests {
    private func scan(
        _ cache: DictSetCache, from cursor: UInt64, limit: Int, _ seen: inout [Bytes: Int]
    ) throws(MartletError) -> UInt64? {
        var found: [(Bytes, Bytes)] = []
        let next = try cache.item("d") { (item) throws(MartletError) in
            try item.dictionaryScan(from: cursor, limit: limit) { found.append((Bytes($0), Bytes($1))) }
        }
        for (field, _) in found { seen[field, default: 0] += 1 }
        return next
    }

    @Test func aScanOfAPackedDictionaryIsOneCall() throws {
        let cache = makeDictSetCache()
        var seen: [Bytes: Int] = [:]
        #expect(try scan(cache, from: 0, limit: 10, &seen) == nil)
        try cache.setFields("d", (0..<100).map { (number($0), []) })
        #expect(try scan(cache, from: 0, limit: 1, &seen) == 0)
        #expect(seen.count == 100)
    }

    @Test(arguments: 1...8) func aScanMissesNothingThatIsThereAllTheTime(_ seed: UInt64) throws {
        var generator = DictSetGenerator(seed: seed)
        let cache = makeDictSetCache(seals: seed % 2 == 0)
        let lasting = (0..<(seed % 3 == 0 ? 40 : 3000)).map { number($0, "lasting") }
        var passing = (0..<3000).map { number($0, "passing") }
        try cache.setFields("d", (lasting + passing).map { ($0, number($0.count)) })
        var seen: [Bytes: Int] = [:]
        var cursor: UInt64 = 0
        var calls = 0
        repeat {
            cursor = try #require(try scan(cache, from: cursor, limit: 1 + generator.below(50), &seen))
            calls += 1
            // Others come and go, down to where the dictionary may be packed again.
            let leaving = passing.prefix(generator.below(200))
            try cache.removeFields("d", Array(leaving))
            passing.removeFirst(leaving.count)
            if generator.chance(50) { try cache.setFields("d", [(number(calls, "new"), generator.bytes(20))]) }
        } while cursor != 0 && calls < 100_000
        #expect(cursor == 0, "seed \(seed)")
        #expect(lasting.allSatisfy { seen[$0] != nil }, "seed \(seed)")
    }

    @Test func aScanThatIsPackedMeanwhileHandsOutTheRest() throws {
        let cache = makeDictSetCache()
        let fields = (0..<2000).map { number($0) }
        try cache.setFields("d", fields.map { ($0, []) })
        var seen: [Bytes: Int] = [:]
        let cursor = try #require(try scan(cache, from: 0, limit: 10, &seen))
        #expect(cursor != 0)
        try cache.removeFields("d", Array(fields.dropLast(5)))
        #expect(try cache.isLarge("d") == false)
        #expect(try scan(cache, from: cursor, limit: 10, &seen) == 0)
        #expect(fields.suffix(5).allSatisfy { seen[$0] != nil })
        #expect(try scan(cache, from: .max, limit: 10, &seen) == 0)
    }

    @Test(arguments: [10, 3000]) func fieldsAloneComeWithoutValues(_ count: Int) throws {
        let cache = makeDictSetCache(seals: true)
        try cache.setFields("d", (0..<count).map { (number($0), text("value")) })
        let (fields, values) = try cache.item("d") { (item) throws(MartletError) in
            var fields = Set<Bytes>()
            var values = 0
            try item.dictionaryForEach(.fields) {
                fields.insert(Bytes($0)); values += $1.count
            }
            return (fields, values)
        }
        #expect(fields == Set((0..<count).map { number($0) }))
        #expect(values == 0)
    }

    @Test(arguments: [false, true]) func aSnapshotIsWhatWasThere(_ seals: Bool) throws {
        let cache = makeDictSetCache(seals: seals)
        for count in [3, 5000] {
            let pairs = (0..<count).map { (number($0), number($0, "value ")) }
            try cache.setFields("d", pairs)
            let snapshot = try #require(
                try cache.item("d") { (item) throws(MartletError) in try item.dictionarySnapshot() })
            try cache.setFields("d", pairs.prefix(count / 2).map { ($0.0, text("changed")) })
            try cache.removeFields("d", pairs.suffix(count / 2).map { $0.0 })
            #expect(snapshot.count == count)
            var seen: [Bytes: Bytes] = [:]
            var handedOut = 0
            var cursor: UInt64 = 0
            repeat {
                cursor = try snapshot.visit(from: cursor, limit: 100) {
                    seen[Bytes($0)] = Bytes($1)
                    handedOut += 1
                }
            } while cursor != 0
            #expect(handedOut == count)
            #expect(seen == Dictionary(uniqueKeysWithValues: pairs))
            _ = try cache.item("d") { (item) throws(MartletError) in try item.dictionaryRemoveAll() }
        }
        #expect(cache.violations() == [])
    }

    @Test func aFetchIsHandedOutIfSmallAndElseASnapshot() throws {
        let cache = makeDictSetCache()
        let fetch = { () throws(MartletError) -> (DictionaryFetch, Int) in
            try cache.item("d") { (item) throws(MartletError) in
                var count = 0
                let fetch = try item.dictionaryFetch { _, _ in count += 1 }
                return (fetch, count)
            }
        }
        guard case (.missing, 0) = try fetch() else { return #expect(Bool(false)) }
        try cache.setFields("d", (0..<50).map { (number($0), []) })
        guard case (.handedOut(50), 50) = try fetch() else { return #expect(Bool(false)) }
        try cache.setFields("d", (0..<20_000).map { (number($0), []) })
        guard case (.snapshot(let snapshot), 0) = try fetch() else { return #expect(Bool(false)) }
        #expect(snapshot.count == 20_000)
    }

    @Test(arguments: [0, 1, 30, 3000]) func randomEntriesAreOfTheDictionary(_ total: Int) throws {
        let cache = makeDictSetCache(seals: true)
        var generator = DictSetGenerator(seed: 5)
        try cache.setFields("d", (0..<total).map { (number($0), number($0, "v")) })
        for count in [0, 1, 2, 10, max(0, total / 3 - 1), total / 2, total, total + 5] {
            for isDistinct in [false, true] {
                let (found, drawn, fitting) = try cache.item("d") { (item) throws(MartletError) in
                    var drawn: [Bytes] = []
                    var fitting = true
                    let found = try item.dictionaryRandom(count, isDistinct: isDistinct, using: &generator) {
                        drawn.append(Bytes($0))
                        fitting = fitting && Bytes($1) == text("v") + Bytes($0)
                    }
                    return (found, drawn, fitting)
                }
                #expect(found == (total > 0))
                #expect(drawn.count == (total == 0 ? 0 : isDistinct ? min(count, total) : count))
                #expect(fitting)
                if isDistinct { #expect(Set(drawn).count == drawn.count) }
            }
        }
    }

    @Test(arguments: [10, 1000]) func everyEntryIsEquallyLikely(_ total: Int) throws {
        let cache = makeDictSetCache()
        var generator = DictSetGenerator(seed: 9)
        try cache.addMembers("s", (0..<total).map { number($0) })
        for (count, isDistinct) in [(1, true), (3, true), (3, false), (total / 2, true)] {
            var hits: [Bytes: Int] = [:]
            let rounds = 60 * total / count
            for _ in 0..<rounds {
                let drawn = try cache.item("s") { (item) throws(MartletError) in
                    var drawn: [Bytes] = []
                    _ = try item.setRandom(count, isDistinct: isDistinct, using: &generator) { drawn.append(Bytes($0)) }
                    return drawn
                }
                for member in drawn { hits[member, default: 0] += 1 }
            }
            // 60 are expected of each; eight standard deviations away would be 0 or 122.
            #expect(hits.count == total, "count \(count)")
            #expect(hits.values.allSatisfy { $0 < 122 }, "count \(count): \(hits.values.max() ?? 0)")
        }
    }
}
