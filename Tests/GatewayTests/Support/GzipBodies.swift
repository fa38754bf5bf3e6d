import CZlib

/// Compresses as a client does.
///
/// - Parameter level: 0 stores, 9 tries hardest.
func gzip(_ bytes: [UInt8], level: Int32 = 6) -> [UInt8] {
    let stream = UnsafeMutablePointer<z_stream>.allocate(capacity: 1)
    defer { stream.deallocate() }
    stream.initialize(to: z_stream())
    let status = deflateInit2_(
        stream, level, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size))
    precondition(status == Z_OK)
    defer { deflateEnd(stream) }
    var input = bytes
    let bound = Int(deflateBound(stream, UInt(bytes.count)))
    return input.withUnsafeMutableBufferPointer { input in
        [UInt8](unsafeUninitializedCapacity: bound) { output, count in
            stream.pointee.next_in = input.baseAddress
            stream.pointee.avail_in = UInt32(input.count)
            stream.pointee.next_out = output.baseAddress
            stream.pointee.avail_out = UInt32(bound)
            precondition(deflate(stream, Z_FINISH) == Z_STREAM_END)
            count = bound - Int(stream.pointee.avail_out)
        }
    }
}

/// `count` zeroes, compressed piece by piece: a bomb that is never whole in memory.
func gzipBomb(_ count: Int) -> [UInt8] {
    let stream = UnsafeMutablePointer<z_stream>.allocate(capacity: 1)
    defer { stream.deallocate() }
    stream.initialize(to: z_stream())
    let status = deflateInit2_(
        stream, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size))
    precondition(status == Z_OK)
    defer { deflateEnd(stream) }
    var zeroes = [UInt8](repeating: 0, count: 1 << 20)
    var output = [UInt8](repeating: 0, count: 1 << 20)
    var bomb: [UInt8] = []
    var left = count
    repeat {
        let piece = min(left, zeroes.count)
        left -= piece
        zeroes.withUnsafeMutableBufferPointer { input in
            output.withUnsafeMutableBufferPointer { output in
                stream.pointee.next_in = input.baseAddress
                stream.pointee.avail_in = UInt32(piece)
                stream.pointee.next_out = output.baseAddress
                stream.pointee.avail_out = UInt32(output.count)
                let status = deflate(stream, left == 0 ? Z_FINISH : Z_NO_FLUSH)
                precondition(status == (left == 0 ? Z_STREAM_END : Z_OK) && stream.pointee.avail_in == 0)
                bomb += output[..<(output.count - Int(stream.pointee.avail_out))]
            }
        }
    } while left > 0
    return bomb
}
