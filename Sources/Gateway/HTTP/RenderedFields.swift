/// Header fields as they go out, made once for responses that come again and again.
///
/// ```
/// lines   retry-after: 1\r\nratelimit-limit: 10\r\n
/// bounds  └──name──┘  ┴ value
/// ```
final class RenderedFields {
    /// As HTTP/1.1 writes them, each with its line end. HTTP/2 takes names and values out of it.
    let lines: [UInt8]
    let bounds: [(name: Range<Int>, value: Range<Int>)]

    /// - Parameter fields: Lower-case names with values that hold no line break.
    init(_ fields: [(name: String, value: String)]) {
        var lines: [UInt8] = []
        var bounds: [(name: Range<Int>, value: Range<Int>)] = []
        for field in fields {
            let start = lines.count
            lines += field.name.utf8
            let nameEnd = lines.count
            lines += [0x3A, 0x20]
            let valueStart = lines.count
            lines += field.value.utf8
            bounds.append((start..<nameEnd, valueStart..<lines.count))
            lines += [0x0D, 0x0A]
        }
        self.lines = lines
        self.bounds = bounds
    }
}
