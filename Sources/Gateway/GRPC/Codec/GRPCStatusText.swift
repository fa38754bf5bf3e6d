/// The form of `grpc-message` (gRPC over HTTP/2, "Percent-Encoded").
enum GRPCStatusText {
    private static let digits: StaticString = "0123456789ABCDEF"

    /// `text` with every byte but the printable ones of ASCII, and the percent sign, as `%XX`. Cost: O(bytes).
    static func percentEncode(_ text: String) -> String {
        var text = text
        return text.withUTF8 { bytes in
            guard !bytes.allSatisfy(isPlain) else { return String(decoding: bytes, as: UTF8.self) }
            var encoded: [UInt8] = []
            encoded.reserveCapacity(bytes.count * 3)
            for byte in bytes {
                if isPlain(byte) {
                    encoded.append(byte)
                } else {
                    encoded.append(UInt8(ascii: "%"))
                    encoded.append(digits.utf8Start[Int(byte >> 4)])
                    encoded.append(digits.utf8Start[Int(byte & 15)])
                }
            }
            return String(decoding: encoded, as: UTF8.self)
        }
    }

    private static func isPlain(_ byte: UInt8) -> Bool {
        byte >= 0x20 && byte <= 0x7E && byte != UInt8(ascii: "%")
    }
}
