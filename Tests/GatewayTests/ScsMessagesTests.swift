import Foundation
import NIOCore
import SwiftProtobuf
import Tenancy
import Testing
import Wire

@testable import Gateway

/// The hand-written reading and writing of the hot messages, against swift-protobuf's.
@Suite struct ScsMessagesTests {
    private static func randomBytes(_ generator: inout SeededGenerator) -> Data {
        let count = [0, 1, 5, 127, 128, 1000].randomElement(using: &generator) ?? 0
        return Data((0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) })
    }

    @Test(arguments: 0..<20)
    func randomRequestsAreReadAlike(seed: Int) throws {
        var generator = SeededGenerator(seed: UInt64(seed))
        for _ in 0..<100 {
            let set = Scs_SetRequest.with {
                $0.cacheKey = Self.randomBytes(&generator)
                $0.cacheBody = Self.randomBytes(&generator)
                $0.ttlMilliseconds =
                    UInt64.random(in: 0 ... .max, using: &generator)
                    >> UInt64.random(
                        in: 0..<64, using: &generator)
            }
            let message: [UInt8] = try set.serializedBytes()
            message.withUnsafeBytes { bytes in
                guard let plain = SetMessage(bytes) else {
                    Issue.record("a plain message is not read: \(message)")
                    return
                }
                #expect(Data(bytes[plain.key]) == set.cacheKey)
                #expect(Data(bytes[plain.value]) == set.cacheBody)
                #expect(plain.ttlMilliseconds == set.ttlMilliseconds)
            }
            let get = Scs_GetRequest.with { $0.cacheKey = Self.randomBytes(&generator) }
            let request: [UInt8] = try get.serializedBytes()
            request.withUnsafeBytes { bytes in
                #expect(GetMessage.key(of: bytes).map { Data(bytes[$0]) } == get.cacheKey)
            }
        }
    }

    /// What the fast reading accepts, swift-protobuf reads as the same; what that refuses, it refuses.
    @Test(arguments: 0..<20)
    func mutatedRequestsAreNeverReadDifferently(seed: Int) throws {
        var generator = SeededGenerator(seed: UInt64(seed) + 1000)
        for _ in 0..<2000 {
            let set = Scs_SetRequest.with {
                $0.cacheKey = Data("key".utf8)
                $0.cacheBody = Data((0..<Int.random(in: 0..<20, using: &generator)).map { UInt8($0) })
                $0.ttlMilliseconds = UInt64.random(in: 0..<300, using: &generator)
            }
            var message: [UInt8] = try set.serializedBytes()
            for _ in 0..<Int.random(in: 1...3, using: &generator) {
                switch Int.random(in: 0..<3, using: &generator) {
                case 0 where !message.isEmpty:
                    message[Int.random(in: 0..<message.count, using: &generator)] = UInt8.random(
                        in: 0...255, using: &generator)
                case 1 where !message.isEmpty: message.removeLast(Int.random(in: 1...message.count, using: &generator))
                default:
                    message.insert(
                        UInt8.random(in: 0...255, using: &generator),
                        at: Int.random(in: 0...message.count, using: &generator))
                }
            }
            let known = try? Scs_SetRequest(serializedBytes: message)
            let knownGet = try? Scs_GetRequest(serializedBytes: message)
            message.withUnsafeBytes { bytes in
                if let plain = SetMessage(bytes) {
                    #expect(known?.cacheKey == Data(bytes[plain.key]), "\(message)")
                    #expect(known?.cacheBody == Data(bytes[plain.value]), "\(message)")
                    #expect(known?.ttlMilliseconds == plain.ttlMilliseconds, "\(message)")
                }
                if let key = GetMessage.key(of: bytes) {
                    #expect(knownGet?.cacheKey == Data(bytes[key]), "\(message)")
                }
            }
        }
    }

    @Test(arguments: [0, 1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152])
    func hitsAreWrittenAsTheyAreRead(byteCount: Int) throws {
        var buffer = ByteBuffer(bytes: [9, 9, 9])
        let value = [UInt8](repeating: 0xAB, count: byteCount)
        ScsResponse.reserveHit(byteCount, in: &buffer).copyBytes(from: value)
        buffer.moveReaderIndex(forwardBy: 3)
        let frame = Array(buffer.readableBytesView)
        let (message, isCompressed) = try frame.withUnsafeBytes { try GRPCFrame.single($0) }
        #expect(!isCompressed)
        let response = try Scs_GetResponse(serializedBytes: Array(frame[message]))
        #expect(response.result == .hit)
        #expect(response.cacheBody == Data(value))
    }

    @Test func theConstantAnswersAreWhatTheySay() throws {
        #expect(try Scs_GetResponse(serializedBytes: Array(ScsResponse.miss.dropFirst(5))).result == .miss)
        #expect(try Scs_SetResponse(serializedBytes: Array(ScsResponse.stored.dropFirst(5))).result == .ok)
    }
}
