import Tenancy
import Testing

@testable import Engine

/// Random operations on dictionaries whose fields have times, and a plain model of them with a clock of its own.
struct FieldTimesModelTests {
    fileprivate struct Model: Equatable {
        var pairs: [Bytes: Bytes] = [:]
        var times: [Bytes: Timestamp] = [:]
        var expiresAt: Timestamp?

        /// What has happened by itself until now.
        mutating func advance(to now: Timestamp) {
            for (field, time) in times where time <= now { remove(field) }
            if let expiresAt, expiresAt <= now { self = Model() }
            if pairs.isEmpty { self = Model() }
        }

        mutating func remove(_ field: Bytes) {
            pairs[field] = nil
            times[field] = nil
            if pairs.isEmpty { expiresAt = nil }
        }

        mutating func write(_ new: [(Bytes, Bytes)], _ expiry: CollectionExpiry, keepsTimes: Bool) -> Int {
            guard !new.isEmpty else { return 0 }
            if pairs.isEmpty || expiry.refresh { expiresAt = expiry.expiresAt }
            let before = pairs.count
            for (field, value) in new {
                pairs[field] = value
                if !keepsTimes { times[field] = nil }
            }
            return pairs.count - before
        }

        mutating func setExpiry(
            _ field: Bytes, _ time: Timestamp?, _ rule: ExpiryRule, now: Timestamp
        ) -> FieldExpiryOutcome {
            guard pairs[field] != nil else { return .missing }
            let old = times[field]
            let isAllowed =
                switch rule {
                case .always: true
                case .onlyIfNone: old == nil
                case .onlyIfSome: old != nil
                case .onlyIfLater: (old ?? .distant) < (time ?? .distant)
                case .onlyIfEarlier: (old ?? .distant) > (time ?? .distant)
                }
            guard isAllowed else { return .kept }
            if let time, time <= now {
                remove(field)
                return .removed
            }
            times[field] = time
            return .changed
        }
    }

    fileprivate struct Run {
        let seed: UInt64
        var generator: DictSetGenerator
        let cache: DictSetCache
        var now = dictSetNow
        var models = [Model(), Model(), Model()]
        var fieldCount = 10
        var snapshots: [(DictionarySnapshot, [Bytes: Bytes])] = []
        /// What the run has met: it is worth little if it did not meet all of it.
        var met = Set<String>()

        init(seed: UInt64) {
            self.seed = seed
            generator = DictSetGenerator(seed: seed)
            cache = makeDictSetCache(seals: seed % 2 == 0)
        }

        mutating func field() -> Bytes { number(generator.below(fieldCount), "f") }
        mutating func fields(_ most: Int) -> [Bytes] { (0..<generator.below(most)).map { _ in field() } }

        mutating func pairs() -> [(Bytes, Bytes)] {
            (0..<generator.below(generator.chance(20) ? 400 : 12)).map { _ in
                (field(), generator.chance(10) ? generator.bytes(1500) : number(generator.below(1000)))
            }
        }

        mutating func expiry() -> CollectionExpiry {
            CollectionExpiry(
                expiresAt: generator.chance(30) ? now.adding(milliseconds: 4000 + Int64(generator.below(9000))) : nil,
                refresh: generator.chance(10))
        }

        mutating func time() -> Timestamp? {
            switch generator.below(8) {
            case 0: nil
            case 1: now.adding(milliseconds: -Int64(generator.below(1000)))
            case 2: now.adding(milliseconds: 1_000_000)
            // Few different times, so that many fields are due at once.
            default: Timestamp(milliseconds: (now.milliseconds / 1000 + 1 + Int64(generator.below(4))) * 1000)
            }
        }
    }

    @Test(arguments: testSeeds().map { $0 * 2 } + testSeeds().map { $0 * 2 + 1 })
    func agreesWithAPlainDictionary(_ seed: UInt64) throws {
        print("seed \(seed)")
        var run = Run(seed: seed)
        for step in 0..<1500 {
            let context: Comment = "seed \(seed) step \(step)"
            if step % 50 == 0 {
                try run.checkSnapshots(context)
                #expect(run.cache.violations(now: run.now) == [], context)
                run.fieldCount = [10, 60, 900][run.generator.below(3)]
            }
            try run.pass(context)
            try run.operate(context)
            try run.check(context, isThorough: step % 7 == 0)
        }
        try run.checkSnapshots("seed \(seed)")
        #expect(run.cache.violations(now: run.now) == [], "seed \(seed)")
        // Which of the others a seed meets is chance: FieldTimesTests brings each about.
        #expect(run.met.isSuperset(of: ["packed", "large", "timed"]), "seed \(seed)")
    }
}

extension Timestamp {
    fileprivate static let distant = Timestamp(milliseconds: .max)
}

extension FieldTimesModelTests.Run {
    /// Time passes, and now and then a tick.
    fileprivate mutating func pass(_ context: Comment) throws {
        if generator.chance(10) {
            now = now.adding(milliseconds: Int64(generator.below(generator.chance(20) ? 3000 : 300)))
        }
        for index in models.indices { models[index].advance(to: now) }
        if generator.chance(10) { _ = cache.engine.tick(now: now) }
        if generator.chance(3) { cache.engine.settle(now: now) }
    }

    fileprivate mutating func operate(_ context: Comment) throws {
        let at = generator.below(models.count)
        let key = "d\(at)"
        let isThere = !models[at].pairs.isEmpty
        switch generator.below(16) {
        case 0:
            let (pairs, expiry) = (pairs(), expiry())
            let added = try cache.setFields(key, pairs, expiry: expiry, now: now)
            #expect(added == models[at].write(pairs, expiry, keepsTimes: false), context)
        case 1:
            let (pairs, expiry) = (pairs(), expiry())
            let added = try cache.setFieldsKeepingTimes(key, pairs, expiry: expiry, now: now)
            #expect(added == models[at].write(pairs, expiry, keepsTimes: true), context)
        case 2:
            let (pair, expiry) = ((field(), generator.bytes(generator.below(40))), expiry())
            let isNew = try cache.setField(key, pair.0, pair.1, expiry: expiry, now: now)
            #expect(isNew == (models[at].write([pair], expiry, keepsTimes: false) == 1), context)
        case 3:
            let (pair, expiry) = ((field(), generator.bytes(8)), expiry())
            let isSet = try cache.setFieldIfAbsent(key, pair.0, pair.1, expiry: expiry, now: now)
            #expect(isSet == (models[at].pairs[pair.0] == nil), context)
            if isSet { _ = models[at].write([pair], expiry, keepsTimes: false) }
        case 4: try increment(key, at, context)
        case 5, 6:
            let names = fields(generator.chance(20) ? 200 : 6)
            let removed = try cache.removeFields(key, names, now: now)
            #expect(removed == (isThere ? Set(names).count { models[at].pairs[$0] != nil } : nil), context)
            for name in names { models[at].remove(name) }
        case 7, 8, 9, 10, 11:
            let names = fields(generator.chance(30) ? 300 : 8)
            let time = time()
            let rules: [ExpiryRule] = [.always, .always, .onlyIfNone, .onlyIfSome, .onlyIfLater, .onlyIfEarlier]
            let rule = rules[generator.below(rules.count)]
            let outcomes = try cache.setFieldExpiry(key, names, time, rule: rule, now: now)
            let expected = names.map { models[at].setExpiry($0, time, rule, now: now) }
            #expect(outcomes == (isThere ? expected : nil), context)
            if expected.contains(.removed) { met.insert("removed") }
        case 12: try random(key, at, context)
        case 13: try scan(key, at, context)
        case 14:
            let snapshot = try cache.item(key, now: now) { (item) throws(MartletError) in
                try item.dictionarySnapshot()
            }
            #expect((snapshot != nil) == isThere, context)
            if let snapshot { snapshots.append((snapshot, models[at].pairs)) }
        default: try relocate(at, context)
        }
    }

    /// What snapshots keep is charged beside the items, so they go before the books are looked at.
    fileprivate mutating func checkSnapshots(_ context: Comment) throws {
        for (snapshot, expected) in snapshots { #expect(try cache.contents(of: snapshot) == expected, context) }
        snapshots = []
    }

    private mutating func increment(_ key: String, _ at: Int, _ context: Comment) throws {
        let (name, amount, expiry) = (field(), Int64(generator.below(100)) - 50, expiry())
        let old = models[at].pairs[name].map { Int64(String(decoding: $0, as: UTF8.self)) } ?? 0
        do throws(MartletError) {
            let sum = try cache.increment(key, name, by: amount, expiry: expiry, now: now)
            #expect(sum == (old ?? .min) + amount, context)
            _ = models[at].write([(name, text("\(sum)"))], expiry, keepsTimes: true)
        } catch {
            #expect(error == .notAnInteger, context)
            #expect(old == nil, context)
        }
    }

    private mutating func random(_ key: String, _ at: Int, _ context: Comment) throws {
        let (count, isDistinct) = (1 + generator.below(20), generator.chance(50))
        var source = generator
        let drawn: [Bytes]? = try cache.item(key, now: now) { (item) throws(MartletError) in
            var drawn: [Bytes] = []
            let found = try item.dictionaryRandom(count, isDistinct: isDistinct, using: &source) { field, _ in
                drawn.append(Bytes(field))
            }
            return found ? drawn : nil
        }
        generator = source
        let pairs = models[at].pairs
        #expect(drawn?.count == (pairs.isEmpty ? nil : isDistinct ? min(count, pairs.count) : count), context)
        #expect(drawn?.allSatisfy { pairs[$0] != nil } ?? true, context)
        if isDistinct, let drawn { #expect(Set(drawn).count == drawn.count, context) }
    }

    private mutating func scan(_ key: String, _ at: Int, _ context: Comment) throws {
        var seen: [Bytes: Bytes] = [:]
        var cursor: UInt64 = 0
        let limit = 1 + generator.below(60)
        repeat {
            let next = try cache.item(key, now: now) { (item) throws(MartletError) in
                try item.dictionaryScan(from: cursor, limit: limit) { seen[Bytes($0)] = Bytes($1) }
            }
            #expect((next == nil) == models[at].pairs.isEmpty, context)
            cursor = next ?? 0
        } while cursor != 0
        #expect(seen == models[at].pairs, context)
    }

    private mutating func relocate(_ at: Int, _ context: Comment) throws {
        let target = generator.below(models.count)
        guard target != at else { return }
        let (isRename, overwrites) = (generator.chance(50), generator.chance(70))
        let moved = try lend([text("d\(at)"), text("d\(target)")]) { (keys) throws(MartletError) in
            try isRename
                ? cache.cache.rename(keys[0], to: keys[1], overwrites: overwrites, now: now)
                : cache.cache.copy(keys[0], to: keys[1], overwrites: overwrites, now: now)
        }
        let isThere = !models[at].pairs.isEmpty
        let expected = isThere ? overwrites || models[target].pairs.isEmpty : nil
        #expect(moved == expected, context)
        guard expected == true else { return }
        models[target] = models[at]
        if isRename { models[at] = FieldTimesModelTests.Model() }
    }

    fileprivate mutating func check(_ context: Comment, isThorough: Bool) throws {
        for (at, model) in models.enumerated() {
            let key = "d\(at)"
            let described = try lend([text(key)]) { (keys) in cache.cache.describe(keys[0], now: now) }
            #expect((described != nil) == !model.pairs.isEmpty, context)
            let (length, expiresAt, isLarge, hasTimes, isPassedOver) = try cache.item(key, now: now) {
                (item) throws(MartletError) in
                (
                    try item.dictionaryLength(), item.expiresAt, item.isLarge, item.hasFieldTimes,
                    item.dueFields != nil
                )
            }
            #expect(length == (model.pairs.isEmpty ? nil : model.pairs.count), context)
            #expect(expiresAt == model.expiresAt, context)
            if length != nil { met.insert(isLarge ? "large" : "packed") }
            if hasTimes { met.insert("timed") }
            if isPassedOver { met.insert("passed over") }
            // What is passed over may have a time in the tree; what is not, has one in the model.
            if !isPassedOver { #expect(hasTimes == !model.times.isEmpty, context) }
            let names = fields(6)
            #expect(
                try cache.fields(key, names, now: now) == (model.pairs.isEmpty ? nil : names.map { model.pairs[$0] }),
                context)
            let times: [FieldExpiry] = names.map {
                model.pairs[$0] == nil ? .missing : model.times[$0].map { .at($0) } ?? .never
            }
            #expect(try cache.fieldExpiry(key, names, now: now) == (model.pairs.isEmpty ? nil : times), context)
            guard isThorough else { continue }
            #expect(try cache.pairs(key, now: now) == (model.pairs.isEmpty ? nil : model.pairs), context)
            #expect(try cache.treeViolations(key, now: now) == [], context)
        }
    }
}
