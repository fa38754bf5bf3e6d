import Admission
import CacheService
import Gateway
import Synchronization
import Tenancy

/// Whether the server is ready, its public keys, its metrics.
final class ServerStatus: SystemStatus {
    private struct State {
        var isDraining = false
        var foldFailure: String?
    }

    private let service: CacheService
    private let control: ControlPlane
    private let handshakes: HandshakeCounters
    private let state = Mutex(State())

    init(service: CacheService, control: ControlPlane, handshakes: HandshakeCounters) {
        self.service = service
        self.control = control
        self.handshakes = handshakes
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
        get throws(MartletError) { try control.jwks() }
    }

    func metrics() -> [UInt8] {
        MetricsText(
            service: service, handshakes: handshakes, isFolding: state.withLock { $0.foldFailure == nil }
        ).bytes
    }
}
