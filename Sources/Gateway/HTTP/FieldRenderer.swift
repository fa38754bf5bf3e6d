import CacheService
import Tenancy

/// Renders header values into memory that stays where it is. Callers ask for less than
/// ``Exchange/renderedCapacity`` bytes in all: three decimals and one entity tag.
struct FieldRenderer {
    private let memory: UnsafeMutableRawPointer
    private var position = 0

    init(_ memory: UnsafeMutableRawPointer) {
        self.memory = memory
    }

    /// The decimal digits of a number that is not negative. At most 20 bytes.
    mutating func decimal(_ number: Int) -> UnsafeRawBufferPointer {
        var digits: (UInt64, UInt64, UInt64) = (0, 0, 0)
        return withUnsafeMutableBytes(of: &digits) { digits in
            var rest = UInt(bitPattern: number)
            var index = 24
            repeat {
                index -= 1
                digits[index] = UInt8(truncatingIfNeeded: 0x30 + rest % 10)
                rest /= 10
            } while rest > 0
            return append(UnsafeRawBufferPointer(rebasing: digits[index..<24]))
        }
    }

    /// The hexadecimal digits of a number. At most 16 bytes.
    mutating func hexadecimal(_ number: UInt64) -> UnsafeRawBufferPointer {
        let start = position
        let digits = max(1, (67 - number.leadingZeroBitCount) / 4)
        for shift in stride(from: (digits - 1) * 4, through: 0, by: -4) {
            putDigit(number >> UInt64(shift))
        }
        return UnsafeRawBufferPointer(start: memory + start, count: position - start)
    }

    /// `"` and 32 hexadecimal digits and `"`: a strong entity tag (RFC 9110 section 8.8.3), with `-zstd` in it for that
    /// form. 34 or 39 bytes.
    mutating func etag(_ tag: EntityTag) -> UnsafeRawBufferPointer {
        let start = position
        put(0x22)
        putHexadecimal(tag.hash.high)
        putHexadecimal(tag.hash.low)
        if tag.coding == .zstd { put(EntityTag.zstdSuffix) }
        put(0x22)
        return UnsafeRawBufferPointer(start: memory + start, count: position - start)
    }

    private mutating func append(_ bytes: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        let start = memory + position
        start.copyMemory(from: bytes.baseAddress.unsafelyUnwrapped, byteCount: bytes.count)  // never empty
        position += bytes.count
        return UnsafeRawBufferPointer(start: start, count: bytes.count)
    }

    private mutating func put(_ text: StaticString) {
        (memory + position).copyMemory(from: text.utf8Start, byteCount: text.utf8CodeUnitCount)
        position += text.utf8CodeUnitCount
    }

    private mutating func put(_ byte: UInt8) {
        memory.storeBytes(of: byte, toByteOffset: position, as: UInt8.self)
        position += 1
    }

    private mutating func putHexadecimal(_ number: UInt64) {
        for shift in stride(from: 60, through: 0, by: -4) {
            putDigit(number >> UInt64(shift))
        }
    }

    private mutating func putDigit(_ number: UInt64) {
        let nibble = UInt8(truncatingIfNeeded: number) & 0xF
        put(nibble < 10 ? 0x30 + nibble : 0x57 + nibble)
    }
}
