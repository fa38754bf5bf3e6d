import Tenancy

/// Reads commands of the Redis serialization protocol from bytes as they come: arrays of strings, and lines of words.
///
/// It opens no socket and copies no argument: ``command`` says where the arguments lie in the bytes that it was given. What
/// it has read of a command it remembers, so that a long one that comes in pieces is not read again with each.
///
/// ```
/// *3\r\n $3\r\nSET\r\n $1\r\nk\r\n $5\r\nvalue\r\n          SET k "a value"\r\n
///  │      └──┬────┘ └── as many strings as announced         └── words, quoted or not
///  │         └ length, then bytes and a line end
///  └ how many
/// ```
///
/// Lenient where Redis is: of a line end within an array only its length is looked at. Source:
/// https://redis.io/docs/latest/develop/reference/protocol-spec/ and the observed behaviour of Redis 7.0.
struct RESPDecoder {
    enum Step: Equatable {
        /// A command; it ends after so many bytes.
        case command(byteCount: Int)
        /// Nothing to do: an empty line or array of so many bytes.
        case nothing(byteCount: Int)
        case needsMore
        /// So many bytes belong to a command that is not taken; what follows is still to be dropped.
        case dropped(byteCount: Int)
        /// A command that was not taken ends after so many bytes. It gets an answer as any other.
        case refused(byteCount: Int, Refusal)
        /// What follows cannot be told apart any more.
        case violation(String)
    }

    enum Refusal: Equatable {
        case tooManyArguments
        case tooLarge
        /// There is no memory for it at the moment.
        case noRoom
    }

    struct Limits {
        /// Whether whoever sends has shown who he is: before, next to nothing is kept for him.
        var isAuthenticated = false
        var arguments = 65_536
        var commandBytes = 32 << 20
    }

    /// Of one argument, from the first byte of the command.
    struct Slice: Equatable {
        var start: UInt32
        var count: UInt32
    }

    var limits = Limits()
    /// The arguments of the command that ``next(_:)`` found, within its bytes, or within ``words``.
    private(set) var slices: [Slice] = []
    /// What a line of words spelled, where the command came as one.
    private(set) var words: [UInt8]?
    /// Bytes of the present command that have been read.
    private var place = 0
    /// Strings that are still to come; nil before the array's header.
    private var stringsLeft: Int?
    /// Announced and not complete.
    private var stringBytes: Int?
    private var announcedBytes = 0
    private var refusal: Refusal?

    private static let mostLine = 65_536
    private static let mostString = 512 << 20
    private static let unauthenticatedStrings = 10
    private static let unauthenticatedBytes = 16_384

    /// How many bytes the present command takes at least, as far as it has announced them: what a buffer for it should hold.
    var bytesAnnounced: Int { refusal == nil ? place + (stringBytes.map { $0 + 2 } ?? 0) : 0 }

    /// Whether a command has begun and is not complete.
    var isInsideCommand: Bool { place > 0 || stringsLeft != nil }

    /// What is kept beside the bytes of an unfinished command.
    var bytesBeside: Int { slices.capacity * MemoryLayout<Slice>.stride }

    /// Reads on. `bytes` begin with the present command, and have grown since the last call if that needed more.
    mutating func next(_ bytes: UnsafeRawBufferPointer) -> Step {
        if place == 0, stringsLeft == nil {
            guard let first = bytes.first else { return .needsMore }
            if first != 0x2A { return line(bytes) }
        }
        return refusal == nil ? array(bytes) : drop(bytes)
    }

    /// To be called when a command has been dealt with.
    mutating func finish() {
        if slices.count > 64 { slices = [] } else { slices.removeAll(keepingCapacity: true) }
        words = nil
        place = 0
        stringsLeft = nil
        stringBytes = nil
        announcedBytes = 0
        refusal = nil
    }

    /// The present command is not taken: what is left of it is dropped, and then it is refused.
    mutating func refuse(_ reason: Refusal) {
        refusal = reason
        slices = []
    }

    // MARK: Arrays

    private mutating func array(_ bytes: UnsafeRawBufferPointer) -> Step {
        if stringsLeft == nil {
            guard let count = header(bytes, from: 1, "mbulk count string") else { return stopped }
            guard let count = count.value, count <= Int64(Int32.max) else {
                return .violation("invalid multibulk length")
            }
            guard limits.isAuthenticated || count <= Self.unauthenticatedStrings else {
                return .violation("unauthenticated multibulk length")
            }
            guard count > 0 else {
                let byteCount = place
                finish()
                return .nothing(byteCount: byteCount)
            }
            stringsLeft = Int(count)
            if count > limits.arguments {
                refuse(.tooManyArguments)
                return drop(bytes)
            }
            slices.reserveCapacity(min(Int(count), 1024))
        }
        while let left = stringsLeft, left > 0 {
            if stringBytes == nil, let step = announce(bytes) { return step }
            guard let count = stringBytes else { return .needsMore }
            guard bytes.count - place >= count + 2 else { return .needsMore }
            slices.append(Slice(start: UInt32(place), count: UInt32(count)))
            place += count + 2
            stringBytes = nil
            stringsLeft = left - 1
        }
        return .command(byteCount: place)
    }

    /// Reads the header of a string.
    ///
    /// - Returns: nil when it was read.
    private mutating func announce(_ bytes: UnsafeRawBufferPointer) -> Step? {
        guard place < bytes.count else { return .needsMore }
        guard bytes[place] == 0x24 else {
            return .violation("expected '$', got '\(Self.shown(bytes[place]))'")
        }
        guard let count = header(bytes, from: place + 1, "bulk count string") else { return stopped }
        guard let count = count.value, count >= 0, count <= Int64(Self.mostString) else {
            return .violation("invalid bulk length")
        }
        guard limits.isAuthenticated || count <= Self.unauthenticatedBytes else {
            return .violation("unauthenticated bulk length")
        }
        stringBytes = Int(count)
        announcedBytes += Int(count)
        guard announcedBytes <= limits.commandBytes, place <= limits.commandBytes else {
            refuse(.tooLarge)
            return drop(bytes)
        }
        return nil
    }

    /// What a line held that could not be read as far as its end.
    private var stopped: Step { lineViolation.map { .violation($0) } ?? .needsMore }
    private var lineViolation: String?

    /// Reads a number up to the line end, and the line end.
    ///
    /// - Returns: nil when the line is not complete, or too long; the number, nil where there is none.
    private mutating func header(
        _ bytes: UnsafeRawBufferPointer, from start: Int, _ what: String
    ) -> (value: Int64?, Void)? {
        var end = start
        var value: Int64 = 0
        var isNumber = true
        var isNegative = false
        while end < bytes.count, bytes[end] != 0x0D {
            let digit = bytes[end] &- 0x30
            if digit <= 9, value < 1 << 40 {
                value = value * 10 + Int64(digit)
            } else if end == start, bytes[end] == 0x2D {
                isNegative = true
            } else {
                isNumber = false
            }
            end += 1
            if end - start > Self.mostLine {
                lineViolation = "too big \(what)"
                return nil
            }
        }
        guard end + 1 < bytes.count else { return nil }
        let digits = end - start - (isNegative ? 1 : 0)
        // A number has no zeros in front, and there is no zero less than nothing.
        let hasLeadingZero = digits > 0 && bytes[end - digits] == 0x30 && (digits > 1 || isNegative)
        isNumber = isNumber && digits > 0 && !hasLeadingZero
        place = end + 2
        return (isNumber ? (isNegative ? -value : value) : nil, ())
    }

    private static func shown(_ byte: UInt8) -> String {
        byte == 0 ? "" : String(decoding: [byte], as: UTF8.self)
    }

    // MARK: What is not taken

    /// Goes over strings without keeping them. From here on the bytes that were given are dropped by the caller, so places
    /// count from the first that was not.
    private mutating func drop(_ bytes: UnsafeRawBufferPointer) -> Step {
        while let left = stringsLeft, left > 0 {
            if let count = stringBytes {
                let end = count + 2
                guard bytes.count - place >= end else {
                    stringBytes = end - (bytes.count - place) - 2
                    place = 0
                    return .dropped(byteCount: bytes.count)
                }
                place += end
                stringBytes = nil
                stringsLeft = left - 1
                continue
            }
            let before = place
            guard before < bytes.count else { break }
            guard bytes[before] == 0x24 else {
                return .violation("expected '$', got '\(Self.shown(bytes[before]))'")
            }
            guard let count = header(bytes, from: before + 1, "bulk count string") else {
                if let lineViolation { return .violation(lineViolation) }
                place = 0
                return before > 0 ? .dropped(byteCount: before) : .needsMore
            }
            guard let count = count.value, count >= 0, count <= Int64(Self.mostString) else {
                return .violation("invalid bulk length")
            }
            stringBytes = Int(count)
        }
        guard stringsLeft == 0 else {
            place = 0
            return bytes.count > 0 ? .dropped(byteCount: bytes.count) : .needsMore
        }
        return .refused(byteCount: place, refusal ?? .tooLarge)
    }

    // MARK: Lines of words

    private mutating func line(_ bytes: UnsafeRawBufferPointer) -> Step {
        guard let end = bytes.firstIndex(of: 0x0A) else {
            return bytes.count > Self.mostLine ? .violation("too big inline request") : .needsMore
        }
        guard end <= Self.mostLine else { return .violation("too big inline request") }
        let text = UnsafeRawBufferPointer(rebasing: bytes[0..<(end > 0 && bytes[end - 1] == 0x0D ? end - 1 : end)])
        guard split(text) else { return .violation("unbalanced quotes in request") }
        guard !slices.isEmpty else {
            finish()
            return .nothing(byteCount: end + 1)
        }
        return .command(byteCount: end + 1)
    }

    /// Splits a line into words, which may be quoted as in a shell.
    ///
    /// - Returns: False where a quote is not closed, or something sticks to one that is.
    private mutating func split(_ line: UnsafeRawBufferPointer) -> Bool {
        var words: [UInt8] = []
        var place = 0
        func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte >= 0x09 && byte <= 0x0D }
        while true {
            while place < line.count, isBlank(line[place]) { place += 1 }
            // A word that begins with nothing ends the line, as for whoever reads it as a C string.
            guard place < line.count, line[place] != 0 else { break }
            let start = words.count
            var quote: UInt8?
            while true {
                guard place < line.count, line[place] != 0 else {
                    if quote != nil { return false }
                    break
                }
                let byte = line[place]
                if let open = quote {
                    if byte == 0x5C, place + 1 < line.count, open == 0x22 || line[place + 1] == 0x27 {
                        place += Self.unescape(line, at: place, inDouble: open == 0x22, &words)
                        continue
                    }
                    place += 1
                    if byte == open {
                        // A closing quote is followed by a blank, or nothing.
                        if place < line.count, line[place] != 0, !isBlank(line[place]) { return false }
                        quote = nil
                        break
                    }
                    words.append(byte)
                } else if isBlank(byte) {
                    break
                } else {
                    place += 1
                    if byte == 0x22 || byte == 0x27 { quote = byte } else { words.append(byte) }
                }
            }
            slices.append(Slice(start: UInt32(start), count: UInt32(words.count - start)))
        }
        self.words = words
        return true
    }

    /// Reads what a backslash within quotes stands for.
    ///
    /// - Returns: How many bytes of the line that took.
    private static func unescape(
        _ line: UnsafeRawBufferPointer, at place: Int, inDouble: Bool, _ words: inout [UInt8]
    ) -> Int {
        let next = line[place + 1]
        guard inDouble else {
            words.append(next)
            return 2
        }
        if next == 0x78, place + 3 < line.count, let high = hexDigit(line[place + 2]),
            let low = hexDigit(line[place + 3])
        {
            words.append(high << 4 | low)
            return 4
        }
        switch next {
        case 0x6E: words.append(0x0A)
        case 0x72: words.append(0x0D)
        case 0x74: words.append(0x09)
        case 0x62: words.append(0x08)
        case 0x61: words.append(0x07)
        default: words.append(next)
        }
        return 2
    }

    private static func hexDigit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 0x30...0x39: byte - 0x30
        case 0x41...0x46: byte - 0x37
        case 0x61...0x66: byte - 0x57
        default: nil
        }
    }
}
