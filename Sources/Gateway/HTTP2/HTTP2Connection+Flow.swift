import CNGHTTP2
import NIOCore
import Tenancy

/// Flow control in both directions, and the bounds on what a connection may make us keep.
///
/// In: libnghttp2 counts what arrives against the windows, and gives window back only when we say that bytes were used
/// (`nghttp2_session_consume`). A body that is held gives nothing back, so a peer can have at most one stream window of
/// it here before its caller is known and permitted.
///
/// Out: a response lies in its exchange until its stream's window opens. The sum over a connection, the backlog, is
/// bounded: past it further requests are parked, complete in head but not executed, until the reader has caught up.
extension HTTP2Connection {
    /// The window of a new stream, and of one whose body is permitted.
    static let initialStreamWindow: Int32 = 65_535
    static let openStreamWindow: Int32 = 1 << 20
    static let connectionWindow: Int32 = 4 << 20

    func submitSettings() {
        var settings = [
            nghttp2_settings_entry(
                settings_id: Int32(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS.rawValue),
                value: UInt32(lane.limits.concurrentStreams)),
            nghttp2_settings_entry(
                settings_id: Int32(NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE.rawValue),
                value: UInt32(lane.limits.headerBytes)),
            nghttp2_settings_entry(
                settings_id: Int32(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE.rawValue),
                value: UInt32(Self.initialStreamWindow)),
            // WebSockets on streams of this connection (RFC 8441 section 3).
            nghttp2_settings_entry(
                settings_id: Int32(NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL.rawValue), value: 1),
            // The tree of RFC 7540, which RFC 9113 section 5.3.2 takes back, is not kept.
            nghttp2_settings_entry(
                settings_id: Int32(NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES.rawValue), value: 1),
        ]
        nghttp2_submit_settings(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), &settings, settings.count)
        nghttp2_session_set_local_window_size(
            session, UInt8(NGHTTP2_FLAG_NONE.rawValue), 0, Self.connectionWindow)
    }

    // MARK: In

    func dataReceived(streamID: Int32, bytes: UnsafeRawBufferPointer) {
        guard let exchange = exchange(streamID) else {
            nghttp2_session_consume_connection(session, bytes.count)
            return
        }
        exchange.progressedAt = lane.now
        exchange.requestBodyReceived += bytes.count
        dataBytesOfFrame += bytes.count
        switch exchange.bodyMode {
        case .held:
            exchange.requestBody.writeBytes(bytes)
            exchange.heldBytes += bytes.count
        case .collecting:
            if lane.collect(exchange, bytes, peer: peer) {
                nghttp2_session_consume(session, streamID, bytes.count)
            } else {
                nghttp2_session_consume_connection(session, bytes.count)
            }
        case .streaming:
            exchange.door?.receiveBody(exchange, bytes)
            nghttp2_session_consume(session, streamID, bytes.count)
        case .discarding:
            // The stream's window stays shut: the peer stops when it is used up.
            nghttp2_session_consume_connection(session, bytes.count)
        }
    }

    /// Gives the connection back the window of bytes that were held for an exchange which nobody will read. The
    /// stream's own stays shut.
    func dropHeldBody(of exchange: Exchange) {
        guard exchange.heldBytes > 0 else { return }
        if let session { nghttp2_session_consume_connection(session, exchange.heldBytes) }
        exchange.heldBytes = 0
        exchange.requestBody.clear()
    }

    func requestBodyResumed(_ exchange: Exchange) {
        guard let session else { return }
        let held = exchange.heldBytes
        exchange.heldBytes = 0
        if held > 0 {
            switch exchange.bodyMode {
            case .collecting:
                _ = lane.adoptHeld(exchange, peer: peer)
            case .streaming:
                giveOutHeldBody(of: exchange)
            case .held, .discarding:
                break
            }
            nghttp2_session_consume(session, exchange.streamID, held - exchange.heldBytes)
        }
        if exchange.bodyMode == .held {
            // The door has had enough again.
        } else if !exchange.isRequestEnded {
            if exchange.requestBodyReceived == 0,
                exchange.request.withValue(.expect, { $0.matchesIgnoringCase("100-continue") }) == true
            {
                submitContinue(exchange)
            }
            nghttp2_session_set_local_window_size(
                session, UInt8(NGHTTP2_FLAG_NONE.rawValue), exchange.streamID, Self.openStreamWindow)
        } else {
            exchange.endIfFlowing()
        }
        schedulePump()
    }

    /// Hands a door the bytes that were held, as long as it takes more: what each of them causes is bounded by the
    /// piece. The rest is held on.
    private func giveOutHeldBody(of exchange: Exchange) {
        var bytes = exchange.requestBody
        exchange.requestBody.clear()
        while exchange.bodyMode == .streaming,
            let piece = bytes.readSlice(length: min(bytes.readableBytes, Self.heldPieceBytes)), piece.readableBytes > 0
        {
            piece.withUnsafeReadableBytes { exchange.door?.receiveBody(exchange, $0) }
        }
        guard bytes.readableBytes > 0 else { return }
        exchange.requestBody = bytes
        exchange.heldBytes = bytes.readableBytes
    }

    private static let heldPieceBytes = 16_384

    // MARK: Out

    /// Whether the answers that wait for this reader, or for all of the loop, are so many that no large one is added.
    var isCrowded: Bool {
        backlogBytes >= lane.limits.backlogBytesPerConnection || lane.isCrowded(peer.lastCaller)
    }

    /// What may wait on one stream that goes on, and on all of a connection, before its door is told to wait.
    private static let readyStreamBytes = 16_384
    private static let readyConnectionBytes = 1 << 20

    func isReady(_ exchange: Exchange) -> Bool {
        guard exchange.responseBody.readableBytes < Self.readyStreamBytes, session != nil else { return false }
        if backlogBytes < Self.readyConnectionBytes { return true }
        // Nothing of its own has to leave first: it waits for what the others have written.
        if exchange.responseBody.readableBytes == 0, !exchange.awaitsReader {
            // Those that closed meanwhile are not kept for ever.
            if crowdedOut.count > 2 * exchanges.count { crowdedOut.removeAll { self.exchange($0) == nil } }
            crowdedOut.append(exchange.streamID)
        }
        return false
    }

    /// Goes on with streams whose readers have made room. They were noted while the session was drawing, when nothing
    /// may be written. Returns whether there were any.
    func resumeReaders() -> Bool {
        var streams: [Int32] = []
        swap(&streams, &drained)
        if backlogBytes < Self.readyConnectionBytes / 2 {
            streams += crowdedOut
            crowdedOut.removeAll()
        }
        guard !streams.isEmpty else { return false }
        for streamID in streams { exchange(streamID)?.tellReaderIsBack() }
        lane.flushTouched()
        return true
    }

    /// Waits for this connection's reader; where others' are behind, it is not made to wait for them.
    func park(_ exchange: Exchange) {
        if backlogBytes > 0 {
            parked.append(exchange)
        } else {
            exchange.refuse(lane.crowdedRefusal())
        }
    }

    /// Brings the sums up to what now waits in `exchange`, which remembers what it was counted with.
    func countBacklog(of exchange: Exchange) {
        backlogBytes += lane.countBacklog(of: exchange)
    }

    /// Takes up what was parked, as far as there is room. Returns whether anything was.
    func unpark() -> Bool {
        guard !parked.isEmpty, !isWaitingForTurn, backlogBytes == 0 || !isCrowded else { return false }
        guard lane.serves(self) else {
            // In a turn of its own, like all that is executed.
            inputArrivedAt = lane.earliestArrival
            lane.wait(self)
            return false
        }
        var waiting: [Exchange] = []
        swap(&waiting, &parked)
        var index = 0
        while index < waiting.count, backlogBytes == 0 || !isCrowded {
            waiting[index].door?.resume(waiting[index])
            index += 1
            guard !lane.isSliceOver else {
                lane.wait(self)
                break
            }
        }
        // Behind them stands what was parked anew meanwhile.
        parked = Array(waiting[index...]) + parked
        return index > 0
    }

    func responseBytesReady(streamID: Int32, limit: Int, flags: UnsafeMutablePointer<UInt32>) -> Int {
        guard let exchange = exchange(streamID) else { return Int(NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue) }
        let available = exchange.responseBody.readableBytes
        if available == 0, !exchange.isResponseEnded { return Int(NGHTTP2_ERR_DEFERRED.rawValue) }
        let count = min(available, limit)
        flags.pointee |= UInt32(NGHTTP2_DATA_FLAG_NO_COPY.rawValue)
        if count == available, exchange.isResponseEnded {
            flags.pointee |= UInt32(NGHTTP2_DATA_FLAG_EOF.rawValue)
            if exchange.hasTrailers {
                flags.pointee |= UInt32(NGHTTP2_DATA_FLAG_NO_END_STREAM.rawValue)
                submitTrailers(exchange)
            }
        }
        return count
    }

    func sendData(streamID: Int32, frameHeader: UnsafeRawBufferPointer, count: Int) -> Int32 {
        guard output.readableBytes < Self.flushBytes else { return NGHTTP2_ERR_WOULDBLOCK.rawValue }
        guard let exchange = exchange(streamID) else { return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue }
        output.writeBytes(frameHeader)
        exchange.responseBody.readWithUnsafeReadableBytes { bytes in
            output.writeBytes(bytes.slice(0..<count))
            return count
        }
        countBacklog(of: exchange)
        exchange.progressedAt = lane.now
        idleFrames = 0
        if exchange.isResponseEnded, exchange.responseBody.readableBytes == 0 {
            // Trailers, where there are any, end the response: see `lastHeadSent`.
            if !exchange.isRequestEnded, !exchange.hasTrailers { submitStop(exchange) }
        } else if exchange.awaitsReader, exchange.responseBody.readableBytes == 0 {
            drained.append(streamID)
        } else if exchange.responseBody.readerIndex > 1 << 20 {
            exchange.responseBody.discardReadBytes()
        }
        return 0
    }

    /// Tells a peer whose body nobody will read to stop sending it: the response is complete (RFC 9113 section 8.1).
    func submitStop(_ exchange: Exchange) {
        nghttp2_submit_rst_stream(
            session, UInt8(NGHTTP2_FLAG_NONE.rawValue), exchange.streamID, UInt32(NGHTTP2_NO_ERROR.rawValue))
    }
}

extension Exchange {
    /// Tells the door that the request is complete, unless its body is still held or nobody wants it.
    func endIfFlowing() {
        guard isRequestEnded, !isResponseEnded else { return }
        if bodyMode == .collecting || bodyMode == .streaming { door?.receiveEnd(self) }
    }
}
