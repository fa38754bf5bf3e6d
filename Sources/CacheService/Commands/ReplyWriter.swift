import Tenancy

/// Writes replies of the Redis serialization protocol, in version 2 or 3, into one growing block of memory, straight from
/// where the engine lends its bytes.
///
/// A reply that is only half written when something fails is taken back with ``truncate(to:)``. Used by one thread at a
/// time. Source: https://redis.io/docs/latest/develop/reference/protocol-spec/.
package final class ReplyWriter {
    private var base: UnsafeMutableRawPointer
    private var capacity: Int
    /// Bytes written so far.
    package private(set) var count = 0
    /// How much may be written until ``isOverfull``: see ``limit(to:)``.
    private var ceiling = Int.max
    /// Whether more was to be written than may be. What came beyond is not there.
    package private(set) var isOverfull = false
    /// Takes what comes beyond the ceiling.
    private var spill: UnsafeMutableRawBufferPointer?
    /// The most that one reply may be.
    package static let largestReply = 64 << 20
    /// Whether maps, sets, doubles and the rest of version 3 are written as such.
    package var isVersion3 = false

    private static let smallest = 4096
    /// What a writer keeps between uses.
    private static let kept = 1 << 20

    package init() {
        base = .allocate(byteCount: Self.smallest, alignment: 16)
        capacity = Self.smallest
    }

    deinit {
        base.deallocate()
        spill?.deallocate()
    }

    /// From here on so many bytes may be written. What comes beyond is lost, and ``isOverfull``: then what was written is
    /// no reply any more, and is to be taken back.
    package func limit(to byteCount: Int) {
        ceiling = count + byteCount
        isOverfull = false
    }

    /// Whether so many more bytes are past the ceiling.
    @inline(__always)
    private func isPastCeiling(_ more: Int) -> Bool {
        guard count + more > ceiling else { return false }
        isOverfull = true
        return true
    }

    /// What was written. Good until the next write.
    package var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: count) }

    package func truncate(to count: Int) {
        self.count = min(self.count, max(0, count))
        isOverfull = false
        spill?.deallocate()
        spill = nil
    }

    /// Forgets what was written, and lets go of memory that an unusual reply took.
    package func clear() {
        truncate(to: 0)
        ceiling = .max
        guard capacity > Self.kept else { return }
        base.deallocate()
        base = .allocate(byteCount: Self.smallest, alignment: 16)
        capacity = Self.smallest
    }

    // MARK: Replies

    package func ok() { raw("+OK\r\n") }

    /// - Parameter text: Without line ends.
    package func simple(_ text: StaticString) {
        byte(0x2B)
        raw(text)
        lineEnd()
    }

    package func simple(_ text: String) { line(0x2B, text) }

    /// - Parameter text: The whole error with its prefix, such as `ERR syntax error`. Line ends in it become blanks.
    package func error(_ text: String) { line(0x2D, text) }

    /// The same for a text that quotes bytes which may be no text.
    package func error(_ text: [UInt8]) {
        byte(0x2D)
        for unit in text { byte(unit == 0x0D || unit == 0x0A ? 0x20 : unit) }
        lineEnd()
    }

    /// The same for a text without line ends. Cost: one copy.
    package func errorLine(_ text: [UInt8]) {
        byte(0x2D)
        text.withUnsafeBytes { append($0) }
        lineEnd()
    }

    package func integer(_ value: Int) { header(0x3A, value) }

    package func integer(_ value: Int64) { header(0x3A, Int(value)) }

    /// A yes or no that is 1 or 0 in both versions, as most commands answer it.
    package func integer(_ value: Bool) { raw(value ? ":1\r\n" : ":0\r\n") }

    package func bulk(_ value: UnsafeRawBufferPointer) {
        reserveBulk(value.count).copyMemory(from: value)
    }

    package func bulk(_ value: [UInt8]) {
        value.withUnsafeBytes { bulk($0) }
    }

    package func bulk(_ value: String) {
        var value = value
        value.withUTF8 { bulk(UnsafeRawBufferPointer($0)) }
    }

    /// An integer as a string.
    package func bulk(_ value: Int) {
        withDecimal(value) { bulk($0) }
    }

    /// Writes the frame of a string of `count` bytes and lends the place where they go.
    @inline(__always)
    package func reserveBulk(_ count: Int) -> UnsafeMutableRawBufferPointer {
        if isPastCeiling(count + 32) { return spillPlace(count) }
        reserve(count + 32)
        header(0x24, count)
        let place = UnsafeMutableRawBufferPointer(start: base + self.count, count: count)
        self.count += count
        lineEnd()
        return place
    }

    /// Memory for what is lost.
    @inline(never)
    private func spillPlace(_ count: Int) -> UnsafeMutableRawBufferPointer {
        if let spill, spill.count >= count { return UnsafeMutableRawBufferPointer(rebasing: spill[0..<count]) }
        spill?.deallocate()
        let place = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 16)
        spill = place
        return place
    }

    /// No value: `$-1` in version 2, `_` in version 3.
    package func null() { raw(isVersion3 ? "_\r\n" : "$-1\r\n") }

    /// No array: `*-1` in version 2, `_` in version 3.
    package func nullArray() { raw(isVersion3 ? "_\r\n" : "*-1\r\n") }

    package func array(_ count: Int) { header(0x2A, count) }

    /// A map of `count` pairs; in version 2 an array of twice as many elements.
    package func map(_ count: Int) {
        if isVersion3 { header(0x25, count) } else { header(0x2A, count &* 2) }
    }

    /// In version 2 an array.
    package func set(_ count: Int) { header(isVersion3 ? 0x7E : 0x2A, count) }

    /// A message that answers nothing; in version 2 an array.
    package func push(_ count: Int) { header(isVersion3 ? 0x3E : 0x2A, count) }

    /// `#t` in version 3, 1 or 0 in version 2.
    package func boolean(_ value: Bool) {
        if isVersion3 { raw(value ? "#t\r\n" : "#f\r\n") } else { integer(value) }
    }

    /// A number as ``DecimalText/text(of:)`` writes it; in version 2 a string.
    package func double(_ value: Double) {
        // Most scores are whole numbers. Minus zero is told apart, and so is what no integer holds.
        if let whole = Int(exactly: value), whole.magnitude < 1 << 52, whole != 0 || value.sign == .plus {
            return isVersion3 ? header(0x2C, whole) : bulk(whole)
        }
        double(text: DecimalText.text(of: value))
    }

    /// A number that is written in another way.
    package func double(text: String) {
        if isVersion3 { line(0x2C, text) } else { bulk(text) }
    }

    /// Text for people, `=txt:` in version 3, a string in version 2.
    package func verbatim(_ text: String) {
        guard isVersion3 else { return bulk(text) }
        var text = text
        text.withUTF8 { bytes in
            header(0x3D, bytes.count + 4)
            raw("txt:")
            append(UnsafeRawBufferPointer(bytes))
            lineEnd()
        }
    }

    // MARK: Replies whose length is known afterwards

    /// Writes elements behind a place where their header goes.
    ///
    /// - Parameters:
    ///   - header: Writes the header when `body` has returned how many there are.
    ///   - body: Writes the elements and returns their number.
    /// Cost: the elements are moved once.
    package func deferred<Failure: Error>(
        _ header: (Int) -> Void, _ body: () throws(Failure) -> Int
    ) throws(Failure) {
        let start = count
        let number = try body()
        let end = count
        header(number)
        let width = count - end
        // The header, written behind, changes places with the elements: it is short, they are not.
        withUnsafeTemporaryAllocation(byteCount: width, alignment: 1) { kept in
            kept.copyMemory(from: UnsafeRawBufferPointer(start: base + end, count: width))
            memoryMove(from: start, to: start + width, byteCount: end - start)
            UnsafeMutableRawBufferPointer(start: base + start, count: width).copyMemory(
                from: UnsafeRawBufferPointer(kept))
        }
    }

    private func memoryMove(from: Int, to: Int, byteCount: Int) {
        (base + to).copyMemory(from: base + from, byteCount: byteCount)
    }

    // MARK: Bytes

    /// Bytes that are a reply, or a part of one, already.
    package func append(_ bytes: UnsafeRawBufferPointer) {
        guard !isPastCeiling(bytes.count) else { return }
        reserve(bytes.count)
        guard let source = bytes.baseAddress else { return }
        (base + count).copyMemory(from: source, byteCount: bytes.count)
        count += bytes.count
    }

    @inline(__always)
    private func reserve(_ more: Int) {
        if capacity &- count < more { grow(more) }
    }

    private func grow(_ more: Int) {
        let wanted = max(capacity &* 2, count + more)
        let new = UnsafeMutableRawPointer.allocate(byteCount: wanted, alignment: 16)
        new.copyMemory(from: base, byteCount: count)
        base.deallocate()
        base = new
        capacity = wanted
    }

    @inline(__always)
    private func byte(_ value: UInt8) {
        guard !isPastCeiling(1) else { return }
        reserve(1)
        base.storeBytes(of: value, toByteOffset: count, as: UInt8.self)
        count += 1
    }

    @inline(__always)
    private func lineEnd() {
        guard !isPastCeiling(2) else { return }
        reserve(2)
        base.storeBytes(of: 0x0A0D, toByteOffset: count, as: UInt16.self)
        count += 2
    }

    @inline(__always)
    private func raw(_ text: StaticString) {
        append(UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    private func line(_ kind: UInt8, _ text: String) {
        byte(kind)
        for unit in text.utf8 { byte(unit == 0x0D || unit == 0x0A ? 0x20 : unit) }
        lineEnd()
    }

    @inline(__always)
    private func header(_ kind: UInt8, _ value: Int) {
        guard !isPastCeiling(32) else { return }
        reserve(32)
        if value >= 0, value < 10 {
            let word = UInt32(kind) | UInt32(0x30 + UInt8(truncatingIfNeeded: value)) &<< 8 | 0x0A0D_0000
            base.storeBytes(of: word.littleEndian, toByteOffset: count, as: UInt32.self)
            count += 4
            return
        }
        byte(kind)
        withDecimal(value) { append($0) }
        lineEnd()
    }

    @inline(__always)
    private func withDecimal(_ value: Int, _ body: (UnsafeRawBufferPointer) -> Void) {
        withUnsafeTemporaryAllocation(byteCount: 24, alignment: 8) { text in
            var start = 24
            var rest = value.magnitude
            repeat {
                let (quotient, digit) = rest.quotientAndRemainder(dividingBy: 10)
                start -= 1
                text[start] = 0x30 + UInt8(truncatingIfNeeded: digit)
                rest = quotient
            } while rest > 0
            if value < 0 {
                start -= 1
                text[start] = 0x2D
            }
            body(UnsafeRawBufferPointer(rebasing: text[start...]))
        }
    }
}
