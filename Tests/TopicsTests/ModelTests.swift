import Tenancy
import Testing
import Topics

/// What a topic ought to be: numbers, what is retained, and what each lane has yet to fetch.
private struct TopicModel {
    struct Message {
        let sequence: UInt64
        let text: String
        let publishedAt: Timestamp
    }

    let page: UInt64
    var log: [Message] = []
    var retained: [Message] = []
    var pending: [Int: [Message]] = [:]
    var usedAt: Timestamp

    var last: UInt64 { UInt64(log.count) }

    mutating func expire(_ limits: TopicLimits, now: Timestamp) {
        retained.removeAll { $0.publishedAt.adding(milliseconds: limits.retentionMilliseconds) <= now }
    }
}

/// One subscriber, what it ought to be told and what it is told.
private struct Member {
    let space: Int
    let name: String
    let lane: Int
    let receiver: Receiver
    let subscription: TopicSubscription
    var isStarted = false
    /// What the model says that it wants.
    var next: UInt64
    var gapLast: UInt64?
    var wantsNewest: Bool
    var isLive = true
}

/// Random operations on several spaces and lanes of one hub, beside a model that knows no rings and no lists.
private struct Run {
    let seed: UInt64
    var random: SeededGenerator
    var limits = TopicLimits()
    let hub: TopicHub
    var spaces: [TopicSpace] = []
    var told: [Counter] = []
    let wakes = [Counter(), Counter(), Counter()]
    var lanes: [TopicLane] = []
    var models: [[String: TopicModel]] = []
    var members: [Member] = []
    var now = start
    var step = 0

    init(seed: UInt64) {
        self.seed = seed
        random = SeededGenerator(seed: seed)
        limits.messagesPerTopic = 6
        limits.retentionMilliseconds = 1000
        limits.idleMilliseconds = 3000
        hub = TopicHub(limits: limits)
        lanes = wakes.map { wakes in TopicLane(heartbeatTicks: 3) { wakes.add() } }
        for number in 0..<3 {
            told.append(Counter())
            models.append([:])
            spaces.append(open(number))
        }
    }

    func open(_ number: Int) -> TopicSpace {
        let told = told[number]
        // One of them retains in clear.
        let sealer = number == 0 ? nil : TestSealer()
        return hub.openSpace(CacheID(rawValue: UInt64(number)), maxBytes: nil, sealer: sealer) { told.set($0) }
    }

    var place: Comment { "seed \(seed), step \(step)" }

    mutating func pick<T>(_ choices: [T]) -> T {
        choices[Int.random(in: 0..<choices.count, using: &random)]
    }

    mutating func randomPlace() -> (space: Int, name: String) {
        (Int.random(in: 0..<3, using: &random), pick(["a", "b", "c", "a longer name of a topic"]))
    }

    func isFollowed(_ space: Int, _ name: String) -> Bool {
        members.contains { $0.isLive && $0.space == space && $0.name == name }
    }

    /// The topic as whoever publishes or subscribes finds it; `page` is what it got if it is new.
    mutating func withTopic<T>(_ space: Int, _ name: String, page: UInt64, _ body: (inout TopicModel) -> T) -> T {
        var model = models[space][name] ?? TopicModel(page: page, usedAt: now)
        #expect(model.page == page, place)
        model.usedAt = now
        model.expire(limits, now: now)
        let result = body(&model)
        models[space][name] = model
        return result
    }

    // MARK: Operations

    mutating func publish() throws {
        let (space, name) = randomPlace()
        let text = String(repeating: "x", count: pick([0, 1, 20, 300])) + "\(step)"
        let position = try spaces[space].publish(text, to: name, now: now)
        let lanes = Set(members.filter { $0.isLive && $0.space == space && $0.name == name }.map(\.lane))
        let (time, most) = (now, limits.messagesPerTopic)
        let last = withTopic(space, name, page: position.page) { model in
            let message = TopicModel.Message(sequence: model.last + 1, text: text, publishedAt: time)
            model.log.append(message)
            model.retained.append(message)
            if model.retained.count > most { model.retained.removeFirst() }
            for lane in lanes { model.pending[lane, default: []].append(message) }
            return model.last
        }
        #expect(position.sequence == last, place)
    }

    mutating func subscribe() throws {
        let (space, name) = randomPlace()
        let lane = Int.random(in: 0..<lanes.count, using: &random)
        let known = models[space][name]
        let last = known?.last ?? 0
        let sequence = pick([0, 0, 1, last, last + 1, last + 2, last > 4 ? last - 4 : 3, UInt64.max])
        let page = pick([0, known?.page ?? 0, known?.page ?? 0, 7])
        let receiver = Receiver()
        let position = TopicPosition(sequence: sequence, page: page)
        let subscription = try lanes[lane].subscribe(
            to: topic(name), in: spaces[space], from: position, now: now, as: receiver)
        let topicPage = subscription.position.page
        let (next, gapLast, wantsNewest) = withTopic(space, name, page: topicPage) {
            model -> (UInt64, UInt64?, Bool) in
            if sequence > 0, page == 0 || page == model.page, sequence <= model.last + 1 {
                return (sequence, nil, false)
            }
            return (model.last + 1, sequence > 0 ? sequence - 1 : nil, model.retained.last?.sequence == model.last)
        }
        #expect(subscription.position.sequence == next, place)
        members.append(
            Member(
                space: space, name: name, lane: lane, receiver: receiver, subscription: subscription, next: next,
                gapLast: gapLast, wantsNewest: wantsNewest))
        if Int.random(in: 0..<4, using: &random) > 0 { try resume(members.count - 1) }
    }

    /// The model's half of bringing one subscriber up.
    mutating func catchUp(_ number: Int) -> [Event] {
        let member = members[number]
        guard member.isLive, member.isStarted, member.receiver.isReady,
            var model = models[member.space][member.name]
        else { return [] }
        model.expire(limits, now: now)
        models[member.space][member.name] = model
        let pending = model.pending[member.lane] ?? []
        let there = Set((model.retained + pending).map(\.sequence))
        var next = member.next
        if member.wantsNewest, model.retained.contains(where: { $0.sequence == next - 1 }) { next -= 1 }
        members[number].wantsNewest = false
        var gapLast = member.gapLast
        if next <= model.last, !there.contains(next) {
            gapLast = gapLast ?? next - 1
            while next <= model.last, !there.contains(next) { next += 1 }
        }
        var events: [Event] = []
        if let gapLast { events.append(.discontinuity(last: gapLast, new: next - 1, page: model.page)) }
        while next <= model.last {
            #expect(there.contains(next), "what is there has no gap: \(place)")
            events.append(.item(next, model.log[Int(next) - 1].text))
            next += 1
        }
        members[number].gapLast = nil
        members[number].next = next
        return events
    }

    mutating func resume(_ number: Int) throws {
        lanes[members[number].lane].resume(members[number].subscription, now: now)
        if members[number].isLive { members[number].isStarted = true }
        #expect(members[number].receiver.take() == catchUp(number), place)
    }

    mutating func cancel(_ number: Int) {
        // A lane knows the time from its other calls.
        lanes[members[number].lane].heartbeat(now: now)
        lanes[members[number].lane].cancel(members[number].subscription)
        let member = members[number]
        guard member.isLive else { return }
        members[number].isLive = false
        let isLast = !members.contains {
            $0.isLive && $0.space == member.space && $0.name == member.name && $0.lane == member.lane
        }
        guard isLast, models[member.space][member.name] != nil else { return }
        models[member.space][member.name]?.pending[member.lane] = nil
        guard !isFollowed(member.space, member.name) else { return }
        models[member.space][member.name]?.usedAt = now
    }

    mutating func drain(_ lane: Int) {
        let waits = models.contains { $0.values.contains { !($0.pending[lane] ?? []).isEmpty } }
        if waits { #expect(wakes[lane].value > 0, "the lane was not woken: \(place)") }
        lanes[lane].drainAll(now: now, atMost: pick([1, 2, 5, 1000]))
        wakes[lane].set(0)
        for number in members.indices where members[number].lane == lane {
            let member = members[number]
            let pending = models[member.space][member.name]?.pending[lane] ?? []
            let expected = pending.isEmpty ? [] : catchUp(number)
            #expect(members[number].receiver.take() == expected, place)
        }
        for space in models.indices {
            for name in models[space].keys { models[space][name]?.pending[lane] = nil }
        }
    }

    mutating func tick() {
        hub.tick(now: now)
        for space in models.indices {
            for (name, var model) in models[space] {
                model.expire(limits, now: now)
                let isIdle = model.usedAt.adding(milliseconds: limits.idleMilliseconds) <= now
                models[space][name] = isIdle && !isFollowed(space, name) ? nil : model
            }
            let statistics = spaces[space].statistics
            #expect(statistics.topics == models[space].count, place)
            #expect(statistics.messages == models[space].values.reduce(0) { $0 + $1.retained.count }, place)
        }
    }

    mutating func flush(_ space: Int) {
        spaces[space].flush()
        for name in Array(models[space].keys) {
            if isFollowed(space, name) { models[space][name]?.retained = [] } else { models[space][name] = nil }
        }
    }

    mutating func close(_ space: Int) {
        hub.closeSpace(spaces[space])
        #expect(told[space].value == 0, place)
        models[space] = [:]
        for number in members.indices where members[number].space == space { members[number].isLive = false }
        spaces[space] = open(space)
    }

    mutating func heartbeat(_ lane: Int) {
        let before = members.map(\.receiver.heartbeats)
        for _ in 0..<3 { lanes[lane].heartbeat(now: now) }
        for (member, before) in zip(members, before) where member.isLive {
            let isDue = member.lane == lane && member.isStarted && member.receiver.isReady
            #expect(member.receiver.heartbeats - before == (isDue ? 1 : 0), place)
        }
    }

    mutating func doSomething() throws {
        step += 1
        let someone = members.isEmpty ? nil : Int.random(in: 0..<members.count, using: &random)
        switch Int.random(in: 0..<1000, using: &random) {
        case 0..<400: try publish()
        case 400..<500 where members.count { $0.isLive } < 30: try subscribe()
        case 500..<600: drain(Int.random(in: 0..<lanes.count, using: &random))
        case 600..<700: if let someone { members[someone].receiver.isReady.toggle() }
        case 700..<800: if let someone { try resume(someone) }
        case 800..<860: if let someone { cancel(someone) }
        case 860..<920: now = now.adding(milliseconds: pick([1, 10, 300, 1000]))
        case 920..<960: tick()
        case 960..<980: flush(Int.random(in: 0..<3, using: &random))
        case 980..<983: close(Int.random(in: 0..<3, using: &random))
        case 983..<1000: heartbeat(Int.random(in: 0..<lanes.count, using: &random))
        default: break
        }
        members.removeAll { !$0.isLive && $0.subscription.isCancelled && $0.receiver.events.isEmpty }
        checkBooks()
    }

    func checkBooks() {
        for (number, space) in spaces.enumerated() {
            #expect(space.statistics.bytes == told[number].value, place)
            #expect(space.statistics.subscriptions == members.count { $0.isLive && $0.space == number }, place)
            #expect(space.statistics.evictions == 0, place)
        }
        #expect(hub.retainedBytes == told.reduce(0) { $0 + $1.value }, place)
        #expect(hub.checkInvariants() == [], place)
    }

    mutating func finish() throws {
        for number in members.indices {
            members[number].receiver.isReady = true
            try resume(number)
        }
        for lane in lanes.indices { drain(lane) }
        for number in members.indices { cancel(number) }
        #expect(lanes.allSatisfy { $0.subscriptionCount == 0 }, place)
        now = now.adding(milliseconds: 3000)
        tick()
        checkBooks()
        #expect(hub.retainedBytes == 0, place)
    }
}

@Suite struct ModelTests {
    @Test(arguments: testSeeds())
    func everySubscriberIsToldWhatTheModelSays(seed: UInt64) throws {
        print("seed \(seed): set MARTLET_TEST_SEED to repeat")
        var run = Run(seed: seed)
        for _ in 0..<3000 { try run.doSomething() }
        try run.finish()
    }

    /// With little memory nobody can say what is evicted. But whoever is told something is told the truth: the numbers go
    /// up, what is missing was announced, each text is what was published, and who keeps up misses nothing.
    @Test(arguments: testSeeds())
    func underEvictionWhatIsToldIsTrueAndWhatIsMissingIsAnnounced(seed: UInt64) throws {
        print("seed \(seed): set MARTLET_TEST_SEED to repeat")
        var random = SeededGenerator(seed: seed)
        var limits = TopicLimits()
        limits.totalBytes = 40_000
        limits.messagesPerTopic = 20
        let hub = TopicHub(limits: limits)
        let spaces = (0..<3).map { number in
            hub.openSpace(
                CacheID(rawValue: number), maxBytes: number == 0 ? 20_000 : nil,
                sealer: number == 1 ? nil : TestSealer(), held: { _ in })
        }
        let lanes = (0..<2).map { _ in TopicLane(heartbeatTicks: 2, wake: {}) }
        var published: [UInt64: [String]] = [:]
        var members: [(receiver: Receiver, subscription: TopicSubscription, lane: Int, isPatient: Bool, next: UInt64)] =
            []
        for step in 0..<4000 {
            let space = spaces[Int.random(in: 0..<3, using: &random)]
            let name = "topic \(Int.random(in: 0..<25, using: &random))"
            switch Int.random(in: 0..<20, using: &random) {
            case 0..<10:
                let text = "\(step)" + String(repeating: ".", count: Int.random(in: 0...900, using: &random))
                guard let position = try? space.publish(text, to: name) else { continue }
                published[position.page, default: []].append(text)
                #expect(published[position.page]?.count == Int(position.sequence), "seed \(seed), step \(step)")
            case 10 where members.count < 40:
                let receiver = Receiver()
                let lane = Int.random(in: 0..<2, using: &random)
                let isPatient = Bool.random(using: &random)
                if !isPatient { receiver.credit = 1 }
                guard let subscription = try? lanes[lane].follow(receiver, to: name, in: space) else { continue }
                // A fresh one is told nothing of what was lost before.
                let next = receiver.batches.first?.first ?? subscription.position.sequence
                members.append((receiver, subscription, lane, isPatient, next))
            case 11 where !members.isEmpty:
                let member = members.remove(at: Int.random(in: 0..<members.count, using: &random))
                lanes[member.lane].cancel(member.subscription)
            case 12..<15:
                let lane = lanes[Int.random(in: 0..<2, using: &random)]
                _ = lane.drain(now: start, atMost: Int.random(in: 1...30, using: &random))
            case 15, 16:
                guard let member = members.randomElement(using: &random) else { continue }
                if !member.isPatient { member.receiver.credit = Int.random(in: 1...3, using: &random) }
                member.receiver.isReady = true
                lanes[member.lane].resume(member.subscription, now: start)
            case 17: space.flush()
            case 18: hub.tick(now: start)
            default: spaces[0].setMaxBytes([5000, 20_000, 60_000].randomElement(using: &random))
            }
            for index in members.indices {
                let page = members[index].subscription.position.page
                for event in members[index].receiver.take() {
                    switch event {
                    case .item(let sequence, let text):
                        #expect(sequence == members[index].next, "seed \(seed), step \(step)")
                        #expect(published[page]?[Int(sequence) - 1] == text, "seed \(seed), step \(step)")
                        members[index].next = sequence + 1
                    case .discontinuity(let last, let new, let eventPage):
                        #expect(!members[index].isPatient, "who keeps up misses nothing: seed \(seed), step \(step)")
                        #expect(last == members[index].next - 1 && new > last && eventPage == page)
                        members[index].next = new + 1
                    }
                }
            }
            #expect(hub.checkInvariants() == [], "seed \(seed), step \(step)")
        }
        #expect(spaces.contains { $0.statistics.evictions > 0 })
    }
}
