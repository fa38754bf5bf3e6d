#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif
import Tenancy

// An item is one contiguous blob: header, key, value, and for a larger value its hash.
//
//      0         8         16        24         32        40           44            48
//      | newer   | older   | wheel   | link to  | expires | key length | value       | key ... | value ... | hash |
//      |         |         | next    | this one | at, ms  | and flags  | length      |         |           | 16 B |
//      '-- eviction queue -'---- timing wheel --'
//
// The links make every removal O(1) without a search: in the queue because both neighbours are known, in the wheel
// because `wheelLink` is the address of the one pointer that points here (the kernel's `hlist`).
//
// The hash of a value is kept only where it costs more to compute than to keep: below `storedHashThreshold` bytes it is
// cheaper to hash the value again (some 30 ns) than to carry 16 bytes for each of a million small items.
//
// This file and HashIndex.swift are where the engine touches raw memory; the rest moves `Item` values about.

/// Layout of the first bytes of an item.
struct ItemHeader {
    var newer: Item?
    var older: Item?
    var wheelNext: Item?
    var wheelLink: UnsafeMutablePointer<Item?>?
    /// Milliseconds since 1970, `Int64.max` for never.
    var expiresAt: Int64
    var keyLengthAndFlags: UInt32
    var valueLength: UInt32

    static let visitedFlag: UInt32 = 1 << 31
    static let hashFlag: UInt32 = 1 << 30
    static let keyLengthMask: UInt32 = (1 << 30) - 1
}

/// A reference to one item. It owns nothing by itself: an item belongs to the thread that made it until it is inserted,
/// to the holder of the stripe's lock while it is in a stripe, and to the thread that took it out afterwards, which
/// deallocates it.
// By that rule only one thread at a time reads or writes through a reference, so handing the reference over is safe.
struct Item: Equatable, @unchecked Sendable {
    let header: UnsafeMutablePointer<ItemHeader>

    static let headerBytes = 48
    static let hashBytes = 16
    static let storedHashThreshold = 192
    /// Where ``ItemHeader/wheelNext`` lies.
    private static let wheelNextOffset = 16

    /// Whether lengths can be written in the header at all.
    static func canHold(keyBytes: Int, valueBytes: Int) -> Bool {
        keyBytes <= Int(ItemHeader.keyLengthMask) && valueBytes <= Int(UInt32.max)
    }

    private static func blobBytes(keyBytes: Int, valueBytes: Int) -> Int {
        headerBytes + keyBytes + valueBytes + (valueBytes >= storedHashThreshold ? hashBytes : 0)
    }

    /// What an item of these lengths is charged.
    static func charge(keyBytes: Int, valueBytes: Int) -> Int {
        Allocation.charge(blobBytes(keyBytes: keyBytes, valueBytes: valueBytes))
    }

    /// Makes an item that nothing refers to yet. Lengths were checked with ``canHold(keyBytes:valueBytes:)``.
    /// Cost: one allocation, one copy of key and value, and for a larger value its hash.
    static func make(
        key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer, expiresAt: Timestamp?, valueHashKey: SipHashKey
    ) -> Item {
        let storesHash = value.count >= storedHashThreshold
        let blob = Allocation.allocate(blobBytes(keyBytes: key.count, valueBytes: value.count))
        let item = Item(header: blob.bindMemory(to: ItemHeader.self, capacity: 1))
        item.header.initialize(
            to: ItemHeader(
                newer: nil, older: nil, wheelNext: nil, wheelLink: nil,
                expiresAt: expiresAt?.milliseconds ?? .max,
                keyLengthAndFlags: UInt32(key.count) | (storesHash ? ItemHeader.hashFlag : 0),
                valueLength: UInt32(value.count)))
        if let source = key.baseAddress, !key.isEmpty {
            item.keyStart.copyMemory(from: source, byteCount: key.count)
        }
        if let source = value.baseAddress, !value.isEmpty {
            item.valueStart.copyMemory(from: source, byteCount: value.count)
        }
        if storesHash {
            let hash = SipHash.value(of: value, key: valueHashKey)
            let end = item.valueStart + value.count
            end.storeBytes(of: hash.low, as: UInt64.self)
            end.storeBytes(of: hash.high, toByteOffset: 8, as: UInt64.self)
        }
        return item
    }

    /// Gives the memory back. Nothing may refer to the item any more.
    func deallocate() {
        Allocation.free(UnsafeMutableRawPointer(header))
    }

    @inline(__always)
    private var keyStart: UnsafeMutableRawPointer {
        UnsafeMutableRawPointer(header) + Item.headerBytes
    }

    @inline(__always)
    private var valueStart: UnsafeMutableRawPointer {
        keyStart + keyLength
    }

    @inline(__always)
    var keyLength: Int {
        Int(header.pointee.keyLengthAndFlags & ItemHeader.keyLengthMask)
    }

    @inline(__always)
    var valueLength: Int {
        Int(header.pointee.valueLength)
    }

    @inline(__always)
    var key: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: keyStart, count: keyLength)
    }

    @inline(__always)
    var value: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: valueStart, count: valueLength)
    }

    /// The value's bytes for a change in place. Only values below ``storedHashThreshold`` are changed so.
    var mutableValue: UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(start: valueStart, count: valueLength)
    }

    /// What this item is charged.
    @inline(__always)
    var charge: Int {
        Item.charge(keyBytes: keyLength, valueBytes: valueLength)
    }

    /// The hash that is kept with the value, or nil where it is to be computed.
    @inline(__always)
    var storedHash: ValueHash? {
        guard header.pointee.keyLengthAndFlags & ItemHeader.hashFlag != 0 else { return nil }
        let end = valueStart + valueLength
        return ValueHash(
            low: end.loadUnaligned(as: UInt64.self), high: end.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
    }

    func valueHash(key: SipHashKey) -> ValueHash {
        if let storedHash { return storedHash }
        let hash = SipHash.value(of: value, key: key)
        return ValueHash(low: hash.low, high: hash.high)
    }

    @inline(__always)
    func hasKey(_ other: UnsafeRawBufferPointer) -> Bool {
        guard keyLength == other.count else { return false }
        guard let start = other.baseAddress else { return true }
        return memcmp(keyStart, start, other.count) == 0
    }

    @inline(__always)
    func isExpired(at now: Timestamp) -> Bool {
        header.pointee.expiresAt <= now.milliseconds
    }

    @inline(__always)
    var expiresAt: Timestamp? {
        isVolatile ? Timestamp(milliseconds: header.pointee.expiresAt) : nil
    }

    @inline(__always)
    var isVolatile: Bool { header.pointee.expiresAt != .max }

    /// Whether the item was read since the eviction hand last passed it.
    @inline(__always)
    var isVisited: Bool {
        header.pointee.keyLengthAndFlags & ItemHeader.visitedFlag != 0
    }

    /// Writes only on the first read after the hand passed: the line of an item that is read often stays clean.
    @inline(__always)
    func markVisited() {
        if !isVisited { header.pointee.keyLengthAndFlags |= ItemHeader.visitedFlag }
    }

    func clearVisited() {
        header.pointee.keyLengthAndFlags &= ~ItemHeader.visitedFlag
    }

    /// The address of this item's own `wheelNext`, for the link of the item that follows.
    var wheelNextCell: UnsafeMutablePointer<Item?> {
        (UnsafeMutableRawPointer(header) + Item.wheelNextOffset).assumingMemoryBound(to: Item?.self)
    }
}

/// Memory from the C allocator, and what a piece of it costs in truth.
enum Allocation {
    /// From this size on, glibc gives an allocation pages of its own.
    private static let pageThreshold = 128 << 10

    static func allocate(_ byteCount: Int) -> UnsafeMutableRawPointer {
        // An allocator that has nothing left ends the process: the ceiling on accounted bytes is what prevents it.
        UnsafeMutableRawPointer.allocate(byteCount: byteCount, alignment: 16)
    }

    static func free(_ address: UnsafeMutableRawPointer) {
        address.deallocate()
    }

    /// What `byteCount` bytes take in the allocator: its header of 8 bytes, rounded to 16 and at least 32; for large
    /// pieces a header of 16, rounded to pages.
    @inline(__always)
    static func charge(_ byteCount: Int) -> Int {
        guard byteCount < pageThreshold else { return (byteCount + 16 + 4095) & ~4095 }
        return max(32, (byteCount + 8 + 15) & ~15)
    }
}
