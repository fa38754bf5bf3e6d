import Access
import Catalog
import Engine
import Foundation
import Metering
import Synchronization
import Tenancy
import Testing

@testable import CacheService

/// Commands that wait, on lanes of several threads.
@Suite struct BlockedCommandTests {
    private let fixture: Fixture
    private let credential: String

    init() throws {
        fixture = try Fixture()
        try fixture.makeCache("shop")
        let order = KeyOrder(format: .v2, grant: .permissions(.allDataReadWrite))
        credential = try fixture.control.mintKey(order, caller: fixture.root).secret.presented
    }

    private func stage(_ lane: Int) throws -> WaitingStage { try WaitingStage(fixture, lane: lane, credential) }

    @Test func whoeverWaitsIsServedBeforeTheWritersNextCommand() throws {
        let (waiter, writer) = (try stage(1), try stage(2))
        let waiting = try waiter.wait("BLPOP", "k", "0")
        #expect(writer.run("RPUSH", "k", "a") == ":1\r\n")
        #expect(writer.run("LLEN", "k") == ":0\r\n")
        #expect(waiting.reply == nil, "it is for the waiter's own lane to answer")
        waiter.turn()
        #expect(waiting.replies == ["*2\r\n$1\r\nk\r\n$1\r\na\r\n"])
    }

    @Test func aServedCommandIsMeteredOnItsOwnLane() throws {
        let (waiter, writer) = (try stage(1), try stage(2))
        _ = try waiter.wait("BLPOP", "k", "0")
        let (before, others) = (try waiter.counts(), try writer.counts())
        writer.run("RPUSH", "k", String(repeating: "a", count: 2500))
        waiter.turn()
        let after = try waiter.counts()
        #expect(after[.operations, default: 0] - before[.operations, default: 0] == 3)
        #expect(after[.elementsOut, default: 0] - before[.elementsOut, default: 0] == 1)
        #expect(try writer.counts()[.elementsOut] == others[.elementsOut])
    }

    @Test func aTransactionServesAtItsEnd() throws {
        let (waiter, writer) = (try stage(1), try stage(2))
        let waiting = try waiter.wait("BLPOP", "k", "other", "0")
        for (key, element) in [("other", "o"), ("k", "a")] {
            let owned = OwnedArguments(["RPUSH", key, element].map { Array($0.utf8) })
            let call = try #require(writer.lane.makeCall(writer.identity, owned.arguments, reply: ReplyWriter()))
            let command = try #require(CommandTable.shared.command(named: owned.arguments[0]))
            call.isInTransaction = true
            _ = writer.lane.perform(command, call, owned.arguments, for: writer.identity) { { _ in } }
        }
        #expect(writer.run("LLEN", "k") == ":1\r\n")
        writer.lane.endTransaction(of: writer.identity)
        waiter.turn()
        #expect(waiting.reply == "*2\r\n$5\r\nother\r\n$1\r\no\r\n", "by what was written first")
        #expect(writer.run("LLEN", "k") == ":1\r\n")
    }

    @Test func aCollectionWriteOfAnotherDoorServes() throws {
        let waiter = try stage(1)
        let waiting = try waiter.wait("BRPOP", "k", "0")
        let lane = fixture.lane
        let caller = try fixture.remember(credential, on: lane)
        let grant = try Array("shop".utf8).withUnsafeBytes { cache in
            try lane.permit(caller, cacheName: cache, operation: .set, key: nil, door: .rest)
        }
        let ttl = CollectionTTL(try TTL(milliseconds: 60_000, field: "ttl"), refreshes: false)
        let reply = Array("k".utf8).withUnsafeBytes {
            lane.perform(
                grant, .rest, key: $0, .listPush(.back, ["x"], limit: 0, ttl), later: { return { _ in } })
        }
        guard case .here = reply else { return #expect(Bool(false), "the push was refused") }
        waiter.turn()
        #expect(waiting.reply == "*2\r\n$1\r\nk\r\n$1\r\nx\r\n")
    }

    @Test func aRevokedCredentialEndsTheWait() throws {
        let (waiter, key) = try waiterOfOwnKey()
        let waiting = try waiter.wait("BLPOP", "k", "0")
        try fixture.control.revokeKey(id: key, caller: fixture.root)
        waiter.tick()
        #expect(waiting.reply?.hasPrefix("-NOAUTH ") == true)
        let writer = try stage(2)
        #expect(writer.run("RPUSH", "k", "a") == ":1\r\n")
        #expect(writer.run("LLEN", "k") == ":1\r\n", "nobody waits for it")
    }

    @Test func aCacheThatIsDeletedEndsTheWait() throws {
        let waiter = try stage(1)
        let waiting = try waiter.wait("BLPOP", "k", "0")
        try fixture.control.deleteCache(CacheName("shop"), caller: fixture.root)
        waiter.tick()
        #expect(waiting.reply?.hasPrefix("-ERR ") == true)
        #expect(waiter.lane.blockedCommands.isEmpty)
    }

    @Test func timeThatIsOverAndAWishEndTheWaitOnce() throws {
        let (waiter, writer) = (try stage(1), try stage(2))
        let late = try waiter.wait("BLMOVE", "k", "d", "LEFT", "LEFT", "5")
        #expect(late.blocked.milliseconds == 5000)
        late.blocked.timeOut()
        late.blocked.timeOut()
        #expect(late.replies == ["*-1\r\n"])
        let wished = try waiter.wait("BLPOP", "k", "0")
        #expect(wished.blocked.unblock(withError: true))
        #expect(!wished.blocked.unblock(withError: false))
        #expect(wished.replies == ["-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n"])
        let served = try waiter.wait("BLPOP", "k", "0")
        writer.run("RPUSH", "k", "a")
        served.blocked.timeOut()
        #expect(served.replies.isEmpty, "the answer is on its way")
        waiter.turn()
        #expect(served.replies == ["*2\r\n$1\r\nk\r\n$1\r\na\r\n"])
    }

    /// Writers, and waiters whose time is over at any moment, on threads of their own.
    @Test func eachElementGoesToOneWaiterAndNoneIsLost() throws {
        let writers = try (0..<2).map { try stage(1 + $0) }
        let waiters = try (0..<3).map { try stage(3 + $0) }
        let pushed = 3000
        let left = Atomic<Int>(writers.count)
        let taken = Mutex<[String]>([])
        let threads = DispatchGroup()
        for (number, writer) in writers.enumerated() {
            run(in: threads) {
                for place in 0..<pushed { writer.run("RPUSH", place % 3 == 0 ? "a" : "b", "\(number)-\(place)") }
                left.subtract(1, ordering: .sequentiallyConsistent)
            }
        }
        for waiter in waiters {
            run(in: threads) {
                var own: [String] = []
                var dice = SystemRandomNumberGenerator()
                while true {
                    let isLast = left.load(ordering: .sequentiallyConsistent) == 0
                    let (reply, waiting) = waiter.begin(["BLPOP", "a", "b", "0"])
                    var answer = reply
                    if let waiting {
                        for _ in 0..<Int.random(in: 0...200, using: &dice) where waiting.reply == nil { waiter.turn() }
                        if isLast || Bool.random(using: &dice) { waiting.blocked.timeOut() }
                        while waiting.reply == nil {
                            waiter.turn()
                            if left.load(ordering: .sequentiallyConsistent) == 0 { waiting.blocked.timeOut() }
                        }
                        #expect(waiting.replies.count == 1)
                        answer = waiting.reply
                    }
                    if let answer, answer != "*-1\r\n" {
                        own.append(answer)
                    } else if isLast {
                        break
                    }
                }
                let all = own
                taken.withLock { $0 += all }
            }
        }
        #expect(threads.wait(timeout: .now() + 120) == .success)
        let answers = taken.withLock { $0 }
        #expect(answers.count == pushed * writers.count)
        #expect(Set(answers).count == answers.count)
        let registry = try #require(waiters[0].identity.grant.cache).shared.blocked
        #expect(registry.isEmpty)
    }

    private func run(in group: DispatchGroup, _ body: @escaping @Sendable () -> Void) {
        group.enter()
        Thread {
            body()
            group.leave()
        }.start()
    }

    private func waiterOfOwnKey() throws -> (WaitingStage, String) {
        let order = KeyOrder(format: .v2, grant: .permissions(.allDataReadWrite))
        let key = try fixture.control.mintKey(order, caller: fixture.root)
        return (try WaitingStage(fixture, lane: 5, key.secret.presented), key.record.id)
    }
}
