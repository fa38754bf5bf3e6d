import CacheService
import Tenancy

/// What the RESP connections of one event loop share: they are executed one after the other, so one of each does.
final class RESPLane {
    let writer = ReplyWriter()
    /// The connections of all event loops; its own where the lane stands alone.
    var registry: RESPRegistry
    /// Made with the first command.
    private var call: CommandCall?
    private var slices = UnsafeMutableBufferPointer<UnsafeRawBufferPointer>.allocate(capacity: 64)
    /// What the sockets of all the loop's connections have not taken.
    var backlogBytes = 0
    private let keysAhead = UnsafeMutableBufferPointer<UnsafeRawBufferPointer>.allocate(
        capacity: ServiceLane.keysWarmedAtOnce)

    init(now: Timestamp) {
        registry = RESPRegistry(now: now)
    }

    deinit {
        slices.deallocate()
        keysAhead.deallocate()
    }

    /// Prepares for the commands that `bytes` begin with.
    ///
    /// - Returns: For how many.
    func warm(_ bytes: UnsafeRawBufferPointer, _ service: ServiceLane, _ identity: CommandIdentity) -> Int {
        let count = RESPLookahead.keys(in: bytes, into: keysAhead)
        guard count > 1 else { return 0 }
        service.warm(UnsafeBufferPointer(rebasing: keysAhead[0..<count]), for: identity)
        return count
    }

    /// The arguments that a decoder has found in some bytes. Good until the next call.
    func arguments(_ decoder: borrowing RESPDecoder, in bytes: UnsafeRawBufferPointer) -> Arguments {
        let found = decoder.slices
        if found.count > slices.count {
            slices.deallocate()
            slices = .allocate(capacity: found.count * 2)
        }
        for (index, slice) in found.enumerated() {
            let start = Int(slice.start)
            slices.initializeElement(
                at: index, to: UnsafeRawBufferPointer(rebasing: bytes[start..<start + Int(slice.count)]))
        }
        return Arguments(UnsafeBufferPointer(rebasing: slices[0..<found.count]))
    }

    func call(_ service: ServiceLane, _ identity: CommandIdentity, _ arguments: Arguments) -> CommandCall? {
        if let call { return call }
        call = service.makeCall(identity, arguments, reply: writer)
        return call
    }
}
