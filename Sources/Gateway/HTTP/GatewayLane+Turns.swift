import Admission
import CacheService
import NIOCore
import Tenancy

/// A connection whose input is executed piece by piece, in turns with those of other tenants while the loop is busy.
protocol ScheduledConnection: FairlyServed {
    /// Who sends, as far as that is known.
    var caller: LaneCaller? { get }
    /// When the input that waits here can have come at the earliest, by the monotonic clock in nanoseconds.
    var inputArrivedAt: UInt64 { get set }
}

/// How a lane shares its time: between the tenants by ``FairQueue``, and between input that waits and sockets that have
/// not been looked at.
///
/// ```
/// poll ─▶ events: each connection's input, a slice of it ─▶ a turn of those that wait ─▶ poll ─▶ …
///           └ no more of a tenant that is ahead by a quantum: it waits     └ about 250 µs
/// ```
///
/// So what comes from a tenant within its share is executed when it is read, and it is read no later than about two quanta
/// and the longest piece of work after it has come.
extension GatewayLane {
    /// What a connection executes before the next has its turn.
    static let sliceNanoseconds: UInt64 = 100_000
    /// What those that wait execute between two looks at the sockets.
    private static let turnNanoseconds: UInt64 = 250_000

    // MARK: Passes

    /// The loop has looked at its sockets, and this is the first of what it found.
    func beginPass() {
        // A loop that does not tell when it looks again may look at any time.
        isPassBegun = seesPasses
        if !seesPasses { served = nil }
        let now = service.nowNanoseconds
        // With a turn or a slice to come it has only looked.
        let isBusy = isFairTurnScheduled || isSliceScheduled || isTurnScheduled
        let hasSlept = !isBusy && now &- lastPassEnded > Self.shortestSleep
        // What is found now came after the sockets were looked at last, unless the loop was woken by it.
        earliestArrival = hasSlept ? now : passBegan
        let delay = hasSlept ? 0 : now &- passBegan
        passBegan = now
        service.fairness.advance(hasSlept: hasSlept)
        let isIntervalOver = service.overload.observe(delayNanoseconds: delay, nowNanoseconds: now) {
            service.fairness.activeFlows.map(\.tenant.weight)
        }
        if isIntervalOver { service.tellLoad() }
    }

    /// Less than that between two passes is the cost of looking.
    private static let shortestSleep: UInt64 = 20_000

    /// The loop has done what it found, and looks at its sockets again.
    func endPass(nowNanoseconds: UInt64) {
        isPassBegun = false
        // Of a connection that ended in its read nobody has told the end.
        served = nil
        passes &+= 1
        hasServedInPass = false
        lastPassEnded = nowNanoseconds
    }

    // MARK: Input

    /// Whether input of a connection that has just come is executed now. If not, the connection waits for its turn.
    @inline(__always)
    func mayServe(_ connection: some ScheduledConnection) -> Bool {
        guard !connection.isWaitingForTurn else { return false }
        if !isShared { return true }
        let flow = flow(of: connection)
        if service.fairness.mayServe(flow, nowNanoseconds: service.nowNanoseconds) { return true }
        connection.inputArrivedAt = earliestArrival
        wait(connection)
        return false
    }

    /// Whether more than one tenant was served of late: else nobody is there to wait for.
    @inline(__always)
    private var isShared: Bool { service.nowNanoseconds < sharedUntil }

    /// For how long a tenant that was served is taken to come back.
    private static let sharedNanoseconds: UInt64 = 1_000_000_000
    /// What a connection executes before the next has its turn where all are of one tenant.
    private static let longSliceNanoseconds: UInt64 = 500_000

    @inline(__always)
    private func flow(of connection: some ScheduledConnection) -> FairFlow {
        guard let caller = connection.caller else { return service.anonymousFlow }
        return service.flow(of: caller)
    }

    /// Lets a connection wait for its turn.
    func wait(_ connection: some ScheduledConnection) {
        guard !connection.isWaitingForTurn else { return }
        service.fairness.wait(connection, of: flow(of: connection))
        scheduleTurn()
    }

    /// Begins to execute input, unless that was begun before in this event of the socket.
    ///
    /// - Parameter arrivedAt: Nil for input that was read just now.
    @inline(__always)
    func beginService(of connection: some ScheduledConnection, arrivedAt: UInt64? = nil) {
        guard served == nil else { return }
        served = ObjectIdentifier(connection)
        servedAs = flow(of: connection)
        if arrivedAt == nil { hasServedInPass = true }
        serviceBegan = service.nowNanoseconds
        serviceArrival = arrivedAt ?? earliestArrival
        callsBefore = service.calls
    }

    /// Whether it is this connection that is served now.
    @inline(__always)
    func serves(_ connection: some ScheduledConnection) -> Bool {
        served == ObjectIdentifier(connection)
    }

    /// Whether a connection has had its slice: asked now and then while it executes.
    @inline(__always)
    var isSliceOver: Bool {
        let slice = isShared ? Self.sliceNanoseconds : Self.longSliceNanoseconds
        return !isDraining && service.readNanoseconds() &- serviceBegan > slice
    }

    /// Executes all input that waits: before connections are told to end.
    func serveAllThatWait() {
        while let connection = service.fairness.next(nowNanoseconds: service.nowNanoseconds, isIdle: true) {
            connection.takeTurn()
            flushTouched()
        }
    }

    /// What was begun is answered: it is charged to the tenant.
    @inline(__always)
    func endService(_ connection: some ScheduledConnection) {
        guard serves(connection) else { return }
        served = nil
        let now = service.readNanoseconds()
        let flow = flow(of: connection)
        service.fairness.charge(flow, nanoseconds: now &- serviceBegan)
        // Who has shown in its turn who it is has had the turn of another.
        if let servedAs, servedAs !== flow { service.fairness.raise(servedAs, nanoseconds: now &- serviceBegan) }
        if flow !== lastServed {
            if lastServed != nil { sharedUntil = now &+ Self.sharedNanoseconds }
            lastServed = flow
        }
        let calls = service.calls &- callsBefore
        if calls > 0 { flow.tenant.latency.record(nanoseconds: now &- serviceArrival, count: calls) }
    }

    // MARK: Turns

    /// The first turn comes after the events of this pass; each further one after another look at the sockets.
    private func scheduleTurn() {
        guard !isFairTurnScheduled else { return }
        isFairTurnScheduled = true
        if hasTakenTurn {
            // So short that the loop does not sleep for it, and too long for it to be due before the sockets are looked at.
            eventLoop.assumeIsolated().scheduleTask(in: Self.glance) { self.takeTurns() }
        } else {
            eventLoop.assumeIsolated().execute { self.takeTurns() }
        }
    }

    private var hasTakenTurn: Bool { turnTakenInPass == passes && seesPasses }
    private static let glance = TimeAmount.microseconds(4)
    private static let longerGlance = TimeAmount.microseconds(30)

    private func takeTurns() {
        beginTick()
        guard !hasTakenTurn else {
            // It was due too soon.
            eventLoop.assumeIsolated().scheduleTask(in: Self.longerGlance) { self.takeTurns() }
            return
        }
        isFairTurnScheduled = false
        turnTakenInPass = passes
        let began = service.nowNanoseconds
        let isIdle = !hasServedInPass
        while let connection = service.fairness.next(nowNanoseconds: began, isIdle: isIdle) {
            beginTick()
            connection.takeTurn()
            flushTouched()
            if service.readNanoseconds() &- began > Self.turnNanoseconds { break }
        }
        if service.fairness.isWaiting { scheduleTurn() }
    }
}
