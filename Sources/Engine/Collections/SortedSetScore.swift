import Tenancy

// How a packed sorted set writes a score. Most scores are small whole numbers, counts, times or amounts with a few
// decimals; a double's eight bytes would be most of such an entry.
//
//     first byte      then          the score
//       0 ... 119     nothing       that number
//     120 ... 126     1 ... 7       a whole number in two's complement, little-endian, of so many bytes
//     127 ... 162     1 ... 6       a whole number of (first byte - 127) % 6 + 1 bytes, divided by ten to the power of
//                                   (first byte - 127) / 6 + 1, which is 1 to 6: a decimal fraction
//     253             nothing       infinity
//     254             nothing       minus infinity
//     255             8             any other double, little-endian
//
// A decimal is written so only if the division gives back exactly the same double. The shortest form that holds a score
// is the one that is written, so that equal scores have equal bytes. There is no form of minus zero: a score is
// normalised before. A listpack, for comparison, takes 2 bytes for 0...127, 3 to 4096, 4 to 32,768, and for what is no
// whole number two more than its decimal text is long.

/// The written form of a score.
struct PackedScore {
    private let first: UInt8
    private let payload: UInt64
    private let payloadCount: Int

    private static let wholeTag: UInt8 = 120
    private static let decimalTag: UInt8 = 127
    private static let infinityTag: UInt8 = 253
    private static let negativeInfinityTag: UInt8 = 254
    private static let doubleTag: UInt8 = 255
    private static let widestDecimal = 6
    private static let mostDecimals = 6

    /// Whole numbers below this are doubles without loss, and so are their quotients by the powers of ten here rounded
    /// once.
    private static let exactWhole = 9_007_199_254_740_992.0

    /// The score must not be a NaN.
    init(_ score: Double) {
        if let whole = Self.whole(score) {
            if whole >= 0, whole < Int64(Self.wholeTag) {
                first = UInt8(whole)
                payload = 0
                payloadCount = 0
            } else {
                payloadCount = Self.width(of: whole)
                payload = UInt64(bitPattern: whole)
                first = Self.wholeTag + UInt8(payloadCount - 1)
            }
            return
        }
        if score.isInfinite {
            first = score > 0 ? Self.infinityTag : Self.negativeInfinityTag
            payload = 0
            payloadCount = 0
            return
        }
        if let (scaled, decimals) = Self.decimal(score) {
            payloadCount = Self.width(of: scaled)
            payload = UInt64(bitPattern: scaled)
            first = Self.decimalTag + UInt8((decimals - 1) * Self.widestDecimal + payloadCount - 1)
            return
        }
        first = Self.doubleTag
        payload = score.bitPattern
        payloadCount = 8
    }

    /// The whole number and the number of decimals that give the score back, if it has so few.
    private static func decimal(_ score: Double) -> (scaled: Int64, decimals: Int)? {
        // What does not fit with all six decimals does not with fewer, as long as the whole number can be told exactly.
        let finest = (score * power(mostDecimals)).rounded()
        if abs(finest) < exactWhole, finest / power(mostDecimals) != score { return nil }
        for decimals in 1...mostDecimals {
            let scaled = (score * power(decimals)).rounded()
            guard abs(scaled) < exactWhole else { return nil }
            guard scaled / power(decimals) == score else { continue }
            let whole = Int64(scaled)
            return width(of: whole) <= widestDecimal ? (whole, decimals) : nil
        }
        return nil
    }

    /// How many bytes it takes.
    var size: Int { 1 + payloadCount }

    /// Writes it to the first ``size`` bytes of `memory`.
    func write(to memory: UnsafeMutableRawBufferPointer) {
        memory[0] = first
        for index in 0..<payloadCount {
            memory[1 + index] = UInt8(truncatingIfNeeded: payload &>> (8 * index))
        }
    }

    /// Reads the score that stands next in a blob.
    @inline(__always)
    static func read(_ reader: inout PackedReader) throws(MartletError) -> Double {
        let first = try reader.take(1)[0]
        if first < wholeTag { return Double(first) }
        return try readLong(first, &reader)
    }

    private static func readLong(_ first: UInt8, _ reader: inout PackedReader) throws(MartletError) -> Double {
        switch first {
        case wholeTag..<decimalTag:
            return Double(try readWhole(Int(first - wholeTag) + 1, &reader))
        case decimalTag..<decimalTag + UInt8(widestDecimal * mostDecimals):
            let form = Int(first - decimalTag)
            let scaled = try readWhole(form % widestDecimal + 1, &reader)
            return Double(scaled) / power(form / widestDecimal + 1)
        case infinityTag:
            return .infinity
        case negativeInfinityTag:
            return -.infinity
        case doubleTag:
            let bits = try reader.take(8).loadUnaligned(as: UInt64.self)
            let score = Double(bitPattern: UInt64(littleEndian: bits))
            guard !score.isNaN else { throw PackedReader.damaged }
            return score + 0.0
        default:
            throw PackedReader.damaged
        }
    }

    /// Passes over the score that stands next.
    @inline(__always)
    static func skip(_ reader: inout PackedReader) throws(MartletError) {
        let first = try reader.take(1)[0]
        if first >= wholeTag { _ = try readLong(first, &reader) }
    }

    private static func readWhole(_ width: Int, _ reader: inout PackedReader) throws(MartletError) -> Int64 {
        var bits: UInt64 = 0
        for (index, byte) in try reader.take(width).enumerated() { bits |= UInt64(byte) &<< UInt64(8 * index) }
        let unused = UInt64(64 - 8 * width)
        return Int64(bitPattern: bits &<< unused) &>> Int64(unused)
    }

    @inline(__always)
    private static func whole(_ score: Double) -> Int64? {
        guard abs(score) < exactWhole else { return nil }
        let whole = Int64(score)
        return Double(whole) == score ? whole : nil
    }

    /// The fewest bytes that hold it in two's complement.
    private static func width(of whole: Int64) -> Int {
        let magnitude = whole < 0 ? ~whole : whole
        return (64 - magnitude.leadingZeroBitCount) / 8 + 1
    }

    @inline(__always)
    private static func power(_ exponent: Int) -> Double {
        switch exponent {
        case 1: 10
        case 2: 100
        case 3: 1000
        case 4: 10_000
        case 5: 100_000
        default: 1_000_000
        }
    }
}
