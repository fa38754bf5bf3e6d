/// One thing that can be configured: a flag, an environment variable and a configuration file entry with one meaning.
///
/// The raw value is the name of the entry in the configuration file. The names of the flag and of the environment
/// variable follow from it, so that none of the three can be forgotten or spelled differently.
package enum ConfigurationEntry: String, CaseIterable, Sendable {
    case dev
    case allowCleartext = "allow_cleartext"
    case config
    case dataDirectory = "data_dir"
    case http
    case resp
    case ops
    case eventLoops = "event_loops"
    case memory
    case seal
    case endpoint
    case tlsCertificate = "tls_cert"
    case tlsKey = "tls_key"
    case emulator
    case emulatorAdmin = "emulator_admin"
    case logLevel = "log_level"
    case logFormat = "log_format"
    case shutdownGrace = "shutdown_grace"
    case topicHeartbeat = "topic_heartbeat"
    case topicRetainedMessages = "topic_retained_messages"
    case topicRetainedBytes = "topic_retained_bytes"
    case topicRetainedSeconds = "topic_retained_seconds"
    case deliveryAllow = "delivery_allow"
    case maxItemBytes = "sizes.max_item_bytes"
    case maxElementBytes = "sizes.max_element_bytes"
    case maxMessageBytes = "sizes.max_message_bytes"
    case maxKeyBytes = "sizes.max_key_bytes"

    /// What the configuration file may hold under an entry.
    enum Kind {
        /// `true` or `false`.
        case switched
        /// A string.
        case text
        /// A whole number, or a string that a flag would take.
        case number
        /// A number, or a string that a flag would take.
        case decimal
    }

    var kind: Kind {
        switch self {
        case .dev, .allowCleartext, .emulator:
            .switched
        case .eventLoops, .memory, .shutdownGrace, .topicRetainedMessages, .topicRetainedBytes, .topicRetainedSeconds,
            .maxItemBytes, .maxElementBytes, .maxMessageBytes, .maxKeyBytes:
            .number
        case .topicHeartbeat:
            .decimal
        case .config, .dataDirectory, .http, .resp, .ops, .seal, .endpoint, .tlsCertificate, .tlsKey, .emulatorAdmin,
            .logLevel, .logFormat, .deliveryAllow:
            .text
        }
    }

    /// The path of the entry in the configuration file, from the outside in.
    var components: [String] {
        rawValue.split(separator: ".").map(String.init)
    }

    /// The environment variable: `MARTLET_` and the path of the entry in capitals, joined by `_`.
    package var environmentVariable: String {
        "MARTLET_" + components.joined(separator: "_").uppercased()
    }

    /// The flag, or nil for an entry that has none: the sizes stand in the file or in the environment only.
    package var flag: String? {
        components.count == 1 ? "--" + rawValue.replacing("_", with: "-") : nil
    }

    /// Whether the entry may stand in a configuration file; the name of that file cannot.
    var isAllowedInFile: Bool {
        self != .config
    }
}
