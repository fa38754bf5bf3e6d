import Tenancy

/// One published message. Immutable to all who see it, and shared by every subscriber that it is on its way to.
// The payload is written before the message is made and freed in its deinit; everything but the two marks of the books
// is constant. The marks are read and changed under the lock of the message's space only.
package final class TopicMessage: @unchecked Sendable {
    package let sequence: UInt64
    package let page: UInt64
    package let publishedAt: Timestamp
    /// The label of the publisher's credential; empty: it has none.
    package let publisherID: [UInt8]
    package let byteCount: Int
    private let payload: UnsafeMutableRawPointer?
    package let kind: TopicValueKind
    /// Whether the bytes are what a ``MessageSealer`` made of the message. No subscriber is handed such a one.
    let isSealed: Bool

    /// Whether the ring of its topic holds the message.
    var isRetained = false
    /// How many pending lists hold it.
    var pendingCount: UInt32 = 0

    /// Makes a message of a copy of `bytes`.
    package convenience init(
        _ bytes: UnsafeRawBufferPointer, _ kind: TopicValueKind, at position: TopicPosition, publisherID: [UInt8],
        publishedAt: Timestamp
    ) {
        self.init(
            owning: MessagePayload(copying: bytes), kind, at: position, publisherID: publisherID,
            publishedAt: publishedAt)
    }

    /// Makes a message that frees the payload when it goes.
    init(
        owning payload: MessagePayload, _ kind: TopicValueKind, at position: TopicPosition, publisherID: [UInt8],
        publishedAt: Timestamp, isSealed: Bool = false
    ) {
        self.isSealed = isSealed
        sequence = position.sequence
        page = position.page
        self.publishedAt = publishedAt
        self.publisherID = publisherID
        byteCount = payload.byteCount
        self.payload = payload.address
        self.kind = kind
    }

    deinit {
        payload?.deallocate()
    }

    package func withBytes<R, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
        try body(UnsafeRawBufferPointer(start: payload, count: byteCount))
    }

    /// The message that was sealed, to be handed on.
    /// - Returns: nil when nobody can open it (any more).
    func opened(by sealer: any MessageSealer, of name: TopicName) -> TopicMessage? {
        guard let bytes = withBytes({ sealer.open($0, of: name) }) else { return nil }
        return bytes.withUnsafeBytes {
            TopicMessage(
                $0, kind, at: TopicPosition(sequence: sequence, page: page), publisherID: publisherID,
                publishedAt: publishedAt)
        }
    }

    /// What the books say that the message takes: the object and its payload. The publisher's label is shared.
    var charge: Int { MessagePayload.messageCharge(byteCount) }

    /// The begun 1,024 bytes, at least one: the unit in which traffic is metered.
    var chunkCount: Int { max(1, (byteCount + 1023) / 1024) }
}

/// A copy of a message's bytes, made before the lock is taken that gives the message its number. Whoever holds it last
/// frees it.
// An address that nobody writes to any more, handed from the publishing thread to the message.
struct MessagePayload: @unchecked Sendable {
    let address: UnsafeMutableRawPointer?
    let byteCount: Int

    init(copying bytes: UnsafeRawBufferPointer) {
        byteCount = bytes.count
        guard let source = bytes.baseAddress, byteCount > 0 else {
            address = nil
            return
        }
        let copy = UnsafeMutableRawPointer.allocate(byteCount: byteCount, alignment: 16)
        copy.copyMemory(from: source, byteCount: byteCount)
        address = copy
    }

    func deallocate() {
        address?.deallocate()
    }

    /// What a message of so many bytes is charged.
    static func messageCharge(_ byteCount: Int) -> Int {
        objectCharge + (byteCount > 0 ? Allocation.charge(byteCount) : 0)
    }

    private static let objectCharge = Allocation.charge(72)
}

/// What pieces of memory cost.
enum Allocation {
    /// From this size on, glibc gives an allocation pages of its own.
    private static let pageThreshold = 128 << 10

    /// What `byteCount` bytes take in the allocator: its header of 8 bytes, rounded to 16 and at least 32; for large
    /// pieces a header of 16, rounded to pages.
    @inline(__always)
    static func charge(_ byteCount: Int) -> Int {
        guard byteCount < pageThreshold else { return (byteCount + 16 + 4095) & ~4095 }
        return max(32, (byteCount + 8 + 15) & ~15)
    }

    /// What the storage of an array of `count` references takes.
    @inline(__always)
    static func arrayCharge(_ count: Int) -> Int {
        count == 0 ? 0 : charge(32 + 8 * count)
    }
}
