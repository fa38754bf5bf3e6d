@testable import Gateway

/// Whatever a socket can carry as commands.
///
/// The first byte chooses the limits, the second where the input is cut. Besides not trapping: bytes in one piece and
/// bytes in pieces give the same; arguments lie within what was given; what has to be kept is bounded.
@_cdecl("LLVMFuzzerTestOneInput")
package func fuzzRESP(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let input = UnsafeRawBufferPointer(start: start, count: count)
    guard count >= 2 else { return 0 }
    var limits = RESPDecoder.Limits()
    limits.isAuthenticated = input[0] & 1 == 0
    limits.arguments = [1, 4, 65_536, 65_536][Int(input[0] >> 1) % 4]
    limits.commandBytes = [64, 1000, 32 << 20, 32 << 20][Int(input[0] >> 3) % 4]
    let stream = Array(input[2...])

    var whole = Reading(limits)
    whole.feed(stream[...])
    var pieces = Reading(limits)
    let size = Int(input[1]) % 67 + 1
    for place in stride(from: 0, to: stream.count, by: size) {
        pieces.feed(stream[place..<min(stream.count, place + size)])
    }
    precondition(whole.events == pieces.events)
    return 0
}

/// A decoder and what it has found.
private struct Reading {
    private var decoder = RESPDecoder()
    private var pending: [UInt8] = []
    private(set) var events: [Event] = []
    private let limits: RESPDecoder.Limits

    enum Event: Equatable {
        case command([[UInt8]])
        case nothing
        case refused(RESPDecoder.Refusal)
        case violation(String)
    }

    init(_ limits: RESPDecoder.Limits) {
        self.limits = limits
        decoder.limits = limits
    }

    mutating func feed(_ bytes: ArraySlice<UInt8>) {
        pending += bytes
        while step() {}
        // The header lines, a line of words, and what the limits let in.
        if case .violation = events.last { return }
        precondition(pending.count <= limits.commandBytes + 2 * 65_536 + 16 * limits.arguments + 64)
    }

    private mutating func step() -> Bool {
        if case .violation = events.last { return false }
        var event: Event?
        var isMore = true
        let used = pending.withUnsafeBytes { bytes in
            switch decoder.next(bytes) {
            case .command(let count):
                let words = decoder.words
                event = .command(
                    decoder.slices.map { slice in
                        let range = Int(slice.start)..<Int(slice.start) + Int(slice.count)
                        precondition(range.upperBound <= (words?.count ?? count))
                        return words.map { Array($0[range]) } ?? Array(bytes[range])
                    })
                decoder.finish()
                return count
            case .nothing(let count):
                event = .nothing
                return count
            case .needsMore:
                isMore = false
                return 0
            case .dropped(let count):
                precondition(count <= bytes.count)
                return count
            case .refused(let count, let refusal):
                decoder.finish()
                event = .refused(refusal)
                return count
            case .violation(let what):
                event = .violation(what)
                return 0
            }
        }
        pending.removeFirst(used)
        if let event { events.append(event) }
        return isMore && !pending.isEmpty
    }
}
