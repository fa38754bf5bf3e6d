import Access
import Tenancy
import Testing

@Suite struct SecretTests {
    @Test func knownHashes() {
        // FIPS 180-4 examples.
        #expect(
            SecretHash(of: "abc").bytes.prefix(8) == [0xBA, 0x78, 0x16, 0xBF, 0x8F, 0x01, 0xCF, 0xEA])
        #expect(SecretHash(of: "").bytes.suffix(4) == [0x78, 0x52, 0xB8, 0x55])
    }

    @Test func hashSurvivesStorageAndDiffersInEveryBit() throws {
        let hash = SecretHash(of: "secret")
        #expect(SecretHash(bytes: hash.bytes) == hash)
        #expect(SecretHash(bytes: hash.bytes.dropLast()) == nil)
        #expect(SecretHash(bytes: hash.bytes + [0]) == nil)
        for bit in 0..<256 {
            var bytes = hash.bytes
            bytes[bit / 8] ^= 1 << UInt8(bit % 8)
            #expect(try #require(SecretHash(bytes: bytes)) != hash)
        }
    }

    @Test func constantTimeComparisonComparesEveryByte() {
        let secret: [UInt8] = Array(0..<32)
        #expect(constantTimeEqual(secret, secret))
        #expect(constantTimeEqual([], []))
        #expect(!constantTimeEqual(secret, []))
        #expect(!constantTimeEqual(secret, Array(secret.dropLast())))
        for place in secret.indices {
            var other = secret
            other[place] ^= 0x80
            #expect(!constantTimeEqual(secret, other))
        }
    }

    @Test func identifiersAreHexadecimalAndUnique() throws {
        let identifiers = try (0..<1000).map { _ in try SecureRandom.identifier() }
        #expect(Set(identifiers).count == 1000)
        #expect(identifiers.allSatisfy { $0.utf8.count == 32 && $0.allSatisfy { "0123456789abcdef".contains($0) } })
    }

    /// Everything that holds a secret, in every way that text is made of a value.
    @Test func nothingSecretIsPrintable() throws {
        let signing = try Vectors.signingKey()
        let issued = try APIKeys.issueV1(endpoint: "e")
        var memory = CredentialMemory<Int>(capacity: 4)
        Array(issued.inner.utf8).withUnsafeBytes { memory.insert(1, for: $0) }
        let token = try #require(Credential.parse(Vectors.token))
        let secrets = [issued.inner, issued.presented, "MIGHAgEA", "H1136cspYG6", Vectors.token, "user-42", "cart:"]

        func texts<T>(_ value: T) -> [String] {
            var dumped = ""
            dump(value, to: &dumped)
            return ["\(value)", String(reflecting: value), "\([value])", "\(Optional(value) as Any)", dumped]
        }
        let shown =
            texts(signing) + texts(issued) + texts(memory) + texts(token) + texts(issued.hash)
            + texts([(signing, issued)])
        for text in shown {
            #expect(!text.isEmpty)
            for secret in secrets { #expect(!text.contains(secret)) }
        }
    }
}
