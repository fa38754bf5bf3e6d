import Configuration
import Tenancy

/// What the command line said: the text behind each flag, or nil where the flag was not given. Nothing is checked yet,
/// so that a value is checked in one place and in one way wherever it came from.
package struct ServeFlags: Sendable {
    private(set) var switches: [ConfigurationEntry: Bool] = [:]
    private(set) var texts: [ConfigurationEntry: String] = [:]

    package init() {}

    /// Sets a flag that is on or off; nil leaves it to the environment, the file or the default.
    package mutating func set(_ entry: ConfigurationEntry, _ value: Bool?) {
        switches[entry] = value
    }

    /// Sets a flag with a value; nil leaves it to the environment, the file or the default.
    package mutating func set(_ entry: ConfigurationEntry, _ value: String?) {
        texts[entry] = value
    }
}

/// A configured value together with the name by which the operator knows it, for sentences about it.
struct Configured<Value> {
    let value: Value
    /// `--http`, `MARTLET_HTTP`, `http in FILE`, or for a default the name of the flag.
    let name: String

    func refuse(_ reason: String) -> ConfigurationError {
        ConfigurationError("\(name) \(reason)")
    }
}

/// The three places where a value may stand, the strongest first: flags, environment, file.
struct ConfigurationLayers {
    private enum Origin {
        case flags
        case environment
        case file(path: String)

        func name(of entry: ConfigurationEntry) -> String {
            switch self {
            case .flags: entry.flag ?? entry.rawValue
            case .environment: entry.environmentVariable
            case .file(let path): "\(entry.rawValue) in \(path)"
            }
        }
    }

    private var layers: [(origin: Origin, prefix: [String], snapshot: any ConfigSnapshot)] = []

    /// Reads the file that the flags, or else the environment, name.
    ///
    /// - Parameter environment: the variables of the process. Those that do not begin with `MARTLET_`, and those that
    ///   are empty, count as not set: a compose file writes an empty variable for a value that nobody gave.
    init(flags: ServeFlags, environment: [String: String]) throws(ConfigurationError) {
        var values: [AbsoluteConfigKey: ConfigValue] = [:]
        for (entry, value) in flags.switches {
            values[AbsoluteConfigKey(entry.components)] = ConfigValue(.bool(value), isSecret: false)
        }
        for (entry, value) in flags.texts {
            values[AbsoluteConfigKey(entry.components)] = ConfigValue(.string(value), isSecret: false)
        }
        layers.append((.flags, [], InMemoryProvider(name: "flags", values: values).snapshot()))
        let variables = environment.filter { $0.key.hasPrefix("MARTLET_") && !$0.value.isEmpty }
        layers.append(
            (.environment, ["martlet"], EnvironmentVariablesProvider(environmentVariables: variables).snapshot()))
        if let path = try text(.config) {
            let file = try ConfigurationFile(path: path.value)
            layers.append((.file(path: path.value), [], file.snapshot))
        }
    }

    /// The value of the first place that has one, as text; a number is written out.
    func text(_ entry: ConfigurationEntry) throws(ConfigurationError) -> Configured<String>? {
        for layer in layers {
            let key = AbsoluteConfigKey(layer.prefix + entry.components)
            // A lookup throws when the value is of another kind, which for a number in the file is no mistake.
            if let text = try? layer.snapshot.value(forKey: key, type: .string).value,
                case .string(let value) = text.content
            {
                return Configured(value: value, name: layer.origin.name(of: entry))
            }
            if let number = try? layer.snapshot.value(forKey: key, type: .int).value,
                case .int(let value) = number.content
            {
                return Configured(value: String(value), name: layer.origin.name(of: entry))
            }
            if let number = try? layer.snapshot.value(forKey: key, type: .double).value,
                case .double(let value) = number.content
            {
                return Configured(value: String(value), name: layer.origin.name(of: entry))
            }
        }
        return nil
    }

    /// The value of the first place that has one; a default of false, which bears the name of the flag.
    func isOn(_ entry: ConfigurationEntry) throws(ConfigurationError) -> Configured<Bool> {
        for layer in layers {
            let name = layer.origin.name(of: entry)
            do {
                let found = try layer.snapshot.value(
                    forKey: AbsoluteConfigKey(layer.prefix + entry.components), type: .bool
                )
                if let value = found.value, case .bool(let isOn) = value.content {
                    return Configured(value: isOn, name: name)
                }
            } catch {
                throw ConfigurationError("\(name) must be true or false")
            }
        }
        return Configured(value: false, name: entry.flag ?? entry.rawValue)
    }
}
