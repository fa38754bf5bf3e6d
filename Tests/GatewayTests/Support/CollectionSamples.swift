import Foundation
import SwiftProtobuf
import Wire

@testable import Gateway

extension CollectionRPC {
    /// A request that is taken, with every field set.
    var sample: any Message {
        switch self {
        case .dictionaryGet:
            Scs_DictionaryGetRequest.with {
                $0.dictionaryName = .k
                $0.fields = .of("red", "", "green")
            }
        case .dictionaryFetch: Scs_DictionaryFetchRequest.with { $0.dictionaryName = .k }
        case .dictionarySet:
            Scs_DictionarySetRequest.with {
                $0.dictionaryName = .k
                $0.items = [Self.pair("red", "1"), Self.pair("green", ""), Self.pair("", "3")]
                $0.ttlMilliseconds = 60_000
                $0.refreshTtl = true
            }
        case .dictionaryIncrement:
            Scs_DictionaryIncrementRequest.with {
                $0.dictionaryName = .k
                $0.field = Data("red".utf8)
                $0.amount = -3
                $0.ttlMilliseconds = 60_000
                $0.refreshTtl = true
            }
        case .dictionaryDelete:
            Scs_DictionaryDeleteRequest.with {
                $0.dictionaryName = .k
                $0.some.fields = .of("red", "green")
            }
        case .dictionaryLength: Scs_DictionaryLengthRequest.with { $0.dictionaryName = .k }
        case .setFetch: Scs_SetFetchRequest.with { $0.setName = .k }
        case .setSample:
            Scs_SetSampleRequest.with {
                $0.setName = .k
                $0.limit = 300
            }
        case .setUnion:
            Scs_SetUnionRequest.with {
                $0.setName = .k
                $0.elements = .of("red", "")
                $0.ttlMilliseconds = 60_000
                $0.refreshTtl = true
            }
        case .setDifference:
            Scs_SetDifferenceRequest.with {
                $0.setName = .k
                $0.subtrahend.set.elements = .of("red", "green")
            }
        case .setContains:
            Scs_SetContainsRequest.with {
                $0.setName = .k
                $0.elements = .of("red", "")
            }
        case .setLength: Scs_SetLengthRequest.with { $0.setName = .k }
        case .setPop:
            Scs_SetPopRequest.with {
                $0.setName = .k
                $0.count = 5
            }
        case .listPushFront, .listPushBack, .listPopFront, .listPopBack, .listErase, .listRemove, .listFetch,
            .listLength, .listConcatenateFront, .listConcatenateBack, .listRetain:
            listSample
        case .sortedSetPut, .sortedSetFetch, .sortedSetGetScore, .sortedSetRemove, .sortedSetIncrement,
            .sortedSetGetRank, .sortedSetLength, .sortedSetLengthByScore, .sortedSetUnionStore:
            sortedSetSample
        case .leaderboardDelete, .leaderboardUpsert, .leaderboardRemove, .leaderboardLength, .leaderboardByRank,
            .leaderboardRank, .leaderboardByScore, .leaderboardCompetitionRank:
            leaderboardSample
        }
    }

    private var listSample: any Message {
        switch self {
        case .listPushFront:
            Scs_ListPushFrontRequest.with {
                $0.listName = .k
                $0.value = Data("red".utf8)
                $0.ttlMilliseconds = 60_000
                $0.refreshTtl = true
                $0.truncateBackToSize = 9
            }
        case .listPushBack:
            Scs_ListPushBackRequest.with {
                $0.listName = .k
                $0.value = Data("red".utf8)
                $0.ttlMilliseconds = 60_000
                $0.refreshTtl = true
                $0.truncateFrontToSize = 9
            }
        case .listConcatenateFront:
            Scs_ListConcatenateFrontRequest.with {
                $0.listName = .k
                $0.values = .of("red", "", "green")
                $0.ttlMilliseconds = 60_000
                $0.refreshTtl = true
                $0.truncateBackToSize = 9
            }
        case .listConcatenateBack:
            Scs_ListConcatenateBackRequest.with {
                $0.listName = .k
                $0.values = .of("red", "", "green")
                $0.ttlMilliseconds = 60_000
                $0.refreshTtl = true
                $0.truncateFrontToSize = 9
            }
        case .listPopFront: Scs_ListPopFrontRequest.with { $0.listName = .k }
        case .listPopBack: Scs_ListPopBackRequest.with { $0.listName = .k }
        case .listErase:
            Scs_ListEraseRequest.with {
                $0.listName = .k
                $0.some.ranges = [
                    .with {
                        $0.beginIndex = 2
                        $0.count = 3
                    },
                    .with {
                        $0.beginIndex = .max
                        $0.count = .max
                    },
                ]
            }
        case .listRemove:
            Scs_ListRemoveRequest.with {
                $0.listName = .k
                $0.allElementsWithValue = Data("red".utf8)
            }
        case .listFetch:
            Scs_ListFetchRequest.with {
                $0.listName = .k
                $0.inclusiveStart = -7
                $0.exclusiveEnd = 12
            }
        case .listRetain:
            Scs_ListRetainRequest.with {
                $0.listName = .k
                $0.inclusiveStart = -7
                $0.exclusiveEnd = 12
                $0.ttlMilliseconds = 60_000
                $0.refreshTtl = true
            }
        default: Scs_ListLengthRequest.with { $0.listName = .k }
        }
    }

    private var sortedSetSample: any Message {
        switch self {
        case .sortedSetPut:
            Scs_SortedSetPutRequest.with {
                $0.setName = .k
                $0.elements = [Self.scored("red", 1.5), Self.scored("", -2), Self.scored("green", 0)]
                $0.ttlMilliseconds = 60_000
                $0.refreshTtl = true
            }
        case .sortedSetFetch:
            Scs_SortedSetFetchRequest.with {
                $0.setName = .k
                $0.order = .descending
                $0.withScores = true
                $0.byScore.minScore.score = 1
                $0.byScore.minScore.exclusive = true
                $0.byScore.maxScore.score = 9
                $0.byScore.offset = 4
                $0.byScore.count = -1
            }
        case .sortedSetGetScore:
            Scs_SortedSetGetScoreRequest.with {
                $0.setName = .k
                $0.values = .of("red", "")
            }
        case .sortedSetRemove:
            Scs_SortedSetRemoveRequest.with {
                $0.setName = .k
                $0.some.values = .of("red", "green")
            }
        case .sortedSetIncrement:
            Scs_SortedSetIncrementRequest.with {
                $0.setName = .k
                $0.value = Data("red".utf8)
                $0.amount = -0.5
                $0.ttlMilliseconds = 60_000
                $0.refreshTtl = true
            }
        case .sortedSetGetRank:
            Scs_SortedSetGetRankRequest.with {
                $0.setName = .k
                $0.value = Data("red".utf8)
                $0.order = .descending
            }
        case .sortedSetLengthByScore:
            Scs_SortedSetLengthByScoreRequest.with {
                $0.setName = .k
                $0.exclusiveMin = 1
                $0.inclusiveMax = 9
            }
        case .sortedSetUnionStore:
            Scs_SortedSetUnionStoreRequest.with {
                $0.setName = .k
                $0.sources = [Self.source("a", 1), Self.source("b", -0.5)]
                $0.aggregate = .max
                $0.ttlMilliseconds = 60_000
            }
        default: Scs_SortedSetLengthRequest.with { $0.setName = .k }
        }
    }

    private var leaderboardSample: any Message {
        switch self {
        case .leaderboardUpsert:
            Leaderboard_UpsertElementsRequest.with {
                $0.leaderboard = "k"
                $0.elements = [
                    .with {
                        $0.id = 7
                        $0.score = 1.5
                    },
                    .with {
                        $0.id = .max
                        $0.score = -2
                    },
                ]
            }
        case .leaderboardRemove:
            Leaderboard_RemoveElementsRequest.with {
                $0.leaderboard = "k"
                $0.ids = [7, 0, .max]
            }
        case .leaderboardLength: Leaderboard_GetLeaderboardLengthRequest.with { $0.leaderboard = "k" }
        case .leaderboardByRank:
            Leaderboard_GetByRankRequest.with {
                $0.leaderboard = "k"
                $0.rankRange.startInclusive = 3
                $0.rankRange.endExclusive = 10
                $0.order = .descending
            }
        case .leaderboardRank:
            Leaderboard_GetRankRequest.with {
                $0.leaderboard = "k"
                $0.ids = [7, 0]
                $0.order = .descending
            }
        case .leaderboardByScore:
            Leaderboard_GetByScoreRequest.with {
                $0.leaderboard = "k"
                $0.scoreRange.minInclusive = 1
                $0.scoreRange.maxExclusive = 9
                $0.offset = 4
                $0.limitElements = 100
                $0.order = .descending
            }
        case .leaderboardCompetitionRank:
            Leaderboard_GetCompetitionRankRequest.with {
                $0.leaderboard = "k"
                $0.ids = [7, 0]
                $0.order = .ascending
            }
        default: Leaderboard_DeleteLeaderboardRequest.with { $0.leaderboard = "k" }
        }
    }

    static func pair(_ field: String, _ value: String) -> Scs_DictionaryFieldValuePair {
        .with {
            $0.field = Data(field.utf8)
            $0.value = Data(value.utf8)
        }
    }

    static func scored(_ value: String, _ score: Double) -> Scs_SortedSetElement {
        .with {
            $0.value = Data(value.utf8)
            $0.score = score
        }
    }

    static func source(_ name: String, _ weight: Float) -> Scs_SortedSetUnionStoreRequest._Source {
        .with {
            $0.setName = Data(name.utf8)
            $0.weight = weight
        }
    }
}
