/// Responses of HTTP/1.1 as a client reads them from a connection's bytes.
struct HTTP1Reply: Equatable {
    var status: Int
    var fields: [String: String]
    var body: [UInt8]

    var text: String { String(decoding: body, as: UTF8.self) }

    /// All that two runs of one request must have in common.
    var essence: String {
        let fields = fields.filter { $0.key != "x-request-id" }.sorted { $0.key < $1.key }.map {
            "\($0.key): \($0.value)"
        }
        return "\(status) \(fields) \(body.count) \(text.prefix(2000))"
    }

    /// Reads every response in `bytes`.
    ///
    /// - Parameters:
    ///   - methods: Of the requests in their order, to know which responses carry no body; GET where none is given.
    ///   - isClosed: Whether the connection ended behind the bytes.
    /// - Returns: The responses, and what is left that is no complete response.
    static func all(
        in bytes: [UInt8], methods: [String] = [], isClosed: Bool = false
    ) -> (replies: [HTTP1Reply], rest: [UInt8]) {
        var replies: [HTTP1Reply] = []
        var position = 0
        var final = 0
        while position < bytes.count {
            guard let head = end(of: [13, 10, 13, 10], in: bytes, from: position) else { break }
            let lines = String(decoding: bytes[position..<head - 4], as: UTF8.self)
                .split(separator: "\r\n", omittingEmptySubsequences: false)
            let words = lines[0].split(separator: " ", maxSplits: 2)
            guard words.count >= 2, words[0] == "HTTP/1.1", let status = Int(words[1]) else { break }
            var fields: [String: String] = [:]
            for line in lines.dropFirst() {
                let parts = line.split(separator: ":", maxSplits: 1)
                guard parts.count == 2 else { continue }
                let value = parts[1].drop { $0 == " " }
                let name = parts[0].lowercased()
                fields[name] = fields[name].map { "\($0), \(value)" } ?? String(value)
            }
            let method = final < methods.count ? methods[final] : "GET"
            if status >= 200 { final += 1 }
            var body: [UInt8] = []
            var next = head
            if status < 200 || status == 204 || status == 304 || method == "HEAD" {
                next = head
            } else if let length = fields["content-length"].flatMap({ Int($0) }) {
                guard head + length <= bytes.count else { break }
                body = Array(bytes[head..<head + length])
                next = head + length
            } else if fields["transfer-encoding"] == "chunked" {
                guard let chunks = chunked(bytes, from: head) else { break }
                (body, next) = chunks
            } else {
                guard isClosed else { break }
                body = Array(bytes[head...])
                next = bytes.count
            }
            replies.append(HTTP1Reply(status: status, fields: fields, body: body))
            position = next
        }
        return (replies, Array(bytes[position...]))
    }

    private static func end(of mark: [UInt8], in bytes: [UInt8], from start: Int) -> Int? {
        var index = start
        while index + mark.count <= bytes.count {
            if bytes[index] == mark[0], bytes[index..<index + mark.count].elementsEqual(mark) {
                return index + mark.count
            }
            index += 1
        }
        return nil
    }

    /// A body in chunks with its trailers (RFC 9112 section 7.1), and where it ends.
    private static func chunked(_ bytes: [UInt8], from start: Int) -> (body: [UInt8], end: Int)? {
        var body: [UInt8] = []
        var position = start
        while let line = end(of: [13, 10], in: bytes, from: position) {
            guard let count = Int(String(decoding: bytes[position..<line - 2], as: UTF8.self), radix: 16) else {
                return nil
            }
            if count == 0 {
                var trailer = line
                while let next = end(of: [13, 10], in: bytes, from: trailer) {
                    if next == trailer + 2 { return (body, next) }
                    trailer = next
                }
                return nil
            }
            guard line + count + 2 <= bytes.count else { return nil }
            body += bytes[line..<line + count]
            position = line + count + 2
        }
        return nil
    }
}
