import CacheService
import Tenancy
import Testing

@testable import Gateway

private let first = ValueHash(low: 0x0123_4567_89AB_CDEF, high: 0xFEDC_BA98_7654_3210)
private let second = ValueHash(low: 2, high: 1)

private func tags(_ text: String) throws -> EntityTags {
    try Array(text.utf8).withUnsafeBytes { try EntityTags($0, field: "if-match") }
}

private func tag(_ hash: ValueHash, _ coding: ContentCoding = .identity) -> String {
    withUnsafeTemporaryAllocation(byteCount: 64, alignment: 8) { memory in
        guard let base = memory.baseAddress else { return "" }
        var renderer = FieldRenderer(base)
        return String(decoding: renderer.etag(EntityTag(hash: hash, coding: coding)), as: UTF8.self)
    }
}

@Suite struct EntityTagsTests {
    @Test func aTagIsReadAsItIsWritten() throws {
        for hash in [first, second, ValueHash(low: 0, high: 0), ValueHash(low: .max, high: .max)] {
            #expect(try tags(tag(hash)) == .list([(EntityTag(hash: hash), false)]))
        }
    }

    @Test func aTagIsThirtyTwoLowerCaseDigitsInQuotes() {
        #expect(tag(first) == "\"fedcba98765432100123456789abcdef\"")
        #expect(tag(second) == "\"00000000000000010000000000000002\"")
    }

    @Test func theTagOfTheZstdFormHasItsNameBehindTheDigits() throws {
        #expect(tag(first, .zstd) == "\"fedcba98765432100123456789abcdef-zstd\"")
        let list = try tags(tag(first, .zstd))
        #expect(list == .list([(EntityTag(hash: first, coding: .zstd), false)]))
        // A condition is about the value, in whichever form its tag was told.
        #expect(list.matchesStrongly(first) && list.matchesWeakly(first) && !list.matchesStrongly(second))
        #expect(try tags("W/" + tag(first, .zstd)).strong.isEmpty)
    }

    @Test func ofTwoFormsTheOneThatWouldBeSentIsPreferred() throws {
        let (plain, zstd) = (EntityTag(hash: first), EntityTag(hash: first, coding: .zstd))
        #expect(try tags(tag(first, .zstd)).named(plain) == zstd)
        #expect(try tags(tag(first)).named(zstd) == plain)
        for list in ["\(tag(first)), \(tag(first, .zstd))", "W/\(tag(first, .zstd)), W/\(tag(first))", "*"] {
            #expect(try tags(list).named(plain) == plain)
            #expect(try tags(list).named(zstd) == zstd)
        }
    }

    @Test(arguments: ["*", " *", "* ", "\t*\t"])
    func aStarIsAnyTag(text: String) throws {
        #expect(try tags(text) == .any)
    }

    @Test func listsKeepTheirOrderAndWeakness() throws {
        let list = try tags("\(tag(first)), W/\(tag(second)) ,\t\(tag(second))")
        #expect(
            list
                == .list(
                    [
                        (EntityTag(hash: first), false), (EntityTag(hash: second), true),
                        (EntityTag(hash: second), false),
                    ]))
        #expect(list.strong == [first, second])
    }

    @Test func foreignTagsMatchNothing() throws {
        let upperCase = tag(first).uppercased()
        for text in [
            "\"\"", "\"abc\"", "\"a,b\"", "\"*\"", upperCase, "\"\(String(repeating: "a", count: 32))-gzip\"",
            "\"\(String(repeating: "a", count: 32))-ZSTD\"", "\"\(String(repeating: "g", count: 32))-zstd\"",
            "\"\(String(repeating: "g", count: 32))\"", "\"\u{FC}\"",
        ] {
            let list = try tags(text)
            #expect(list == .list([]))
            #expect(!list.matchesStrongly(first))
            #expect(!list.matchesWeakly(first))
        }
    }

    @Test(arguments: [
        "", " ", "abc", "\"", "\"abc", "abc\"", "**", "*,*", "* \"a\"", "\"a\" \"b\"", "\"a\",", ",\"a\"",
        "\"a\",,\"b\"",
        "w/\"a\"", "W/", "W/abc", "W \"a\"", "'a'", "\"a\"x",
    ])
    func whatIsNoListIsRefused(text: String) {
        #expect(throws: MartletError.self) { try tags(text) }
    }

    @Test func strongComparisonLeavesWeakTagsOut() throws {
        let weak = try tags("W/\(tag(first))")
        #expect(weak.matchesWeakly(first))
        #expect(!weak.matchesStrongly(first))
        #expect(weak.strong.isEmpty)
        let strong = try tags(tag(first))
        #expect(strong.matchesWeakly(first))
        #expect(strong.matchesStrongly(first))
        #expect(!strong.matchesStrongly(second))
        #expect(try tags("*").matchesStrongly(second))
    }

    @Test func aListMayHoldSixtyFourTags() throws {
        let most = Array(repeating: "\"a\"", count: EntityTags.maximumCount).joined(separator: ",")
        #expect(try tags(most) == .list([]))
        #expect(throws: MartletError.self) { try tags(most + ",\"a\"") }
    }

    @Test func mutatedListsNeverTrap() {
        var generator = SeededGenerator(seed: 23)
        let alphabet = Array("\"W/*, \t0af".utf8)
        for _ in 0..<20_000 {
            let bytes = (0..<Int.random(in: 0...40, using: &generator)).map { _ in
                alphabet.randomElement(using: &generator) ?? 0
            }
            bytes.withUnsafeBytes { bytes in
                guard let list = try? EntityTags(bytes, field: "if-match") else { return }
                #expect(list.strong.allSatisfy { list.matchesStrongly($0) && list.matchesWeakly($0) })
            }
        }
    }
}

extension EntityTags {
    fileprivate func matchesStrongly(_ hash: ValueHash) -> Bool {
        hashes(isStrong: true).contains(hash)
    }

    fileprivate func matchesWeakly(_ hash: ValueHash) -> Bool {
        hashes(isStrong: false).contains(hash)
    }
}
