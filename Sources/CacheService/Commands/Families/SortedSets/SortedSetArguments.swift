#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif
import Admission
import Engine
import Metering
import Tenancy

/// How commands on sorted sets write scores and the ends of ranges.
extension CommandCall {
    /// A score.
    ///
    /// - Throws: `ERR value is not a valid float`, or `failure`.
    func score(_ index: Int, or failure: MartletError = .notAFloat) throws(MartletError) -> Double {
        let text = arguments[index]
        // Most scores are whole numbers that a double holds exactly.
        if text.count <= 15, let whole = DecimalText.integer(text) { return Double(whole) }
        return try double(index, or: failure)
    }

    /// A range of scores, each end of which is left out if a `(` stands before it.
    ///
    /// - Throws: `ERR min or max is not a float`.
    func scoreRange(from minimum: Int, to maximum: Int) throws(MartletError) -> ScoreRange {
        guard let lower = Self.scoreBound(arguments[minimum]), let upper = Self.scoreBound(arguments[maximum]) else {
            throw .command("ERR min or max is not a float")
        }
        return ScoreRange(minimum: lower, maximum: upper)
    }

    /// The ends of a range of members: `-`, `+`, or a member behind `[` or `(`.
    ///
    /// - Throws: `ERR min or max not valid string range item`.
    func memberRange(
        from minimum: Int, to maximum: Int
    ) throws(MartletError) -> SortedSetSelection.Bounds {
        guard let lower = Self.memberBound(arguments[minimum]), let upper = Self.memberBound(arguments[maximum]) else {
            throw .command("ERR min or max not valid string range item")
        }
        return .members(minimum: lower, maximum: upper)
    }

    /// A range of ranks, both ends part of it, negative ones counted from the end.
    func rankRange(from start: Int, to stop: Int) throws(MartletError) -> SortedSetSelection.Bounds {
        .ranks(.inclusive(start: Int(try integer(start)), stop: Int(try integer(stop))))
    }

    private static func scoreBound(_ text: UnsafeRawBufferPointer) -> ScoreRange.Bound? {
        let isExclusive = text.first == 0x28
        let number = isExclusive ? UnsafeRawBufferPointer(rebasing: text.dropFirst()) : text
        if number.count <= 15, let whole = DecimalText.integer(number) {
            return ScoreRange.Bound(Double(whole), isExclusive: isExclusive)
        }
        guard number.count < 1024 else { return nil }
        // Other than a score it may be empty, begin with blanks, and be beyond what a double holds: it is what `strtod`
        // takes to the first zero byte.
        return withUnsafeTemporaryAllocation(of: CChar.self, capacity: number.count + 1) { copy in
            guard let start = copy.baseAddress else { return nil }
            for (place, byte) in number.enumerated() { copy[place] = CChar(bitPattern: byte) }
            copy[number.count] = 0
            var end: UnsafeMutablePointer<CChar>?
            let score = strtod(start, &end)
            guard end?.pointee == 0, !score.isNaN else { return nil }
            return ScoreRange.Bound(score, isExclusive: isExclusive)
        }
    }

    private static func memberBound(_ text: UnsafeRawBufferPointer) -> MemberBound? {
        switch text.first {
        case 0x2D where text.count == 1: .lowest
        case 0x2B where text.count == 1: .highest
        case 0x5B: .inclusive(Array(text.dropFirst()))
        case 0x28: .exclusive(Array(text.dropFirst()))
        default: nil
        }
    }
}

/// How the elements of a sorted set are told.
struct ScoredReply {
    let writer: ReplyWriter
    let withScores: Bool

    /// Announces `count` elements.
    func begin(_ count: Int) {
        writer.array(withScores && !writer.isVersion3 ? count &* 2 : count)
    }

    /// One element: with its score a pair in version 3, two strings in version 2.
    @inline(__always)
    func element(_ score: Double, _ member: UnsafeRawBufferPointer) {
        guard withScores else { return writer.bulk(member) }
        if writer.isVersion3 { writer.array(2) }
        writer.bulk(member)
        writer.double(score)
    }
}

/// Elements that are answered, added up before they are counted.
struct AnsweredElements {
    /// What a score takes on its way.
    static let scoreBytes = 8

    private(set) var count = 0
    private(set) var chunks: UInt64 = 0
    private(set) var byteCount = 0

    @inline(__always)
    mutating func add(_ bytes: Int) {
        count &+= 1
        byteCount &+= bytes
        chunks &+= bytes <= 1024 ? 1 : UInt64(truncatingIfNeeded: (bytes &+ 1023) / 1024)
    }
}

extension CommandCall {
    /// As ``countElementOut(byteCount:)`` for each of them.
    func countElementsOut(_ answered: AnsweredElements) {
        usage.elementsOut += answered.count
        usage.bytesOut += answered.byteCount
        usage.charge.operations &+= answered.chunks
        usage.charge.responseChunks &+= answered.chunks
    }
}
