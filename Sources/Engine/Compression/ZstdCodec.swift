import CZstd

/// libzstd's calls as the engine makes them, on contexts of the pool. No state of its own.
enum ZstdCodec {
    /// Level 3. Measured on small and middling JSON and on HTML: with a dictionary 1-14 % smaller than level 1 for some
    /// 10 % more time (levels 1 and 2 differ by nothing), without one the same size for 20 % more.
    static let level: CInt = 3

    enum Format {
        case standard
        case magicless

        fileprivate var value: CInt {
            switch self {
            case .standard: CInt(ZSTD_f_zstd1.rawValue)
            case .magicless: CInt(ZSTD_f_zstd1_magicless.rawValue)
            }
        }
    }

    /// Compresses into `target`. nil if it does not fit in there, or libzstd fails.
    @inline(__always)
    static func compress(
        _ value: UnsafeRawBufferPointer, dictionary: OpaquePointer? = nil, format: Format = .standard,
        into target: UnsafeMutableRawBufferPointer
    ) -> Int? {
        ZstdContextPool.compression.withContext { context in
            // Whoever had the context before left its parameters, perhaps a frame half done, and the address of a
            // dictionary that may be gone.
            ZSTD_CCtx_reset(context, ZSTD_reset_session_and_parameters)
            ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, level)
            if let dictionary {
                // ZSTD_c_format, which is a macro that Swift does not see.
                ZSTD_CCtx_setParameter(context, ZSTD_c_experimentalParam2, format.value)
                ZSTD_CCtx_setParameter(context, ZSTD_c_dictIDFlag, 0)
                ZSTD_CCtx_refCDict(context, dictionary)
            }
            let count = ZSTD_compress2(context, target.baseAddress, target.count, value.baseAddress, value.count)
            return ZSTD_isError(count) == 0 ? count : nil
        }
    }

    /// Decompresses all of `payload` into `target` and never writes beyond it. nil if it does not fit, or is damaged.
    @inline(__always)
    static func decompress(
        _ payload: UnsafeRawBufferPointer, dictionary: OpaquePointer? = nil, format: Format = .standard,
        into target: UnsafeMutableRawBufferPointer
    ) -> Outcome {
        let outcome = ZstdContextPool.decompression.withContext { context -> Outcome? in
            ZSTD_DCtx_reset(context, ZSTD_reset_session_only)
            // ZSTD_d_format.
            ZSTD_DCtx_setParameter(context, ZSTD_d_experimentalParam1, format.value)
            let count = ZSTD_decompress_usingDDict(
                context, target.baseAddress, target.count, payload.baseAddress, payload.count, dictionary)
            guard ZSTD_isError(count) != 0 else { return .done(count) }
            return ZSTD_getErrorCode(count) == ZSTD_error_dstSize_tooSmall ? .tooLarge : .damaged
        }
        return outcome ?? .damaged
    }

    enum Outcome: Equatable {
        case done(Int)
        /// There is more than `target` holds.
        case tooLarge
        case damaged
    }

    /// What a value must shrink to for it to be held compressed: to open it costs each reader about a microsecond.
    @inline(__always)
    static func worthwhileBytes(for plainBytes: Int) -> Int {
        plainBytes - max(16, plainBytes / 8)
    }
}
