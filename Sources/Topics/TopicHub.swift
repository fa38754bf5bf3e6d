import Synchronization
import Tenancy

// Topics: named, numbered broadcast streams inside a cache.
//
//     TopicHub -- HubCore (limits, books of the process, pages, registry)
//                    |
//                TopicSpace: one for each cache, one short lock
//                    |
//                    |   shared, under the lock                        the lane's own: no lock
//                    |                                                 .
//                  Topic "news"  page P, last = 9                      .
//                    |   ring      [ 5 6 7 8 9 ]   retained            .
//                    |   listeners                                     .
//                    |     |-- TopicListener (lane 1)                  .
//                    |     |     pending [ 8 9 ] ------ fetched by ----.--> TopicFanout   round [ 7 ], cursor
//                    |     |                                           .      |-- TopicSubscription next = 8
//                    |     |                                           .      |-- TopicSubscription next = 7
//                    |     |                                           .      `-- TopicSubscription next = 5, not ready
//                    |     `-- TopicListener (lane 2)                  .
//                    |           pending [ ] --------------------------.--> TopicFanout . . .
//
// A lane is an event loop's share of the work. Publishing runs on any thread: under the space's lock a message gets the
// next number of its topic and goes into the ring, which is kept for those who come back, and into the pending list of
// every lane that has subscribers. A lane whose mailbox was empty is woken. It fetches what is pending, a batch at a
// time, and offers the batch to its own subscriptions, which it alone touches. So a publisher pays for lanes, not for
// subscribers, a message is copied once and shared by all, and what a door made of a batch is made once for all
// subscribers of the lane.
//
// Order. Numbers are taken, rings and pending lists filled, under one lock; so each list has the numbers in order and
// without gaps, up to the topic's newest. A lane takes from the front. Nothing can overtake, whatever the threads.
//
// The one rule of delivery. A subscription holds `next`, the number that it wants next, and nothing else. A batch
// first...last is handed over
//
//     whole                   if next == first
//     from next on            if first < next <= last
//     not at all              if next > last: it came later, or has caught up by itself
//     after catching up       if next < first
//
// To catch up is to go on with whatever holds `next`: the ring, the pending list, or the batch that the lane has in
// hand; if none does, with the oldest number that any has, after a discontinuity. Starting, resuming after a pause, and
// coming back after a cut connection are all this one thing, from different values of `next`.
//
// Slow subscribers. One that is not ready is passed over, and is behind from then on; when it is ready again it catches
// up. There is no queue for a subscriber, so a slow one costs its hundred bytes, does not hold up the publisher or
// anyone else, and loses messages only when the ring has turned over before it comes back. A lane that is behind as a
// whole is bounded in the same way: its pending list loses the oldest, and its subscribers are behind.
//
// Memory. A space is charged for each topic, for the rings and the messages in them, for each lane's part in a topic,
// and for messages that wait for a lane though no ring holds them any more; all of it as the allocator takes it. Its
// cache is told the sum, so that items give way to it. What it may retain is half of its cache's limit, and of the
// process's total its fair share, one part for each space that holds anything, or as much more as the others leave
// free. A space that has no more room takes it from its least recently used topics: those without subscribers vanish,
// those with subscribers lose their rings; the topic that is being published to loses its oldest messages last. A
// message that does not fit even then is passed on to the live subscribers all the same. Where even another topic does
// not fit, it is refused.
//
// Sealing. What a ring holds may be sealed: then it is another message than the one that goes to the pending lists, made
// of the same bytes once for all. Live subscribers are handed the one that was published; whoever catches up from the
// ring has it opened on his lane, a batch at a time, outside of the lock. A message that nobody can open any more, because
// its key went with a flush that came between sealing it and retaining it, counts as one that is not retained.
//
// Pages. A topic that vanished begins anew at number 1, on a larger page, which tells whoever comes back that the
// numbers that he knows are those of another life. While a topic has subscribers it does not vanish, so their numbers
// go on.
//
// Time is passed in. Messages that are too old are dropped by whoever uses the topic next, and by a tick that walks the
// topics, some thousands each second; nothing is served after its time.

/// The topics of all caches in this process. Any thread may call any method.
package final class TopicHub: Sendable {
    let core: HubCore

    package init(limits: TopicLimits) {
        core = HubCore(limits: limits)
    }

    deinit {
        core.shutDown()
    }

    /// Makes the topics of one cache. The hub holds them until ``closeSpace(_:)``. Cost: one small allocation; an empty
    /// space is charged nothing.
    /// - Parameters:
    ///   - maxBytes: what the cache may hold in all. Its topics take at most half of it.
    ///   - sealer: seals what is retained; nil: it lies in clear.
    ///   - held: told the bytes that the space is charged, whenever that changed, in order. Called under the space's
    ///     lock: it may store the figure, and nothing else.
    package func openSpace(
        _ id: CacheID, maxBytes: Int?, sealer: (any MessageSealer)? = nil, held: @escaping @Sendable (Int) -> Void
    ) -> TopicSpace {
        core.open(id, maxBytes: maxBytes, sealer: sealer, held: held)
    }

    /// Ends the topics of a cache: later publishes and subscriptions throw ``MartletError/cacheNotFound``, its
    /// subscriptions receive nothing more but heartbeats until they are cancelled. Cost: a lock; the next tick frees
    /// the memory. Closing twice does nothing.
    package func closeSpace(_ space: TopicSpace) {
        core.close(space)
    }

    /// Does background work: drops messages whose time is over and topics that nobody uses, finishes what flushing
    /// left, and brings spaces down to limits that were lowered, all of it a bounded piece at a time; frees what
    /// closing left. To be called every second or so, from one thread.
    package func tick(now: Timestamp) {
        core.tick(now: now)
    }

    /// Everything that all spaces are charged.
    package var retainedBytes: Int {
        core.chargedBytes.load(ordering: .relaxed)
    }

    /// Checks everything that must hold while no operation is under way. For tests: walks over every message.
    /// - Returns: what does not hold, in words; empty when all is well.
    package func checkInvariants() -> [String] {
        let spaces = core.spaces
        var found = spaces.flatMap { space in space.checkInvariants().map { "space \(space.id.rawValue): " + $0 } }
        let sum = spaces.reduce(0) { $0 + $1.statistics.bytes }
        if sum != retainedBytes { found.append("\(retainedBytes) bytes are charged, the spaces' sum is \(sum)") }
        return found
    }
}
