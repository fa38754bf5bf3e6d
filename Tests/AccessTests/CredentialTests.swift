import Access
import Tenancy
import Testing

@Suite struct CredentialTests {
    private static let inner = "mk1_" + String(repeating: "0123456789abcdef", count: 4)
    private static let root = "mroot_" + String(repeating: "0123456789abcdef", count: 4)
    private static let outer = OuterForm.wrap(apiKey: inner, endpoint: "localhost")

    private func isKey(_ credential: Credential?, _ secret: String) -> Bool {
        guard case .apiKey(let hash)? = credential else { return false }
        return hash == SecretHash(of: secret)
    }

    private func isRoot(_ credential: Credential?, _ secret: String) -> Bool {
        guard case .rootKey(let hash)? = credential else { return false }
        return hash == SecretHash(of: secret)
    }

    /// Every spelling of the scheme that is taken.
    private static let schemes = ["", "Bearer ", "bearer ", "BEARER ", "bEaReR   "]

    @Test func everyFormIsTakenWithAndWithoutScheme() throws {
        let key = try Vectors.signingKey()
        let v2 = try APIKeys.issueV2(
            id: "k1", signingKey: key, issuedAt: Vectors.now, expiresAt: Vectors.now.adding(milliseconds: 1000))
        for scheme in Self.schemes {
            #expect(isKey(.parse(scheme + Self.inner), Self.inner))
            #expect(isKey(.parse(scheme + Self.outer), Self.inner))
            #expect(isRoot(.parse(scheme + Self.root), Self.root))
            #expect(isRoot(.parse(scheme + OuterForm.wrap(apiKey: Self.root, endpoint: "e")), Self.root))
            #expect(isKey(.parse(scheme + v2.presented), v2.inner))
            #expect(isKey(.parse(scheme + OuterForm.wrap(apiKey: v2.inner, endpoint: "e")), v2.inner))
            #expect(Credential.parse(scheme + Vectors.token)?.token?.keyID == Vectors.kid)
            let wrapped = OuterForm.wrap(apiKey: Vectors.token, endpoint: "e")
            #expect(Credential.parse(scheme + wrapped)?.token?.keyID == Vectors.kid)
        }
    }

    @Test func outerFormIsTakenInEveryAlphabetAndPadding() throws {
        // An endpoint by which the base64 has letters that differ, and all three lengths of padding.
        for filler in ["", " ", "  "] {
            let object = #"{"api_key":"\#(Self.inner)","endpoint":"??>>~~??>>~~"\#(filler)}"#
            let standard = Base64.encode(object.utf8, .standard)
            let url = Base64.encode(object.utf8, .url)
            #expect(standard.contains("/") && url.contains("_"))
            for text in [standard, standard.filter { $0 != "=" }, url, url + standard.filter { $0 == "=" }] {
                #expect(isKey(.parse(text), Self.inner))
            }
        }
    }

    @Test(arguments: [
        "", " ", "Bearer", "Bearer ", "Bearer  ", "bearer\tx", "Basic dXNlcjpwYXNz", "Bearer Bearer x",
        "mk1_", "mroot_", "mrt1_" + String(repeating: "0", count: 64), "mk2_" + String(repeating: "0", count: 64),
        "mk1_" + String(repeating: "0", count: 63), "mk1_" + String(repeating: "0", count: 65),
        "mk1_" + String(repeating: "A", count: 64), "MK1_" + String(repeating: "0", count: 64),
        "mk1_" + String(repeating: "0", count: 63) + " ", " mk1_" + String(repeating: "0", count: 64),
        ".", "..", "...", "a.b.c", "null", "{}", "AAAA", "e30", "e30=", "bnVsbA==",
        #"{"api_key":"x","endpoint":"y"}"#, "\u{0}", "é", "mk1_\u{0}",
    ])
    func everythingElseIsNoCredential(_ text: String) {
        #expect(Credential.parse(text) == nil)
    }

    @Test(arguments: [
        "", "a", "null", "1", "[]", "{}", #""x""#, #"{"api_key":"K"}"#, #"{"endpoint":"e"}"#,
        #"{"api_key":"","endpoint":"e"}"#, #"{"api_key":"K","endpoint":""}"#, #"{"api_key":"K","endpoint":null}"#,
        #"{"api_key":1,"endpoint":"e"}"#, #"{"api_key":["K"],"endpoint":"e"}"#,
        #"{"api_key":"K","endpoint":"e","x":1}"#,
        #"{"api_key":"K","api_key":"K","endpoint":"e"}"#, #"{"api_key":"K","endpoint":"e"}x"#,
        #"{"api_key":"K","endpoint":"e""#,
        #"{"api_key":" K","endpoint":"e"}"#, #"{"api_key":"Bearer K","endpoint":"e"}"#,
        #"{"API_KEY":"K","endpoint":"e"}"#,
        #"{"api_key":"x","endpoint":"e"}"#, #"{"api_key":"K\u0000","endpoint":"e"}"#,
    ])
    func validBase64OfAnythingElseIsNoCredential(_ template: String) {
        let text = template.replacing("K", with: Self.inner)
        #expect(Credential.parse(Base64.encode(text.utf8, .standard)) == nil)
        #expect(Credential.parse(Base64.encode(text.utf8, .url)) == nil)
    }

    @Test func anOuterFormWithinAnOuterFormIsNoCredential() {
        #expect(Credential.parse(OuterForm.wrap(apiKey: Self.outer, endpoint: "e")) == nil)
    }

    @Test func overlongCredentialsAreRefusedWhateverTheyHold() {
        let limit = Credential.byteCeiling
        func outer(_ count: Int) -> String {
            let empty = #"{"api_key":"\#(Self.inner)","endpoint":"e"}"#.utf8.count
            let object =
                #"{"api_key":"\#(Self.inner)","endpoint":"e""# + String(repeating: " ", count: count / 4 * 3 - empty)
                + "}"
            return Base64.encode(object.utf8, .standard)
        }
        #expect(outer(limit).utf8.count == limit)
        #expect(isKey(.parse(outer(limit)), Self.inner))
        #expect(isKey(.parse("Bearer " + outer(limit)), Self.inner))
        #expect(outer(limit + 4).utf8.count == limit + 4)
        #expect(Credential.parse(outer(limit + 4)) == nil)
        #expect(Credential.parse(String(repeating: "A", count: 10_000_000)) == nil)
        #expect(Credential.parse(String(repeating: ".", count: 10_000_000)) == nil)
        #expect(Credential.parse("Bearer" + String(repeating: " ", count: 1_000_000)) == nil)
    }

    @Test func aJWTIsAKeyOnlyByItsTypeClaim() throws {
        func jwt(_ payload: String) throws -> String {
            try Forge.jwt(header: Vectors.header, payload: payload) { try Forge.es256($0) }
        }
        let global = try jwt(#"{"t":"g","jti":"x"}"#)
        #expect(isKey(.parse(global), global))
        for payload in [
            #"{"t":"G"}"#, #"{"t":"x"}"#, #"{"t":1}"#, #"{"t":null}"#, #"{"t":"g","t":"g"}"#, #"{"t":["g"]}"#,
        ] {
            #expect(Credential.parse(try jwt(payload)) == nil)
        }
        #expect(Credential.parse(try jwt(#"{"T":"g"}"#))?.token != nil)
    }

    /// The secret within an outer form matters; the endpoint does not.
    @Test func aMutatedOuterFormIsNeverAnotherKey() {
        var generator = SeededGenerator(seed: 5)
        let letters = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/=. \0".utf8)
        let original = Array(Self.outer.utf8)
        // Up to and with the group of four letters in which the secret ends.
        let endOfSecret = ((#"{"api_key":""# + Self.inner).utf8.count + 2) / 3 * 4
        var acceptedCount = 0
        for place in original.indices {
            for byte in letters.shuffled(using: &generator).prefix(20) where byte != original[place] {
                var changed = original
                changed[place] = byte
                guard let credential = parse(changed) else { continue }
                acceptedCount += 1
                #expect(isKey(credential, Self.inner) == (place >= endOfSecret))
            }
        }
        #expect(acceptedCount > 0)
        for end in original.indices {
            #expect(parse(Array(original[..<end])) == nil)
        }
    }

    @Test func aMutatedInnerKeyIsNeverThatKey() {
        let original = Array(Self.inner.utf8)
        for place in original.indices {
            for byte in UInt8.min ... .max where byte != original[place] {
                var changed = original
                changed[place] = byte
                #expect(!isKey(parse(changed), Self.inner))
            }
            #expect(parse(Array(original[..<place])) == nil)
        }
    }

    @Test(arguments: 0..<20)
    func randomBytesNeverTrap(_ seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        for _ in 0..<200 {
            let noise = generator.bytes(0...200)
            _ = parse(noise)
            _ = parse(Array("Bearer ".utf8) + noise)
            _ = parse(Array(Base64.encode(noise, .url).utf8))
            let parts = (0..<3).map { _ in Base64.encode(generator.bytes(0...70), .url) }
            _ = parse(Array(parts.joined(separator: ".").utf8))
        }
    }
}

@Suite struct IssuedSecretTests {
    @Test func outerFormHasNoLetterOnWhichReadersDisagree() throws {
        for length in 1...40 {
            let endpoint = String(repeating: "e", count: length)
            let text = OuterForm.wrap(apiKey: "mk1_~?>\u{7F}é😀\"\\\n", endpoint: endpoint + "~~~???>>>")
            #expect(!text.contains { "+/=-_".contains($0) })
            let object = try JSONParser.parse(try #require(Base64.decode(text.utf8, .standard)), ceiling: 8192)
            #expect(object["api_key"]?.string == "mk1_~?>\u{7F}é😀\"\\\n")
            #expect(object["endpoint"]?.string == endpoint + "~~~???>>>")
            #expect(Base64.decode(text.utf8, .url) == Base64.decode(text.utf8, .standard))
        }
    }

    @Test func knownOuterForm() {
        // printf '{"api_key":"k","endpoint":"localhost:8080"  }' | base64
        #expect(
            OuterForm.wrap(apiKey: "k", endpoint: "localhost:8080")
                == "eyJhcGlfa2V5IjoiayIsImVuZHBvaW50IjoibG9jYWxob3N0OjgwODAiICB9")
    }

    @Test func v1KeyIsRandomAndFoundAgainByItsHash() throws {
        let key = try APIKeys.issueV1(endpoint: "cache.example")
        #expect(key.inner.hasPrefix("mk1_") && key.inner.utf8.count == 68)
        #expect(key.hash == SecretHash(of: key.inner))
        for text in [key.inner, key.presented] {
            guard case .apiKey(let hash)? = Credential.parse(text) else {
                Issue.record("not an API key")
                continue
            }
            #expect(hash == key.hash)
        }
        let many = try (0..<100).map { _ in try APIKeys.issueV1(endpoint: "e").inner }
        #expect(Set(many).count == 100)
    }

    @Test func v2KeyHasTheClaimsThatClientsRead() throws {
        let key = try APIKeys.issueV2(
            id: "abc", signingKey: try Vectors.signingKey(), issuedAt: Timestamp(milliseconds: 1_700_000_000_999),
            expiresAt: Timestamp(seconds: 1_700_000_600)
        )
        let parts = key.inner.split(separator: ".")
        let payload = try JSONParser.parse(try #require(Base64.decode(parts[1].utf8, .url)), ceiling: 1000)
        #expect(payload["t"]?.string == "g")
        #expect(payload["jti"]?.string == "abc")
        #expect(payload["iat"]?.integer == 1_700_000_000)
        #expect(payload["exp"]?.integer == 1_700_000_600)
        #expect(payload.object?.count == 4)
        #expect(key.presented == key.inner)

        let forever = try APIKeys.issueV2(
            id: "abc", signingKey: try Vectors.signingKey(), issuedAt: Vectors.now, expiresAt: nil)
        let claims = try #require(Base64.decode(forever.inner.split(separator: ".")[1].utf8, .url))
        #expect(try JSONParser.parse(claims, ceiling: 1000)["exp"] == nil)
    }

    @Test func twoV2KeysOfOneIdAndSecondDiffer() throws {
        let key = try Vectors.signingKey()
        let first = try APIKeys.issueV2(id: "abc", signingKey: key, issuedAt: Vectors.now, expiresAt: nil)
        let second = try APIKeys.issueV2(id: "abc", signingKey: key, issuedAt: Vectors.now, expiresAt: nil)
        #expect(first.hash != second.hash)
    }

    @Test func aV2KeyIsNoToken() throws {
        let key = try APIKeys.issueV2(
            id: "abc", signingKey: try Vectors.signingKey(), issuedAt: Vectors.now, expiresAt: nil)
        let token = try #require(SignedToken(key.inner))
        #expect(throws: MartletError.invalidCredential) {
            try TokenVerifier(authority: Vectors.authority).verify(token, keys: try Vectors.keys(), now: Vectors.now)
        }
    }

    @Test func rootKeyAndRefreshTokenHaveTheirOwnForms() throws {
        let root = try APIKeys.issueRoot()
        #expect(root.presented.hasPrefix("mroot_"))
        guard case .rootKey(let hash)? = Credential.parse(root.presented) else {
            Issue.record("not a root key")
            return
        }
        #expect(hash == root.hash)

        let refresh = try APIKeys.issueRefreshToken()
        #expect(refresh.presented.hasPrefix("mrt1_"))
        #expect(Credential.parse(refresh.presented) == nil)
        #expect(APIKeys.refreshTokenHash(refresh.presented) == refresh.hash)
        #expect(APIKeys.refreshTokenHash(root.presented) == nil)
        #expect(APIKeys.refreshTokenHash(refresh.presented + "0") == nil)
    }
}
