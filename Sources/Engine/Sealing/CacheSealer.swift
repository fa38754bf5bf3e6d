import COpenSSL
import Synchronization

// Sealing: what a cache stores is held encrypted, under a key that exists in this process only.
//
//     stored   | nonce, 8 bytes          | ciphertext, as long as the plain | tag, 16 bytes |
//               lane 16 bits ‖ counter 48                                                     little endian
//
// AES-256-GCM. The data key belongs to one life of one cache: it is drawn when the first value is sealed, never leaves
// libcrypto's contexts, and is gone with the object when the cache is flushed or deleted. Nothing that was sealed before
// can be opened after that, by anyone.
//
// A nonce must never be used twice under a key: two ciphertexts under one nonce give away the xor of their plains and the
// key of the authentication. So it is not drawn but counted. A sealer has up to 16 lanes with a counter each, which only
// goes up and never begins again; the lane's number in the upper bits keeps them apart (the deterministic construction of
// NIST SP 800-38D, section 8.2.1: fixed field ‖ invocation field). A lane that has counted to 2^48 seals no more.
//
// Lanes are there for speed alone: a context of libcrypto serves one thread at a time, so each stripe of a cache uses a
// lane of its own. All share one key, so any lane opens what any other has sealed. A lane is made when it is first used;
// a small cache has one, a cache that holds nothing has none and no key.
//
// Authenticated with each value: the cache, the item's key and a context (see `AssociatedData`), so that a stored value
// that is moved under another key, into another field or another cache is found out.
//
// Cost of 100 bytes: what libcrypto takes with a reused context (220-240 ns each way on the machine where this was
// measured), of which the lock and the putting together of the associated data take back what naming the tag directly
// saves. Memory: `laneCharge` for each lane. Finding the lane takes no lock.

/// Encrypts and opens what one cache stores. One for each life of a cache. Any thread.
package final class CacheSealer: Sendable {
    /// What sealing adds to a value.
    package static let overhead = nonceBytes + SealingLane.tagBytes
    package static let nonceBytes = 8
    package static let tagBytes = SealingLane.tagBytes
    package static let maximumLanes = 16
    /// Bytes that a lane takes from malloc, mostly libcrypto's context.
    package static let laneCharge = SealingLane.charge
    /// The most that can be sealed at once: libcrypto counts in 32 bits with a sign.
    package static let maximumPlainBytes = 1 << 30

    private let cacheID: UInt64
    private let firstCounter: UInt64
    /// The addresses of the lanes' memory; 0 until a lane is made.
    private let lanes: InlineArray<16, Atomic<UInt>>
    /// One less than the number of lanes, which is a power of two.
    private let laneMask: Atomic<Int>
    /// How many lanes were made. Held while one is, so that there is one key and one lane of each number.
    private let made = Guarded(0)

    /// - Parameters:
    ///   - laneCount: 1 for a small cache, up to 16 for a large one; rounded up to a power of two.
    ///   - firstCounter: where each lane begins to count. For tests of its end.
    package init(cacheID: UInt64, laneCount: Int, firstCounter: UInt64 = 0) {
        self.cacheID = cacheID
        self.firstCounter = firstCounter
        lanes = InlineArray { _ in Atomic(0) }
        laneMask = Atomic(Self.mask(forLanes: laneCount))
    }

    deinit {
        for index in 0..<Self.maximumLanes {
            madeLane(index)?.destroy()
        }
    }

    private static func mask(forLanes count: Int) -> Int {
        let wanted = min(max(count, 1), maximumLanes)
        return (1 << (Int.bitWidth - (wanted - 1).leadingZeroBitCount)) - 1
    }

    // MARK: Lanes

    /// How many lanes there may be.
    package var laneCount: Int { laneMask.load(ordering: .relaxed) + 1 }

    /// Allows more lanes, for a cache that has grown. Never fewer. What was sealed stays as it is.
    package func widen(to laneCount: Int) {
        laneMask.max(Self.mask(forLanes: laneCount), ordering: .relaxed)
    }

    /// The object itself, without lanes.
    private static let baseCharge = 288

    /// What it takes with the lanes that were made, to be charged to the cache.
    package var chargedBytes: Int {
        Self.baseCharge + made.withLock { $0 } * Self.laneCharge
    }

    /// The lane for a number of the caller's choice, made if need be. nil if libcrypto has no memory or no randomness.
    @inline(__always)
    private func lane(_ number: Int) -> SealingLane? {
        let index = number & laneMask.load(ordering: .relaxed)
        return madeLane(index) ?? makeLane(index)
    }

    @inline(__always)
    private func madeLane(_ index: Int) -> SealingLane? {
        UnsafeMutableRawPointer(bitPattern: lanes[index].load(ordering: .acquiring)).map { SealingLane(at: $0) }
    }

    @inline(never)
    private func makeLane(_ index: Int) -> SealingLane? {
        made.withLock { count in
            if let made = madeLane(index) { return made }
            // Any lane that is there has the key.
            var source: SealingLane?
            for other in 0..<Self.maximumLanes where source == nil {
                source = madeLane(other)
            }
            let made =
                if let source {
                    source.copy(index: index, firstCounter: firstCounter)
                } else {
                    SealingLane.withFreshKey(index: index, firstCounter: firstCounter)
                }
            guard let made else { return nil }
            lanes[index].store(UInt(bitPattern: made.pointer), ordering: .releasing)
            count += 1
            return made
        }
    }

    // MARK: Sealing

    /// Seals `plain` into `stored`, which must be ``overhead`` bytes longer. `plain` may lie in `stored`, from byte 8 on.
    ///
    /// - Parameters:
    ///   - key: the item's key.
    ///   - context: what else the value belongs to: a field's name, for instance. May be empty.
    ///   - lane: any number; callers that run at the same time should have different ones.
    /// - Returns: false when nothing was sealed, and then nothing of `plain` is in `stored`, unless it lay there: the lane
    ///   has used up its nonces, libcrypto failed, or the sizes are wrong. The caller must not store it.
    package func seal(
        _ plain: UnsafeRawBufferPointer, key: UnsafeRawBufferPointer, context: UnsafeRawBufferPointer, lane: Int,
        into stored: UnsafeMutableRawBufferPointer
    ) -> Bool {
        guard plain.count <= Self.maximumPlainBytes, Self.areBounded(key, context),
            stored.count == plain.count + Self.overhead, let target = stored.baseAddress, let lane = self.lane(lane)
        else { return false }
        lane.lock()
        defer { lane.unlock() }
        guard let nonce = lane.nextNonce() else { return false }
        let associated = AssociatedData(cacheID: cacheID, key: key, context: context)
        let text = target + Self.nonceBytes
        guard lane.seal(plain, nonce: nonce, associated: associated, to: text, tag: text + plain.count) else {
            return Self.fail(wiping: stored)
        }
        target.storeBytes(of: nonce.littleEndian, as: UInt64.self)
        return true
    }

    /// Opens what ``seal(_:key:context:lane:into:)`` made, whole, as it was stored.
    package func open(
        _ stored: UnsafeRawBufferPointer, key: UnsafeRawBufferPointer, context: UnsafeRawBufferPointer, lane: Int,
        into target: UnsafeMutableRawBufferPointer
    ) -> Bool {
        guard stored.count >= Self.overhead else { return Self.fail(wiping: target) }
        return open(
            nonce: UInt64(littleEndian: stored.loadUnaligned(as: UInt64.self)),
            tag: UnsafeRawBufferPointer(rebasing: stored[(stored.count - Self.tagBytes)...]),
            ciphertext: UnsafeRawBufferPointer(rebasing: stored[Self.nonceBytes..<stored.count - Self.tagBytes]),
            key: key, context: context, lane: lane, into: target)
    }

    /// Opens `ciphertext` into `target`, which must be as long, and may be the same memory but not overlap it otherwise.
    ///
    /// - Parameter nonce: the first eight stored bytes, read as little endian.
    /// - Returns: false when this is not what was sealed under that key and context; `target` is then overwritten with
    ///   zeros, so that nothing that was not authenticated can be read.
    package func open(
        nonce: UInt64, tag: UnsafeRawBufferPointer, ciphertext: UnsafeRawBufferPointer, key: UnsafeRawBufferPointer,
        context: UnsafeRawBufferPointer, lane: Int, into target: UnsafeMutableRawBufferPointer
    ) -> Bool {
        guard ciphertext.count <= Self.maximumPlainBytes, Self.areBounded(key, context),
            target.count == ciphertext.count, tag.count == Self.tagBytes, let tagStart = tag.baseAddress,
            let lane = self.lane(lane)
        else { return Self.fail(wiping: target) }
        let associated = AssociatedData(cacheID: cacheID, key: key, context: context)
        // An empty value has no memory to be written to, and none is.
        let start = target.baseAddress ?? UnsafeMutableRawPointer(mutating: tagStart)
        lane.lock()
        let isAuthentic = lane.open(ciphertext, nonce: nonce, associated: associated, tag: tagStart, to: start)
        lane.unlock()
        return isAuthentic || Self.fail(wiping: target)
    }

    private static func areBounded(_ key: UnsafeRawBufferPointer, _ context: UnsafeRawBufferPointer) -> Bool {
        key.count <= maximumPlainBytes && context.count <= maximumPlainBytes
    }

    /// Leaves neither half-made output nor libcrypto's record of the error on this thread.
    @inline(never)
    private static func fail(wiping memory: UnsafeMutableRawBufferPointer) -> Bool {
        if let start = memory.baseAddress { OPENSSL_cleanse(start, memory.count) }
        ERR_clear_error()
        return false
    }
}
