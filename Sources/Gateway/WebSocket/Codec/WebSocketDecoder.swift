/// Reads what a WebSocket client sends (RFC 6455 section 5), from any cutting of the bytes.
///
/// A value that knows no channel: the same decoder serves a connection of HTTP/1.1 and a stream of HTTP/2 (RFC 8441),
/// which differ only in who hands it bytes.
///
/// ```
/// bytes ──▶ head ──▶ payload ──▶ whole in this read? ── yes ──▶ unmasked beside it, handed out, forgotten
///            │ ▲                        │ no
///            │ └── next frame           ▼
///            ▼                       message ──▶ final frame there? ──▶ handed out, given back
///        violation
/// ```
///
/// Memory. Very many connections wait for a message and get none, so a decoder between messages owns no heap memory. A
/// frame that lies whole in the bytes of one call, as nearly every one does, is unmasked into memory of that call (the
/// stack, up to 1 KiB): its one copy. Only parts of messages are kept, and room for them grows with what has arrived,
/// never with what a head merely announces.
///
/// Bounds. A head over ``messageBytesLimit``, alone or with the fragments before it, is refused before any of its
/// payload is kept; ``fragmentLimit`` ends a message that goes on in empty fragments; control frames are at most 125
/// bytes by the protocol. So ``bufferedBytes`` stays below twice the limit, besides what the owner itself left unread.
///
/// The end. The first violation is thrown and is final: later calls throw it again. After a close frame nothing more
/// comes from a client, and what comes is not looked at (section 1.4). Either way the decoder's memory is given back.
///
/// Cost: about 40 ns a message in one frame, and the copy; 130 ns when a read has cut it.
struct WebSocketDecoder {
    /// The most frames of one message. RFC 6455 sets no bound, so that one message could go on in empty frames for ever.
    /// Messages of our sizes need no cutting at all, whatever a client's buffer.
    static let fragmentLimit = 1024

    /// The most bytes of one message's payload. May be changed at any time; heads that are read after that meet it.
    var messageBytesLimit: Int

    /// The frame that is being read.
    private var head = WebSocketFrameHead()
    /// Of that frame's payload, the bytes that have arrived: they are in `message` or `control`.
    private var payloadReceived = 0

    /// The kind of the message whose final fragment is awaited.
    private var kind: WebSocketOpcode?
    /// Frames of that message so far.
    private var fragmentCount = 0
    /// Unmasked: the fragments before, and what has arrived of the present frame when that carries data.
    private var message: [UInt8] = []
    /// Unmasked: what has arrived of a control frame. It may stand between fragments, so it needs a place of its own.
    private var control: [UInt8] = []

    /// Bytes from `unreadStart` on are still to be read: the owner asked to stop.
    private var unread: [UInt8] = []
    private var unreadStart = 0

    private var isClosed = false
    private var violation: WebSocketViolation?

    init(messageBytesLimit: Int) {
        self.messageBytesLimit = messageBytesLimit
    }

    /// The heap memory that is held between calls: parts of messages and what was left unread. Zero between messages.
    var bufferedBytes: Int { message.capacity + control.capacity + unread.capacity }

    /// Whether a part of a frame or of a message waits for the rest.
    var isInsideMessage: Bool { kind != nil || head.received > 0 }

    /// Whether the owner asked to stop and bytes are waiting: to be read by a call with no bytes.
    var hasUnread: Bool { !unread.isEmpty }

    /// Takes bytes and hands out what is complete by them, in order.
    ///
    /// - Parameters:
    ///   - bytes: what arrived. May be empty, to go on with what was left unread.
    ///   - handle: called for each message and control frame. It must not use this decoder, which is at work. False: to
    ///     stop after this one; the rest of the bytes is kept and read by the next call.
    /// - Throws: the first violation, when all that came before it has been handed out.
    mutating func feed(
        _ bytes: UnsafeRawBufferPointer, _ handle: (WebSocketEvent) -> Bool
    ) throws(WebSocketViolation) {
        if let violation { throw violation }
        guard !isClosed else { return }
        do throws(WebSocketViolation) {
            if unread.isEmpty {
                let read = try decode(bytes, handle)
                if read < bytes.count { unread = Array(bytes.slice(read..<bytes.count)) }
            } else {
                try feedUnread(bytes, handle)
            }
        } catch {
            violation = error
            release()
            throw error
        }
        if isClosed { release() }
    }

    /// Takes bytes without looking at them: their owner is not ready for what is in them. They are read by the next
    /// ``feed(_:_:)``, before what that brings.
    mutating func hold(_ bytes: UnsafeRawBufferPointer) {
        guard violation == nil, !isClosed else { return }
        unread.append(contentsOf: bytes)
    }

    private mutating func feedUnread(
        _ bytes: UnsafeRawBufferPointer, _ handle: (WebSocketEvent) -> Bool
    ) throws(WebSocketViolation) {
        // Only when the greater part has been read, so that an owner who reads one message at a time moves each byte a
        // bounded number of times.
        if unreadStart > unread.count / 2 {
            unread.removeFirst(unreadStart)
            unreadStart = 0
        }
        unread.append(contentsOf: bytes)
        // Moved out, so that the bytes stay where they are while this value changes.
        let waiting = unread
        unread = []
        let start = unreadStart
        unreadStart = 0
        let read = try waiting.withUnsafeBufferPointer { bytes throws(WebSocketViolation) in
            try decode(UnsafeRawBufferPointer(bytes).slice(start..<bytes.count), handle)
        }
        if start + read < waiting.count {
            unread = waiting
            unreadStart = start + read
        }
    }

    /// - Returns: how many bytes were read: all of them, unless `handle` asked to stop.
    private mutating func decode(
        _ input: UnsafeRawBufferPointer, _ handle: (WebSocketEvent) -> Bool
    ) throws(WebSocketViolation) -> Int {
        var offset = 0
        while !isClosed {
            while !head.isComplete {
                guard offset < input.count else { return offset }
                try takeHead(input[offset])
                offset += 1
            }
            let missing = Int(head.length) - payloadReceived
            let part = input.slice(offset..<offset + min(missing, input.count - offset))
            offset += part.count
            guard part.count == missing else {
                keep(part, missing: missing)
                return offset
            }
            guard try finishFrame(part, handle) else { return offset }
        }
        return input.count
    }

    /// One byte of the head, and what it breaks in view of the frames before it.
    @inline(__always)
    private mutating func takeHead(_ byte: UInt8) throws(WebSocketViolation) {
        try head.take(byte)
        guard !head.opcode.isControl else { return }
        if head.received == 1 {
            if head.opcode == .continuation {
                guard kind != nil else { throw .unexpectedContinuation }
                guard fragmentCount < Self.fragmentLimit else { throw .tooManyFragments }
            } else {
                guard kind == nil else { throw .unfinishedMessage }
            }
        } else if head.hasJustLearntLength {
            let room = max(0, messageBytesLimit - message.count)
            guard head.length <= UInt64(room) else { throw .messageTooLarge }
        }
    }

    /// Keeps a part of the present frame's payload.
    private mutating func keep(_ part: UnsafeRawBufferPointer, missing: Int) {
        guard part.count > 0 else { return }
        if head.opcode.isControl {
            control.appendUnmasked(part, head.mask, offset: payloadReceived)
        } else {
            // Room for as much again as has arrived, so that neither one byte at a time nor a length that was only
            // announced is dear; and no more than will be needed, as far as that is known.
            let needed = message.count + part.count
            if needed > message.capacity {
                let most = head.isFinal ? message.count + missing : messageBytesLimit
                message.reserveCapacity(max(needed, min(most, needed * 2)))
            }
            message.appendUnmasked(part, head.mask, offset: payloadReceived)
        }
        payloadReceived += part.count
    }

    /// Takes the last part of the present frame's payload and hands out what is complete by it.
    ///
    /// - Returns: false when the owner asked to stop.
    private mutating func finishFrame(
        _ part: UnsafeRawBufferPointer, _ handle: (WebSocketEvent) -> Bool
    ) throws(WebSocketViolation) -> Bool {
        defer {
            head = WebSocketFrameHead()
            payloadReceived = 0
        }
        let opcode = head.opcode
        if opcode == .close { isClosed = true }
        if opcode.isControl {
            guard !control.isEmpty else { return try lend(part, as: opcode, handle) }
            control.appendUnmasked(part, head.mask, offset: payloadReceived)
            let payload = control
            control = []
            return try Self.hand(payload, as: opcode, handle)
        }
        guard head.isFinal else {
            keep(part, missing: part.count)
            kind = kind ?? opcode
            fragmentCount += 1
            return true
        }
        let messageKind = kind ?? opcode
        kind = nil
        fragmentCount = 0
        guard !message.isEmpty else { return try lend(part, as: messageKind, handle) }
        keep(part, missing: part.count)
        let payload = message
        message = []
        return try Self.hand(payload, as: messageKind, handle)
    }

    /// Hands out a payload that lies whole in the input.
    private func lend(
        _ part: UnsafeRawBufferPointer, as opcode: WebSocketOpcode, _ handle: (WebSocketEvent) -> Bool
    ) throws(WebSocketViolation) -> Bool {
        let mask = head.mask
        let result = withUnsafeTemporaryAllocation(byteCount: part.count, alignment: 8) { memory in
            if let base = memory.baseAddress { mask.unmask(part, to: base, offset: 0) }
            return Result { () throws(WebSocketViolation) in
                handle(try WebSocketEvent(opcode, UnsafeRawBufferPointer(memory)))
            }
        }
        return try result.get()
    }

    private static func hand(
        _ payload: [UInt8], as opcode: WebSocketOpcode, _ handle: (WebSocketEvent) -> Bool
    ) throws(WebSocketViolation) -> Bool {
        try payload.withUnsafeBufferPointer { bytes throws(WebSocketViolation) in
            handle(try WebSocketEvent(opcode, UnsafeRawBufferPointer(bytes)))
        }
    }

    private mutating func release() {
        message = []
        control = []
        unread = []
        unreadStart = 0
        kind = nil
        head = WebSocketFrameHead()
        payloadReceived = 0
        fragmentCount = 0
    }
}

extension [UInt8] {
    /// - Parameter offset: where in the frame's payload `part` begins.
    fileprivate mutating func appendUnmasked(_ part: UnsafeRawBufferPointer, _ mask: WebSocketMask, offset: Int) {
        let start = count
        append(contentsOf: part)
        withUnsafeMutableBytes { mask.unmask(UnsafeMutableRawBufferPointer(rebasing: $0[start...]), offset: offset) }
    }
}
