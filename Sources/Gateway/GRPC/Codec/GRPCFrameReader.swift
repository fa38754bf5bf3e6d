import Tenancy

/// Messages out of a stream that arrives in pieces, cut anywhere.
///
/// The owner appends what arrived and takes messages until there is none: then no more than one unfinished message is
/// held. A head over the limit is refused before any of its payload is awaited, and memory grows with what has arrived,
/// not with what a head announces. The first fault is final: it is thrown again, the memory is given back, and what
/// still comes is not kept.
///
/// Cost: one copy into the buffer and one out of it; streams of requests are rare and short.
struct GRPCFrameReader {
    private let limit: Int
    private var buffer: [UInt8] = []
    /// Where in ``buffer`` the next frame begins.
    private var start = 0
    private var fault: MartletError?

    /// - Parameter limit: The most bytes of one message, as it is sent.
    init(limit: Int) {
        self.limit = limit
    }

    /// The heap memory that is held.
    var bufferedBytes: Int { buffer.capacity }

    /// Whether the stream would end within a message. It may not end there.
    var isMidFrame: Bool { start < buffer.count }

    mutating func append(_ bytes: UnsafeRawBufferPointer) {
        guard fault == nil else { return }
        if start > 0 {
            buffer.removeSubrange(0..<start)
            start = 0
        }
        buffer.append(contentsOf: bytes)
    }

    /// The next whole message, or nil where more has to arrive first.
    ///
    /// - Throws: ``MartletError/malformed(_:)`` for a flag without meaning, ``MartletError/bodyTooLarge(limit:)`` for a
    ///   message over the limit.
    mutating func next() throws(MartletError) -> (bytes: [UInt8], isCompressed: Bool)? {
        if let fault { throw fault }
        guard buffer.count - start >= GRPCFrame.headBytes else { return forgetIfRead() }
        let head: (length: Int, isCompressed: Bool)
        do throws(MartletError) {
            head = try buffer.withUnsafeBufferPointer { (bytes) throws(MartletError) in
                try GRPCFrame.head(UnsafeRawBufferPointer(bytes).slice(start..<start + GRPCFrame.headBytes))
            }
            guard head.length <= limit else { throw MartletError.bodyTooLarge(limit: limit) }
        } catch {
            fault = error
            buffer = []
            start = 0
            throw error
        }
        let end = start + GRPCFrame.headBytes + head.length
        guard end <= buffer.count else { return nil }
        let message = Array(buffer[start + GRPCFrame.headBytes..<end])
        start = end
        return (message, head.isCompressed)
    }

    private mutating func forgetIfRead() -> (bytes: [UInt8], isCompressed: Bool)? {
        if start == buffer.count {
            buffer = []
            start = 0
        }
        return nil
    }
}
