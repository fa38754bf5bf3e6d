#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

// Leaves: slots grow up from the header, entries grow down from the end. See TreeHandle.swift for the picture.

/// Whether `left` comes before `right` in the order of bytes.
@inline(__always)
func isBefore(_ left: UnsafeRawBufferPointer, _ right: UnsafeRawBufferPointer) -> Bool {
    compareBytes(left, right) < 0
}

/// Negative, zero, positive, as `memcmp`; of two that begin alike the longer comes later.
@inline(__always)
func compareBytes(_ left: UnsafeRawBufferPointer, _ right: UnsafeRawBufferPointer) -> Int {
    let common = min(left.count, right.count)
    if common > 0, let leftBase = left.baseAddress, let rightBase = right.baseAddress {
        let order = memcmp(leftBase, rightBase, common)
        if order != 0 { return Int(order) }
    }
    return left.count &- right.count
}

extension TreeNode {
    /// Entries with more bytes than this, lengths included, lie outside of the page.
    static let inlineLimit = 1000
    private static let outsideFlag: UInt16 = 0x8000

    // MARK: Reading

    @inline(__always)
    var slots: UnsafeMutableRawPointer { base + Self.headerBytes }

    @inline(__always)
    func slotPrefix(at index: Int) -> UInt64 {
        slots.loadUnaligned(fromByteOffset: index &* 10, as: UInt64.self)
    }

    @inline(__always)
    private func slotOffset(at index: Int, stride: Int) -> UInt16 {
        slots.loadUnaligned(fromByteOffset: index &* stride &+ stride &- 2, as: UInt16.self)
    }

    @inline(__always)
    private func setSlotOffset(at index: Int, stride: Int, _ offset: UInt16) {
        slots.storeBytes(of: offset, toByteOffset: index &* stride &+ stride &- 2, as: UInt16.self)
    }

    @inline(__always)
    private static func readLength(_ cursor: inout UnsafeMutableRawPointer) -> Int {
        let first = Int(cursor.load(as: UInt8.self))
        if first < 0x80 {
            cursor += 1
            return first
        }
        let length = (first & 0x7f) << 8 | Int(cursor.load(fromByteOffset: 1, as: UInt8.self))
        cursor += 2
        return length
    }

    @inline(__always)
    func entry(at index: Int) -> TreeEntry {
        let order = order
        let prefix = order == .positional ? 0 : slotPrefix(at: index)
        let offset = slotOffset(at: index, stride: order.stride)
        guard offset & Self.outsideFlag == 0 else {
            let outside = outside(at: offset)
            return TreeEntry(prefix: prefix, key: outside.key, value: outside.value)
        }
        var cursor = base + Int(offset)
        let keyCount = Self.readLength(&cursor)
        let valueCount = order.hasValues ? Self.readLength(&cursor) : 0
        return TreeEntry(
            prefix: prefix, key: UnsafeRawBufferPointer(start: cursor, count: keyCount),
            value: UnsafeRawBufferPointer(start: cursor + keyCount, count: valueCount))
    }

    @inline(__always)
    private func outside(at offset: UInt16) -> OutsideEntry {
        let address = base.loadUnaligned(fromByteOffset: Int(offset & ~Self.outsideFlag), as: UInt.self)
        return OutsideEntry(base: UnsafeMutableRawPointer(bitPattern: address).unsafelyUnwrapped)
    }

    /// The block of an entry that lies outside; nil for the others.
    @inline(__always)
    func outside(at index: Int) -> OutsideEntry? {
        let offset = slotOffset(at: index, stride: order.stride)
        return offset & Self.outsideFlag == 0 ? nil : outside(at: offset)
    }

    /// Bytes that an entry takes in the page besides its slot.
    @inline(__always)
    func entryBytes(at index: Int) -> Int {
        let order = order
        let offset = slotOffset(at: index, stride: order.stride)
        guard offset & Self.outsideFlag == 0 else { return 8 }
        let start = base + Int(offset)
        var cursor = start
        let keyCount = Self.readLength(&cursor)
        let valueCount = order.hasValues ? Self.readLength(&cursor) : 0
        return cursor - start + keyCount + valueCount
    }

    /// The first index whose entry is not below (prefix, key), and whether it is equal. `count` is that of the leaf,
    /// which the parent knows too, so that the search need not wait for the header.
    @inline(__always)
    func lowerBound(prefix: UInt64, key: UnsafeRawBufferPointer, count: Int) -> (index: Int, isEqual: Bool) {
        var low = 0
        var high = count
        while low < high {
            let middle = (low &+ high) &>> 1
            let found = slotPrefix(at: middle)
            if found < prefix {
                low = middle &+ 1
            } else if found > prefix {
                high = middle
            } else {
                let order = compareBytes(entry(at: middle).key, key)
                if order == 0 { return (middle, true) }
                if order < 0 { low = middle &+ 1 } else { high = middle }
            }
        }
        return (low, false)
    }

    // MARK: Space

    @inline(__always)
    private var freeBytes: Int { Int(header.pointee.heapStart) - Self.headerBytes - count * order.stride }
    var leafUsedBytes: Int { room - freeBytes - Int(header.pointee.deadBytes) }

    /// What an entry takes in a page besides its slot, if it lies in the page.
    @inline(__always)
    static func inlineBytes(keyCount: Int, valueCount: Int, order: TreeOrder) -> Int {
        keyCount + (keyCount < 0x80 ? 1 : 2) + (order.hasValues ? valueCount + (valueCount < 0x80 ? 1 : 2) : 0)
    }

    /// Whether an entry of so many bytes can be added. A page that is nearly full of living entries says no rather
    /// than be compacted again for each of the next few.
    @inline(__always)
    func fits(_ bytes: Int) -> Bool {
        let needed = bytes + order.stride
        return needed <= freeBytes || (leafUsedBytes + needed) * 16 <= room * 15
    }

    /// Writes all living entries together, in the order of their slots.
    func compact() {
        withUnsafeTemporaryAllocation(byteCount: capacity, alignment: 16) { scratch in
            guard let copy = scratch.baseAddress else { return }
            copy.copyMemory(from: base, byteCount: capacity)
            let old = TreeNode(copy)
            let stride = order.stride
            var heap = capacity
            for index in 0..<count {
                let bytes = old.entryBytes(at: index)
                let offset = old.slotOffset(at: index, stride: stride)
                heap -= bytes
                (base + heap).copyMemory(from: copy + Int(offset & ~Self.outsideFlag), byteCount: bytes)
                setSlotOffset(at: index, stride: stride, UInt16(heap) | offset & Self.outsideFlag)
            }
            header.pointee.heapStart = UInt16(heap)
            header.pointee.deadBytes = 0
        }
    }

    /// The heap's part of forgetting an entry.
    @inline(__always)
    private func discard(offset: UInt16, bytes: Int) {
        let offset = offset & ~Self.outsideFlag
        if offset == header.pointee.heapStart {
            header.pointee.heapStart = offset + UInt16(bytes)
        } else {
            header.pointee.deadBytes += UInt16(bytes)
        }
    }

    /// Takes `bytes` from the heap, for which there is room once the page is compacted.
    @inline(__always)
    private func takeHeap(_ bytes: Int, slotBytes: Int) -> Int {
        if bytes + slotBytes > freeBytes { compact() }
        let offset = Int(header.pointee.heapStart) - bytes
        header.pointee.heapStart = UInt16(offset)
        return offset
    }

    // MARK: Change

    /// Adds an entry for which `fits` has said yes. The sum of bytes held is changed for entries outside.
    @inline(__always)
    func insert(_ entry: TreeEntry, outside: OutsideEntry?, bytes: Int, at index: Int) {
        let stride = order.stride
        let offset = takeHeap(bytes, slotBytes: stride)
        let slot = slots + index &* stride
        memmove(slot + stride, slot, (count &- index) &* stride)
        if stride == 10 { slot.storeBytes(of: entry.prefix, as: UInt64.self) }
        write(entry, outside: outside, at: offset, index: index, stride: stride)
        header.pointee.count &+= 1
        header.pointee.total &+= 1
    }

    @inline(__always)
    private func write(_ entry: TreeEntry, outside: OutsideEntry?, at offset: Int, index: Int, stride: Int) {
        if let outside {
            base.storeBytes(of: UInt(bitPattern: outside.base), toByteOffset: offset, as: UInt.self)
            setSlotOffset(at: index, stride: stride, UInt16(offset) | Self.outsideFlag)
            header.pointee.outsideCount += 1
            header.pointee.heldBytes += outside.charge
            return
        }
        var cursor = base + offset
        Self.writeLength(entry.key.count, &cursor)
        if order.hasValues { Self.writeLength(entry.value.count, &cursor) }
        if let key = entry.key.baseAddress { cursor.copyMemory(from: key, byteCount: entry.key.count) }
        cursor += entry.key.count
        if let value = entry.value.baseAddress { cursor.copyMemory(from: value, byteCount: entry.value.count) }
        setSlotOffset(at: index, stride: stride, UInt16(offset))
    }

    @inline(__always)
    private static func writeLength(_ length: Int, _ cursor: inout UnsafeMutableRawPointer) {
        if length < 0x80 {
            cursor.storeBytes(of: UInt8(length), as: UInt8.self)
            cursor += 1
        } else {
            cursor.storeBytes(of: UInt8(0x80 | length >> 8), as: UInt8.self)
            cursor.storeBytes(of: UInt8(length & 0xff), toByteOffset: 1, as: UInt8.self)
            cursor += 2
        }
    }

    /// Puts another key and value in an entry's place, without a change of its prefix. False: there is no room.
    func replace(at index: Int, with entry: TreeEntry, outside: OutsideEntry?, bytes: Int, source: PageSource) -> Bool {
        let stride = order.stride
        let offset = slotOffset(at: index, stride: stride)
        let old = entryBytes(at: index)
        let isOutside = offset & Self.outsideFlag != 0
        if old == bytes, !isOutside, outside == nil {
            write(entry, outside: nil, at: Int(offset), index: index, stride: stride)
            return true
        }
        guard leafUsedBytes - old + bytes <= room else { return false }
        if isOutside { forgetOutside(self.outside(at: offset), source: source) }
        if bytes <= old {
            // The rest of the old place is dead; the entry moves to its upper end, so that the heap stays whole.
            let place = Int(offset & ~Self.outsideFlag) + old - bytes
            if offset & ~Self.outsideFlag == header.pointee.heapStart {
                header.pointee.heapStart = UInt16(place)
            } else {
                header.pointee.deadBytes += UInt16(old - bytes)
            }
            write(entry, outside: outside, at: place, index: index, stride: stride)
            return true
        }
        if bytes > freeBytes {
            // Compaction copies the old entry too; as one without bytes it costs none.
            removeSlots(index..<index + 1, bytes: old, offset: offset)
            insert(entry, outside: outside, bytes: bytes, at: index)
            return true
        }
        discard(offset: offset, bytes: old)
        write(entry, outside: outside, at: takeHeap(bytes, slotBytes: 0), index: index, stride: stride)
        return true
    }

    private func forgetOutside(_ outside: OutsideEntry, source: PageSource) {
        header.pointee.outsideCount -= 1
        header.pointee.heldBytes -= outside.charge
        outside.release(source: source)
    }

    @inline(__always)
    private func removeSlots(_ range: Range<Int>, bytes: Int, offset: UInt16?) {
        let stride = order.stride
        let start = slots + range.lowerBound &* stride
        memmove(start, start + range.count &* stride, (count &- range.upperBound) &* stride)
        header.pointee.count -= UInt16(range.count)
        header.pointee.total -= range.count
        if header.pointee.count == 0 {
            header.pointee.heapStart = header.pointee.capacity
            header.pointee.deadBytes = 0
        } else if let offset {
            discard(offset: offset, bytes: bytes)
        } else {
            header.pointee.deadBytes += UInt16(bytes)
        }
    }

    /// Removes entries and gives up the references to what lies outside.
    func removeEntries(_ range: Range<Int>, source: PageSource) {
        let stride = order.stride
        var bytes = 0
        for index in range {
            bytes += entryBytes(at: index)
            if let outside = outside(at: index) { forgetOutside(outside, source: source) }
        }
        let single = range.count == 1 ? slotOffset(at: range.lowerBound, stride: stride) : nil
        removeSlots(range, bytes: bytes, offset: single)
    }

    /// Moves entries to another leaf that has room for them, sums included.
    func moveEntries(_ range: Range<Int>, to other: TreeNode, at index: Int) {
        guard !range.isEmpty else { return }
        let stride = order.stride
        var bytes = 0
        for moved in range { bytes += entryBytes(at: moved) }
        if bytes + range.count * stride > other.freeBytes { other.compact() }
        let target = other.slots + index * stride
        memmove(target + range.count * stride, target, (other.count - index) * stride)
        target.copyMemory(from: slots + range.lowerBound * stride, byteCount: range.count * stride)
        var heap = Int(other.header.pointee.heapStart)
        for (position, moved) in range.enumerated() {
            let size = entryBytes(at: moved)
            let offset = slotOffset(at: moved, stride: stride)
            heap -= size
            (other.base + heap).copyMemory(from: base + Int(offset & ~Self.outsideFlag), byteCount: size)
            other.setSlotOffset(at: index + position, stride: stride, UInt16(heap) | offset & Self.outsideFlag)
            guard offset & Self.outsideFlag != 0 else { continue }
            let charge = outside(at: offset).charge
            header.pointee.outsideCount -= 1
            header.pointee.heldBytes -= charge
            other.header.pointee.outsideCount += 1
            other.header.pointee.heldBytes += charge
        }
        other.header.pointee.heapStart = UInt16(heap)
        other.header.pointee.count += UInt16(range.count)
        other.header.pointee.total += range.count
        removeSlots(range, bytes: bytes, offset: nil)
    }

    /// One more reference to each entry outside.
    func retainOutside() {
        guard header.pointee.outsideCount > 0 else { return }
        for index in 0..<count { outside(at: index)?.retain() }
    }
}
