import NIOCore
import Tenancy

/// Reads the text mode of gRPC-web, from any cutting of the bytes.
///
/// A client encodes what it has whenever it likes, so that padding may stand in the middle: behind it a new text begins.
/// Otherwise base64 as strict as elsewhere: no white space, no other alphabet, and the bits that a last letter has to
/// spare are zero.
///
/// Cost: O(bytes). Between calls it holds at most three letters and no heap memory. The first fault is final.
struct GRPCWebTextDecoder {
    /// The letters of the group of four that is being read, six bits each.
    private var bits: UInt32 = 0
    private var letterCount = 0
    private var paddingCount = 0
    private var isAtFault = false

    private static let fault = MartletError.malformed("the body is not base64, as its content type says")

    /// Appends what the piece decodes to.
    mutating func decode(_ piece: UnsafeRawBufferPointer, into buffer: inout ByteBuffer) throws(MartletError) {
        guard !isAtFault else { throw Self.fault }
        let most = (letterCount + paddingCount + piece.count) / 4 * 3
        buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: most) { target in
            var count = 0
            for byte in piece {
                guard take(byte) else {
                    isAtFault = true
                    break
                }
                guard letterCount + paddingCount == 4 else { continue }
                for shift in [UInt32(16), 8, 0].prefix(3 - paddingCount) {
                    target[count] = UInt8(truncatingIfNeeded: bits >> shift)
                    count += 1
                }
                (bits, letterCount, paddingCount) = (0, 0, 0)
            }
            return count
        }
        if isAtFault { throw Self.fault }
    }

    /// To be called at the end of the body.
    ///
    /// - Throws: ``MartletError/malformed(_:)`` when it ends within a group.
    func finish() throws(MartletError) {
        guard !isAtFault, letterCount == 0 else { throw Self.fault }
    }

    @inline(__always)
    private mutating func take(_ byte: UInt8) -> Bool {
        if byte == UInt8(ascii: "=") {
            guard letterCount >= 2 else { return false }
            // Two letters carry 12 bits for one byte, three letters 18 for two.
            let spare: UInt32 = letterCount == 2 ? 0xF000 : 0xC0
            guard bits & spare == 0 else { return false }
            paddingCount += 1
            return true
        }
        guard paddingCount == 0, let sextet = Self.sextet(byte) else { return false }
        letterCount += 1
        bits |= sextet << UInt32(24 - 6 * letterCount)
        return true
    }

    @inline(__always)
    private static func sextet(_ byte: UInt8) -> UInt32? {
        switch byte {
        case 0x41...0x5A: UInt32(byte - 0x41)
        case 0x61...0x7A: UInt32(byte - 0x61 + 26)
        case 0x30...0x39: UInt32(byte - 0x30 + 52)
        case UInt8(ascii: "+"): 62
        case UInt8(ascii: "/"): 63
        default: nil
        }
    }
}
