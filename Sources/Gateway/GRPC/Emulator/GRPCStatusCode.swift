/// A status of gRPC (https://grpc.github.io/grpc/core/md_doc_statuscodes.html).
struct GRPCStatusCode: RawRepresentable, Hashable, Sendable {
    let rawValue: Int

    init(rawValue: Int) {
        self.rawValue = rawValue
    }

    static let ok = GRPCStatusCode(rawValue: 0)
    static let cancelled = GRPCStatusCode(rawValue: 1)
    static let unknown = GRPCStatusCode(rawValue: 2)
    static let invalidArgument = GRPCStatusCode(rawValue: 3)
    static let deadlineExceeded = GRPCStatusCode(rawValue: 4)
    static let notFound = GRPCStatusCode(rawValue: 5)
    static let alreadyExists = GRPCStatusCode(rawValue: 6)
    static let permissionDenied = GRPCStatusCode(rawValue: 7)
    static let resourceExhausted = GRPCStatusCode(rawValue: 8)
    static let failedPrecondition = GRPCStatusCode(rawValue: 9)
    static let aborted = GRPCStatusCode(rawValue: 10)
    static let outOfRange = GRPCStatusCode(rawValue: 11)
    static let unimplemented = GRPCStatusCode(rawValue: 12)
    static let internalError = GRPCStatusCode(rawValue: 13)
    static let unavailable = GRPCStatusCode(rawValue: 14)
    static let dataLoss = GRPCStatusCode(rawValue: 15)
    static let unauthenticated = GRPCStatusCode(rawValue: 16)
}

extension GRPCStatusCode {
    /// Names by number, as fault injection spells them.
    private static let names: [StaticString] = [
        "ok", "cancelled", "unknown", "invalid-argument", "deadline-exceeded", "not-found", "already-exists",
        "permission-denied", "resource-exhausted", "failed-precondition", "aborted", "out-of-range", "unimplemented",
        "internal", "unavailable", "data-loss", "unauthenticated",
    ]

    /// As `not-found`; the number where the code has no name.
    var name: String {
        Self.names.indices.contains(rawValue) ? "\(Self.names[rawValue])" : String(rawValue)
    }

    /// The error of that name; nil for `ok`, which is none, and for what names nothing.
    init?(errorName: UnsafeRawBufferPointer) {
        guard let code = Self.names.firstIndex(where: { errorName.matches($0) }), code > 0 else { return nil }
        self.init(rawValue: code)
    }
}
