import Catalog
import Tenancy
import Testing
import Topics

@testable import CacheService

/// What the topics of a cache retain, under the key of the cache.
@Suite struct TopicSealingTests {
    private func told(_ fixture: Fixture, _ caller: LaneCaller, from sequence: UInt64) throws -> RecordingSink {
        let sink = RecordingSink()
        let position = TopicPosition(sequence: sequence, page: 0)
        let subscription = try fixture.subscribe(sink, as: caller, from: position)
        subscription.cancel()
        return sink
    }

    private func makeStage(seals: Bool) throws -> (Fixture, LaneCaller) {
        let fixture = try Fixture(seals: seals)
        try fixture.makeCache("shop")
        return (fixture, try fixture.remember(try fixture.topicKey().presented, on: fixture.lane))
    }

    @Test(arguments: [true, false])
    func whoComesBackReadsWhatIsRetained(seals: Bool) throws {
        let (fixture, caller) = try makeStage(seals: seals)
        #expect(fixture.service.isSealing == seals)
        for number in 1...3 { try fixture.publish("message \(number)", as: caller) }
        #expect(try told(fixture, caller, from: 2).texts == ["message 2", "message 3"])
        let text = String(repeating: "x", count: 5000)
        try fixture.publish(text, as: caller)
        #expect(try told(fixture, caller, from: 4).texts == [text])
        #expect(fixture.service.topics.checkInvariants() == [])
    }

    @Test(arguments: [true, false])
    func aFlushTakesItAndNumbersGoOn(seals: Bool) throws {
        let (fixture, caller) = try makeStage(seals: seals)
        let keeper = RecordingSink()
        _ = try fixture.subscribe(keeper, as: caller)
        for number in 1...3 { try fixture.publish("\(number)", as: caller) }
        while fixture.lane.drainTopics(atMost: 1000) {}
        let record = try #require(
            fixture.catalog.snapshot.cache(tenant: fixture.service.defaultTenant, name: try CacheName("shop")))
        fixture.service.flush(record.id)
        try fixture.publish("4", as: caller)
        #expect(fixture.service.topics.checkInvariants() == [])
        let returning = try told(fixture, caller, from: 1)
        #expect(returning.texts == ["4"] && returning.sequences == [4])
        #expect(returning.discontinuities.count == 1)
        while fixture.lane.drainTopics(atMost: 1000) {}
        #expect(keeper.texts == ["1", "2", "3", "4"])
    }

    @Test func theNextCacheOfTheNameHasAnotherKeyAndOtherTopics() throws {
        let (fixture, caller) = try makeStage(seals: true)
        try fixture.publish("old", as: caller)
        try fixture.control.deleteCache(CacheName("shop"), caller: fixture.root)
        try fixture.makeCache("shop")
        let again = try fixture.remember(try fixture.topicKey().presented, on: fixture.lane)
        #expect(try told(fixture, again, from: 1).texts == [])
        try fixture.publish("new", as: again)
        #expect(try told(fixture, again, from: 1).texts == ["new"])
    }
}
