import Testing

@testable import Catalog

struct BranchedDictionaryTests {
    @Test func agreesWithAPlainDictionaryAndLeavesOlderCopiesAlone() {
        for seed in UInt64(1)...4 {
            var generator = SeededGenerator(seed: seed)
            var model: [Int: Int] = [:]
            var table = BranchedDictionary<Int, Int>()
            var copies: [(BranchedDictionary<Int, Int>, [Int: Int])] = []
            for step in 0..<4000 {
                let key = Int.random(in: 0..<600, using: &generator)
                let value: Int? = Bool.random(using: &generator) ? step : nil
                model[key] = value
                table[key] = value
                if step.isMultiple(of: 500) { copies.append((table, model)) }
            }
            copies.append((table, model))
            for (table, model) in copies {
                #expect(table.count == model.count, "seed \(seed)")
                #expect(table.values.sorted() == model.values.sorted(), "seed \(seed)")
                for key in 0..<600 { #expect(table[key] == model[key], "seed \(seed), key \(key)") }
            }
        }
    }

    @Test func equalContentsAreEqualHoweverTheyCameAbout() {
        var forward = BranchedDictionary<String, Int>()
        var backward = BranchedDictionary<String, Int>()
        for number in 0..<1000 { forward["\(number)"] = number }
        for number in (0..<1200).reversed() { backward["\(number)"] = number }
        #expect(forward != backward)
        for number in 1000..<1200 { backward["\(number)"] = nil }
        #expect(forward == backward)
    }
}
