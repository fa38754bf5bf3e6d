import Access
import CacheService
import Foundation
import NIOCore
import SwiftProtobuf
import Tenancy
import Topics
import Wire

/// Publish and Subscribe. Both name their cache in the message.
extension GRPCDoor {
    func publish(_ exchange: Exchange, _ message: UnsafeRawBufferPointer) throws(MartletError) {
        guard let caller = exchange.rest.caller else { throw .missingCredential }
        let request = try exchange.message(Pubsub_PublishRequest.self, message)
        let service = exchange.lane.service
        let door = exchange.grpc.door
        let grant = try service.permit(
            caller, cacheName: Array(request.cacheName.utf8), topic: request.topic, .publish, door,
            on: exchange.transport.peer.claims)
        exchange.rest.opened = grant
        let topic = try exchange.parameters { () throws(MartletError) in try TopicName(request.topic) }
        switch request.value.kind {
        case .text(let text):
            try Array(text.utf8).withUnsafeBufferPointer { bytes throws(MartletError) in
                _ = try publish(service, grant, door, caller, topic, .text, UnsafeRawBufferPointer(bytes))
            }
        case .binary(let data):
            try data.withBytes { bytes throws(MartletError) in
                _ = try publish(service, grant, door, caller, topic, .binary, bytes)
            }
        case nil:
            throw service.refused(grant, door, .invalidArgument(field: "value", reason: "must be set"))
        }
        exchange.respondGRPCEmpty()
    }

    /// What the service refuses it has written down: such an error is not to be written down again.
    private func publish(
        _ service: ServiceLane, _ grant: CacheGrant, _ door: Door, _ caller: LaneCaller, _ topic: TopicName,
        _ kind: TopicValueKind, _ bytes: UnsafeRawBufferPointer
    ) throws(MartletError) -> TopicPosition {
        try service.publish(grant, door, caller, topic: topic, kind: kind, bytes: bytes)
    }

    func subscribe(_ exchange: Exchange, _ message: UnsafeRawBufferPointer) throws(MartletError) {
        guard let caller = exchange.rest.caller else { throw .missingCredential }
        let request = try exchange.message(Pubsub_SubscriptionRequest.self, message)
        let service = exchange.lane.service
        let door = exchange.grpc.door
        let grant = try service.permit(
            caller, cacheName: Array(request.cacheName.utf8), topic: request.topic, .subscribe, door,
            on: exchange.transport.peer.claims)
        exchange.rest.opened = grant
        let topic = try exchange.parameters { () throws(MartletError) in try TopicName(request.topic) }
        guard !exchange.lane.isDraining else {
            throw service.refused(grant, door, .unavailable("the server is being stopped"))
        }
        let stream = SubscriptionStream(exchange)
        let subscription = try service.subscribe(
            grant, door, caller, topic: topic,
            from: TopicPosition(sequence: request.resumeAtTopicSequenceNumber, page: request.sequencePage),
            sink: stream)
        stream.begin(exchange, subscription)
    }
}

/// A topic as the stream of a Subscribe call.
final class SubscriptionStream: TopicResponse, TopicSink {
    private let deadline: Int64?
    /// The stream breaks after so many messages, by order.
    private var fault: StreamFault?
    private var messagesLeft: Int

    override init(_ exchange: Exchange) {
        deadline = exchange.grpc.deadline
        fault = exchange.grpc.streamFault
        messagesLeft = fault?.messageLimit ?? .max
        super.init(exchange)
    }

    func begin(_ exchange: Exchange, _ subscription: CacheSubscription) {
        adopt(exchange, subscription)
        exchange.beginGRPCStream()
        exchange.transport.dropHead(of: exchange)
        // Clients take it for the word that they are subscribed.
        sendHeartbeat(of: subscription)
        subscription.resume()
    }

    // MARK: TopicSink

    var isReady: Bool {
        ticket.live?.isReady ?? false
    }

    func send(_ batch: TopicBatch, of subscription: CacheSubscription) {
        if batch.messages.count <= messagesLeft {
            write(EncodedBatch.of(batch).messages, count: batch.messages.count)
        } else {
            write(EncodedBatch.makeMessages(Array(batch.messages.prefix(messagesLeft))), count: messagesLeft)
        }
    }

    func send(_ discontinuity: TopicDiscontinuity, of subscription: CacheSubscription) {
        let item = Pubsub_SubscriptionItem.with {
            $0.discontinuity = .with {
                $0.lastTopicSequence = discontinuity.lastSequence
                $0.newTopicSequence = discontinuity.newSequence
                $0.newSequencePage = discontinuity.page
            }
        }
        guard let message = try? item.written() else { return }  // three numbers can always be written
        var frame = ByteBuffer()
        frame.writeGRPCFrame(message)
        write(frame, count: 1)
    }

    func sendHeartbeat(of subscription: CacheSubscription) {
        write(Self.heartbeat, count: 1)
    }

    /// `_SubscriptionItem{heartbeat{}}` in its frame.
    private static let heartbeat = ByteBuffer(bytes: [0, 0, 0, 0, 2, 0x1A, 0])

    private func write(_ frames: ByteBuffer, count: Int) {
        if count <= messagesLeft, frames.readableBytes > 0 { ticket.live?.writeGRPC(frames: frames) }
        guard fault != nil else { return }
        messagesLeft -= min(count, messagesLeft)
        // Not here, where the hub is at work.
        if messagesLeft == 0 { lane.touch(self) }
    }

    // MARK: LaneStream

    override func tick(now: Timestamp) {
        if let deadline, lane.uptimeMilliseconds >= deadline { finish(.deadlineExceeded) }
    }

    override func readerIsBack() {
        subscription?.resume()
    }

    override func flushTouched() {
        if let failure { finish(failure) }
        if let fault, messagesLeft == 0 { leave()?.finishGRPC(status: fault.status.trailers) }
    }

    override func drain() {
        finish(.unavailable("the server is being stopped: subscribe again and resume"))
    }

    private func finish(_ error: MartletError) {
        leave()?.finishGRPC(error)
    }
}
