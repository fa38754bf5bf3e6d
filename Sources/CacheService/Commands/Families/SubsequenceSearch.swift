import Tenancy

// The longest common subsequence of two strings, by the table of Wagner and Fischer.
//
// Row i, column j holds how long the longest one is of the first i bytes of `a` and the first j of `b`. Only the row that
// is being made is kept; what the way back needs to know of a cell whose bytes differ is one bit: whether the cell above
// is greater than the one to the left.
//
//              b  o  h  m  y        equal bytes:  the cell above left, plus one
//           a  .  .  .  .  .        else:         the greater of above and left
//           m  .  .  .  1  .
//           y  .  .  .  .  2        way back: from the last cell, up, left, or over a pair of equal bytes
//
// Cost: time |a| x |b|, a bit of memory for each cell, in turns of some hundred thousand cells.

/// The search for one, a piece in each turn.
struct SubsequenceSearch {
    private let a: [UInt8]
    private let b: [UInt8]
    /// Nil where only the length is asked for.
    private var isUp: [UInt64]?
    private var row: [UInt32]
    private(set) var length = 0

    // Where the making of the table is.
    private var line = 0
    private var column = 0
    /// The cell above left of the one at ``column``, and the one to its left.
    private var aboveLeft: UInt32 = 0
    private var left: UInt32 = 0

    // Where the way back is: behind the bytes that come next.
    private var placeInA: Int
    private var placeInB: Int
    /// The bytes in common, the last one first.
    private var found: [UInt8] = []
    private(set) var matches: [Match] = []
    private var open: Match?

    /// A run of bytes that are equal in both.
    struct Match {
        var a: ClosedRange<Int>
        var b: ClosedRange<Int>
    }

    /// - Parameter onlyLength: Nothing but ``length`` is wanted.
    init(_ a: [UInt8], _ b: [UInt8], onlyLength: Bool) {
        self.a = a
        self.b = b
        row = Array(repeating: 0, count: b.count + 1)
        isUp = onlyLength ? nil : Array(repeating: 0, count: (a.count * b.count + 63) / 64)
        placeInA = a.count
        placeInB = b.count
    }

    /// What both have in common.
    var bytes: [UInt8] { found.reversed() }

    /// Does some of it.
    ///
    /// - Parameter cells: So many of the table, or steps back.
    /// - Returns: Whether it is done.
    mutating func advance(cells: Int) -> Bool {
        var left = cells
        while line < a.count {
            guard left > 0 else { return false }
            fillLine(&left)
        }
        length = Int(row[b.count])
        guard isUp != nil else { return true }
        while placeInA > 0, placeInB > 0 {
            guard left > 0 else { return false }
            left -= 1
            goBack()
        }
        return true
    }

    /// Goes on with the line that is being made, for so many cells at most.
    private mutating func fillLine(_ budget: inout Int) {
        let byte = a[line]
        let end = min(b.count, column + budget)
        budget -= max(1, end - column)
        var cell = line * b.count + column
        for place in column..<end {
            let above = row[place + 1]
            var value = max(above, left)
            if byte == b[place] {
                value = aboveLeft + 1
            } else if above > left {
                isUp?[cell / 64] |= 1 &<< UInt64(cell % 64)
            }
            row[place + 1] = value
            left = value
            aboveLeft = above
            cell += 1
        }
        column = end
        guard column == b.count else { return }
        line += 1
        (column, aboveLeft, left) = (0, 0, 0)
    }

    private mutating func goBack() {
        if a[placeInA - 1] == b[placeInB - 1] {
            placeInA -= 1
            placeInB -= 1
            found.append(a[placeInA])
            let start = open ?? Match(a: placeInA...placeInA, b: placeInB...placeInB)
            open = Match(a: placeInA...start.a.upperBound, b: placeInB...start.b.upperBound)
            if placeInA == 0 || placeInB == 0 { close() }
            return
        }
        let cell = (placeInA - 1) * b.count + placeInB - 1
        if let isUp, isUp[cell / 64] &>> UInt64(cell % 64) & 1 != 0 { placeInA -= 1 } else { placeInB -= 1 }
        close()
    }

    private mutating func close() {
        if let open { matches.append(open) }
        open = nil
    }
}
