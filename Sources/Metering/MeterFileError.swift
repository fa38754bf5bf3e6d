/// Why the counter file cannot be used. ``description`` is the one sentence that an operator reads.
package enum MeterFileError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The file cannot be opened, made or mapped: permissions, a missing directory, something that is no file.
    case cannotOpen(path: String, reason: String)
    /// Another process, or another part of this one, has the file open.
    case inUse(path: String)
    /// The file does not begin as a counter file does.
    case notACounterFile(path: String)
    /// A newer Martlet wrote the file.
    case unsupportedVersion(path: String, found: UInt32)
    /// The file is shorter than it says that it is.
    case truncated(path: String, expectedBytes: UInt64, foundBytes: UInt64)
    /// The fixed part of the header does not match its checksum.
    case damagedHeader(path: String)
    /// A row's identity does not match its checksum, or cannot be.
    case damagedRow(path: String, row: Int)
    /// No room for more rows could be had from the file system: the disk is full, or a quota is.
    case cannotGrow(path: String, reason: String)
    /// As many rows as the file may hold are in use.
    case tooManyRows(path: String, maximum: Int)
    /// The counters could not be written through to the disk.
    case cannotSync(path: String, reason: String)

    package var description: String {
        switch self {
        case .cannotOpen(let path, let reason):
            "the counter file \(path) cannot be opened: \(reason)"
        case .inUse(let path):
            "the counter file \(path) is in use by another process: each data directory serves one"
        case .notACounterFile(let path):
            "\(path) is not a counter file"
        case .unsupportedVersion(let path, let found):
            "the counter file \(path) has format version \(found), which a newer version of Martlet wrote"
        case .truncated(let path, let expected, let found):
            "the counter file \(path) is damaged: it has \(found) bytes of \(expected)"
        case .damagedHeader(let path):
            "the counter file \(path) is damaged: its header does not match its checksum"
        case .damagedRow(let path, let row):
            "the counter file \(path) is damaged: the identity of row \(row) is not valid"
        case .cannotGrow(let path, let reason):
            "the counter file \(path) cannot grow: \(reason)"
        case .tooManyRows(let path, let maximum):
            "the counter file \(path) holds its maximum of \(maximum) rows"
        case .cannotSync(let path, let reason):
            "the counter file \(path) cannot be written to the disk: \(reason)"
        }
    }
}
