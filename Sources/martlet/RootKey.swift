import ArgumentParser
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

        @Option(help: ArgumentHelp("The data directory of the installation.", valueName: "dir"))
        var dataDir = ServeDefaults.dataDirectory

        func run() throws {
            do {
                print("the new root key is in \(try RootKeyRotation.run(dataDirectory: dataDir))")
            } catch {
                Failure.report(error)
                throw ExitCode.failure
            }
        }
    }
}
