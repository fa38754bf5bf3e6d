import CacheService
import Tenancy

/// Who is on the other side: `AUTH`, and `HELLO` with its `AUTH`.
extension RESPSession {
    /// `AUTH credential`, or `AUTH cache credential`. A credential that is not good leaves everything as it was.
    func authenticate(_ arguments: Arguments, _ writer: ReplyWriter) {
        switch arguments.count {
        case 2: identify(cache: nil, arguments[1]) { $0.ok() }
        case 3: identify(cache: Array(arguments[1]), arguments[2]) { $0.ok() }
        default: writer.error(MartletError.syntax.commandText)
        }
    }

    /// `HELLO [version [AUTH cache credential] [SETNAME name]]`.
    func hello(_ arguments: Arguments, _ writer: ReplyWriter) {
        var version = isVersion3 ? 3 : 2
        if arguments.count > 1 {
            guard let asked = DecimalText.integer(arguments[1]) else {
                return writer.error("ERR Protocol version is not an integer or out of range")
            }
            guard asked == 2 || asked == 3 else { return writer.error("NOPROTO unsupported protocol version") }
            version = Int(asked)
        }
        var credential: (cache: Int, token: Int)?
        var name: [UInt8]?
        var index = 2
        while index < arguments.count {
            if arguments.isWord(index, "AUTH"), index + 2 < arguments.count {
                credential = (index + 1, index + 2)
                index += 3
            } else if arguments.isWord(index, "SETNAME"), index + 1 < arguments.count {
                name = Array(arguments[index + 1])
                index += 2
            } else {
                return writer.error("ERR Syntax error in HELLO option '\(arguments.string(index))'")
            }
        }
        if let name, name.count > Self.mostNameBytes || !Self.isValidName(name) {
            return writer.error(Self.invalidName)
        }
        let finish: (ReplyWriter) -> Void = { [unowned self] writer in
            if let name { self.name = name }
            self.isVersion3 = version == 3
            writer.isVersion3 = self.isVersion3
            self.writeGreeting(writer)
        }
        if let credential {
            identify(cache: Array(arguments[credential.cache]), arguments[credential.token], finish)
        } else if isAuthenticated {
            finish(writer)
        } else {
            writer.error(
                "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH"
                    + " <user> <pass> option can be used to authenticate the client and select the RESP protocol version"
                    + " at the same time")
        }
    }

    private func writeGreeting(_ writer: ReplyWriter) {
        writer.map(7)
        writer.bulk("server")
        writer.bulk("redis")
        writer.bulk("version")
        writer.bulk(Self.compatibleVersion)
        writer.bulk("proto")
        writer.integer(isVersion3 ? 3 : 2)
        writer.bulk("id")
        writer.integer(Int(truncatingIfNeeded: id))
        writer.bulk("mode")
        writer.bulk("standalone")
        writer.bulk("role")
        writer.bulk("master")
        writer.bulk("modules")
        writer.array(0)
    }

    /// The version of Redis whose commands clients may expect here.
    static let compatibleVersion = "7.4.0"

    static let invalidName = "ERR Client names cannot contain spaces, newlines or special characters."

    static func isValidName(_ name: [UInt8]) -> Bool {
        name.allSatisfy { $0 > 0x20 && $0 < 0x7F }
    }

    /// Identifies whoever shows a credential, and opens the cache: the one that is named, else the only one that the
    /// credential is for, else `default`.
    private func identify(
        cache: [UInt8]?, _ credential: UnsafeRawBufferPointer, _ finish: @escaping (ReplyWriter) -> Void
    ) {
        var isHere = true
        var answer: Result<LaneCaller, MartletError>?
        lane.identify(credential, peer: connection.peer) { [weak self] result in
            if isHere {
                answer = result
                return
            }
            guard let self, !self.isOver else { return }
            let writer = ReplyWriter()
            writer.isVersion3 = self.isVersion3
            self.take(result, cache, writer, finish)
            if !self.isMuted { self.connection.write(writer.bytes) }
            self.goOn()
        }
        isHere = false
        if let answer {
            take(answer, cache, writer, finish)
        } else {
            stall()
        }
    }

    private func take(
        _ result: Result<LaneCaller, MartletError>, _ cache: [UInt8]?, _ writer: ReplyWriter,
        _ finish: (ReplyWriter) -> Void
    ) {
        do throws(MartletError) {
            let caller = try result.get()
            let name = cache ?? lane.service.onlyCache(of: caller) ?? Self.defaultCache
            let opened = try name.withUnsafeBufferPointer { (name) throws(MartletError) in
                try lane.service.openCommands(
                    caller, cacheName: UnsafeRawBufferPointer(name), on: connection.peer.claims)
            }
            try subscriber?.renew(opened)
            identity = opened
            finish(writer)
        } catch {
            // What this one had been counted for already. Who the connection was before, it stays.
            connection.peer.claims.keepOnly(identity?.grant)
            switch error {
            case .throttled, .busy, .countLimited, .command: writer.error(error.commandText)
            case .cacheNotFound: writer.error("ERR no such cache")
            case .permissionDenied: writer.error("NOPERM this credential may not use that cache")
            default: writer.error("WRONGPASS invalid username-password pair or user is disabled.")
            }
        }
    }
}
