import Testing

@testable import Engine

@Suite struct TreeHashedTests {
    private let hashKey = SipHashKey(k0: 3, k1: 4)

    /// Random keys, values and removals against a dictionary; sizes swing between empty and some thousand.
    @Test(arguments: [UInt64.max, 0xff, 0x3], [UInt64(1), 2, 3])
    func agreesWithADictionary(hashMask: UInt64, seed: UInt64) {
        let ground = TreeGround()
        var random = TreeGenerator(seed: seed)
        var tree = HashedTree(TreeHandle(), source: ground.source, hashKey: hashKey, hashMask: hashMask)
        var model: [[UInt8]: [UInt8]] = [:]
        var keys: [[UInt8]] = []
        for step in 0..<4000 {
            let isGrowing = step / 1000 % 2 == 0
            let isRemoval = random.below(10) < (isGrowing ? 2 : 8)
            if isRemoval, let index = keys.indices.randomElement(using: &random) {
                keys.swapAt(index, keys.count - 1)
                let key = keys.removeLast()
                #expect(tree.drop(key) == true)
                model[key] = nil
                #expect(tree.drop(key) == false)
            } else if random.below(4) == 0, let key = keys.randomElement(using: &random) {
                let value = random.bytes()
                #expect(tree.put(key, value) == false)
                model[key] = value
                #expect(tree.value(key) == value)
            } else {
                let (key, value) = (random.bytes(), random.bytes())
                let isNew = model.updateValue(value, forKey: key) == nil
                #expect(tree.put(key, value) == isNew)
                if isNew { keys.append(key) }
            }
            #expect(tree.count == model.count)
            #expect(tree.handle.bytes == ground.chargedBytes)
            if step % 16 == 0 || model.count < 20 { #expect(tree.violations() == [], "seed \(seed), step \(step)") }
        }
        #expect(tree.contents == model)
        for (key, value) in model { #expect(tree.value(key) == value) }
        for rank in 0..<tree.count {
            let (key, value) = tree.entry(at: rank)
            #expect(model[Array(key)] == Array(value))
        }
        for key in keys { #expect(tree.drop(key) == true) }
        #expect(tree.handle == TreeHandle())
        #expect(ground.chargedBytes == 0)
    }

    @Test func anEmptyTreeOwnsNothingAndHasNothing() {
        let ground = TreeGround()
        var tree = HashedTree(TreeHandle(), source: ground.source, hashKey: hashKey)
        #expect(tree.value(treeBytes("a")) == nil)
        #expect(tree.drop(treeBytes("a")) == false)
        #expect(tree.visit(from: 0, limit: 10) { _, _ in } == 0)
        #expect(tree.snapshot().count == 0)
        #expect(tree.put([], []) == true)
        #expect(tree.value([]) == [])
        #expect(tree.handle.bytes == 1024)
        #expect(tree.drop([]) == true)
        #expect(tree.handle == TreeHandle())
        #expect(ground.chargedBytes == 0)
    }

    @Test(arguments: [UInt64.max, 0x3f], [1, 7, 100])
    func aScanSeesEachLastingEntryOnceWhileOthersComeAndGo(hashMask: UInt64, limit: Int) {
        let ground = TreeGround()
        var random = TreeGenerator(seed: 11)
        var tree = HashedTree(TreeHandle(), source: ground.source, hashKey: hashKey, hashMask: hashMask)
        for number in 0..<2000 { _ = tree.put(treeBytes("lasting \(number)"), []) }
        for number in 0..<1000 { _ = tree.put(treeBytes("passing \(number)"), []) }
        var seen: [[UInt8]: Int] = [:]
        var cursor: UInt64 = 0
        var calls = 0
        repeat {
            var visited = 0
            cursor = tree.visit(from: cursor, limit: limit) { key, _ in
                seen[Array(key), default: 0] += 1
                visited += 1
            }
            #expect(cursor == 0 || visited >= limit)
            #expect(hashMask != .max || visited <= limit)
            calls += 1
            for _ in 0..<3 {
                let key = treeBytes("passing \(random.below(1000))")
                if !tree.drop(key) { _ = tree.put(key, []) }
            }
        } while cursor != 0
        for number in 0..<2000 { #expect(seen[treeBytes("lasting \(number)")] == 1) }
        #expect(calls > 1)
        ground.finish(tree.handle)
    }

    @Test func valuesOfSeveralMebibytesAreKeptAndReplaced() {
        let ground = TreeGround()
        var tree = HashedTree(TreeHandle(), source: ground.source, hashKey: hashKey)
        for number in 0..<300 { _ = tree.put(treeBytes("small \(number)"), treeBytes("\(number)")) }
        let small = ground.chargedBytes
        let large = [UInt8](repeating: 7, count: 3 << 20)
        #expect(tree.put(treeBytes("large"), large) == true)
        #expect(tree.value(treeBytes("large")) == large)
        #expect(tree.handle.bytes == small + PageSource.charge(byteCount: 16 + 5 + large.count))
        #expect(tree.put(treeBytes("large"), Array(large.dropLast())) == false)
        #expect(tree.value(treeBytes("large"))?.count == large.count - 1)
        let longKey = [UInt8](repeating: 1, count: 200_000)
        #expect(tree.put(longKey, large) == true)
        #expect(tree.put(longKey + [0], []) == true)
        #expect(tree.value(longKey) == large)
        #expect(tree.violations() == [])
        #expect(tree.put(treeBytes("large"), []) == false)
        #expect(tree.drop(longKey) == true)
        #expect(tree.drop(longKey + [0]) == true)
        #expect(tree.drop(treeBytes("large")) == true)
        #expect(tree.handle.bytes == small)
        #expect(ground.chargedBytes == small)
        ground.finish(tree.handle)
    }

    @Test func aLoopOverEntriesEndsWhereTheBodySaysSo() {
        let ground = TreeGround()
        var tree = HashedTree(TreeHandle(), source: ground.source, hashKey: hashKey)
        for number in 0..<500 { _ = tree.put(treeBytes("\(number)"), []) }
        var visited = 0
        tree.forEach { _, _ in
            visited += 1
            return visited < 321
        }
        #expect(visited == 321)
        ground.finish(tree.handle)
    }
}
