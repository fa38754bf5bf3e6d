#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif
import Tenancy

// A HyperLogLog: how many different elements were added, told from 16,384 registers with an error of 0.8 %.
//
// The hash of an element chooses a register by its low 14 bits; of the other 50, the register keeps the longest run of
// zeros that any of its elements began with, plus one. How many registers hold which length tells the number.
//
// It is stored as Redis stores it, so that a value that was copied from one to the other goes on counting:
//
//     "HYLL" | form | 0 0 0 | 8 bytes: the last count, never filled in here | registers
//
//     form 0, dense   12,288 bytes: six bits a register, the lowest first
//     form 1, sparse  runs:   00zzzzzz                  1...64 registers of zero
//                             01zzzzzz zzzzzzzz         1...16,384 registers of zero
//                             1vvvvvnn                  1...4 registers of 1...32
//
// A new one is sparse: three bytes say "empty", and a few hundred elements take two bytes each. It becomes dense when
// that would be longer than ``mostSparseBytes``, or a register higher than a run can say.
//
// Cost: of adding elements and of a count, 10 to 20 microseconds for going over the registers.
//
// References: Flajolet and others, "HyperLogLog: the analysis of a near-optimal cardinality estimation algorithm" (2007);
// Ertl, "New cardinality estimation algorithms for HyperLogLog sketches" (2017), whose estimator this is.

/// The registers of one, unpacked.
struct HyperLogLog {
    static let registerCount = 1 << registerBits
    private static let registerBits: UInt64 = 14
    private static let rankBits = 50
    private static let headerBytes = 16
    private static let denseBytes = headerBytes + registerCount * 6 / 8
    private static let mostSparseBytes = 3000
    private static let mostSparseValue: UInt8 = 32
    private static let mark = Array("HYLL".utf8)

    private static let wrongValue = MartletError.command("WRONGTYPE Key is not a valid HyperLogLog string value.")
    private static let damaged = MartletError.command("INVALIDOBJ Corrupted HLL object detected")

    private var registers = [UInt8](repeating: 0, count: registerCount)

    /// An empty one.
    init() {}

    /// - Throws: an error in Redis's words for a string that is none, or a damaged one.
    init(_ stored: UnsafeRawBufferPointer) throws(MartletError) {
        try merge(stored)
    }

    /// Refuses a string that is none.
    static func check(_ stored: UnsafeRawBufferPointer) throws(MartletError) {
        guard stored.count >= headerBytes, stored.prefix(4).elementsEqual(mark), stored[4] <= 1,
            stored[4] == 1 || stored.count == denseBytes
        else { throw wrongValue }
    }

    // MARK: Adding

    /// Adds an element; says whether a register became higher.
    mutating func add(_ element: UnsafeRawBufferPointer) -> Bool {
        let hash = MurmurHash.hash(element, seed: 0xadc8_3b19)
        let place = Int(hash & UInt64(Self.registerCount - 1))
        let rest = hash &>> Self.registerBits | 1 &<< UInt64(Self.rankBits)
        let rank = UInt8(rest.trailingZeroBitCount + 1)
        guard rank > registers[place] else { return false }
        registers[place] = rank
        return true
    }

    /// Takes in all that was added to another.
    mutating func merge(_ stored: UnsafeRawBufferPointer) throws(MartletError) {
        try Self.check(stored)
        if stored[4] == 0 { mergeDense(stored) } else { try mergeSparse(stored) }
    }

    private mutating func mergeDense(_ stored: UnsafeRawBufferPointer) {
        var (place, offset) = (0, Self.headerBytes)
        // Three bytes hold four registers.
        while place < Self.registerCount {
            let bits = UInt32(stored[offset]) | UInt32(stored[offset + 1]) &<< 8 | UInt32(stored[offset + 2]) &<< 16
            for step in 0..<4 {
                let value = UInt8(truncatingIfNeeded: bits &>> UInt32(6 * step) & 63)
                if value > registers[place + step] { registers[place + step] = value }
            }
            place += 4
            offset += 3
        }
    }

    private mutating func mergeSparse(_ stored: UnsafeRawBufferPointer) throws(MartletError) {
        var (place, offset) = (0, Self.headerBytes)
        while offset < stored.count {
            let byte = stored[offset]
            offset += 1
            if byte & 0x80 != 0 {
                let value = byte &>> 2 & 31 + 1
                let end = place + Int(byte & 3) + 1
                guard end <= Self.registerCount else { throw Self.damaged }
                while place < end {
                    if value > registers[place] { registers[place] = value }
                    place += 1
                }
            } else if byte & 0x40 == 0 {
                place += Int(byte) + 1
            } else {
                guard offset < stored.count else { throw Self.damaged }
                place += Int(byte & 63) &<< 8 | Int(stored[offset])
                place += 1
                offset += 1
            }
        }
        guard place == Self.registerCount else { throw Self.damaged }
    }

    // MARK: Counting

    /// About how many different elements were added.
    var estimate: Int {
        var numberOf = InlineArray<64, Int>(repeating: 0)
        for value in registers { numberOf[Int(value & 63)] += 1 }
        let count = Double(Self.registerCount)
        var sum = count * Self.tau((count - Double(numberOf[Self.rankBits + 1])) / count)
        for rank in stride(from: Self.rankBits, through: 1, by: -1) {
            sum += Double(numberOf[rank])
            sum *= 0.5
        }
        sum += count * Self.sigma(Double(numberOf[0]) / count)
        // 1 / (2 ln 2), the limit of the correction for many registers.
        let alpha = 0.721347520444481703680
        return Int(exactly: (alpha * count * count / sum).rounded()) ?? 0
    }

    /// What registers that are zero contribute: x + sum of x^(2^k) 2^(k-1).
    private static func sigma(_ value: Double) -> Double {
        guard value != 1 else { return .infinity }
        var (power, factor, sum) = (value, 1.0, value)
        while true {
            power *= power
            let before = sum
            sum += power * factor
            factor += factor
            if sum == before { return sum }
        }
    }

    /// What registers that are full contribute.
    private static func tau(_ value: Double) -> Double {
        guard value != 0, value != 1 else { return 0 }
        var (root, factor, sum) = (value, 1.0, 1 - value)
        while true {
            root = root.squareRoot()
            let before = sum
            factor *= 0.5
            sum -= pow(1 - root, 2) * factor
            if sum == before { return sum / 3 }
        }
    }

    // MARK: Storing

    /// The bytes that are stored.
    var stored: [UInt8] {
        var bytes = Self.mark
        bytes.reserveCapacity(256)
        bytes += [1, 0, 0, 0]
        // The highest bit of the last count says that it is none.
        bytes += [0, 0, 0, 0, 0, 0, 0, 0x80]
        return appendSparse(to: &bytes) ? bytes : dense
    }

    private func appendSparse(to bytes: inout [UInt8]) -> Bool {
        var place = 0
        while place < Self.registerCount {
            let value = registers[place]
            guard value <= Self.mostSparseValue, bytes.count <= Self.mostSparseBytes else { return false }
            var end = place + 1
            let most = value == 0 ? Self.registerCount : min(place + 4, Self.registerCount)
            while end < most, registers[end] == value { end += 1 }
            let length = end - place - 1
            if value > 0 {
                bytes.append(0x80 | (value - 1) &<< 2 | UInt8(length))
            } else if length < 64 {
                bytes.append(UInt8(length))
            } else {
                bytes.append(0x40 | UInt8(length &>> 8))
                bytes.append(UInt8(length & 0xFF))
            }
            place = end
        }
        return bytes.count <= Self.mostSparseBytes + Self.headerBytes
    }

    private var dense: [UInt8] {
        var bytes = Self.mark
        bytes.reserveCapacity(Self.denseBytes)
        bytes += [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80]
        for place in stride(from: 0, to: Self.registerCount, by: 4) {
            var bits: UInt32 = 0
            for step in 0..<4 { bits |= UInt32(registers[place + step] & 63) &<< UInt32(6 * step) }
            bytes.append(UInt8(truncatingIfNeeded: bits))
            bytes.append(UInt8(truncatingIfNeeded: bits &>> 8))
            bytes.append(UInt8(truncatingIfNeeded: bits &>> 16))
        }
        return bytes
    }
}

/// MurmurHash64A, by Austin Appleby, who gave it to the public domain. Not for what an attacker must not foresee.
enum MurmurHash {
    static func hash(_ bytes: UnsafeRawBufferPointer, seed: UInt64) -> UInt64 {
        let multiplier: UInt64 = 0xc6a4_a793_5bd1_e995
        var hash = seed ^ UInt64(bytes.count) &* multiplier
        var place = 0
        while place + 8 <= bytes.count {
            var word = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: place, as: UInt64.self))
            word = word &* multiplier
            word ^= word &>> 47
            hash = (hash ^ word &* multiplier) &* multiplier
            place += 8
        }
        if place < bytes.count {
            for step in 0..<bytes.count - place { hash ^= UInt64(bytes[place + step]) &<< UInt64(8 * step) }
            hash = hash &* multiplier
        }
        hash = (hash ^ hash &>> 47) &* multiplier
        return hash ^ hash &>> 47
    }
}
