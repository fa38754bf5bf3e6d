import COpenSSL

/// AES-256-GCM as libcrypto does it and nothing else: two contexts that are used again and again, a nonce of twelve bytes
/// for each, and authenticated with it what the engine authenticates: an identity, a length and a key.
final class Libcrypto {
    private let sealing: OpaquePointer
    private let opening: OpaquePointer
    private let valueBytes: Int
    private let plain: UnsafeMutablePointer<UInt8>
    private let sealed: UnsafeMutablePointer<UInt8>
    private let tag: UnsafeMutablePointer<UInt8>
    private let nonce: UnsafeMutablePointer<UInt8>
    private let associated: UnsafeMutablePointer<UInt8>
    private static let associatedBytes: Int32 = 8 + 4 + 21

    init(valueBytes: Int) {
        guard let sealing = EVP_CIPHER_CTX_new(), let opening = EVP_CIPHER_CTX_new() else { fail("no memory") }
        self.sealing = sealing
        self.opening = opening
        self.valueBytes = valueBytes
        func memory(_ count: Int) -> UnsafeMutablePointer<UInt8> {
            let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: count)
            memory.initialize(repeating: 0x61, count: count)
            return memory
        }
        plain = memory(valueBytes)
        sealed = memory(valueBytes)
        tag = memory(16)
        nonce = memory(12)
        associated = memory(Int(Self.associatedBytes))
        let key = [UInt8](repeating: 0x42, count: 32)
        let isReady =
            EVP_EncryptInit_ex(sealing, EVP_aes_256_gcm(), nil, key, nil) == 1
            && EVP_DecryptInit_ex(opening, EVP_aes_256_gcm(), nil, key, nil) == 1
        guard isReady else { fail("libcrypto has no AES-256-GCM") }
    }

    deinit {
        EVP_CIPHER_CTX_free(sealing)
        EVP_CIPHER_CTX_free(opening)
        for memory in [plain, sealed, tag, nonce, associated] { memory.deallocate() }
    }

    func seals(_ count: Int) -> Double {
        let start = Clock.threadCPU()
        var isGood = true
        for number in 0..<count {
            nonce.withMemoryRebound(to: UInt64.self, capacity: 1) { $0.pointee = UInt64(number) }
            isGood = seal() && isGood
        }
        let spent = Clock.threadCPU() - start
        guard isGood else { fail("libcrypto did not seal") }
        return Double(spent) / Double(count)
    }

    func opens(_ count: Int) -> Double {
        guard seal() else { fail("libcrypto did not seal") }
        let start = Clock.threadCPU()
        var isGood = true
        for _ in 0..<count { isGood = open() && isGood }
        let spent = Clock.threadCPU() - start
        guard isGood else { fail("libcrypto did not open what it sealed") }
        return Double(spent) / Double(count)
    }

    @inline(__always)
    private func seal() -> Bool {
        var written: Int32 = 0
        return EVP_EncryptInit_ex(sealing, nil, nil, nil, nonce) == 1
            && EVP_EncryptUpdate(sealing, nil, &written, associated, Self.associatedBytes) == 1
            && EVP_EncryptUpdate(sealing, sealed, &written, plain, Int32(valueBytes)) == 1
            && EVP_EncryptFinal_ex(sealing, sealed, &written) == 1
            && EVP_CIPHER_CTX_ctrl(sealing, EVP_CTRL_AEAD_GET_TAG, 16, tag) == 1
    }

    @inline(__always)
    private func open() -> Bool {
        var written: Int32 = 0
        return EVP_DecryptInit_ex(opening, nil, nil, nil, nonce) == 1
            && EVP_DecryptUpdate(opening, nil, &written, associated, Self.associatedBytes) == 1
            && EVP_DecryptUpdate(opening, plain, &written, sealed, Int32(valueBytes)) == 1
            && EVP_CIPHER_CTX_ctrl(opening, EVP_CTRL_AEAD_SET_TAG, 16, tag) == 1
            && EVP_DecryptFinal_ex(opening, plain, &written) == 1
    }
}
