import Access
import CacheService
import Engine
import Foundation
import NIOCore
import Tenancy
import Wire

/// The answer to GetBatch or SetBatch: one message for each item, in their order, as fast as their reader takes them.
///
/// Every key is looked at before anything is read or written, so that a caller who may not do all of it does none of it.
/// Then the items are gone through piece by piece, with a look at other connections in between.
final class BatchAnswer: HTTPDoor, LaneStream {
    var streamSlot = -1
    var isTouched = false
    var isReaderBack = false
    private let lane: GatewayLane
    private let ticket: ExchangeTicket
    private let caller: LaneCaller
    private var grant: CacheGrant
    private let door: Door
    private let peer: Peer
    private var reservedFrom: CacheGrant?
    private let deadline: Int64?
    private let isWriting: Bool
    /// The message of the request.
    private let bytes: [UInt8]
    /// Where the request of each item lies in it.
    private let items: [Range<Int>]
    private var next = 0
    /// An engine elsewhere works at an item.
    private var isWaiting = false

    /// More are refused: a batch is gone through as a whole before its first item is answered.
    static let mostItems = 16_384
    private static let itemsPerTurn = 256

    private init(
        _ exchange: Exchange, _ caller: LaneCaller, _ grant: CacheGrant, _ bytes: [UInt8], _ items: [Range<Int>],
        isWriting: Bool
    ) {
        lane = exchange.lane
        ticket = ExchangeTicket(exchange)
        self.caller = caller
        self.grant = grant
        door = exchange.grpc.door
        peer = exchange.transport.peer
        deadline = exchange.grpc.deadline
        self.bytes = bytes
        self.items = items
        self.isWriting = isWriting
    }

    static func begin(
        _ exchange: Exchange, _ message: UnsafeRawBufferPointer, isWriting: Bool
    ) throws(MartletError) {
        guard let caller = exchange.rest.caller, let opened = exchange.rest.opened else { throw .missingCredential }
        if exchange.transport.isCrowded {
            exchange.transport.park(exchange)
            return
        }
        let items = try exchange.parameters { () throws(MartletError) in try Self.items(of: message) }
        let batch = BatchAnswer(exchange, caller, opened, Array(message), items, isWriting: isWriting)
        for item in items {
            try message.slice(item).withItem(isWriting, exchange) { key, _, _ throws(MartletError) in
                batch.grant = try exchange.lane.service.permit(
                    batch.grant, caller, operation: isWriting ? .set : .get, key: key, door: batch.door)
            }
        }
        // What was received is let go for what the batch holds, which is more where it was compressed.
        exchange.lane.bodyIsUsedUp(exchange)
        guard batch.reserve() else {
            throw exchange.lane.service.refused(batch.grant, batch.door, .busy(retryAfterMilliseconds: 100))
        }
        exchange.rest.opened = batch.grant
        exchange.door = batch
        exchange.endsWithInput = true
        exchange.lane.add(batch)
        exchange.beginGRPCStream()
        batch.goOn()
    }

    /// The items of `_GetBatchRequest` or `_SetBatchRequest`: field 1, as often as it stands there.
    private static func items(of message: UnsafeRawBufferPointer) throws(MartletError) -> [Range<Int>] {
        var items: [Range<Int>] = []
        var reader = PlainFields(message)
        while !reader.isAtEnd {
            guard let tag = reader.varint(), reader.isField(tag) else { throw unreadable }
            if tag == 0x0A {
                guard let range = reader.bytes() else { throw unreadable }
                items.append(range)
                guard items.count <= mostItems else {
                    throw .invalidArgument(field: "items", reason: "must be at most \(mostItems)")
                }
            } else if !reader.skip(tag) {
                throw unreadable
            }
        }
        return items
    }

    // MARK: Memory

    private func reserve() -> Bool {
        let limit = lane.limits.bodyBytesPerConnection
        guard peer.bytesInFlight + bytes.count <= limit, lane.service.reserveBytes(bytes.count, grant) else {
            return false
        }
        peer.bytesInFlight += bytes.count
        reservedFrom = grant
        return true
    }

    /// Leaves the lane, and gives back what was reserved.
    private func leave() {
        guard streamSlot >= 0 else { return }
        lane.remove(self)
        guard let reservedFrom else { return }
        peer.bytesInFlight -= bytes.count
        lane.service.releaseBytes(bytes.count, reservedFrom)
        self.reservedFrom = nil
    }

    fileprivate static let unreadable = MartletError.malformed("the request is not a valid message")

    // MARK: Going through

    /// Answers items until they are all answered, the reader is behind, or it is somebody else's turn.
    private func goOn() {
        var left = Self.itemsPerTurn
        while let exchange = ticket.live, streamSlot >= 0, !isWaiting {
            guard next < items.count else { return finish(nil) }
            guard exchange.isReady else { return }
            guard left > 0 else { return lane.queueReader(of: self) }
            left -= 1
            if let deadline, lane.uptimeMilliseconds >= deadline { return finish(.deadlineExceeded) }
            do throws(MartletError) {
                try perform(exchange)
            } catch {
                return finish(error)
            }
        }
    }

    private func perform(_ exchange: Exchange) throws(MartletError) {
        if let fault = lane.service.fault(of: caller) { throw fault }
        let range = items[next]
        next += 1
        try bytes.withUnsafeBufferPointer { bytes throws(MartletError) in
            let item = UnsafeRawBufferPointer(bytes).slice(range)
            try item.withItem(isWriting, exchange) { key, value, ttl throws(MartletError) in
                grant = try lane.service.permit(
                    grant, caller, operation: isWriting ? .set : .get, key: key, door: door)
                if isWriting {
                    try set(exchange, key, value, ttl)
                } else {
                    try get(exchange, key)
                }
            }
        }
    }

    private func get(_ exchange: Exchange, _ key: UnsafeRawBufferPointer) throws(MartletError) {
        var frame = ByteBuffer()
        let reply = lane.service.get(grant, door, key: key) { count in
            ScsResponse.reserveHit(count, in: &frame)
        } later: {
            late { batch, exchange, item in
                var frame = ByteBuffer()
                if let item {
                    ScsResponse.reserveHit(item.value.count, in: &frame).copyBytes(from: item.value)
                } else {
                    frame.writeBytes(ScsResponse.miss)
                }
                exchange.writeGRPC(frames: frame)
            }
        }
        switch reply {
        case .here(let facts):
            if facts == nil { frame.writeBytes(ScsResponse.miss) }
            exchange.writeGRPC(frames: frame)
        case .refused(let error): throw error
        case .later: isWaiting = true
        }
    }

    private func set(
        _ exchange: Exchange, _ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer, _ ttl: UInt64
    ) throws(MartletError) {
        let ttl = try GRPCDoor.ttl(ttl, exchange)
        let reply = lane.service.set(grant, door, key: key, value: value, ttl: ttl, condition: .always) {
            late { _, exchange, _ in exchange.writeGRPC(frames: ByteBuffer(bytes: ScsResponse.stored)) }
        }
        switch reply {
        case .here: exchange.writeGRPC(frames: ByteBuffer(bytes: ScsResponse.stored))
        case .refused(let error): throw error
        case .later: isWaiting = true
        }
    }

    private func late<Value>(_ answer: @escaping (BatchAnswer, Exchange, Value) -> Void) -> LateHandler<Value> {
        { result in
            guard let exchange = self.ticket.live else { return }
            self.isWaiting = false
            switch result {
            case .success(let value):
                answer(self, exchange, value)
                self.goOn()
            case .failure(let error):
                self.finish(error)
            }
        }
    }

    private func finish(_ error: MartletError?) {
        guard streamSlot >= 0 else { return }
        leave()
        ticket.live?.finishGRPC(error)
    }

    // MARK: LaneStream

    func tick(now: Timestamp) {
        if let deadline, lane.uptimeMilliseconds >= deadline { finish(.deadlineExceeded) }
    }

    func flushTouched() {}

    func readerIsBack() {
        goOn()
    }

    /// What was begun is finished.
    func drain() {}

    // MARK: HTTPDoor

    func receiveHead(_ exchange: Exchange) {}
    func receiveEnd(_ exchange: Exchange) {}

    func responseDrained(_ exchange: Exchange) {
        lane.queueReader(of: self)
    }

    func abandon(_ exchange: Exchange) {
        leave()
    }
}

extension UnsafeRawBufferPointer {
    /// Lends what stands in the request of one item: its key, and what is to be stored under it.
    fileprivate func withItem(
        _ isWriting: Bool, _ exchange: Exchange,
        _ body: (
            _ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer, _ ttl: UInt64
        ) throws(MartletError) -> Void
    ) throws(MartletError) {
        if isWriting, let plain = SetMessage(self) {
            try exchange.checkKey(plain.key)
            return try body(slice(plain.key), slice(plain.value), plain.ttlMilliseconds)
        }
        if !isWriting, let key = GetMessage.key(of: self) {
            try exchange.checkKey(key)
            return try body(slice(key), UnsafeRawBufferPointer(start: nil, count: 0), 0)
        }
        if isWriting {
            let request = try exchange.message(Scs_SetRequest.self, self)
            try exchange.checkKey(0..<request.cacheKey.count)
            try request.cacheKey.withBytes { key throws(MartletError) in
                try request.cacheBody.withBytes { value throws(MartletError) in
                    try body(key, value, request.ttlMilliseconds)
                }
            }
        } else {
            let request = try exchange.message(Scs_GetRequest.self, self)
            try exchange.checkKey(0..<request.cacheKey.count)
            try request.cacheKey.withBytes { key throws(MartletError) in
                try body(key, UnsafeRawBufferPointer(start: nil, count: 0), 0)
            }
        }
    }
}

extension Exchange {
    fileprivate func checkKey(_ key: Range<Int>) throws(MartletError) {
        guard key.isEmpty else { return }
        try parameters { () throws(MartletError) in
            throw .invalidArgument(field: "cache_key", reason: "must not be empty")
        }
    }
}
