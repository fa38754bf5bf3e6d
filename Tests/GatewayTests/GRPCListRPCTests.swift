import CacheService
import Engine
import Foundation
import SwiftProtobuf
import Tenancy
import Testing
import Wire

@testable import Gateway

@Suite struct GRPCListRPCTests {
    private let ttl: CollectionTTL

    init() throws {
        ttl = CollectionTTL(try TTL(milliseconds: 60_000, field: "ttl"), refreshes: true)
    }

    @Test func pushesAndConcatenationsNameTheirEndAndLimit() throws {
        for rpc: CollectionRPC in [.listPushFront, .listConcatenateFront, .listPushBack, .listConcatenateBack] {
            let isPush = rpc == .listPushFront || rpc == .listPushBack
            let end: ListEnd = rpc == .listPushFront || rpc == .listConcatenateFront ? .front : .back
            let values = isPush ? Elements.of("red") : .of("red", "", "green")
            #expect(try rpc.command(rpc.sample) == .listPush(end, values, limit: 9, ttl))
        }
        let bare = CollectionTTL(ttl.ttl, refreshes: false)
        let push = Scs_ListPushBackRequest.with {
            $0.listName = .k
            $0.ttlMilliseconds = 60_000
            $0.truncateFrontToSize = .max
        }
        #expect(
            try CollectionRPC.listPushBack.command(push)
                == .listPush(.back, .of(""), limit: Int(UInt32.max), bare))
        let none = Scs_ListConcatenateFrontRequest.with {
            $0.listName = .k
            $0.ttlMilliseconds = 60_000
        }
        #expect(
            try CollectionRPC.listConcatenateFront.command(none) == .listPush(.front, .of(), limit: 0, bare))
    }

    @Test func pops() throws {
        #expect(try CollectionRPC.listPopFront.command(CollectionRPC.listPopFront.sample) == .listPop(.front))
        #expect(try CollectionRPC.listPopBack.command(CollectionRPC.listPopBack.sample) == .listPop(.back))
        let front = try CollectionRPC.listPopFront.encode(.element([], length: 0))
        #expect(try Scs_ListPopFrontResponse(serializedBytes: front).list == .found(.init()))
        let back = try CollectionRPC.listPopBack.encode(.element(Array("red".utf8), length: 4))
        let popped = try Scs_ListPopBackResponse(serializedBytes: back)
        #expect(popped.found.back == Data("red".utf8))
        #expect(popped.found.listLength == 4)
        #expect(
            try CollectionRPC.listPopFront.says(
                Scs_ListPopFrontResponse.with { $0.missing = .init() }, to: .missing))
        #expect(
            try CollectionRPC.listPopBack.says(Scs_ListPopBackResponse.with { $0.missing = .init() }, to: .missing))
    }

    @Test func eraseTakesRangesOrAll() throws {
        let most = Int(UInt32.max)
        #expect(
            try CollectionRPC.listErase.command(CollectionRPC.listErase.sample)
                == .listErase([2..<5, most..<2 * most]))
        var request = Scs_ListEraseRequest.with { $0.listName = .k }
        #expect(try CollectionRPC.listErase.refusal(request) == .unset("erase"))
        request.all = .init()
        #expect(try CollectionRPC.listErase.command(request) == .listEraseAll)
        request.some = .init()
        #expect(try CollectionRPC.listErase.command(request) == .listErase([]))
        request.some.ranges = [.init()]
        #expect(try CollectionRPC.listErase.command(request) == .listErase([0..<0]))
        #expect(
            try CollectionRPC.listErase.says(Scs_ListEraseResponse.with { $0.missing = .init() }, to: .missing))
    }

    @Test func removeTakesAValue() throws {
        #expect(
            try CollectionRPC.listRemove.command(CollectionRPC.listRemove.sample)
                == .listRemove(value: Array("red".utf8)))
        var request = Scs_ListRemoveRequest.with { $0.listName = .k }
        #expect(try CollectionRPC.listRemove.refusal(request) == .unset("remove"))
        request.allElementsWithValue = Data()
        #expect(try CollectionRPC.listRemove.command(request) == .listRemove(value: []))
        #expect(
            try CollectionRPC.listRemove.says(Scs_ListRemoveResponse.with { $0.missing = .init() }, to: .missing))
    }

    @Test(arguments: [nil, 0, -1, 5, Int32.min, Int32.max], [nil, 0, -1, 5, Int32.min, Int32.max])
    func slicesKeepTheirSignsAndAreUnboundedWhereNothingIsSet(start: Int32?, end: Int32?) throws {
        var fetch = Scs_ListFetchRequest.with { $0.listName = .k }
        var retain = Scs_ListRetainRequest.with {
            $0.listName = .k
            $0.ttlMilliseconds = 60_000
            $0.refreshTtl = true
        }
        if let start { (fetch.inclusiveStart, retain.inclusiveStart) = (start, start) }
        if let end { (fetch.exclusiveEnd, retain.exclusiveEnd) = (end, end) }
        let bounds: SliceBounds =
            start == nil && end == nil ? .all : .halfOpen(start: start.map { Int($0) }, end: end.map { Int($0) })
        #expect(try CollectionRPC.listFetch.command(fetch) == .listFetch(bounds))
        #expect(try CollectionRPC.listRetain.command(retain) == .listRetain(bounds, ttl))
        // To say that an end is open is the same as to say nothing of it.
        if start == nil { (fetch.unboundedStart, retain.unboundedStart) = (.init(), .init()) }
        if end == nil { (fetch.unboundedEnd, retain.unboundedEnd) = (.init(), .init()) }
        #expect(try CollectionRPC.listFetch.command(fetch) == .listFetch(bounds))
        #expect(try CollectionRPC.listRetain.command(retain) == .listRetain(bounds, ttl))
    }

    @Test func fetchAndLengthReplies() throws {
        #expect(try CollectionRPC.listLength.command(CollectionRPC.listLength.sample) == .listLength)
        let bytes = try CollectionRPC.listFetch.encode(.elements(.of("red", "", "red")))
        #expect(try Scs_ListFetchResponse(serializedBytes: bytes).found.values == .of("red", "", "red"))
        #expect(
            try CollectionRPC.listFetch.says(Scs_ListFetchResponse.with { $0.missing = .init() }, to: .missing))
        #expect(
            try CollectionRPC.listRetain.says(Scs_ListRetainResponse.with { $0.missing = .init() }, to: .missing))
        #expect(
            try CollectionRPC.listLength.says(Scs_ListLengthResponse.with { $0.missing = .init() }, to: .missing))
    }
}
