import CacheService
import Tenancy

/// Which replies a client wants: `CLIENT REPLY`.
enum ReplySwitch {
    case on, off
    /// The reply to the next command is left out.
    case skipNext
    /// It is being left out.
    case skipping
}

/// What a client says of the library that it is made with.
struct ClientLibrary {
    var name: [UInt8] = []
    var version: [UInt8] = []
}

/// Commands about the connection, and where all are told apart that the door carries out.
extension RESPSession {
    /// As ``receive(_:_:)``, for a client that does not want each reply.
    func receiveQuietly(_ arguments: Arguments, _ shared: RESPLane) {
        let start = shared.writer.count
        if replies == .skipNext { replies = .skipping }
        dispatch(arguments, shared)
        if isMuted { shared.writer.truncate(to: start) }
        if replies == .skipping { replies = .on }
    }

    /// Commands of one who has shown no credential.
    func performUnidentified(_ command: CommandSpec, _ arguments: Arguments, _ writer: ReplyWriter) {
        switch command.name {
        case "auth": authenticate(arguments, writer)
        case "hello": hello(arguments, writer)
        case "quit": quit(writer)
        case "reset":
            reset()
            writer.isVersion3 = false
            writer.simple("RESET")
        default: refuseUnidentified(writer)
        }
    }

    /// Commands that the service does not carry out.
    func perform(
        _ command: CommandSpec, _ arguments: Arguments, _ identity: CommandIdentity, _ shared: RESPLane
    ) {
        let writer = shared.writer
        guard !command.flags.contains(.noAuth) else { return performUnidentified(command, arguments, writer) }
        // The service asks of these what there is to ask by itself; the subcommands of PUBSUB are among them.
        if command.group == .pubsub { return performChannelCommand(command, arguments, writer) }
        let start = writer.count
        do throws(MartletError) {
            // What stands in a transaction was permitted by it.
            if !isExecuting || command.group == .server || command.group == .martlet {
                try lane.service.enter(command, arguments, for: identity)
            }
            if case .container = CommandTable.shared.command(named: arguments[0])?.action {
                try performSubcommand(command, arguments, identity, shared)
            } else {
                try performPlain(command, arguments, identity, shared)
            }
        } catch {
            writer.truncate(to: start)
            writer.error(error.commandText)
        }
    }

    private func performPlain(
        _ command: CommandSpec, _ arguments: Arguments, _ identity: CommandIdentity, _ shared: RESPLane
    ) throws(MartletError) {
        let writer = shared.writer
        switch command.name {
        case "ping": ping(arguments, writer)
        case "echo": writer.bulk(arguments[1])
        case "select": select(arguments, writer)
        case "multi": begin(writer)
        case "exec": execute(identity, shared, arguments)
        case "discard": discard(writer)
        case "watch": watch(arguments, identity, writer)
        case "unwatch":
            if !isExecuting { watched = nil }
            writer.ok()
        case "readonly", "readwrite", "asking": throw .notCluster
        default: try performServer(command.name, arguments, identity, writer)
        }
    }

    private func performSubcommand(
        _ command: CommandSpec, _ arguments: Arguments, _ identity: CommandIdentity, _ shared: RESPLane
    ) throws(MartletError) {
        guard let container = CommandTable.shared.command(named: arguments[0]) else { return }
        if command.group == .pubsub { return performChannelCommand(command, arguments, shared.writer) }
        if command.name == "help" { return container.help(shared.writer) }
        switch container.name {
        case "client": try client(command.name, arguments, identity, shared)
        case "cluster": throw .notCluster
        default: try performServer(container.name, command.name, arguments, identity, shared.writer)
        }
    }

    func quit(_ writer: ReplyWriter) {
        writer.ok()
        connection.flush()
        connection.finish()
    }

    private func ping(_ arguments: Arguments, _ writer: ReplyWriter) {
        guard arguments.count <= 2 else { return writer.error(MartletError.wrongNumberOfArguments("ping").commandText) }
        if isListening { return pingSubscribed(arguments, writer) }
        if arguments.count == 2 { writer.bulk(arguments[1]) } else { writer.simple("PONG") }
    }

    private func select(_ arguments: Arguments, _ writer: ReplyWriter) {
        switch DecimalText.integer(arguments[1]) {
        case 0: writer.ok()
        case nil: writer.error("ERR value is not an integer or out of range")
        default: writer.error("ERR DB index is out of range")
        }
    }
}

extension MartletError {
    static let notCluster = MartletError.command("ERR This instance has cluster support disabled")
}
