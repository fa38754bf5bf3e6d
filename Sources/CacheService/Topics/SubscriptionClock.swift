import Metering
import Tenancy

/// Adds up how long subscriptions of one cache, lane and door have been open. While n are open each millisecond counts n:
/// so one clock serves them all, and a death of the process loses no more than what passed since the last reading.
final class SubscriptionClock {
    let row: MeterRow
    private var open: Int64 = 0
    private var readAt: Timestamp
    /// The cache is gone, and with it the counters.
    private var isStopped = false

    init(row: MeterRow, now: Timestamp) {
        self.row = row
        readAt = now
    }

    func enter(_ now: Timestamp) {
        read(now)
        open += 1
    }

    func leave(_ now: Timestamp) {
        read(now)
        open -= 1
    }

    var isIdle: Bool { open == 0 }

    /// Brings the counter up to now.
    func read(_ now: Timestamp) {
        // A wall clock that was set back gives no time, and counts on from where it is.
        let passed = now.milliseconds - readAt.milliseconds
        if passed > 0, open > 0, !isStopped { row.add(.subscriptionMilliseconds, UInt64(passed &* open)) }
        readAt = now
    }

    func stop(_ now: Timestamp) {
        read(now)
        isStopped = true
    }
}
