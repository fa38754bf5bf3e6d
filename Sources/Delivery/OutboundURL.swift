/// Where a call goes, as somebody wrote it down: `https://hooks.example.com:8443/in?from=martlet`.
///
/// It is read strictly (RFC 3986, of which a part), so that there is no second opinion of which host it names: visible
/// ASCII alone, no user information, no fragment, no backslash, no percent-encoding in the host. A host that ends in a
/// number is an address of version 4 in one of its spellings, or nothing. Names in other scripts are written in their
/// ASCII form (`xn--…`) and otherwise left to the resolver.
package struct OutboundURL: Hashable, Sendable {
    /// The most characters.
    package static let mostCharacters = 1024

    package let isTLS: Bool
    /// A name in lower case without a dot at its end, or an address without brackets.
    package let host: String
    /// The address that the host is, where it is no name.
    package let address: IPAddress?
    package let port: Int
    /// The `Host` of the request: as in the URL, with the port where it is not the scheme's own.
    package let authority: String
    /// Path and query.
    package let target: String
    /// Scheme, host and port: what may be shown where the rest may hold a secret.
    package var origin: String { "\(isTLS ? "https" : "http")://\(authority)" }

    /// - Throws: ``OutboundURLFault`` for anything else.
    package init(_ text: String) throws(OutboundURLFault) {
        guard text.unicodeScalars.count <= Self.mostCharacters else {
            throw OutboundURLFault("must be at most \(Self.mostCharacters) characters long")
        }
        guard text.utf8.allSatisfy({ (0x21...0x7e).contains($0) && $0 != UInt8(ascii: "\\") }) else {
            throw OutboundURLFault(
                "must be visible ASCII without a backslash: percent-encode the rest, and write host names as xn--…")
        }
        let rest: Substring
        let scheme = text.prefix { $0 != ":" }.lowercased()
        switch scheme {
        case "https", "http":
            isTLS = scheme == "https"
            rest = text.dropFirst(scheme.utf8.count + 1)
        default:
            throw OutboundURLFault("must begin with https:// or http://")
        }
        guard rest.hasPrefix("//") else { throw OutboundURLFault("must begin with https:// or http://") }
        guard !rest.contains("#") else { throw OutboundURLFault("must not have a fragment") }
        let location = rest.dropFirst(2)
        let place = location.prefix { $0 != "/" && $0 != "?" }
        let path = location[place.endIndex...]
        target = path.hasPrefix("/") ? String(path) : "/" + path
        guard !place.contains("@") else { throw OutboundURLFault("must not hold a user name or password") }

        let (name, portText) = try Self.split(place)
        port = try Self.port(portText) ?? (isTLS ? 443 : 80)
        (host, address) = try Self.host(name)
        let shown = name.hasSuffix(".") ? name.dropLast() : name
        authority = port == (isTLS ? 443 : 80) ? shown.lowercased() : "\(shown.lowercased()):\(port)"
    }

    /// Host and port of an authority without user information.
    private static func split(_ place: Substring) throws(OutboundURLFault) -> (host: Substring, port: Substring?) {
        let end: Substring.Index
        if place.hasPrefix("[") {
            guard let bracket = place.firstIndex(of: "]") else { throw OutboundURLFault("has no ] behind its host") }
            end = place.index(after: bracket)
        } else {
            end = place.firstIndex(of: ":") ?? place.endIndex
        }
        let rest = place[end...]
        guard !rest.isEmpty else { return (place, nil) }
        guard rest.hasPrefix(":") else { throw OutboundURLFault("has something other than a port behind its host") }
        return (place[..<end], rest.dropFirst())
    }

    private static func port(_ text: Substring?) throws(OutboundURLFault) -> Int? {
        guard let text, !text.isEmpty else { return nil }
        guard text.utf8.count <= 5, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let port = Int(text),
            (1...65_535).contains(port)
        else { throw OutboundURLFault("must have a port from 1 to 65535") }
        return port
    }

    private static func host(_ text: Substring) throws(OutboundURLFault) -> (name: String, address: IPAddress?) {
        if text.hasPrefix("[") {
            let inner = String(text.dropFirst().dropLast())
            guard let address = IPAddress(inner), address.family == .v6 else {
                throw OutboundURLFault("must have an IPv6 address, without a zone, between its brackets")
            }
            return (address.description, address)
        }
        let name = (text.hasSuffix(".") ? text.dropLast() : text).lowercased()
        let labels = name.split(separator: ".", omittingEmptySubsequences: false)
        guard let last = labels.last, !name.isEmpty else { throw OutboundURLFault("must name a host") }
        // What ends in a number is an address (https://url.spec.whatwg.org/#ends-in-a-number-checker).
        if last.utf8.allSatisfy({ (0x30...0x39).contains($0) }) && !last.isEmpty || last.hasPrefix("0x") {
            guard let address = IPAddress(anySpelling: name) else {
                throw OutboundURLFault("has a host that ends in a number and is no IPv4 address")
            }
            return (address.description, address)
        }
        guard name.utf8.count <= 253, labels.allSatisfy(isLabel) else { throw OutboundURLFault("must name a host") }
        return (name, nil)
    }

    /// Letters, digits, `-` and the `_` that some networks use.
    private static func isLabel(_ label: Substring) -> Bool {
        (1...63).contains(label.utf8.count)
            && label.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
                    UInt8(ascii: "-"), UInt8(ascii: "_"):
                    true
                default:
                    false
                }
            }
    }
}

/// What is wrong with a URL: the end of a sentence that begins with the field's name.
package struct OutboundURLFault: Error, Equatable, Sendable {
    package let reason: String

    init(_ reason: String) {
        self.reason = reason
    }
}
