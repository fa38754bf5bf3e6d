import NIOCore

/// The trailers of gRPC-web, which stand in the body: browsers show none of HTTP's to their pages.
///
/// Source: gRPC-web's protocol page: a last frame whose flag has the topmost bit set, with lines as in HTTP/1 and no
/// empty line behind them.
enum GRPCWebTrailers {
    static let flag: UInt8 = 0x80

    /// Appends the frame.
    ///
    /// - Parameter trailers: Lower-case names. A line break in a value, which none should have, becomes a blank: it
    ///   would begin another trailer.
    static func write(_ trailers: [(name: String, value: String)], to buffer: inout ByteBuffer) {
        buffer.writeInteger(flag)
        let place = buffer.writerIndex
        buffer.writeInteger(UInt32(0))
        for trailer in trailers {
            buffer.writeString(trailer.name)
            buffer.writeString(": ")
            if trailer.value.utf8.contains(where: { $0 == 0x0D || $0 == 0x0A }) {
                buffer.writeBytes(trailer.value.utf8.map { $0 == 0x0D || $0 == 0x0A ? 0x20 : $0 })
            } else {
                buffer.writeString(trailer.value)
            }
            buffer.writeString("\r\n")
        }
        let count = buffer.writerIndex - place - MemoryLayout<UInt32>.size
        buffer.setInteger(UInt32(truncatingIfNeeded: count), at: place)
    }
}
