/// Whom an address belongs to: an IPv4 address by itself, an IPv6 address by its /64, since whoever has one address of
/// it has all 2^64. What is shared out by address is shared out by this.
package struct NetworkPrefix: Hashable, Sendable {
    private let bits: UInt64
    private let isVersion6: Bool

    /// - Parameter address: in network order: 4 or 16 bytes. Anything else is one more party.
    package init(_ address: some Collection<UInt8>) {
        var isVersion6 = address.count == 16
        var significant = address.prefix(8)
        // RFC 4291 section 2.5.5.2: an IPv4 address in the clothes of an IPv6 one.
        if isVersion6, address.prefix(10).allSatisfy({ $0 == 0 }),
            address.dropFirst(10).prefix(2).elementsEqual([255, 255])
        {
            isVersion6 = false
            significant = address.dropFirst(12).prefix(4)
        }
        self.isVersion6 = isVersion6
        bits = significant.reduce(0) { $0 << 8 | UInt64($1) }
    }
}
