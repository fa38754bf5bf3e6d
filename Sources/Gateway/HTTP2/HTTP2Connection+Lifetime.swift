import CNGHTTP2
import NIOCore
import Tenancy

/// The end of a connection: by idleness, by slowness, by flood, by drain.
extension HTTP2Connection {
    /// Counts frames that make us work without being part of a request: PING, SETTINGS, PRIORITY, WINDOW_UPDATE,
    /// and empty DATA (CVE-2019-9511 to 9518).
    func frameBegan(_ header: nghttp2_frame_hd) {
        dataBytesOfFrame = 0
        switch header.type {
        case UInt8(NGHTTP2_DATA.rawValue) where header.length > 0 || header.flags & 1 != 0: return
        case UInt8(NGHTTP2_HEADERS.rawValue), UInt8(NGHTTP2_CONTINUATION.rawValue): return
        default: break
        }
        if headBeganAt != nil, exchanges.isEmpty { headBeganAt = nil }
        countIdleFrame()
    }

    func countIdleFrame() {
        if lane.now.milliseconds - idleFramesSince.milliseconds > 10_000 {
            idleFramesSince = lane.now
            idleFrames = 0
        }
        idleFrames += 1
        if idleFrames > lane.limits.idleFramesPerTenSeconds {
            nghttp2_session_terminate_session(session, UInt32(NGHTTP2_ENHANCE_YOUR_CALM.rawValue))
        }
    }

    /// Called about once a second by the lane.
    func sweep(now: Timestamp) {
        guard let context else { return }
        let limits = lane.limits
        if let closingSince {
            if now.milliseconds - closingSince.milliseconds > limits.stallMilliseconds { context.close(promise: nil) }
            return
        }
        if context.channel.isWritable {
            fullSince = nil
        } else if let fullSince, now.milliseconds - fullSince.milliseconds > limits.stallMilliseconds {
            // Not even a reset would reach a peer that takes nothing from its socket.
            closeNow()
            return
        } else {
            fullSince = fullSince ?? now
        }
        if let began = headBeganAt, now.milliseconds - began.milliseconds > limits.headMilliseconds {
            terminate(context, NGHTTP2_ENHANCE_YOUR_CALM)
            return
        }
        if exchanges.isEmpty, now.milliseconds - lastActivity.milliseconds > limits.idleMilliseconds {
            terminate(context, NGHTTP2_NO_ERROR)
            return
        }
        for exchange in exchanges where exchange.isStalled(now: now, limits: limits) {
            if exchange.isResponded {
                reset(exchange, code: NGHTTP2_CANCEL)
            } else {
                exchange.refuse(.requestTimeout)
            }
        }
        if !parked.isEmpty { pump(context) }
    }

    /// Lets requests in flight finish and refuses new ones (RFC 9113 section 6.8).
    func drain() {
        guard !isDraining, let session, let context else { return }
        isDraining = true
        nghttp2_submit_shutdown_notice(session)
        pump(context)
        // One round trip later, streams that the peer opened before it knew are still counted as accepted.
        context.eventLoop.assumeIsolated().scheduleTask(in: .milliseconds(50)) {
            guard let session = self.session, let context = self.context else { return }
            let last = nghttp2_session_get_last_proc_stream_id(session)
            nghttp2_submit_goaway(
                session, UInt8(NGHTTP2_FLAG_NONE.rawValue), last, UInt32(NGHTTP2_NO_ERROR.rawValue), nil, 0)
            self.pump(context)
        }
    }

    func closeNow() {
        context?.close(promise: nil)
    }

    private func terminate(_ context: ChannelHandlerContext, _ code: nghttp2_error_code) {
        nghttp2_session_terminate_session(session, UInt32(code.rawValue))
        pump(context)
        close(context)
    }
}

extension Exchange {
    /// Whether the peer has moved nothing for too long: a body that does not come, or comes in drops, or a reader that
    /// does not read. An exchange that waits for us is never stalled.
    func isStalled(now: Timestamp, limits: GatewayLimits) -> Bool {
        let still = now.milliseconds - progressedAt.milliseconds
        if isResponded {
            return responseBody.readableBytes > 0 && still > limits.stallMilliseconds
        }
        guard !isRequestEnded, bodyMode == .collecting || bodyMode == .streaming else { return false }
        if still > limits.stallMilliseconds { return true }
        let elapsed = now.milliseconds - startedAt.milliseconds
        return bodyMode == .collecting && elapsed > limits.stallMilliseconds
            && Int64(requestBodyReceived) * 1000 < elapsed * limits.slowBodyBytesPerSecond
    }
}
