import Synchronization

// Compression of one cache's values, each by itself, before it is sealed and stored.
//
//     zstd              | magic, 4 | 1 | content size, 1-8 | blocks ... |      a frame that is sent to clients as it lies
//     zstd-dictionary              | 1 | content size, 1-8 | blocks ... |      beside it the item keeps the version, 1 byte
//
// A value of some hundred bytes hardly repeats anything within itself; a thousand such values repeat each other. A
// dictionary is what they have in common, given to the coder beforehand. So `zstd-dictionary` sets some of the cache's own
// values aside, trains a dictionary on them in the background (`tick`), compresses new values with it, and trains another
// when values have changed so much that they shrink clearly less (`CacheCompressor+Training.swift`). An item keeps the
// version that it was compressed with (`DictionaryTable.swift`). Before there is a dictionary, and for values that are too
// long to gain by one, plain zstd is used.
//
//     what (bytes)             zstd    -dictionary    compress    open         with level 3, on one core
//     session JSON, 387        0.77    0.26           2.3 us      1.2 us
//     product JSON, 1.7 K      0.45    0.22           5.9 us      2.4 us
//     HTML, 10 K               0.25    0.21           30 us       10 us
//     random, 350              not stored compressed; found out in 2-3 us
//
// Thresholds: below 128 bytes plain zstd saves nothing (JSON of 128 bytes: 120), with a dictionary 64 bytes become 32-37.
// A value is stored compressed only if that saves an eighth and 16 bytes.
//
// Memory: a dictionary takes 8-16 KiB and, digested, some 105 KiB more, an older one 27 KiB; samples up to 260 KiB, only
// while they are collected. All of it is charged to the cache. The contexts are the process's (`ZstdContextPool`).

/// Compression of one cache's values. Any thread. Nobody waits for training.
package final class CacheCompressor: Sendable {
    /// Values shorter than this are stored as they are.
    package static let threshold = 64
    /// The same where there is no dictionary.
    package static let plainThreshold = 128
    /// Longer values gain too little by a dictionary, and are more use to a client as plain zstd.
    package static let dictionaryLimit = 64 << 10

    enum Phase: UInt8, AtomicRepresentable {
        /// The cache is too small yet.
        case waiting
        /// `compress` sets samples aside.
        case collecting
        /// There are enough of them.
        case ready
        /// The ratio is watched.
        case settled
    }

    /// Sums of values in bytes. Only ever grow.
    struct Sums: ~Copyable {
        let plain = Atomic<UInt64>(0)
        let stored = Atomic<UInt64>(0)
        /// Of values that were tried, and not worth it.
        let declined = Atomic<UInt64>(0)

        @inline(__always)
        func count(_ plainBytes: Int, stored storedBytes: Int?) {
            guard let storedBytes else {
                declined.wrappingAdd(UInt64(plainBytes), ordering: .relaxed)
                return
            }
            plain.wrappingAdd(UInt64(plainBytes), ordering: .relaxed)
            stored.wrappingAdd(UInt64(storedBytes), ordering: .relaxed)
        }
    }

    private let modeNumber: Atomic<UInt8>
    let phase = Atomic<Phase>(.waiting)
    let table = DictionaryTable()
    let collector = SampleCollector()
    let withoutDictionary = Sums()
    let withDictionary = Sums()
    let trainings = Atomic<UInt64>(0)
    /// Held by whoever ticks or changes the mode.
    let watch = Guarded(RatioWatch())

    package init(mode: CompressionMode) {
        modeNumber = Atomic(Self.number(of: mode))
    }

    private static func number(of mode: CompressionMode) -> UInt8 {
        switch mode {
        case .off: 0
        case .zstd: 1
        case .zstdDictionary: 2
        }
    }

    // MARK: Mode

    package var mode: CompressionMode {
        switch modeNumber.load(ordering: .relaxed) {
        case 0: .off
        case 1: .zstd
        default: .zstdDictionary
        }
    }

    /// Takes effect for values that come. What is stored stays readable, and keeps its dictionaries as long.
    package func setMode(_ mode: CompressionMode) {
        watch.withLock { watch in
            modeNumber.store(Self.number(of: mode), ordering: .relaxed)
            guard mode != .zstdDictionary else { return }
            phase.store(.waiting, ordering: .relaxed)
            _ = collector.take()
            table.retireCurrent()
            watch = RatioWatch()
        }
    }

    // MARK: Compressing

    /// Appends the compressed form of `value` to `out`, if that is worth it.
    ///
    /// - Returns: nil, and `out` is as before, if the value is to be stored as it is. A `version` other than 0 is **held
    ///   already** for the caller: it belongs to the item that is stored, or is given back by ``release(version:)``.
    func compress(
        _ value: UnsafeRawBufferPointer, into out: inout ScratchBytes
    ) -> (encoding: StoredEncoding, version: UInt8)? {
        guard value.count >= Self.threshold else { return nil }
        switch mode {
        case .off: return nil
        case .zstd: return compressPlain(value, into: &out)
        case .zstdDictionary: break
        }
        guard value.count <= Self.dictionaryLimit else { return compressPlain(value, into: &out) }
        if phase.load(ordering: .relaxed) == .collecting, collector.add(value) {
            _ = phase.compareExchange(expected: .collecting, desired: .ready, ordering: .relaxed)
        }
        let start = out.count
        let use = table.withCurrent { dictionary in
            Self.append(value, dictionary: dictionary, format: .magicless, to: &out)
        }
        switch use {
        case .noDictionary:
            return compressPlain(value, into: &out)
        case .declined:
            withDictionary.count(value.count, stored: nil)
            return nil
        case .held(let version):
            withDictionary.count(value.count, stored: out.count - start)
            return (.zstdDictionary, version)
        }
    }

    private func compressPlain(
        _ value: UnsafeRawBufferPointer, into out: inout ScratchBytes
    ) -> (encoding: StoredEncoding, version: UInt8)? {
        guard value.count >= Self.plainThreshold else { return nil }
        let start = out.count
        let isWorthwhile = Self.append(value, dictionary: nil, format: .standard, to: &out)
        withoutDictionary.count(value.count, stored: isWorthwhile ? out.count - start : nil)
        return isWorthwhile ? (.zstd, 0) : nil
    }

    @inline(__always)
    private static func append(
        _ value: UnsafeRawBufferPointer, dictionary: OpaquePointer?, format: ZstdCodec.Format,
        to out: inout ScratchBytes
    ) -> Bool {
        let start = out.count
        let target = out.extend(by: ZstdCodec.worthwhileBytes(for: value.count))
        let count = ZstdCodec.compress(value, dictionary: dictionary, format: format, into: target)
        out.truncate(to: start + (count ?? 0))
        return count != nil
    }

    // MARK: Opening

    /// How many bytes a stored payload opens to. nil if it is damaged; a damaged one may say a wrong number, but none that
    /// so many bytes could not open to.
    package static func plainSize(_ payload: UnsafeRawBufferPointer, _ encoding: StoredEncoding) -> Int? {
        guard encoding != .identity else { return payload.count }
        guard let header = ZstdFrameHeader(payload, isMagicless: encoding == .zstdDictionary),
            let size = header.contentBytes
        else { return nil }
        // The smallest block is a head of three bytes and one to be repeated.
        let blocks = UInt64((payload.count - header.byteCount) / 4 + 1)
        return size <= blocks * UInt64(ZstdFrameHeader.maximumBlockBytes) ? Int(size) : nil
    }

    /// Opens a stored payload into `target`, which is exactly as long as ``plainSize(_:_:)`` says and does not overlap it.
    ///
    /// - Parameter version: what ``compress(_:into:)`` returned. An item of that version must be alive for as long: either
    ///   the one that the payload lies in, under the lock of its stripe, or one that the caller took by ``retain(version:)``.
    /// - Returns: false if the payload is damaged; what is in `target` is then arbitrary.
    package func decompress(
        _ payload: UnsafeRawBufferPointer, _ encoding: StoredEncoding, version: UInt8,
        into target: UnsafeMutableRawBufferPointer
    ) -> Bool {
        switch encoding {
        case .identity:
            guard payload.count == target.count else { return false }
            target.copyMemory(from: payload)
            return true
        case .zstd:
            return ZstdCodec.decompress(payload, into: target) == .done(target.count)
        case .zstdDictionary:
            guard let dictionary = table.decompressor(version) else { return false }
            return ZstdCodec.decompress(payload, dictionary: dictionary, format: .magicless, into: target)
                == .done(target.count)
        }
    }

    /// One more holder of a version of which the caller has an item alive. For 0 nothing happens.
    package func retain(version: UInt8) { table.retain(version) }

    /// One holder fewer: an item is gone, or was not stored. A dictionary that is not the current one goes with its last.
    package func release(version: UInt8) { table.release(version) }

    // MARK: Figures

    /// What the cache is charged for: samples and dictionaries.
    package var chargedBytes: Int { table.bytes + collector.bytes }

    package var statistics: CompressionStatistics {
        var statistics = CompressionStatistics()
        statistics.plainBytes =
            withoutDictionary.plain.load(ordering: .relaxed) + withDictionary.plain.load(ordering: .relaxed)
        statistics.storedBytes =
            withoutDictionary.stored.load(ordering: .relaxed) + withDictionary.stored.load(ordering: .relaxed)
        statistics.dictionaryBytes = chargedBytes
        statistics.dictionaryVersion = table.currentVersion
        statistics.trainings = trainings.load(ordering: .relaxed)
        return statistics
    }
}
