import Engine
import Tenancy

// A sorted set of a million members beside the same in redis-server: both in one run and in turn, on one core.
//
// The engine's time is CPU time of one call after the other; Redis's is what its `commandstats` says of the commands,
// without sockets and parsing. Both copy out the members of a range. Members are of 16 bytes, scores random.

enum SortedSets {
    private enum Operation: String, CaseIterable {
        case add, rank
        case rangeByRank = "range-by-rank"
        case rangeByScore = "range-by-score"
    }

    /// How many members a range has.
    private static let width = 100

    static func run(_ options: Options) {
        Machine.pin(to: options.cores.first)
        let members = options.number("members", or: 1_000_000)
        let slices = options.number("slices", or: 10)
        let side = Side(members: members, port: options.number("port", or: 0))
        // Of the adds, the slices tell how the cost grows with the number of members.
        let perSlice = members / slices
        var (own, peer) = ([Double](), [Double]())
        for slice in 0..<slices {
            let range = UInt64(slice * perSlice)..<UInt64((slice + 1) * perSlice)
            own.append(side.add(range))
            peer.append(side.addToPeer(range))
        }
        write(.add, own, peer)
        for operation in [Operation.rank, .rangeByRank, .rangeByScore] {
            let count = options.number("operations", or: 100_000) / (operation == .rank ? 1 : 5)
            (own, peer) = ([], [])
            for round in 0..<options.number("rounds", or: 7) {
                if round % 2 == 0 { own.append(side.take(operation, count)) }
                peer.append(side.takeFromPeer(operation, count))
                if round % 2 == 1 { own.append(side.take(operation, count)) }
            }
            write(operation, own, peer)
        }
    }

    private static func write(_ operation: Operation, _ own: [Double], _ peer: [Double]) {
        var line = Line("sorted-set")
        line.add("operation", operation.rawValue)
        line.add("nanoseconds", own)
        line.add("peer_nanoseconds", peer)
        line.write()
    }

    private final class Side {
        private let engine = Subject.engine(memoryBytes: 4 << 30)
        private let cache: EngineCache
        private let peer: PipelinedClient
        private let members: Int
        private var random = Random(seed: 5)
        private let keys = KeyWriter()
        private let writer = MemberWriter(count: 1)
        private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 65_536, alignment: 64)

        init(members: Int, port: Int) {
            cache = engine.openCache(CacheID(rawValue: 1), limits: EngineCacheLimits())
            peer = PipelinedClient(port: port)
            self.members = members
        }

        deinit { buffer.deallocate() }

        /// Scores from 0 to 1 G, whole numbers, the same for a member each time.
        private func score(_ member: UInt64) -> Int { Int(Random.mix(member) % 1_000_000_000) }

        private func draw() -> UInt64 { UInt64(random.below(members)) }

        // MARK: The engine

        func add(_ range: Range<UInt64>) -> Double {
            time(range.count) { (number) throws(MartletError) in
                let member = range.lowerBound + UInt64(number)
                writer.write(member)
                try cache.add(writer.members[0], score: Double(score(member)), toSortedSet: keys.key(0))
            }
        }

        func take(_ operation: Operation, _ count: Int) -> Double {
            time(count) { (_) throws(MartletError) in
                switch operation {
                case .add: break
                case .rank:
                    writer.write(draw())
                    guard try cache.rank(of: writer.members[0], inSortedSet: keys.key(0)) != nil else {
                        fail("a member is missing")
                    }
                case .rangeByRank:
                    let first = random.below(members - SortedSets.width)
                    let selection = SortedSetSelection(
                        .ranks(.inclusive(start: first, stop: first + SortedSets.width - 1)))
                    guard try cache.members(selection, ofSortedSet: keys.key(0), into: buffer) == SortedSets.width
                    else { fail("a range is too short") }
                case .rangeByScore:
                    let first = Double(random.below(999_000_000))
                    let selection = SortedSetSelection(
                        .scores(ScoreRange(minimum: .init(first), maximum: .init(.infinity))), limit: SortedSets.width)
                    keep(try cache.members(selection, ofSortedSet: keys.key(0), into: buffer))
                }
            }
        }

        private func time(_ count: Int, _ body: (Int) throws(MartletError) -> Void) -> Double {
            let start = Clock.threadCPU()
            do throws(MartletError) {
                for number in 0..<count { try body(number) }
            } catch {
                fail("\(error)")
            }
            let spent = Clock.threadCPU() - start
            Subject.settle(engine)
            return Double(spent) / Double(count)
        }

        // MARK: Redis

        func addToPeer(_ range: Range<UInt64>) -> Double {
            ask(range.count, "zadd") { number in
                let member = range.lowerBound + UInt64(number)
                writer.write(member)
                peer.command(parts: 4)
                peer.part("ZADD")
                peer.part("z")
                peer.part(decimal: score(member))
                peer.part(writer.members[0])
            }
        }

        func takeFromPeer(_ operation: Operation, _ count: Int) -> Double {
            switch operation {
            case .add: return .nan
            case .rank:
                return ask(count, "zrank") { _ in
                    writer.write(draw())
                    peer.command(parts: 3)
                    peer.part("ZRANK")
                    peer.part("z")
                    peer.part(writer.members[0])
                }
            case .rangeByRank:
                return ask(count, "zrange") { _ in
                    let first = random.below(members - SortedSets.width)
                    peer.command(parts: 4)
                    peer.part("ZRANGE")
                    peer.part("z")
                    peer.part(decimal: first)
                    peer.part(decimal: first + SortedSets.width - 1)
                }
            case .rangeByScore:
                return ask(count, "zrangebyscore") { _ in
                    peer.command(parts: 7)
                    peer.part("ZRANGEBYSCORE")
                    peer.part("z")
                    peer.part(decimal: random.below(999_000_000))
                    peer.part("+inf")
                    peer.part("LIMIT")
                    peer.part("0")
                    peer.part(decimal: SortedSets.width)
                }
            }
        }

        /// Nanoseconds of a command, by the peer's own count, which is of wall time: so it is asked after every 128, and
        /// the median is of those in which the peer was not put aside.
        private func ask(_ count: Int, _ command: String, _ body: (Int) -> Void) -> Double {
            var found: [Double] = []
            for first in stride(from: 0, to: count, by: 128) {
                let batch = first..<min(count, first + 128)
                peer.command(parts: 2)
                peer.part("CONFIG")
                peer.part("RESETSTAT")
                batch.forEach(body)
                peer.command(parts: 2)
                peer.part("INFO")
                peer.part("commandstats")
                peer.flush()
                for _ in 0...batch.count { peer.answer() }
                found.append(Self.nanoseconds(of: command, in: peer.text()))
            }
            return found.median
        }

        private static func nanoseconds(of command: String, in statistics: String) -> Double {
            for line in statistics.split(whereSeparator: \.isNewline) where line.hasPrefix("cmdstat_\(command):") {
                var fields: [Substring: Double] = [:]
                for field in line.drop(while: { $0 != ":" }).dropFirst().split(separator: ",") {
                    let parts = field.split(separator: "=")
                    if parts.count == 2 { fields[parts[0]] = Double(parts[1]) }
                }
                if let calls = fields["calls"], let spent = fields["usec"] { return spent * 1000 / calls }
            }
            fail("the peer does not count \(command)")
        }
    }
}
