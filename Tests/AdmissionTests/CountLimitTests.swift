import Synchronization
import Testing

@testable import Admission

@Suite struct CountLimitTests {
    @Test func withoutACeilingEverythingIsTakenAndCounted() {
        let limit = CountLimit()
        for _ in 0..<1_000 { #expect(limit.take()) }
        #expect(limit.count == 1_000)
        #expect(limit.ceiling == nil)
    }

    @Test func asManyAsTheCeilingAreTakenAndNoMore() {
        let limit = CountLimit(ceiling: 3)
        #expect((0..<5).map { _ in limit.take() } == [true, true, true, false, false])
        #expect(limit.count == 3)
        limit.release()
        #expect(limit.take())
        #expect(!limit.take())
    }

    @Test func ceilingOfNothingRefusesEverything() {
        #expect(!CountLimit(ceiling: 0).take())
    }

    @Test func loweredCeilingKeepsTheOldAndRefusesTheNew() {
        let limit = CountLimit(ceiling: 10)
        for _ in 0..<10 { #expect(limit.take()) }
        limit.setCeiling(8)
        #expect(limit.count == 10)
        for _ in 0..<2 {
            #expect(!limit.take())
            limit.release()
        }
        #expect(!limit.take(), "eight are still there")
        limit.release()
        #expect(limit.take())
        limit.setCeiling(nil)
        #expect(limit.take())
    }

    @Test func ceilingThatIsSetLateFindsThoseThatAreThere() {
        let limit = CountLimit()
        for _ in 0..<5 { #expect(limit.take()) }
        limit.setCeiling(6)
        #expect(limit.take())
        #expect(!limit.take())
    }

    private final class Counted: Sendable {
        let most = Atomic<UInt64>(0)
        let taken = Atomic<UInt64>(0)
    }

    /// Eight threads take and release: never more than the ceiling at once, and nothing is left over.
    @Test func manyThreadsNeverExceedTheCeiling() async {
        let limit = CountLimit(ceiling: 5)
        let counted = Counted()
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<8 {
                group.addTask {
                    for _ in 0..<5_000 where limit.take() {
                        counted.most.max(limit.count, ordering: .relaxed)
                        counted.taken.add(1, ordering: .relaxed)
                        limit.release()
                    }
                }
            }
        }
        #expect(counted.most.load(ordering: .relaxed) <= 5)
        #expect(counted.taken.load(ordering: .relaxed) > 0)
        #expect(limit.count == 0)
    }
}
