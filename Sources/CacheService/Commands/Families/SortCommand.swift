import Engine
import Tenancy

/// SORT and SORT_RO.
enum SortCommand {
    static let all: [CommandSpec] = [
        CommandSpec(
            "sort", arity: -2, [.write, .denyOOM, .movableKeys], keys: .found(keys), group: .generic,
            summary: "The elements of a list, set or sorted set in order, or stored so.", readsEveryItem: readsOthers,
            action: .items { (call) throws(MartletError) in try sort(call, isReadOnly: false) }),
        CommandSpec(
            "sort_ro", arity: -2, [.readonly, .movableKeys], keys: .found(keysOfReader), group: .generic,
            summary: "The elements of a list, set or sorted set in order.", readsEveryItem: readsOthers,
            action: .items { (call) throws(MartletError) in try sort(call, isReadOnly: true) }),
    ]

    private static func keys(_ arguments: Arguments) -> [FoundKey] {
        var found = [FoundKey(1, .read)]
        var index = 2
        while index < arguments.count {
            if arguments.isWord(index, "STORE"), index + 1 < arguments.count {
                found.append(FoundKey(index + 1, .write))
            }
            index += operands(arguments, index) + 1
        }
        return found
    }

    /// Found, and not at a place that is known, so that it is asked too whether other keys are looked at.
    private static func keysOfReader(_ arguments: Arguments) -> [FoundKey] { [FoundKey(1, .read)] }

    /// Whether it looks at keys that elements name.
    private static func readsOthers(_ arguments: Arguments) -> Bool {
        var index = 2
        while index < arguments.count {
            let isBy = arguments.isWord(index, "BY")
            if isBy || arguments.isWord(index, "GET"), index + 1 < arguments.count {
                let pattern = SortPattern(arguments[index + 1])
                if pattern.hasStar { return true }
            }
            index += operands(arguments, index) + 1
        }
        return false
    }

    /// How many arguments an option takes.
    private static func operands(_ arguments: Arguments, _ index: Int) -> Int {
        if arguments.isWord(index, "LIMIT") { return 2 }
        let takesOne =
            arguments.isWord(index, "BY") || arguments.isWord(index, "GET") || arguments.isWord(index, "STORE")
        return takesOne ? 1 : 0
    }

    private static func sort(_ call: CommandCall, isReadOnly: Bool) throws(MartletError) {
        let options = try SortOptions(call, isReadOnly: isReadOnly)
        let source = try call.items.withItem(call.arguments[1], now: call.now) {
            item throws(MartletError) -> SortSource in
            switch item.kind {
            case nil: .nothing
            case .list: try item.listSnapshot().map { .list($0) } ?? .nothing
            case .set: try item.setSnapshot().map { .set($0) } ?? .nothing
            case .sortedSet: try item.sortedSetSnapshot().map { .sortedSet($0) } ?? .nothing
            case .scalar, .dictionary: throw .wrongType
            }
        }
        call.countFound(source.count > 0)
        let work = SortWork(source, options, call)
        try call.goOn(with: work)
    }
}

/// What is sorted, as it was at one moment.
enum SortSource {
    case nothing
    case list(ListSnapshot)
    case set(SetSnapshot)
    case sortedSet(SortedSetSnapshot)

    var count: Int {
        switch self {
        case .nothing: 0
        case .list(let list): list.count
        case .set(let set): set.count
        case .sortedSet(let set): set.count
        }
    }
}

/// How it is to be sorted.
struct SortOptions {
    private(set) var isDescending = false
    /// By bytes; else by number.
    var isAlphabetic = false
    /// The argument with the pattern of the keys by whose values it is sorted.
    var by: Int?
    /// `BY` without a star: in the order in which it is held.
    var isUnsorted = false
    /// The arguments with the patterns of what is answered.
    private(set) var get: [Int] = []
    private(set) var store: Int?
    private(set) var offset: Int64 = 0
    private(set) var limit: Int64 = -1

    init(_ call: CommandCall, isReadOnly: Bool) throws(MartletError) {
        let arguments = call.arguments
        var index = 2
        while index < arguments.count {
            let left = arguments.count - index - 1
            if arguments.isWord(index, "ASC") {
                isDescending = false
            } else if arguments.isWord(index, "DESC") {
                isDescending = true
            } else if arguments.isWord(index, "ALPHA") {
                isAlphabetic = true
            } else if arguments.isWord(index, "LIMIT"), left >= 2 {
                offset = try call.integer(index + 1)
                limit = try call.integer(index + 2)
                index += 2
            } else if !isReadOnly, arguments.isWord(index, "STORE"), left >= 1 {
                store = index + 1
                index += 1
            } else if arguments.isWord(index, "BY"), left >= 1 {
                by = index + 1
                isUnsorted = isUnsorted || !SortPattern(arguments[index + 1]).hasStar
                index += 1
            } else if arguments.isWord(index, "GET"), left >= 1 {
                get.append(index + 1)
                index += 1
            } else {
                throw .syntax
            }
            index += 1
        }
        if isUnsorted { by = nil }
    }

    /// The places of what is answered among so many.
    func range(count: Int) -> Range<Int> {
        let start = min(max(offset, 0), Int64(count))
        let length = limit < 0 ? Int64(count) : min(limit, Int64(count))
        return Int(start)..<Int(min(start + length, Int64(count)))
    }
}

/// `BY` or `GET`: a key with a star where the element goes, and behind `->` a field of a hash.
struct SortPattern {
    private let pattern: UnsafeRawBufferPointer
    private let star: Int?
    /// Where the key ends and where the field begins.
    private let field: (keyEnd: Int, start: Int)?

    init(_ pattern: UnsafeRawBufferPointer) {
        self.pattern = pattern
        star = pattern.firstIndex(of: UInt8(ascii: "*"))
        var field: (keyEnd: Int, start: Int)?
        if let star {
            var place = star + 1
            while place + 1 < pattern.count, field == nil {
                if pattern[place] == UInt8(ascii: "-"), pattern[place + 1] == UInt8(ascii: ">") {
                    field = (place, place + 2)
                }
                place += 1
            }
        }
        // An arrow with nothing behind it is a part of the key.
        if let found = field, found.start == pattern.count { field = nil }
        self.field = field
    }

    var hasStar: Bool { star != nil }
    /// `#`: the element itself.
    var isElement: Bool { pattern.count == 1 && pattern[0] == UInt8(ascii: "#") }

    /// Lends the value that the pattern names for an element; nil for none.
    func withValue<Result>(
        for element: UnsafeRawBufferPointer, _ call: CommandCall, _ body: (UnsafeRawBufferPointer?) -> Result
    ) throws(MartletError) -> Result {
        if isElement { return body(element) }
        guard let star, pattern.count + element.count <= Self.longestKey else { return body(nil) }
        let end = field?.keyEnd ?? pattern.count
        var key: [UInt8] = []
        key.reserveCapacity(end + element.count)
        key += pattern[..<star]
        key += element
        key += pattern[(star + 1)..<end]
        return try key.span.bytes.withUnsafeBytes { (key) throws(MartletError) in
            try call.items.withItem(key, now: call.now) { item throws(MartletError) in
                var result: Result?
                switch (item.kind, field) {
                case (.scalar, nil):
                    try item.withValue { value throws(MartletError) in result = body(value) }
                case (.dictionary, .some(let field)):
                    let name = UnsafeRawBufferPointer(rebasing: pattern[field.start...])
                    _ = try withUnsafePointer(to: name) { (name) throws(MartletError) in
                        try item.dictionaryGet(UnsafeBufferPointer(start: name, count: 1).span) { (_, value) in
                            result = body(value)
                        }
                    }
                default: break
                }
                return result ?? body(nil)
            }
        }
    }

    /// No key is longer.
    private static let longestKey = 1 << 17 - 1
}
