import Tenancy

// The topics of a space by name: a hash table that grows and shrinks by one bucket at a time (linear hashing).
//
// What it is for: a dictionary that doubles rehashes all it holds in one go, some 30 ms at a hundred thousand topics,
// under the lock of the space, and on an event loop that has others to serve. Here an insertion moves the topics of one
// bucket.
//
//     buckets   0  1  2 | 3  4  5  6  7 | 8  9  10       level 8, split 3
//               `-----'   `-----------'   `-----'
//               split: their topics are   made by splitting 0, 1, 2
//               told apart by one bit more of the hash
//
// A hash belongs to bucket `hash mod level`; or, if that is below `split`, to `hash mod 2 level`. When there are more
// topics than buckets, the bucket at `split` is dealt out to itself and a new last one; when all of a level are split,
// the next level begins. Removing does the same backwards.
//
// A bucket is the first of a chain of topics: about one on average. Hashes are the standard library's, keyed afresh in
// each process, so nobody outside can aim at a bucket.
//
// Reference: Litwin, "Linear hashing: a new tool for file and table addressing" (VLDB 1980).

/// The name of a topic with its hash, which is computed before the lock is taken.
struct HashedName: Sendable {
    let name: TopicName
    let hash: UInt

    init(_ name: TopicName) {
        self.name = name
        hash = UInt(bitPattern: name.hashValue)
    }
}

/// The topics of a space by name. Not synchronised: it belongs to the holder of the space's lock. Finding, inserting
/// and removing are O(1).
struct TopicIndex: ~Copyable {
    private static let smallestLevel: UInt = 8

    private var buckets: ContiguousArray<Topic?> = []
    private var level = smallestLevel
    private var split: UInt = 0
    private(set) var count = 0

    subscript(key: HashedName) -> Topic? {
        guard count > 0 else { return nil }
        var current = buckets[bucket(of: key.hash)]
        while let topic = current {
            if topic.hash == key.hash, topic.name == key.name { return topic }
            current = topic.following
        }
        return nil
    }

    /// Adds a topic whose name is not there yet.
    mutating func insert(_ topic: Topic) {
        if buckets.isEmpty { buckets = ContiguousArray(repeating: nil, count: Int(Self.smallestLevel)) }
        push(topic)
        count += 1
        if count > buckets.count { splitOne() }
    }

    mutating func remove(_ topic: Topic) {
        let position = bucket(of: topic.hash)
        if buckets[position] === topic {
            buckets[position] = topic.following
        } else {
            var current = buckets[position]
            while let previous = current, previous.following !== topic { current = previous.following }
            current?.following = topic.following
        }
        topic.following = nil
        count -= 1
        if count == 0 {
            self = TopicIndex()
        } else if count < buckets.count / 4 {
            mergeOne()
        }
    }

    /// Calls `body` with every topic, in no order.
    func forEach(_ body: (Topic) -> Void) {
        for bucket in buckets {
            var current = bucket
            while let topic = current {
                current = topic.following
                body(topic)
            }
        }
    }

    @inline(__always)
    private func bucket(of hash: UInt) -> Int {
        let short = hash & (level - 1)
        return Int(short < split ? hash & (2 * level - 1) : short)
    }

    private mutating func push(_ topic: Topic) {
        let position = bucket(of: topic.hash)
        topic.following = buckets[position]
        buckets[position] = topic
    }

    private mutating func splitOne() {
        var current = buckets[Int(split)]
        buckets[Int(split)] = nil
        buckets.append(nil)
        split += 1
        while let topic = current {
            current = topic.following
            push(topic)
        }
        if split == level {
            level *= 2
            split = 0
        }
    }

    private mutating func mergeOne() {
        guard buckets.count > Int(Self.smallestLevel) else { return }
        if split == 0 {
            level /= 2
            split = level
        }
        split -= 1
        var current = buckets.removeLast()
        while let topic = current {
            current = topic.following
            push(topic)
        }
        if buckets.capacity > 4 * buckets.count {
            // An array does not shrink by itself.
            var smaller = ContiguousArray<Topic?>()
            smaller.reserveCapacity(2 * buckets.count)
            smaller.append(contentsOf: buckets)
            buckets = smaller
        }
    }
}
