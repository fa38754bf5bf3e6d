/// The form in which SDKs are given a v1 key or a token: base64 of `{"api_key":"…","endpoint":"…"}`.
///
/// Some SDKs read it with the standard alphabet and some with the URL-safe one, some demand padding, and a WebSocket
/// subprotocol (RFC 6455 section 4.1) allows neither `/` nor `=`. So Martlet issues texts on which all of these agree:
/// without `+`, `/`, `-`, `_` and `=`.
///
/// - No `=`: spaces before the closing brace fill the JSON up to a multiple of three bytes.
/// - No 62nd or 63rd letter: of ASCII bytes only `>`, `?`, `~` and DEL have the six low bits for one, and only as the
///   last of three. The JSON is all ASCII, and those four are written as `\u00XX`.
package enum OuterForm {
    /// The most bytes of a text that is looked at; see ``Credential/byteCeiling``.
    private static let byteCeiling = Credential.byteCeiling

    /// - Parameters:
    ///   - apiKey: the inner form, which a client sends.
    ///   - endpoint: the base endpoint, from which a client derives the hosts that it connects to.
    package static func wrap(apiKey: String, endpoint: String) -> String {
        var json = #"{"api_key":"\#(escaped(apiKey))","endpoint":"\#(escaped(endpoint))""#
        while (json.utf8.count + 1) % 3 != 0 {
            json += " "
        }
        json += "}"
        return Base64.encode(json.utf8, .standard)
    }

    /// The inner form within `text`, or nil when it is anything but base64 of an object with exactly a non-empty
    /// `api_key` and a non-empty `endpoint`. The endpoint is the client's business and is not looked at: a key outlives
    /// the name of the server that made it.
    static func unwrap(_ text: UnsafeRawBufferPointer) -> [UInt8]? {
        guard let json = Base64.decode(text, .either),
            let value = try? JSONParser.parse(json, ceiling: byteCeiling),
            let members = value.object, members.count == 2,
            let apiKey = value["api_key"]?.string, !apiKey.isEmpty,
            let endpoint = value["endpoint"]?.string, !endpoint.isEmpty
        else { return nil }
        return Array(apiKey.utf8)
    }

    private static func escaped(_ text: String) -> String {
        var output = ""
        for unit in text.utf16 {
            switch UInt8(exactly: unit) {
            case .some(0x20..<0x7E) where !#""\>?"#.utf16.contains(unit):
                output.unicodeScalars.append(Unicode.Scalar(UInt8(unit)))
            default:
                output += "\\u" + SecureRandom.hexadecimal([UInt8(unit >> 8), UInt8(unit & 0xFF)])
            }
        }
        return output
    }
}
