import Foundation
import Synchronization
import Tenancy
import Testing

@testable import Catalog

struct CatalogDurabilityTests {
    /// A child process changes the catalog, writes down each change once it is acknowledged, and is killed by a thread
    /// of its own in the middle of whatever it is doing. Whatever it wrote down must be there.
    @Test(arguments: [17, 58, 133]) func everyAcknowledgedChangeSurvivesKill(acknowledged: Int) async throws {
        let directory = try TestDirectory()
        let path = directory.path
        let journal = directory.file("acknowledged")
        await #expect(processExitsWith: .signal(SIGKILL)) {
            [path = path as String, journal = journal as String, acknowledged] in
            try changeUntilKilled(path: path, journal: journal, killAfter: acknowledged)
        }
        let lines = try String(contentsOfFile: journal, encoding: .utf8).split(
            separator: "\n", omittingEmptySubsequences: true)
        #expect(lines.count >= acknowledged)
        let catalog = try Catalog(path: path, clock: testClock)
        let snapshot = catalog.snapshot
        let tenant = try catalog.defaultTenant
        for line in lines {
            let name = String(line.dropFirst(2))
            switch line.first {
            case "+": #expect(snapshot.cache(tenant: tenant, name: try cacheName(name)) != nil, "\(line)")
            case "-": #expect(snapshot.cache(tenant: tenant, name: try cacheName(name)) == nil, "\(line)")
            case "!": #expect(snapshot.isRevoked(tokenID: name), "\(line)")
            default: Issue.record("\(line)")
            }
        }
        // Each change has its audit event, and at most the one change that was not acknowledged is there besides.
        let events = try auditCount(catalog)
        #expect(events >= lines.count)
        #expect(try catalog.freshlyLoadedState() == snapshot.state)
        // And the catalog can be changed as before.
        let (_, created) = try catalog.putCache(try cacheName("after"), tenant: tenant, owner: "o", actor: "a")
        #expect(created)
    }

    /// What the files hold at any moment, without the process that writes them, is a whole catalog.
    @Test func filesCopiedBetweenChangesHoldWhatWasAcknowledged() throws {
        let directory = try TestDirectory()
        let catalog = try Catalog(path: directory.path, clock: testClock)
        let tenant = try catalog.defaultTenant
        for round in 0..<6 {
            for number in 0..<(round * 7) {
                _ = try catalog.putCache(
                    try cacheName("c \(round) \(number)"), tenant: tenant, owner: "o", actor: "a")
            }
            let copy = try TestDirectory()
            for suffix in ["", "-wal"] {
                try FileManager.default.copyItem(atPath: directory.path + suffix, toPath: copy.path + suffix)
            }
            let other = try Catalog(path: copy.path, clock: testClock)
            #expect(other.snapshot.state == catalog.snapshot.state, "round \(round)")
            #expect(try other.actions() == catalog.actions(), "round \(round)")
        }
    }

    private func auditCount(_ catalog: Catalog) throws -> Int {
        var count = 0
        var page = try PageRequest(limit: 1000)
        while true {
            let answer = try catalog.audit(of: nil, page)
            count += answer.items.count
            guard let next = answer.nextToken else { return count }
            page = try PageRequest(limit: 1000, nextToken: next)
        }
    }
}

/// The body of the child process: it ends by SIGKILL alone.
private func changeUntilKilled(path: String, journal: String, killAfter: Int) throws {
    let catalog = try Catalog(path: path, clock: SystemClock())
    let tenant = try catalog.defaultTenant
    let descriptor = open(journal, O_WRONLY | O_CREAT | O_APPEND, 0o600)
    guard descriptor >= 0 else { return }
    let done = Acknowledgements()
    Thread.detachNewThread {
        while done.count.load(ordering: .relaxed) < killAfter { sched_yield() }
        kill(getpid(), SIGKILL)
    }
    // What is in the page cache outlives the process, so one `write` is as good as a sync here.
    func acknowledge(_ line: String) {
        let bytes = Array("\(line)\n".utf8)
        if write(descriptor, bytes, bytes.count) == bytes.count { done.count.add(1, ordering: .relaxed) }
    }
    for number in 0... {
        _ = try catalog.putCache(try CacheName("kept \(number)"), tenant: tenant, owner: "o", actor: "a")
        acknowledge("+ kept \(number)")
        let expiry = SystemClock().now().adding(milliseconds: 3_600_000)
        let token = TokenRecord(
            id: "token \(number)", tenant: tenant, tokenID: nil, issuedAt: SystemClock().now(), expiresAt: expiry,
            mintedBy: "root")
        try catalog.insertToken(token, actor: "a")
        try catalog.revokeToken(id: token.id, tenant: tenant, actor: "a")
        acknowledge("! token \(number)")
        _ = try catalog.putCache(try CacheName("gone \(number)"), tenant: tenant, owner: "o", actor: "a")
        try catalog.deleteCache(try CacheName("gone \(number)"), tenant: tenant, actor: "a")
        acknowledge("- gone \(number)")
    }
}

private final class Acknowledgements: Sendable {
    let count = Atomic(0)
}
