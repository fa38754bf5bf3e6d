import Tenancy
import Testing

@testable import Engine

/// Random operations against plain arrays, long enough to go between packed and large several times.
@Suite struct ListModelTests {
    @Test(arguments: collectionSeeds())
    func listsAgreeWithArrays(seed: UInt64) throws {
        var dice = CollectionDice(seed: seed)
        let harness = CollectionHarness(seals: seed.isMultiple(of: 2))
        let keys = ["a", "b"]
        var model: [String: [[UInt8]]] = [:]
        var promotions = 0
        var repackings = 0

        for step in 0..<3000 {
            let isGrowing = (step / 250).isMultiple(of: 2)
            let key = keys[dice.below(2)]
            let old = model[key]
            var list = old ?? []
            let wasLarge = try harness.isLarge(key)
            switch dice.below(isGrowing ? 10 : 16) {
            case 0...4:
                let values = (0..<dice.below(isGrowing ? 30 : 3)).map { _ in value(&dice) }
                let end: ListEnd = dice.chance(1, in: 2) ? .front : .back
                let keepingOrder = dice.chance(1, in: 2)
                let onlyIfPresent = dice.chance(1, in: 8)
                let limit = dice.chance(1, in: 6) ? 1 + dice.below(isGrowing ? 700 : 60) : 0
                let length = try harness.push(
                    key, values, end, keepingOrder: keepingOrder, onlyIfPresent: onlyIfPresent, limit: limit)
                if old != nil || (!onlyIfPresent && !values.isEmpty) {
                    list = end == .back ? list + values : (keepingOrder ? values : values.reversed()) + list
                    if limit > 0 { list = Array(end == .back ? list.suffix(limit) : list.prefix(limit)) }
                }
                #expect(length == list.count)
            case 5:
                guard let pivot = list.randomElement(using: &dice) else { continue }
                let slices = Slices([value(&dice), pivot])
                let isBefore = dice.chance(1, in: 2)
                let outcome = try harness.with(key) { (item) throws(MartletError) in
                    try item.insertIntoList(slices.all[0], before: isBefore, pivot: slices.all[1])
                }
                let position = try #require(list.firstIndex(of: pivot))
                list.insert(Array(slices.all[0]), at: isBefore ? position : position + 1)
                #expect(outcome == .inserted(count: list.count))
            case 6:
                guard !list.isEmpty else { continue }
                let index = dice.below(list.count)
                let slices = Slices([value(&dice)])
                let outcome = try harness.with(key) { (item) throws(MartletError) in
                    try item.replaceInList(at: index - list.count, with: slices.all[0])
                }
                #expect(outcome == .replaced)
                list[index] = Array(slices.all[0])
            case 7:
                let target = list.randomElement(using: &dice) ?? value(&dice)
                let slices = Slices([target])
                let limit = dice.below(7) - 3
                let outcome = try harness.with(key) { (item) throws(MartletError) in
                    try item.removeFromList(equalTo: slices.all[0], limit: limit)
                }
                var matches = list.indices.filter { list[$0] == target }
                if limit > 0 { matches = Array(matches.prefix(limit)) }
                if limit < 0 { matches = Array(matches.suffix(-limit)) }
                for index in matches.reversed() { list.remove(at: index) }
                #expect(outcome?.removed == (old == nil ? nil : matches.count))
            case 8, 9:
                let start = dice.below(2 * list.count + 4) - list.count - 2
                let end = dice.below(2 * list.count + 4) - list.count - 2
                let bounds: SliceBounds =
                    dice.chance(1, in: 2)
                    ? .halfOpen(start: start, end: end) : .inclusive(start: start, stop: end)
                let range = bounds.resolved(count: list.count)
                #expect(try harness.list(key, bounds) == (old == nil ? nil : Array(list[range])))
                #expect(
                    try harness.list(key, bounds, reversed: true) == (old == nil ? nil : list[range].reversed()))
                continue
            case 10...12:
                let end: ListEnd = dice.chance(1, in: 2) ? .front : .back
                let count = dice.below(60)
                let outcome = try harness.pop(key, end, count: count)
                let popped = end == .front ? Array(list.prefix(count)) : list.suffix(count).reversed()
                #expect(outcome?.elements == (old == nil ? nil : popped))
                list = Array(end == .front ? list.dropFirst(count) : list.dropLast(count))
                #expect(outcome?.left == (old == nil ? nil : list.count))
            case 13:
                let lower = dice.below(list.count / 8 + 2)
                let bounds = SliceBounds.halfOpen(start: lower, end: -dice.below(list.count / 8 + 2) - 1)
                let left = try harness.with(key) { (item) throws(MartletError) in try item.retainInList(bounds) }
                list = Array(list[bounds.resolved(count: list.count)])
                #expect(left == (old == nil ? nil : list.count))
            case 14:
                let ranges = (0..<3).map { _ in
                    let lower = dice.below(list.count + 3)
                    return lower..<lower + dice.below(9)
                }
                let left = try harness.with(key) { (item) throws(MartletError) in try item.eraseFromList(ranges) }
                list = list.indices.filter { index in !ranges.contains { $0.contains(index) } }.map { list[$0] }
                #expect(left == (old == nil ? nil : list.count))
            default:
                let other = keys[dice.below(2)]
                let sourceEnd: ListEnd = dice.chance(1, in: 2) ? .front : .back
                let destinationEnd: ListEnd = dice.chance(1, in: 2) ? .front : .back
                let moved = try harness.together([key, other]) { (transaction) throws(MartletError) in
                    try transaction.moveListElement(from: 0, sourceEnd, to: 1, destinationEnd) { _ in }
                }
                #expect(moved == (old != nil))
                guard moved else { continue }
                let element = sourceEnd == .front ? list.removeFirst() : list.removeLast()
                model[key] = list.isEmpty ? nil : list
                var target = model[other] ?? []
                target.insert(element, at: destinationEnd == .front ? 0 : target.count)
                model[other] = target
                list = model[key] ?? []
            }
            model[key] = list.isEmpty ? nil : list
            let isLarge = try harness.isLarge(key)
            promotions += !wasLarge && isLarge ? 1 : 0
            repackings += wasLarge && !isLarge && !list.isEmpty ? 1 : 0
            if step.isMultiple(of: 4) || wasLarge != isLarge {
                for key in keys { #expect(try harness.list(key) == model[key], "step \(step)") }
            }
            let bytes = list.reduce(0) { $0 + PackedWriter.size(of: $1.count) }
            if bytes > 4096 || list.count > 512 { #expect(isLarge) }
        }
        #expect(promotions > 2 && repackings > 2, "both forms were met")
    }

    private func value(_ dice: inout CollectionDice) -> [UInt8] {
        switch dice.below(40) {
        case 0: []
        case 1: dice.bytes(200 + dice.below(100))
        case 2: dice.bytes(1000 + dice.below(5000))
        case 3...20: [UInt8(dice.below(5))]
        default: dice.bytes(dice.below(24))
        }
    }

    @Test func aListIsPromotedAndPackedAgainAtItsLimits() throws {
        let harness = CollectionHarness()
        let element = [UInt8](repeating: 7, count: 7)
        try harness.push("a", Array(repeating: element, count: 512))
        #expect(try !harness.isLarge("a"))
        #expect(try harness.blob("a")?.count == 4096)
        try harness.push("a", [[]])
        #expect(try harness.isLarge("a"))
        #expect(try harness.list("a") == Array(repeating: element, count: 512) + [[]])
        _ = try harness.pop("a", .back, count: 513 - 65)
        #expect(try harness.isLarge("a"))
        _ = try harness.pop("a", .back)
        #expect(try !harness.isLarge("a"))
        #expect(try harness.list("a") == Array(repeating: element, count: 64))
    }
}

/// Blobs that are not what they were.
@Suite struct ListDamageTests {
    private func perform(
        _ operation: Int, on item: inout ItemAccess, _ value: UnsafeRawBufferPointer, long: UnsafeRawBufferPointer
    ) throws(MartletError) {
        switch operation {
        case 0: _ = try item.listCount()
        case 1: try item.visitList(0..<(try item.listCount() ?? 0)) { _ in true }
        case 2: _ = try item.withListElement(at: -1) { _ in }
        case 3: _ = try item.findInList(value, rank: -1, limit: 0) { _ in }
        case 4: _ = try item.insertIntoList(value, before: true, pivot: value)
        case 5: _ = try item.replaceInList(at: 1, with: value)
        case 6: _ = try item.removeFromList(equalTo: value, limit: -1)
        case 7: _ = try item.retainInList(.halfOpen(start: 1, end: -1))
        case 8: _ = try item.popFromList(.back, count: 2) { _ in }
        case 9: _ = try item.pushToList([value], at: .front, limit: 3, expiry: CollectionHarness.noTime)
        default: _ = try item.pushToList([long], at: .back, expiry: CollectionHarness.noTime)
        }
    }

    /// What the readers and edits of an item make of a blob; only that they come back matters.
    private func exercise(_ blob: [UInt8]) throws {
        let harness = CollectionHarness()
        let slices = Slices([[1], blob, Array(repeating: 3, count: 5000)])
        for operation in 0..<11 {
            try harness.storeBlob("a", .list, blob)
            do throws(MartletError) {
                try harness.with("a") { (item) throws(MartletError) in
                    try perform(operation, on: &item, slices.all[0], long: slices.all[2])
                }
            } catch {
                #expect(error == .internalFailure("a packed collection is damaged"))
                #expect(try harness.blob("a") == blob, "an error leaves the item as it was")
            }
        }
        fuzzPackedList(slices.all[1])
    }

    private var blob: [UInt8] {
        get throws {
            let harness = CollectionHarness()
            try harness.push("a", [[1], [], [2, 3], Array(repeating: 9, count: 260), [1], [4]])
            return try #require(try harness.blob("a"))
        }
    }

    @Test func aBlobCutAnywhereIsAnErrorOrAShorterList() throws {
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
