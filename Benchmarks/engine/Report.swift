/// One line of JSON on standard output: what a measure found. The Python drivers read these lines.
struct Line {
    private var members: [String] = []

    init(_ kind: String) {
        add("kind", kind)
    }

    mutating func add(_ name: String, _ value: Int) { members.append("\"\(name)\": \(value)") }
    mutating func add(_ name: String, _ value: Bool) { members.append("\"\(name)\": \(value)") }
    mutating func add(_ name: String, _ value: Double) { members.append("\"\(name)\": \(value)") }
    mutating func add(_ name: String, _ values: [Double]) {
        members.append("\"\(name)\": [\(values.map { "\($0)" }.joined(separator: ", "))]")
    }

    /// Names and words of this program's own: nothing in them needs escaping.
    mutating func add(_ name: String, _ value: String) { members.append("\"\(name)\": \"\(value)\"") }

    func write() {
        say("{\(members.joined(separator: ", "))}", to: 1)
    }
}

/// The arguments after the name of the measure, each `name=value`.
struct Options {
    private var values: [String: String] = [:]

    init(_ arguments: some Sequence<String>) {
        for argument in arguments {
            guard let sign = argument.firstIndex(of: "=") else { fail("\(argument) is not name=value") }
            values[String(argument[..<sign])] = String(argument[argument.index(after: sign)...])
        }
    }

    func number(_ name: String, or preset: Int) -> Int {
        guard let text = values[name] else { return preset }
        guard let number = Int(text) else { fail("\(name)=\(text) is not a number") }
        return number
    }

    func numbers(_ name: String, or preset: [Int]) -> [Int] {
        guard let text = values[name] else { return preset }
        return text.split(separator: ",").map { part in
            guard let number = Int(part) else { fail("\(name)=\(text) are not numbers") }
            return number
        }
    }

    func flag(_ name: String) -> Bool { number(name, or: 0) != 0 }

    func text(_ name: String, or preset: String? = nil) -> String {
        guard let text = values[name] ?? preset else { fail("\(name)= is missing") }
        return text
    }

    /// The core of what is measured and the core of what runs beside it.
    var cores: (first: Int, second: Int) {
        let cores = numbers("cores", or: [0, 1])
        return (cores[0], cores.last ?? cores[0])
    }
}

extension [Double] {
    var median: Double {
        guard !isEmpty else { return .nan }
        let sorted = sorted()
        return (sorted[(count - 1) / 2] + sorted[count / 2]) / 2
    }
}

/// Times in nanoseconds, counted in cells that are 1.6 % wide: 64 for each power of two.
struct Histogram: Sendable {
    private var cells = [UInt32](repeating: 0, count: 64 * 40)
    private(set) var count = 0
    /// How the times came: in batches, of which some do not count.
    var batches = 0
    var countedBatches = 0

    @inline(__always)
    mutating func add(_ nanoseconds: UInt64) {
        let value = nanoseconds | 64
        let power = 63 &- value.leadingZeroBitCount &- 6
        cells[min(cells.count &- 1, power &* 64 &+ Int(truncatingIfNeeded: value &>> UInt64(power)) & 63)] &+= 1
        count &+= 1
    }

    mutating func add(_ other: Histogram) {
        for cell in cells.indices { cells[cell] += other.cells[cell] }
        count += other.count
        batches += other.batches
        countedBatches += other.countedBatches
    }

    /// The time that a share of all did not take longer than.
    func quantile(_ share: Double) -> Double {
        var left = Int(Double(count) * share)
        for (cell, number) in cells.enumerated() {
            left -= Int(number)
            if left < 0 { return Double((64 + cell % 64) << (cell / 64)) }
        }
        return .nan
    }
}
