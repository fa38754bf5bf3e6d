import Synchronization
import Tenancy

// What must hold while no operation is under way, for tests. Each walks over everything.

extension EmbeddedEngine {
    /// - Returns: what does not hold, in words; empty when all is well.
    package func checkInvariants() -> [String] {
        let caches = core.registry.withLock { $0.caches }
        var found: [String] = []
        var detached: [ObjectIdentifier: Int] = [:]
        var closedBytesOfGroups: [ObjectIdentifier: Int] = [:]
        var detachedOfGroups: [ObjectIdentifier: Int] = [:]
        var closedBytes = 0
        for buried in core.graveyard.withLock({ $0 }) {
            let (source, bytes): (PageSource, Int)
            switch buried {
            case .contents(let contents):
                (source, bytes) = (contents.source, contents.bytes)
                if !contents.isBookedRightly { found.append("detached contents are booked wrongly") }
            case .tree(let tree): (source, bytes) = (tree.source, tree.bytes)
            }
            detached[ObjectIdentifier(source), default: 0] += bytes
            let isClosed = !caches.contains { $0.source === source }
            if isClosed { closedBytes += bytes }
            if let group = source.group {
                detachedOfGroups[ObjectIdentifier(group), default: 0] += bytes
                if isClosed { closedBytesOfGroups[ObjectIdentifier(group), default: 0] += bytes }
            }
        }
        var sum = closedBytes
        for cache in caches {
            let name = "cache \(cache.id.rawValue): "
            found += cache.violations(detached: detached[ObjectIdentifier(cache.source)] ?? 0).map { name + $0 }
            sum += cache.statistics.bytes
        }
        for (number, group) in core.registry.withLock({ $0.groups }).enumerated() {
            let identity = ObjectIdentifier(group)
            let name = "group \(number): "
            found += group.violations(
                caches: caches.filter { $0.group === group }, closedBytes: closedBytesOfGroups[identity] ?? 0,
                detached: detachedOfGroups[identity] ?? 0
            ).map { name + $0 }
        }
        if sum != accountedBytes { found.append("\(accountedBytes) bytes are accounted, the caches' sum is \(sum)") }
        return found
    }
}

extension EngineGroup {
    fileprivate func violations(caches: [EngineCache], closedBytes: Int, detached: Int) -> [String] {
        var found: [String] = []
        func compare(_ figure: Int, _ sum: Int, _ what: String) {
            if figure != sum { found.append("\(what) are booked as \(figure), the caches' sum is \(sum)") }
        }
        let statistics = statistics
        compare(statistics.bytes, caches.reduce(closedBytes) { $0 + $1.statistics.bytes }, "bytes")
        compare(statistics.bytesBeingFreed, detached, "bytes being freed")
        compare(statistics.items, caches.reduce(0) { $0 + $1.itemCount }, "items")
        compare(leastBytes, caches.reduce(0) { $0 + $1.leastBytes }, "bytes that stay")
        let reserved = caches.reduce(0) { $0 + $1.reservedBytes.load(ordering: .relaxed) }
        compare(lines.charges.pointee.reservedByCaches.load(ordering: .relaxed), reserved, "reservations")
        if Set(members.withLock { $0.caches.map(ObjectIdentifier.init) }) != Set(caches.map(ObjectIdentifier.init)) {
            found.append("its members are others than its caches")
        }
        // What is not evicted is not refused by the group, and items give way to it later.
        if liveBytes - leastBytes > byteCeiling { found.append("over its limit of bytes") }
        if statistics.items > itemCeiling { found.append("over its limit of items") }
        return found
    }
}

extension EngineCache {
    fileprivate func violations(detached: Int) -> [String] {
        var found: [String] = []
        var charged = leastBytes + detached
        var counted = 0
        let all = stripes.all
        for (position, stripe) in all.enumerated() {
            found += stripe.violations(self).map { "stripe \(position): " + $0 }
            charged += stripe.contents.pointee.chargedBytes
            counted += stripe.contents.pointee.index.count
            for record in stripe.records() where Int(hash(of: record.key) & UInt64(all.count - 1)) != position {
                found.append("an item in stripe \(position) belongs to another")
            }
        }
        let statistics = statistics
        if statistics.bytes != charged { found.append("\(charged) bytes are charged as \(statistics.bytes)") }
        if statistics.items != counted { found.append("\(counted) items are counted as \(statistics.items)") }
        if statistics.bytesBeingFreed != detached {
            found.append("\(detached) bytes are being freed, booked as \(statistics.bytesBeingFreed)")
        }
        // What is attached is not refused, and items give way to it later.
        let ownBytes = liveBytes - statistics.bytesAttached - observationBytes.load(ordering: .relaxed)
        if ownBytes > byteCeiling.load(ordering: .relaxed), counted > 0 { found.append("over its limit of bytes") }
        if counted > itemCeiling.load(ordering: .relaxed) { found.append("over its limit of items") }
        return found
    }
}

extension StripeReference {
    private func segments() -> [Segment] {
        var all: [Segment] = []
        for log in [contents.pointee.small, contents.pointee.main] {
            var current = log.oldest
            while let segment = current {
                all.append(segment)
                current = segment.newer
            }
        }
        return all
    }

    /// All records that are not dead.
    func records() -> [Record] {
        var all: [Record] = []
        var parts = segments().map { ($0, Segment.headerBytes) }
        if let drain = contents.pointee.drain { parts.append((drain.segment, drain.offset)) }
        for (segment, start) in parts {
            var offset = start
            while let record = segment.record(at: offset) {
                if !record.isDead { all.append(record) }
                offset += record.byteCount
            }
        }
        return all
    }

    func violations(_ cache: EngineCache) -> [String] {
        lock()
        defer { unlock() }
        let contents = contents.pointee
        var found = contents.index.violations(epoch: cache.core.epoch(Timestamp(milliseconds: 0)))
        var (dead, trees) = (0, 0)
        for log in [contents.small, contents.main] {
            var (bytes, count) = (0, 0)
            var older: Segment?
            var current = log.oldest
            while let segment = current {
                bytes += segment.capacity
                count += 1
                dead += segment.dead
                if segment.older != older { found.append("the links of a log disagree") }
                if segment.state != log.state { found.append("a segment is in another log than it says") }
                if segment.used > segment.capacity { found.append("a segment holds more than it has room for") }
                var (offset, deadHere) = (Segment.headerBytes, 0)
                while let record = segment.record(at: offset) {
                    if record.isDead { deadHere += record.byteCount }
                    offset += record.byteCount
                }
                if offset != segment.used { found.append("a segment's records do not end where it ends") }
                if deadHere != segment.dead { found.append("\(deadHere) dead bytes are counted as \(segment.dead)") }
                if segment.live == 0, segment != contents.drain?.target {
                    found.append("a segment without live records")
                }
                older = segment
                current = segment.newer
            }
            if log.newest != older { found.append("a log does not end at its newest segment") }
            if (bytes, count) != (log.bytes, log.count) { found.append("a log's segments are counted wrongly") }
        }
        if dead != contents.deadBytes { found.append("\(dead) dead bytes are booked as \(contents.deadBytes)") }
        let records = records()
        for record in records {
            let hash = contents.index.hash(record)
            if contents.index.find(record.key, hash: hash) != record { found.append("a record is not in the index") }
            if record.isLarge { trees += record.trees.0.bytes + record.trees.1.bytes }
        }
        if trees != contents.treeBytes { found.append("\(trees) bytes of trees are booked as \(contents.treeBytes)") }
        if records.count != contents.index.count {
            found.append("\(records.count) records, and the index counts \(contents.index.count)")
        }
        return found
    }
}

extension HashIndex {
    fileprivate func violations(epoch: Int64) -> [String] {
        var found: [String] = []
        var (slots, lines) = (0, 0)
        var earliestOfAll = ExpiryMinima.never
        if bucketCount != buckets.count { found.append("\(buckets.count) buckets, \(bucketCount) in use") }
        for bucket in 0..<buckets.count {
            let said = Common.earliest(buckets[bucket])
            var current: Line? = buckets[bucket]
            var ended = false
            while let line = current {
                for position in 0..<Self.slotsPerLine {
                    if line[position] == 0 {
                        ended = true
                        continue
                    }
                    slots += 1
                    let record = Slot.record(line[position])
                    if ended { found.append("a gap in a bucket") }
                    if bucketNumber(of: hash(record)) != bucket {
                        found.append("a record in another bucket than its own")
                    }
                    if ExpiryMinima.tick(of: record.nextExpiry, epoch: epoch) < said {
                        found.append("an item expires before its bucket says so")
                    }
                }
                current = next(line)
                if current != nil { lines += 1 }
            }
            if said < expiry[bucket / LineArray.linesPerChunk] { found.append("a bucket is due before its chunk") }
            earliestOfAll = min(earliestOfAll, said)
        }
        if earliestOfAll < expiry.earliest { found.append("a bucket is due before its stripe") }
        if slots != count { found.append("an index of \(slots) items counts \(count)") }
        if lines != overflow.count { found.append("\(lines) overflow lines are counted as \(overflow.count)") }
        return found
    }
}
