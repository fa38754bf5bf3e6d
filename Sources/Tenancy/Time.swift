#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// A point in time: milliseconds since 1970-01-01 00:00 UTC.
package struct Timestamp: Hashable, Comparable, Sendable {
    package var milliseconds: Int64

    @inlinable @inline(__always)
    package init(milliseconds: Int64) {
        self.milliseconds = milliseconds
    }

    package init(seconds: Int64) {
        let (product, overflow) = seconds.multipliedReportingOverflow(by: 1000)
        self.milliseconds = overflow ? (seconds < 0 ? .min : .max) : product
    }

    /// Whole seconds, rounded down.
    package var seconds: Int64 {
        let (quotient, remainder) = milliseconds.quotientAndRemainder(dividingBy: 1000)
        return remainder < 0 ? quotient - 1 : quotient
    }

    @inlinable @inline(__always)
    package static func < (left: Timestamp, right: Timestamp) -> Bool {
        left.milliseconds < right.milliseconds
    }

    /// This time plus a number of milliseconds, held at the ends of the range instead of overflowing.
    package func adding(milliseconds delta: Int64) -> Timestamp {
        let (sum, overflow) = milliseconds.addingReportingOverflow(delta)
        return Timestamp(milliseconds: overflow ? (delta < 0 ? .min : .max) : sum)
    }

    package static func + (time: Timestamp, ttl: TTL) -> Timestamp {
        time.adding(milliseconds: Int64(ttl.milliseconds))
    }
}

/// How long an item lives: 1 ms to 2^42 ms (about 139 years).
package struct TTL: Hashable, Comparable, Sendable {
    package static let ceilingMilliseconds: UInt64 = 1 << 42

    package let milliseconds: UInt64

    /// - Throws: ``MartletError/invalidArgument(field:reason:)`` when zero or over 2^42.
    package init(milliseconds: UInt64, field: String) throws(MartletError) {
        guard milliseconds > 0 else {
            throw .invalidArgument(field: field, reason: "must be greater than zero")
        }
        guard milliseconds <= Self.ceilingMilliseconds else {
            throw .invalidArgument(field: field, reason: "must be at most \(Self.ceilingMilliseconds) ms")
        }
        self.milliseconds = milliseconds
    }

    package static func < (left: TTL, right: TTL) -> Bool {
        left.milliseconds < right.milliseconds
    }
}

/// Where the present comes from. It is read once per event-loop tick and passed down; a test passes its own.
package protocol WallClock: Sendable {
    func now() -> Timestamp
    /// Nanoseconds of a clock that never goes back, from an arbitrary start: for rates.
    func uptimeNanoseconds() -> UInt64
}

extension WallClock {
    package func uptimeNanoseconds() -> UInt64 {
        UInt64(clamping: now().milliseconds) &* 1_000_000
    }
}

/// The machine's wall clock. Cost: one `clock_gettime`, which on Linux does not enter the kernel.
package struct SystemClock: WallClock {
    package init() {}

    package func now() -> Timestamp {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Timestamp(milliseconds: Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000)
    }

    package func uptimeNanoseconds() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec)
    }
}
