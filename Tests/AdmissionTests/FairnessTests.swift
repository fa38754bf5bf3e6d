import Tenancy
import Testing

@testable import Admission

@Suite struct FairnessTests {
    /// What each tenant was given, as parts of what the first was given.
    private func shares(_ tenants: [SimulatedTenant]) -> [Double] {
        let first = tenants[0].given
        return tenants.map { $0.given / first }
    }

    @Test func thousandsOfTenantsThatFloodAreGivenTheSame() {
        let simulation = FairnessSimulation()
        for index in 0..<3000 { simulation.add(connections: 1 + index % 4, cost: 10_000 + UInt64(index % 7) * 5_000) }
        for milliseconds in [1500, 3000] as [UInt64] {
            simulation.run(milliseconds: milliseconds)
            let given = simulation.tenants.map(\.given)
            let mean = given.reduce(0, +) / 3000
            // A quantum and a request are what anyone is ahead or behind, however long it goes on.
            #expect(given.allSatisfy { abs($0 - mean) <= 290_000 })
        }
    }

    @Test func weightDivides() {
        let simulation = FairnessSimulation()
        for weight in [100, 200, 400, 25] as [UInt64] { simulation.add(connections: 100, cost: 20_000, weight: weight) }
        simulation.run(milliseconds: 5000)
        for (share, wanted) in zip(shares(simulation.tenants), [1.0, 2, 4, 0.25]) {
            #expect(abs(share - wanted) < 0.05 * wanted)
        }
    }

    @Test func connectionsDoNot() {
        let simulation = FairnessSimulation()
        let modest = simulation.add(connections: 1, cost: 20_000)
        let greedy = simulation.add(connections: 1000, cost: 20_000)
        simulation.run(milliseconds: 3000)
        // One connection that waits for each answer cannot use more than one request a look at the sockets.
        #expect(modest.given > 0.2 * greedy.given)
        #expect(modest.longestWait < 1_000_000)
        let wide = FairnessSimulation()
        wide.add(connections: 50, cost: 20_000)
        wide.add(connections: 1000, cost: 20_000)
        wide.run(milliseconds: 3000)
        for share in shares(wide.tenants) { #expect(abs(share - 1) < 0.05) }
    }

    @Test func whoStaysWithinItsShareHardlyWaits() {
        let simulation = FairnessSimulation()
        for _ in 0..<1000 { simulation.add(connections: 10, cost: 30_000) }
        // All that flood wait before it begins.
        simulation.run(milliseconds: 500)
        let victim = simulation.add(connections: 1, cost: 10_000, pause: 20_000_000)
        simulation.run(milliseconds: 2000)
        #expect(victim.served >= 90)
        // A turn, a look at the sockets, and a piece of work.
        #expect(victim.longestWait < 600_000)
    }

    @Test func longPiecesOfWorkArePaidFor() {
        let simulation = FairnessSimulation()
        let large = simulation.add(connections: 4, cost: 3_000_000)
        let small = simulation.add(connections: 400, cost: 5_000)
        simulation.run(milliseconds: 5000)
        #expect(abs(large.given / small.given - 1) < 0.1)
        #expect(small.served > 300_000)
    }

    @Test func reservationIsGivenWhateverTheWeight() {
        let simulation = FairnessSimulation()
        for _ in 0..<200 { simulation.add(connections: 5, cost: 50_000, weight: 10_000) }
        let reserved = simulation.add(connections: 50, cost: 50_000, weight: 1, reserved: 2000)
        simulation.run(milliseconds: 1000)
        for tenant in simulation.tenants { tenant.forget() }
        simulation.run(milliseconds: 5000)
        // A tenth of the loop, of which its weight would give it next to nothing, and no more.
        #expect((9_500...11_000).contains(reserved.served))
        let others = simulation.tenants.dropLast().map(\.given)
        #expect((others.max() ?? 0) < 1.2 * (others.min() ?? 0))
    }

    @Test func reservationsOfAllAreGivenBeforeAnyonesRest() {
        let simulation = FairnessSimulation()
        let tenants = [1000, 2000, 3000].map {
            simulation.add(connections: 40, cost: 100_000, weight: $0 == 1000 ? 10_000 : 1, reserved: $0)
        }
        simulation.run(milliseconds: 1000)
        for tenant in simulation.tenants { tenant.forget() }
        simulation.run(milliseconds: 5000)
        // 10,000 requests a second are possible, 6,000 are reserved, and the rest goes to the one of weight.
        #expect((23_500...26_500).contains(tenants[0].served))
        #expect((9_500...11_000).contains(tenants[1].served))
        #expect((14_500...16_000).contains(tenants[2].served))
    }

    @Test func whoIsAloneIsGivenEverything() {
        let simulation = FairnessSimulation()
        let alone = simulation.add(connections: 100, cost: 10_000)
        simulation.run(milliseconds: 1000)
        // All but the looks at the sockets.
        #expect(alone.given > 0.97e9)
    }

    @Test func whatWasNotUsedIsNotSavedUp() {
        let simulation = FairnessSimulation()
        let steady = simulation.add(connections: 20, cost: 20_000)
        simulation.run(milliseconds: 3000)
        // It has rested for three seconds, which it is not given now.
        let late = simulation.add(connections: 20, cost: 20_000)
        steady.forget()
        simulation.run(milliseconds: 1000)
        #expect(abs(late.given / steady.given - 1) < 0.05)
    }

    @Test func whoHasGoneIsPassedOver() throws {
        var queue = FairQueue(quantumNanoseconds: 1000)
        let flow = FairFlow(TenantAdmission())
        let works = (0..<200).map { _ in Work() }
        for work in works { queue.wait(work, of: flow) }
        for (index, work) in works.enumerated() where index % 3 != 0 { work.isWaitingForTurn = false }
        var served = 0
        while let next = queue.next(nowNanoseconds: 1, isIdle: true) {
            #expect(next === works[served * 3])
            #expect(!next.isWaitingForTurn)
            served += 1
        }
        #expect(served == 67)
        #expect(!queue.isWaiting)
        queue.wait(works[1], of: flow)
        #expect(queue.next(nowNanoseconds: 1, isIdle: true) === works[1])
    }

    @Test func waitingTwiceIsWaitingOnce() {
        var queue = FairQueue(quantumNanoseconds: 1000)
        let (flow, work) = (FairFlow(TenantAdmission()), Work())
        queue.wait(work, of: flow)
        queue.wait(work, of: flow)
        #expect(queue.next(nowNanoseconds: 1, isIdle: true) === work)
        #expect(queue.next(nowNanoseconds: 1, isIdle: true) == nil)
    }

    private final class Work: FairlyServed {
        var isWaitingForTurn = false
        func takeTurn() {}
    }
}

@Suite struct OverloadControlTests {
    private func run(_ control: inout OverloadControl, delay: UInt64, intervals: Int, weights: [UInt64]) {
        for _ in 0..<intervals {
            clock += OverloadControl.intervalNanoseconds
            control.observe(delayNanoseconds: delay, nowNanoseconds: clock) { weights }
        }
    }
    private var clock: UInt64 {
        get { box.now }
        nonmutating set { box.now = newValue }
    }
    private let box = Box()
    private final class Box { var now: UInt64 = 1 }

    @Test func oneSlowPieceOfWorkIsNoOverload() {
        var control = OverloadControl(nowNanoseconds: clock)
        for _ in 0..<50 {
            clock += 1_000_000
            control.observe(delayNanoseconds: 500_000_000, nowNanoseconds: clock) { [100] }
            clock += 100_000_000
            control.observe(delayNanoseconds: 100_000, nowNanoseconds: clock) { [100] }
        }
        #expect(!control.isShedding)
    }

    @Test func theLeastWeightGoesFirstAndReadsStay() {
        var control = OverloadControl(nowNanoseconds: clock)
        let weights = [UInt64](repeating: 10, count: 5) + [UInt64](repeating: 100, count: 5)
        run(&control, delay: 50_000_000, intervals: 5, weights: weights)
        #expect(control.level == 5)
        for random in 0..<2048 as Range<UInt64> {
            #expect(control.refuses(.other, weight: 10, random: random))
            #expect(!control.refuses(.other, weight: 100, random: random))
            #expect(!control.refuses(.read, weight: 1, random: random))
        }
        run(&control, delay: 50_000_000, intervals: 5, weights: weights)
        #expect(control.level == OverloadControl.levels)
        #expect(control.refuses(.other, weight: 10_000, random: 5))
        #expect(!control.refuses(.read, weight: 10, random: 5))
        run(&control, delay: 300_000_000, intervals: 1, weights: weights)
        #expect(control.refuses(.read, weight: 10, random: 5))
    }

    @Test func equalWeightsAreRefusedInPart() {
        var control = OverloadControl(nowNanoseconds: clock)
        run(&control, delay: 50_000_000, intervals: 3, weights: [UInt64](repeating: 100, count: 7))
        let refused = (0..<1024 as Range<UInt64>).count { control.refuses(.other, weight: 100, random: $0) }
        #expect((297...317).contains(refused))
    }

    @Test func itEndsWithTheOverload() {
        var control = OverloadControl(nowNanoseconds: clock)
        run(&control, delay: 50_000_000, intervals: 20, weights: [100])
        #expect(control.level == OverloadControl.levels)
        // Between half the target and the target nothing changes.
        run(&control, delay: 15_000_000, intervals: 5, weights: [100])
        #expect(control.level == OverloadControl.levels)
        run(&control, delay: 1_000_000, intervals: 10, weights: [100])
        #expect(!control.isShedding)
        #expect(!control.refuses(.other, weight: 1, random: 0))
    }

    @Test func callersComeBackSpread() {
        var control = OverloadControl(nowNanoseconds: clock)
        run(&control, delay: 50_000_000, intervals: 4, weights: [100])
        let delays = Set((0..<10_000 as Range<UInt64>).map { control.retryAfterMilliseconds(random: $0) })
        #expect(delays == Set(400..<800))
    }
}

@Suite struct LatencyHistogramTests {
    @Test func aTimeIsInTheFirstBucketThatHoldsIt() {
        for bound in LatencyHistogram.bounds {
            for time in [bound - 1, bound, bound + 1] {
                let histogram = LatencyHistogram()
                histogram.record(nanoseconds: time, count: 3)
                let expected = LatencyHistogram.bounds.first { $0 >= time }
                #expect(histogram.buckets.count == 1)
                #expect(histogram.buckets.first?.bound == expected)
                #expect(histogram.buckets.first?.count == 3)
            }
        }
        let histogram = LatencyHistogram()
        for time in [0, 1, UInt64.max] { histogram.record(nanoseconds: time) }
        #expect(histogram.buckets.map(\.count) == [2, 1])
    }
}
