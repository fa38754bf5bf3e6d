#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif
import Admission
import Engine
import Tenancy

/// A SORT on its way: the elements are copied from a snapshot, what they are sorted by is looked up, they are sorted, and
/// the answer is put together, each a piece in every turn.
final class SortWork: CommandWork {
    /// Elements, lookups and comparisons of a turn: about half a millisecond's work each.
    private static let elementsAtOnce = 2000
    private static let lookupsAtOnce = 400
    private static let comparisonsAtOnce = 5000

    private enum Phase { case load, weigh, sort, answer }

    private let source: SortSource
    private var options: SortOptions
    private var phase = Phase.load
    private var elements = ByteArena()
    /// What the elements are sorted by: numbers, or bytes, of which -1 is none.
    private var scores: [Double] = []
    private var weights = ByteArena()
    private var weightOf: [Int32] = []
    private var sorter: MergeSorter?
    private var next = 0
    private var cursor: UInt64 = 0
    /// The places of what is copied from the source, and of what is answered among that.
    private let loaded: Range<Int>
    private let answered: Range<Int>
    private let written = ReplyWriter()
    private var stored: ListBuilder?

    init(_ source: SortSource, _ options: SortOptions, _ call: CommandCall) {
        self.source = source
        var options = options
        let all = options.range(count: source.count)
        var loaded = 0..<source.count
        switch source {
        case .list, .sortedSet: if options.isUnsorted { loaded = all }
        case .set:
            // A set has no order of its own, and what is stored is the same each time.
            if options.isUnsorted, options.store != nil {
                options.isUnsorted = false
                options.isAlphabetic = true
            }
        case .nothing: break
        }
        self.options = options
        self.loaded = loaded
        answered = loaded.count == all.count ? 0..<loaded.count : all
        if let index = options.store { stored = ListBuilder(for: call.arguments[index], in: call.items) }
    }

    func step(_ call: CommandCall) throws(MartletError) -> Bool {
        if phase == .load {
            guard try load() else { return false }
            (next, phase) = (0, options.isUnsorted ? .answer : .weigh)
        }
        if phase == .weigh {
            guard try weigh(call) else { return false }
            (next, phase) = (answered.lowerBound, .sort)
            sorter = MergeSorter(count: elements.count)
        }
        if phase == .sort {
            guard sorter?.advance(steps: Self.comparisonsAtOnce, isBefore) ?? true else { return false }
            phase = .answer
        }
        if options.isUnsorted, next < answered.lowerBound { next = answered.lowerBound }
        guard try write(call) else { return false }
        try finish(call)
        return true
    }

    // MARK: Load

    private func load() throws(MartletError) -> Bool {
        switch source {
        case .nothing: return true
        case .set(let set):
            guard set.count > 0 else { return true }
            cursor = try set.visit(from: cursor, limit: Self.elementsAtOnce) { elements.append($0) }
            return cursor == 0
        case .list(let list):
            let isReversed = options.isUnsorted && options.isDescending
            try list.visit(slice(of: list.count, isReversed), reversed: isReversed) { element in
                elements.append(element)
                return true
            }
        case .sortedSet(let set):
            let isReversed = options.isUnsorted && options.isDescending
            try set.visit(slice(of: set.count, isReversed), reversed: isReversed) { (_, member) in
                elements.append(member)
                return true
            }
        }
        next += Self.elementsAtOnce
        return next >= loaded.count
    }

    /// The places of the elements that come next.
    private func slice(of count: Int, _ isReversed: Bool) -> Range<Int> {
        let first = loaded.lowerBound + next
        let last = min(loaded.upperBound, first + Self.elementsAtOnce)
        return isReversed ? count - last..<count - first : first..<last
    }

    // MARK: Weigh

    private static let notANumber = MartletError.command("ERR One or more scores can't be converted into double")

    private func weigh(_ call: CommandCall) throws(MartletError) -> Bool {
        if options.isAlphabetic, options.by == nil { return true }
        let pattern = options.by.map { SortPattern(call.arguments[$0]) }
        let end = min(elements.count, next + (pattern == nil ? Self.elementsAtOnce : Self.lookupsAtOnce))
        while next < end {
            let isNumber = try elements.withBytes(at: next) { (element) throws(MartletError) in
                guard let pattern else { return add(element) }
                return try pattern.withValue(for: element, call) { add($0) }
            }
            guard isNumber else { throw Self.notANumber }
            next += 1
        }
        return next == elements.count
    }

    /// Takes in what an element is sorted by; false for what is no number.
    private func add(_ weight: UnsafeRawBufferPointer?) -> Bool {
        if options.isAlphabetic {
            weightOf.append(weight == nil ? -1 : Int32(clamping: weights.count))
            if let weight { weights.append(weight) }
            return true
        }
        guard let score = weight.map({ Self.score($0) }) ?? 0 else { return false }
        scores.append(score)
        return true
    }

    /// A number as `strtod` reads it: blanks may come before, and nothing at all is zero.
    private static func score(_ text: UnsafeRawBufferPointer) -> Double? {
        guard text.count < 512 else { return nil }
        return withUnsafeTemporaryAllocation(of: CChar.self, capacity: 512) { copy in
            guard let start = copy.baseAddress else { return nil }
            for (place, byte) in text.enumerated() { copy[place] = CChar(bitPattern: byte) }
            copy[text.count] = 0
            var end: UnsafeMutablePointer<CChar>?
            errno = 0
            let value = strtod(start, &end)
            guard let end, end.pointee == 0, errno != ERANGE, !value.isNaN else { return nil }
            return value
        }
    }

    // MARK: Sort

    private func isBefore(_ one: Int32, _ other: Int32) -> Bool {
        let order = compare(Int(one), Int(other))
        return options.isDescending ? order > 0 : order < 0
    }

    private func compare(_ one: Int, _ other: Int) -> Int {
        if !options.isAlphabetic {
            if scores[one] != scores[other] { return scores[one] < scores[other] ? -1 : 1 }
            return elements.compare(one, other)
        }
        guard options.by != nil else { return elements.compare(one, other) }
        let (left, right) = (Int(weightOf[one]), Int(weightOf[other]))
        // What has nothing to be sorted by comes first.
        guard left >= 0 else { return right < 0 ? 0 : -1 }
        guard right >= 0 else { return 1 }
        return weights.compare(left, right)
    }

    // MARK: Answer

    private func write(_ call: CommandCall) throws(MartletError) -> Bool {
        let patterns = options.get.map { SortPattern(call.arguments[$0]) }
        let each = max(1, patterns.count)
        let end = min(answered.upperBound, next + max(1, Self.lookupsAtOnce / each))
        while next < end {
            let place = sorter.map { Int($0[next]) } ?? next
            try elements.withBytes(at: place) { (element) throws(MartletError) in
                if patterns.isEmpty { try write(element, call) }
                for pattern in patterns { try write(pattern, of: element, call) }
            }
            next += 1
        }
        return next >= answered.upperBound
    }

    private func write(
        _ pattern: SortPattern, of element: UnsafeRawBufferPointer, _ call: CommandCall
    ) throws(MartletError) {
        guard stored != nil else {
            return try pattern.withValue(for: element, call) { value in
                if let value { written.bulk(value) } else { null(call.reply.isVersion3) }
                call.countElementOut(byteCount: value?.count ?? 0)
            }
        }
        // What is to be stored is copied: the engine may not be called while it lends.
        let value = try pattern.withValue(for: element, call) { value in value.map { Array($0) } ?? [] }
        try value.span.bytes.withUnsafeBytes { (value) throws(MartletError) in try write(value, call) }
    }

    private func null(_ isVersion3: Bool) {
        written.isVersion3 = isVersion3
        written.null()
    }

    private func write(_ value: UnsafeRawBufferPointer, _ call: CommandCall) throws(MartletError) {
        guard let stored else {
            written.bulk(value)
            return call.countElementOut(byteCount: value.count)
        }
        try call.sizes.checkElement(byteCount: value.count)
        try stored.append(value)
        guard stored.byteCount <= call.sizes.itemBytes else {
            throw .tooLarge(limit: .maxItemBytes, value: UInt64(call.sizes.itemBytes))
        }
        call.countElementIn(byteCount: value.count)
    }

    private func finish(_ call: CommandCall) throws(MartletError) {
        let count = answered.count * max(1, options.get.count)
        guard let stored, let index = options.store else {
            call.reply.array(count)
            return call.reply.append(written.bytes)
        }
        let key = call.arguments[index]
        try call.sizes.checkKey(byteCount: key.count)
        let expiresAt = call.defaultExpiry
        try call.items.withItem(key, reserving: 4096, now: call.now) { item throws(MartletError) in
            try stored.commit(to: &item, expiresAt: expiresAt)
        }
        call.reply.integer(count)
    }
}

/// Runs of bytes, one behind the other.
struct ByteArena {
    private var bytes: [UInt8] = []
    /// Where each run ends.
    private var ends: [Int] = []

    var count: Int { ends.count }

    mutating func append(_ run: UnsafeRawBufferPointer) {
        bytes.append(contentsOf: run)
        ends.append(bytes.count)
    }

    func withBytes<Result, Failure>(
        at index: Int, _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        let range = (index == 0 ? 0 : ends[index - 1])..<ends[index]
        return try bytes.span.bytes.withUnsafeBytes { (all) throws(Failure) in
            try body(UnsafeRawBufferPointer(rebasing: all[range]))
        }
    }

    /// The order of two runs by their bytes: below zero, zero or above.
    func compare(_ one: Int, _ other: Int) -> Int {
        withBytes(at: one) { one in
            withBytes(at: other) { other in
                if let left = one.baseAddress, let right = other.baseAddress {
                    let order = memcmp(left, right, min(one.count, other.count))
                    if order != 0 { return Int(order) }
                }
                return one.count - other.count
            }
        }
    }
}

/// Sorts places in as many turns as it takes, by merging longer and longer runs. What is equal stays in its order.
struct MergeSorter {
    private var source: [Int32]
    private var target: [Int32]
    /// The length of the runs that are merged.
    private var width = 1
    /// The pair of runs that is being merged, and how far it has come.
    private var pair = 0
    private var left = 0
    private var right = 0

    init(count: Int) {
        source = (0..<Int32(clamping: count)).map { $0 }
        target = source
    }

    subscript(index: Int) -> Int32 { source[index] }

    /// - Returns: Whether it is sorted.
    mutating func advance(steps: Int, _ isBefore: (Int32, Int32) -> Bool) -> Bool {
        var steps = steps
        while width < source.count {
            guard steps > 0 else { return false }
            steps -= 1
            mergeOne(isBefore)
        }
        return true
    }

    /// Moves one place to where it belongs.
    private mutating func mergeOne(_ isBefore: (Int32, Int32) -> Bool) {
        let middle = min(pair + width, source.count)
        let end = min(middle + width, source.count)
        let place = pair + left + right
        let takesRight =
            pair + left == middle || middle + right < end && isBefore(source[middle + right], source[pair + left])
        if takesRight {
            target[place] = source[middle + right]
            right += 1
        } else {
            target[place] = source[pair + left]
            left += 1
        }
        guard place + 1 == end else { return }
        (pair, left, right) = (end, 0, 0)
        guard end == source.count else { return }
        swap(&source, &target)
        (pair, width) = (0, width * 2)
    }
}
