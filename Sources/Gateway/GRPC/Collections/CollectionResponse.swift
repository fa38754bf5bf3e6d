import CacheService
import NIOCore
import Tenancy

/// The shapes that responses have. Those with a oneof, `found` at 1 and `missing` at 2, are marked by ``hasMissing``.
enum CollectionResponse {
    // Without it.
    case nothing, length, number, score, ranked
    // With it.
    case found, foundLength, elements, popped, pairs, values, presence, selection, scores, rank

    private var hasMissing: Bool {
        switch self {
        case .nothing, .length, .number, .score, .ranked: false
        case .found, .foundLength, .elements, .popped, .pairs, .values, .presence, .selection, .scores, .rank: true
        }
    }

    /// Appends the response of this shape that says `reply`.
    ///
    /// - Throws: ``MartletError/internalFailure(_:)`` for a reply that has no place in it, before anything is written.
    func encode(_ reply: CollectionReply, into buffer: inout ByteBuffer) throws(MartletError) {
        switch (self, reply) {
        case (.rank, .missing):
            // Some official SDKs know this one of the two ways to say it.
            buffer.writeRank(nil)
        case (_, .missing) where hasMissing:
            buffer.writeProtobuf(at: [2], count: 0) { _ in }
        case (.nothing, .done):
            break
        case (.found, .done):
            buffer.writeProtobuf(at: [1], count: 0) { _ in }
        case (.length, .length(let length)):
            buffer.writeMessage(at: [], number: UInt64(UInt32(clamping: length)))
        case (.foundLength, .length(let length)):
            buffer.writeMessage(at: [1], number: UInt64(UInt32(clamping: length)))
        case (.number, .number(let number)):
            buffer.writeMessage(at: [], number: UInt64(bitPattern: number))
        case (.score, .score(let score)):
            buffer.writeMessage(at: [], double: score)
        case (.elements, .elements(let elements)):
            buffer.writeMessage(at: [1], elements)
        case (.pairs, .pairs(let fields, let values)) where fields.count == values.count:
            buffer.writeDictionaryPairs(fields, values)
        case (.values, .values(let values, let isPresent)) where values.count == isPresent.count:
            buffer.writeDictionaryValues(values, isPresent)
        case (.presence, .presence(let presence)):
            buffer.writeSetPresence(presence)
        case (.popped, .element(let element, let length)):
            buffer.writePoppedElement(element, length: length)
        case (.selection, .elements(let members)):
            buffer.writeMessage(at: [1, 2], members)
        case (.selection, .scored(let members, let scores)) where members.count == scores.count:
            buffer.writeScoredMembers(members, scores)
        case (.scores, .scores(let scores)):
            buffer.writeScores(scores)
        case (.rank, .rank(let rank)):
            buffer.writeRank(rank)
        case (.ranked, .ranked(let elements)):
            buffer.writeRankedElements(elements)
        default:
            throw .internalFailure("the engine answered another question")
        }
    }
}

/// `ECacheResult`: whether an element of a reply is there.
enum ElementResult {
    static let hit: UInt64 = 2
    static let miss: UInt64 = 3
}

// Shapes that several families share.
extension ByteBuffer {
    /// `{number = 1}`.
    mutating func writeMessage(at path: [Int], number: UInt64) {
        writeProtobuf(at: path, count: ProtobufWriter.size(field: 1, number: number)) { writer in
            writer.writeNumber(field: 1, number)
        }
    }

    /// `{double = 1}`.
    mutating func writeMessage(at path: [Int], double: Double) {
        writeProtobuf(at: path, count: ProtobufWriter.size(field: 1, double: double)) { writer in
            writer.writeDouble(field: 1, double)
        }
    }

    /// `{repeated bytes = 1}`.
    mutating func writeMessage(at path: [Int], _ elements: Elements) {
        var count = 0
        elements.forEach { count += ProtobufWriter.size(field: 1, length: $0.count) }
        writeProtobuf(at: path, count: count) { writer in
            elements.forEach { writer.writeBytes(field: 1, $0) }
        }
    }

    /// `{repeated message = 1}`, where `size` tells how long the message at an index is and `write` writes it.
    @inline(__always)
    mutating func writeMessages(
        at path: [Int], _ indices: Range<Int>, size: (Int) -> Int, write: (Int, inout ProtobufWriter) -> Void
    ) {
        let count = indices.reduce(0) { $0 + ProtobufWriter.size(field: 1, length: size($1)) }
        writeProtobuf(at: path, count: count) { writer in
            for index in indices {
                writer.writeHead(field: 1, length: size(index))
                write(index, &writer)
            }
        }
    }
}
