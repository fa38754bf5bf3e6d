import Admission
import Engine
import Tenancy

extension CollectionCommand {
    /// What cannot be right whatever is stored: parameters first, then sizes.
    ///
    /// - Throws: ``MartletError/invalidArgument(field:reason:)`` or ``MartletError/tooLarge(limit:value:)``.
    package func check(_ sizes: SizeLimits) throws(MartletError) {
        try checkCount()
        switch self {
        case .dictionaryFetch, .dictionaryDeleteAll, .dictionaryLength, .setFetch, .setSample, .setRemoveAll,
            .setLength, .setPop, .listPop, .listErase, .listEraseAll, .listRetain, .listFetch, .listLength,
            .sortedSetRemoveAll, .sortedSetLength:
            break
        case .dictionarySet(let fields, let values, _):
            guard fields.count == values.count else { throw Self.uneven }
            try Self.check(fields, sizes)
            try Self.check(values, sizes)
        case .dictionaryGet(let elements), .dictionaryDelete(let elements), .setUnion(let elements, _),
            .setBecomeDifference(let elements), .setSubtract(let elements), .setContains(let elements),
            .listPush(_, let elements, _, _), .sortedSetGetScore(let elements), .sortedSetRemove(let elements):
            try Self.check(elements, sizes)
        case .dictionaryIncrement(let element, _, _), .listRemove(let element), .sortedSetGetRank(let element, _):
            try sizes.checkElement(byteCount: element.count)
        case .sortedSetPut(let members, let scores, _):
            guard members.count == scores.count else { throw Self.uneven }
            try Self.check(scores)
            try Self.check(members, sizes)
        case .sortedSetIncrement(let member, let amount, _):
            guard !amount.isNaN else { throw .invalidArgument(field: "amount", reason: "must be a number") }
            try sizes.checkElement(byteCount: member.count)
        case .sortedSetFetch(let selection, _):
            if case .scores(let range) = selection.bounds { try Self.check(range) }
        case .sortedSetLengthByScore(let range):
            try Self.check(range)
        case .sortedSetUnionStore(let sources, let weights, _, _):
            guard !sources.isEmpty else { throw .invalidArgument(field: "sources", reason: "must not be empty") }
            guard sources.count == weights.count else { throw Self.uneven }
            guard weights.allSatisfy(\.isFinite) else {
                throw .invalidArgument(field: "weight", reason: "must be a finite number")
            }
            try sources.forEach { (source) throws(MartletError) in try sizes.checkKey(byteCount: source.count) }
        case .leaderboard(let command):
            try command.check()
        }
    }

    /// Elements that one call may carry or name: what it does, it does in one piece, while other calls wait.
    package static let mostElements = 16_384
    /// Sets that one union may read.
    package static let mostSources = 256

    private func checkCount() throws(MartletError) {
        let (count, field, most): (Int, String, Int) =
            switch self {
            case .dictionarySet(let elements, _, _): (elements.count, "items", Self.mostElements)
            case .dictionaryGet(let elements), .dictionaryDelete(let elements):
                (elements.count, "fields", Self.mostElements)
            case .setUnion(let elements, _), .setBecomeDifference(let elements), .setSubtract(let elements),
                .setContains(let elements):
                (elements.count, "elements", Self.mostElements)
            case .listPush(_, let elements, _, _), .sortedSetGetScore(let elements), .sortedSetRemove(let elements):
                (elements.count, "values", Self.mostElements)
            case .sortedSetPut(let elements, _, _): (elements.count, "elements", Self.mostElements)
            case .listErase(let ranges): (ranges.count, "ranges", Self.mostElements)
            case .sortedSetUnionStore(let sources, _, _, _): (sources.count, "sources", Self.mostSources)
            default: (0, "", 0)
            }
        guard count <= most else { throw .invalidArgument(field: field, reason: "must be at most \(most)") }
    }

    private static let uneven = MartletError.internalFailure("a command of uneven lists was made")

    private static func check(_ elements: Elements, _ sizes: SizeLimits) throws(MartletError) {
        // Where all of them together are not too large, none is.
        guard elements.byteCount > sizes.elementBytes else { return }
        try elements.forEach { (element) throws(MartletError) in try sizes.checkElement(byteCount: element.count) }
    }

    fileprivate static func check(_ scores: [Double]) throws(MartletError) {
        for score in scores where score.isNaN { throw notANumber }
    }

    fileprivate static func check(_ range: ScoreRange) throws(MartletError) {
        guard !range.minimum.score.isNaN, !range.maximum.score.isNaN else { throw notANumber }
    }

    private static let notANumber = MartletError.invalidArgument(field: "score", reason: "must be a number")
}

extension LeaderboardCommand {
    /// Elements that one call may write, name or be answered.
    package static let mostElements = 8192

    fileprivate func check() throws(MartletError) {
        switch self {
        case .upsert(let ids, let scores, _):
            guard ids.count == scores.count else { throw .internalFailure("a command of uneven lists was made") }
            try Self.check(ids.count, "elements")
            try CollectionCommand.check(scores)
        case .remove(let ids), .rank(let ids, _), .competitionRank(let ids, _):
            try Self.check(ids.count, "ids")
        case .delete, .length:
            break
        case .byRank(let range, _):
            guard !range.isEmpty else {
                throw .invalidArgument(field: "rank_range", reason: "must begin before it ends")
            }
            // From below zero the distance could be too large for a number.
            guard range.lowerBound >= 0, range.count <= Self.mostElements else {
                throw .invalidArgument(field: "rank_range", reason: "must span at most \(Self.mostElements) ranks")
            }
        case .byScore(let range, _, let offset, let limit):
            try CollectionCommand.check(range)
            guard offset >= 0 else { throw .invalidArgument(field: "offset", reason: "must not be negative") }
            guard (0...Self.mostElements).contains(limit) else {
                throw .invalidArgument(field: "limit_elements", reason: "must be at most \(Self.mostElements)")
            }
        }
    }

    private static func check(_ count: Int, _ field: String) throws(MartletError) {
        guard count > 0 else { throw .invalidArgument(field: field, reason: "must not be empty") }
        guard count <= mostElements else {
            throw .invalidArgument(field: field, reason: "must be at most \(mostElements)")
        }
    }
}
