import Access
import Tenancy
import Testing

@Suite struct PermissionTextTests {
    /// The people's form, the machines' form, and what both mean.
    @Test func knownForms() throws {
        let shop = try named("shop")
        let vectors: [(String, String, Permission)] = [
            (
                #"{"role":"readwrite","cache":"shop"}"#, #"["rw","shop"]"#,
                Permission(.readWrite, cache: shop, .items(.all))
            ),
            (#"{"role":"readonly","cache":"*"}"#, #"["r","*"]"#, Permission(.readOnly, cache: .all, .items(.all))),
            (
                #"{"role":"writeonly","cache":"shop","key":"cart:1"}"#, #"["w","shop","k","cart:1"]"#,
                Permission(.writeOnly, cache: shop, .items(.key(Array("cart:1".utf8))))
            ),
            (
                #"{"role":"readonly","cache":"shop","key_prefix":"é"}"#, #"["r","shop","p","é"]"#,
                Permission(.readOnly, cache: shop, .items(.keyPrefix([0xC3, 0xA9])))
            ),
            (
                #"{"role":"readonly","cache":"*","key_base64":"+/8="}"#, #"["r","*","kb","-_8"]"#,
                Permission(.readOnly, cache: .all, .items(.key([0xFB, 0xFF])))
            ),
            (
                #"{"role":"readonly","cache":"*","key_prefix_base64":"AA=="}"#, #"["r","*","pb","AA"]"#,
                Permission(.readOnly, cache: .all, .items(.keyPrefix([0])))
            ),
            (
                #"{"role":"readwrite","cache":"*","topic":"*"}"#, #"["rw","*","t"]"#,
                Permission(.readWrite, cache: .all, .topics(.all))
            ),
            (
                #"{"role":"writeonly","cache":"shop","topic":"orders"}"#, #"["w","shop","t","orders"]"#,
                Permission(.writeOnly, cache: shop, .topics(.named("orders")))
            ),
            (
                #"{"role":"readonly","cache":"shop","topic_prefix":"orders."}"#, #"["r","shop","tp","orders."]"#,
                Permission(.readOnly, cache: shop, .topics(.prefix("orders.")))
            ),
        ]
        for (text, compact, permission) in vectors {
            #expect(try Permission(json: try json(text), field: "p") == permission)
            #expect(String(decoding: permission.json.encoded(), as: UTF8.self) == text)
            #expect(Permission(compact: try json(compact)) == permission)
            #expect(String(decoding: permission.compact.encoded(), as: UTF8.self) == compact)
        }
    }

    @Test func base64SelectorsTakeBothAlphabetsWithAndWithoutPadding() throws {
        for text in ["+/8=", "+/8", "-_8", "-_8="] {
            let permission = try Permission(
                json: try json(#"{"role":"readonly","cache":"*","key_base64":"\#(text)"}"#), field: "p")
            #expect(permission.resource == .items(.key([0xFB, 0xFF])))
        }
    }

    @Test(arguments: [
        (#"[]"#, "permissions"),
        (#"{}"#, "permissions"),
        (#""super_user""#, "permissions"),
        (#"[1]"#, "permissions[0]"),
        (#"[{}]"#, "permissions[0].role"),
        (#"[{"role":"readonly"}]"#, "permissions[0].cache"),
        (#"[{"role":"READONLY","cache":"a"}]"#, "permissions[0].role"),
        (#"[{"role":"admin","cache":"a"}]"#, "permissions[0].role"),
        (#"[{"role":1,"cache":"a"}]"#, "permissions[0].role"),
        (#"[{"role":null,"cache":"a"}]"#, "permissions[0].role"),
        (#"[{"role":"readonly","cache":""}]"#, "permissions[0].cache"),
        (#"[{"role":"readonly","cache":" "}]"#, "permissions[0].cache"),
        (#"[{"role":"readonly","cache":"a/b"}]"#, "permissions[0].cache"),
        (#"[{"role":"readonly","cache":["a"]}]"#, "permissions[0].cache"),
        (#"[{"role":"readonly","cache":"a","key":""}]"#, "permissions[0].key"),
        (#"[{"role":"readonly","cache":"a","key":7}]"#, "permissions[0].key"),
        (#"[{"role":"readonly","cache":"a","key_prefix":""}]"#, "permissions[0].key_prefix"),
        (#"[{"role":"readonly","cache":"a","key_base64":"!"}]"#, "permissions[0].key_base64"),
        (#"[{"role":"readonly","cache":"a","key_base64":""}]"#, "permissions[0].key"),
        (#"[{"role":"readonly","cache":"a","key_prefix_base64":"Zh=="}]"#, "permissions[0].key_prefix_base64"),
        (#"[{"role":"readonly","cache":"a","topic":""}]"#, "permissions[0].topic"),
        (#"[{"role":"readonly","cache":"a","topic":"a\u0000"}]"#, "permissions[0].topic"),
        (#"[{"role":"readonly","cache":"a","topic_prefix":""}]"#, "permissions[0].topic_prefix"),
        (#"[{"role":"readonly","cache":"a","key":"k","topic":"t"}]"#, "permissions[0].topic"),
        (#"[{"role":"readonly","cache":"a","key":"k","key_prefix":"k"}]"#, "permissions[0].key_prefix"),
        (#"[{"role":"readonly","cache":"a","colour":"red"}]"#, "permissions[0].colour"),
        (#"[{"role":"readonly","cache":"a","a\nb\u202e":1}]"#, "permissions[0].a?b?"),
        (#"[{"role":"readonly","cache":"a"},{"role":"readonly","cache":"b","Key":"k"}]"#, "permissions[1].Key"),
        (#"[{"role":"readonly","cache":"a"},{"role":"readwrite","cache":"a"}]"#, "permissions[1]"),
        (
            #"[{"role":"readonly","cache":"a","key":"k"},{"role":"readwrite","cache":"a","key_base64":"aw=="}]"#,
            "permissions[1]"
        ),
    ])
    func wrongPermissionsNameTheField(_ text: String, _ field: String) throws {
        let value = try json(text)
        #expect(failure { () throws(MartletError) in _ = try PermissionSet(json: value) }?.field == field)
    }

    @Test func tooManyStatementsAreRefusedBeforeTheyAreRead() throws {
        let value = JSONValue.array(Array(repeating: .null, count: 21))
        #expect(failure { () throws(MartletError) in _ = try PermissionSet(json: value) }?.field == "permissions")
    }

    @Test func overlongUnknownFieldIsCutInTheError() throws {
        let value = JSONValue.array([.members([String(repeating: "x", count: 10_000): .null])])
        let error = failure { () throws(MartletError) in _ = try PermissionSet(json: value) }
        #expect(error?.field == "permissions[0]." + String(repeating: "x", count: 64))
    }

    @Test func grantIsSuperUserOrStatements() throws {
        #expect(try Grant(json: .string("super_user")) == .superUser)
        #expect(Grant.superUser.json == .string("super_user"))
        for text in [#""root""#, "null", "1", "{}", "true"] {
            let value = try json(text)
            #expect(failure { () throws(MartletError) in _ = try Grant(json: value, field: "x") }?.field == "x")
        }
        #expect(Grant(stored: Grant.superUser.stored) == .superUser)
    }

    @Test(arguments: [
        "", "null", "[]", "{}", #""superuser""#, #"[["r"]]"#, #"[["r","a","k"]]"#, #"[["r","a","k","b","c"]]"#,
        #"[["R","a"]]"#, #"[["wr","a"]]"#, #"[["r",""]]"#, #"[["r","a/b"]]"#, #"[["r","a","x","b"]]"#,
        #"[["r","a","p"]]"#,
        #"[["r","a","k",""]]"#, #"[["r","a","t","*"]]"#, #"[["r","a","t",""]]"#, #"[["r","a","kb","YQ"]]"#,
        #"[["r","a","kb","AA=="]]"#, #"[["r","a","k","\u0000"]]"#, #"[["r","a"],["w","a"]]"#, #"[["r","a",null]]"#,
        #"[["r",1]]"#, #"["r","a"]"#, #"[["r","a"]] "x""#,
    ])
    func whatWasNotStoredByUsIsNoGrant(_ text: String) {
        #expect(Grant(stored: Array(text.utf8)) == nil)
    }

    @Test(arguments: 0..<40)
    func everyFormRoundTripsAndCutOrMutatedOnesNeverTrap(_ seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        let set = try #require(try Samples.set(&generator))
        #expect(try PermissionSet(json: try JSONParser.parse(set.json.encoded(), ceiling: 1 << 20)) == set)
        let grant = Grant.permissions(set)
        let stored = grant.stored
        #expect(Grant(stored: stored) == grant)
        for end in stored.indices {
            #expect(Grant(stored: Array(stored[..<end])) == nil)
        }
        for place in stored.indices {
            var changed = stored
            changed[place] ^= UInt8.random(in: 1 ... .max, using: &generator)
            // Another grant may come out, but never this one by another spelling.
            if let other = Grant(stored: changed) { #expect(other != grant) }
        }
    }
}
