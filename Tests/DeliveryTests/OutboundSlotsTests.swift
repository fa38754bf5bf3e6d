import Tenancy
import Testing

@testable import Delivery

struct OutboundSlotsTests {
    private func place(_ payer: UInt64, _ host: String) -> OutboundSlots.Place {
        OutboundSlots.Place(payer: TenantID(rawValue: payer), host: host)
    }

    @Test func eachBoundHoldsAndWhatIsGivenBackIsThereAgain() {
        var limits = OutboundLimits()
        (limits.calls, limits.callsPerPayer, limits.callsPerHost) = (4, 3, 2)
        var slots = OutboundSlots(limits)
        // The host "a" of payer 2 is counted apart from that of payer 1.
        let asked = [(1, "a"), (1, "a"), (1, "a"), (1, "b"), (1, "c"), (2, "a"), (3, "d")] as [(UInt64, String)]
        let taken = asked.map { slots.take(place($0.0, $0.1)) }
        #expect(taken == [true, true, false, true, false, true, false])
        slots.giveBack(place(1, "a"))
        let isTaken = slots.take(place(3, "d"))
        #expect(isTaken)
        #expect(slots.count == 4)
        for (payer, host) in [(1, "a"), (1, "b"), (2, "a"), (3, "d")] as [(UInt64, String)] {
            slots.giveBack(place(payer, host))
        }
        #expect(slots.count == 0)
    }
}
