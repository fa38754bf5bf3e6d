import COpenSSL
import Tenancy

/// Randomness for secrets and for identities that nobody may guess: libcrypto's generator, seeded by the kernel.
package enum SecureRandom {
    /// - Throws: ``MartletError/internalFailure(_:)`` when the generator cannot be seeded. A weaker source is never
    ///   used in its place.
    package static func bytes(_ count: Int) throws(MartletError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        let filled = bytes.withUnsafeMutableBufferPointer { buffer in
            RAND_bytes(buffer.baseAddress, CInt(clamping: buffer.count)) == 1
        }
        guard filled else {
            throw .internalFailure("the system's random generator is not ready")
        }
        return bytes
    }

    /// 128 random bits as 32 hexadecimal digits: the `id` of a key or a token. Not a secret, but unique without asking
    /// anybody.
    package static func identifier() throws(MartletError) -> String {
        hexadecimal(try bytes(16))
    }

    /// Lower-case hexadecimal digits, two a byte.
    static func hexadecimal(_ bytes: [UInt8]) -> String {
        let digits = Array("0123456789abcdef".utf8)
        var text: [UInt8] = []
        text.reserveCapacity(bytes.count * 2)
        for byte in bytes {
            text.append(digits[Int(byte >> 4)])
            text.append(digits[Int(byte & 15)])
        }
        return String(decoding: text, as: UTF8.self)
    }
}
