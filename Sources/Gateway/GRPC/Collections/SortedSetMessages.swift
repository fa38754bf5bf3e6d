import CacheService
import Engine
import Tenancy
import Wire

// MARK: Writes

extension Scs_SortedSetPutRequest: CollectionRequest {
    func call() throws(MartletError) -> CollectionCall {
        try call("set_name", setName) { () throws(MartletError) in
            let ttl = try ttl(ttlMilliseconds, refreshes: refreshTtl)
            return .sortedSetPut(members: Elements(copying: elements, \.value), scores: elements.map(\.score), ttl)
        }
    }
}

extension Scs_SortedSetRemoveRequest: CollectionRequest {
    func call() throws(MartletError) -> CollectionCall {
        try call("set_name", setName) { () throws(MartletError) in
            guard let removeElements else { throw .missing(field: "remove_elements") }
            return switch removeElements {
            case .some(let some): .sortedSetRemove(members: Elements(copying: some.values))
            case .all: .sortedSetRemoveAll
            }
        }
    }
}

extension Scs_SortedSetIncrementRequest: CollectionRequest {
    func call() throws(MartletError) -> CollectionCall {
        try call("set_name", setName) { () throws(MartletError) in
            .sortedSetIncrement(
                member: Array(value), by: amount, try ttl(ttlMilliseconds, refreshes: refreshTtl))
        }
    }
}

extension Scs_SortedSetUnionStoreRequest: CollectionRequest {
    func call() throws(MartletError) -> CollectionCall {
        try call("set_name", setName) { () throws(MartletError) in
            let function: SortedSetAggregate
            switch aggregate {
            case .sum: function = .sum
            case .min: function = .minimum
            case .max: function = .maximum
            case .UNRECOGNIZED: throw .invalidArgument(field: "aggregate", reason: "must be SUM, MIN or MAX")
            }
            for source in sources where source.setName.isEmpty {
                throw .invalidArgument(field: "set_name", reason: "of a source must not be empty")
            }
            return .sortedSetUnionStore(
                sources: Elements(copying: sources, \.setName), weights: sources.map { Double($0.weight) }, function,
                ttl: try ttl(ttlMilliseconds))
        }
    }
}

// MARK: Reads

extension Scs_SortedSetFetchRequest: CollectionRequest {
    func call() throws(MartletError) -> CollectionCall {
        try call("set_name", setName) { () throws(MartletError) in
            let isReversed = try isDescending(order)
            let selection =
                switch range {
                case .byIndex(let range): SortedSetSelection(.ranks(bounds(range)), isReversed: isReversed)
                case .byScore(let range):
                    SortedSetSelection(
                        .scores(scores(range)), isReversed: isReversed, offset: Int(clamping: range.offset),
                        limit: Int(range.count))
                case nil: SortedSetSelection(.ranks(.all), isReversed: isReversed)
                }
            return .sortedSetFetch(selection, withScores: withScores)
        }
    }

    private func bounds(_ range: _ByIndex) -> SliceBounds {
        let start: Int32? = if case .inclusiveStartIndex(let start) = range.start { start } else { nil }
        let end: Int32? = if case .exclusiveEndIndex(let end) = range.end { end } else { nil }
        return slice(start: start, end: end)
    }

    private func scores(_ range: _ByScore) -> ScoreRange {
        var scores = ScoreRange()
        if case .minScore(let bound) = range.min {
            scores.minimum = ScoreRange.Bound(bound.score, isExclusive: bound.exclusive)
        }
        if case .maxScore(let bound) = range.max {
            scores.maximum = ScoreRange.Bound(bound.score, isExclusive: bound.exclusive)
        }
        return scores
    }
}

extension Scs_SortedSetGetScoreRequest: CollectionRequest {
    func call() throws(MartletError) -> CollectionCall {
        try call("set_name", setName) { .sortedSetGetScore(members: Elements(copying: values)) }
    }
}

extension Scs_SortedSetGetRankRequest: CollectionRequest {
    func call() throws(MartletError) -> CollectionCall {
        try call("set_name", setName) { () throws(MartletError) in
            .sortedSetGetRank(member: Array(value), isReversed: try isDescending(order))
        }
    }
}

extension Scs_SortedSetLengthRequest: CollectionRequest {
    func call() throws(MartletError) -> CollectionCall {
        try call("set_name", setName) { .sortedSetLength }
    }
}

extension Scs_SortedSetLengthByScoreRequest: CollectionRequest {
    func call() throws(MartletError) -> CollectionCall {
        try call("set_name", setName) {
            var scores = ScoreRange()
            switch min {
            case .inclusiveMin(let score): scores.minimum = ScoreRange.Bound(score)
            case .exclusiveMin(let score): scores.minimum = ScoreRange.Bound(score, isExclusive: true)
            case .unboundedMin, nil: break
            }
            switch max {
            case .inclusiveMax(let score): scores.maximum = ScoreRange.Bound(score)
            case .exclusiveMax(let score): scores.maximum = ScoreRange.Bound(score, isExclusive: true)
            case .unboundedMax, nil: break
            }
            return .sortedSetLengthByScore(scores)
        }
    }
}
