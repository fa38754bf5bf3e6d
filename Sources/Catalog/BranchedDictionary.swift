/// A dictionary that is cheap to change while older copies of it are still being read.
///
/// A Swift dictionary copies all of its entries at the first change after a copy was taken, and a catalog that publishes
/// after every change takes a copy after every change. Here the entries lie in 256 small dictionaries, and a change
/// copies the one that it touches:
///
///     branches ─▶ [ 0 │ 1 │ 2 │ … │ 255 ]     copied by a change: 256 references
///                       │
///                       ▼
///                     [k: v, k: v]            copied by a change: 1/256 of the entries
///
/// A hash array mapped trie would copy less at a million entries, and cost more on each look-up.
///
/// Cost: look-up O(1), a change O(256 + n / 256), a copy O(1).
struct BranchedDictionary<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    private static var branchCount: Int { 256 }

    private var branches: [[Key: Value]] = Array(repeating: [:], count: branchCount)
    private(set) var count = 0

    subscript(key: Key) -> Value? {
        get { branches[Self.branch(of: key)][key] }
        set {
            let branch = Self.branch(of: key)
            if let newValue {
                if branches[branch].updateValue(newValue, forKey: key) == nil { count += 1 }
            } else if branches[branch].removeValue(forKey: key) != nil {
                count -= 1
            }
        }
    }

    /// All values, in no order. Cost: O(n).
    var values: [Value] {
        branches.flatMap(\.values)
    }

    /// Dictionaries salt the hash by their own size or address, so entries of one branch, which share these eight bits,
    /// still spread over its whole table.
    private static func branch(of key: Key) -> Int {
        Int(UInt(bitPattern: key.hashValue) >> (UInt.bitWidth - 8))
    }
}

extension BranchedDictionary: Equatable where Value: Equatable {}
