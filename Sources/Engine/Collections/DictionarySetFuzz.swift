import Tenancy

// Runs everything that reads packed blobs over bytes that anybody made up. For libFuzzer, and for tests with mutated
// blobs: whatever the bytes are, nothing may trap or read past their end.

package func fuzzPackedDictionary(_ bytes: UnsafeRawBufferPointer) {
    fuzzPackedHashed(bytes, .dictionary)
}

package func fuzzPackedSet(_ bytes: UnsafeRawBufferPointer) {
    fuzzPackedHashed(bytes, .set)
}

private func fuzzPackedHashed(_ bytes: UnsafeRawBufferPointer, _ form: HashedForm) {
    let view = HashedView.packed(bytes, form)
    var generator = FuzzGenerator(state: UInt64(truncatingIfNeeded: bytes.count))
    // A key that is likely there, one that is likely not, and none.
    let probes = [
        UnsafeRawBufferPointer(rebasing: bytes.dropFirst(1).prefix(Int(bytes.first ?? 0))),
        UnsafeRawBufferPointer(rebasing: bytes.suffix(3)), PackedHashed.nothing,
    ]
    var out = ScratchBytes()
    func quietly(_ body: () throws(MartletError) -> Void) {
        do throws(MartletError) { try body() } catch {
            precondition(error == PackedReader.damaged, "a damaged blob is told as such")
        }
    }
    quietly { () throws(MartletError) in _ = try view.count() }
    quietly { () throws(MartletError) in _ = try HashedEntries(packed: bytes, form).count }
    quietly { () throws(MartletError) in
        try view.forEach { (key, value) in
            out.append(key); out.append(value)
        }
    }
    for count in [1, 3, 600] {
        for isDistinct in [false, true] {
            quietly { () throws(MartletError) in
                try view.random(count, isDistinct: isDistinct, using: &generator) { (key, _) in out.append(key) }
            }
        }
    }
    for probe in probes {
        quietly { () throws(MartletError) in
            let entry = try PackedHashed.find(probe, in: bytes, form).entry
            out.removeAll()
            PackedHashed.splice(bytes, replacing: entry, probe, probe, form, into: &out)
            precondition(
                out.count == PackedHashed.size(of: bytes, replacing: entry, probe, probe, form), "a size foretold")
            _ = try PackedHashed.find(probe, in: out.bytes, form)
            if let entry {
                out.removeAll()
                PackedHashed.cut(entry.start..<entry.end, of: bytes, into: &out)
            }
        }
    }
    for changes in [2, 20] {
        quietly { () throws(MartletError) in
            var editor = try PackedHashedEditor(bytes, form, changes: changes)
            for probe in probes { _ = try editor.set(probe, probe) }
            for probe in probes { _ = try editor.remove(probe) }
            _ = try PackedHashed.count(editor.bytes, form)
        }
    }
}

/// A few numbers, the same for the same input.
private struct FuzzGenerator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return state ^ state &>> 29
    }
}
