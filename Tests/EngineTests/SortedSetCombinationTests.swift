import Tenancy
import Testing

@testable import Engine

@Suite struct SortedSetCombinationTests {
    private typealias Model = [String: [[UInt8]: Double]]

    private func combine(
        _ operation: SortedSetOperation, _ sources: [[[UInt8]: Double]], _ weights: [Double],
        _ aggregate: SortedSetAggregate
    ) -> [ScoredMember] {
        var result: [[UInt8]: Double] = [:]
        func weighted(_ score: Double, _ index: Int) -> Double {
            let product = score * weights[index]
            return product.isNaN ? 0 : product + 0.0
        }
        func aggregated(_ left: Double, _ right: Double) -> Double {
            switch aggregate {
            case .sum: (left + right).isNaN ? 0 : left + right
            case .minimum: min(left, right)
            case .maximum: max(left, right)
            }
        }
        switch operation {
        case .union:
            for (index, source) in sources.enumerated() {
                for (member, score) in source {
                    let score = weighted(score, index)
                    result[member] = result[member].map { aggregated($0, score) } ?? score
                }
            }
        case .intersection:
            for (member, score) in sources[0] where sources.allSatisfy({ $0[member] != nil }) {
                var sum = weighted(score, 0)
                for index in sources.indices.dropFirst() {
                    sum = aggregated(sum, weighted(sources[index][member] ?? 0, index))
                }
                result[member] = sum
            }
        case .difference:
            result = sources[0].filter { member, _ in sources.dropFirst().allSatisfy { $0[member] == nil } }
        case .range: break
        }
        return result.map { ScoredMember($1 + 0.0, $0) }.sorted(by: ScoredMember.precedes)
    }

    /// Puts a sorted set, a set or nothing under the key.
    private func fill(
        _ key: String, _ harness: CollectionHarness, _ dice: inout CollectionDice
    ) throws -> [[UInt8]: Double] {
        _ = try harness.with(key) { (item) throws(MartletError) in if item.kind != nil { item.remove() } }
        guard dice.chance(7, in: 8) else { return [:] }
        let count = [1, 20, 150, 900, 2500][dice.below(5)]
        let scores: [Double] = [0, 1, -2, 2.5, .infinity, -.infinity, 1e9]
        var elements: [[UInt8]: Double] = [:]
        for _ in 0..<count {
            elements["member \(dice.below(3 * count / 2 + 1))".raw] = scores[dice.below(scores.count)]
        }
        guard dice.chance(1, in: 4) else {
            try harness.add(key, elements.map { ($1, $0) })
            return elements
        }
        // A set, as sets are stored: members one behind the other, or a tree by hash.
        elements = elements.mapValues { _ in 1 }
        let slices = Slices(elements.keys.map { $0 })
        try harness.with(key) { (item) throws(MartletError) in
            if count < 200 {
                var blob = ScratchBytes()
                for member in slices.all { PackedWriter.append(member, to: &blob) }
                try item.store(.set, blob.bytes, expiresAt: nil)
            } else {
                var tree = HashedTree(TreeHandle(), source: item.source, hashKey: item.hashKey)
                for member in slices.all { _ = tree.set(member, UnsafeRawBufferPointer(start: nil, count: 0)) }
                item.storeTrees(.set, tree.handle, TreeHandle(), expiresAt: nil)
            }
        }
        withExtendedLifetime(slices) {}
        return elements
    }

    @Test(arguments: collectionSeeds())
    func combinationsAgreeWithTheModel(seed: UInt64) throws {
        var dice = CollectionDice(seed: seed)
        let harness = CollectionHarness()
        let names = ["a", "b", "c", "d"]
        var model: Model = [:]
        for round in 0..<60 {
            for name in names where dice.chance(1, in: 2) || round == 0 { model[name] = try fill(name, harness, &dice) }
            let keys = (0...dice.below(3)).map { _ in names[dice.below(4)] }
            let operation: SortedSetOperation = [.union, .union, .intersection, .difference][dice.below(4)]
            let aggregate: SortedSetAggregate = [.sum, .minimum, .maximum][dice.below(3)]
            let weights = keys.map { _ in [1, 1, 0, -1.5, 2, .infinity][dice.below(6)] }
            let sources = keys.map { model[$0] ?? [:] }
            let expected = combine(operation, sources, weights, aggregate)
            let destination = dice.chance(1, in: 3) ? nil : (keys + ["e"])[dice.below(keys.count + 1)]

            if dice.chance(1, in: 3) {
                let all = keys + [destination].compactMap { $0 }
                let count = try harness.together(all) { (transaction) throws(MartletError) in
                    try transaction.combineSortedSets(
                        operation, of: 0..<keys.count, weights: weights, aggregate: aggregate,
                        to: destination == nil ? nil : keys.count)
                }
                #expect(count == expected.count)
            } else {
                let combination = try SortedSetCombination(
                    cache: harness.cache, operation, of: keys.map(\.raw), weights: weights, aggregate: aggregate,
                    to: destination?.raw)
                let budget = [1, 10, 100, 10_000, .max][dice.below(5)]
                var steps = 0
                while try !combination.step(budget: budget, now: harness.now) { steps += 1 }
                #expect(combination.count == expected.count)
                if destination == nil {
                    var result: [ScoredMember] = []
                    combination.visit(0..<combination.count) { score, member in
                        result.append(ScoredMember(score, Array(member)))
                        return true
                    }
                    #expect(result == expected, "\(operation) of \(keys), weights \(weights), \(aggregate)")
                }
            }
            guard let destination else { continue }
            model[destination] = Dictionary(uniqueKeysWithValues: expected.map { ($0.member, $0.score) })
            #expect(
                try harness.sortedSet(destination) == (expected.isEmpty ? nil : expected),
                "\(operation) of \(keys), weights \(weights), \(aggregate)")
            let bytes = expected.reduce(0) { $0 + PackedWriter.size(of: $1.member.count) + PackedScore($1.score).size }
            let isSmall = bytes <= 4096 && expected.count <= 512
            #expect(try harness.isLarge(destination) == !isSmall)
        }
    }

    @Test func aCombinationBeginsAgainWhenASourceIsChanged() throws {
        let harness = CollectionHarness()
        try harness.add("a", (0..<1000).map { (1, "a\($0)".raw) })
        try harness.add("b", [(1, "a1".raw), (1, "b".raw)])
        let combination = try SortedSetCombination(
            cache: harness.cache, .union, of: ["a".raw, "b".raw], to: "c".raw,
            expiresAt: harness.now.adding(milliseconds: 9))
        var steps = 0
        var additions = 0
        while try !combination.step(budget: 100, now: harness.now) {
            steps += 1
            guard steps.isMultiple(of: 7) else { continue }
            additions += 1
            // In turn: a member more, and the same number of members with another score.
            try harness.add(additions.isMultiple(of: 2) ? "a" : "b", [(Double(steps), "a\(additions / 2)".raw)])
        }
        #expect(steps < 200, "the last attempt is made under the lock")
        #expect(additions > 2)
        let expected = try harness.together(["a", "b", "d"]) { (transaction) throws(MartletError) in
            try transaction.combineSortedSets(.union, of: 0..<2, to: 2)
        }
        #expect(combination.count == expected)
        #expect(try harness.sortedSet("c") == harness.sortedSet("d"))
        #expect(try harness.expiry("c") == harness.now.adding(milliseconds: 9))
    }

    @Test func anEmptyResultRemovesTheDestination() throws {
        let harness = CollectionHarness()
        try harness.storeBlob("text", .scalar, "x".raw)
        try harness.add("a", [(1, "a".raw)])
        try harness.add("b", [(1, "b".raw)])
        let combination = try SortedSetCombination(
            cache: harness.cache, .intersection, of: ["a".raw, "b".raw], to: "text".raw)
        while try !combination.step(budget: 1, now: harness.now) {}
        #expect(combination.count == 0)
        #expect(try !harness.exists("text"))
    }

    @Test func aSourceOfAnotherKindIsRefusedAndNothingIsStored() throws {
        let harness = CollectionHarness()
        try harness.add("a", [(1, "a".raw)])
        try harness.push("list", ["x".raw])
        let combination = try SortedSetCombination(
            cache: harness.cache, .union, of: ["a".raw, "list".raw], to: "a".raw)
        #expect(throws: MartletError.wrongType) { try combination.step(budget: 9, now: harness.now) }
        #expect(try harness.sortedSet("a")?.count == 1)
    }

    @Test func whatDoesNotFitTogetherIsRefused() {
        let (engine, cache) = makeListZsetCache()
        defer { withExtendedLifetime(engine) {} }
        #expect(throws: MartletError.self) { try SortedSetCombination(cache: cache, .union, of: []) }
        #expect(throws: MartletError.self) { try SortedSetCombination(cache: cache, .union, of: [[1]], weights: []) }
        #expect(throws: MartletError.self) {
            try SortedSetCombination(cache: cache, .union, of: [[1]], weights: [.nan])
        }
        #expect(throws: MartletError.self) {
            try SortedSetCombination(cache: cache, .range(SortedSetSelection(.ranks(.all))), of: [[1], [2]])
        }
    }

    @Test func infinityByZeroAndLessItselfIsZero() throws {
        let harness = CollectionHarness()
        try harness.add("a", [(.infinity, "x".raw), (-3, "y".raw)])
        try harness.add("b", [(-.infinity, "x".raw)])
        _ = try harness.together(["a", "b", "sum", "none"]) { (transaction) throws(MartletError) in
            _ = try transaction.combineSortedSets(.union, of: 0..<2, to: 2)
            return try transaction.combineSortedSets(.union, of: 0..<1, weights: [0], to: 3)
        }
        #expect(try harness.sortedSet("sum") == [ScoredMember(-3, "y".raw), ScoredMember(0, "x".raw)])
        #expect(try harness.sortedSet("none") == [ScoredMember(0, "x".raw), ScoredMember(0, "y".raw)])
    }

    @Test func countingAnIntersectionStopsAtItsLimit() throws {
        let harness = CollectionHarness()
        try harness.add("a", (0..<900).map { (1, "a\($0)".raw) })
        try harness.add("b", (100..<1500).map { (1, "a\($0)".raw) })
        for (limit, expected) in [(0, 800), (10, 10), (800, 800), (5000, 800)] {
            let combination = try SortedSetCombination(
                cache: harness.cache, .intersection, of: ["a".raw, "b".raw], countLimit: limit)
            while try !combination.step(budget: 50, now: harness.now) {}
            #expect(combination.count == expected)
        }
        let union = try SortedSetCombination(cache: harness.cache, .union, of: ["a".raw, "b".raw], countLimit: 0)
        while try !union.step(budget: 50, now: harness.now) {}
        #expect(union.count == 1500)
    }

    @Test(arguments: [20, 2000])
    func aRangeIsStored(size: Int) throws {
        let harness = CollectionHarness()
        try harness.add("a", (0..<size).map { (Double($0), "m\($0)".raw) })
        let selections = [
            SortedSetSelection(.ranks(.inclusive(start: 3, stop: -4))),
            SortedSetSelection(.ranks(.inclusive(start: 0, stop: 2)), isReversed: true),
            SortedSetSelection(.scores(ScoreRange(minimum: .init(5, isExclusive: true))), offset: 2, limit: 8),
            SortedSetSelection(.ranks(.inclusive(start: 5, stop: 4))),
        ]
        for selection in selections {
            let expected = try harness.sortedSet("a", selection)?.sorted(by: ScoredMember.precedes) ?? []
            let combination = try SortedSetCombination(
                cache: harness.cache, .range(selection), of: ["a".raw], to: "b".raw)
            while try !combination.step(budget: 7, now: harness.now) {}
            #expect(combination.count == expected.count)
            #expect(try harness.sortedSet("b") == (expected.isEmpty ? nil : expected))
        }
        // Into itself.
        let combination = try SortedSetCombination(
            cache: harness.cache, .range(selections[0]), of: ["a".raw], to: "a".raw)
        while try !combination.step(budget: .max, now: harness.now) {}
        #expect(try harness.sortedSet("a")?.count == size - 6)
    }
}
