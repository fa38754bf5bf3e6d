import ArgumentParser
import Server

/// `martlet`: one subcommand per file.
@main
struct Martlet: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "martlet",
        abstract: "A serverless cache that you run yourself.",
        version: "martlet \(Version.text)",
        subcommands: [Serve.self, RootKey.self]
    )
}
