// The ghosts: which items went from the small log without having been read, not long ago.
//
// An item that comes back while its ghost is remembered was evicted too early: it goes to the main log at once. Only a
// fingerprint is kept, with the time of the eviction, four bytes for each:
//
//     line of 64 bytes: 16 x [ fingerprint: 16 bits of the hash ][ time: 16 bits ]
//
// A new ghost takes the place of the oldest of its line. Time is counted in bytes evicted, so that a ghost is remembered
// while about as much was evicted as the main log holds, as in the paper. One fingerprint in some thousands is taken for
// another's; then an item starts in the main log that should have started in the small one.
//
// Reference: Yang, Zhang, Qiu, Yue, Rashmi, "FIFO queues are all you need for cache eviction" (SOSP 2023).

/// Ghosts of one stripe. Made with the first eviction. Under the stripe's lock.
struct GhostTable {
    private var lines: UnsafeMutablePointer<UInt32>?
    private var lineCount = 0
    private var bytesPerTick = 1
    private var evictedBytes = 0

    private static let entriesPerLine = 16
    /// How many ticks of time a ghost is remembered.
    private static let window: UInt16 = 4096

    var chargedBytes: Int { PageSource.tableCharge(lineCount * 64) }
    var capacity: Int { lineCount * Self.entriesPerLine }

    private var time: UInt16 { UInt16(truncatingIfNeeded: evictedBytes / bytesPerTick) }

    private func line(of hash: UInt64) -> UnsafeMutablePointer<UInt32>? {
        lines.map { lines in
            let number = ((hash &>> 32) &* UInt64(lineCount)) &>> 32
            return lines + Int(truncatingIfNeeded: number) * Self.entriesPerLine
        }
    }

    private static func fingerprint(_ hash: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: hash) &>> 16 | 1 }

    /// Whether the key of that hash was evicted not long ago. It is forgotten then.
    mutating func take(_ hash: UInt64) -> Bool {
        guard let line = line(of: hash) else { return false }
        let fingerprint = Self.fingerprint(hash)
        for position in 0..<Self.entriesPerLine where line[position] &>> 16 == fingerprint {
            let age = time &- UInt16(truncatingIfNeeded: line[position])
            line[position] = 0
            return age <= Self.window
        }
        return false
    }

    /// Remembers an eviction.
    mutating func remember(_ hash: UInt64, byteCount: Int) {
        evictedBytes += byteCount
        guard let line = line(of: hash) else { return }
        let time = time
        var oldest = 0
        var oldestAge: UInt16 = 0
        for position in 0..<Self.entriesPerLine {
            guard line[position] != 0 else {
                oldest = position
                break
            }
            let age = time &- UInt16(truncatingIfNeeded: line[position])
            if age >= oldestAge { (oldest, oldestAge) = (position, age) }
        }
        line[oldest] = Self.fingerprint(hash) &<< 16 | UInt32(time)
    }

    /// Makes the table fit for so many items of so many bytes in all, if it is far from that. What it knew is lost then.
    mutating func fit(items: Int, bytes: Int, _ source: PageSource) {
        let wanted = max(4, items / Self.entriesPerLine)
        guard wanted > lineCount * 3 / 2 || wanted < lineCount / 2 else { return }
        free(source)
        let words = wanted * Self.entriesPerLine
        let memory = source.allocateTable(byteCount: words * 4).bindMemory(to: UInt32.self, capacity: words)
        memory.initialize(repeating: 0, count: words)
        lines = memory
        lineCount = wanted
        bytesPerTick = max(1, bytes / Int(Self.window))
    }

    mutating func free(_ source: PageSource) {
        if let lines { source.deallocateTable(UnsafeMutableRawPointer(lines), byteCount: lineCount * 64) }
        self = GhostTable()
    }
}
