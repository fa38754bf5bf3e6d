import Access
import CacheService
import NIOCore
import Tenancy

/// The control plane's door: `/v1/admin`. It identifies, reads the body, and lets the routes work on a thread that may
/// block. Credentials come in the Authorization header only, and no page of another origin is ever let in.
final class AdminDoor: HTTPDoor {
    private let routes: any AdminRouting
    private let executor: ControlExecutor

    init(routes: any AdminRouting, executor: ControlExecutor) {
        self.routes = routes
        self.executor = executor
    }

    func receiveHead(_ exchange: Exchange) {
        exchange.rest.isControl = true
        guard let credential = exchange.request.range(.authorization) else {
            exchange.respond(error: .missingCredential)
            return
        }
        exchange.lane.identify(exchange, credential) { exchange, caller in
            switch caller.caller.kind {
            case .root, .superUser:
                exchange.adminCaller = caller.caller
                let limit = exchange.lane.limits.controlBodyBytes
                if let length = exchange.request.withValue(.contentLength, { $0.decimal }) ?? nil, length > limit {
                    exchange.respond(error: .bodyTooLarge(limit: limit))
                    return
                }
                exchange.collectBody(limit: limit)
            case .dataKey, .token:
                exchange.respond(error: .permissionDenied("the control plane takes root and super-user keys only"))
            }
        }
    }

    func receiveEnd(_ exchange: Exchange) {
        guard let caller = exchange.adminCaller else { return }
        let request: AdminRequest
        do throws(MartletError) {
            request = try AdminRequest(exchange, caller)
        } catch {
            exchange.respond(error: error)
            return
        }
        let ticket = LoopBound(ExchangeTicket(exchange), exchange.lane.eventLoop)
        let routes = routes
        let isQueued = executor.submit {
            let result = Result { () throws(MartletError) in try routes.respond(to: request) }
            ticket.run { ticket in
                guard let exchange = ticket.live else { return }
                exchange.lane.beginTick()
                Self.answer(exchange, result)
            }
        }
        if !isQueued { exchange.respond(error: .busy(retryAfterMilliseconds: 200)) }
    }

    private static func answer(_ exchange: Exchange, _ result: Result<AdminResponse, MartletError>) {
        switch result {
        case .failure(let error):
            exchange.respond(error: error)
        case .success(let response):
            var head = ResponseHead(status: response.status)
            head.contentType = response.contentType
            if response.status != 204 { head.contentLength = response.body.count }
            head.extra.append(("cache-control", "no-store"))
            head.extra += response.extra
            exchange.responseBody.clear()
            exchange.responseBody.writeBytes(response.body)
            exchange.respond(head)
        }
    }
}

extension AdminRequest {
    /// Reads the target of a control-plane request.
    ///
    /// - Throws: ``MartletError/malformed(_:)`` when the target is not percent-encoded UTF-8.
    init(_ exchange: Exchange, _ caller: Caller) throws(MartletError) {
        let target = exchange.request.arena[exchange.request.path.range]
        let mark = target.firstIndex(of: 0x3F) ?? target.endIndex
        var path: [String] = []
        for segment in target[..<mark].split(separator: 0x2F, omittingEmptySubsequences: false).dropFirst(3) {
            path.append(try Self.text(segment))
        }
        if path.last == "" { path.removeLast() }
        var query: [(name: String, value: String)] = []
        for pair in target[min(mark + 1, target.endIndex)...].split(separator: 0x26) {
            let equals = pair.firstIndex(of: 0x3D) ?? pair.endIndex
            let name = try Self.text(pair[..<equals])
            query.append((name, try Self.text(pair[min(equals + 1, pair.endIndex)...])))
        }
        method = exchange.request.method
        self.path = path
        self.query = query
        body = Array(exchange.requestBody.readableBytesView)
        self.caller = caller
        wantsCSV = exchange.request.withValue(.accept) { $0.starts(withText: "text/csv") } ?? false
        now = exchange.lane.now
    }

    private static func text(_ bytes: ArraySlice<UInt8>) throws(MartletError) -> String {
        var decoded: [UInt8] = []
        var index = bytes.startIndex
        while index < bytes.endIndex {
            if bytes[index] == 0x25 {
                guard index + 2 < bytes.endIndex, let high = Percent.hexadecimal(bytes[index + 1]),
                    let low = Percent.hexadecimal(bytes[index + 2])
                else { throw .malformed("the request target is not properly percent-encoded") }
                decoded.append(high << 4 | low)
                index += 3
            } else {
                decoded.append(bytes[index])
                index += 1
            }
        }
        guard let text = String(validating: decoded, as: UTF8.self) else {
            throw .malformed("the request target is not UTF-8")
        }
        return text
    }
}

/// Carries a value of an event loop across threads and back.
struct LoopBound<Value>: @unchecked Sendable {
    // Opened only by `run`, on the event loop that it came from.
    private let value: Value
    private let eventLoop: any EventLoop

    init(_ value: Value, _ eventLoop: any EventLoop) {
        self.value = value
        self.eventLoop = eventLoop
    }

    /// Calls `body` with the value on its event loop.
    func run(_ body: @escaping @Sendable (Value) -> Void) {
        eventLoop.execute { body(self.value) }
    }
}
