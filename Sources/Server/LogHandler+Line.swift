import Logging
import Tenancy

/// One log event, ready to be written in either format.
struct LogLine {
    let time: Timestamp
    let level: Logger.Level
    let label: String
    let message: String
    /// In the order in which they are written.
    let metadata: [(key: String, value: Logger.Metadata.Value)]

    /// `TIME LEVEL LABEL: MESSAGE KEY=VALUE …`; a value with a space, a quote or an equals sign in it is quoted.
    var text: String {
        var line = "\(LogText.time(time)) \(level.rawValue) \(LogText.escapedText(label)): "
        line += LogText.escapedText(LogText.redacted(message))
        for (key, value) in metadata {
            let shown = LogText.isSecret(key) ? LogText.redaction : LogText.redacted(Self.plain(value))
            let escaped = LogText.escapedText(shown)
            let wantsQuotes = escaped.isEmpty || escaped.utf8.contains { $0 == 0x20 || $0 == 0x22 || $0 == 0x3D }
            line += " \(LogText.escapedText(key))="
            line += wantsQuotes ? "\"\(escaped.replacing("\"", with: "\\\""))\"" : escaped
        }
        return line
    }

    /// `{"time":…,"level":…,"logger":…,"message":…,"metadata":{…}}`. The metadata stand apart, so that a key among them
    /// can never be taken for a field of the line.
    var json: String {
        var line = "{\"time\":\"\(LogText.time(time))\",\"level\":\"\(level.rawValue)\",\"logger\":"
        line += LogText.jsonString(label)
        line += ",\"message\":" + LogText.jsonString(LogText.redacted(message))
        if !metadata.isEmpty {
            line += ",\"metadata\":" + Self.jsonObject(metadata)
        }
        return line + "}"
    }

    private static func jsonObject(_ entries: [(key: String, value: Logger.Metadata.Value)]) -> String {
        let fields = entries.map { key, value in
            let shown = LogText.isSecret(key) ? LogText.jsonString(LogText.redaction) : json(value)
            return LogText.jsonString(key) + ":" + shown
        }
        return "{" + fields.joined(separator: ",") + "}"
    }

    private static func json(_ value: Logger.Metadata.Value) -> String {
        switch value {
        case .string(let text):
            LogText.jsonString(LogText.redacted(text))
        case .stringConvertible(let convertible):
            LogText.jsonString(LogText.redacted(convertible.description))
        case .array(let values):
            "[" + values.map(json).joined(separator: ",") + "]"
        case .dictionary(let entries):
            jsonObject(entries.sorted { $0.key < $1.key })
        }
    }

    private static func plain(_ value: Logger.Metadata.Value) -> String {
        switch value {
        case .string(let text):
            return text
        case .stringConvertible(let convertible):
            return convertible.description
        case .array(let values):
            return "[" + values.map(plain).joined(separator: ", ") + "]"
        case .dictionary(let entries):
            let fields = entries.sorted { $0.key < $1.key }.map { key, value in
                "\(key): \(LogText.isSecret(key) ? LogText.redaction : plain(value))"
            }
            return "{" + fields.joined(separator: ", ") + "}"
        }
    }
}
