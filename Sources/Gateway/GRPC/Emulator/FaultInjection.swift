import Synchronization
import Tenancy

/// What becomes of a call that was ordered to go wrong: first it waits, then it fails.
struct Fault: Equatable, Sendable {
    var delayMilliseconds: Int64
    /// Nil: the call is answered as any other, only later.
    var error: GRPCStatusCode?
}

/// What becomes of a stream that was ordered to break.
struct StreamFault: Equatable, Sendable {
    /// What ends the stream.
    let status: GRPCStatusCode
    /// The stream ends when it has sent so many messages, items and heartbeats alike; 0: before the first.
    let messageLimit: Int
}

/// Faults on demand: decides which calls go wrong, by what their metadata orders (``FaultOrder``) and by how many did
/// before. One for all event loops, and only where the server stands in for the emulator: else the metadata does nothing.
///
/// Calls that are counted take a lock for some nanoseconds, which a test mode can afford. Counters are kept for the
/// last ``capacity`` ids; the one that came first is forgotten first, and begins anew if it comes again.
final class FaultInjection: Sendable {
    private struct Counters {
        var errors = 0
        var delays = 0
    }

    private struct State {
        var counters: [[UInt8]: Counters] = [:]
        /// The ids in a ring, in the order in which they came.
        var order: [[UInt8]] = []
        var oldest = 0
    }

    let capacity: Int
    private let state = Mutex(State())

    init(capacity: Int = 10_000) {
        self.capacity = max(1, capacity)
    }

    /// How many ids have counters.
    var count: Int { state.withLock { $0.counters.count } }

    /// What becomes of a call, or nil for the usual. To be asked once for each call, a stream's too, because it counts.
    ///
    /// - Parameter call: Its name in kebab case; empty for a call that has none, which no order meets.
    func fault(of call: StaticString, _ order: FaultOrder) -> Fault? {
        guard call.utf8CodeUnitCount > 0 else { return nil }
        let delay = order.delayCalls.contains(call) ? order.delayMilliseconds : nil
        let error = order.errorCalls.contains(call) ? order.error : nil
        let isDelayed = delay != nil && takesPlace(\.delays, atMost: order.delayCount, of: order.requestID)
        let isRefused = error != nil && takesPlace(\.errors, atMost: order.errorCount, of: order.requestID)
        guard isDelayed || isRefused else { return nil }
        return Fault(delayMilliseconds: isDelayed ? delay ?? 0 : 0, error: isRefused ? error : nil)
    }

    /// How a stream will break, or nil. Nothing is counted: each stream of the order breaks. Where no number of messages
    /// was ordered, it does before the first.
    func streamFault(of call: StaticString, _ order: FaultOrder) -> StreamFault? {
        guard let status = order.streamError, order.streamErrorCalls.contains(call) else { return nil }
        return StreamFault(status: status, messageLimit: order.streamMessageLimit ?? 0)
    }

    private func takesPlace(
        _ counter: WritableKeyPath<Counters, Int>, atMost limit: Int?, of id: [UInt8]
    ) -> Bool {
        guard let limit else { return true }
        return state.withLock { state in
            if state.counters[id] == nil { Self.admit(id, capacity, &state) }
            guard let count = state.counters[id]?[keyPath: counter], count < limit else { return false }
            state.counters[id]?[keyPath: counter] = count + 1
            return true
        }
    }

    private static func admit(_ id: [UInt8], _ capacity: Int, _ state: inout State) {
        if state.order.count < capacity {
            state.order.append(id)
        } else {
            state.counters[state.order[state.oldest]] = nil
            state.order[state.oldest] = id
            state.oldest = (state.oldest + 1) % capacity
        }
        state.counters[id] = Counters()
    }
}
