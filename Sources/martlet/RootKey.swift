import ArgumentParser
import Foundation
import Server

/// `martlet root-key`: what concerns the key of the operator.
struct RootKey: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "root-key",
        abstract: "Look after the root key, which stands for the operator.",
        subcommands: [Rotate.self]
    )

    struct Rotate: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Replace the root key by a new one.",
            discussion: """
                The server must not be running. The new key is written to root.key in the data directory and is on disk \
                before the old one ends. API keys and tokens are not touched.
                """
        )

        @Option(
            help: ArgumentHelp(
                "The data directory of the installation. [\(ConfigurationEntry.dataDirectory.environmentVariable)] "
                    + "(default: \(ServeDefaults.dataDirectory))",
                valueName: "dir"
            )
        )
        var dataDir: String?

        func run() throws {
            let environment = ProcessInfo.processInfo.environment
            let configured = environment[ConfigurationEntry.dataDirectory.environmentVariable].flatMap { path in
                path.isEmpty ? nil : path
            }
            do {
                let path = try RootKeyRotation.run(
                    dataDirectory: dataDir ?? configured ?? ServeDefaults.dataDirectory
                )
                print("the new root key is in \(path)")
            } catch {
                Failure.report(error)
                throw ExitCode.failure
            }
        }
    }
}
