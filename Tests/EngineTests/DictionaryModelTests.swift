import Tenancy
import Testing

@testable import Engine

/// Random operations on a few dictionaries and a plain model of them.
struct DictionaryModelTests {
    private struct Model {
        var pairs: [Bytes: Bytes] = [:]
        var expiresAt: Timestamp?

        mutating func write(_ new: [(Bytes, Bytes)], _ expiry: CollectionExpiry) -> Int {
            guard !new.isEmpty else { return 0 }
            if pairs.isEmpty || expiry.refresh { expiresAt = expiry.expiresAt }
            let before = pairs.count
            for (field, value) in new { pairs[field] = value }
            return pairs.count - before
        }
    }

    private static func value(_ generator: inout DictSetGenerator) -> Bytes {
        switch generator.below(20) {
        case 0: []
        case 1: generator.bytes(250 + generator.below(10))
        case 2: generator.bytes(generator.below(3000))
        case 3: number(generator.below(1000))
        default: generator.bytes(generator.below(12))
        }
    }

    @Test(arguments: 1...12) func agreesWithAPlainDictionary(_ seed: UInt64) throws {
        var generator = DictSetGenerator(seed: seed)
        let cache = makeDictSetCache(seals: seed % 2 == 0)
        var now = dictSetNow
        var models: [Model] = [Model(), Model()]
        // Few fields, or so many that the dictionary grows over the threshold; the phases change which is meant.
        var fieldCount = 10
        var grows = true
        var forms = Set<Bool>()
        for step in 0..<900 {
            if step % 60 == 0 {
                #expect(cache.violations(now: now) == [], "seed \(seed) step \(step)")
                fieldCount = [10, 100, 800][generator.below(3)]
                grows.toggle()
            }
            if generator.chance(2) { now = now.adding(milliseconds: Int64(generator.below(3000))) }
            let at = generator.below(models.count)
            let key = "d\(at)"
            if let end = models[at].expiresAt, end <= now { models[at] = Model() }
            if models[at].pairs.isEmpty { models[at].expiresAt = nil }
            let context: Comment = "seed \(seed) step \(step)"
            let field = { (generator: inout DictSetGenerator) in number(generator.below(fieldCount), "f") }
            let expiry = CollectionExpiry(
                expiresAt: generator.chance(50) ? now.adding(milliseconds: 500 + Int64(generator.below(5000))) : nil,
                refresh: generator.chance(20))
            switch generator.below(grows ? 6 : 10) {
            case 0:
                let pairs = (0..<generator.below(generator.chance(20) ? 300 : 12)).map { _ in
                    (field(&generator), Self.value(&generator))
                }
                let added = try cache.setFields(key, pairs, expiry: expiry, now: now)
                #expect(added == models[at].write(pairs, expiry), context)
            case 1, 2:
                let pair = (field(&generator), Self.value(&generator))
                let isNew = try cache.setField(key, pair.0, pair.1, expiry: expiry, now: now)
                #expect(isNew == (models[at].write([pair], expiry) == 1), context)
            case 3:
                let pair = (field(&generator), Self.value(&generator))
                let isSet = try cache.setFieldIfAbsent(key, pair.0, pair.1, expiry: expiry, now: now)
                #expect(isSet == (models[at].pairs[pair.0] == nil), context)
                if isSet { _ = models[at].write([pair], expiry) }
            case 4:
                let name = field(&generator)
                let amount = Int64(generator.below(100)) - 50
                let old = models[at].pairs[name].map { Int64(String(decoding: $0, as: UTF8.self)) } ?? 0
                do throws(MartletError) {
                    let sum = try cache.increment(key, name, by: amount, expiry: expiry, now: now)
                    #expect(sum == (old ?? .min) + amount, context)
                    _ = models[at].write([(name, text("\(sum)"))], expiry)
                } catch {
                    #expect(error == .notAnInteger, context)
                }
            case 5:
                let names = (0..<generator.below(5)).map { _ in field(&generator) }
                let expected = models[at].pairs.isEmpty ? nil : names.map { models[at].pairs[$0] }
                #expect(try cache.fields(key, names, now: now) == expected, context)
            default:
                let names = (0..<(generator.chance(20) ? 200 : 1 + generator.below(4))).map { _ in field(&generator) }
                let expected = models[at].pairs.isEmpty ? nil : Set(names).count { models[at].pairs[$0] != nil }
                #expect(try cache.removeFields(key, names, now: now) == expected, context)
                for name in names { models[at].pairs[name] = nil }
            }
            if models[at].pairs.isEmpty { models[at].expiresAt = nil }
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
        if isThorough || model.pairs.count < 50 {
            #expect(try cache.pairs(key, now: now) == (model.pairs.isEmpty ? nil : model.pairs), context)
            let violations = try cache.item(key, now: now) { (item) in
                HashedTree(item.trees.0, source: item.source, hashKey: item.hashKey).violations()
            }
            #expect(violations == [], context)
        }
        let (length, expiresAt, isLarge) = try cache.item(key, now: now) { (item) throws(MartletError) in
            (try item.dictionaryLength(), item.expiresAt, item.isLarge)
        }
        #expect(length == (model.pairs.isEmpty ? nil : model.pairs.count), context)
        #expect(expiresAt == model.expiresAt, context)
        let packedSize = model.pairs.reduce(0) {
            $0 + PackedWriter.size(of: $1.key.count) + PackedWriter.size(of: $1.value.count)
        }
        if !isLarge { #expect(packedSize <= 4096 && model.pairs.count <= 512, context) }
    }
}
