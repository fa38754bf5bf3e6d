import Synchronization

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// The counter file as the operating system sees it: one descriptor with an exclusive lock, and the parts of the file
/// that are mapped. Parts are only ever added and never unmapped, so an address once given stays valid as long as the
/// process lives: a row that outlives its file is a mistake, but not one that reads or writes foreign memory.
///
/// Every mapped byte has its block on the disk before it is mapped. Without that, a store to a hole of the file on a full
/// disk ends the process with SIGBUS, long after the moment at which the shortage could have been reported.
final class CounterMapping: Sendable {
    /// Makes sure that `length` bytes from `offset` have blocks, and the file that length. Gives an errno, 0 for success.
    typealias Allocate = @Sendable (_ descriptor: Int32, _ offset: Int, _ length: Int) -> Int32

    let path: String
    private let descriptor: Int32
    private let allocate: Allocate
    private let parts = Mutex<[Part]>([])

    // Unchecked: an address and a length that never change; who may write where is the row's business, see `MeterRow`.
    private struct Part: @unchecked Sendable {
        let base: UnsafeMutableRawPointer
        let byteCount: Int
    }

    /// Opens or creates the file and takes its lock. It may be empty.
    init(path: String, allocate: @escaping Allocate) throws(MeterFileError) {
        let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0o600)
        guard descriptor >= 0 else { throw .cannotOpen(path: path, reason: errnoText()) }
        self.path = path
        self.descriptor = descriptor
        self.allocate = allocate
        // From here on deinit closes the descriptor, also when this throws.
        var facts = stat()
        guard fstat(descriptor, &facts) == 0 else { throw .cannotOpen(path: path, reason: errnoText()) }
        guard facts.st_mode & S_IFMT == S_IFREG else {
            throw .cannotOpen(path: path, reason: "it is not a regular file")
        }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            throw errno == EWOULDBLOCK ? .inUse(path: path) : .cannotOpen(path: path, reason: errnoText())
        }
    }

    deinit {
        // Not left to close: a child that is just being spawned holds the descriptor, and with it the lock, till it runs.
        flock(descriptor, LOCK_UN)
        close(descriptor)
    }

    /// Unmaps everything: only where no address has been given yet.
    func discard() {
        parts.withLock { parts in
            for part in parts { munmap(part.base, part.byteCount) }
            parts = []
        }
    }

    /// The length of the file in bytes.
    func byteCount() throws(MeterFileError) -> UInt64 {
        var facts = stat()
        guard fstat(descriptor, &facts) == 0 else { throw .cannotOpen(path: path, reason: errnoText()) }
        return UInt64(max(0, facts.st_size))
    }

    /// Gives blocks to bytes at the end of the file and writes its new length to the disk. On failure the file has the
    /// length that it had.
    func extend(offset: Int, byteCount: Int) throws(MeterFileError) {
        let failure = allocate(descriptor, offset, byteCount)
        guard failure == 0 else {
            // What could be allocated is given back. Should that fail too, the rest is a tail of zeros, which is no harm.
            _ = ftruncate(descriptor, off_t(offset))
            throw .cannotGrow(path: path, reason: errnoText(failure))
        }
        guard fsync(descriptor) == 0 else { throw .cannotGrow(path: path, reason: errnoText()) }
    }

    /// Gives blocks to the holes of the file, which a copy or a restored backup may have made. Changes no byte.
    func fillHoles(byteCount: Int) throws(MeterFileError) {
        let failure = allocate(descriptor, 0, byteCount)
        guard failure == 0 else { throw .cannotGrow(path: path, reason: errnoText(failure)) }
    }

    /// Whether the file holds nothing but zeros. Cost: reads until it finds something else.
    func isBlank() throws(MeterFileError) -> Bool {
        var buffer = [UInt8](repeating: 0, count: 65_536)
        var offset = 0
        while true {
            let count = pread(descriptor, &buffer, buffer.count, off_t(offset))
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else { throw .cannotOpen(path: path, reason: errnoText()) }
            if count == 0 { return true }
            guard buffer[..<count].allSatisfy({ $0 == 0 }) else { return false }
            offset += count
        }
    }

    /// Maps bytes that have blocks. `offset` is a multiple of 64 KiB.
    func map(offset: Int, byteCount: Int) throws(MeterFileError) -> UnsafeMutableRawPointer {
        let base = mmap(nil, byteCount, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, off_t(offset))
        guard let base, base != MAP_FAILED else { throw .cannotOpen(path: path, reason: errnoText()) }
        parts.withLock { $0.append(Part(base: base, byteCount: byteCount)) }
        return base
    }

    /// Writes all that was stored before this call to the disk. Cost: one write of the pages that changed.
    func sync() throws(MeterFileError) {
        // Copied out, so that a growing file does not wait for the disk.
        let mapped = parts.withLock { $0 }
        for part in mapped {
            guard msync(part.base, part.byteCount, MS_SYNC) == 0 else {
                throw .cannotSync(path: path, reason: errnoText())
            }
        }
    }

    /// `posix_fallocate`, which reports a full disk now instead of by a signal later.
    static let allocateBlocks: Allocate = { descriptor, offset, length in
        var failure: Int32
        repeat {
            failure = posix_fallocate(descriptor, off_t(offset), off_t(length))
        } while failure == EINTR
        return failure
    }
}

/// The operating system's words for an errno.
func errnoText(_ code: Int32 = errno) -> String {
    guard let text = strerror(code) else { return "error \(code)" }
    return String(cString: text)
}
