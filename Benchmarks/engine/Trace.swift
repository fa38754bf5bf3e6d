#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

// Traces of requests, the same on every machine, in the format `oracleGeneral` of libCacheSim: 24 bytes a request.
//
//     0      4          12     16                 24
//     | time | object id | size | next (not used) |
//
// The size is what the simulator is to account for: key, value, and the bytes beside them that the engine's budget
// allows an item. So whatever else the engine takes counts against it.
//
// | name | what asks |
// |---|---|
// | zipf-0.8, zipf-1.1 | objects of 100 bytes, the n-th of them with a probability like n to the power of that |
// | scans | zipf 0.9, and after every 100,000 requests 50,000 objects that are asked for once, in a row |
// | shifting | zipf 0.9 over 200,000 places; every fifth request, another place gets a new object |
// | mixed | zipf 0.9, values of 16 B to 64 KiB, each doubling of the size as frequent as the next |

enum Trace {
    /// What an item may take beside key and value.
    static let overhead = 32
    static let recordBytes = 24

    static func write(_ options: Options) {
        let name = options.text("name")
        let requests = options.number("requests", or: 3_000_000)
        guard let file = fopen(options.text("out"), "wb") else { fail("cannot write the trace") }
        var random = Random(seed: UInt64(options.number("seed", or: 1)))
        var source = Source(name: name, scale: options.number("scale", or: 1))
        var seen = Set<UInt64>()
        var footprint = 0
        var record = [UInt8](repeating: 0, count: recordBytes)
        for number in 0..<requests {
            let object = source.next(&random)
            let size = source.valueBytes(of: object) + KeyWriter.byteCount + overhead
            if seen.insert(object).inserted { footprint += size }
            record.withUnsafeMutableBytes { bytes in
                bytes.storeBytes(of: UInt32(number / 1000), toByteOffset: 0, as: UInt32.self)
                bytes.storeBytes(of: object, toByteOffset: 4, as: UInt64.self)
                bytes.storeBytes(of: UInt32(size), toByteOffset: 12, as: UInt32.self)
                bytes.storeBytes(of: -1, toByteOffset: 16, as: Int64.self)
            }
            fwrite(record, recordBytes, 1, file)
        }
        fclose(file)
        var line = Line("trace")
        line.add("name", name)
        line.add("requests", requests)
        line.add("objects", seen.count)
        line.add("footprint_bytes", footprint)
        line.write()
    }

    /// Draws objects one after the other.
    private struct Source {
        private let name: String
        private let zipf: Zipf
        private var number = 0
        private var scanLeft = 0
        private var scanned: UInt64 = 0
        /// Which object is at a place, for the trace whose places change.
        private var generations: [UInt32]
        private var renewed = 0

        init(name: String, scale: Int) {
            self.name = name
            generations = []
            switch name {
            case "zipf-0.8": zipf = Zipf(count: 2_000_000 / scale, power: 0.8)
            case "zipf-1.1": zipf = Zipf(count: 2_000_000 / scale, power: 1.1)
            case "scans": zipf = Zipf(count: 1_000_000 / scale, power: 0.9)
            case "shifting":
                zipf = Zipf(count: 200_000 / scale, power: 0.9)
                generations = [UInt32](repeating: 0, count: 200_000 / scale)
            case "mixed": zipf = Zipf(count: 100_000 / scale, power: 0.9)
            default: fail("there is no trace \(name)")
            }
        }

        mutating func next(_ random: inout Random) -> UInt64 {
            number += 1
            if name == "scans" {
                if number % 100_000 == 0 { scanLeft = 50_000 }
                if scanLeft > 0 {
                    scanLeft -= 1
                    scanned += 1
                    return Random.mix(1 << 60 | scanned)
                }
            }
            var object = UInt64(zipf.draw(&random))
            if name == "shifting" {
                if number % 5 == 0 {
                    // A stride that is prime to the number of places visits each of them once in a round.
                    renewed = (renewed + 7919) % generations.count
                    generations[renewed] += 1
                }
                object |= UInt64(generations[Int(object)]) << 32
            }
            return Random.mix(object + 1)
        }

        /// The same for every request of an object.
        func valueBytes(of object: UInt64) -> Int {
            guard name == "mixed" else { return 100 }
            let share = Double(Random.mix(object) >> 11) * 0x1p-53
            return min(65_536, Int(16 * exp2(12 * share)))
        }
    }

    /// Numbers from 0, the n-th with a probability like 1 / (n + 1)^power: a search in the sums of all of them.
    private struct Zipf {
        private var sums: [Double] = []

        init(count: Int, power: Double) {
            var sum = 0.0
            sums.reserveCapacity(count)
            for rank in 1...count {
                sum += pow(Double(rank), -power)
                sums.append(sum)
            }
        }

        func draw(_ random: inout Random) -> Int {
            let wanted = random.unit() * sums[sums.count - 1]
            var (low, high) = (0, sums.count - 1)
            while low < high {
                let middle = (low + high) / 2
                if sums[middle] > wanted { high = middle } else { low = middle + 1 }
            }
            return low
        }
    }

    /// The requests of a file, in order.
    static func forEach(of path: String, _ body: (_ number: Int, _ object: UInt64, _ valueBytes: Int) -> Void) {
        guard let file = fopen(path, "rb") else { fail("cannot read \(path)") }
        defer { fclose(file) }
        var records = [UInt8](repeating: 0, count: recordBytes * 4096)
        var number = 0
        while true {
            let count = fread(&records, recordBytes, 4096, file)
            guard count > 0 else { return }
            records.withUnsafeBytes { bytes in
                for record in 0..<count {
                    let object = bytes.loadUnaligned(fromByteOffset: record * recordBytes + 4, as: UInt64.self)
                    let size = bytes.loadUnaligned(fromByteOffset: record * recordBytes + 12, as: UInt32.self)
                    body(number, object, Int(size) - KeyWriter.byteCount - overhead)
                    number += 1
                }
            }
        }
    }
}
