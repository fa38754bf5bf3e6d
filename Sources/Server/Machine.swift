import Foundation

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// What the defaults are drawn from. A test passes its own.
package struct Machine: Sendable {
    /// The memory that this process may use: the machine's, or less where a control group says so.
    package var memoryBytes: Int
    /// The cores that this process may run on.
    package var coreCount: Int
    package var hostName: String

    package init(memoryBytes: Int, coreCount: Int, hostName: String) {
        self.memoryBytes = memoryBytes
        self.coreCount = coreCount
        self.hostName = hostName
    }

    /// The machine that the process runs on. Cost: a few system calls and two small files.
    package static var current: Machine {
        let pages = sysconf(Int32(_SC_PHYS_PAGES))
        let pageBytes = sysconf(Int32(_SC_PAGESIZE))
        var memoryBytes = pages > 0 && pageBytes > 0 ? pages * pageBytes : 1 << 30
        // A container has the memory of its control group (version 2, then 1), which it sees mounted as its own.
        for path in ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"] {
            guard let bytes = try? SmallFile.read(path, maxBytes: 64) else { continue }
            let text = String(decoding: bytes, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
            if let limit = Int(text), limit > 0 {
                memoryBytes = min(memoryBytes, limit)
            }
        }
        return Machine(
            memoryBytes: memoryBytes,
            coreCount: max(1, ProcessInfo.processInfo.activeProcessorCount),
            hostName: systemHostName
        )
    }

    /// What the kernel has as its name, without asking any name service.
    private static var systemHostName: String {
        var bytes = [UInt8](repeating: 0, count: 256)
        let count = bytes.count
        let status = bytes.withUnsafeMutableBytes { buffer in
            guard let start = buffer.baseAddress else { return Int32(-1) }
            return gethostname(start.assumingMemoryBound(to: CChar.self), count - 1)
        }
        guard status == 0 else { return "localhost" }
        return String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
}

extension Machine {
    /// The resident memory of this process; nil where `/proc` does not tell.
    static var residentBytes: Int? {
        guard let bytes = try? SmallFile.read("/proc/self/statm", maxBytes: 256) else { return nil }
        let fields = String(decoding: bytes, as: UTF8.self).split(separator: " ")
        return fields.dropFirst().first.flatMap { Int($0) }.map { $0 * sysconf(Int32(_SC_PAGESIZE)) }
    }
}
