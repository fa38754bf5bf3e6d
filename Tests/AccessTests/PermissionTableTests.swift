import Access
import Tenancy
import Testing

/// The whole authorization table, stated a second time and independently: if code and test differ, one of them is
/// wrong.
@Suite struct PermissionTableTests {
    /// Operation, then whether read-only, write-only and read-write allow it, then what it must be allowed on.
    private static let table: [(CacheOperation, String, OperationRule.Target)] = [
        (.get, "r-b", .item), (.getWithHash, "r-b", .item), (.keysExist, "r-b", .item),
        (.itemGetTTL, "r-b", .item), (.itemGetType, "r-b", .item),
        (.dictionaryGet, "r-b", .item), (.dictionaryFetch, "r-b", .item), (.dictionaryLength, "r-b", .item),
        (.setFetch, "r-b", .item), (.setSample, "r-b", .item), (.setContains, "r-b", .item), (.setLength, "r-b", .item),
        (.listFetch, "r-b", .item), (.listLength, "r-b", .item),
        (.sortedSetFetch, "r-b", .item), (.sortedSetGetScore, "r-b", .item), (.sortedSetGetRank, "r-b", .item),
        (.sortedSetLength, "r-b", .item), (.sortedSetLengthByScore, "r-b", .item),
        (.leaderboardRead, "r-b", .item),

        (.set, "-wb", .item), (.delete, "-wb", .item), (.updateTTLOverwrite, "-wb", .item),
        (.dictionarySet, "-wb", .item), (.dictionaryDelete, "-wb", .item),
        (.setUnion, "-wb", .item), (.setDifference, "-wb", .item),
        (.sortedSetPut, "-wb", .item), (.sortedSetRemove, "-wb", .item),
        (.leaderboardWrite, "-wb", .item),

        (.updateTTLConditional, "--b", .item),
        (.setIf, "--b", .item), (.setIfHash, "--b", .item), (.deleteIf, "--b", .item),
        (.increment, "--b", .item), (.dictionaryIncrement, "--b", .item), (.sortedSetIncrement, "--b", .item),
        (.listPushFront, "--b", .item), (.listPushBack, "--b", .item),
        (.listConcatenateFront, "--b", .item), (.listConcatenateBack, "--b", .item),
        (.listRemove, "--b", .item), (.listRetain, "--b", .item), (.listErase, "--b", .item),
        (.listPopFront, "--b", .item), (.listPopBack, "--b", .item), (.setPop, "--b", .item),
        (.sortedSetUnionStore, "--b", .item),

        (.scan, "r-b", .everyItem), (.size, "r-b", .everyItem), (.randomKey, "r-b", .everyItem),
        (.flush, "-wb", .everyItem),

        (.publish, "-wb", .topic), (.subscribe, "r-b", .topic),

        (.ping, "rwb", .nothing),
    ]

    private static let letters: [Role: Character] = [.readOnly: "r", .writeOnly: "w", .readWrite: "b"]

    /// A statement's selector, what it covers in the test, and what it does not.
    private static let key = Array("cart:1".utf8)

    @Test func statesEveryOperationOnce() {
        #expect(Self.table.count == CacheOperation.allCases.count)
        #expect(Set(Self.table.map(\.0)) == Set(CacheOperation.allCases))
    }

    @Test(arguments: Role.allCases)
    func everyRoleOnEverySelectorAllowsWhatTheTableSays(_ role: Role) throws {
        let resources: [(Permission.Resource, OperationRule.Target, coversAll: Bool, coversKey: Bool)] = [
            (.items(.all), .item, true, true),
            (.items(.key(Self.key)), .item, false, true),
            (.items(.key(Array("cart:2".utf8))), .item, false, false),
            (.items(.key(Array("cart".utf8))), .item, false, false),
            (.items(.key(Array("cart:11".utf8))), .item, false, false),
            (.items(.keyPrefix(Array("cart:".utf8))), .item, false, true),
            (.items(.keyPrefix(Self.key)), .item, false, true),
            (.items(.keyPrefix(Array("cart:11".utf8))), .item, false, false),
            (.items(.keyPrefix(Array("dart:".utf8))), .item, false, false),
            (.topics(.all), .topic, true, true),
            (.topics(.named("cart:1")), .topic, false, true),
            (.topics(.named("cart:")), .topic, false, false),
            (.topics(.prefix("cart:")), .topic, false, true),
            (.topics(.prefix("cart:11")), .topic, false, false),
        ]
        let letter = try #require(Self.letters[role])
        let shop = try CacheName("shop")
        let other = try CacheName("other")
        for (operation, allowed, target) in Self.table {
            for (resource, resourceTarget, coversAll, coversKey) in resources {
                for cache in [CacheSelector.all, .named(shop), .named(other)] {
                    let set = try PermissionSet(validating: [Permission(role, cache: cache, resource)])
                    let isRole = allowed.contains(letter)
                    let isCache = cache != .named(other)
                    let isTarget =
                        switch target {
                        case .item, .topic: resourceTarget == target
                        case .everyItem: resourceTarget == .item
                        case .nothing: true
                        }
                    let withKey: Bool
                    let withoutKey: Bool
                    switch target {
                    case .nothing: (withKey, withoutKey) = (true, true)
                    case .everyItem:
                        (withKey, withoutKey) = (
                            isRole && isCache && isTarget && coversAll, isRole && isCache && isTarget && coversAll
                        )
                    case .item, .topic:
                        (withKey, withoutKey) = (
                            isRole && isCache && isTarget && coversKey, isRole && isCache && isTarget && coversAll
                        )
                    }
                    let comment: Comment = "\(operation) \(role) \(resource) \(cache)"
                    Self.key.withUnsafeBytes { key in
                        #expect(set.allows(operation, cache: shop, key: key) == withKey, comment)
                        #expect(set.allows(operation, cache: shop, key: nil) == withoutKey, comment)
                        #expect(set.scope(for: shop).allows(operation, key: key) == withKey, comment)
                        #expect(set.scope(for: shop).allows(operation, key: nil) == withoutKey, comment)
                    }
                }
            }
        }
    }

    @Test func superUserMayDoEverythingWithData() throws {
        let shop = try CacheName("shop")
        for operation in CacheOperation.allCases {
            Self.key.withUnsafeBytes { key in
                #expect(Grant.superUser.allows(operation, cache: shop, key: key))
                #expect(Grant.superUser.allows(operation, cache: shop, key: nil))
                #expect(Grant.superUser.scope(for: shop).allows(operation, key: key))
                #expect(Grant.superUser.scope(for: shop).allows(operation, key: nil))
            }
        }
    }

    @Test func allDataReadWriteIsEveryOperationOnData() throws {
        let shop = try CacheName("shop")
        for operation in CacheOperation.allCases {
            Self.key.withUnsafeBytes { key in
                #expect(PermissionSet.allDataReadWrite.allows(operation, cache: shop, key: key))
            }
        }
    }

    /// Control operation, then the callers that may.
    private static let controlTable: [(ControlOperation, Set<Caller.Kind>)] = [
        (.manageTenants, [.root]), (.managePlans, [.root]),
        (.mintSuperUserKey, [.root]), (.rotateSigningKeys, [.root]),
        (.manageCaches, [.root, .superUser]), (.flushCache, [.root, .superUser]),
        (.mintDataKey, [.root, .superUser]), (.mintToken, [.root, .superUser]),
        (.manageCredentials, [.root, .superUser]), (.manageWebhooks, [.root, .superUser]),
        (.listSigningKeys, [.root, .superUser]), (.manageTenantSigningKeys, [.root, .superUser]),
        (.readUsage, [.root, .superUser]), (.readAudit, [.root, .superUser]),
    ]

    @Test func controlOperationsAreForRootEverywhereAndForASuperUserAtHome() throws {
        #expect(Set(Self.controlTable.map(\.0)) == Set(ControlOperation.allCases))
        let home = TenantID(rawValue: 7)
        let abroad = TenantID(rawValue: 8)
        let callers = try Callers.everyKind(tenant: home)
        for (operation, allowed) in Self.controlTable {
            for caller in callers {
                let atHome = failure { () throws(MartletError) in try caller.require(operation, in: home) }
                let away = failure { () throws(MartletError) in try caller.require(operation, in: abroad) }
                #expect((atHome == nil) == allowed.contains(caller.kind), "\(operation) \(caller.kind)")
                #expect((away == nil) == (caller.kind == .root), "\(operation) \(caller.kind)")
                for refusal in [atHome, away].compactMap(\.self) {
                    #expect(refusal.message.contains("Insufficient permissions"))
                }
            }
        }
    }
}

enum Callers {
    static func superUser(tenant: TenantID) -> Caller {
        .apiKey(id: "k1", tenant: tenant, tokenID: nil, expiresAt: nil, grant: .superUser)
    }

    static func dataKey(tenant: TenantID) -> Caller {
        .apiKey(id: "k2", tenant: tenant, tokenID: nil, expiresAt: nil, grant: .permissions(.allDataReadWrite))
    }

    static func everyKind(tenant: TenantID) throws -> [Caller] {
        let callers = [
            .root(defaultTenant: tenant), superUser(tenant: tenant), dataKey(tenant: tenant),
            Caller.token(try Vectors.claims()),
        ]
        #expect(Set(callers.map(\.kind)) == Set(Caller.Kind.allCases))
        return callers
    }
}
