import Tenancy

/// The codings of messages that are taken: what `grpc-encoding` names. Answers are sent as they are.
///
/// Source: gRPC over HTTP/2, "Message-Encoding"; gRPC's page on compression.
enum GRPCEncoding {
    case identity, gzip

    /// What a request is told in `grpc-accept-encoding`, always and above all where its coding is not taken.
    static let accepted = "identity,gzip"

    /// - Parameter field: The value of `grpc-encoding`, nil where the request has none.
    /// - Throws: ``MartletError/unsupportedEncoding``, which gRPC tells as UNIMPLEMENTED, as its page demands.
    init(_ field: UnsafeRawBufferPointer?) throws(MartletError) {
        guard let field, !field.matches("identity") else {
            self = .identity
            return
        }
        guard field.matches("gzip") else { throw .unsupportedEncoding }
        self = .gzip
    }

    /// Lends the message as it was before it was compressed.
    ///
    /// - Parameters:
    ///   - isCompressed: The flag of its frame.
    ///   - limit: The most bytes that the message may have.
    /// - Throws: ``MartletError/bodyTooLarge(limit:)``; ``MartletError/malformed(_:)`` for what gzip did not make, and
    ///   for a message that is flagged as compressed in a request that names no coding.
    func withPlain<R>(
        _ message: UnsafeRawBufferPointer, isCompressed: Bool, limit: Int,
        _ body: (UnsafeRawBufferPointer) throws(MartletError) -> R
    ) throws(MartletError) -> R {
        guard isCompressed else {
            guard message.count <= limit else { throw .bodyTooLarge(limit: limit) }
            return try body(message)
        }
        guard self == .gzip else {
            throw .malformed("the message is flagged as compressed, and the request names no grpc-encoding")
        }
        let plain = try Gzip.inflate(message, limit: limit)
        return try plain.withUnsafeBufferPointer { (plain) throws(MartletError) in
            try body(UnsafeRawBufferPointer(plain))
        }
    }
}
