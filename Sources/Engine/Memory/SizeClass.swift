#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// The blocks of one size: which are free, and how much of the class's addresses was ever used. Under the pool's lock.
struct SizeClass {
    struct Warm {
        let position: UInt32
        /// How many pages of the block hold memory.
        let pages: UInt32
    }

    let blockBytes: Int
    /// Blocks below this number were handed out at least once.
    private var usedBlocks = 0
    /// Blocks below this number may be touched.
    private var openBlocks = 0
    /// Free blocks that hold memory, the newest last. Classes that share pages have none.
    private(set) var warm: [Warm] = []
    /// Their memory.
    private(set) var warmBytes = 0
    /// Free blocks without memory; pages, in classes that share them.
    var cold: [UInt32] = []

    // Shared pages: which of a page's blocks are free, one bit each, and which pages have a free block and a used one.
    private var freeBits: [UInt8] = []
    private var isListed: [Bool] = []
    private var sharedPages: [UInt32] = []
    private(set) var holeBytes = 0

    init(blockBytes: Int) {
        self.blockBytes = blockBytes
    }

    private var blocksPerPage: Int { BlockPool.pageBytes / blockBytes }
    private var allFree: UInt8 { UInt8(1 << blocksPerPage) - 1 }

    /// The first of the next blocks that were never used: one, or in a class that shares pages a page of them.
    mutating func extend(start: UInt, limit: Int) -> Int {
        let count = max(1, blocksPerPage)
        let position = usedBlocks
        usedBlocks += count
        // The ceiling on what is charged keeps a class within its addresses: they are four times what there may be.
        precondition(usedBlocks * blockBytes <= limit, "a size class has no addresses left")
        if usedBlocks > openBlocks {
            // Opened many at a time, doubling: a call for each would cost more than the block.
            let step = min(max(openBlocks, (1 << 20) / blockBytes, count), limit / blockBytes - openBlocks)
            // The range lies inside the mapping, page by page, so it is not nil and the call cannot fail for its arguments;
            // what it can lack is the system's leave to use more memory, and then the first touch would end the process.
            let address = UnsafeMutableRawPointer(bitPattern: start + UInt(openBlocks * blockBytes)).unsafelyUnwrapped
            let outcome = mprotect(address, step * blockBytes, PROT_READ | PROT_WRITE)
            precondition(outcome == 0, "the system gives no more memory, and --memory promised it")
            openBlocks += step
        }
        return position
    }

    // MARK: Warm blocks

    mutating func keepWarm(_ block: Warm) {
        warm.append(block)
        warmBytes += Int(block.pages) * BlockPool.pageBytes
    }

    mutating func takeWarm() -> Warm? {
        guard let block = warm.popLast() else { return nil }
        warmBytes -= Int(block.pages) * BlockPool.pageBytes
        return block
    }

    /// How many blocks are looked at for neighbours.
    private static let mostCandidates = 1024

    /// Takes up to `most` neighbouring blocks, from among those that have been free longest.
    mutating func takeNeighbours(most: Int) -> [Warm] {
        let candidates = warm.prefix(Self.mostCandidates).enumerated().sorted {
            $0.element.position < $1.element.position
        }
        guard !candidates.isEmpty else { return [] }
        // The longest row among them.
        var (best, start) = (0..<1, 0)
        for index in candidates.indices {
            if index > start, candidates[index].element.position != candidates[index - 1].element.position + 1 {
                start = index
            }
            if index + 1 - start > best.count { best = start..<index + 1 }
            if best.count >= most { break }
        }
        let taken = candidates[best.prefix(most)]
        for index in taken.map(\.offset).sorted(by: >) { warm.remove(at: index) }
        let blocks = taken.map(\.element)
        warmBytes -= blocks.reduce(0) { $0 + Int($1.pages) * BlockPool.pageBytes }
        return blocks
    }

    // MARK: Shared pages

    /// A free block of a page that is in use or still warm.
    mutating func takeFromSharedPage() -> Int? {
        guard let page = sharedPages.last.map(Int.init) else { return nil }
        if freeBits[page] != allFree { holeBytes -= blockBytes } else { holeBytes += BlockPool.pageBytes - blockBytes }
        let bit = freeBits[page].trailingZeroBitCount
        freeBits[page] &= ~(1 << bit)
        if freeBits[page] == 0 {
            sharedPages.removeLast()
            isListed[page] = false
        }
        return page * blocksPerPage + bit
    }

    /// Begins to use a page whose first block was just handed out.
    mutating func openPage(_ page: Int) {
        while freeBits.count <= page {
            freeBits.append(0)
            isListed.append(false)
        }
        freeBits[page] = allFree & ~1
        holeBytes += BlockPool.pageBytes - blockBytes
        list(page)
    }

    mutating func returnPart(_ position: Int) {
        let page = position / blocksPerPage
        freeBits[page] |= 1 << (position % blocksPerPage)
        if freeBits[page] == allFree {
            holeBytes -= BlockPool.pageBytes - blockBytes
        } else {
            holeBytes += blockBytes
        }
        list(page)
    }

    private mutating func list(_ page: Int) {
        guard !isListed[page] else { return }
        isListed[page] = true
        sharedPages.append(UInt32(page))
    }

    /// Takes up to `most` of the pages off that nobody uses a part of.
    mutating func takeEmptyPages(most: Int) -> [Int] {
        var empty: [Int] = []
        for page in sharedPages.map(Int.init) where freeBits[page] == allFree && empty.count < most {
            empty.append(page)
            freeBits[page] = 0
            isListed[page] = false
        }
        if !empty.isEmpty { sharedPages.removeAll { !isListed[Int($0)] } }
        return empty
    }
}
