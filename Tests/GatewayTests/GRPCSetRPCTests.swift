import CacheService
import Foundation
import SwiftProtobuf
import Tenancy
import Testing
import Wire

@testable import Gateway

@Suite struct GRPCSetRPCTests {
    @Test func fetchAndLength() throws {
        #expect(try CollectionRPC.setFetch.command(CollectionRPC.setFetch.sample) == .setFetch)
        #expect(try CollectionRPC.setLength.command(CollectionRPC.setLength.sample) == .setLength)
        let bytes = try CollectionRPC.setFetch.encode(.elements(.of("red", "", "green")))
        #expect(try Scs_SetFetchResponse(serializedBytes: bytes).found.elements == .of("red", "", "green"))
        #expect(
            try CollectionRPC.setFetch.says(Scs_SetFetchResponse.with { $0.missing = .init() }, to: .missing))
        #expect(
            try CollectionRPC.setLength.says(Scs_SetLengthResponse.with { $0.missing = .init() }, to: .missing))
    }

    @Test(arguments: [(0, 0), (300, 300), (UInt64(Int64.max), Int.max), (UInt64.max, Int.max)] as [(UInt64, Int)])
    func theLimitOfASampleIsClamped(limit: UInt64, taken: Int) throws {
        let request = Scs_SetSampleRequest.with {
            $0.setName = .k
            $0.limit = limit
        }
        #expect(try CollectionRPC.setSample.command(request) == .setSample(limit: taken))
        // A set that is there, of which nothing was asked.
        #expect(
            try CollectionRPC.setSample.says(
                Scs_SetSampleResponse.with { $0.found = .init() }, to: .elements(.of())))
        #expect(
            try CollectionRPC.setSample.says(Scs_SetSampleResponse.with { $0.missing = .init() }, to: .missing))
    }

    @Test(arguments: [0, 1, 5, UInt32.max])
    func pop(count: UInt32) throws {
        let request = Scs_SetPopRequest.with {
            $0.setName = .k
            $0.count = count
        }
        #expect(try CollectionRPC.setPop.command(request) == .setPop(count: Int(count)))
        #expect(try CollectionRPC.setPop.says(Scs_SetPopResponse.with { $0.missing = .init() }, to: .missing))
    }

    @Test func unionAdds() throws {
        let ttl = try TTL(milliseconds: 60_000, field: "ttl")
        #expect(
            try CollectionRPC.setUnion.command(CollectionRPC.setUnion.sample)
                == .setUnion(.of("red", ""), CollectionTTL(ttl, refreshes: true)))
        let none = Scs_SetUnionRequest.with {
            $0.setName = .k
            $0.ttlMilliseconds = 60_000
        }
        #expect(
            try CollectionRPC.setUnion.command(none) == .setUnion(.of(), CollectionTTL(ttl, refreshes: false)))
        #expect(try CollectionRPC.setUnion.says(Scs_SetUnionResponse(), to: .done))
    }

    @Test func differenceHasThreeForms() throws {
        #expect(
            try CollectionRPC.setDifference.command(CollectionRPC.setDifference.sample)
                == .setSubtract(.of("red", "green")))
        var request = Scs_SetDifferenceRequest.with { $0.setName = .k }
        #expect(try CollectionRPC.setDifference.refusal(request) == .unset("difference"))
        request.subtrahend = .init()
        #expect(try CollectionRPC.setDifference.refusal(request) == .unset("subtrahend_set"))
        request.subtrahend.identity = .init()
        #expect(try CollectionRPC.setDifference.command(request) == .setRemoveAll)
        request.subtrahend.set = .init()
        #expect(try CollectionRPC.setDifference.command(request) == .setSubtract(.of()))
        request.minuend.elements = .of("red", "")
        #expect(try CollectionRPC.setDifference.command(request) == .setBecomeDifference(of: .of("red", "")))
        #expect(
            try CollectionRPC.setDifference.says(Scs_SetDifferenceResponse.with { $0.found = .init() }, to: .done))
        #expect(
            try CollectionRPC.setDifference.says(
                Scs_SetDifferenceResponse.with { $0.missing = .init() }, to: .missing))
    }

    @Test func contains() throws {
        #expect(
            try CollectionRPC.setContains.command(CollectionRPC.setContains.sample) == .setContains(.of("red", "")))
        let bytes = try CollectionRPC.setContains.encode(.presence([true, false, true]))
        #expect(try Scs_SetContainsResponse(serializedBytes: bytes).found.contains == [true, false, true])
        #expect(
            try CollectionRPC.setContains.says(
                Scs_SetContainsResponse.with { $0.missing = .init() }, to: .missing))
    }
}
