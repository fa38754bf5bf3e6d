import Tenancy
import Testing

@testable import Engine

@Suite struct SortedSetScoreTests {
    private func written(_ score: Double) -> [UInt8] {
        let packed = PackedScore(score)
        var bytes = ScratchBytes()
        packed.write(to: bytes.extend(by: packed.size))
        return Array(bytes.bytes)
    }

    private func read(_ bytes: [UInt8]) throws(MartletError) -> (score: Double, end: Int) {
        let slices = Slices([bytes])
        defer { withExtendedLifetime(slices) {} }
        var reader = PackedReader(slices.all[0])
        let score = try PackedScore.read(&reader)
        return (score, reader.position)
    }

    @Test func everyScoreIsReadAsItWasWritten() throws {
        var dice = CollectionDice(seed: 9)
        var scores: [Double] = [
            0, 1, 119, 120, 127, 128, -1, -128, -129, 32767, 32768, -32768, 8_388_607, 1e15, 9_007_199_254_740_991,
            9_007_199_254_740_992, 9_007_199_254_740_994, -9_007_199_254_740_992, 1e16, 1e300, -1e300, .infinity,
            -.infinity, .pi, .leastNonzeroMagnitude, .leastNormalMagnitude, .greatestFiniteMagnitude, 0.1 + 0.2, 0.1,
            1e-6, 1e-7, 0.5, 12.37, 1_234_567_890_123.5, -99.999999, 140_737_488.355327, 140_737_488.355328,
        ]
        for _ in 0..<20_000 {
            scores.append(Double(bitPattern: dice.next()))
            scores.append(Double(Int64(bitPattern: dice.next()) >> Int64(dice.below(64))))
            let power = [10.0, 100, 1000, 10_000, 100_000, 1_000_000][dice.below(6)]
            scores.append(Double(Int64(bitPattern: dice.next()) >> Int64(8 + dice.below(50))) / power)
        }
        for score in scores where !score.isNaN {
            let bytes = written(score + 0.0)
            let back = try read(bytes)
            #expect(back.score.bitPattern == (score + 0.0).bitPattern)
            #expect(back.end == bytes.count)
            for length in 0..<bytes.count {
                #expect(throws: MartletError.self) { try read(Array(bytes.prefix(length))) }
            }
        }
    }

    @Test func commonScoresAreShort() {
        #expect((0..<120).allSatisfy { written(Double($0)).count == 1 })
        #expect(written(-1).count == 2)
        #expect(written(1000).count == 3)
        #expect(written(4.5).count == 2)
        #expect(written(1_700_000_000).count == 5)
        #expect(written(1_700_000_000_000).count == 7)
        #expect(written(.pi).count == 9)
    }

    /// What a listpack takes for an entry: its encoding and length, the bytes, and the length again to go back by.
    private func listpackEntry(_ score: Double) -> Int {
        if let whole = Int64(exactly: score) {
            switch whole {
            case 0...127: return 2
            case -4096...4095: return 3
            case -32768...32767: return 4
            case -8_388_608...8_388_607: return 5
            case -2_147_483_648...2_147_483_647: return 6
            default: return 10
            }
        }
        return 2 + "\(score)".utf8.count
    }

    @Test func anEntryIsNoLongerThanInAListpack() {
        var dice = CollectionDice(seed: 10)
        let member = 16
        func check(_ score: Double) {
            let ours = PackedWriter.size(of: member) + written(score + 0.0).count
            #expect(ours <= member + 2 + listpackEntry(score), "\(score)")
        }
        for whole in -70_000...70_000 { check(Double(whole)) }
        for _ in 0..<20_000 {
            check(Double(Int64(bitPattern: dice.next()) >> Int64(10 + dice.below(54))))
            let power = [10.0, 100, 1000, 10_000, 100_000, 1_000_000][dice.below(6)]
            check(Double(Int64(bitPattern: dice.next()) >> Int64(17 + dice.below(46))) / power)
            check(Double.random(in: 0..<1, using: &dice))
        }
    }

    @Test func whatIsNoScoreIsDamage() {
        let nan = [255] + (0..<8).map { UInt8(truncatingIfNeeded: Double.nan.bitPattern >> (8 * UInt64($0))) }
        #expect(throws: MartletError.self) { try read(nan) }
        for first in UInt8(163)...252 {
            #expect(throws: MartletError.self) { try read([first] + Array(repeating: 1, count: 9)) }
        }
    }
}
