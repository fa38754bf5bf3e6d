#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// A client of redis-server or memcached that writes many commands before it reads the answers.
final class PipelinedClient {
    private let socketNumber: Int32
    private var output: [UInt8] = []
    private var input = [UInt8](repeating: 0, count: 1 << 20)
    private var readPosition = 0
    private var filled = 0

    /// To a port of this machine.
    init(port: Int) {
        socketNumber = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = UInt16(port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        let code = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(socketNumber, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard socketNumber >= 0, code == 0 else { fail("nothing listens on port \(port)") }
        var yes: Int32 = 1
        setsockopt(socketNumber, Int32(IPPROTO_TCP), TCP_NODELAY, &yes, socklen_t(MemoryLayout<Int32>.size))
        output.reserveCapacity(1 << 20)
    }

    deinit { close(socketNumber) }

    // MARK: Writing

    /// Bytes that wait to be sent.
    var pending: Int { output.count }

    func append(_ text: StaticString) {
        text.withUTF8Buffer { output.append(contentsOf: $0) }
    }

    func append(_ bytes: UnsafeRawBufferPointer) { output.append(contentsOf: bytes) }

    func append(decimal number: Int) { output.append(contentsOf: String(number).utf8) }

    /// The head of a command of RESP: how many parts follow.
    func command(parts: Int) {
        append("*")
        append(decimal: parts)
        append("\r\n")
    }

    /// One part of a command of RESP.
    func part(_ bytes: UnsafeRawBufferPointer) {
        append("$")
        append(decimal: bytes.count)
        append("\r\n")
        append(bytes)
        append("\r\n")
    }

    func part(_ text: StaticString) {
        text.withUTF8Buffer { part(UnsafeRawBufferPointer($0)) }
    }

    func part(decimal number: Int) {
        var text = String(number)
        text.withUTF8 { part(UnsafeRawBufferPointer($0)) }
    }

    /// Sends everything that waits.
    func flush() {
        output.withUnsafeBytes { bytes in
            var sent = 0
            while sent < bytes.count {
                let count = write(socketNumber, bytes.baseAddress! + sent, bytes.count - sent)
                guard count > 0 else { fail("the peer closed the connection") }
                sent += count
            }
        }
        output.removeAll(keepingCapacity: true)
    }

    // MARK: Reading

    /// The next line, without its end, as the first byte and the number after it, if one is there.
    private func line() -> (kind: UInt8, number: Int, text: ArraySlice<UInt8>) {
        while true {
            if let end = input[readPosition..<filled].firstIndex(of: 0x0a) {
                let line = input[readPosition..<max(readPosition, end - 1)]
                readPosition = end + 1
                var number = 0
                var isNegative = false
                for byte in line.dropFirst() {
                    if byte == 0x2d { isNegative = true }
                    guard byte >= 0x30, byte <= 0x39, number < 1 << 50 else { continue }
                    number = number * 10 + Int(byte - 0x30)
                }
                return (line.first ?? 0, isNegative ? -number : number, line)
            }
            fill()
        }
    }

    private func fill() {
        if readPosition > 0 {
            input.withUnsafeMutableBytes { bytes in
                let rest = UnsafeRawBufferPointer(rebasing: bytes[readPosition..<filled])
                UnsafeMutableRawBufferPointer(rebasing: bytes[..<rest.count]).copyMemory(from: rest)
            }
            filled -= readPosition
            readPosition = 0
        }
        if filled == input.count { input.append(contentsOf: [UInt8](repeating: 0, count: input.count)) }
        let count = input.withUnsafeMutableBytes { read(socketNumber, $0.baseAddress! + filled, $0.count - filled) }
        guard count > 0 else { fail("the peer closed the connection") }
        filled += count
    }

    /// Reads one answer of RESP, arrays with all that is in them, and gives back its number: of `:5` five, of a string its
    /// length. An error ends the program.
    @discardableResult
    func answer() -> Int {
        let line = line()
        switch line.kind {
        case UInt8(ascii: "+"), UInt8(ascii: ":"): return line.number
        case UInt8(ascii: "$"):
            guard line.number >= 0 else { return -1 }
            while filled - readPosition < line.number + 2 { fill() }
            readPosition += line.number + 2
            return line.number
        case UInt8(ascii: "*"):
            for _ in 0..<max(0, line.number) { answer() }
            return line.number
        default: fail("the peer answered \(String(decoding: line.text, as: UTF8.self))")
        }
    }

    /// Reads an answer that is a string.
    func text() -> String {
        let line = line()
        guard line.kind == UInt8(ascii: "$"), line.number >= 0 else { fail("the peer answered no string") }
        while filled - readPosition < line.number + 2 { fill() }
        let text = String(decoding: input[readPosition..<readPosition + line.number], as: UTF8.self)
        readPosition += line.number + 2
        return text
    }

    /// Reads one line whatever it says: the answer of memcached to one command.
    func anyLine() { _ = line() }
}
