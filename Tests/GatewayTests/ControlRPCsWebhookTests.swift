import Access
import CacheService
import Catalog
import SwiftProtobuf
import Tenancy
import Testing
import Wire

@testable import Gateway

struct ControlRPCsWebhookTests {
    let fixture: AdminRoutesFixture

    init() throws {
        fixture = try AdminRoutesFixture()
        _ = try fixture.control.putCache(CacheName("shop"), CacheChange(), caller: fixture.root)
    }

    private func call<Response: SwiftProtobuf.Message>(
        _ rpc: ControlRPC, _ request: some SwiftProtobuf.Message, as type: Response.Type, caller: Caller? = nil
    ) throws -> Response {
        try Response(serializedBytes: try respond(rpc, try request.serializedBytes(), caller: caller))
    }

    private func respond(_ rpc: ControlRPC, _ message: [UInt8], caller: Caller? = nil) throws -> [UInt8] {
        try ControlRPCs(control: fixture.control).respondToWebhookCall(
            rpc, message: message, caller: caller ?? fixture.root)
    }

    private func id(_ name: String = "hook", of cache: String = "shop") -> Webhook_WebhookId {
        Webhook_WebhookId.with {
            $0.cacheName = cache
            $0.webhookName = name
        }
    }

    private func put(
        _ id: Webhook_WebhookId? = nil, topic: String = "news", url: String? = "https://hook.test/in"
    ) -> Webhook_PutWebhookRequest {
        Webhook_PutWebhookRequest.with {
            $0.webhook.webhookID = id ?? self.id()
            $0.webhook.topicName = topic
            if let url { $0.webhook.destination.postURL = url }
        }
    }

    @Test func theLifeOfAWebhook() throws {
        let secret = try call(.putWebhook, put(), as: Webhook_PutWebhookResponse.self).secretString
        #expect(!secret.isEmpty)
        #expect(try call(.putWebhook, put(topic: "other"), as: Webhook_PutWebhookResponse.self).secretString == secret)

        let list = Webhook_ListWebhookRequest.with { $0.cacheName = "shop" }
        let listed = try call(.listWebhooks, list, as: Webhook_ListWebhooksResponse.self).webhook
        #expect(listed == [put(topic: "other").webhook])

        let question = Webhook_GetWebhookSecretRequest.with {
            $0.cacheName = "shop"
            $0.webhookName = "hook"
        }
        let answer = try call(.getWebhookSecret, question, as: Webhook_GetWebhookSecretResponse.self)
        #expect(answer.cacheName == "shop" && answer.webhookName == "hook" && answer.secretString == secret)

        let rotation = Webhook_RotateWebhookSecretRequest.with { $0.webhookID = id() }
        let rotated = try call(.rotateWebhookSecret, rotation, as: Webhook_RotateWebhookSecretResponse.self)
        #expect(rotated.secretString != secret)
        let now = try call(.getWebhookSecret, question, as: Webhook_GetWebhookSecretResponse.self).secretString
        #expect(now == rotated.secretString)

        let deletion = Webhook_DeleteWebhookRequest.with { $0.webhookID = id() }
        #expect(try respond(.deleteWebhook, try deletion.serializedBytes()).isEmpty)
        #expect(try respond(.listWebhooks, try list.serializedBytes()).isEmpty)
        #expect(throws: MartletError.notFound("Webhook")) {
            try respond(.deleteWebhook, try deletion.serializedBytes())
        }
    }

    @Test func whatIsWrongIsNamedByItsField() throws {
        let cases: [(Webhook_PutWebhookRequest, String)] = [
            (Webhook_PutWebhookRequest(), "webhook.webhook_id.cache_name"),
            (put(id("hook", of: "")), "webhook.webhook_id.cache_name"),
            (put(id("")), "webhook.webhook_id.webhook_name"),
            (put(id(String(repeating: "x", count: 129))), "webhook.webhook_id.webhook_name"),
            (put(topic: ""), "webhook.topic_name"), (put(url: nil), "webhook.destination"), (put(url: ""), "post_url"),
            (put(url: "http://127.0.0.1/"), "post_url"),
        ]
        for (request, field) in cases {
            do throws(MartletError) {
                _ = try ControlRPCs(control: fixture.control).respondToWebhookCall(
                    .putWebhook, message: (try? request.serializedBytes()) ?? [], caller: fixture.root)
                Issue.record("\(field) was taken")
            } catch {
                #expect(error.field == field)
                #expect(error.row.grpcStatus == 3)
            }
        }
    }

    @Test(
        arguments: [.putWebhook, .deleteWebhook, .listWebhooks, .getWebhookSecret, .rotateWebhookSecret] as [ControlRPC]
    )
    func eachCallIsForAdministratorsAndReadsItsMessage(rpc: ControlRPC) throws {
        let message =
            switch rpc {
            case .putWebhook: "_PutWebhookRequest"
            case .deleteWebhook: "_DeleteWebhookRequest"
            case .listWebhooks: "_ListWebhookRequest"
            case .getWebhookSecret: "_GetWebhookSecretRequest"
            default: "_RotateWebhookSecretRequest"
            }
        #expect(throws: MartletError.malformed("the message is not a webhook.\(message)")) {
            try respond(rpc, [0x0A, 0xFF])
        }
        let key = try fixture.control.mintKey(
            KeyOrder(format: .v2, grant: .permissions(.allDataReadWrite)), caller: fixture.root)
        let caller = Caller.apiKey(
            id: key.record.id, tenant: fixture.root.tenant, tokenID: nil, expiresAt: nil,
            grant: .permissions(.allDataReadWrite))
        // The credential is judged before the message.
        #expect(throws: MartletError.permissionDenied("managing webhooks needs a super-user key")) {
            try respond(rpc, [0x0A, 0xFF], caller: caller)
        }
    }

    @Test func anUnknownCacheIsNotFound() throws {
        #expect(throws: MartletError.cacheNotFound) {
            try respond(.putWebhook, try put(id("hook", of: "none")).serializedBytes())
        }
    }
}
