import Tenancy

/// Decides which TLS handshake of an event loop goes on next, and which is given up: a state machine that knows no
/// sockets and no TLS.
///
/// A handshake costs the server some hundred microseconds of computing, mostly for the client's first message. When ten
/// thousand clients come back at once, that is seconds of work; done as it arrives, it stands before the requests of
/// those who stayed. So a message waits here until its loop has a turn for it, one step for each look at the other
/// sockets.
///
/// ```
///            hold                      next                hold
///   silent ────────▶ waiting ────────────────▶ underway ◀────────▶ ready
///     │              (64 lines by address)        │         next
///     └─ stalest dropped when there are           └─ the one that has stood still for longest dropped
///        too many unidentified                       when there are too many underway
/// ```
///
/// - *Silent*: connected, and the first message is not whole. *Waiting*: it is. Both cost the server a socket and at most
///   one message; together they are bounded, and the one that came first goes when the bound is met: a silent one if
///   there is any, else one of the address line that is longest.
/// - *Underway*: the server has answered and awaits the client. *Ready*: the client's next message is here. Both hold
///   the state of a handshake, so together they are bounded too.
/// - Steps of waiting and of ready ones alternate, so that neither what was begun is left lying nor newcomers are.
/// - Waiting ones are in lines by a keyed hash of their address, and the lines take turns: one address that sends a
///   flood holds up those that share its line. (Stochastic fairness queueing, McKenney 1990.)
/// - Whoever has waited for longer than a handshake may take is dropped when its turn comes, before anything is
///   computed for it: its client has given up.
///
/// Every operation costs the same however many there are, but for a drop from a longest line, which looks at 64 counts.
package struct HandshakeQueue {
    package struct Limits: Sendable {
        /// Connections whose first message has not been taken up.
        package var unidentified = 2048
        /// Handshakes between the first step and the last.
        package var underway = 1024
        /// From connecting to the last step.
        package var milliseconds: Int64 = 10_000
        /// Steps of one handshake: two are usual. More is a client that sends its messages in crumbs.
        package var steps: UInt8 = 16

        package init() {}
    }

    /// What the owner is to do now.
    package enum Turn: Equatable, Sendable {
        /// Let the handshake at this place take a step. It is underway from now on.
        case step(Int)
        /// Close the connection at this place, which is free again.
        case drop(Int)
    }

    enum State: UInt8 {
        case free, silent, waiting, underway, ready
    }

    struct Entry {
        var state = State.free
        var line: UInt8 = 0
        var steps: UInt8 = 0
        var arrivedAt: Int64 = 0
        var previous = none
        var next = none
    }

    /// A doubly linked list through `entries`.
    struct Line {
        var first = none
        var last = none
        var count = 0
    }

    static let none: Int32 = -1
    static let lineCount = 64

    package let limits: Limits
    private let seed: UInt64
    private(set) var entries: [Entry] = []
    private var free: [Int32] = []
    private(set) var silent = Line()
    private(set) var underwayLine = Line()
    private(set) var ready = Line()
    private(set) var lines = [Line](repeating: Line(), count: lineCount)
    private(set) var waitingInLines = 0
    /// A bit for each line that is not empty.
    private var occupied: UInt64 = 0
    private var cursor = 0
    private var isReadyNext = true

    /// - Parameter seed: What keys the hash of addresses, so that nobody outside can aim at a line.
    package init(_ limits: Limits, seed: UInt64 = .random(in: .min ... .max)) {
        self.limits = limits
        self.seed = seed
    }

    /// Those that a turn is due to.
    package var waitingCount: Int { waitingInLines + ready.count }
    /// Those that have begun and have not ended.
    package var underwayCount: Int { underwayLine.count + ready.count }
    /// Those of which nothing has been taken up.
    package var unidentifiedCount: Int { silent.count + waitingInLines }

    /// A new connection.
    ///
    /// - Returns: Its place, and the place of one that has to be closed for it, which may not be the same one.
    package mutating func arrive(_ network: NetworkPrefix, now: Int64) -> (place: Int, dropped: Int?) {
        // Taken before the drop leaves one: whoever is to close that one still names its place.
        let vacant = free.popLast()
        var dropped: Int?
        if unidentifiedCount >= max(limits.unidentified, 1) {
            dropped = silent.count > 0 ? Int(silent.first) : stalestOfLongestLine
            if let dropped { leave(dropped) }
        }
        var hasher = Hasher()
        // The process's key may be switched off by its environment; this one may not.
        hasher.combine(seed)
        hasher.combine(network)
        let line = UInt8(truncatingIfNeeded: hasher.finalize() & (Self.lineCount - 1))
        let entry = Entry(line: line, arrivedAt: now)
        let place: Int
        if let vacant {
            place = Int(vacant)
            entries[place] = entry
        } else {
            place = entries.count
            entries.append(entry)
        }
        append(place, as: .silent)
        return (place, dropped)
    }

    /// A whole message of the client is here, and held until it is its turn.
    package mutating func hold(_ place: Int) {
        switch entries[place].state {
        case .silent: move(place, to: .waiting)
        case .underway: move(place, to: .ready)
        case .free, .waiting, .ready: break
        }
    }

    /// What to do now; nil when nobody waits. To be asked again after it was done.
    package mutating func next(now: Int64) -> Turn? {
        let isReady = ready.count > 0 && (isReadyNext || waitingInLines == 0 || !hasRoomUnderway)
        guard isReady || waitingInLines > 0 else { return nil }
        let place = isReady ? Int(ready.first) : nextOfLines
        let entry = entries[place]
        if now - entry.arrivedAt > limits.milliseconds || entry.steps >= limits.steps {
            leave(place)
            return .drop(place)
        }
        if !isReady, underwayCount >= max(limits.underway, 1) {
            let stalest = Int(underwayLine.first)
            leave(stalest)
            return .drop(stalest)
        }
        isReadyNext = !isReady
        if !isReady { cursor = Int(entry.line) + 1 }
        entries[place].steps &+= 1
        move(place, to: .underway)
        return .step(place)
    }

    /// The connection's handshake is over, well or not. Its place is free.
    package mutating func leave(_ place: Int) {
        guard entries[place].state != .free else { return }
        unlink(place)
        entries[place].state = .free
        free.append(Int32(place))
    }

    /// Whether a first message may be taken up, if need be in the place of one that has stood still.
    private var hasRoomUnderway: Bool {
        underwayLine.count > 0 || ready.count < max(limits.underway, 1)
    }

    // MARK: Lines

    /// The first of the next line in turn. Called only while one waits.
    private var nextOfLines: Int {
        let behind = cursor < Self.lineCount ? occupied & (UInt64.max << UInt64(cursor)) : 0
        let bits = behind != 0 ? behind : occupied
        return Int(lines[bits.trailingZeroBitCount & (Self.lineCount - 1)].first)
    }

    private var stalestOfLongestLine: Int? {
        var longest = 0
        for index in 1..<Self.lineCount where lines[index].count > lines[longest].count { longest = index }
        return lines[longest].count > 0 ? Int(lines[longest].first) : nil
    }

    private mutating func move(_ place: Int, to state: State) {
        unlink(place)
        append(place, as: state)
    }

    private mutating func append(_ place: Int, as state: State) {
        entries[place].state = state
        switch state {
        case .free: break
        case .silent: Self.link(place, &silent, &entries)
        case .underway: Self.link(place, &underwayLine, &entries)
        case .ready: Self.link(place, &ready, &entries)
        case .waiting:
            let line = Int(entries[place].line)
            Self.link(place, &lines[line], &entries)
            occupied |= 1 << UInt64(line)
            waitingInLines += 1
        }
    }

    private mutating func unlink(_ place: Int) {
        switch entries[place].state {
        case .free: break
        case .silent: Self.unlink(place, &silent, &entries)
        case .underway: Self.unlink(place, &underwayLine, &entries)
        case .ready: Self.unlink(place, &ready, &entries)
        case .waiting:
            let line = Int(entries[place].line)
            Self.unlink(place, &lines[line], &entries)
            if lines[line].count == 0 { occupied &= ~(1 << UInt64(line)) }
            waitingInLines -= 1
        }
    }

    private static func link(_ place: Int, _ line: inout Line, _ entries: inout [Entry]) {
        entries[place].previous = line.last
        entries[place].next = none
        if line.last >= 0 { entries[Int(line.last)].next = Int32(place) } else { line.first = Int32(place) }
        line.last = Int32(place)
        line.count += 1
    }

    private static func unlink(_ place: Int, _ line: inout Line, _ entries: inout [Entry]) {
        let (previous, next) = (entries[place].previous, entries[place].next)
        if previous >= 0 { entries[Int(previous)].next = next } else { line.first = next }
        if next >= 0 { entries[Int(next)].previous = previous } else { line.last = previous }
        line.count -= 1
    }
}
