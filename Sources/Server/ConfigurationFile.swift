import Configuration
import Foundation
import Tenancy

/// The configuration file: one JSON object whose entries are those of ``ConfigurationEntry``, the sizes in an object
/// `sizes` of their own.
///
/// Everything that the reader of the values would pass over in silence is refused here by name: an entry that nobody
/// knows (most often a misspelled one), and a value of another kind than the entry takes.
struct ConfigurationFile {
    /// A configuration is a page of text; anything larger is a mistake in the file's name.
    static let maxBytes = 1_048_576

    let path: String
    let snapshot: JSONSnapshot

    /// Reads and checks the file. Cost: one read of the file, which is parsed twice.
    ///
    /// - Throws: ``ConfigurationError`` for a file that cannot be read, is not a JSON object, or holds what no
    ///   configuration has.
    init(path: String) throws(ConfigurationError) {
        let bytes: [UInt8]
        do {
            bytes = try SmallFile.read(path, maxBytes: Self.maxBytes)
        } catch {
            throw ConfigurationError("the configuration file cannot be used: \(error)")
        }
        try self.init(path: path, bytes: bytes)
    }

    init(path: String, bytes: [UInt8]) throws(ConfigurationError) {
        let document: Node
        do {
            document = try JSONDecoder().decode(Node.self, from: Data(bytes))
        } catch {
            throw ConfigurationError("the configuration file \(path) is not valid JSON")
        }
        guard case .object(let entries) = document else {
            throw ConfigurationError("the configuration file \(path) must hold one JSON object")
        }
        try Self.validate(entries, prefix: "", path: path)
        do {
            self.snapshot = try JSONSnapshot(data: bytes.span.bytes, providerName: path, parsingOptions: .default)
        } catch {
            throw ConfigurationError("the configuration file \(path) cannot be read: \(error)")
        }
        self.path = path
    }

    /// Entries in alphabetic order, so that a file with two mistakes always names the same one.
    private static func validate(
        _ entries: [String: Node], prefix: String, path: String
    ) throws(ConfigurationError) {
        for (name, value) in entries.sorted(by: { $0.key < $1.key }) {
            let fullName = prefix + name
            if prefix.isEmpty, name == "sizes" {
                guard case .object(let sizes) = value else {
                    throw ConfigurationError("sizes in \(path) must be an object")
                }
                try validate(sizes, prefix: "sizes.", path: path)
                continue
            }
            guard !name.contains("."), let entry = ConfigurationEntry(rawValue: fullName), entry.isAllowedInFile else {
                throw ConfigurationError("\(path) has an unknown entry \(quoted(fullName))")
            }
            switch (entry.kind, value) {
            case (.switched, .bool), (.text, .text), (.number, .text), (.number, .integer), (.decimal, .text),
                (.decimal, .integer), (.decimal, .decimal):
                continue
            case (.switched, _):
                throw ConfigurationError("\(fullName) in \(path) must be true or false")
            case (.text, _):
                throw ConfigurationError("\(fullName) in \(path) must be a string")
            case (.number, _):
                throw ConfigurationError("\(fullName) in \(path) must be a whole number or a string")
            case (.decimal, _):
                throw ConfigurationError("\(fullName) in \(path) must be a number or a string")
            }
        }
    }

    /// A JSON value, told apart as strictly as JSON does: `true` is no number and `1` no truth.
    private enum Node: Decodable {
        case bool(Bool)
        case integer(Int)
        case decimal
        case text(String)
        case object([String: Node])
        case other

        init(from decoder: any Decoder) throws {
            if let entries = try? decoder.container(keyedBy: Name.self) {
                var object: [String: Node] = [:]
                for name in entries.allKeys {
                    object[name.stringValue] = try entries.decode(Node.self, forKey: name)
                }
                self = .object(object)
                return
            }
            let value = try decoder.singleValueContainer()
            if let bool = try? value.decode(Bool.self) {
                self = .bool(bool)
            } else if let integer = try? value.decode(Int.self) {
                self = .integer(integer)
            } else if (try? value.decode(Double.self)) != nil {
                self = .decimal
            } else if let text = try? value.decode(String.self) {
                self = .text(text)
            } else {
                self = .other
            }
        }
    }

    private struct Name: CodingKey {
        let stringValue: String
        var intValue: Int? { nil }

        init(stringValue: String) {
            self.stringValue = stringValue
        }

        init?(intValue: Int) {
            nil
        }
    }
}

/// The text in quotes, cut to what fits into a sentence and with nothing in it that could change the terminal.
func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars.prefix(120) {
        result += LogText.escaped(scalar)
    }
    return result + (text.unicodeScalars.count > 120 ? "…\"" : "\"")
}
