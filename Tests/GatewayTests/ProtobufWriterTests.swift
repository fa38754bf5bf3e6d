import Foundation
import NIOCore
import SwiftProtobuf
import Testing
import Wire

@testable import Gateway

@Suite struct ProtobufWriterTests {
    /// Every length that a varint has, at both of its ends.
    private static let numbers: [UInt64] =
        (0..<64).flatMap { [(1 << $0) - 1, 1 << $0] as [UInt64] } + [.max]

    @Test func varintsHaveTheSizeThatWasTold() {
        for number in Self.numbers {
            var buffer = ByteBuffer()
            buffer.writeProtobuf(count: ProtobufWriter.size(of: number)) { $0.writeVarint(number) }
            #expect(buffer.readableBytes == max(1, (64 - number.leadingZeroBitCount + 6) / 7))
            var value: UInt64 = 0
            for (index, byte) in buffer.readableBytesView.enumerated() {
                value |= UInt64(byte & 0x7F) << UInt64(7 * index)
                #expect((byte & 0x80 == 0) == (index == buffer.readableBytes - 1))
            }
            #expect(value == number)
        }
    }

    /// `Get` is the hottest response of all: a result and bytes.
    @Test(arguments: [0, 1, 127, 128, 16_383, 16_384, 2_097_152])
    func singularFieldsAreAsTheGeneratedMessageHasThem(length: Int) throws {
        let body = [UInt8](repeating: 0x78, count: length)
        let size =
            ProtobufWriter.size(field: 1, number: 2) + ProtobufWriter.size(field: 2, singularLength: length)
        var buffer = ByteBuffer()
        body.withUnsafeBytes { bytes in
            buffer.writeProtobuf(count: size) { writer in
                writer.writeNumber(field: 1, 2)
                writer.writeSingularBytes(field: 2, bytes)
            }
        }
        let expected = Scs_GetResponse.with {
            $0.result = .hit
            $0.cacheBody = Data(body)
        }
        #expect(Array(buffer.readableBytesView) == (try expected.serializedBytes() as [UInt8]))
    }

    @Test(arguments: [1, 15, 16, 2047, 2048, 536_870_911])
    func tagsOfAnyFieldHaveTheSizeThatWasTold(field: Int) {
        var buffer = ByteBuffer()
        let size =
            ProtobufWriter.size(field: field, number: 300) + ProtobufWriter.size(field: field, double: 1.5)
            + ProtobufWriter.size(field: field, length: 0)
        buffer.writeProtobuf(count: size) { writer in
            writer.writeNumber(field: field, 300)
            writer.writeDouble(field: field, 1.5)
            writer.writeBytes(field: field, UnsafeRawBufferPointer(start: nil, count: 0))
        }
        let tag = ProtobufWriter.size(of: UInt64(field) << 3)
        #expect(buffer.readableBytes == 3 * tag + 2 + 8 + 1)
    }

    @Test func aPathPutsAMessageInsideOthers() {
        var buffer = ByteBuffer(bytes: [0xFF])
        buffer.writeProtobuf(at: [1, 2, 3], count: 2) { $0.writeNumber(field: 4, 5) }
        #expect(Array(buffer.readableBytesView) == [0xFF, 0x0A, 0x06, 0x12, 0x04, 0x1A, 0x02, 0x20, 0x05])
    }

    @Test func zeroesAreLeftOut() {
        #expect(ProtobufWriter.size(field: 1, number: 0) == 0)
        #expect(ProtobufWriter.size(field: 1, double: 0) == 0)
        #expect(ProtobufWriter.size(field: 1, double: -0.0) == 9)
        #expect(ProtobufWriter.size(field: 1, singularLength: 0) == 0)
        #expect(ProtobufWriter.size(field: 1, length: 0) == 2)
        var buffer = ByteBuffer()
        buffer.writeProtobuf(count: 0) { writer in
            writer.writeNumber(field: 1, 0)
            writer.writeDouble(field: 1, 0)
            writer.writeSingularBytes(field: 1, UnsafeRawBufferPointer(start: nil, count: 0))
        }
        #expect(buffer.readableBytes == 0)
    }
}
