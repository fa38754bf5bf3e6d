import Access
import Tenancy
import Testing

@Suite struct PermissionSetTests {
    private func key(_ text: String) -> Permission.Resource { .items(.key(Array(text.utf8))) }

    @Test func unionOfStatementsAllowsWhatAnyOfThemAllows() throws {
        let shop = try CacheName("shop")
        let set = try PermissionSet(validating: [
            Permission(.readOnly, cache: .all, .items(.all)),
            Permission(.writeOnly, cache: .named(shop), .items(.keyPrefix(Array("in:".utf8)))),
        ])
        Array("in:1".utf8).withUnsafeBytes { key in
            #expect(set.allows(.get, cache: shop, key: key))
            #expect(set.allows(.set, cache: shop, key: key))
            // Two roles do not add up to the third.
            #expect(!set.allows(.increment, cache: shop, key: key))
            #expect(!set.scope(for: shop).allows(.increment, key: key))
        }
        Array("out:1".utf8).withUnsafeBytes { key in
            #expect(set.allows(.get, cache: shop, key: key))
            #expect(!set.allows(.set, cache: shop, key: key))
        }
    }

    @Test func scopeOfAnotherCacheIsEmpty() throws {
        let set = try PermissionSet(validating: [Permission(.readWrite, cache: try named("shop"), .items(.all))])
        let scope = set.scope(for: try CacheName("other"))
        for operation in CacheOperation.allCases where operation != .ping {
            #expect(!scope.allows(operation, key: UnsafeRawBufferPointer(start: nil, count: 0)))
        }
    }

    @Test func emptyKeyIsCoveredByAllItemsOnly() throws {
        let shop = try CacheName("shop")
        let some = try PermissionSet(validating: [
            Permission(.readWrite, cache: .all, key("a")), Permission(.readWrite, cache: .all, .items(.keyPrefix([0]))),
        ])
        let all = try PermissionSet(validating: [Permission(.readWrite, cache: .all, .items(.all))])
        let empty = UnsafeRawBufferPointer(start: nil, count: 0)
        #expect(!some.allows(.get, cache: shop, key: empty))
        #expect(!some.scope(for: shop).allows(.get, key: empty))
        #expect(all.allows(.get, cache: shop, key: empty))
        #expect(all.scope(for: shop).allows(.get, key: empty))
    }

    @Test func namesThatOnlyLookEqualAreDifferent() throws {
        let composed = try CacheName("caf\u{E9}")
        let decomposed = try CacheName("cafe\u{301}")
        let set = try PermissionSet(validating: [
            Permission(.readWrite, cache: .named(composed), .items(.all)),
            Permission(.readWrite, cache: .all, .topics(.named("\u{E9}"))),
            Permission(.readWrite, cache: .all, .topics(.named("e\u{301}"))),
        ])
        #expect(set.allows(.size, cache: composed, key: nil))
        #expect(!set.allows(.size, cache: decomposed, key: nil))
    }

    @Test func emptyListIsRefused() {
        #expect(throws: MartletError.invalidArgument(field: "permissions", reason: "must not be empty")) {
            try PermissionSet(validating: [])
        }
    }

    @Test func twentyStatementsAreAllowedAndTwentyOneAreNot() throws {
        let many = (0..<21).map { Permission(.readOnly, cache: .all, key("k\($0)")) }
        #expect(try PermissionSet(validating: Array(many.prefix(20))).permissions.count == 20)
        #expect(
            throws: MartletError.invalidArgument(
                field: "permissions", reason: "must hold at most 20 statements, holds 21")
        ) { try PermissionSet(validating: many) }
    }

    @Test func twoStatementsForOneResourceAreRefusedWhateverTheirRoles() throws {
        let resources: [Permission.Resource] = [
            .items(.all), key("a"), .items(.keyPrefix([97])), .topics(.all), .topics(.named("a")),
            .topics(.prefix("a")),
        ]
        for cache in [CacheSelector.all, try named("shop")] {
            for resource in resources {
                for role in Role.allCases {
                    #expect(
                        throws: MartletError.invalidArgument(
                            field: "permissions[1]", reason: "is for the same resource as permissions[0]")
                    ) {
                        try PermissionSet(validating: [
                            Permission(.readOnly, cache: cache, resource), Permission(role, cache: cache, resource),
                        ])
                    }
                }
            }
        }
        // Different resources that overlap are what the union is for.
        let overlapping = resources.map { Permission(.readOnly, cache: .all, $0) }
        let named = try resources.map { Permission(.readOnly, cache: try AccessTests.named("shop"), $0) }
        #expect(try PermissionSet(validating: overlapping + named).permissions.count == 12)
    }

    @Test func selectorsThatOtherFormsWouldReadAsAllAreRefused() throws {
        let wrong: [(Permission, String)] = [
            (Permission(.readOnly, cache: try named("*"), .items(.all)), "permissions[0].cache"),
            (Permission(.readOnly, cache: .all, .topics(.named("*"))), "permissions[0].topic"),
            (Permission(.readOnly, cache: .all, .topics(.named(""))), "permissions[0].topic"),
            (Permission(.readOnly, cache: .all, .topics(.named("a\u{0}"))), "permissions[0].topic"),
            (Permission(.readOnly, cache: .all, .topics(.prefix(""))), "permissions[0].topic_prefix"),
            (Permission(.readOnly, cache: .all, .items(.key([]))), "permissions[0].key"),
            (Permission(.readOnly, cache: .all, .items(.keyPrefix([]))), "permissions[0].key_prefix"),
            (
                Permission(.readOnly, cache: .all, .items(.key(Array(repeating: 0, count: 65_537)))),
                "permissions[0].key"
            ),
        ]
        for (permission, field) in wrong {
            #expect(
                failure { () throws(MartletError) in _ = try PermissionSet(validating: [permission]) }?.field == field)
        }
    }

    /// The data path's form against the plain one, on random statements and random requests.
    @Test(arguments: 0..<30)
    func scopeAgreesWithTheStatements(_ seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        let set = try #require(try Samples.set(&generator))
        let caches = try ["a", "b", "é"].map { try CacheName($0) }
        for _ in 0..<300 {
            let cache = caches[Int.random(in: caches.indices, using: &generator)]
            let key = Samples.key(&generator)
            let scope = set.scope(for: cache)
            for operation in CacheOperation.allCases {
                key.withUnsafeBytes { key in
                    #expect(scope.allows(operation, key: key) == set.allows(operation, cache: cache, key: key))
                }
                #expect(scope.allows(operation, key: nil) == set.allows(operation, cache: cache, key: nil))
            }
        }
    }
}

/// Random permissions over few names, so that they often meet.
enum Samples {
    static func key(_ generator: inout SeededGenerator) -> [UInt8] {
        let letters: [UInt8] = [97, 98, 0, 0xC3, 0xA9, 0xFF, 34]
        return (0..<Int.random(in: 1...3, using: &generator)).map { _ in
            letters[Int.random(in: letters.indices, using: &generator)]
        }
    }

    static func permission(_ generator: inout SeededGenerator) throws -> Permission {
        let role = Role.allCases[Int.random(in: 0..<3, using: &generator)]
        let caches: [CacheSelector] = [.all, try named("a"), try named("b"), try named("é")]
        let topics = ["a", "ab", "é", "\"", "a/b"]
        let topic = topics[Int.random(in: topics.indices, using: &generator)]
        let resources: [Permission.Resource] = [
            .items(.all), .items(.key(key(&generator))), .items(.keyPrefix(key(&generator))), .topics(.all),
            .topics(.named(topic)), .topics(.prefix(topic)),
        ]
        return Permission(
            role, cache: caches[Int.random(in: caches.indices, using: &generator)],
            resources[Int.random(in: resources.indices, using: &generator)]
        )
    }

    /// Nil never: a single statement is valid, so the loop ends.
    static func set(_ generator: inout SeededGenerator) throws -> PermissionSet? {
        for _ in 0..<1000 {
            let count = Int.random(in: 1...8, using: &generator)
            let permissions = try (0..<count).map { _ in try permission(&generator) }
            if let set = try? PermissionSet(validating: permissions) { return set }
        }
        return nil
    }
}
