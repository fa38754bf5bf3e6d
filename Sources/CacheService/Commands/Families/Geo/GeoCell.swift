// A place as one number: a geohash of 52 bits, 26 for each coordinate.
//
//     bit   51  50  49  48  ...  1   0
//           x25 y25 x24 y24 ...  x0  y0        x: longitude, y: latitude, in 2^26 steps over their range
//
// Each pair of bits halves the range of both coordinates, as on a map that is folded again and again. So the numbers that
// begin with the same pairs are the places of one rectangle, a cell, and a cell is a range of scores of a sorted set. A
// search covers its shape with few cells and looks at what has a score in their ranges. 52 bits are what a double holds
// exactly, so the number is the score. Source: G. M. Morton, "A Computer Oriented Geodetic Data Base" (1966); G. Niemeyer,
// geohash.org (2008).

/// A rectangle of the map.
struct GeoCell: Equatable {
    /// Columns and rows, counted from the south-west; the map has 2^``steps`` of each.
    let column: UInt32
    let row: UInt32
    let steps: Int

    static let mostSteps = 26

    init(column: UInt32, row: UInt32, steps: Int) {
        self.column = column
        self.row = row
        self.steps = steps
    }

    /// The cell in which a place lies.
    ///
    /// - Parameter latitudes: What the rows divide: 85 degrees for scores, 90 for what is written as text.
    init(_ point: GeoPoint, steps: Int, latitudes: ClosedRange<Double> = GeoPoint.latitudes) {
        column = Self.index(of: point.longitude, in: GeoPoint.longitudes, steps)
        row = Self.index(of: point.latitude, in: latitudes, steps)
        self.steps = steps
    }

    private static func index(of value: Double, in range: ClosedRange<Double>, _ steps: Int) -> UInt32 {
        let part = (value - range.lowerBound) / (range.upperBound - range.lowerBound)
        return UInt32(exactly: (part * Double(1 << steps)).rounded(.towardZero)) ?? 0
    }

    /// The cell of a score, whatever number that is.
    init(score: Double) {
        let bits =
            UInt64(exactly: score.rounded(.towardZero))
            ?? UInt64(bitPattern: Int64(exactly: score.rounded(.towardZero)) ?? .min)
        column = Self.evenBits(bits >> 1)
        row = Self.evenBits(bits)
        steps = Self.mostSteps
    }

    var bits: UInt64 { Self.spread(row) | Self.spread(column) << 1 }

    /// The score of the smallest cell.
    var score: Double { Double(bits) }

    /// The scores of the places in the cell, the upper one left out.
    var scores: (lower: Double, upper: Double) {
        let shift = UInt64(2 * (Self.mostSteps - steps))
        return (Double(bits << shift), Double((bits + 1) << shift))
    }

    /// The cell so many columns and rows away; the map is round in both directions.
    func moved(columns: Int, rows: Int) -> GeoCell {
        let mask = UInt32(truncatingIfNeeded: 1 << steps - 1)
        return GeoCell(
            column: (column &+ UInt32(truncatingIfNeeded: columns)) & mask,
            row: (row &+ UInt32(truncatingIfNeeded: rows)) & mask, steps: steps)
    }

    var west: Double { Self.edge(column, GeoPoint.longitudes, steps) }
    var east: Double { Self.edge(column &+ 1, GeoPoint.longitudes, steps) }
    var south: Double { Self.edge(row, GeoPoint.latitudes, steps) }
    var north: Double { Self.edge(row &+ 1, GeoPoint.latitudes, steps) }

    private static func edge(_ index: UInt32, _ range: ClosedRange<Double>, _ steps: Int) -> Double {
        range.lowerBound + Double(index) / Double(1 << steps) * (range.upperBound - range.lowerBound)
    }

    /// The middle, which stands for all of its places.
    var center: GeoPoint {
        func clamped(_ value: Double, _ range: ClosedRange<Double>) -> Double {
            min(max(value, range.lowerBound), range.upperBound)
        }
        return GeoPoint(
            longitude: clamped((west + east) / 2, GeoPoint.longitudes),
            latitude: clamped((south + north) / 2, GeoPoint.latitudes))
    }

    /// The place in eleven characters, as other services write it: the rows divide all of the latitudes there, so it is
    /// another cell, and of its last character two bits are missing, which are left out with the rest of it.
    static func text(of point: GeoPoint) -> String {
        let bits = GeoCell(point, steps: mostSteps, latitudes: -90...90).bits
        let alphabet: StaticString = "0123456789bcdefghjkmnpqrstuvwxyz"
        return String(unsafeUninitializedCapacity: 11) { text in
            for place in 0..<10 {
                text[place] = alphabet.utf8Start[Int(truncatingIfNeeded: bits >> UInt64(47 - 5 * place) & 31)]
            }
            text[10] = alphabet.utf8Start[0]
            return 11
        }
    }

    // MARK: - Bits

    /// Puts a zero before each bit.
    private static func spread(_ value: UInt32) -> UInt64 {
        var bits = UInt64(value)
        bits = (bits | bits << 16) & 0x0000_FFFF_0000_FFFF
        bits = (bits | bits << 8) & 0x00FF_00FF_00FF_00FF
        bits = (bits | bits << 4) & 0x0F0F_0F0F_0F0F_0F0F
        bits = (bits | bits << 2) & 0x3333_3333_3333_3333
        return (bits | bits << 1) & 0x5555_5555_5555_5555
    }

    /// Leaves out every other bit.
    private static func evenBits(_ value: UInt64) -> UInt32 {
        var bits = value & 0x5555_5555_5555_5555
        bits = (bits | bits >> 1) & 0x3333_3333_3333_3333
        bits = (bits | bits >> 2) & 0x0F0F_0F0F_0F0F_0F0F
        bits = (bits | bits >> 4) & 0x00FF_00FF_00FF_00FF
        bits = (bits | bits >> 8) & 0x0000_FFFF_0000_FFFF
        return UInt32(truncatingIfNeeded: bits | bits >> 16)
    }
}
