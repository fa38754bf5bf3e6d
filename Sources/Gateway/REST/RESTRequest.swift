import Access
import CacheService
import Tenancy

/// What the REST door found in a request target: ranges of the request's arena, decoded.
struct RESTRequest {
    enum Resource: UInt8 {
        case none
        case item
        case increment
    }

    var resource = Resource.none
    var cacheName = ByteRange()
    var key: ByteRange?
    var token: ByteRange?
    var ttlSeconds: ByteRange?
    var ttlMilliseconds: ByteRange?
    var by: ByteRange?
    /// The first thing wrong with the parameters. It is told only to callers that may know that the cache exists.
    var fault: MartletError?
    /// The request comes from a page of some origin.
    var allowsAnyOrigin = false
    /// The request is for the control plane.
    var isControl = false
    /// The limit on the body, or on key and value together, to be named in a 413.
    var sizeLimit = (name: LimitName.maxItemBytes, value: UInt64(0))
    /// Who calls, once that is known.
    var caller: LaneCaller?
    /// What they may do in which cache, once that is known.
    var opened: CacheGrant?
    /// The answer to a read may depend on what the request accepts.
    var variesByEncoding = false

    init() {}

    mutating func reset() {
        self = RESTRequest()
    }
}

extension RESTRequest {
    /// Reads `/cache/{cache}[/increment][?query]` from `head.path`. Returns false for any other path.
    ///
    /// Unknown parameters are ignored, a known one that stands twice is a fault. Cost: one pass over the target.
    mutating func parse(_ head: RequestHead) -> Bool {
        let path = head.path
        let prefix = 7  // "/cache/"
        guard path.count > prefix else { return false }
        var end = path.range.upperBound
        var query: ByteRange?
        if let mark = head.arena[path.range].firstIndex(of: 0x3F) {
            query = ByteRange(mark + 1, end)
            end = mark
        }
        let nameStart = path.range.lowerBound + prefix
        guard nameStart <= end else { return false }
        var nameEnd = end
        resource = .item
        if let slash = head.arena[nameStart..<end].firstIndex(of: 0x2F) {
            guard head.arena.withUnsafeBytes({ $0.slice(slash..<end).matches("/increment") }) else { return false }
            resource = .increment
            nameEnd = slash
        }
        if let name = Percent.decode(ByteRange(nameStart, nameEnd), in: head) {
            cacheName = name
        } else {
            fault = .invalidArgument(field: "cache", reason: "is not properly percent-encoded")
        }
        if let query { parseQuery(query, head) }
        if key == nil, fault == nil {
            fault = .invalidArgument(field: "key", reason: "is missing: give either key or key_base64")
        }
        return true
    }

    private mutating func parseQuery(_ query: ByteRange, _ head: RequestHead) {
        var scanner = QueryScanner(query)
        while let (name, value) = scanner.next(in: head) {
            if let parameter = head.arena.withUnsafeBytes({ Parameter($0.slice(name.range)) }) {
                take(parameter, value, head)
            }
        }
    }

    private enum Parameter {
        case key, keyBase64, token, ttlSeconds, ttlMilliseconds, by

        @inline(__always)
        init?(_ name: UnsafeRawBufferPointer) {
            switch name.count {
            case 3 where name.matches("key"): self = .key
            case 10 where name.matches("key_base64"): self = .keyBase64
            case 5 where name.matches("token"): self = .token
            case 11 where name.matches("ttl_seconds"): self = .ttlSeconds
            case 6 where name.matches("ttl_ms"): self = .ttlMilliseconds
            case 2 where name.matches("by"): self = .by
            default: return nil
            }
        }
    }

    private mutating func take(_ parameter: Parameter, _ value: ByteRange, _ head: RequestHead) {
        switch parameter {
        case .key:
            takeKey(Percent.decode(value, in: head), "key", "is not properly percent-encoded")
        case .keyBase64:
            let text = Percent.decode(value, in: head)
            let bytes = text.flatMap { text in head.withArena { Base64.decode($0.slice(text.range), .either) } }
            takeKey(bytes.map { head.append($0) }, "key_base64", "is not base64")
        case .token:
            guard token == nil, let decoded = Percent.decode(value, in: head) else {
                fail("token", "must stand once and be properly percent-encoded")
                return
            }
            token = decoded
        case .ttlSeconds:
            if ttlSeconds != nil { fail("ttl_seconds", "must stand once") }
            ttlSeconds = value
        case .ttlMilliseconds:
            if ttlMilliseconds != nil { fail("ttl_ms", "must stand once") }
            ttlMilliseconds = value
        case .by:
            if by != nil { fail("by", "must stand once") }
            by = value
        }
    }

    private mutating func takeKey(_ decoded: ByteRange?, _ field: String, _ reason: String) {
        guard key == nil else {
            fail(field, "must not stand beside another key: give either key or key_base64, once")
            return
        }
        guard let decoded else {
            fail(field, reason)
            return
        }
        guard !decoded.isEmpty else {
            fail(field, "must not be empty")
            return
        }
        key = decoded
    }
}
