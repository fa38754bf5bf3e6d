import COpenSSL

/// Owns one `EVP_PKEY` of libcrypto that is known to be on the curve P-256.
struct EllipticKey: ~Copyable {
    private let key: OpaquePointer

    private static let curve = "prime256v1"
    private static let coordinateByteCount = 32

    private init?(owning key: OpaquePointer?) {
        guard let key else {
            ERR_clear_error()
            return nil
        }
        guard Self.isOnCurve(key) else {
            EVP_PKEY_free(key)
            return nil
        }
        self.key = key
    }

    deinit {
        EVP_PKEY_free(key)
    }

    static func generate() -> EllipticKey? {
        guard let context = EVP_PKEY_CTX_new_id(EVP_PKEY_EC, nil) else { return nil }
        defer { EVP_PKEY_CTX_free(context) }
        var key: OpaquePointer?
        guard EVP_PKEY_keygen_init(context) == 1,
            EVP_PKEY_CTX_set_group_name(context, curve) == 1,
            EVP_PKEY_keygen(context, &key) == 1
        else {
            ERR_clear_error()
            return nil
        }
        return EllipticKey(owning: key)
    }

    init?(privatePEM: String) {
        self.init(owning: Self.read(privatePEM) { PEM_read_bio_PrivateKey($0, nil, noPassphrase, nil) })
    }

    init?(publicPEM: String) {
        self.init(owning: Self.read(publicPEM) { PEM_read_bio_PUBKEY($0, nil, noPassphrase, nil) })
    }

    var privatePEM: String? {
        Self.write { PEM_write_bio_PKCS8PrivateKey($0, key, nil, nil, 0, nil, nil) == 1 }
    }

    var publicPEM: String? {
        Self.write { PEM_write_bio_PUBKEY($0, key) == 1 }
    }

    /// The public point's coordinates, 32 bytes each.
    var point: (x: [UInt8], y: [UInt8])? {
        guard let x = coordinate(OSSL_PKEY_PARAM_EC_PUB_X), let y = coordinate(OSSL_PKEY_PARAM_EC_PUB_Y) else {
            return nil
        }
        return (x, y)
    }

    /// The private number, 32 bytes; nil for a public key. Whoever has it can sign.
    var privateNumber: [UInt8]? {
        coordinate(OSSL_PKEY_PARAM_PRIV_KEY)
    }

    private static func isOnCurve(_ key: OpaquePointer) -> Bool {
        guard EVP_PKEY_get_base_id(key) == EVP_PKEY_EC else { return false }
        var name = [CChar](repeating: 0, count: 64)
        var length = 0
        guard EVP_PKEY_get_group_name(key, &name, name.count, &length) == 1, length < name.count else {
            ERR_clear_error()
            return false
        }
        return name.prefix(length).elementsEqual(curve.utf8.lazy.map { CChar(bitPattern: $0) })
    }

    private func coordinate(_ name: String) -> [UInt8]? {
        var number: OpaquePointer?
        guard EVP_PKEY_get_bn_param(key, name, &number) == 1, let number else {
            ERR_clear_error()
            return nil
        }
        // Overwritten, for it may be the private one.
        defer { BN_clear_free(number) }
        var bytes = [UInt8](repeating: 0, count: Self.coordinateByteCount)
        let written = BN_bn2binpad(number, &bytes, CInt(Self.coordinateByteCount))
        return written == CInt(Self.coordinateByteCount) ? bytes : nil
    }

    private static func read(_ pem: String, _ body: (OpaquePointer) -> OpaquePointer?) -> OpaquePointer? {
        let bytes = Array(pem.utf8)
        return bytes.withUnsafeBytes { buffer in
            guard let bio = BIO_new_mem_buf(buffer.baseAddress, CInt(clamping: buffer.count)) else { return nil }
            defer { BIO_free(bio) }
            return body(bio)
        }
    }

    private static func write(_ body: (OpaquePointer) -> Bool) -> String? {
        // A memory BIO overwrites its bytes when it is freed.
        guard let bio = BIO_new(BIO_s_mem()) else { return nil }
        defer { BIO_free(bio) }
        guard body(bio) else {
            ERR_clear_error()
            return nil
        }
        let pending = BIO_ctrl_pending(bio)
        var bytes = [UInt8](repeating: 0, count: pending)
        guard BIO_read(bio, &bytes, CInt(clamping: pending)) == CInt(clamping: pending) else { return nil }
        return String(validating: bytes, as: UTF8.self)
    }
}

/// Refuses an encrypted key. Without it libcrypto would ask for a passphrase on the terminal, and wait.
private func noPassphrase(
    _: UnsafeMutablePointer<CChar>?, _: CInt, _: CInt, _: UnsafeMutableRawPointer?
) -> CInt {
    -1
}
