import Testing

@testable import Gateway

private func prefersZstd(_ field: String) -> Bool {
    Array(field.utf8).withUnsafeBytes { AcceptedCodings($0).prefersZstd }
}

/// RFC 9110, sections 12.4.2 and 12.5.3.
@Suite struct AcceptedCodingsTests {
    @Test(arguments: [
        "zstd", "ZStd", "gzip, deflate, br, zstd", "zstd;q=1", "zstd;q=0.001", "zstd; q=0.5", "zstd ;\tq=1.000",
        "zstd;Q=0.5", "*", "*;q=0.1", "gzip;q=1.0, *;q=0.5", "identity;q=0, zstd", "identity;q=0.5, zstd;q=0.5",
        "zstd;q=0.9, identity;q=0.2", "identity;q=0, *;q=0.3", "zstd, *;q=0", " , zstd ,, ", "\tzstd\t", "zstd;q=1.",
        "gzip;level=9, zstd",
    ])
    func zstdIsWanted(field: String) {
        #expect(prefersZstd(field))
    }

    @Test(arguments: [
        "", " ", ",", "gzip", "gzip, deflate, br", "identity", "identity;q=0", "zstd;q=0", "zstd;q=0.0",
        "zstd;q=0.000", "*;q=0", "*, zstd;q=0", "zstd;q=0.2, identity;q=0.3", "zstd;q=0.5, identity", "x-zstd",
        "zstd2", "zst", "zstd;q=0, *",
    ])
    func zstdIsNot(field: String) {
        #expect(!prefersZstd(field))
    }

    /// A member that cannot be read counts as not there.
    @Test(arguments: [
        "zstd;q", "zstd;q=", "zstd;q=2", "zstd;q=1.001", "zstd;q=0.1234", "zstd;q=-1", "zstd;q=.5", "zstd;q=0,5",
        "zstd;q=0.x", "zstd;x=1", "zstd;q=1;q=1", "zstd q=1", "\"zstd\"", "zstd;;q=1", "*;q=a",
    ])
    func whatCannotBeReadIsNotThere(field: String) {
        #expect(!prefersZstd(field))
        #expect(prefersZstd(field + ", zstd"))
    }

    @Test func mutatedFieldsNeverTrap() {
        var generator = SeededGenerator(seed: 7)
        let alphabet = Array("zstd*;q=01.,  identity\u{FF}".utf8)
        for _ in 0..<50_000 {
            let bytes = (0..<Int.random(in: 0...24, using: &generator)).map { _ in
                alphabet.randomElement(using: &generator) ?? 0
            }
            _ = bytes.withUnsafeBytes { AcceptedCodings($0).prefersZstd }
        }
    }
}
