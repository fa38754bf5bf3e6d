import Admission
import NIOCore

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// Stands in a listening socket's pipeline and lets it accept only while the handshakes keep up. Connections that are not
/// accepted wait in the kernel, where they cost nothing, and come in the order in which they came.
///
/// It also waits where the process has no descriptors or memory left for another connection; without that the loop would
/// try again at once, and do nothing else.
final class AcceptGate: ChannelDuplexHandler, Sendable {
    typealias InboundIn = any Channel
    typealias InboundOut = any Channel
    typealias OutboundIn = any Channel
    typealias OutboundOut = any Channel

    /// Connections accepted between two looks at the other sockets: each takes some ten microseconds.
    static let connectionsPerLook: UInt = 2

    private let counters: HandshakeCounters
    private let waitingCeiling: Int
    private let state: NIOLoopBoundBox<State>

    private struct State {
        var isScheduled = false
    }

    private static let pause = TimeAmount.milliseconds(1)
    private static let exhaustionPause = TimeAmount.milliseconds(100)

    /// - Parameter waitingCeiling: Handshakes that may wait, over all loops that the listener's connections go to.
    init(counters: HandshakeCounters, waitingCeiling: Int, eventLoop: any EventLoop) {
        self.counters = counters
        self.waitingCeiling = waitingCeiling
        state = NIOLoopBoundBox(State(), eventLoop: eventLoop)
    }

    func read(context: ChannelHandlerContext) {
        guard !state.value.isScheduled else { return }
        if counters.waiting >= waitingCeiling {
            readLater(context, in: Self.pause)
        } else {
            context.read()
        }
    }

    private func readLater(_ context: ChannelHandlerContext, in delay: TimeAmount) {
        state.value.isScheduled = true
        context.eventLoop.assumeIsolated().scheduleTask(in: delay) {
            self.state.value.isScheduled = false
            guard context.channel.isActive else { return }
            self.read(context: context)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if let error = error as? IOError, [EMFILE, ENFILE, ENOBUFS, ENOMEM].contains(error.errnoCode) {
            // Whoever is told of an error is still registered for reading, and would be told at once again.
            let channel = context.channel
            try? channel.syncOptions?.setOption(.autoRead, value: false)
            context.eventLoop.assumeIsolated().scheduleTask(in: Self.exhaustionPause) {
                guard channel.isActive else { return }
                try? channel.syncOptions?.setOption(.autoRead, value: true)
            }
        }
        context.fireErrorCaught(error)
    }
}
