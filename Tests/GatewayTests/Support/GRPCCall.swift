import Foundation
import SwiftProtobuf
import Testing

@testable import Gateway

/// One gRPC call over HTTP/2, as a client sees it.
struct GRPCAnswer {
    /// The messages, without their frames.
    var messages: [[UInt8]] = []
    var status: Int?
    var fields: [(name: String, value: String)] = []
    /// The stream was reset, or the body is no row of frames.
    var isBroken = false
    var isEnded = false

    init(_ response: HTTP2Client.Response) {
        isBroken = response.status != 200 || (response.closeCode ?? 0) != 0
        isEnded = response.closeCode != nil
        fields = response.fields + response.trailers
        status = fields.last { $0.name == "grpc-status" }.flatMap { Int($0.value) }
        var rest = response.body[...]
        while !rest.isEmpty {
            guard rest.count >= 5, rest.first == 0 else {
                isBroken = true
                return
            }
            let length = rest.dropFirst().prefix(4).reduce(0) { $0 << 8 | Int($1) }
            guard rest.count >= 5 + length else {
                isBroken = true
                return
            }
            messages.append(Array(rest.dropFirst(5).prefix(length)))
            rest = rest.dropFirst(5 + length)
        }
    }

    func value(_ name: String) -> String? { fields.last { $0.name == name }?.value }

    /// The one message of a call that went well.
    func message<Message: SwiftProtobuf.Message>(_ type: Message.Type = Message.self) throws -> Message {
        #expect(!isBroken && status == 0, "\(fields)")
        return try Message(serializedBytes: try #require(messages.first))
    }
}

extension HTTP2Pair {
    static let grpcFields = [("content-type", "application/grpc"), ("te", "trailers")]

    /// Starts a call of `package.Service/Method`.
    @discardableResult
    func startCall(
        _ path: String, _ body: [UInt8], _ fields: [(name: String, value: String)] = [("cache", "shop")],
        isComplete: Bool = true
    ) -> Int32 {
        start("POST", path, Self.grpcFields + fields, body: body, isComplete: isComplete)
    }

    /// Performs a call with a body as it is.
    func call(
        _ path: String, body: [UInt8], _ fields: [(name: String, value: String)] = [("cache", "shop")]
    ) -> GRPCAnswer {
        let stream = startCall(path, body, fields)
        exchange()
        return GRPCAnswer(response(stream))
    }

    /// Performs a unary call.
    func call(
        _ path: String, _ message: some SwiftProtobuf.Message,
        _ fields: [(name: String, value: String)] = [("cache", "shop")]
    ) throws -> GRPCAnswer {
        call(path, body: try framed(message), fields)
    }
}

/// A message in its frame.
func framed(_ message: some SwiftProtobuf.Message) throws -> [UInt8] {
    framed(try message.serializedBytes() as [UInt8])
}

func framed(_ message: [UInt8]) -> [UInt8] {
    [0] + withUnsafeBytes(of: UInt32(message.count).bigEndian) { Array($0) } + message
}
