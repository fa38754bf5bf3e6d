import Engine
import Tenancy

/// Collections as the measures use them: as ``Subject`` for scalars.
enum Collections {
    enum Kind: String, CaseIterable {
        case dictionary, set, list
        case sortedSet = "sorted-set"
    }

    /// Bytes of a member, of a field and of a field's value.
    static let memberBytes = 16
}

/// Writes members of sixteen bytes, as many as asked for, one behind the other.
struct MemberWriter: ~Copyable {
    private let memory: UnsafeMutableRawPointer
    let members: [UnsafeRawBufferPointer]

    init(count: Int) {
        let memory = UnsafeMutableRawPointer.allocate(byteCount: count * Collections.memberBytes, alignment: 16)
        memory.initializeMemory(as: UInt8.self, repeating: 0x61, count: count * Collections.memberBytes)
        self.memory = memory
        members = (0..<count).map {
            UnsafeRawBufferPointer(start: memory + $0 * Collections.memberBytes, count: Collections.memberBytes)
        }
    }

    deinit { memory.deallocate() }

    /// Makes the member at a position that of a number.
    @inline(__always)
    func write(_ number: UInt64, at position: Int = 0) {
        let member = memory + position * Collections.memberBytes
        member.storeBytes(of: KeyWriter.letters(number & 0xffff_ffff), as: UInt64.self)
        member.storeBytes(of: KeyWriter.letters(number &>> 32), toByteOffset: 8, as: UInt64.self)
    }
}

extension EngineCache {
    private static let expiry = CollectionExpiry(expiresAt: Subject.expiry(0), refresh: false)

    /// Adds all members to a collection in one operation. The fields of a dictionary have themselves as values, the
    /// elements of a sorted set scores from 0 up.
    func add(
        _ members: [UnsafeRawBufferPointer], to key: UnsafeRawBufferPointer, _ kind: Collections.Kind
    ) throws(MartletError) {
        let room = members.count * (2 * Collections.memberBytes + 16)
        _ = try withItem(key, reserving: room, now: Subject.now) { (item) throws(MartletError) -> Int in
            switch kind {
            case .dictionary:
                let pairs = members.map { DictionaryPair(field: $0, value: $0) }
                return try item.dictionarySet(pairs.span, expiry: Self.expiry)
            case .set: return try item.setAdd(members.span, expiry: Self.expiry)
            case .list: return try item.pushToList(members, at: .back, expiry: Self.expiry)
            case .sortedSet:
                let elements = members.enumerated().map { SortedSetElement(score: Double($0), member: $1) }
                return try item.addToSortedSet(elements, expiry: Self.expiry).added
            }
        }
    }

    // MARK: A sorted set

    func add(
        _ member: UnsafeRawBufferPointer, score: Double, toSortedSet key: UnsafeRawBufferPointer
    ) throws(MartletError) {
        _ = try withItem(key, reserving: 128, now: Subject.now) { (item) throws(MartletError) -> Int in
            let element = CollectionOfOne(SortedSetElement(score: score, member: member))
            return try item.addToSortedSet(element, expiry: Self.expiry).added
        }
    }

    func rank(
        of member: UnsafeRawBufferPointer, inSortedSet key: UnsafeRawBufferPointer
    ) throws(MartletError) -> Int? {
        try withItem(key, reserving: 0, now: Subject.now) { (item) throws(MartletError) -> Int? in
            try item.sortedSetRank(of: member)?.rank
        }
    }

    /// Copies the members of a selection out, one behind the other. Gives back how many there were.
    func members(
        _ selection: SortedSetSelection, ofSortedSet key: UnsafeRawBufferPointer,
        into buffer: UnsafeMutableRawBufferPointer
    ) throws(MartletError) -> Int {
        try withItem(key, reserving: 0, now: Subject.now) { (item) throws(MartletError) -> Int in
            guard let ranks = try item.sortedSetRanks(selection) else { return 0 }
            var copied = 0
            try item.visitSortedSet(ranks) { _, member in
                UnsafeMutableRawBufferPointer(rebasing: buffer[copied * Collections.memberBytes..<buffer.count])
                    .copyMemory(from: member)
                copied += 1
                return true
            }
            return copied
        }
    }

    // MARK: Huge sets

    /// Goes over all members in slices, as a fetch does. Gives back how many, and the longest slice in nanoseconds of CPU time.
    func fetchSet(_ key: UnsafeRawBufferPointer) throws(MartletError) -> (count: Int, longest: UInt64) {
        let snapshot = try withItem(key, reserving: 0, now: Subject.now) { (item) throws(MartletError) in
            try item.setSnapshot()
        }
        var (count, cursor, longest) = (0, UInt64(0), UInt64(0))
        repeat {
            let start = Clock.threadCPU()
            cursor = try snapshot?.visit(from: cursor, limit: 1000) { _ in count += 1 } ?? 0
            longest = max(longest, Clock.threadCPU() - start)
        } while cursor != 0
        return (count, longest)
    }

    /// Goes over the union of sets in slices.
    func unite(_ keys: [UnsafeRawBufferPointer]) throws(MartletError) -> (count: Int, longest: UInt64) {
        var combination = try setCombination(.union, of: keys, now: Subject.now)
        var (count, longest) = (0, UInt64(0))
        while true {
            let start = Clock.threadCPU()
            let isDone = try combination.step(budget: 1000) { _ in count += 1 }
            longest = max(longest, Clock.threadCPU() - start)
            if isDone { return (count, longest) }
        }
    }

    /// Stores the union of sets in slices.
    func unite(
        _ keys: [UnsafeRawBufferPointer], into destination: UnsafeRawBufferPointer
    ) throws(MartletError) -> (count: Int, longest: UInt64) {
        var storing = SetStoring(.union, of: keys, into: destination, expiresAt: nil, cache: self)
        var longest: UInt64 = 0
        while true {
            let start = Clock.threadCPU()
            let count = try storing.step(budget: 1000, now: Subject.now)
            longest = max(longest, Clock.threadCPU() - start)
            if let count { return (count, longest) }
        }
    }
}
