import Access
import Catalog
import Delivery
import Tenancy
import Testing

@testable import CacheService

struct ControlWebhookTests {
    let fixture: Fixture

    init() throws {
        fixture = try Fixture()
        try fixture.makeCache("shop")
    }

    private func order(
        _ name: String = "hook", cache: String = "shop", url: String = "https://hook.test/in"
    ) throws -> WebhookOrder {
        try WebhookOrder(name: WebhookName(name), cache: CacheName(cache), topic: TopicName("news"), url: url)
    }

    @Test func theSecretIsGivenReadReplacedAndKept() throws {
        let (control, root) = (fixture.control, fixture.root)
        let made = try control.putWebhook(try order(), caller: root)
        #expect(made.secret.count == 43)
        let shop = try CacheName("shop")
        #expect(try control.webhook(made.name, of: shop, caller: root).secret == made.secret)
        #expect(try control.putWebhook(try order(url: "http://h.test/"), caller: root).secret == made.secret)
        let rotated = try control.rotateWebhookSecret(made.name, of: shop, caller: root)
        #expect(rotated != made.secret && rotated.count == 43)
        #expect(try control.webhook(made.name, of: shop, caller: root).secret == rotated)
        #expect(try control.webhooks(of: shop, caller: root).map(\.url) == ["http://h.test/"])
        try control.deleteWebhook(made.name, of: shop, caller: root)
        #expect(try control.webhooks(of: shop, caller: root).isEmpty)
        #expect(throws: MartletError.notFound("Webhook")) {
            try control.deleteWebhook(made.name, of: shop, caller: root)
        }
        #expect(throws: MartletError.notFound("Webhook")) {
            try control.rotateWebhookSecret(made.name, of: shop, caller: root)
        }
        #expect(throws: MartletError.notFound("Webhook")) { try control.webhook(made.name, of: shop, caller: root) }
    }

    @Test func onlyAnAdministratorMayAndOnlyInItsOwnTenant() throws {
        let control = fixture.control
        _ = try control.putWebhook(try order(), caller: fixture.root)
        let (shop, hook) = (try CacheName("shop"), try WebhookName("hook"))
        let team = try fixture.makeTenant("team")
        for caller in [try fixture.makeDataKey(fixture.root), try fixture.makeToken(fixture.root)] {
            let refusal = MartletError.permissionDenied("managing webhooks needs a super-user key")
            #expect(throws: refusal) { try control.putWebhook(try order(), caller: caller) }
            #expect(throws: refusal) { try control.deleteWebhook(hook, of: shop, caller: caller) }
            #expect(throws: refusal) { try control.webhooks(of: shop, caller: caller) }
            #expect(throws: refusal) { try control.webhook(hook, of: shop, caller: caller) }
            #expect(throws: refusal) { try control.rotateWebhookSecret(hook, of: shop, caller: caller) }
        }
        #expect(throws: MartletError.cacheNotFound) { try control.webhooks(of: shop, caller: team) }
        #expect(throws: MartletError.cacheNotFound) { try control.deleteWebhook(hook, of: shop, caller: team) }
        #expect(try control.webhooks(of: shop, caller: fixture.root).count == 1)
    }

    @Test func anUnknownCacheIsSaidBeforeTheURLIsLookedAt() throws {
        #expect(throws: MartletError.cacheNotFound) {
            try fixture.control.putWebhook(try order(cache: "other", url: "nonsense"), caller: fixture.root)
        }
        let cache = try CacheName("other")
        #expect(throws: MartletError.cacheNotFound) { try fixture.control.webhooks(of: cache, caller: fixture.root) }
        #expect(throws: MartletError.cacheNotFound) {
            try fixture.control.rotateWebhookSecret(WebhookName("hook"), of: cache, caller: fixture.root)
        }
    }

    @Test(arguments: [
        ("ftp://hook.test/", "must begin with https:// or http://"),
        ("http://user:pass@hook.test/", "must not hold a user name or password"),
        ("http://127.0.0.1/", "must not be called: its host is a loopback address"),
        ("http://0x7f.1:8080/", "must not be called: its host is a loopback address"),
        ("http://[fe80::1]/", "must not be called: its host is link-local"),
        ("http://169.254.169.254/latest", "must not be called: its host is link-local"),
    ])
    func aURLThatCannotBeCalledIsRefused(url: String, reason: String) throws {
        #expect(throws: MartletError.invalidArgument(field: "post_url", reason: reason)) {
            try fixture.control.putWebhook(try order(url: url), caller: fixture.root)
        }
    }

    @Test func namesAreBounded() throws {
        _ = try WebhookName(String(repeating: "ü", count: 128))
        for text in ["", " ", "a\n", String(repeating: "x", count: 129)] {
            #expect(throws: MartletError.self, "\(text)") { try WebhookName(text) }
        }
    }
}
