import Tenancy
import Testing

@testable import Engine

@Suite struct ListTests {
    private func elements(_ text: String) -> [[UInt8]] { text.map { String($0).raw } }

    private func text(_ elements: [[UInt8]]?) -> String? {
        elements.map { $0.map { String(decoding: $0, as: UTF8.self) }.joined() }
    }

    @Test func concatenationKeepsTheOrderAndPushingTurnsIt() throws {
        let harness = CollectionHarness()
        #expect(try harness.push("a", elements("3"), .back) == 1)
        #expect(try harness.push("a", elements("12"), .front) == 3)
        #expect(text(try harness.list("a")) == "123")
        #expect(try harness.push("a", elements("yz"), .front, keepingOrder: false) == 5)
        #expect(try harness.push("a", elements("45"), .back) == 7)
        #expect(text(try harness.list("a")) == "zy12345")
    }

    @Test func whatIsTooMuchIsCutFromTheOtherEnd() throws {
        let harness = CollectionHarness()
        try harness.push("a", elements("12345"))
        #expect(try harness.push("a", elements("ab"), .front, limit: 4) == 4)
        #expect(text(try harness.list("a")) == "ab12")
        #expect(try harness.push("a", elements("xyz"), .back, limit: 4) == 4)
        #expect(text(try harness.list("a")) == "2xyz")
        #expect(try harness.push("a", elements("pqr"), .front, limit: 2) == 2)
        #expect(text(try harness.list("a")) == "pq")
        #expect(try harness.push("a", elements("pqr"), .front, keepingOrder: false, limit: 2) == 2)
        #expect(text(try harness.list("a")) == "rq")
        #expect(try harness.push("a", elements("stu"), .back, limit: 2) == 2)
        #expect(text(try harness.list("a")) == "tu")
        #expect(try harness.push("a", [], .back, limit: 1) == 1)
        #expect(text(try harness.list("a")) == "u")
    }

    @Test func pushingNothingOrOnlyIfPresentCreatesNothing() throws {
        let harness = CollectionHarness()
        #expect(try harness.push("a", []) == 0)
        #expect(try harness.push("a", elements("1"), onlyIfPresent: true) == 0)
        #expect(try !harness.exists("a"))
    }

    @Test(
        arguments: [
            (5, nil, "56789"), (-5, nil, "56789"), (nil, 5, "01234"), (nil, -5, "01234"), (2, 6, "2345"), (2, -6, "23"),
            (-7, -2, "34567"), (-2, -6, ""), (5, 0, ""), (nil, nil, "0123456789"), (-99, 99, "0123456789"),
            (10, 12, ""),
            (99, nil, ""), (nil, -10, ""), (Int.min, Int.max, "0123456789"), (3, 3, ""),
        ] as [(Int?, Int?, String)])
    func slicesFollowPythonsRules(start: Int?, end: Int?, expected: String) throws {
        let harness = CollectionHarness()
        try harness.push("a", elements("0123456789"))
        #expect(text(try harness.list("a", .halfOpen(start: start, end: end))) == expected)
        let left = try harness.with("a") { (item) throws(MartletError) in
            try item.retainInList(.halfOpen(start: start, end: end))
        }
        #expect(left == expected.count)
        #expect(text(try harness.list("a")) == (expected.isEmpty ? nil : expected))
    }

    @Test(arguments: [(-1, 1, 1), (1, -1, 0), (0, -1, 0), (0, 0, 0)])
    func slicesOfOneElement(start: Int, end: Int, expected: Int) {
        #expect(SliceBounds.halfOpen(start: start, end: end).resolved(count: 1).count == expected)
    }

    @Test(arguments: [
        (0, -1, "0123456789"), (0, 0, "0"), (-3, -1, "789"), (-100, 2, "012"), (5, 100, "56789"), (5, 4, ""),
        (10, 12, ""), (0, -11, ""), (-2, -3, ""), (Int.min, Int.max, "0123456789"), (-100, -10, "0"),
    ])
    func inclusiveRangesFollowValkey(start: Int, stop: Int, expected: String) throws {
        let harness = CollectionHarness()
        try harness.push("a", elements("0123456789"))
        #expect(text(try harness.list("a", .inclusive(start: start, stop: stop))) == expected)
        #expect(
            text(try harness.list("a", .inclusive(start: start, stop: stop), reversed: true))
                == String(expected.reversed()))
    }

    @Test func poppingTheLastElementRemovesTheList() throws {
        let harness = CollectionHarness()
        try harness.push("a", elements("123"))
        #expect(try harness.pop("a", .back).map { text($0.elements) } == "3")
        #expect(try harness.pop("a", .front, count: 0)?.left == 2)
        #expect(try harness.pop("a", .back, count: 9).map { text($0.elements) } == "21")
        #expect(try harness.pop("a", .back) == nil)
        #expect(try !harness.exists("a"))
    }

    @Test func insertingBesideAPivot() throws {
        let harness = CollectionHarness()
        let slices = Slices(["x".raw, "2".raw, "9".raw])
        func insert(before: Bool, at pivot: Int) throws -> ListInsertion {
            try harness.with("a") { (item) throws(MartletError) in
                try item.insertIntoList(slices.all[0], before: before, pivot: slices.all[pivot])
            }
        }
        #expect(try insert(before: true, at: 1) == .missing)
        try harness.push("a", elements("1232"))
        #expect(try insert(before: true, at: 1) == .inserted(count: 5))
        #expect(try insert(before: false, at: 1) == .inserted(count: 6))
        #expect(try insert(before: false, at: 2) == .pivotNotFound)
        #expect(text(try harness.list("a")) == "1x2x32")
    }

    @Test func removingEqualElementsFromEitherEnd() throws {
        let harness = CollectionHarness()
        let value = Slices(["a".raw])
        func remove(_ limit: Int) throws -> String? {
            let outcome = try harness.with("a") { (item) throws(MartletError) in
                try item.removeFromList(equalTo: value.all[0], limit: limit)
            }
            return outcome.map { "\($0.removed) \($0.remaining)" }
        }
        #expect(try remove(0) == nil)
        try harness.push("a", elements("aabaacada"))
        #expect(try remove(2) == "2 7")
        #expect(text(try harness.list("a")) == "baacada")
        #expect(try remove(-2) == "2 5")
        #expect(text(try harness.list("a")) == "baacd")
        #expect(try remove(Int.min) == "2 3")
        #expect(try remove(0) == "0 3")
        try harness.push("b", elements("aaa"))
        _ = try harness.with("b") { (item) throws(MartletError) in try item.removeFromList(equalTo: value.all[0]) }
        #expect(try !harness.exists("b"))
    }

    @Test func positionsAreFoundAsLPOSDoes() throws {
        let harness = CollectionHarness()
        let value = Slices(["c".raw])
        try harness.push("a", elements("abc123cc"))
        func find(_ rank: Int, _ limit: Int, _ length: Int = 0) throws -> [Int] {
            try harness.with("a") { (item) throws(MartletError) in
                var found: [Int] = []
                _ = try item.findInList(value.all[0], rank: rank, limit: limit, maximumLength: length) {
                    found.append($0)
                }
                return found
            }
        }
        #expect(try find(1, 1) == [2])
        #expect(try find(2, 1) == [6])
        #expect(try find(-1, 1) == [7])
        #expect(try find(-1, 2) == [7, 6])
        #expect(try find(1, 0) == [2, 6, 7])
        #expect(try find(-2, 0) == [6, 2])
        #expect(try find(1, 0, 3) == [2])
        #expect(try find(1, 0, 2) == [])
        #expect(try find(-1, 0, 2) == [7, 6])
        #expect(throws: MartletError.self) { try find(0, 1) }
        #expect(throws: MartletError.self) { try find(.min, 1) }
    }

    @Test func replacingOneElement() throws {
        let harness = CollectionHarness()
        func replace(_ index: Int) throws -> ListReplacement {
            let value = Slices(["x".raw])
            return try harness.with("a") { (item) throws(MartletError) in
                try item.replaceInList(at: index, with: value.all[0])
            }
        }
        #expect(try replace(0) == .missing)
        try harness.push("a", elements("123"))
        #expect(try replace(-1) == .replaced)
        #expect(try replace(0) == .replaced)
        #expect(try replace(3) == .outOfRange)
        #expect(try replace(-4) == .outOfRange)
        #expect(text(try harness.list("a")) == "x2x")
    }

    @Test func erasedRangesAreCountedInTheListAsItWas() throws {
        let harness = CollectionHarness()
        try harness.push("a", elements("0123456789"))
        let left = try harness.with("a") { (item) throws(MartletError) in
            try item.eraseFromList([7..<8, 1..<3, 2..<4, 9..<99, 50..<60])
        }
        #expect(left == 5)
        #expect(text(try harness.list("a")) == "04568")
    }

    @Test func movingBetweenListsAndWithinOne() throws {
        let harness = CollectionHarness()
        func move(_ source: String, _ sourceEnd: ListEnd, _ destination: String, _ destinationEnd: ListEnd) throws
            -> String?
        {
            try harness.together([source, destination]) { (transaction) throws(MartletError) in
                var moved: String?
                _ = try transaction.moveListElement(from: 0, sourceEnd, to: 1, destinationEnd) {
                    moved = String(decoding: $0, as: UTF8.self)
                }
                return moved
            }
        }
        #expect(try move("a", .back, "b", .front) == nil)
        try harness.push("a", elements("123"))
        #expect(try move("a", .back, "b", .front) == "3")
        #expect(try move("a", .front, "b", .back) == "1")
        #expect(text(try harness.list("b")) == "31")
        #expect(try move("a", .front, "b", .front) == "2")
        #expect(try !harness.exists("a"))
        #expect(try move("b", .front, "b", .back) == "2")
        #expect(text(try harness.list("b")) == "312")
        #expect(try move("b", .front, "b", .front) == "3")
        #expect(text(try harness.list("b")) == "312")

        let expiresAt = harness.now.adding(milliseconds: 50)
        try harness.push("one", elements("1"), .back, CollectionExpiry(expiresAt: expiresAt, refresh: true))
        #expect(try move("one", .front, "one", .back) == "1")
        #expect(text(try harness.list("one")) == "1")
        #expect(try harness.expiry("one") == expiresAt)

        try harness.storeBlob("text", .scalar, "x".raw)
        #expect(throws: MartletError.wrongType) { try move("b", .front, "text", .back) }
        #expect(text(try harness.list("b")) == "312")
    }

    @Test func poppingFromTheFirstListOfSeveral() throws {
        let harness = CollectionHarness()
        try harness.push("b", elements("123"))
        let popped = try harness.together(["a", "b", "c"]) { (transaction) throws(MartletError) -> [String] in
            var log: [String] = []
            let index = try transaction.popFromFirstList(
                of: 0..<3, .back, count: 2, willPop: { log.append("\($0):\($1)") },
                { log.append(String(decoding: $0, as: UTF8.self)) })
            return log + ["\(index ?? -1)"]
        }
        #expect(popped == ["1:2", "3", "2", "1"])
    }

    @Test func anotherKindIsRefusedAndLeftAlone() throws {
        let harness = CollectionHarness()
        try harness.storeBlob("a", .scalar, "x".raw)
        #expect(throws: MartletError.wrongType) { try harness.push("a", elements("1")) }
        #expect(throws: MartletError.wrongType) { try harness.list("a") }
        #expect(throws: MartletError.wrongType) { _ = try harness.pop("a", .front) }
        #expect(throws: MartletError.wrongType) {
            _ = try harness.with("a") { (item) throws(MartletError) in try item.retainInList(.all) }
        }
        #expect(throws: MartletError.wrongType) {
            _ = try harness.with("a") { (item) throws(MartletError) in try item.listSnapshot() }
        }
        #expect(try harness.blob("a") == "x".raw)
    }

    @Test(arguments: [3, 1000])
    func timeIsSetOnCreationAndThenOnlyIfAsked(count: Int) throws {
        var harness = CollectionHarness()
        let first = harness.now.adding(milliseconds: 1000)
        let second = harness.now.adding(milliseconds: 5000)
        let values = (0..<count).map { "\($0)".raw }
        try harness.push("a", values, .back, CollectionExpiry(expiresAt: first, refresh: false))
        #expect(try harness.expiry("a") == first)
        try harness.push("a", values, .front, CollectionExpiry(expiresAt: second, refresh: false))
        #expect(try harness.expiry("a") == first)
        _ = try harness.pop("a", .back)
        #expect(try harness.expiry("a") == first)
        try harness.push("a", values, .back, limit: 2 * count, CollectionExpiry(expiresAt: second, refresh: true))
        #expect(try harness.expiry("a") == second)
        try harness.push("a", [], .back, CollectionExpiry(expiresAt: first, refresh: true))
        #expect(try harness.expiry("a") == first)
        for bounds in [SliceBounds.all, .halfOpen(start: 1, end: nil), .halfOpen(start: 0, end: 2)] {
            _ = try harness.with("a") { (item) throws(MartletError) in
                try item.retainInList(bounds, expiry: CollectionExpiry(expiresAt: second, refresh: true))
            }
            #expect(try harness.expiry("a") == second)
            try harness.push("a", [], .back, CollectionExpiry(expiresAt: first, refresh: true))
        }
        harness.now = first
        #expect(try harness.list("a") == nil)
        #expect(try harness.push("a", elements("z"), .back, CollectionExpiry(expiresAt: nil, refresh: false)) == 1)
        #expect(try harness.expiry("a") == nil)
    }

    @Test(arguments: [3, 1000])
    func aTimeThatHasPassedRemovesTheList(count: Int) throws {
        let harness = CollectionHarness()
        let past = CollectionExpiry(expiresAt: harness.now, refresh: true)
        let values = (0..<count).map { "\($0)".raw }
        try harness.push("a", values)
        try harness.push("a", ["z".raw], .back, past)
        #expect(try !harness.exists("a"))
        try harness.push("a", values)
        _ = try harness.with("a") { (item) throws(MartletError) in
            try item.retainInList(.halfOpen(start: 0, end: 3), expiry: past)
        }
        #expect(try !harness.exists("a"))
        try harness.push("a", values, .back, past)
        #expect(try !harness.exists("a"))
    }

    @Test(arguments: [false, true])
    func longElementsAreKeptWhole(seals: Bool) throws {
        let harness = CollectionHarness(seals: seals)
        var dice = CollectionDice(seed: 5)
        let long = (0..<5).map { _ in dice.bytes(100 << 10) }
        try harness.push("a", elements("12"))
        #expect(try harness.push("a", long) == 7)
        #expect(try harness.isLarge("a"))
        #expect(try harness.list("a") == elements("12") + long)
        #expect(try harness.pop("a", .back, count: 5)?.elements == long.reversed())
        #expect(try !harness.isLarge("a"))
        #expect(text(try harness.list("a")) == "12")
        #expect(try harness.push("b", [long[0]], .front) == 1)
        #expect(try harness.list("b") == [long[0]])
    }

    @Test(arguments: [10, 3000], [false, true])
    func aSnapshotStaysAsItWas(count: Int, seals: Bool) throws {
        let harness = CollectionHarness(seals: seals)
        let values = (0..<count).map { "element \($0)".raw }
        try harness.push("a", values)
        let snapshot = try #require(try harness.with("a") { (item) throws(MartletError) in try item.listSnapshot() })
        _ = try harness.pop("a", .front, count: count / 2)
        try harness.push("a", ["new".raw], .front)
        var seen: [[UInt8]] = []
        for start in stride(from: 0, to: count, by: 7) {
            try snapshot.visit(start..<start + 7) { element in
                seen.append(Array(element))
                return true
            }
        }
        #expect(seen == values)
        var last: [[UInt8]] = []
        try snapshot.visit(count - 2..<count, reversed: true) { element in
            last.append(Array(element))
            return true
        }
        #expect(last == [values[count - 1], values[count - 2]])
        #expect(try harness.list("a")?.count == count - count / 2 + 1)
    }
}
