#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// Clocks, in nanoseconds.
enum Clock {
    @inline(__always)
    static func monotonic() -> UInt64 { read(CLOCK_MONOTONIC) }

    /// User and system time of the calling thread.
    static func threadCPU() -> UInt64 { read(CLOCK_THREAD_CPUTIME_ID) }

    @inline(__always)
    private static func read(_ clock: clockid_t) -> UInt64 {
        var time = timespec()
        clock_gettime(clock, &time)
        return UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec)
    }
}

/// What the kernel says of this process and of the calling thread.
enum Machine {
    /// Keeps the calling thread on one core.
    static func pin(to core: Int) {
        // Declared for GNU sources only, so that the C module does not show it.
        typealias SetAffinity = @convention(c) (pid_t, Int, UnsafeRawPointer) -> Int32
        guard let symbol = dlsym(nil, "sched_setaffinity") else { fail("there is no sched_setaffinity") }
        var cores = [UInt8](repeating: 0, count: 128)
        cores[core / 8] |= 1 << UInt8(core % 8)
        let code = unsafeBitCast(symbol, to: SetAffinity.self)(0, cores.count, cores)
        guard code == 0 else { fail("cannot run on core \(core)") }
    }

    /// Resident memory, exact: the sum over all mappings. Takes the kernel some milliseconds for each gigabyte.
    static func residentBytes() -> Int { sizeOfMappings("Rss:") }

    /// The part of it in transparent huge pages.
    static func hugeBytes() -> Int { sizeOfMappings("AnonHugePages:") }

    /// Resident memory as the kernel counts along: at once, and wrong by some hundred kilobytes.
    static func roughResidentBytes() -> Int {
        let fields = text(of: "/proc/self/statm").split(separator: " ")
        return (fields.count > 1 ? Int(fields[1]) ?? 0 : 0) * sysconf(Int32(_SC_PAGESIZE))
    }

    /// `always`, `madvise` or `never`: for which memory the kernel takes huge pages.
    static func hugePagePolicy() -> String {
        let policies = text(of: "/sys/kernel/mm/transparent_hugepage/enabled")
        guard let start = policies.firstIndex(of: "["), let end = policies.firstIndex(of: "]") else { return "unknown" }
        return String(policies[policies.index(after: start)..<end])
    }

    private static func sizeOfMappings(_ member: String) -> Int {
        for line in text(of: "/proc/self/smaps_rollup").split(separator: "\n") where line.hasPrefix(member) {
            let fields = line.split(separator: " ")
            return (fields.count > 1 ? Int(fields[1]) ?? 0 : 0) * 1024
        }
        return 0
    }

    private static func text(of path: String) -> String {
        let file = open(path, O_RDONLY)
        guard file >= 0 else { return "" }
        defer { close(file) }
        var bytes: [UInt8] = []
        withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 1) { part in
            while true {
                let count = read(file, part.baseAddress, part.count)
                guard count > 0 else { break }
                bytes += part[..<count]
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}

/// How long the thread that made this could have run and waited for its core, because others ran there. Any thread may
/// ask as long as that one lives.
final class CoreWait: Sendable {
    private let file = open("/proc/thread-self/schedstat", O_RDONLY)

    deinit { close(file) }

    /// In nanoseconds, since the thread began. The second number of the file.
    func nanoseconds() -> UInt64 {
        withUnsafeTemporaryAllocation(byteCount: 128, alignment: 1) { text in
            let count = pread(file, text.baseAddress, text.count, 0)
            var (field, number) = (0, UInt64(0))
            for byte in text.prefix(max(0, count)) {
                if byte == UInt8(ascii: " ") {
                    field += 1
                } else if field == 1, byte >= 0x30, byte <= 0x39 {
                    number = number &* 10 &+ UInt64(byte &- 0x30)
                }
            }
            return number
        }
    }
}

/// A thread on a core of its own.
struct Worker {
    private let thread: pthread_t

    init(core: Int, _ body: @escaping @Sendable () -> Void) {
        var thread = pthread_t()
        let box = Box {
            Machine.pin(to: core)
            body()
        }
        let start: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? = { argument in
            if let argument { Unmanaged<Box>.fromOpaque(argument).takeRetainedValue().body() }
            return nil
        }
        let code = pthread_create(&thread, nil, start, Unmanaged.passRetained(box).toOpaque())
        guard code == 0 else { fail("pthread_create: error \(code)") }
        self.thread = thread
    }

    func join() {
        pthread_join(thread, nil)
    }

    private final class Box {
        let body: @Sendable () -> Void

        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
}

/// Ends the program with a sentence on standard error.
func fail(_ sentence: String) -> Never {
    say("EngineBench: \(sentence)", to: 2)
    exit(1)
}

/// Writes a line to an open file.
func say(_ line: String, to file: Int32) {
    var line = line + "\n"
    line.withUTF8 { _ = write(file, $0.baseAddress, $0.count) }
}
