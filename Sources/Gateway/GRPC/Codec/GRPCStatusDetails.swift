import NIOCore
import Tenancy

/// `grpc-status-details-bin`: what a gRPC client is told beyond the status, as a `google.rpc.Status` in base64.
///
/// ```
/// Status    code 1 │ message 2 │ details 3: Any
/// Any       type_url 1 │ value 2: RetryInfo
/// RetryInfo retry_delay 1: Duration
/// Duration  seconds 1 │ nanos 2
/// ```
///
/// Sources: google/rpc/status.proto and error_details.proto of googleapis; gRPC over HTTP/2, "Custom-Metadata", for the
/// base64 of binary fields, which goes without padding.
enum GRPCStatusDetails {
    static let fieldName = "grpc-status-details-bin"
    private static let retryInfoType = "type.googleapis.com/google.rpc.RetryInfo"

    /// The value of the field. Cost: some allocations; it is rendered once for refusals that repeat.
    static func text(code: Int, message: String, retryAfterMilliseconds: UInt64) -> String {
        let seconds = retryAfterMilliseconds / 1000
        let nanoseconds = retryAfterMilliseconds % 1000 * 1_000_000
        let duration = encoded(
            ProtobufWriter.size(field: 1, number: seconds) + ProtobufWriter.size(field: 2, number: nanoseconds)
        ) {
            $0.writeNumber(field: 1, seconds)
            $0.writeNumber(field: 2, nanoseconds)
        }
        let retryInfo = fields([(1, duration)])
        let details = fields([(1, Array(retryInfoType.utf8)), (2, retryInfo)])
        let number = UInt64(clamping: code)
        let head = encoded(ProtobufWriter.size(field: 1, number: number)) { $0.writeNumber(field: 1, number) }
        return base64(head + fields([(2, Array(message.utf8)), (3, details)]))
    }

    private static func encoded(_ count: Int, _ body: (inout ProtobufWriter) -> Void) -> [UInt8] {
        var buffer = ByteBuffer()
        buffer.writeProtobuf(count: count, body)
        return Array(buffer.readableBytesView)
    }

    private static func fields(_ fields: [(field: Int, bytes: [UInt8])]) -> [UInt8] {
        encoded(fields.reduce(0) { $0 + ProtobufWriter.size(field: $1.field, length: $1.bytes.count) }) { writer in
            for (field, bytes) in fields {
                bytes.withUnsafeBytes { writer.writeBytes(field: field, $0) }
            }
        }
    }

    private static func base64(_ bytes: [UInt8]) -> String {
        var text = ByteBuffer()
        bytes.withUnsafeBytes { GRPCWebText.encode($0, into: &text) }
        return String(decoding: text.readableBytesView.prefix { $0 != UInt8(ascii: "=") }, as: UTF8.self)
    }
}
