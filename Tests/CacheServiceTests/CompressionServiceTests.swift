import Access
import Catalog
import Engine
import Tenancy
import Testing

@testable import CacheService

/// How caches are told to compress, and what is told of it.
@Suite struct CompressionServiceTests {
    private static let value = String(repeating: "{\"name\":\"value\"}", count: 60)
    private let fixture: Fixture
    private let credential: String

    init() throws {
        fixture = try Fixture()
        credential = try fixture.control.mintKey(
            KeyOrder(format: .v2, grant: .permissions(.allDataReadWrite)), caller: fixture.root
        ).secret.presented
    }

    private func put(_ cache: String, _ compression: CacheCompression?) throws {
        var change = CacheChange()
        change.compression = compression
        _ = try fixture.control.putCache(CacheName(cache), change, caller: fixture.root)
    }

    private func set(_ key: String, _ cache: String) throws {
        try fixture.set(key, Self.value, in: cache, with: credential)
    }

    private func statistics(_ cache: String) throws -> CompressionStatistics {
        let report = try fixture.control.cache(CacheName(cache), caller: fixture.root)
        return report.statistics?.items.compression ?? CompressionStatistics()
    }

    @Test(arguments: [CacheCompression.zstd, .zstdDictionary])
    func aCacheThatIsMadeSoCompresses(compression: CacheCompression) throws {
        try put("shop", compression)
        try set("a", "shop")
        let statistics = try statistics("shop")
        #expect(statistics.plainBytes == UInt64(Self.value.utf8.count))
        #expect(statistics.storedBytes > 0 && statistics.storedBytes < statistics.plainBytes / 2)
        #expect(try fixture.length(of: "a", in: "shop", with: credential) == Self.value.utf8.count)
    }

    @Test func aChangeHoldsForTheNextWrite() throws {
        try put("shop", nil)
        try set("a", "shop")
        #expect(try statistics("shop") == CompressionStatistics())
        try put("shop", .zstd)
        try set("b", "shop")
        let once = try statistics("shop")
        #expect(once.plainBytes == UInt64(Self.value.utf8.count))
        // A change of something else changes nothing of it.
        try put("shop", nil)
        try set("c", "shop")
        #expect(try statistics("shop").plainBytes == 2 * once.plainBytes)
        try put("shop", .off)
        try set("d", "shop")
        #expect(try statistics("shop").plainBytes == 2 * once.plainBytes)
        for key in ["a", "b", "c", "d"] {
            #expect(try fixture.length(of: key, in: "shop", with: credential) == Self.value.utf8.count)
        }
    }

    @Test func aDeletedCacheStaysInTheSums() throws {
        for name in ["shop", "bakery"] {
            try put(name, .zstd)
            try set("a", name)
        }
        let before = fixture.service.compressionTotals
        #expect(before.plainBytes == UInt64(2 * Self.value.utf8.count))
        try fixture.control.deleteCache(CacheName("shop"), caller: fixture.root)
        #expect(fixture.service.compressionTotals == before)
        try put("shop", .zstd)
        try set("a", "shop")
        #expect(fixture.service.compressionTotals.plainBytes == UInt64(3 * Self.value.utf8.count))
    }

    @Test func whetherAnswersVaryIsKnownOfTheGrant() throws {
        try put("shop", .zstd)
        try set("a", "shop")
        #expect(try grant("shop").variesByEncoding)
        // What lies there as frames is still handed out so.
        try put("shop", .off)
        #expect(try grant("shop").variesByEncoding)
        try put("bakery", nil)
        #expect(try !grant("bakery").variesByEncoding)
        // What a dictionary does not fit lies compressed by itself.
        try put("bakery", .zstdDictionary)
        #expect(try grant("bakery").variesByEncoding)
    }

    private func grant(_ cache: String) throws -> CacheGrant {
        let caller = try fixture.remember(credential)
        return try Array(cache.utf8).withUnsafeBytes { cache in
            try Array("a".utf8).withUnsafeBytes { key in
                try fixture.lane.permit(caller, cacheName: cache, operation: .get, key: key, door: .rest)
            }
        }
    }
}
