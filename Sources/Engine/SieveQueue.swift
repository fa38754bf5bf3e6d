// The order in which a stripe gives items up: SIEVE.
//
// What it is for: FIFO with lazy promotion. A read costs one flag and no list operation; what was never read since the
// hand came by goes first, so a one-time scan leaves as it came and what is used stays.
//
//     newest                                          oldest
//       o --- o --- o* --- o --- o* --- o* --- o --- o          * visited
//                                 ^
//                                hand: walks from old to new, takes the mark off visited items,
//                                      and evicts the first that has none
//
// Unlike CLOCK the hand does not put survivors back at the front: new items enter at the newest end, behind the hand,
// and are sifted soon, while survivors keep their place.
//
// Cost: an insert or a removal touches two neighbours. An eviction takes one mark for each read at most, so it is O(1)
// amortised; `longestWalk` bounds a single one, after which the item under the hand goes, visited or not.
//
// Reference: Zhang, Yang, Yue, Vigfusson and Rashmi, "SIEVE is simpler than LRU" (NSDI 2024).

/// The items of a stripe in eviction order. Not synchronised: it belongs to the holder of the stripe's lock.
struct SieveQueue: ~Copyable {
    static let longestWalk = 256

    private(set) var newest: Item?
    private(set) var oldest: Item?
    private(set) var count = 0
    private var hand: Item?

    /// Adds an item at the newest end.
    mutating func insert(_ item: Item) {
        item.header.pointee.newer = nil
        item.header.pointee.older = newest
        if let newest {
            newest.header.pointee.newer = item
        } else {
            oldest = item
        }
        newest = item
        count += 1
    }

    mutating func remove(_ item: Item) {
        let newer = item.header.pointee.newer
        let older = item.header.pointee.older
        if let newer { newer.header.pointee.older = older } else { newest = older }
        if let older { older.header.pointee.newer = newer } else { oldest = newer }
        if hand == item { hand = newer }
        count -= 1
    }

    /// Puts `new` in the place of `old`: an overwritten item is as old as before, and in use.
    mutating func replace(_ old: Item, with new: Item) {
        let newer = old.header.pointee.newer
        let older = old.header.pointee.older
        new.header.pointee.newer = newer
        new.header.pointee.older = older
        if let newer { newer.header.pointee.older = new } else { newest = new }
        if let older { older.header.pointee.newer = new } else { oldest = new }
        if hand == old { hand = new }
        new.markVisited()
    }

    /// Chooses the item to evict next, which stays in the queue until ``remove(_:)``.
    ///
    /// - Parameter spared: an item that must stay, because a write is about to replace it. Compared, never read.
    /// - Returns: nil when there is nothing but the spared item.
    mutating func chooseVictim(sparing spared: Item?) -> Item? {
        guard count > 1 || (count == 1 && oldest != spared) else { return nil }
        var walked = 0
        while true {
            // `count` is above zero, so there is an oldest item.
            let item = (hand ?? oldest).unsafelyUnwrapped
            hand = item.header.pointee.newer
            walked += 1
            if item == spared { continue }
            if !item.isVisited || walked > Self.longestWalk {
                hand = item
                return item
            }
            item.clearVisited()
        }
    }
}
