import GRDB

/// Why the ledger cannot be opened, or could not be brought up to date. ``description`` is one sentence for an operator.
package enum LedgerError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The file cannot be opened or made.
    case cannotOpen(path: String, reason: String)
    /// The file is no ledger, or its content is not what was written.
    case damaged(path: String, reason: String)
    /// A newer Martlet wrote the file.
    case newerVersion(path: String)
    /// A fold was not stored: a full disk, an I/O error. Nothing is lost; the next fold stores it.
    case cannotWrite(path: String, reason: String)
    /// The counter file failed.
    case counters(MeterFileError)

    package var description: String {
        switch self {
        case .cannotOpen(let path, let reason): "the ledger \(path) cannot be opened: \(reason)"
        case .damaged(let path, let reason): "the ledger \(path) is damaged: \(reason)"
        case .newerVersion(let path): "the ledger \(path) was written by a newer version of Martlet"
        case .cannotWrite(let path, let reason): "the ledger \(path) cannot be written: \(reason)"
        case .counters(let error): error.description
        }
    }

    /// What an error of the database means for the ledger at `path`.
    init(_ error: any Error, path: String, otherwise: (String, String) -> LedgerError) {
        switch error {
        case let error as LedgerError:
            self = error
        case let error as MeterFileError:
            self = .counters(error)
        case let error as DatabaseError:
            let reason = error.message ?? error.resultCode.description
            switch error.resultCode {
            case .SQLITE_CORRUPT, .SQLITE_NOTADB: self = .damaged(path: path, reason: reason)
            default: self = otherwise(path, reason)
            }
        default:
            self = otherwise(path, String(describing: error))
        }
    }
}
