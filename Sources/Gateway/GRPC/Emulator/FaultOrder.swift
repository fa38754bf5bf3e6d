import Tenancy

/// The faults that the metadata of one call orders, as tests of client libraries do where the server stands in for the
/// emulator. All keys are optional, and those that are not known here are somebody else's.
///
/// ```
/// request-id          whose counters these are
/// error-rpcs          which calls fail      with return-error,     the first error-count of them, or all
/// delay-rpcs          which calls wait      for delay-ms,          the first delay-count of them, or all
/// stream-error-rpcs   which streams break   with stream-error,     after stream-error-message-limit messages
/// ```
struct FaultOrder: Equatable {
    /// Calls by their names in kebab case. Names that no call has do nothing.
    struct Calls: Equatable {
        fileprivate(set) var names: [[UInt8]] = []

        func contains(_ call: StaticString) -> Bool {
            names.contains { name in name.withUnsafeBytes { $0.matches(call) } }
        }
    }

    /// Empty where the call has none: such calls share their counters.
    private(set) var requestID: [UInt8] = []
    private(set) var errorCalls = Calls()
    private(set) var error: GRPCStatusCode?
    /// Nil: all of them.
    private(set) var errorCount: Int?
    private(set) var delayCalls = Calls()
    private(set) var delayMilliseconds: Int64?
    private(set) var delayCount: Int?
    private(set) var streamErrorCalls = Calls()
    private(set) var streamError: GRPCStatusCode?
    private(set) var streamMessageLimit: Int?

    /// An hour: no test waits longer, and no timer overflows.
    static let delayCeilingMilliseconds: UInt64 = 3_600_000
    /// A counter's name is kept: it is a UUID in practice.
    static let requestIDBytesLimit = 128

    init() {}

    /// - Throws: ``MartletError/invalidArgument(field:reason:)`` naming the key whose value cannot be what it should.
    init(_ head: RequestHead) throws(MartletError) {
        for field in head.fields {
            try head.withArena { (bytes) throws(MartletError) in
                try take(bytes.slice(field.name.range), bytes.slice(field.value.range))
            }
        }
    }

    /// Takes one pair of the metadata. Of a key that stands twice the later value holds; lists add up.
    mutating func take(_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) throws(MartletError) {
        switch key.count {
        case 8 where key.matches("delay-ms"):
            delayMilliseconds = Int64(try Self.number("delay-ms", value, upTo: Self.delayCeilingMilliseconds))
        case 10 where key.matches("request-id"):
            guard value.count <= Self.requestIDBytesLimit else {
                throw .invalidArgument(
                    field: "request-id", reason: "must be at most \(Self.requestIDBytesLimit) bytes long")
            }
            requestID = Array(value)
        case 10 where key.matches("error-rpcs"): Self.add(value, to: &errorCalls)
        case 10 where key.matches("delay-rpcs"): Self.add(value, to: &delayCalls)
        case 11 where key.matches("error-count"): errorCount = try Self.count("error-count", value)
        case 11 where key.matches("delay-count"): delayCount = try Self.count("delay-count", value)
        case 12 where key.matches("return-error"): error = try Self.error("return-error", value)
        case 12 where key.matches("stream-error"): streamError = try Self.error("stream-error", value)
        case 17 where key.matches("stream-error-rpcs"): Self.add(value, to: &streamErrorCalls)
        case 26 where key.matches("stream-error-message-limit"):
            streamMessageLimit = try Self.count("stream-error-message-limit", value)
        default: break
        }
    }

    /// Names with blanks between them; with commas too, for that is how metadata that stands twice is joined.
    private static func add(_ value: UnsafeRawBufferPointer, to calls: inout Calls) {
        for name in value.split(whereSeparator: { $0 == 0x20 || $0 == 0x2C }) { calls.names.append(Array(name)) }
    }

    private static func error(_ key: String, _ value: UnsafeRawBufferPointer) throws(MartletError) -> GRPCStatusCode {
        guard let code = GRPCStatusCode(errorName: value) else {
            throw .invalidArgument(field: key, reason: "must be the name of an error of gRPC, such as not-found")
        }
        return code
    }

    private static func count(_ key: String, _ value: UnsafeRawBufferPointer) throws(MartletError) -> Int {
        Int(try number(key, value, upTo: UInt64(Int32.max)))
    }

    private static func number(
        _ key: String, _ value: UnsafeRawBufferPointer, upTo ceiling: UInt64
    ) throws(MartletError) -> UInt64 {
        guard let number = value.decimal, number <= ceiling else {
            throw .invalidArgument(field: key, reason: "must be a whole number from 0 to \(ceiling)")
        }
        return number
    }
}
