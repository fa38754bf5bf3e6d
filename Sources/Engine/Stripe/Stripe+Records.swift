import Tenancy

/// Putting records into the logs, and marking them dead. Everything here is called by the holder of the lock.
extension StripeReference {
    /// What segments are usually at most: all stripes of a cache may need one at the same time.
    static let usualSegment = 64 << 10
    /// One for large records.
    static let largestSegment = 512 << 10
    /// A segment takes at most about this part of its stripe's bytes: so small caches waste little, and large ones do not
    /// ask the pool often.
    private static let segmentsPerStripe = 32

    /// The record for an item, in the place of another of the same key or new; its stored value is the caller's to fill.
    ///
    /// A record of the same size is used again. Otherwise the new one goes to the head of the log that the old one was in;
    /// one without a predecessor to the small log, or to the main one if its ghost is remembered.
    ///
    /// - Parameter tells: false when observers have been told of an earlier part of the same change.
    func makeRecord(
        _ key: UnsafeRawBufferPointer, hash: UInt64, replacing found: Record?, storedBytes: Int, kind: ItemKind,
        encoding: StoredEncoding = .identity, isLarge: Bool = false, expiresAt: Timestamp?, now: Timestamp,
        tells: Bool = true, _ cache: EngineCache
    ) -> Record {
        if contents.pointee.observers != nil {
            if found?.isExpired(at: now) == true { tell(key, .expired, hash: hash) }
            if tells { tell(key, .written, hash: hash) }
        }
        let byteCount = Record.byteCount(keyBytes: key.count, storedBytes: storedBytes)
        let tick = ExpiryMinima.tick(of: expiresAt, epoch: cache.core.epoch(now))
        guard let found else {
            let isKnown = contents.pointee.ghosts.take(hash)
            let record = place(byteCount, inMain: isKnown, cache.source)
            record.initialize(
                key: key, storedBytes: storedBytes, kind: kind, encoding: encoding, isLarge: isLarge,
                expiresAt: expiresAt, uses: 0)
            contents.pointee.index.insert(record, hash: hash, tick: tick, from: cache.source)
            cache.addItems(1, to: self)
            return record
        }
        var uses = min(found.uses + 1, Record.mostUses)
        if found.isExpired(at: now) {
            figures.pointee.addExpiration()
            uses = 0
        }
        releaseOutside(of: found, cache)
        if found.byteCount == byteCount {
            found.initialize(
                key: key, storedBytes: storedBytes, kind: kind, encoding: encoding, isLarge: isLarge,
                expiresAt: expiresAt, uses: uses)
            note(tick, hash: hash)
            return found
        }
        let record = place(byteCount, inMain: log(of: found, cache.source) == .main, cache.source)
        record.initialize(
            key: key, storedBytes: storedBytes, kind: kind, encoding: encoding, isLarge: isLarge,
            expiresAt: expiresAt, uses: uses)
        contents.pointee.index.replace(found, with: record, hash: hash)
        note(tick, hash: hash)
        bury(found, cache.source)
        return record
    }

    /// Takes an item out, and what it holds outside of its record.
    func remove(_ record: Record, hash: UInt64, _ change: KeyChange, _ cache: EngineCache) {
        tell(record.key, change, hash: hash)
        contents.pointee.index.remove(record, hash: hash, to: cache.source)
        cache.addItems(-1, to: self)
        releaseOutside(of: record, cache)
        bury(record, cache.source)
    }

    @inline(__always)
    func note(_ tick: UInt32, hash: UInt64) {
        guard tick != ExpiryMinima.never else { return }
        contents.pointee.index.note(tick, inBucket: contents.pointee.index.bucketNumber(of: hash))
    }

    /// The log that a record is in, or was in until its segment was taken off.
    private func log(of record: Record, _ source: PageSource) -> SegmentState {
        let state = segment(of: record, source).state
        return state == .draining ? contents.pointee.drain?.log ?? .small : state
    }

    @inline(__always)
    func segment(of record: Record, _ source: PageSource) -> Segment {
        Segment(start: source.core.pool.blockStart(of: record.start))
    }

    /// Gives up what a record that is about to go holds elsewhere: a collection's trees, a use of a dictionary.
    private func releaseOutside(of record: Record, _ cache: EngineCache) {
        if record.isLarge {
            let trees = record.trees
            contents.pointee.treeBytes -= trees.0.bytes + trees.1.bytes
            cache.source.bury(trees.0)
            cache.source.bury(trees.1)
        } else if record.encoding == .zstdDictionary, let version = record.stored.first {
            cache.compressor?.release(version: version)
        }
    }

    /// Marks a record dead that the index does not know any more, and frees its segment if it was the last.
    func bury(_ record: Record, _ source: PageSource) {
        let byteCount = record.byteCount
        let segment = segment(of: record, source)
        record.markDead()
        guard segment.state != .draining else { return }
        segment.addDead(byteCount)
        contents.pointee.deadBytes += byteCount
        guard segment.live == 0, contents.pointee.drain?.target != segment else { return }
        unlink(segment)
        source.deallocate(segment.start, byteCount: segment.capacity)
    }

    // MARK: Segments

    /// Room for a record at the head of a log.
    @inline(__always)
    func place(_ byteCount: Int, inMain isMain: Bool, _ source: PageSource) -> Record {
        let newest = isMain ? contents.pointee.main.newest : contents.pointee.small.newest
        if let newest, newest.free >= byteCount { return newest.append(byteCount) }
        return placeInNewSegment(byteCount, inMain: isMain, source)
    }

    @inline(never)
    private func placeInNewSegment(_ byteCount: Int, inMain isMain: Bool, _ source: PageSource) -> Record {
        let capacity = segmentBytes(forRecordOf: byteCount)
        let segment = Segment.make(
            in: source.allocate(byteCount: capacity), capacity: capacity, state: isMain ? .main : .small)
        let record = segment.append(byteCount)
        if isMain {
            Self.add(segment, to: &contents.pointee.main)
        } else {
            Self.add(segment, to: &contents.pointee.small)
        }
        return record
    }

    /// The segment with more room left becomes or stays the newest: a large record's own does not end one half filled.
    private static func add(_ segment: Segment, to log: inout SegmentLog) {
        if let newest = log.newest, newest.free > segment.free {
            log.insert(segment, after: newest.older)
        } else {
            log.append(segment)
        }
    }

    /// How large a segment is begun for a record: in proportion to the stripe; large enough for a few such records if the
    /// stripe is; else as large as the record, to the page.
    private func segmentBytes(forRecordOf byteCount: Int) -> Int {
        let needed = byteCount + Segment.headerBytes
        let stripeBytes = contents.pointee.logBytes
        let usual = min(max(Self.powerOfTwo(notAbove: stripeBytes / Self.segmentsPerStripe), 1024), Self.usualSegment)
        if needed <= usual / 4 { return usual }
        let ample = min(Self.powerOfTwo(notAbove: stripeBytes / 4), Self.largestSegment)
        let wanted = max(usual, min(ample, Self.powerOfTwo(notAbove: needed * 8)))
        return needed <= wanted ? wanted : PageSource.charge(byteCount: needed)
    }

    private static func powerOfTwo(notAbove count: Int) -> Int {
        count <= 0 ? 0 : 1 << (Int.bitWidth - 1 - count.leadingZeroBitCount)
    }
}

extension Record {
    /// The handles of a large collection's trees, which are its stored value.
    var trees: (TreeHandle, TreeHandle) {
        let stored = UnsafeRawBufferPointer(stored)
        return (
            stored.loadUnaligned(as: TreeHandle.self),
            stored.loadUnaligned(fromByteOffset: MemoryLayout<TreeHandle>.stride, as: TreeHandle.self)
        )
    }

    func setTrees(_ first: TreeHandle, _ second: TreeHandle) {
        withUnsafeBytes(of: first) { stored.copyMemory(from: $0) }
        withUnsafeBytes(of: second) {
            UnsafeMutableRawBufferPointer(rebasing: stored[MemoryLayout<TreeHandle>.stride...]).copyMemory(from: $0)
        }
    }

    /// What the elements of the trees are bound to.
    var binding: UInt64 {
        UnsafeRawBufferPointer(stored).loadUnaligned(
            fromByteOffset: MemoryLayout<TreeHandle>.stride * 2, as: UInt64.self)
    }

    func setBinding(_ binding: UInt64) {
        stored.storeBytes(of: binding, toByteOffset: MemoryLayout<TreeHandle>.stride * 2, as: UInt64.self)
    }

    static let treesBytes = MemoryLayout<TreeHandle>.stride * 2 + 8
}
