import Admission
import Engine
import Synchronization
import Tenancy

/// The commands that wait for something under a key of one cache, shared by all event loops.
///
/// Whoever has put something under a key serves those that wait for it at once, on its own thread and before its next
/// command, first come first served: so the command that follows sees what Redis promises, as `LLEN` behind an `RPUSH` a
/// list that was popped already.
///
/// ```
/// waiter:  tries, finds nothing ─▶ lock { joins the queues; serves its keys } ─▶ waits
/// writer:  writes ─▶ does anybody wait? ─▶ lock { serves the keys that it wrote, and those that this wrote, … }
/// ```
///
/// No wake-up is lost: both the writer's write and the waiter's second try hold the lock of the key's stripe. If the
/// write comes first, the second try finds what it wrote. If the try comes first, its stripe lock carries the count of
/// those that wait, which was raised before, to the writer, which reads it afterwards: so a relaxed load will do.
///
/// Nothing is served twice: whoever takes a command out of the queues, under the lock, answers it. The order of locks is
/// this one, then those of stripes; nobody holds a stripe's who asks for this one.
///
/// Cost: one load for a write while nobody waits; a look-up for each key written while somebody does; for each command
/// served what it costs to execute it.
final class BlockedCommands: Sendable {
    private let waiting = Atomic<Int>(0)
    private let queues = Mutex(Queues())

    private struct Queues {
        /// In the order of tickets.
        var byKey: [[UInt8]: [BlockedCommand]] = [:]
        var lastTicket: UInt64 = 0
    }

    /// Whether nobody waits. What a writer asks after each write.
    @inline(__always)
    var isEmpty: Bool { waiting.load(ordering: .relaxed) == 0 }

    var count: Int { waiting.load(ordering: .relaxed) }

    /// Lets a command wait, after whoever waits for its keys and may have what is there was served, and the command itself
    /// tried once more.
    ///
    /// - Returns: What was served: the command itself among it if it does not have to wait.
    func add(_ blocked: BlockedCommand, _ means: ServingMeans) -> [ServedCommand] {
        queues.withLock { queues in
            queues.lastTicket += 1
            blocked.ticket = queues.lastTicket
            // Before the second try.
            waiting.add(1, ordering: .sequentiallyConsistent)
            for key in blocked.keys where queues.byKey[key]?.last !== blocked {
                queues.byKey[key, default: []].append(blocked)
            }
            return serve(blocked.keys, &queues, means)
        }
    }

    /// Takes a command out that waits.
    ///
    /// - Returns: False where somebody else has done so: then the answer is on its way.
    func remove(_ blocked: BlockedCommand) -> Bool {
        queues.withLock { remove(blocked, &$0) }
    }

    /// Serves those that wait for something under these keys, which has come just now.
    func serve(_ keys: [[UInt8]], _ means: ServingMeans) -> [ServedCommand] {
        queues.withLock { serve(keys, &$0, means) }
    }

    private func remove(_ blocked: BlockedCommand, _ queues: inout Queues) -> Bool {
        guard blocked.ticket > 0 else { return false }
        for key in blocked.keys {
            guard let queue = queues.byKey[key], let place = Self.place(of: blocked, in: queue) else { continue }
            if queue.count == 1 {
                queues.byKey[key] = nil
            } else {
                queues.byKey[key]?.remove(at: place)
            }
        }
        blocked.ticket = 0
        waiting.subtract(1, ordering: .relaxed)
        return true
    }

    private static func place(of blocked: BlockedCommand, in queue: [BlockedCommand]) -> Int? {
        var (low, high) = (0, queue.count)
        while low < high {
            let middle = (low + high) / 2
            if queue[middle].ticket < blocked.ticket { low = middle + 1 } else { high = middle }
        }
        return low < queue.count && queue[low] === blocked ? low : nil
    }

    private func serve(_ keys: [[UInt8]], _ queues: inout Queues, _ means: ServingMeans) -> [ServedCommand] {
        var served: [ServedCommand] = []
        // What one that was served has put under another key serves those that wait there, and so on. Each step takes one
        // command out, so it ends.
        var ready = keys
        var next = 0
        while next < ready.count {
            let key = ready[next]
            next += 1
            for blocked in queues.byKey[key] ?? [] where blocked.ticket > 0 {
                guard let kind = means.kind(of: key) else { break }
                guard kind == blocked.awaitedKind, blocked.isAllowed(at: means.now) else { continue }
                let arguments = blocked.arguments(for: key)
                guard let one = means.attempt(blocked, arguments) else { continue }
                _ = remove(blocked, &queues)
                served.append(one)
                for written in blocked.command.writtenKeys(arguments.arguments) where written != key {
                    ready.append(written)
                }
            }
        }
        return served
    }
}

/// With what commands that wait are executed on a writer's thread: the cache, its limits, which are the same for all of its
/// callers, and the time.
struct ServingMeans {
    let items: EngineCache
    let sizes: SizeLimits
    let ttl: TTLRules
    let version: UInt64
    let now: Timestamp

    init(_ cache: LaneCache, now: Timestamp) {
        items = cache.shared.items
        sizes = cache.sizes
        ttl = cache.ttl
        version = cache.version
        self.now = now
    }

    func kind(of key: [UInt8]) -> ItemKind? {
        key.withUnsafeBytes { items.describe($0, now: now)?.kind }
    }

    /// Executes a command that waits; nil where there is still nothing for it.
    func attempt(_ blocked: BlockedCommand, _ arguments: OwnedArguments) -> ServedCommand? {
        guard case .items(let body) = blocked.command.action else { return nil }
        let writer = ReplyWriter()
        writer.isVersion3 = blocked.isVersion3
        let call = CommandCall(arguments.arguments, on: items, sizes: sizes, ttl: ttl, now: now, reply: writer)
        call.version = version
        do throws(MartletError) {
            try body(call)
            if call.wait != nil { return nil }
            return ServedCommand(blocked: blocked, call: call, arguments: arguments, failure: nil)
        } catch {
            return ServedCommand(blocked: blocked, call: call, arguments: arguments, failure: error)
        }
    }
}

/// A command that was executed for its caller on another thread, on its way back.
struct ServedCommand: @unchecked Sendable {
    let blocked: BlockedCommand
    // Made for this one command by the thread that served it, which lets go of it when it hands it over.
    let call: CommandCall
    let arguments: OwnedArguments
    let failure: MartletError?
}

extension CommandSpec {
    /// Whether it may put a list or a sorted set somewhere.
    var maySatisfyWaiters: Bool {
        guard flags.contains(.write) else { return false }
        switch group {
        case .list, .sortedSet, .geo, .generic: return true
        case .string, .hash, .set, .bitmap, .hyperloglog, .pubsub, .transactions, .connection, .server, .martlet:
            return false
        }
    }

    /// The keys of a command under which it may have put something.
    func writtenKeys(_ arguments: Arguments) -> [[UInt8]] {
        (foundKeys(arguments) ?? []).filter { $0.access != .read }.map { Array(arguments[$0.index]) }
    }
}
