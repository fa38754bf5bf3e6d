/// The head of a zstd frame (RFC 8878, section 3.1.1), read without libzstd: it is a few bytes, and nothing is allocated.
///
///     | magic, 4 | descriptor, 1 | window, 0-1 | dictionary id, 0-4 | content size, 0-8 | blocks ... | checksum, 0-4 |
///
///     descriptor   bits 7-6 length of the content size, 5 single segment, 3 reserved (0), 2 checksum, 1-0 length of the id
struct ZstdFrameHeader: Equatable {
    /// Up to the first block.
    var byteCount: Int
    /// How far back the frame may refer; the content's size when it is a single segment.
    var windowBytes: UInt64
    var contentBytes: UInt64?
    var dictionaryID: UInt32
    var hasChecksum: Bool

    static let magic: UInt32 = 0xfd2f_b528
    /// The most that one block expands to, whatever the window.
    static let maximumBlockBytes = 128 << 10

    /// What a block of this frame expands to at most.
    var blockBytes: Int { Int(min(windowBytes, UInt64(Self.maximumBlockBytes))) }

    /// nil if this is no head, or not all of one.
    init?(_ bytes: UnsafeRawBufferPointer, isMagicless: Bool = false) {
        var offset = 0
        func read(_ count: Int) -> UInt64? {
            guard bytes.count - offset >= count else { return nil }
            var value: UInt64 = 0
            for index in 0..<count { value |= UInt64(bytes[offset + index]) << UInt64(8 * index) }
            offset += count
            return value
        }
        if !isMagicless {
            guard read(4) == UInt64(Self.magic) else { return nil }
        }
        guard let descriptor = read(1), descriptor & 8 == 0 else { return nil }
        let isSingleSegment = descriptor & 0x20 != 0
        windowBytes = 0
        if !isSingleSegment {
            guard let window = read(1) else { return nil }
            let base = UInt64(1) << (10 + window >> 3)
            windowBytes = base + base / 8 * (window & 7)
        }
        guard let identifier = read([0, 1, 2, 4][Int(descriptor & 3)]) else { return nil }
        dictionaryID = UInt32(truncatingIfNeeded: identifier)
        hasChecksum = descriptor & 4 != 0
        switch descriptor >> 6 {
        case 0 where !isSingleSegment: contentBytes = nil
        case 0: contentBytes = read(1)
        case 1: contentBytes = read(2).map { $0 + 256 }
        case 2: contentBytes = read(4)
        default: contentBytes = read(8)
        }
        if isSingleSegment || descriptor >> 6 != 0 {
            guard let contentBytes else { return nil }
            if isSingleSegment { windowBytes = contentBytes }
        }
        byteCount = offset
    }
}
