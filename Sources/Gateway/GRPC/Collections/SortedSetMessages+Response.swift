import CacheService
import NIOCore

extension ByteBuffer {
    /// `found = 1 {values_with_scores = 1 {repeated elements = 1 {bytes value = 1, double score = 2}}}`.
    mutating func writeScoredMembers(_ members: Elements, _ scores: [Double]) {
        members.bytes.withUnsafeBytes { bytes in
            writeMessages(at: [1, 1], scores.indices) { index in
                ProtobufWriter.size(field: 1, singularLength: members.range(index).count)
                    + ProtobufWriter.size(field: 2, double: scores[index])
            } write: { index, writer in
                writer.writeSingularBytes(field: 1, bytes.slice(members.range(index)))
                writer.writeDouble(field: 2, scores[index])
            }
        }
    }

    /// `found = 1 {repeated elements = 1 {result = 1, double score = 2}}`.
    mutating func writeScores(_ scores: [Double?]) {
        writeMessages(at: [1], scores.indices) { index in
            guard let score = scores[index] else { return ProtobufWriter.size(field: 1, number: ElementResult.miss) }
            return ProtobufWriter.size(field: 1, number: ElementResult.hit)
                + ProtobufWriter.size(field: 2, double: score)
        } write: { index, writer in
            writer.writeNumber(field: 1, scores[index] == nil ? ElementResult.miss : ElementResult.hit)
            writer.writeDouble(field: 2, scores[index] ?? 0)
        }
    }

    /// `element_rank = 1 {result = 1, uint64 rank = 2}`.
    mutating func writeRank(_ rank: Int?) {
        let result = rank == nil ? ElementResult.miss : ElementResult.hit
        let number = UInt64(clamping: rank ?? 0)
        let count = ProtobufWriter.size(field: 1, number: result) + ProtobufWriter.size(field: 2, number: number)
        writeProtobuf(at: [1], count: count) { writer in
            writer.writeNumber(field: 1, result)
            writer.writeNumber(field: 2, number)
        }
    }
}
