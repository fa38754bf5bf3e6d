#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// Finds the addresses of a host name.
package protocol HostResolver: Sendable {
    /// The addresses in the order in which they are to be tried; none when the name has none or cannot be resolved. May
    /// block for as long as it likes: it is called on a thread of its own.
    func addresses(of host: String) -> [IPAddress]
}

/// The system's resolver: its files, its servers, its order (RFC 6724).
package struct SystemResolver: HostResolver {
    package init() {}

    package func addresses(of host: String) -> [IPAddress] {
        var hints = addrinfo()
        hints.ai_family = AF_UNSPEC
        hints.ai_socktype = CInt(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(host, nil, &hints, &list) == 0 else { return [] }
        defer { freeaddrinfo(list) }
        var found: [IPAddress] = []
        var entry = list
        while let answer = entry {
            if let address = IPAddress(answer.pointee.ai_addr), !found.contains(address) { found.append(address) }
            entry = answer.pointee.ai_next
        }
        return found
    }
}
