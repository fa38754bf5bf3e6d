/// The masking key of one frame (RFC 6455 section 5.3): byte `i` of the payload is XORed with byte `i mod 4` of the key.
///
/// It hides nothing; it keeps a page in a browser from choosing the bytes that go over the wire. Masking and unmasking
/// are the same operation.
struct WebSocketMask {
    /// Byte `i` of the key in the bits from `8 * i`, whatever the machine's byte order.
    private(set) var key: UInt32 = 0

    @inline(__always)
    init() {}

    /// - Parameter key: the four bytes as they stand in the frame, the first in the lowest bits.
    init(key: UInt32) {
        self.key = key
    }

    @inline(__always)
    mutating func setByte(_ index: Int, _ byte: UInt8) {
        key |= UInt32(byte) << UInt32(8 * index)
    }

    /// Writes the unmasked bytes of `source` to `destination`, which must have room for them and must not overlap.
    ///
    /// Cost: a word of eight bytes at a time.
    ///
    /// - Parameter offset: where in the frame's payload `source` begins.
    func unmask(_ source: UnsafeRawBufferPointer, to destination: UnsafeMutableRawPointer, offset: Int) {
        guard let base = source.baseAddress else { return }
        apply(base, destination, source.count, offset)
    }

    /// Unmasks where the bytes are.
    func unmask(_ bytes: UnsafeMutableRawBufferPointer, offset: Int) {
        guard let base = bytes.baseAddress else { return }
        apply(UnsafeRawPointer(base), base, bytes.count, offset)
    }

    @inline(__always)
    private func apply(_ source: UnsafeRawPointer, _ target: UnsafeMutableRawPointer, _ count: Int, _ offset: Int) {
        // The key turned so that its lowest byte meets the first byte; eight is a multiple of four, so it stays right.
        let turn = UInt32(8 * (offset & 3))
        let turned = turn == 0 ? key : key >> turn | key << (32 - turn)
        let word = UInt64(littleEndian: UInt64(turned) << 32 | UInt64(turned))
        var index = 0
        while index + 8 <= count {
            let masked = source.loadUnaligned(fromByteOffset: index, as: UInt64.self)
            target.storeBytes(of: masked ^ word, toByteOffset: index, as: UInt64.self)
            index += 8
        }
        while index < count {
            let masked = source.load(fromByteOffset: index, as: UInt8.self)
            let byte = UInt8(truncatingIfNeeded: turned >> UInt32(8 * (index & 3)))
            target.storeBytes(of: masked ^ byte, toByteOffset: index, as: UInt8.self)
            index += 1
        }
    }
}
