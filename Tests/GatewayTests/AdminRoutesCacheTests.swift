import Access
import Testing

@testable import Gateway

/// `/v1/admin/caches`
struct AdminRoutesCacheTests {
    private static let fields = [
        "name", "tenant", "limits", "use", "labels", "compression", "owner", "created_at", "items",
        "bytes", "bytes_being_freed", "evictions", "expirations", "compressed_plain_bytes", "compressed_stored_bytes",
        "compression_ratio", "dictionary_version", "dictionary_bytes", "dictionary_trainings", "topics", "topic_bytes",
        "topic_evictions", "retained_messages", "subscriptions", "unsupported_commands",
    ]

    @Test(arguments: ["", "{}"])
    func cacheIsCreatedFromNothing(_ body: String) throws {
        let fixture = try AdminRoutesFixture()
        let made = try fixture.perform(.put, "caches/shop", body)
        #expect(made.status == 201)
        #expect(made.names == Self.fields)
        #expect(made.json["tenant"] == .string("default"))
        #expect(made.json["limits"] == .object([]))
        #expect(made.json["compression"] == .string("off"))
        #expect(made.json["owner"] == .string("root"))
        #expect(made.json["items"] == .integer(0))
        #expect(try fixture.perform(.put, "caches/shop", body).status == 200)
    }

    @Test func cacheIsChangedAndReadBack() throws {
        let fixture = try AdminRoutesFixture()
        _ = try fixture.perform(
            .put, "caches/shop",
            #"{"limits":{"max_items":5,"default_ttl":60},"labels":{"team":"a"},"compression":"zstd"}"#)
        let changed = try fixture.perform(.put, "caches/shop", #"{"limits":{"max_items":null}}"#)
        #expect(changed.status == 200)
        let read = try fixture.perform(.get, "caches/shop")
        #expect(read.status == 200)
        #expect(read.json == changed.json)
        #expect(read.json["limits"] == .members(["default_ttl": .integer(60)]))
        #expect(read.json["labels"] == .members(["team": .string("a")]))
        #expect(read.json["compression"] == .string("zstd"))
    }

    @Test func cacheIsFlushedAndDeleted() throws {
        let fixture = try AdminRoutesFixture()
        _ = try fixture.perform(.put, "caches/shop")
        #expect(try fixture.perform(.post, "caches/shop/flush").status == 204)
        #expect(try fixture.perform(.delete, "caches/shop").status == 204)
        for (method, target) in [
            (HTTPMethod.get, "caches/shop"), (.delete, "caches/shop"), (.post, "caches/shop/flush"),
        ] {
            let answer = try fixture.perform(method, target)
            #expect(answer.status == 404)
            #expect(answer.text.contains("Cache Not Found"))
        }
    }

    @Test func cachesAreListedPageByPage() throws {
        let fixture = try AdminRoutesFixture()
        for name in ["c", "a", "b"] { _ = try fixture.perform(.put, "caches/\(name)") }
        let first = try fixture.perform(.get, "caches?limit=2")
        #expect(first.each("caches", "name") == ["a", "b"])
        let token = try #require(first.json["next_token"]?.string)
        let second = try fixture.perform(.get, "caches?limit=2&next_token=\(token)")
        #expect(second.each("caches", "name") == ["c"])
        #expect(second.json["next_token"] == .null)
    }

    @Test func rootPicksATenantAndASuperUserHasItsOwn() throws {
        let fixture = try AdminRoutesFixture()
        let acme = try fixture.makeTenant("acme")
        #expect(try fixture.perform(.put, "caches/shop?tenant=acme").status == 201)
        #expect(try fixture.perform(.get, "caches/shop").status == 404)
        #expect(try fixture.perform(.get, "caches/shop", as: acme).json["tenant"] == .string("acme"))
        #expect(try fixture.perform(.get, "caches/shop?tenant=acme", as: acme).status == 200)
        #expect(try fixture.perform(.get, "caches/shop?tenant=nobody").status == 404)
    }

    @Test(arguments: [
        (HTTPMethod.put, "caches/shop"), (.get, "caches/shop"), (.delete, "caches/shop"), (.post, "caches/shop/flush"),
        (.get, "caches"),
    ])
    func superUserReachesNoOtherTenant(_ method: HTTPMethod, _ target: String) throws {
        let fixture = try AdminRoutesFixture()
        let acme = try fixture.makeTenant("acme")
        _ = try fixture.perform(.put, "caches/shop")
        for tenant in ["default", "nobody"] {
            #expect(try fixture.perform(method, "\(target)?tenant=\(tenant)", "{", as: acme).status == 403)
        }
    }

    @Test func onlyTheOperatorReserves() throws {
        let fixture = try AdminRoutesFixture()
        let acme = try fixture.makeTenant("acme")
        let body = #"{"limits":{"reserved_bytes":1}}"#
        #expect(try fixture.perform(.put, "caches/shop", body, as: acme).status == 403)
        #expect(try fixture.perform(.put, "caches/shop?tenant=acme", body).status == 201)
    }

    @Test(arguments: [
        (#"{"Limits":{}}"#, "Limits"),
        (#"{"limits":1}"#, "limits"),
        (#"{"limits":{"max_caches":1}}"#, "limits.max_caches"),
        (#"{"limits":{"max_items":-0.5}}"#, "limits.max_items"),
        (#"{"labels":{"a":[]}}"#, "labels.a"),
        (#"{"labels":{"\u00e9":"1","e\u0301":"2"}}"#, "labels.e\u{301}"),
        (#"{"compression":"gzip"}"#, "compression"),
        (#"{"compression":1}"#, "compression"),
    ])
    func wrongFieldIsNamed(_ body: String, _ field: String) throws {
        let fixture = try AdminRoutesFixture()
        let answer = try fixture.perform(.put, "caches/shop", body)
        #expect(answer.status == 400)
        #expect(answer.field == field)
        #expect(try fixture.perform(.get, "caches/shop").status == 404)
    }

    @Test(arguments: [
        ("caches?limit=0", "limit"), ("caches?limit=1001", "limit"), ("caches?limit=x", "limit"),
        ("caches?limit=", "limit"), ("caches?limit=+1", "limit"), ("caches?limit=1&limit=1", "limit"),
        ("caches?limit=99999999999999999999", "limit"), ("caches?next_token=x", "next_token"),
        ("caches?next_token=", "next_token"), ("caches?tenant=", "tenant"), ("caches?tenant=a&tenant=a", "tenant"),
        ("caches?token=x", "token"), ("caches?limit=1&token", "token"),
    ])
    func wrongParameterIsNamed(_ target: String, _ field: String) throws {
        let fixture = try AdminRoutesFixture()
        let answer = try fixture.perform(.get, target)
        #expect(answer.status == 400)
        #expect(answer.field == field)
    }

    @Test func unknownParametersAreIgnored() throws {
        let fixture = try AdminRoutesFixture()
        #expect(try fixture.perform(.get, "caches?colour=blue&colour=red").status == 200)
    }
}
