import GRDB
import Synchronization
import Tenancy

/// The durable record of tenants, caches, keys, tokens and limits, and of who changed them.
///
/// How a change happens:
///
///     caller ──▶ writer (one at a time)
///                  │ begin immediate
///                  │   the rows, and beside them a copy of the state
///                  │   the audit event
///                  │ commit ── fsync ─▶ on disk for good
///                  │ publish the new snapshot, then its version
///                  ▼
///               return
///
/// So what a call has acknowledged survives the death of the process or the machine, and whoever reads the snapshot
/// after the call sees it. A transaction that fails publishes nothing. A change that would change nothing writes nothing:
/// no row, no audit event, no snapshot. Each change costs one sync of the disk.
///
/// The data path never waits here: it compares ``currentVersion`` with that of the snapshot it holds (one atomic load)
/// and takes the new one when they differ (one short lock). Changes and lists do wait, for SQLite and its disk: no call
/// of those from an event loop.
package final class Catalog: Sendable {
    /// The tenant that always exists.
    package static let defaultTenantName = "default"
    /// Who the audit log names for what Martlet does on its own account.
    package static let ownActor = "martlet"

    let pool: DatabasePool
    let clock: any WallClock
    private let lock: CatalogLock
    private let onPublish: @Sendable (CatalogSnapshot, CatalogChange) -> Void
    private let published: Mutex<CatalogSnapshot>
    private let publishedVersion: Atomic<UInt64>
    private let isClosed = Atomic(false)

    /// Opens the catalog at `path`, makes it if there is none, and loads the first snapshot.
    ///
    /// - Parameters:
    ///   - path: The SQLite file; `-wal`, `-shm` and `.lock` files appear beside it. Its directory must exist.
    ///   - clock: Dates changes and audit events.
    ///   - onPublish: Called with each later snapshot and what it changed, in order, before the change returns to its
    ///     caller; within a first start for the default tenant. It runs under the writer: it must be short, and must
    ///     neither change nor list this catalog.
    /// - Complexity: reads the file once to check it, and once to load what is alive.
    package init(
        path: String, clock: any WallClock,
        onPublish: @escaping @Sendable (CatalogSnapshot, CatalogChange) -> Void = { _, _ in }
    ) throws(CatalogError) {
        (pool, lock) = try CatalogFile.opened(path: path)
        self.clock = clock
        self.onPublish = onPublish
        let state: CatalogState
        do {
            state = try pool.read { database in try CatalogState(loadingFrom: database) }
        } catch {
            throw CatalogError(opening: path, error)
        }
        published = Mutex(CatalogSnapshot(version: 1, state: state))
        publishedVersion = Atomic(1)
        do {
            let name = try TenantName(Self.defaultTenantName)
            if state.tenantIDs[name] == nil { _ = try putTenant(name, actor: Self.ownActor) }
        } catch {
            throw CatalogError(opening: path, error)
        }
    }

    /// The newest snapshot. Cost: one short lock; hold on to it until ``currentVersion`` moves.
    package var snapshot: CatalogSnapshot {
        published.withLock { $0 }
    }

    /// The version of the newest snapshot. Cost: one atomic load.
    package var currentVersion: UInt64 {
        publishedVersion.load(ordering: .acquiring)
    }

    /// Waits for the change in progress, folds the journal into the file and lets another process open it. Later changes
    /// and lists are refused with ``MartletError/unavailable(_:)``; the snapshot stays readable.
    package func close() throws(MartletError) {
        // A second call must not come near the connections: GRDB's checkpoint takes a closed one for an open one.
        guard !isClosed.exchange(true, ordering: .sequentiallyConsistent) else { return }
        // Left to itself SQLite folds when the last connection closes, which is a reader and may not write. If this
        // fails, the journal stays and the next start reads it: nothing is lost.
        _ = try? pool.writeWithoutTransaction { database in try database.checkpoint(.truncate) }
        do { try pool.close() } catch { throw MartletError(catalogFailure: error) }
        lock.release()
    }

    // MARK: - For the files of this type

    /// Runs one change: alone, in one transaction, with its audit events, and published before it returns.
    func change<Result>(_ body: (inout ChangeContext) throws -> Outcome<Result>) throws(MartletError) -> Result {
        do {
            return try pool.writeWithoutTransaction { database in
                var context = ChangeContext(database: database, state: snapshot.state, now: clock.now())
                var outcome: Outcome<Result>?
                try database.inTransaction(.immediate) {
                    let result = try body(&context)
                    outcome = result
                    guard case .changed(_, let entries) = result else { return .rollback }
                    for entry in entries { try entry.write(to: database, at: context.now) }
                    return .commit
                }
                switch outcome {
                case .changed(let result, _):
                    if !context.change.isEmpty { publish(context) }
                    return result
                case .unchanged(let result):
                    return result
                case nil:
                    // `inTransaction` returns only after its body has, which sets the outcome.
                    throw MartletError.internalFailure("the catalog failed")
                }
            }
        } catch {
            throw MartletError(catalogFailure: error)
        }
    }

    /// Reads beside the writer, from the last committed state.
    func read<Result>(_ body: (Database) throws -> Result) throws(MartletError) -> Result {
        do { return try pool.read(body) } catch { throw MartletError(catalogFailure: error) }
    }

    /// Only the writer calls this, so versions rise one by one. The version follows the snapshot: who sees it finds a
    /// snapshot at least as new.
    private func publish(_ context: ChangeContext) {
        let snapshot = CatalogSnapshot(version: currentVersion + 1, state: context.state)
        published.withLock { $0 = snapshot }
        publishedVersion.store(snapshot.version, ordering: .releasing)
        onPublish(snapshot, context.change)
    }
}
