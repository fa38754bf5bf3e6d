import Access
import Catalog
import Synchronization
import Tenancy

extension ControlPlane {
    /// Makes the first signing key where there is none. Called at the start, before anybody is served.
    ///
    /// - Throws: ``MartletError/internalFailure(_:)`` when a key cannot be made, and the failures of the catalog.
    package func ensureSigningKey(now: Timestamp) throws(MartletError) {
        try changes.withLock { (_: inout Void) throws(MartletError) in
            guard catalog.snapshot.currentSigningKey == nil else { return }
            _ = try insertSigningKey(now: now, actor: Catalog.ownActor)
        }
    }

    /// The keys whose tokens may still live, newest first. Their private halves are not to be shown.
    ///
    /// - Throws: as ``permit(_:_:tenant:)``.
    package func signingKeys(caller: Caller) throws(MartletError) -> [SigningKeyRecord] {
        try permit(.listSigningKeys, caller)
        return catalog.snapshot.signingKeys
    }

    /// Makes a new key sign from now on. Tokens of the older ones stay good until they expire. Root only.
    ///
    /// - Throws: ``MartletError/permissionDenied(_:)``, ``MartletError/internalFailure(_:)`` when a key cannot be made, and
    ///   the failures of the catalog.
    package func rotateSigningKey(caller: Caller) throws(MartletError) -> SigningKeyRecord {
        try permit(.rotateSigningKeys, caller)
        let record = try insertSigningKey(now: now, actor: caller.credentialID)
        // A token of the new key may have been refused as unknown a moment before.
        service.failures.removeAllFailures()
        return record
    }

    private func insertSigningKey(now: Timestamp, actor: String) throws(MartletError) -> SigningKeyRecord {
        let key = try SigningKey.generate(now: now)
        let record = SigningKeyRecord(
            kid: key.kid, privatePEM: key.privatePEM, publicPEM: key.publicPEM, createdAt: key.createdAt)
        try catalog.insertSigningKey(record, actor: actor)
        return record
    }

    /// The key that signs.
    func currentSigningKey() throws(MartletError) -> SigningKey {
        guard let record = catalog.snapshot.currentSigningKey, let privatePEM = record.privatePEM else {
            throw .unavailable("there is no signing key yet")
        }
        return try SigningKey(privatePEM: privatePEM, createdAt: record.createdAt)
    }

    /// Makes a root key in place of the one before, if there was one. Needs nothing but the catalog, so that it works
    /// while nothing is served.
    ///
    /// - Parameters:
    ///   - save: Given the text of the key. It must have reached the disk when this returns: only then is the key's hash
    ///     stored, so that there is no moment at which nobody holds the key that is in force. When it throws, the old key
    ///     stays in force.
    ///   - actor: Whom the audit log names.
    /// - Throws: what `save` throws, and the failures of the catalog.
    package static func rotateRootKey(
        in catalog: Catalog, actor: String = Catalog.ownActor, save: (String) throws(MartletError) -> Void
    ) throws(MartletError) {
        let key = try APIKeys.issueRoot()
        try save(key.presented)
        try catalog.setRootKeyHash(key.hash.bytes, actor: actor)
    }
}
