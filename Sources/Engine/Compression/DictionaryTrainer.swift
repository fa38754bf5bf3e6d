import CZstd

/// Makes a dictionary of samples, by libzstd's `fastCover`, and finds out what one is worth.
///
/// Cost: 9-16 ms of one core for 256 KiB of samples on the machine where this was measured, and while it runs about 1.5 MiB
/// besides the samples. The parameters: segments are scored by hashed words of 8 bytes (`d`) in a table of 2^16 (`f`), of
/// which every fourth is looked at (`accel`); five lengths of segments (`k`) are tried, each judged on the quarter of
/// the samples that it was not made of. With 2^18 and every word it took twice as long for the same ratio.
///
/// Reference: Liao, Petri, Moffat, Wirth, "Effective Construction of Relative Lempel-Ziv Dictionaries" (2016).
enum DictionaryTrainer {
    /// Of samples that are 1 KiB or less on average, and of larger ones.
    private static let dictionaryBytes = (small: 8 << 10, large: 16 << 10)
    private static let largeSample = 1 << 10
    /// One of so many samples is kept from the trainer to judge its work by.
    private static let judgedShare = 8

    struct Result {
        let dictionary: TrainedDictionary
        /// What the samples that were kept back take, plain, with the new dictionary, and with the other one: with
        /// `current`, or without any.
        let plainBytes: Int
        let trainedBytes: Int
        let otherBytes: Int
    }

    /// nil if no dictionary can be made of these samples: too few, or nothing in common.
    static func train(_ samples: TrainingSamples, current: TrainedDictionary?) -> Result? {
        let judged = max(1, samples.sizes.count / judgedShare)
        let trained = samples.sizes.count - judged
        let trainedBytes = samples.sizes.prefix(trained).reduce(0, +)
        guard trained >= judgedShare, trainedBytes < samples.bytes.count else { return nil }
        let isLarge = samples.bytes.count / samples.sizes.count > largeSample
        let capacity = isLarge ? dictionaryBytes.large : dictionaryBytes.small

        var parameters = ZDICT_fastCover_params_t()
        parameters.d = 8
        parameters.f = 16
        parameters.steps = 4
        parameters.accel = 4
        parameters.splitPoint = 0.75
        parameters.nbThreads = 1
        parameters.zParams.compressionLevel = ZstdCodec.level
        var text = ScratchBytes(capacity: capacity)
        let target = text.extend(by: capacity)
        let count = samples.bytes.withUnsafeBytes { bytes in
            ZDICT_optimizeTrainFromBuffer_fastCover(
                target.baseAddress, capacity, bytes.baseAddress, samples.sizes, CUnsignedInt(trained), &parameters)
        }
        guard ZDICT_isError(count) == 0, count <= capacity else { return nil }
        text.truncate(to: count)
        guard let dictionary = TrainedDictionary(text.bytes) else { return nil }
        return samples.bytes.withUnsafeBytes { bytes in
            let kept = UnsafeRawBufferPointer(rebasing: bytes[trainedBytes...])
            let sizes = samples.sizes.suffix(judged)
            return Result(
                dictionary: dictionary, plainBytes: kept.count,
                trainedBytes: storedBytes(kept, sizes, with: dictionary),
                otherBytes: storedBytes(kept, sizes, with: current))
        }
    }

    /// What values take compressed where it is worthwhile, as they are where it is not.
    private static func storedBytes(
        _ values: UnsafeRawBufferPointer, _ sizes: ArraySlice<Int>, with dictionary: TrainedDictionary?
    ) -> Int {
        var total = 0
        var start = 0
        var scratch = ScratchBytes(capacity: SampleCollector.sampleBytes)
        for size in sizes {
            let value = UnsafeRawBufferPointer(rebasing: values[start..<start + size])
            start += size
            scratch.removeAll()
            let target = scratch.extend(by: max(ZstdCodec.worthwhileBytes(for: size), 0))
            total +=
                ZstdCodec.compress(
                    value, dictionary: dictionary?.compressor, format: dictionary == nil ? .standard : .magicless,
                    into: target)
                ?? size
        }
        return total
    }
}
