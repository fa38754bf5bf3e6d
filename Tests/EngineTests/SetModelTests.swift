import Tenancy
import Testing

@testable import Engine

/// Random operations on a few sets and a plain model of them.
struct SetModelTests {
    private struct Model {
        var members = Set<Bytes>()
        var expiresAt: Timestamp?
    }

    private static func member(_ generator: inout DictSetGenerator, _ count: Int) -> Bytes {
        let index = generator.below(count)
        // Most are short; some are as long as the larger forms of a length need.
        let padding = index % 97 == 0 ? 260 : index % 501 == 0 ? 5000 : index % 13
        return number(index) + Bytes(repeating: 0x2e, count: padding)
    }

    @Test(arguments: 1...12) func agreesWithAPlainSet(_ seed: UInt64) throws {
        var generator = DictSetGenerator(seed: seed)
        let cache = makeDictSetCache()
        var now = dictSetNow
        var models = [Model(), Model(), Model()]
        var memberCount = 10
        var grows = true
        var forms = Set<Bool>()
        for step in 0..<900 {
            if step % 60 == 0 {
                #expect(cache.violations(now: now) == [], "seed \(seed) step \(step)")
                memberCount = [10, 100, 1500][generator.below(3)]
                grows.toggle()
            }
            if generator.chance(2) { now = now.adding(milliseconds: Int64(generator.below(3000))) }
            for at in models.indices {
                if let end = models[at].expiresAt, end <= now { models[at] = Model() }
                if models[at].members.isEmpty { models[at].expiresAt = nil }
            }
            let at = generator.below(models.count)
            let key = "s\(at)"
            let context: Comment = "seed \(seed) step \(step)"
            let expiry = CollectionExpiry(
                expiresAt: generator.chance(50) ? now.adding(milliseconds: 500 + Int64(generator.below(5000))) : nil,
                refresh: generator.chance(20))
            switch generator.below(grows ? 5 : 9) {
            case 0, 1, 2:
                let members = (0..<(generator.chance(20) ? 400 : 1 + generator.below(6))).map { _ in
                    Self.member(&generator, memberCount)
                }
                let expected = Set(members).subtracting(models[at].members).count
                #expect(try cache.addMembers(key, members, expiry: expiry, now: now) == expected, context)
                if models[at].members.isEmpty || expiry.refresh { models[at].expiresAt = expiry.expiresAt }
                models[at].members.formUnion(members)
            case 3:
                let members = (0..<generator.below(5)).map { _ in Self.member(&generator, memberCount) }
                let expected = models[at].members.isEmpty ? nil : members.map { models[at].members.contains($0) }
                #expect(try cache.hasMembers(key, members, now: now) == expected, context)
            case 4:
                let to = generator.below(models.count)
                let member = Self.member(&generator, memberCount)
                let moved = try lend([member]) { (runs) throws(MartletError) in
                    try cache.items([key, "s\(to)"], now: now) { (transaction) throws(MartletError) in
                        try transaction.setMove(runs[0], from: 0, to: 1, expiry: expiry)
                    }
                }
                #expect(moved == models[at].members.contains(member), context)
                if moved, to != at {
                    models[at].members.remove(member)
                    if models[to].members.isEmpty || expiry.refresh { models[to].expiresAt = expiry.expiresAt }
                    models[to].members.insert(member)
                    try check(cache, "s\(to)", models[to], now, context, isThorough: step % 8 == 0)
                }
            case 5:
                let count = generator.below(generator.chance(20) ? 500 : 4)
                let popped = try cache.item(key, now: now) { (item) throws(MartletError) in
                    var popped: [Bytes] = []
                    return try item.setPop(count, using: &generator) { popped.append(Bytes($0)) } == nil ? nil : popped
                }
                let size = models[at].members.count
                #expect(popped?.count == (size == 0 ? nil : min(count, size)), context)
                #expect(models[at].members.isSuperset(of: popped ?? []), context)
                models[at].members.subtract(popped ?? [])
            default:
                let members = (0..<(generator.chance(20) ? 400 : 1 + generator.below(6))).map { _ in
                    Self.member(&generator, memberCount)
                }
                let expected = models[at].members.isEmpty ? nil : models[at].members.intersection(members).count
                #expect(try cache.removeMembers(key, members, now: now) == expected, context)
                models[at].members.subtract(members)
            }
            if models[at].members.isEmpty { models[at].expiresAt = nil }
            try check(cache, key, models[at], now, context, isThorough: step % 8 == 0)
            if try cache.kind(key, now: now) != nil { forms.insert(try cache.isLarge(key)) }
        }
        #expect(cache.violations(now: now) == [], "seed \(seed)")
        #expect(forms == [false, true], "seed \(seed): both forms")
    }

    private func check(
        _ cache: DictSetCache, _ key: String, _ model: Model, _ now: Timestamp, _ context: Comment,
        isThorough: Bool
    ) throws {
        if isThorough || model.members.count < 50 {
            #expect(try cache.members(key, now: now) == (model.members.isEmpty ? nil : model.members), context)
            let violations = try cache.item(key, now: now) { (item) in
                HashedTree(item.trees.0, source: item.source, hashKey: item.hashKey).violations()
            }
            #expect(violations == [], context)
        }
        let (length, expiresAt, isLarge) = try cache.item(key, now: now) { (item) throws(MartletError) in
            (try item.setLength(), item.expiresAt, item.isLarge)
        }
        #expect(length == (model.members.isEmpty ? nil : model.members.count), context)
        #expect(expiresAt == model.expiresAt, context)
        let packedSize = model.members.reduce(0) { $0 + PackedWriter.size(of: $1.count) }
        if !isLarge { #expect(packedSize <= 4096 && model.members.count <= 512, context) }
    }
}
