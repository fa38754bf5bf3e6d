import Foundation
import GRDB
import Synchronization
import Tenancy

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// The steps from a path to an open, sound database of this version.
///
/// 1. Lock: one process at a time, held until the catalog is closed or the process is gone.
/// 2. Prepare: the file exists, belongs to its owner alone (it holds signing keys) and its directory entry is on disk.
/// 3. Inspect: it is sound, it is a catalog, and no newer version wrote it. This comes before anything is written,
///    because a file that is refused must stay as it was.
/// 4. Open: WAL, `synchronous = FULL`, foreign keys on, migrations.
enum CatalogFile {
    /// The smallest page that SQLite knows, in bytes (https://www.sqlite.org/fileformat2.html section 1.3.2).
    private static let smallestFile = 512

    /// - Returns: the open database, and the lock, which must live as long.
    static func opened(path: String) throws(CatalogError) -> (pool: DatabasePool, lock: CatalogLock) {
        let lock = try CatalogLock(catalogPath: path)
        do {
            let sizes = try prepare(path: path)
            if sizes.file > 0 { try inspect(path: path, sizes: sizes) }
            return (try connect(path: path), lock)
        } catch {
            throw CatalogError(opening: path, error)
        }
    }

    /// Makes the file if need be and sees to its mode: SQLite gives its `-wal` and `-shm` files the mode of the main one.
    ///
    /// The descriptor is closed before SQLite opens the file, because closing any descriptor of a file drops all POSIX
    /// locks that the process holds on it.
    ///
    /// - Returns: the sizes of the file and of its journal in bytes.
    private static func prepare(path: String) throws(CatalogError) -> (file: Int, journal: Int) {
        let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY, 0o600)
        guard descriptor >= 0 else { throw .unwritable(path: path, reason: lastErrorText()) }
        defer { close(descriptor) }
        var facts = stat()
        guard fstat(descriptor, &facts) == 0 else { throw .failed(path: path, reason: lastErrorText()) }
        guard facts.st_mode & S_IFMT == S_IFREG else {
            throw .unwritable(path: path, reason: "it is not a regular file")
        }
        guard facts.st_mode & 0o077 == 0 || fchmod(descriptor, 0o600) == 0 else {
            throw .unwritable(path: path, reason: "others may read it, and its mode cannot be changed")
        }
        for suffix in ["-wal", "-shm"] { chmod(path + suffix, 0o600) }
        var journal = stat()
        let journalSize = stat(path + "-wal", &journal) == 0 ? Int(journal.st_size) : 0
        if facts.st_size == 0 {
            // SQLite would take an empty file for a new database and throw its journal away, with all that is in it.
            guard journalSize == 0 else {
                throw .damaged(path: path, reason: "the file is empty or missing while its journal is not")
            }
            try syncDirectory(of: path)
        }
        return (Int(facts.st_size), journalSize)
    }

    private static func syncDirectory(of path: String) throws(CatalogError) {
        let directory = (path as NSString).deletingLastPathComponent
        let descriptor = open(directory.isEmpty ? "." : directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw .unwritable(path: path, reason: lastErrorText()) }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw .failed(path: path, reason: lastErrorText()) }
    }

    /// - Complexity: reads the whole file once.
    private static func inspect(path: String, sizes: (file: Int, journal: Int)) throws {
        // SQLite would take so short a file for an empty database.
        let isHot = hasRollbackJournal(path: path)
        guard sizes.file >= smallestFile || isHot else {
            throw CatalogError.damaged(path: path, reason: "the file is cut short")
        }
        var configuration = configuration()
        // Only a death during the very first start leaves a rollback journal, from before the file was in WAL mode. It
        // has to be rolled back, which is a write, before anything can be read.
        configuration.readonly = !isHot
        let queue = try DatabaseQueue(path: path, configuration: configuration)
        try queue.inDatabase { database in
            let findings = try String.fetchAll(database, sql: "PRAGMA quick_check(1)")
            guard findings == ["ok"] else {
                throw CatalogError.damaged(path: path, reason: findings.first ?? "it cannot be checked")
            }
            // SQLite reads what is missing of the last page as zeros. While there is a journal, the page may be in it.
            let pageCount = try Int.fetchOne(database, sql: "PRAGMA page_count") ?? 0
            let pageSize = try Int.fetchOne(database, sql: "PRAGMA page_size") ?? 0
            guard sizes.journal > 0 || isHot || sizes.file >= pageCount * pageSize else {
                throw CatalogError.damaged(path: path, reason: "the file is cut short")
            }
            let applicationID = try Int32.fetchOne(database, sql: "PRAGMA application_id")
            guard applicationID == CatalogSchema.applicationID else {
                guard try isWithoutTables(database) else { throw CatalogError.notACatalog(path: path) }
                return
            }
            guard try !CatalogSchema.migrator.hasBeenSuperseded(database) else {
                throw CatalogError.newerVersion(path: path)
            }
        }
        try queue.close()
    }

    private static func hasRollbackJournal(path: String) -> Bool {
        var journal = stat()
        return stat(path + "-journal", &journal) == 0 && journal.st_size > 0
    }

    private static func connect(path: String) throws -> DatabasePool {
        let pool = try DatabasePool(path: path, configuration: configuration())
        try pool.writeWithoutTransaction { database in
            // GRDB chooses NORMAL for a pool; only FULL has a change on disk before it is acknowledged.
            try database.execute(sql: "PRAGMA synchronous = FULL")
            if try isWithoutTables(database) {
                try database.execute(sql: "PRAGMA application_id = \(CatalogSchema.applicationID)")
            }
        }
        try CatalogSchema.migrator.migrate(pool)
        return pool
    }

    private static func isWithoutTables(_ database: Database) throws -> Bool {
        try Int.fetchOne(database, sql: "SELECT count(*) FROM sqlite_master") == 0
    }

    private static func configuration() -> Configuration {
        var configuration = Configuration()
        configuration.label = "catalog"
        configuration.foreignKeysEnabled = true
        // One for each thread on which a listener's control-plane requests run: the ops listener finds one free.
        configuration.maximumReaderCount = 4
        // Somebody may look into the file with another tool meanwhile: wait for its locks rather than fail at once.
        configuration.busyMode = .timeout(5)
        configuration.prepareDatabase { database in
            // What is deleted is overwritten: it may be a secret. Nothing in the file may call functions when it is read.
            try database.execute(
                sql: "PRAGMA secure_delete = ON; PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON")
        }
        return configuration
    }
}

/// Keeps a second process from serving the same catalog: its snapshots would not see the changes of the first.
///
/// An advisory lock on a file of its own, `catalog.sqlite.lock`; the kernel drops it when the process ends, however.
final class CatalogLock: Sendable {
    /// The locked descriptor, or -1 once released.
    private let descriptor: Mutex<Int32>

    init(catalogPath: String) throws(CatalogError) {
        let locked = open(catalogPath + ".lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY, 0o600)
        guard locked >= 0 else { throw .unwritable(path: catalogPath, reason: lastErrorText()) }
        guard flock(locked, LOCK_EX | LOCK_NB) == 0 else {
            let reason = errno
            close(locked)
            if reason == EWOULDBLOCK { throw .inUse(path: catalogPath) }
            throw .failed(path: catalogPath, reason: String(cString: strerror(reason)))
        }
        descriptor = Mutex(locked)
    }

    deinit { release() }

    func release() {
        descriptor.withLock { descriptor in
            guard descriptor >= 0 else { return }
            // Unlocked by name, because a child process that was forked and has not yet replaced itself has the lock too.
            flock(descriptor, LOCK_UN)
            close(descriptor)
            descriptor = -1
        }
    }
}

private func lastErrorText() -> String {
    String(cString: strerror(errno))
}
