import Synchronization
import Tenancy

/// Sealing of what the cache holds outside of the engine: retained messages of its topics, under the key of its values.
extension EngineCache {
    /// The sealed form of a message. Any thread; takes one short lock.
    /// - Parameter context: What it is authenticated with: where it belongs.
    /// - Returns: nil when sealing is off or the cache is closed.
    package func seal(message: UnsafeRawBufferPointer, context: UnsafeRawBufferPointer) -> [UInt8]? {
        guard let sealer = presentSealer else { return nil }
        var isSealed = false
        let stored = [UInt8](unsafeUninitializedCapacity: message.count + CacheSealer.overhead) { target, count in
            count = message.count + CacheSealer.overhead
            isSealed = sealer.seal(
                message, key: UnsafeRawBufferPointer(start: nil, count: 0), context: context, lane: 0,
                into: UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(target)[0..<count]))
        }
        return isSealed ? stored : nil
    }

    /// The message again.
    /// - Returns: nil when it is not authentic, or was sealed before the cache was flushed.
    package func openMessage(_ stored: UnsafeRawBufferPointer, context: UnsafeRawBufferPointer) -> [UInt8]? {
        guard let sealer = presentSealer, stored.count >= CacheSealer.overhead else { return nil }
        var isAuthentic = false
        let message = [UInt8](unsafeUninitializedCapacity: stored.count - CacheSealer.overhead) { target, count in
            count = stored.count - CacheSealer.overhead
            isAuthentic = sealer.open(
                stored, key: UnsafeRawBufferPointer(start: nil, count: 0), context: context, lane: 0,
                into: UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(target)[0..<count]))
        }
        return isAuthentic ? message : nil
    }

    /// What the cache seals with now. Nil when sealing is off or the cache is closed. Cost: one short lock.
    var presentSealer: CacheSealer? {
        let stripe = lockStripe(of: 0)
        defer { stripe.unlock() }
        return stripe.contents.pointee.sealer
    }
}
