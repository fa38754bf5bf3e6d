import Foundation
import GRDB
import Tenancy

/// Why a catalog could not be opened. Each is one sentence that tells an operator what to do.
package enum CatalogError: Error, Equatable, Sendable, CustomStringConvertible {
    case damaged(path: String, reason: String)
    case unwritable(path: String, reason: String)
    case newerVersion(path: String)
    /// A sound SQLite file that holds something else.
    case notACatalog(path: String)
    case inUse(path: String)
    case diskFull(path: String)
    case failed(path: String, reason: String)

    package var description: String {
        switch self {
        case .damaged(let path, let reason):
            "the catalog \(path) is damaged and must be restored from a backup: \(reason)"
        case .unwritable(let path, let reason):
            "the catalog \(path) cannot be written: \(reason)"
        case .newerVersion(let path):
            "the catalog \(path) was written by a newer version of Martlet: start that version or restore a backup"
        case .notACatalog(let path):
            "the file \(path) is not a Martlet catalog but another SQLite database"
        case .inUse(let path):
            "the catalog \(path) is in use by another process"
        case .diskFull(let path):
            "the catalog \(path) cannot be written: the disk is full"
        case .failed(let path, let reason):
            "the catalog \(path) cannot be opened: \(reason)"
        }
    }

    /// What an error on the way to an open catalog means.
    init(opening path: String, _ error: any Error) {
        switch error {
        case let error as CatalogError:
            self = error
        case let error as DamagedRow:
            self = .damaged(path: path, reason: error.description)
        case let error as DatabaseError:
            let reason = error.plainReason
            switch error.resultCode {
            case .SQLITE_CORRUPT, .SQLITE_NOTADB, .SQLITE_FORMAT:
                self = .damaged(path: path, reason: reason)
            case .SQLITE_CANTOPEN, .SQLITE_READONLY, .SQLITE_PERM:
                self = .unwritable(path: path, reason: reason)
            case .SQLITE_FULL:
                self = .diskFull(path: path)
            case .SQLITE_BUSY, .SQLITE_LOCKED:
                self = .inUse(path: path)
            default:
                self = .failed(path: path, reason: reason)
            }
        case let error as MartletError:
            self = .failed(path: path, reason: error.message)
        default:
            self = .failed(path: path, reason: "\(error)")
        }
    }
}

/// A row that no version of Martlet can have written.
struct DamagedRow: Error, Equatable, CustomStringConvertible {
    let table: String
    let reason: String

    var description: String { "in \(table), \(reason)" }
}

extension MartletError {
    /// What a caller of the control plane learns when the catalog failed under a change or a list. The sentence names
    /// no path and quotes no row.
    init(catalogFailure error: any Error) {
        switch error {
        case let error as MartletError:
            self = error
        case is DamagedRow:
            self = .internalFailure("the catalog is damaged")
        case let error as DatabaseError:
            switch error.resultCode {
            case .SQLITE_FULL:
                self = .unavailable("the catalog cannot be written, for the disk is full: nothing was changed")
            case .SQLITE_BUSY, .SQLITE_LOCKED, .SQLITE_INTERRUPT, .SQLITE_ABORT, .SQLITE_MISUSE:
                self = .unavailable("the catalog is not available")
            case .SQLITE_READONLY, .SQLITE_PERM, .SQLITE_CANTOPEN:
                self = .unavailable("the catalog may not be written")
            case .SQLITE_IOERR:
                self = .internalFailure("the catalog cannot be read or written, for its disk fails")
            case .SQLITE_CORRUPT, .SQLITE_NOTADB:
                self = .internalFailure("the catalog is damaged")
            default:
                self = .internalFailure("the catalog refused the change")
            }
        default:
            self = .internalFailure("the catalog failed")
        }
    }
}

extension DatabaseError {
    /// SQLite's own words, without the statement and its arguments, which may hold secrets.
    fileprivate var plainReason: String {
        message ?? resultCode.description
    }
}
