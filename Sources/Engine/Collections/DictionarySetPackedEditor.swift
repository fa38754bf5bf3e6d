import Tenancy

/// A packed blob under several changes in a row: a copy in scratch memory, changed in place.
///
/// Where many keys are to be looked for, a filter of 8192 bits says of most new ones at once that they are not there,
/// so that building a collection of n entries in one call is not n passes. It is filled with a cheap hash that anybody
/// can aim at; whoever does so gets the passes, over at most 4 KiB each.
struct PackedHashedEditor: ~Copyable {
    private(set) var scratch: ScratchBytes
    private(set) var count: Int
    private var spare = ScratchBytes(capacity: 16)
    private var filter: PackedFilter?
    let form: HashedForm

    enum Outcome {
        case added
        case replaced
        /// A set's member that was there.
        case unchanged
        /// The blob would be larger than a packed one may be; nothing was changed.
        case full
    }

    /// Checks and counts all of `blob`. `changes`: how many are to be expected.
    init(_ blob: UnsafeRawBufferPointer, _ form: HashedForm, changes: Int) throws(MartletError) {
        self.form = form
        var filter = changes >= 8 ? PackedFilter() : nil
        var count = 0
        try PackedHashed.forEach(blob, form) { (_, key, _) throws(MartletError) in
            count += 1
            filter?.insert(key)
        }
        self.count = count
        self.filter = filter
        scratch = ScratchBytes(capacity: min(blob.count + 32 * changes, PackedHashed.maximumBytes) + 64)
        scratch.append(blob)
    }

    /// An empty one, for many.
    init(_ form: HashedForm) {
        self.form = form
        count = 0
        filter = PackedFilter()
        scratch = ScratchBytes()
    }

    var bytes: UnsafeRawBufferPointer { scratch.bytes }

    /// The new blob.
    consuming func finish() -> ScratchBytes { scratch }

    mutating func set(
        _ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer
    ) throws(MartletError) -> Outcome {
        var entry: PackedHashed.Entry?
        if filter?.mayContain(key) ?? true {
            entry = try PackedHashed.find(key, in: scratch.bytes, form).entry
        }
        guard let entry else {
            let newSize = scratch.count + PackedHashed.size(key, value, form)
            guard newSize <= PackedHashed.maximumBytes, count < PackedHashed.maximumCount else { return .full }
            PackedHashed.append(key, value, form, to: &scratch)
            filter?.insert(key)
            count += 1
            return .added
        }
        guard form.hasValues else { return .unchanged }
        let newSize = PackedHashed.size(of: scratch.bytes, replacing: entry, key, value, form)
        // A change for the smaller is never refused: the blob may have come in larger than it should be.
        guard newSize <= max(PackedHashed.maximumBytes, scratch.count) else { return .full }
        spare.removeAll()
        spare.reserve(newSize)
        PackedHashed.splice(scratch.bytes, replacing: entry, key, value, form, into: &spare)
        swap(&spare, &scratch)
        return .replaced
    }

    /// The filter keeps what was removed: it may then answer "perhaps" where it need not, never "no" wrongly.
    mutating func remove(_ key: UnsafeRawBufferPointer) throws(MartletError) -> Bool {
        guard filter?.mayContain(key) ?? true else { return false }
        guard let entry = try PackedHashed.find(key, in: scratch.bytes, form).entry else { return false }
        let bytes = scratch.mutableBytes
        let tail = UnsafeRawBufferPointer(rebasing: scratch.bytes[entry.end...])
        UnsafeMutableRawBufferPointer(rebasing: bytes[entry.start...]).copyMemory(from: tail)
        scratch.truncate(to: scratch.count - (entry.end - entry.start))
        count -= 1
        return true
    }
}

/// Says of a key that it is certainly not among those that were inserted, or that it may be. 1 KiB; for some hundreds
/// of keys.
struct PackedFilter {
    private var words = [UInt64](repeating: 0, count: 128)

    private static func place(of key: UnsafeRawBufferPointer) -> (word: Int, bit: UInt64) {
        var mix = UInt64(truncatingIfNeeded: key.count) &* 0x9e37_79b9_7f4a_7c15
        if key.count >= 8 {
            mix ^= key.loadUnaligned(as: UInt64.self)
            mix = (mix ^ mix &>> 29) &* 0xbf58_476d_1ce4_e5b9
            mix ^= key.loadUnaligned(fromByteOffset: key.count - 8, as: UInt64.self)
        } else {
            for byte in key { mix = mix &<< 8 ^ mix &>> 56 ^ UInt64(byte) }
        }
        mix = (mix ^ mix &>> 31) &* 0x94d0_49bb_1331_11eb
        let place = Int(truncatingIfNeeded: mix &>> 51)
        return (place &>> 6, 1 &<< UInt64(place & 63))
    }

    mutating func insert(_ key: UnsafeRawBufferPointer) {
        let (word, bit) = Self.place(of: key)
        words[word] |= bit
    }

    func mayContain(_ key: UnsafeRawBufferPointer) -> Bool {
        let (word, bit) = Self.place(of: key)
        return words[word] & bit != 0
    }
}
