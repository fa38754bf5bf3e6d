import Tenancy
import Testing

@testable import Admission

@Suite struct HandshakeQueueTests {
    private static func network(_ number: Int) -> NetworkPrefix {
        NetworkPrefix([10, UInt8(number >> 16 & 255), UInt8(number >> 8 & 255), UInt8(number & 255)])
    }

    private static func limits(
        unidentified: Int = 2048, underway: Int = 1024, milliseconds: Int64 = 10_000, steps: UInt8 = 16
    ) -> HandshakeQueue.Limits {
        var limits = HandshakeQueue.Limits()
        limits.unidentified = unidentified
        limits.underway = underway
        limits.milliseconds = milliseconds
        limits.steps = steps
        return limits
    }

    /// Walks every list and compares it with what the entries say.
    private func check(_ queue: HandshakeQueue, location: SourceLocation = #_sourceLocation) {
        var seen = 0
        func walk(_ line: HandshakeQueue.Line, _ state: HandshakeQueue.State) {
            var place = line.first
            var previous = HandshakeQueue.none
            var count = 0
            while place >= 0, count <= line.count {
                let entry = queue.entries[Int(place)]
                #expect(entry.state == state, sourceLocation: location)
                #expect(entry.previous == previous, sourceLocation: location)
                previous = place
                place = entry.next
                count += 1
            }
            #expect(count == line.count, sourceLocation: location)
            #expect(line.last == previous, sourceLocation: location)
            seen += count
        }
        walk(queue.silent, .silent)
        walk(queue.underwayLine, .underway)
        walk(queue.ready, .ready)
        for line in queue.lines { walk(line, .waiting) }
        #expect(queue.lines.reduce(0) { $0 + $1.count } == queue.waitingInLines, sourceLocation: location)
        #expect(queue.entries.count { $0.state != .free } == seen, sourceLocation: location)
        #expect(queue.unidentifiedCount <= queue.limits.unidentified, sourceLocation: location)
        #expect(queue.underwayCount <= queue.limits.underway, sourceLocation: location)
    }

    @Test func aHandshakeTakesItsStepsAndLeaves() {
        var queue = HandshakeQueue(Self.limits(), seed: 1)
        let (place, dropped) = queue.arrive(Self.network(1), now: 0)
        #expect(dropped == nil)
        #expect(queue.next(now: 0) == nil)
        queue.hold(place)
        #expect(queue.waitingCount == 1)
        #expect(queue.next(now: 1) == .step(place))
        #expect(queue.next(now: 1) == nil)
        #expect(queue.underwayCount == 1)
        queue.hold(place)
        #expect(queue.next(now: 2) == .step(place))
        queue.leave(place)
        queue.leave(place)
        #expect(queue.underwayCount == 0)
        #expect(queue.unidentifiedCount == 0)
        check(queue)
    }

    @Test func theStalestSilentOneMakesRoom() {
        var queue = HandshakeQueue(Self.limits(unidentified: 3), seed: 1)
        let places = (0..<3).map { queue.arrive(Self.network($0), now: Int64($0)).place }
        queue.hold(places[0])
        let (place, dropped) = queue.arrive(Self.network(9), now: 9)
        #expect(dropped == places[1])
        #expect(place != places[1])
        #expect(queue.arrive(Self.network(9), now: 9).dropped == places[2])
        check(queue)
    }

    @Test func theLongestLineGivesWhereNobodyIsSilent() {
        var queue = HandshakeQueue(Self.limits(unidentified: 8), seed: 7)
        let flood = (0..<7).map { _ in queue.arrive(Self.network(1), now: 0).place }
        let other = queue.arrive(Self.network(2), now: 0).place
        for place in flood + [other] { queue.hold(place) }
        for place in flood.prefix(5) {
            let (newcomer, dropped) = queue.arrive(Self.network(1), now: 1)
            #expect(dropped == place)
            queue.hold(newcomer)
            check(queue)
        }
    }

    @Test func placesAreUsedAgain() {
        var queue = HandshakeQueue(Self.limits(unidentified: 4), seed: 1)
        for number in 0..<1000 { _ = queue.arrive(Self.network(number), now: Int64(number)) }
        #expect(queue.entries.count <= 5)
        check(queue)
    }

    @Test func theOneThatStoodStillForLongestMakesRoomUnderway() {
        var queue = HandshakeQueue(Self.limits(underway: 2), seed: 1)
        let places = (0..<3).map { queue.arrive(Self.network($0), now: 0).place }
        for place in places { queue.hold(place) }
        var steps: [Int] = []
        for _ in 0..<2 {
            guard case .step(let place) = queue.next(now: 1) else { return #expect(Bool(false), "a step was due") }
            steps.append(place)
        }
        // The first has moved since; the second stands still.
        queue.hold(steps[0])
        #expect(queue.next(now: 2) == .step(steps[0]))
        #expect(queue.next(now: 2) == .drop(steps[1]))
        guard case .step(let last) = queue.next(now: 2) else { return #expect(Bool(false), "a step was due") }
        #expect(!steps.contains(last))
        check(queue)
    }

    @Test func nobodyNewIsBegunWhileAllThatAreUnderwayAreReady() {
        var queue = HandshakeQueue(Self.limits(underway: 1), seed: 1)
        let first = queue.arrive(Self.network(1), now: 0).place
        queue.hold(first)
        #expect(queue.next(now: 0) == .step(first))
        queue.hold(first)
        let second = queue.arrive(Self.network(2), now: 0).place
        queue.hold(second)
        #expect(queue.next(now: 0) == .step(first))
        #expect(queue.next(now: 0) == .drop(first))
        #expect(queue.next(now: 0) == .step(second))
    }

    @Test func whoHasWaitedTooLongIsDroppedBeforeAStep() {
        var queue = HandshakeQueue(Self.limits(milliseconds: 100), seed: 1)
        let old = queue.arrive(Self.network(1), now: 0).place
        queue.hold(old)
        let young = queue.arrive(Self.network(1), now: 50).place
        queue.hold(young)
        #expect(queue.next(now: 101) == .drop(old))
        #expect(queue.next(now: 101) == .step(young))
        check(queue)
    }

    @Test func crumbsEnd() {
        var queue = HandshakeQueue(Self.limits(steps: 3), seed: 1)
        let place = queue.arrive(Self.network(1), now: 0).place
        for _ in 0..<3 {
            queue.hold(place)
            #expect(queue.next(now: 0) == .step(place))
        }
        queue.hold(place)
        #expect(queue.next(now: 0) == .drop(place))
        check(queue)
    }

    @Test func newcomersAndThoseUnderwayAlternate() {
        var queue = HandshakeQueue(Self.limits(), seed: 1)
        let begun = (0..<10).map { queue.arrive(Self.network($0), now: 0).place }
        for place in begun {
            queue.hold(place)
            #expect(queue.next(now: 0) == .step(place))
        }
        for place in begun { queue.hold(place) }
        let fresh = (0..<10).map { queue.arrive(Self.network($0), now: 0).place }
        for place in fresh { queue.hold(place) }
        var isOfBegun: [Bool] = []
        while case .step(let place) = queue.next(now: 0) { isOfBegun.append(begun.contains(place)) }
        #expect(isOfBegun.count == 20)
        for (one, other) in zip(isOfBegun, isOfBegun.dropFirst()) { #expect(one != other) }
    }

    @Test func anAddressWithAFloodWaitsForItself() {
        var queue = HandshakeQueue(Self.limits(), seed: 3)
        for _ in 0..<1000 { queue.hold(queue.arrive(Self.network(1), now: 0).place) }
        let flooded = queue.lines.firstIndex { $0.count > 0 }
        var others: Set<Int> = []
        for number in 2..<12 {
            let place = queue.arrive(Self.network(number), now: 0).place
            queue.hold(place)
            if Int(queue.entries[place].line) != flooded { others.insert(place) }
        }
        var turns = 0
        while !others.isEmpty, case .step(let place) = queue.next(now: 0) {
            turns += 1
            others.remove(place)
        }
        #expect(others.isEmpty)
        // A turn for each, and one of the flood in each round.
        #expect(turns <= 20)
    }

    /// Ten thousand clients at once at a server that has 300 us for a first message and 30 us for a last one, and
    /// requests of established connections between any two steps.
    @Test func aStormOfTenThousandIsServedAndHoldsNobodyUp() {
        var queue = HandshakeQueue(Self.limits(), seed: 11)
        var microseconds: Int64 = 0
        var toCome = Array(0..<10_000)[...]
        /// When the answer of a client that has seen ours is here, by place.
        var answers: [(at: Int64, place: Int)] = []
        var hasBegun: Set<Int> = []
        var established = 0
        var dropped = 0
        var longestHold: Int64 = 0
        while established < 10_000, microseconds < 20_000_000 {
            // A look at the sockets: two accepted while few wait, the answers that have come, an established request.
            if queue.waitingCount < 256 {
                for client in toCome.prefix(2) {
                    let (place, other) = queue.arrive(Self.network(client), now: microseconds / 1000)
                    if other != nil { dropped += 1 }
                    queue.hold(place)
                }
                toCome = toCome.dropFirst(2)
            }
            while let first = answers.first, first.at <= microseconds {
                answers.removeFirst()
                queue.hold(first.place)
            }
            microseconds += 20
            let lookedAt = microseconds
            switch queue.next(now: microseconds / 1000) {
            case .step(let place) where hasBegun.remove(place) != nil:
                microseconds += 30
                established += 1
                queue.leave(place)
            case .step(let place):
                microseconds += 300
                hasBegun.insert(place)
                answers.append((microseconds + 20_000, place))
            case .drop(let place):
                hasBegun.remove(place)
                dropped += 1
            case nil: microseconds += 10
            }
            longestHold = max(longestHold, microseconds - lookedAt)
        }
        #expect(established == 10_000)
        #expect(dropped == 0)
        #expect(longestHold <= 300)
        check(queue)
    }

    @Test(arguments: 0..<20)
    func boundsHoldWhateverHappens(seed: Int) {
        var generator = Dice(state: UInt64(seed) &* 0x9E37_79B9_7F4A_7C15 | 1)
        var queue = HandshakeQueue(
            Self.limits(unidentified: 12, underway: 6, milliseconds: 400, steps: 4), seed: UInt64(seed))
        var live: Set<Int> = []
        var now: Int64 = 0
        for _ in 0..<2000 {
            now += Int64.random(in: 0...20, using: &generator)
            switch Int.random(in: 0..<5, using: &generator) {
            case 0:
                let (place, dropped) = queue.arrive(Self.network(.random(in: 0..<9, using: &generator)), now: now)
                if let dropped {
                    #expect(live.remove(dropped) != nil)
                    #expect(dropped != place)
                }
                #expect(live.insert(place).inserted)
            case 1, 2: if let place = live.randomElement(using: &generator) { queue.hold(place) }
            case 3:
                switch queue.next(now: now) {
                case .step(let place): #expect(live.contains(place))
                case .drop(let place): #expect(live.remove(place) != nil)
                case nil: #expect(queue.waitingCount == 0)
                }
            default:
                if let place = live.randomElement(using: &generator) {
                    live.remove(place)
                    queue.leave(place)
                }
            }
            #expect(queue.unidentifiedCount + queue.underwayCount == live.count)
        }
        check(queue)
    }
}

/// xorshift64* (Marsaglia 2003; Vigna 2016).
private struct Dice: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state ^= state >> 12
        state ^= state << 25
        state ^= state >> 27
        return state &* 0x2545_F491_4F6C_DD1D
    }
}
