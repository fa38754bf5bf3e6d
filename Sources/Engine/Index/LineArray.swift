/// A growable array of cache lines, in chunks of 2 KiB that never move. Under the stripe's lock.
struct LineArray {
    typealias Line = UnsafeMutablePointer<UInt64>

    static let wordsPerLine = 8
    static let linesPerChunk = 32
    static let chunkBytes = linesPerChunk * 64

    private var directory: UnsafeMutablePointer<Line>?
    private var capacity = 0
    private(set) var count = 0

    var chunkCount: Int { (count + Self.linesPerChunk - 1) / Self.linesPerChunk }

    /// What it is charged.
    var chargedBytes: Int {
        chunkCount * PageSource.charge(byteCount: Self.chunkBytes) + PageSource.tableCharge(capacity * 8)
    }

    @inline(__always)
    subscript(position: Int) -> Line {
        // Below `count`, so there is a directory and the chunk in it.
        directory.unsafelyUnwrapped[position &>> 5] + (position & 31) &* Self.wordsPerLine
    }

    /// Adds a line of zeros.
    mutating func append(from source: PageSource) {
        let chunk = count / Self.linesPerChunk
        if count % Self.linesPerChunk == 0 {
            if chunk == capacity { resize(to: max(4, capacity * 2), source) }
            let memory = source.allocate(byteCount: Self.chunkBytes)
            directory.unsafelyUnwrapped[chunk] = memory.bindMemory(
                to: UInt64.self, capacity: Self.chunkBytes / 8)
        }
        count += 1
        self[count - 1].initialize(repeating: 0, count: Self.wordsPerLine)
    }

    mutating func removeLast(to source: PageSource) {
        count -= 1
        guard count % Self.linesPerChunk == 0 else { return }
        let chunk = count / Self.linesPerChunk
        source.deallocate(UnsafeMutableRawPointer(directory.unsafelyUnwrapped[chunk]), byteCount: Self.chunkBytes)
        if chunk == 0 {
            resize(to: 0, source)
        } else if capacity > 4, chunk <= capacity / 4 {
            resize(to: capacity / 2, source)
        }
    }

    /// Removes the last chunk, whatever is in it.
    mutating func removeChunk(to source: PageSource) {
        while count % Self.linesPerChunk != 1 { count -= 1 }
        removeLast(to: source)
    }

    private mutating func resize(to newCapacity: Int, _ source: PageSource) {
        source.resizeTable(&directory, kept: capacity, from: capacity, to: newCapacity)
        capacity = newCapacity
    }
}
