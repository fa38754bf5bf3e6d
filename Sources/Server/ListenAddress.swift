#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// Where a listener is bound: `127.0.0.1:8080`, `[::1]:8080` or `localhost:8080`. Port 0 takes a free one.
package struct ListenAddress: Equatable, Sendable, CustomStringConvertible {
    /// An IPv4 address, an IPv6 address without brackets, or a host name.
    package let host: String
    package let port: Int
    /// Whether only this machine can reach the address. A host name other than `localhost` counts as reachable: what
    /// it stands for is not known before it is resolved, and may change.
    package let isLoopback: Bool

    package init?(_ text: String) {
        guard let colon = text.lastIndex(of: ":") else { return nil }
        let portText = text[text.index(after: colon)...]
        guard (1...5).contains(portText.utf8.count), portText.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
            let port = UInt16(portText)
        else { return nil }
        var host = text[..<colon]
        let isBracketed = host.hasPrefix("[") && host.hasSuffix("]") && host.count > 2
        if isBracketed {
            host = host.dropFirst().dropLast()
        }
        if isBracketed {
            guard let bytes = InternetAddress.version6(String(host)) else { return nil }
            self.isLoopback = bytes.isLoopback
        } else if let bytes = InternetAddress.version4(String(host)) {
            self.isLoopback = bytes.isLoopback
        } else {
            guard HostName.isValid(String(host)) else { return nil }
            self.isLoopback = host.lowercased() == "localhost"
        }
        self.host = String(host)
        self.port = Int(port)
    }

    package var description: String {
        host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
    }
}

/// The bytes of an Internet address, in network order.
enum InternetAddress {
    struct Bytes: Equatable {
        let bytes: [UInt8]

        /// 127.0.0.0/8 (RFC 1122 section 3.2.1.3), ::1 (RFC 4291 section 2.5.3), and the former written as the latter.
        var isLoopback: Bool {
            if bytes.count == 4 { return bytes[0] == 127 }
            return bytes == Array(repeating: 0, count: 15) + [1]
                || bytes.starts(with: Array(repeating: 0, count: 10) + [0xff, 0xff, 127])
        }
    }

    static func version4(_ text: String) -> Bytes? {
        parse(text, family: AF_INET, count: 4)
    }

    static func version6(_ text: String) -> Bytes? {
        parse(text, family: AF_INET6, count: 16)
    }

    private static func parse(_ text: String, family: Int32, count: Int) -> Bytes? {
        var bytes = [UInt8](repeating: 0, count: count)
        guard !text.utf8.contains(0), inet_pton(family, text, &bytes) == 1 else { return nil }
        return Bytes(bytes: bytes)
    }
}

/// The syntax of host names (RFC 952 and RFC 1123 section 2.1): labels of letters, digits and `-`, 1 to 63 bytes each,
/// 253 in all. A last label of digits alone is a broken IPv4 address and no name.
enum HostName {
    static func isValid(_ text: String) -> Bool {
        guard (1...253).contains(text.utf8.count) else { return false }
        let labels = text.split(separator: ".", omittingEmptySubsequences: false)
        for label in labels {
            let isSpelledRight = label.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"):
                    true
                default:
                    false
                }
            }
            guard (1...63).contains(label.utf8.count), isSpelledRight, label.first != "-", label.last != "-" else {
                return false
            }
        }
        return labels.last?.utf8.allSatisfy { (0x30...0x39).contains($0) } == false
    }
}
