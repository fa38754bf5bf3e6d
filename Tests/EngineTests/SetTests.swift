import Tenancy
import Testing

@testable import Engine

struct SetTests {
    private func pop(
        _ cache: DictSetCache, _ count: Int, _ generator: inout DictSetGenerator
    ) throws(MartletError) -> [Bytes]? {
        try cache.item("s") { (item) throws(MartletError) in
            var popped: [Bytes] = []
            let taken = try item.setPop(count, using: &generator) { popped.append(Bytes($0)) }
            #expect(taken == nil || taken == popped.count)
            return taken == nil ? nil : popped
        }
    }

    @Test func addsFindsAndRemovesMembers() throws {
        let cache = makeDictSetCache()
        #expect(try cache.hasMembers("s", [text("a")]) == nil)
        #expect(try cache.removeMembers("s", [text("a")]) == nil)
        #expect(try cache.addMembers("s", [text("a"), text("b"), text("a"), []]) == 3)
        #expect(try cache.addMembers("s", [text("b")]) == 0)
        #expect(try cache.addMembers("s", [text("b"), text("c")]) == 1)
        #expect(try cache.hasMembers("s", [text("c"), text("x"), [], text("a")]) == [true, false, true, true])
        #expect(try cache.removeMembers("s", [text("x")]) == 0)
        #expect(try cache.removeMembers("s", [text("a"), text("a"), []]) == 2)
        #expect(try cache.members("s") == [text("b"), text("c")])
        #expect(try cache.removeMembers("s", [text("b"), text("c")]) == 2)
        #expect(try cache.kind("s") == nil)
    }

    @Test func promotionAndDemotionAreInvisible() throws {
        let cache = makeDictSetCache()
        let members = (0..<513).map { number($0) }
        #expect(try cache.addMembers("s", Array(members.dropLast())) == 512)
        #expect(try cache.isLarge("s") == false)
        #expect(try cache.addMembers("s", [members[512]]) == 1)
        #expect(try cache.isLarge("s"))
        #expect(try cache.members("s") == Set(members))
        #expect(try cache.removeMembers("s", Array(members.prefix(448))) == 448)
        #expect(try cache.isLarge("s"))
        #expect(try cache.removeMembers("s", [members[448]]) == 1)
        #expect(try cache.isLarge("s") == false)
        #expect(try cache.members("s") == Set(members.suffix(64)))
        // One member that is larger than a packed set may be.
        let huge = Bytes(repeating: 3, count: 100 << 10)
        #expect(try cache.addMembers("s", [huge, huge]) == 1)
        #expect(try cache.isLarge("s"))
        #expect(try cache.hasMembers("s", [huge, members[500]]) == [true, true])
        #expect(try cache.removeMembers("s", [huge]) == 1)
        #expect(try cache.isLarge("s") == false)
    }

    @Test(arguments: [1, 2000]) func timesFollowTheCollectionRules(_ count: Int) throws {
        let cache = makeDictSetCache()
        let soon = dictSetNow.adding(milliseconds: 1000)
        let later = dictSetNow.adding(milliseconds: 5000)
        let members = (0..<count).map { number($0) }
        try cache.addMembers("s", members, expiry: CollectionExpiry(expiresAt: soon, refresh: false))
        #expect(try cache.expiry("s") == soon)
        try cache.addMembers("s", [text("x")], expiry: CollectionExpiry(expiresAt: later, refresh: false))
        #expect(try cache.expiry("s") == soon)
        // A refresh counts even if every member was there.
        for (again, time) in [([text("x")], later), ([text("x"), number(0)], soon), (members, later)] {
            try cache.addMembers("s", again, expiry: CollectionExpiry(expiresAt: time, refresh: true))
            #expect(try cache.expiry("s") == time)
        }
        try cache.removeMembers("s", [text("x")])
        #expect(try cache.expiry("s") == later)
        #expect(try cache.members("s", now: later) == nil)
        #expect(try cache.addMembers("s", [text("x")], expiry: keepTime, now: later) == 1)
        #expect(try cache.members("s", now: later) == [text("x")])
        #expect(try cache.expiry("s") == nil)
    }

    @Test(arguments: [9, 300, 3000]) func poppedMembersAreGone(_ total: Int) throws {
        let cache = makeDictSetCache()
        var generator = DictSetGenerator(seed: 2)
        let members = Set((0..<total).map { number($0) })
        let soon = dictSetNow.adding(milliseconds: 1000)
        #expect(try pop(cache, 1, &generator) == nil)
        try cache.addMembers("s", Array(members), expiry: CollectionExpiry(expiresAt: soon, refresh: false))
        var left = members
        #expect(try pop(cache, 0, &generator) == [])
        for count in [1, 2, total / 3, 1] {
            let popped = try #require(try pop(cache, count, &generator))
            #expect(popped.count == count)
            #expect(left.isSuperset(of: popped))
            left.subtract(popped)
            #expect(try cache.members("s") == left)
            #expect(try cache.expiry("s") == soon)
        }
        let rest = try #require(try pop(cache, total, &generator))
        #expect(Set(rest) == left)
        #expect(rest.count == left.count)
        #expect(try cache.kind("s") == nil)
    }

    @Test func aPopDownToFewPacksTheSet() throws {
        let cache = makeDictSetCache()
        var generator = DictSetGenerator(seed: 2)
        try cache.addMembers("s", (0..<1000).map { number($0) })
        #expect(try pop(cache, 950, &generator)?.count == 950)
        #expect(try cache.isLarge("s") == false)
        #expect(try cache.members("s")?.count == 50)
    }

    @Test func popTakesEachMemberEquallyOften() throws {
        var generator = DictSetGenerator(seed: 4)
        var hits: [Bytes: Int] = [:]
        let cache = makeDictSetCache()
        for _ in 0..<1000 {
            try cache.addMembers("s", (0..<10).map { number($0) })
            for member in try #require(try pop(cache, 3, &generator)) { hits[member, default: 0] += 1 }
        }
        // 300 are expected of each, with a standard deviation of 14.5.
        #expect(hits.count == 10 && hits.values.allSatisfy { abs($0 - 300) < 100 })
    }

    @Test(arguments: [3, 3000]) func aTakenSetIsGoneAndStillReadable(_ count: Int) throws {
        let cache = makeDictSetCache()
        let members = Set((0..<count).map { number($0) })
        try cache.addMembers("s", Array(members))
        let taken = try #require(try cache.item("s") { (item) throws(MartletError) in try item.setTake() })
        #expect(try cache.kind("s") == nil)
        try cache.addMembers("s", [text("other")])
        var seen = Set<Bytes>()
        var cursor: UInt64 = 0
        repeat { cursor = try taken.visit(from: cursor, limit: 50) { seen.insert(Bytes($0)) } } while cursor != 0
        #expect(seen == members)
        #expect(
            try taken.count == count && lend([number(1)]) { (runs) throws(MartletError) in try taken.contains(runs[0]) }
        )
    }

    @Test func becomesWhatARequestHasMore() throws {
        let cache = makeDictSetCache()
        let difference = { (members: [Bytes]) throws(MartletError) -> Int? in
            try lend(members) { (runs) throws(MartletError) in
                try cache.item("s") { (item) throws(MartletError) in try item.setBecomeDifference(of: runs.span) }
            }
        }
        #expect(try difference([text("a")]) == nil)
        let soon = dictSetNow.adding(milliseconds: 1000)
        let expiry = CollectionExpiry(expiresAt: soon, refresh: false)
        try cache.addMembers("s", [text("a"), text("b")], expiry: expiry)
        #expect(try difference([text("b"), text("c"), text("d"), text("c")]) == 2)
        #expect(try cache.members("s") == [text("c"), text("d")])
        #expect(try cache.expiry("s") == soon)
        #expect(try difference((0..<3000).map { number($0) }) == 3000)
        #expect(try cache.members("s")?.count == 3000)
        #expect(try difference([number(1), text("z")]) == 1)
        #expect(try cache.members("s") == [text("z")])
        #expect(try difference([text("z")]) == 0)
        #expect(try cache.kind("s") == nil)
    }

    @Test func membersMoveFromSetToSet() throws {
        let cache = makeDictSetCache()
        let move = { (member: Bytes, from: String, to: String) throws(MartletError) -> Bool in
            try lend([member]) { (runs) throws(MartletError) in
                try cache.items([from, to]) { (transaction) throws(MartletError) in
                    try transaction.setMove(runs[0], from: 0, to: 1, expiry: keepTime)
                }
            }
        }
        try cache.storePacked("x", .scalar, text("v"))
        // A missing source asks nothing of the destination.
        #expect(try move(text("a"), "a", "x") == false)
        try cache.addMembers("a", [text("a"), text("b")])
        #expect(dictSetError { () throws(MartletError) in _ = try move(text("a"), "a", "x") } == .wrongType)
        #expect(dictSetError { () throws(MartletError) in _ = try move(text("a"), "x", "a") } == .wrongType)
        #expect(try move(text("z"), "a", "b") == false)
        #expect(try cache.kind("b") == nil)
        #expect(try move(text("a"), "a", "a"))
        #expect(try move(text("z"), "a", "a") == false)
        #expect(try cache.members("a") == [text("a"), text("b")])
        #expect(try move(text("a"), "a", "b"))
        #expect(try cache.members("b") == [text("a")])
        #expect(try move(text("b"), "a", "b"))
        #expect(try cache.kind("a") == nil)
        #expect(try cache.members("b") == [text("a"), text("b")])
        // Between large ones, and into one that has it.
        try cache.addMembers("l", (0..<1000).map { number($0) })
        try cache.addMembers("m", (500..<1500).map { number($0) })
        #expect(try move(number(1), "l", "m"))
        #expect(try move(number(600), "l", "m"))
        #expect(try cache.members("l")?.count == 998)
        #expect(try cache.members("m")?.count == 1001)
    }

    @Test func anotherKindIsAnErrorBeforeAnythingIsChanged() throws {
        let cache = makeDictSetCache()
        try cache.setFields("d", [(text("a"), text("1"))])
        func expect(_ operation: (inout ItemAccess, UnsafeRawBufferPointer) throws(MartletError) -> Void) {
            let error = dictSetError { () throws(MartletError) in
                try lend([text("f")]) { (runs) throws(MartletError) in
                    try cache.item("d") { (item) throws(MartletError) in try operation(&item, runs[0]) }
                }
            }
            #expect(error == .wrongType)
        }
        expect { (item, member) throws(MartletError) in _ = try item.setLength() }
        expect { (item, member) throws(MartletError) in _ = try item.setContains(member) }
        expect { (item, member) throws(MartletError) in _ = try item.setContains([member].span) { _, _ in } }
        expect { (item, member) throws(MartletError) in try item.setForEach { _ in } }
        expect { (item, member) throws(MartletError) in _ = try item.setFetch { _ in } }
        expect { (item, member) throws(MartletError) in _ = try item.setSnapshot() }
        expect { (item, member) throws(MartletError) in _ = try item.setScan(from: 0, limit: 1) { _ in } }
        expect { (item, member) throws(MartletError) in _ = try item.setAdd(member, expiry: keepTime) }
        expect { (item, member) throws(MartletError) in _ = try item.setAdd([member, member].span, expiry: keepTime) }
        expect { (item, member) throws(MartletError) in _ = try item.setRemove(member) }
        expect { (item, member) throws(MartletError) in _ = try item.setRemoveAll() }
        expect { (item, member) throws(MartletError) in _ = try item.setTake() }
        expect { (item, member) throws(MartletError) in _ = try item.setBecomeDifference(of: [member].span) }
        expect { (item, member) throws(MartletError) in
            var generator = DictSetGenerator(seed: 1)
            _ = try item.setPop(1, using: &generator) { _ in }
        }
        expect { (item, member) throws(MartletError) in
            var generator = DictSetGenerator(seed: 1)
            _ = try item.setRandom(1, isDistinct: true, using: &generator) { _ in }
        }
        #expect(try cache.pairs("d") == [text("a"): text("1")])
    }

    @Test(arguments: [40, 4000]) func aSnapshotHasEachMemberAtAPlace(_ count: Int) throws {
        let cache = makeDictSetCache()
        let members = (0..<count).map { number($0) }
        try cache.addMembers("s", members)
        let snapshot = try #require(try cache.item("s") { (item) throws(MartletError) in try item.setSnapshot() })
        try cache.removeMembers("s", Array(members.prefix(20)))
        var found: [Bytes] = []
        for place in 0..<snapshot.count { try snapshot.withMember(at: place) { found.append(Bytes($0)) } }
        #expect(found.count == count && Set(found) == Set(members))
        // What does not exist is not lent.
        for place in [-1, count] { try snapshot.withMember(at: place) { _ in Issue.record("no member is there") } }
    }

    @Test func theElementsOfALargeSetTakeMemory() throws {
        let cache = makeDictSetCache()
        func bytes() throws -> Int {
            try cache.item("s") { (item) throws(MartletError) in item.elementBytes }
        }
        #expect(try bytes() == 0)
        try cache.addMembers("s", [number(1)])
        #expect(try bytes() == 0)
        try cache.addMembers("s", (0..<4000).map { number($0) })
        #expect(try bytes() > 4000 * number(1).count)
    }
}
