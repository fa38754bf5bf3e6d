import Tenancy
import Testing

@testable import Engine

struct SetCombinationTests {
    private static let operations: [SetOperation] = [.union, .intersection, .difference]

    private func expected(_ operation: SetOperation, _ sets: [Set<Bytes>]) -> Set<Bytes> {
        guard let first = sets.first else { return [] }
        return sets.dropFirst().reduce(first) {
            switch operation {
            case .union: $0.union($1)
            case .intersection: $0.intersection($1)
            case .difference: $0.subtracting($1)
            }
        }
    }

    private func combine(
        _ cache: DictSetCache, _ operation: SetOperation, _ keys: [String], limit: Int = .max, budget: Int
    ) throws(MartletError) -> [Bytes] {
        var combination = try lend(keys.map(text)) { (keys) throws(MartletError) in
            try cache.cache.setCombination(operation, of: keys, limit: limit, now: dictSetNow)
        }
        var members: [Bytes] = []
        while try !combination.step(budget: budget, { members.append(Bytes($0)) }) {}
        return members
    }

    private func storing(
        _ cache: DictSetCache, _ operation: SetOperation, _ keys: [String], into destination: String,
        expiresAt: Timestamp? = nil
    ) throws(MartletError) -> SetStoring {
        try lend((keys + [destination]).map(text)) { (runs) throws(MartletError) in
            SetStoring(
                operation, of: Array(runs.dropLast()), into: runs[keys.count], expiresAt: expiresAt, cache: cache.cache)
        }
    }

    private func store(
        _ cache: DictSetCache, _ operation: SetOperation, _ keys: [String], into destination: String,
        expiresAt: Timestamp? = nil, budget: Int = 700
    ) throws(MartletError) -> Int {
        var storing = try storing(cache, operation, keys, into: destination, expiresAt: expiresAt)
        while true {
            if let count = try storing.step(budget: budget, now: dictSetNow) { return count }
        }
    }

    @Test(arguments: 1...15) func agreesWithPlainSets(_ seed: UInt64) throws {
        var generator = DictSetGenerator(seed: seed)
        let cache = makeDictSetCache()
        let keys = (0..<5).map { "s\($0)" }
        for round in 0..<12 {
            var model: [String: Set<Bytes>] = [:]
            for key in keys {
                _ = try cache.item(key) { (item) throws(MartletError) in try item.setRemoveAll() }
                // Missing, small or large.
                let size = [0, 5, 80, 2500][generator.below(4)]
                let range = [10, 100, 4000][generator.below(3)]
                let members = (0..<size).map { _ in number(generator.below(range)) }
                try cache.addMembers(key, members)
                model[key] = Set(members)
            }
            // A source may be named twice.
            let chosen = (0..<1 + generator.below(5)).map { _ in keys[generator.below(keys.count)] }
            let sets = chosen.map { model[$0] ?? [] }
            for operation in Self.operations {
                let context: Comment = "seed \(seed) round \(round) \(operation) \(chosen)"
                let result = expected(operation, sets)
                let found = try combine(cache, operation, chosen, budget: 1 + generator.below(3000))
                #expect(found.count == result.count, context)
                #expect(Set(found) == result, context)
                let limit = generator.below(20)
                #expect(
                    try combine(cache, operation, chosen, limit: limit, budget: 100).count == min(limit, result.count),
                    context)
                // Stored elsewhere, with sources as they were; then over one of the sources.
                let time = dictSetNow.adding(milliseconds: 1000)
                #expect(try store(cache, operation, chosen, into: "t", expiresAt: time) == result.count, context)
                #expect(try cache.members("t") == (result.isEmpty ? nil : result), context)
                #expect(try cache.expiry("t") == (result.isEmpty ? nil : time), context)
                for key in keys { #expect(try cache.members(key) ?? [] == model[key], context) }
            }
            let operation = Self.operations[generator.below(3)]
            let result = expected(operation, sets)
            #expect(try store(cache, operation, chosen, into: chosen[0]) == result.count)
            #expect(try cache.members(chosen[0]) == (result.isEmpty ? nil : result))
            #expect(cache.violations() == [], "seed \(seed) round \(round)")
        }
    }

    @Test func noSourcesGiveNothing() throws {
        let cache = makeDictSetCache()
        for operation in Self.operations {
            #expect(try combine(cache, operation, [], budget: 10) == [])
            #expect(try combine(cache, operation, ["missing", "gone"], budget: 10) == [])
            try cache.addMembers("t", [text("old")])
            #expect(try store(cache, operation, ["missing"], into: "t") == 0)
            #expect(try cache.kind("t") == nil)
        }
    }

    @Test func aDestinationOfAnotherKindIsReplaced() throws {
        let cache = makeDictSetCache()
        for count in [3, 3000] {
            try cache.addMembers("s", (0..<count).map { number($0) })
            for size in [1, 3000] {
                try cache.storePacked("t", .scalar, text("scalar"))
                if size > 1 {
                    _ = try cache.item("t") { (item) in item.remove() }
                    try cache.setFields("t", (0..<size).map { (number($0), []) })
                }
                #expect(try store(cache, .union, ["s"], into: "t") == count)
                #expect(try cache.members("t")?.count == count)
            }
        }
    }

    @Test func aSourceOfAnotherKindIsAnErrorAndChangesNothing() throws {
        let cache = makeDictSetCache()
        try cache.addMembers("s", (0..<3000).map { number($0) })
        try cache.addMembers("t", [text("old")])
        try cache.setFields("d", [(text("f"), [])])
        for operation in Self.operations {
            for keys in [["s", "d"], ["d", "s"], ["missing", "d"]] {
                #expect(
                    dictSetError { () throws(MartletError) in _ = try combine(cache, operation, keys, budget: 10) }
                        == .wrongType)
                #expect(
                    dictSetError { () throws(MartletError) in _ = try store(cache, operation, keys, into: "t") }
                        == .wrongType)
            }
        }
        #expect(try cache.members("t") == [text("old")])
    }

    @Test func aSourceThatChangesMeanwhileIsReadAgain() throws {
        let cache = makeDictSetCache()
        try cache.addMembers("a", (0..<3000).map { number($0) })
        try cache.addMembers("b", [text("small")])
        // Each kind of change: of the large one, of the packed one, a source that appears, one that goes.
        for change in 0..<5 {
            var storing = try storing(cache, .union, ["a", "b", "c"], into: "t")
            #expect(try storing.step(budget: 1, now: dictSetNow) == nil)
            #expect(try storing.step(budget: 1000, now: dictSetNow) == nil)
            switch change {
            case 0: try cache.addMembers("a", [text("new")])
            case 1: try cache.addMembers("b", [text("new")])
            case 2: try cache.addMembers("c", [text("appeared")])
            case 3:
                try cache.removeMembers("a", [number(1)])
                try cache.addMembers("a", [text("instead")])
            default: try cache.removeMembers("b", [text("small"), text("new")])
            }
            var stored: Int?
            while stored == nil { stored = try storing.step(budget: 1000, now: dictSetNow) }
            let all = try ["a", "b", "c"].map { try cache.members($0) ?? [] }
            #expect(stored == expected(.union, all).count)
            #expect(try cache.members("t") == expected(.union, all))
        }
    }

    @Test func aSourceThatNeverRestsIsReadUnderTheLockInTheEnd() throws {
        let cache = makeDictSetCache()
        try cache.addMembers("a", (0..<3000).map { number($0) })
        var storing = try storing(cache, .union, ["a"], into: "t")
        var steps = 0
        var stored: Int?
        while stored == nil {
            stored = try storing.step(budget: 1000, now: dictSetNow)
            steps += 1
            if stored == nil { try cache.addMembers("a", [number(steps, "new")]) }
            try #require(steps < 100)
        }
        #expect(stored == 3000 + steps - 1)
        #expect(try cache.members("t") == (try cache.members("a")))
    }

    @Test func whatIsDroppedHalfwayHasChangedNothing() throws {
        let cache = makeDictSetCache()
        try cache.addMembers("a", (0..<3000).map { number($0) })
        try cache.addMembers("t", [text("old")])
        do {
            var storing = try storing(cache, .union, ["a"], into: "t")
            _ = try storing.step(budget: 1, now: dictSetNow)
            _ = try storing.step(budget: 1500, now: dictSetNow)
        }
        #expect(try cache.members("t") == [text("old")])
        #expect(cache.violations() == [])
    }

    @Test func combinedSnapshotsDoNotSeeLaterChanges() throws {
        let cache = makeDictSetCache()
        let members = (0..<3000).map { number($0) }
        try cache.addMembers("a", members)
        try cache.addMembers("b", members)
        var combination = try lend([text("a"), text("b")]) { (keys) throws(MartletError) in
            try cache.cache.setCombination(.intersection, of: keys, now: dictSetNow)
        }
        var found: [Bytes] = []
        #expect(try combination.step(budget: 100) { found.append(Bytes($0)) } == false)
        try cache.removeMembers("a", members)
        try cache.addMembers("b", [text("new")])
        while try !combination.step(budget: 100, { found.append(Bytes($0)) }) {}
        #expect(found.count == 3000)
        #expect(Set(found) == Set(members))
    }
}
