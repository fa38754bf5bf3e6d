import Admission
import Engine
import Tenancy

/// Commands on strings as arrays of bits, the first of a byte its highest.
enum BitmapCommands {
    static let all: [CommandSpec] = [
        .items(
            "setbit", arity: 4, [.write, .denyOOM], keys: .first(.readWrite), group: .bitmap,
            summary: "Sets or clears a bit and answers what it was.", setBit),
        .items(
            "getbit", arity: 3, [.readonly, .fast], keys: .first(.read), group: .bitmap,
            summary: "A bit of a string.", getBit),
        .items(
            "bitcount", arity: -2, [.readonly], keys: .first(.read), group: .bitmap,
            summary: "How many bits are set in a string or a part of it.", count),
        .items(
            "bitpos", arity: -3, [.readonly], keys: .first(.read), group: .bitmap,
            summary: "The first bit that is set, or is clear.", position),
        .items(
            "bitop", arity: -4, [.write, .denyOOM],
            keys: .ranges([(first: 2, last: 2, step: 1, access: .write), (first: 3, last: -1, step: 1, access: .read)]),
            group: .bitmap, summary: "Combines strings bit by bit, and stores what comes out.", combine),
        .items(
            "bitfield", arity: -2, [.write, .denyOOM], keys: .first(.readWrite), group: .bitmap,
            summary: "Reads and changes integers of any width in a string.", field),
        .items(
            "bitfield_ro", arity: -2, [.readonly, .fast], keys: .first(.read), group: .bitmap,
            summary: "Reads integers of any width in a string.", fieldReadOnly),
    ]

    static let invalidOffset = MartletError.command("ERR bit offset is not an integer or out of range")
    /// Redis takes no offset beyond 512 MiB, whatever the limits of items are.
    static let mostBytes: Int64 = 512 << 20

    static func offset(_ call: CommandCall, _ index: Int) throws(MartletError) -> Int {
        let offset = try call.integer(index, or: invalidOffset)
        guard offset >= 0, offset / 8 < mostBytes else { throw invalidOffset }
        return Int(offset)
    }

    static func setBit(_ call: CommandCall) throws(MartletError) {
        let invalidBit = MartletError.command("ERR bit is not an integer or out of range")
        let key = call.arguments[1]
        let offset = try offset(call, 2)
        let bit = try call.integer(3, or: invalidBit)
        guard bit == 0 || bit == 1 else { throw invalidBit }
        try call.sizes.checkKey(byteCount: key.count)
        let (place, mask) = (offset / 8, UInt8(0x80) &>> UInt8(offset % 8))
        let limit = call.valueLimit(key)
        var old = false
        try call.changeString(key, growth: min(place, limit) + 1) { (bytes, _) throws(MartletError) in
            guard place < limit else { throw .tooLarge(limit: .maxItemBytes, value: UInt64(call.sizes.itemBytes)) }
            bytes.extend(to: place + 1)
            old = bytes[place] & mask != 0
            if bit == 1 { bytes[place] |= mask } else { bytes[place] &= ~mask }
            return true
        }
        call.countWrite(key: key, valueBytes: 1)
        call.reply.integer(old)
    }

    static func getBit(_ call: CommandCall) throws(MartletError) {
        let key = call.arguments[1]
        let offset = try offset(call, 2)
        let bit = try call.withString(key) { (bytes) -> Bool? in
            bytes.map { offset / 8 < $0.count && $0[offset / 8] & (0x80 &>> UInt8(offset % 8)) != 0 }
        }
        call.countFacts(key, found: bit != nil)
        call.reply.integer(bit ?? false)
    }

    static func count(_ call: CommandCall) throws(MartletError) {
        let key = call.arguments[1]
        let number = try call.withString(key) { (bytes) throws(MartletError) -> Int? in
            guard let bytes else { return nil }
            guard call.count > 2 else { return BitString(bytes).count(0..<bytes.count * 8) }
            guard call.count == 4 || call.count == 5 else { throw .syntax }
            let (first, last) = (try call.integer(2), try call.integer(3))
            if first < 0, last < 0, first > last { return 0 }
            let isBits = call.count == 5 ? try unit(call, 4) : false
            return BitString(bytes).count(range(first, last, isBits, byteCount: bytes.count))
        }
        call.countFacts(key, found: number != nil)
        call.reply.integer(number ?? 0)
    }

    /// Whether positions count bits.
    private static func unit(_ call: CommandCall, _ index: Int) throws(MartletError) -> Bool {
        if call.arguments.isWord(index, "BIT") { return true }
        guard call.arguments.isWord(index, "BYTE") else { throw .syntax }
        return false
    }

    /// The bits between two positions, both included, negative ones counted from the end.
    private static func range(_ first: Int64, _ last: Int64, _ isBits: Bool, byteCount: Int) -> Range<Int> {
        let count = Int64(isBits ? byteCount * 8 : byteCount)
        let start = max(0, first < 0 ? count + first : first)
        let end = min(max(0, last < 0 ? count + last : last), count - 1)
        guard start <= end else { return 0..<0 }
        return isBits ? Int(start)..<Int(end) + 1 : Int(start) * 8..<(Int(end) + 1) * 8
    }

    static func position(_ call: CommandCall) throws(MartletError) {
        let key = call.arguments[1]
        let bit = try call.integer(2)
        guard bit == 0 || bit == 1 else { throw .command("ERR The bit argument must be 1 or 0.") }
        let place = try call.withString(key) { (bytes) throws(MartletError) -> Int? in
            guard let bytes else { return nil }
            guard call.count <= 6 else { throw .syntax }
            let string = BitString(bytes)
            guard call.count > 3 else { return string.position(of: bit == 1, 0..<bytes.count * 8, isOpen: true) }
            let first = try call.integer(3)
            let isBits = call.count == 6 ? try unit(call, 5) : false
            let last = call.count > 4 ? try call.integer(4) : Int64(bytes.count) - 1
            return string.position(
                of: bit == 1, range(first, last, isBits, byteCount: bytes.count), isOpen: call.count == 4)
        }
        call.countFacts(key, found: place != nil)
        call.reply.integer(place ?? (bit == 1 ? -1 : 0))
    }
}

extension [UInt8] {
    /// Makes it so long at least, with zeros.
    mutating func extend(to count: Int) {
        guard self.count < count else { return }
        reserveCapacity(count)
        append(contentsOf: repeatElement(0, count: count - self.count))
    }
}
