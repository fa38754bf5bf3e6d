import Delivery
import Logging
import Tenancy

extension ServeConfiguration {
    /// The configuration of a start: flags before environment before file before defaults.
    ///
    /// - Parameters:
    ///   - flags: what the command line said, unchecked.
    ///   - environment: the variables of the process; those of ``ConfigurationEntry/environmentVariable`` count.
    ///   - machine: what the defaults of memory and event loops are drawn from.
    /// - Throws: ``ConfigurationError`` for the first value that cannot be used.
    package static func load(
        flags: ServeFlags, environment: [String: String], machine: Machine
    ) throws(ConfigurationError) -> ServeConfiguration {
        let layers = try ConfigurationLayers(flags: flags, environment: environment)
        let development = try layers.isOn(.dev)
        let isDevelopment = development.value

        let http = try layers.address(
            .http, default: isDevelopment ? ServeDefaults.developmentHTTP : ServeDefaults.http)
        let resp = try layers.address(
            .resp, default: isDevelopment ? ServeDefaults.developmentRESP : ServeDefaults.resp)
        let ops = try layers.opsAddress(default: isDevelopment ? "off" : ServeDefaults.ops)
        try layers.checkCleartext(isDevelopment: isDevelopment, addresses: [http, resp, ops].compactMap { $0 })

        return ServeConfiguration(
            isDevelopment: isDevelopment,
            dataDirectory: try layers.path(.dataDirectory)?.value ?? ServeDefaults.dataDirectory,
            http: http.value,
            resp: resp.value,
            ops: ops?.value,
            eventLoopCount: try layers.count(
                .eventLoops, in: 1...ServeDefaults.maxEventLoops,
                default: min(machine.coreCount, ServeDefaults.maxEventLoops)
            ),
            memoryBytes: try layers.size(
                .memory, in: ServeDefaults.minMemoryBytes...Int.max,
                default: max(machine.memoryBytes / 2, ServeDefaults.minMemoryBytes)
            ),
            isSealing: try layers.choice(.seal, among: ["on": true, "off": false], default: true),
            endpoint: try layers.endpoint(),
            transport: try layers.transport(isDevelopment: isDevelopment),
            emulator: try layers.emulator(isDevelopment: isDevelopment),
            log: LogConfiguration(
                level: try layers.choice(
                    .logLevel,
                    among: Dictionary(uniqueKeysWithValues: Logger.Level.allCases.map { ($0.rawValue, $0) }),
                    order: Logger.Level.allCases.map(\.rawValue), default: ServeDefaults.log.level
                ),
                format: try layers.choice(
                    .logFormat, among: ["text": .text, "json": .json], order: ["text", "json"],
                    default: ServeDefaults.log.format
                )
            ),
            sizes: try layers.sizes(),
            topics: try layers.topics(),
            deliveryAllow: try layers.networks(.deliveryAllow),
            shutdownGraceSeconds: try layers.count(
                .shutdownGrace, in: 0...ServeDefaults.maxShutdownGraceSeconds,
                default: ServeDefaults.shutdownGraceSeconds
            ),
            hostName: machine.hostName
        )
    }
}

// MARK: - One kind of value each

extension ConfigurationLayers {
    fileprivate func address(
        _ entry: ConfigurationEntry, default text: String
    ) throws(ConfigurationError) -> Configured<ListenAddress> {
        let configured = try self.text(entry) ?? Configured(value: text, name: entry.flag ?? entry.rawValue)
        guard let address = ListenAddress(configured.value) else {
            throw configured.refuse(
                "must be HOST:PORT with a port from 0 to 65535 and brackets around an IPv6 address, is \(quoted(configured.value))"
            )
        }
        return Configured(value: address, name: configured.name)
    }

    /// `off`, which is the default with `--dev`, means no listener.
    fileprivate func opsAddress(default text: String) throws(ConfigurationError) -> Configured<ListenAddress>? {
        guard (try self.text(.ops)?.value ?? text) != "off" else { return nil }
        return try address(.ops, default: text)
    }

    /// A path that can be handed to the system: not empty, no zero byte, no line break (the path of the data directory
    /// stands in the line that the server prints when it is ready).
    fileprivate func path(_ entry: ConfigurationEntry) throws(ConfigurationError) -> Configured<String>? {
        guard let configured = try text(entry) else { return nil }
        guard !configured.value.isEmpty, !configured.value.utf8.contains(where: { $0 < 0x20 }) else {
            throw configured.refuse("must be a path, is \(quoted(configured.value))")
        }
        return configured
    }

    fileprivate func count(
        _ entry: ConfigurationEntry, in range: ClosedRange<Int>, default count: Int
    ) throws(ConfigurationError) -> Int {
        guard let configured = try text(entry) else { return count }
        let isNumber = configured.value.utf8.allSatisfy { (0x30...0x39).contains($0) }
        guard isNumber, let value = Int(configured.value), range.contains(value) else {
            throw configured.refuse(
                "must be a whole number from \(range.lowerBound) to \(range.upperBound), is \(quoted(configured.value))"
            )
        }
        return value
    }

    /// Seconds with up to three decimal places, as milliseconds. Read digit by digit: a binary fraction of a decimal one
    /// would be rounded, and would take `1e3`, `inf` and `0x1p4` too.
    fileprivate func milliseconds(
        _ entry: ConfigurationEntry, in range: ClosedRange<Int64>, default milliseconds: Int64
    ) throws(ConfigurationError) -> Int64 {
        guard let configured = try text(entry) else { return milliseconds }
        let parts = configured.value.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        let places = parts.count == 2 ? parts[1] : "0"
        let isNumber = parts.allSatisfy { !$0.isEmpty && $0.utf8.allSatisfy { (0x30...0x39).contains($0) } }
        guard isNumber, parts[0].utf8.count <= 9, places.utf8.count <= 3, let seconds = Int64(parts[0]),
            let fraction = Int64(places + String(repeating: "0", count: 3 - places.utf8.count)),
            range.contains(seconds * 1000 + fraction)
        else {
            throw configured.refuse(
                "must be a number of seconds from \(Self.seconds(range.lowerBound)) to "
                    + "\(Self.seconds(range.upperBound)) with at most three decimals, is \(quoted(configured.value))")
        }
        return seconds * 1000 + fraction
    }

    /// Milliseconds as seconds, for a sentence.
    private static func seconds(_ milliseconds: Int64) -> String {
        milliseconds % 1000 == 0 ? "\(milliseconds / 1000)" : "\(Double(milliseconds) / 1000)"
    }

    fileprivate func size(
        _ entry: ConfigurationEntry, in range: ClosedRange<Int>, default size: Int
    ) throws(ConfigurationError) -> Int {
        guard let configured = try text(entry) else { return size }
        guard let value = ByteSize.parse(configured.value) else {
            throw configured.refuse("\(ByteSize.expectation), is \(quoted(configured.value))")
        }
        guard value >= range.lowerBound else {
            throw configured.refuse("must be at least \(range.lowerBound) bytes, is \(quoted(configured.value))")
        }
        guard value <= range.upperBound else {
            throw configured.refuse("must be at most \(range.upperBound) bytes, is \(quoted(configured.value))")
        }
        return value
    }

    /// Networks, separated by commas; none where nothing is configured.
    fileprivate func networks(_ entry: ConfigurationEntry) throws(ConfigurationError) -> [NetworkBlock] {
        guard let configured = try text(entry) else { return [] }
        var networks: [NetworkBlock] = []
        for part in configured.value.split(separator: ",", omittingEmptySubsequences: false) {
            guard let network = NetworkBlock(part.drop { $0 == " " }) else {
                throw configured.refuse(
                    "must be networks such as 10.0.0.0/8 or fd00::/8, separated by commas, with no bit set behind the "
                        + "prefix; is \(quoted(configured.value))")
            }
            networks.append(network)
        }
        return networks
    }

    fileprivate func choice<Value>(
        _ entry: ConfigurationEntry, among choices: [String: Value], order: [String] = ["on", "off"],
        default value: Value
    ) throws(ConfigurationError) -> Value {
        guard let configured = try text(entry) else { return value }
        guard let choice = choices[configured.value] else {
            let list = order.dropLast().joined(separator: ", ") + " or " + (order.last ?? "")
            throw configured.refuse("must be \(list), is \(quoted(configured.value))")
        }
        return choice
    }
}

// MARK: - What hangs together

extension ConfigurationLayers {
    /// Cleartext shows credentials to whoever carries the bytes; so it stays on this machine unless that is asked for.
    fileprivate func checkCleartext(
        isDevelopment: Bool, addresses: [Configured<ListenAddress>]
    ) throws(ConfigurationError) {
        let allowance = try isOn(.allowCleartext)
        guard isDevelopment else {
            guard !allowance.value else {
                throw allowance.refuse("needs --dev: without it every listener speaks TLS")
            }
            return
        }
        for address in addresses where !address.value.isLoopback && !allowance.value {
            throw address.refuse(
                "must be a loopback address, because --dev serves cleartext, is \(quoted(address.value.description));"
                    + " --allow-cleartext lifts this"
            )
        }
    }

    /// The longest name that a certificate carries has the endpoint behind `web.control.`.
    fileprivate func endpoint() throws(ConfigurationError) -> String {
        guard let configured = try text(.endpoint) else { return ServeDefaults.endpoint }
        let name = configured.value.lowercased()
        let isName = HostName.isValid(name) && HostName.isValid("web.control." + name)
        guard isName || InternetAddress.version4(name) != nil else {
            throw configured.refuse(
                "must be a host name or an IPv4 address without a port, is \(quoted(configured.value))"
            )
        }
        return name
    }

    fileprivate func transport(isDevelopment: Bool) throws(ConfigurationError) -> ServeConfiguration.Transport {
        let certificate = try path(.tlsCertificate)
        let key = try path(.tlsKey)
        if isDevelopment {
            guard let given = certificate ?? key else { return .cleartext }
            throw given.refuse("cannot be used with --dev, which serves cleartext")
        }
        switch (certificate, key) {
        case (let certificate?, let key?):
            return .tls(certificatePath: certificate.value, keyPath: key.value)
        case (let certificate?, nil):
            throw certificate.refuse("needs --tls-key: a certificate is of use only with its key")
        case (nil, let key?):
            throw key.refuse("needs --tls-cert: a key is of use only with its certificate")
        case (nil, nil):
            return .tlsWithLocalAuthority
        }
    }

    /// The emulator takes callers without a credential for all-powerful ones, so it exists for a developer's own
    /// machine only.
    fileprivate func emulator(isDevelopment: Bool) throws(ConfigurationError) -> ServeConfiguration.Emulator? {
        let emulator = try isOn(.emulator)
        guard emulator.value else {
            if let admin = try text(.emulatorAdmin) {
                throw admin.refuse("needs --emulator")
            }
            return nil
        }
        guard isDevelopment else {
            throw emulator.refuse("needs --dev: it lets callers in without a credential")
        }
        let admin = try address(.emulatorAdmin, default: ServeDefaults.emulatorAdmin)
        guard admin.value.isLoopback else {
            throw admin.refuse("must be a loopback address, is \(quoted(admin.value.description))")
        }
        return ServeConfiguration.Emulator(admin: admin.value)
    }

    fileprivate func sizes() throws(ConfigurationError) -> SizeDefaults {
        // A length that the doors carry in 32 bits with a sign.
        let range = 1...Int(Int32.max)
        var sizes = SizeDefaults()
        sizes.itemBytes = try size(.maxItemBytes, in: range, default: sizes.itemBytes)
        sizes.elementBytes = try size(.maxElementBytes, in: range, default: sizes.elementBytes)
        sizes.messageBytes = try size(.maxMessageBytes, in: range, default: sizes.messageBytes)
        sizes.keyBytes = try size(.maxKeyBytes, in: range, default: sizes.keyBytes)
        return sizes
    }

    fileprivate func topics() throws(ConfigurationError) -> TopicConfiguration {
        TopicConfiguration(
            heartbeatMilliseconds: try milliseconds(
                .topicHeartbeat, in: ServeDefaults.topicHeartbeatRange,
                default: ServeDefaults.topicHeartbeatMilliseconds),
            retainedMessages: try count(
                .topicRetainedMessages, in: 0...ServeDefaults.maxTopicRetainedMessages,
                default: ServeDefaults.topicRetainedMessages),
            retainedBytes: try size(
                .topicRetainedBytes, in: 0...ServeDefaults.maxTopicRetainedBytes,
                default: ServeDefaults.topicRetainedBytes),
            retainedMilliseconds: Int64(
                try count(
                    .topicRetainedSeconds, in: 0...ServeDefaults.maxTopicRetainedSeconds,
                    default: ServeDefaults.topicRetainedSeconds)) * 1000
        )
    }
}
