import CZlib
import Tenancy

/// Unpacks gzip (RFC 1952), which gRPC clients may send.
///
/// What strangers compressed may unpack to a thousand times its size. So memory grows with what comes out, never past
/// the limit and one byte, which only shows that there is more; what the last four bytes say of the size saves growing
/// where it is true and costs nothing where it is not.
enum Gzip {
    /// The most that a byte can unpack to: a run of 258 bytes takes two bits at least (RFC 1951 section 3.2.5).
    private static let ratioCeiling = 1032
    /// The shortest gzip there is: head 10, empty block 2, trailer 8.
    private static let leastBytes = 20
    private static let step = 4096
    /// 15: the largest window, 16: of gzip and nothing else.
    private static let windowBits: Int32 = 15 + 16

    /// Everything that `bytes` hold; several gzip members one behind another are one text (RFC 1952 section 2.2).
    ///
    /// Cost: about 7 KiB of zlib's state for the call, and its window of up to 32 KiB where the output comes in more
    /// than one piece.
    /// - Parameters:
    ///   - bytes: One or more complete members, and nothing behind them.
    ///   - limit: The most bytes that may come out.
    /// - Throws: ``MartletError/bodyTooLarge(limit:)`` when more would; ``MartletError/malformed(_:)`` for a wrong
    ///   checksum or length, an end too soon, bytes behind the end, or no gzip at all.
    static func inflate(_ bytes: UnsafeRawBufferPointer, limit: Int) throws(MartletError) -> [UInt8] {
        guard bytes.count >= leastBytes, bytes.count <= Int(UInt32.max), let base = bytes.baseAddress else {
            throw notGzip
        }
        let room = max(0, min(limit, Int(UInt32.max) - 1)) + 1
        // On the heap: zlib refuses a stream that has moved.
        let stream = UnsafeMutablePointer<z_stream>.allocate(capacity: 1)
        defer { stream.deallocate() }
        stream.initialize(to: z_stream())
        guard inflateInit2_(stream, windowBits, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK else {
            throw .internalFailure("zlib could not be started")
        }
        defer { inflateEnd(stream) }
        // zlib does not write to its input.
        stream.pointee.next_in = UnsafeMutablePointer(mutating: base.assumingMemoryBound(to: UInt8.self))
        stream.pointee.avail_in = UInt32(bytes.count)

        let expected = min(announced(bytes), bytes.count * ratioCeiling)
        var output: [UInt8] = []
        var isComplete = false
        while !isComplete {
            let count = output.count
            let capacity = capacity(after: count, expected: expected, room: room)
            // A new array that is filled to its last byte, because growing one in place rounds up.
            var fault: MartletError?
            output = [UInt8](unsafeUninitializedCapacity: capacity) { [output] target, initialized in
                _ = UnsafeMutableBufferPointer(rebasing: target[..<count]).initialize(from: output)
                stream.pointee.next_out = target.baseAddress.map { $0 + count }
                stream.pointee.avail_out = UInt32(capacity - count)
                (isComplete, fault) = run(stream)
                initialized = capacity - Int(stream.pointee.avail_out)
            }
            if let fault { throw fault }
            guard output.count < room else { throw .bodyTooLarge(limit: limit) }
        }
        return output
    }

    /// How much room there is to be, now that `count` bytes have filled what there was.
    static func capacity(after count: Int, expected: Int, room: Int) -> Int {
        // A byte more than is expected, so that the end is seen in the same piece.
        min(room, count == 0 ? max(step, expected + 1) : count * 2)
    }

    /// Goes on until the input is at its end or the output full.
    private static func run(_ stream: UnsafeMutablePointer<z_stream>) -> (isComplete: Bool, fault: MartletError?) {
        while true {
            switch CZlib.inflate(stream, Z_NO_FLUSH) {
            case Z_STREAM_END:
                if stream.pointee.avail_in == 0 { return (true, nil) }
                guard inflateReset(stream) == Z_OK else { return (false, .internalFailure("zlib lost its state")) }
            case Z_OK, Z_BUF_ERROR:
                if stream.pointee.avail_out == 0 { return (false, nil) }
                if stream.pointee.avail_in == 0 { return (false, .malformed("the gzip of the message is cut off")) }
            case Z_MEM_ERROR: return (false, .internalFailure("there is no memory to unpack the message"))
            default: return (false, notGzip)
            }
        }
    }

    /// ISIZE, the length of the last member modulo 2^32 (RFC 1952 section 2.3.1): a hint, for anybody may write it.
    private static func announced(_ bytes: UnsafeRawBufferPointer) -> Int {
        Int(UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: bytes.count - 4, as: UInt32.self)))
    }

    private static let notGzip = MartletError.malformed("the message is said to be gzip, and is not")
}
