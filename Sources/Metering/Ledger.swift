import GRDB
import Synchronization
import Tenancy

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// The durable record of metered usage: a SQLite file into which the counters are folded, minute by minute.
///
/// Exactly once
/// ------------
/// A counter only grows. The ledger stores, with every fold, the value up to which each counter is already in the
/// windows, in the same transaction that adds the difference to them. Whatever instant the process dies at, the next
/// start finds either both or neither, and the difference that is left is the usage that is not yet stored.
///
/// The counter file is written through to the disk before that transaction begins. So even after a power cut no counter
/// on the disk is below its folded value. One that is, is damage: it is reported, nothing is billed for it, and counting
/// goes on from the value found.
///
/// Thread safety: callable from any thread, one fold at a time. Every call waits for the disk: never on an event loop.
package final class Ledger: Sendable {
    package let path: String
    /// What opening found: usage left by a killed process is folded by then, dated by that process's latest fold.
    package let recovery: FoldReport
    let counters: MeterFile
    let clock: any WallClock
    let database: DatabasePool
    let folds: Mutex<FoldState>

    /// Opens the ledger, or makes it, and folds what an earlier process left in the counters.
    ///
    /// - Parameters:
    ///   - path: of the SQLite file; it and what SQLite puts beside it are readable by their owner only.
    ///   - counters: the counter file of the same data directory.
    ///   - clock: dates the folds that ``usage(_:)`` makes.
    /// - Throws: ``LedgerError``. Cost: a few milliseconds, and one write-through of the counter file.
    package init(path: String, counters: MeterFile, clock: any WallClock) throws(LedgerError) {
        let now = clock.now()
        do {
            let database = try Self.open(path)
            var state = FoldState()
            try state.load(from: database, counters: counters)
            // A clock that was set back, or a damaged time, must not date usage into the future.
            let alive = counters.lastAlive.map { min($0, now) } ?? now
            let fold = Fold(counters: counters, database: database, probe: { _ in })
            recovery = try fold.run(&state, minute: alive.minute)
            counters.markAlive(now)
            self.database = database
            self.folds = Mutex(state)
        } catch {
            throw LedgerError(error, path: path, otherwise: LedgerError.cannotOpen)
        }
        self.path = path
        self.counters = counters
        self.clock = clock
    }

    private static func open(_ path: String) throws -> DatabasePool {
        // SQLite gives its side files the mode of the main file, so that is made first, for its owner alone.
        let descriptor = Self.createFile(path)
        guard descriptor >= 0 else { throw LedgerError.cannotOpen(path: path, reason: errnoText()) }
        let isPrivate = fchmod(descriptor, 0o600) == 0
        close(descriptor)
        guard isPrivate else { throw LedgerError.cannotOpen(path: path, reason: errnoText()) }

        var configuration = Configuration()
        configuration.label = "ledger"
        configuration.maximumReaderCount = 4
        configuration.busyMode = .timeout(5)
        let database = try DatabasePool(path: path, configuration: configuration)
        let migrator = LedgerSchema.migrator
        try database.writeWithoutTransaction { database in
            // After the pool is made: making it write-ahead sets a weaker mode.
            try database.execute(sql: "PRAGMA synchronous = FULL")
            let application = try Int.fetchOne(database, sql: "PRAGMA application_id") ?? 0
            // The migrator makes its own table before anything else: a process killed there leaves only that.
            let tables =
                try Int.fetchOne(
                    database, sql: "SELECT count(*) FROM sqlite_schema WHERE tbl_name <> 'grdb_migrations'") ?? 0
            guard application == LedgerSchema.applicationID || (application == 0 && tables == 0) else {
                throw LedgerError.damaged(path: path, reason: "it is a database of another kind")
            }
            guard try !migrator.hasBeenSuperseded(database) else { throw LedgerError.newerVersion(path: path) }
        }
        try migrator.migrate(database)
        return database
    }

    private static func createFile(_ path: String) -> Int32 {
        #if canImport(Glibc)
        Glibc.open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0o600)
        #elseif canImport(Musl)
        Musl.open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0o600)
        #else
        Darwin.open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0o600)
        #endif
    }
}

extension Timestamp {
    /// Minutes since 1970, rounded down.
    var minute: Int64 {
        let (quotient, remainder) = milliseconds.quotientAndRemainder(dividingBy: 60_000)
        return remainder < 0 ? quotient - 1 : quotient
    }
}
