import ArgumentParser
import Foundation
import Server

/// `martlet serve`: runs the server until it is told to stop.
struct Serve: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Run the server.",
        discussion: """
            A value is taken from the flag, else from the environment variable, else from the configuration file, else \
            from the default. The entry of a flag in the configuration file, a JSON object, is the flag's name with _ \
            for -; an object "sizes" holds max_item_bytes, max_element_bytes, max_message_bytes and max_key_bytes, \
            which have no flags (MARTLET_SIZES_MAX_ITEM_BYTES and so on).

            When it serves, one line on standard output says so: martlet ready http=HOST:PORT … Logs go to standard \
            error. SIGTERM drains and ends it; SIGHUP reads the certificate again.
            """
    )

    @Flag(
        inversion: .prefixedNo, help: Serve.help("Serve cleartext on loopback, with a cache named default.", .dev, "no")
    )
    var dev: Bool?

    @Flag(
        inversion: .prefixedNo,
        help: Serve.help(
            "With --dev: allow cleartext on addresses that others can reach, as a container needs it.", .allowCleartext,
            "no"
        )
    )
    var allowCleartext: Bool?

    @Option(help: Serve.help("The configuration file.", .config, "none", value: "file"))
    var config: String?

    @Option(
        help: Serve.help("Where everything durable is kept.", .dataDirectory, ServeDefaults.dataDirectory, value: "dir")
    )
    var dataDir: String?

    @Option(
        help: Serve.help(
            "Where HTTP/1.1 and HTTP/2 are served; port 0 takes a free one.", .http,
            "\(ServeDefaults.http), with --dev \(ServeDefaults.developmentHTTP)", value: "host:port"))
    var http: String?

    @Option(
        help: Serve.help(
            "Where commands of Redis and Valkey clients are served.", .resp,
            "\(ServeDefaults.resp), with --dev \(ServeDefaults.developmentRESP)",
            value: "host:port"))
    var resp: String?

    @Option(
        help: Serve.help(
            "Where metrics, health and the control plane are served on an event loop of their own, or off.", .ops,
            "\(ServeDefaults.ops), with --dev off", value: "host:port"))
    var ops: String?

    @Option(
        help: Serve.help(
            "The number of event loops, 1 to \(ServeDefaults.maxEventLoops).", .eventLoops, "one per core", value: "n"))
    var eventLoops: String?

    @Option(
        help: Serve.help(
            "The memory for items: bytes, or a number with KiB, MiB, GiB or TiB.", .memory, "half of the machine's",
            value: "size"))
    var memory: String?

    @Option(
        help: Serve.help(
            "Whether values and retained messages lie encrypted in memory.", .seal, "on", value: "on|off"))
    var seal: String?

    @Option(
        help: Serve.help(
            "The base name under which clients reach the service.", .endpoint, ServeDefaults.endpoint, value: "host"))
    var endpoint: String?

    @Option(
        help: Serve.help(
            "The certificate, its chain behind it, as PEM; needs --tls-key.", .tlsCertificate,
            "one of a local authority, made in the data directory", value: "file"))
    var tlsCert: String?

    @Option(
        help: Serve.help(
            "The key of the certificate, as PEM without a passphrase; needs --tls-cert.", .tlsKey, "as for --tls-cert",
            value: "file"))
    var tlsKey: String?

    @Flag(
        inversion: .prefixedNo,
        help: Serve.help(
            """
            With --dev: stand in for the emulator of client libraries. Callers on this machine need no credential, and \
            calls of gRPC may order faults.
            """,
            .emulator, "no")
    )
    var emulator: Bool?

    @Option(
        help: Serve.help(
            "With --emulator: where GET /block and GET /unblock shut and open the --http port; a loopback address.",
            .emulatorAdmin, ServeDefaults.emulatorAdmin, value: "host:port"))
    var emulatorAdmin: String?

    @Option(
        help: Serve.help(
            "The least severe level that is logged: trace, debug, info, notice, warning, error or critical.", .logLevel,
            ServeDefaults.log.levelName, value: "level"))
    var logLevel: String?

    @Option(
        help: Serve.help(
            "How log lines are written: text or json.", .logFormat, ServeDefaults.log.format.rawValue,
            value: "text|json"))
    var logFormat: String?

    @Option(
        help: Serve.help(
            "The seconds that a drain waits for what is in flight, 0 to \(ServeDefaults.maxShutdownGraceSeconds).",
            .shutdownGrace, "\(ServeDefaults.shutdownGraceSeconds)", value: "seconds"))
    var shutdownGrace: String?

    @Option(
        help: Serve.help(
            "The seconds after which a subscriber of a topic hears that its connection lives, 0.25 to 3600.",
            .topicHeartbeat, "10", value: "seconds"))
    var topicHeartbeat: String?

    @Option(
        help: Serve.help(
            """
            How many messages a topic keeps for subscribers who come back, 0 to \
            \(ServeDefaults.maxTopicRetainedMessages).
            """,
            .topicRetainedMessages, "\(ServeDefaults.topicRetainedMessages)", value: "n"))
    var topicRetainedMessages: String?

    @Option(
        help: Serve.help("How many bytes of messages a topic keeps.", .topicRetainedBytes, "4MiB", value: "size"))
    var topicRetainedBytes: String?

    @Option(
        help: Serve.help(
            "For how many seconds a topic keeps messages, 0 to \(ServeDefaults.maxTopicRetainedSeconds).",
            .topicRetainedSeconds, "\(ServeDefaults.topicRetainedSeconds)", value: "seconds"))
    var topicRetainedSeconds: String?

    @Option(
        help: Serve.help(
            """
            Networks apart from the public Internet that webhooks may call, such as 10.0.0.0/8, separated by commas.
            """,
            .deliveryAllow, "none", value: "cidr"))
    var deliveryAllow: String?

    func run() async throws {
        let configuration: ServeConfiguration
        do {
            configuration = try ServeConfiguration.load(
                flags: flags, environment: ProcessInfo.processInfo.environment, machine: .current
            )
        } catch {
            Failure.report(error)
            throw ExitCode(Failure.configurationStatus)
        }
        do {
            try await MartletServer.run(configuration)
        } catch {
            Failure.report(error)
            throw ExitCode.failure
        }
    }

    private var flags: ServeFlags {
        var flags = ServeFlags()
        flags.set(.dev, dev)
        flags.set(.allowCleartext, allowCleartext)
        flags.set(.config, config)
        flags.set(.dataDirectory, dataDir)
        flags.set(.http, http)
        flags.set(.resp, resp)
        flags.set(.ops, ops)
        flags.set(.eventLoops, eventLoops)
        flags.set(.memory, memory)
        flags.set(.seal, seal)
        flags.set(.endpoint, endpoint)
        flags.set(.tlsCertificate, tlsCert)
        flags.set(.tlsKey, tlsKey)
        flags.set(.emulator, emulator)
        flags.set(.emulatorAdmin, emulatorAdmin)
        flags.set(.logLevel, logLevel)
        flags.set(.logFormat, logFormat)
        flags.set(.shutdownGrace, shutdownGrace)
        flags.set(.topicHeartbeat, topicHeartbeat)
        flags.set(.topicRetainedMessages, topicRetainedMessages)
        flags.set(.topicRetainedBytes, topicRetainedBytes)
        flags.set(.topicRetainedSeconds, topicRetainedSeconds)
        flags.set(.deliveryAllow, deliveryAllow)
        return flags
    }

    /// The help of a flag: what it does, its environment variable and its default.
    private static func help(
        _ sentence: String, _ entry: ConfigurationEntry, _ default: String, value: String? = nil
    ) -> ArgumentHelp {
        ArgumentHelp("\(sentence) [\(entry.environmentVariable)] (default: \(`default`))", valueName: value)
    }
}
