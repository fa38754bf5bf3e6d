import Synchronization

// The dictionaries of one cache that are in use: the current one, and older ones that items still need.
//
//     place     0         1         2        ...    15
//     version   16, 32..  1, 17..   2, 18..         15, 31..     a version has one place: its lower four bits
//               | dictionary | version | users | items |
//
// An item that was compressed with a dictionary holds it by a count, `items`. A thread that is compressing holds it by
// another, `users`, for that long. A dictionary that is not the current one loses its compressing half when it has no
// users, and is freed when it has neither.
//
// Nobody on the way of a request takes a lock. Compressing means: read the current version, count oneself as a user of
// its place, read the current version again; only if it has not changed meanwhile the dictionary is used. Replacing means:
// publish the new version, then look at the counts of the old. All in one total order (sequentially consistent), so
// either the thread sees the new version or the replacer sees the thread. Decompressing takes no part in this: whoever
// holds an item of that version holds its dictionary.
//
// A version is given to another dictionary (after 255 comes 1) only when its place is free, thus without items and
// users. Sixteen dictionaries are the most; while the next places are all taken there is no training.
//
// Cost: three or four atomic additions for a value that is compressed, one load for one that is opened.

/// Any thread, within the rules above.
final class DictionaryTable: Sendable {
    private struct Place: ~Copyable {
        /// An unbalanced reference; 0 for none. Written under `changing`.
        let dictionary = Atomic<UInt>(0)
        let version = Atomic<UInt8>(0)
        let users = Atomic<Int>(0)
        let items = Atomic<Int>(0)
    }

    static let placeCount = 16
    // Initialised before anyone else has the object; what lies in the places is atomic.
    private nonisolated(unsafe) let places: UnsafeMutablePointer<Place>
    private let current = Atomic<UInt8>(0)
    /// The version given last. Held while dictionaries come and go.
    private let changing = Guarded<UInt8>(0)
    private let held = Atomic<Int>(0)

    init() {
        places = .allocate(capacity: Self.placeCount)
        for index in 0..<Self.placeCount { (places + index).initialize(to: Place()) }
    }

    deinit {
        for index in 0..<Self.placeCount { Self.reference(in: places + index)?.release() }
        places.deinitialize(count: Self.placeCount)
        places.deallocate()
    }

    /// The version for new values; 0 while there is none.
    var currentVersion: UInt8 { current.load(ordering: .relaxed) }

    /// Memory of all dictionaries.
    var bytes: Int { held.load(ordering: .relaxed) }

    private static func reference(in place: UnsafeMutablePointer<Place>) -> Unmanaged<TrainedDictionary>? {
        UnsafeRawPointer(bitPattern: place.pointee.dictionary.load(ordering: .acquiring)).map {
            Unmanaged<TrainedDictionary>.fromOpaque($0)
        }
    }

    @inline(__always)
    private func place(_ version: UInt8) -> UnsafeMutablePointer<Place> {
        places + Int(version) % Self.placeCount
    }

    // MARK: On the way of a request

    enum Use: Equatable {
        case noDictionary
        /// `body` said false.
        case declined
        /// An item holds that version from now on, to be given back by ``DictionaryTable/release(_:)``.
        case held(UInt8)
    }

    /// Runs `body` with the current dictionary, which stays for that long. True: an item is made with it.
    @inline(__always)
    func withCurrent(_ body: (OpaquePointer) -> Bool) -> Use {
        while true {
            let version = current.load(ordering: .sequentiallyConsistent)
            guard version != 0 else { return .noDictionary }
            let place = place(version)
            place.pointee.users.wrappingAdd(1, ordering: .sequentiallyConsistent)
            guard current.load(ordering: .sequentiallyConsistent) == version else {
                leave(place)
                continue
            }
            let isUsed =
                Self.reference(in: place)?._withUnsafeGuaranteedRef { $0.compressor.map(body) ?? false } ?? false
            if isUsed { place.pointee.items.wrappingAdd(1, ordering: .sequentiallyConsistent) }
            leave(place)
            return isUsed ? .held(version) : .declined
        }
    }

    @inline(__always)
    private func leave(_ place: UnsafeMutablePointer<Place>) {
        place.pointee.users.wrappingSubtract(1, ordering: .sequentiallyConsistent)
    }

    /// The caller holds an item of that version. nil: there is no such dictionary.
    @inline(__always)
    func decompressor(_ version: UInt8) -> OpaquePointer? {
        let place = place(version)
        guard version != 0, place.pointee.version.load(ordering: .relaxed) == version else { return nil }
        return Self.reference(in: place)?._withUnsafeGuaranteedRef { $0.decompressor }
    }

    /// One more item of a version of which the caller holds one.
    func retain(_ version: UInt8) {
        guard version != 0 else { return }
        place(version).pointee.items.wrappingAdd(1, ordering: .sequentiallyConsistent)
    }

    /// One item fewer. The last one of a dictionary that is not the current one takes it along.
    func release(_ version: UInt8) {
        guard version != 0 else { return }
        let left = place(version).pointee.items.wrappingSubtract(1, ordering: .sequentiallyConsistent).newValue
        if left == 0 && current.load(ordering: .sequentiallyConsistent) != version { reap() }
    }

    func itemCount(_ version: UInt8) -> Int { place(version).pointee.items.load(ordering: .relaxed) }

    // MARK: In the background

    /// Whether there is a version for another dictionary.
    var hasRoom: Bool { changing.withLock { nextVersion(after: $0) } != nil }

    private func nextVersion(after last: UInt8) -> UInt8? {
        var version = last
        for _ in 0..<Self.placeCount {
            version = version == 255 ? 1 : version + 1
            let place = place(version)
            if place.pointee.dictionary.load(ordering: .acquiring) == 0,
                place.pointee.items.load(ordering: .sequentiallyConsistent) == 0,
                place.pointee.users.load(ordering: .sequentiallyConsistent) == 0
            {
                return version
            }
        }
        return nil
    }

    /// Makes `dictionary` the current one. False, and nothing happens, without a version for it.
    func adopt(_ dictionary: TrainedDictionary) -> Bool {
        let isAdopted = changing.withLock { last in
            guard let version = nextVersion(after: last) else { return false }
            let place = place(version)
            place.pointee.version.store(version, ordering: .relaxed)
            place.pointee.dictionary.store(
                UInt(bitPattern: Unmanaged.passRetained(dictionary).toOpaque()), ordering: .releasing)
            held.wrappingAdd(dictionary.bytes, ordering: .relaxed)
            last = version
            current.store(version, ordering: .sequentiallyConsistent)
            return true
        }
        if isAdopted { reap() }
        return isAdopted
    }

    /// No dictionary for new values from now on.
    func retireCurrent() {
        changing.withLock { _ in current.store(0, ordering: .sequentiallyConsistent) }
        reap()
    }

    /// Lends the current dictionary to the thread that alone changes it.
    func currentDictionary() -> TrainedDictionary? {
        changing.withLock { _ in
            let version = current.load(ordering: .sequentiallyConsistent)
            return version == 0 ? nil : Self.reference(in: place(version))?.takeUnretainedValue()
        }
    }

    /// Frees what nobody needs any more: whole dictionaries without items, compressing halves of those with.
    func reap() {
        changing.withLock { _ in
            let version = current.load(ordering: .sequentiallyConsistent)
            for index in 0..<Self.placeCount {
                let place = places + index
                guard let reference = Self.reference(in: place),
                    place.pointee.version.load(ordering: .relaxed) != version,
                    // A user becomes an item before it stops being a user: so users are looked at first.
                    place.pointee.users.load(ordering: .sequentiallyConsistent) == 0
                else { continue }
                let bytes = reference._withUnsafeGuaranteedRef { $0.bytes }
                if place.pointee.items.load(ordering: .sequentiallyConsistent) == 0 {
                    place.pointee.dictionary.store(0, ordering: .releasing)
                    place.pointee.version.store(0, ordering: .relaxed)
                    reference.release()
                    held.wrappingSubtract(bytes, ordering: .relaxed)
                } else {
                    let left = reference._withUnsafeGuaranteedRef { dictionary in
                        dictionary.retireCompressor()
                        return dictionary.bytes
                    }
                    held.wrappingSubtract(bytes - left, ordering: .relaxed)
                }
            }
        }
    }
}
