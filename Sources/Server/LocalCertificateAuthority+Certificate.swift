import COpenSSL
import Tenancy

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// A subject alternative name (RFC 5280 section 4.2.1.6).
package enum CertificateName: Hashable, Sendable, CustomStringConvertible {
    case dns(String)
    /// The 4 or 16 bytes of an Internet address.
    case address([UInt8])

    package var description: String {
        switch self {
        case .dns(let name):
            return name
        case .address(let bytes) where bytes.count == 4:
            return bytes.map(String.init).joined(separator: ".")
        case .address(let bytes):
            // Every group in full: libcrypto reads it, and a person can.
            let groups = stride(from: 0, to: bytes.count - 1, by: 2).map { index in
                String(Int(bytes[index]) << 8 | Int(bytes[index + 1]), radix: 16)
            }
            return groups.joined(separator: ":")
        }
    }
}

/// A certificate together with the key that it is about.
struct CertificateWithKey {
    let certificate: Certificate
    let key: PrivateKey
}

/// An X.509 certificate in libcrypto's memory.
final class Certificate {
    let pointer: OpaquePointer
    let startsAt: Timestamp
    let expiresAt: Timestamp

    /// Takes the certificate over, and frees it if its times cannot be read.
    init(owning pointer: OpaquePointer) throws(CertificateError) {
        guard let startsAt = Self.timestamp(X509_get0_notBefore(pointer)),
            let expiresAt = Self.timestamp(X509_get0_notAfter(pointer))
        else {
            X509_free(pointer)
            throw .lastOfLibcrypto(step: "read the times of a certificate")
        }
        self.pointer = pointer
        self.startsAt = startsAt
        self.expiresAt = expiresAt
    }

    deinit {
        X509_free(pointer)
    }

    /// The first certificate of a PEM file.
    convenience init(pem: [UInt8]) throws(CertificateError) {
        let memory = try MemoryBIO(reading: pem)
        guard let pointer = PEM_read_bio_X509(memory.pointer, nil, nil, nil) else {
            throw .lastOfLibcrypto(step: "read a certificate")
        }
        try self.init(owning: pointer)
    }

    func pem() throws(CertificateError) -> [UInt8] {
        let memory = try MemoryBIO()
        guard PEM_write_bio_X509(memory.pointer, pointer) == 1 else {
            throw .lastOfLibcrypto(step: "write a certificate")
        }
        return memory.bytes
    }

    /// Whether the certificate is about this key.
    func belongs(to key: PrivateKey) -> Bool {
        defer { ERR_clear_error() }
        return X509_check_private_key(pointer, key.pointer) == 1
    }

    /// Whether this key made the certificate's signature.
    func isSigned(by key: PrivateKey) -> Bool {
        defer { ERR_clear_error() }
        return X509_verify(pointer, key.pointer) == 1
    }

    /// The subject alternative names, in their order; those of other kinds are passed over.
    var names: [CertificateName] {
        guard let raw = X509_get_ext_d2i(pointer, NID_subject_alt_name, nil, nil) else { return [] }
        let stack = OpaquePointer(raw)
        defer { GENERAL_NAMES_free(stack) }
        return (0..<max(0, OPENSSL_sk_num(stack))).compactMap { index in
            guard let element = OPENSSL_sk_value(stack, index) else { return nil }
            var kind: Int32 = 0
            let name = element.assumingMemoryBound(to: GENERAL_NAME.self)
            guard let value = GENERAL_NAME_get0_value(name, &kind) else { return nil }
            let string = value.assumingMemoryBound(to: ASN1_STRING.self)
            let bytes = Array(
                UnsafeBufferPointer(start: ASN1_STRING_get0_data(string), count: Int(ASN1_STRING_length(string))))
            switch kind {
            case GEN_DNS: return .dns(String(decoding: bytes, as: UTF8.self))
            case GEN_IPADD: return .address(bytes)
            default: return nil
            }
        }
    }

    private static func timestamp(_ time: UnsafePointer<ASN1_TIME>?) -> Timestamp? {
        var parts = tm()
        guard let time, ASN1_TIME_to_tm(time, &parts) == 1 else { return nil }
        return Timestamp(seconds: Int64(timegm(&parts)))
    }
}
