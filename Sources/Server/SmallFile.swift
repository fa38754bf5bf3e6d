#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// Why a file could not be read or written: one sentence with the path and the system's reason.
package struct FileError: Error, Equatable, CustomStringConvertible {
    package let path: String
    /// The system's error number, or 0 where the reason is not the system's.
    package let code: Int32
    package let reason: String

    package var description: String { "\(path): \(reason)" }

    init(path: String, code: Int32) {
        self.path = path
        self.code = code
        self.reason = strerror(code).map { String(cString: $0) } ?? "error \(code)"
    }

    init(path: String, reason: String) {
        self.path = path
        self.code = 0
        self.reason = reason
    }
}

/// A file that is small enough to be read and written whole: keys, certificates, configuration.
///
/// Writing is durable and atomic: the bytes go to a new file beside the old one, which is synced, renamed over it, and
/// made to last by syncing the directory. Whoever reads sees the old file or the new one, whole, and so does the next
/// start after a power cut.
package enum SmallFile {
    /// Reads the whole file.
    ///
    /// - Throws: ``FileError``, also when the file holds more than `maxBytes`.
    package static func read(_ path: String, maxBytes: Int) throws(FileError) -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw FileError(path: path, code: errno) }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 16_384)
        while true {
            let count = chunk.withUnsafeMutableBytes { systemRead(descriptor, $0.baseAddress, $0.count) }
            if count < 0 {
                guard errno == EINTR else { throw FileError(path: path, code: errno) }
                continue
            }
            guard count > 0 else { return bytes }
            guard bytes.count + count <= maxBytes else {
                throw FileError(path: path, reason: "the file is larger than \(maxBytes) bytes")
            }
            bytes.append(contentsOf: chunk[..<count])
        }
    }

    /// Whether something stands at the path; a symbolic link counts as what it points to.
    package static func exists(_ path: String) -> Bool {
        access(path, F_OK) == 0
    }

    /// Writes the whole file, over an older one if there is one. When it returns the file is on disk.
    ///
    /// - Parameter mode: the permissions of the file from its first moment on, such as `0o600` for a secret.
    /// - Throws: ``FileError``; the older file is then still there as it was.
    package static func write(_ bytes: [UInt8], to path: String, mode: mode_t) throws(FileError) {
        let temporary = "\(path).\(getpid()).new"
        // What a process of the same number left behind when it was killed in the middle of this function.
        unlink(temporary)
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode)
        guard descriptor >= 0 else { throw FileError(path: path, code: errno) }
        do throws(FileError) {
            defer { close(descriptor) }
            // The process's mask may have taken bits away; a secret never gets more than `mode` anyhow.
            guard fchmod(descriptor, mode) == 0 else { throw FileError(path: path, code: errno) }
            try writeAll(bytes, to: descriptor, path: path)
            guard fsync(descriptor) == 0 else { throw FileError(path: path, code: errno) }
            guard rename(temporary, path) == 0 else { throw FileError(path: path, code: errno) }
        } catch {
            unlink(temporary)
            throw error
        }
        try syncDirectory(of: path)
    }

    private static func writeAll(_ bytes: [UInt8], to descriptor: Int32, path: String) throws(FileError) {
        var offset = 0
        while offset < bytes.count {
            let count = bytes.withUnsafeBytes { buffer in
                systemWrite(descriptor, buffer.baseAddress?.advanced(by: offset), buffer.count - offset)
            }
            if count < 0 {
                guard errno == EINTR else { throw FileError(path: path, code: errno) }
                continue
            }
            offset += count
        }
    }

    /// A rename is durable only when the directory that holds the name is.
    private static func syncDirectory(of path: String) throws(FileError) {
        let directory: String
        if let slash = path.lastIndex(of: "/") {
            directory = slash == path.startIndex ? "/" : String(path[..<slash])
        } else {
            directory = "."
        }
        let descriptor = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw FileError(path: directory, code: errno) }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw FileError(path: directory, code: errno) }
    }
}

// Inside the type the plain names mean its own methods.
private let systemRead = read as @Sendable (Int32, UnsafeMutableRawPointer?, Int) -> Int
private let systemWrite = write as @Sendable (Int32, UnsafeRawPointer?, Int) -> Int
