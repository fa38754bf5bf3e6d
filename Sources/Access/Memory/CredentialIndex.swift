import COpenSSL

/// Finds a place by the bytes of a credential: the part of ``CredentialMemory`` that does not depend on what is
/// remembered, so that it is compiled once and not through generics.
package struct CredentialIndex: Redacted {
    private struct Entry {
        var hash: Int
        var bytes: [UInt8]
        var isUsed: Bool
        var isReferenced: Bool
    }

    let capacity: Int
    let byteCapacity: Int
    private(set) var count = 0
    private(set) var byteCount = 0

    /// Places in `entries`, or -1.
    private var slots: [Int32]
    private var entries: [Entry] = []
    private var free: [Int32] = []
    private var hand = 0
    private let seed: UInt64

    private static let empty: Int32 = -1

    /// The longest credential that has a place: with its scheme and some spaces.
    static let entryByteCeiling = Credential.byteCeiling + 64

    init(capacity: Int, byteCapacity: Int) {
        self.capacity = min(max(capacity, 1), 1 << 20)
        self.byteCapacity = max(byteCapacity, Self.entryByteCeiling)
        var slotCount = 2
        while slotCount < 2 * self.capacity { slotCount *= 2 }
        slots = Array(repeating: Self.empty, count: slotCount)
        seed = UInt64.random(in: .min ... .max)
    }

    /// The place of these bytes, which counts as a use. Cost: one hash and one comparison; no allocation.
    package mutating func find(_ bytes: UnsafeRawBufferPointer) -> Int? {
        guard let slot = slot(of: bytes, hash: hash(bytes)) else { return nil }
        let place = Int(slots[slot])
        entries[place].isReferenced = true
        return place
    }

    /// The place of these bytes, made if there is none; below ``capacity``. Nil for over-long bytes.
    ///
    /// - Parameter evict: called with each place that was taken from other bytes.
    mutating func makePlace(_ bytes: UnsafeRawBufferPointer, evict: (Int) -> Void) -> Int? {
        guard bytes.count <= Self.entryByteCeiling else { return nil }
        let hash = hash(bytes)
        if let slot = slot(of: bytes, hash: hash) { return Int(slots[slot]) }
        while count == capacity || byteCount + bytes.count > byteCapacity {
            evict(evictOne())
        }
        // Not referenced before its first use: one that is never used again goes first.
        let entry = Entry(hash: hash, bytes: Array(bytes), isUsed: true, isReferenced: false)
        let place: Int
        if let last = free.popLast() {
            place = Int(last)
            entries[place] = entry
        } else {
            place = entries.count
            entries.append(entry)
        }
        var slot = home(hash)
        while slots[slot] != Self.empty { slot = after(slot) }
        slots[slot] = Int32(place)
        count += 1
        byteCount += bytes.count
        return place
    }

    /// Forgets these bytes; returns their place.
    mutating func remove(_ bytes: UnsafeRawBufferPointer) -> Int? {
        guard let slot = slot(of: bytes, hash: hash(bytes)) else { return nil }
        return remove(at: slot)
    }

    mutating func removeAll() {
        for place in entries.indices { wipe(place) }
        entries.removeAll(keepingCapacity: true)
        free.removeAll(keepingCapacity: true)
        for slot in slots.indices { slots[slot] = Self.empty }
        count = 0
        byteCount = 0
        hand = 0
    }

    private func hash(_ bytes: UnsafeRawBufferPointer) -> Int {
        var hasher = Hasher()
        // The process's key may be switched off by its environment; this one may not.
        hasher.combine(seed)
        hasher.combine(bytes: bytes)
        return hasher.finalize()
    }

    private func home(_ hash: Int) -> Int {
        hash & (slots.count - 1)
    }

    private func after(_ slot: Int) -> Int {
        (slot + 1) & (slots.count - 1)
    }

    /// The slot that leads to the entry of `bytes`. The walk ends, for at least half of the slots are empty.
    private func slot(of bytes: UnsafeRawBufferPointer, hash: Int) -> Int? {
        var slot = home(hash)
        while slots[slot] != Self.empty {
            let place = Int(slots[slot])
            if entries[place].hash == hash, entries[place].bytes.withUnsafeBytes({ $0.isEqual(to: bytes) }) {
                return slot
            }
            slot = after(slot)
        }
        return nil
    }

    /// Knuth, volume 3, section 6.4, algorithm R: the entries behind the gap move up, so that no chain is cut and no
    /// tombstones pile up.
    private mutating func remove(at removed: Int) -> Int {
        let place = Int(slots[removed])
        count -= 1
        byteCount -= entries[place].bytes.count
        wipe(place)
        free.append(Int32(place))

        var gap = removed
        var probe = after(gap)
        while slots[probe] != Self.empty {
            let start = home(entries[Int(slots[probe])].hash)
            // Whether the gap lies between where the entry wants to be and where it is.
            let distance = (probe - start) & (slots.count - 1)
            if distance >= (probe - gap) & (slots.count - 1) {
                slots[gap] = slots[probe]
                gap = probe
            }
            probe = after(probe)
        }
        slots[gap] = Self.empty
        return place
    }

    /// Called only while there are entries. Two rounds of the hand find a victim at the latest.
    private mutating func evictOne() -> Int {
        while true {
            hand = hand + 1 < entries.count ? hand + 1 : 0
            guard entries[hand].isUsed else { continue }
            if entries[hand].isReferenced {
                entries[hand].isReferenced = false
                continue
            }
            var slot = home(entries[hand].hash)
            while Int(slots[slot]) != hand { slot = after(slot) }
            return remove(at: slot)
        }
    }

    /// Overwrites the secret before its memory goes back.
    private mutating func wipe(_ place: Int) {
        entries[place].bytes.withUnsafeMutableBytes { buffer in
            if let base = buffer.baseAddress { OPENSSL_cleanse(base, buffer.count) }
        }
        entries[place].bytes = []
        entries[place].isUsed = false
    }
}
