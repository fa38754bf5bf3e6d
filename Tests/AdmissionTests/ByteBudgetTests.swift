import Tenancy
import Testing

@testable import Admission

@Suite struct ByteBudgetTests {
    @Test func connectionReservesUpToItsLimit() {
        var budget = ByteBudget(limit: 100)
        // One after the other: each reservation, and whether it is within the budget.
        for (byteCount, isWithin) in [(60, true), (41, false), (40, true), (1, false), (0, true)] {
            let reserved = budget.reserve(byteCount)
            #expect(reserved == isWithin, "\(byteCount)")
        }
        budget.release(50)
        #expect(budget.inUse == 50)
        for (byteCount, isWithin) in [(.max, false), (-1, false), (50, true)] as [(Int, Bool)] {
            let reserved = budget.reserve(byteCount)
            #expect(reserved == isWithin, "\(byteCount)")
        }
        #expect(budget.inUse == 100)
    }

    @Test func everyLevelOrNone() {
        let process = SharedByteBudget(limit: 100)
        let first = SharedByteBudget(limit: 80, parent: process)
        let second = SharedByteBudget(limit: 80, parent: process)
        #expect(first.reserve(80))
        #expect(!first.reserve(1))
        #expect(!second.reserve(21))
        #expect(second.inUse == 0)
        #expect(second.reserve(20))
        #expect(process.inUse == 100)
        first.release(80)
        #expect(process.inUse == 20)
        #expect(!process.reserve(.max))
        #expect(!process.reserve(-1))
    }

    @Test func refusalTellsNeverFromNotNow() throws {
        let process = SharedByteBudget(limit: 100)
        let tenant = SharedByteBudget(limit: 1_000, parent: process)
        #expect(throws: MartletError.tooLarge(limit: .maxItemBytes, value: 100)) { try tenant.reserveOrRefuse(101) }
        try tenant.reserveOrRefuse(100)
        #expect(throws: MartletError.busy(retryAfterMilliseconds: 100)) { try tenant.reserveOrRefuse(1) }
        tenant.release(100)
        try tenant.reserveOrRefuse(1)
    }

    @Test func loweredLimitHoldsForWhatComesNext() {
        let budget = SharedByteBudget(limit: 100)
        #expect(budget.reserve(90))
        budget.limit = 50
        #expect(!budget.reserve(0))
        #expect(!budget.reserve(1))
        budget.release(60)
        #expect(budget.reserve(20))
        #expect(!budget.reserve(1))
    }

    @Test func manyThreadsStayWithinTheBudgetAndLeaveNothingBehind() async {
        let process = SharedByteBudget(limit: 1_000)
        let tenants = (0..<3).map { _ in SharedByteBudget(limit: 500, parent: process) }
        await withTaskGroup(of: Bool.self) { group in
            for thread in 0..<8 {
                let tenant = tenants[thread % 3]
                group.addTask {
                    var isWithin = true
                    for turn in 0..<10_000 where tenant.reserve(turn % 300) {
                        isWithin = isWithin && tenant.inUse <= 500 && process.inUse <= 1_000
                        tenant.release(turn % 300)
                    }
                    return isWithin
                }
            }
            for await isWithin in group { #expect(isWithin) }
        }
        #expect(process.inUse == 0)
        #expect(tenants.allSatisfy { $0.inUse == 0 })
    }
}
