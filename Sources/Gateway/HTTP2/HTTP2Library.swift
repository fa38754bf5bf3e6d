import CNGHTTP2

/// The callbacks and options that all HTTP/2 sessions of the process share: built once, read only afterwards.
struct HTTP2Library: @unchecked Sendable {
    // Both are written before the only instance is published and never again; libnghttp2 reads them from any thread.
    let callbacks: OpaquePointer
    let options: OpaquePointer

    static let shared = HTTP2Library()

    private init() {
        var callbacks: OpaquePointer?
        var options: OpaquePointer?
        // Both fail only when malloc does, which ends the process anyway.
        nghttp2_session_callbacks_new(&callbacks)
        nghttp2_option_new(&options)
        guard let callbacks, let options else {
            fatalError("out of memory")  // cannot happen otherwise: libnghttp2 only allocates here
        }
        self.callbacks = callbacks
        self.options = options

        nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, onBeginHeaders)
        nghttp2_session_callbacks_set_on_header_callback(callbacks, onHeader)
        nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, onFrameReceived)
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, onDataChunk)
        nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, onStreamClosed)
        nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, onBeginFrame)
        nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, onFrameSent)
        nghttp2_session_callbacks_set_send_data_callback(callbacks, sendData)

        // Bodies are acknowledged when they are used, not when they arrive.
        nghttp2_option_set_no_auto_window_update(options, 1)
        // Closed streams are not kept for priorities, which nobody uses.
        nghttp2_option_set_no_closed_streams(options, 1)
        // A peer that makes us acknowledge without reading our acknowledgements is cut off.
        nghttp2_option_set_max_outbound_ack(options, 1000)
        nghttp2_option_set_max_settings(options, 32)
        nghttp2_option_set_max_continuations(options, 8)
        // Blanks around a value are taken off it, as gRPC asks, and no reason to reset the stream.
        nghttp2_option_set_no_rfc9113_leading_and_trailing_ws_validation(options, 1)
        // Rapid reset (CVE-2023-44487): a burst of streams opened and cancelled, then a slow refill.
        nghttp2_option_set_stream_reset_rate_limit(options, 1000, 33)
        nghttp2_option_set_max_deflate_dynamic_table_size(options, 1024)
    }
}

// MARK: - The C side
// libnghttp2 hands back the pointer that the session was made with: the connection, which outlives its session.

@inline(__always)
private func connection(_ userData: UnsafeMutableRawPointer?) -> Unmanaged<HTTP2Connection> {
    // Never nil: every session is made with its connection.
    Unmanaged.fromOpaque(userData.unsafelyUnwrapped)
}

private let onBeginFrame: nghttp2_on_begin_frame_callback = { _, header, userData in
    connection(userData)._withUnsafeGuaranteedRef { $0.frameBegan(header.unsafelyUnwrapped.pointee) }
    return 0
}

private let onBeginHeaders: nghttp2_on_begin_headers_callback = { _, frame, userData in
    let header = frame.unsafelyUnwrapped.pointee
    guard header.hd.type == UInt8(NGHTTP2_HEADERS.rawValue), header.headers.cat == NGHTTP2_HCAT_REQUEST else {
        return 0
    }
    return connection(userData)._withUnsafeGuaranteedRef { $0.headBegan(streamID: header.hd.stream_id) }
}

private let onHeader: nghttp2_on_header_callback = { _, frame, name, nameLength, value, valueLength, _, userData in
    let streamID = frame.unsafelyUnwrapped.pointee.hd.stream_id
    return connection(userData)._withUnsafeGuaranteedRef {
        $0.headerReceived(
            streamID: streamID,
            name: UnsafeRawBufferPointer(start: name, count: nameLength),
            value: UnsafeRawBufferPointer(start: value, count: valueLength)
        )
        return $0.pausesBeforeNextRequest() ? NGHTTP2_ERR_PAUSE.rawValue : 0
    }
}

private let onFrameReceived: nghttp2_on_frame_recv_callback = { _, frame, userData in
    let header = frame.unsafelyUnwrapped.pointee.hd
    connection(userData)._withUnsafeGuaranteedRef { $0.frameReceived(header) }
    return 0
}

private let onFrameSent: nghttp2_on_frame_send_callback = { _, frame, userData in
    let header = frame.unsafelyUnwrapped.pointee.hd
    guard header.type == UInt8(NGHTTP2_HEADERS.rawValue), header.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0
    else { return 0 }
    connection(userData)._withUnsafeGuaranteedRef { $0.lastHeadSent(streamID: header.stream_id) }
    return 0
}

private let onDataChunk: nghttp2_on_data_chunk_recv_callback = { _, _, streamID, data, length, userData in
    connection(userData)._withUnsafeGuaranteedRef {
        $0.dataReceived(streamID: streamID, bytes: UnsafeRawBufferPointer(start: data, count: length))
    }
    return 0
}

private let onStreamClosed: nghttp2_on_stream_close_callback = { _, streamID, _, userData in
    connection(userData)._withUnsafeGuaranteedRef { $0.streamClosed(streamID: streamID) }
    return 0
}

private let sendData: nghttp2_send_data_callback = { _, frame, frameHeader, length, source, userData in
    connection(userData)._withUnsafeGuaranteedRef {
        $0.sendData(
            streamID: frame.unsafelyUnwrapped.pointee.hd.stream_id,
            frameHeader: UnsafeRawBufferPointer(start: frameHeader, count: 9),
            count: length
        )
    }
}

/// Says how much of a response body may go out now. The bytes are taken in ``sendData``, without a copy in between.
let readResponseBody: nghttp2_data_source_read_callback = { _, streamID, _, length, flags, source, userData in
    connection(userData)._withUnsafeGuaranteedRef {
        $0.responseBytesReady(streamID: streamID, limit: length, flags: flags.unsafelyUnwrapped)
    }
}
