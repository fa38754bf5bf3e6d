import Access
import CacheService
import Catalog
import Gateway
import Synchronization

/// Whether the server is ready, its public keys, its metrics.
final class ServerStatus: SystemStatus {
    private struct State {
        var isDraining = false
        var foldFailure: String?
    }

    private let service: CacheService
    private let state = Mutex(State())

    init(service: CacheService) {
        self.service = service
    }

    func setDraining() {
        state.withLock { $0.isDraining = true }
    }

    /// Serving goes on while usage cannot be folded, because the counters keep it; but the operator is told.
    func setFoldFailure(_ reason: String?) {
        state.withLock { $0.foldFailure = reason }
    }

    var readiness: (isReady: Bool, reason: String) {
        state.withLock { state in
            if state.isDraining { return (false, "draining") }
            if let reason = state.foldFailure { return (true, "ready, but usage is not folded: \(reason)") }
            return (true, "ready")
        }
    }

    var jwks: [UInt8] {
        JWKS.document(service.catalog.snapshot.signingKeys.compactMap { try? PublicSigningKey(pem: $0.publicPEM) })
    }

    func metrics() -> [UInt8] {
        MetricsText(service: service, isFolding: state.withLock { $0.foldFailure == nil }).bytes
    }
}
