import CacheService
import Foundation
import NIOCore
import SwiftProtobuf
import Tenancy

@testable import Gateway

// What the tests of the collection rpcs share. The key of every request in them is `k`.

extension CollectionRPC {
    func decode(_ bytes: [UInt8]) throws(MartletError) -> CollectionCall {
        let result = bytes.withUnsafeBytes { message -> Result<CollectionCall, MartletError> in
            do throws(MartletError) {
                return .success(try decode(message))
            } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }

    /// The command of a request; nil where it is for another key.
    func command(_ request: some Message) throws -> CollectionCommand? {
        let call = try decode(request.serializedBytes() as [UInt8])
        return call.key == .k ? call.command : nil
    }

    /// Why a request is refused; nil if it is not.
    func refusal(_ request: some Message) throws -> MartletError? {
        refusal(try request.serializedBytes() as [UInt8])
    }

    func refusal(_ bytes: [UInt8]) -> MartletError? {
        do throws(MartletError) {
            _ = try decode(bytes)
            return nil
        } catch {
            return error
        }
    }

    /// The response, written behind something that must stay as it is.
    func encode(_ reply: CollectionReply) throws -> [UInt8] {
        let before: [UInt8] = [0xA5, 0x5A]
        var buffer = ByteBuffer(bytes: before)
        do {
            try encode(reply, into: &buffer)
        } catch {
            guard buffer == ByteBuffer(bytes: before) else { throw MartletError.internalFailure("wrote and threw") }
            throw error
        }
        guard buffer.readBytes(length: before.count) == before else {
            throw MartletError.internalFailure("wrote over what stood before")
        }
        return Array(buffer.readableBytesView)
    }

    /// Whether the response that says `reply` is, byte for byte, what the generated message is on the wire.
    func says(_ expected: some Message, to reply: CollectionReply) throws -> Bool {
        try encode(reply) == expected.serializedBytes() as [UInt8]
    }
}

extension Elements {
    static func of(_ texts: String...) -> Elements { Elements(texts.map(\.utf8)) }

    var data: [Data] { (0..<count).map { Data(self[$0]) } }
}

extension Data {
    static let k = Data("k".utf8)
}

extension [Data] {
    static func of(_ texts: String...) -> [Data] { texts.map { Data($0.utf8) } }
}

extension MartletError {
    static func unset(_ field: String) -> MartletError { .invalidArgument(field: field, reason: "must be set") }

    static func empty(_ field: String) -> MartletError {
        .invalidArgument(field: field, reason: "must not be empty")
    }

    static let noMessage = MartletError.malformed("the request is not a valid message")
    static let noTTL = MartletError.invalidArgument(field: "ttl_milliseconds", reason: "must be greater than zero")
    static let noOrder = MartletError.invalidArgument(field: "order", reason: "must be ASCENDING or DESCENDING")
    static let otherAnswer = MartletError.internalFailure("the engine answered another question")
}
