import COpenSSL

/// How a receiver knows that a message comes from here: HMAC (RFC 2104) with SHA3-256 (FIPS 202).
package enum MessageSignature {
    /// The signature in lower-case hexadecimal digits; nil when libcrypto is configured to refuse SHA-3.
    package static func hexadecimal(of message: [UInt8], secret: [UInt8]) -> String? {
        var code = [UInt8](repeating: 0, count: Int(EVP_MAX_MD_SIZE))
        var count: UInt32 = 0
        let isDone = code.withUnsafeMutableBufferPointer { output in
            message.withUnsafeBufferPointer { message in
                secret.withUnsafeBufferPointer { secret in
                    HMAC(
                        EVP_sha3_256(), secret.baseAddress, CInt(clamping: secret.count), message.baseAddress,
                        message.count, output.baseAddress, &count) != nil
                }
            }
        }
        guard isDone else { return nil }
        let digits = Array("0123456789abcdef".utf8)
        let text = code[..<Int(count)].flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }
        return String(decoding: text, as: UTF8.self)
    }
}
