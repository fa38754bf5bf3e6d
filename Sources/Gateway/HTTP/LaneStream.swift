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
    /// Whether it is in the lane's list of those whose reader takes more again.
    var isReaderBack: Bool { get set }
    /// Called some times a second: ends what is due to end.
    func tick(now: Timestamp)
    /// Sends what was put together since it was touched.
    func flushTouched()
    /// Goes on where the reader had made it wait: a bounded piece of it.
    func readerIsBack()
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

    // MARK: Readers that are back

    /// Streams that go on in one turn.
    private static let streamsPerTurn = 64

    /// Goes on with a stream whose reader takes more again: soon, and not here, where that was noticed, inside a write or
    /// an event of the socket. There, one who reads as fast as is written would keep the loop to itself.
    func queueReader(of stream: any LaneStream) {
        guard !stream.isReaderBack else { return }
        stream.isReaderBack = true
        readersBack.append(stream)
        guard !isTurnScheduled else { return }
        isTurnScheduled = true
        if isInTurn {
            // With a look at the sockets in between.
            eventLoop.assumeIsolated().scheduleTask(in: Self.pause) { self.serveReaders() }
        } else {
            eventLoop.assumeIsolated().execute { self.serveReaders() }
        }
    }

    private func serveReaders() {
        beginTick()
        isTurnScheduled = false
        isInTurn = true
        var turn: [any LaneStream] = []
        swap(&turn, &readersBack)
        for stream in turn.prefix(Self.streamsPerTurn) {
            stream.isReaderBack = false
            if stream.streamSlot >= 0 { stream.readerIsBack() }
        }
        flushTouched()
        // Who was not reached goes before those that came back meanwhile.
        readersBack = turn.dropFirst(Self.streamsPerTurn) + readersBack
        isInTurn = false
        guard !readersBack.isEmpty, !isTurnScheduled else { return }
        isTurnScheduled = true
        eventLoop.assumeIsolated().scheduleTask(in: Self.pause) { self.serveReaders() }
    }

    /// A task without delay would run before the sockets are looked at.
    private static let pause = TimeAmount.microseconds(30)

    // MARK: Topics

    /// Deliveries between two looks at the sockets: about half a millisecond's writes, so that a message to ten thousand
    /// subscribers does not hold up the loop's other connections.
    private static let deliveriesPerSlice = 64

    /// Fans out what was published, slice by slice. Called when something was; while a next slice is to come, that one
    /// finds it.
    func drainTopics() {
        guard !isSliceScheduled else { return }
        beginTick()
        let isUnfinished = service.drainTopics(atMost: Self.deliveriesPerSlice)
        flushTouched()
        if isUnfinished || service.hasCallsLeft { scheduleSlice() }
    }

    /// Goes on, with a look at the sockets in between, with what is done in slices: answers, and what was published. One
    /// after the other, by one task, because two whose pauses end in each other's time would leave no moment for the sockets.
    func scheduleSlice() {
        guard !isSliceScheduled else { return }
        isSliceScheduled = true
        eventLoop.assumeIsolated().scheduleTask(in: Self.pause) {
            self.isSliceScheduled = false
            self.beginTick()
            self.areCallsNext.toggle()
            guard self.areCallsNext, self.service.hasCallsLeft else { return self.drainTopics() }
            self.service.continueCalls()
            self.flushTouched()
            // What was published meanwhile may have been left to this slice.
            self.scheduleSlice()
        }
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
