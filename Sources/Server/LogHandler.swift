import Logging
import Tenancy

/// How a log line is written.
package enum LogFormat: String, Sendable {
    /// `2026-03-01T12:00:00.000Z info gateway: message key=value`, for people.
    case text
    /// One JSON object a line, for machines.
    case json
}

package struct LogConfiguration: Sendable, Equatable {
    package var level: Logger.Level
    package var format: LogFormat

    package init(level: Logger.Level, format: LogFormat) {
        self.level = level
        self.format = format
    }

    /// The level's name as it is configured and logged.
    package var levelName: String { level.rawValue }

    /// Makes every `Logger` of the process write to standard error in this format and from this level on. To be called
    /// once, before the first logger is made: swift-log stops the process at a second call.
    package func bootstrap() {
        let configuration = self
        LoggingSystem.bootstrap(
            { label, provider in
                LineLogHandler(
                    label: label, configuration: configuration, clock: SystemClock(), sink: StandardErrorSink.shared,
                    metadataProvider: provider
                )
            },
            metadataProvider: nil
        )
    }
}

/// Where finished log lines go.
package protocol LogSink: Sendable {
    /// Takes one line with its line feed, whole, from any thread.
    func write(_ line: [UInt8])
}

/// Turns each log event into one line and hands it to a sink in one piece.
///
/// What reaches the sink is safe to keep and to look at: secrets are taken out (``LogText/redacted(_:)``), whatever a
/// caller sent can neither begin a line of its own nor move the cursor of a terminal, and no value is longer than
/// ``LogText/maxValueBytes``.
package struct LineLogHandler: LogHandler {
    package var logLevel: Logger.Level
    package var metadata: Logger.Metadata = [:]
    package var metadataProvider: Logger.MetadataProvider?

    private let label: String
    private let format: LogFormat
    private let clock: any WallClock
    private let sink: any LogSink

    package init(
        label: String, configuration: LogConfiguration, clock: any WallClock, sink: any LogSink,
        metadataProvider: Logger.MetadataProvider? = nil
    ) {
        self.label = label
        self.logLevel = configuration.level
        self.format = configuration.format
        self.clock = clock
        self.sink = sink
        self.metadataProvider = metadataProvider
    }

    package subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    package func log(event: LogEvent) {
        var merged = metadata
        if let provided = metadataProvider?.get() {
            merged.merge(provided) { _, new in new }
        }
        if let own = event.metadata {
            merged.merge(own) { _, new in new }
        }
        if let error = event.error {
            merged["error"] = .string("\(error)")
        }
        let line = LogLine(
            time: clock.now(), level: event.level, label: label, message: event.message.description,
            metadata: merged.sorted { $0.key < $1.key }
        )
        var bytes: [UInt8]
        switch format {
        case .text: bytes = Array(line.text.utf8)
        case .json: bytes = Array(line.json.utf8)
        }
        bytes.append(UInt8(ascii: "\n"))
        sink.write(bytes)
    }
}
