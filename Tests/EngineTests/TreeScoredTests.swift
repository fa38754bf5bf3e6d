import Testing

@testable import Engine

@Suite struct TreeScoredTests {
    /// Scores that tie often, that differ mostly, and the special ones among them.
    private func score(_ kind: Int, _ random: inout TreeGenerator) -> Double {
        switch random.below(20) {
        case 0: return [-Double.infinity, .infinity, 0.0, -0.0, .leastNonzeroMagnitude][random.below(5)]
        default: return kind == 0 ? Double(random.below(4) - 2) : Double.random(in: -1e9...1e9, using: &random)
        }
    }

    @Test(arguments: [0, 1], [UInt64(1), 2, 3])
    func agreesWithASortedArray(kind: Int, seed: UInt64) {
        let ground = TreeGround()
        var random = TreeGenerator(seed: seed)
        var tree = ScoredTree(TreeHandle(), source: ground.source)
        var model: [TreeMember] = []
        for step in 0..<4000 {
            let isGrowing = step / 1000 % 2 == 0
            if random.below(10) < (isGrowing ? 2 : 8), let entry = model.randomElement(using: &random) {
                #expect(tree.drop(entry) == true)
                #expect(tree.drop(entry) == false)
                model.remove(at: position(of: entry, in: model))
            } else {
                let entry = TreeMember(score: score(kind, &random), member: random.bytes(rarelyUpTo: 3000))
                let place = position(of: entry, in: model)
                let isNew = place == model.count || model[place] != entry
                #expect(tree.add(entry) == isNew)
                if isNew { model.insert(entry, at: place) }
            }
            if random.below(100) == 0, !model.isEmpty {
                let start = random.below(model.count)
                let range = start..<min(model.count, start + random.below(60))
                var removed: [TreeMember] = []
                tree.removeRanks(range) { removed.append(TreeMember(score: $0, member: Array($1))) }
                #expect(removed == Array(model[range]))
                model.removeSubrange(range)
            }
            #expect(tree.count == model.count)
            if step % 16 == 0 { #expect(tree.violations() == [], "seed \(seed), step \(step)") }
            if step % 10 == 0 { compareAtRandom(tree, model, &random) }
        }
        ground.drain()
        #expect(tree.handle.bytes == ground.chargedBytes)
        #expect(tree.contents == model)
        #expect(tree.range(from: model.count - 1, count: model.count, reversed: true) == model.reversed())
        ground.finish(tree.handle)
    }

    private func position(of entry: TreeMember, in model: [TreeMember]) -> Int {
        var (low, high) = (0, model.count)
        while low < high {
            let middle = (low + high) / 2
            if model[middle] < entry { low = middle + 1 } else { high = middle }
        }
        return low
    }

    private func compareAtRandom(_ tree: borrowing ScoredTree, _ model: [TreeMember], _ random: inout TreeGenerator) {
        let bound = score(random.below(2), &random)
        #expect(tree.count(below: bound, orEqual: false) == model.count { $0.score < bound })
        #expect(tree.count(below: bound, orEqual: true) == model.count { $0.score <= bound })
        guard !model.isEmpty else { return }
        let rank = random.below(model.count)
        #expect(tree.rank(model[rank]) == rank)
        #expect(tree.rank(TreeMember(score: model[rank].score, member: treeBytes("not there"))) == nil)
        let entry = tree.entry(at: rank)
        #expect(entry.score == model[rank].score && Array(entry.member) == model[rank].member)
        let end = min(model.count, rank + 20)
        #expect(tree.range(from: rank, count: 20) == Array(model[rank..<end]))
        let start = max(0, rank - 19)
        #expect(tree.range(from: rank, count: 20, reversed: true) == model[start...rank].reversed())
    }

    @Test func negativeZeroIsZeroAndInfinitiesAreTheEnds() {
        let ground = TreeGround()
        var tree = ScoredTree(TreeHandle(), source: ground.source)
        #expect(tree.add(TreeMember(score: -0.0, member: treeBytes("b"))) == true)
        #expect(tree.add(TreeMember(score: 0.0, member: treeBytes("b"))) == false)
        #expect(tree.add(TreeMember(score: 0.0, member: treeBytes("a"))) == true)
        #expect(tree.add(TreeMember(score: .infinity, member: treeBytes("y"))) == true)
        #expect(tree.add(TreeMember(score: -.infinity, member: treeBytes("z"))) == true)
        #expect(tree.add(TreeMember(score: -.leastNonzeroMagnitude, member: treeBytes("x"))) == true)
        #expect(tree.contents.map { String(decoding: $0.member, as: UTF8.self) } == ["z", "x", "a", "b", "y"])
        #expect(tree.contents[2].score.sign == .plus)
        #expect(tree.count(below: -0.0, orEqual: false) == 2)
        #expect(tree.count(below: -0.0, orEqual: true) == 4)
        #expect(tree.count(below: .infinity, orEqual: true) == 5)
        #expect(tree.count(below: -.infinity, orEqual: false) == 0)
        #expect(tree.drop(TreeMember(score: 0.0, member: treeBytes("b"))) == true)
        ground.finish(tree.handle)
    }

    @Test func equalScoresAreOrderedByMemberAndCountedByMember() {
        let ground = TreeGround()
        var random = TreeGenerator(seed: 5)
        var tree = ScoredTree(TreeHandle(), source: ground.source)
        var members = (0..<3000).map { treeBytes("member:\($0)") }
        members.append([])
        members.append(treeBytes("member"))
        for member in members.shuffled(using: &random) {
            #expect(tree.add(TreeMember(score: 1.5, member: member)) == true)
        }
        members.sort { $0.lexicographicallyPrecedes($1) }
        #expect(tree.contents.map(\.member) == members)
        for _ in 0..<300 {
            let bound = treeBytes("member:\(random.below(4000))").dropLast(random.below(3))
            let below = members.count { $0.lexicographicallyPrecedes(bound) }
            let isThere = members.contains(Array(bound))
            bound.withUnsafeBytes {
                #expect(tree.countLexicographically(below: $0, orEqual: false) == below)
                #expect(tree.countLexicographically(below: $0, orEqual: true) == below + (isThere ? 1 : 0))
            }
        }
        #expect(tree.violations() == [])
        ground.finish(tree.handle)
    }

    @Test func scoresKeepTheirOrderAsIntegers() {
        let scores: [Double] = [
            -.infinity, -.greatestFiniteMagnitude, -1.5, -1, -.leastNormalMagnitude, -.leastNonzeroMagnitude, 0,
            .leastNonzeroMagnitude, .leastNormalMagnitude, 1, 1.5, .greatestFiniteMagnitude, .infinity,
        ]
        let prefixes = scores.map { ScoreOrder.prefix(of: $0) }
        #expect(prefixes == prefixes.sorted())
        #expect(Set(prefixes).count == scores.count)
        #expect(prefixes.map { ScoreOrder.score(of: $0) } == scores)
        #expect(ScoreOrder.prefix(of: -0.0) == ScoreOrder.prefix(of: 0.0))
    }

    @Test(arguments: [false, true])
    func monotonousScoresFillTheirPages(isDescending: Bool) {
        let ground = TreeGround()
        var tree = ScoredTree(TreeHandle(), source: ground.source)
        for number in 0..<20_000 {
            let score = Double(isDescending ? -number : number)
            _ = tree.add(TreeMember(score: score, member: treeBytes("a member of 16 b")))
        }
        #expect(tree.violations() == [])
        // A slot of 10 bytes, a length and 16 bytes each.
        #expect(Double(20_000 * 27) / Double(tree.handle.bytes) > 0.96)
        #expect(tree.handle.bytes == ground.chargedBytes)
        ground.finish(tree.handle)
    }
}
