import Engine
import Tenancy

/// ZREM and its relatives.
extension SortedSetCommands {
    static func remove(_ call: CommandCall) throws(MartletError) {
        let members = call.arguments.slices(from: 2)
        for member in members { call.countElementIn(byteCount: member.count) }
        let removed = try call.items.withItem(call.arguments[1], now: call.now) { (item) throws(MartletError) in
            try item.removeFromSortedSet(members)
        }
        call.reply.integer(removed ?? 0)
    }

    static func removeByRank(_ call: CommandCall) throws(MartletError) {
        try remove(call, try call.rankRange(from: 2, to: 3))
    }

    static func removeByScore(_ call: CommandCall) throws(MartletError) {
        try remove(call, .scores(try call.scoreRange(from: 2, to: 3)))
    }

    static func removeByMember(_ call: CommandCall) throws(MartletError) {
        try remove(call, try call.memberRange(from: 2, to: 3))
    }

    private static func remove(_ call: CommandCall, _ bounds: SortedSetSelection.Bounds) throws(MartletError) {
        let work = RemovalWork(bounds)
        if try work.step(call) { return }
        try call.goOn(with: work)
    }
}

/// Removes a range, a piece under each lock where it is large: between two of them others see it partly done.
final class RemovalWork: CommandWork {
    private static let piece = 500

    private var bounds: SortedSetSelection.Bounds
    /// Nil before the first piece. What comes into the range while it is being removed does not prolong it.
    private var left: Int?
    private var removed = 0

    init(_ bounds: SortedSetSelection.Bounds) {
        self.bounds = bounds
    }

    func step(_ call: CommandCall) throws(MartletError) -> Bool {
        let isDone = try call.items.withItem(call.arguments[1], now: call.now) { (item) throws(MartletError) -> Bool in
            guard let ranks = try item.sortedSetRanks(SortedSetSelection(bounds)) else { return true }
            let wanted = min(left ?? ranks.count, ranks.count)
            if left == nil, ranks.count > Self.piece, ranks.count == (try item.sortedSetCount()) {
                // All of it goes in one piece, whatever its size.
                item.remove()
                removed = ranks.count
                return true
            }
            let piece = ranks.prefix(min(wanted, Self.piece))
            removed += try item.removeFromSortedSet(ranks: piece.startIndex..<piece.endIndex) ?? 0
            left = wanted - piece.count
            if case .ranks = bounds, wanted > piece.count {
                // Ranks that were counted from the end are others now.
                bounds = .ranks(
                    .inclusive(start: ranks.lowerBound, stop: ranks.lowerBound + wanted - piece.count - 1))
            }
            return wanted == piece.count
        }
        if isDone { call.reply.integer(removed) }
        return isDone
    }
}
