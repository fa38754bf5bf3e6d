import NIOCore
import NIOSSL

extension NIOSSLContext {
    /// The server's TLS: 1.2 and later, HTTP/2 offered before HTTP/1.1.
    ///
    /// - Throws: When a file cannot be read, is no certificate chain or key, or the two do not belong together.
    package static func martlet(certificateFile: String, keyFile: String) throws -> NIOSSLContext {
        let chain = try NIOSSLCertificate.fromPEMFile(certificateFile)
        let key = try NIOSSLPrivateKey(file: keyFile, format: .pem)
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: chain.map { .certificate($0) }, privateKey: .privateKey(key))
        configuration.minimumTLSVersion = .tlsv12
        configuration.applicationProtocols = ["h2", "http/1.1"]
        // A peer that does not answer our close_notify is not waited for longer than this.
        configuration.shutdownTimeout = .seconds(1)
        return try NIOSSLContext(configuration: configuration)
    }
}
