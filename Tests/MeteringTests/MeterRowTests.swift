import Tenancy
import Testing

@testable import Metering

@Suite struct MeterRowTests {
    @Test func everyMeterHasItsOwnCellByItsRawValue() {
        var offsets = Set<Int>()
        for meter in Meter.allCases {
            #expect(MeterRow.index(of: meter) == MeterRow.index(ofCell: meter.rawValue))
            let offset = MeterFileLayout.cellsOffset + 8 * MeterRow.index(of: meter)
            #expect(offset == (meter.rawValue < 16 ? 128 + 8 * meter.rawValue : 64 + 8 * (meter.rawValue - 16)))
            // On the lines that the row's lane alone writes.
            #expect((64...(MeterFileLayout.rowBytes - 8)).contains(offset))
            offsets.insert(offset)
        }
        #expect(offsets.count == Meter.count)
    }

    /// Neighbours in the file, each cell with a number of its own: none overwrites another.
    @Test func cellsOfNeighboursDoNotOverlap() throws {
        let directory = try DataDirectory()
        let file = try MeterFile(path: directory.counters)
        let rows = try (0..<3).map {
            try file.row(lane: $0, tenant: TenantID(rawValue: 1), cache: CacheID(rawValue: 1), door: .rest)
        }
        for (number, row) in rows.enumerated() {
            for meter in Meter.allCases { row.add(meter, UInt64(100 * number + meter.rawValue + 1)) }
        }
        for (number, row) in rows.enumerated() {
            for meter in Meter.allCases {
                #expect(row.count(of: meter) == UInt64(100 * number + meter.rawValue + 1))
                #expect(row.values[meter.rawValue] == row.count(of: meter))
            }
        }
        rows[1].clear()
        #expect(rows[1].values == MeterValues())
        #expect(rows[0].count(of: .deliveries) == 16 && rows[2].count(of: .subscriptionMilliseconds) == 217)
        withExtendedLifetime(file) {}
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

    @Test func collectionsRecordTheirElements() throws {
        let charge = Charge(operations: 5, requestChunks: 2, responseChunks: 3)
        #expect(
            try counted {
                $0.recordCollection(charge, bytesIn: 20, bytesOut: 30, elementsIn: 2, elementsOut: 3, isHit: true)
            } == [
                .calls: 1, .operations: 5, .requestChunks: 2, .responseChunks: 3, .bytesIn: 20, .bytesOut: 30,
                .elementsIn: 2, .elementsOut: 3, .hits: 1,
            ])
        let least = Charge(operations: 1, requestChunks: 1, responseChunks: 0)
        for (isHit, counts) in [(false, [.misses: 1]), (nil, [:])] as [(Bool?, [Meter: UInt64])] {
            let base: [Meter: UInt64] = [.calls: 1, .operations: 1, .requestChunks: 1, .bytesIn: 3]
            #expect(
                try counted {
                    $0.recordCollection(least, bytesIn: 3, bytesOut: 0, elementsIn: 0, elementsOut: 0, isHit: isHit)
                } == base.merging(counts) { $1 })
        }
        #expect(
            try counted { $0.recordExistence(charge, keys: 2, keyBytes: 7, found: 1) } == [
                .calls: 1, .operations: 5, .requestChunks: 2, .responseChunks: 3, .bytesIn: 7, .elementsIn: 2,
                .hits: 1, .misses: 1,
            ])
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
            try counted { $0.recordDeliveries(messages: 1, chunks: 2, messageBytes: 1_500) } == [
                .deliveries: 1, .operations: 2, .responseChunks: 2, .bytesOut: 1_500,
            ])
    }
}
