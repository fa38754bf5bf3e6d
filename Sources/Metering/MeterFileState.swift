import Tenancy

/// What the process knows of the counter file, beside the counts themselves. Behind the lock of ``MeterFile``.
// Unchecked: the addresses are of mapped memory that outlives this; headers and identities are written under the lock.
struct MeterFileState: @unchecked Sendable {
    /// A place for a row, by its position in the file.
    struct Slot: @unchecked Sendable {  // Unchecked: as above.
        let base: UnsafeMutableRawPointer
        /// 0 while no row lives here.
        var serial: UInt64 = 0
        var identity: RowIdentity?
        var isRetired = false
        /// A lane has the address and may add.
        var isHeld = false

        var row: MeterRow { MeterRow(at: base) }

        func word(_ offset: Int) -> MappedWord { MappedWord(base, offset) }
    }

    /// A row between two lives; see ``MeterFile``.
    struct Reclaiming {
        let slot: Int
        let serial: UInt64
        var isCleared = false
    }

    let generation: UInt64
    let header: UnsafeMutableRawPointer
    var slots: [Slot] = []
    var byIdentity: [RowIdentity: Int] = [:]
    var byCache: [CacheID: [Int]] = [:]
    /// Slots that a new row may take, the lowest last.
    var ready: [Int] = []
    var reclaiming: [Reclaiming] = []

    func headerWord(_ offset: Int) -> MappedWord { MappedWord(header, offset) }

    // MARK: Rows

    /// The row of that identity, made if need be; nil if no slot is ready.
    mutating func row(for identity: RowIdentity) -> MeterRow? {
        if let index = byIdentity[identity] {
            slots[index].isHeld = true
            return slots[index].row
        }
        guard let index = ready.popLast() else { return nil }
        let serial = takeSerial()
        let slot = slots[index]
        slot.word(MeterFileLayout.Row.serial).value = serial
        slot.word(MeterFileLayout.Row.tenant).value = identity.tenant.rawValue
        slot.word(MeterFileLayout.Row.cache).value = identity.cache.rawValue
        slot.word(MeterFileLayout.Row.doorAndLane).value = identity.doorAndLane
        slot.word(MeterFileLayout.Row.checksum).value = Self.checksum(generation, index, serial, identity)
        // The one store that makes the row. A process killed before it has made no row.
        slot.word(MeterFileLayout.Row.state).publish(MeterFileLayout.State.live)
        slots[index].isHeld = true
        enter(index, serial: serial, identity: identity)
        return slot.row
    }

    mutating func retire(cache: CacheID) {
        for index in byCache[cache] ?? [] where !slots[index].isRetired {
            slots[index].word(MeterFileLayout.Row.state).publish(MeterFileLayout.State.retired)
            slots[index].isRetired = true
        }
    }

    mutating func release(cache: CacheID, lane: UInt32) {
        for index in byCache[cache] ?? [] where slots[index].identity?.lane == lane {
            slots[index].isHeld = false
        }
    }

    /// Takes in rows from a new end of the file.
    mutating func append(_ part: ReadyPart, rows: Int) {
        let first = slots.count
        for row in 0..<rows {
            slots.append(Slot(base: part.base + row * MeterFileLayout.rowBytes))
        }
        headerWord(MeterFileLayout.Header.rows).publish(UInt64(slots.count))
        ready.insert(contentsOf: (first..<slots.count).reversed(), at: 0)
    }

    // MARK: Reuse

    /// Ends a row's life if it still is as the folding thread saw it: retired, released, every count folded.
    mutating func free(slot index: Int, serial: UInt64, folded: MeterValues) {
        let slot = slots[index]
        guard slot.serial == serial, slot.isRetired, !slot.isHeld, slot.row.values == folded,
            let identity = slot.identity
        else { return }
        slot.word(MeterFileLayout.Row.state).publish(MeterFileLayout.State.free)
        byIdentity[identity] = nil
        byCache[identity.cache]?.removeAll { $0 == index }
        if byCache[identity.cache]?.isEmpty == true { byCache[identity.cache] = nil }
        slots[index] = Slot(base: slot.base)
        reclaiming.append(Reclaiming(slot: index, serial: serial))
    }

    /// After a write-through of the whole file that began with the first `count` entries of `reclaiming` in place: each
    /// takes its next step. Gives the serials whose free state has now reached the disk, so that the ledger may forget
    /// them.
    mutating func advanceReclaiming(count: Int) -> [UInt64] {
        var forgettable: [UInt64] = []
        var remaining: [Reclaiming] = []
        for (position, var entry) in reclaiming.enumerated() {
            if position >= count {
                remaining.append(entry)
            } else if entry.isCleared {
                ready.append(entry.slot)
            } else {
                slots[entry.slot].row.clear()
                entry.isCleared = true
                forgettable.append(entry.serial)
                remaining.append(entry)
            }
        }
        reclaiming = remaining
        return forgettable
    }

    // MARK: Header

    /// When the process last folded, in milliseconds since 1970; 0 if never.
    var lastAlive: Int64 {
        get { Int64(bitPattern: headerWord(MeterFileLayout.Header.lastAlive).value) }
        nonmutating set { headerWord(MeterFileLayout.Header.lastAlive).value = UInt64(bitPattern: newValue) }
    }

    /// A serial that no row of this file ever had: the header is raised before the serial is used, so a kill in between
    /// wastes one.
    private func takeSerial() -> UInt64 {
        let word = headerWord(MeterFileLayout.Header.nextSerial)
        let serial = word.value
        word.publish(serial &+ 1)
        return serial
    }

    /// Holds the next serial above one that is known to have been given. A power cut may have lost the header's latest
    /// value although the ledger or a row has it.
    func raiseSerials(above serial: UInt64) {
        let word = headerWord(MeterFileLayout.Header.nextSerial)
        if serial < MeterFileLayout.largestSerial, word.value <= serial { word.value = serial &+ 1 }
    }

    private mutating func enter(_ index: Int, serial: UInt64, identity: RowIdentity) {
        slots[index].serial = serial
        slots[index].identity = identity
        byIdentity[identity] = index
        byCache[identity.cache, default: []].append(index)
    }

    /// Of the fixed part of the header.
    static func checksum(_ format: UInt64, _ generation: UInt64) -> UInt64 {
        MeterFileLayout.checksum(MeterFileLayout.magic, format, generation)
    }

    static func checksum(_ generation: UInt64, _ index: Int, _ serial: UInt64, _ identity: RowIdentity) -> UInt64 {
        MeterFileLayout.checksum(
            generation, UInt64(index), serial, identity.tenant.rawValue, identity.cache.rawValue, identity.doorAndLane)
    }
}

// MARK: - Creating and opening

extension MeterFileState {
    /// The length of a new file: its header and 1024 rows.
    static let initialBytes = MeterFileLayout.headerBytes + 4 * MeterFileLayout.rowsPerUnit * MeterFileLayout.rowBytes

    /// Makes a blank file as long as a counter file with its first rows.
    ///
    /// The blocks and the length are on the disk before the header is written, and the magic is the last word of it. So
    /// a process killed meanwhile leaves a file that is all zeros, which the next one finishes.
    static func create(in mapping: CounterMapping) throws(MeterFileError) {
        try mapping.extend(offset: 0, byteCount: initialBytes)
    }

    /// Maps the file and validates all of it.
    static func open(_ mapping: CounterMapping) throws(MeterFileError) -> MeterFileState {
        let found = try mapping.byteCount()
        let path = mapping.path
        guard found >= UInt64(MeterFileLayout.headerBytes), let length = Int(exactly: found) else {
            throw .truncated(path: path, expectedBytes: UInt64(MeterFileLayout.headerBytes), foundBytes: found)
        }
        // A tail that is no whole unit belongs to a growth that did not end; it is zeros and grown over next time.
        let unit = MeterFileLayout.rowsPerUnit * MeterFileLayout.rowBytes
        let present = (length - MeterFileLayout.headerBytes) / unit * MeterFileLayout.rowsPerUnit
        let mapped = MeterFileLayout.headerBytes + present * MeterFileLayout.rowBytes
        try mapping.fillHoles(byteCount: mapped)
        let base = try mapping.map(offset: 0, byteCount: mapped)

        let (generation, format) = try readHeader(base, rows: present, mapping: mapping)
        let rows = MappedWord(base, MeterFileLayout.Header.rows).value
        guard rows <= UInt64(present) else {
            let (bytes, overflow) = rows.multipliedReportingOverflow(by: UInt64(MeterFileLayout.rowBytes))
            let expected = overflow ? UInt64.max : bytes &+ UInt64(MeterFileLayout.headerBytes)
            throw .truncated(path: path, expectedBytes: expected, foundBytes: found)
        }
        var state = MeterFileState(generation: generation, header: base)
        try state.readRows(present, path: path)
        // Last, so that a file that is refused stays as it is.
        if format != MeterFileLayout.formatWord { try state.takeOver(mapping) }
        return state
    }

    /// Checks the header, writing it first if the file is new, and gives the generation and the format.
    private static func readHeader(
        _ base: UnsafeMutableRawPointer, rows: Int, mapping: CounterMapping
    ) throws(MeterFileError) -> (generation: UInt64, format: UInt64) {
        let path = mapping.path
        func word(_ offset: Int) -> MappedWord { MappedWord(base, offset) }
        let layout = MeterFileLayout.Header.self
        if word(layout.magic).value == 0 {
            // New, or killed while it was being made. Anything but zeros beyond the header is neither.
            for row in 0..<rows {
                let state = MappedWord(base, MeterFileLayout.headerBytes + row * MeterFileLayout.rowBytes).value
                guard state == MeterFileLayout.State.free else { throw .damagedHeader(path: path) }
            }
            let generation = UInt64.random(in: 1 ... .max)
            word(layout.format).value = MeterFileLayout.formatWord
            word(layout.generation).value = generation
            word(layout.checksum).value = checksum(MeterFileLayout.formatWord, generation)
            word(layout.rows).value = UInt64(rows)
            word(layout.nextSerial).value = 1
            word(layout.lastAlive).value = 0
            word(layout.magic).publish(MeterFileLayout.magic)
            try mapping.sync()
            return (generation, MeterFileLayout.formatWord)
        }
        guard word(layout.magic).value == MeterFileLayout.magic else { throw .notACounterFile(path: path) }
        let format = word(layout.format).value
        let generation = word(layout.generation).value
        let found = word(layout.checksum).value
        guard found == checksum(format, generation) || isTakeOverBegun(format, generation, checksum: found) else {
            throw .damagedHeader(path: path)
        }
        guard format == MeterFileLayout.formatWord || format == MeterFileLayout.formatWordOfVersion1 else {
            throw .unsupportedVersion(path: path, found: UInt32(truncatingIfNeeded: format))
        }
        return (generation, format)
    }

    /// Reads every row that the file has room for: also beyond the count of the header, so that a damaged count cannot
    /// hide rows.
    private mutating func readRows(_ count: Int, path: String) throws(MeterFileError) {
        slots.reserveCapacity(count)
        var highest: UInt64 = 0
        var serials = Set<UInt64>()
        for index in 0..<count {
            let slot = Slot(base: header + MeterFileLayout.headerBytes + index * MeterFileLayout.rowBytes)
            slots.append(slot)
            let rowState = slot.word(MeterFileLayout.Row.state).value
            if rowState == MeterFileLayout.State.free {
                // A kill between the free state and the zeroing leaves counts that belong to nobody any more.
                if slot.row.values != MeterValues() { slot.row.clear() }
                continue
            }
            guard rowState == MeterFileLayout.State.live || rowState == MeterFileLayout.State.retired,
                let (serial, identity) = validIdentity(of: slot, index: index), serials.insert(serial).inserted
            else { throw .damagedRow(path: path, row: index) }
            slots[index].isRetired = rowState == MeterFileLayout.State.retired
            enter(index, serial: serial, identity: identity)
            highest = max(highest, serial)
        }
        let next = headerWord(MeterFileLayout.Header.nextSerial).value
        guard next != 0, next <= MeterFileLayout.largestSerial else { throw .damagedHeader(path: path) }
        headerWord(MeterFileLayout.Header.rows).value = UInt64(count)
        raiseSerials(above: highest)
        ready = slots.indices.reversed().filter { slots[$0].serial == 0 }
    }

    private func validIdentity(of slot: Slot, index: Int) -> (UInt64, RowIdentity)? {
        let serial = slot.word(MeterFileLayout.Row.serial).value
        let doorAndLane = slot.word(MeterFileLayout.Row.doorAndLane).value
        guard serial != 0, serial < MeterFileLayout.largestSerial, let doorNumber = UInt8(exactly: doorAndLane >> 32),
            let door = Door(rawValue: doorNumber)
        else { return nil }
        let identity = RowIdentity(
            tenant: TenantID(rawValue: slot.word(MeterFileLayout.Row.tenant).value),
            cache: CacheID(rawValue: slot.word(MeterFileLayout.Row.cache).value),
            door: door, lane: UInt32(truncatingIfNeeded: doorAndLane))
        guard
            slot.word(MeterFileLayout.Row.checksum).value == Self.checksum(generation, index, serial, identity)
        else { return nil }
        return (serial, identity)
    }
}
