import Engine
import Synchronization
import Tenancy

/// Which events of a cache's keys are published: `notify-keyspace-events`, of which only the events of expired keys are
/// offered.
package struct KeyspaceEventRules: OptionSet, Sendable {
    package let rawValue: UInt8

    package init(rawValue: UInt8) {
        self.rawValue = rawValue
    }

    /// `K`: to `__keyspace@0__:KEY`, the event's name.
    package static let keyspace = KeyspaceEventRules(rawValue: 1)
    /// `E`: to `__keyevent@0__:expired`, the key.
    package static let keyevent = KeyspaceEventRules(rawValue: 2)
    /// `x`: of keys whose time was over.
    package static let expired = KeyspaceEventRules(rawValue: 4)

    /// Reads what a client asks for.
    ///
    /// - Returns: Nil for what Redis would not read either.
    /// - Throws: A refusal of event classes that are not offered. `A`, which stands for all of them, is taken for `x`.
    package init?(_ text: String) throws(MartletError) {
        self = []
        for letter in text.unicodeScalars {
            switch letter {
            case "K": insert(.keyspace)
            case "E": insert(.keyevent)
            case "x", "A": insert(.expired)
            case "g", "$", "l", "s", "h", "z", "e", "t", "m", "d", "n":
                throw .command(
                    "ERR CONFIG SET failed (possibly related to argument 'notify-keyspace-events') - only events of "
                        + "expired keys are offered: K, E and x")
            default: return nil
            }
        }
    }

    /// As Redis writes it.
    package var text: String {
        (contains(.expired) ? "x" : "") + (contains(.keyspace) ? "K" : "") + (contains(.keyevent) ? "E" : "")
    }

    var isOn: Bool { contains(.expired) && !isDisjoint(with: [.keyspace, .keyevent]) }
}

/// Who passes keyspace events on to those who listen: publish and subscribe. Called on a lane's thread.
package protocol KeyspaceEventSink: Sendable {
    /// Whether anybody listens. Asked on any thread, under the engine's locks.
    var hasListeners: Bool { get }
    func emit(channel: [UInt8], payload: UnsafeRawBufferPointer)
}

/// The keyspace events of one cache: gathers keys as they expire, wherever that happens, and hands them on upon the lane that
/// switched it on. Where they come faster than they are told, some are dropped, as Redis tells nobody who is not connected:
/// events are no ledger.
package final class KeyspaceEvents: KeyObserver {
    /// Runs a closure on a lane's thread.
    typealias Schedule = @Sendable (@escaping @Sendable () -> Void) -> Void

    private struct Contents {
        var rules: KeyspaceEventRules = []
        var keys: [[UInt8]] = []
        var schedule: Schedule?
        var sink: (any KeyspaceEventSink)?
        var isScheduled = false
    }

    private let contents = Mutex(Contents())
    private static let mostKeys = 65_536
    private static let keysPerTurn = 256

    package init() {}

    package var rules: KeyspaceEventRules { contents.withLock { $0.rules } }

    /// Says who tells of events. The sink must not hold this.
    package func connect(_ sink: any KeyspaceEventSink) {
        contents.withLock { $0.sink = sink }
    }

    func set(_ rules: KeyspaceEventRules, on items: EngineCache, schedule: @escaping Schedule) {
        let wasOn = contents.withLock { contents in
            defer {
                contents.rules = rules
                contents.schedule = schedule
            }
            return contents.rules.isOn
        }
        if rules.isOn, !wasOn { items.addListener(self) }
        if !rules.isOn, wasOn { items.removeListener(self) }
    }

    package func keyChanged(_ key: UnsafeRawBufferPointer, _ change: KeyChange) {
        guard case .expired = change else { return }
        let copy = Array(key)
        let schedule = contents.withLock { (contents) -> Schedule? in
            guard contents.sink?.hasListeners ?? false, contents.keys.count < Self.mostKeys else { return nil }
            contents.keys.append(copy)
            if contents.isScheduled { return nil }
            contents.isScheduled = true
            return contents.schedule
        }
        schedule? { [weak self] in self?.tellSome() }
    }

    package func cacheFlushed() {}

    private func tellSome() {
        let (keys, rules, sink, schedule) = contents.withLock { contents in
            let some = Array(contents.keys.prefix(Self.keysPerTurn))
            contents.keys.removeFirst(some.count)
            contents.isScheduled = !contents.keys.isEmpty
            return (some, contents.rules, contents.sink, contents.isScheduled ? contents.schedule : nil)
        }
        for key in keys {
            if rules.contains(.keyspace) { emit(Self.expiredEvent, to: Self.keyspacePrefix + key, sink) }
            if rules.contains(.keyevent) { emit(key, to: Self.expiredChannel, sink) }
        }
        schedule? { [weak self] in self?.tellSome() }
    }

    private func emit(_ payload: [UInt8], to channel: [UInt8], _ sink: (any KeyspaceEventSink)?) {
        payload.withUnsafeBytes { sink?.emit(channel: channel, payload: $0) }
    }

    private static let expiredChannel = Array("__keyevent@0__:expired".utf8)
    private static let keyspacePrefix = Array("__keyspace@0__:".utf8)
    private static let expiredEvent = Array("expired".utf8)
}
