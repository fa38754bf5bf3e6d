import Testing

@testable import CacheService

@Suite struct HyperLogLogTests {
    private func add(_ range: Range<Int>, to registers: inout HyperLogLog) {
        for number in range { Array("element-\(number)".utf8).withUnsafeBytes { _ = registers.add($0) } }
    }

    @Test func theEstimateIsWithinThreePercent() {
        var registers = HyperLogLog()
        #expect(registers.estimate == 0)
        var added = 0
        for count in [1, 10, 100, 1000, 10_000, 100_000] {
            add(added..<count, to: &registers)
            added = count
            #expect(abs(registers.estimate - count) <= count * 3 / 100)
        }
    }

    @Test func itIsStoredShortAndReadBack() throws {
        var registers = HyperLogLog()
        #expect(registers.stored.count == 18)
        var sizes: [Int] = []
        var added = 0
        for count in [1, 10, 500, 5000] {
            add(added..<count, to: &registers)
            added = count
            let stored = registers.stored
            sizes.append(stored.count)
            let read = try stored.withUnsafeBytes { try HyperLogLog($0) }
            #expect(read.estimate == registers.estimate)
            #expect(read.stored == stored)
        }
        #expect(sizes[0] <= 24 && sizes[1] <= 64 && sizes[2] <= 3016 && sizes[3] == 12_304)
    }

    @Test func whatIsDamagedIsRefused() {
        var registers = HyperLogLog()
        add(0..<50, to: &registers)
        let stored = registers.stored
        for length in 16..<stored.count {
            #expect(throws: (any Error).self) { try stored[..<length].withUnsafeBytes { _ = try HyperLogLog($0) } }
        }
        var random = Dice(seed: (1, 2))
        for _ in 0..<2000 {
            var damaged = stored
            for _ in 0..<3 {
                damaged[Int.random(in: 0..<stored.count, using: &random)] = .random(in: 0...255, using: &random)
            }
            // Whatever comes of it, nothing traps.
            damaged.withUnsafeBytes { _ = (try? HyperLogLog($0))?.estimate }
        }
    }
}
