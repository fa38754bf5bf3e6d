/// In which form the bytes of a value or a message travel (RFC 9110 section 8.4).
package enum ContentCoding: UInt8, Sendable {
    /// As they are.
    case identity
    /// As zstd frames (RFC 8878).
    case zstd

    /// The longest body that may hold so many bytes: zstd adds a little to what it cannot make shorter.
    ///
    /// Source: `ZSTD_compressBound`, and the head and the checksum of a frame.
    func bodyBytes(holding plainBytes: Int) -> Int {
        switch self {
        case .identity: plainBytes
        case .zstd: plainBytes > Int.max / 2 ? .max : plainBytes + plainBytes / 256 + 512
        }
    }
}
