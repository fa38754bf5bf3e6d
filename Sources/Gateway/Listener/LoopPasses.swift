import NIOCore
import NIOPosix
import Synchronization

/// Tells each lane when its event loop is done with what it found at its sockets, and looks at them again.
final class LoopPasses: NIOEventLoopMetricsDelegate, @unchecked Sendable {
    // Written once, before `isReady` is set; each lane is used on its own loop alone, which is the one that calls.
    private var lanes: [(loop: ObjectIdentifier, lane: NIOLoopBound<GatewayLane>)] = []
    private let isReady = Atomic<Bool>(false)

    /// Begins to tell. Called once.
    func begin(_ lanes: [NIOLoopBound<GatewayLane>]) {
        self.lanes = lanes.map { (ObjectIdentifier($0.eventLoop), $0) }
        isReady.store(true, ordering: .releasing)
    }

    func processedTick(info: NIOEventLoopTickInfo) {
        guard isReady.load(ordering: .acquiring) else { return }
        for (loop, lane) in lanes where loop == info.eventLoopID {
            lane.value.seesPasses = true
            lane.value.endPass(nowNanoseconds: info.endTime.uptimeNanoseconds)
        }
    }
}
