import CacheService
import NIOCore
import Tenancy

/// Something on a connection that goes on by itself, without a request that moves it: a WebSocket, an event stream, a
/// long poll. Its lane calls it on its event loop.
protocol LaneStream: AnyObject {
    /// The place in the lane's list; -1 when in none.
    var streamSlot: Int { get set }
    /// Whether it is in the lane's list of those that have something to send.
    var isTouched: Bool { get set }
    /// Called some times a second: ends what is due to end.
    func tick(now: Timestamp)
    /// Sends what was put together since it was touched.
    func flushTouched()
    /// The server is about to stop: tells the client, so that it can go on elsewhere, and ends.
    func drain()
}

extension GatewayLane {
    func add(_ stream: any LaneStream) {
        stream.streamSlot = streams.count
        streams.append(stream)
    }

    func remove(_ stream: any LaneStream) {
        let slot = stream.streamSlot
        guard slot >= 0 else { return }
        stream.streamSlot = -1
        let last = streams.removeLast()
        if slot < streams.count {
            streams[slot] = last
            last.streamSlot = slot
        }
    }

    /// Sees to it that a stream's ``LaneStream/flushTouched()`` is called before this piece of work is over.
    @inline(__always)
    func touch(_ stream: any LaneStream) {
        guard !stream.isTouched else { return }
        stream.isTouched = true
        touched.append(stream)
    }

    /// One write for each stream, however many messages it got.
    func flushTouched() {
        while !touched.isEmpty {
            var streams: [any LaneStream] = []
            swap(&streams, &touched)
            for stream in streams {
                stream.isTouched = false
                stream.flushTouched()
            }
        }
    }

    // MARK: Topics

    /// Deliveries between two looks at the sockets: about a millisecond's writes, so that a message to ten thousand
    /// subscribers does not hold up the loop's other connections.
    private static let deliveriesPerSlice = 128

    /// Fans out what was published, slice by slice.
    func drainTopics() {
        beginTick()
        let isUnfinished = service.drainTopics(atMost: Self.deliveriesPerSlice)
        flushTouched()
        guard isUnfinished else { return }
        // A task without delay would run before the sockets are looked at.
        eventLoop.assumeIsolated().scheduleTask(in: .microseconds(30)) { self.drainTopics() }
    }

    func tickStreams() {
        beginTick()
        service.tickTopics()
        // A copy, because a tick may take streams out of the list.
        for stream in streams { stream.tick(now: now) }
        flushTouched()
    }

    func drainStreams() {
        // What was published before the drain began reaches its subscribers; who goes on publishing is not waited for.
        for _ in 0..<64 where !service.drainTopics(atMost: 1 << 20) { break }
        flushTouched()
        for stream in streams { stream.drain() }
        flushTouched()
    }
}
