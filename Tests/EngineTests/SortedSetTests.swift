import Tenancy
import Testing

@testable import Engine

@Suite struct SortedSetTests {
    private func text(_ elements: [ScoredMember]?) -> String? {
        elements.map { $0.map { String(decoding: $0.member, as: UTF8.self) }.joined() }
    }

    /// a:1 b:2 c:2 d:3 e:inf
    private func five() throws -> CollectionHarness {
        let harness = CollectionHarness()
        try harness.add(
            "z", [(3, "d".raw), (2, "c".raw), (.infinity, "e".raw), (1, "a".raw), (2, "b".raw)])
        return harness
    }

    @Test func theOrderIsByScoreAndThenByBytes() throws {
        let harness = try five()
        #expect(text(try harness.sortedSet("z")) == "abcde")
        #expect(
            text(try harness.sortedSet("z", SortedSetSelection(.ranks(.all), isReversed: true))) == "edcba")
        try harness.add("z", [(-.infinity, "zz".raw), (2, "".raw), (2, "ba".raw)])
        #expect(try harness.sortedSet("z")?.map { $0.member.count } == [2, 1, 0, 1, 2, 1, 1, 1])
    }

    @Test func addingCountsWhatIsNewAndWhatIsChanged() throws {
        let harness = try five()
        #expect(
            try harness.add("z", [(1, "a".raw), (9, "b".raw), (0, "x".raw)]) == SortedSetAddition(added: 1, changed: 1))
        #expect(try harness.add("z", [(1, "q".raw), (2, "q".raw)]) == SortedSetAddition(added: 1, changed: 1))
        #expect(try harness.add("n", []) == SortedSetAddition())
        #expect(try !harness.exists("n"))
    }

    @Test func conditionsOfZADD() throws {
        let harness = try five()
        func add(_ score: Double, _ member: String, _ condition: SortedSetCondition) throws -> String {
            let addition = try harness.add("z", [(score, member.raw)], condition)
            return "\(addition.added)\(addition.changed)"
        }
        #expect(try add(9, "a", .onlyIfAbsent) == "00")
        #expect(try add(9, "x", .onlyIfAbsent) == "10")
        #expect(try add(9, "y", .onlyIfPresent) == "00")
        #expect(try add(5, "a", .onlyIfPresent) == "01")
        #expect(try add(4, "a", .onlyIfGreater) == "00")
        #expect(try add(6, "a", .onlyIfGreater) == "01")
        #expect(try add(6, "a", .onlyIfLess) == "00")
        #expect(try add(5, "a", [.onlyIfLess, .onlyIfPresent]) == "01")
        #expect(try add(5, "new", .onlyIfGreater) == "10")
        #expect(try add(5, "newer", [.onlyIfLess, .onlyIfPresent]) == "00")
        for condition: SortedSetCondition in [
            [.onlyIfAbsent, .onlyIfPresent], [.onlyIfGreater, .onlyIfLess], [.onlyIfAbsent, .onlyIfLess],
        ] {
            #expect(throws: MartletError.self) { try add(1, "a", condition) }
            #expect(throws: MartletError.self) { try harness.increment("z", "a".raw, by: 1, condition) }
        }
        #expect(try harness.increment("z", "a".raw, by: 1, .onlyIfAbsent) == nil)
        #expect(try harness.increment("z", "nobody".raw, by: 1, .onlyIfPresent) == nil)
        #expect(try harness.increment("z", "a".raw, by: -1, .onlyIfGreater) == nil)
        #expect(try harness.increment("z", "a".raw, by: 2, .onlyIfGreater) == 7)
        #expect(try harness.add("none", [(1, "a".raw)], .onlyIfPresent) == SortedSetAddition())
        #expect(try !harness.exists("none"))
    }

    @Test(arguments: [1, 800])
    func notANumberIsRefusedAndChangesNothing(count: Int) throws {
        let harness = CollectionHarness()
        try harness.add("z", (0..<count).map { (Double($0), "m\($0)".raw) } + [(.infinity, "i".raw)])
        let before = try harness.sortedSet("z")
        #expect(throws: SortedSetTests.invalid) { try harness.add("z", [(1, "x".raw), (.nan, "y".raw)]) }
        #expect(throws: SortedSetTests.invalid) { try harness.increment("z", "m0".raw, by: .nan) }
        #expect(throws: MartletError.self) { try harness.increment("z", "i".raw, by: -.infinity) }
        #expect(throws: MartletError.self) {
            try harness.sortedSet("z", SortedSetSelection(.scores(ScoreRange(minimum: .init(.nan)))))
        }
        #expect(try harness.sortedSet("z") == before)
        #expect(throws: SortedSetTests.invalid) { try harness.add("n", [(.nan, "y".raw)]) }
        #expect(try !harness.exists("n"))
    }

    private static let invalid = MartletError.invalidArgument(field: "score", reason: "must be a number")

    @Test(arguments: [0, 800])
    func minusZeroIsZero(others: Int) throws {
        let harness = CollectionHarness()
        try harness.add("z", (0..<others).map { (Double($0) + 1, "m\($0)".raw) })
        try harness.add("z", [(-0.0, "b".raw), (0.0, "a".raw)])
        try harness.increment("z", "c".raw, by: -0.0)
        #expect(try harness.increment("z", "d".raw, by: 1) == 1)
        let zero = try #require(try harness.increment("z", "d".raw, by: -1))
        #expect(zero.sign == .plus)
        #expect(
            try harness.sortedSet("z", SortedSetSelection(.ranks(.halfOpen(start: 0, end: 4))))
                == "abcd".map { ScoredMember(0, String($0).raw) })
        #expect(
            try harness.sortedSet("z", SortedSetSelection(.scores(ScoreRange(maximum: .init(-0.0)))))?.count == 4)
    }

    @Test func incrementingCreatesSetAndElement() throws {
        let harness = CollectionHarness()
        #expect(try harness.increment("z", "a".raw, by: 2.5) == 2.5)
        #expect(try harness.increment("z", "a".raw, by: -1) == 1.5)
        #expect(try harness.increment("z", "a".raw, by: .infinity) == .infinity)
        #expect(try harness.sortedSet("z") == [ScoredMember(.infinity, "a".raw)])
    }

    @Test func ranksAreCountedFromEitherEnd() throws {
        let harness = try five()
        func rank(_ member: String, reversed: Bool) throws -> Int? {
            try harness.withMember("z", member.raw) { (item, member) throws(MartletError) in
                try item.sortedSetRank(of: member, reversed: reversed)?.rank
            }
        }
        #expect(try rank("a", reversed: false) == 0)
        #expect(try rank("c", reversed: false) == 2)
        #expect(try rank("c", reversed: true) == 2)
        #expect(try rank("e", reversed: true) == 0)
        #expect(try rank("x", reversed: true) == nil)
    }

    @Test(
        arguments: [
            (1, 2, false, false, "abc"), (1, 2, true, false, "bc"), (1, 2, true, true, ""), (1, 3, true, true, "bc"),
            (2, 2, false, false, "bc"), (2, 2, true, false, ""), (3, 1, false, false, ""),
            (-.infinity, .infinity, false, false, "abcde"),
            (-.infinity, .infinity, false, true, "abcd"), (4, 5, false, false, ""),
        ] as [(Double, Double, Bool, Bool, String)])
    func rangesByScore(minimum: Double, maximum: Double, above: Bool, below: Bool, expected: String) throws {
        let harness = try five()
        let range = ScoreRange(
            minimum: .init(minimum, isExclusive: above), maximum: .init(maximum, isExclusive: below))
        #expect(text(try harness.sortedSet("z", SortedSetSelection(.scores(range)))) == expected)
        #expect(
            text(try harness.sortedSet("z", SortedSetSelection(.scores(range), isReversed: true)))
                == String(expected.reversed()))
        let removed = try harness.with("z") { (item) throws(MartletError) in
            try item.removeFromSortedSet(SortedSetSelection(.scores(range)))
        }
        #expect(removed == expected.count)
        let left = "abcde".filter { !expected.contains($0) }
        #expect(text(try harness.sortedSet("z")) == (left.isEmpty ? nil : left))
    }

    @Test func offsetAndLimitAreCountedInTheOrderAskedFor() throws {
        let harness = try five()
        func page(_ offset: Int, _ limit: Int, reversed: Bool) throws -> String? {
            text(
                try harness.sortedSet(
                    "z", SortedSetSelection(.scores(ScoreRange()), isReversed: reversed, offset: offset, limit: limit)))
        }
        #expect(try page(1, 2, reversed: false) == "bc")
        #expect(try page(1, 2, reversed: true) == "dc")
        #expect(try page(3, -1, reversed: true) == "ba")
        #expect(try page(0, 0, reversed: true) == "")
        #expect(try page(5, 1, reversed: false) == "")
        #expect(try page(-1, 1, reversed: false) == "")
        #expect(try page(4, .max, reversed: false) == "e")
    }

    @Test func slicesByIndexAreCountedInTheOrderAskedFor() throws {
        let harness = try five()
        func slice(_ start: Int?, _ end: Int?, reversed: Bool) throws -> String? {
            text(
                try harness.sortedSet(
                    "z", SortedSetSelection(.ranks(.halfOpen(start: start, end: end)), isReversed: reversed)))
        }
        #expect(try slice(0, 2, reversed: true) == "ed")
        #expect(try slice(-2, nil, reversed: true) == "ba")
        #expect(try slice(1, -1, reversed: false) == "bcd")
        #expect(try slice(3, 2, reversed: false) == "")
        #expect(try slice(99, nil, reversed: false) == "")
        #expect(try harness.sortedSet("missing") == nil)
    }

    @Test(arguments: [5, 900])
    func rangesByMemberWhereScoresAreEqual(count: Int) throws {
        let harness = CollectionHarness()
        let members = (0..<count).map { "m\(1000 + $0)" }
        try harness.add("z", members.map { (0, $0.raw) })
        func range(_ minimum: MemberBound, _ maximum: MemberBound) throws -> [String]? {
            try harness.sortedSet("z", SortedSetSelection(.members(minimum: minimum, maximum: maximum)))?.map {
                String(decoding: $0.member, as: UTF8.self)
            }
        }
        #expect(try range(.lowest, .highest) == members)
        #expect(try range(.highest, .lowest) == [])
        #expect(try range(.inclusive("m1001".raw), .inclusive("m1003".raw)) == Array(members[1...3]))
        #expect(try range(.exclusive("m1001".raw), .exclusive("m1003".raw)) == [members[2]])
        #expect(try range(.exclusive("m1001".raw), .highest) == Array(members[2...]))
        #expect(try range(.lowest, .exclusive("m1001".raw)) == [members[0]])
        #expect(try range(.inclusive("a".raw), .inclusive("b".raw)) == [])
        #expect(try range(.inclusive("m1003".raw), .inclusive("m1001".raw)) == [])
    }

    @Test func poppingFromEitherEnd() throws {
        let harness = try five()
        func pop(_ highest: Bool, _ count: Int) throws -> String? {
            try harness.with("z") { (item) throws(MartletError) in
                var popped = ""
                guard
                    let left = try item.popFromSortedSet(
                        highest: highest, count: count, { popped += String(decoding: $1, as: UTF8.self) })
                else { return nil }
                return "\(popped) \(left)"
            }
        }
        #expect(try pop(true, 2) == "ed 3")
        #expect(try pop(false, 1) == "a 2")
        #expect(try pop(false, 0) == " 2")
        #expect(try pop(true, 9) == "cb 0")
        #expect(try pop(true, 9) == nil)
        #expect(try !harness.exists("z"))
    }

    @Test func poppingFromTheFirstSortedSetOfSeveral() throws {
        let harness = try five()
        let popped = try harness.together(["x", "z", "y"]) { (transaction) throws(MartletError) -> [String] in
            var log: [String] = []
            let index = try transaction.popFromFirstSortedSet(
                of: 0..<3, highest: true, count: 2, willPop: { log.append("\($0):\($1)") },
                { log.append("\(String(decoding: $1, as: UTF8.self)):\($0)") })
            return log + ["\(index ?? -1)"]
        }
        #expect(popped == ["1:2", "e:inf", "d:3.0", "1"])
    }

    @Test func removingMembersAndTheLastOneRemovesTheSet() throws {
        let harness = try five()
        #expect(try harness.removeMembers("z", ["a".raw, "x".raw, "a".raw, "d".raw]) == 2)
        #expect(try harness.removeMembers("z", []) == 0)
        #expect(try harness.removeMembers("z", ["b".raw, "c".raw, "e".raw]) == 3)
        #expect(try harness.removeMembers("z", ["b".raw]) == nil)
        #expect(try !harness.exists("z"))
    }

    @Test(arguments: [3, 900])
    func timeIsSetOnCreationAndThenOnlyIfAsked(count: Int) throws {
        var harness = CollectionHarness()
        let first = harness.now.adding(milliseconds: 1000)
        let second = harness.now.adding(milliseconds: 5000)
        let elements = (0..<count).map { (Double($0), "m\($0)".raw) }
        try harness.add("z", elements, [], CollectionExpiry(expiresAt: first, refresh: false))
        #expect(try harness.expiry("z") == first)
        try harness.add("z", [(7, "new".raw)], [], CollectionExpiry(expiresAt: second, refresh: false))
        #expect(try harness.expiry("z") == first)
        try harness.add("z", [(7, "new".raw)], [], CollectionExpiry(expiresAt: second, refresh: true))
        #expect(try harness.expiry("z") == second)
        try harness.increment("z", "m0".raw, by: 1, [], CollectionExpiry(expiresAt: first, refresh: true))
        #expect(try harness.expiry("z") == first)
        _ = try harness.removeMembers("z", ["m0".raw])
        #expect(try harness.expiry("z") == first)
        harness.now = first
        #expect(try harness.sortedSet("z") == nil)
        #expect(try harness.increment("z", "m1".raw, by: 1) == 1)
        #expect(try harness.expiry("z") == nil)
    }

    @Test(arguments: [3, 900])
    func aTimeThatHasPassedRemovesTheSet(count: Int) throws {
        let harness = CollectionHarness()
        let past = CollectionExpiry(expiresAt: harness.now, refresh: true)
        let elements = (0..<count).map { (Double($0), "m\($0)".raw) }
        try harness.add("z", elements)
        try harness.add("z", [(1, "x".raw)], [], past)
        #expect(try !harness.exists("z"))
        try harness.add("z", elements)
        try harness.increment("z", "m1".raw, by: 0, [], past)
        #expect(try !harness.exists("z"))
        try harness.add("z", elements, [], past)
        #expect(try !harness.exists("z"))
    }

    @Test func anotherKindIsRefusedAndLeftAlone() throws {
        let harness = CollectionHarness()
        try harness.storeBlob("z", .scalar, "x".raw)
        #expect(throws: MartletError.wrongType) { try harness.add("z", [(1, "a".raw)]) }
        #expect(throws: MartletError.wrongType) { try harness.increment("z", "a".raw, by: 1) }
        #expect(throws: MartletError.wrongType) { try harness.sortedSet("z") }
        #expect(throws: MartletError.wrongType) { try harness.removeMembers("z", ["a".raw]) }
        #expect(throws: MartletError.wrongType) {
            _ = try harness.with("z") { (item) throws(MartletError) in
                try item.scanSortedSet(from: 0, limit: 1) { _, _ in }
            }
        }
        #expect(try harness.blob("z") == "x".raw)
    }

    @Test func longMembersAreKeptWhole() throws {
        let harness = CollectionHarness()
        var dice = CollectionDice(seed: 8)
        let long = (0..<3).map { _ in dice.bytes(100 << 10) }
        try harness.add("z", [(1, "a".raw), (2, long[0]), (3, long[1])])
        try harness.add("z", [(0, long[2])])
        #expect(try harness.isLarge("z"))
        #expect(try harness.sortedSet("z")?.map(\.member) == [long[2], "a".raw, long[0], long[1]])
        #expect(try harness.increment("z", long[1], by: -2) == 1)
        #expect(try harness.removeMembers("z", long) == 3)
        #expect(try harness.sortedSet("z") == [ScoredMember(1, "a".raw)])
        #expect(try !harness.isLarge("z"))
    }

    @Test(arguments: [40, 2000])
    func samplesAreDifferentUnlessTheyMayRepeat(size: Int) throws {
        let harness = CollectionHarness()
        try harness.add("z", (0..<size).map { (Double($0), "m\($0)".raw) })
        func sample(_ count: Int, seed: UInt64) throws -> [Double] {
            try harness.with("z") { (item) throws(MartletError) in
                var dice = CollectionDice(seed: seed)
                var scores: [Double] = []
                let isThere = try item.sampleSortedSet(count: count, using: &dice) { score, member in
                    if Array(member) == "m\(Int(score))".raw { scores.append(score) }
                }
                return isThere ? scores : []
            }
        }
        for count in [0, 1, 2, size / 5, size / 3, size - 1, size, size + 5] {
            let scores = try sample(count, seed: UInt64(count))
            #expect(scores.count == min(count, size))
            #expect(Set(scores).count == scores.count)
        }
        #expect(try sample(-3 * size, seed: 1).count == 3 * size)
        var hits = Array(repeating: 0, count: size)
        for seed in 0..<UInt64(3000) { for score in try sample(2, seed: seed) { hits[Int(score)] += 1 } }
        // Each is drawn 6000/size times on average; 40 in 2000 that are never drawn would be ten times too many.
        #expect(hits.count { $0 == 0 } <= size / 8)
        #expect(hits[0] + hits[size - 1] < 6000 / size * 2 + 200)
        let none = try harness.with("none") { (item) throws(MartletError) in
            var dice = CollectionDice(seed: 1)
            return try item.sampleSortedSet(count: 1, using: &dice) { _, _ in }
        }
        #expect(!none)
    }

    @Test(arguments: [30, 3000])
    func aScanSeesWhatIsThereAllTheTime(size: Int) throws {
        let harness = CollectionHarness()
        try harness.add("z", (0..<size).map { (Double($0), "m\($0)".raw) })
        var seen: Set<Double> = []
        var cursor: UInt64 = 0
        var calls = 0
        repeat {
            let (next, scores) = try harness.with("z") { (item) throws(MartletError) -> (UInt64, [Double]) in
                var scores: [Double] = []
                let next = try item.scanSortedSet(from: cursor, limit: 10) { score, _ in scores.append(score) }
                return (next, scores)
            }
            seen.formUnion(scores)
            cursor = next
            calls += 1
            // Half of it goes away meanwhile, and others come.
            _ = try harness.removeMembers("z", ["m\(2 * calls)".raw])
            try harness.add("z", [(1e6, "n\(calls)".raw)])
        } while cursor != 0
        #expect((0..<size).allSatisfy { !$0.isMultiple(of: 2) ? seen.contains(Double($0)) : true })
    }

    @Test(arguments: [30, 3000])
    func aSnapshotStaysAsItWas(size: Int) throws {
        let harness = CollectionHarness()
        try harness.add("z", (0..<size).map { (Double($0), "m\($0)".raw) })
        let snapshot = try #require(
            try harness.with("z") { (item) throws(MartletError) in try item.sortedSetSnapshot() })
        try harness.add("z", (0..<size / 2).map { (Double(-$0), "m\($0)".raw) })
        _ = try harness.with("z") { (item) throws(MartletError) in try item.removeFromSortedSet(ranks: 3..<9) }
        var scores: [Double] = []
        for start in stride(from: 0, to: size, by: 11) {
            try snapshot.visit(start..<start + 11) { score, member in
                #expect(Array(member) == "m\(Int(score))".raw)
                scores.append(score)
                return true
            }
        }
        #expect(scores == (0..<size).map(Double.init))
        var last: [Double] = []
        try snapshot.visit(size - 2..<size, reversed: true) { score, _ in
            last.append(score)
            return true
        }
        #expect(last == [Double(size - 1), Double(size - 2)])
    }

    @Test(arguments: [30, 3000])
    func aSnapshotKnowsTheRanksThatWere(size: Int) throws {
        let harness = CollectionHarness()
        // Three of each score, beside each other.
        try harness.add("z", (0..<size).map { (Double($0 / 3), "m\(10_000 + $0)".raw) })
        let snapshot = try #require(
            try harness.with("z") { (item) throws(MartletError) in try item.sortedSetSnapshot() })
        _ = try harness.removeMembers("z", ["m10003".raw])
        for index in 0..<size {
            let found = try "m\(10_000 + index)".raw.withUnsafeBytes { try snapshot.rank(of: $0) }
            #expect(found?.rank == index && found?.score == Double(index / 3))
            #expect(try snapshot.ranks(scored: Double(index / 3)) == index / 3 * 3..<index / 3 * 3 + 3)
        }
        #expect(try "none".raw.withUnsafeBytes { try snapshot.rank(of: $0) } == nil)
        #expect(try snapshot.ranks(scored: 0.5) == 3..<3)
        #expect(try snapshot.ranks(scored: .infinity) == size..<size)
    }

    @Test func ofSixteenByteMembersAHundredLieInUnderTwoThousandBytes() throws {
        let harness = CollectionHarness()
        try harness.add("z", (0..<100).map { (Double($0), "member-\(100_000_000 + $0)".raw) })
        #expect(try harness.blob("z")?.count == 1800)
    }
}
