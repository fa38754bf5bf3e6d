import Foundation
import GRDB
import Tenancy
import Testing

@testable import Catalog

/// The keys with which tenants sign.
struct CatalogSigningKeyTests {
    let directory: TestDirectory
    let clock = ManualClock()
    let catalog: Catalog
    let tenant: TenantID

    init() throws {
        directory = try TestDirectory()
        catalog = try Catalog(path: directory.path, clock: clock)
        tenant = try catalog.defaultTenant
    }

    @Test func keyIsFoundByItsIDUntilItIsRevoked() throws {
        let key = makeTenantSigningKey("one", tenant: tenant)
        try catalog.insertTenantSigningKey(key, actor: "r")
        #expect(catalog.snapshot.tenantSigningKey(kid: "one") == key)
        #expect(catalog.snapshot.signingKeys.isEmpty)
        #expect(try catalog.freshlyLoadedState() == catalog.snapshot.state)

        try catalog.revokeTenantSigningKey(kid: "one", tenant: tenant, actor: "r")
        #expect(catalog.snapshot.tenantSigningKey(kid: "one") == nil)
        #expect(try catalog.freshlyLoadedState() == catalog.snapshot.state)
        let events = try catalog.audit(of: tenant, PageRequest(limit: 2)).items
        #expect(events.map(\.action) == ["signing_key.revoke", "signing_key.create"])
        #expect(events.map(\.subject) == ["one", "one"])
        #expect(events.last?.detail == #"{"expires_at":\#(key.expiresAt.seconds)}"#)
    }

    @Test func onlyTheTenantsOwnKeyIsRevoked() throws {
        let (other, _) = try catalog.putTenant(try tenantName("other"), actor: "root")
        try catalog.insertTenantSigningKey(makeTenantSigningKey("one", tenant: tenant), actor: "r")
        try catalog.insertSigningKey(makeSigningKey("installation"), actor: "r")
        let version = catalog.currentVersion
        for (kid, owner) in [
            ("one", other.id), ("two", tenant), ("", tenant), ("one\0", tenant), ("installation", tenant),
        ] {
            #expect(throws: MartletError.notFound("Signing key")) {
                try catalog.revokeTenantSigningKey(kid: kid, tenant: owner, actor: "r")
            }
        }
        #expect(catalog.currentVersion == version)
    }

    @Test func aKeyIDIsGivenOnce() throws {
        try catalog.insertTenantSigningKey(makeTenantSigningKey("one", tenant: tenant), actor: "r")
        try catalog.insertSigningKey(makeSigningKey("installation"), actor: "r")
        for kid in ["one", "installation"] {
            #expect(throws: MartletError.alreadyExists("Signing key")) {
                try catalog.insertTenantSigningKey(makeTenantSigningKey(kid, tenant: tenant), actor: "r")
            }
        }
        #expect(throws: MartletError.notFound("Tenant")) {
            try catalog.insertTenantSigningKey(makeTenantSigningKey("two", tenant: TenantID(rawValue: 99)), actor: "r")
        }
    }

    @Test func listHoldsTheTenantsKeysInTheOrderOfMaking() throws {
        let (other, _) = try catalog.putTenant(try tenantName("other"), actor: "root")
        for number in 0..<5 {
            let owner = number == 2 ? other.id : tenant
            try catalog.insertTenantSigningKey(makeTenantSigningKey("kid \(9 - number)", tenant: owner), actor: "r")
        }
        let first = try catalog.tenantSigningKeys(of: tenant, PageRequest(limit: 3))
        #expect(first.items.map(\.kid) == ["kid 9", "kid 8", "kid 6"])
        let second = try catalog.tenantSigningKeys(of: tenant, PageRequest(limit: 3, nextToken: first.nextToken))
        #expect(second.items.map(\.kid) == ["kid 5"] && second.nextToken == nil)
        let token = PageCursor(list: .keys, key: 1).token
        #expect(throws: MartletError.self) {
            try catalog.tenantSigningKeys(of: tenant, PageRequest(limit: 3, nextToken: token))
        }
    }

    @Test func expiredKeysAreForgottenAMinuteLater() throws {
        let short = makeTenantSigningKey("short", tenant: tenant, lifetimeMinutes: 1)
        try catalog.insertTenantSigningKey(short, actor: "r")
        try catalog.insertTenantSigningKey(makeTenantSigningKey("long", tenant: tenant), actor: "r")
        let end = short.expiresAt.adding(milliseconds: 60_000)
        #expect(try catalog.purge(now: end.adding(milliseconds: -1)) == PurgeResult())
        #expect(try catalog.purge(now: end).tenantSigningKeys == 1)
        #expect(catalog.snapshot.tenantSigningKey(kid: "short") == nil)
        #expect(catalog.snapshot.tenantSigningKey(kid: "long") != nil)
        #expect(try catalog.freshlyLoadedState() == catalog.snapshot.state)
        #expect(try catalog.actions().first == "catalog.purge expired")
    }

    /// A file as the first version of the schema left it, with rows in it.
    @Test func aCatalogOfTheFirstSchemaOpensAndGetsTheTable() throws {
        let old = try TestDirectory()
        let queue = try DatabaseQueue(path: old.path)
        try queue.writeWithoutTransaction { database in
            try database.execute(sql: "PRAGMA application_id = \(CatalogSchema.applicationID)")
        }
        try CatalogSchema.migrator.migrate(queue, upTo: "1")
        try queue.write { database in
            #expect(try !database.tableExists("tenant_signing_keys"))
            try database.execute(
                sql: """
                    INSERT INTO tenants (name, limits, labels, created_at)
                        VALUES ('default', '{}', '{}', 1), ('team', '{}', '{}', 1);
                    INSERT INTO caches (tenant_id, name, limits, labels, compression, owner, created_at)
                        VALUES (2, 'shop', '{}', '{}', 'off', 'o', 1);
                    INSERT INTO signing_keys (kid, private_pem, public_pem, created_at)
                        VALUES ('k', 'private', 'public', 1)
                    """)
        }
        try queue.close()

        let opened = try Catalog(path: old.path, clock: clock)
        let team = try #require(opened.snapshot.tenant(try tenantName("team")))
        #expect(opened.snapshot.cache(tenant: team.id, name: try cacheName("shop")) != nil)
        #expect(opened.snapshot.currentSigningKey?.kid == "k")
        try opened.insertTenantSigningKey(makeTenantSigningKey("one", tenant: team.id), actor: "r")
        let state = opened.snapshot.state
        try opened.close()
        #expect(try Catalog(path: old.path, clock: clock).snapshot.state == state)
    }
}
