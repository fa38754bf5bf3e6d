import Catalog
import Foundation
import Synchronization
import Tenancy
import Testing

@testable import Access
@testable import CacheService

/// Tokens that a tenant signs itself, from the making of their key to its end.
struct TenantSigningKeyTests {
    /// What a tenant does with the key that it was given.
    private struct Signer {
        let kid: String
        let key: SigningKey

        /// - Parameter jwk: The private key as the control plane showed it, and nothing else.
        init(jwk text: [UInt8]) throws {
            let jwk = try JSONParser.parse(text, ceiling: 4096)
            func bytes(_ name: String) throws -> [UInt8] {
                try #require(jwk[name]?.string.flatMap { Base64.decode($0.utf8, .url) })
            }
            kid = try #require(jwk["kid"]?.string)
            // PKCS #8 of a key on P-256: the number, and the point behind it.
            let head = try #require(
                Base64.decode("MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg".utf8, .standard))
            let middle: [UInt8] = [0xA1, 0x44, 0x03, 0x42, 0x00, 0x04]
            let body = Base64.encode(head + (try bytes("d")) + middle + (try bytes("x")) + (try bytes("y")), .standard)
            key = try SigningKey(
                privatePEM: "-----BEGIN PRIVATE KEY-----\n\(body)\n-----END PRIVATE KEY-----\n",
                createdAt: Timestamp(seconds: 0))
        }

        func sign(_ claims: KeyValuePairs<String, JSONValue>) throws -> String {
            try LibJWT.sign(claims: .members(claims), with: key)
        }
    }

    private func makeSigner(_ fixture: Fixture, _ caller: Caller, minutes: Int64 = 30) throws -> Signer {
        let minted = try fixture.control.createTenantSigningKey(ttlMinutes: minutes, caller: caller)
        let signer = try Signer(jwk: minted.privateJWK)
        #expect(signer.kid == minted.record.kid && signer.key.kid == minted.record.kid)
        return signer
    }

    private static func exp(_ fixture: Fixture, in seconds: Int64 = 600) -> JSONValue {
        .integer(fixture.clock.now().seconds + seconds)
    }

    @Test func tokenReachesTheOneKeyThatItNames() throws {
        let fixture = try Fixture()
        let acme = try fixture.makeTenant("acme")
        for name in ["shop", "other"] { try fixture.control.createCache(CacheName(name), caller: acme) }
        try fixture.control.createCache(CacheName("shop"), caller: fixture.root)
        let signer = try makeSigner(fixture, acme)
        let token = try signer.sign([
            "exp": Self.exp(fixture), "cache": .string("shop"), "key": .string("cart"),
            "method": .array([.string("get"), .string("set")]),
        ])
        let caller = try fixture.identify(token)
        #expect(caller.kind == .token && caller.tenant == acme.tenant && caller.signingKeyID == signer.kid)
        try fixture.set("cart", "bread", in: "shop", with: token)
        #expect(try fixture.length(of: "cart", in: "shop", with: token) == 5)
        #expect(throws: MartletError.self) { try fixture.set("other", "x", in: "shop", with: token) }
        #expect(throws: MartletError.self) { try fixture.set("cart", "x", in: "other", with: token) }

        let reading = try signer.sign([
            "exp": Self.exp(fixture), "cache": .string("shop"), "method": .array([.string("get")]),
        ])
        #expect(try fixture.length(of: "cart", in: "shop", with: reading) == 5)
        #expect(throws: MartletError.self) { try fixture.set("cart", "x", in: "shop", with: reading) }
        // The wrapped form, as an SDK would hold it.
        _ = try fixture.identify(OuterForm.wrap(apiKey: token, endpoint: "cache.test"))
        #expect(throws: MartletError.self) { try fixture.control.caches(PageRequest(), caller: caller) }
    }

    @Test func revokingTheKeyEndsItsTokensAndNoOthers() throws {
        let fixture = try Fixture()
        let acme = try fixture.makeTenant("acme")
        let first = try makeSigner(fixture, acme)
        let second = try makeSigner(fixture, acme)
        let claims: KeyValuePairs<String, JSONValue> = ["exp": Self.exp(fixture), "cache": .string("shop")]
        let ended = try fixture.remember(try first.sign(claims))
        let staying = try fixture.remember(try second.sign(claims))
        let never = try first.sign(["exp": Self.exp(fixture, in: 599), "cache": .string("shop")])

        try fixture.control.revokeTenantSigningKey(kid: first.kid, caller: acme)
        fixture.lane.beginTick()
        #expect(fixture.lane.fault(of: ended) == .revokedCredential)
        #expect(fixture.lane.fault(of: staying) == nil)
        // One that was never seen names a key that nobody has.
        #expect(throws: MartletError.invalidCredential) { try fixture.identify(never) }
        #expect(throws: MartletError.revokedCredential) {
            try fixture.control.caches(PageRequest(), caller: ended.caller)
        }
        #expect(throws: MartletError.notFound("Signing key")) {
            try fixture.control.revokeTenantSigningKey(kid: first.kid, caller: acme)
        }
    }

    @Test func tokensEndWithTheirKey() throws {
        let fixture = try Fixture()
        let acme = try fixture.makeTenant("acme")
        let signer = try makeSigner(fixture, acme, minutes: 1)
        let text = try signer.sign(["exp": Self.exp(fixture, in: 86_400), "cache": .string("shop")])
        let caller = try fixture.remember(text)
        #expect(caller.caller.expiresAt == fixture.clock.now().adding(milliseconds: 60_000))
        fixture.clock.advance(milliseconds: 59_999)
        fixture.lane.beginTick()
        #expect(fixture.lane.fault(of: caller) == nil)
        fixture.clock.advance(milliseconds: 1)
        fixture.lane.beginTick()
        #expect(fixture.lane.fault(of: caller) == .expiredCredential)
        #expect(throws: MartletError.expiredCredential) { try fixture.identify(text) }
    }

    @Test func deletingTheTenantEndsThem() throws {
        let fixture = try Fixture()
        let acme = try fixture.makeTenant("acme")
        let signer = try makeSigner(fixture, acme)
        let text = try signer.sign(["exp": Self.exp(fixture), "cache": .string("shop")])
        let caller = try fixture.remember(text)
        try fixture.control.deleteTenant(TenantName("acme"), caller: fixture.root)
        fixture.lane.beginTick()
        #expect(fixture.lane.fault(of: caller) == .revokedCredential)
        // Nor does the name bring them back.
        _ = try fixture.makeTenant("acme")
        #expect(throws: MartletError.revokedCredential) { try fixture.identify(text) }
        #expect(throws: MartletError.invalidCredential) { try fixture.identify(text) }
    }

    @Test func aKeyThatIsRevokedWhileATokenIsCheckedEndsIt() throws {
        let fixture = try Fixture()
        let acme = try fixture.makeTenant("acme")
        let signer = try makeSigner(fixture, acme)
        let token = try signer.sign(["exp": Self.exp(fixture), "cache": .string("shop")])
        // The verifying thread waits until the key is gone; the check itself succeeds.
        let gate = DispatchSemaphore(value: 0)
        #expect(fixture.service.verification.submit { gate.wait() })
        let answer = Mutex<MartletError?>(nil)
        let isHere = DispatchSemaphore(value: 0)
        var allowance = CheckAllowance(.init(burst: 10, perSecond: 10), now: fixture.lane.now)
        fixture.lane.beginTick()
        let identity = Array(token.utf8).withUnsafeBytes { bytes in
            fixture.lane.identify(bytes, address: [127, 0, 0, 1], allowance: &allowance) {
                return { result in
                    if case .failure(let error) = result { answer.withLock { $0 = error } }
                    isHere.signal()
                }
            }
        }
        guard case .later = identity else {
            gate.signal()
            Issue.record("was answered before its signature was checked")
            return
        }
        try fixture.control.revokeTenantSigningKey(kid: signer.kid, caller: acme)
        gate.signal()
        isHere.wait()
        #expect(answer.withLock { $0 } == .revokedCredential)
    }

    @Test func falseTokensAreRememberedAndThrottledAsOursAre() throws {
        let fixture = try Fixture()
        let signer = try makeSigner(fixture, fixture.root)
        let good = try signer.sign(["exp": Self.exp(fixture), "cache": .string("shop")])
        let signed = good.prefix(upTo: try #require(good.lastIndex(of: ".")))
        var outcomes: [MartletError] = []
        for number in 0..<60 {
            let signature = [UInt8](repeating: UInt8(number + 1), count: 64)
            do {
                _ = try fixture.identify("\(signed).\(Base64.encode(signature, .url))")
            } catch {
                outcomes.append(try #require(error as? MartletError))
            }
        }
        // An address has fifty to spend.
        #expect(outcomes.prefix(50).allSatisfy { $0 == .invalidCredential })
        #expect(outcomes.count == 60)
        #expect(outcomes.dropFirst(50).allSatisfy { if case .throttled = $0 { true } else { false } })
        #expect(fixture.service.failures.counts.credentials == 50)
    }

    @Test func claimsOfTheInstallationMeanNothingUnderATenantsKey() throws {
        let fixture = try Fixture()
        let acme = try fixture.makeTenant("acme")
        let signer = try makeSigner(fixture, acme)
        let now = fixture.clock.now()
        let claims = TokenClaims(
            id: "000102030405060708090a0b0c0d0e0f", tenant: fixture.root.tenant, tokenID: nil,
            permissions: .allDataReadWrite, issuedAt: now, expiresAt: now.adding(milliseconds: 60_000))
        let forged = try TokenSigner(authority: fixture.service.verifier.authority).sign(claims, with: signer.key)
        #expect(throws: MartletError.invalidCredential) { try fixture.identify(forged) }
    }

    @Test func neitherTheCatalogNorTheAuditLogHoldsThePrivateHalf() throws {
        let fixture = try Fixture()
        let minted = try fixture.control.createTenantSigningKey(ttlMinutes: 30, caller: fixture.root)
        let jwk = try JSONParser.parse(minted.privateJWK, ceiling: 4096)
        let number = try #require(jwk["d"]?.string)
        let raw = try #require(Base64.decode(number.utf8, .url))
        #expect(!"\(minted)".contains(number))
        let events = try fixture.control.audit(PageRequest(limit: 5), caller: fixture.root).rows.map(\.event)
        #expect(events.first?.action == "signing_key.create")
        #expect(events.allSatisfy { !$0.detail.contains(number) && !$0.subject.contains(number) })
        try fixture.catalog.close()
        let file = try Data(contentsOf: fixture.directory.appending(path: "catalog.sqlite"))
        #expect(file.range(of: Data(minted.record.kid.utf8)) != nil)
        for secret in [Data(raw), Data(number.utf8)] { #expect(file.range(of: secret) == nil) }
        // Base64 of the number within a PEM text, wherever it lies in its group of three.
        for offset in 0..<3 {
            let text = Base64.encode(Array(raw.dropFirst(offset).prefix(27)), .standard)
            #expect(file.range(of: Data(text.utf8)) == nil)
        }
    }
}
