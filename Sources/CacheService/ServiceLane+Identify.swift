import Access
import Catalog
import Tenancy

/// Step one: who is calling.
package enum Identity {
    case known(LaneCaller)
    case refused(MartletError)
    /// A signature is being checked; the closure that the caller gave will be called on the lane's thread.
    case later
}

extension ServiceLane {
    /// Finds the caller behind the bytes of an `authorization` field or its equivalent.
    ///
    /// A credential that this loop has seen is one hash look-up. An API key that it has not seen is a SHA-256 and a look-up
    /// in the catalog's snapshot. A token that it has not seen is verified off this thread, on a bounded queue.
    ///
    /// - Parameters:
    ///   - credential: The raw bytes, in any form that is accepted.
    ///   - address: The peer's address, by which signature checks of false tokens are throttled.
    ///   - allowance: The same for the peer's connection, so that one behind a shared address does not use up what the
    ///     others need. The caller gives a check back when it was a good one.
    ///   - later: Asked for a closure only when the answer is not here yet.
    package func identify(
        _ credential: UnsafeRawBufferPointer, address: [UInt8], allowance: inout CheckAllowance,
        later: () -> LateHandler<LaneCaller>
    ) -> Identity {
        if let remembered = credentials.value(for: credential) {
            guard let fault = fault(of: remembered) else { return .known(remembered) }
            credentials.remove(credential)
            return .refused(fault)
        }
        guard credential.count > 0 else { return .refused(.missingCredential) }
        switch Credential.parse(credential) {
        case .rootKey(let hash): return identify(rootKey: hash, presented: credential)
        case .apiKey(let hash): return identify(apiKey: hash, presented: credential)
        case .token(let token):
            return verify(token, presented: credential, address: address, allowance: &allowance, later: later)
        case nil: return .refused(.invalidCredential)
        }
    }

    /// Whether a text is an API key that the catalog has. Cost: a SHA-256 and a look-up.
    package func knowsAPIKey(_ presented: String) -> Bool {
        guard case .apiKey(let hash) = Credential.parse(presented) else { return false }
        return snapshot.apiKey(hash: hash.bytes) != nil
    }

    /// Why a remembered caller is no longer good, or nil. Cost: two comparisons while the catalog stands still.
    @inline(__always)
    package func fault(of remembered: LaneCaller) -> MartletError? {
        if remembered.caller.isExpired(at: now) { return .expiredCredential }
        if remembered.version == snapshot.version { return nil }
        return faultAfterChange(remembered)
    }

    private func faultAfterChange(_ remembered: LaneCaller) -> MartletError? {
        let caller = remembered.caller
        let isSameRoot = caller.kind != .root || snapshot.rootKeyHash == remembered.rootKeyHash
        // The emulator's is no key of the catalog's, so none that could be revoked: it holds as long as the process
        // (`Caller.emulator`). So is the one for development.
        let isLive =
            caller === service.emulatorCaller || caller === service.developmentCaller || snapshot.isLive(caller)
        guard isSameRoot, isLive else { return .revokedCredential }
        remembered.version = snapshot.version
        remembered.grants.removeAll(keepingCapacity: true)
        return nil
    }

    private func identify(rootKey hash: SecretHash, presented: UnsafeRawBufferPointer) -> Identity {
        guard let root = snapshot.rootKeyHash, constantTimeEqual(hash.bytes, root) else {
            return .refused(.invalidCredential)
        }
        return .known(remember(.root(defaultTenant: service.defaultTenant), rootKeyHash: root, presented))
    }

    private func identify(apiKey hash: SecretHash, presented: UnsafeRawBufferPointer) -> Identity {
        guard let record = snapshot.apiKey(hash: hash.bytes) else { return .refused(.invalidCredential) }
        guard let grant = Grant(stored: record.grant) else {
            return .refused(.internalFailure("the permissions of this API key cannot be read"))
        }
        let caller = Caller.apiKey(
            id: record.id, tenant: record.tenant, tokenID: record.tokenID, expiresAt: record.expiresAt, grant: grant)
        guard !caller.isExpired(at: now) else { return .refused(.expiredCredential) }
        return .known(remember(caller, presented))
    }

    /// A token that this loop has not seen: its signature is checked on another thread.
    private func verify(
        _ token: SignedToken, presented: UnsafeRawBufferPointer, address: [UInt8], allowance: inout CheckAllowance,
        later: () -> LateHandler<LaneCaller>
    ) -> Identity {
        guard let signer = TokenSource(kid: token.keyID, snapshot) else { return .refused(.invalidCredential) }
        let service = service
        let fingerprint = SecretHash(of: presented)
        if let remembered = service.failures.failure(fingerprint, now: now) { return .refused(remembered) }
        // Many connections of one client show the same token at once, when it starts: one check does for all of them.
        if checksUnderWay[fingerprint] != nil {
            checksUnderWay[fingerprint]?.append(later())
            return .later
        }
        if let delay = allowance.charge(now: now) { return .refused(.throttled(retryAfterMilliseconds: delay)) }
        // Taken before the check and given back by a token that is good, so that checks under way count too.
        if let delay = service.failures.charge(address, now: now) {
            return .refused(.throttled(retryAfterMilliseconds: delay))
        }
        // Before the check: where it ends may be another thread, and before this one goes on.
        checksUnderWay[fingerprint] = [later()]
        let bound = LaneBound(self)
        let bytes = Array(presented)
        let schedule = schedule
        let now = now
        let isQueued = service.verification.submit(from: address) {
            let result = signer.check(token, service.verifier, now)
            switch result {
            case .success: service.failures.refund(address)
            case .failure(let error): service.failures.insert(fingerprint, failure: error, now: now)
            }
            schedule { bound.value.verified(result, presented: bytes, fingerprint) }
        } refused: {
            service.failures.refund(address)
            let busy = MartletError.busy(retryAfterMilliseconds: 50)
            schedule { bound.value.verified(.failure(busy), presented: bytes, fingerprint) }
        }
        guard isQueued else {
            service.failures.refund(address)
            allowance.refund()
            checksUnderWay[fingerprint] = nil
            return .refused(.busy(retryAfterMilliseconds: 50))
        }
        return .later
    }

    private func verified(
        _ result: Result<Caller, MartletError>, presented: [UInt8], _ fingerprint: SecretHash
    ) {
        beginTick()
        let outcome: Result<LaneCaller, MartletError> =
            switch result {
            case .failure(let error): .failure(error)
            case .success(let caller) where !snapshot.isLive(caller): .failure(.revokedCredential)
            case .success(let caller) where caller.isExpired(at: now): .failure(.expiredCredential)
            case .success(let caller): .success(presented.withUnsafeBytes { remember(caller, $0) })
            }
        for handler in checksUnderWay.removeValue(forKey: fingerprint) ?? [] { handler(outcome) }
    }

    private func remember(
        _ caller: Caller, rootKeyHash: [UInt8]? = nil, _ presented: UnsafeRawBufferPointer
    ) -> LaneCaller {
        let remembered = LaneCaller(caller, rootKeyHash: rootKeyHash, version: snapshot.version)
        credentials.insert(remembered, for: presented)
        return remembered
    }
}

/// Whose key a token names: the installation's, or one of a tenant.
private enum TokenSource: Sendable {
    case installation(SigningKeyRecord)
    case tenant(TenantSigningKeyRecord)

    /// Nil for a key that nobody has. The installation's go first, though no tenant can have one of their ids.
    init?(kid: String, _ snapshot: CatalogSnapshot) {
        if let record = snapshot.signingKey(kid: kid) {
            self = .installation(record)
        } else if let record = snapshot.tenantSigningKey(kid: kid) {
            self = .tenant(record)
        } else {
            return nil
        }
    }

    /// Checks the signature: some 0.5 ms.
    func check(
        _ token: SignedToken, _ verifier: TokenVerifier, _ now: Timestamp
    ) -> Result<Caller, MartletError> {
        do throws(MartletError) {
            switch self {
            case .installation(let record):
                let key = try PublicSigningKey(pem: record.publicPEM)
                return .success(.token(try verifier.verify(token, keys: [key.kid: key], now: now)))
            case .tenant(let record):
                let key = TenantSigningKey(
                    publicKey: try PublicSigningKey(pem: record.publicPEM), tenant: record.tenant,
                    expiresAt: record.expiresAt)
                return .success(.token(try verifier.verify(token, key: key, now: now), signedBy: key))
            }
        } catch {
            return .failure(error)
        }
    }
}

extension CatalogSnapshot {
    /// Whether a credential that was good once is neither revoked nor gone with its tenant. Of the root key it says
    /// nothing: whether it was rotated is for whoever knows which one was shown.
    func isLive(_ caller: Caller) -> Bool {
        guard tenant(caller.tenant) != nil else { return false }
        if let kid = caller.signingKeyID { return tenantSigningKey(kid: kid)?.tenant == caller.tenant }
        return switch caller.kind {
        case .root: true
        case .superUser, .dataKey: isLive(apiKeyID: caller.credentialID)
        case .token: !isRevoked(tokenID: caller.credentialID)
        }
    }
}

/// Carries a value of one lane across threads and back.
struct LaneBound<Value>: @unchecked Sendable {
    // Opened only inside the closure that the lane's own `schedule` runs: on the thread that it came from.
    let value: Value

    init(_ value: Value) {
        self.value = value
    }
}
