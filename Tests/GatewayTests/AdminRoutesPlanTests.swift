import Access
import Testing

@testable import Gateway

/// `/v1/admin/plans`, and what they do to tenants.
struct AdminRoutesPlanTests {
    @Test func aPlanIsMadeChangedShownAndDeleted() throws {
        let fixture = try AdminRoutesFixture()
        let made = try fixture.perform(.put, "plans/gold", #"{"limits":{"max_caches":3,"weight":200}}"#)
        #expect(made.status == 201)
        #expect(made.names == ["name", "limits", "tenants", "created_at"])
        #expect(made.json["name"] == .string("gold") && made.json["tenants"] == .integer(0))
        #expect(made.json["created_at"] == .integer(500_000_000))
        let changed = try fixture.perform(
            .put, "plans/gold", #"{"limits":{"max_caches":null,"burst_operations":5}}"#)
        #expect(changed.status == 200)
        #expect(changed.json["limits"] == .members(["weight": .integer(200), "burst_operations": .integer(5)]))
        #expect(try fixture.perform(.get, "plans/gold").json == changed.json)
        #expect(try fixture.perform(.delete, "plans/gold").status == 204)
        for method in [HTTPMethod.get, .delete] {
            let gone = try fixture.perform(method, "plans/gold")
            #expect(gone.status == 404 && gone.text == "Plan Not Found")
        }
    }

    @Test(arguments: ["", "{}"]) func aPlanIsMadeFromNothing(_ body: String) throws {
        let fixture = try AdminRoutesFixture()
        let made = try fixture.perform(.put, "plans/free", body)
        #expect(made.status == 201 && made.json["limits"] == .object([]))
        #expect(try fixture.perform(.put, "plans/free", body).status == 200)
    }

    @Test func aTenantShowsWhatItsPlanGivesIt() throws {
        let fixture = try AdminRoutesFixture()
        let early = try fixture.perform(.put, "tenants/acme", #"{"plan":"gold","limits":{"max_items":7}}"#)
        #expect(early.json["plan_limits"] == .null)
        #expect(early.json["limits_in_force"] == .members(["max_items": .integer(7)]))
        _ = try fixture.perform(.put, "plans/gold", #"{"limits":{"max_items":5,"max_caches":1}}"#)
        let shown = try fixture.perform(.get, "tenants/acme")
        #expect(shown.json["limits"] == .members(["max_items": .integer(7)]))
        #expect(shown.json["plan_limits"] == .members(["max_items": .integer(5), "max_caches": .integer(1)]))
        #expect(shown.json["limits_in_force"] == .members(["max_items": .integer(7), "max_caches": .integer(1)]))
        #expect(shown.json["use"]?["max_caches"] == .members(["limit": .integer(1), "used": .integer(0)]))
        #expect(try fixture.perform(.get, "plans/gold").json["tenants"] == .integer(1))
        #expect(try fixture.perform(.put, "caches/one?tenant=acme").status == 201)
        #expect(try fixture.perform(.put, "caches/two?tenant=acme").status == 429)
        let used = try fixture.perform(.get, "tenants").json["tenants"]?.array?.first?["use"]
        #expect(used?["max_caches"] == .members(["limit": .integer(1), "used": .integer(1)]))
    }

    @Test func aPlanInUseIsNotDeleted() throws {
        let fixture = try AdminRoutesFixture()
        _ = try fixture.perform(.put, "plans/gold")
        _ = try fixture.perform(.put, "tenants/acme", #"{"plan":"gold"}"#)
        let refused = try fixture.perform(.delete, "plans/gold")
        #expect(refused.status == 409)
        #expect(refused.json["code"] == .string("InUse"))
        #expect(refused.text == "the plan has a tenant: put them on another plan first")
        _ = try fixture.perform(.put, "tenants/acme", #"{"plan":null}"#)
        #expect(try fixture.perform(.delete, "plans/gold").status == 204)
    }

    @Test func plansAreListedPageByPage() throws {
        let fixture = try AdminRoutesFixture()
        for name in ["c", "a", "b"] { _ = try fixture.perform(.put, "plans/\(name)") }
        _ = try fixture.perform(.put, "tenants/acme", #"{"plan":"b"}"#)
        let first = try fixture.perform(.get, "plans?limit=2")
        #expect(first.status == 200)
        #expect(first.each("plans", "name") == ["a", "b"])
        #expect(first.json["plans"]?.array?.map { $0["tenants"] } == [.integer(0), .integer(1)])
        let token = try #require(first.json["next_token"]?.string)
        let second = try fixture.perform(.get, "plans?limit=2&next_token=\(token)")
        #expect(second.each("plans", "name") == ["c"] && second.json["next_token"] == .null)
        #expect(try fixture.perform(.get, "tenants?next_token=\(token)").field == "next_token")
    }

    @Test func plansAreTheOperatorsAlone() throws {
        let fixture = try AdminRoutesFixture()
        let acme = try fixture.makeTenant("acme")
        _ = try fixture.perform(.put, "plans/gold")
        for (method, target) in [
            (HTTPMethod.get, "plans"), (.get, "plans/gold"), (.get, "plans/nothing"), (.put, "plans/gold"),
            (.delete, "plans/gold"),
        ] {
            #expect(try fixture.perform(method, target, "{", as: acme).status == 403)
        }
        #expect(try fixture.perform(.post, "plans").status == 405)
        #expect(try fixture.perform(.post, "plans/gold").status == 405)
    }

    @Test(arguments: [
        (#"{"limit":{}}"#, "limit"), (#"{"labels":{}}"#, "labels"), (#"{"limits":[]}"#, "limits"),
        (#"{"limits":{"max_speed":1}}"#, "limits.max_speed"), (#"{"limits":{"weight":0}}"#, "limits.weight"),
        (#"{"limits":{"burst_bytes_in":0}}"#, "limits.burst_bytes_in"),
        (#"{"limits":{"max_bytes":-1}}"#, "limits.max_bytes"),
    ])
    func wrongFieldIsNamed(_ body: String, _ field: String) throws {
        let fixture = try AdminRoutesFixture()
        let answer = try fixture.perform(.put, "plans/gold", body)
        #expect(answer.status == 400 && answer.field == field)
        #expect(try fixture.perform(.get, "plans/gold").status == 404)
    }

    @Test func aFalseNameIsRefused() throws {
        let answer = try AdminRoutesFixture().perform(.put, "plans/ ")
        #expect(answer.status == 400 && answer.field == "plan")
    }
}
