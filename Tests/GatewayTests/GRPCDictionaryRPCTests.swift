import CacheService
import Foundation
import SwiftProtobuf
import Tenancy
import Testing
import Wire

@testable import Gateway

@Suite struct GRPCDictionaryRPCTests {
    private let ttl: CollectionTTL

    init() throws {
        ttl = CollectionTTL(try TTL(milliseconds: 60_000, field: "ttl"), refreshes: true)
    }

    @Test func getAsksForTheFieldsInOrder() throws {
        #expect(
            try CollectionRPC.dictionaryGet.command(CollectionRPC.dictionaryGet.sample)
                == .dictionaryGet(fields: .of("red", "", "green")))
        let none = Scs_DictionaryGetRequest.with { $0.dictionaryName = .k }
        #expect(try CollectionRPC.dictionaryGet.command(none) == .dictionaryGet(fields: .of()))
    }

    @Test func aReplyToGetSaysOfEachFieldWhetherItIsThere() throws {
        let bytes = try CollectionRPC.dictionaryGet.encode(
            .values(.of("1", "", ""), isPresent: [true, false, true]))
        let response = try Scs_DictionaryGetResponse(serializedBytes: bytes)
        #expect(response.found.items.map(\.result) == [.hit, .miss, .hit])
        #expect(response.found.items.map(\.cacheBody) == .of("1", "", ""))
        #expect(
            try CollectionRPC.dictionaryGet.says(
                Scs_DictionaryGetResponse.with { $0.missing = .init() }, to: .missing))
        // No fields of a dictionary that is there.
        #expect(
            try CollectionRPC.dictionaryGet.says(
                Scs_DictionaryGetResponse.with { $0.found = .init() }, to: .values(.of(), isPresent: [])))
    }

    @Test func fetch() throws {
        #expect(
            try CollectionRPC.dictionaryFetch.command(CollectionRPC.dictionaryFetch.sample) == .dictionaryFetch)
        let bytes = try CollectionRPC.dictionaryFetch.encode(
            .pairs(fields: .of("red", ""), values: .of("", "2")))
        let response = try Scs_DictionaryFetchResponse(serializedBytes: bytes)
        #expect(response.found.items == [CollectionRPC.pair("red", ""), CollectionRPC.pair("", "2")])
        #expect(
            try CollectionRPC.dictionaryFetch.says(
                Scs_DictionaryFetchResponse.with { $0.missing = .init() }, to: .missing))
    }

    @Test func setPairsFieldsAndValues() throws {
        #expect(
            try CollectionRPC.dictionarySet.command(CollectionRPC.dictionarySet.sample)
                == .dictionarySet(fields: .of("red", "green", ""), values: .of("1", "", "3"), ttl))
        let none = Scs_DictionarySetRequest.with {
            $0.dictionaryName = .k
            $0.ttlMilliseconds = 60_000
        }
        #expect(
            try CollectionRPC.dictionarySet.command(none)
                == .dictionarySet(fields: .of(), values: .of(), CollectionTTL(ttl.ttl, refreshes: false)))
        #expect(try CollectionRPC.dictionarySet.says(Scs_DictionarySetResponse(), to: .done))
    }

    @Test(arguments: [0, 1, -1, Int64.max, Int64.min])
    func increment(amount: Int64) throws {
        let request = Scs_DictionaryIncrementRequest.with {
            $0.dictionaryName = .k
            $0.field = Data("red".utf8)
            $0.amount = amount
            $0.ttlMilliseconds = 60_000
            $0.refreshTtl = true
        }
        #expect(
            try CollectionRPC.dictionaryIncrement.command(request)
                == .dictionaryIncrement(field: Array("red".utf8), by: amount, ttl))
        #expect(
            try CollectionRPC.dictionaryIncrement.says(
                Scs_DictionaryIncrementResponse.with { $0.value = amount }, to: .number(amount)))
    }

    @Test func deleteTakesSomeOrAll() throws {
        #expect(
            try CollectionRPC.dictionaryDelete.command(CollectionRPC.dictionaryDelete.sample)
                == .dictionaryDelete(fields: .of("red", "green")))
        var request = Scs_DictionaryDeleteRequest.with { $0.dictionaryName = .k }
        #expect(try CollectionRPC.dictionaryDelete.refusal(request) == .unset("delete"))
        request.all = .init()
        #expect(try CollectionRPC.dictionaryDelete.command(request) == .dictionaryDeleteAll)
        request.some = .init()
        #expect(try CollectionRPC.dictionaryDelete.command(request) == .dictionaryDelete(fields: .of()))
        #expect(try CollectionRPC.dictionaryDelete.says(Scs_DictionaryDeleteResponse(), to: .done))
    }

    @Test func length() throws {
        #expect(
            try CollectionRPC.dictionaryLength.command(CollectionRPC.dictionaryLength.sample) == .dictionaryLength)
        #expect(
            try CollectionRPC.dictionaryLength.says(
                Scs_DictionaryLengthResponse.with { $0.missing = .init() }, to: .missing))
    }
}
