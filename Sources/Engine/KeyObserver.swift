/// Who is told of changes of a cache's items.
///
/// It is told under the lock of a stripe, of that cache, and perhaps under one of the process, on the thread that makes the
/// change, whoever asked for it: a write, a tick, or the write of another cache that needs room. So it must be quick, take
/// no lock but one under which nothing is waited for, and not call the engine.
package protocol KeyObserver: AnyObject, Sendable {
    /// An item has changed, or is about to before anybody else can see it. The key is lent for the call.
    func keyChanged(_ key: UnsafeRawBufferPointer, _ change: KeyChange)

    /// All items of the cache went at once: it was flushed, or closed, and then nothing is told any more.
    func cacheFlushed()
}

/// What became of an item.
package enum KeyChange: Sendable {
    /// Created, replaced, changed in place, or given another time.
    case written
    /// Removed by an operation: one that gave it a time that has passed, took its last element or renamed it, too.
    case removed
    /// Removed because its time was over, in the background or by an operation that came upon it. Reads do not remove: they
    /// find an item absent from the millisecond on at which it expires, and this is told some time later.
    case expired
    /// Removed to make room.
    case evicted
}
