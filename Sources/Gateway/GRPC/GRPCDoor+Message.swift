import CacheService
import NIOCore
import SwiftProtobuf
import Tenancy

/// From the body of a call to its message, and to whoever answers it.
extension GRPCDoor {
    func receiveEnd(_ exchange: Exchange) {
        guard let faults = exchange.lane.faults else {
            answer(exchange)
            return
        }
        injectFault(exchange, faults)
    }

    /// Answers a call that is complete.
    func answer(_ exchange: Exchange) {
        if let deadline = exchange.grpc.deadline, exchange.lane.uptimeMilliseconds >= deadline {
            exchange.refuse(.deadlineExceeded)
            return
        }
        // A body may have taken its time: who was let in then may be shut out now.
        if let caller = exchange.rest.caller, let fault = exchange.lane.service.fault(of: caller) {
            exchange.refuse(fault)
            return
        }
        do throws(MartletError) {
            if exchange.grpc.form == .webText, !exchange.grpc.isDecoded { try decodeText(exchange) }
            // The exchange may serve another request as soon as it is answered: the bytes are held apart from it.
            let body = exchange.requestBody
            try body.withReadableBytes { body throws(MartletError) in
                let (range, isCompressed) = try GRPCFrame.single(body)
                try exchange.grpc.encoding.withPlain(
                    body.slice(range), isCompressed: isCompressed, limit: exchange.bodyLimit
                ) { message throws(MartletError) in answer(exchange, message) }
            }
        } catch {
            exchange.refuse(error)
        }
    }

    private func decodeText(_ exchange: Exchange) throws(MartletError) {
        let text = exchange.requestBody
        var bytes = ByteBuffer()
        bytes.reserveCapacity(text.readableBytes / 4 * 3)
        var decoder = GRPCWebTextDecoder()
        try text.withReadableBytes { text throws(MartletError) in try decoder.decode(text, into: &bytes) }
        try decoder.finish()
        exchange.requestBody = bytes
        exchange.grpc.isDecoded = true
    }

    private func answer(_ exchange: Exchange, _ message: UnsafeRawBufferPointer) {
        do throws(MartletError) {
            switch exchange.grpc.method {
            case .get: try get(exchange, message)
            case .set: try set(exchange, message)
            case .scalar(let rpc): try answer(exchange, rpc, message)
            case .collection(let rpc): try answer(exchange, rpc, message)
            case .getBatch: try BatchAnswer.begin(exchange, message, isWriting: false)
            case .setBatch: try BatchAnswer.begin(exchange, message, isWriting: true)
            case .publish: try publish(exchange, message)
            case .subscribe: try subscribe(exchange, message)
            case .control(let rpc): answer(exchange, rpc, message)
            case .ping: exchange.respondGRPCEmpty()
            case .healthCheck: try HealthService.check(exchange, message)
            case .healthWatch: try HealthService.watch(exchange, message)
            case .reflection, .unknown: break  // answered on their heads
            }
        } catch {
            // Written down already by whoever found it.
            exchange.respondGRPC(error: error)
        }
    }
}

extension Exchange {
    /// Looks at the parameters of a call; what is wrong with them is written down with the cache that they are for.
    @inline(__always)
    func parameters<Result>(_ read: () throws(MartletError) -> Result) throws(MartletError) -> Result {
        do throws(MartletError) {
            return try read()
        } catch {
            throw rest.opened.map { lane.service.refused($0, grpc.door, error) } ?? error
        }
    }

    /// Reads the message of a call.
    func message<Message: SwiftProtobuf.Message>(
        _ type: Message.Type, _ bytes: UnsafeRawBufferPointer
    ) throws(MartletError) -> Message {
        try parameters { () throws(MartletError) in try Message(reading: bytes) }
    }
}

extension ByteBuffer {
    /// As `withUnsafeReadableBytes`, with errors of one type.
    @inline(__always)
    func withReadableBytes<Result, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        var result: Swift.Result<Result, Failure>?
        withUnsafeReadableBytes { bytes in
            do throws(Failure) {
                result = .success(try body(bytes))
            } catch {
                result = .failure(error)
            }
        }
        // The closure is always called.
        return try result.unsafelyUnwrapped.get()
    }
}
