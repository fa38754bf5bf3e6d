import Engine

/// Bodies in zstd, of kinds that an encoder makes and of kinds that none would.
enum ZstdBody {
    /// One frame that says how long its content is.
    static func frame(_ plain: [UInt8]) -> [UInt8] {
        plain.withUnsafeBytes { ZstdFrame.compress($0) } ?? []
    }

    /// One frame that does not say it, of blocks that are not compressed (RFC 8878 section 3.1.1).
    static func unsized(_ plain: [UInt8]) -> [UInt8] {
        head + block(type: 0, size: plain.count, isLast: true) + plain
    }

    /// One frame that says how long its content is, and that no encoder makes so: all but the last bytes as they are, and
    /// these, which must be the same, in one.
    static func sized(_ plain: [UInt8], shortenedBy count: Int) -> [UInt8] {
        let start = plain.count - count
        return [0x28, 0xB5, 0x2F, 0xFD, 0xA0] + withUnsafeBytes(of: UInt32(plain.count).littleEndian) { Array($0) }
            + block(type: 0, size: start, isLast: false) + plain[..<start]
            + block(type: 1, size: count, isLast: true) + [plain[start]]
    }

    /// A frame that does not say how long its content is: so many times 128 KiB of zeros, in four bytes each.
    static func bomb(blocks: Int) -> [UInt8] {
        head + (1...blocks).flatMap { block(type: 1, size: 128 << 10, isLast: $0 == blocks) + [0] }
    }

    /// A frame that claims to hold so many bytes and holds none.
    static func claiming(_ byteCount: UInt64) -> [UInt8] {
        [0x28, 0xB5, 0x2F, 0xFD, 0xE0] + withUnsafeBytes(of: byteCount.littleEndian) { Array($0) }
            + block(type: 0, size: 0, isLast: true)
    }

    /// Neither a size nor a checksum, and a window of 128 KiB.
    private static let head: [UInt8] = [0x28, 0xB5, 0x2F, 0xFD, 0x00, 0x38]

    private static func block(type: Int, size: Int, isLast: Bool) -> [UInt8] {
        let head = size << 3 | type << 1 | (isLast ? 1 : 0)
        return [UInt8(head & 0xFF), UInt8(head >> 8 & 0xFF), UInt8(head >> 16 & 0xFF)]
    }
}
