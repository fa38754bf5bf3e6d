import Access
import CJWT
import Tenancy
import Testing

/// What an attacker would try. Every one of these must be refused as if it were noise.
@Suite struct ForgeryTests {
    private let verifier = TokenVerifier(authority: Vectors.authority)

    /// Parsed and verified as a request's credential is, while the good token would hold.
    private func refusal(_ text: String, keys: [String: PublicSigningKey]? = nil) throws -> MartletError? {
        let known = try keys ?? Vectors.keys()
        return failure { () throws(MartletError) in
            guard let token = Credential.parse(text)?.token else { throw .invalidCredential }
            _ = try verifier.verify(token, keys: known, now: Vectors.now)
        }
    }

    private func signed(header: String = Vectors.header, payload: String = Vectors.payload) throws -> String {
        try Forge.jwt(header: header, payload: payload) { try Forge.es256($0) }
    }

    @Test func theWorkshopMakesGoodTokensToo() throws {
        #expect(try refusal(Vectors.token) == nil)
        #expect(try refusal(try signed()) == nil)
    }

    @Test(arguments: ["none", "None", "NONE", "nOnE", "HS256", "ES384", "RS256", "es256", "ES256 ", "", "ES256K"])
    func otherAlgorithmIsRefusedWithAnySignature(_ algorithm: String) throws {
        let header = #"{"alg":"\#(algorithm)","kid":"\#(Vectors.kid)","typ":"JWT"}"#
        #expect(try refusal(try signed(header: header)) == .invalidCredential)
        #expect(
            try refusal(Forge.jwt(header: header, payload: Vectors.payload) { _ in [] }) == .invalidCredential)
        #expect(
            try refusal(Forge.part(header) + "." + Forge.part(Vectors.payload)) == .invalidCredential)
    }

    /// The classic: the public key's text, which everybody has, as the secret of an HMAC.
    @Test func publicKeyAsHMACSecretIsRefused() throws {
        for secret in [Vectors.publicPEM, String(Vectors.publicPEM.dropLast()), Vectors.x] {
            for algorithm in ["HS256", "ES256"] {
                let header = #"{"alg":"\#(algorithm)","kid":"\#(Vectors.kid)","typ":"JWT"}"#
                let token = Forge.jwt(header: header, payload: Vectors.payload) {
                    Forge.hs256($0, secret: Array(secret.utf8))
                }
                #expect(try refusal(token) == .invalidCredential)
                let doubled = Forge.jwt(header: header, payload: Vectors.payload) {
                    Forge.hs256($0, secret: Array(secret.utf8)) + Forge.hs256($0, secret: Array(secret.utf8))
                }
                #expect(try refusal(doubled) == .invalidCredential)
            }
        }
    }

    /// Why the header is read before libjwt sees a token: left alone, it takes the forgery of the test above for good.
    @Test func libjwtAloneWouldBelieveTheForgery() throws {
        let token = Forge.jwt(header: #"{"alg":"HS256","typ":"JWT"}"#, payload: Vectors.payload) {
            Forge.hs256($0, secret: Array(Vectors.publicPEM.utf8))
        }
        let pem = Array(Vectors.publicPEM.utf8)
        var object: OpaquePointer?
        #expect(jwt_decode(&object, token, pem, CInt(pem.count)) == 0)
        jwt_free(object)
        #expect(try refusal(token) == .invalidCredential)
    }

    @Test func strippedForeignOrZeroSignatureIsRefused() throws {
        let parts = Vectors.token.split(separator: ".")
        #expect(try refusal("\(parts[0]).\(parts[1]).") == .invalidCredential)
        #expect(try refusal("\(parts[0]).\(parts[1])") == .invalidCredential)
        #expect(try refusal("\(parts[0])..\(parts[2])") == .invalidCredential)
        #expect(try refusal(".\(parts[1]).\(parts[2])") == .invalidCredential)
        #expect(try refusal(Vectors.token + ".") == .invalidCredential)
        #expect(try refusal(Vectors.token + "." + parts[2]) == .invalidCredential)

        let foreign = try SigningKey.generate(now: Vectors.now)
        let signatures: [[UInt8]] = [
            Array(repeating: 0, count: 64),
            Array(repeating: 255, count: 64),
            try Forge.es256("\(parts[0]).\(parts[1])", privatePEM: foreign.privatePEM),
            try Forge.es256("\(parts[0])"),
            try Forge.es256("\(parts[0]).\(parts[1])") + [0],
            Array(try Forge.es256("\(parts[0]).\(parts[1])").dropLast()),
        ]
        for signature in signatures {
            #expect(
                try refusal("\(parts[0]).\(parts[1])." + Base64.encode(signature, .url)) == .invalidCredential)
        }
    }

    /// Well signed by the real key, but with a header that Martlet does not write.
    @Test(arguments: [
        #"{"alg":"ES256","alg":"ES256","kid":"KID","typ":"JWT"}"#,
        #"{"alg":"none","alg":"ES256","kid":"KID","typ":"JWT"}"#,
        #"{"alg":"ES256","\u0061lg":"HS256","kid":"KID","typ":"JWT"}"#,
        #"{"alg":"ES256","kid":"KID","kid":"KID","typ":"JWT"}"#,
        #"{"alg":"ES256","kid":"KID"}"#,
        #"{"alg":"ES256","typ":"JWT"}"#,
        #"{"kid":"KID","typ":"JWT"}"#,
        #"{"alg":"ES256","kid":"KID","typ":"jwt"}"#,
        #"{"alg":"ES256","kid":"KID","typ":"at+jwt"}"#,
        #"{"alg":["ES256"],"kid":"KID","typ":"JWT"}"#,
        #"{"alg":"ES256","kid":["KID"],"typ":"JWT"}"#,
        #"{"alg":"ES256","kid":null,"typ":"JWT"}"#,
        #"{"alg":"ES256","kid":"","typ":"JWT"}"#,
        #"{"alg":"ES256","kid":"../../dev/null","typ":"JWT"}"#,
        #"{"alg":"ES256","kid":"KID","typ":"JWT","crit":["exp"]}"#,
        #"{"alg":"ES256","kid":"KID","typ":"JWT","jwk":{"kty":"EC"}}"#,
        #"{"alg":"ES256","kid":"KID","typ":"JWT","jku":"https://evil.example/jwks.json"}"#,
        #"{"alg":"ES256","kid":"KID","typ":"JWT","x5u":"https://evil.example/"}"#,
        #"{"alg":"ES256","kid":"KID","typ":"JWT","zip":"DEF"}"#,
        #"{"alg":"ES256","kid":"KID","typ":"JWT"} x"#,
        #"[{"alg":"ES256","kid":"KID","typ":"JWT"}]"#,
        "null", "", "{}", "ES256",
    ])
    func wellSignedTokenWithAnotherHeaderIsRefused(_ template: String) throws {
        let header = template.replacing("KID", with: Vectors.kid)
        #expect(try refusal(try signed(header: header)) == .invalidCredential)
    }

    @Test func unknownKeyIsRefused() throws {
        let other = try SigningKey.generate(now: Vectors.now)
        let header = #"{"alg":"ES256","kid":"\#(other.kid)","typ":"JWT"}"#
        #expect(try refusal(try signed(header: header)) == .invalidCredential)
        #expect(try refusal(Vectors.token, keys: [:]) == .invalidCredential)
        // The name of one known key on the signature of another.
        #expect(
            try refusal(
                try signed(header: header),
                keys: [other.kid: other.publicKey, Vectors.kid: try Vectors.signingKey().publicKey])
                == .invalidCredential)
    }

    /// Well signed by the real key, but with claims that Martlet does not write.
    @Test(arguments: [
        (#""https://cache.example""#, #""https://other.example""#),
        (#""https://cache.example""#, #""""#),
        (#""https://cache.example""#, #"["https://cache.example"]"#),
        (#""martlet""#, #""Martlet""#),
        (#""martlet""#, #"["martlet"]"#),
        (#""aud":"martlet","#, ""),
        (#""sub":"7""#, #""sub":7"#),
        (#""sub":"7""#, #""sub":"07""#),
        (#""sub":"7""#, #""sub":"+7""#),
        (#""sub":"7""#, #""sub":"-7""#),
        (#""sub":"7""#, #""sub":"""#),
        (#""sub":"7""#, #""sub":"7 ""#),
        (#""sub":"7""#, #""sub":"18446744073709551616""#),
        (#""sub":"7""#, #""sub":"7","sub":"8""#),
        (#""sub":"7""#, #""sub":"7","sub":"7""#),
        (#""sub":"7""#, #""sub":"7","nbf":1"#),
        (#""sub":"7""#, #""sub":"7","admin":true"#),
        (#""sub":"7","#, ""),
        (#""exp":1700000600,"#, ""),
        ("1700000600", "null"),
        ("1700000600", #""1700000600""#),
        ("1700000600", "1700000600.5"),
        ("1700000600", "17e8"),
        ("1700000600", "9223372036854775807"),
        ("1700000600", "99999999999999999999"),
        ("1700000600", "-1"),
        ("1700000600", "1700000000"),
        (#""iat":1700000000,"#, ""),
        (#""iat":1700000000"#, #""iat":-1"#),
        ("000102030405060708090a0b0c0d0e0f", "000102030405060708090a0b0c0d0e0"),
        ("000102030405060708090a0b0c0d0e0f", "000102030405060708090A0B0C0D0E0F"),
        ("000102030405060708090a0b0c0d0e0f", ""),
        (#"[["rw","shop","p","cart:"]]"#, "[]"),
        (#"[["rw","shop","p","cart:"]]"#, #""super_user""#),
        (#"[["rw","shop","p","cart:"]]"#, #"[["rwx","shop"]]"#),
        (#"[["rw","shop","p","cart:"]]"#, #"[["rw","shop"],["r","shop"]]"#),
        (#"[["rw","shop","p","cart:"]]"#, "null"),
        (#""user-42""#, #""""#),
        (#""user-42""#, "42"),
        (#""user-42""#, "null"),
        (#""user-42""#, #""a\u0000""#),
    ])
    func wellSignedTokenWithOtherClaimsIsRefused(_ old: String, _ new: String) throws {
        #expect(Vectors.payload.contains(old))
        let payload = Vectors.payload.replacing(old, with: new)
        #expect(try refusal(try signed(payload: payload)) == .invalidCredential)
    }

    @Test(arguments: ["", "{}", "null", "[]", "1", "not json", "{\"a\":", "\u{FEFF}{}"])
    func wellSignedTokenWithAnyOtherPayloadIsRefused(_ payload: String) throws {
        #expect(try refusal(try signed(payload: payload)) == .invalidCredential)
    }

    @Test func alteredPayloadUnderAGoodSignatureIsRefused() throws {
        let parts = Vectors.token.split(separator: ".")
        for (old, new) in [
            ("\"7\"", "\"8\""), ("cart:", "card:"), ("shop", "*"), ("1700000600", "1800000600"), ("user-42", "user-43"),
        ] {
            let payload = Forge.part(Vectors.payload.replacing(old, with: new))
            #expect(try refusal("\(parts[0]).\(payload).\(parts[2])") == .invalidCredential)
        }
    }

    /// Another spelling of the same bytes would verify, were base64 read loosely.
    @Test func otherSpellingsOfAGoodTokenAreRefused() throws {
        let parts = Vectors.token.split(separator: ".").map(String.init)
        var spellings = [
            Vectors.token + "=", Vectors.token + "==", Vectors.token + " ", " " + Vectors.token, Vectors.token + "\n",
            Vectors.token + "\u{0}", "Bearer\t" + Vectors.token, Vectors.token.replacing("_", with: "/"),
            Vectors.token.replacing("-", with: "+"), parts.joined(separator: ".\n"),
            parts[0] + "=." + parts[1] + "." + parts[2],
        ]
        for place in parts.indices {
            // The last letter has bits to spare: change these alone.
            let bytes = try #require(Base64.decode(parts[place].utf8, .url))
            guard bytes.count % 3 != 0 else { continue }
            let letters = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
            let last = try #require(parts[place].last.flatMap { letters.firstIndex(of: $0) })
            var other = parts
            other[place] = String(parts[place].dropLast()) + String(letters[last ^ 1])
            spellings.append(other.joined(separator: "."))
        }
        #expect(spellings.count > 12)
        for spelling in spellings where spelling != Vectors.token {
            #expect(try refusal(spelling) == .invalidCredential, "\(spelling.debugDescription)")
        }
    }

    /// Anybody can make a second good signature out of a good one. It is the same token: same id, same rights, same
    /// end.
    @Test func malleatedSignatureIsTheSameToken() throws {
        let parts = Vectors.token.split(separator: ".")
        let signature = try #require(Base64.decode(parts[2].utf8, .url))
        let other = "\(parts[0]).\(parts[1])." + Base64.encode(try Forge.malleated(signature), .url)
        #expect(other != Vectors.token)
        let token = try #require(SignedToken(other))
        #expect(try token.hash != #require(SignedToken(Vectors.token)).hash)
        #expect(try verifier.verify(token, keys: try Vectors.keys(), now: Vectors.now) == Vectors.claims())
    }

    @Test func everyCutOfATokenIsRefused() throws {
        let bytes = Array(Vectors.token.utf8)
        for end in bytes.indices {
            #expect(try refusal(String(decoding: bytes[..<end], as: UTF8.self)) == .invalidCredential)
        }
        let outer = Array(OuterForm.wrap(apiKey: Vectors.token, endpoint: "e").utf8)
        for end in outer.indices {
            #expect(try refusal(String(decoding: outer[..<end], as: UTF8.self)) == .invalidCredential)
        }
    }

    @Test func everyChangedByteOfATokenIsRefused() throws {
        var generator = SeededGenerator(seed: 11)
        let original = Array(Vectors.token.utf8)
        let letters = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ \0".utf8)
        let keys = try Vectors.keys()
        for place in original.indices {
            for byte in [letters.randomElement(using: &generator), .random(in: .min ... .max, using: &generator)] {
                guard let byte, byte != original[place] else { continue }
                var changed = original
                changed[place] = byte
                #expect(
                    throws: MartletError.invalidCredential, "\(place) \(byte)",
                    performing: {
                        guard let token = parse(changed)?.token else { throw MartletError.invalidCredential }
                        _ = try verifier.verify(token, keys: keys, now: Vectors.now)
                    })
            }
        }
    }

    /// The outer form is not signed: what may change without harm is the endpoint and nothing else.
    @Test func everyChangedByteOfAnOuterFormIsRefusedOrChangesTheEndpointOnly() throws {
        var generator = SeededGenerator(seed: 12)
        let original = Array(OuterForm.wrap(apiKey: Vectors.token, endpoint: "localhost").utf8)
        let keys = try Vectors.keys()
        let endOfToken = (#"{"api_key":""# + Vectors.token).utf8.count / 3 * 4
        let letters = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ \0".utf8)
        for place in original.indices {
            for _ in 0..<2 {
                let byte = try #require(letters.randomElement(using: &generator))
                guard byte != original[place] else { continue }
                var changed = original
                changed[place] = byte
                guard let token = parse(changed)?.token else { continue }
                let claims = try? verifier.verify(token, keys: keys, now: Vectors.now)
                if place < endOfToken {
                    #expect(claims == nil)
                } else {
                    #expect(try claims == nil || claims == Vectors.claims())
                }
            }
        }
    }
}
