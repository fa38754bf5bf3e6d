import Engine
import Tenancy

/// Where items are held.
package enum EngineChoice: Sendable {
    /// In this process: answers at once, on the caller's thread.
    case embedded
    /// Elsewhere: answers when it can.
    case late(any LateEngine)
}

/// One operation, with bytes of its own: it outlives the call that made it.
package enum LateCommand: Sendable {
    case get(key: [UInt8])
    case facts(key: [UInt8])
    case set(key: [UInt8], value: [UInt8], expiresAt: Timestamp?, condition: SetCondition)
    case delete(key: [UInt8], condition: SetCondition)
    case increment(key: [UInt8], by: Int64, expiresAt: Timestamp?)
    case setIf(key: [UInt8], value: [UInt8], expiresAt: Timestamp?, condition: ValueCondition)
    case describe(key: [UInt8])
    /// Whether there is an item under each of the keys.
    case exist(keys: Elements)
    case updateExpiry(key: [UInt8], expiresAt: Timestamp, rule: ExpiryRule)
    /// A command that was checked, and the time that it gives.
    case collection(key: [UInt8], CollectionCommand, CollectionExpiry)
    /// A command of the Redis protocol.
    case command(RemoteCommand)
}

package enum LateReply: Sendable {
    case item(LateItem?)
    case facts(ItemFacts?)
    case isDone(Bool)
    case number(Int64)
    case description(ItemDescription?)
    case existence([Bool])
    case expiry(ExpiryOutcome)
    case collection(CollectionReply)
    case command(RemoteReply)
}

/// An item that came from elsewhere.
package struct LateItem: Sendable {
    package let facts: ItemFacts
    package let value: [UInt8]

    package init(facts: ItemFacts, value: [UInt8]) {
        self.facts = facts
        self.value = value
    }
}

/// An engine that does not answer on the caller's thread. Replies may come on any thread and in any order; a door keeps
/// the order that its protocol promises.
package protocol LateEngine: Sendable {
    /// Performs `command` on the items of `cache` and calls `reply` once. It must not block.
    func perform(
        _ command: LateCommand, on cache: CacheID, now: Timestamp,
        reply: @escaping @Sendable (Result<LateReply, MartletError>) -> Void)
    /// The cache is gone, or emptied: its items are to be forgotten before this returns to later reads.
    func forget(_ cache: CacheID)
}
