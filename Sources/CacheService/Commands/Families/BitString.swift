/// Bytes as bits, of which the first is the highest of the first byte. Costs are a few nanoseconds for eight bytes.
struct BitString {
    private let bytes: UnsafeRawBufferPointer

    init(_ bytes: UnsafeRawBufferPointer) {
        self.bytes = bytes
    }

    /// How many bits of a range are set.
    func count(_ range: Range<Int>) -> Int {
        guard !range.isEmpty else { return 0 }
        let (first, last) = (range.lowerBound / 8, (range.upperBound - 1) / 8)
        guard first < last else { return (bytes[first] & mask(of: first, in: range)).nonzeroBitCount }
        var count = (bytes[first] & mask(of: first, in: range)).nonzeroBitCount
        count += (bytes[last] & mask(of: last, in: range)).nonzeroBitCount
        var place = first + 1
        while place + 8 <= last {
            count += bytes.loadUnaligned(fromByteOffset: place, as: UInt64.self).nonzeroBitCount
            place += 8
        }
        while place < last {
            count += bytes[place].nonzeroBitCount
            place += 1
        }
        return count
    }

    /// The first bit of a range that is set, or is clear; -1 for none.
    ///
    /// - Parameter isOpen: The string counts as followed by clear bits without end.
    func position(of isSet: Bool, _ range: Range<Int>, isOpen: Bool) -> Int {
        guard !range.isEmpty else { return -1 }
        let flip: UInt8 = isSet ? 0 : 0xFF
        let last = (range.upperBound - 1) / 8
        var place = range.lowerBound / 8
        while place <= last {
            let byte = (bytes[place] ^ flip) & mask(of: place, in: range)
            if byte != 0 { return place * 8 + byte.leadingZeroBitCount }
            place += 1
            let nothing: UInt64 = isSet ? 0 : .max
            while place + 8 <= last, bytes.loadUnaligned(fromByteOffset: place, as: UInt64.self) == nothing {
                place += 8
            }
        }
        return isOpen && !isSet ? range.upperBound : -1
    }

    /// The bits of a byte that belong to a range.
    private func mask(of place: Int, in range: Range<Int>) -> UInt8 {
        var mask: UInt8 = 0xFF
        let start = range.lowerBound - place * 8
        if start > 0 { mask &= 0xFF &>> UInt8(start) }
        let end = range.upperBound - place * 8
        if end < 8 { mask &= ~(0xFF &>> UInt8(end)) }
        return mask
    }

    /// The integer of up to 64 bits that begins at an offset, the highest bit first; what lies behind the end is zero.
    static func read(_ bytes: UnsafeRawBufferPointer, at offset: Int, width: Int) -> UInt64 {
        var value: UInt64 = 0
        for place in offset..<offset + width {
            let bit = place / 8 < bytes.count ? bytes[place / 8] &>> UInt8(7 - place % 8) & 1 : 0
            value = value &<< 1 | UInt64(bit)
        }
        return value
    }

    /// Writes one, which lies within the bytes.
    static func write(_ value: UInt64, _ bytes: inout [UInt8], at offset: Int, width: Int) {
        for step in 0..<width {
            let place = offset + step
            let mask = UInt8(0x80) &>> UInt8(place % 8)
            if value &>> UInt64(width - 1 - step) & 1 != 0 {
                bytes[place / 8] |= mask
            } else {
                bytes[place / 8] &= ~mask
            }
        }
    }
}
