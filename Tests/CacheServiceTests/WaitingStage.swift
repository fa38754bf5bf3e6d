import Access
import Engine
import Metering
import Synchronization
import Tenancy
import Testing

@testable import CacheService

/// Somebody who sends commands of the Redis protocol on a lane of its own, whose turns are taken when the test says so.
/// Belongs to one thread at a time.
final class WaitingStage: @unchecked Sendable {
    private final class Turns: Sendable {
        private let waiting = Mutex<[@Sendable () -> Void]>([])

        func put(_ work: @escaping @Sendable () -> Void) { waiting.withLock { $0.append(work) } }

        func take() -> (@Sendable () -> Void)? { waiting.withLock { $0.isEmpty ? nil : $0.removeFirst() } }
    }

    /// A command that has no answer yet, or had none at first.
    final class Waiting {
        let blocked: BlockedCommand
        fileprivate(set) var replies: [String] = []

        fileprivate init(_ blocked: BlockedCommand) { self.blocked = blocked }

        var reply: String? { replies.first }
    }

    let lane: ServiceLane
    let identity: CommandIdentity
    private let turns: Turns

    init(_ fixture: Fixture, lane index: Int, _ credential: String, cache: String = "shop") throws {
        let turns = Turns()
        self.turns = turns
        lane = ServiceLane(service: fixture.service, index: index) { turns.put($0) }
        let caller = try fixture.remember(credential, on: lane)
        let lane = lane
        identity = try Array(cache.utf8).withUnsafeBytes { try lane.openCommands(caller, cacheName: $0) }
    }

    /// Performs a command. Nil: it waits, or is answered in turns.
    @discardableResult
    func run(_ words: String...) -> String? { begin(words).reply }

    /// Performs a command that is expected to wait.
    func wait(_ words: String...) throws -> Waiting { try #require(begin(words).waiting) }

    func begin(_ words: [String]) -> (reply: String?, waiting: Waiting?) {
        lane.beginTick()
        let owned = OwnedArguments(words.map { Array($0.utf8) })
        let writer = ReplyWriter()
        guard let command = CommandTable.shared.command(named: owned.arguments[0]),
            let call = lane.makeCall(identity, owned.arguments, reply: writer)
        else { return ("-no such thing", nil) }
        var later: String?
        let outcome = lane.perform(command, call, owned.arguments, for: identity) {
            return { later = String(decoding: $0, as: UTF8.self) }
        }
        switch outcome {
        case .replied: return (String(decoding: writer.bytes, as: UTF8.self), nil)
        case .later:
            while later == nil, turn() {}
            return (later, nil)
        case .waits:
            guard let blocked = call.blocked else { return (nil, nil) }
            let waiting = Waiting(blocked)
            // Whoever drops it may still be answered.
            blocked.onReply = { waiting.replies.append(String(decoding: $0, as: UTF8.self)) }
            return (nil, waiting)
        }
    }

    /// Takes a turn of the lane. False: none was asked for.
    @discardableResult
    func turn() -> Bool {
        guard let work = turns.take() else { return false }
        work()
        return true
    }

    func tick() {
        lane.beginTick()
        lane.tickTopics()
    }

    func counts() throws -> [Meter: UInt64] {
        let row = try lane.row(#require(identity.grant.cache), .resp)
        return Dictionary(uniqueKeysWithValues: Meter.allCases.map { ($0, row.count(of: $0)) })
    }
}
