import Tenancy

/// Messages of one topic that follow each other, on their way to the subscribers of one lane. Belongs to that lane.
package final class TopicBatch {
    /// The most messages that a lane hands over in one.
    package static let mostMessages = BatchBounds.mostMessages

    /// At least one; the numbers are contiguous, the page is one.
    package let messages: [TopicMessage]
    package let payloadBytes: Int
    /// The sum over the messages of the begun 1,024 bytes, at least one each: the unit in which traffic is metered.
    package let chunkCount: Int
    /// What the doors made of the batch once for all its subscribers. It must not hold the batch.
    package var encoding: AnyObject?

    /// - Parameter messages: at least one, contiguous, of one page.
    package init(_ messages: [TopicMessage]) {
        assert(!messages.isEmpty, "a batch holds at least one message")
        var payloadBytes = 0
        var chunkCount = 0
        for message in messages {
            payloadBytes += message.byteCount
            chunkCount += message.chunkCount
        }
        self.messages = messages
        self.payloadBytes = payloadBytes
        self.chunkCount = chunkCount
    }

    package var first: UInt64 { messages[0].sequence }
    package var last: UInt64 { messages[messages.count - 1].sequence }
    package var page: UInt64 { messages[0].page }

    func contains(_ sequence: UInt64) -> Bool {
        sequence >= first && sequence <= last
    }

    /// The part of the batch that begins with `sequence`, which it contains.
    func suffix(from sequence: UInt64) -> TopicBatch {
        sequence == first ? self : TopicBatch(Array(messages[Int(sequence - first)...]))
    }
}
