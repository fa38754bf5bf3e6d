import Synchronization
import Tenancy

/// The stripes of a cache, at fixed addresses and each on cache lines of its own, reached without reference counting:
/// one, or ``mostStripes`` from when the cache was divided.
// `word` leads to stripes, which are locks with their contents, made to be shared. The cache that made the table frees it
// in its own deinit, when no operation can be running; the first stripe stays until then, since others may wait for its
// lock.
final class StripeTable: @unchecked Sendable {
    static let mostStripes = 16
    /// What dividing adds to the charge.
    static let divisionCharge = mostStripes * StripeReference.byteCount + 64

    /// The address of the stripes in use, aligned to 64, and in its low bits how many they are, less one.
    let word: Atomic<UInt>
    private let first: UnsafeMutableRawPointer

    init(hashKey: SipHashKey) {
        first = Self.allocate(1, hashKey: hashKey)
        word = Atomic(UInt(bitPattern: first))
    }

    private static func allocate(_ count: Int, hashKey: SipHashKey) -> UnsafeMutableRawPointer {
        let start = UnsafeMutableRawPointer.allocate(byteCount: count * StripeReference.byteCount, alignment: 64)
        for position in 0..<count {
            StripeReference(start: start + position * StripeReference.byteCount).initialize(hashKey: hashKey)
        }
        return start
    }

    @inline(__always)
    static func stripe(of hash: UInt64, _ word: UInt) -> StripeReference {
        // The address of an allocation is not nil.
        let start = UnsafeMutableRawPointer(bitPattern: word & ~63).unsafelyUnwrapped
        return StripeReference(
            start: start + Int(truncatingIfNeeded: UInt(truncatingIfNeeded: hash) & (word & 63))
                &* StripeReference.byteCount)
    }

    /// The stripes in use.
    var all: [StripeReference] {
        let word = word.load(ordering: .acquiring)
        return (0...(word & 63)).map { Self.stripe(of: UInt64($0), word) }
    }

    var isDivided: Bool { word.load(ordering: .relaxed) & 63 != 0 }

    /// Stripes for dividing, to be published once they are filled.
    static func makeMany(hashKey: SipHashKey) -> UInt {
        UInt(bitPattern: allocate(mostStripes, hashKey: hashKey)) | UInt(mostStripes - 1)
    }

    func deallocate() {
        for stripe in all { stripe.deinitialize() }
        let word = word.load(ordering: .acquiring)
        if word & 63 != 0 {
            UnsafeMutableRawPointer(bitPattern: word & ~63)?.deallocate()
            StripeReference(start: first).deinitialize()
        }
        first.deallocate()
    }
}
