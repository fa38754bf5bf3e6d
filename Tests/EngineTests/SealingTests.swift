import COpenSSL
import Testing

@testable import Engine

@Suite struct SealingTests {
    private static let lengths = [0, 1, 15, 16, 17, 31, 100, 4096, 100_000]

    @Test func whatWasSealedOpensOnAnyLane() throws {
        var random = SeededGenerator(seed: 1)
        let sealer = CacheSealer(cacheID: 7, laneCount: 4)
        for length in Self.lengths {
            let plain = random.noise(length)
            for lane in 0..<4 {
                let stored = try #require(sealer.sealed(plain, key: [9, 9], context: [3], lane: lane))
                #expect(stored.count == length + CacheSealer.overhead)
                #expect(sealer.opened(stored, key: [9, 9], context: [3], lane: 3 - lane) == plain)
            }
        }
    }

    @Test func equalValuesAreSealedToDifferentBytes() throws {
        let sealer = CacheSealer(cacheID: 7, laneCount: 1)
        let plain = [UInt8](repeating: 0, count: 64)
        let first = try #require(sealer.sealed(plain))
        let second = try #require(sealer.sealed(plain))
        #expect(first[8...] != second[8...])
        #expect(first.suffix(16) != second.suffix(16))
    }

    @Test func sealsAndOpensInPlace() {
        let sealer = CacheSealer(cacheID: 7, laneCount: 1)
        let plain = [UInt8]((0..<100).map { UInt8($0) })
        var stored = [UInt8](repeating: 0, count: 124)
        stored.replaceSubrange(8..<108, with: plain)
        let isSealed = withAll([5], [], []) { key, context, _ in
            stored.withUnsafeMutableBytes {
                sealer.seal(
                    UnsafeRawBufferPointer(rebasing: $0[8..<108]), key: key, context: context, lane: 0, into: $0)
            }
        }
        #expect(isSealed)
        #expect(Array(stored[8..<108]) != plain)
        #expect(sealer.opened(stored, key: [5]) == plain)
        let isOpened = withAll([5], [], []) { key, context, _ in
            stored.withUnsafeMutableBytes { bytes in
                let text = UnsafeMutableRawBufferPointer(rebasing: bytes[8..<108])
                return sealer.open(
                    nonce: UInt64(littleEndian: bytes.loadUnaligned(as: UInt64.self)),
                    tag: UnsafeRawBufferPointer(rebasing: bytes[108...]), ciphertext: UnsafeRawBufferPointer(text),
                    key: key, context: context, lane: 0, into: text)
            }
        }
        #expect(isOpened)
        #expect(Array(stored[8..<108]) == plain)
    }

    /// One context, turned round again and again, must do what two contexts of libcrypto do that are used for one direction
    /// each, and are given what the sealer should have given them.
    @Test func oneContextServesBothDirectionsLikeTwoSeparateOnes() throws {
        var random = SeededGenerator(seed: 3)
        let secret = random.noise(32)
        let lane = try #require(secret.withUnsafeBytes { SealingLane(key: $0, index: 5, firstCounter: 40) })
        defer { lane.destroy() }
        let reference = ReferenceCipher(key: secret)
        for round in 0..<400 {
            let plain = random.noise(Self.lengths[round % 7])
            let key = random.noise(Int(random.next() % 300))
            let context = random.noise(round % 3 == 0 ? 0 : Int(random.next() % 40))
            let nonce = try #require(lane.nextNonce())
            #expect(nonce == 5 << 48 | UInt64(40 + round))
            var text = [UInt8](repeating: 0, count: plain.count)
            var tag = [UInt8](repeating: 0, count: 16)
            let associated = 77.littleEndianBytes + key.count.littleEndianBytes + key + context
            let expected = reference.encrypt(plain, nonce: nonce, associated: associated)
            withAll(plain, key, context) { plain, key, context in
                let data = AssociatedData(cacheID: 77, key: key, context: context)
                text.withUnsafeMutableBytes { text in
                    tag.withUnsafeMutableBytes { tag in
                        let place = text.baseAddress ?? tag.baseAddress!
                        #expect(lane.seal(plain, nonce: nonce, associated: data, to: place, tag: tag.baseAddress!))
                    }
                }
            }
            #expect(text == expected.text && tag == expected.tag)
            #expect(reference.decrypt(text, tag: tag, nonce: nonce, associated: associated) == plain)
            // Every other time something is refused in between, which must leave no trace.
            let falseTag = tag.map { $0 ^ 1 }
            for (tag, isTrue) in (round % 2 == 0 ? [(tag, true)] : [(falseTag, false), (tag, true)]) {
                var opened = [UInt8](repeating: 0, count: plain.count)
                withAll(text, key, context) { text, key, context in
                    let data = AssociatedData(cacheID: 77, key: key, context: context)
                    opened.withUnsafeMutableBytes { opened in
                        tag.withUnsafeBytes { tag in
                            let place = opened.baseAddress ?? UnsafeMutableRawPointer(mutating: tag.baseAddress!)
                            let isOpened = lane.open(
                                text, nonce: nonce, associated: data, tag: tag.baseAddress!, to: place)
                            #expect(isOpened == isTrue)
                        }
                    }
                }
                if isTrue { #expect(opened == plain) }
            }
        }
    }
}

extension Int {
    fileprivate var littleEndianBytes: [UInt8] { withUnsafeBytes(of: littleEndian) { Array($0) } }
}

/// libcrypto used plainly: one context for each direction, and its older interface for the tag.
private final class ReferenceCipher {
    private let encryption = EVP_CIPHER_CTX_new()
    private let decryption = EVP_CIPHER_CTX_new()

    init(key: [UInt8]) {
        precondition(EVP_EncryptInit_ex(encryption, EVP_aes_256_gcm(), nil, key, nil) == 1)
        precondition(EVP_DecryptInit_ex(decryption, EVP_aes_256_gcm(), nil, key, nil) == 1)
    }

    deinit {
        EVP_CIPHER_CTX_free(encryption)
        EVP_CIPHER_CTX_free(decryption)
    }

    private static func vector(_ nonce: UInt64) -> [UInt8] {
        [0, 0, 0, 0] + withUnsafeBytes(of: nonce.littleEndian) { Array($0) }
    }

    func encrypt(_ plain: [UInt8], nonce: UInt64, associated: [UInt8]) -> (text: [UInt8], tag: [UInt8]) {
        var text = [UInt8](repeating: 0, count: plain.count + 16)
        var tag = [UInt8](repeating: 0, count: 16)
        var length: CInt = 0
        precondition(EVP_EncryptInit_ex(encryption, nil, nil, nil, Self.vector(nonce)) == 1)
        precondition(EVP_EncryptUpdate(encryption, nil, &length, associated, CInt(associated.count)) == 1)
        precondition(EVP_EncryptUpdate(encryption, &text, &length, plain, CInt(plain.count)) == 1)
        var end: CInt = 0
        var rest = [UInt8](repeating: 0, count: 16)
        precondition(EVP_EncryptFinal_ex(encryption, &rest, &end) == 1)
        precondition(EVP_CIPHER_CTX_ctrl(encryption, EVP_CTRL_AEAD_GET_TAG, 16, &tag) == 1)
        return (Array(text.prefix(plain.count)), tag)
    }

    func decrypt(_ text: [UInt8], tag: [UInt8], nonce: UInt64, associated: [UInt8]) -> [UInt8]? {
        var plain = [UInt8](repeating: 0, count: text.count + 16)
        var tag = tag
        var length: CInt = 0
        precondition(EVP_DecryptInit_ex(decryption, nil, nil, nil, Self.vector(nonce)) == 1)
        precondition(EVP_DecryptUpdate(decryption, nil, &length, associated, CInt(associated.count)) == 1)
        precondition(EVP_DecryptUpdate(decryption, &plain, &length, text, CInt(text.count)) == 1)
        precondition(EVP_CIPHER_CTX_ctrl(decryption, EVP_CTRL_AEAD_SET_TAG, 16, &tag) == 1)
        var end: CInt = 0
        var rest = [UInt8](repeating: 0, count: 16)
        guard EVP_DecryptFinal_ex(decryption, &rest, &end) == 1 else { return nil }
        return Array(plain.prefix(text.count))
    }
}
