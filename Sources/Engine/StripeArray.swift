import Synchronization

/// One stripe: its contents and the lock around them.
struct Stripe: ~Copyable {
    let contents: Mutex<StripeContents>

    init(hashKey: SipHashKey) {
        contents = Mutex(StripeContents(hashKey: hashKey))
    }
}

/// The stripes of a cache, at fixed addresses and each on cache lines of its own, reached without reference counting.
// The pointer never changes and what it leads to is a lock with its contents, made to be shared. The cache that made the
// array frees it in its own deinit, when no operation can be running.
struct StripeArray: @unchecked Sendable {
    /// A cache has either one stripe in use or all of them.
    static let count = 8
    private static let stride = (MemoryLayout<Stripe>.stride + 63) & ~63
    /// What the array is charged.
    static let charge = Allocation.charge(stride * count + 64)

    private let base: UnsafeMutableRawPointer

    init(hashKey: SipHashKey) {
        base = UnsafeMutableRawPointer.allocate(byteCount: Self.stride * Self.count, alignment: 64)
        for position in 0..<Self.count {
            (base + position * Self.stride).bindMemory(to: Stripe.self, capacity: 1)
                .initialize(to: Stripe(hashKey: hashKey))
        }
    }

    @inline(__always)
    subscript(position: Int) -> UnsafeMutablePointer<Stripe> {
        (base + position &* Self.stride).assumingMemoryBound(to: Stripe.self)
    }

    func deallocate() {
        for position in 0..<Self.count { self[position].deinitialize(count: 1) }
        base.deallocate()
    }

    /// Runs `entering` for each stripe as its lock is taken, in order, and when all are held `leaving` for each before its
    /// lock is given back, in the opposite order. No lock is given back before all were held, so others see either all
    /// of it or nothing. Nothing else holds two of these locks.
    func withAllLocked(
        from position: Int = 0, entering: (Int, inout StripeContents) -> Void,
        leaving: (Int, inout StripeContents) -> Void
    ) {
        guard position < Self.count else { return }
        self[position].pointee.contents.withLock { contents in
            entering(position, &contents)
            withAllLocked(from: position + 1, entering: entering, leaving: leaving)
            leaving(position, &contents)
        }
    }
}
