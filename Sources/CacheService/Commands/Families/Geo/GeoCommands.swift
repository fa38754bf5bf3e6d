import Admission
import Engine
import Tenancy

/// Commands on places, which are the scores of a sorted set. See GeoCell.swift for how.
enum GeoCommands {
    static let all: [CommandSpec] = [
        .items(
            "geoadd", arity: -5, [.write, .denyOOM], keys: .first(.readWrite), group: .geo,
            summary: "Adds members with the places where they are.", add),
        .items(
            "geodist", arity: -4, [.readonly], keys: .first(.read), group: .geo,
            summary: "How far two members are from each other.", distance),
        .items(
            "geohash", arity: -2, [.readonly], keys: .first(.read), group: .geo,
            summary: "The places of members as geohashes.", hash),
        .items(
            "geopos", arity: -2, [.readonly], keys: .first(.read), group: .geo,
            summary: "The places of members as coordinates.", position),
        .items(
            "geosearch", arity: -7, [.readonly], keys: .first(.read), group: .geo,
            summary: "The members in a circle or a box.", GeoSearch.search),
        .items(
            "geosearchstore", arity: -8, [.write, .denyOOM], keys: .ranges([(1, 1, 1, .write), (2, 2, 1, .read)]),
            group: .geo, summary: "Stores the members in a circle or a box.", GeoSearch.searchStore),
        .items(
            "georadius", arity: -6, [.write, .denyOOM, .movableKeys], keys: .found { storeKeys($0, from: 6) },
            group: .geo, summary: "The members around a place; GEOSEARCH does it too.", GeoSearch.radius),
        .items(
            "georadiusbymember", arity: -5, [.write, .denyOOM, .movableKeys], keys: .found { storeKeys($0, from: 5) },
            group: .geo, summary: "The members around a member; GEOSEARCH does it too.", GeoSearch.radiusByMember),
        .items(
            "georadius_ro", arity: -6, [.readonly], keys: .first(.read), group: .geo,
            summary: "As GEORADIUS, and stores nothing.", GeoSearch.radiusOnly),
        .items(
            "georadiusbymember_ro", arity: -5, [.readonly], keys: .first(.read), group: .geo,
            summary: "As GEORADIUSBYMEMBER, and stores nothing.", GeoSearch.radiusByMemberOnly),
    ]

    /// The key that is searched, and those behind STORE and STOREDIST.
    private static func storeKeys(_ arguments: Arguments, from first: Int) -> [FoundKey] {
        var keys = [FoundKey(1, .read)]
        var index = first
        while index + 1 < arguments.count {
            if arguments.isWord(index, "STORE") || arguments.isWord(index, "STOREDIST") {
                keys.append(FoundKey(index + 1, .write))
                index += 1
            }
            index += 1
        }
        return keys
    }

    static func add(_ call: CommandCall) throws(MartletError) {
        let arguments = call.arguments
        var condition: SortedSetCondition = []
        var countsChanges = false
        var first = 2
        while first < call.count {
            if arguments.isWord(first, "NX") {
                condition.insert(.onlyIfAbsent)
            } else if arguments.isWord(first, "XX") {
                condition.insert(.onlyIfPresent)
            } else if arguments.isWord(first, "CH") {
                countsChanges = true
            } else {
                break
            }
            first += 1
        }
        let number = (call.count - first) / 3
        guard number > 0, (call.count - first) % 3 == 0, condition != [.onlyIfAbsent, .onlyIfPresent] else {
            throw .syntax
        }
        var elements: [SortedSetElement] = []
        elements.reserveCapacity(number)
        for index in stride(from: first, to: call.count, by: 3) {
            let point = try call.point(index)
            elements.append(
                SortedSetElement(
                    score: GeoCell(point, steps: GeoCell.mostSteps).score, member: arguments[index + 2]))
        }
        let addition = try add(call, elements, condition)
        call.reply.integer(countsChanges ? addition.added + addition.changed : addition.added)
    }

    private static func add(
        _ call: CommandCall, _ elements: [SortedSetElement], _ condition: SortedSetCondition
    ) throws(MartletError) -> SortedSetAddition {
        let key = call.arguments[1]
        try call.sizes.checkKey(byteCount: key.count)
        var byteCount = 0
        for element in elements {
            try call.sizes.checkElement(byteCount: element.member.count)
            call.countElementIn(byteCount: element.member.count + AnsweredElements.scoreBytes)
            byteCount += element.member.count
        }
        let reserved = 2 * byteCount + 48 * elements.count + 64
        return try call.items.withItem(key, reserving: reserved, now: call.now) { (item) throws(MartletError) in
            try call.checkGrowth(of: item, adding: byteCount)
            return try item.addToSortedSet(elements, condition: condition, expiry: call.collectionExpiry)
        }
    }

    static func distance(_ call: CommandCall) throws(MartletError) {
        guard call.count <= 5 else { throw .syntax }
        let unit = call.count == 5 ? try call.unit(4) : .metre
        let scores = try scores(call, of: UnsafeBufferPointer(rebasing: call.arguments.slices(from: 2)[..<2]))
        guard let first = scores[0], let second = scores[1] else { return call.reply.null() }
        let metres = GeoCell(score: first).center.distance(to: GeoCell(score: second).center)
        call.reply.bulk(GeoText.distance(metres / unit.metres))
    }

    static func hash(_ call: CommandCall) throws(MartletError) {
        let scores = try scores(call, of: call.arguments.slices(from: 2))
        call.reply.array(scores.count)
        for score in scores {
            guard let score else {
                call.reply.null()
                continue
            }
            call.reply.bulk(GeoCell.text(of: GeoCell(score: score).center))
        }
    }

    static func position(_ call: CommandCall) throws(MartletError) {
        let scores = try scores(call, of: call.arguments.slices(from: 2))
        call.reply.array(scores.count)
        for score in scores {
            guard let score else {
                call.reply.nullArray()
                continue
            }
            call.reply.point(GeoCell(score: score).center)
        }
    }

    /// The scores of members, nil for one that is not there.
    private static func scores(
        _ call: CommandCall, of members: UnsafeBufferPointer<UnsafeRawBufferPointer>
    ) throws(MartletError) -> [Double?] {
        var scores: [Double?] = []
        scores.reserveCapacity(members.count)
        let isThere = try call.items.withItem(call.arguments[1], now: call.now) { (item) throws(MartletError) in
            try item.sortedSetScores(of: members) { scores.append($0) }
        }
        if !isThere { scores = Array(repeating: nil, count: members.count) }
        call.countFound(isThere)
        for (member, score) in zip(members, scores) {
            if score == nil {
                call.countElementIn(byteCount: member.count)
            } else {
                call.countElementOut(byteCount: member.count + AnsweredElements.scoreBytes)
            }
        }
        return scores
    }
}

extension CommandCall {
    /// Longitude and latitude.
    ///
    /// - Throws: `ERR value is not a valid float`, or that there is no such place on the map.
    func point(_ index: Int) throws(MartletError) -> GeoPoint {
        let point = GeoPoint(longitude: try double(index), latitude: try double(index + 1))
        guard point.isValid else {
            let (longitude, latitude) = (GeoText.plain(point.longitude), GeoText.plain(point.latitude))
            throw .command("ERR invalid longitude,latitude pair \(longitude),\(latitude)")
        }
        return point
    }

    func unit(_ index: Int) throws(MartletError) -> GeoUnit {
        guard let unit = GeoUnit(self, index) else {
            throw .command("ERR unsupported unit provided. please use M, KM, FT, MI")
        }
        return unit
    }
}

extension ReplyWriter {
    /// Longitude and latitude: strings in version 2, doubles in version 3.
    func point(_ point: GeoPoint) {
        array(2)
        double(text: GeoText.coordinate(point.longitude))
        double(text: GeoText.coordinate(point.latitude))
    }
}
