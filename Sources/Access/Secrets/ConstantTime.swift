import COpenSSL

/// Whether two secrets are equal, in a time that depends on their lengths alone and not on where they first differ.
///
/// The length of a secret is not a secret here: every form that Martlet issues has a fixed one.
package func constantTimeEqual(_ left: UnsafeRawBufferPointer, _ right: UnsafeRawBufferPointer) -> Bool {
    guard left.count == right.count else { return false }
    guard let leftBase = left.baseAddress, let rightBase = right.baseAddress else { return left.isEmpty }
    return CRYPTO_memcmp(leftBase, rightBase, left.count) == 0
}

/// The same over arrays.
package func constantTimeEqual(_ left: [UInt8], _ right: [UInt8]) -> Bool {
    left.withUnsafeBytes { leftBytes in
        right.withUnsafeBytes { rightBytes in constantTimeEqual(leftBytes, rightBytes) }
    }
}
