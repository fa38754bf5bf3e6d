import GRDB
import Tenancy
import Testing

@testable import Catalog

struct CatalogAuditTests {
    let directory: TestDirectory
    let catalog: Catalog

    init() throws {
        directory = try TestDirectory()
        catalog = try Catalog(path: directory.path, clock: testClock)
    }

    @Test func eventsAreNewestFirstAndATenantSeesItsOwn() throws {
        let (team, _) = try catalog.putTenant(try tenantName("team"), actor: "root")
        let home = try catalog.defaultTenant
        for number in 0..<5 {
            _ = try catalog.putCache(try cacheName("t\(number)"), tenant: team.id, owner: "o", actor: "a")
            _ = try catalog.putCache(try cacheName("h\(number)"), tenant: home, owner: "o", actor: "a")
        }
        var subjects: [String] = []
        var page = try PageRequest(limit: 4)
        while true {
            let answer = try catalog.audit(of: team.id, page)
            #expect(answer.items.allSatisfy { $0.tenant == team.id && $0.at == testClock.now() })
            subjects += answer.items.map(\.subject)
            guard let next = answer.nextToken else { break }
            page = try PageRequest(limit: 4, nextToken: next)
        }
        #expect(subjects == ["t4", "t3", "t2", "t1", "t0", "team"])
        #expect(try catalog.audit(of: nil, PageRequest()).items.count == 12)
    }

    @Test func eventsCanBeNeitherAlteredNorRemoved() throws {
        for sql in ["UPDATE audit SET actor = 'nobody'", "DELETE FROM audit"] {
            #expect(throws: DatabaseError.self) { try catalog.pool.write { try $0.execute(sql: sql) } }
        }
        #expect(try catalog.actions() == ["tenant.create default"])
    }

    @Test func falsePlacesInAListAreRefused() throws {
        let tenant = try catalog.defaultTenant
        for name in ["a", "b"] {
            _ = try catalog.putCache(try cacheName(name), tenant: tenant, owner: "o", actor: "a")
        }
        let caches = try #require(try catalog.caches(of: tenant, PageRequest(limit: 1)).nextToken)
        let events = try #require(try catalog.audit(of: nil, PageRequest(limit: 1)).nextToken)
        let malformed = MartletError.invalidArgument(
            field: "next_token", reason: "is not one that this list has given")
        let falseTokens = [
            "", "!", "a", "=", events, caches + "=", " " + caches, String(repeating: "Y", count: 513),
            PageCursor(list: .caches, key: "a\0b").token, "Y\u{301}",
        ]
        for token in falseTokens {
            #expect(throws: malformed, "\(token)") {
                try catalog.caches(of: tenant, PageRequest(nextToken: token))
            }
        }
        for token in [caches, PageCursor(list: .audit, key: "x").token, PageCursor(list: .audit, key: "").token] {
            #expect(throws: malformed) { try catalog.audit(of: nil, PageRequest(nextToken: token)) }
        }
        #expect(throws: malformed) { try catalog.tenants(PageRequest(nextToken: caches)) }
        #expect(throws: malformed) { try catalog.keys(of: tenant, PageRequest(nextToken: caches)) }
    }

    @Test func everyNameCanBeAPlaceInAList() throws {
        for name in ["a", "\u{301}x", "é", "🐦", String(repeating: "n", count: 255), String(repeating: "é", count: 127)]
        {
            let cursor = PageCursor(list: .caches, key: name)
            #expect(try PageCursor(token: cursor.token, list: .caches) == cursor)
            #expect(cursor.token.utf8.allSatisfy { $0 < 128 && $0 != 0x2B && $0 != 0x2F && $0 != 0x3D })
        }
    }

    @Test func aPageHasOneToAThousandItems() throws {
        for limit in [0, -1, 1001, Int.min, Int.max] {
            let error = #expect(throws: MartletError.self) { try PageRequest(limit: limit) }
            #expect(error?.field == "limit")
        }
        #expect(try PageRequest(limit: 1).limit == 1 && PageRequest(limit: 1000).limit == 1000)
        #expect(try PageRequest().limit == 100)
    }
}
