import Foundation
import NIOCore
import NIOSSL
import Synchronization

/// Calls other people's servers over HTTP/1.1, within the bounds of an ``AddressGuard`` and of ``OutboundLimits``.
///
/// ```
/// URL ─▶ slot ─▶ resolve ─▶ guard ─▶ connect ─▶ TLS ─▶ request ─▶ reply ─▶ close
///        │       a thread   │        │          │                 │
///        │       of its own │        │          for the URL's     bounded, not kept
///        none: crowded      │        to the     host
///                           │        address that the guard has seen
///                           none allowed: refused
/// ```
///
/// A connection is made for one call: nothing of one call, or of one tenant, is left for the next. There is one attempt,
/// one deadline over all of it, and no redirect, proxy, cookie or stored credential.
///
/// Callable from any thread.
package final class OutboundClient: OutboundCaller {
    let loops: any EventLoopGroup
    let addressGuard: AddressGuard
    let limits: OutboundLimits
    private let resolver: any HostResolver
    private let trust: NIOSSLTrustRoots
    private let slots: Mutex<OutboundSlots>
    private let tls = Mutex<NIOSSLContext?>(nil)

    /// - Parameters:
    ///   - loops: Must outlive every call.
    ///   - trust: Whose certificates are trusted: the system's authorities, unless a test says otherwise.
    package init(
        loops: any EventLoopGroup, addressGuard: AddressGuard, limits: OutboundLimits = OutboundLimits(),
        resolver: any HostResolver = SystemResolver(), trust: NIOSSLTrustRoots = .default
    ) {
        self.loops = loops
        self.addressGuard = addressGuard
        self.limits = limits
        self.resolver = resolver
        self.trust = trust
        slots = Mutex(OutboundSlots(limits))
    }

    /// Calls under way, those among them whose name is still being resolved though their time is over.
    package var callsUnderWay: Int { slots.withLock { $0.count } }

    package func start(_ call: OutboundCall, _ done: @escaping @Sendable (OutboundOutcome) -> Void) {
        let place = OutboundSlots.Place(payer: call.payer, host: call.url.host)
        guard slots.withLock({ $0.take(place) }) else { return done(.crowded) }
        let task = OutboundTask(self, call, on: loops.next()) { [self] in
            slots.withLock { $0.giveBack(place) }
        } report: {
            done($0)
        }
        task.begin()
    }

    /// The resolver blocks, and for how long is up to whoever runs the name's servers. Threads are bounded by the slots.
    func resolve(_ host: String, _ done: @escaping @Sendable ([IPAddress]) -> Void) {
        let resolver = resolver
        Thread.detachNewThread { done(resolver.addresses(of: host)) }
    }

    /// Where the call may go, in the order of trying; or why nowhere.
    func permitted(_ addresses: [IPAddress], port: Int) -> Result<[IPAddress], OutboundFault> {
        guard !addresses.isEmpty else { return .failure(OutboundFault(.failed(.unresolvable))) }
        let machine = addressGuard.listeners.contains { $0.address == nil } ? MachineAddresses.current() : []
        var allowed: [IPAddress] = []
        var refusal: AddressRefusal?
        for address in addresses {
            if let found = addressGuard.refusal(of: address, port: port, machine: machine) {
                refusal = refusal ?? found
            } else if allowed.count < limits.addresses {
                allowed.append(address)
            }
        }
        if allowed.isEmpty, let refusal { return .failure(OutboundFault(.refused(refusal))) }
        return .success(allowed)
    }

    /// The handler that speaks TLS with the host. The context is made once, because it reads the system's authorities.
    func makeTLSHandler(for url: OutboundURL) throws -> NIOSSLClientHandler {
        let context = try tls.withLock { known in
            if let known { return known }
            var configuration = TLSConfiguration.makeClientConfiguration()
            configuration.trustRoots = trust
            configuration.minimumTLSVersion = .tlsv12
            configuration.applicationProtocols = ["http/1.1"]
            // A peer that does not say goodbye holds its connection no longer than this.
            configuration.shutdownTimeout = .milliseconds(100)
            let made = try NIOSSLContext(configuration: configuration)
            known = made
            return made
        }
        // Without a name the certificate is held against the address of the connection.
        return try NIOSSLClientHandler(context: context, serverHostname: url.address == nil ? url.host : nil)
    }
}

/// An outcome on its way as an error.
struct OutboundFault: Error {
    let outcome: OutboundOutcome

    init(_ outcome: OutboundOutcome) {
        self.outcome = outcome
    }
}
