import Access
import Admission
import Engine
import Metering
import Tenancy
import Topics

/// One command on its way through the service: what was asked, what it works on, where the reply goes, and what it
/// costs. Used again for the next command; belongs to one thread at a time.
package final class CommandCall {
    /// Good for the time of the call.
    package internal(set) var arguments: Arguments
    package let reply: ReplyWriter
    package internal(set) var items: EngineCache
    /// The topics of the same cache; nil where the items are held elsewhere.
    package internal(set) var topics: TopicSpace?
    /// The hot keys of the same cache; nil where nobody counts them.
    var hotKeys: HotKeys?
    package internal(set) var now: Timestamp
    package internal(set) var sizes: SizeLimits
    package internal(set) var ttl: TTLRules
    /// The catalog's version to which the limits belong.
    var version: UInt64 = 0
    package var dice = Dice()
    /// Whether the command stands in a transaction, in which nothing waits.
    package var isInTransaction = false
    package internal(set) var usage = CommandUsage()
    /// Set by a command that has nothing to answer yet.
    package internal(set) var wait: CommandWait?
    /// The command as it waits, once it does.
    package var blocked: BlockedCommand?
    /// Set by a command that is answered in turns.
    package internal(set) var work: (any CommandWork)?
    /// What is left of a command that is answered in turns, for whoever gives it up: taken by the door.
    package var suspended: SuspendedCommand?

    package init(
        _ arguments: Arguments, on items: EngineCache, topics: TopicSpace? = nil, sizes: SizeLimits, ttl: TTLRules,
        now: Timestamp, reply: ReplyWriter
    ) {
        self.arguments = arguments
        self.items = items
        self.topics = topics
        self.sizes = sizes
        self.ttl = ttl
        self.now = now
        self.reply = reply
    }

    // MARK: Arguments

    package var count: Int { arguments.count }

    /// - Throws: `ERR value is not an integer or out of range`, or `failure`.
    package func integer(_ index: Int, or failure: MartletError = .notAnInteger) throws(MartletError) -> Int64 {
        guard let value = DecimalText.integer(arguments[index]) else { throw failure }
        return value
    }

    /// - Throws: `ERR value is not a valid float`, or `failure`.
    package func double(_ index: Int, or failure: MartletError = .notAFloat) throws(MartletError) -> Double {
        guard let value = DecimalText.double(arguments[index]) else { throw failure }
        return value
    }

    // MARK: Times

    /// When an item that is stored without a time of its own expires: the cache's default, else its maximum, else never.
    package var defaultExpiry: Timestamp? {
        if let standard = ttl.defaultTTL { return now + standard }
        return latestExpiry
    }

    /// The latest time that the cache allows; nil where it has no maximum.
    package var latestExpiry: Timestamp? {
        guard let seconds = ttl.maxTTLSeconds else { return nil }
        return now.adding(milliseconds: Int64(clamping: seconds.multipliedClamped(by: 1000)))
    }

    /// What a collection gets that is made by this command; one that exists keeps its own.
    package var collectionExpiry: CollectionExpiry {
        CollectionExpiry(expiresAt: defaultExpiry, refresh: false)
    }

    /// The time that an option or argument asks for.
    ///
    /// - Parameters:
    ///   - amount: Of `unit`, from now or since 1970.
    ///   - command: Its name, for the error.
    /// - Throws: `ERR invalid expire time in 'NAME' command` where it does not fit; a refusal where it is beyond the cache's
    ///   maximum.
    package func expiry(
        _ amount: Int64, _ unit: TimeUnit, isAbsolute: Bool, command: String
    ) throws(MartletError) -> Timestamp {
        let invalid = MartletError.command("ERR invalid expire time in '\(command)' command")
        var milliseconds = amount
        if unit == .seconds {
            let (product, isOver) = amount.multipliedReportingOverflow(by: 1000)
            guard !isOver else { throw invalid }
            milliseconds = product
        }
        if !isAbsolute {
            let (sum, isOver) = milliseconds.addingReportingOverflow(now.milliseconds)
            guard !isOver else { throw invalid }
            milliseconds = sum
        }
        let time = Timestamp(milliseconds: milliseconds)
        if let latestExpiry, time > latestExpiry {
            throw .command("ERR the time is beyond the cache's max_ttl of \(ttl.maxTTLSeconds ?? 0) seconds")
        }
        return time
    }

    package enum TimeUnit {
        case seconds, milliseconds
    }

    // MARK: What it costs

    /// An item that was asked for whole: its value's length, nil for a miss.
    @inline(__always)
    package func countRead(key: UnsafeRawBufferPointer, valueBytes: Int?) {
        let charge = BillingPolicy.read(keyBytes: key.count, valueBytes: valueBytes)
        usage.add(charge)
        usage.bytesOut += valueBytes ?? 0
        usage.found(valueBytes != nil)
    }

    /// An item that was written whole.
    @inline(__always)
    package func countWrite(key: UnsafeRawBufferPointer, valueBytes: Int, isConditional: Bool = false) {
        usage.add(BillingPolicy.write(keyBytes: key.count, valueBytes: valueBytes, isConditional: isConditional))
    }

    /// An element (field and value, member, list element) that was sent in to be stored or compared, or named and not
    /// found: one that is found counts by what is answered.
    package func countElementIn(byteCount: Int) {
        usage.elementsIn += 1
        let chunks = BillingPolicy.itemChunks(byteCount: byteCount)
        usage.charge.operations += chunks
        usage.charge.requestChunks += chunks
    }

    /// An element that is answered.
    package func countElementOut(byteCount: Int) {
        usage.elementsOut += 1
        usage.bytesOut += byteCount
        let chunks = BillingPolicy.itemChunks(byteCount: byteCount)
        usage.charge.operations += chunks
        usage.charge.responseChunks += chunks
    }

    /// Whether a read found its collection or key, once for each.
    package func countFound(_ isFound: Bool) {
        usage.found(isFound)
    }

    // MARK: Answering later

    /// Has nothing to answer before something comes under one of the keys, or the time is over. The command is executed
    /// again then. Within a transaction the answer is that of time that is over.
    ///
    /// - Parameters:
    ///   - milliseconds: 0: without end.
    ///   - onTimeout: Writes the answer then.
    package func wait(
        for keys: [[UInt8]], milliseconds: Int64, onTimeout: @escaping @Sendable (ReplyWriter) -> Void
    ) {
        if isInTransaction { return onTimeout(reply) }
        wait = CommandWait(keys: keys, milliseconds: milliseconds, onTimeout: onTimeout)
    }

    /// Is answered in turns: what there is to do may be too much for one. The first is as soon as the command returns.
    package func goOn(with work: any CommandWork) throws(MartletError) {
        guard !isInTransaction else {
            // Everybody else waits for the transaction.
            let start = CoarseClock.milliseconds
            while try !work.step(self) {
                guard !reply.isOverfull else { throw .replyTooLarge }
                guard CoarseClock.milliseconds - start < Self.mostMillisecondsInTransaction else { throw .tooLong }
            }
            return
        }
        self.work = work
    }

    /// How long the commands of a transaction may take together, and one of them.
    static let mostMillisecondsInTransaction: Int64 = 500

    /// Makes it ready for another command.
    func begin(_ arguments: Arguments, now: Timestamp) {
        self.arguments = arguments
        self.now = now
        usage = CommandUsage()
        wait = nil
        work = nil
    }
}

/// What a command that waits waits for.
package struct CommandWait: Sendable {
    package let keys: [[UInt8]]
    /// 0: without end.
    package let milliseconds: Int64
    package let onTimeout: @Sendable (ReplyWriter) -> Void
}

/// A command on its way, of which each turn does a bounded piece: about half a millisecond's work. Dropping it ends it.
package protocol CommandWork: AnyObject {
    /// - Parameter call: With the arguments and the writer of the command: a turn may write a part of the reply, which goes
    ///   to the client when all of it is there.
    /// - Returns: Whether it is done.
    func step(_ call: CommandCall) throws(MartletError) -> Bool
}

/// What a command cost, as it is metered.
package struct CommandUsage: Sendable {
    package var charge = Charge(operations: 0, requestChunks: 0, responseChunks: 0)
    package var elementsIn = 0
    package var elementsOut = 0
    package var bytesOut = 0
    package var hits: UInt64 = 0
    package var misses: UInt64 = 0

    package init() {}

    @inline(__always)
    mutating func add(_ other: Charge) {
        charge.operations &+= other.operations
        charge.requestChunks &+= other.requestChunks
        charge.responseChunks &+= other.responseChunks
        charge.conditionalOperations &+= other.conditionalOperations
    }

    @inline(__always)
    mutating func found(_ isFound: Bool) {
        if isFound { hits &+= 1 } else { misses &+= 1 }
    }
}

extension UInt64 {
    fileprivate func multipliedClamped(by other: UInt64) -> UInt64 {
        let (product, isOver) = multipliedReportingOverflow(by: other)
        return isOver ? .max : product
    }
}
