/// Remembers what verified credentials stand for, by the raw bytes that were sent: the reason why a request costs no
/// parsing, no hash of a secret and no signature check. One for each event loop, used by that loop alone.
///
/// ```
///   slots    [ - | 2 | - | 0 | 1 | - | - | - ]     linear probing; at most half full
///                  │       │   │
///   entries      [ 0: hash, bytes, referenced | 1: … | 2: … ]     ◀── hand
///   values       [ 0: value                   | 1: … | 2: … ]
/// ```
///
/// - A lookup hashes the bytes (SipHash, keyed at random for the process and the table, so that nobody outside can aim
///   at one chain), walks the slots, and compares all bytes with `memcmp`. That comparison may stop at the first
///   difference, because it is reached only by bytes whose keyed 64-bit hash is already the same: an attacker cannot
///   steer it along a secret.
/// - It is bounded by entries and by bytes. The CLOCK hand (Corbató 1968) evicts: an entry that was used since the hand
///   last passed is spared once.
/// - Only successes belong here. Failures have a memory of their own (``FailureMemory``), so that a flood of false
///   credentials cannot push out the true ones.
///
/// What it returns is as old as its insertion: the owner checks expiry at every use, and empties the memory, or looks
/// again, when credentials were revoked.
package struct CredentialMemory<Value>: Redacted {
    // Not for others: visible only so that ``value(for:)`` is compiled where it is called, for the type that is there.
    @usableFromInline package var index: CredentialIndex
    @usableFromInline package var values: [Value?] = []

    /// - Parameters:
    ///   - capacity: the most entries; held to 1 through 2^20.
    ///   - byteCapacity: the most bytes of credentials; at least room for one.
    package init(capacity: Int, byteCapacity: Int = 1 << 20) {
        index = CredentialIndex(capacity: capacity, byteCapacity: byteCapacity)
    }

    /// The most entries.
    package var capacity: Int { index.capacity }
    /// How many there are.
    package var count: Int { index.count }
    /// How many bytes of credentials there are.
    package var byteCount: Int { index.byteCount }

    /// The longest credential that is remembered: with its scheme and some spaces.
    package static var entryByteCeiling: Int { CredentialIndex.entryByteCeiling }

    /// What these bytes stand for, if they are remembered. Called for every request; it must not allocate.
    ///
    /// Cost: one hash and one comparison of the bytes.
    @inlinable package mutating func value(for bytes: UnsafeRawBufferPointer) -> Value? {
        guard let place = index.find(bytes) else { return nil }
        return values[place]
    }

    /// Remembers what `bytes` stand for, in the place of what they stood for before. Others are evicted where there is
    /// no room; over-long bytes are not remembered.
    package mutating func insert(_ value: Value, for bytes: UnsafeRawBufferPointer) {
        guard let place = index.makePlace(bytes, evict: { values[$0] = nil }) else { return }
        while values.count <= place { values.append(nil) }
        values[place] = value
    }

    /// Forgets what these bytes stand for.
    package mutating func remove(_ bytes: UnsafeRawBufferPointer) {
        guard let place = index.remove(bytes) else { return }
        values[place] = nil
    }

    /// Forgets everything.
    package mutating func removeAll() {
        index.removeAll()
        values.removeAll(keepingCapacity: true)
    }
}
