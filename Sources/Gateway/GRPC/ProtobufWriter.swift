import NIOCore

/// Writes the wire format of Protocol Buffers (https://protobuf.dev/programming-guides/encoding/) into memory of just
/// the size that the message takes, which the `size` functions have told before.
///
/// A message stands behind its length, so lengths come first and bytes after: two passes over the values, one
/// reservation, no copy between. Numbers are singular fields, which proto3 leaves out at zero; bytes come in both
/// kinds: ``writeBytes(field:_:)`` always writes them (a repeated field, a member of a oneof), and
/// ``writeSingularBytes(field:_:)`` leaves the empty string out.
///
/// Cost: some nanoseconds a field, and the copy of its bytes. No allocation.
struct ProtobufWriter: ~Copyable {
    enum WireType: UInt64 {
        case varint = 0
        case fixed64 = 1
        case lengthDelimited = 2
    }

    private let memory: UnsafeMutableRawBufferPointer
    /// How much is written.
    private(set) var count = 0

    fileprivate init(_ memory: UnsafeMutableRawBufferPointer) {
        self.memory = memory
    }

    // MARK: Sizes

    @inline(__always)
    static func size(of varint: UInt64) -> Int {
        (70 - (varint | 1).leadingZeroBitCount) / 7
    }

    /// A field that is a number.
    @inline(__always)
    static func size(field: Int, number: UInt64) -> Int {
        number == 0 ? 0 : size(ofTag: field) + size(of: number)
    }

    /// A field that is a double.
    @inline(__always)
    static func size(field: Int, double: Double) -> Int {
        double.bitPattern == 0 ? 0 : size(ofTag: field) + 8
    }

    /// A field of `length` bytes: a message, or bytes that are written even if they are none.
    @inline(__always)
    static func size(field: Int, length: Int) -> Int {
        size(ofTag: field) + size(of: UInt64(length)) + length
    }

    /// A field of `length` bytes that is left out if they are none.
    @inline(__always)
    static func size(field: Int, singularLength length: Int) -> Int {
        length == 0 ? 0 : size(field: field, length: length)
    }

    @inline(__always)
    private static func size(ofTag field: Int) -> Int { size(of: UInt64(field) << 3) }

    // MARK: Fields

    @inline(__always)
    mutating func writeNumber(field: Int, _ number: UInt64) {
        guard number != 0 else { return }
        writeTag(field, .varint)
        writeVarint(number)
    }

    @inline(__always)
    mutating func writeDouble(field: Int, _ double: Double) {
        guard double.bitPattern != 0 else { return }
        writeTag(field, .fixed64)
        let start = advance(8)
        memory.storeBytes(of: double.bitPattern.littleEndian, toByteOffset: start, as: UInt64.self)
    }

    @inline(__always)
    mutating func writeBytes(field: Int, _ bytes: UnsafeRawBufferPointer) {
        writeHead(field: field, length: bytes.count)
        let start = advance(bytes.count)
        UnsafeMutableRawBufferPointer(rebasing: memory[start..<start + bytes.count]).copyMemory(from: bytes)
    }

    @inline(__always)
    mutating func writeSingularBytes(field: Int, _ bytes: UnsafeRawBufferPointer) {
        guard !bytes.isEmpty else { return }
        writeBytes(field: field, bytes)
    }

    /// What stands before a message, or before any other `length` bytes.
    @inline(__always)
    mutating func writeHead(field: Int, length: Int) {
        writeTag(field, .lengthDelimited)
        writeVarint(UInt64(length))
    }

    // MARK: Parts of fields

    @inline(__always)
    mutating func writeTag(_ field: Int, _ type: WireType) {
        writeVarint(UInt64(field) << 3 | type.rawValue)
    }

    @inline(__always)
    mutating func writeVarint(_ number: UInt64) {
        var rest = number
        while rest >= 0x80 {
            memory[advance(1)] = UInt8(truncatingIfNeeded: rest) | 0x80
            rest >>= 7
        }
        memory[advance(1)] = UInt8(truncatingIfNeeded: rest)
    }

    /// Where the next `length` bytes go.
    @inline(__always)
    private mutating func advance(_ length: Int) -> Int {
        let start = count
        // It would be written past the end of the buffer. A bug of the caller, whatever bytes came from outside.
        precondition(length <= memory.count - start, "a message is longer than was computed")
        count = start + length
        return start
    }
}

extension ByteBuffer {
    /// Appends `count` bytes of Protocol Buffers, which `body` must write, all of them.
    @inline(__always)
    mutating func writeProtobuf(count: Int, _ body: (inout ProtobufWriter) -> Void) {
        writeWithUnsafeMutableBytes(minimumWritableBytes: count) { memory in
            var writer = ProtobufWriter(UnsafeMutableRawBufferPointer(rebasing: memory[..<count]))
            body(&writer)
            // The lengths before it would be wrong, and what is behind it unwritten memory.
            precondition(writer.count == count, "a message is shorter than was computed")
            return count
        }
    }

    /// Appends a message of `count` bytes, which stands inside others: `path` names the fields that hold it, the
    /// outermost first.
    ///
    /// ```
    /// path [1, 2]:   tag 1 │ length │ tag 2 │ count │ message │
    /// ```
    mutating func writeProtobuf(at path: [Int], count: Int, _ body: (inout ProtobufWriter) -> Void) {
        let size = path.reversed().reduce(count) { ProtobufWriter.size(field: $1, length: $0) }
        writeProtobuf(count: size) { writer in
            for (index, field) in path.enumerated() {
                let length = path[(index + 1)...].reversed().reduce(count) {
                    ProtobufWriter.size(field: $1, length: $0)
                }
                writer.writeHead(field: field, length: length)
            }
            body(&writer)
        }
    }
}
