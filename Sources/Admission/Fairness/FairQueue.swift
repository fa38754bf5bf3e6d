import Tenancy

/// Who is served next on an event loop that has more to do than it can: each tenant its reserved rate first, the rest by
/// weight, whatever number of connections each has and however much comes on them.
///
/// How it works
/// ------------
/// Start-time fair queueing over the time that was spent on each tenant. The virtual time V passes as a loop that all
/// active tenants share by weight would have it: with one second spent on any of them by one second over the sum of their
/// weights. What a tenant was given, over its weight, is added to its finish tag. Its lead is how far that tag is ahead of
/// V: what it was given beyond its share. When the loop has slept, nobody is ahead.
///
///     serve at once   nobody of the tenant waits; its lead is at most a quantum, or it is within its reservation; and since
///                     the last look at the sockets no more than two quanta were spent
///     wait            otherwise, a tenant that comes new with the least tag of those that wait. Of those that wait are served, after the sockets were looked at, first the tenants within
///                     their reservation, then the one with the least tag: if its lead is at most a quantum by now, or
///                     else if the sockets brought nothing to do; then V moves to its tag.
///
/// So a tenant that uses less than its share never waits; one that floods is ahead by no more than a quantum and a piece
/// of work, or takes what the others leave, and when it is alone it waits for nothing but a look at the sockets. Within a
/// tenant it is first come, first served.
///
/// Cost: constant for each piece of work that does not wait, logarithmic in the tenants that wait for one that does.
/// Belongs to one event loop.
///
/// Reference: Goyal, Vin, Cheng, "Start-time Fair Queuing", SIGCOMM 1996.
package struct FairQueue {
    /// How far ahead a tenant may get before it waits, in nanoseconds.
    package let quantum: UInt64
    private(set) var virtualTime: UInt64 = 0
    /// Nanoseconds spent on tenants since the virtual time was moved last.
    private var spent: UInt64 = 0
    /// Flows that someone waits of, as a binary heap by finish tag.
    private var heap: [FairFlow] = []
    /// Flows ahead of the virtual time, and the sum of their weights.
    private var active: [FairFlow] = []
    private var activeWeight: UInt64 = 0
    /// Where the search for a reservation goes on.
    private var nextReserved = 0

    /// Virtual nanoseconds of one nanosecond at weight 1.
    private static let scale: UInt64 = 10_000
    /// How many waiting flows are asked for a reservation before each turn.
    private static let reservationsAsked = 64

    package init(quantumNanoseconds: UInt64) {
        quantum = quantumNanoseconds
    }

    /// Whether anybody waits.
    package var isWaiting: Bool { !heap.isEmpty }

    /// The tenants that were given more than their share so far, or wait.
    package var activeFlows: [FairFlow] { active }

    /// How far a tenant is ahead of its share, over its weight: for choosing between tenants, the least first.
    package func lead(of flow: FairFlow) -> UInt64 {
        flow.finish > virtualTime ? flow.finish - virtualTime : 0
    }

    /// Lets the virtual time pass. Called once for each look at the sockets. Cost: O(active tenants).
    ///
    /// - Parameter hasSlept: Whether there was nothing to do.
    package mutating func advance(hasSlept: Bool) {
        guard activeWeight > 0 else { return }
        virtualTime &+= spent.multipliedClamped(by: Self.scale) / activeWeight
        spent = 0
        if hasSlept { for flow in active where flow.finish > virtualTime { virtualTime = flow.finish } }
        var index = 0
        while index < active.count {
            let flow = active[index]
            if flow.finish > virtualTime || flow.heapSlot >= 0 {
                index += 1
                continue
            }
            flow.isActive = false
            active.swapAt(index, active.count - 1)
            active.removeLast()
        }
        activeWeight = active.reduce(0) { $0 &+ $1.weight }
    }

    /// Whether work of a tenant that has just come may be done now.
    @inline(__always)
    package func mayServe(_ flow: FairFlow, nowNanoseconds: UInt64) -> Bool {
        guard flow.heapSlot < 0, spent < 2 * quantum else { return false }
        return flow.finish <= virtualTime || isWithinShare(flow, nowNanoseconds)
    }

    @inline(never)
    private func isWithinShare(_ flow: FairFlow, _ now: UInt64) -> Bool {
        flow.finish - virtualTime <= quantum * Self.scale / flow.weight
            || flow.tenant.hasReservation(nowNanoseconds: now)
    }

    /// Lets work wait for its turn: behind what else of its tenant waits.
    package mutating func wait(_ entry: any FairlyServed, of flow: FairFlow) {
        guard !entry.isWaitingForTurn else { return }
        entry.isWaitingForTurn = true
        flow.append(entry)
        guard flow.heapSlot < 0 else { return }
        lift(flow)
        activate(flow)
        flow.heapSlot = heap.count
        heap.append(flow)
        siftUp(flow.heapSlot)
    }

    /// Whose turn it is; nil when it is nobody's.
    ///
    /// - Parameter isIdle: Whether the loop has nothing else to do.
    package mutating func next(nowNanoseconds now: UInt64, isIdle: Bool) -> (any FairlyServed)? {
        while let flow = chosen(now, isIdle) {
            let entry = flow.popFirst()
            if !flow.isWaiting { remove(flow) }
            guard let entry else { continue }
            flow.hasWaited = true
            return entry
        }
        return nil
    }

    private mutating func chosen(_ now: UInt64, _ isIdle: Bool) -> FairFlow? {
        guard let first = heap.first else { return nil }
        for _ in 0..<min(heap.count, Self.reservationsAsked) {
            nextReserved = (nextReserved &+ 1) % heap.count
            let flow = heap[nextReserved]
            if flow.tenant.hasReservation(nowNanoseconds: now) { return flow }
        }
        guard first.finish > virtualTime else { return first }
        if isIdle {
            virtualTime = first.finish
        } else if first.finish - virtualTime > quantum * Self.scale / first.weight {
            return nil
        }
        return first
    }

    /// Writes down what a tenant was given.
    @inline(__always)
    package mutating func charge(_ flow: FairFlow, nanoseconds: UInt64) {
        // Who has waited has lost nothing by it.
        if !flow.hasWaited { lift(flow) }
        flow.hasWaited = false
        flow.finish &+= nanoseconds.multipliedClamped(by: Self.scale) / flow.weight
        spent &+= nanoseconds
        if !flow.isActive { activate(flow) }
        if flow.heapSlot >= 0 { siftDown(flow.heapSlot) }
    }

    /// What a tenant has not used is not saved up for it; but it comes before those that wait.
    @inline(__always)
    private func lift(_ flow: FairFlow) {
        guard flow.finish < virtualTime else { return }
        flow.finish = max(flow.finish, min(virtualTime, heap.first?.finish ?? .max))
    }

    /// Writes down for one tenant what another was given in its turn: as ``charge(_:nanoseconds:)``, and the time is not
    /// counted twice. So nobody comes first again and again by showing who it is when its turn has come.
    package mutating func raise(_ flow: FairFlow, nanoseconds: UInt64) {
        charge(flow, nanoseconds: nanoseconds)
        spent &-= nanoseconds
    }

    private mutating func activate(_ flow: FairFlow) {
        guard !flow.isActive else { return }
        flow.isActive = true
        active.append(flow)
        activeWeight &+= flow.weight
    }

    // MARK: Heap

    private mutating func remove(_ flow: FairFlow) {
        let slot = flow.heapSlot
        guard slot >= 0 else { return }
        flow.heapSlot = -1
        let last = heap.removeLast()
        guard slot < heap.count else { return }
        heap[slot] = last
        last.heapSlot = slot
        siftUp(slot)
        siftDown(last.heapSlot)
    }

    private mutating func siftUp(_ slot: Int) {
        var slot = slot
        while slot > 0 {
            let parent = (slot - 1) / 2
            guard heap[slot].finish < heap[parent].finish else { return }
            exchange(slot, parent)
            slot = parent
        }
    }

    private mutating func siftDown(_ slot: Int) {
        var slot = slot
        while true {
            var least = slot
            for child in [2 * slot + 1, 2 * slot + 2]
            where child < heap.count && heap[child].finish < heap[least].finish {
                least = child
            }
            guard least != slot else { return }
            exchange(slot, least)
            slot = least
        }
    }

    private mutating func exchange(_ left: Int, _ right: Int) {
        heap.swapAt(left, right)
        heap[left].heapSlot = left
        heap[right].heapSlot = right
    }
}

extension UInt64 {
    @inline(__always)
    fileprivate func multipliedClamped(by other: UInt64) -> UInt64 {
        let (product, isOver) = multipliedReportingOverflow(by: other)
        return isOver ? .max >> 8 : product
    }
}
