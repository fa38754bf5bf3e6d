#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif
import Synchronization
import Tenancy

// A stripe: one index, two logs and their ghosts, under one short lock.
//
//     write ---> small log (a tenth) ---- read twice or more ----> main log ---- read: again, with one use less
//                  |  ^                                              |    ^___________________________|
//                  |  '--- new                                       '---- not read: goes
//                  '--- else: goes, and leaves a ghost;   a write whose ghost is there ---> main log
//
// That is S3-FIFO. The logs are the queues: an item's place in the log is its place in the queue, so there are no links.
// To evict, the oldest segment of a log is taken off (*draining*) and its records are looked at one after the other, a
// few with each write: some are copied to the head of the main log, the others go, and then the segment is free.
//
// Removals and replacements leave dead records. When those of a stripe are a quarter of its bytes, a run of segments is
// cleaned: see Stripe+Cleaning.swift.

/// What the lock of a stripe guards.
struct StripeContents {
    var index: HashIndex
    var small = SegmentLog(.small)
    var main = SegmentLog(.main)
    var ghosts = GhostTable()
    var drain: Drain?
    /// Bytes of dead records in segments of the logs.
    var deadBytes = 0
    /// From how many dead bytes on cleaning is tried again.
    var cleaningThreshold = 0
    /// The next segment to be looked at for dead records, and whether it is one of the main log.
    var cleaningCursor: Segment?
    var cleansMain = false
    /// How many were looked at since one was cleaned.
    var looksInVain = 0
    /// Bytes of the trees of large collections.
    var treeBytes = 0
    /// Where the work on what has expired goes on.
    var expiryCursor = 0
    var isClosed = false
    /// What values are sealed with. Another after each flush. Nil when sealing is off.
    var sealer: CacheSealer?
    /// Who is told of changes. Nil when nobody is.
    var observers: StripeObservers?

    init(hashKey: SipHashKey) {
        index = HashIndex(hashKey: hashKey)
    }

    /// Bytes of all segments.
    var logBytes: Int { small.bytes + main.bytes + (drain?.segment.capacity ?? 0) }

    /// What the stripe is charged, beside the fixed cost of its cache.
    var chargedBytes: Int {
        small.chargedBytes + main.chargedBytes + index.chargedBytes + ghosts.chargedBytes + treeBytes
            + (drain.map { PageSource.charge(byteCount: $0.segment.capacity) } ?? 0)
    }
}

/// A segment that is being taken apart, a few records at a time.
struct Drain {
    var segment: Segment
    /// The next record to be looked at.
    var offset = Segment.headerBytes
    /// The log that the segment was in.
    let log: SegmentState
    /// An item of the small log that was read at least so often goes to the main log.
    var usesToStay: UInt64 = 2
    /// Where the live records go when the segment is cleaned. Nil when it is evicted.
    var target: Segment?
    /// How many segments of the log behind this one go into the same target.
    var segmentsLeft = 0
}

/// The figures of a stripe, written by the holder of its lock and read by anyone.
struct StripeFigures: ~Copyable {
    let items = Atomic<Int>(0)
    let evictions = Atomic<UInt64>(0)
    let expirations = Atomic<UInt64>(0)
    /// Threads that wait for the lock.
    let waiting = Atomic<Int>(0)
    /// The thread that has exclusive access to the cache, and may take the lock again. 0: none.
    let exclusiveThread = Atomic<UInt>(0)

    func addItems(_ count: Int) { items.store(items.load(ordering: .relaxed) + count, ordering: .relaxed) }
    func addEviction() { evictions.store(evictions.load(ordering: .relaxed) + 1, ordering: .relaxed) }
    func addExpiration() { expirations.store(expirations.load(ordering: .relaxed) + 1, ordering: .relaxed) }
}

/// A stripe's place in memory: its lock, its figures, its contents.
// The lock is a thing of the operating system that any thread may use, and the figures are atomics; the contents are
// touched by the holder of the lock only.
struct StripeReference: Equatable, @unchecked Sendable {
    let start: UnsafeMutableRawPointer

    /// The mutex and the depth, which share a line: whoever unlocks writes it anyway.
    private static let lockBytes = (MemoryLayout<pthread_mutex_t>.size + MemoryLayout<Int>.size + 63) & ~63
    private static let figuresBytes = 64
    /// Whole cache lines, so that neighbours share none.
    static let byteCount = (lockBytes + figuresBytes + MemoryLayout<StripeContents>.size + 63) & ~63

    @inline(__always)
    private var mutex: UnsafeMutablePointer<pthread_mutex_t> { start.assumingMemoryBound(to: pthread_mutex_t.self) }

    /// How often the thread that has exclusive access has taken the lock again. Touched by the holder of the lock only.
    @inline(__always)
    private var depth: UnsafeMutablePointer<Int> {
        (start + MemoryLayout<pthread_mutex_t>.size).assumingMemoryBound(to: Int.self)
    }

    @inline(__always)
    var figures: UnsafeMutablePointer<StripeFigures> {
        (start + Self.lockBytes).assumingMemoryBound(to: StripeFigures.self)
    }

    @inline(__always)
    var contents: UnsafeMutablePointer<StripeContents> {
        (start + Self.lockBytes + Self.figuresBytes).assumingMemoryBound(to: StripeContents.self)
    }

    func initialize(hashKey: SipHashKey) {
        start.bindMemory(to: pthread_mutex_t.self, capacity: 1)
        pthread_mutex_init(mutex, nil)
        (start + MemoryLayout<pthread_mutex_t>.size).bindMemory(to: Int.self, capacity: 1).initialize(to: 0)
        (start + Self.lockBytes).bindMemory(to: StripeFigures.self, capacity: 1).initialize(to: StripeFigures())
        (start + Self.lockBytes + Self.figuresBytes).bindMemory(to: StripeContents.self, capacity: 1)
            .initialize(to: StripeContents(hashKey: hashKey))
    }

    func deinitialize() {
        pthread_mutex_destroy(mutex)
        figures.deinitialize(count: 1)
        contents.deinitialize(count: 1)
    }

    /// Waits awake at first: the lock is held for a microsecond or two, and a thread that has gone to sleep wakes some
    /// fifty later.
    @inline(__always)
    func lock() {
        if pthread_mutex_trylock(mutex) != 0 { lockSlowly() }
    }

    /// How often a waiting thread looks, some 30 us in all, before it sleeps.
    private static let mostLooks = 400

    /// Lets those go first who wait awake. Whoever takes one lock again and again asks this before: its processor has the
    /// lock's line at hand, and would win every time.
    @inline(__always)
    func giveWay() {
        guard figures.pointee.waiting.load(ordering: .relaxed) > 0 else { return }
        for _ in 0..<256 where figures.pointee.waiting.load(ordering: .acquiring) > 0 {}
    }

    @inline(never)
    private func lockSlowly() {
        if isExclusivelyHeld {
            depth.pointee += 1
            return
        }
        figures.pointee.waiting.wrappingAdd(1, ordering: .relaxed)
        defer { figures.pointee.waiting.wrappingSubtract(1, ordering: .relaxed) }
        for _ in 0..<Self.mostLooks {
            // A pause that keeps off the lock's line.
            for _ in 0..<32 { _ = figures.pointee.items.load(ordering: .acquiring) }
            if pthread_mutex_trylock(mutex) == 0 { return }
        }
        pthread_mutex_lock(mutex)
    }

    @inline(__always)
    func unlock() {
        if depth.pointee == 0 {
            pthread_mutex_unlock(mutex)
        } else {
            depth.pointee -= 1
        }
    }

    // MARK: Exclusive access

    /// From here on this thread, which holds the lock, may take it again: what it may do to its cache finds the lock
    /// taken, asks by whom, and goes on. So exclusive access costs other operations one look at a line they have at hand.
    func beginExclusiveAccess() { figures.pointee.exclusiveThread.store(Self.thisThread, ordering: .relaxed) }

    /// The last unlocking follows.
    func endExclusiveAccess() { figures.pointee.exclusiveThread.store(0, ordering: .relaxed) }

    /// Whether this thread has exclusive access. Nobody but a thread itself writes its number, so none sees it wrongly.
    var isExclusivelyHeld: Bool { figures.pointee.exclusiveThread.load(ordering: .relaxed) == Self.thisThread }

    /// A number or an address, as the system has it; no thread's is 0.
    private static var thisThread: UInt {
        #if canImport(Glibc)
        pthread_self()
        #else
        UInt(bitPattern: pthread_self())
        #endif
    }
}
