import CNGHTTP2

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// The memory of one event loop's HTTP/2 sessions: freed blocks are kept by size and given out again.
///
/// libnghttp2 allocates a handful of small blocks for each stream and frees them when it ends. With tens of streams at
/// once that overflows the C library's thread cache, which holds seven blocks of a size, and each block then costs a walk
/// through the heap. Here it costs a pointer.
///
/// ```
/// │ class (16 bytes) │ block …            │        class 0: not kept, straight from and to the C library
///                    ▲ what libnghttp2 sees          class n: 32 × n bytes
/// ```
///
/// At most ``keptBlocks`` of a size are kept, so a burst does not pin its memory. Used on one event loop alone.
final class HTTP2Memory {
    private static let headerBytes = 16
    private static let granule = 32
    private static let classCount = 33
    private static let keptBlocks: Int32 = 1024

    private struct FreeList {
        var first: UnsafeMutableRawPointer?
        var count: Int32 = 0
    }

    private let lists: UnsafeMutablePointer<FreeList>
    /// The callbacks as libnghttp2 takes them. The sessions made with it must end before this does.
    let callbacks: UnsafeMutablePointer<nghttp2_mem>

    init() {
        lists = .allocate(capacity: Self.classCount)
        lists.initialize(repeating: FreeList(), count: Self.classCount)
        callbacks = .allocate(capacity: 1)
        callbacks.initialize(to: nghttp2_mem())
        callbacks.pointee.mem_user_data = Unmanaged.passUnretained(self).toOpaque()
        callbacks.pointee.malloc = { size, memory in pool(memory)._withUnsafeGuaranteedRef { $0.allocate(size) } }
        callbacks.pointee.free = { block, memory in pool(memory)._withUnsafeGuaranteedRef { $0.deallocate(block) } }
        callbacks.pointee.calloc = { count, size, memory in
            let (bytes, overflow) = count.multipliedReportingOverflow(by: size)
            guard !overflow, let block = pool(memory)._withUnsafeGuaranteedRef({ $0.allocate(bytes) }) else {
                return nil
            }
            memset(block, 0, bytes)
            return block
        }
        callbacks.pointee.realloc = { block, size, memory in
            pool(memory)._withUnsafeGuaranteedRef { $0.reallocate(block, size) }
        }
    }

    deinit {
        for index in 0..<Self.classCount {
            while let block = lists[index].first {
                lists[index].first = block.load(as: UnsafeMutableRawPointer?.self)
                free(block)
            }
        }
        lists.deallocate()
        callbacks.deallocate()
    }

    private func allocate(_ size: Int) -> UnsafeMutableRawPointer? {
        let index = size <= Self.granule ? 1 : (size - 1) / Self.granule + 1
        guard index < Self.classCount else {
            return prepare(malloc(size &+ Self.headerBytes), index: 0)
        }
        if let block = lists[index].first {
            lists[index].first = block.load(as: UnsafeMutableRawPointer?.self)
            lists[index].count -= 1
            return prepare(block, index: index)
        }
        return prepare(malloc(index * Self.granule + Self.headerBytes), index: index)
    }

    private func prepare(_ block: UnsafeMutableRawPointer?, index: Int) -> UnsafeMutableRawPointer? {
        guard let block else { return nil }
        block.storeBytes(of: index, as: Int.self)
        return block + Self.headerBytes
    }

    private func deallocate(_ pointer: UnsafeMutableRawPointer?) {
        guard let pointer else { return }
        let block = pointer - Self.headerBytes
        let index = block.load(as: Int.self)
        guard index > 0, lists[index].count < Self.keptBlocks else {
            free(block)
            return
        }
        block.storeBytes(of: lists[index].first, as: UnsafeMutableRawPointer?.self)
        lists[index].first = block
        lists[index].count += 1
    }

    private func reallocate(_ pointer: UnsafeMutableRawPointer?, _ size: Int) -> UnsafeMutableRawPointer? {
        guard let pointer else { return allocate(size) }
        let block = pointer - Self.headerBytes
        let index = block.load(as: Int.self)
        if index == 0, size > Self.granule * (Self.classCount - 1) {
            return prepare(realloc(block, size &+ Self.headerBytes), index: 0)
        }
        let held = index == 0 ? size : index * Self.granule
        if index > 0, size <= held { return pointer }
        guard let new = allocate(size) else { return nil }
        // A block of class 0 is larger than any pooled one, so `size` bytes of it are there.
        memcpy(new, pointer, min(held, size))
        deallocate(pointer)
        return new
    }
}

@inline(__always)
private func pool(_ memory: UnsafeMutableRawPointer?) -> Unmanaged<HTTP2Memory> {
    // Never nil: it is set where the callbacks are.
    Unmanaged.fromOpaque(memory.unsafelyUnwrapped)
}
