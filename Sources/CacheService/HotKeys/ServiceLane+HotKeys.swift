import Tenancy

/// Counting operations on keys, once they were admitted.
extension ServiceLane {
    /// Counts an operation on a key of the cache. On the hot path of every call.
    @inline(__always)
    func countOperation(on key: UnsafeRawBufferPointer, of cache: LaneCache) {
        if cache.sampler.isDue() { sample(key, of: cache) }
    }

    /// Counts a command of the Redis protocol on its keys: on each where they stand at fixed places; where its arguments have
    /// to be read to find them, the command is counted once, on one of them.
    @inline(__always)
    func countOperation(of command: CommandSpec, _ arguments: Arguments, of cache: LaneCache) {
        switch command.keys {
        case .none, .everyItem: break
        case .range(1, 1, _, _): countOperation(on: arguments[1], of: cache)
        default: countOperations(of: command, arguments, of: cache)
        }
    }

    @inline(never)
    private func countOperations(of command: CommandSpec, _ arguments: Arguments, of cache: LaneCache) {
        if case .range(let first, let last, let step, _) = command.keys {
            let end = last < 0 ? arguments.count + last : min(last, arguments.count - 1)
            guard first <= end else { return }
            for index in stride(from: first, through: end, by: max(1, step)) {
                countOperation(on: arguments[index], of: cache)
            }
            return
        }
        guard cache.sampler.isDue() else { return }
        guard let keys = command.foundKeys(arguments), let key = keys.randomElement(using: &dice),
            key.index < arguments.count
        else { return _ = cache.sampler.next(nowMilliseconds: uptimeMilliseconds, using: &dice) }
        sample(arguments[key.index], of: cache)
    }

    @inline(never)
    private func sample(_ key: UnsafeRawBufferPointer, of cache: LaneCache) {
        let now = uptimeMilliseconds
        let weight = cache.sampler.next(nowMilliseconds: now, using: &dice)
        cache.shared.hotKeys.add(key, weight: weight, nowMilliseconds: now)
    }
}
