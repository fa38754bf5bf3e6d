/// What a browser is told before it lets a page of another origin use gRPC-web (Fetch standard, "CORS protocol").
///
/// Credentials travel in a field that the page sets, never in cookies, so any origin may ask.
enum GRPCWebCORS {
    /// What the official web SDKs send, for a preflight that asks for nothing that could be read.
    static let defaultHeaders =
        "content-type, x-grpc-web, x-user-agent, grpc-timeout, authorization, cache, agent, runtime-version, "
        + "read-concern, request-id"
    /// The fields of an answer that a page may read, for `access-control-expose-headers`.
    static let exposedHeaders: StaticString = "grpc-status, grpc-message, err, grpc-status-details-bin"
    /// A list that is longer than that no client of ours sends.
    private static let requestedBytesLimit = 1024

    /// The fields of the answer to a preflight, besides `access-control-allow-origin`.
    ///
    /// - Parameter requested: `access-control-request-headers`, nil where there is none. It is given back as it is when
    ///   it is a list of names of fields and of bounded length.
    static func preflight(requested: UnsafeRawBufferPointer?) -> [(name: String, value: String)] {
        [
            ("access-control-allow-methods", "POST, OPTIONS"),
            ("access-control-allow-headers", requested.flatMap(echo) ?? defaultHeaders),
            ("access-control-max-age", "86400"),
        ]
    }

    private static func echo(_ requested: UnsafeRawBufferPointer) -> String? {
        guard requested.count <= requestedBytesLimit else { return nil }
        let isList = requested.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false).allSatisfy {
            name in
            let name = name.trimmingBlanks
            return !name.isEmpty && name.allSatisfy(\.isTokenCharacter)
        }
        return isList ? String(decoding: requested, as: UTF8.self) : nil
    }
}

extension Slice<UnsafeRawBufferPointer> {
    fileprivate var trimmingBlanks: Slice<UnsafeRawBufferPointer> {
        let start = firstIndex { $0 != 0x20 && $0 != 0x09 } ?? endIndex
        let end = lastIndex { $0 != 0x20 && $0 != 0x09 }.map { $0 + 1 } ?? start
        return self[start..<end]
    }
}
