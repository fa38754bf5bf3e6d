import CacheService
import Tenancy
import Testing

@testable import Gateway

@Suite struct RenderingTests {
    @Test(arguments: [
        (0, "0"), (9, "9"), (10, "10"), (204, "204"), (5_000_192, "5000192"), (Int.max, "9223372036854775807"),
    ])
    func decimals(number: Int, text: String) {
        withUnsafeTemporaryAllocation(byteCount: 64, alignment: 8) { memory in
            guard let base = memory.baseAddress else { return }
            var renderer = FieldRenderer(base)
            #expect(String(decoding: renderer.decimal(number), as: UTF8.self) == text)
        }
    }

    @Test func earlierFieldsStayWhenLaterOnesAreRendered() {
        withUnsafeTemporaryAllocation(byteCount: Exchange.renderedCapacity, alignment: 8) { memory in
            guard let base = memory.baseAddress else { return }
            var renderer = FieldRenderer(base)
            let status = renderer.decimal(Int.max)
            let length = renderer.decimal(Int.max)
            let etag = renderer.etag(EntityTag(hash: ValueHash(low: .max, high: .max), coding: .zstd))
            #expect(String(decoding: status, as: UTF8.self) == String(Int.max))
            #expect(String(decoding: length, as: UTF8.self) == String(Int.max))
            #expect(etag.count == 39)
            // The longest of everything fits into what an exchange has.
            #expect(status.count + length.count + etag.count <= Exchange.renderedCapacity)
        }
    }

    @Test(arguments: [
        (Int64(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT"), (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
        (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"), (1_709_251_199, "Thu, 29 Feb 2024 23:59:59 GMT"),
        (2_147_483_648, "Tue, 19 Jan 2038 03:14:08 GMT"), (253_402_300_799, "Fri, 31 Dec 9999 23:59:59 GMT"),
    ])
    func datesAreInTheirFixedForm(seconds: Int64, text: String) {
        withUnsafeTemporaryAllocation(byteCount: HTTPDate.byteCount, alignment: 8) { memory in
            guard let base = memory.baseAddress else { return }
            HTTPDate.render(seconds: seconds, into: base)
            #expect(String(decoding: memory, as: UTF8.self) == text)
        }
    }

    @Test func theDateOfALaneFollowsTheClock() throws {
        let fixture = try GatewayFixture()
        let before = String(decoding: fixture.lane.dateText, as: UTF8.self)
        fixture.clock.advance(milliseconds: 1000)
        fixture.lane.beginTick()
        let after = String(decoding: fixture.lane.dateText, as: UTF8.self)
        #expect(before == "Tue, 05 Nov 1985 00:53:20 GMT")
        #expect(after == "Tue, 05 Nov 1985 00:53:21 GMT")
    }

    @Test func errorsAreJSONWithEveryFieldThatApplies() {
        func text(_ error: MartletError) -> String { String(decoding: error.json, as: UTF8.self) }
        #expect(
            text(.tooLarge(limit: .maxItemBytes, value: 10))
                == "{\"code\":\"\(MartletError.tooLarge(limit: .maxItemBytes, value: 10).row.code)\",\"message\":"
                + "\"the item size (key and value) is over the limit of 10 bytes\",\"limit\":\"max_item_bytes\",\"value\":10}\n"
        )
        #expect(text(.busy(retryAfterMilliseconds: 7)).contains(",\"retry_after_ms\":7}"))
        #expect(text(.invalidArgument(field: "key", reason: "is missing")).hasSuffix(",\"field\":\"key\"}\n"))
    }

    @Test func quotedTextIsEscaped() {
        let error = MartletError.invalidArgument(field: "a\"b\\c\n\u{0}\u{1F}/é\u{1F600}", reason: "\u{7F}\t")
        let text = String(decoding: error.json, as: UTF8.self)
        #expect(text.contains("\"field\":\"a\\\"b\\\\c\\u000a\\u0000\\u001f/é\u{1F600}\""))
        #expect(text.contains("\\u0009"))
        #expect(!text.dropLast().contains { $0.isNewline })
    }
}
