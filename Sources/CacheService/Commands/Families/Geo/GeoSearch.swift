import Admission
import Engine
import Tenancy

/// GEOSEARCH and its relatives.
enum GeoSearch {
    static func search(_ call: CommandCall) throws(MartletError) {
        try run(call, .search)
    }

    static func searchStore(_ call: CommandCall) throws(MartletError) {
        try run(call, .searchStore)
    }

    static func radius(_ call: CommandCall) throws(MartletError) {
        try run(call, .radius(canStore: true))
    }

    static func radiusOnly(_ call: CommandCall) throws(MartletError) {
        try run(call, .radius(canStore: false))
    }

    static func radiusByMember(_ call: CommandCall) throws(MartletError) {
        try run(call, .radiusByMember(canStore: true))
    }

    static func radiusByMemberOnly(_ call: CommandCall) throws(MartletError) {
        try run(call, .radiusByMember(canStore: false))
    }

    private static func run(_ call: CommandCall, _ kind: GeoSearchKind) throws(MartletError) {
        let set = try call.items.withItem(call.arguments[kind.source], now: call.now) { (item) throws(MartletError) in
            try item.sortedSetSnapshot()
        }
        let request = try GeoSearchRequest(call, kind, in: set)
        call.countFound(set != nil)
        if let destination = request.destination {
            try call.sizes.checkKey(byteCount: call.arguments[destination].count)
        }
        guard let set, let shape = request.shape else {
            guard let destination = request.destination else { return call.reply.array(0) }
            _ = call.items.delete(call.arguments[destination], now: call.now)
            return call.reply.integer(0)
        }
        let work = try GeoSearchWork(set, shape, request)
        if work.isSmall {
            while try !work.step(call) {}
        } else {
            try call.goOn(with: work)
        }
    }
}

/// A search on its way: looks at the members in the cells that cover the shape, puts what it finds in order, and answers
/// or stores it. Works on a snapshot, so others may change the set meanwhile.
final class GeoSearchWork: CommandWork {
    private enum Phase {
        case searching, sorting, answering
    }

    private struct Found {
        let member: Range<Int>
        let score: Double
        /// In metres.
        let distance: Double
    }

    /// In one turn; a look at a member costs some sines.
    private static let looksOfTurn = 1000
    private static let sortedOfTurn = 4000
    private static let storedOfTurn = 300

    private let set: SortedSetSnapshot
    private let shape: GeoShape
    private let request: GeoSearchRequest
    private var phase = Phase.searching
    /// What is still to be looked at, the next last.
    private var ranges: [Range<Int>]
    private var found: [Found] = []
    /// The bytes of the found members, one behind the other.
    private var members: [UInt8] = []
    private var sort: SlicedSort<Found>?
    private var builder: SortedSetBuilder?
    /// How many were answered or stored; nil before the first.
    private var done: Int?

    init(_ set: SortedSetSnapshot, _ shape: GeoShape, _ request: GeoSearchRequest) throws(MartletError) {
        self.set = set
        self.shape = shape
        self.request = request
        ranges = []
        for cell in shape.cells.reversed() {
            let (lower, upper) = cell.scores
            let ranks = try set.ranks(scored: lower).lowerBound..<set.ranks(scored: upper).lowerBound
            if !ranks.isEmpty { ranges.append(ranks) }
        }
    }

    var isSmall: Bool { ranges.reduce(0) { $0 + $1.count } <= Self.looksOfTurn }

    func step(_ call: CommandCall) throws(MartletError) -> Bool {
        switch phase {
        case .searching:
            try search()
            if ranges.isEmpty { phase = request.order == .none ? .answering : .sorting }
            return false
        case .sorting:
            sortFound()
            return false
        case .answering:
            guard let destination = request.destination else { return answer(call) }
            return try store(call, call.arguments[destination])
        }
    }

    private func search() throws(MartletError) {
        let wanted = request.takesAny ? request.count : .max
        var looks = Self.looksOfTurn
        while looks > 0, let range = ranges.popLast() {
            let piece = range.prefix(looks)
            try set.visit(piece.startIndex..<piece.endIndex) { score, member in
                guard let distance = shape.distance(to: GeoCell(score: score).center) else { return true }
                let start = members.count
                members.append(contentsOf: member)
                found.append(Found(member: start..<members.count, score: score, distance: distance))
                return found.count < wanted
            }
            if found.count >= wanted { return ranges.removeAll() }
            looks -= piece.count
            if piece.count < range.count { ranges.append(piece.endIndex..<range.upperBound) }
        }
    }

    private func sortFound() {
        var sort = self.sort ?? SlicedSort(found)
        self.sort = nil
        found = []
        let isAscending = request.order == .ascending
        let isSorted = sort.step(budget: Self.sortedOfTurn) { left, right in
            isAscending ? left.distance < right.distance : left.distance > right.distance
        }
        if isSorted {
            found = sort.elements
            phase = .answering
        } else {
            self.sort = sort
        }
    }

    private var wantedCount: Int { request.count > 0 ? min(request.count, found.count) : found.count }

    private func answer(_ call: CommandCall) -> Bool {
        let count = wantedCount
        let first = done ?? 0
        if done == nil { call.reply.array(count) }
        var budget = TurnBudget(elements: Self.looksOfTurn)
        var answered = AnsweredElements()
        members.withUnsafeBytes { members in
            while first + answered.count < count, budget.isLeft {
                let next = found[first + answered.count]
                let member = UnsafeRawBufferPointer(rebasing: members[next.member])
                write(next, member, to: call.reply)
                answered.add(member.count + AnsweredElements.scoreBytes)
                budget.spend(member.count)
            }
        }
        call.countElementsOut(answered)
        done = first + answered.count
        return done == count
    }

    private func write(_ next: Found, _ member: UnsafeRawBufferPointer, to reply: ReplyWriter) {
        let extras = (request.withDistance ? 1 : 0) + (request.withHash ? 1 : 0) + (request.withPoint ? 1 : 0)
        if extras > 0 { reply.array(extras + 1) }
        reply.bulk(member)
        if request.withDistance { reply.bulk(GeoText.distance(next.distance / request.unit.metres)) }
        if request.withHash { reply.integer(Int64(exactly: next.score.rounded(.towardZero)) ?? .max) }
        if request.withPoint { reply.point(GeoCell(score: next.score).center) }
    }

    private func store(_ call: CommandCall, _ destination: UnsafeRawBufferPointer) throws(MartletError) -> Bool {
        let count = wantedCount
        let builder = self.builder ?? SortedSetBuilder(cache: call.items)
        self.builder = builder
        let first = done ?? 0
        let last = min(count, first + Self.storedOfTurn)
        members.withUnsafeBytes { members in
            for next in found[first..<last] {
                let score = request.storesDistance ? next.distance / request.unit.metres : next.score
                builder.add(score, UnsafeRawBufferPointer(rebasing: members[next.member]))
            }
        }
        done = last
        guard last == count else { return false }
        try builder.commit(to: destination, expiresAt: call.defaultExpiry, now: call.now)
        call.reply.integer(count)
        return true
    }
}
