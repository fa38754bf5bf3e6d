import COpenSSL
import Tenancy

extension Certificate {
    /// A certificate that signs itself and may sign server certificates, but no further authority.
    static func authority(
        key: PrivateKey, from start: Timestamp, until end: Timestamp
    ) throws(CertificateError) -> Certificate {
        let draft = try CertificateDraft(key: key, from: start, until: end)
        // The number keeps two installations apart in a client's list of authorities.
        try draft.setSubject("Martlet local CA \(try CertificateDraft.randomHexadecimal(byteCount: 4))")
        return try draft.sign(
            issuer: nil, issuerKey: key,
            extensions: [
                (NID_basic_constraints, "critical,CA:TRUE,pathlen:0"),
                (NID_key_usage, "critical,keyCertSign,cRLSign"),
                (NID_subject_key_identifier, "hash"),
                (NID_authority_key_identifier, "keyid:always"),
            ]
        )
    }

    /// A certificate with which a TLS server shows that it bears these names.
    static func server(
        names: [CertificateName], key: PrivateKey, authority: CertificateWithKey, from start: Timestamp,
        until end: Timestamp
    ) throws(CertificateError) -> Certificate {
        let draft = try CertificateDraft(key: key, from: start, until: end)
        try draft.setSubject("Martlet server")
        let alternativeNames = names.map { name in
            switch name {
            case .dns: "DNS:\(name)"
            case .address: "IP:\(name)"
            }
        }
        return try draft.sign(
            issuer: authority.certificate, issuerKey: authority.key,
            extensions: [
                (NID_basic_constraints, "critical,CA:FALSE"),
                (NID_key_usage, "critical,digitalSignature"),
                (NID_ext_key_usage, "serverAuth"),
                (NID_subject_key_identifier, "hash"),
                (NID_authority_key_identifier, "keyid:always"),
                // Every name was checked to be a host name or is made of numbers: none can hold a comma, which would
                // begin another name.
                (NID_subject_alt_name, alternativeNames.joined(separator: ",")),
            ]
        )
    }
}

/// A certificate that is being filled in.
private final class CertificateDraft {
    private let pointer: OpaquePointer

    init(key: PrivateKey, from start: Timestamp, until end: Timestamp) throws(CertificateError) {
        guard let pointer = X509_new() else { throw .lastOfLibcrypto(step: "allocate a certificate") }
        self.pointer = pointer
        // Version 3 is written as 2 (RFC 5280 section 4.1.2.1).
        guard X509_set_version(pointer, 2) == 1, X509_set_pubkey(pointer, key.pointer) == 1,
            ASN1_TIME_set(X509_getm_notBefore(pointer), Int(start.seconds)) != nil,
            ASN1_TIME_set(X509_getm_notAfter(pointer), Int(end.seconds)) != nil
        else { throw .lastOfLibcrypto(step: "fill in a certificate") }
        try setSerialNumber()
    }

    deinit {
        X509_free(pointer)
    }

    /// Sixteen random bytes, positive and not zero (RFC 5280 section 4.1.2.2): two certificates of one authority never
    /// share a number, and nobody can guess one before it is issued.
    private func setSerialNumber() throws(CertificateError) {
        var bytes = try Self.randomBytes(count: 16)
        bytes[0] = bytes[0] & 0x7F | 0x40
        guard let number = BN_bin2bn(bytes, Int32(bytes.count), nil) else {
            throw .lastOfLibcrypto(step: "number a certificate")
        }
        defer { BN_free(number) }
        guard BN_to_ASN1_INTEGER(number, X509_get_serialNumber(pointer)) != nil else {
            throw .lastOfLibcrypto(step: "number a certificate")
        }
    }

    func setSubject(_ commonName: String) throws(CertificateError) {
        let name = X509_get_subject_name(pointer)
        guard X509_NAME_add_entry_by_txt(name, "O", MBSTRING_UTF8, "Martlet", -1, -1, 0) == 1,
            X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, commonName, -1, -1, 0) == 1
        else { throw .lastOfLibcrypto(step: "name a certificate") }
    }

    /// Adds issuer, extensions and signature.
    ///
    /// - Parameter issuer: nil for a certificate that signs itself.
    func sign(
        issuer: Certificate?, issuerKey: PrivateKey, extensions: [(identifier: Int32, value: String)]
    ) throws(CertificateError) -> Certificate {
        let issuerPointer = issuer?.pointer ?? pointer
        guard X509_set_issuer_name(pointer, X509_get_subject_name(issuerPointer)) == 1 else {
            throw .lastOfLibcrypto(step: "name the issuer of a certificate")
        }
        for (identifier, value) in extensions {
            var context = X509V3_CTX()
            X509V3_set_ctx(&context, issuerPointer, pointer, nil, nil, 0)
            guard let added = X509V3_EXT_conf_nid(nil, &context, identifier, value) else {
                throw .lastOfLibcrypto(step: "make the extension \(value)")
            }
            defer { X509_EXTENSION_free(added) }
            guard X509_add_ext(pointer, added, -1) == 1 else {
                throw .lastOfLibcrypto(step: "add the extension \(value)")
            }
        }
        guard X509_sign(pointer, issuerKey.pointer, EVP_sha256()) > 0, X509_up_ref(pointer) == 1 else {
            throw .lastOfLibcrypto(step: "sign a certificate")
        }
        return try Certificate(owning: pointer)
    }

    static func randomHexadecimal(byteCount: Int) throws(CertificateError) -> String {
        try randomBytes(count: byteCount).map { byte in
            (byte < 16 ? "0" : "") + String(byte, radix: 16)
        }.joined()
    }

    private static func randomBytes(count: Int) throws(CertificateError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        guard RAND_bytes(&bytes, Int32(clamping: count)) == 1 else {
            throw .lastOfLibcrypto(step: "draw random bytes")
        }
        return bytes
    }
}
