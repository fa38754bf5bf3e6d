#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

extension UnsafeRawBufferPointer {
    /// Whether these bytes are exactly the ASCII text `text`. Cost: one `memcmp`, no allocation.
    @inline(__always)
    func matches(_ text: StaticString) -> Bool {
        guard count == text.utf8CodeUnitCount else { return false }
        guard let base = baseAddress else { return true }
        return memcmp(base, text.utf8Start, count) == 0
    }

    /// Whether these bytes begin with the ASCII text `text`.
    @inline(__always)
    func starts(withText text: StaticString) -> Bool {
        guard count >= text.utf8CodeUnitCount, let base = baseAddress else { return text.utf8CodeUnitCount == 0 }
        return memcmp(base, text.utf8Start, text.utf8CodeUnitCount) == 0
    }

    /// Whether these bytes equal `other`'s.
    @inline(__always)
    func equals(_ other: UnsafeRawBufferPointer) -> Bool {
        guard count == other.count else { return false }
        guard let left = baseAddress, let right = other.baseAddress else { return true }
        return memcmp(left, right, count) == 0
    }

    /// Whether these bytes equal `other`'s, in a time that depends on their number alone: for credentials. Cost: a few
    /// nanoseconds for each hundred bytes.
    func equalsInConstantTime(_ other: UnsafeRawBufferPointer) -> Bool {
        guard count == other.count else { return false }
        var difference: UInt64 = 0
        var index = 0
        while index + 8 <= count {
            difference |=
                loadUnaligned(fromByteOffset: index, as: UInt64.self)
                ^ other.loadUnaligned(fromByteOffset: index, as: UInt64.self)
            index += 8
        }
        while index < count {
            difference |= UInt64(self[index] ^ other[index])
            index += 1
        }
        return difference == 0
    }

    /// Whether these bytes are `text` without regard to ASCII case; `text` must be lower case.
    func matchesIgnoringCase(_ text: StaticString) -> Bool {
        guard count == text.utf8CodeUnitCount else { return false }
        for index in 0..<count {
            let byte = self[index]
            let lowered = byte >= 0x41 && byte <= 0x5A ? byte | 0x20 : byte
            if lowered != text.utf8Start[index] { return false }
        }
        return true
    }

    /// Without the blanks at its ends. Cost: two comparisons where there are none.
    @inline(__always)
    var withoutBlanks: UnsafeRawBufferPointer {
        guard let first, let last else { return self }
        guard first == 0x20 || first == 0x09 || last == 0x20 || last == 0x09 else { return self }
        let start = firstIndex { $0 != 0x20 && $0 != 0x09 } ?? count
        let end = lastIndex { $0 != 0x20 && $0 != 0x09 }.map { $0 + 1 } ?? count
        return slice(start..<end)
    }

    /// A sub-range as a pointer of its own.
    @inline(__always)
    func slice(_ range: Range<Int>) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: self[range])
    }
}

extension UnsafeRawBufferPointer {
    /// The unsigned decimal number that these bytes spell, all of them digits; nil when empty, longer than 19 digits or
    /// anything else.
    var decimal: UInt64? {
        guard count > 0, count <= 19 else { return nil }
        var number: UInt64 = 0
        for byte in self {
            guard byte >= 0x30, byte <= 0x39 else { return nil }
            number = number * 10 + UInt64(byte - 0x30)
        }
        return number
    }
}

/// Where a slice of a growable byte arena lies.
struct ByteRange: Equatable {
    var start: Int32 = 0
    var end: Int32 = 0

    @inline(__always)
    init() {}

    @inline(__always)
    init(_ start: Int, _ end: Int) {
        self.start = Int32(truncatingIfNeeded: start)
        self.end = Int32(truncatingIfNeeded: end)
    }

    @inline(__always)
    var range: Range<Int> { Int(start)..<Int(end) }

    @inline(__always)
    var count: Int { Int(end - start) }

    @inline(__always)
    var isEmpty: Bool { start == end }
}
