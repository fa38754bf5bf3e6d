import NIOCore
import Tenancy

// The two hot requests, read where they lie, and the two hot responses, written where they are sent from. Whatever is not in
// the plain form that every client sends (each field at most once, none unknown) is left to swift-protobuf, so that there is
// one reading of every message.
//
// Wire format: https://protobuf.dev/programming-guides/encoding/

/// `_GetRequest`: the key alone.
enum GetMessage {
    /// The key, as a range of `message`; nil for any other than the plain form.
    @inline(__always)
    static func key(of message: UnsafeRawBufferPointer) -> Range<Int>? {
        var reader = PlainFields(message)
        guard !message.isEmpty else { return 0..<0 }
        guard reader.tag() == 0x0A, let key = reader.bytes(), reader.isAtEnd else { return nil }
        return key
    }
}

/// `_SetRequest`.
struct SetMessage {
    var key = 0..<0
    var value = 0..<0
    var ttlMilliseconds: UInt64 = 0

    /// Nil for any other than the plain form.
    @inline(__always)
    init?(_ message: UnsafeRawBufferPointer) {
        var reader = PlainFields(message)
        var last: UInt8 = 0
        while !reader.isAtEnd {
            // In the order of their numbers, as every encoder writes them, no field can stand twice.
            guard let tag = reader.tag(), tag > last else { return nil }
            last = tag
            switch tag {
            case 0x0A:
                guard let bytes = reader.bytes() else { return nil }
                key = bytes
            case 0x12:
                guard let bytes = reader.bytes() else { return nil }
                value = bytes
            case 0x18:
                guard let number = reader.varint() else { return nil }
                ttlMilliseconds = number
            default: return nil
            }
        }
    }
}

/// Reads fields with numbers below 16 one after the other.
struct PlainFields {
    private let memory: UnsafeRawBufferPointer
    private var position = 0

    @inline(__always)
    init(_ bytes: UnsafeRawBufferPointer) {
        memory = bytes
    }

    var isAtEnd: Bool { position == memory.count }

    @inline(__always)
    mutating func tag() -> UInt8? {
        guard position < memory.count, memory[position] < 0x80 else { return nil }
        position += 1
        return memory[position - 1]
    }

    @inline(__always)
    mutating func varint() -> UInt64? {
        var result: UInt64 = 0
        var shift: UInt64 = 0
        while position < memory.count, shift < 64 {
            let byte = memory[position]
            position += 1
            // The tenth byte has one bit.
            guard shift < 63 || byte < 2 else { return nil }
            result |= UInt64(byte & 0x7F) &<< shift
            if byte < 0x80 { return result }
            shift += 7
        }
        return nil
    }

    /// Whether a tag names a field: its number is not 0, and it fits into 29 bits.
    func isField(_ tag: UInt64) -> Bool {
        tag >= 8 && tag <= UInt64(UInt32.max)
    }

    /// Passes over the value of a field that is not known. Groups, which nobody writes any more, are not.
    mutating func skip(_ tag: UInt64) -> Bool {
        switch tag & 7 {
        case 0: return varint() != nil
        case 1: return skip(byteCount: 8)
        case 2: return bytes() != nil
        case 5: return skip(byteCount: 4)
        default: return false
        }
    }

    private mutating func skip(byteCount: Int) -> Bool {
        guard byteCount <= memory.count - position else { return false }
        position += byteCount
        return true
    }

    @inline(__always)
    mutating func bytes() -> Range<Int>? {
        guard let count = varint(), count <= UInt64(memory.count - position) else { return nil }
        let start = position
        position += Int(count)
        return start..<position
    }
}

enum ScsResponse {
    /// A frame with `_GetResponse{result: Miss}`.
    static let miss = frame([0x08, 0x03])
    /// A frame with `_SetResponse{result: Ok}`.
    static let stored = frame([0x08, 0x01])

    private static func frame(_ message: [UInt8]) -> [UInt8] {
        [0, 0, 0, 0, UInt8(message.count)] + message
    }

    /// Makes room behind what lies in `buffer` for a frame with `_GetResponse{result: Hit, cache_body}` and returns where
    /// the value goes.
    ///
    /// The pointer is good until the buffer is next changed.
    @inline(__always)
    static func reserveHit(_ count: Int, in buffer: inout ByteBuffer) -> UnsafeMutableRawBufferPointer {
        let lengthBytes = count == 0 ? 0 : ProtobufWriter.size(of: UInt64(count))
        let messageBytes = 2 + (count == 0 ? 0 : 1 + lengthBytes + count)
        buffer.reserveCapacity(minimumWritableBytes: 5 + messageBytes)
        buffer.writeInteger(0 as UInt8)
        buffer.writeInteger(UInt32(truncatingIfNeeded: messageBytes))
        buffer.writeInteger(0x0802 as UInt16)
        if count > 0 {
            buffer.writeInteger(0x12 as UInt8)
            var rest = count
            while rest >= 0x80 {
                buffer.writeInteger(UInt8(truncatingIfNeeded: rest) | 0x80)
                rest >>= 7
            }
            buffer.writeInteger(UInt8(truncatingIfNeeded: rest))
        }
        let start = buffer.readableBytes
        buffer.moveWriterIndex(forwardBy: count)
        // The buffer is its exchange's alone: its memory stays where it is until the next change, after the copy.
        return buffer.withUnsafeMutableReadableBytes { UnsafeMutableRawBufferPointer(rebasing: $0[start...]) }
    }
}
