import Testing

@testable import Admission

@Suite struct RetryDelayTests {
    @Test func itIsNeverLessAndAtMostAThirdMore() {
        var seen = Set<UInt64>()
        for milliseconds in 0...100_000 as ClosedRange<UInt64> {
            let told = RetryDelay.rounded(milliseconds)
            #expect(told >= milliseconds && told * 3 <= milliseconds * 4 + 2, "\(milliseconds) becomes \(told)")
            #expect(RetryDelay.rounded(told) == told)
            seen.insert(told)
        }
        #expect(seen.count <= 53)
        for exact in [0, 1, 7, 10, 20, 500, 1_000, 2_000, 60_000] as [UInt64] {
            #expect(RetryDelay.rounded(exact) == exact)
        }
        for large in [UInt64.max, .max / 10, 1 << 62, 1_000_000_000_000_001] as [UInt64] {
            #expect(RetryDelay.rounded(large) >= large)
        }
    }
}
