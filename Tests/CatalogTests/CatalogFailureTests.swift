import GRDB
import Tenancy
import Testing

@testable import Catalog

struct CatalogFailureTests {
    @Test func aFullDiskChangesNothingAndLaterChangesGoOn() throws {
        let directory = try TestDirectory()
        let catalog = try Catalog(path: directory.path, clock: testClock)
        let tenant = try catalog.defaultTenant
        try limitPages(of: catalog, toWhatThereIs: true)

        var stored = 0
        var refusal: MartletError?
        while refusal == nil, stored < 10_000 {
            let before = catalog.snapshot
            do throws(MartletError) {
                _ = try catalog.putCache(
                    try CacheName("cache \(stored)"), tenant: tenant, labels: ["x": String(repeating: "y", count: 255)],
                    owner: "o", actor: "a")
                stored += 1
            } catch {
                refusal = error
                #expect(catalog.snapshot === before)
            }
        }
        #expect(
            refusal == .unavailable("the catalog cannot be written, for the disk is full: nothing was changed"))
        #expect(catalog.snapshot.cacheCount == stored)
        #expect(try catalog.freshlyLoadedState() == catalog.snapshot.state)
        // Reading goes on meanwhile.
        #expect(try catalog.caches(of: tenant, PageRequest()).items.count == min(stored, 100))

        try limitPages(of: catalog, toWhatThereIs: false)
        let (_, created) = try catalog.putCache(try cacheName("at last"), tenant: tenant, owner: "o", actor: "a")
        #expect(created)
        #expect(catalog.snapshot.cacheCount == stored + 1)
        #expect(try catalog.freshlyLoadedState() == catalog.snapshot.state)
    }

    @Test func aLargeChangeOnAFullDiskIsUndoneAsAWhole() throws {
        let directory = try TestDirectory()
        let catalog = try Catalog(path: directory.path, clock: testClock)
        let name = try tenantName("team")
        let (team, _) = try catalog.putTenant(name, actor: "root")
        try limitPages(of: catalog, toWhatThereIs: true)
        let before = catalog.snapshot
        let events = try catalog.actions()
        // The key and its audit event need more than the pages that are there.
        let key = APIKeyRecord(
            id: "big", tenant: team.id, hash: makeHash("big"), refreshHash: nil, format: .v1,
            grant: Array(repeating: 0x20, count: 100_000), isSuperUser: false, tokenID: nil, description: nil,
            createdAt: testClock.now(), expiresAt: nil, durationSeconds: nil)
        #expect(throws: MartletError.self) { try catalog.insertKey(key, actor: "root") }
        #expect(catalog.snapshot === before)
        #expect(try catalog.actions() == events)
        #expect(try catalog.freshlyLoadedState() == before.state)
    }

    @Test func aClosedCatalogRefusesAndKeepsItsSnapshot() throws {
        let directory = try TestDirectory()
        let catalog = try Catalog(path: directory.path, clock: testClock)
        let tenant = try catalog.defaultTenant
        try catalog.close()
        #expect(throws: MartletError.unavailable("the catalog is not available")) {
            try catalog.putCache(try cacheName("shop"), tenant: tenant, owner: "o", actor: "a")
        }
        #expect(throws: MartletError.unavailable("the catalog is not available")) {
            try catalog.tenants(PageRequest())
        }
        #expect(catalog.snapshot.tenantCount == 1)
        try catalog.close()
    }

    @Test func aFailureNamesNeitherPathNorRow() {
        let codes: [ResultCode] = [
            .SQLITE_FULL, .SQLITE_IOERR, .SQLITE_CORRUPT, .SQLITE_BUSY, .SQLITE_READONLY, .SQLITE_CONSTRAINT,
        ]
        for code in codes {
            let failure = DatabaseError(resultCode: code, message: "secret", sql: "secret", arguments: ["secret"])
            let error = MartletError(catalogFailure: failure)
            #expect(error.row.httpStatus >= 500)
            #expect(error.message.hasPrefix("the catalog ") && !error.message.contains("secret"))
        }
    }

    private func limitPages(of catalog: Catalog, toWhatThereIs isLimited: Bool) throws {
        try catalog.pool.writeWithoutTransaction { database in
            let count = try Int.fetchOne(database, sql: "PRAGMA page_count") ?? 0
            _ = try Int.fetchOne(database, sql: "PRAGMA max_page_count = \(isLimited ? count : 1_000_000)")
        }
    }
}
