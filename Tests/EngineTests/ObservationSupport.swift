import Synchronization
import Tenancy

@testable import Engine

/// Writes down what it is told.
final class Recorder: KeyObserver {
    private let lines = Mutex<[String]>([])

    func keyChanged(_ key: UnsafeRawBufferPointer, _ change: KeyChange) {
        lines.withLock { $0.append("\(change) \(String(decoding: key, as: UTF8.self))") }
    }

    func cacheFlushed() { lines.withLock { $0.append("flushed") } }

    /// What was told since the last call.
    func take() -> [String] {
        lines.withLock { lines in
            defer { lines = [] }
            return lines
        }
    }
}

/// Follows what a cache holds by what it is told alone.
final class Mirror: KeyObserver {
    struct State {
        var keys: Set<[UInt8]> = []
        var evictions: UInt64 = 0
        var expirations: UInt64 = 0
    }

    private let state = Mutex(State())

    func keyChanged(_ key: UnsafeRawBufferPointer, _ change: KeyChange) {
        let key = Array(key)
        state.withLock { state in
            switch change {
            case .written: state.keys.insert(key)
            case .removed: state.keys.remove(key)
            case .expired:
                state.keys.remove(key)
                state.expirations += 1
            case .evicted:
                state.keys.remove(key)
                state.evictions += 1
            }
        }
    }

    func cacheFlushed() { state.withLock { $0.keys = [] } }

    var now: State { state.withLock { $0 } }
}

extension EngineCache {
    func observe(_ key: String, by observer: any KeyObserver) {
        Array(key.utf8).withUnsafeBytes { _ = observe($0, by: observer) }
    }

    func stopObserving(_ key: String, by observer: any KeyObserver) {
        Array(key.utf8).withUnsafeBytes { stopObserving($0, by: observer) }
    }
}
