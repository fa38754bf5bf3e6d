import Testing

@testable import Engine

/// Entries so large that four or five fill a page: with a few thousand of them inner pages are split, merged and
/// borrow from each other too.
@Suite struct TreeLevelTests {
    private static let most = 2500

    /// Says what to do next, so that the tree grows to its most, shrinks to nearly nothing, and grows again.
    private struct Tide {
        private var isRising = true

        mutating func adds(count: Int, _ random: inout TreeGenerator) -> Bool {
            if count >= most { isRising = false }
            if count <= 5 { isRising = true }
            return random.below(10) < (isRising ? 9 : 1)
        }
    }

    /// A number, which alone tells elements apart, and much else.
    private func element(_ number: Int, _ random: inout TreeGenerator) -> [UInt8] {
        treeBytes("\(number):") + [UInt8](repeating: 0x78, count: 600 + random.below(380))
    }

    @Test(arguments: [UInt64(1), 2])
    func aListAgreesWithAnArray(seed: UInt64) {
        let ground = TreeGround()
        var random = TreeGenerator(seed: seed)
        var tide = Tide()
        var tree = PositionalTree(TreeHandle(), source: ground.source)
        var model: [[UInt8]] = []
        var levels: UInt8 = 0
        for step in 0..<8000 {
            // Some elements go into one region, so that pages of one part fill and empty in a row.
            let region = random.below(4) == 0 ? model.count / 3 : random.below(model.count + 1)
            if tide.adds(count: model.count, &random) {
                let element = element(step, &random)
                tree.put(element, at: region)
                model.insert(element, at: region)
            } else if !model.isEmpty {
                let position = min(region, model.count - 1)
                if random.below(400) == 0 {
                    let range = position..<min(model.count, position + random.below(300))
                    tree.removeSubrange(range)
                    model.removeSubrange(range)
                } else {
                    tree.remove(at: position)
                    model.remove(at: position)
                }
            }
            levels = max(levels, tree.root?.header.pointee.level ?? 0)
            #expect(tree.count == model.count)
            if step % 50 == 0 { #expect(tree.violations() == [], "seed \(seed), step \(step)") }
            if step % 1000 == 0 { #expect(tree.contents == model, "seed \(seed), step \(step)") }
        }
        #expect(levels == 2)
        #expect(tree.contents == model)
        ground.drain()
        #expect(tree.handle.bytes == ground.chargedBytes)
        ground.finish(tree.handle)
    }

    /// Scores fall towards the end, so that the first page of the whole tree gets new first entries.
    @Test(arguments: [UInt64(3), 4])
    func aSortedSetAgreesWithASortedArray(seed: UInt64) {
        let ground = TreeGround()
        var random = TreeGenerator(seed: seed)
        var tide = Tide()
        var tree = ScoredTree(TreeHandle(), source: ground.source)
        var model: [TreeMember] = []
        var levels: UInt8 = 0
        for step in 0..<8000 {
            if tide.adds(count: model.count, &random) {
                let score = random.below(5) == 0 ? Double(-step) : Double(random.below(50))
                let entry = TreeMember(score: score, member: element(step, &random))
                #expect(tree.add(entry) == true)
                model.insert(entry, at: model.firstIndex { entry < $0 } ?? model.count)
            } else if !model.isEmpty {
                let index = random.below(model.count)
                #expect(tree.drop(model[index]) == true)
                model.remove(at: index)
            }
            levels = max(levels, tree.root?.header.pointee.level ?? 0)
            if step % 50 == 0 { #expect(tree.violations() == [], "seed \(seed), step \(step)") }
            if let rank = model.indices.randomElement(using: &random) { #expect(tree.rank(model[rank]) == rank) }
        }
        #expect(levels == 2)
        #expect(tree.contents == model)
        ground.finish(tree.handle)
    }

    @Test(arguments: [UInt64(5), 6])
    func aDictionaryAgreesWithADictionaryAndItsSnapshots(seed: UInt64) {
        let ground = TreeGround()
        var random = TreeGenerator(seed: seed)
        var tide = Tide()
        var tree = HashedTree(TreeHandle(), source: ground.source, hashKey: SipHashKey(k0: seed, k1: 9))
        var model: [[UInt8]: [UInt8]] = [:]
        var keys: [[UInt8]] = []
        var taken: [(HashedSnapshot, [[UInt8]: [UInt8]])] = []
        var levels: UInt8 = 0
        for step in 0..<8000 {
            if tide.adds(count: keys.count, &random) {
                let (key, value) = (treeBytes("\(step)"), element(step, &random))
                #expect(tree.put(key, value) == true)
                model[key] = value
                keys.append(key)
            } else if !keys.isEmpty {
                keys.swapAt(random.below(keys.count), keys.count - 1)
                let key = keys.removeLast()
                #expect(tree.drop(key) == true)
                model[key] = nil
            }
            levels = max(levels, tree.root?.header.pointee.level ?? 0)
            if step % 400 == 0 { taken.append((tree.snapshot(), model)) }
            if step % 900 == 0, let (snapshot, then) = taken.popLast() { #expect(snapshot.contents == then) }
            if step % 50 == 0 { #expect(tree.violations() == [], "seed \(seed), step \(step)") }
        }
        #expect(levels == 2)
        #expect(tree.contents == model)
        for (snapshot, then) in taken { #expect(snapshot.contents == then) }
        taken.removeAll()
        ground.finish(tree.handle)
    }

    /// The pages next to the emptied region stay full, so that inner pages cannot be merged and must borrow.
    @Test(arguments: [700, 1400, 2100])
    func emptyingOneRegionOfFullPagesKeepsInnerPagesFilled(position: Int) {
        let ground = TreeGround()
        var random = TreeGenerator(seed: 7)
        var tree = PositionalTree(TreeHandle(), source: ground.source)
        var model: [[UInt8]] = []
        for number in 0..<3400 {
            model.append(treeBytes("\(number):") + [UInt8](repeating: 0x78, count: 960))
            tree.put(model[number], at: number)
        }
        #expect(tree.root?.header.pointee.level == 2)
        while model.count > position {
            let place = position - random.below(40)
            tree.remove(at: place)
            model.remove(at: place)
            if model.count % 10 == 0 { #expect(tree.violations() == [], "\(model.count) left") }
        }
        #expect(tree.contents == model)
        ground.finish(tree.handle)
    }
}
