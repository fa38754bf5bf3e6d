import Tenancy
import Testing

@testable import CacheService

@Suite struct RefusalMemoryTests {
    @Test func whatComesAgainIsNotMadeAgain() {
        var memory = RefusalMemory<String>()
        var made = 0
        func text(_ error: MartletError) -> String? {
            memory.value(for: error) {
                made += 1
                return "\($0)"
            }
        }
        let errors: [MartletError] = [
            .rateLimited(limit: .maxOperationsPerSecond, value: 10, retryAfterMilliseconds: 20),
            .rateLimited(limit: .maxBytesInPerSecond, value: 10, retryAfterMilliseconds: 20),
            .rateLimited(limit: .maxOperationsPerSecond, value: 20, retryAfterMilliseconds: 10),
            .countLimited(limit: .maxConnections, value: 10), .throttled(retryAfterMilliseconds: 10),
            .busy(retryAfterMilliseconds: 10),
        ]
        for _ in 0..<3 {
            for error in errors { #expect(text(error) == "\(error)") }
        }
        #expect(made == errors.count)
    }

    @Test func whatHoldsTextIsNotKept() {
        var memory = RefusalMemory<Int>()
        for error in [MartletError.cacheNotFound, .permissionDenied("x"), .malformed("y"), .internalFailure("z")] {
            #expect(memory.value(for: error) { _ in 1 } == nil)
        }
    }

    @Test func manyDifferentOnesAreEachToldRight() {
        var memory = RefusalMemory<UInt64>()
        for round in 0..<3 {
            for value in 0..<1_000 as Range<UInt64> {
                let error = MartletError.rateLimited(
                    limit: .maxOperationsPerSecond, value: value, retryAfterMilliseconds: value % 7)
                #expect(memory.value(for: error) { _ in value } == value, "round \(round)")
            }
        }
    }
}
