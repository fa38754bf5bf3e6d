import Access

extension CollectionRPC {
    /// What is known of an rpc before its request is read.
    struct Row {
        let path: StaticString
        let faultName: StaticString
        let operation: CacheOperation
        let response: CollectionResponse

        init(
            _ path: StaticString, _ faultName: StaticString, _ operation: CacheOperation, _ response: CollectionResponse
        ) {
            self.path = path
            self.faultName = faultName
            self.operation = operation
            self.response = response
        }
    }

    /// The one table of these rpcs.
    var row: Row {
        switch self {
        case .dictionaryGet: Row("/cache_client.Scs/DictionaryGet", "dictionary-get", .dictionaryGet, .values)
        case .dictionaryFetch: Row("/cache_client.Scs/DictionaryFetch", "dictionary-fetch", .dictionaryFetch, .pairs)
        case .dictionarySet: Row("/cache_client.Scs/DictionarySet", "dictionary-set", .dictionarySet, .nothing)
        case .dictionaryIncrement:
            Row("/cache_client.Scs/DictionaryIncrement", "dictionary-increment", .dictionaryIncrement, .number)
        case .dictionaryDelete:
            Row("/cache_client.Scs/DictionaryDelete", "dictionary-delete", .dictionaryDelete, .nothing)
        case .dictionaryLength:
            Row("/cache_client.Scs/DictionaryLength", "dictionary-length", .dictionaryLength, .foundLength)

        case .setFetch: Row("/cache_client.Scs/SetFetch", "set-fetch", .setFetch, .elements)
        case .setSample: Row("/cache_client.Scs/SetSample", "set-sample", .setSample, .elements)
        case .setUnion: Row("/cache_client.Scs/SetUnion", "set-union", .setUnion, .nothing)
        case .setDifference: Row("/cache_client.Scs/SetDifference", "set-difference", .setDifference, .found)
        case .setContains: Row("/cache_client.Scs/SetContains", "set-contains", .setContains, .presence)
        case .setLength: Row("/cache_client.Scs/SetLength", "set-length", .setLength, .foundLength)
        case .setPop: Row("/cache_client.Scs/SetPop", "set-pop", .setPop, .elements)

        case .listPushFront: Row("/cache_client.Scs/ListPushFront", "list-push-front", .listPushFront, .length)
        case .listPushBack: Row("/cache_client.Scs/ListPushBack", "list-push-back", .listPushBack, .length)
        case .listPopFront: Row("/cache_client.Scs/ListPopFront", "list-pop-front", .listPopFront, .popped)
        case .listPopBack: Row("/cache_client.Scs/ListPopBack", "list-pop-back", .listPopBack, .popped)
        // The name is that of its neighbour, and so it is in every SDK.
        case .listErase: Row("/cache_client.Scs/ListErase", "list-remove", .listErase, .foundLength)
        case .listRemove: Row("/cache_client.Scs/ListRemove", "list-remove", .listRemove, .foundLength)
        case .listFetch: Row("/cache_client.Scs/ListFetch", "list-fetch", .listFetch, .elements)
        case .listLength: Row("/cache_client.Scs/ListLength", "list-length", .listLength, .foundLength)
        case .listConcatenateFront:
            Row("/cache_client.Scs/ListConcatenateFront", "list-concatenate-front", .listConcatenateFront, .length)
        case .listConcatenateBack:
            Row("/cache_client.Scs/ListConcatenateBack", "list-concatenate-back", .listConcatenateBack, .length)
        case .listRetain: Row("/cache_client.Scs/ListRetain", "list-retain", .listRetain, .foundLength)

        case .sortedSetPut: Row("/cache_client.Scs/SortedSetPut", "sorted-set-put", .sortedSetPut, .nothing)
        case .sortedSetFetch: Row("/cache_client.Scs/SortedSetFetch", "sorted-set-fetch", .sortedSetFetch, .selection)
        case .sortedSetGetScore:
            Row("/cache_client.Scs/SortedSetGetScore", "sorted-set-get-score", .sortedSetGetScore, .scores)
        case .sortedSetRemove:
            Row("/cache_client.Scs/SortedSetRemove", "sorted-set-remove", .sortedSetRemove, .nothing)
        case .sortedSetIncrement:
            Row("/cache_client.Scs/SortedSetIncrement", "sorted-set-increment", .sortedSetIncrement, .score)
        case .sortedSetGetRank:
            Row("/cache_client.Scs/SortedSetGetRank", "sorted-set-get-rank", .sortedSetGetRank, .rank)
        case .sortedSetLength:
            Row("/cache_client.Scs/SortedSetLength", "sorted-set-length", .sortedSetLength, .foundLength)
        case .sortedSetLengthByScore:
            Row(
                "/cache_client.Scs/SortedSetLengthByScore", "sorted-set-length-by-score", .sortedSetLengthByScore,
                .foundLength)
        case .sortedSetUnionStore: Row("/cache_client.Scs/SortedSetUnionStore", "", .sortedSetUnionStore, .length)

        case .leaderboardDelete: Row("/leaderboard.Leaderboard/DeleteLeaderboard", "", .leaderboardWrite, .nothing)
        case .leaderboardUpsert: Row("/leaderboard.Leaderboard/UpsertElements", "", .leaderboardWrite, .nothing)
        case .leaderboardRemove: Row("/leaderboard.Leaderboard/RemoveElements", "", .leaderboardWrite, .nothing)
        case .leaderboardLength: Row("/leaderboard.Leaderboard/GetLeaderboardLength", "", .leaderboardRead, .length)
        case .leaderboardByRank: Row("/leaderboard.Leaderboard/GetByRank", "", .leaderboardRead, .ranked)
        case .leaderboardRank: Row("/leaderboard.Leaderboard/GetRank", "", .leaderboardRead, .ranked)
        case .leaderboardByScore: Row("/leaderboard.Leaderboard/GetByScore", "", .leaderboardRead, .ranked)
        case .leaderboardCompetitionRank:
            Row("/leaderboard.Leaderboard/GetCompetitionRank", "", .leaderboardRead, .ranked)
        }
    }
}
