#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif
import Tenancy

// The pool: where every byte of items, indexes and collections comes from.
//
// What it is for: the memory of the process must follow what is in use, to the page, whatever was stored and removed
// before. A general allocator keeps holes between what is still used; so here holes are left in *addresses*, of which
// there are plenty, and not in memory. One range of addresses is reserved, one part of it for each size class:
//
//     base                +1 x stride          +2 x stride           +3 x stride
//     | 1 KiB blocks      | 2 KiB blocks       | 4 KiB blocks        | 8 KiB blocks        ...   128 MiB
//     [#][#][.][#][ ... ] [#][#][ ...        ] [##][..][##][ ...   ] [#####...][##......][ ...
//
// A block of a class from 4 KiB on may be used in part: of a block of 8 KiB that holds 5,000 bytes two pages are touched
// and charged, of one that holds 4,100 of 64 KiB the same. What lies beyond the touched pages is an address and no
// memory. So a piece of any size costs its size rounded up to a page, and is never next to anything.
//
// A block that comes back keeps its pages for the next of its class (*warm*), until the pool as a whole would take more
// than its budget: then warm blocks are given back to the system (*cold*), which costs a call and later page faults, and
// happens only when the mix of sizes changes.
//
// Classes of 1 and 2 KiB share pages. They are taken from pages in use first; the free parts of such pages (`holes`) are
// the only memory that is neither charged nor to be given back, and whoever asks whether there is room counts them.
//
// A block's address says its class, and the class where the block begins: so what lies in a block finds its header by
// masking.
//
// Cost: an allocation takes a lock and a few loads, some 30 ns; it is made once for many items.

/// Memory in blocks of 1 KiB to 128 MiB. Any thread.
final class BlockPool: @unchecked Sendable {
    // Everything mutable is read and written under `lock`, but `base` and `stride`, which never change, and `unused`.
    private let lock: UnsafeMutablePointer<pthread_mutex_t>
    /// The first address, a multiple of `stride`, or nil if the addresses could not be had.
    private let base: UInt
    private let strideShift: Int
    private let mapping: (start: UnsafeMutableRawPointer, count: Int)
    private var classes: [SizeClass]
    /// Memory of blocks in use.
    private var usedBytes = 0
    /// Memory of warm blocks that nobody uses, holes of shared pages included.
    private var idleBytes = 0

    static let smallestShift = 10
    static let classCount = 18
    static let pageBytes = 4096
    static let largestBlock = 1 << (smallestShift + classCount - 1)

    /// - Throws: ``MartletError/unavailable(_:)`` when the system does not give the addresses.
    init(memoryBytes: Int) throws(MartletError) {
        // Each class could hold everything alone, with its blocks just over half used, and what overshoots for a moment.
        let needed = UInt64(max(memoryBytes, 1 << 20)) * 4 + UInt64(Self.largestBlock) * 8
        strideShift = 64 - (needed - 1).leadingZeroBitCount
        let stride = 1 << strideShift
        let count = stride * (Self.classCount + 1)
        let start = mmap(nil, count, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
        guard let start, start != MAP_FAILED else {
            throw .unavailable("the system does not reserve \(count) bytes of addresses for the cache's memory")
        }
        mapping = (start, count)
        base = (UInt(bitPattern: start) + UInt(stride - 1)) & ~UInt(stride - 1)
        lock = .allocate(capacity: 1)
        pthread_mutex_init(lock, nil)
        classes = (0..<Self.classCount).map { SizeClass(blockBytes: 1 << (Self.smallestShift + $0)) }
    }

    deinit {
        munmap(mapping.start, mapping.count)
        pthread_mutex_destroy(lock)
        lock.deallocate()
    }

    // MARK: Sizes

    /// The memory that a block for so many bytes takes.
    @inline(__always)
    static func charge(_ byteCount: Int) -> Int {
        if byteCount <= 1024 { return 1024 }
        if byteCount <= 2048 { return 2048 }
        return (byteCount + pageBytes - 1) & ~(pageBytes - 1)
    }

    private static func classIndex(_ byteCount: Int) -> Int {
        byteCount <= 1024 ? 0 : Int.bitWidth - (byteCount - 1).leadingZeroBitCount - smallestShift
    }

    /// The first address of the block that `address` lies in.
    @inline(__always)
    func blockStart(of address: UnsafeMutableRawPointer) -> UnsafeMutableRawPointer {
        let bits = UInt(bitPattern: address)
        let blockMask = (UInt(1) &<< (UInt(Self.smallestShift) &+ (bits &- base) &>> UInt(strideShift))) &- 1
        return address - Int(bitPattern: bits & blockMask)
    }

    /// Memory that the pool holds: blocks in use, and what it keeps for the next ones.
    var residentBytes: Int { withLock { usedBytes + idleBytes } }

    // MARK: Blocks

    /// A block, uninitialised, aligned to its class's size (a multiple of 1 KiB).
    ///
    /// - Parameter budget: what the pool may hold in all; what is warm and above it is given back first.
    func allocate(_ byteCount: Int, budget: Int) -> UnsafeMutableRawPointer {
        precondition(byteCount <= Self.largestBlock, "no item is as large as the largest block")
        let index = Self.classIndex(byteCount)
        let charge = Self.charge(byteCount)
        return withLock {
            usedBytes += charge
            let start = start(ofClass: index)
            let block: UInt
            if charge < Self.pageBytes {
                block = takePart(of: &classes[index], start: start)
            } else {
                block = takeBlock(of: &classes[index], start: start, charge: charge)
            }
            if usedBytes + idleBytes > budget { giveBack(downTo: budget) }
            // An address inside the mapping is not nil.
            return UnsafeMutableRawPointer(bitPattern: block).unsafelyUnwrapped
        }
    }

    /// Takes a block back that was asked for with that size.
    func deallocate(_ block: UnsafeMutableRawPointer, _ byteCount: Int) {
        let index = Self.classIndex(byteCount)
        let charge = Self.charge(byteCount)
        let start = start(ofClass: index)
        let position = Int(UInt(bitPattern: block) - start) >> (Self.smallestShift + index)
        withLock {
            usedBytes -= charge
            idleBytes += charge
            if charge < Self.pageBytes {
                classes[index].returnPart(position)
            } else {
                classes[index].keepWarm(.init(position: UInt32(position), pages: UInt32(charge / Self.pageBytes)))
            }
        }
    }

    /// Gives an eighth of what nobody uses back to the system, and all that is above `budget`. Called some times a second:
    /// so what was freed is kept for the next writes, and not for long.
    ///
    /// Neighbouring blocks are given back together, since every call to the system makes all threads' processors forget
    /// addresses; and outside of the lock.
    func relax(budget: Int) {
        var ranges: [FreedRange] = []
        withLock {
            let kept = max(Self.keptBytes, idleBytes - idleBytes / 8)
            let target = min(budget, usedBytes + kept)
            while usedBytes + idleBytes > target, let range = takeRange(target: target) { ranges.append(range) }
            if ranges.isEmpty, usedBytes + idleBytes > target { giveBackPages(downTo: target) }
        }
        for range in ranges { discard(range.start, range.byteCount) }
        withLock {
            for range in ranges { classes[range.classIndex].cold += range.positions }
        }
    }

    /// How much is kept for the next writes at least.
    private static let keptBytes = 1 << 20
    private static let largestRange = 16 << 20

    /// Blocks side by side that are in nobody's hands while their memory is given back.
    private struct FreedRange {
        let classIndex: Int
        let start: UInt
        let byteCount: Int
        let positions: [UInt32]
    }

    /// Takes neighbours out of the class that keeps most.
    private func takeRange(target: Int) -> FreedRange? {
        let index = classes.indices.max { classes[$0].warmBytes < classes[$1].warmBytes } ?? 0
        let most = min(Self.largestRange, usedBytes + idleBytes - target)
        let blockBytes = classes[index].blockBytes
        let taken = classes[index].takeNeighbours(most: max(1, most / blockBytes))
        guard let first = taken.first, let last = taken.last else { return nil }
        idleBytes -= taken.reduce(0) { $0 + Int($1.pages) * Self.pageBytes }
        return FreedRange(
            classIndex: index, start: start(ofClass: index) + UInt(Int(first.position) * blockBytes),
            byteCount: Int(last.position - first.position) * blockBytes + Int(last.pages) * Self.pageBytes,
            positions: taken.map(\.position))
    }

    private func start(ofClass index: Int) -> UInt { base + UInt(index) << UInt(strideShift) }

    private func takeBlock(of sizes: inout SizeClass, start: UInt, charge: Int) -> UInt {
        let pages = UInt32(charge / Self.pageBytes)
        let position: Int
        if let block = sizes.takeWarm() {
            position = Int(block.position)
            idleBytes -= Int(block.pages) * Self.pageBytes
            if block.pages > pages {
                discard(
                    start + UInt(position * sizes.blockBytes) + UInt(charge),
                    Int(block.pages - pages) * Self.pageBytes)
            }
        } else if let cold = sizes.cold.popLast() {
            position = Int(cold)
        } else {
            position = sizes.extend(start: start, limit: 1 << strideShift)
        }
        return start + UInt(position * sizes.blockBytes)
    }

    /// A block of a class that shares pages.
    private func takePart(of sizes: inout SizeClass, start: UInt) -> UInt {
        if let position = sizes.takeFromSharedPage() {
            idleBytes -= sizes.blockBytes
            return start + UInt(position * sizes.blockBytes)
        }
        let first: Int
        if let page = sizes.cold.popLast() {
            first = Int(page) * (Self.pageBytes / sizes.blockBytes)
        } else {
            first = sizes.extend(start: start, limit: 1 << strideShift)
        }
        sizes.openPage(first / (Self.pageBytes / sizes.blockBytes))
        idleBytes += Self.pageBytes - sizes.blockBytes
        return start + UInt(first * sizes.blockBytes)
    }

    private func giveBack(downTo budget: Int) {
        for index in classes.indices.reversed() {
            let start = start(ofClass: index)
            let blockBytes = classes[index].blockBytes
            guard blockBytes >= Self.pageBytes else { continue }
            while usedBytes + idleBytes > budget, let block = classes[index].takeWarm() {
                let bytes = Int(block.pages) * Self.pageBytes
                discard(start + UInt(Int(block.position) * blockBytes), bytes)
                idleBytes -= bytes
                classes[index].cold.append(block.position)
            }
        }
        if usedBytes + idleBytes > budget { giveBackPages(downTo: budget) }
    }

    /// Gives back pages of the classes that share them.
    private func giveBackPages(downTo budget: Int) {
        for index in classes.indices where classes[index].blockBytes < Self.pageBytes {
            for page in classes[index].takeEmptyPages(most: (usedBytes + idleBytes - budget) / Self.pageBytes + 1) {
                discard(start(ofClass: index) + UInt(page * Self.pageBytes), Self.pageBytes)
                idleBytes -= Self.pageBytes
                classes[index].cold.append(UInt32(page))
            }
        }
    }

    private func discard(_ address: UInt, _ byteCount: Int) {
        // An address inside the mapping is not nil.
        madvise(UnsafeMutableRawPointer(bitPattern: address).unsafelyUnwrapped, byteCount, Int32(MADV_DONTNEED))
    }

    private func withLock<Result>(_ body: () -> Result) -> Result {
        pthread_mutex_lock(lock)
        defer { pthread_mutex_unlock(lock) }
        return body()
    }

    // MARK: Invariants

    /// Memory of blocks in use, for tests.
    var bytesInUse: Int { withLock { usedBytes } }
    /// The free parts of pages that are in use, and blocks kept warm.
    var bytesIdle: Int { withLock { idleBytes } }
    /// What is neither in use nor can be given back.
    var holeBytes: Int { withLock { classes[0].holeBytes + classes[1].holeBytes } }
}
