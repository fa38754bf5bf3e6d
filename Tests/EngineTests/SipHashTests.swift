import COpenSSL
import Engine
import Testing
import Tenancy

/// The key and messages of the published vectors: 00 01 02 ...
private let vectorKey = SipHashKey(k0: 0x0706_0504_0302_0100, k1: 0x0f0e_0d0c_0b0a_0908)

private func digest(
    _ message: [UInt8], _ key: SipHashKey, _ compression: Int, _ finalization: Int, isWide: Bool
) -> [UInt8] {
    let words = message.withUnsafeBytes {
        SipHash.digest(
            of: $0, key: key, compressionRounds: compression, finalizationRounds: finalization, isWide: isWide)
    }
    func bytes(_ word: UInt64) -> [UInt8] { (0..<8).map { UInt8(truncatingIfNeeded: word >> (8 * $0)) } }
    return isWide ? bytes(words.low) + bytes(words.high) : bytes(words.low)
}

/// A name that OpenSSL may keep a pointer to.
private func name(_ text: StaticString) -> UnsafePointer<CChar> {
    UnsafeRawPointer(text.utf8Start).assumingMemoryBound(to: CChar.self)
}

/// OpenSSL's own SipHash (EVP_MAC-SIPHASH).
private func referenceDigest(
    _ message: [UInt8], _ key: SipHashKey, _ compression: UInt32, _ finalization: UInt32, size: Int
) throws -> [UInt8] {
    let mac = try #require(EVP_MAC_fetch(nil, "SIPHASH", nil))
    defer { EVP_MAC_free(mac) }
    let context = try #require(EVP_MAC_CTX_new(mac))
    defer { EVP_MAC_CTX_free(context) }
    var compression = compression
    var finalization = finalization
    var size = size
    let isInitialised = [key.k0.littleEndian, key.k1.littleEndian].withUnsafeBytes { key in
        withUnsafeMutablePointer(to: &compression) { compression in
            withUnsafeMutablePointer(to: &finalization) { finalization in
                withUnsafeMutablePointer(to: &size) { size in
                    let parameters = [
                        OSSL_PARAM_construct_size_t(name("size"), size),
                        OSSL_PARAM_construct_uint(name("c-rounds"), compression),
                        OSSL_PARAM_construct_uint(name("d-rounds"), finalization),
                        OSSL_PARAM_construct_end(),
                    ]
                    return EVP_MAC_init(context, key.bindMemory(to: UInt8.self).baseAddress, 16, parameters)
                }
            }
        }
    }
    try #require(isInitialised == 1)
    try #require(EVP_MAC_update(context, message, message.count) == 1)
    var result = [UInt8](repeating: 0, count: size)
    var written = 0
    try #require(EVP_MAC_final(context, &result, &written, size) == 1)
    try #require(written == size)
    return result
}

@Suite struct SipHashTests {
    /// Published vectors of SipHash-2-4, by the length of the message.
    static let narrowVectors: [(Int, [UInt8])] = [
        (0, [0x31, 0x0e, 0x0e, 0xdd, 0x47, 0xdb, 0x6f, 0x72]),
        (1, [0xfd, 0x67, 0xdc, 0x93, 0xc5, 0x39, 0xf8, 0x74]),
        (7, [0x37, 0xd1, 0x01, 0x8b, 0xf5, 0x00, 0x02, 0xab]),
        (8, [0x62, 0x24, 0x93, 0x9a, 0x79, 0xf5, 0xf5, 0x93]),
        (15, [0xe5, 0x45, 0xbe, 0x49, 0x61, 0xca, 0x29, 0xa1]),
        (16, [0xdb, 0x9b, 0xc2, 0x57, 0x7f, 0xcc, 0x2a, 0x3f]),
        (63, [0x72, 0x45, 0x06, 0xeb, 0x4c, 0x32, 0x8a, 0x95]),
    ]
    static let wideVectors: [(Int, [UInt8])] = [
        (0, [0xa3, 0x81, 0x7f, 0x04, 0xba, 0x25, 0xa8, 0xe6, 0x6d, 0xf6, 0x72, 0x14, 0xc7, 0x55, 0x02, 0x93]),
        (1, [0xda, 0x87, 0xc1, 0xd8, 0x6b, 0x99, 0xaf, 0x44, 0x34, 0x76, 0x59, 0x11, 0x9b, 0x22, 0xfc, 0x45]),
        (7, [0xa1, 0xf1, 0xeb, 0xbe, 0xd8, 0xdb, 0xc1, 0x53, 0xc0, 0xb8, 0x4a, 0xa6, 0x1f, 0xf0, 0x82, 0x39]),
        (8, [0x3b, 0x62, 0xa9, 0xba, 0x62, 0x58, 0xf5, 0x61, 0x0f, 0x83, 0xe2, 0x64, 0xf3, 0x14, 0x97, 0xb4]),
        (63, [0x51, 0x50, 0xd1, 0x77, 0x2f, 0x50, 0x83, 0x4a, 0x50, 0x3e, 0x06, 0x9a, 0x97, 0x3f, 0xbd, 0x7c]),
    ]

    @Test(arguments: narrowVectors)
    func publishedVectorsOf64Bits(length: Int, expected: [UInt8]) {
        #expect(digest(Array(0..<UInt8(length)), vectorKey, 2, 4, isWide: false) == expected)
    }

    @Test(arguments: wideVectors)
    func publishedVectorsOf128Bits(length: Int, expected: [UInt8]) {
        #expect(digest(Array(0..<UInt8(length)), vectorKey, 2, 4, isWide: true) == expected)
    }

    @Test(arguments: [(1, 3), (2, 4)], [false, true])
    func agreesWithOpenSSLAtEveryLength(rounds: (Int, Int), isWide: Bool) throws {
        var random = SeededGenerator(seed: 5)
        for length in 0...300 {
            let message = (0..<length).map { _ in UInt8.random(in: 0...255, using: &random) }
            let key = SipHashKey(k0: random.next(), k1: random.next())
            let expected = try referenceDigest(
                message, key, UInt32(rounds.0), UInt32(rounds.1), size: isWide ? 16 : 8)
            #expect(digest(message, key, rounds.0, rounds.1, isWide: isWide) == expected, "length \(length)")
        }
    }

    @Test func hashOfAMessageDoesNotDependOnItsAlignment() {
        let message = Array("an unaligned message of some length".utf8)
        let expected = digest(message, vectorKey, 1, 3, isWide: true)
        for shift in 1..<8 {
            let shifted = [UInt8](repeating: 0xff, count: shift) + message
            let words = shifted.withUnsafeBytes {
                SipHash.digest(
                    of: UnsafeRawBufferPointer(rebasing: $0[shift...]), key: vectorKey, compressionRounds: 1,
                    finalizationRounds: 3, isWide: true)
            }
            #expect(words.low == expected[0..<8].reversed().reduce(0) { $0 << 8 | UInt64($1) })
        }
    }

    @Test func valueHashIsTheWideHashUnderTheEnginesKey() throws {
        let engine = makeEngine()
        for length in [0, 1, 100, 191, 192, 5000] {
            let value = [UInt8](repeating: 0x61, count: length)
            let expected = try referenceDigest(value, SipHashKey(k0: 11, k1: 12), 1, 3, size: 16)
            func word(_ bytes: ArraySlice<UInt8>) -> UInt64 { bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) } }
            let hash = ValueHash(low: word(expected[0..<8]), high: word(expected[8..<16]))
            #expect(engine.hash(of: value) == hash)
            let cache = engine.open()
            try cache.write("key".utf8, value)
            #expect(cache.read("key".utf8)?.facts.valueHash == hash)
            #expect(cache.facts("key".utf8)?.valueHash == hash)
        }
    }
}
