import Tenancy

/// Errors in the words that clients of this protocol match on.
extension MartletError {
    package static let syntax = MartletError.command("ERR syntax error")
    package static let notAFloat = MartletError.command("ERR value is not a valid float")
    package static let noSuchKey = MartletError.command("ERR no such key")
    package static let indexOutOfRange = MartletError.command("ERR index out of range")
    package static let notPositive = MartletError.command("ERR value is out of range, must be positive")

    package static let replyTooLarge = MartletError.command(
        "ERR the reply would be larger than \(ReplyWriter.largestReply) bytes")

    static let tooLong = MartletError.command(
        "ERR the transaction has taken \(CommandCall.mostMillisecondsInTransaction) ms, others wait for it")

    package static func wrongNumberOfArguments(_ command: String) -> MartletError {
        .command("ERR wrong number of arguments for '\(command)' command")
    }

    /// The whole error line of RESP, without its `-`.
    package var commandText: String {
        switch self {
        case .command(let text): text
        case .wrongType: "WRONGTYPE Operation against a key holding the wrong kind of value"
        case .notAnInteger: "ERR value is not an integer or out of range"
        case .integerOverflow: "ERR increment or decrement would overflow"
        case .missingCredential: "NOAUTH Authentication required."
        case .memoryExhausted: "OOM command not allowed when used memory > 'maxmemory'."
        case .permissionDenied(let reason): "NOPERM \(reason)"
        case .rateLimited, .throttled, .busy, .countLimited, .tooMany:
            "THROTTLED \(message)" + (retryAfterMilliseconds.map { ", retry after \($0) ms" } ?? "")
        default: "\(row.respPrefix) \(message)"
        }
    }
}
