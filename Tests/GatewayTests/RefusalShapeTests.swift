import CacheService
import NIOCore
import SwiftProtobuf
import Tenancy
import Testing

@testable import Gateway

/// How each wire tells a refusal for load, by table.
@Suite struct RefusalShapeTests {
    private struct Row {
        let error: MartletError
        let status: Int
        let fields: [String: String]
        let json: String
        let grpc: [String: String]
        let command: String
    }

    private static let rows = [
        Row(
            error: .rateLimited(limit: .maxOperationsPerSecond, value: 10, retryAfterMilliseconds: 1_200), status: 429,
            fields: [
                "retry-after": "2", "ratelimit-limit": "10", "ratelimit-remaining": "0", "ratelimit-reset": "2",
                "ratelimit-policy": "10;w=1",
            ],
            json: #"{"code":"RateLimited","message":"operations are over the limit of 10 a second","#
                + #""limit":"max_operations_per_second","value":10,"retry_after_ms":1200}"# + "\n",
            grpc: [
                "grpc-status": "8", "grpc-message": "operations are over the limit of 10 a second",
                "err": "operations_rate_limit_exceeded", "grpc-retry-pushback-ms": "1200",
            ],
            command: "THROTTLED operations are over the limit of 10 a second, retry after 1200 ms"),
        Row(
            error: .rateLimited(limit: .maxBytesOutPerSecond, value: 5, retryAfterMilliseconds: 1), status: 429,
            fields: [
                "retry-after": "1", "ratelimit-limit": "5", "ratelimit-remaining": "0", "ratelimit-reset": "1",
                "ratelimit-policy": "5;w=1",
            ],
            json: #"{"code":"RateLimited","message":"throughput bytes are over the limit of 5 a second","#
                + #""limit":"max_bytes_out_per_second","value":5,"retry_after_ms":1}"# + "\n",
            grpc: ["grpc-status": "8", "err": "throughput_rate_limit_exceeded", "grpc-retry-pushback-ms": "1"],
            command: "THROTTLED throughput bytes are over the limit of 5 a second, retry after 1 ms"),
        Row(
            error: .countLimited(limit: .maxConnections, value: 3), status: 429, fields: [:],
            json: #"{"code":"LimitExceeded","message":"the limit max_connections of 3 is reached","#
                + #""limit":"max_connections","value":3}"# + "\n",
            grpc: [
                "grpc-status": "8", "grpc-message": "the limit max_connections of 3 is reached",
                "err": "operations_rate_limit_exceeded",
            ],
            command: "THROTTLED the limit max_connections of 3 is reached"),
        Row(
            error: .busy(retryAfterMilliseconds: 100), status: 503, fields: ["retry-after": "1"],
            json: #"{"code":"Busy","message":"the server is busy","retry_after_ms":100}"# + "\n",
            grpc: [
                "grpc-status": "14", "grpc-message": "the server is busy", "err": "server_is_busy",
                "retry_disposition": "retryable", "grpc-retry-pushback-ms": "100",
            ],
            command: "THROTTLED the server is busy, retry after 100 ms"),
        Row(
            error: .throttled(retryAfterMilliseconds: 5_000), status: 429, fields: ["retry-after": "5"],
            json: #"{"code":"Throttled","message":"too many requests with false credentials","retry_after_ms":5000}"#
                + "\n",
            grpc: ["grpc-status": "8", "err": "operations_rate_limit_exceeded", "grpc-retry-pushback-ms": "5000"],
            command: "THROTTLED too many requests with false credentials, retry after 5000 ms"),
    ]

    @Test(arguments: rows.indices) func everyWireTellsIt(index: Int) throws {
        let row = Self.rows[index]
        let refusal = RenderedRefusal(row.error)
        #expect(refusal.httpStatus == row.status)
        #expect(Self.parse(refusal.fields.lines) == row.fields)
        #expect(String(decoding: refusal.json, as: UTF8.self) == row.json)
        #expect(row.error.commandText == row.command)

        let fields = Self.parse(refusal.grpcFields.lines)
        for (name, value) in row.grpc { #expect(fields[name] == value) }
        // The same fields, as lines of a frame of gRPC-web.
        #expect(refusal.grpcWebFrame.first == GRPCWebTrailers.flag)
        #expect(Array(refusal.grpcWebFrame.dropFirst(5)) == refusal.grpcFields.lines)
        try expectDetails(fields[GRPCStatusDetails.fieldName], of: row.error)
    }

    /// Read by another codec than the one that wrote it.
    private func expectDetails(_ text: String?, of error: MartletError) throws {
        guard let delay = error.retryAfterMilliseconds else {
            #expect(text == nil)
            return
        }
        let bytes = try #require(text.flatMap { Base64Text.decode($0) })
        let status = try FieldTree(bytes)
        #expect(status.number(1) == UInt64(error.row.grpcStatus))
        #expect(status.text(2) == error.message)
        let details = try #require(status.message(3))
        #expect(details.text(1) == "type.googleapis.com/google.rpc.RetryInfo")
        let retryInfo = try #require(details.message(2))
        let bytesOfDuration = try #require(retryInfo.bytes(1))
        let duration = try Google_Protobuf_Duration(serializedBytes: bytesOfDuration)
        #expect(duration.seconds == Int64(delay / 1000))
        #expect(duration.nanos == Int32(delay % 1000 * 1_000_000))
    }

    @Test func boundsAreThoseOfTheLines() {
        let fields = RenderedFields([("a", "1"), ("retry-after", ""), ("b-c", "x y")])
        #expect(String(decoding: fields.lines, as: UTF8.self) == "a: 1\r\nretry-after: \r\nb-c: x y\r\n")
        let pairs = fields.bounds.map {
            [
                String(decoding: fields.lines[$0.name], as: UTF8.self),
                String(decoding: fields.lines[$0.value], as: UTF8.self),
            ]
        }
        #expect(pairs == [["a", "1"], ["retry-after", ""], ["b-c", "x y"]])
    }

    @Test(arguments: [0, 1, 15, 16, 0xABC, 0xFFFF_FFFF, .max] as [UInt64])
    func aRequestIDIsWrittenAsItIsLogged(number: UInt64) {
        let memory = UnsafeMutableRawPointer.allocate(byteCount: Exchange.renderedCapacity, alignment: 8)
        defer { memory.deallocate() }
        var renderer = FieldRenderer(memory)
        #expect(String(decoding: renderer.hexadecimal(number), as: UTF8.self) == String(number, radix: 16))
    }

    private static func parse(_ lines: [UInt8]) -> [String: String] {
        var fields: [String: String] = [:]
        for line in String(decoding: lines, as: UTF8.self).split(separator: "\r\n") {
            let parts = line.split(separator: ": ", maxSplits: 1).map(String.init)
            fields[parts[0]] = parts.count > 1 ? parts[1] : ""
        }
        return fields
    }
}

/// Base64 without padding (RFC 4648 section 4).
private enum Base64Text {
    static func decode(_ text: String) -> [UInt8]? {
        let letters = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
        var (bits, count): (UInt32, Int) = (0, 0)
        var bytes: [UInt8] = []
        for letter in text {
            guard let value = letters.firstIndex(of: letter) else { return nil }
            bits = (bits << 6 | UInt32(value)) & 0xFFFF
            count += 6
            if count >= 8 {
                count -= 8
                bytes.append(UInt8(truncatingIfNeeded: bits >> UInt32(count)))
            }
        }
        return bytes
    }
}

/// The fields of a message of which no generated type is at hand: numbers and bytes, each once.
private struct FieldTree {
    private var numbers: [UInt64: UInt64] = [:]
    private var pieces: [UInt64: [UInt8]] = [:]

    init(_ bytes: [UInt8]) throws {
        var rest = bytes[...]
        func varint() throws -> UInt64 {
            var (result, shift): (UInt64, UInt64) = (0, 0)
            while true {
                let next = rest.popFirst()
                let byte = try #require(next)
                result |= UInt64(byte & 0x7F) << shift
                if byte < 0x80 { return result }
                shift += 7
            }
        }
        while !rest.isEmpty {
            let tag = try varint()
            if tag & 7 == 0 {
                numbers[tag >> 3] = try varint()
            } else {
                try #require(tag & 7 == 2)
                let count = Int(try varint())
                try #require(count <= rest.count)
                pieces[tag >> 3] = Array(rest.prefix(count))
                rest = rest.dropFirst(count)
            }
        }
    }

    func number(_ field: UInt64) -> UInt64? { numbers[field] }
    func bytes(_ field: UInt64) -> [UInt8]? { pieces[field] }
    func text(_ field: UInt64) -> String? { pieces[field].map { String(decoding: $0, as: UTF8.self) } }
    func message(_ field: UInt64) -> FieldTree? { pieces[field].flatMap { try? FieldTree($0) } }
}
