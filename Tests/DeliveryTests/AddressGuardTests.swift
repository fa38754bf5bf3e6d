import Testing

@testable import Delivery

struct AddressGuardTests {
    @Test(
        arguments: [
            ("0.0.0.0", .unspecified), ("0.255.255.255", .unspecified), ("10.0.0.0", .privateUse),
            ("10.255.255.255", .privateUse), ("100.64.0.0", .sharedByCarrier), ("100.127.255.255", .sharedByCarrier),
            ("127.0.0.1", .loopback), ("127.255.255.254", .loopback), ("168.63.129.16", .platform),
            ("169.254.0.0", .linkLocal), ("169.254.169.254", .linkLocal), ("172.16.0.0", .privateUse),
            ("172.31.255.255", .privateUse), ("192.0.0.192", .protocolAssignment), ("192.0.2.1", .documentation),
            ("192.88.99.1", .translated), ("192.168.0.1", .privateUse), ("192.168.255.255", .privateUse),
            ("198.18.0.0", .benchmarking), ("198.19.255.255", .benchmarking), ("198.51.100.7", .documentation),
            ("203.0.113.9", .documentation), ("224.0.0.1", .multicast), ("239.255.255.250", .multicast),
            ("240.0.0.1", .reserved), ("255.255.255.254", .reserved), ("255.255.255.255", .broadcast),
            ("::", .unspecified), ("::1", .loopback), ("::127.0.0.1", .embedded), ("::8.8.8.8", .embedded),
            ("::ffff:127.0.0.1", .embedded), ("::ffff:8.8.8.8", .embedded), ("::ffff:0:7f00:1", .embedded),
            ("64:ff9b::7f00:1", .translated), ("64:ff9b::808:808", .translated), ("64:ff9b:1::a00:1", .translated),
            ("100::1", .discarded), ("2001::1", .translated), ("2001:0:4136:e378:8000:63bf:3fff:fdd2", .translated),
            ("2001:2::1", .benchmarking), ("2001:1ff::1", .protocolAssignment), ("2001:db8::1", .documentation),
            ("2002:7f00:1::", .translated), ("2002:808:808::1", .translated), ("3fff:fff::1", .documentation),
            ("4000::1", .reserved), ("5f00::1", .reserved), ("1::1", .reserved), ("fc00::1", .privateUse),
            ("fd00:ec2::254", .privateUse), ("fe80::1", .linkLocal), ("febf:ffff::1", .linkLocal),
            ("fec0::1", .privateUse),
            ("ff02::1", .multicast),
        ] as [(String, AddressRefusal)])
    func whatIsNotThePublicInternetIsRefused(text: String, refusal: AddressRefusal) throws {
        let address = try #require(IPAddress(text))
        #expect(AddressGuard().refusal(of: address) == refusal)
        #expect(AddressGuard().refusal(of: address, port: 443) == refusal)
    }

    @Test(arguments: [
        "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255",
        "128.0.0.0", "168.63.129.15", "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0",
        "191.255.255.255",
        "192.0.1.0", "192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0", "223.255.255.255",
        "2000::1", "2001:200::1", "2001:4860:4860::8888", "2003::1", "2606:4700::1111", "3ffe::1",
    ])
    func neighboursOfWhatIsRefusedAreNot(text: String) throws {
        #expect(AddressGuard().refusal(of: try #require(IPAddress(text)), port: 80) == nil)
    }

    @Test func theTableIsWhole() {
        #expect(AddressGuard.table.count == AddressGuard.rows.count)
    }

    @Test func whatTheOperatorAllowsIsAllowedAndNothingBesides() throws {
        let addressGuard = AddressGuard(
            allowed: [try #require(NetworkBlock("10.1.0.0/16")), try #require(NetworkBlock("fd00::/8"))])
        #expect(addressGuard.refusal(of: try #require(IPAddress("10.1.2.3")), port: 80) == nil)
        #expect(addressGuard.refusal(of: try #require(IPAddress("fd12::1")), port: 80) == nil)
        #expect(addressGuard.refusal(of: try #require(IPAddress("10.2.0.1")), port: 80) == .privateUse)
        #expect(addressGuard.refusal(of: try #require(IPAddress("127.0.0.1")), port: 80) == .loopback)
        // The mapped form is not the network that was allowed.
        #expect(addressGuard.refusal(of: try #require(IPAddress("::ffff:10.1.2.3")), port: 80) == .embedded)
    }

    @Test func ownListenersAreRefusedWithinAnAllowedNetworkToo() throws {
        let loopback = try #require(IPAddress("127.0.0.1"))
        let (networks, single) = (try #require(NetworkBlock("127.0.0.0/8")), try #require(NetworkBlock("127.0.0.1")))
        let listener = OwnListener(address: loopback, port: 8080)
        let addressGuard = AddressGuard(
            allowed: [networks, try #require(NetworkBlock("0.0.0.0/8")), try #require(NetworkBlock("::/0"))],
            listeners: [listener])
        #expect(addressGuard.refusal(of: loopback, port: 8080) == .ownListener)
        #expect(addressGuard.refusal(of: loopback, port: 8081) == nil)
        #expect(addressGuard.refusal(of: try #require(IPAddress("0.0.0.0")), port: 8080) == .ownListener)
        #expect(addressGuard.refusal(of: try #require(IPAddress("::ffff:127.0.0.1")), port: 8080) == .ownListener)
        #expect(AddressGuard(allowed: [single], listeners: [listener]).refusal(of: loopback, port: 8080) == nil)
    }

    @Test func aListenerOnAllAddressesIsOnEachOfTheMachine() throws {
        let own = try #require(IPAddress("1.2.3.4"))
        for text in ["0.0.0.0", "::", "::ffff:0.0.0.0"] {
            let listener = OwnListener(address: try #require(IPAddress(text)), port: 8443)
            let addressGuard = AddressGuard(listeners: [listener])
            #expect(addressGuard.refusal(of: own, port: 8443, machine: [own]) == .ownListener)
            #expect(addressGuard.refusal(of: own, port: 443, machine: [own]) == nil)
            #expect(addressGuard.refusal(of: own, port: 8443, machine: []) == nil)
            #expect(addressGuard.refusal(of: try #require(IPAddress("127.9.9.9")), port: 8443) == .ownListener)
        }
    }

    @Test func networksAreReadStrictly() {
        for text in ["10.0.0.0/8", "0.0.0.0/0", "::/0", "fd00::/8", "192.0.2.1", "192.0.2.1/32", "::1/128"] {
            #expect(NetworkBlock(text) != nil, "\(text)")
        }
        for text in [
            "", "/", "10.0.0.0/", "10.0.0.0/33", "10.1.0.0/8", "::1/64", "10/8", "10.0.0.0/+8", "10.0.0.0/08x",
            "fe80::%1/10",
            "10.0.0.0/8/8", "localhost", "10.0.0.0/-1", "::/129", " 10.0.0.0/8",
        ] {
            #expect(NetworkBlock(text) == nil, "\(text)")
        }
    }

    @Test func addressesAreWrittenAsTheyAreRead() {
        for text in ["192.0.2.1", "0.0.0.0", "255.255.255.255", "::", "::1", "2001:db8::1", "fe80::a:b:c:d"] {
            #expect(IPAddress(text)?.description == text)
            #expect(IPAddress(text).flatMap { IPAddress(bytes: $0.bytes) } == IPAddress(text))
        }
    }
}
