import Synchronization

/// A block of its own for an entry that is too large for a page. Never changed once written; shared by the pages of
/// snapshots, so it counts its references.
///
///     0             4            8              12   16
///     | references  | key length | value length | -  | key ... | value ... |
struct OutsideEntry {
    private static let headerBytes = 16
    let base: UnsafeMutableRawPointer

    init(base: UnsafeMutableRawPointer) { self.base = base }

    init(_ entry: TreeEntry, source: PageSource) {
        base = source.allocate(byteCount: Self.headerBytes + entry.key.count + entry.value.count)
        references.initialize(to: Atomic(1))
        base.storeBytes(of: UInt32(entry.key.count), toByteOffset: 4, as: UInt32.self)
        base.storeBytes(of: UInt32(entry.value.count), toByteOffset: 8, as: UInt32.self)
        let bytes = base + Self.headerBytes
        if let key = entry.key.baseAddress { bytes.copyMemory(from: key, byteCount: entry.key.count) }
        if let value = entry.value.baseAddress {
            (bytes + entry.key.count).copyMemory(from: value, byteCount: entry.value.count)
        }
    }

    private var references: UnsafeMutablePointer<Atomic<UInt32>> {
        base.assumingMemoryBound(to: Atomic<UInt32>.self)
    }
    private var keyCount: Int { Int(base.load(fromByteOffset: 4, as: UInt32.self)) }
    private var valueCount: Int { Int(base.load(fromByteOffset: 8, as: UInt32.self)) }
    private var byteCount: Int { Self.headerBytes + keyCount + valueCount }

    var key: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base + Self.headerBytes, count: keyCount) }
    var value: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: base + Self.headerBytes + keyCount, count: valueCount)
    }
    /// What it is charged with.
    var charge: Int { PageSource.charge(byteCount: byteCount) }

    func retain() { references.pointee.wrappingAdd(1, ordering: .relaxed) }

    /// Gives up one reference; the last one frees the block.
    func release(source: PageSource) {
        guard references.pointee.wrappingSubtract(1, ordering: .acquiringAndReleasing).newValue == 0 else { return }
        source.deallocate(base, byteCount: byteCount)
    }
}
