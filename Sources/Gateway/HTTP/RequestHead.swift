/// The head of one request, whatever the HTTP version: all bytes in one arena that is kept from request to request, and
/// for each field where it lies.
///
/// ```
/// arena  │ /cache/shop?key=a │ authorization │ eyJhb… │ x-name │ value │ …
/// path    ───────────────────
/// fields                       name            value     name     value
/// ```
///
/// A class, so that the doors that look into it never copy it; each exchange has one for life.
///
/// Cost: one `memcpy` per name and value; no allocation once the arena has grown to the size of usual requests.
/// Limits: the owner passes `limit`; what exceeds it is counted but not kept, and the request is refused when its head
/// is complete.
final class RequestHead {
    struct Field {
        var name: ByteRange
        var value: ByteRange
    }

    /// Fields that doors look at by name, found while the head is read.
    enum Known: Int, CaseIterable {
        case authorization, contentType, contentLength, accept, expect, ifMatch, ifNoneMatch, origin, acceptEncoding
        case contentEncoding, host, cache, grpcTimeout, grpcEncoding
    }

    private(set) var arena: [UInt8] = []
    private(set) var fields: [Field] = []
    private(set) var method = HTTPMethod.other
    private(set) var path = ByteRange()
    /// The request is an extended CONNECT for a WebSocket (RFC 8441).
    private(set) var isWebSocketConnect = false
    /// The length of the request target, kept or not.
    private(set) var targetSize = 0
    /// Bytes of names and values so far, kept or not.
    private(set) var size = 0
    private(set) var isTooLarge = false
    /// A field that may stand only once stood twice with different values.
    private(set) var hasConflictingFields = false
    private var known:
        (Int16, Int16, Int16, Int16, Int16, Int16, Int16, Int16, Int16, Int16, Int16, Int16, Int16, Int16) =
            (-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1)

    init() {
        arena.reserveCapacity(1024)
        fields.reserveCapacity(16)
    }

    /// Makes the head ready for the next request, and gives back an arena that one large request has blown up.
    func reset() {
        if arena.capacity > 8192 {
            arena = []
            arena.reserveCapacity(1024)
        } else {
            arena.removeAll(keepingCapacity: true)
        }
        fields.removeAll(keepingCapacity: true)
        method = .other
        path = ByteRange()
        isWebSocketConnect = false
        targetSize = 0
        size = 0
        isTooLarge = false
        hasConflictingFields = false
        known = (-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1)
    }

    func setMethod(_ bytes: UnsafeRawBufferPointer) {
        method = HTTPMethod(bytes)
    }

    /// - Parameter bytes: the `:protocol` of an extended CONNECT.
    func setProtocol(_ bytes: UnsafeRawBufferPointer) {
        isWebSocketConnect = bytes.matchesIgnoringCase("websocket")
    }

    func setPath(_ bytes: UnsafeRawBufferPointer, limit: Int) {
        targetSize = bytes.count
        guard account(bytes.count, limit: limit) else { return }
        path = append(bytes)
    }

    /// Adds one header field. `name` is lower case, as HTTP/2 demands and the HTTP/1.1 side makes it.
    func add(name: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer, limit: Int) {
        // 32 bytes a field on top of its text: RFC 9113 section 6.5.2 counts them too, and it bounds `fields`.
        guard account(name.count + value.count + 32, limit: limit) else { return }
        if let index = Self.knownIndex(of: name) {
            let present = knownField(index)
            if present >= 0 {
                let first = self[fields[present].value]
                // Repeating one value is tolerated, as one official client repeats its credential. What is accepted is
                // a list, and may stand in several lines; a server need not heed all of them.
                if index != Known.acceptEncoding.rawValue, !arena.withUnsafeBytes({ $0.slice(first).equals(value) }) {
                    hasConflictingFields = true
                }
                return
            }
            setKnownField(index, fields.count)
        }
        fields.append(Field(name: append(name), value: append(value)))
    }

    /// The value of a known field, or nil. The closure must not let the bytes escape.
    @inline(__always)
    func withValue<Result>(_ field: Known, _ body: (UnsafeRawBufferPointer) -> Result) -> Result? {
        let index = knownField(field.rawValue)
        guard index >= 0 else { return nil }
        let range = fields[index].value.range
        return arena.withUnsafeBytes { body($0.slice(range)) }
    }

    /// Lends all bytes of the arena, to which ranges refer. They must not escape.
    @inline(__always)
    func withArena<Result, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try arena.withUnsafeBufferPointer { bytes throws(Failure) in try body(UnsafeRawBufferPointer(bytes)) }
    }

    @inline(__always)
    func has(_ field: Known) -> Bool {
        knownField(field.rawValue) >= 0
    }

    @inline(__always)
    func range(_ field: Known) -> ByteRange? {
        let index = knownField(field.rawValue)
        return index >= 0 ? fields[index].value : nil
    }

    /// Appends bytes that belong to this request but not to its header, such as decoded parameters.
    func append(_ bytes: UnsafeRawBufferPointer) -> ByteRange {
        let start = arena.count
        arena.append(contentsOf: bytes)
        return ByteRange(start, arena.count)
    }

    func append(_ bytes: [UInt8]) -> ByteRange {
        bytes.withUnsafeBytes { append($0) }
    }

    func appendByte(_ byte: UInt8) {
        arena.append(byte)
    }

    private subscript(range: ByteRange) -> Range<Int> { range.range }

    private func account(_ count: Int, limit: Int) -> Bool {
        size += count
        if size > limit { isTooLarge = true }
        return !isTooLarge
    }

    private static func knownIndex(of name: UnsafeRawBufferPointer) -> Int? {
        let field: Known?
        switch name.count {
        case 4: field = name.matches("host") ? .host : nil
        case 6:
            field =
                name.matches("accept")
                ? .accept : name.matches("expect") ? .expect : name.matches("origin") ? .origin : nil
        case 5: field = name.matches("cache") ? .cache : nil
        case 8: field = name.matches("if-match") ? .ifMatch : nil
        case 12:
            field =
                name.matches("content-type") ? .contentType : name.matches("grpc-timeout") ? .grpcTimeout : nil
        case 13:
            field =
                name.matches("authorization")
                ? .authorization
                : name.matches("grpc-encoding")
                    ? .grpcEncoding : name.matches("if-none-match") ? .ifNoneMatch : nil
        case 14: field = name.matches("content-length") ? .contentLength : nil
        case 15: field = name.matches("accept-encoding") ? .acceptEncoding : nil
        case 16: field = name.matches("content-encoding") ? .contentEncoding : nil
        default: field = nil
        }
        return field?.rawValue
    }

    @inline(__always)
    private func knownField(_ index: Int) -> Int {
        withUnsafeBytes(of: known) { Int($0.load(fromByteOffset: index * 2, as: Int16.self)) }
    }

    @inline(__always)
    private func setKnownField(_ index: Int, _ field: Int) {
        withUnsafeMutableBytes(of: &known) {
            $0.storeBytes(of: Int16(truncatingIfNeeded: field), toByteOffset: index * 2, as: Int16.self)
        }
    }
}
