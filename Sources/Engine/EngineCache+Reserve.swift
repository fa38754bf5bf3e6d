import Synchronization

/// Whether a write may go on.
enum Reservation: Sendable {
    case granted
    /// The cache is at a limit of its own.
    case cacheIsFull
    case processIsFull
}

/// The books of a cache: every change of what it is charged goes through here and moves the process's sum with it.
extension EngineCache {
    /// Charges `byteCount` more bytes and `itemCount` more items, if that keeps within every ceiling.
    func reserve(bytes byteCount: Int, items itemCount: Int) -> Reservation {
        if itemCount > 0 {
            let limit = itemCeiling.load(ordering: .relaxed)
            let counted = items.wrappingAdd(itemCount, ordering: .relaxed).newValue
            guard counted <= limit else {
                items.wrappingSubtract(itemCount, ordering: .relaxed)
                return .cacheIsFull
            }
        }
        let outcome = reserve(bytes: byteCount)
        if outcome != .granted, itemCount > 0 { items.wrappingSubtract(itemCount, ordering: .relaxed) }
        return outcome
    }

    private func reserve(bytes byteCount: Int) -> Reservation {
        // What gives memory back is always allowed: the stripe settles it when it is done.
        guard byteCount > 0 else { return .granted }
        let limit = byteCeiling.load(ordering: .relaxed)
        var current = bytes.load(ordering: .relaxed)
        while true {
            guard current - detachedBytes.load(ordering: .relaxed) + byteCount <= limit else { return .cacheIsFull }
            let (isExchanged, original) = bytes.weakCompareExchange(
                expected: current, desired: current + byteCount, ordering: .relaxed)
            if isExchanged { break }
            current = original
        }
        guard core.reserve(byteCount) else {
            bytes.wrappingSubtract(byteCount, ordering: .relaxed)
            return .processIsFull
        }
        return .granted
    }

    /// Changes the charge without asking: to give back, or for what must not fail.
    func charge(_ difference: Int) {
        guard difference != 0 else { return }
        bytes.wrappingAdd(difference, ordering: .relaxed)
        core.charge(difference)
    }

    /// Brings the charge for a stripe to what it takes.
    func settle(_ contents: inout StripeContents) {
        let difference = contents.actualBytes - contents.chargedBytes
        guard difference != 0 else { return }
        contents.chargedBytes += difference
        charge(difference)
    }

    /// Takes an item out of a stripe, frees it and settles.
    func discard(_ item: Item, hash: UInt64, from contents: inout StripeContents) {
        contents.remove(item, hash: hash)
        item.deallocate()
        settle(&contents)
        items.wrappingSubtract(1, ordering: .relaxed)
    }
}
