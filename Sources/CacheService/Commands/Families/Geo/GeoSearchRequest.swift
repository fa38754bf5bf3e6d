import Engine
import Tenancy

/// Which command asks for a search.
enum GeoSearchKind {
    case search, searchStore
    case radius(canStore: Bool)
    case radiusByMember(canStore: Bool)

    var isSearch: Bool {
        switch self {
        case .search, .searchStore: true
        case .radius, .radiusByMember: false
        }
    }

    var canStore: Bool {
        switch self {
        case .search, .searchStore: false
        case .radius(let canStore), .radiusByMember(let canStore): canStore
        }
    }

    /// Where the key stands that is searched.
    var source: Int {
        if case .searchStore = self { 2 } else { 1 }
    }
}

/// What a search is asked for.
struct GeoSearchRequest {
    enum Order {
        /// As it is found.
        case none
        case ascending, descending
    }

    /// Nil where there is nothing to search.
    private(set) var shape: GeoShape?
    private(set) var unit = GeoUnit.metre
    private(set) var order = Order.none
    /// 0: all.
    private(set) var count = 0
    /// The first that are found do.
    private(set) var takesAny = false
    private(set) var withDistance = false
    private(set) var withHash = false
    private(set) var withPoint = false
    /// The index of the key under which the result is stored.
    private(set) var destination: Int?
    private(set) var storesDistance = false

    private var center: GeoPoint?
    private var extent: GeoShape.Extent?
    private var isCenterAMember = false
    private var isCenterAPoint = false

    private var isCircle: Bool {
        if case .circle = extent { true } else { false }
    }

    private var isBox: Bool {
        if case .box = extent { true } else { false }
    }

    /// - Parameter set: What is searched; nil if there is nothing.
    /// - Throws: In the words and the order of the servers that clients know.
    init(_ call: CommandCall, _ kind: GeoSearchKind, in set: SortedSetSnapshot?) throws(MartletError) {
        var first: Int
        switch kind {
        case .radius:
            first = 6
            center = try call.point(2)
            try readRadius(call, 4)
        case .radiusByMember:
            first = 5
            if let set {
                center = try Self.place(of: call.arguments[2], in: set)
                try readRadius(call, 3)
            }
        case .search:
            first = 2
        case .searchStore:
            first = 3
            destination = 1
        }
        while first < call.count { try readOption(call, kind, set, &first) }
        try check(call, kind)
        if let center, let extent { shape = GeoShape(center: center, extent: extent) }
        // The nearest, if only some are wanted and nothing is said of their order.
        if count > 0, order == .none, !takesAny { order = .ascending }
    }

    private mutating func readOption(
        _ call: CommandCall, _ kind: GeoSearchKind, _ set: SortedSetSnapshot?, _ index: inout Int
    ) throws(MartletError) {
        let arguments = call.arguments
        let following = call.count - index - 1
        defer { index += 1 }
        if arguments.isWord(index, "WITHDIST") {
            withDistance = true
        } else if arguments.isWord(index, "WITHHASH") {
            withHash = true
        } else if arguments.isWord(index, "WITHCOORD") {
            withPoint = true
        } else if arguments.isWord(index, "ANY") {
            takesAny = true
        } else if arguments.isWord(index, "ASC") {
            order = .ascending
        } else if arguments.isWord(index, "DESC") {
            order = .descending
        } else if arguments.isWord(index, "COUNT"), following >= 1 {
            count = Int(try call.integer(index + 1))
            guard count > 0 else { throw .command("ERR COUNT must be > 0") }
            index += 1
        } else if kind.isSearch {
            try readSearchOption(call, kind, set, &index)
        } else if kind.canStore, following >= 1, arguments.isWord(index, "STORE") {
            (destination, storesDistance) = (index + 1, false)
            index += 1
        } else if kind.canStore, following >= 1, arguments.isWord(index, "STOREDIST") {
            (destination, storesDistance) = (index + 1, true)
            index += 1
        } else {
            throw .syntax
        }
    }

    /// What GEOSEARCH alone has.
    private mutating func readSearchOption(
        _ call: CommandCall, _ kind: GeoSearchKind, _ set: SortedSetSnapshot?, _ index: inout Int
    ) throws(MartletError) {
        let arguments = call.arguments
        let following = call.count - index - 1
        if following >= 1, arguments.isWord(index, "FROMMEMBER"), !isCenterAPoint {
            if let set { center = try Self.place(of: arguments[index + 1], in: set) }
            isCenterAMember = true
            index += 1
        } else if following >= 2, arguments.isWord(index, "FROMLONLAT"), !isCenterAMember {
            center = try call.point(index + 1)
            isCenterAPoint = true
            index += 2
        } else if following >= 2, arguments.isWord(index, "BYRADIUS"), !isBox {
            try readRadius(call, index + 1)
            index += 2
        } else if following >= 3, arguments.isWord(index, "BYBOX"), !isCircle {
            try readBox(call, index + 1)
            index += 3
        } else if case .searchStore = kind, arguments.isWord(index, "STOREDIST") {
            storesDistance = true
        } else {
            throw .syntax
        }
    }

    private mutating func readRadius(_ call: CommandCall, _ index: Int) throws(MartletError) {
        let radius = try call.double(index, or: .command("ERR need numeric radius"))
        guard radius >= 0 else { throw .command("ERR radius cannot be negative") }
        unit = try call.unit(index + 1)
        extent = .circle(radius: radius * unit.metres)
    }

    private mutating func readBox(_ call: CommandCall, _ index: Int) throws(MartletError) {
        let width = try call.double(index, or: .command("ERR need numeric width"))
        let height = try call.double(index + 1, or: .command("ERR need numeric height"))
        guard width >= 0, height >= 0 else { throw .command("ERR height or width cannot be negative") }
        unit = try call.unit(index + 2)
        extent = .box(width: width * unit.metres, height: height * unit.metres)
    }

    private func check(_ call: CommandCall, _ kind: GeoSearchKind) throws(MartletError) {
        if destination != nil, withDistance || withHash || withPoint {
            let name = kind.isSearch ? "GEOSEARCHSTORE" : "STORE option in GEORADIUS"
            throw .command("ERR \(name) is not compatible with WITHDIST, WITHHASH and WITHCOORD options")
        }
        if kind.isSearch {
            guard isCenterAMember || isCenterAPoint else {
                throw .command(
                    "ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for \(call.arguments.string(0))")
            }
            guard extent != nil else {
                throw .command("ERR exactly one of BYRADIUS and BYBOX can be specified for \(call.arguments.string(0))")
            }
        }
        if takesAny, count == 0 { throw .command("ERR the ANY argument requires COUNT argument") }
    }

    private static func place(
        of member: UnsafeRawBufferPointer, in set: SortedSetSnapshot
    ) throws(MartletError) -> GeoPoint {
        guard let found = try set.rank(of: member) else {
            throw .command("ERR could not decode requested zset member")
        }
        return GeoCell(score: found.score).center
    }
}
