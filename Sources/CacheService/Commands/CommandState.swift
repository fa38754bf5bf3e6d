import Admission
import Synchronization
import Tenancy

/// What the Redis protocol keeps of one cache beside its items, for all lanes.
final class CommandState: Sendable {
    let log = CommandLog()
    let unsupported = UnsupportedCommands()
    let broadcasts = CountLimit(ceiling: ServiceLane.mostBroadcasts)
    let events = KeyspaceEvents()
}

/// How often which refused commands were asked for: so a team sees what it would miss. Bounded by ``RefusedCommands``: no
/// name of a client's choosing is kept.
package final class UnsupportedCommands: Sendable {
    private let contents = Mutex<[String: UInt64]>([:])

    func count(_ entry: RefusedCommands.Entry) {
        contents.withLock { $0[entry.name, default: 0] &+= 1 }
    }

    package var counts: [String: UInt64] { contents.withLock { $0 } }
}
