import Dispatch
import Foundation
import Synchronization
import Testing

@testable import Engine

@Suite struct TreeSnapshotTests {
    private let hashKey = SipHashKey(k0: 5, k1: 6)

    /// Snapshots of all three orders are taken and dropped at random moments of random changes; each must show what the
    /// model was then, and in the end every block must be back.
    @Test(arguments: [UInt64(1), 2, 3])
    func snapshotsShowWhatWasWhileTheListChanges(seed: UInt64) {
        let ground = TreeGround()
        var random = TreeGenerator(seed: seed)
        var tree = PositionalTree(TreeHandle(), source: ground.source)
        var model: [[UInt8]] = []
        var taken: [(PositionalSnapshot, [[UInt8]])] = []
        for step in 0..<3000 {
            switch random.below(12) {
            case 0..<7:
                let position = random.below(model.count + 1)
                let element = random.bytes()
                tree.put(element, at: position)
                model.insert(element, at: position)
            case 7..<9 where !model.isEmpty:
                let position = random.below(model.count)
                let element = random.bytes()
                tree.put(element, inPlaceOf: position)
                model[position] = element
            case 9 where random.below(20) == 0 && !model.isEmpty:
                let start = random.below(model.count)
                let range = start..<min(model.count, start + random.below(400))
                tree.removeSubrange(range)
                model.removeSubrange(range)
            default:
                guard !model.isEmpty else { continue }
                let position = random.below(model.count)
                tree.remove(at: position)
                model.remove(at: position)
            }
            if random.below(30) == 0 { taken.append((tree.snapshot(), model)) }
            if random.below(40) == 0, let index = taken.indices.randomElement(using: &random) {
                #expect(taken[index].0.contents == taken[index].1, "seed \(seed), step \(step)")
                #expect(taken[index].0.violations() == [])
                taken.remove(at: index)
            }
            if random.below(50) == 0 { ground.drain(budget: 7) }
            if step % 32 == 0 { #expect(tree.violations() == [], "seed \(seed), step \(step)") }
        }
        #expect(!taken.isEmpty)
        for (snapshot, model) in taken { #expect(snapshot.contents == model) }
        taken.removeAll()
        ground.drain()
        #expect(tree.contents == model)
        #expect(tree.handle.bytes == ground.chargedBytes)
        var handle = tree.handle
        ground.dismantle(&handle, budget: 2)
        #expect(ground.chargedBytes == 0)
    }

    @Test func snapshotsOfDictionariesAndScoresShowWhatWas() {
        let ground = TreeGround()
        var random = TreeGenerator(seed: 21)
        var hashed = HashedTree(TreeHandle(), source: ground.source, hashKey: hashKey)
        var scored = ScoredTree(TreeHandle(), source: ground.source)
        var model: [[UInt8]: [UInt8]] = [:]
        var sorted: Set<TreeMember> = []
        var taken: [(HashedSnapshot, [[UInt8]: [UInt8]], ScoredSnapshot, [TreeMember])] = []
        for _ in 0..<3000 {
            let (key, value) = (treeBytes("\(random.below(1500))"), random.bytes())
            if random.below(3) == 0 {
                _ = hashed.drop(key)
                model[key] = nil
            } else {
                _ = hashed.put(key, value)
                model[key] = value
            }
            let entry = TreeMember(score: Double(random.below(10)), member: treeBytes("\(random.below(200))"))
            if random.below(3) == 0 {
                _ = scored.drop(entry)
                sorted.remove(entry)
            } else {
                _ = scored.add(entry)
                sorted.insert(entry)
            }
            if random.below(60) == 0 { taken.append((hashed.snapshot(), model, scored.snapshot(), sorted.sorted())) }
        }
        for (hashedThen, modelThen, scoredThen, sortedThen) in taken {
            #expect(hashedThen.contents == modelThen)
            #expect(scoredThen.contents == sortedThen)
            #expect(hashedThen.violations() == [] && scoredThen.violations() == [])
        }
        taken.removeAll()
        var handles = (hashed.handle, scored.handle)
        ground.dismantle(&handles.0, budget: 5)
        ground.dismantle(&handles.1, budget: 5)
        ground.drain(budget: 5)
        #expect(ground.chargedBytes == 0)
    }

    /// One thread changes the tree and lends snapshots; two others read them meanwhile, and drop them while the first
    /// copies pages that they share. Every version is uniform: each member's score is the version's number.
    @Test func snapshotsAreReadWithoutALockWhileTheTreeIsChanged() {
        let ground = TreeGround()
        let lent = TreeTestLock<(snapshots: [(HashedSnapshot, UInt8)], isOver: Bool)>(([], false))
        let group = DispatchGroup()
        let bad = Atomic<Int>(0)
        let read = Atomic<Int>(0)
        for _ in 0..<2 {
            group.enter()
            Thread.detachNewThread {
                while true {
                    let (next, isOver) = lent.withLock { ($0.snapshots.popLast(), $0.isOver) }
                    guard let (snapshot, version) = next else {
                        if isOver { break }
                        sched_yield()
                        continue
                    }
                    var count = 0
                    snapshot.forEach { _, value in
                        count += 1
                        return value.allSatisfy { $0 == version }
                    }
                    if count != snapshot.count { bad.wrappingAdd(1, ordering: .relaxed) }
                    read.wrappingAdd(1, ordering: .relaxed)
                }
                group.leave()
            }
        }
        var tree = HashedTree(TreeHandle(), source: ground.source, hashKey: hashKey)
        var random = TreeGenerator(seed: 31)
        for version in UInt8(0)..<100 {
            let dropped = random.below(800)
            for number in 0..<800 where number != dropped {
                let size = number % 100 == 0 ? 2000 : random.below(40)
                _ = tree.put(treeBytes("key \(number)"), [UInt8](repeating: version, count: size))
            }
            _ = tree.drop(treeBytes("key \(dropped)"))
            let snapshot = tree.snapshot()
            lent.withLock { $0.snapshots.append((snapshot, version)) }
            ground.drain(budget: 9)
        }
        lent.withLock { $0.isOver = true }
        group.wait()
        #expect(bad.load(ordering: .relaxed) == 0)
        #expect(read.load(ordering: .relaxed) == 100)
        #expect(tree.violations() == [])
        var handle = tree.handle
        ground.dismantle(&handle, budget: 100)
        ground.drain()
        #expect(ground.chargedBytes == 0)
    }

    @Test(arguments: [1, 2, 17])
    func dismantlingIsBoundedByItsBudgetAndReturnsEveryByte(budget: Int) {
        let ground = TreeGround()
        var random = TreeGenerator(seed: 41)
        var tree = HashedTree(TreeHandle(), source: ground.source, hashKey: hashKey)
        for number in 0..<20_000 { _ = tree.put(treeBytes("\(number)"), random.bytes()) }
        var handle = tree.handle
        let blocks = ground.chargedBytes / 1024
        var calls = 0
        var left = 0
        repeat {
            let before = ground.chargedBytes
            left = budget
            calls += 1
            if TreeCore.dismantle(&handle, source: ground.source, budget: &left) { break }
            // No block here is larger than 24 KiB.
            #expect(before - ground.chargedBytes <= budget * 24 << 10)
            #expect(handle.bytes == ground.chargedBytes)
        } while calls < 10 * blocks
        #expect(ground.chargedBytes == 0)
        #expect(handle == TreeHandle())
        #expect(calls > 400 / budget)
    }

    @Test func droppingASnapshotOfAnUnchangedTreeFreesNothing() {
        let ground = TreeGround()
        var tree = HashedTree(TreeHandle(), source: ground.source, hashKey: hashKey)
        for number in 0..<5000 { _ = tree.put(treeBytes("\(number)"), []) }
        let before = ground.chargedBytes
        do {
            let snapshot = tree.snapshot()
            #expect(snapshot.count == 5000)
            #expect(ground.chargedBytes == before)
        }
        ground.drain(budget: 1)
        #expect(ground.chargedBytes == before)
        _ = tree.put(treeBytes("x"), [])
        #expect(tree.violations() == [])
        #expect(ground.chargedBytes - before <= 4096)
        ground.finish(tree.handle)
    }
}
