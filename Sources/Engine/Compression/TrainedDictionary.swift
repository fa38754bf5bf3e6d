import CZstd

/// A dictionary ready for use in both directions, 8 or 16 KiB of text that values of the cache have in common.
///
/// libzstd digests it once for each direction: for compressing into hash tables (64 KiB with the parameters chosen here,
/// a fifth of what its own choice takes, for 1-2 % of the ratio), for decompressing into tables of its entropy coders (27
/// KiB). Both refer to the one copy of the text.
// `compressor` changes once, to nil, by the rules of `DictionaryTable`; everything else is constant. libzstd's digested
// dictionaries may be read by any number of threads.
final class TrainedDictionary: @unchecked Sendable {
    let text: UnsafeMutableRawBufferPointer
    let decompressor: OpaquePointer
    private(set) var compressor: OpaquePointer?
    private let decompressorBytes: Int
    private let compressorBytes: Int

    /// 2^13 entries in each of the two tables of level 3 (its own choice for 16 KiB: 2^16 and 2^15).
    private static let tableLog: UInt32 = 13

    /// Copies `text`. nil if it is no dictionary or there is no memory.
    init?(_ text: UnsafeRawBufferPointer) {
        var parameters = ZSTD_getCParams(ZstdCodec.level, 512, text.count)
        parameters.hashLog = min(parameters.hashLog, Self.tableLog)
        parameters.chainLog = min(parameters.chainLog, Self.tableLog)
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: text.count, alignment: 16)
        copy.copyMemory(from: text)
        let memory = ZSTD_customMem(customAlloc: nil, customFree: nil, opaque: nil)
        let compressor = ZSTD_createCDict_advanced(
            copy.baseAddress, copy.count, ZSTD_dlm_byRef, ZSTD_dct_fullDict, parameters, memory)
        let decompressor = ZSTD_createDDict_advanced(
            copy.baseAddress, copy.count, ZSTD_dlm_byRef, ZSTD_dct_fullDict, memory)
        guard let compressor, let decompressor else {
            ZSTD_freeCDict(compressor)
            ZSTD_freeDDict(decompressor)
            copy.deallocate()
            return nil
        }
        self.text = copy
        self.compressor = compressor
        self.decompressor = decompressor
        compressorBytes = ZSTD_sizeof_CDict(compressor)
        decompressorBytes = ZSTD_sizeof_DDict(decompressor)
    }

    deinit {
        ZSTD_freeCDict(compressor)
        ZSTD_freeDDict(decompressor)
        text.deallocate()
    }

    /// Frees what only new values need.
    func retireCompressor() {
        ZSTD_freeCDict(compressor)
        compressor = nil
    }

    var bytes: Int { text.count + decompressorBytes + (compressor == nil ? 0 : compressorBytes) }
}
