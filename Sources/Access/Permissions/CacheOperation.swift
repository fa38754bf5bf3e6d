/// Everything that a caller can ask of a cache. A call over several keys (a batch, a union of sets) is its operation on
/// each key, and every key must be allowed.
package enum CacheOperation: CaseIterable, Hashable, Sendable {
    case get, getWithHash, keysExist, itemGetTTL, itemGetType
    case set, delete
    case setIf, setIfHash, deleteIf, increment
    case updateTTLOverwrite, updateTTLConditional

    case dictionaryGet, dictionaryFetch, dictionaryLength
    case dictionarySet, dictionaryDelete, dictionaryIncrement

    case setFetch, setSample, setContains, setLength
    case setUnion, setDifference, setPop

    case listFetch, listLength
    case listPushFront, listPushBack, listConcatenateFront, listConcatenateBack
    case listRemove, listRetain, listErase, listPopFront, listPopBack

    case sortedSetFetch, sortedSetGetScore, sortedSetGetRank, sortedSetLength, sortedSetLengthByScore
    case sortedSetPut, sortedSetRemove, sortedSetIncrement, sortedSetUnionStore

    case leaderboardRead, leaderboardWrite

    case publish, subscribe

    case scan, size, randomKey, flush

    case ping
}

/// What an operation asks of a permission.
package struct OperationRule: Equatable, Sendable {
    /// What a permission must cover.
    package enum Target: Equatable, Sendable {
        /// One item, by its key (for a collection, the collection's name).
        case item
        /// The cache as a whole: no key is named, so only a permission on all items will do.
        case everyItem
        /// One topic, by its name.
        case topic
        /// Nothing: who is identified may.
        case nothing
    }

    /// Any one of these roles is enough.
    package let roles: RoleSet
    package let target: Target
}

extension CacheOperation {
    /// The one table of roles and operations.
    ///
    /// Source: the authorization contract, section 5, in its strict reading: a write whose reply or effect reveals
    /// stored state (a condition, a new value, a length, a popped element) needs read-write.
    package var rule: OperationRule {
        switch self {
        case .get, .getWithHash, .keysExist, .itemGetTTL, .itemGetType,
            .dictionaryGet, .dictionaryFetch, .dictionaryLength,
            .setFetch, .setSample, .setContains, .setLength,
            .listFetch, .listLength,
            .sortedSetFetch, .sortedSetGetScore, .sortedSetGetRank, .sortedSetLength, .sortedSetLengthByScore,
            .leaderboardRead:
            OperationRule(roles: .readers, target: .item)

        case .set, .delete, .updateTTLOverwrite,
            .dictionarySet, .dictionaryDelete,
            .setUnion, .setDifference,
            .sortedSetPut, .sortedSetRemove,
            .leaderboardWrite:
            OperationRule(roles: .writers, target: .item)

        case .setIf, .setIfHash, .deleteIf, .increment, .updateTTLConditional,
            .dictionaryIncrement, .setPop,
            .listPushFront, .listPushBack, .listConcatenateFront, .listConcatenateBack,
            .listRemove, .listRetain, .listErase, .listPopFront, .listPopBack,
            .sortedSetIncrement, .sortedSetUnionStore:
            OperationRule(roles: .both, target: .item)

        case .scan, .size, .randomKey: OperationRule(roles: .readers, target: .everyItem)
        case .flush: OperationRule(roles: .writers, target: .everyItem)

        case .publish: OperationRule(roles: .writers, target: .topic)
        case .subscribe: OperationRule(roles: .readers, target: .topic)

        case .ping: OperationRule(roles: [.readOnly, .writeOnly, .readWrite], target: .nothing)
        }
    }
}
