import Tenancy
import Testing

@testable import Metering

/// The worked examples of the metering contract, in the item-only reading that is billed and, from the raw inputs, in
/// the literal one.
@Suite struct BillingPolicyTests {
    private func literal(_ charge: Charge) -> UInt64 { max(1, charge.requestChunks + charge.responseChunks) }

    @Test func missCountsOne() {
        let charge = BillingPolicy.read(keyBytes: 10, valueBytes: nil)
        #expect(charge.operations == 1)
        #expect(literal(charge) == 1)
    }

    @Test func hitCountsTheItemNotTheKeyThatNamesIt() {
        let charge = BillingPolicy.read(keyBytes: 10, valueBytes: 3_000)
        #expect(charge.operations == 3)
        #expect(literal(charge) == 4)
    }

    @Test func setCountsItsItem() {
        #expect(BillingPolicy.write(keyBytes: 10, valueBytes: 100).operations == 1)
        let large = BillingPolicy.write(keyBytes: 10, valueBytes: 4_990)
        #expect(large.operations == 5)
        #expect(literal(large) == 5)
    }

    @Test func conditionCountsTwice() {
        let charge = BillingPolicy.write(keyBytes: 100, valueBytes: 1_400, isConditional: true)
        #expect(charge.operations == 4)
        #expect(charge.conditionalOperations == 2)
        #expect(charge.requestChunks == 2)
    }

    @Test func collectionsCountTheirElements() {
        let union = BillingPolicy.collection(
            keyBytes: 5, requestElementChunks: 10 * BillingPolicy.itemChunks(byteCount: 20), responseElementChunks: 0)
        #expect(union.operations == 10)
        #expect(literal(union) == 10)
        let fetch = BillingPolicy.collection(
            keyBytes: 5, requestElementChunks: 0, responseElementChunks: 4 * BillingPolicy.itemChunks(byteCount: 100))
        #expect(fetch.operations == 4)
        #expect(literal(fetch) == 5)
        #expect(
            BillingPolicy.collection(keyBytes: 5, requestElementChunks: 0, responseElementChunks: 0).operations == 1)
    }

    /// Three fields are asked for; two are there, one of them with a value of 1500 bytes.
    @Test func aNameBesideItsElementCountsOnce() {
        let get = BillingPolicy.collection(
            keyBytes: 5, requestElementChunks: 3, responseElementChunks: 3, answeredChunks: 2)
        #expect(get == Charge(operations: 4, requestChunks: 3, responseChunks: 3))
        #expect(literal(get) == 6)
    }

    @Test func messagesCountOncePublishedAndOncePerDelivery() {
        #expect(BillingPolicy.message(byteCount: 102) * 10 == 10)
        #expect(BillingPolicy.message(byteCount: 512) == 1)
        #expect(BillingPolicy.message(byteCount: 1_434) == 2)
        #expect(BillingPolicy.message(byteCount: 4_096) * 2 == 8)
    }

    @Test func deleteAndIncrementOfSmallItemsCountOne() {
        #expect(BillingPolicy.delete(keyBytes: 2_000).operations == 1)
        #expect(BillingPolicy.increment(keyBytes: 10, valueBytes: 20).operations == 1)
        #expect(BillingPolicy.increment(keyBytes: 2_000, valueBytes: 20).operations == 2)
    }

    @Test(arguments: [(0, 0), (1, 1), (1_023, 1), (1_024, 1), (1_025, 2), (2_048, 2), (-5, 0), (Int.max, 1 << 53)])
    func chunksAreRoundedUp(byteCount: Int, chunks: UInt64) {
        #expect(BillingPolicy.chunks(byteCount: byteCount) == chunks)
    }
}
