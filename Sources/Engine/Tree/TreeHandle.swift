// Large collections: counted, copy-on-write B+ trees over pages of 4 KiB.
//
// A collection that has outgrown its packed blob lives in one or two of these trees. One implementation of pages,
// descent, splitting, merging and counting serves three orders:
//
//     HashedTree      (hash of key, key) -> value      dictionaries, sets, the member -> score half of a sorted set
//     ScoredTree      (score, member)                  the other half
//     PositionalTree  by position only                 lists
//
// Entries lie in leaves. An inner page knows of each child its address, the prefix of its first entry (the 64-bit hash
// or the score as an integer of the same order) and how many entries it has below it:
//
//     inner   | header 32 | prefix x 169 | count x 169 | child x 169 |                                     4 KiB
//     leaf    | header 32 | slot 0 | slot 1 | ... -> free <- ... entry 1 | entry 7 | (dead) | entry 0 |   1, 2 or 4 KiB
//     slot    | prefix 8 (not for lists) | offset 2, top bit: lies outside |
//     entry   | key length 1-2 | value length 1-2 (hashed only) | key | value |
//     outside | references 4 | key length 4 | value length 4 | - | key | value |      entries of more than 1000 bytes
//     header  | references 4 | level | order | count | heap start | dead | capacity | outside | total 8 | held bytes 8 |
//
// *Search.* Prefixes lie together, so a binary search touches two or three cache lines of a page and compares bytes
// only where prefixes are equal. Inner pages hold no key bytes at all: where the wanted prefix equals a separator's,
// the first entry below that child decides. So separators have one size, never need a page of their own and never go
// stale, however long keys are; the price is a walk down for each comparison among equal scores.
//
// *Counts* give positions and ranks: O(log n) for the entry at a position and for the position of an entry.
//
// *Filling.* A full leaf is split in two halves of bytes, but at either end of the tree the full page stays full and
// the new one gets only the new entry; so lists and ascending scores lie in full pages. A page less than half full is
// merged with a neighbour if both fit in seven eighths of a page, and below a quarter it borrows until both have the
// same; only the pages at the two ends of the tree are spared that, so that a queue (push at one end, pop at the other)
// copies nothing.
//
// *Sharing.* Each page and each outside entry counts its references. A snapshot is one more reference to the root:
// O(1). A mutation copies, of the pages on its way down, those with more than one reference (whose children then have
// one more), so that what a snapshot sees never changes and is read without a lock. Pages reached only through pages
// with one reference, by the one who holds the lock of the handle, can be changed in place.
//
// *Memory* comes from the cache's `PageSource`. Every page knows how much is held below it, itself included, so that
// `TreeHandle.bytes` is exact: all that can be reached from this root. What a snapshot shares counts in both. Whole
// trees and cut-off parts of them are freed a bounded piece at a time (`dismantle`).
//
// Costs, n entries: find, insert, remove, rank, entry at rank O(log n), in practice three pages for a million;
// visiting O(log n + visited); removing a range O(log n), its pages being freed later; snapshot O(1).
//
// References: Bayer and McCreight, "Organization and maintenance of large ordered indices" (1972); Comer, "The
// ubiquitous B-tree" (1979); Graefe, "Modern B-tree techniques" (2011), for slotted pages and poor man's normalised
// keys; Rodeh, "B-trees, shadowing, and clones" (2008), for reference counts and lazy copying.

/// What names a tree. Bitwise copyable, and whoever holds it owns one reference to the root. All zero: an empty tree,
/// which owns nothing.
struct TreeHandle: Equatable, Sendable {
    /// Address of the root page.
    var root: UInt = 0
    /// Entries in the tree.
    var count = 0
    /// Bytes of all blocks that can be reached from the root, as charged; those that are shared with snapshots too.
    var bytes = 0
}

/// How the entries of a tree are ordered, and with it what they are made of.
enum TreeOrder: UInt8, Sendable {
    /// By position. Bytes only.
    case positional
    /// By a 64-bit prefix, ties by key bytes. Key only.
    case scored
    /// The same, with a value.
    case hashed

    /// Bytes of a slot in a leaf.
    @inline(__always)
    var stride: Int { self == .positional ? 2 : 10 }
    @inline(__always)
    var hasValues: Bool { self == .hashed }
}

/// One entry as it lies in a page or outside of it. Valid until the tree is mutated next.
struct TreeEntry {
    var prefix: UInt64
    var key: UnsafeRawBufferPointer
    var value: UnsafeRawBufferPointer
}
