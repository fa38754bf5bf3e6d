/// SplitMix64: the same numbers on every machine, and a few cycles each.
struct Random: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    @inline(__always)
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        return Self.mix(state)
    }

    /// A number below `bound`, uniform for all that a benchmark can tell.
    @inline(__always)
    mutating func below(_ bound: Int) -> Int {
        Int(truncatingIfNeeded: next().multipliedFullWidth(by: UInt64(truncatingIfNeeded: bound)).high)
    }

    /// From 0 up to 1.
    @inline(__always)
    mutating func unit() -> Double { Double(next() >> 11) * 0x1p-53 }

    /// A bijection that leaves no likeness between neighbours.
    @inline(__always)
    static func mix(_ number: UInt64) -> UInt64 {
        var mixed = number
        mixed = (mixed ^ mixed &>> 30) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ mixed &>> 27) &* 0x94d0_49bb_1331_11eb
        return mixed ^ mixed &>> 31
    }
}

/// Writes keys of 21 bytes: `item:` and the sixteen nibbles of a number, as the letters a to p. Some two nanoseconds each,
/// and no table that would take cache lines from what is measured.
struct KeyWriter: ~Copyable {
    static let byteCount = 21
    private let memory = UnsafeMutableRawPointer.allocate(byteCount: 32, alignment: 16)

    init() {
        memory.initializeMemory(as: UInt8.self, repeating: 0, count: 32)
        for (offset, byte) in "item:".utf8.enumerated() {
            memory.storeBytes(of: byte, toByteOffset: offset, as: UInt8.self)
        }
    }

    deinit { memory.deallocate() }

    /// The key of a number, valid until the next.
    @inline(__always)
    func key(_ number: UInt64) -> UnsafeRawBufferPointer {
        memory.storeBytes(of: Self.letters(number & 0xffff_ffff), toByteOffset: 5, as: UInt64.self)
        memory.storeBytes(of: Self.letters(number &>> 32), toByteOffset: 13, as: UInt64.self)
        return UnsafeRawBufferPointer(start: memory, count: Self.byteCount)
    }

    @inline(__always)
    static func letters(_ number: UInt64) -> UInt64 {
        var spread = number
        spread = (spread | spread &<< 16) & 0x0000_ffff_0000_ffff
        spread = (spread | spread &<< 8) & 0x00ff_00ff_00ff_00ff
        spread = (spread | spread &<< 4) & 0x0f0f_0f0f_0f0f_0f0f
        return spread &+ 0x6161_6161_6161_6161
    }
}

/// A value of some length whose first eight bytes tell one from another.
struct ValueWriter: ~Copyable {
    private let memory: UnsafeMutableRawBufferPointer

    init(capacity: Int) {
        memory = .allocate(byteCount: max(8, capacity), alignment: 16)
        var random = Random(seed: 7)
        for offset in memory.indices { memory[offset] = UInt8(truncatingIfNeeded: random.next()) }
    }

    deinit { memory.deallocate() }

    @inline(__always)
    func value(_ number: UInt64, byteCount: Int) -> UnsafeRawBufferPointer {
        memory.storeBytes(of: number, as: UInt64.self)
        return UnsafeRawBufferPointer(rebasing: memory[..<byteCount])
    }
}
