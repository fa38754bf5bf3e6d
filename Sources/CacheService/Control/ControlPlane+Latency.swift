import Access
import Admission
import Catalog
import Tenancy

/// How long a tenant's requests took in the server, since the start.
///
/// The time of a request begins when its bytes can have come at the earliest, that is when the event loop looked at its
/// sockets the time before it found them, or was woken by them; and ends when the answer was handed to the socket. So it is
/// at most too high. Answers that were not here at once (signature checks, very large collections) are not among them.
package struct LatencyReport: Sendable {
    package let tenant: TenantName
    /// The longest time of each bucket in microseconds, nil for the last one's, and how many requests are in it alone.
    package let buckets: [(microseconds: UInt64?, count: UInt64)]

    package var count: UInt64 { buckets.reduce(0) { $0 + $1.count } }

    /// The time that so many of a thousand requests did not exceed, in microseconds; nil without requests.
    package func microseconds(perMille: UInt64) -> UInt64? {
        let total = count
        guard total > 0 else { return nil }
        let wanted = (total * perMille + 999) / 1000
        var seen: UInt64 = 0
        for bucket in buckets {
            seen += bucket.count
            if seen >= wanted { return bucket.microseconds ?? LatencyHistogram.bounds.last.map { $0 / 1000 } }
        }
        return nil
    }
}

extension ControlPlane {
    /// How long the requests of a tenant took: of any tenant for root, of its own for a super-user.
    ///
    /// - Throws: As ``permit(_:_:tenant:)``.
    package func latency(_ name: TenantName, caller: Caller) throws(MartletError) -> LatencyReport {
        let record = try permit(.readUsage, caller, tenant: name)
        let buckets = service.admission(of: record).latency.buckets
        return LatencyReport(
            tenant: record.name, buckets: buckets.map { ($0.bound.map { $0 / 1000 }, $0.count) })
    }
}
