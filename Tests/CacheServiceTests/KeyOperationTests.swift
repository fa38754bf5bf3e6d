import Access
import Catalog
import Engine
import Metering
import Tenancy
import Testing

@testable import CacheService

/// What is asked of a key whatever it holds, and conditional writes by value.
@Suite struct KeyOperationTests {
    private func setIf(
        _ stage: CollectionStage, _ key: String, _ value: String, _ condition: ValueCondition, ttl: TTL? = nil
    ) throws -> Bool {
        let answer = try stage.ask(key, .setIf) { grant, key, later in
            Array(value.utf8).withUnsafeBytes {
                stage.lane.setIf(grant, .grpc, key: key, value: $0, ttl: ttl, condition: condition, later: later)
            }
        }
        return try stage.finish(answer)
    }

    private func update(
        _ stage: CollectionStage, _ key: String, seconds: UInt64, _ rule: ExpiryRule
    ) throws -> ExpiryOutcome {
        let ttl = try TTL(milliseconds: seconds * 1000, field: "ttl")
        return try stage.finish(
            stage.ask(key, .updateTTLConditional) {
                stage.lane.updateTTL($0, .grpc, key: $1, ttl: ttl, rule: rule, later: $2)
            })
    }

    private func exist(_ stage: CollectionStage, _ keys: Elements) throws -> [Bool] {
        try stage.finish(stage.ask("", .keysExist) { stage.lane.exist($0, .grpc, keys: keys, later: $2) })
    }

    /// What holds where nothing is, where the value is equal, where it is another, and where a collection is.
    static let conditions: [(ValueCondition, absent: Bool, equal: Bool, other: Bool, collection: Bool)] = [
        (.present, false, true, true, true), (.absent, true, false, false, false),
        (.equal([120]), false, true, false, false), (.notEqual([120]), true, false, true, true),
        (.presentAndNotEqual([120]), false, false, true, true), (.absentOrEqual([120]), true, true, false, false),
    ]

    @Test(arguments: [false, true]) func conditionsSpeakOfTheStoredValue(seals: Bool) throws {
        let stage = try CollectionStage(seals: seals)
        for (condition, absent, equal, other, collection) in Self.conditions {
            #expect(try setIf(stage, "k", "new", condition) == absent, "\(condition)")
            #expect(try stage.value("k") == (absent ? "new" : nil))
            for (value, holds) in [("x", equal), ("xx", other), ("", other)] {
                try stage.set("k", value)
                #expect(try setIf(stage, "k", "new", condition) == holds, "\(condition) of \(value)")
                #expect(try stage.value("k") == (holds ? "new" : value))
            }
            // Whatever it holds, small or large, a collection is equal to no value.
            for count in [1, 3000] {
                try stage.delete("k")
                let members = Elements(texts: (0..<count).map { $0 == 0 ? "x" : "\($0)" })
                try stage.run("k", .setUnion(members, .usual))
                #expect(try setIf(stage, "k", "new", condition) == collection, "\(condition) of a set")
                #expect(try stage.kind("k") == (collection ? .scalar : .set))
            }
            try stage.delete("k")
        }
    }

    @Test func aConditionalWriteCountsTwice() throws {
        let stage = try CollectionStage(limits: [.defaultTTLSeconds: 60, .maxItemBytes: 3000])
        let value = String(repeating: "v", count: 1500)
        for isStored in [true, false] {
            var outcome: Bool?
            let counts = try stage.counted { outcome = try setIf(stage, "k", value, .absentOrEqual([1, 2, 3])) }
            #expect(outcome == isStored)
            #expect(
                counts == [
                    .calls: 1, .operations: 4, .requestChunks: 2, .conditionalOperations: 2, .bytesIn: 1504,
                ])
        }
        #expect(try stage.expiresAt("k") == stage.lane.now.adding(milliseconds: 60_000))
        let refused = try stage.counted {
            #expect(throws: MartletError.tooLarge(limit: .maxItemBytes, value: 3000)) {
                try setIf(stage, "k", String(repeating: "v", count: 3000), .present)
            }
        }
        #expect(refused == [.calls: 1, .throttled: 1])
    }

    @Test func itemsOfEveryKindAreDescribed() throws {
        let stage = try CollectionStage()
        #expect(try stage.kind("k") == nil)
        try stage.set("scalar", "x")
        #expect(try stage.kind("scalar") == .scalar)
        let makers: [(ItemKind, CollectionCommand)] = [
            (.dictionary, .dictionarySet(fields: ["a"], values: ["b"], .usual)), (.set, .setUnion(["a"], .usual)),
            (.list, .listPush(.back, ["a"], limit: 0, .usual)),
            (.sortedSet, .sortedSetPut(members: ["a"], scores: [1], .usual)),
        ]
        for (kind, command) in makers {
            try stage.run("\(kind)", command)
            #expect(try stage.kind("\(kind)") == kind)
            #expect(try stage.expiresAt("\(kind)") == stage.lane.now.adding(milliseconds: 3_600_000))
        }
        #expect(
            try stage.counted { _ = try stage.kind("set") }
                == [.calls: 1, .operations: 1, .requestChunks: 1, .bytesIn: 3, .hits: 1])
        #expect(
            try stage.counted { _ = try stage.kind("none") }
                == [.calls: 1, .operations: 1, .requestChunks: 1, .bytesIn: 4, .misses: 1])

        #expect(try exist(stage, ["set", "none", "scalar", "set"]) == [true, false, true, true])
        #expect(
            try stage.counted { _ = try exist(stage, ["set", "none", "scalar", "set"]) } == [
                .calls: 1, .operations: 4, .requestChunks: 4, .bytesIn: 16, .elementsIn: 4, .hits: 3, .misses: 1,
            ])
        #expect(try exist(stage, []) == [])
        #expect(try stage.counted { _ = try exist(stage, []) } == [.calls: 1, .operations: 1])
    }

    @Test func keysThatAreTooLongDoNotExist() throws {
        let stage = try CollectionStage(limits: [.maxKeyBytes: 4])
        #expect(throws: MartletError.tooLarge(limit: .maxKeyBytes, value: 4)) {
            try exist(stage, ["1234", "12345"])
        }
        #expect(try exist(stage, ["1234"]) == [false])
    }

    @Test func timesOfItemsAreChanged() throws {
        let stage = try CollectionStage(limits: [.defaultTTLSeconds: 100, .maxTTLSeconds: 1000])
        #expect(try update(stage, "k", seconds: 10, .always) == .absent)
        try stage.run("k", .setUnion(["a"], .usual))
        let start = stage.lane.now
        let table: [(UInt64, ExpiryRule, ExpiryOutcome, Int64)] = [
            (100, .onlyIfLater, .kept, 100), (101, .onlyIfLater, .changed, 101), (101, .onlyIfEarlier, .kept, 101),
            (99, .onlyIfEarlier, .changed, 99), (500, .always, .changed, 500), (1, .always, .changed, 1),
        ]
        for (seconds, rule, outcome, left) in table {
            var found: ExpiryOutcome?
            let counts = try stage.counted { found = try update(stage, "k", seconds: seconds, rule) }
            #expect(found == outcome)
            #expect(counts == [.calls: 1, .operations: 1, .requestChunks: 1, .bytesIn: 1])
            #expect(try stage.expiresAt("k") == start.adding(milliseconds: left * 1000))
        }
        let refused = try stage.counted {
            #expect(throws: MartletError.self) { try update(stage, "k", seconds: 1001, .always) }
        }
        #expect(refused == [.calls: 1, .clientErrors: 1, .operations: 1])
        stage.advance(seconds: 1)
        #expect(try update(stage, "k", seconds: 10, .always) == .absent)
    }

    @Test func aCallThatAsksNothingIsCounted() throws {
        let stage = try CollectionStage()
        let grant = try stage.grant()
        #expect(try stage.counted { stage.lane.recordCall(grant, .grpc) } == [.calls: 1, .operations: 1])
        try stage.fixture.control.deleteCache(CacheName(stage.cacheName), caller: stage.fixture.root)
        stage.lane.beginTick()
        // Its counters may be another's: nothing is added, and nothing traps.
        stage.lane.recordCall(grant, .grpc)
    }
}
