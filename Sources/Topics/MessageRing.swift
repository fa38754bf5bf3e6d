// Messages in the order of their numbers, without gaps, in a circular buffer that grows by doubling:
//
//     slots   | 9 | 10 |   |   | 5 | 6 | 7 | 8 |        head = 4, count = 6
//                                ^
//                               head: the oldest
//
// An empty ring has no buffer, so an idle topic costs none. Not synchronised: it belongs to the holder of the space's
// lock.

/// A queue of messages. Appending is O(1) amortised, everything else O(1).
struct MessageRing {
    private static let smallestCapacity = 4

    private var slots: ContiguousArray<TopicMessage?> = []
    private var head = 0
    private(set) var count = 0

    var isEmpty: Bool { count == 0 }
    var capacity: Int { slots.count }

    /// What the buffer takes.
    var charge: Int { Allocation.arrayCharge(slots.count) }

    /// What the buffer will take once another message is in.
    var chargeAfterAppend: Int {
        Allocation.arrayCharge(count < slots.count ? slots.count : Self.grown(slots.count))
    }

    private static func grown(_ capacity: Int) -> Int {
        capacity == 0 ? smallestCapacity : capacity * 2
    }

    /// The message at a distance from the oldest.
    subscript(offset: Int) -> TopicMessage {
        guard let message = slots[(head + offset) & (slots.count - 1)] else {
            // Cannot happen: every caller counts from 0 to `count`.
            preconditionFailure("a ring is read beyond its end")
        }
        return message
    }

    mutating func append(_ message: TopicMessage) {
        if count == slots.count { grow() }
        slots[(head + count) & (slots.count - 1)] = message
        count += 1
    }

    /// Takes the oldest message out. The buffer stays, also of an empty ring: see ``releaseBuffer()``.
    mutating func popFirst() -> TopicMessage? {
        guard count > 0 else { return nil }
        let message = slots[head]
        slots[head] = nil
        head = (head + 1) & (slots.count - 1)
        count -= 1
        return message
    }

    /// Gives the buffer of an empty ring back.
    mutating func releaseBuffer() {
        guard count == 0 else { return }
        slots = []
        head = 0
    }

    private mutating func grow() {
        var larger = ContiguousArray<TopicMessage?>()
        let capacity = Self.grown(slots.count)
        larger.reserveCapacity(capacity)
        for offset in 0..<count { larger.append(slots[(head + offset) & (slots.count - 1)]) }
        for _ in count..<capacity { larger.append(nil) }
        slots = larger
        head = 0
    }
}
