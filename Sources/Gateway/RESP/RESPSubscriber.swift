import CacheService
import NIOCore
import Tenancy
import Topics

/// A connection of the RESP door as a subscriber: what it is told, and what becomes of one that does not listen.
///
/// Messages of one turn of the loop leave with one write. Nothing is kept for a client that is slower than what is
/// published to it but what its socket has not taken; when that is too much, it is disconnected, because this protocol
/// has no word for a gap.
final class RESPSubscriber: LaneStream, ChannelSink {
    private unowned let session: RESPSession
    private let lane: GatewayLane
    private var channels: ChannelSubscriber?
    /// The service has ended it: the connection follows.
    private(set) var isEnded = false
    /// Messages that leave with the end of this piece of work.
    private var output = ByteBuffer()

    // It is in the lane's list of those that were touched, and in no other.
    var streamSlot = -1
    var isTouched = false
    var isReaderBack = false

    init(_ session: RESPSession, _ identity: CommandIdentity) throws(MartletError) {
        self.session = session
        lane = session.lane
        channels = try lane.service.openChannels(for: identity, sink: self)
    }

    var total: Int { channels?.total ?? 0 }

    func count(of kind: ChannelKind) -> Int { channels?.count(of: kind) ?? 0 }

    /// How many there are of that kind alone.
    func number(of kind: ChannelKind) -> Int { channels?.number(of: kind) ?? 0 }

    func names(of kind: ChannelKind) -> [[UInt8]] { channels?.names(of: kind) ?? [] }

    /// Tells of each subscription, with how many there are by then.
    func subscribe(
        to names: [[UInt8]], _ kind: ChannelKind, each: ([UInt8], Int) -> Void
    ) throws(MartletError) {
        guard let channels else { throw .cacheNotFound }
        try channels.subscribe(to: names, kind, each: each)
    }

    /// Sends what was published before now, behind the replies that were written before.
    func catchUp() {
        guard channels?.isBehind ?? false else { return }
        session.connection.flush()
        lane.service.deliverChannels()
        lane.flushTouched()
    }

    func unsubscribe(from name: [UInt8], _ kind: ChannelKind) {
        channels?.unsubscribe(from: name, kind)
    }

    func renew(_ identity: CommandIdentity) throws(MartletError) {
        try channels?.renew(identity)
    }

    func cancel() {
        channels?.cancel()
        channels = nil
        output = ByteBuffer()
    }

    // MARK: ChannelSink

    func send(_ delivery: ChannelDelivery) {
        ChannelFrames.bytes(of: delivery, isVersion3: session.isVersion3).withUnsafeBytes { _ = output.writeBytes($0) }
        lane.touch(self)
    }

    /// There is no word for this in the protocol but an error: where a reply is awaited it is taken for that, and nothing
    /// more is carried out for this connection.
    func end(_ error: MartletError) {
        channels = nil
        isEnded = true
        let writer = ReplyWriter()
        writer.error(error.commandText)
        output.writeBytes(writer.bytes)
        lane.touch(self)
        session.subscriptionsEnded(self)
    }

    // MARK: LaneStream

    func flushTouched() {
        guard output.readableBytes > 0 else { return }
        let connection: RESPConnection = session.connection
        let frames = output
        output = ByteBuffer()
        frames.withUnsafeReadableBytes { connection.write($0) }
        if isEnded { return connection.finish() }
        // The write may have been the end of the connection.
        guard channels != nil else { return }
        let backlog = connection.backlogBytes
        let limits = lane.limits
        let isCrowded = lane.resp.backlogBytes > limits.subscriberBacklogBytesPerLoop
        if backlog > (isCrowded ? limits.subscriberBacklogBytes / 16 : limits.subscriberBacklogBytes) {
            connection.abort()
        }
    }

    func tick(now: Timestamp) {}
    func readerIsBack() {}
    func drain() {}
}

/// A message as it is sent, made once for all connections of the event loop that speak the same version.
private final class ChannelFrames {
    private var version2: [UInt8]?
    private var version3: [UInt8]?

    static func bytes(of delivery: ChannelDelivery, isVersion3: Bool) -> [UInt8] {
        let frames: ChannelFrames
        if let made = delivery.encoding {
            // Nobody else sets it.
            frames = unsafeDowncast(made, to: ChannelFrames.self)
        } else {
            frames = ChannelFrames()
            delivery.encoding = frames
        }
        if let made = isVersion3 ? frames.version3 : frames.version2 { return made }
        let made = encode(delivery, isVersion3: isVersion3)
        if isVersion3 { frames.version3 = made } else { frames.version2 = made }
        return made
    }

    private static func encode(_ delivery: ChannelDelivery, isVersion3: Bool) -> [UInt8] {
        let writer = ReplyWriter()
        writer.isVersion3 = isVersion3
        writer.push(delivery.kind == .pattern ? 4 : 3)
        switch delivery.kind {
        case .channel: writer.bulk("message")
        case .pattern:
            writer.bulk("pmessage")
            writer.bulk(delivery.pattern)
        case .shard: writer.bulk("smessage")
        }
        writer.bulk(delivery.channel)
        delivery.message.withBytes { writer.bulk($0) }
        return Array(writer.bytes)
    }
}
