import Tenancy

/// How many false credentials somebody may still send: a token bucket, in thousandths of a check. Time is passed in;
/// time that runs backwards refills nothing.
package struct CheckAllowance: Sendable {
    package struct Rate: Sendable {
        /// How many checks are granted at once.
        package let burst: Int64
        /// How many come back each second.
        package let perSecond: Int64

        /// Both are held to 1 through 1,000,000.
        package init(burst: Int, perSecond: Int) {
            self.burst = Int64(min(max(burst, 1), 1_000_000))
            self.perSecond = Int64(min(max(perSecond, 1), 1_000_000))
        }

        fileprivate var fullThousandths: Int64 { burst * 1000 }
    }

    private static let checkThousandths: Int64 = 1000

    private let rate: Rate
    private var thousandths: Int64
    private var refilledAt: Timestamp

    /// A full allowance.
    package init(_ rate: Rate, now: Timestamp) {
        self.rate = rate
        thousandths = rate.fullThousandths
        refilledAt = now
    }

    /// Takes one check. Nil when it is granted, else after how many milliseconds one will be.
    package mutating func charge(now: Timestamp) -> UInt64? {
        refill(now)
        guard thousandths >= Self.checkThousandths else {
            let missing = Self.checkThousandths - thousandths
            return UInt64((missing + rate.perSecond - 1) / rate.perSecond)
        }
        thousandths -= Self.checkThousandths
        return nil
    }

    /// Gives one check back: the credential was good.
    package mutating func refund() {
        thousandths = min(thousandths + Self.checkThousandths, rate.fullThousandths)
    }

    /// Whether nothing is owed any more, so that forgetting the allowance changes nothing.
    mutating func isFull(now: Timestamp) -> Bool {
        refill(now)
        return thousandths == rate.fullThousandths
    }

    private mutating func refill(_ now: Timestamp) {
        guard now > refilledAt else { return }
        // A thousandth of a check a millisecond for each check a second. A day refills every allowance that there can
        // be, and keeps the product small.
        let (elapsed, overflow) = now.milliseconds.subtractingReportingOverflow(refilledAt.milliseconds)
        let milliseconds = overflow ? 86_400_000 : min(elapsed, 86_400_000)
        thousandths = min(thousandths + milliseconds * rate.perSecond, rate.fullThousandths)
        refilledAt = now
    }
}
