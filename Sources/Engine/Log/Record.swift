#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif
import Tenancy

// A record is one item in the log: a header of 12 bytes, the key, and the value as it is stored.
//
//      0                                                   8             12
//      | expires at | kind | uses | dead | encoding | large | times | lengths | key ... | stored value ... | pad to 4 |
//        43 bits ms   3      2      1      2          1       1       17 + 26 bits
//
//      stored value of a scalar or a packed collection
//      [ dictionary version: 1, if compressed with one ][ nonce: 8 ][ bytes ][ tag: 16 ][ hash of the value: 16 ]
//                                                       '------ sealed -----'           if there are >= 2 KiB of bytes
//
// Nonce and tag are there when sealing is on. The hash of a value is kept only where it costs more to compute than to
// keep: a small one is hashed again, some 40 ns, rather than carry 16 bytes for each of a million items. A large
// collection's value is its trees' handles.
//
// A record that was replaced or removed is marked dead and stays where it is until its segment is freed or cleaned.

/// A reference to one record. It owns nothing: a record lies in a segment of one stripe and belongs to the holder of that
/// stripe's lock.
// By that rule only one thread at a time reads or writes through a reference, so handing the reference over is safe.
struct Record: Equatable, @unchecked Sendable {
    let start: UnsafeMutableRawPointer

    static let headerBytes = 12
    static let hashBytes = 16
    static let storedHashThreshold = 2048
    static let largestKey = (1 << 17) - 1
    static let largestValue = (1 << 26) - 1
    static let latestExpiry: Int64 = (1 << 43) - 1
    /// What ``uses`` stops at.
    static let mostUses: UInt64 = 3

    @inline(__always)
    static func byteCount(keyBytes: Int, storedBytes: Int) -> Int {
        (headerBytes + keyBytes + storedBytes + 3) & ~3
    }

    // MARK: Header

    private enum Shift {
        static let kind: UInt64 = 43
        static let uses: UInt64 = 46
        static let dead: UInt64 = 48
        static let encoding: UInt64 = 49
        static let large: UInt64 = 51
        static let fieldTimes: UInt64 = 52
        static let keyLow: UInt64 = 53
    }

    @inline(__always)
    private var word: UInt64 {
        get { start.loadUnaligned(as: UInt64.self) }
        nonmutating set { start.storeBytes(of: newValue, as: UInt64.self) }
    }

    @inline(__always)
    private var lengths: UInt32 { start.loadUnaligned(fromByteOffset: 8, as: UInt32.self) }

    /// Writes a header and the key behind it. The stored value is the caller's to fill in.
    @inline(__always)
    func initialize(
        key: UnsafeRawBufferPointer, storedBytes: Int, kind: ItemKind, encoding: StoredEncoding, isLarge: Bool,
        expiresAt: Timestamp?, uses: UInt64
    ) {
        var word = UInt64(bitPattern: Self.expiryBits(expiresAt))
        word |= UInt64(kind.rawValue) &<< Shift.kind | uses &<< Shift.uses
        word |= UInt64(encoding.rawValue) &<< Shift.encoding | (isLarge ? 1 &<< Shift.large : 0)
        word |= UInt64(key.count & 0x7ff) &<< Shift.keyLow
        start.storeBytes(of: word, as: UInt64.self)
        start.storeBytes(
            of: UInt32(storedBytes) | UInt32(truncatingIfNeeded: key.count &>> 11) &<< 26, toByteOffset: 8,
            as: UInt32.self)
        if let source = key.baseAddress {
            (start + Self.headerBytes).copyMemory(from: source, byteCount: key.count)
        }
    }

    private static func expiryBits(_ expiresAt: Timestamp?) -> Int64 {
        // Past is never stored, and beyond the year 2248 is as good as the end of the range.
        expiresAt.map { min(max($0.milliseconds, 1), latestExpiry) } ?? 0
    }

    @inline(__always)
    var keyLength: Int {
        Int(word &>> Shift.keyLow) | Int(lengths &>> 26) &<< 11
    }

    @inline(__always)
    var storedLength: Int { Int(lengths & 0x3ff_ffff) }

    @inline(__always)
    var byteCount: Int { Record.byteCount(keyBytes: keyLength, storedBytes: storedLength) }

    @inline(__always)
    var key: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: start + Self.headerBytes, count: keyLength)
    }

    /// The value as it is stored.
    @inline(__always)
    var stored: UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(start: start + Self.headerBytes + keyLength, count: storedLength)
    }

    @inline(__always)
    func hasKey(_ other: UnsafeRawBufferPointer) -> Bool {
        guard keyLength == other.count else { return false }
        guard let first = other.baseAddress else { return true }
        return memcmp(start + Self.headerBytes, first, other.count) == 0
    }

    var kind: ItemKind {
        // Only `initialize` writes it.
        ItemKind(rawValue: UInt8(truncatingIfNeeded: word &>> Shift.kind & 7)).unsafelyUnwrapped
    }

    @inline(__always)
    var isScalar: Bool { word &>> Shift.kind & 7 == UInt64(ItemKind.scalar.rawValue) }

    @inline(__always)
    var encoding: StoredEncoding {
        StoredEncoding(rawValue: UInt8(truncatingIfNeeded: word &>> Shift.encoding & 3)).unsafelyUnwrapped
    }

    @inline(__always)
    var isLarge: Bool { word &>> Shift.large & 1 != 0 }

    /// Whether it is a dictionary whose second tree holds times of fields.
    @inline(__always)
    var hasFieldTimes: Bool { word &>> Shift.fieldTimes & 1 != 0 }

    func setHasFieldTimes(_ hasFieldTimes: Bool) {
        word = word & ~(1 &<< Shift.fieldTimes) | (hasFieldTimes ? 1 &<< Shift.fieldTimes : 0)
    }

    // MARK: Time

    @inline(__always)
    private var expiryMilliseconds: Int64 { Int64(bitPattern: word & UInt64(bitPattern: Self.latestExpiry)) }

    @inline(__always)
    func isExpired(at now: Timestamp) -> Bool {
        let at = expiryMilliseconds
        return at != 0 && at <= now.milliseconds
    }

    @inline(__always)
    var expiresAt: Timestamp? {
        let at = expiryMilliseconds
        return at == 0 ? nil : Timestamp(milliseconds: at)
    }

    func setExpiry(_ expiresAt: Timestamp?) {
        word = word & ~UInt64(bitPattern: Self.latestExpiry) | UInt64(bitPattern: Self.expiryBits(expiresAt))
    }

    // MARK: Use

    @inline(__always)
    var uses: UInt64 { word &>> Shift.uses & 3 }

    func setUses(_ count: UInt64) {
        word = word & ~(3 &<< Shift.uses) | count &<< Shift.uses
    }

    /// Writes only until the count is at its end: the line of an item that is read often stays clean.
    @inline(__always)
    func markUsed() {
        let current = word
        if current &>> Shift.uses & 3 < Self.mostUses { word = current &+ 1 &<< Shift.uses }
    }

    @inline(__always)
    var isDead: Bool { word &>> Shift.dead & 1 != 0 }

    func markDead() { word |= 1 &<< Shift.dead }
}
