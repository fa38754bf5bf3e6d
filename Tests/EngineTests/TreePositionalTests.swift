import Testing

@testable import Engine

@Suite struct TreePositionalTests {
    @Test(arguments: [UInt64(1), 2, 3, 4])
    func agreesWithAnArray(seed: UInt64) {
        let ground = TreeGround()
        var random = TreeGenerator(seed: seed)
        var tree = PositionalTree(TreeHandle(), source: ground.source)
        var model: [[UInt8]] = []
        for step in 0..<4000 {
            let isGrowing = step / 1000 % 2 == 0
            switch random.below(20) {
            case 0..<(isGrowing ? 12 : 4):
                let element = random.bytes()
                let position = [0, model.count, random.below(model.count + 1)][random.below(3)]
                tree.put(element, at: position)
                model.insert(element, at: position)
            case 12..<15 where !model.isEmpty:
                let position = random.below(model.count)
                let element = random.bytes()
                tree.put(element, inPlaceOf: position)
                model[position] = element
            case 15 where step % 5 == 0 && !model.isEmpty:
                let start = random.below(model.count)
                let range = start..<min(model.count, start + random.below(random.below(2) == 0 ? 10 : 600))
                tree.removeSubrange(range)
                model.removeSubrange(range)
                #expect(tree.violations() == [], "seed \(seed), step \(step), cut \(range)")
            default:
                guard !model.isEmpty else { continue }
                let position = [0, model.count - 1, random.below(model.count)][random.below(3)]
                tree.remove(at: position)
                model.remove(at: position)
            }
            #expect(tree.count == model.count)
            if step % 16 == 0 { #expect(tree.violations() == [], "seed \(seed), step \(step)") }
            if let position = model.indices.randomElement(using: &random) {
                #expect(Array(tree.element(at: position)) == model[position])
            }
        }
        ground.drain()
        #expect(tree.handle.bytes == ground.chargedBytes)
        #expect(tree.contents == model)
        for _ in 0..<50 where !model.isEmpty {
            let position = random.below(model.count)
            let end = min(model.count, position + 30)
            #expect(tree.range(from: position, count: 30) == Array(model[position..<end]))
            let start = max(0, position - 29)
            #expect(tree.range(from: position, count: 30, reversed: true) == model[start...position].reversed())
        }
        tree.removeSubrange(0..<tree.count)
        #expect(tree.handle == TreeHandle())
        ground.drain(budget: 3)
        #expect(ground.chargedBytes == 0)
    }

    @Test(arguments: [false, true])
    func pushingAtOneEndFillsPages(isAtFront: Bool) {
        let ground = TreeGround()
        var tree = PositionalTree(TreeHandle(), source: ground.source)
        for _ in 0..<50_000 { tree.put(treeBytes("element of 19 bytes"), at: isAtFront ? 0 : tree.count) }
        #expect(tree.violations() == [])
        #expect(Double(50_000 * 22) / Double(tree.handle.bytes) > 0.97)
        ground.finish(tree.handle)
    }

    @Test(arguments: [false, true])
    func aQueueHoldsNoMoreThanItsElements(isReversed: Bool) {
        let ground = TreeGround()
        var tree = PositionalTree(TreeHandle(), source: ground.source)
        for number in 0..<30_000 {
            tree.put(treeBytes("\(number)"), at: isReversed ? 0 : tree.count)
            guard tree.count > 1000 else { continue }
            #expect(Array(tree.element(at: isReversed ? 1000 : 0)) == treeBytes("\(number - 1000)"))
            tree.remove(at: isReversed ? 1000 : 0)
            #expect(tree.handle.bytes <= 7 * 4096)
        }
        #expect(tree.violations() == [])
        ground.finish(tree.handle)
    }

    /// The cut goes through the middle of a tree of three levels, so that pages of all levels are thin at the seam.
    @Test(arguments: [0..<5, 0..<39_999, 1..<40_000, 20_000..<20_001, 4000..<36_000, 100..<39_900, 39_999..<40_000])
    func aCutLeavesTheRestInOrderAndWellFilled(range: Range<Int>) {
        let ground = TreeGround()
        var random = TreeGenerator(seed: 77)
        var tree = PositionalTree(TreeHandle(), source: ground.source)
        var model: [[UInt8]] = []
        for number in 0..<40_000 {
            let element = [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: 60 + random.below(200))
            tree.put(element, at: tree.count)
            model.append(element)
        }
        let before = tree.handle.bytes
        tree.removeSubrange(range)
        model.removeSubrange(range)
        #expect(tree.contents == model)
        #expect(tree.violations() == [])
        #expect(tree.handle.bytes <= before)
        ground.drain(budget: 10)
        #expect(tree.handle.bytes == ground.chargedBytes)
        ground.finish(tree.handle)
    }

    @Test func positionsOutsideOfTheListDoNothing() {
        let ground = TreeGround()
        var tree = PositionalTree(TreeHandle(), source: ground.source)
        tree.remove(at: 0)
        tree.put(treeBytes("x"), inPlaceOf: 0)
        tree.removeSubrange(0..<10)
        #expect(tree.handle == TreeHandle())
        tree.put(treeBytes("a"), at: 5)
        tree.put(treeBytes("b"), at: -1)
        tree.remove(at: 2)
        tree.removeSubrange(2..<10)
        #expect(tree.contents == [treeBytes("b"), treeBytes("a")])
        #expect(tree.range(from: 2, count: 1) == [])
        #expect(tree.range(from: -1, count: 1) == [])
        ground.finish(tree.handle)
    }

    @Test func elementsOfAllSizesAroundThePagesLimitReplaceEachOther() {
        let ground = TreeGround()
        var random = TreeGenerator(seed: 9)
        var tree = PositionalTree(TreeHandle(), source: ground.source)
        var model: [[UInt8]] = []
        let sizes = [
            0, 1, 7, 8, 9, 126, 127, 128, 129, 500, 996, 997, 998, 999, 1000, 1001, 1008, 1009, 4080, 4081, 70_000,
        ]
        for _ in 0..<200 {
            let element = [UInt8](repeating: 1, count: sizes[random.below(sizes.count)])
            tree.put(element, at: tree.count)
            model.append(element)
        }
        for step in 0..<3000 {
            let position = random.below(model.count)
            let element = [UInt8](repeating: UInt8(truncatingIfNeeded: step), count: sizes[random.below(sizes.count)])
            tree.put(element, inPlaceOf: position)
            model[position] = element
            if step % 20 == 0 { #expect(tree.violations() == [], "step \(step)") }
            #expect(tree.handle.bytes == ground.chargedBytes)
        }
        #expect(tree.contents == model)
        ground.finish(tree.handle)
    }
}
