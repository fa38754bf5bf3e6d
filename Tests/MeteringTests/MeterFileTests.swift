import Foundation
import Synchronization
import Tenancy
import Testing

@testable import Metering

@Suite struct MeterFileTests {
    private func row(_ file: MeterFile, lane: Int = 0, cache: UInt64 = 1, door: Door = .rest) throws -> MeterRow {
        try file.row(lane: lane, tenant: TenantID(rawValue: 1), cache: CacheID(rawValue: cache), door: door)
    }

    @Test func equalIdentitiesShareARowAndOthersDoNot() throws {
        let directory = try DataDirectory()
        let file = try MeterFile(path: directory.counters)
        let first = try row(file)
        #expect(try row(file).cells == first.cells)
        #expect(try row(file, lane: 1).cells != first.cells)
        #expect(try row(file, door: .resp).cells != first.cells)
        #expect(try row(file, cache: 2).cells != first.cells)
        #expect(throws: MartletError.self) { try row(file, lane: -1) }
    }

    @Test func countsAreThereAfterReopening() throws {
        let directory = try DataDirectory()
        var file: MeterFile? = try MeterFile(path: directory.counters)
        let generation = file?.generation
        if let file { try row(file, lane: 3).add(.bytesIn, 42) }
        file = nil
        let again = try MeterFile(path: directory.counters)
        #expect(again.generation == generation)
        #expect(try row(again, lane: 3).count(of: .bytesIn) == 42)
    }

    @Test func fileIsPrivateAndFullyAllocated() throws {
        let directory = try DataDirectory()
        let file = try MeterFile(path: directory.counters)
        var facts = stat()
        #expect(stat(directory.counters, &facts) == 0)
        #expect(facts.st_mode & 0o777 == 0o600)
        #expect(facts.st_blocks * 512 >= facts.st_size)
        withExtendedLifetime(file) {}
    }

    @Test func holesOfARestoredCopyAreFilled() throws {
        let directory = try DataDirectory()
        _ = try MeterFile(path: directory.counters)
        let content = try Data(contentsOf: URL(fileURLWithPath: directory.counters))
        try content.prefix(4096).write(to: URL(fileURLWithPath: directory.counters))
        #expect(truncate(directory.counters, content.count) == 0)
        let file = try MeterFile(path: directory.counters)
        var facts = stat()
        #expect(stat(directory.counters, &facts) == 0)
        #expect(facts.st_blocks * 512 >= facts.st_size)
        withExtendedLifetime(file) {}
    }

    @Test func secondOpenerIsRefused() throws {
        let directory = try DataDirectory()
        let file = try MeterFile(path: directory.counters)
        #expect(throws: MeterFileError.inUse(path: directory.counters)) { try MeterFile(path: directory.counters) }
        withExtendedLifetime(file) {}
    }

    @Test func addressesStayValidWhileTheFileGrows() throws {
        let directory = try DataDirectory()
        let file = try MeterFile(path: directory.counters)
        let first = try row(file)
        first.add(.calls, 1)
        for cache in 2...5_000 { try row(file, cache: UInt64(cache)).add(.calls, UInt64(cache)) }
        first.add(.calls, 1)
        #expect(file.rowCounts.used == 5_000)
        #expect(try row(file).count(of: .calls) == 2)
        #expect(try row(file, cache: 4_711).count(of: .calls) == 4_711)
    }

    @Test func grownFileReopens() throws {
        let directory = try DataDirectory()
        var file: MeterFile? = try MeterFile(path: directory.counters)
        if let file {
            for cache in 1...3_000 { try row(file, cache: UInt64(cache)).add(.calls, UInt64(cache)) }
        }
        file = nil
        let again = try MeterFile(path: directory.counters)
        #expect(again.rowCounts.used == 3_000)
        #expect(try row(again, cache: 2_999).count(of: .calls) == 2_999)
    }

    // MARK: No room

    @Test func fullDiskIsARefusalAndNothingElse() throws {
        let directory = try DataDirectory()
        let disk = Disk()
        let file = try MeterFile(path: directory.counters, maximumRows: 1 << 20) { descriptor, offset, length in
            disk.isFull.load(ordering: .relaxed)
                ? ENOSPC : CounterMapping.allocateBlocks(descriptor, offset, length)
        }
        disk.isFull.store(true, ordering: .relaxed)
        for cache in 1...1_024 { try row(file, cache: UInt64(cache)).add(.calls, 1) }
        #expect {
            try row(file, cache: 1_025)
        } throws: { error in
            guard case .unavailable(let reason) = error as? MartletError else { return false }
            return reason.contains("No space left")
        }
        try row(file, cache: 1_024).add(.calls, 1)
        disk.isFull.store(false, ordering: .relaxed)
        try row(file, cache: 1_025).add(.calls, 1)
        #expect(file.rowCounts.used == 1_025)
    }

    /// The real thing, in a process of its own because the limit holds for all of it.
    @Test func fileSizeLimitIsARefusalAndNoSignal() async throws {
        let directory = try DataDirectory()
        let path = directory.counters
        await #expect(processExitsWith: .success) { [path = path as String] in
            signal(SIGXFSZ, SIG_IGN)
            var limit = rlimit(rlim_cur: 400_000, rlim_max: 400_000)
            setrlimit(__rlimit_resource_t(UInt32(1)), &limit)  // RLIMIT_FSIZE
            let file = try MeterFile(path: path)
            var refusals = 0
            for cache in 1...3_000 as ClosedRange<UInt64> {
                do {
                    try file.row(lane: 0, tenant: TenantID(rawValue: 1), cache: CacheID(rawValue: cache), door: .rest)
                        .add(.calls, 1)
                } catch { refusals += 1 }
            }
            exit(refusals == 3_000 - 1_024 ? EXIT_SUCCESS : EXIT_FAILURE)
        }
        #expect(try MeterFile(path: path).rowCounts.used == 1_024)
    }

    @Test func fullDiskAtTheStartIsOneSentenceAndLeavesNoHalfFile() throws {
        let directory = try DataDirectory()
        #expect(throws: MeterFileError.cannotGrow(path: directory.counters, reason: "No space left on device")) {
            try MeterFile(path: directory.counters, maximumRows: 1 << 20) { _, _, _ in ENOSPC }
        }
        #expect(try MeterFile(path: directory.counters).rowCounts.used == 0)
    }

    @Test func moreRowsThanTheMaximumAreRefused() throws {
        let directory = try DataDirectory()
        let file = try MeterFile(
            path: directory.counters, maximumRows: 1_024, allocate: CounterMapping.allocateBlocks)
        for cache in 1...1_024 { _ = try row(file, cache: UInt64(cache)) }
        #expect(throws: MartletError.self) { try row(file, cache: 9_999) }
    }

    // MARK: Damage

    @Test func otherFilesAreNotTakenForCounters() throws {
        let directory = try DataDirectory()
        let url = URL(fileURLWithPath: directory.counters)
        try Data(repeating: 0x41, count: 400_000).write(to: url)
        #expect(throws: MeterFileError.notACounterFile(path: directory.counters)) {
            try MeterFile(path: directory.counters)
        }
        #expect(try Data(contentsOf: url) == Data(repeating: 0x41, count: 400_000))
        #expect(throws: MeterFileError.self) { try MeterFile(path: directory.url.path) }
        #expect(throws: MeterFileError.self) { try MeterFile(path: directory.url.path + "/missing/counters") }
    }

    @Test func blankFileIsFinished() throws {
        for byteCount in [0, 1, 4_096, 65_536, 100_000, MeterFileState.initialBytes] {
            let directory = try DataDirectory()
            try Data(repeating: 0, count: byteCount).write(to: URL(fileURLWithPath: directory.counters))
            let file = try MeterFile(path: directory.counters)
            try row(file).add(.calls, 1)
            #expect(file.rowCounts.capacity == 1_024)
        }
    }

    @Test func truncatedFileIsRefused() throws {
        let directory = try DataDirectory()
        var file: MeterFile? = try MeterFile(path: directory.counters)
        if let file { for cache in 1...2_000 { _ = try row(file, cache: UInt64(cache)) } }
        file = nil
        let whole = try Data(contentsOf: URL(fileURLWithPath: directory.counters))
        for byteCount in [1, 8, 63, 4_096, 65_535, 65_536, 131_072, whole.count - 65_536, whole.count - 1] {
            let cut = try DataDirectory()
            try whole.prefix(byteCount).write(to: URL(fileURLWithPath: cut.counters))
            #expect {
                try MeterFile(path: cut.counters)
            } throws: { error in
                guard case .truncated = error as? MeterFileError else { return false }
                return "\(error)".contains("is damaged: it has \(byteCount) bytes")
            }
        }
    }

    @Test func unfinishedGrowthIsForgotten() throws {
        let directory = try DataDirectory()
        _ = try MeterFile(path: directory.counters)
        let whole = try Data(contentsOf: URL(fileURLWithPath: directory.counters))
        try (whole + Data(repeating: 0, count: 70_000)).write(to: URL(fileURLWithPath: directory.counters))
        let file = try MeterFile(path: directory.counters)
        for cache in 1...2_000 { try row(file, cache: UInt64(cache)).add(.calls, 1) }
        #expect(file.rowCounts.used == 2_000)
    }

    @Test func everyDamagedByteOfAnIdentityIsFound() throws {
        let directory = try DataDirectory()
        var file: MeterFile? = try MeterFile(path: directory.counters)
        if let file { for cache in 1...3 { _ = try row(file, cache: UInt64(cache)) } }
        file = nil
        let base = MeterFileLayout.headerBytes + MeterFileLayout.rowBytes
        for offset in 0..<48 {
            let original = try directory.byte(ofCountersAt: base + offset)
            try directory.overwriteCounters(at: base + offset, with: [original ^ 0x10])
            #expect(throws: MeterFileError.damagedRow(path: directory.counters, row: 1)) {
                try MeterFile(path: directory.counters)
            }
            try directory.overwriteCounters(at: base + offset, with: [original])
        }
        #expect(try MeterFile(path: directory.counters).rowCounts.used == 3)
    }

    @Test func everyDamagedByteOfTheHeaderIsFound() throws {
        let directory = try DataDirectory()
        var file: MeterFile? = try MeterFile(path: directory.counters)
        if let file { _ = try row(file) }
        file = nil
        for offset in 0..<32 {
            let original = try directory.byte(ofCountersAt: offset)
            try directory.overwriteCounters(at: offset, with: [original ^ 0x10])
            #expect(throws: MeterFileError.self) { try MeterFile(path: directory.counters) }
            try directory.overwriteCounters(at: offset, with: [original])
        }
        try directory.overwriteCounters(at: 0, with: Array(repeating: 0, count: 64))
        #expect(throws: MeterFileError.damagedHeader(path: directory.counters)) {
            try MeterFile(path: directory.counters)
        }
    }

    @Test func damagedRowCountHidesNoRow() throws {
        let directory = try DataDirectory()
        var file: MeterFile? = try MeterFile(path: directory.counters)
        if let file { try row(file).add(.calls, 7) }
        file = nil
        try directory.overwriteCounters(at: MeterFileLayout.Header.rows, with: Array(repeating: 0, count: 8))
        #expect(try row(try MeterFile(path: directory.counters)).count(of: .calls) == 7)
        try directory.overwriteCounters(at: MeterFileLayout.Header.rows, with: Array(repeating: 0xFF, count: 8))
        #expect(throws: MeterFileError.self) { try MeterFile(path: directory.counters) }
    }

    @Test func newerFormatIsRefusedByItsVersion() throws {
        let directory = try DataDirectory()
        let generation = try MeterFile(path: directory.counters).generation
        let format = UInt64(MeterFileLayout.rowBytes) << 32 | 3
        let checksum = MeterFileLayout.checksum(MeterFileLayout.magic, format, generation)
        try directory.overwriteCounters(
            at: MeterFileLayout.Header.format, with: withUnsafeBytes(of: format.littleEndian) { Array($0) })
        try directory.overwriteCounters(
            at: MeterFileLayout.Header.checksum, with: withUnsafeBytes(of: checksum.littleEndian) { Array($0) })
        #expect(throws: MeterFileError.unsupportedVersion(path: directory.counters, found: 3)) {
            try MeterFile(path: directory.counters)
        }
    }

    @Test func randomDamageNeverTraps() throws {
        let directory = try DataDirectory()
        var file: MeterFile? = try MeterFile(path: directory.counters)
        if let file { for cache in 1...20 { try row(file, cache: UInt64(cache)).add(.calls, 1) } }
        file = nil
        let whole = try Data(contentsOf: URL(fileURLWithPath: directory.counters))
        var random = SeededGenerator(state: 20_250_701)
        for _ in 0..<200 {
            var damaged = whole
            for _ in 0..<Int.random(in: 1...8, using: &random) {
                let inHeader = Bool.random(using: &random)
                let offset =
                    inHeader
                    ? Int.random(in: 0..<64, using: &random) : 65_536 + Int.random(in: 0..<5_120, using: &random)
                damaged[offset] = UInt8.random(in: 0...255, using: &random)
            }
            let target = try DataDirectory()
            try damaged.write(to: URL(fileURLWithPath: target.counters))
            do {
                let file = try MeterFile(path: target.counters)
                _ = try row(file, cache: 999)
            } catch let error as MeterFileError {
                #expect(!error.description.isEmpty)
            } catch {
                Issue.record("opened, then refused a row: \(error)")
            }
        }
    }
}

private final class Disk: Sendable {
    let isFull = Atomic<Bool>(false)
}
