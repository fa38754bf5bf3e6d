import Foundation

@testable import Engine

/// A sealer's operations on whole arrays.
extension CacheSealer {
    /// nil if it refuses.
    func sealed(_ plain: [UInt8], key: [UInt8] = [1], context: [UInt8] = [], lane: Int = 0) -> [UInt8]? {
        var stored = [UInt8](repeating: 0xee, count: plain.count + Self.overhead)
        let isSealed = withAll(plain, key, context) { plain, key, context in
            stored.withUnsafeMutableBytes { seal(plain, key: key, context: context, lane: lane, into: $0) }
        }
        return isSealed ? stored : nil
    }

    /// nil if it refuses; what is then in the memory for the plain is checked to be zeros.
    func opened(_ stored: [UInt8], key: [UInt8] = [1], context: [UInt8] = [], lane: Int = 0) -> [UInt8]? {
        var plain = [UInt8](repeating: 0xee, count: max(stored.count - Self.overhead, 0))
        let isOpened = withAll(stored, key, context) { stored, key, context in
            plain.withUnsafeMutableBytes { open(stored, key: key, context: context, lane: lane, into: $0) }
        }
        precondition(isOpened || plain.allSatisfy { $0 == 0 }, "something not authentic can be read")
        return isOpened ? plain : nil
    }
}

func withAll<Result>(
    _ first: [UInt8], _ second: [UInt8], _ third: [UInt8],
    _ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer, UnsafeRawBufferPointer) -> Result
) -> Result {
    first.withUnsafeBytes { first in
        second.withUnsafeBytes { second in third.withUnsafeBytes { body(first, second, $0) } }
    }
}

extension SeededGenerator {
    mutating func noise(_ count: Int) -> [UInt8] {
        (0..<count).map { _ in UInt8(truncatingIfNeeded: next()) }
    }
}

/// Runs `body` on so many threads at once and waits for all.
func runOnThreads(_ count: Int, _ body: @escaping @Sendable (Int) -> Void) {
    let done = DispatchSemaphore(value: 0)
    for number in 0..<count {
        Thread.detachNewThread {
            body(number)
            done.signal()
        }
    }
    for _ in 0..<count { done.wait() }
}
