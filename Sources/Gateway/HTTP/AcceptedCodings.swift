import Engine

/// What `Accept-Encoding` says of the one content coding that is spoken here (RFC 9110 section 12.5.3).
///
/// Looked at where a cache may hold values compressed and the request has the field; it costs one pass and no memory.
struct AcceptedCodings {
    /// Weights in thousandths, nil for what is not named.
    private var zstd: Int?
    private var identity: Int?
    private var others: Int?

    /// A member that cannot be read counts as not there.
    init(_ field: UnsafeRawBufferPointer) {
        var start = 0
        while start < field.count {
            let end = field[start...].firstIndex(of: 0x2C) ?? field.count
            take(field.slice(start..<end))
            start = end + 1
        }
    }

    /// Whether zstd is accepted, and no less liked than the value as it is.
    ///
    /// Identity that is not named ranks below whatever is. Identity that is refused changes nothing more: a value that is
    /// not held compressed is sent as it is.
    var prefersZstd: Bool {
        let weight = zstd ?? others ?? 0
        return weight > 0 && weight >= identity ?? 0
    }

    private mutating func take(_ member: UnsafeRawBufferPointer) {
        let semicolon = member.firstIndex(of: 0x3B) ?? member.count
        let coding = member.slice(0..<semicolon).trimmed
        guard !coding.isEmpty, let weight = Self.weight(member.slice(semicolon..<member.count)) else { return }
        if coding.matchesIgnoringCase("zstd") {
            zstd = weight
        } else if coding.matchesIgnoringCase("identity") {
            identity = weight
        } else if coding.count == 1, coding[0] == 0x2A {
            others = weight
        }
    }

    /// The weight in `;q=0.5`, 1 for no parameter, nil for anything else (RFC 9110 section 12.4.2).
    private static func weight(_ parameter: UnsafeRawBufferPointer) -> Int? {
        guard !parameter.isEmpty else { return 1000 }
        let text = parameter.slice(1..<parameter.count).trimmed
        guard text.count >= 3, text.count <= 7, text[0] | 0x20 == 0x71, text[1] == 0x3D else { return nil }
        let first = text[2]
        guard first == 0x30 || first == 0x31, text.count == 3 || text[3] == 0x2E else { return nil }
        var weight = 0
        var place = 100
        for digit in text.dropFirst(4) {
            guard digit >= 0x30, digit <= 0x39 else { return nil }
            weight += Int(digit - 0x30) * place
            place /= 10
        }
        guard first == 0x31 else { return weight }
        return weight == 0 ? 1000 : nil
    }
}

extension UnsafeRawBufferPointer {
    /// Without the blanks around it.
    fileprivate var trimmed: UnsafeRawBufferPointer {
        var (start, end) = (0, count)
        while start < end, self[start] == 0x20 || self[start] == 0x09 { start += 1 }
        while end > start, self[end - 1] == 0x20 || self[end - 1] == 0x09 { end -= 1 }
        return slice(start..<end)
    }
}

extension RequestHead {
    /// In which forms the request takes a value that may be held in more than one.
    var acceptedEncoding: AcceptedEncoding {
        withValue(.acceptEncoding) { AcceptedCodings($0).prefersZstd } ?? false ? .zstd : .identity
    }
}
