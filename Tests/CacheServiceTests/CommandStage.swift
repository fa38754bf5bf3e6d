import Admission
import Engine
import Tenancy
import Testing

@testable import CacheService

/// A cache on which commands are executed one by one, without permission, rates and meters around them.
final class CommandStage {
    let engine: EmbeddedEngine
    let items: EngineCache
    let call: CommandCall
    var now: Timestamp
    /// What the last command cost.
    private(set) var usage = CommandUsage()
    /// How many turns it took.
    private(set) var turns = 0

    init(
        limits: Limits = Limits(), seals: Bool = false, now: Timestamp = Timestamp(seconds: 1_700_000_000)
    ) throws {
        let key = SipHashKey(k0: 1, k1: 2)
        engine = try EmbeddedEngine(
            configuration: EngineConfiguration(
                memoryBytes: 256 << 20, indexKey: key, valueHashKey: key, seals: seals))
        items = engine.openCache(CacheID(rawValue: 1), limits: EngineCacheLimits())
        self.now = now
        let nothing = OwnedArguments([[0x78]])
        call = CommandCall(
            nothing.arguments, on: items, sizes: SizeLimits(cache: limits), ttl: TTLRules(cache: limits), now: now,
            reply: ReplyWriter())
    }

    /// Executes a command to its end and gives the reply, line ends shown as blanks.
    func run(_ words: [String]) -> String {
        let owned = OwnedArguments(words.map { Array($0.utf8) })
        defer { withExtendedLifetime(owned) {} }
        call.reply.clear()
        call.begin(owned.arguments, now: now)
        turns = 0
        do throws(MartletError) {
            guard let command = CommandTable.shared.command(named: owned.arguments[0]),
                case .items(let body) = command.action
            else { throw .command("ERR unknown") }
            try body(call)
            while let work = call.work {
                turns += 1
                if try work.step(call) { break }
            }
        } catch {
            call.reply.clear()
            call.reply.error(error.commandText)
        }
        usage = call.usage
        return String(decoding: call.reply.bytes, as: UTF8.self).replacing("\r\n", with: " ")
    }

    /// A command whose words have blanks between them.
    func run(_ line: String) -> String { run(line.split(separator: " ").map(String.init)) }

    /// Adds elements to a list.
    func push(_ key: String, _ elements: [String]) throws {
        let owned = OwnedArguments([Array(key.utf8)] + elements.map { Array($0.utf8) })
        defer { withExtendedLifetime(owned) {} }
        let arguments = owned.arguments
        _ = try items.withItem(arguments[0], now: now) { item throws(MartletError) in
            try item.pushToList(
                (1..<arguments.count).map { arguments[$0] }, at: .back,
                expiry: CollectionExpiry(expiresAt: nil, refresh: false))
        }
    }

    /// The elements of a list.
    func list(_ key: String) throws -> [String] {
        var elements: [String] = []
        let owned = OwnedArguments([Array(key.utf8)])
        defer { withExtendedLifetime(owned) {} }
        try items.withItem(owned.arguments[0], now: now) { item throws(MartletError) in
            try item.visitList(0..<(try item.listCount() ?? 0)) {
                elements.append(String(decoding: $0, as: UTF8.self))
                return true
            }
        }
        return elements
    }
}
