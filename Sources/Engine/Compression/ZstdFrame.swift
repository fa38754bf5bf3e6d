import CZstd
import Tenancy

// What a client sends with `Content-Encoding: zstd`.
//
// Accepted is what RFC 8878 calls a zstd stream: one or more frames one after the other, with or without a content size
// and a checksum (which is verified), and skippable frames between them. Refused as malformed: no frame at all, a frame
// that is cut short or that libzstd cannot decode, anything after the last frame, and frames that need a dictionary.
//
// The frames are walked first, block by block, without libzstd and without memory. So it is known before anything is
// allocated what the body can expand to at most (a block says how much, or is bounded by 128 KiB), whether what the heads
// claim is possible, and whether it can be over the limit. Then all of it is decoded at once into memory of that size, and
// never more than the limit; there is no window besides the output, whatever window a frame asks for.
//
// What is stored, and later sent to clients as it lies, is one frame with a content size, without a dictionary, with a
// window of at most 8 MiB (RFC 9659: more, a client need not accept). A body that is anything else is compressed again.

/// Bodies in zstd, for doors. Any thread.
package enum ZstdFrame {
    /// RFC 9659, section 3.
    package static let maximumWindowBytes: UInt64 = 8 << 20

    /// A body, decoded, and how a cache that holds plain zstd is to hold it.
    package struct Received: Sendable {
        package var plain: [UInt8]
        package var form: Form
    }

    package enum Form: Equatable, Sendable {
        /// The body is a frame as it is stored.
        case asReceived
        /// This is.
        case recompressed([UInt8])
        /// Compressed it is hardly smaller: the plain is to be stored.
        case notWorthwhile
    }

    /// What a whole body expands to, if all its frames say so and what they say is possible; nil otherwise. Allocates
    /// nothing.
    package static func contentSize(_ body: UnsafeRawBufferPointer) -> Int? {
        guard let walk = try? Walk(body), walk.isExact else { return nil }
        return walk.expandedBytes
    }

    /// The plain of a whole body.
    ///
    /// - Parameter limit: the most bytes that the plain may have. No more is allocated.
    /// - Throws: ``MartletError/malformed(_:)``; ``MartletError/tooLarge(limit:value:)`` for an item's size.
    package static func decompress(
        _ body: UnsafeRawBufferPointer, limit: Int
    ) throws(MartletError) -> [UInt8] {
        try decompress(body, Walk(body), limit: limit)
    }

    /// The plain of a whole body and the form in which to store it. Throws as ``decompress(_:limit:)``.
    package static func receive(_ body: UnsafeRawBufferPointer, limit: Int) throws(MartletError) -> Received {
        let walk = try Walk(body)
        let plain = try decompress(body, walk, limit: limit)
        if walk.isCanonical, body.count <= ZstdCodec.worthwhileBytes(for: plain.count) {
            return Received(plain: plain, form: .asReceived)
        }
        let frame = plain.withUnsafeBytes { compress($0) }
        return Received(plain: plain, form: frame.map { .recompressed($0) } ?? .notWorthwhile)
    }

    /// One frame as it is stored. nil if it would not be worth it.
    package static func compress(_ plain: UnsafeRawBufferPointer) -> [UInt8]? {
        let capacity = ZstdCodec.worthwhileBytes(for: plain.count)
        guard plain.count >= CacheCompressor.plainThreshold else { return nil }
        var isDone = false
        let frame = [UInt8](unsafeUninitializedCapacity: capacity) { target, count in
            let made = ZstdCodec.compress(plain, into: UnsafeMutableRawBufferPointer(target))
            isDone = made != nil
            count = made ?? 0
        }
        // A copy, which is as long as the frame; the first was as long as the plain.
        return isDone ? Array(frame[...]) : nil
    }

    private static func decompress(
        _ body: UnsafeRawBufferPointer, _ walk: Walk, limit: Int
    ) throws(MartletError) -> [UInt8] {
        let tooLarge = MartletError.tooLarge(limit: .maxItemBytes, value: UInt64(max(limit, 0)))
        guard walk.leastBytes <= limit else { throw tooLarge }
        let capacity = min(walk.expandedBytes, limit)
        var outcome = ZstdCodec.Outcome.damaged
        let plain = [UInt8](unsafeUninitializedCapacity: capacity) { target, count in
            outcome = ZstdCodec.decompress(body, into: UnsafeMutableRawBufferPointer(target))
            count = if case .done(let done) = outcome { done } else { 0 }
        }
        switch outcome {
        case .done(let count) where walk.isExact && count != walk.expandedBytes: throw walk.damaged
        case .done: return plain
        case .tooLarge where capacity < walk.expandedBytes: throw tooLarge
        case .tooLarge, .damaged: throw walk.damaged
        }
    }
}

extension ZstdFrame {
    /// One pass over the frames of a body.
    struct Walk {
        /// What it expands to at most.
        private(set) var expandedBytes = 0
        /// What it expands to at least: where a frame says its size, that; else what its plain and repeated blocks say.
        private(set) var leastBytes = 0
        /// Whether these two are the same.
        var isExact: Bool { leastBytes == expandedBytes }
        /// Whether it is a frame that any client accepts.
        private(set) var isCanonical = false

        private static let skippableMagic: UInt32 = 0x184d_2a50
        /// Far above any limit; beyond it sums might run over.
        private static let mostBytes = 1 << 40

        var damaged: MartletError { Self.malformed("it cannot be decoded") }

        private static func malformed(_ reason: String) -> MartletError {
            .malformed("the body is not a zstd stream: \(reason)")
        }

        init(_ body: UnsafeRawBufferPointer) throws(MartletError) {
            var rest = body
            var frames = 0
            var others = 0
            while rest.count > 0 {
                if let skipped = Self.skippableBytes(rest) {
                    guard skipped <= rest.count else { throw Self.malformed("it is cut short") }
                    others += 1
                    rest = UnsafeRawBufferPointer(rebasing: rest[skipped...])
                    continue
                }
                guard let header = ZstdFrameHeader(rest) else { throw Self.malformed("a frame was expected") }
                guard header.dictionaryID == 0 else { throw Self.malformed("a frame needs a dictionary") }
                let (length, least, bound) = try Self.blocks(of: header, in: rest)
                if let content = header.contentBytes {
                    guard content <= UInt64(bound) else { throw Self.malformed("a frame claims more than it holds") }
                    expandedBytes += Int(content)
                    leastBytes += Int(content)
                } else {
                    expandedBytes += bound
                    leastBytes += least
                }
                frames += 1
                isCanonical = header.contentBytes != nil && header.windowBytes <= maximumWindowBytes
                guard expandedBytes <= Self.mostBytes else { throw Self.malformed("it is too large") }
                rest = UnsafeRawBufferPointer(rebasing: rest[length...])
            }
            guard frames > 0 else { throw Self.malformed("there is no frame") }
            isCanonical = isCanonical && frames == 1 && others == 0
        }

        /// The length of the skippable frame that `bytes` begins with; nil if it is none.
        private static func skippableBytes(_ bytes: UnsafeRawBufferPointer) -> Int? {
            guard bytes.count >= 8,
                UInt32(littleEndian: bytes.loadUnaligned(as: UInt32.self)) & ~15 == skippableMagic
            else { return nil }
            return 8 + Int(UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 4, as: UInt32.self)))
        }

        /// Walks the blocks (RFC 8878, section 3.1.1.2): three bytes each, little endian, bit 0 the last one, bits 1-2 the
        /// type, then the size.
        private static func blocks(
            of header: ZstdFrameHeader, in bytes: UnsafeRawBufferPointer
        ) throws(MartletError) -> (length: Int, least: Int, bound: Int) {
            var offset = header.byteCount
            var least = 0
            var bound = 0
            while true {
                guard bytes.count - offset >= 3 else { throw malformed("it is cut short") }
                let head = Int(bytes[offset]) | Int(bytes[offset + 1]) << 8 | Int(bytes[offset + 2]) << 16
                let size = head >> 3
                offset += 3
                guard size <= header.blockBytes else { throw malformed("a block is too large") }
                switch head >> 1 & 3 {
                case 0:
                    offset += size
                    least += size
                    bound += size
                case 1:
                    offset += 1
                    least += size
                    bound += size
                case 2:
                    offset += size
                    bound += header.blockBytes
                default: throw malformed("a block has no known type")
                }
                guard offset <= bytes.count else { throw malformed("it is cut short") }
                if head & 1 != 0 { break }
            }
            if header.hasChecksum { offset += 4 }
            guard offset <= bytes.count else { throw malformed("it is cut short") }
            return (offset, least, bound)
        }
    }
}
