import Tenancy

extension ItemAccess {
    /// Hands out random elements (ZRANDMEMBER): `count` different ones, or all if there are fewer; if it is negative,
    /// `-count` that may repeat.
    ///
    /// - Returns: false if there is no sorted set.
    ///
    /// Cost: a few of many, O(log n) each; many, one walk. With repetition O(log n) each.
    package func sampleSortedSet(
        count: Int, using generator: inout some RandomNumberGenerator, _ body: (Double, UnsafeRawBufferPointer) -> Void
    ) throws(MartletError) -> Bool {
        guard let size = try sortedSetCount() else { return false }
        guard count != 0, size > 0 else { return true }
        if count >= size {
            try visitSortedSet(0..<size) { score, member in
                body(score, member)
                return true
            }
        } else if count > size / 4 {
            try sampleWalking(count, of: size, using: &generator, body)
        } else if count > 0 {
            // Floyd: the set of ranks grows by one in each step, whatever is drawn.
            var ranks: Set<Int> = []
            for last in size - count..<size {
                let rank = Int.random(in: 0...last, using: &generator)
                ranks.insert(ranks.contains(rank) ? last : rank)
            }
            try visitRanks(ranks.sorted(), body)
        } else {
            var left = count == .min ? Int.max : -count
            // A bounded number at a time, so that a huge count costs time and no memory.
            while left > 0 {
                let drawn = min(left, 1024)
                left -= drawn
                try visitRanks((0..<drawn).map { _ in Int.random(in: 0..<size, using: &generator) }, body)
            }
        }
        return true
    }

    /// Knuth's algorithm S: each element is taken with the chance that is left for it.
    private func sampleWalking(
        _ count: Int, of size: Int, using generator: inout some RandomNumberGenerator,
        _ body: (Double, UnsafeRawBufferPointer) -> Void
    ) throws(MartletError) {
        var wanted = count
        var left = size
        try visitSortedSet(0..<size) { score, member in
            if Int.random(in: 0..<left, using: &generator) < wanted {
                body(score, member)
                wanted -= 1
            }
            left -= 1
            return wanted > 0
        }
    }

    private func visitRanks(
        _ ranks: [Int], _ body: (Double, UnsafeRawBufferPointer) -> Void
    ) throws(MartletError) {
        if isLarge {
            let scored = ScoredTree(trees.1, source: source)
            for rank in ranks {
                scored.visit(from: rank, count: 1, reversed: false) { score, member in
                    body(score, member)
                    return false
                }
            }
            return
        }
        _ = try withValue { (bytes) throws(MartletError) in
            let offsets = try PackedSortedSet(bytes).offsets()
            for rank in ranks where rank < offsets.count {
                var reader = PackedSortedSet.EntryReader(bytes, at: offsets[rank])
                let entry = try reader.next()
                body(entry.score, entry.member)
            }
        }
    }
}
