import Delivery
import Logging
import Tenancy

/// Everything that `martlet serve` was told, checked. What it holds can be carried out as it stands, except for what
/// only the attempt can show: a port that is taken, a directory that cannot be written.
package struct ServeConfiguration: Sendable {
    /// Cleartext on loopback, and a cache `default`.
    package var isDevelopment: Bool
    /// Where everything durable is kept.
    package var dataDirectory: String
    /// The doors on HTTP.
    package var http: ListenAddress
    /// The RESP door.
    package var resp: ListenAddress
    /// Metrics, health and the control plane on an event loop of their own, or nil for no such listener.
    package var ops: ListenAddress?
    package var eventLoopCount: Int
    /// The ceiling of the embedded engine.
    package var memoryBytes: Int
    /// Whether values are encrypted in memory.
    package var isSealing: Bool
    /// The base name under which clients reach the service, without a port.
    package var endpoint: String
    package var transport: Transport
    /// The faults-on-demand mode for the tests of client libraries, or nil.
    package var emulator: Emulator?
    package var log: LogConfiguration
    /// The sizes that hold where neither a cache nor its tenant sets its own.
    package var sizes: SizeDefaults
    package var topics: TopicConfiguration
    /// Networks that are not the public Internet and may be called all the same.
    package var deliveryAllow: [NetworkBlock]
    /// How long a drain waits for what is in flight.
    package var shutdownGraceSeconds: Int
    /// The name of the machine, for the certificate.
    package var hostName: String

    /// How bytes travel.
    package enum Transport: Sendable, Equatable {
        case cleartext
        /// TLS with a certificate (its chain behind it) and a key that the operator gives, both PEM files.
        case tls(certificatePath: String, keyPath: String)
        /// TLS with a certificate of Martlet's own, issued by a local authority in the data directory.
        case tlsWithLocalAuthority
    }

    package struct Emulator: Sendable, Equatable {
        package var admin: ListenAddress
    }

    /// How often a subscriber of a topic hears that its connection lives. The tests of client libraries, for which the
    /// emulator is, expect several such messages within a few seconds.
    package var heartbeatMilliseconds: Int64 {
        guard emulator != nil else { return topics.heartbeatMilliseconds }
        return min(topics.heartbeatMilliseconds, ServeDefaults.emulatorHeartbeatMilliseconds)
    }

    /// A file of the data directory.
    package func path(of name: String) -> String {
        dataDirectory.hasSuffix("/") ? dataDirectory + name : "\(dataDirectory)/\(name)"
    }

    package var rootKeyPath: String { path(of: "root.key") }
}

/// The values that hold where nothing was configured.
package enum ServeDefaults {
    package static let dataDirectory = "./martlet-data"
    package static let developmentHTTP = "127.0.0.1:8080"
    package static let developmentRESP = "127.0.0.1:6380"
    package static let http = "0.0.0.0:8443"
    package static let resp = "0.0.0.0:6380"
    package static let ops = "127.0.0.1:9464"
    package static let emulatorAdmin = "127.0.0.1:9090"
    package static let endpoint = "localhost"
    package static let log = LogConfiguration(level: .info, format: .text)
    package static let shutdownGraceSeconds = 30
    package static let maxShutdownGraceSeconds = 3600
    package static let topicHeartbeatMilliseconds: Int64 = 10_000
    package static let emulatorHeartbeatMilliseconds: Int64 = 1000
    package static let topicHeartbeatRange: ClosedRange<Int64> = 250...3_600_000
    package static let topicRetainedMessages = 1024
    package static let maxTopicRetainedMessages = 1_000_000
    package static let topicRetainedBytes = 4 << 20
    /// Of one topic; a number so large leaves it to the memory that all topics share.
    package static let maxTopicRetainedBytes = 1 << 40
    package static let topicRetainedSeconds = 300
    package static let maxTopicRetainedSeconds = 86_400
    package static let maxEventLoops = 256
    /// The lane of the webhooks, behind those of all listeners.
    package static let webhookLane = 1024
    /// Below this the engine has no room to work in; it is most often a unit forgotten behind a number.
    package static let minMemoryBytes = 1 << 20
}
