import Tenancy

/// A certificate authority of this installation's own, for a server that was given no certificate.
///
/// In the data directory it keeps `ca.pem` and `ca.key`, made once, and `server.pem` and `server.key`, issued under it.
/// A client that is given `ca.pem` can trust the server; nobody else can issue under it, because the key of the
/// authority never leaves the directory. Keys are EC P-256. The authority lasts ten years. A server certificate lasts
/// 397 days, the longest that browsers take, and is issued anew at a start that finds less than 30 days of it left or
/// other names in it than the configuration asks for. Names are written out instead of a wildcard, which would match
/// one label only.
///
/// Files are written whole and synced, key before certificate: a start that was killed in between leaves a key without
/// its certificate, and the next start makes both again.
///
/// Profile of the certificates: RFC 5280 section 4.2.
package struct LocalCertificateAuthority: Sendable {
    package static let authorityDays: Int64 = 3650
    package static let serverDays: Int64 = 397
    package static let renewalDays: Int64 = 30

    package let authorityCertificatePath: String
    package let serverCertificatePath: String
    package let serverKeyPath: String
    let authorityKeyPath: String

    /// - Parameter directory: the data directory, which must exist.
    package init(directory: String) {
        let prefix = directory.hasSuffix("/") ? directory : directory + "/"
        self.authorityCertificatePath = prefix + "ca.pem"
        self.authorityKeyPath = prefix + "ca.key"
        self.serverCertificatePath = prefix + "server.pem"
        self.serverKeyPath = prefix + "server.key"
    }

    /// What ``prepare(endpoint:hostName:now:)`` did.
    package struct Outcome: Sendable, Equatable {
        /// A new authority was made: clients need the new `ca.pem`.
        package var didMakeAuthority: Bool
        /// A new server certificate was issued, under the same authority unless that is new too.
        package var didIssueCertificate: Bool
        /// What the server certificate is good for.
        package var names: [CertificateName]
        package var expiresAt: Timestamp
    }

    /// Makes whatever is missing or about to expire, and leaves the rest as it is.
    ///
    /// - Parameters:
    ///   - endpoint: the base name under which clients reach the service.
    ///   - hostName: the machine's name; left out of the certificate when it is not a name that a certificate can carry.
    /// - Throws: ``CertificateError``. An authority that is damaged or has lost its key is never replaced in silence,
    ///   because every client that trusts it would be cut off.
    /// Cost: two small files read; at most two key generations and four synced writes.
    package func prepare(
        endpoint: String, hostName: String, now: Timestamp
    ) throws(CertificateError) -> Outcome {
        let names = Self.names(endpoint: endpoint, hostName: hostName)
        var didMakeAuthority = false
        let authority: CertificateWithKey
        if let existing = try loadAuthority(now: now) {
            authority = existing
        } else {
            authority = try makeAuthority(now: now)
            didMakeAuthority = true
        }
        if let expiresAt = usableServerCertificate(names: names, authority: authority, now: now) {
            return Outcome(
                didMakeAuthority: didMakeAuthority, didIssueCertificate: false, names: names, expiresAt: expiresAt
            )
        }
        let expiresAt = try issueServerCertificate(names: names, authority: authority, now: now)
        return Outcome(
            didMakeAuthority: didMakeAuthority, didIssueCertificate: true, names: names, expiresAt: expiresAt)
    }

    /// The names of a server certificate: the machine itself, and every name under which a client library reaches a
    /// service with this endpoint. An endpoint that is an address has no names below it.
    package static func names(endpoint: String, hostName: String) -> [CertificateName] {
        var names: [CertificateName] = [.dns("localhost"), .address([127, 0, 0, 1]), .address(ipv6Loopback)]
        func add(_ name: CertificateName) {
            if !names.contains(name) { names.append(name) }
        }
        let host = hostName.lowercased()
        if HostName.isValid(host) { add(.dns(host)) }
        if let address = InternetAddress.version4(endpoint) {
            add(.address(address.bytes))
        } else {
            add(.dns(endpoint))
            for prefix in ["cache", "control", "token", "api.cache", "web.cache", "web.control", "web.token"] {
                add(.dns("\(prefix).\(endpoint)"))
            }
        }
        return names
    }

    private static let ipv6Loopback = [UInt8](repeating: 0, count: 15) + [1]

    // MARK: - The authority

    /// The authority in the directory, or nil when there is none yet or its time is up.
    private func loadAuthority(now: Timestamp) throws(CertificateError) -> CertificateWithKey? {
        guard SmallFile.exists(authorityCertificatePath) else {
            // A key alone is what a first start leaves that was killed between its two writes.
            return nil
        }
        let certificate: Certificate
        do {
            certificate = try Certificate(pem: SmallFile.read(authorityCertificatePath, maxBytes: Self.maxFileBytes))
        } catch let error as FileError {
            throw .file(error)
        } catch {
            throw .damaged(path: authorityCertificatePath)
        }
        guard certificate.expiresAt >= now.adding(days: Self.renewalDays) else { return nil }
        guard SmallFile.exists(authorityKeyPath) else {
            throw .authorityWithoutKey(certificate: authorityCertificatePath, key: authorityKeyPath)
        }
        let key: PrivateKey
        do {
            key = try PrivateKey(pem: SmallFile.read(authorityKeyPath, maxBytes: Self.maxFileBytes))
        } catch let error as FileError {
            throw .file(error)
        } catch {
            throw .damaged(path: authorityKeyPath)
        }
        guard certificate.belongs(to: key) else {
            throw .mismatch(certificate: authorityCertificatePath, key: authorityKeyPath)
        }
        return CertificateWithKey(certificate: certificate, key: key)
    }

    private func makeAuthority(now: Timestamp) throws(CertificateError) -> CertificateWithKey {
        let key = try PrivateKey.generate()
        let certificate = try Certificate.authority(
            key: key, from: now.adding(days: -1), until: now.adding(days: Self.authorityDays)
        )
        try write(try key.pem(), to: authorityKeyPath, mode: 0o600)
        try write(try certificate.pem(), to: authorityCertificatePath, mode: 0o644)
        return CertificateWithKey(certificate: certificate, key: key)
    }

    // MARK: - The server's certificate

    /// When the certificate in the directory ends, or nil unless it is whole, long enough and for exactly these names.
    /// Whatever is wrong with it, a new one puts it right, and clients notice nothing.
    private func usableServerCertificate(
        names: [CertificateName], authority: CertificateWithKey, now: Timestamp
    ) -> Timestamp? {
        guard let certificateBytes = try? SmallFile.read(serverCertificatePath, maxBytes: Self.maxFileBytes),
            let keyBytes = try? SmallFile.read(serverKeyPath, maxBytes: Self.maxFileBytes),
            let certificate = try? Certificate(pem: certificateBytes), let key = try? PrivateKey(pem: keyBytes),
            certificate.belongs(to: key), certificate.isSigned(by: authority.key),
            certificate.startsAt <= now, certificate.expiresAt >= now.adding(days: Self.renewalDays),
            certificate.names == names
        else { return nil }
        return certificate.expiresAt
    }

    private func issueServerCertificate(
        names: [CertificateName], authority: CertificateWithKey, now: Timestamp
    ) throws(CertificateError) -> Timestamp {
        let key = try PrivateKey.generate()
        // An hour back, for clients whose clock is slow; and never beyond the authority's own end.
        let start = now.adding(milliseconds: -3_600_000)
        let end = min(start.adding(days: Self.serverDays), authority.certificate.expiresAt)
        let certificate = try Certificate.server(names: names, key: key, authority: authority, from: start, until: end)
        try write(try key.pem(), to: serverKeyPath, mode: 0o600)
        try write(try certificate.pem(), to: serverCertificatePath, mode: 0o644)
        return certificate.expiresAt
    }

    // MARK: - Files

    private static let maxFileBytes = 65_536

    private func write(_ bytes: [UInt8], to path: String, mode: UInt32) throws(CertificateError) {
        do {
            try SmallFile.write(bytes, to: path, mode: mode)
        } catch {
            throw .file(error)
        }
    }
}

/// Why the local certificate authority cannot be used: each one sentence, with the way out where there is one.
package enum CertificateError: Error, Equatable, CustomStringConvertible {
    case file(FileError)
    /// The file is no PEM certificate or unencrypted PEM key.
    case damaged(path: String)
    case authorityWithoutKey(certificate: String, key: String)
    case mismatch(certificate: String, key: String)
    /// libcrypto refused a step that cannot fail but for memory or randomness.
    case crypto(step: String, reason: String)

    package var description: String {
        switch self {
        case .file(let error):
            "the local certificate authority cannot be used: \(error)"
        case .damaged(let path):
            "\(path) is damaged: restore it, or remove ca.pem and ca.key to have a new authority made"
        case .authorityWithoutKey(let certificate, let key):
            "\(certificate) is there but \(key) is not: restore it, or remove ca.pem to have a new authority made"
        case .mismatch(let certificate, let key):
            "\(key) is not the key of \(certificate): restore it, or remove both to have a new authority made"
        case .crypto(let step, let reason):
            "libcrypto could not \(step): \(reason)"
        }
    }
}

extension Timestamp {
    fileprivate func adding(days: Int64) -> Timestamp {
        adding(milliseconds: days * 86_400_000)
    }
}
