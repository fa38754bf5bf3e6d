// Who is told of changes of a stripe's items: those that observe a key, and the listeners, which observe all.
//
// Keys are known by the hash that places them: 64 bits under a secret, of which two keys have the same once in 2^64; who
// observes one of them would be told of the other too. So a key costs no copy, and the table goes with its hashes to other
// stripes when a cache is divided.
//
// The stripe's lock guards it. So whoever begins to observe misses nothing that is done from then on, and a write asks,
// under the lock that it holds anyway, whether there is anything here: one load.

/// The observers of a stripe.
final class StripeObservers {
    /// Told of one key, by its hash.
    private var observers: [UInt64: [any KeyObserver]] = [:]
    /// The same, from the other end.
    private var observed: [ObjectIdentifier: Observed] = [:]
    /// Told of every key.
    private var listeners: [any KeyObserver] = []

    private struct Observed {
        let observer: any KeyObserver
        var hashes: Set<UInt64>
    }

    /// About what one key of one observer takes in the tables.
    static let entryBytes = 128

    var isEmpty: Bool { observed.isEmpty && listeners.isEmpty }

    /// How many keys are observed, each counted once for each of its observers. Cost: a step for each observer.
    var count: Int { observed.values.reduce(0) { $0 + $1.hashes.count } }

    // MARK: Telling

    func tell(_ key: UnsafeRawBufferPointer, _ change: KeyChange, hash: UInt64) {
        for listener in listeners { listener.keyChanged(key, change) }
        guard let observers = observers[hash] else { return }
        for observer in observers { observer.keyChanged(key, change) }
    }

    /// Adds everybody who is to be told of a flush.
    func gather(into all: inout [ObjectIdentifier: any KeyObserver]) {
        for listener in listeners { all[ObjectIdentifier(listener)] = listener }
        for (identifier, observed) in observed { all[identifier] = observed.observer }
    }

    // MARK: Beginning and ending

    /// - Returns: false if it observed that key already.
    func add(_ observer: any KeyObserver, _ hash: UInt64) -> Bool {
        let isNew = observed[ObjectIdentifier(observer), default: Observed(observer: observer, hashes: [])]
            .hashes.insert(hash).inserted
        if isNew { observers[hash, default: []].append(observer) }
        return isNew
    }

    /// - Returns: false if it did not observe that key.
    func remove(_ observer: any KeyObserver, _ hash: UInt64) -> Bool {
        let identifier = ObjectIdentifier(observer)
        guard observed[identifier]?.hashes.remove(hash) != nil else { return false }
        if observed[identifier]?.hashes.isEmpty == true { observed[identifier] = nil }
        forget(observer, hash)
        return true
    }

    /// Ends the observation of all keys by one observer.
    /// - Returns: how many they were.
    func removeAll(of observer: any KeyObserver) -> Int {
        guard let hashes = observed.removeValue(forKey: ObjectIdentifier(observer))?.hashes else { return 0 }
        for hash in hashes { forget(observer, hash) }
        return hashes.count
    }

    private func forget(_ observer: any KeyObserver, _ hash: UInt64) {
        guard let position = observers[hash]?.firstIndex(where: { $0 === observer }) else { return }
        observers[hash]?.remove(at: position)
        if observers[hash]?.isEmpty == true { observers[hash] = nil }
    }

    func add(listener: any KeyObserver) {
        if !listeners.contains(where: { $0 === listener }) { listeners.append(listener) }
    }

    func remove(listener: any KeyObserver) {
        listeners.removeAll { $0 === listener }
    }

    // MARK: Dividing

    /// Hands everything on to the stripes that take the place of this one.
    func deal(to word: UInt) {
        for listener in listeners {
            for position in 0...UInt64(word & 63) {
                StripeTable.stripe(of: position, word).makeObservers().add(listener: listener)
            }
        }
        for (hash, observers) in observers {
            let target = StripeTable.stripe(of: hash, word).makeObservers()
            for observer in observers { _ = target.add(observer, hash) }
        }
    }
}

/// Called by the holder of the lock.
extension StripeReference {
    @inline(__always)
    func tell(_ key: UnsafeRawBufferPointer, _ change: KeyChange, hash: UInt64) {
        if contents.pointee.observers != nil { tellObservers(key, change, hash) }
    }

    @inline(never)
    private func tellObservers(_ key: UnsafeRawBufferPointer, _ change: KeyChange, _ hash: UInt64) {
        contents.pointee.observers?.tell(key, change, hash: hash)
    }

    /// The stripe's observers, none at first.
    func makeObservers() -> StripeObservers {
        if let observers = contents.pointee.observers { return observers }
        let observers = StripeObservers()
        contents.pointee.observers = observers
        return observers
    }

    /// Gives the tables back when nobody is in them, so that changes ask for nobody.
    func dropEmptyObservers() {
        if contents.pointee.observers?.isEmpty == true { contents.pointee.observers = nil }
    }
}
