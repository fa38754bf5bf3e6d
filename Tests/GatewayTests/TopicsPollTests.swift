import Access
import CacheService
import Tenancy
import Testing

@testable import Gateway

@Suite struct TopicsPollTests {
    private let stage: TopicStage

    init() throws {
        stage = try TopicStage()
    }

    @Test(arguments: Subscriber.Version.allCases)
    func itWaitsHalfAMinuteAndAnswersWithAnEmptyList(version: Subscriber.Version) throws {
        let subscriber = try Subscriber(stage, .poll, version)
        stage.pass(milliseconds: 29_950)
        #expect(subscriber.take().isEmpty)
        #expect(!subscriber.isEnded)
        stage.pass(milliseconds: 50 + ServiceLane.topicTickMilliseconds)
        #expect(subscriber.take().isEmpty)
        #expect(subscriber.isEnded)
        #expect(subscriber.status == 200)
        #expect(String(decoding: subscriber.body, as: UTF8.self) == "{\"items\":[]}\n")
        #expect(try stage.leftovers() == [])
    }

    @Test func theAnswerSaysWhatItIs() throws {
        let connection = try TestConnection(stage.fixture)
        stage.publish("one")
        connection.request(
            "GET", "/topics/shop/news", ["Authorization: \(stage.fixture.rootKey)", "Origin: https://page.test"])
        let reply = try #require(connection.replies().first)
        #expect(reply.fields["cache-control"] == "no-store")
        #expect(reply.fields["content-type"]?.hasPrefix("application/json") ?? false)
        #expect(reply.fields["access-control-allow-origin"] == "*")
        let page = try #require(Told.first(in: reply.body)?.body["sequence_page"]?.unsignedInteger)
        #expect(
            reply.text
                == "{\"items\":[{\"item\":{\"topic_sequence_number\":1,\"sequence_page\":\(page),\"value\":{\"text\":\"one\"}}}]}\n"
        )
    }

    @Test(arguments: Subscriber.Version.allCases)
    func aBurstInOneReadIsOneAnswer(version: Subscriber.Version) throws {
        let subscriber = try Subscriber(stage, .poll, version)
        stage.publishUnseen((1...20).map { Array("m\($0)".utf8) })
        stage.settle()
        #expect(subscriber.take().compactMap(\.text) == (1...20).map { "m\($0)" })
        #expect(subscriber.isEnded)
    }

    /// Answers that name their last message as the position lose nothing, whatever an answer holds.
    @Test func pollingOnGetsEverythingOnceInAnswersWithinTheirLimit() throws {
        let messages = (1...1024).map { Array("\($0)".utf8) }
        for start in stride(from: 0, to: 1024, by: 64) { stage.publishUnseen(Array(messages[start..<start + 64])) }
        stage.settle()
        let seen = try pollEverything(upTo: 1024)
        #expect(seen.texts == (1...1024).map(String.init))
        #expect(seen.counts.allSatisfy { $0 <= 1000 }, "answers of \(seen.counts)")
    }

    @Test func anAnswerIsAboutAMebibyte() throws {
        let messages = (0..<40).map { [UInt8](repeating: 65 + UInt8($0 % 20), count: 100_000) }
        for message in messages { stage.publishUnseen([message]) }
        stage.settle()
        let seen = try pollEverything(upTo: 40)
        #expect(seen.texts.map(\.count).allSatisfy { $0 == 100_000 })
        #expect(seen.texts.count == 40)
        #expect(seen.bytes.allSatisfy { $0 <= (1 << 20) + 200_000 })
    }

    private func pollEverything(upTo last: UInt64) throws -> (texts: [String], counts: [Int], bytes: [Int]) {
        var texts: [String] = []
        var counts: [Int] = []
        var bytes: [Int] = []
        var next: UInt64 = 1
        while next <= last {
            let poll = try Subscriber(stage, .poll, .http1, query: "?sequence_number=\(next)")
            let items = poll.take()
            let newest = try #require(items.last?.sequence)
            texts += items.compactMap(\.text)
            counts.append(items.count)
            bytes.append(poll.body.count)
            next = newest + 1
        }
        return (texts, counts, bytes)
    }

    @Test func aGapIsToldBeforeTheItemBehindIt() throws {
        for number in 1...1100 { stage.publishUnseen([Array("\(number)".utf8)]) }
        stage.settle()
        let poll = try Subscriber(stage, .poll, .http2, query: "?sequence_number=5")
        let told = poll.take()
        #expect(told.first?.name == "discontinuity")
        #expect(told.first?.body["last_topic_sequence"]?.unsignedInteger == 4)
        #expect(told.first?.body["new_topic_sequence"]?.unsignedInteger == 76)
        #expect(told.dropFirst().first?.sequence == 77)
        #expect(told.count <= 1000)
    }

    @Test(arguments: Subscriber.Version.allCases)
    func aClientThatGoesAwayLeavesNothing(version: Subscriber.Version) throws {
        let subscriber = try Subscriber(stage, .poll, version)
        #expect(try stage.subscriptions() == 1)
        subscriber.vanish()
        #expect(try stage.leftovers() == [])
        stage.publish("one")
        stage.pass(milliseconds: 31_000)
    }

    @Test func aClientThatHasStoppedSendingIsGone() throws {
        let subscriber = try Subscriber(stage, .poll, .http1)
        subscriber.connection.closeInput()
        stage.settle()
        #expect(!subscriber.connection.isOpen)
        #expect(try stage.leftovers() == [])
    }

    /// Whoever sends a body with a GET is not made to be kept in memory for as long as the poll lasts.
    @Test(arguments: [Subscriber.Form.poll, .events])
    func aBodyThatNobodyWantsIsNotKept(form: Subscriber.Form) throws {
        let connection = try TestConnection(stage.fixture)
        let head = HTTP1Text.request(
            "GET", "/topics/shop/news",
            ["Authorization: \(stage.fixture.rootKey)", "Content-Length: \(64 << 20)"]
                + (form == .events ? ["Accept: text/event-stream"] : []))
        connection.send(head)
        let piece = [UInt8](repeating: 120, count: 65_536)
        for _ in 0..<64 { connection.send(piece) }
        #expect(connection.heldBodyBytes <= 1 << 20)
    }
}

extension Told {
    /// The first entry of a long poll's answer.
    static func first(in body: [UInt8]) -> Told? {
        guard let value = try? JSONParser.parse(body, ceiling: body.count), let item = value["items"]?.array?.first
        else { return nil }
        return item.object.map { Told(name: $0[0].name, body: $0[0].value) }
    }
}
