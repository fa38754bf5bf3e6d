import Testing

@testable import Delivery

struct OutboundURLTests {
    @Test func theParts() throws {
        let url = try OutboundURL("HTTPS://Hooks.Example.COM:8443/in/a%20b?from=martlet&x")
        #expect(url.isTLS && url.host == "hooks.example.com" && url.port == 8443 && url.address == nil)
        #expect(url.authority == "hooks.example.com:8443" && url.target == "/in/a%20b?from=martlet&x")
        #expect(url.origin == "https://hooks.example.com:8443")
    }

    @Test(arguments: [
        ("http://a.test", "a.test", 80, "/"), ("https://a.test", "a.test", 443, "/"),
        ("https://a.test:443/", "a.test", 443, "/"), ("http://a.test:443/", "a.test:443", 443, "/"),
        ("http://a.test:/", "a.test", 80, "/"), ("http://a.test?q", "a.test", 80, "/?q"),
        ("http://a.test./x", "a.test", 80, "/x"), ("http://a.test.:81", "a.test:81", 81, "/"),
        ("http://[::1]:81/", "[::1]:81", 81, "/"), ("http://xn--bcher-kva.test/", "xn--bcher-kva.test", 80, "/"),
        ("http://my_host/", "my_host", 80, "/"),
    ])
    func formsThatAreTaken(text: String, authority: String, port: Int, target: String) throws {
        let url = try OutboundURL(text)
        #expect(url.authority == authority && url.port == port && url.target == target)
    }

    @Test(arguments: [
        "127.0.0.1", "127.1", "127.0.1", "0x7f.1", "0x7F.0.0.0x1", "0177.0.0.01", "2130706433", "0x7f000001",
        "017700000001", "127.0.0.1.", "00000177.1",
    ])
    func everySpellingOfAnAddressIsThatAddress(host: String) throws {
        let url = try OutboundURL("http://\(host):81/")
        #expect(url.address == IPAddress("127.0.0.1") && url.host == "127.0.0.1")
        #expect(url.address.flatMap { AddressGuard().refusal(of: $0) } == .loopback)
    }

    @Test func bracketsHoldAddressesOfVersion6() throws {
        let url = try OutboundURL("http://[::FFFF:127.0.0.1]/")
        #expect(url.address == IPAddress("::ffff:7f00:1"))
        #expect(url.address.flatMap { AddressGuard().refusal(of: $0) } == .embedded)
    }

    @Test(arguments: [
        "", "http", "http:", "http:/", "http://", "https:///x", "http://:80/", "ftp://a.test/", "file:///etc/passwd",
        "gopher://a.test", "javascript:alert(1)", "//a.test/", "a.test", "http:a.test",
        "http://user@a.test/", "http://user:secret@a.test/", "http://a.test@127.0.0.1/", "http://@a.test/",
        "http://a.test/#part", "http://a.test#", "http://a.test\\@b.test/", "http://a.test/a b",
        "http://a.test/\r\nx: y",
        "http://a.test/\u{0}", "http://bücher.test/", "http://a.test/ü", "http://a%2etest/", "http://127.0.0.1%2f/",
        "http://a..test/", "http://.a.test/", "http://./", "http://a.test../", "http://a.test:0/",
        "http://a.test:65536/",
        "http://a.test:+80/", "http://a.test:80:80/", "http://a.test:8o/", "http://[::1/", "http://[::1]x/",
        "http://[::1%25eth0]/", "http://[fe80::1%lo]/", "http://[127.0.0.1]/", "http://[]/", "http://::1/",
        "http://256.1.1.1/", "http://1.2.3.4.5/", "http://1.2.3.256/", "http://4294967296/", "http://0x1ffffffff/",
        "http://09.1.1.1/", "http://1.2.3.0x/", "http://a.test.1/", "http://127.0.0.+1/", "http://a*b.test/",
        "http://" + String(repeating: "a", count: 64) + ".test/",
        "http://" + String(repeating: "a.", count: 127) + "test/",
        "http://a.test/" + String(repeating: "x", count: 1011),
    ])
    func formsThatAreRefused(text: String) {
        #expect(throws: OutboundURLFault.self, "\(text)") { try OutboundURL(text) }
    }

    @Test func theLongestIsTaken() throws {
        let text = "http://a.test/" + String(repeating: "x", count: 1010)
        #expect(text.count == 1024)
        _ = try OutboundURL(text)
    }
}
