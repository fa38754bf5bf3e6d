/// Walks over the parameters of a request target's query, as they stand: neither names nor values are decoded.
struct QueryScanner {
    private var start: Int
    private let end: Int

    init(_ query: ByteRange) {
        start = query.range.lowerBound
        end = query.range.upperBound
    }

    /// The next parameter, or nil behind the last. A parameter without `=` has an empty value. Cost: one pass over it.
    @inline(__always)
    mutating func next(in head: RequestHead) -> (name: ByteRange, value: ByteRange)? {
        guard start < end else { return nil }
        let stop = head.arena[start..<end].firstIndex(of: 0x26) ?? end
        let equals = head.arena[start..<stop].firstIndex(of: 0x3D) ?? stop
        defer { start = stop + 1 }
        return (ByteRange(start, equals), ByteRange(min(equals + 1, stop), stop))
    }
}

extension RequestHead {
    /// Divides the request target at its first `?`.
    func splitTarget() -> (path: ByteRange, query: ByteRange?) {
        let range = path.range
        guard let mark = arena[range].firstIndex(of: 0x3F) else { return (path, nil) }
        return (ByteRange(range.lowerBound, mark), ByteRange(mark + 1, range.upperBound))
    }
}
