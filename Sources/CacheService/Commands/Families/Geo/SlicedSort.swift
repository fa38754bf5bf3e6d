/// A stable merge sort that goes on a bounded piece at a time.
///
///     runs of 256 are sorted where they lie     a c | b d | e g | f h
///     then neighbours are merged, again         a b c d   | e f g h
///     and again, until there is one             a b c d e f g h
///
/// Cost: n log n comparisons, and twice the memory.
struct SlicedSort<Element> {
    private static var run: Int { 256 }

    /// In order when ``step(budget:by:)`` has returned true.
    private(set) var elements: [Element]
    private var merged: [Element] = []
    /// How long the runs are that are in order; 0: none is yet.
    private var width = 0
    /// Sorting runs: where the next begins. Merging: where the two begin that are being merged, and how many of each are.
    private var start = 0
    private var taken = (0, 0)

    init(_ elements: [Element]) {
        self.elements = elements
    }

    /// Goes on by about `budget` elements, at least one run.
    ///
    /// - Returns: Whether all are in order.
    mutating func step(budget: Int, by precedes: (Element, Element) -> Bool) -> Bool {
        var budget = budget
        if width == 0 {
            while start < elements.count, budget > 0 {
                let end = min(start + Self.run, elements.count)
                elements[start..<end].sort(by: precedes)
                budget -= end - start
                start = end
            }
            guard start == elements.count else { return false }
            (width, start) = (Self.run, 0)
        }
        while width < elements.count {
            if merged.isEmpty { merged.reserveCapacity(elements.count) }
            while start < elements.count {
                guard budget > 0 else { return false }
                merge(&budget, precedes)
            }
            swap(&elements, &merged)
            merged.removeAll(keepingCapacity: true)
            width *= 2
            start = 0
        }
        return true
    }

    /// Merges a piece of the two runs from `start` on.
    private mutating func merge(_ budget: inout Int, _ precedes: (Element, Element) -> Bool) {
        let middle = min(start + width, elements.count)
        let end = min(middle + width, elements.count)
        var (left, right) = (start + taken.0, middle + taken.1)
        while budget > 0, left < middle || right < end {
            if left < middle, right == end || !precedes(elements[right], elements[left]) {
                merged.append(elements[left])
                left += 1
            } else {
                merged.append(elements[right])
                right += 1
            }
            budget -= 1
        }
        taken = (left - start, right - middle)
        guard left == middle, right == end else { return }
        start = end
        taken = (0, 0)
    }
}
