import Access
import Tenancy
import Testing

@testable import Gateway

/// `/v1/admin/usage` and `/v1/admin/audit`, and what is not there.
struct AdminRoutesUsageTests {
    @Test func usageShowsEveryMeter() throws {
        let fixture = try AdminRoutesFixture()
        _ = try fixture.perform(.put, "caches/shop")
        try fixture.count("shop")
        let answer = try fixture.perform(.get, "usage?cache=shop&door=rest")
        #expect(answer.status == 200)
        #expect(answer.names == ["rows", "next_token"])
        let row = try #require(answer.json["rows"]?.array?.first)
        #expect(row.object?.map(\.name) == ["tenant", "cache", "door", "start"] + Meter.allCases.map(\.name))
        #expect(row["tenant"] == .string("default"))
        #expect(row["cache"] == .string("shop"))
        #expect(row["door"] == .string("rest"))
        #expect(row["start"] == .integer(499_999_980))
        #expect(row["operations"] == .integer(1))
        #expect(row["bytes_in"] == .integer(3))
        #expect(row["bytes_out"] == .integer(10))
    }

    @Test func usageIsFilteredByCacheDoorRangeAndWindow() throws {
        let fixture = try AdminRoutesFixture()
        for cache in ["shop", "desk"] { _ = try fixture.perform(.put, "caches/\(cache)") }
        try fixture.count("shop")
        try fixture.count("desk", door: .resp)
        func caches(_ query: String) throws -> [String?] {
            try fixture.perform(.get, "usage?\(query)").each("rows", "cache")
        }
        #expect(try caches("") == ["shop", "desk"])
        #expect(try caches("cache=desk") == ["desk"])
        #expect(try caches("door=rest") == ["shop"])
        #expect(try caches("door=grpc-web") == [])
        #expect(try caches("from=0&to=499999980") == [])
        #expect(try caches("from=499999980&to=499999981") == ["shop", "desk"])
        let day = try fixture.perform(.get, "usage?window=day&cache=shop")
        #expect(day.json["rows"]?.array?.first?["start"] == .integer(499_996_800))
        #expect(try fixture.perform(.get, "usage?cache=nothing").status == 404)
    }

    @Test func usageComesInPages() throws {
        let fixture = try AdminRoutesFixture()
        for cache in ["a", "b", "c"] {
            _ = try fixture.perform(.put, "caches/\(cache)")
            try fixture.count(cache)
        }
        let first = try fixture.perform(.get, "usage?limit=2")
        #expect(first.each("rows", "cache") == ["a", "b"])
        let token = try #require(first.json["next_token"]?.string)
        let second = try fixture.perform(.get, "usage?limit=2&next_token=\(token)")
        #expect(second.each("rows", "cache") == ["c"])
        #expect(second.json["next_token"] == .null)

        let csv = try fixture.perform(.get, "usage?limit=2", csv: true)
        #expect(csv.extra.map(\.name) == ["martlet-next-token"])
        #expect(csv.extra.map(\.value) == [token])
        #expect(try fixture.perform(.get, "usage", csv: true).extra.isEmpty)
    }

    @Test func usageIsServedAsCSV() throws {
        let fixture = try AdminRoutesFixture()
        _ = try fixture.perform(.put, #"caches/a "b", c"#)
        try fixture.count(#"a "b", c"#)
        let answer = try fixture.perform(.get, "usage", csv: true)
        #expect(answer.status == 200)
        #expect(answer.contentType == .csv)
        #expect(answer.text.hasSuffix("\r\n"))
        let lines = answer.text.split(separator: "\r\n")
        #expect(lines.count == 2)
        #expect(lines[0].hasPrefix("tenant,cache,door,start,operations,bytes_in,bytes_out,calls,"))
        #expect(lines[1].hasPrefix(#"default,"a ""b"", c",rest,499999980,1,3,10,1,"#))
        #expect(lines[0].split(separator: ",").count == 4 + Meter.count)
    }

    @Test func usageOfAnotherTenantIsOutOfReach() throws {
        let fixture = try AdminRoutesFixture()
        let acme = try fixture.makeTenant("acme")
        _ = try fixture.perform(.put, "caches/shop")
        try fixture.count("shop")
        #expect(try fixture.perform(.get, "usage", as: acme).json["rows"] == .array([]))
        #expect(try fixture.perform(.get, "usage?cache=shop", as: acme).status == 404)
        #expect(try fixture.perform(.get, "usage?tenant=default", as: acme).status == 403)
        #expect(try fixture.perform(.get, "usage?tenant=nobody").status == 404)
    }

    @Test(arguments: [
        ("cache=", "cache"), ("cache=a/b", "cache"), ("door=http", "door"), ("door=", "door"),
        ("window=week", "window"), ("from=x", "from"), ("from=-1", "from"), ("from=1.5", "from"),
        ("to=253402300800", "to"), ("from=5&to=5", "to"), ("from=6&to=5", "to"), ("from=500000001", "from"),
        ("limit=0", "limit"), ("limit=10001", "limit"), ("limit=x", "limit"), ("next_token=x", "next_token"),
        ("door=rest&door=rest", "door"), ("token=x", "token"),
    ])
    func wrongParameterIsNamed(_ query: String, _ field: String) throws {
        let fixture = try AdminRoutesFixture()
        let answer = try fixture.perform(.get, "usage?\(query)")
        #expect(answer.status == 400)
        #expect(answer.field == field)
    }

    @Test func auditTellsWhoDidWhat() throws {
        let fixture = try AdminRoutesFixture()
        let acme = try fixture.makeTenant("acme")
        _ = try fixture.perform(.put, "caches/shop", #"{"limits":{"max_items":5}}"#, as: acme)
        let answer = try fixture.perform(.get, "audit?limit=1", as: acme)
        #expect(answer.status == 200)
        let event = try #require(answer.json["events"]?.array?.first)
        #expect(
            event.object?.map(\.name) == ["sequence", "at", "actor", "tenant", "action", "subject", "detail"])
        #expect(event["actor"] == .string(acme.credentialID))
        #expect(event["tenant"] == .string("acme"))
        #expect(event["action"] == .string("cache.create"))
        #expect(event["at"] == .integer(500_000_000))
        #expect(event["detail"]?["limits"] == .members(["max_items": .integer(5)]))

        let token = try #require(answer.json["next_token"]?.string)
        let rest = try fixture.perform(.get, "audit?next_token=\(token)", as: acme)
        #expect(rest.each("events", "action") == ["key.create", "tenant.create"])
        let all = try fixture.perform(.get, "audit")
        #expect(all.each("events", "action").contains("signing_key.rotate"))
        #expect(try fixture.perform(.get, "audit?tenant=acme").each("events", "tenant") == ["acme", "acme", "acme"])
        #expect(try fixture.perform(.get, "audit?tenant=default", as: acme).status == 403)
    }

    @Test(arguments: [
        "", "cache", "caches/shop/flush/now", "caches/shop/empty", "signing-keys/turn", "usage/today", "keys/a/b",
        "tenants/a/caches", "audit/1",
    ])
    func unknownPathSaysWhatThereIs(_ target: String) throws {
        let fixture = try AdminRoutesFixture()
        let answer = try fixture.perform(.get, target)
        #expect(answer.status == 404)
        #expect(answer.text.contains("/v1/admin/tenants"))
        #expect(answer.text.contains("/signing-keys/rotate"))
    }

    @Test(arguments: [
        ("tenants", "GET"), ("tenants/a", "GET, PUT, DELETE"), ("caches", "GET"), ("caches/a", "GET, PUT, DELETE"),
        ("caches/a/flush", "POST"), ("keys", "GET, POST"), ("keys/a", "DELETE"), ("tokens", "POST, DELETE"),
        ("tokens/a", "DELETE"), ("signing-keys", "GET"), ("signing-keys/rotate", "POST"), ("usage", "GET"),
        ("audit", "GET"),
    ])
    func otherMethodsAreToldWhatTheMethodsAre(_ target: String, _ allowed: String) throws {
        let fixture = try AdminRoutesFixture()
        let methods: [HTTPMethod] = [.get, .head, .put, .post, .delete, .options, .other]
        for method in methods where !allowed.split(separator: ", ").contains(Substring(method.name)) {
            let answer = try fixture.perform(method, target)
            #expect(answer.status == 405)
            #expect(answer.text.hasSuffix(allowed))
        }
    }
}
