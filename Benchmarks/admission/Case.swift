import Admission
import Tenancy

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// One thing to measure: its body makes so many calls.
struct Case {
    let name: String
    let body: (Int) -> Void

    /// Nanoseconds of processor time a call: what else runs on the machine is not counted.
    func run(_ calls: Int) -> Double {
        let start = processorNanoseconds()
        body(calls)
        return Double(processorNanoseconds() - start) / Double(calls)
    }
}

func processorNanoseconds() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

func fail(_ message: String) -> Never {
    let line = Array("AdmissionBench: \(message)\n".utf8)
    _ = line.withUnsafeBytes { write(2, $0.baseAddress, $0.count) }
    exit(1)
}

/// The admit step alone. `nowNanoseconds` stands still, as within one tick of an event loop.
func admitCases() -> [Case] {
    let now: UInt64 = 1_000_000_000_000
    /// So high that nothing of what is measured meets it.
    let plenty: UInt64 = 1_000_000_000_000
    var all = Limits()
    for name in [LimitName.maxOperationsPerSecond, .maxBytesInPerSecond, .maxBytesOutPerSecond, .maxPublishPerSecond] {
        all[name] = plenty
    }
    var one = Limits()
    one[.maxOperationsPerSecond] = 1

    func admission(_ cache: Limits, _ tenant: Limits) -> CacheAdmission {
        CacheAdmission(tenant: TenantAdmission(limits: tenant), limits: cache)
    }
    func admits(_ name: String, _ admission: CacheAdmission, expecting isAdmitted: Bool) -> Case {
        Case(name: name) { calls in
            var admitted = 0
            for _ in 0..<calls {
                do throws(MartletError) {
                    try admission.admit(operations: 1, bytesIn: 20, nowNanoseconds: now)
                    admitted += 1
                } catch {}
            }
            // One of a limit of one is admitted, once.
            guard isAdmitted ? admitted == calls : admitted <= 1 else { fail("\(name): \(admitted) of \(calls)") }
        }
    }
    return [
        admits("admit, no limits", admission(Limits(), Limits()), expecting: true),
        admits("admit, all limits of the cache", admission(all, Limits()), expecting: true),
        admits("admit, all limits of cache and tenant", admission(all, all), expecting: true),
        admits("admit, refused by the cache", admission(one, all), expecting: false),
        admits("admit, refused by the tenant", admission(all, one), expecting: false),
    ]
}
