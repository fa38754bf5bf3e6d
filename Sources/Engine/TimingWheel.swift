import Tenancy

// When items expire: a hierarchical timing wheel.
//
// What it is for: taking expired items out of memory soon after their time, touching only items that are due (and each
// item a few times on its way there), however many others there are. Readers do not depend on it: they compare the
// expiry itself, to the millisecond.
//
//     time in units of 128 ms, as hexadecimal digits:       position = ...  3  a  7
//
//     level 0   |0|1|2|3|4|5|6|7*|8|9|a|b|c|d|e|f|    due in unit ..3a8, ..3a9, ... : 2 s ahead
//     level 1   |0|1|2|3|4|5|6|7|8|9|a*|b|c|d|e|f|    due in ..3b?, ..3c?, ...      : 33 s ahead
//     level 2   |0|1|2|3*|4|...                       due in ..4??, ...             : 9 min ahead
//     ...       nine levels of 16 slots reach 2^43 ms; a slot is the head of a list that runs through the items
//
// An item lies on the level of the highest digit in which its due unit differs from the position, in the slot of that
// digit. When the position reaches a slot, its list is moved to the `due` list as a whole, and from there items go one
// by one: either out, or, coming from a higher level, into a lower one. So the work can stop after any item and go on
// later, and the time between two occupied slots is jumped over, however long.
//
// Cost: filing and removing are O(1). An item is filed again at most once a level: about log16(TTL / 128 ms) times. The
// block of slots takes 1,168 bytes and exists only while a stripe holds an item that expires.
//
// Reference: Varghese and Lauck, "Hashed and hierarchical timing wheels" (SOSP 1987); the digit-wise placement is that
// of tokio's timer.

/// The items of a stripe that expire, by time. Not synchronised: it belongs to the holder of the stripe's lock.
struct TimingWheel: ~Copyable {
    private typealias Cell = UnsafeMutablePointer<Item?>

    private static let unitShift = 7
    private static let digitBits = 4
    private static let slotsPerLevel = 16
    private static let levels = 9
    private static let lastUnit = (Int64(1) << 36) - 1
    private static let cellCount = levels * slotsPerLevel + 1
    /// What the block of slots is charged while it exists.
    static let blockCharge = Allocation.charge(cellCount * 8)

    /// The heads of the slots' lists, level by level, and last the head of the list of what is due.
    private var cells: UnsafeMutablePointer<Item?>?
    /// A bit for each slot that may hold items. A removal leaves it set; the advance finds the slot empty.
    private var occupied = InlineArray<9, UInt16>(repeating: 0)
    /// The unit up to which everything was moved to the due list.
    private var position: Int64 = 0
    private(set) var count = 0

    var chargedBytes: Int { cells == nil ? 0 : Self.blockCharge }

    /// Files an item that expires. Where the wheel is empty, its time starts at `now`.
    mutating func file(_ item: Item, now: Timestamp) {
        if cells == nil {
            let block = Cell.allocate(capacity: Self.cellCount)
            block.initialize(repeating: nil, count: Self.cellCount)
            cells = block
            position = Self.unit(at: now.milliseconds)
        }
        place(item)
        count += 1
    }

    /// Takes an item out that was filed. The last one takes the block of slots with it.
    mutating func remove(_ item: Item) {
        unlink(item)
        count -= 1
        if count == 0 { freeBlock() }
    }

    /// The next item whose time is over, still filed. Each item that is looked at costs one of `budget`; when that is
    /// used up there may be more.
    mutating func nextExpired(now: Timestamp, budget: inout Int) -> Item? {
        // At the end of its range, in the year 2248, the wheel stands still; readers stay exact.
        guard let cells, Self.unit(at: now.milliseconds) < Self.lastUnit else { return nil }
        let due = cells + (Self.cellCount - 1)
        while budget > 0 {
            if let item = due.pointee {
                budget -= 1
                if item.isExpired(at: now) { return item }
                unlink(item)
                place(item)
            } else if !advance(to: Self.unit(at: now.milliseconds), cells: cells, due: due) {
                return nil
            }
        }
        return nil
    }

    /// Frees the slots of a wheel whose items are freed already.
    mutating func abandon() {
        count = 0
        freeBlock()
    }

    // MARK: Time

    private static func unit(at milliseconds: Int64) -> Int64 {
        min(max(0, milliseconds) >> Int64(unitShift), lastUnit)
    }

    /// The first unit whose start is not before the expiry.
    private static func dueUnit(_ item: Item) -> Int64 {
        let milliseconds = min(item.header.pointee.expiresAt, .max - 127)
        return unit(at: milliseconds + 127)
    }

    /// Moves the position to the next slot that may hold something, and its list to the due list.
    /// - Returns: false when no slot's time has come by `target`.
    private mutating func advance(
        to target: Int64, cells: UnsafeMutablePointer<Item?>, due: UnsafeMutablePointer<Item?>
    )
        -> Bool
    {
        // All that a level holds comes before all that the levels above it hold.
        var level = 0
        while level < Self.levels, occupied[level] == 0 { level += 1 }
        guard level < Self.levels else {
            position = max(position, target)
            return false
        }
        let slot = occupied[level].trailingZeroBitCount
        let shift = Int64(level * Self.digitBits)
        let start = (position >> (shift + 4)) << (shift + 4) | Int64(slot) << shift
        guard start <= target else {
            position = max(position, target)
            return false
        }
        position = max(position, start)
        occupied[level] &= ~(1 << UInt16(slot))
        let cell = cells + (level * Self.slotsPerLevel + slot)
        due.pointee = cell.pointee
        cell.pointee?.header.pointee.wheelLink = due
        cell.pointee = nil
        return true
    }

    // MARK: Lists

    private mutating func place(_ item: Item) {
        // Callers come from `file`, which made the block, or from a list in it.
        let cells = cells.unsafelyUnwrapped
        let target = max(Self.dueUnit(item), position)
        let difference = UInt64(bitPattern: target ^ position)
        let level = difference == 0 ? 0 : (63 - difference.leadingZeroBitCount) / Self.digitBits
        let slot = Int(target >> Int64(level * Self.digitBits)) & (Self.slotsPerLevel - 1)
        occupied[level] |= 1 << UInt16(slot)
        let cell = cells + (level * Self.slotsPerLevel + slot)
        let first = cell.pointee
        item.header.pointee.wheelNext = first
        item.header.pointee.wheelLink = cell
        first?.header.pointee.wheelLink = item.wheelNextCell
        cell.pointee = item
    }

    private func unlink(_ item: Item) {
        let next = item.header.pointee.wheelNext
        let link = item.header.pointee.wheelLink
        link?.pointee = next
        next?.header.pointee.wheelLink = link
    }

    private mutating func freeBlock() {
        cells?.deallocate()
        cells = nil
        occupied = InlineArray(repeating: 0)
    }

    // MARK: Invariants

    /// What is wrong with the wheel, for tests: broken links, items in the wrong place, a count that is off.
    func violations() -> [String] {
        var found: [String] = []
        guard let cells else { return count == 0 ? [] : ["a wheel without slots counts \(count) items"] }
        var seen = 0
        for position in 0..<Self.cellCount {
            var cell = cells + position
            let level = position / Self.slotsPerLevel
            let slot = position % Self.slotsPerLevel
            while let item = cell.pointee {
                seen += 1
                if item.header.pointee.wheelLink != cell { found.append("an item's link does not lead back") }
                if !item.isVolatile { found.append("an item that never expires is in the wheel") }
                if level < Self.levels {
                    if occupied[level] & 1 << UInt16(slot) == 0 { found.append("a filled slot is not marked") }
                    let target = max(Self.dueUnit(item), self.position)
                    let shift = Int64(level * Self.digitBits)
                    if target >> (shift + 4) != self.position >> (shift + 4) { found.append("an item on a low level") }
                    if Int(target >> shift) & 15 != slot, Self.dueUnit(item) > self.position {
                        found.append("an item in another slot than its time's")
                    }
                }
                cell = item.wheelNextCell
            }
        }
        if seen != count { found.append("a wheel of \(seen) items counts \(count)") }
        return found
    }
}
