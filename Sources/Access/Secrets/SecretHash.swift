import COpenSSL

/// The SHA-256 of a secret (FIPS 180-4): how the catalog and the data path know an API key without holding it.
///
/// One round without salt is enough, because every secret that is hashed so carries at least 128 random bits: there is
/// nothing to guess from a dictionary. Equality looks at all bits whatever they hold.
package struct SecretHash: Hashable, Sendable, Redacted {
    private let word0: UInt64
    private let word1: UInt64
    private let word2: UInt64
    private let word3: UInt64

    package static let byteCount = 32

    /// Cost: one SHA-256, no allocation.
    package init(of secret: UnsafeRawBufferPointer) {
        var digest: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
        withUnsafeMutableBytes(of: &digest) { output in
            // libcrypto wants an address even for no bytes.
            if let base = secret.baseAddress {
                _ = SHA256(base, secret.count, output.baseAddress)
            } else {
                var nothing: UInt8 = 0
                _ = SHA256(&nothing, 0, output.baseAddress)
            }
        }
        (word0, word1, word2, word3) = digest
    }

    /// The hash of a text's UTF-8 bytes.
    package init(of secret: String) {
        self = Array(secret.utf8).withUnsafeBytes { SecretHash(of: $0) }
    }

    /// A hash that was stored. Nil unless there are exactly 32 bytes.
    package init?(bytes: some Collection<UInt8>) {
        guard bytes.count == Self.byteCount else { return nil }
        var digest: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
        withUnsafeMutableBytes(of: &digest) { $0.copyBytes(from: bytes) }
        (word0, word1, word2, word3) = digest
    }

    /// The 32 bytes, as the catalog stores them.
    package var bytes: [UInt8] {
        withUnsafeBytes(of: (word0, word1, word2, word3)) { Array($0) }
    }

    package static func == (left: SecretHash, right: SecretHash) -> Bool {
        (left.word0 ^ right.word0) | (left.word1 ^ right.word1) | (left.word2 ^ right.word2)
            | (left.word3 ^ right.word3) == 0
    }
}
