import Foundation
import Tenancy
import Testing

@testable import Server

struct LocalCertificateAuthorityTests {
    /// The present, because `openssl verify` reads the machine's clock.
    private let now = SystemClock().now()

    private func days(_ count: Int64) -> Timestamp {
        now.adding(milliseconds: count * 86_400_000)
    }

    private func certificate(_ path: String) throws -> Certificate {
        try Certificate(pem: SmallFile.read(path, maxBytes: 65_536))
    }

    /// Runs the `openssl` command; what it says on both streams comes back.
    private func openssl(_ arguments: String...) throws -> (status: Int32, output: String) {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["openssl"] + arguments
        let pipe = Pipe()
        process.standardOutput = pipe
        process.standardError = pipe
        process.standardInput = FileHandle.nullDevice
        try process.run()
        let output = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        return (process.terminationStatus, output)
    }

    // MARK: - What is made

    @Test func aFirstStartMakesAnAuthorityAndACertificateThatOpenSSLTrusts() throws {
        let directory = try TemporaryDirectory()
        let authority = LocalCertificateAuthority(directory: directory.path)
        let outcome = try authority.prepare(endpoint: "cache.example", hostName: "build-3", now: now)
        #expect(outcome.didMakeAuthority)
        #expect(outcome.didIssueCertificate)
        #expect(try directory.names() == ["ca.key", "ca.pem", "server.key", "server.pem"])
        for name in [
            "localhost", "build-3", "cache.example", "cache.cache.example", "control.cache.example",
            "token.cache.example", "api.cache.cache.example", "web.cache.cache.example", "web.control.cache.example",
            "web.token.cache.example",
        ] {
            let result = try openssl(
                "verify", "-x509_strict", "-purpose", "sslserver", "-verify_hostname", name, "-CAfile",
                authority.authorityCertificatePath, authority.serverCertificatePath
            )
            #expect(result.status == 0, "\(name): \(result.output)")
        }
        for address in ["127.0.0.1", "::1"] {
            let result = try openssl(
                "verify", "-x509_strict", "-purpose", "sslserver", "-verify_ip", address, "-CAfile",
                authority.authorityCertificatePath, authority.serverCertificatePath
            )
            #expect(result.status == 0, "\(address): \(result.output)")
        }
        let other = try openssl(
            "verify", "-verify_hostname", "other.cache.example", "-CAfile", authority.authorityCertificatePath,
            authority.serverCertificatePath
        )
        #expect(other.status != 0)
    }

    @Test func theCertificatesSayWhatTheyAreFor() throws {
        let directory = try TemporaryDirectory()
        let authority = LocalCertificateAuthority(directory: directory.path)
        _ = try authority.prepare(endpoint: "localhost", hostName: "build-3", now: now)
        let root = try openssl("x509", "-noout", "-text", "-in", authority.authorityCertificatePath).output
        #expect(root.contains("X509v3 Basic Constraints: critical\n                CA:TRUE, pathlen:0"))
        #expect(root.contains("X509v3 Key Usage: critical\n                Certificate Sign, CRL Sign"))
        #expect(root.contains("ASN1 OID: prime256v1"))
        let leaf = try openssl("x509", "-noout", "-text", "-in", authority.serverCertificatePath).output
        #expect(leaf.contains("X509v3 Basic Constraints: critical\n                CA:FALSE"))
        #expect(leaf.contains("X509v3 Key Usage: critical\n                Digital Signature"))
        #expect(leaf.contains("TLS Web Server Authentication"))
        #expect(leaf.contains("X509v3 Subject Key Identifier"))
        #expect(leaf.contains("X509v3 Authority Key Identifier"))
        #expect(leaf.contains("Signature Algorithm: ecdsa-with-SHA256"))
        #expect(leaf.contains("ASN1 OID: prime256v1"))
    }

    @Test func theServerCertificateOfAnAuthorityCannotSignFurtherOnes() throws {
        let directory = try TemporaryDirectory()
        let authority = LocalCertificateAuthority(directory: directory.path)
        _ = try authority.prepare(endpoint: "localhost", hostName: "h", now: now)
        let leaf = try certificate(authority.serverCertificatePath)
        let leafKey = try PrivateKey(pem: SmallFile.read(authority.serverKeyPath, maxBytes: 65_536))
        let forged = try Certificate.server(
            names: [.dns("localhost")], key: PrivateKey.generate(),
            authority: CertificateWithKey(certificate: leaf, key: leafKey), from: now, until: days(10)
        )
        try SmallFile.write(forged.pem(), to: directory.file("forged.pem"), mode: 0o644)
        let result = try openssl(
            "verify", "-CAfile", authority.authorityCertificatePath, "-untrusted", authority.serverCertificatePath,
            directory.file("forged.pem")
        )
        #expect(result.status != 0)
    }

    @Test func keysAreReadableByTheirOwnerOnly() throws {
        let directory = try TemporaryDirectory()
        _ = try LocalCertificateAuthority(directory: directory.path).prepare(endpoint: "e", hostName: "h", now: now)
        for (name, mode) in [("ca.key", 0o600), ("server.key", 0o600), ("ca.pem", 0o644), ("server.pem", 0o644)] {
            let attributes = try FileManager.default.attributesOfItem(atPath: directory.file(name))
            #expect(attributes[.posixPermissions] as? Int == mode, "\(name)")
        }
    }

    @Test func theTimesAreThoseOfTheProfile() throws {
        let directory = try TemporaryDirectory()
        let authority = LocalCertificateAuthority(directory: directory.path)
        let outcome = try authority.prepare(endpoint: "e", hostName: "h", now: now)
        let root = try certificate(authority.authorityCertificatePath)
        let leaf = try certificate(authority.serverCertificatePath)
        #expect(root.expiresAt.seconds == days(3650).seconds)
        #expect(leaf.expiresAt.seconds - leaf.startsAt.seconds == 397 * 86_400)
        #expect(leaf.startsAt < now)
        #expect(outcome.expiresAt == leaf.expiresAt)
    }

    @Test func namesAreWrittenOutAndReadBack() throws {
        let directory = try TemporaryDirectory()
        let authority = LocalCertificateAuthority(directory: directory.path)
        let outcome = try authority.prepare(endpoint: "cache.example", hostName: "build-3", now: now)
        #expect(try certificate(authority.serverCertificatePath).names == outcome.names)
    }

    @Test func aHostNameThatNoCertificateCanCarryIsLeftOut() {
        let names = LocalCertificateAuthority.names(endpoint: "e", hostName: "my host,DNS:evil.example")
        #expect(!names.contains { $0.description.contains("evil") })
        #expect(names.count == 11)
    }

    @Test func anEndpointThatIsAnAddressHasNoNamesBelowIt() {
        let names = LocalCertificateAuthority.names(endpoint: "10.0.0.7", hostName: "localhost")
        #expect(names.map(\.description) == ["localhost", "127.0.0.1", "0:0:0:0:0:0:0:1", "10.0.0.7"])
    }

    // MARK: - Later starts

    @Test func aSecondStartChangesNothing() throws {
        let directory = try TemporaryDirectory()
        let authority = LocalCertificateAuthority(directory: directory.path)
        let first = try authority.prepare(endpoint: "e", hostName: "h", now: now)
        let before = try directory.names().map { try SmallFile.read(directory.file($0), maxBytes: 65_536) }
        let second = try authority.prepare(endpoint: "e", hostName: "h", now: days(300))
        #expect(!second.didMakeAuthority)
        #expect(!second.didIssueCertificate)
        #expect(second.expiresAt == first.expiresAt)
        #expect(try directory.names().map { try SmallFile.read(directory.file($0), maxBytes: 65_536) } == before)
    }

    @Test(arguments: [(366, false), (368, true), (500, true)])
    func aCertificateIsIssuedAnewWhenLessThanThirtyDaysAreLeft(age: Int64, isIssued: Bool) throws {
        let directory = try TemporaryDirectory()
        let authority = LocalCertificateAuthority(directory: directory.path)
        _ = try authority.prepare(endpoint: "e", hostName: "h", now: now)
        let outcome = try authority.prepare(endpoint: "e", hostName: "h", now: days(age))
        #expect(outcome.didIssueCertificate == isIssued)
        #expect(!outcome.didMakeAuthority)
    }

    @Test func otherNamesMakeANewCertificateUnderTheSameAuthority() throws {
        let directory = try TemporaryDirectory()
        let authority = LocalCertificateAuthority(directory: directory.path)
        _ = try authority.prepare(endpoint: "e", hostName: "h", now: now)
        let root = try SmallFile.read(authority.authorityCertificatePath, maxBytes: 65_536)
        let outcome = try authority.prepare(endpoint: "other", hostName: "h", now: now)
        #expect(outcome.didIssueCertificate)
        #expect(!outcome.didMakeAuthority)
        #expect(try SmallFile.read(authority.authorityCertificatePath, maxBytes: 65_536) == root)
        let result = try openssl(
            "verify", "-verify_hostname", "cache.other", "-CAfile", authority.authorityCertificatePath,
            authority.serverCertificatePath
        )
        #expect(result.status == 0, "\(result.output)")
    }

    @Test func aServerCertificateNeverOutlivesItsAuthority() throws {
        let directory = try TemporaryDirectory()
        let authority = LocalCertificateAuthority(directory: directory.path)
        _ = try authority.prepare(endpoint: "e", hostName: "h", now: now)
        _ = try authority.prepare(endpoint: "e", hostName: "h", now: days(3600))
        let root = try certificate(authority.authorityCertificatePath)
        #expect(try certificate(authority.serverCertificatePath).expiresAt == root.expiresAt)
    }

    @Test func anAuthorityWhoseTimeIsUpIsReplaced() throws {
        let directory = try TemporaryDirectory()
        let authority = LocalCertificateAuthority(directory: directory.path)
        _ = try authority.prepare(endpoint: "e", hostName: "h", now: now)
        let outcome = try authority.prepare(endpoint: "e", hostName: "h", now: days(3640))
        #expect(outcome.didMakeAuthority)
        #expect(outcome.didIssueCertificate)
    }

    // MARK: - Damage

    @Test func aStartThatWasKilledBetweenItsWritesIsFinishedByTheNext() throws {
        for lost in [
            ["ca.pem", "server.key", "server.pem"], ["server.key", "server.pem"], ["server.pem"], ["server.key"],
        ] {
            let directory = try TemporaryDirectory()
            let authority = LocalCertificateAuthority(directory: directory.path)
            _ = try authority.prepare(endpoint: "e", hostName: "h", now: now)
            for name in lost { try FileManager.default.removeItem(atPath: directory.file(name)) }
            let outcome = try authority.prepare(endpoint: "e", hostName: "h", now: now)
            #expect(outcome.didIssueCertificate)
            #expect(outcome.didMakeAuthority == lost.contains("ca.pem"))
            let result = try openssl(
                "verify", "-CAfile", authority.authorityCertificatePath, authority.serverCertificatePath
            )
            #expect(result.status == 0, "\(result.output)")
        }
    }

    @Test(arguments: ["server.pem", "server.key"]) func aDamagedServerCertificateIsReplaced(name: String) throws {
        let directory = try TemporaryDirectory()
        let authority = LocalCertificateAuthority(directory: directory.path)
        _ = try authority.prepare(endpoint: "e", hostName: "h", now: now)
        _ = try directory.write("-----BEGIN", to: name)
        #expect(try authority.prepare(endpoint: "e", hostName: "h", now: now).didIssueCertificate)
    }

    @Test(arguments: ["ca.pem", "ca.key"]) func aDamagedAuthorityStopsTheStart(name: String) throws {
        let directory = try TemporaryDirectory()
        let authority = LocalCertificateAuthority(directory: directory.path)
        _ = try authority.prepare(endpoint: "e", hostName: "h", now: now)
        let whole = try SmallFile.read(directory.file(name), maxBytes: 65_536)
        for damage in ["", "-----BEGIN", String(decoding: whole.prefix(whole.count / 2), as: UTF8.self)] {
            let path = try directory.write(damage, to: name)
            #expect(throws: CertificateError.damaged(path: path)) {
                try authority.prepare(endpoint: "e", hostName: "h", now: now)
            }
        }
    }

    @Test func anAuthorityThatLostItsKeyStopsTheStart() throws {
        let directory = try TemporaryDirectory()
        let authority = LocalCertificateAuthority(directory: directory.path)
        _ = try authority.prepare(endpoint: "e", hostName: "h", now: now)
        try FileManager.default.removeItem(atPath: directory.file("ca.key"))
        let error = #expect(throws: CertificateError.self) {
            try authority.prepare(endpoint: "e", hostName: "h", now: now)
        }
        #expect(error?.description.contains("ca.key is not") == true)
    }

    @Test func theKeyOfAnotherAuthorityStopsTheStart() throws {
        let directory = try TemporaryDirectory()
        let authority = LocalCertificateAuthority(directory: directory.path)
        _ = try authority.prepare(endpoint: "e", hostName: "h", now: now)
        try SmallFile.write(PrivateKey.generate().pem(), to: directory.file("ca.key"), mode: 0o600)
        #expect(
            throws: CertificateError.mismatch(certificate: directory.file("ca.pem"), key: directory.file("ca.key"))
        ) {
            try authority.prepare(endpoint: "e", hostName: "h", now: now)
        }
    }

    @Test func anEncryptedKeyIsRefusedWithoutAskingForAPassphrase() throws {
        let directory = try TemporaryDirectory()
        let authority = LocalCertificateAuthority(directory: directory.path)
        _ = try authority.prepare(endpoint: "e", hostName: "h", now: now)
        let key = directory.file("ca.key")
        let result = try openssl("pkcs8", "-topk8", "-in", key, "-out", directory.file("x"), "-passout", "pass:abcd")
        #expect(result.status == 0, "\(result.output)")
        try SmallFile.write(SmallFile.read(directory.file("x"), maxBytes: 65_536), to: key, mode: 0o600)
        #expect(throws: CertificateError.damaged(path: key)) {
            try authority.prepare(endpoint: "e", hostName: "h", now: now)
        }
    }

    @Test func aDirectoryThatIsNotThereIsReported() throws {
        let directory = try TemporaryDirectory()
        #expect(throws: CertificateError.self) {
            try LocalCertificateAuthority(directory: directory.file("none")).prepare(
                endpoint: "e", hostName: "h", now: now
            )
        }
    }
}
