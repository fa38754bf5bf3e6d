import CacheService
import Metering
import Tenancy

extension UsageReport {
    /// The rows as CSV with a header (RFC 4180), in the columns of the JSON form.
    var csv: [UInt8] {
        var lines = [(["tenant", "cache", "door", "start"] + Meter.allCases.map(\.name)).joined(separator: ",")]
        for row in rows {
            var fields = [Self.field(row.tenant), Self.field(row.cache), row.usage.door.name]
            fields.append(String(row.usage.start.seconds))
            fields += Meter.allCases.map { String(row.usage[$0]) }
            lines.append(fields.joined(separator: ","))
        }
        return lines.flatMap { Array($0.utf8) + [0x0D, 0x0A] }
    }

    /// Section 2: a field that holds a comma or a quote is quoted, and its quotes are doubled. Names hold no line breaks.
    private static func field(_ text: String) -> String {
        guard text.utf8.contains(where: { $0 == 0x2C || $0 == 0x22 }) else { return text }
        // By scalars: a quote that carries an accent is another character, and still a quote to who reads the file.
        let doubled = text.unicodeScalars.flatMap { $0 == "\"" ? [$0, $0] : [$0] }
        return "\"" + String(String.UnicodeScalarView(doubled)) + "\""
    }
}
