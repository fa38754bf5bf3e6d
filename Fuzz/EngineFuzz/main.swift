import Engine

/// Whatever may lie where a packed collection should: reading it is an error or gives entries that lie inside of it, and
/// never a trap. The first byte chooses what it is read as.
@_cdecl("LLVMFuzzerTestOneInput")
package func fuzzPackedCollections(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    guard count >= 1, let start else { return 0 }
    let blob = UnsafeRawBufferPointer(start: start + 1, count: count - 1)
    switch start[0] % 5 {
    case 0: fuzzPackedDictionary(blob)
    case 1: fuzzPackedSet(blob)
    case 2: fuzzPackedList(blob)
    case 3: fuzzPackedSortedSet(blob)
    default: _ = try? ZstdFrame.receive(blob, limit: 1 << 16)
    }
    return 0
}
