import COpenSSL

/// An EC P-256 key pair in libcrypto's memory. It is freed, and by libcrypto wiped, with the value.
final class PrivateKey {
    let pointer: OpaquePointer

    private init(owning pointer: OpaquePointer) {
        self.pointer = pointer
    }

    deinit {
        EVP_PKEY_free(pointer)
    }

    static func generate() throws(CertificateError) -> PrivateKey {
        guard let context = EVP_PKEY_CTX_new_from_name(nil, "EC", nil) else {
            throw .lastOfLibcrypto(step: "make a key")
        }
        defer { EVP_PKEY_CTX_free(context) }
        var pointer: OpaquePointer?
        guard EVP_PKEY_keygen_init(context) == 1, EVP_PKEY_CTX_set_group_name(context, "P-256") == 1,
            EVP_PKEY_generate(context, &pointer) == 1, let pointer
        else { throw .lastOfLibcrypto(step: "make a key") }
        return PrivateKey(owning: pointer)
    }

    /// - Throws: ``CertificateError/crypto(step:reason:)`` unless the bytes hold an unencrypted PEM key.
    init(pem: [UInt8]) throws(CertificateError) {
        let memory = try MemoryBIO(reading: pem)
        // Without a callback libcrypto would ask for the passphrase of an encrypted key on the terminal.
        let noPassphrase:
            @convention(c) (UnsafeMutablePointer<CChar>?, Int32, Int32, UnsafeMutableRawPointer?) -> Int32 = {
                _, _, _, _ in -1
            }
        guard let pointer = PEM_read_bio_PrivateKey(memory.pointer, nil, noPassphrase, nil) else {
            throw .lastOfLibcrypto(step: "read a key")
        }
        self.pointer = pointer
    }

    /// PKCS #8, unencrypted (RFC 5958, RFC 7468 section 10).
    func pem() throws(CertificateError) -> [UInt8] {
        let memory = try MemoryBIO()
        guard PEM_write_bio_PKCS8PrivateKey(memory.pointer, pointer, nil, nil, 0, nil, nil) == 1 else {
            throw .lastOfLibcrypto(step: "write a key")
        }
        return memory.bytes
    }
}

/// libcrypto's view of a piece of memory.
final class MemoryBIO {
    let pointer: OpaquePointer
    /// What a reading BIO reads: it keeps no copy.
    private let source: UnsafeMutableRawBufferPointer?

    init() throws(CertificateError) {
        guard let pointer = BIO_new(BIO_s_mem()) else { throw .lastOfLibcrypto(step: "allocate a buffer") }
        self.pointer = pointer
        self.source = nil
    }

    init(reading bytes: [UInt8]) throws(CertificateError) {
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 1)
        copy.copyBytes(from: bytes)
        guard let count = Int32(exactly: copy.count), let pointer = BIO_new_mem_buf(copy.baseAddress, count) else {
            copy.deallocate()
            throw .lastOfLibcrypto(step: "allocate a buffer")
        }
        self.pointer = pointer
        self.source = copy
    }

    deinit {
        BIO_free(pointer)
        guard let source else { return }
        // It may have held a key.
        OPENSSL_cleanse(source.baseAddress, source.count)
        source.deallocate()
    }

    /// Everything that was written.
    var bytes: [UInt8] {
        let count = BIO_ctrl_pending(pointer)
        var result = [UInt8](repeating: 0, count: count)
        let read = result.withUnsafeMutableBytes { BIO_read(pointer, $0.baseAddress, Int32(clamping: $0.count)) }
        return Array(result.prefix(max(0, Int(read))))
    }
}

extension CertificateError {
    /// The error that libcrypto queued last on this thread; empties the queue.
    static func lastOfLibcrypto(step: String) -> CertificateError {
        var text = [CChar](repeating: 0, count: 256)
        let code = ERR_peek_last_error()
        ERR_error_string_n(code, &text, text.count)
        ERR_clear_error()
        let reason = String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return .crypto(step: step, reason: code == 0 ? "no reason given" : reason)
    }
}
