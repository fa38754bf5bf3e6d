import Access
import CacheService
import Foundation
import NIOCore
import Tenancy
import Wire

/// An rpc that is one operation on one collection: those of the service Scs that are for dictionaries, sets, lists and
/// sorted sets, and all of the service Leaderboard.
///
/// Pure functions, from the bytes of a request to the service's command, and from its reply to the bytes of a response.
/// Who may call, what it costs and whether the cache exists is for the service to say.
enum CollectionRPC: CaseIterable {
    case dictionaryGet, dictionaryFetch, dictionarySet, dictionaryIncrement, dictionaryDelete, dictionaryLength

    case setFetch, setSample, setUnion, setDifference, setContains, setLength, setPop

    case listPushFront, listPushBack, listPopFront, listPopBack, listErase, listRemove, listFetch, listLength
    case listConcatenateFront, listConcatenateBack, listRetain

    case sortedSetPut, sortedSetFetch, sortedSetGetScore, sortedSetRemove, sortedSetIncrement, sortedSetGetRank
    case sortedSetLength, sortedSetLengthByScore, sortedSetUnionStore

    case leaderboardDelete, leaderboardUpsert, leaderboardRemove, leaderboardLength
    case leaderboardByRank, leaderboardRank, leaderboardByScore, leaderboardCompetitionRank
}

/// What a request asks for.
struct CollectionCall: Equatable {
    var key: Data
    var command: CollectionCommand
}

extension CollectionRPC {
    /// Reads the request of this rpc. Fields that are not known are passed over.
    ///
    /// - Throws: ``MartletError/malformed(_:)`` for what is no message;
    ///   ``MartletError/invalidArgument(field:reason:)`` with the name that the field has in the contract.
    func decode(_ message: UnsafeRawBufferPointer) throws(MartletError) -> CollectionCall {
        switch self {
        case .dictionaryGet: try Scs_DictionaryGetRequest.call(from: message)
        case .dictionaryFetch: try Scs_DictionaryFetchRequest.call(from: message)
        case .dictionarySet: try Scs_DictionarySetRequest.call(from: message)
        case .dictionaryIncrement: try Scs_DictionaryIncrementRequest.call(from: message)
        case .dictionaryDelete: try Scs_DictionaryDeleteRequest.call(from: message)
        case .dictionaryLength: try Scs_DictionaryLengthRequest.call(from: message)

        case .setFetch: try Scs_SetFetchRequest.call(from: message)
        case .setSample: try Scs_SetSampleRequest.call(from: message)
        case .setUnion: try Scs_SetUnionRequest.call(from: message)
        case .setDifference: try Scs_SetDifferenceRequest.call(from: message)
        case .setContains: try Scs_SetContainsRequest.call(from: message)
        case .setLength: try Scs_SetLengthRequest.call(from: message)
        case .setPop: try Scs_SetPopRequest.call(from: message)

        case .listPushFront: try Scs_ListPushFrontRequest.call(from: message)
        case .listPushBack: try Scs_ListPushBackRequest.call(from: message)
        case .listPopFront: try Scs_ListPopFrontRequest.call(from: message)
        case .listPopBack: try Scs_ListPopBackRequest.call(from: message)
        case .listErase: try Scs_ListEraseRequest.call(from: message)
        case .listRemove: try Scs_ListRemoveRequest.call(from: message)
        case .listFetch: try Scs_ListFetchRequest.call(from: message)
        case .listLength: try Scs_ListLengthRequest.call(from: message)
        case .listConcatenateFront: try Scs_ListConcatenateFrontRequest.call(from: message)
        case .listConcatenateBack: try Scs_ListConcatenateBackRequest.call(from: message)
        case .listRetain: try Scs_ListRetainRequest.call(from: message)

        case .sortedSetPut: try Scs_SortedSetPutRequest.call(from: message)
        case .sortedSetFetch: try Scs_SortedSetFetchRequest.call(from: message)
        case .sortedSetGetScore: try Scs_SortedSetGetScoreRequest.call(from: message)
        case .sortedSetRemove: try Scs_SortedSetRemoveRequest.call(from: message)
        case .sortedSetIncrement: try Scs_SortedSetIncrementRequest.call(from: message)
        case .sortedSetGetRank: try Scs_SortedSetGetRankRequest.call(from: message)
        case .sortedSetLength: try Scs_SortedSetLengthRequest.call(from: message)
        case .sortedSetLengthByScore: try Scs_SortedSetLengthByScoreRequest.call(from: message)
        case .sortedSetUnionStore: try Scs_SortedSetUnionStoreRequest.call(from: message)

        case .leaderboardDelete: try Leaderboard_DeleteLeaderboardRequest.call(from: message)
        case .leaderboardUpsert: try Leaderboard_UpsertElementsRequest.call(from: message)
        case .leaderboardRemove: try Leaderboard_RemoveElementsRequest.call(from: message)
        case .leaderboardLength: try Leaderboard_GetLeaderboardLengthRequest.call(from: message)
        case .leaderboardByRank: try Leaderboard_GetByRankRequest.call(from: message)
        case .leaderboardRank: try Leaderboard_GetRankRequest.call(from: message)
        case .leaderboardByScore: try Leaderboard_GetByScoreRequest.call(from: message)
        case .leaderboardCompetitionRank: try Leaderboard_GetCompetitionRankRequest.call(from: message)
        }
    }

    /// Appends the response of this rpc that says `reply`. Nothing is written if it throws.
    ///
    /// - Throws: ``MartletError/internalFailure(_:)`` for a reply that the response has no place for.
    func encode(_ reply: CollectionReply, into buffer: inout ByteBuffer) throws(MartletError) {
        try row.response.encode(reply, into: &buffer)
    }

    /// What the caller must be allowed on the key, as far as the method alone tells it. The command may ask for another
    /// operation, to which the same rule applies: a concatenation of one value is a push.
    var operation: CacheOperation { row.operation }

    /// The `:path` of the request.
    var path: StaticString { row.path }

    /// What the fault injection of local testing calls this rpc; empty where it has no name for it.
    var faultName: StaticString { row.faultName }
}
