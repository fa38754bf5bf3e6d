import Access
import Engine

extension CollectionCommand {
    /// What the caller must be allowed on the key, and on each of ``otherKeys``.
    package var operation: CacheOperation {
        switch self {
        case .dictionaryGet: .dictionaryGet
        case .dictionaryFetch: .dictionaryFetch
        case .dictionarySet: .dictionarySet
        case .dictionaryIncrement: .dictionaryIncrement
        case .dictionaryDelete, .dictionaryDeleteAll: .dictionaryDelete
        case .dictionaryLength: .dictionaryLength
        case .setFetch: .setFetch
        case .setSample: .setSample
        case .setUnion: .setUnion
        case .setBecomeDifference, .setSubtract, .setRemoveAll: .setDifference
        case .setContains: .setContains
        case .setLength: .setLength
        case .setPop: .setPop
        case .listPush(.front, let values, _, _): values.count == 1 ? .listPushFront : .listConcatenateFront
        case .listPush(.back, let values, _, _): values.count == 1 ? .listPushBack : .listConcatenateBack
        case .listPop(.front): .listPopFront
        case .listPop(.back): .listPopBack
        case .listErase, .listEraseAll: .listErase
        case .listRemove: .listRemove
        case .listRetain: .listRetain
        case .listFetch: .listFetch
        case .listLength: .listLength
        case .sortedSetPut: .sortedSetPut
        case .sortedSetFetch: .sortedSetFetch
        case .sortedSetGetScore: .sortedSetGetScore
        case .sortedSetRemove, .sortedSetRemoveAll: .sortedSetRemove
        case .sortedSetIncrement: .sortedSetIncrement
        case .sortedSetGetRank: .sortedSetGetRank
        case .sortedSetLength: .sortedSetLength
        case .sortedSetLengthByScore: .sortedSetLengthByScore
        case .sortedSetUnionStore: .sortedSetUnionStore
        case .leaderboard(let command):
            switch command {
            case .upsert, .remove, .delete: .leaderboardWrite
            case .length, .byRank, .rank, .byScore, .competitionRank: .leaderboardRead
            }
        }
    }

    /// Keys that the command reads beside the one that it is for.
    package var otherKeys: Elements? {
        if case .sortedSetUnionStore(let sources, _, _, _) = self { sources } else { nil }
    }
}
