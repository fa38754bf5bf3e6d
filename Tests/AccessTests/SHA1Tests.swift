import Access
import Testing

@Suite struct SHA1Tests {
    /// FIPS 180-4 examples, and the worked example of RFC 6455 section 1.3.
    @Test(arguments: [
        ("", "2jmj7l5rSw0yVb/vlWAYkK/YBwk="),
        ("abc", "qZk+NkcGgWq6PiVxeFDCbJzQ2J0="),
        ("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", "hJg+RBw70m66rkqh+VEp5eVGcPE="),
        ("dGhlIHNhbXBsZSBub25jZQ==258EAFA5-E914-47DA-95CA-C5AB0DC85B11", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
    ])
    func knownAnswers(_ text: String, _ encoded: String) throws {
        #expect(Base64.encode(try SHA1.digest(of: Array(text.utf8)), .standard) == encoded)
    }
}
