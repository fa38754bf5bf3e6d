/// A growable run of bytes for the duration of one operation: where a packed collection is put together before it is
/// stored. The first 1 KiB or so costs one allocation.
struct ScratchBytes: ~Copyable {
    private var memory: UnsafeMutableRawBufferPointer
    private(set) var count = 0

    init(capacity: Int = 1024) {
        memory = .allocate(byteCount: max(capacity, 16), alignment: 16)
    }

    deinit { memory.deallocate() }

    /// Valid as long as the scratch is, and until it grows.
    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: memory[0..<count]) }
    var mutableBytes: UnsafeMutableRawBufferPointer { UnsafeMutableRawBufferPointer(rebasing: memory[0..<count]) }

    /// Lends the bytes, and keeps them for as long.
    borrowing func withBytes<Result, Failure>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try body(UnsafeRawBufferPointer(rebasing: memory[0..<count]))
    }

    mutating func reserve(_ extra: Int) {
        guard count + extra > memory.count else { return }
        let larger = UnsafeMutableRawBufferPointer.allocate(
            byteCount: max(memory.count * 2, count + extra), alignment: 16)
        larger.copyMemory(from: bytes)
        memory.deallocate()
        memory = larger
    }

    mutating func append(_ source: UnsafeRawBufferPointer) {
        reserve(source.count)
        UnsafeMutableRawBufferPointer(rebasing: memory[count...]).copyMemory(from: source)
        count += source.count
    }

    mutating func append(_ byte: UInt8) {
        reserve(1)
        memory[count] = byte
        count += 1
    }

    mutating func append<Value: FixedWidthInteger>(littleEndian value: Value) {
        withUnsafeBytes(of: value.littleEndian) { append($0) }
    }

    /// Makes room for `extra` bytes and counts them as written; returns them to be filled.
    mutating func extend(by extra: Int) -> UnsafeMutableRawBufferPointer {
        reserve(extra)
        defer { count += extra }
        return UnsafeMutableRawBufferPointer(rebasing: memory[count..<count + extra])
    }

    mutating func removeAll() { count = 0 }
    mutating func truncate(to newCount: Int) { count = min(count, newCount) }
}
