import GRDB
import Tenancy
import Testing

@testable import Catalog

struct CatalogWebhookTests {
    let directory: TestDirectory
    let catalog: Catalog
    let tenant: TenantID
    let shop: CacheName

    init() throws {
        directory = try TestDirectory()
        catalog = try Catalog(path: directory.path, clock: testClock)
        tenant = try catalog.defaultTenant
        shop = try cacheName("shop")
        _ = try catalog.putCache(shop, tenant: tenant, owner: "o", actor: "a")
    }

    @discardableResult
    private func put(
        _ name: String, topic: String = "news", url: String = "https://hook.test/in?token=t0p",
        secret: String = "s3cret",
        of cache: CacheName? = nil
    ) throws -> (record: WebhookRecord, created: Bool) {
        try catalog.putWebhook(
            WebhookName(name), of: cache ?? shop, tenant: tenant, topic: TopicName(topic), url: url, secret: secret,
            actor: "key")
    }

    private var all: [WebhookRecord] {
        catalog.snapshot.cache(tenant: tenant, name: shop).map { catalog.snapshot.webhooks(of: $0.id) } ?? []
    }

    @Test func aWebhookIsMadeChangedAndDeleted() throws {
        let (made, created) = try put("first")
        #expect(created && made.secret == "s3cret" && made.createdAt == testClock.now())
        #expect(all == [made])

        let (changed, isNew) = try put("first", topic: "other", url: "http://hook.test", secret: "another")
        #expect(!isNew && changed.id == made.id && changed.topic.text == "other" && changed.url == "http://hook.test")
        // Who replaces a webhook does not change what its receiver checks.
        #expect(changed.secret == "s3cret")
        let version = catalog.currentVersion
        #expect(try put("first", topic: "other", url: "http://hook.test").record == changed)
        #expect(catalog.currentVersion == version)

        try catalog.setSecret("rotated", of: made.name, of: shop, tenant: tenant, actor: "key")
        #expect(all.map(\.secret) == ["rotated"])
        #expect(try catalog.freshlyLoadedState() == catalog.snapshot.state)

        try catalog.deleteWebhook(made.name, of: shop, tenant: tenant, actor: "key")
        #expect(all.isEmpty && catalog.snapshot.webhooks.isEmpty)
        #expect(throws: MartletError.notFound("Webhook")) {
            try catalog.deleteWebhook(made.name, of: shop, tenant: tenant, actor: "key")
        }
        #expect(throws: MartletError.notFound("Webhook")) {
            try catalog.setSecret("x", of: made.name, of: shop, tenant: tenant, actor: "key")
        }
        #expect(try put("first").record.id != made.id)
    }

    @Test func eventsHoldNeitherTheSecretNorThePathOfTheURL() throws {
        try put("first")
        try put("first", topic: "other")
        try catalog.setSecret("s3cond", of: WebhookName("first"), of: shop, tenant: tenant, actor: "key")
        try catalog.deleteWebhook(WebhookName("first"), of: shop, tenant: tenant, actor: "key")
        let events = try catalog.audit(of: tenant, PageRequest()).items.filter { $0.action.hasPrefix("webhook.") }
        #expect(
            events.map(\.action) == ["webhook.delete", "webhook.rotate_secret", "webhook.update", "webhook.create"])
        for event in events {
            #expect(event.subject == "first" && event.actor == "key")
            #expect(
                event.detail.contains(#""cache":"shop""#) && event.detail.contains(#""origin":"https://hook.test""#))
            for secret in ["s3cret", "s3cond", "t0p", "/in"] { #expect(!event.detail.contains(secret)) }
        }
    }

    @Test func aRecordShowsNoSecret() throws {
        let (record, _) = try put("first")
        var dumped = ""
        dump([record], to: &dumped)
        for text in ["\(record)", "\([record])", String(reflecting: [record]), dumped] {
            #expect(!text.contains("s3cret") && !text.contains("t0p"))
        }
    }

    @Test func aCacheHasNoMoreThanItsShare() throws {
        for number in 0..<WebhookLimits.perCache { try put("w\(number)") }
        let refusal = MartletError.tooMany("webhooks of a cache", limit: WebhookLimits.perCache)
        #expect(throws: refusal) { try put("one more") }
        // One that is there is changed all the same, and another cache has a share of its own.
        #expect(try put("w3", topic: "other").created == false)
        let second = try cacheName("second")
        _ = try catalog.putCache(second, tenant: tenant, owner: "o", actor: "a")
        #expect(try put("w0", of: second).created)
        #expect(catalog.snapshot.webhooks.count == WebhookLimits.perCache + 1)
    }

    @Test func aCacheTakesItsWebhooksWithIt() throws {
        try put("first")
        try catalog.deleteCache(shop, tenant: tenant, actor: "a")
        #expect(catalog.snapshot.webhooks.isEmpty)
        #expect(throws: MartletError.cacheNotFound) { try put("first") }
        _ = try catalog.putCache(shop, tenant: tenant, owner: "o", actor: "a")
        #expect(all.isEmpty)

        let (team, _) = try catalog.putTenant(try tenantName("team"), actor: "root")
        _ = try catalog.putCache(shop, tenant: team.id, owner: "o", actor: "a")
        _ = try catalog.putWebhook(
            WebhookName("w"), of: shop, tenant: team.id, topic: TopicName("t"), url: "http://h.test/", secret: "s",
            actor: "a")
        try catalog.deleteTenant(try tenantName("team"), actor: "root")
        #expect(catalog.snapshot.webhooks.isEmpty)
        let rows = try catalog.read { try Int.fetchOne($0, sql: "SELECT count(*) FROM webhooks") }
        #expect(rows == 0)
    }

    @Test func whatWasMadeIsThereAfterARestart() throws {
        try put("first")
        try put("second")
        let state = catalog.snapshot.state
        try catalog.close()
        let again = try Catalog(path: directory.path, clock: testClock)
        #expect(again.snapshot.state == state)
        #expect(again.snapshot.webhooks.map(\.name.text) == ["first", "second"])
    }

    @Test func aFileOfTheVersionBeforeIsBroughtUpToThisOne() throws {
        let old = try TestDirectory()
        let queue = try DatabaseQueue(path: old.path)
        try queue.writeWithoutTransaction {
            try $0.execute(sql: "PRAGMA application_id = \(CatalogSchema.applicationID)")
        }
        try CatalogSchema.migrator.migrate(queue, upTo: "1")
        try queue.write { database in
            #expect(try !database.tableExists("webhooks"))
            try database.execute(
                sql: """
                    INSERT INTO tenants (name, limits, labels, created_at) VALUES ('default', '{}', '{}', 1);
                    INSERT INTO caches (tenant_id, name, limits, labels, compression, owner, created_at)
                    VALUES (1, 'shop', '{}', '{}', 'off', 'o', 1)
                    """)
        }
        try queue.close()
        let catalog = try Catalog(path: old.path, clock: testClock)
        #expect(catalog.snapshot.caches.map(\.name.text) == ["shop"] && catalog.snapshot.webhooks.isEmpty)
        _ = try catalog.putWebhook(
            WebhookName("w"), of: shop, tenant: try catalog.defaultTenant, topic: TopicName("t"), url: "http://h.test/",
            secret: "s", actor: "a")
        #expect(try catalog.freshlyLoadedState() == catalog.snapshot.state)
    }

    @Test(arguments: [
        "UPDATE webhooks SET cache_id = 77", "UPDATE webhooks SET name = ''", "UPDATE webhooks SET topic = ' '",
        "UPDATE webhooks SET id = -1", "UPDATE caches SET deleted_at = 1",
    ])
    func rowsThatCannotBeAreDamage(sql: String) throws {
        try put("first")
        try catalog.close()
        var configuration = Configuration()
        configuration.foreignKeysEnabled = false
        let queue = try DatabaseQueue(path: directory.path, configuration: configuration)
        try queue.write { try $0.execute(sql: sql) }
        try queue.close()
        do throws(CatalogError) {
            _ = try Catalog(path: directory.path, clock: testClock)
            Issue.record("was taken")
        } catch {
            guard case .damaged = error else { Issue.record("\(error)"); return }
        }
    }
}
