import COpenSSL
import Tenancy

/// SHA-1 (FIPS 180-4), for `Sec-WebSocket-Accept` (RFC 6455 section 4.2.2) and nothing else.
///
/// There it shows that a server has read the handshake, and guards nothing. It must not be used where collisions
/// matter: they can be made since 2017. Secrets are ``SecretHash``'s.
package enum SHA1 {
    /// - Throws: ``MartletError/internalFailure(_:)`` when libcrypto is configured to refuse SHA-1.
    package static func digest(of bytes: [UInt8]) throws(MartletError) -> [UInt8] {
        var digest = [UInt8](repeating: 0, count: 20)
        let isDone = digest.withUnsafeMutableBufferPointer { output in
            bytes.withUnsafeBufferPointer { input in
                EVP_Digest(input.baseAddress, input.count, output.baseAddress, nil, EVP_sha1(), nil) == 1
            }
        }
        guard isDone else { throw .internalFailure("libcrypto refuses SHA-1") }
        return digest
    }
}
