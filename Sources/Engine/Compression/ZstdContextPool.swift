#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif
import CZstd
import Synchronization

// A context of libzstd is its working memory: for compressing 30 KiB to more than a megabyte, by the size of the values,
// for decompressing 94 KiB. To make one for each value would cost more than the value; to keep one for each cache would
// cost more than most caches. So the process keeps a few, as many as it has cores, of each kind.
//
// Taking and giving back is one exchange of an atomic word. Each thread begins to look at a place of its own, and so
// mostly gets the context that it used last, which is still warm. Who finds none makes one; who finds no free place, or
// comes with a context that a large value has blown up, frees it. Nobody waits.

/// Contexts of libzstd for the whole process. Any thread.
final class ZstdContextPool: Sendable {
    enum Kind {
        case compression
        case decompression
    }

    static let compression = ZstdContextPool(.compression)
    static let decompression = ZstdContextPool(.decompression)

    /// A context that has grown beyond this is not kept.
    static let keptContextBytes = 768 << 10
    private static let maximumPlaces = 16

    private let kind: Kind
    private let placeCount: Int
    /// Addresses of the contexts that nobody uses; 0 for none.
    private let places: InlineArray<16, Atomic<UInt>>
    private let idle = Atomic<Int>(0)

    init(_ kind: Kind, placeCount: Int = Int(sysconf(CInt(_SC_NPROCESSORS_ONLN)))) {
        self.kind = kind
        self.placeCount = min(max(placeCount, 2), Self.maximumPlaces)
        places = InlineArray { _ in Atomic(0) }
    }

    deinit {
        for index in 0..<placeCount {
            if let context = OpaquePointer(bitPattern: places[index].load(ordering: .acquiring)) { free(context) }
        }
    }

    /// Memory of the contexts that wait to be used. Belongs to the process, no cache is charged for it.
    var idleBytes: Int { idle.load(ordering: .relaxed) }

    /// Lends a context to `body`. nil if libzstd gets no memory.
    @inline(__always)
    func withContext<Result>(_ body: (OpaquePointer) -> Result?) -> Result? {
        let first = Self.firstPlace
        guard let context = take(from: first) ?? make() else { return nil }
        let result = body(context)
        put(context, from: first)
        return result
    }

    /// Differs from thread to thread. Threads lie some multiple of a page apart.
    @inline(__always)
    private static var firstPlace: Int {
        #if canImport(Darwin)
        let thread = UInt(bitPattern: pthread_self())
        #else
        let thread = UInt(pthread_self())
        #endif
        return Int(truncatingIfNeeded: ((thread >> 12) &* 0x9e37_79b9_7f4a_7c15) >> 40)
    }

    private func take(from first: Int) -> OpaquePointer? {
        for step in 0..<placeCount {
            let place = (first + step) % placeCount
            guard places[place].load(ordering: .relaxed) != 0 else { continue }
            if let context = OpaquePointer(bitPattern: places[place].exchange(0, ordering: .acquiring)) {
                idle.wrappingSubtract(size(context), ordering: .relaxed)
                return context
            }
        }
        return nil
    }

    private func put(_ context: OpaquePointer, from first: Int) {
        let size = size(context)
        if size <= Self.keptContextBytes {
            // Before others can take it and subtract.
            idle.wrappingAdd(size, ordering: .relaxed)
            for step in 0..<placeCount {
                let place = (first + step) % placeCount
                let outcome = places[place].compareExchange(
                    expected: 0, desired: UInt(bitPattern: context), ordering: .releasing)
                if outcome.exchanged { return }
            }
            idle.wrappingSubtract(size, ordering: .relaxed)
        }
        free(context)
    }

    private func make() -> OpaquePointer? {
        switch kind {
        case .compression: ZSTD_createCCtx()
        case .decompression: ZSTD_createDCtx()
        }
    }

    private func size(_ context: OpaquePointer) -> Int {
        switch kind {
        case .compression: ZSTD_sizeof_CCtx(context)
        case .decompression: ZSTD_sizeof_DCtx(context)
        }
    }

    private func free(_ context: OpaquePointer) {
        switch kind {
        case .compression: ZSTD_freeCCtx(context)
        case .decompression: ZSTD_freeDCtx(context)
        }
    }
}
