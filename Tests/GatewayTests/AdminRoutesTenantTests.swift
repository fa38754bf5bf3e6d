import Access
import Testing

@testable import Gateway

/// `/v1/admin/tenants`
struct AdminRoutesTenantTests {
    private static let fields = [
        "name", "limits", "plan", "plan_limits", "limits_in_force", "use", "labels", "created_at",
    ]

    @Test func newTenantIsCreatedWithItsKeyAndReadBack() throws {
        let fixture = try AdminRoutesFixture()
        let made = try fixture.perform(
            .put, "tenants/acme", #"{"limits":{"max_caches":3},"plan":"gold","labels":{"team":"a"}}"#)
        #expect(made.status == 201)
        #expect(made.contentType == .json)
        #expect(made.names == Self.fields + ["key", "key_id", "refresh_token"])
        #expect(made.json["name"] == .string("acme"))
        #expect(made.json["limits"] == .members(["max_caches": .integer(3)]))
        #expect(made.json["created_at"] == .integer(500_000_000))
        #expect(Credential.parse(try #require(made.json["key"]?.string)) != nil)

        let read = try fixture.perform(.get, "tenants/acme")
        #expect(read.status == 200)
        #expect(read.names == Self.fields)
        #expect(read.json["plan"] == .string("gold"))
    }

    @Test func changeKeepsWhatItDoesNotNameAndRemovesWhatIsNull() throws {
        let fixture = try AdminRoutesFixture()
        _ = try fixture.perform(
            .put, "tenants/acme",
            #"{"limits":{"max_caches":3,"max_bytes":9},"plan":"gold","labels":{"team":"a","stage":"b"}}"#)
        let same = try fixture.perform(.put, "tenants/acme", "{}")
        #expect(same.status == 200)
        #expect(same.json["plan"] == .string("gold"))
        let changed = try fixture.perform(
            .put, "tenants/acme",
            #"{"limits":{"max_caches":null,"max_items":0},"plan":null,"labels":{"team":null}}"#)
        #expect(changed.status == 200)
        #expect(changed.json["key"] == nil)
        #expect(
            changed.json["limits"] == .members(["max_bytes": .integer(9), "max_items": .integer(0)]))
        #expect(changed.json["plan"] == .null)
        #expect(changed.json["labels"] == .members(["stage": .string("b")]))
    }

    @Test func deletedTenantIsGone() throws {
        let fixture = try AdminRoutesFixture()
        _ = try fixture.perform(.put, "tenants/acme")
        let deleted = try fixture.perform(.delete, "tenants/acme")
        #expect(deleted.status == 204)
        #expect(deleted.text.isEmpty)
        #expect(deleted.contentType == .none)
        #expect(try fixture.perform(.get, "tenants/acme").status == 404)
        #expect(try fixture.perform(.delete, "tenants/acme").status == 404)
        #expect(try fixture.perform(.delete, "tenants/default").status == 400)
    }

    @Test func tenantsAreListedPageByPage() throws {
        let fixture = try AdminRoutesFixture()
        for name in ["c", "a", "b"] { _ = try fixture.perform(.put, "tenants/\(name)") }
        let first = try fixture.perform(.get, "tenants?limit=2")
        #expect(first.status == 200)
        #expect(first.each("tenants", "name") == ["a", "b"])
        let token = try #require(first.json["next_token"]?.string)
        let second = try fixture.perform(.get, "tenants?limit=2&next_token=\(token)")
        #expect(second.each("tenants", "name") == ["c", "default"])
        #expect(second.json["next_token"] == .null)
    }

    @Test func superUserSeesItsOwnTenantAndManagesNone() throws {
        let fixture = try AdminRoutesFixture()
        let acme = try fixture.makeTenant("acme")
        _ = try fixture.makeTenant("other")
        #expect(try fixture.perform(.get, "tenants/acme", as: acme).status == 200)
        for (method, target) in [
            (HTTPMethod.get, "tenants/other"), (.get, "tenants/nobody"), (.get, "tenants"), (.put, "tenants/acme"),
            (.delete, "tenants/acme"),
        ] {
            #expect(try fixture.perform(method, target, as: acme).status == 403)
        }
        // Who may not is told that, and nothing about the body.
        #expect(try fixture.perform(.put, "tenants/acme", "{", as: acme).status == 403)
    }

    @Test(arguments: [
        (#"{"limit":{}}"#, "limit"),
        (#"{"limits":[]}"#, "limits"),
        (#"{"limits":null}"#, "limits"),
        (#"{"limits":{"max_speed":1}}"#, "limits.max_speed"),
        (#"{"limits":{"max_bytes":"1"}}"#, "limits.max_bytes"),
        (#"{"limits":{"max_bytes":1.5}}"#, "limits.max_bytes"),
        (#"{"limits":{"max_bytes":-1}}"#, "limits.max_bytes"),
        (#"{"limits":{"max_bytes":9007199254740992}}"#, "limits.max_bytes"),
        (#"{"limits":{"max_bytes":true}}"#, "limits.max_bytes"),
        (#"{"limits":{"weight":0}}"#, "limits.weight"),
        (#"{"limits":{"weight":10001}}"#, "limits.weight"),
        (#"{"limits":{"burst_operations":0}}"#, "limits.burst_operations"),
        (#"{"plan":1}"#, "plan"),
        (#"{"labels":"a"}"#, "labels"),
        (#"{"labels":{"team":1}}"#, "labels.team"),
        (#"{"labels":{"":"a"}}"#, "labels"),
    ])
    func wrongFieldIsNamed(_ body: String, _ field: String) throws {
        let fixture = try AdminRoutesFixture()
        let answer = try fixture.perform(.put, "tenants/acme", body)
        #expect(answer.status == 400)
        #expect(answer.field == field)
        #expect(try fixture.perform(.get, "tenants/acme").status == 404)
    }

    @Test(arguments: ["{", "[]", "1", "null", "{}{}", #"{"plan":"a","plan":"b"}"#, "\u{FEFF}{}", " "])
    func bodyThatIsNoJSONObjectIsRefused(_ body: String) throws {
        let fixture = try AdminRoutesFixture()
        let answer = try fixture.perform(.put, "tenants/acme", body)
        #expect(answer.status == 400)
        #expect(answer.field == nil)
    }

    @Test(arguments: ["tenants/ ", "tenants/a\u{7}", "tenants/\(String(repeating: "x", count: 256))"])
    func falseNameIsRefused(_ target: String) throws {
        let fixture = try AdminRoutesFixture()
        let answer = try fixture.perform(.put, target)
        #expect(answer.status == 400)
        #expect(answer.field == "tenant")
    }
}
