import CacheService
import Tenancy
import Testing

@testable import Gateway

@Suite struct TopicsHeartbeatTests {
    /// When something came, in milliseconds after the beginning.
    private func times(of subscriber: Subscriber, _ stage: TopicStage, milliseconds: Int64) -> [Int64] {
        let start = stage.now
        var times: [Int64] = []
        while stage.now - start < milliseconds {
            stage.pass(milliseconds: 50)
            if !subscriber.take().isEmpty { times.append(stage.now - start) }
        }
        return times
    }

    private static let continuous: [Subscriber.Form] = [.webSocket, .stream, .events]

    @Test(arguments: continuous, Subscriber.Version.allCases)
    func theFirstThingToldIsAHeartbeat(form: Subscriber.Form, version: Subscriber.Version) throws {
        let stage = try TopicStage()
        stage.publish("one")
        let subscriber = try Subscriber(stage, form, version)
        let names = subscriber.take().map(\.name)
        #expect(names == (form == .stream ? ["heartbeat", "subscribed", "item"] : ["heartbeat", "item"]))
    }

    @Test(arguments: continuous, Subscriber.Version.allCases)
    func aSilentStreamIsAliveAtLeastEveryTenSeconds(form: Subscriber.Form, version: Subscriber.Version) throws {
        let stage = try TopicStage()
        for offset: Int64 in [0, 130, 3700] {
            stage.pass(milliseconds: offset)
            let subscriber = try Subscriber(stage, form, version)
            _ = subscriber.take()
            let times = times(of: subscriber, stage, milliseconds: 45_000)
            let gaps = zip(times, [0] + times).map { $0 - $1 }
            #expect(gaps.allSatisfy { $0 <= 10_000 }, "\(gaps)")
            #expect(gaps.dropFirst().allSatisfy { $0 >= 8000 }, "\(gaps)")
            subscriber.vanish()
        }
    }

    /// The socket's own heartbeats, where nothing is subscribed, and those of subscriptions, taken together.
    @Test(arguments: Subscriber.Version.allCases)
    func aSocketWithoutSubscriptionsIsAliveToo(version: Subscriber.Version) throws {
        let stage = try TopicStage()
        stage.pass(milliseconds: 130)
        let subscriber = try Subscriber(stage, .stream, version)
        subscriber.send("{\"unsubscribe\":{\"id\":\"a\"}}")
        #expect(subscriber.take().map(\.name) == ["heartbeat", "subscribed", "unsubscribed"])
        let times = times(of: subscriber, stage, milliseconds: 45_000)
        let gaps = zip(times, [0] + times).map { $0 - $1 }
        #expect(gaps.allSatisfy { $0 <= 10_000 }, "\(gaps)")
        #expect(subscriber.told.filter { $0.name == "heartbeat" }.allSatisfy { $0.id == nil })
    }

    @Test(arguments: continuous)
    func theCadenceIsTheOneConfigured(form: Subscriber.Form) throws {
        for milliseconds: Int64 in [250, 1000, 2500, 60_000] {
            let stage = try TopicStage(heartbeatMilliseconds: milliseconds)
            let subscriber = try Subscriber(stage, form, .http1)
            _ = subscriber.take()
            let times = times(of: subscriber, stage, milliseconds: milliseconds * 4)
            #expect((4...8).contains(times.count), "\(times)")
            #expect(zip(times, [0] + times).allSatisfy { $0 - $1 <= milliseconds }, "\(times)")
        }
    }

    @Test func aThousandSubscriptionsAreNotToldInOneMoment() throws {
        let stage = try TopicStage()
        let subscriber = try Subscriber(stage, .stream, .http1)
        for number in 0..<1000 {
            subscriber.send("{\"subscribe\":{\"id\":\"\(number)\",\"cache\":\"shop\",\"topic\":\"t\(number % 7)\"}}")
        }
        _ = subscriber.take()
        var counts: [Int] = []
        var told: Set<String?> = []
        for _ in 0..<40 {
            stage.pass(milliseconds: 250, step: 250)
            let heartbeats = subscriber.take()
            counts.append(heartbeats.count)
            told.formUnion(heartbeats.map(\.id))
        }
        #expect(told.count == 1001)
        #expect(counts.allSatisfy { $0 < 60 }, "\(counts)")
    }
}
