import Foundation
import Testing

@testable import CacheService

/// The page on compatibility says what the table of commands says.
@Suite struct CompatibilityPageTests {
    private static let path = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: "docs/redis-compatibility.md")

    /// With `MARTLET_WRITE_DOCS` set, the page is written instead.
    @Test func pageIsWhatTheTableSays() throws {
        if ProcessInfo.processInfo.environment["MARTLET_WRITE_DOCS"] != nil {
            try CompatibilityPage.text.write(to: Self.path, atomically: true, encoding: .utf8)
        }
        let page = try String(contentsOf: Self.path, encoding: .utf8)
        #expect(page == CompatibilityPage.text, "run it with MARTLET_WRITE_DOCS=1")
    }

    @Test func noCommandIsBothAnsweredAndRefused() {
        for command in CommandTable.shared.commands {
            #expect(RefusedCommands.entry(named: command.name) == nil, "\(command.name)")
            for subcommand in command.subcommands {
                #expect(RefusedCommands.entry(named: "\(command.name)|\(subcommand.name)") == nil)
            }
        }
    }

    @Test func eachCommandIsThereOnce() {
        let names = CommandTable.shared.commands.map(\.name)
        #expect(Set(names).count == names.count)
        for command in CommandTable.shared.commands {
            #expect(command.name == command.name.lowercased())
            #expect(command.summary.hasSuffix("."), "\(command.name)")
            #expect(Set(command.subcommands.map(\.name)).count == command.subcommands.count)
        }
    }
}
