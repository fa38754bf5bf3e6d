import Tenancy

/// Puts the items of ``Memory`` into a peer: the same keys and values, each with a TTL.
enum Fill {
    static func items(_ options: Options) {
        Machine.pin(to: options.cores.second)
        let valueBytes = options.number("value", or: 100)
        let isMemcached = options.text("protocol", or: "redis") == "memcached"
        let client = PipelinedClient(port: options.number("port", or: 0))
        let keys = KeyWriter()
        let values = ValueWriter(capacity: valueBytes)
        let (first, end) = (options.number("from", or: 0), options.number("to", or: 1_000_000))
        var waiting = 0
        for number in first..<end {
            let id = UInt64(number)
            let (key, value) = (keys.key(id), values.value(id, byteCount: valueBytes))
            let ttl = 3_600_000 + Int(id & 0xf_ffff)
            if isMemcached {
                client.append("set ")
                client.append(key)
                client.append(" 0 ")
                client.append(decimal: ttl / 1000)
                client.append(" ")
                client.append(decimal: valueBytes)
                client.append("\r\n")
                client.append(value)
                client.append("\r\n")
            } else {
                client.command(parts: 5)
                client.part("SET")
                client.part(key)
                client.part(value)
                client.part("PX")
                client.part(decimal: ttl)
            }
            waiting += 1
            if waiting == 64 || number == end - 1 {
                client.flush()
                for _ in 0..<waiting {
                    if isMemcached { client.anyLine() } else { client.answer() }
                }
                waiting = 0
            }
        }
    }

    /// Puts the collections of ``Memory`` into redis-server, each in one command and with a TTL.
    static func collections(_ options: Options) {
        Machine.pin(to: options.cores.second)
        guard let kind = Collections.Kind(rawValue: options.text("of")) else { fail("there is no such collection") }
        let client = PipelinedClient(port: options.number("port", or: 0))
        let writer = MemberWriter(count: options.number("members", or: 100))
        let keys = KeyWriter()
        for number in 0..<UInt64(options.number("count", or: 100_000)) {
            let key = keys.key(number)
            let isPaired = kind == .dictionary || kind == .sortedSet
            client.command(parts: 2 + writer.members.count * (isPaired ? 2 : 1))
            switch kind {
            case .dictionary: client.part("HSET")
            case .set: client.part("SADD")
            case .list: client.part("RPUSH")
            case .sortedSet: client.part("ZADD")
            }
            client.part(key)
            for (position, member) in writer.members.enumerated() {
                writer.write(number << 20 | UInt64(position), at: position)
                if kind == .sortedSet { client.part(decimal: position) }
                client.part(member)
                if kind == .dictionary { client.part(member) }
            }
            client.command(parts: 3)
            client.part("PEXPIRE")
            client.part(key)
            client.part(decimal: 3_600_000 + Int(number & 0xf_ffff))
            if number % 16 == 15 || Int(number) == options.number("count", or: 100_000) - 1 {
                client.flush()
                for _ in 0..<2 * (number % 16 + 1) { client.answer() }
            }
        }
    }
}
