import Tenancy
import Testing

@testable import Engine

/// Random operations against a plain dictionary, long enough to go between packed and large several times.
@Suite struct SortedSetModelTests {
    @Test(arguments: collectionSeeds())
    func sortedSetsAgreeWithADictionary(seed: UInt64) throws {
        var dice = CollectionDice(seed: seed)
        let harness = CollectionHarness(seals: seed.isMultiple(of: 2))
        var model: [[UInt8]: Double] = [:]
        var promotions = 0
        var repackings = 0

        for step in 0..<2400 {
            let isGrowing = (step / 200).isMultiple(of: 2)
            let wasLarge = try harness.isLarge("z")
            let sorted = model.map { ScoredMember($1, $0) }.sorted(by: ScoredMember.precedes)
            let existed = !model.isEmpty
            switch dice.below(isGrowing ? 9 : 15) {
            case 0...3:
                let elements = (0..<dice.below(isGrowing ? 20 : 3)).map { _ in (score(&dice), member(&dice, sorted)) }
                let condition: SortedSetCondition =
                    [
                        [], [], .onlyIfAbsent, .onlyIfPresent, .onlyIfGreater, .onlyIfLess,
                        [.onlyIfPresent, .onlyIfLess],
                    ][
                        dice.below(7)]
                var expected = SortedSetAddition()
                for (score, member) in elements {
                    let old = model[member]
                    if old == nil, condition.contains(.onlyIfPresent) { continue }
                    if let old {
                        if condition.contains(.onlyIfAbsent) || old == score { continue }
                        if condition.contains(.onlyIfGreater), score <= old { continue }
                        if condition.contains(.onlyIfLess), score >= old { continue }
                    }
                    model[member] = score + 0.0
                    if old == nil { expected.added += 1 } else { expected.changed += 1 }
                }
                #expect(try harness.add("z", elements, condition) == expected)
            case 4, 5:
                let member = member(&dice, sorted)
                let amount = score(&dice)
                let sum = (model[member] ?? 0) + amount
                if sum.isNaN {
                    #expect(throws: MartletError.self) { try harness.increment("z", member, by: amount) }
                } else {
                    #expect(try harness.increment("z", member, by: amount) == sum)
                    model[member] = sum + 0.0
                }
            case 6, 7, 8:
                try read(harness, sorted, &dice)
                continue
            case 9, 10:
                let members = (0..<dice.below(30)).map { _ in member(&dice, sorted) }
                let removed = members.filter { model.removeValue(forKey: $0) != nil }.count
                #expect(try harness.removeMembers("z", members) == (existed ? removed : nil))
            case 11, 12:
                let highest = dice.chance(1, in: 2)
                let count = dice.below(60)
                let popped = try harness.with("z") { (item) throws(MartletError) in
                    var popped: [ScoredMember] = []
                    _ = try item.popFromSortedSet(highest: highest, count: count) {
                        popped.append(ScoredMember($0, Array($1)))
                    }
                    return popped
                }
                #expect(popped == (highest ? sorted.suffix(count).reversed() : Array(sorted.prefix(count))))
                for element in popped { model[element.member] = nil }
            default:
                let ranks = slice(&dice, sorted.count / 4 + 2)
                let removed = try harness.with("z") { (item) throws(MartletError) in
                    var removed: [ScoredMember] = []
                    _ = try item.removeFromSortedSet(ranks: ranks) { removed.append(ScoredMember($0, Array($1))) }
                    return removed
                }
                #expect(removed == Array(sorted[ranks.clamped(to: 0..<sorted.count)]))
                for element in removed { model[element.member] = nil }
            }
            let isLarge = try harness.isLarge("z")
            promotions += !wasLarge && isLarge ? 1 : 0
            repackings += wasLarge && !isLarge && !model.isEmpty ? 1 : 0
            guard step.isMultiple(of: 4) || wasLarge != isLarge else { continue }
            let expected = model.map { ScoredMember($1, $0) }.sorted(by: ScoredMember.precedes)
            #expect(try harness.sortedSet("z") == (model.isEmpty ? nil : expected), "step \(step)")
            try check(harness, expected)
        }
        #expect(promotions > 2 && repackings > 2, "both forms were met")
    }

    /// Scores and ranks of some members, in whatever form.
    private func check(_ harness: CollectionHarness, _ sorted: [ScoredMember]) throws {
        for rank in stride(from: 0, to: sorted.count, by: max(1, sorted.count / 5)) {
            let (found, score) = try harness.withMember("z", sorted[rank].member) {
                (item, member) throws(MartletError) in
                (try item.sortedSetRank(of: member, reversed: true)?.rank, try item.sortedSetScore(of: member))
            }
            #expect(found == sorted.count - 1 - rank)
            #expect(score == sorted[rank].score)
        }
    }

    private func read(_ harness: CollectionHarness, _ sorted: [ScoredMember], _ dice: inout CollectionDice) throws {
        let isReversed = dice.chance(1, in: 2)
        let offset = dice.chance(1, in: 2) ? 0 : dice.below(9)
        let limit = dice.chance(1, in: 2) ? -1 : dice.below(9)
        var expected: [ScoredMember]
        let bounds: SortedSetSelection.Bounds
        if dice.chance(1, in: 2) {
            let start = dice.below(2 * sorted.count + 2) - sorted.count
            let end = dice.below(2 * sorted.count + 2) - sorted.count
            bounds = .ranks(.halfOpen(start: start, end: end))
            let ordered = isReversed ? sorted.reversed() : sorted
            expected = Array(ordered[SliceBounds.halfOpen(start: start, end: end).resolved(count: sorted.count)])
        } else {
            let minimum = ScoreRange.Bound(score(&dice), isExclusive: dice.chance(1, in: 2))
            let maximum = ScoreRange.Bound(score(&dice), isExclusive: dice.chance(1, in: 2))
            bounds = .scores(ScoreRange(minimum: minimum, maximum: maximum))
            expected = sorted.filter {
                (minimum.isExclusive ? $0.score > minimum.score : $0.score >= minimum.score)
                    && (maximum.isExclusive ? $0.score < maximum.score : $0.score <= maximum.score)
            }
            if isReversed { expected.reverse() }
        }
        expected = Array(expected.dropFirst(offset))
        if limit >= 0 { expected = Array(expected.prefix(limit)) }
        let selection = SortedSetSelection(bounds, isReversed: isReversed, offset: offset, limit: limit)
        #expect(try harness.sortedSet("z", selection) == (sorted.isEmpty ? nil : expected))
    }

    private func slice(_ dice: inout CollectionDice, _ count: Int) -> Range<Int> {
        let lower = dice.below(count)
        return lower..<lower + dice.below(count)
    }

    private func score(_ dice: inout CollectionDice) -> Double {
        switch dice.below(12) {
        case 0: .infinity
        case 1: -.infinity
        case 2: -0.0
        case 3: Double(dice.below(1_000_000)) / 100
        case 4: Double.random(in: -1e9...1e9, using: &dice)
        default: Double(dice.below(20) - 5)
        }
    }

    private func member(_ dice: inout CollectionDice, _ present: [ScoredMember]) -> [UInt8] {
        switch dice.below(60) {
        case 0: []
        case 1: dice.bytes(dice.chance(1, in: 3) ? 254 + dice.below(3000) : 30)
        case 2...25: present.randomElement(using: &dice)?.member ?? [1]
        default: dice.bytes(1 + dice.below(12))
        }
    }

    @Test func aSortedSetIsPromotedAndPackedAgainAtItsLimits() throws {
        let harness = CollectionHarness()
        // Entries of 8 bytes: length, member of 6, score.
        let elements = (0..<512).map { (Double($0 % 7), "m\(10_000 + $0)".raw) }
        try harness.add("z", elements)
        #expect(try !harness.isLarge("z"))
        #expect(try harness.blob("z")?.count == 4096)
        try harness.add("z", [(3, "".raw)])
        #expect(try harness.isLarge("z"))
        #expect(try harness.removeMembers("z", ["".raw]) == 1)
        #expect(try harness.isLarge("z"))
        #expect(try harness.removeMembers("z", elements[65...].map(\.1)) == 447)
        #expect(try harness.isLarge("z"))
        #expect(try harness.removeMembers("z", [elements[64].1]) == 1)
        #expect(try !harness.isLarge("z"))
        #expect(
            try harness.sortedSet("z")
                == elements[..<64].map { ScoredMember($0.0, $0.1) }.sorted(by: ScoredMember.precedes))
    }
}

/// Blobs that are not what they were.
@Suite struct SortedSetDamageTests {
    private func perform(
        _ operation: Int, on item: inout ItemAccess, _ member: UnsafeRawBufferPointer, long: UnsafeRawBufferPointer
    ) throws(MartletError) {
        let noTime = CollectionHarness.noTime
        switch operation {
        case 0: _ = try item.sortedSetCount()
        case 1: _ = try item.sortedSetScore(of: member)
        case 2: _ = try item.sortedSetRank(of: member, reversed: true)
        case 3: _ = try item.sortedSetRanks(of: ScoreRange(minimum: .init(2)))
        case 4: _ = try item.sortedSetRanks(from: .inclusive([1]), to: .highest)
        case 5: try item.visitSortedSet(0..<(try item.sortedSetCount() ?? 0), reversed: true) { _, _ in true }
        case 6: _ = try item.scanSortedSet(from: 7, limit: 3) { _, _ in }
        case 7:
            _ = try item.addToSortedSet([SortedSetElement(score: 2, member: member)], expiry: noTime)
        case 8:
            _ = try item.addToSortedSet(
                [SortedSetElement(score: 2, member: member), SortedSetElement(score: 2, member: long)], expiry: noTime)
        case 9: _ = try item.incrementInSortedSet(member, by: 1, expiry: noTime)
        case 10: _ = try item.removeFromSortedSet([member])
        case 11: _ = try item.removeFromSortedSet(ranks: 1..<3)
        case 12: _ = try item.popFromSortedSet(highest: true, count: 2) { _, _ in }
        default:
            var dice = CollectionDice(seed: 3)
            _ = try item.sampleSortedSet(count: -5, using: &dice) { _, _ in }
        }
    }

    private func exercise(_ blob: [UInt8]) throws {
        let harness = CollectionHarness()
        let slices = Slices([[1], blob, Array(repeating: 3, count: 5000)])
        for operation in 0..<14 {
            try harness.storeBlob("z", .sortedSet, blob)
            do throws(MartletError) {
                try harness.with("z") { (item) throws(MartletError) in
                    try perform(operation, on: &item, slices.all[0], long: slices.all[2])
                }
            } catch {
                if case .invalidArgument = error, operation == 9 { continue }
                #expect(error == .internalFailure("a packed collection is damaged"))
                #expect(try harness.blob("z") == blob, "an error leaves the item as it was")
            }
        }
        try harness.storeBlob("z", .sortedSet, blob)
        try harness.add("other", [(1, [1]), (2, [7])])
        for operation: SortedSetOperation in [.union, .intersection, .difference] {
            do throws(MartletError) {
                _ = try harness.together(["z", "other"]) { (transaction) throws(MartletError) in
                    try transaction.combineSortedSets(operation, of: 0..<2, to: 1)
                }
            } catch {
                #expect(error == .internalFailure("a packed collection is damaged"))
            }
        }
        fuzzPackedSortedSet(slices.all[1])
    }

    private var blob: [UInt8] {
        get throws {
            let harness = CollectionHarness()
            try harness.add(
                "z",
                [
                    (-5, [1]), (1.25, []), (3, [2, 3]), (3, Array(repeating: 9, count: 260)), (70_000, [1, 1]),
                    (.pi, [4]),
                    (.infinity, [5]),
                ])
            return try #require(try harness.blob("z"))
        }
    }

    @Test func aBlobCutAnywhereIsAnErrorOrAShorterSet() throws {
        let blob = try blob
        for length in 0..<blob.count { try exercise(Array(blob.prefix(length))) }
    }

    @Test(arguments: collectionSeeds())
    func aMutatedBlobNeverTraps(seed: UInt64) throws {
        var dice = CollectionDice(seed: seed)
        let blob = try blob
        for _ in 0..<150 {
            var mutated = blob
            for _ in 0...dice.below(3) { mutated[dice.below(mutated.count)] = dice.bytes(1)[0] }
            try exercise(mutated)
            try exercise(dice.bytes(dice.below(64)))
        }
    }
}
