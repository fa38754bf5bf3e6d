import Synchronization

/// Whether a listener drops connections, as tests of client libraries order where the server stands in for the emulator.
/// Used by all its event loops. Cost: one atomic load for each connection.
final class EmulatorGate: Sendable {
    /// Why a connection was not taken.
    struct Blocked: Error {}

    private let isBlocked = Atomic(false)

    func block() {
        isBlocked.store(true, ordering: .sequentiallyConsistent)
    }

    func unblock() {
        isBlocked.store(false, ordering: .sequentiallyConsistent)
    }

    func requireOpen() throws(Blocked) {
        if isBlocked.load(ordering: .sequentiallyConsistent) { throw Blocked() }
    }
}
