import Tenancy

extension RESTRequest {
    /// The TTL that the request asks for, or nil when it asks for none.
    ///
    /// - Throws: ``MartletError/invalidArgument(field:reason:)`` when it is not a whole number of 1 to 2^42 ms, or when
    ///   both units stand.
    func ttl(in head: RequestHead) throws(MartletError) -> TTL? {
        switch (ttlSeconds, ttlMilliseconds) {
        case (nil, nil): return nil
        case (.some, .some):
            throw .invalidArgument(field: "ttl_ms", reason: "must not stand beside ttl_seconds")
        case (.some(let seconds), nil):
            let number = try whole(seconds, in: head, field: "ttl_seconds")
            let (milliseconds, overflow) = number.multipliedReportingOverflow(by: 1000)
            return try TTL(milliseconds: overflow ? .max : milliseconds, field: "ttl_seconds")
        case (nil, .some(let milliseconds)):
            return try TTL(milliseconds: whole(milliseconds, in: head, field: "ttl_ms"), field: "ttl_ms")
        }
    }

    private func whole(_ range: ByteRange, in head: RequestHead, field: String) throws(MartletError) -> UInt64 {
        let number = head.arena.withUnsafeBytes { $0.slice(range.range).decimal }
        guard let number else {
            throw .invalidArgument(field: field, reason: "must be a whole number greater than zero")
        }
        return number
    }

    /// The amount of an increment: `by`, or 1.
    func amount(in head: RequestHead) throws(MartletError) -> Int64 {
        guard let by else { return 1 }
        let text = head.arena.withUnsafeBytes { String(decoding: $0.slice(by.range), as: UTF8.self) }
        guard let number = Int64(text), !text.hasPrefix("+") else {
            throw .invalidArgument(field: "by", reason: "must be a signed 64-bit integer")
        }
        return number
    }
}
