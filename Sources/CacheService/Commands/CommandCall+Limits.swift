import Admission
import Engine
import Tenancy

extension CommandCall {
    /// Refuses to let a collection grow that takes as much memory as an item may have bytes. Cost: a look at the item.
    package func checkGrowth(of key: UnsafeRawBufferPointer, adding byteCount: Int) throws(MartletError) {
        let limit = sizes.itemBytes
        let held = try items.withItem(key, now: now) { item in item.elementBytes }
        guard byteCount <= limit, held <= limit - byteCount else {
            throw .tooLarge(limit: .maxItemBytes, value: UInt64(limit))
        }
    }

    /// As ``checkGrowth(of:adding:)``, for an item that is at hand: costs nothing more.
    @inline(__always)
    package func checkGrowth(of item: borrowing ItemAccess, adding byteCount: Int) throws(MartletError) {
        let limit = sizes.itemBytes
        guard byteCount <= limit, item.elementBytes <= limit - byteCount else {
            throw .tooLarge(limit: .maxItemBytes, value: UInt64(limit))
        }
    }

    /// How many collections one command combines. Each is looked into for each element, and copied where it is small.
    package static let mostSources = 1024

    package func checkSources(_ number: Int) throws(MartletError) {
        guard number <= Self.mostSources else { throw .command("ERR too many keys: at most \(Self.mostSources)") }
    }

    /// The arguments from `first` on, in steps, as what engine operations take. Lent for the call of `body`.
    package func withArguments<Result>(
        from first: Int, step: Int = 1, _ body: (Span<UnsafeRawBufferPointer>) throws(MartletError) -> Result
    ) throws(MartletError) -> Result {
        let number = first < count ? (count - first + step - 1) / step : 0
        let slices = UnsafeMutableBufferPointer<UnsafeRawBufferPointer>.allocate(capacity: max(1, number))
        defer { slices.deallocate() }
        for position in 0..<number { slices.initializeElement(at: position, to: arguments[first + position * step]) }
        let filled = UnsafeBufferPointer(rebasing: slices[0..<number])
        return try body(filled.span)
    }
}
