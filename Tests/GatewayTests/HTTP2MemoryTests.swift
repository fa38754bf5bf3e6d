import CNGHTTP2
import Testing

@testable import Gateway

@Suite struct HTTP2MemoryTests {
    private let memory = HTTP2Memory()

    private func allocate(_ size: Int) -> UnsafeMutableRawPointer? {
        memory.callbacks.pointee.malloc(size, memory.callbacks.pointee.mem_user_data)
    }

    private func reallocate(_ block: UnsafeMutableRawPointer?, _ size: Int) -> UnsafeMutableRawPointer? {
        memory.callbacks.pointee.realloc(block, size, memory.callbacks.pointee.mem_user_data)
    }

    private func free(_ block: UnsafeMutableRawPointer?) {
        memory.callbacks.pointee.free(block, memory.callbacks.pointee.mem_user_data)
    }

    /// Blocks of random sizes, grown, shrunk and freed in random order: what lies in each stays its own.
    @Test(arguments: 0..<4)
    func blocksKeepTheirContents(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        var blocks: [(start: UnsafeMutableRawPointer, size: Int, byte: UInt8)] = []
        func check(_ block: (start: UnsafeMutableRawPointer, size: Int, byte: UInt8), first count: Int) -> Bool {
            UnsafeRawBufferPointer(start: block.start, count: count).allSatisfy { $0 == block.byte }
        }
        let sizes = [1, 31, 32, 33, 64, 100, 1000, 1024, 1025, 2000, 16_384, 70_000]
        for _ in 0..<5000 {
            let size = sizes.randomElement(using: &generator) ?? 1
            let byte = UInt8.random(in: 0...255, using: &generator)
            switch Int.random(in: 0..<3, using: &generator) {
            case 0:
                let start = try #require(allocate(size))
                #expect(Int(bitPattern: start) % 16 == 0)
                start.initializeMemory(as: UInt8.self, repeating: byte, count: size)
                blocks.append((start, size, byte))
            case 1 where !blocks.isEmpty:
                let index = Int.random(in: 0..<blocks.count, using: &generator)
                let old = blocks[index]
                let start = try #require(reallocate(old.start, size))
                #expect(check((start, size, old.byte), first: min(old.size, size)))
                start.initializeMemory(as: UInt8.self, repeating: byte, count: size)
                blocks[index] = (start, size, byte)
            default:
                guard !blocks.isEmpty else { continue }
                let block = blocks.remove(at: Int.random(in: 0..<blocks.count, using: &generator))
                #expect(check(block, first: block.size))
                free(block.start)
            }
        }
        for block in blocks {
            #expect(check(block, first: block.size))
            free(block.start)
        }
    }

    @Test func clearedBlocksAreClearAlsoWhenTheyAreUsedAgain() throws {
        let first = try #require(allocate(64))
        first.initializeMemory(as: UInt8.self, repeating: 0xFF, count: 64)
        free(first)
        let callbacks = memory.callbacks.pointee
        let second = try #require(callbacks.calloc(4, 16, callbacks.mem_user_data))
        #expect(UnsafeRawBufferPointer(start: second, count: 64).allSatisfy { $0 == 0 })
        free(second)
        #expect(callbacks.calloc(Int.max, 16, callbacks.mem_user_data) == nil)
    }

    @Test func nothingMayBeFreedAndGrown() throws {
        free(nil)
        let block = try #require(reallocate(nil, 40))
        free(block)
        // A block of no bytes has none to copy.
        let empty = try #require(allocate(0))
        let grown = try #require(reallocate(empty, 1000))
        grown.initializeMemory(as: UInt8.self, repeating: 1, count: 1000)
        free(grown)
    }
}
