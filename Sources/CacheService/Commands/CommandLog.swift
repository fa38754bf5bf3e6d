import Synchronization
import Tenancy

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// The commands on one cache that took long: what `SLOWLOG` shows. Any thread may call any method.
package final class CommandLog: Sendable {
    package struct Entry: Sendable {
        package let id: Int
        package let at: Timestamp
        package let milliseconds: Int64
        /// Cut short where they are many or long.
        package let arguments: [[UInt8]]
    }

    private struct Contents {
        var entries: [Entry] = []
        var nextID = 0
    }

    private let contents = Mutex(Contents())

    package static let slowMilliseconds: Int64 = 10
    package static let mostEntries = 128
    private static let mostArguments = 32
    private static let mostArgumentBytes = 128

    /// Newest first.
    package var entries: [Entry] { contents.withLock { $0.entries.reversed() } }
    package var count: Int { contents.withLock { $0.entries.count } }

    package func reset() {
        contents.withLock { $0.entries = [] }
    }

    func add(_ arguments: Arguments, milliseconds: Int64, now: Timestamp) {
        var kept = (0..<min(arguments.count, Self.mostArguments)).map { Self.shown(arguments[$0]) }
        if arguments.count > Self.mostArguments {
            let more = arguments.count - Self.mostArguments + 1
            kept[Self.mostArguments - 1] = Array("... (\(more) more arguments)".utf8)
        }
        contents.withLock { contents in
            if contents.entries.count >= Self.mostEntries { contents.entries.removeFirst() }
            contents.entries.append(
                Entry(id: contents.nextID, at: now, milliseconds: milliseconds, arguments: kept))
            contents.nextID += 1
        }
    }

    private static func shown(_ argument: UnsafeRawBufferPointer) -> [UInt8] {
        guard argument.count > mostArgumentBytes else { return Array(argument) }
        return Array(argument.prefix(mostArgumentBytes))
            + Array("... (\(argument.count - mostArgumentBytes) more bytes)".utf8)
    }
}

/// A clock that is read in some nanoseconds and moves every few milliseconds: enough to tell what is slow.
enum CoarseClock {
    static var milliseconds: Int64 {
        #if os(Linux)
        let clock = CLOCK_MONOTONIC_COARSE
        #else
        let clock = CLOCK_MONOTONIC
        #endif
        var time = timespec()
        clock_gettime(clock, &time)
        return Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000
    }
}

extension ServiceLane {
    /// Writes a command down if it took long.
    func log(_ arguments: Arguments, _ cache: LaneCache, since started: Int64) {
        let milliseconds = CoarseClock.milliseconds - started
        guard milliseconds >= CommandLog.slowMilliseconds else { return }
        cache.shared.commands.log.add(arguments, milliseconds: milliseconds, now: now)
    }
}
