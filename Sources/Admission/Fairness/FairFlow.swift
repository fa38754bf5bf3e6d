import Tenancy

/// Something with work that may have to wait its turn: a connection with input.
package protocol FairlyServed: AnyObject {
    /// Whether it waits in a ``FairQueue``. Set to false by whoever gives the work up: its place is passed over.
    var isWaitingForTurn: Bool { get set }
    /// Does about a quantum of its work, and waits again if some is left.
    func takeTurn()
}

/// One tenant as one event loop serves it: what it was given, and who of it waits. Belongs to its loop.
package final class FairFlow {
    package let tenant: TenantAdmission
    /// Bytes of answers that wait for readers of the tenant's connections on the loop.
    package var backlogBytes = 0
    /// The virtual time at which what it was given so far is paid off.
    var finish: UInt64 = 0
    /// Its place in the heap of flows that wait; -1 when none of it waits.
    var heapSlot = -1
    /// Whether what it is given now had waited for its turn.
    var hasWaited = false
    /// Whether it is among those whose weights share the virtual time.
    var isActive = false
    private var waiting: [(any FairlyServed)?] = []
    private var head = 0

    package init(_ tenant: TenantAdmission) {
        self.tenant = tenant
    }

    var weight: UInt64 { tenant.weight }

    var isWaiting: Bool { head < waiting.count }

    func append(_ entry: any FairlyServed) {
        waiting.append(entry)
    }

    /// The first that has not given up; nil when there is none.
    func popFirst() -> (any FairlyServed)? {
        while head < waiting.count {
            let entry = waiting[head]
            waiting[head] = nil
            head += 1
            if head == waiting.count {
                waiting.removeAll(keepingCapacity: waiting.capacity <= 64)
                head = 0
            } else if head >= 64, head > waiting.count / 2 {
                waiting.removeFirst(head)
                head = 0
            }
            if let entry, entry.isWaitingForTurn {
                entry.isWaitingForTurn = false
                return entry
            }
        }
        return nil
    }
}
