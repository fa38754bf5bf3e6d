/// Where calls out of this process may connect.
///
/// Whoever may name a URL that the server then calls would otherwise reach with the server's own position in the network:
/// the machine's own services, its neighbours, the metadata service of a cloud. So every address is held against this,
/// after the name was resolved, and the connection goes to the very address that was held against it: a name that means
/// another address a moment later (DNS rebinding) gains nothing.
///
/// What is refused is what is not the public Internet: the special-purpose registries of IANA (RFC 6890 and what was
/// added since), multicast, and every form in which an address of version 6 carries one of version 4, which a gateway on
/// the way may unpack. Of version 6 only 2000::/3 is given out to networks at all; the rest is refused as a whole.
///
/// A value without sockets.
package struct AddressGuard: Sendable, Equatable {
    /// What the operator lets through all the same. It says nothing of the server's own listeners, unless a network is a
    /// single address.
    package var allowed: [NetworkBlock]
    /// Where this server listens itself.
    package var listeners: [OwnListener]

    package init(allowed: [NetworkBlock] = [], listeners: [OwnListener] = []) {
        self.allowed = allowed
        self.listeners = listeners
    }

    /// Why that address must not be called, or nil when it may be.
    ///
    /// - Parameter machine: The addresses of this machine: what a listener on all of them listens on.
    package func refusal(of address: IPAddress, port: Int, machine: Set<IPAddress> = []) -> AddressRefusal? {
        let exceptions = allowed.filter { $0.contains(address) }
        let isOwn = listeners.contains { $0.isReached(by: address, port: port, machine: machine) }
        if isOwn, !exceptions.contains(where: \.isSingle) { return .ownListener }
        guard exceptions.isEmpty else { return nil }
        return Self.refusal(of: address)
    }

    /// The same for an address alone, whatever the port: what can be said before there is a call.
    package func refusal(of address: IPAddress) -> AddressRefusal? {
        allowed.contains { $0.contains(address) } ? nil : Self.refusal(of: address)
    }

    private static func refusal(of address: IPAddress) -> AddressRefusal? {
        if let found = table.first(where: { $0.block.contains(address) }) { return found.refusal }
        return address.family == .v6 && !globalUnicast.contains(address) ? .reserved : nil
    }

    /// The first that contains an address decides.
    static let table: [(block: NetworkBlock, refusal: AddressRefusal)] = rows.compactMap { text, refusal in
        NetworkBlock(text).map { ($0, refusal) }
    }

    /// RFC 4291, section 2.4, and the registry of allocations.
    private static let globalUnicast = NetworkBlock(IPAddress(.v6, number: 1 << 125), prefix: 3)

    static let rows: [(String, AddressRefusal)] = [
        ("0.0.0.0/8", .unspecified),  // RFC 791: this network. 0.0.0.0 reaches the machine itself
        ("10.0.0.0/8", .privateUse),  // RFC 1918
        ("100.64.0.0/10", .sharedByCarrier),  // RFC 6598
        ("127.0.0.0/8", .loopback),  // RFC 1122
        ("168.63.129.16/32", .platform),  // public by its number, but the virtual machine's host in Azure
        ("169.254.0.0/16", .linkLocal),  // RFC 3927; the metadata service of most clouds is 169.254.169.254
        ("172.16.0.0/12", .privateUse),  // RFC 1918
        ("192.0.0.0/24", .protocolAssignment),  // RFC 6890
        ("192.0.2.0/24", .documentation),  // RFC 5737
        ("192.88.99.0/24", .translated),  // RFC 7526: relays of 6to4, withdrawn
        ("192.168.0.0/16", .privateUse),  // RFC 1918
        ("198.18.0.0/15", .benchmarking),  // RFC 2544
        ("198.51.100.0/24", .documentation),  // RFC 5737
        ("203.0.113.0/24", .documentation),  // RFC 5737
        ("224.0.0.0/4", .multicast),  // RFC 5771
        ("255.255.255.255/32", .broadcast),  // RFC 919
        ("240.0.0.0/4", .reserved),  // RFC 1112
        ("::/128", .unspecified),  // RFC 4291
        ("::1/128", .loopback),  // RFC 4291
        ("::/96", .embedded),  // RFC 4291: compatible with version 4, withdrawn
        ("::ffff:0:0/96", .embedded),  // RFC 4291: mapped
        ("::ffff:0:0:0/96", .embedded),  // RFC 2765: translated, withdrawn
        ("64:ff9b::/96", .translated),  // RFC 6052: NAT64
        ("64:ff9b:1::/48", .translated),  // RFC 8215: NAT64 of a network's own
        ("100::/64", .discarded),  // RFC 6666
        ("2001::/32", .translated),  // RFC 4380: Teredo
        ("2001:2::/48", .benchmarking),  // RFC 5180
        ("2001::/23", .protocolAssignment),  // RFC 2928
        ("2001:db8::/32", .documentation),  // RFC 3849
        ("2002::/16", .translated),  // RFC 3056: 6to4
        ("3fff::/20", .documentation),  // RFC 9637
        ("fc00::/7", .privateUse),  // RFC 4193: unique local
        ("fe80::/10", .linkLocal),  // RFC 4291
        ("fec0::/10", .privateUse),  // RFC 3879: site-local, withdrawn
        ("ff00::/8", .multicast),  // RFC 4291
    ]
}

/// What an address is that must not be called.
package enum AddressRefusal: String, CaseIterable, Sendable {
    case unspecified = "is the unspecified address or one of this network"
    case loopback = "is a loopback address"
    case privateUse = "is for private use"
    case sharedByCarrier = "is shared behind a carrier's translator"
    case linkLocal = "is link-local"
    case platform = "belongs to the cloud platform"
    case protocolAssignment = "is set aside for protocols"
    case documentation = "is set aside for documentation"
    case benchmarking = "is set aside for benchmarks"
    case multicast = "is a multicast address"
    case broadcast = "is the broadcast address"
    case embedded = "carries an IPv4 address"
    case translated = "is reached through a translator or tunnel"
    case discarded = "is discarded by routers"
    case reserved = "is reserved"
    case ownListener = "is where this server listens"
}

/// An address and port on which this server listens.
package struct OwnListener: Hashable, Sendable {
    /// Nil: all addresses of the machine.
    package let address: IPAddress?
    package let port: Int

    package init(address: IPAddress, port: Int) {
        self.address = address.unmapped.number == 0 ? nil : address.unmapped
        self.port = port
    }

    /// The unspecified address reaches the machine itself, and so does all of 127.0.0.0/8.
    func isReached(by destination: IPAddress, port: Int, machine: Set<IPAddress>) -> Bool {
        guard port == self.port else { return false }
        let destination = destination.unmapped
        guard destination.number != 0 else { return true }
        guard let address else {
            return Self.loopbacks.contains { $0.contains(destination) } || machine.contains(destination)
        }
        return destination == address
    }

    private static let loopbacks = [
        NetworkBlock(IPAddress(.v4, number: 127 << 24), prefix: 8),
        NetworkBlock(IPAddress(.v6, number: 1), prefix: 128),
    ]
}
