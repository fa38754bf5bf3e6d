/// The addresses that begin with the same bits: `10.0.0.0/8`, `fc00::/7` (RFC 4632).
package struct NetworkBlock: Hashable, Sendable, CustomStringConvertible {
    let first: IPAddress
    /// How many bits are the same.
    let prefix: Int

    /// The first address must have no bit set behind the prefix.
    init(_ first: IPAddress, prefix: Int) {
        self.first = first
        self.prefix = prefix
    }

    /// A network as an address and the number of its bits; an address alone is a network of one.
    ///
    /// - Returns: nil for anything else, and where a bit behind the prefix is set: `10.1.2.3/8` is a network to some and a
    ///   slip of the pen to others.
    package init?(_ text: some StringProtocol) {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let first = parts.first, let address = IPAddress(String(first)) else { return nil }
        var prefix = address.family.width
        if parts.count == 2 {
            let digits = parts[1]
            guard (1...3).contains(digits.utf8.count), digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
                let bits = Int(digits), bits <= prefix
            else { return nil }
            prefix = bits
        }
        guard Self.masked(address.number, address.family, prefix) == address.number else { return nil }
        self.init(address, prefix: prefix)
    }

    package func contains(_ address: IPAddress) -> Bool {
        address.family == first.family && Self.masked(address.number, address.family, prefix) == first.number
    }

    /// Whether it is one address.
    var isSingle: Bool { prefix == first.family.width }

    package var description: String { "\(first)/\(prefix)" }

    private static func masked(_ number: UInt128, _ family: IPAddress.Family, _ prefix: Int) -> UInt128 {
        let rest = UInt128(family.width - prefix)
        return rest == 128 ? 0 : (number >> rest) << rest
    }
}
