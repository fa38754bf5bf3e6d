/// Percent-encoding (RFC 3986 section 2.1) as it stands in request targets. Decodes within the request's arena, behind
/// what is there already.
enum Percent {
    /// Decodes `source`, a range of `head`'s arena. A range without `%` is returned as it is, at no cost. A `+` is a
    /// plus sign. Returns nil for a `%` that two hexadecimal digits do not follow.
    static func decode(_ source: ByteRange, in head: RequestHead) -> ByteRange? {
        guard head.arena[source.range].contains(0x25) else { return source }
        let start = head.arena.count
        var index = source.range.lowerBound
        while index < source.range.upperBound {
            let byte = head.arena[index]
            if byte == 0x25 {
                guard index + 2 < source.range.upperBound, let high = hexadecimal(head.arena[index + 1]),
                    let low = hexadecimal(head.arena[index + 2])
                else { return nil }
                head.appendByte(high << 4 | low)
                index += 3
            } else {
                head.appendByte(byte)
                index += 1
            }
        }
        return ByteRange(start, head.arena.count)
    }

    static func hexadecimal(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 0x30...0x39: byte - 0x30
        case 0x41...0x46: byte - 0x37
        case 0x61...0x66: byte - 0x57
        default: nil
        }
    }
}
