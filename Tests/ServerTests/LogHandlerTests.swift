import Foundation
import Logging
import Synchronization
import Tenancy
import Testing

@testable import Server

struct LogHandlerTests {
    private final class Collector: LogSink {
        private let collected = Mutex<[String]>([])

        var lines: [String] { collected.withLock { $0 } }

        func write(_ line: [UInt8]) {
            collected.withLock { $0.append(String(decoding: line, as: UTF8.self)) }
        }
    }

    /// 2023-11-14T22:13:20.042Z
    private let clock = ManualClock(Timestamp(milliseconds: 1_700_000_000_042))

    private func logger(_ format: LogFormat, level: Logger.Level = .info, into collector: Collector) -> Logger {
        Logger(label: "gateway") { label in
            LineLogHandler(
                label: label, configuration: LogConfiguration(level: level, format: format), clock: clock,
                sink: collector
            )
        }
    }

    private func object(_ line: String) throws -> [String: Any] {
        try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
    }

    @Test func aTextLineHasTimeLevelLabelMessageAndMetadataInOrder() {
        let collector = Collector()
        var logger = logger(.text, into: collector)
        logger[metadataKey: "request"] = "7"
        logger.warning("slow reader", metadata: ["bytes": "12", "peer": "a b", "empty": ""])
        #expect(
            collector.lines == [
                "2023-11-14T22:13:20.042Z warning gateway: slow reader bytes=12 empty=\"\" peer=\"a b\" request=7\n"
            ]
        )
    }

    @Test func aJSONLineIsOneObjectWithTheMetadataApart() throws {
        let collector = Collector()
        logger(.json, into: collector).info(
            "said \"hi\"\\", metadata: ["level": "mine", "list": ["a", "b"], "map": ["k": "v"]]
        )
        let line = try #require(collector.lines.first)
        let fields = try object(line)
        #expect(fields["time"] as? String == "2023-11-14T22:13:20.042Z")
        #expect(fields["level"] as? String == "info")
        #expect(fields["logger"] as? String == "gateway")
        #expect(fields["message"] as? String == "said \"hi\"\\")
        let metadata = try #require(fields["metadata"] as? [String: Any])
        #expect(metadata["level"] as? String == "mine")
        #expect(metadata["list"] as? [String] == ["a", "b"])
        #expect(metadata["map"] as? [String: String] == ["k": "v"])
    }

    @Test func levelsBelowTheConfiguredOneAreNotWritten() {
        let collector = Collector()
        let logger = logger(.text, level: .error, into: collector)
        logger.warning("no")
        logger.error("yes")
        #expect(collector.lines.count == 1)
    }

    @Test(arguments: [LogFormat.text, .json]) func nothingThatACallerSendsBreaksALineOrSteersATerminal(
        format: LogFormat
    ) {
        let collector = Collector()
        let hostile = "a\nb\r\u{1B}[2J\u{0}\u{85}\u{2028}\u{202E}\u{7F}"
        logger(format, into: collector).info("\(hostile)", metadata: ["\(hostile)": "\(hostile)"])
        #expect(collector.lines.count == 1)
        let body = collector.lines[0].dropLast()
        for scalar in body.unicodeScalars {
            switch scalar.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator: Issue.record("\(scalar.value) is written")
            default: break
            }
        }
    }

    @Test func everyScalarComesBackFromJSON() throws {
        let collector = Collector()
        let text = "\u{0}\u{1F}\u{7F}\u{E000}\u{2029}\u{E0001}é😀\"\\/"
        logger(.json, into: collector).info("\(text)")
        #expect(try object(collector.lines[0])["message"] as? String == text)
    }

    @Test(
        arguments: [
            "GET /cache/shop?token=s3cret&key=a", "/cache/shop?key=a&token=s3cret", "/x?TOKEN=s3cret",
            "/x?%74oken=s3cret",
            "/x?to%4Ben=s3cret", "/x?token=s3cret#f", "/x?refresh_token=s3cret", "\"/x?token=s3cret\"", "token=s3cret",
            "?token=%73s3cret", "authorization: Bearer s3cret", "Authorization:s3cret", "?token=s3cret&token=s3cret",
            "?token=authorization:s3cret", "authorization: token=a s3cret",
        ]
    ) func secretsInTextAreTakenOut(text: String) {
        for format in [LogFormat.text, .json] {
            let collector = Collector()
            logger(format, into: collector).info(
                "\(text)",
                metadata: ["url": "\(text)", "deep": ["list": ["\(text)"]], "other": .stringConvertible(text)]
            )
            #expect(!collector.lines[0].contains("s3cret"))
            #expect(collector.lines[0].contains("[redacted]"))
        }
    }

    @Test(arguments: ["authorization", "Authorization", "cookie", "token", "api_key"])
    func metadataThatBearsTheNameOfASecretIsTakenOut(key: String) {
        for format in [LogFormat.text, .json] {
            let collector = Collector()
            logger(format, into: collector).info("m", metadata: ["\(key)": "s3cret", "headers": ["\(key)": "s3cret"]])
            #expect(!collector.lines[0].contains("s3cret"))
        }
    }

    @Test(arguments: ["no secret in here", "/cache/shop?key=tok", "tokens=5", "token", "100%", "%7", "%zz=token"])
    func whatIsNoSecretStays(text: String) {
        #expect(LogText.redacted(text) == text)
    }

    @Test func aSecretThatReachesBeyondTheCutLeavesNothing() {
        let text = String(repeating: "x", count: LogText.maxValueBytes - 10) + "?token=s3cret-and-much-more"
        #expect(!LogText.redacted(text).contains("s3"))
    }

    @Test func aLongValueIsCutBetweenCharacters() {
        for padding in 0..<4 {
            let text = String(repeating: "x", count: padding) + String(repeating: "😀", count: LogText.maxValueBytes)
            let shown = LogText.redacted(text)
            #expect(shown.utf8.count <= LogText.maxValueBytes + 3)
            #expect(shown.hasSuffix("😀…"))
        }
    }

    @Test(arguments: [Int64.min, -1, 0, 253_402_300_799_999, Int64.max]) func anyTimeCanBeWritten(milliseconds: Int64) {
        #expect(!LogText.time(Timestamp(milliseconds: milliseconds)).isEmpty)
    }

    @Test func timesAreWrittenInUTC() {
        #expect(LogText.time(Timestamp(milliseconds: 0)) == "1970-01-01T00:00:00.000Z")
        #expect(LogText.time(Timestamp(milliseconds: -1)) == "1969-12-31T23:59:59.999Z")
        #expect(LogText.time(Timestamp(milliseconds: 253_402_300_799_999)) == "9999-12-31T23:59:59.999Z")
    }

    @Test func everyDayOfFiveCenturiesIsTheCalendarsOwn() throws {
        let formatter = ISO8601DateFormatter()
        formatter.formatOptions = [.withInternetDateTime, .withFractionalSeconds]
        for day in stride(from: Int64(-100_000), to: 100_000, by: 7) {
            let milliseconds = day * 86_400_000 + 45_296_789
            let date = Date(timeIntervalSince1970: Double(milliseconds) / 1000)
            #expect(LogText.time(Timestamp(milliseconds: milliseconds)) == formatter.string(from: date))
        }
    }
}
