import Delivery
import Logging
import Tenancy
import Testing

@testable import Server

struct ConfigurationTests {
    private let machine = Machine(memoryBytes: 8 << 30, coreCount: 6, hostName: "build-3")

    private func load(
        _ flags: [ConfigurationEntry: String] = [:], on: [ConfigurationEntry] = [], off: [ConfigurationEntry] = [],
        environment: [String: String] = [:]
    ) throws(ConfigurationError) -> ServeConfiguration {
        var given = ServeFlags()
        for (entry, text) in flags { given.set(entry, text) }
        for entry in on { given.set(entry, true) }
        for entry in off { given.set(entry, false) }
        return try ServeConfiguration.load(flags: given, environment: environment, machine: machine)
    }

    // MARK: - Defaults

    @Test func withoutDevelopmentItServesTLSToEverybodyUnderALocalAuthority() throws {
        let configuration = try load()
        #expect(!configuration.isDevelopment)
        #expect(configuration.transport == .tlsWithLocalAuthority)
        #expect(configuration.http.description == "0.0.0.0:8443")
        #expect(configuration.resp.description == "0.0.0.0:6380")
        #expect(configuration.ops?.description == "127.0.0.1:9464")
        #expect(configuration.dataDirectory == "./martlet-data")
        #expect(configuration.rootKeyPath == "./martlet-data/root.key")
        #expect(configuration.memoryBytes == 4 << 30)
        #expect(configuration.eventLoopCount == 6)
        #expect(configuration.endpoint == "localhost")
        #expect(configuration.isSealing)
        #expect(configuration.emulator == nil)
        #expect(configuration.log == LogConfiguration(level: .info, format: .text))
        #expect(configuration.sizes.itemBytes == 5_000_192)
        #expect(configuration.shutdownGraceSeconds == 30)
        #expect(
            configuration.topics
                == TopicConfiguration(
                    heartbeatMilliseconds: 10_000, retainedMessages: 1_024, retainedBytes: 4 << 20,
                    retainedMilliseconds: 300_000))
        #expect(configuration.hostName == "build-3")
    }

    @Test func withDevelopmentItServesCleartextOnLoopback() throws {
        let configuration = try load(on: [.dev])
        #expect(configuration.isDevelopment)
        #expect(configuration.transport == .cleartext)
        #expect(configuration.http.description == "127.0.0.1:8080")
        #expect(configuration.resp.description == "127.0.0.1:6380")
        #expect(configuration.ops == nil)
    }

    // MARK: - Order

    @Test func aFlagBeatsTheEnvironmentWhichBeatsTheFileWhichBeatsTheDefault() throws {
        let directory = try TemporaryDirectory()
        let file = try directory.write(
            #"{"data_dir": "from-file", "endpoint": "file.example", "http": "127.0.0.1:3"}"#, to: "c.json"
        )
        let configuration = try load(
            [.config: file, .http: "127.0.0.1:1"],
            environment: ["MARTLET_HTTP": "127.0.0.1:2", "MARTLET_ENDPOINT": "environment.example"]
        )
        #expect(configuration.http.port == 1)
        #expect(configuration.endpoint == "environment.example")
        #expect(configuration.dataDirectory == "from-file")
        #expect(configuration.shutdownGraceSeconds == 30)
    }

    @Test func aSwitchCanBeTurnedOffByAFlag() throws {
        #expect(try load(environment: ["MARTLET_DEV": "true"]).isDevelopment)
        #expect(try !load(off: [.dev], environment: ["MARTLET_DEV": "true"]).isDevelopment)
    }

    @Test func theFileMayBeNamedByTheEnvironment() throws {
        let directory = try TemporaryDirectory()
        let file = try directory.write(#"{"dev": true, "event_loops": 3}"#, to: "c.json")
        let configuration = try load(environment: ["MARTLET_CONFIG": file])
        #expect(configuration.isDevelopment)
        #expect(configuration.eventLoopCount == 3)
    }

    @Test func anEmptyVariableCountsAsNotSet() throws {
        #expect(try load(environment: ["MARTLET_HTTP": "", "MARTLET_DEV": ""]).http.port == 8443)
    }

    @Test func variablesOfOtherProgramsInTwoSpellingsDoNoHarm() throws {
        #expect(try load(environment: ["http_proxy": "a", "HTTP_PROXY": "b", "HTTP": "c"]).http.port == 8443)
    }

    @Test func everyEntryHasAVariableAndAllButTheSizesHaveAFlag() {
        #expect(ConfigurationEntry.tlsCertificate.flag == "--tls-cert")
        #expect(ConfigurationEntry.dataDirectory.environmentVariable == "MARTLET_DATA_DIR")
        #expect(ConfigurationEntry.maxItemBytes.environmentVariable == "MARTLET_SIZES_MAX_ITEM_BYTES")
        let withoutFlag = ConfigurationEntry.allCases.filter { $0.flag == nil }
        #expect(withoutFlag == [.maxItemBytes, .maxElementBytes, .maxMessageBytes, .maxKeyBytes])
        #expect(Set(ConfigurationEntry.allCases.map(\.environmentVariable)).count == ConfigurationEntry.allCases.count)
    }

    @Test(
        arguments: [
            (ConfigurationEntry.dataDirectory, "d"), (.http, "127.0.0.1:1"), (.resp, "127.0.0.1:2"),
            (.ops, "127.0.0.1:3"), (.eventLoops, "2"), (.memory, "64MiB"), (.seal, "off"), (.endpoint, "e.example"),
            (.logLevel, "debug"), (.logFormat, "json"), (.shutdownGrace, "5"), (.maxItemBytes, "100"),
            (.maxElementBytes, "101"), (.maxMessageBytes, "102"), (.maxKeyBytes, "103"), (.topicHeartbeat, "2.5"),
            (.topicRetainedMessages, "7"), (.topicRetainedBytes, "64KiB"), (.topicRetainedSeconds, "8"),
            (.deliveryAllow, "10.0.0.0/8,fd00::/8"),
        ]
    ) func aValueMeansTheSameWhereverItStands(entry: ConfigurationEntry, value: String) throws {
        let directory = try TemporaryDirectory()
        let path = entry.components
        let json =
            path.count == 1 ? #"{"\#(path[0])": "\#(value)"}"# : #"{"\#(path[0])": {"\#(path[1])": "\#(value)"}}"#
        let file = try directory.write(json, to: "c.json")
        let fromFlag = try load([entry: value])
        let fromEnvironment = try load(environment: [entry.environmentVariable: value])
        let fromFile = try load([.config: file])
        #expect("\(fromFlag)" == "\(fromEnvironment)")
        #expect("\(fromFlag)" == "\(fromFile)")
        #expect("\(fromFlag)" != "\(try load())")
    }

    // MARK: - Values

    @Test func networksThatMayBeCalledAreListed() throws {
        #expect(try load().deliveryAllow.isEmpty)
        let networks = try load([.deliveryAllow: "10.1.0.0/16, fd00::/8,127.0.0.1"]).deliveryAllow
        #expect(networks.map(\.description) == ["10.1.0.0/16", "fd00::/8", "127.0.0.1/32"])
    }

    @Test(arguments: ["", ",", "10.0.0.0/8,", "10.0.0.1/8", "localhost", "10.0.0.0/33", "10.0.0.0/8;::1", "all"])
    func aNetworkThatIsNoneIsRefused(text: String) {
        #expect(throws: ConfigurationError.self) { try load([.deliveryAllow: text]) }
    }

    @Test(
        arguments: [
            ("512MiB", 512 << 20), ("2GiB", 2 << 30), ("2gib", 2 << 30), ("1TiB", 1 << 40), ("2048KiB", 2 << 20),
            ("536870912", 536_870_912),
        ]
    ) func sizesAreReadWithAndWithoutUnits(text: String, bytes: Int) throws {
        #expect(try load([.memory: text]).memoryBytes == bytes)
    }

    @Test(arguments: [
        "", "-1", "+5", "512MB", "1.5GiB", "MiB", "0x10", "1 GiB", "9999999999999TiB", "999999999999999999999",
    ])
    func aSizeThatIsNoneIsRefused(text: String) {
        #expect(throws: ConfigurationError.self) { try load([.memory: text]) }
    }

    @Test func aSizeUnderItsFloorNamesTheFloor() {
        expect("--memory must be at least 1048576 bytes, is \"512\"") { () throws(ConfigurationError) in
            try load([.memory: "512"])
        }
    }

    @Test(
        arguments: [
            ("127.0.0.1:8080", "127.0.0.1", 8080, true), ("[::1]:8080", "::1", 8080, true), ("[::]:0", "::", 0, false),
            ("localhost:0", "localhost", 0, true), ("127.9.9.9:65535", "127.9.9.9", 65535, true),
            ("[::ffff:127.0.0.1]:1", "::ffff:127.0.0.1", 1, true), ("0.0.0.0:1", "0.0.0.0", 1, false),
            ("cache.example:1", "cache.example", 1, false),
        ]
    ) func addressesAreRead(text: String, host: String, port: Int, isLoopback: Bool) throws {
        let address = try #require(ListenAddress(text))
        #expect(address.host == host)
        #expect(address.port == port)
        #expect(address.isLoopback == isLoopback)
        #expect(address.description == text)
    }

    @Test(
        arguments: [
            "", ":", "8080", ":8080", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:+1",
            "::1:8080", "[::1]", "[::1:8080", "[127.0.0.1]:1", "256.0.0.1:1", "1.2.3:1", "a b:1", "-a:1", "a..b:1",
            "a_b:1", "[fe80::1%eth0]:1", "host:123456", "[]:1", "127.0.0.1:８０", "a\u{0}b:1",
        ]
    ) func whatIsNoAddressIsRefused(text: String) {
        #expect(ListenAddress(text) == nil)
        #expect(throws: ConfigurationError.self) { try load([.http: text]) }
    }

    @Test(arguments: ["0", "257", "-1", "two", "1.5", ""]) func aCountOutsideItsRangeIsRefused(text: String) {
        #expect(throws: ConfigurationError.self) { try load([.eventLoops: text]) }
    }

    @Test(
        arguments: [
            ("10", 10_000), ("0.25", 250), ("0.250", 250), ("2.5", 2_500), ("59.999", 59_999), ("3600", 3_600_000),
            ("3600.000", 3_600_000), ("007", 7_000),
        ] as [(String, Int64)]
    ) func aHeartbeatIsSecondsWithDecimals(text: String, milliseconds: Int64) throws {
        #expect(try load([.topicHeartbeat: text]).topics.heartbeatMilliseconds == milliseconds)
    }

    @Test(arguments: [
        "", "0", "0.249", "3600.001", "3601", "-1", "+1", "1.", ".5", ".", "1.2.3", "1.0001", "1e1", "inf", "nan",
        "1,5", "1s", " 1", "0x1", "١", "99999999999999999999",
    ])
    func aHeartbeatThatIsNoneIsRefused(text: String) {
        let range = "from 0.25 to 3600 with at most three decimals"
        expect("--topic-heartbeat must be a number of seconds \(range), is \"\(text)\"") {
            () throws(ConfigurationError) in try load([.topicHeartbeat: text])
        }
    }

    @Test(
        arguments: [
            (#"{"topic_heartbeat": 2}"#, 2_000), (#"{"topic_heartbeat": 0.75}"#, 750),
            (#"{"topic_heartbeat": 59.999}"#, 59_999), (#"{"topic_heartbeat": "1.5"}"#, 1_500),
        ] as [(String, Int64)]
    ) func aHeartbeatInTheFileIsANumberOrAString(json: String, milliseconds: Int64) throws {
        let directory = try TemporaryDirectory()
        let file = try directory.write(json, to: "c.json")
        #expect(try load([.config: file]).topics.heartbeatMilliseconds == milliseconds)
    }

    @Test func whatTopicsRetainHasItsRanges() throws {
        let least = try load([.topicRetainedMessages: "0", .topicRetainedBytes: "0", .topicRetainedSeconds: "0"]).topics
        #expect(least.retainedMessages == 0 && least.retainedBytes == 0 && least.retainedMilliseconds == 0)
        let most = try load([
            .topicRetainedMessages: "1000000", .topicRetainedBytes: "1TiB", .topicRetainedSeconds: "86400",
        ]).topics
        #expect(most.retainedMessages == 1_000_000)
        #expect(most.retainedBytes == 1 << 40)
        #expect(most.retainedMilliseconds == 86_400_000)
        for (entry, text) in [
            (ConfigurationEntry.topicRetainedMessages, "1000001"), (.topicRetainedMessages, "1.5"),
            (.topicRetainedBytes, "2TiB"), (.topicRetainedBytes, "-1"), (.topicRetainedSeconds, "86401"),
            (.topicRetainedSeconds, "0.5"),
        ] {
            let error = #expect(throws: ConfigurationError.self) { try load([entry: text]) }
            #expect(error?.description.hasPrefix("\(entry.flag ?? "") must be ") == true)
        }
    }

    @Test(arguments: [
        "https://a.example", "a.example:443", "", "a..b", "::1", String(repeating: "a.", count: 125) + "b",
    ])
    func anEndpointThatIsNoHostIsRefused(text: String) {
        #expect(throws: ConfigurationError.self) { try load([.endpoint: text]) }
    }

    @Test func anEndpointIsKeptInSmallLetters() throws {
        #expect(try load([.endpoint: "Cache.Example"]).endpoint == "cache.example")
        #expect(try load([.endpoint: "10.0.0.7"]).endpoint == "10.0.0.7")
    }

    @Test func opsCanBeTurnedOff() throws {
        #expect(try load([.ops: "off"]).ops == nil)
        #expect(try load([.ops: "127.0.0.1:7"], on: [.dev]).ops?.port == 7)
    }

    // MARK: - What hangs together

    @Test func cleartextStaysOnLoopbackUnlessAllowed() throws {
        for entry in [ConfigurationEntry.http, .resp, .ops] {
            let error = #expect(throws: ConfigurationError.self) { try load([entry: "0.0.0.0:1"], on: [.dev]) }
            #expect(error?.description.hasPrefix("\(entry.flag ?? "") must be a loopback address") == true)
        }
        #expect(try load([.http: "0.0.0.0:1"], on: [.dev, .allowCleartext]).http.host == "0.0.0.0")
    }

    @Test func cleartextCannotBeAllowedOutsideDevelopment() {
        expect("--allow-cleartext needs --dev: without it every listener speaks TLS") { () throws(ConfigurationError) in
            try load(on: [.allowCleartext])
        }
    }

    @Test func aCertificateNeedsItsKeyAndTLS() throws {
        #expect(
            try load([.tlsCertificate: "c", .tlsKey: "k"]).transport == .tls(certificatePath: "c", keyPath: "k")
        )
        #expect(throws: ConfigurationError.self) { try load([.tlsCertificate: "c"]) }
        #expect(throws: ConfigurationError.self) { try load([.tlsKey: "k"]) }
        #expect(throws: ConfigurationError.self) { try load([.tlsCertificate: "c", .tlsKey: "k"], on: [.dev]) }
    }

    @Test func theEmulatorsHeartbeatsComeAtLeastOnceASecond() throws {
        #expect(try load(on: [.dev]).heartbeatMilliseconds == 10_000)
        #expect(try load(on: [.dev, .emulator]).heartbeatMilliseconds == 1000)
        #expect(try load([.topicHeartbeat: "30"], on: [.dev, .emulator]).heartbeatMilliseconds == 1000)
        #expect(try load([.topicHeartbeat: "0.5"], on: [.dev, .emulator]).heartbeatMilliseconds == 500)
        #expect(try load([.topicHeartbeat: "30"], on: [.dev]).heartbeatMilliseconds == 30_000)
    }

    @Test func theEmulatorNeedsDevelopmentAndALoopbackAdmin() throws {
        #expect(try load(on: [.dev, .emulator]).emulator?.admin.description == "127.0.0.1:9090")
        #expect(throws: ConfigurationError.self) { try load(on: [.emulator]) }
        #expect(throws: ConfigurationError.self) {
            try load([.emulatorAdmin: "0.0.0.0:9090"], on: [.dev, .emulator, .allowCleartext])
        }
        #expect(throws: ConfigurationError.self) { try load([.emulatorAdmin: "127.0.0.1:9090"], on: [.dev]) }
    }

    // MARK: - Sentences

    @Test func aBadValueIsNamedAsTheOperatorKnowsIt() throws {
        let directory = try TemporaryDirectory()
        let file = try directory.write(#"{"seal": "maybe"}"#, to: "c.json")
        expect("--seal must be on or off, is \"maybe\"") { () throws(ConfigurationError) in try load([.seal: "maybe"]) }
        expect("MARTLET_SEAL must be on or off, is \"maybe\"") { () throws(ConfigurationError) in
            try load(environment: ["MARTLET_SEAL": "maybe"])
        }
        expect("seal in \(file) must be on or off, is \"maybe\"") { () throws(ConfigurationError) in
            try load([.config: file])
        }
        expect("MARTLET_DEV must be true or false") { () throws(ConfigurationError) in
            try load(environment: ["MARTLET_DEV": "perhaps"])
        }
    }

    @Test func whatASentenceQuotesCannotSteerATerminal() {
        expect("--seal must be on or off, is \"\\u{1B}[2J\"") { () throws(ConfigurationError) in
            try load([.seal: "\u{1B}[2J"])
        }
    }

    @Test(
        arguments: [
            (#"{"htpp": "127.0.0.1:1"}"#, #"FILE has an unknown entry "htpp""#),
            (#"{"sizes": {"max_item": 1}}"#, #"FILE has an unknown entry "sizes.max_item""#),
            (#"{"sizes.max_item_bytes": 1}"#, #"FILE has an unknown entry "sizes.max_item_bytes""#),
            (#"{"config": "x"}"#, #"FILE has an unknown entry "config""#),
            (#"{"sizes": 5}"#, "sizes in FILE must be an object"),
            (#"{"dev": 1}"#, "dev in FILE must be true or false"),
            (#"{"dev": "true"}"#, "dev in FILE must be true or false"),
            (#"{"http": 8080}"#, "http in FILE must be a string"),
            (#"{"http": null}"#, "http in FILE must be a string"),
            (#"{"event_loops": true}"#, "event_loops in FILE must be a whole number or a string"),
            (#"{"event_loops": 1.5}"#, "event_loops in FILE must be a whole number or a string"),
            (#"{"topic_heartbeat": true}"#, "topic_heartbeat in FILE must be a number or a string"),
            (#"{"topic_heartbeat": [1]}"#, "topic_heartbeat in FILE must be a number or a string"),
            (#"{"topic_retained_seconds": 0.5}"#, "topic_retained_seconds in FILE must be a whole number or a string"),
            (#"{"memory": [1]}"#, "memory in FILE must be a whole number or a string"),
            (#"{"memory": {"a": 1}}"#, "memory in FILE must be a whole number or a string"),
            (#"{"memory": 99999999999999999999}"#, "memory in FILE must be a whole number or a string"),
            ("[]", "the configuration file FILE must hold one JSON object"),
            ("{", "the configuration file FILE is not valid JSON"),
            ("", "the configuration file FILE is not valid JSON"),
        ]
    ) func aFileThatMeansNothingIsRefused(json: String, sentence: String) throws {
        let directory = try TemporaryDirectory()
        let file = try directory.write(json, to: "c.json")
        expect(sentence.replacing("FILE", with: file)) { () throws(ConfigurationError) in try load([.config: file]) }
    }

    @Test func aMissingFileIsNamed() throws {
        let directory = try TemporaryDirectory()
        let file = directory.file("none.json")
        expect("the configuration file cannot be used: \(file): No such file or directory") {
            () throws(ConfigurationError) in try load([.config: file])
        }
    }

    private func expect(
        _ sentence: String, sourceLocation: SourceLocation = #_sourceLocation,
        _ body: () throws(ConfigurationError) -> ServeConfiguration
    ) {
        do {
            _ = try body()
            Issue.record("nothing was refused", sourceLocation: sourceLocation)
        } catch {
            #expect(error.description == sentence, sourceLocation: sourceLocation)
        }
    }
}
