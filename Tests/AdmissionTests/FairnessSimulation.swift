import Tenancy

@testable import Admission

/// An event loop on a clock of its own: it looks at its sockets, executes what is found of those within their share, gives
/// those that wait a turn, and looks again, as a gateway's does. Nothing of it depends on real time or chance.
final class FairnessSimulation {
    private(set) var now: UInt64 = 1_000_000_000
    private var queue: FairQueue
    private var hasSlept = false
    private(set) var tenants: [SimulatedTenant] = []
    /// Connections with a request on its way or at the socket.
    private var sending: [SimulatedConnection] = []
    /// What a look at the sockets costs.
    private static let pollNanoseconds: UInt64 = 5_000
    private static let turnNanoseconds: UInt64 = 250_000

    init() {
        queue = FairQueue(quantumNanoseconds: 250_000)
    }

    /// - Parameters:
    ///   - connections: Each has one request outstanding: the next comes when the last is answered.
    ///   - cost: Nanoseconds of a request.
    ///   - pause: Nanoseconds after an answer before the next request; 0 for a flood.
    @discardableResult
    func add(
        connections: Int, cost: UInt64, pause: UInt64 = 0, weight: UInt64? = nil, reserved: UInt64? = nil
    ) -> SimulatedTenant {
        var limits = Limits()
        limits[.weight] = weight
        limits[.reservedOperationsPerSecond] = reserved
        let tenant = SimulatedTenant(TenantAdmission(limits: limits), cost: cost, pause: pause)
        for index in 0..<connections {
            sending.append(
                SimulatedConnection(tenant, self, arrivesAt: now + pause / UInt64(connections) * UInt64(index)))
        }
        tenants.append(tenant)
        return tenant
    }

    func run(milliseconds: UInt64) {
        let end = now + milliseconds * 1_000_000
        while now < end { pass() }
    }

    private func pass() {
        let polled = now
        var isIdle = true
        queue.advance(hasSlept: hasSlept)
        var found: [SimulatedConnection] = []
        swap(&found, &sending)
        for connection in found {
            guard connection.arrivesAt <= polled else {
                sending.append(connection)
                continue
            }
            if queue.mayServe(connection.tenant.flow, nowNanoseconds: now) {
                execute(connection)
                isIdle = false
            } else {
                queue.wait(connection, of: connection.tenant.flow)
            }
        }
        let began = now
        while now - began <= Self.turnNanoseconds, let next = queue.next(nowNanoseconds: now, isIdle: isIdle) {
            next.takeTurn()
        }
        hasSlept = now == polled
        now += Self.pollNanoseconds
    }

    func execute(_ connection: SimulatedConnection) {
        let tenant = connection.tenant
        now += tenant.cost
        tenant.flow.tenant.takeReservation(1, nowNanoseconds: now)
        queue.charge(tenant.flow, nanoseconds: tenant.cost)
        tenant.served += 1
        tenant.longestWait = max(tenant.longestWait, now - connection.arrivesAt)
        connection.arrivesAt = now + tenant.pause
        sending.append(connection)
    }
}

final class SimulatedTenant {
    let flow: FairFlow
    let cost: UInt64
    let pause: UInt64
    var served = 0
    /// From coming to being answered, in nanoseconds.
    var longestWait: UInt64 = 0

    init(_ admission: TenantAdmission, cost: UInt64, pause: UInt64) {
        flow = FairFlow(admission)
        self.cost = cost
        self.pause = pause
    }

    /// Nanoseconds of the loop that it was given.
    var given: Double { Double(served) * Double(cost) }

    func forget() {
        served = 0
        longestWait = 0
    }
}

final class SimulatedConnection: FairlyServed {
    let tenant: SimulatedTenant
    private unowned let simulation: FairnessSimulation
    var arrivesAt: UInt64
    var isWaitingForTurn = false

    init(_ tenant: SimulatedTenant, _ simulation: FairnessSimulation, arrivesAt: UInt64) {
        self.tenant = tenant
        self.simulation = simulation
        self.arrivesAt = arrivesAt
    }

    func takeTurn() { simulation.execute(self) }
}
