import Engine
import Tenancy

/// Sets.
extension CollectionTarget {
    /// A large set, in memory, from which on its members are not handed out under its lock.
    private static let largeBytes = 64 << 10

    func setFetch() throws(MartletError) -> CollectionOutcome {
        try withItem { (item) throws(MartletError) in try Self.fetchSet(item) }
    }

    private static func fetchSet(_ item: borrowing ItemAccess) throws(MartletError) -> CollectionOutcome {
        var members = Elements()
        switch try item.setFetch({ members.append($0) }) {
        case .missing: return .reply(.missing)
        case .handedOut: return .reply(.elements(members))
        case .snapshot(let snapshot): return .unfinished(SlicedFetch(snapshot))
        }
    }

    func setSample(_ limit: Int, _ dice: inout Dice) throws(MartletError) -> CollectionOutcome {
        var members = Elements()
        return try withItem { (item) throws(MartletError) -> CollectionOutcome in
            guard let count = try item.setLength() else { return .reply(.missing) }
            if limit >= count { return try Self.fetchSet(item) }
            if item.elementBytes > Self.largeBytes, limit > 0, let snapshot = try item.setSnapshot() {
                return .unfinished(SlicedSample(snapshot, limit))
            }
            _ = try item.setRandom(limit, isDistinct: true, using: &dice) { members.append($0) }
            return .reply(.elements(members))
        }
    }

    func setUnion(_ members: Elements) throws(MartletError) -> CollectionReply {
        try members.withPointers { (pointers) throws(MartletError) in
            try withItem(adding: members.byteCount, count: members.count) { (item) throws(MartletError) in
                _ = try item.setAdd(pointers.span, expiry: expiry)
            }
        }
        return .done
    }

    func setBecomeDifference(_ members: Elements) throws(MartletError) -> CollectionReply {
        let left = try members.withPointers { (pointers) throws(MartletError) in
            try withItem(adding: members.byteCount, count: members.count) { (item) throws(MartletError) in
                try item.setBecomeDifference(of: pointers.span)
            }
        }
        return left == nil ? .missing : .done
    }

    func setSubtract(_ members: Elements) throws(MartletError) -> CollectionReply {
        let removed = try members.withPointers { (pointers) throws(MartletError) in
            try withItem { (item) throws(MartletError) in try item.setRemove(pointers.span) }
        }
        return removed == nil ? .missing : .done
    }

    func setRemoveAll() throws(MartletError) -> CollectionReply {
        try withItem { (item) throws(MartletError) in try item.setRemoveAll() } ? .done : .missing
    }

    func setContains(_ members: Elements) throws(MartletError) -> CollectionReply {
        var isThere: [Bool] = []
        isThere.reserveCapacity(members.count)
        let isFound = try members.withPointers { (pointers) throws(MartletError) in
            try withItem { (item) throws(MartletError) in
                try item.setContains(pointers.span) { _, isMember in isThere.append(isMember) }
            }
        }
        return isFound ? .presence(isThere) : .missing
    }

    func setLength() throws(MartletError) -> CollectionReply {
        let length = try withItem { (item) throws(MartletError) in try item.setLength() }
        return length.map { .length($0) } ?? .missing
    }

    func setPop(_ count: Int, _ dice: inout Dice) throws(MartletError) -> CollectionOutcome {
        var members = Elements()
        return try withItem { (item) throws(MartletError) -> CollectionOutcome in
            guard let present = try item.setLength() else { return .reply(.missing) }
            if item.elementBytes > Self.largeBytes, count > 0 {
                if count >= present, let snapshot = try item.setTake() { return .unfinished(SlicedFetch(snapshot)) }
                let piece = SlicedPop.piece(of: count, from: item, holding: present)
                if piece < count { return .unfinished(SlicedPop(cache: cache, key: key, count: count)) }
            }
            _ = try item.setPop(count, using: &dice) { members.append($0) }
            return .reply(.elements(members))
        }
    }
}
