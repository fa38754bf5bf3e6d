import Access
import Catalog
import Delivery
import Metering
import Synchronization
import Tenancy

/// Everything that can be asked of the installation apart from its items: tenants, caches, keys, tokens, usage, audit.
///
/// Its methods are what the doors share, as ``ServiceLane`` is for items: a door translates, and never decides. Each
/// method takes the ``Caller`` and
///
/// 1. checks that its credential is still good, what it may do, and to which tenant (``permit(_:_:tenant:)``);
/// 2. checks the parameters;
/// 3. changes the catalog, which writes the audit event in the same transaction, on behalf of the credential's id, and
///    publishes the snapshot before it returns. So what a method has answered is on disk and in force.
///
/// Every method may wait for the disk: none is to be called on an event loop. Callable from any thread.
package final class ControlPlane: Sendable {
    package let service: CacheService
    /// The base endpoint that is written into v1 keys, from which SDKs derive the hosts that they call.
    package let endpoint: String
    let ledger: Ledger
    let signer: TokenSigner
    /// Where webhooks may not go.
    let outboundGuard: AddressGuard
    let mintingRates = MintingRates()
    /// Held by changes that depend on what was stored before, so that of two at once none is lost.
    let changes = Mutex<Void>(())
    private let publishedKeys = Mutex<PublishedKeys?>(nil)

    package init(
        service: CacheService, ledger: Ledger, signer: TokenSigner, endpoint: String,
        outboundGuard: AddressGuard = AddressGuard()
    ) {
        self.outboundGuard = outboundGuard
        self.service = service
        self.ledger = ledger
        self.signer = signer
        self.endpoint = endpoint
    }

    package var catalog: Catalog { service.catalog }

    var now: Timestamp { service.clock.now() }

    /// The public halves of all keys whose tokens may still live (RFC 7517 section 5). Cost: two short locks, unless the
    /// keys have changed. It does not wait for the disk.
    ///
    /// - Throws: ``MartletError/internalFailure(_:)`` when a stored key cannot be read.
    package func jwks() throws(MartletError) -> [UInt8] {
        let records = catalog.snapshot.signingKeys
        let kids = records.map(\.kid)
        if let known = publishedKeys.withLock({ $0 }), known.kids == kids { return known.document }
        var keys: [PublicSigningKey] = []
        for record in records { keys.append(try PublicSigningKey(pem: record.publicPEM)) }
        let made = PublishedKeys(kids: kids, document: JWKS.document(keys))
        publishedKeys.withLock { $0 = made }
        return made.document
    }
}

/// The JWK set as it was made for these keys.
private struct PublishedKeys {
    let kids: [String]
    let document: [UInt8]
}
