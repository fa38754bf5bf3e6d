import Tenancy
import Testing

@testable import Metering

@Suite struct MeterRowTests {
    @Test func everyMeterHasItsOwnCellByItsRawValue() {
        #expect(Meter.count == MeterFileLayout.cellCount)
        for meter in Meter.allCases {
            #expect(MeterRow.index(of: meter) == meter.rawValue)
        }
    }

    private func counted(_ record: (MeterRow) -> Void) throws -> [Meter: UInt64] {
        let directory = try DataDirectory()
        let file = try MeterFile(path: directory.counters)
        let row = try file.row(lane: 0, tenant: TenantID(rawValue: 1), cache: CacheID(rawValue: 1), door: .rest)
        record(row)
        var counts: [Meter: UInt64] = [:]
        for meter in Meter.allCases where row.count(of: meter) > 0 { counts[meter] = row.count(of: meter) }
        withExtendedLifetime(file) {}
        return counts
    }

    @Test func readRecordsHitOrMiss() throws {
        #expect(
            try counted { $0.recordRead(keyBytes: 10, valueBytes: 3_000) } == [
                .calls: 1, .hits: 1, .operations: 3, .bytesIn: 10, .bytesOut: 3_000, .requestChunks: 1,
                .responseChunks: 3,
            ])
        #expect(
            try counted { $0.recordRead(keyBytes: 10, valueBytes: nil) } == [
                .calls: 1, .misses: 1, .operations: 1, .bytesIn: 10, .requestChunks: 1,
            ])
        #expect(
            try counted { $0.recordFacts(keyBytes: 10, found: true) } == [
                .calls: 1, .hits: 1, .operations: 1, .bytesIn: 10, .requestChunks: 1,
            ])
    }

    @Test func writesRecordWhatTheyCarry() throws {
        #expect(
            try counted { $0.recordWrite(keyBytes: 10, valueBytes: 2_000) } == [
                .calls: 1, .operations: 2, .bytesIn: 2_010, .requestChunks: 2,
            ])
        #expect(
            try counted { $0.recordWrite(keyBytes: 10, valueBytes: 2_000, isConditional: true) } == [
                .calls: 1, .operations: 4, .bytesIn: 2_010, .requestChunks: 2, .conditionalOperations: 2,
            ])
        #expect(
            try counted { $0.recordDelete(keyBytes: 10) } == [
                .calls: 1, .operations: 1, .bytesIn: 10, .requestChunks: 1,
            ])
        #expect(
            try counted { $0.recordIncrement(keyBytes: 10, valueBytes: 3) } == [
                .calls: 1, .operations: 1, .bytesIn: 10, .bytesOut: 3, .requestChunks: 1, .responseChunks: 1,
            ])
        #expect(try counted { $0.recordCall() } == [.calls: 1, .operations: 1])
    }

    @Test func onlyTheCallersOwnFaultsAreBilled() throws {
        #expect(
            try counted { $0.recordRefusal(.permissionDenied("x")) } == [.calls: 1, .clientErrors: 1, .operations: 1])
        #expect(
            try counted {
                $0.recordRefusal(.rateLimited(limit: .maxOperationsPerSecond, value: 1, retryAfterMilliseconds: 1))
            } == [.calls: 1, .throttled: 1])
        #expect(
            try counted { $0.recordRefusal(.tooLarge(limit: .maxItemBytes, value: 1)) } == [.calls: 1, .throttled: 1])
        #expect(try counted { $0.recordRefusal(.memoryExhausted) } == [.calls: 1, .serverErrors: 1])
        #expect(try counted { $0.recordRefusal(.busy(retryAfterMilliseconds: 1)) } == [.calls: 1, .serverErrors: 1])
    }

    @Test func messagesRecordPublishesAndDeliveries() throws {
        #expect(
            try counted { $0.recordPublish(messageBytes: 1_500) } == [
                .calls: 1, .publishes: 1, .operations: 2, .requestChunks: 2, .bytesIn: 1_500,
            ])
        #expect(
            try counted { $0.recordDelivery(messageBytes: 1_500) } == [
                .deliveries: 1, .operations: 2, .responseChunks: 2, .bytesOut: 1_500,
            ])
    }
}
