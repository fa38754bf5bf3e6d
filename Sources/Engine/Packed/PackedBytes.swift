import Tenancy

// The common form of packed collections: entries one behind the other, each a length and its bytes.
//
//     length     0 ... 253: one byte; else 254 and two bytes, or 255 and four, little-endian
//
// What an entry means is the collection's own affair: a dictionary has a field and a value for each, a sorted set a
// member and a score. Nothing in a blob is trusted: whatever runs over its end throws.

/// Reads entries from a blob.
struct PackedReader {
    let bytes: UnsafeRawBufferPointer
    private(set) var position: Int

    init(_ bytes: UnsafeRawBufferPointer, at position: Int = 0) {
        self.bytes = bytes
        self.position = position
    }

    var isAtEnd: Bool { position >= bytes.count }

    static let damaged = MartletError.internalFailure("a packed collection is damaged")

    /// The next entry's bytes.
    @inline(__always)
    mutating func next() throws(MartletError) -> UnsafeRawBufferPointer {
        let length = try nextLength()
        guard length <= bytes.count - position else { throw Self.damaged }
        defer { position += length }
        return UnsafeRawBufferPointer(rebasing: bytes[position..<position + length])
    }

    /// A given number of bytes that have no length before them.
    @inline(__always)
    mutating func take(_ count: Int) throws(MartletError) -> UnsafeRawBufferPointer {
        guard count >= 0, count <= bytes.count - position else { throw Self.damaged }
        defer { position += count }
        return UnsafeRawBufferPointer(rebasing: bytes[position..<position + count])
    }

    @inline(__always)
    private mutating func nextLength() throws(MartletError) -> Int {
        guard position < bytes.count else { throw Self.damaged }
        let first = bytes[position]
        let extra = first == 254 ? 2 : first == 255 ? 4 : 0
        guard extra < bytes.count - position else { throw Self.damaged }
        defer { position += 1 + extra }
        switch extra {
        case 2: return Int(UInt16(littleEndian: bytes.loadUnaligned(fromByteOffset: position + 1, as: UInt16.self)))
        case 4: return Int(UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: position + 1, as: UInt32.self)))
        default: return Int(first)
        }
    }
}

/// How entries are written.
enum PackedWriter {
    /// What an entry of so many bytes takes.
    static func size(of count: Int) -> Int {
        count + (count < 254 ? 1 : count <= 0xffff ? 3 : 5)
    }

    static func append(_ entry: UnsafeRawBufferPointer, to scratch: inout ScratchBytes) {
        if entry.count < 254 {
            scratch.append(UInt8(entry.count))
        } else if entry.count <= 0xffff {
            scratch.append(254)
            scratch.append(littleEndian: UInt16(entry.count))
        } else {
            scratch.append(255)
            scratch.append(littleEndian: UInt32(entry.count))
        }
        scratch.append(entry)
    }
}
