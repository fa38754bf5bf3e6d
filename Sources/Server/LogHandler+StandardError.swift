import Synchronization

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// Standard error, one `write` a line, so that lines of several threads never run into each other.
///
/// Cost: one system call. A reader that stops reading blocks the writer when the pipe is full, as with any program; the
/// data path therefore logs nothing per request above `debug`.
package final class StandardErrorSink: LogSink {
    package static let shared = StandardErrorSink()

    private let turn = Mutex(())

    package func write(_ line: [UInt8]) {
        turn.withLock { _ in
            line.withUnsafeBytes { buffer in
                var rest = buffer[...]
                while !rest.isEmpty {
                    let slice = UnsafeRawBufferPointer(rebasing: rest)
                    let count = systemWrite(STDERR_FILENO, slice.baseAddress, slice.count)
                    if count > 0 {
                        rest = rest.dropFirst(count)
                    } else if errno != EINTR {
                        // There is nowhere left to say that a line was lost.
                        return
                    }
                }
            }
        }
    }
}

// Inside the type the plain name means its own method.
private let systemWrite = write as @Sendable (Int32, UnsafeRawPointer?, Int) -> Int
