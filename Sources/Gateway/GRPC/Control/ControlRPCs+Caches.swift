import Access
import CacheService
import Catalog
import Tenancy
import Wire

extension ControlRPCs {
    /// How many caches one answer names at least before it is cut into pages: some SDKs read the first page alone, and
    /// take messages of five megabytes.
    private static let cachesListed = 10_000

    func createCache(_ message: [UInt8], _ caller: Caller) throws(MartletError) -> [UInt8] {
        try control.permit(.manageCaches, caller)
        let request = try Self.decode(Control_CreateCacheRequest.self, message)
        try control.createCache(try CacheName(request.cacheName, field: "cache_name"), caller: caller)
        return try Self.encode(Control_CreateCacheResponse())
    }

    func deleteCache(_ message: [UInt8], _ caller: Caller) throws(MartletError) -> [UInt8] {
        try control.permit(.manageCaches, caller)
        let request = try Self.decode(Control_DeleteCacheRequest.self, message)
        try control.deleteCache(try CacheName(request.cacheName, field: "cache_name"), caller: caller)
        return try Self.encode(Control_DeleteCacheResponse())
    }

    func flushCache(_ message: [UInt8], _ caller: Caller) throws(MartletError) -> [UInt8] {
        try control.permit(.flushCache, caller)
        let request = try Self.decode(Control_FlushCacheRequest.self, message)
        try control.flushCache(try CacheName(request.cacheName, field: "cache_name"), caller: caller)
        return try Self.encode(Control_FlushCacheResponse())
    }

    func listCaches(_ message: [UInt8], _ caller: Caller) throws(MartletError) -> [UInt8] {
        try control.permit(.manageCaches, caller)
        let request = try Self.decode(Control_ListCachesRequest.self, message)
        var response = Control_ListCachesResponse()
        response.nextToken = request.nextToken
        repeat {
            let page = try control.caches(try Self.page(after: response.nextToken), caller: caller)
            response.cache += page.items.map { Control_Cache($0) }
            response.nextToken = page.nextToken ?? ""
        } while !response.nextToken.isEmpty && response.cache.count < Self.cachesListed
        return try Self.encode(response)
    }
}

extension Control_Cache {
    /// Both kinds of limits are always there: SDKs read them without asking whether they are.
    fileprivate init(_ report: CacheReport) {
        self.init()
        cacheName = report.record.name.text
        cacheLimits = Control_CacheLimits(report.limitsInForce)
        topicLimits = Control_TopicLimits(report.limitsInForce)
    }
}

extension Control_CacheLimits {
    /// A limit that is not set is not enforced; clients are then shown the nominal figure of the contract.
    init(_ limits: Limits) {
        self.init()
        maxTrafficRate = UInt32(clamping: limits[.maxOperationsPerSecond] ?? 500)
        let throughput = [limits[.maxBytesInPerSecond], limits[.maxBytesOutPerSecond]].compactMap(\.self).min()
        maxThroughputKbps = throughput.map(kilobytes) ?? 10_240
        maxItemSizeKb = limits[.maxItemBytes].map(kilobytes) ?? 4_883
        maxTtlSeconds = limits[.maxTTLSeconds] ?? 86_400
    }
}

extension Control_TopicLimits {
    /// As ``Control_CacheLimits``.
    init(_ limits: Limits) {
        self.init()
        maxPublishRate = UInt32(clamping: limits[.maxPublishPerSecond] ?? 100)
        maxSubscriptionCount = UInt32(clamping: limits[.maxSubscriptions] ?? 100)
        maxPublishMessageSizeKb = limits[.maxMessageBytes].map(kilobytes) ?? 100
    }
}

/// Whole ones of 1,024 bytes, rounded down: who keeps to what is shown is never refused.
private func kilobytes(_ bytes: UInt64) -> UInt32 {
    UInt32(clamping: bytes / 1024)
}
