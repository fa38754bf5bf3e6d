import Foundation
import SwiftProtobuf
import Tenancy
import Testing
import Wire

@testable import Gateway

/// Unary calls over HTTP/2.
@Suite struct GRPCDoorTests {
    private let fixture: GatewayFixture
    private let pair: HTTP2Pair

    init() throws {
        fixture = try GatewayFixture()
        pair = try HTTP2Pair(fixture)
    }

    private static let get = "/cache_client.Scs/Get"
    private static let set = "/cache_client.Scs/Set"

    private func store(_ key: String, _ value: Data, ttl: UInt64 = 60_000) throws -> GRPCAnswer {
        try pair.call(
            Self.set,
            Scs_SetRequest.with {
                $0.cacheKey = Data(key.utf8)
                $0.cacheBody = value
                $0.ttlMilliseconds = ttl
            })
    }

    private func fetch(_ key: String) throws -> Scs_GetResponse {
        try pair.call(Self.get, Scs_GetRequest.with { $0.cacheKey = Data(key.utf8) }).message()
    }

    // MARK: Get and Set

    @Test(arguments: [0, 1, 127, 128, 16_383, 16_384, 300_000])
    func whatIsSetIsGot(byteCount: Int) throws {
        let value = Data((0..<byteCount).map { UInt8(truncatingIfNeeded: $0 &* 7) })
        let stored: Scs_SetResponse = try store("key", value).message()
        #expect(stored.result == .ok)
        let found = try fetch("key")
        #expect(found.result == .hit)
        #expect(found.cacheBody == value)
        #expect(try fetch("other").result == .miss)
    }

    @Test func theHeadAndTheTrailersAreThoseOfGRPC() throws {
        let answer = try pair.call(Self.get, Scs_GetRequest.with { $0.cacheKey = Data("a".utf8) })
        #expect(
            answer.fields.map { "\($0.name): \($0.value)" } == ["content-type: application/grpc", "grpc-status: 0"])
    }

    @Test func anExpiredItemIsAMiss() throws {
        _ = try store("key", Data([1]), ttl: 1000)
        fixture.advance(milliseconds: 999)
        #expect(try fetch("key").result == .hit)
        fixture.advance(milliseconds: 1)
        #expect(try fetch("key").result == .miss)
    }

    @Test func callsAreMeteredUnderTheirDoor() throws {
        _ = try store("key", Data(repeating: 1, count: 3000))
        _ = try fetch("key")
        _ = try fetch("none")
        _ = try store("key", Data([1]), ttl: 0)
        let counts = try fixture.counts(door: .grpc)
        #expect(counts[.calls] == 4)
        #expect(counts[.operations] == 3 + 3 + 1 + 1)
        #expect(counts[.hits] == 1)
        #expect(counts[.misses] == 1)
        #expect(counts[.clientErrors] == 1)
        #expect(counts[.bytesOut] == 3000)
        #expect(try fixture.counts(door: .rest)[.calls] == 0)
    }

    @Test func messagesInAnotherFormMeanTheSame() throws {
        _ = try store("key", Data([1, 2, 3]))
        let key: [UInt8] = [0x0A, 3] + Array("key".utf8)
        let unknown: [UInt8] = [0x7A, 2, 9, 9, 0xF8, 0x07, 1]  // fields 15 and 127
        for message in [key + unknown, unknown + key, [0x0A, 1, 65] + key] {
            let found: Scs_GetResponse = try pair.call(Self.get, body: framed(message)).message()
            #expect(found.cacheBody == Data([1, 2, 3]), "\(message)")
        }
        // The fields of a Set from behind, and one twice.
        let message: [UInt8] = [0x18, 100, 0x12, 1, 7, 0x0A, 1, 66] + key
        let stored: Scs_SetResponse = try pair.call(Self.set, body: framed(message)).message()
        #expect(stored.result == .ok)
        #expect(try fetch("key").cacheBody == Data([7]))
        #expect(try fetch("B").result == .miss)
    }

    // MARK: Refusals

    private func expect(
        _ answer: GRPCAnswer, _ status: Int, err: String? = nil, _ location: SourceLocation = #_sourceLocation
    ) {
        #expect(!answer.isBroken, "\(answer)", sourceLocation: location)
        #expect(answer.status == status, "\(answer.fields)", sourceLocation: location)
        #expect(answer.value("err") == err, sourceLocation: location)
        #expect(answer.messages.isEmpty, sourceLocation: location)
        #expect(answer.value("grpc-message") != nil, sourceLocation: location)
    }

    @Test func refusalsComeInTheirOrder() throws {
        let message = Scs_GetRequest.with { $0.cacheKey = Data("key".utf8) }
        expect(try pair.call(Self.get, message, [("authorization", "nonsense"), ("cache", "nowhere")]), 16)
        expect(try pair.call(Self.get, message, [("authorization", ""), ("cache", "nowhere")]), 16)
        expect(try pair.call(Self.get, message, [("cache", "nowhere")]), 5)
        expect(try pair.call(Self.get, message, []), 3)
        expect(try pair.call(Self.get, message, [("cache", "")]), 3)
        expect(try pair.call(Self.get, Scs_GetRequest()), 3)
        expect(try pair.call("/cache_client.Scs/Nothing", message), 12)
        expect(try pair.call("/nobody.Service/Get", message), 12)
    }

    @Test func bodiesThatAreNoMessageGetAStatus() throws {
        let whole = try framed(Scs_GetRequest.with { $0.cacheKey = Data("key".utf8) })
        for count in 0..<whole.count { expect(pair.call(Self.get, body: Array(whole.prefix(count))), 3) }
        expect(pair.call(Self.get, body: whole + whole), 3)
        expect(pair.call(Self.get, body: whole + [0]), 3)
        expect(pair.call(Self.get, body: [1] + whole.dropFirst()), 3)
        expect(pair.call(Self.get, body: [2] + whole.dropFirst()), 3)
        expect(pair.call(Self.get, body: [0, 0xFF, 0xFF, 0xFF, 0xFF] + whole), 3)
        expect(pair.call(Self.get, body: framed([0x0A, 200, 1])), 3)
        #expect(try fixture.counts(door: .grpc)[.clientErrors] == UInt64(whole.count + 6))
        #expect(try fetch("key").result == .miss)
    }

    @Test func aCompressedMessageNeedsItsCoding() throws {
        let whole = try framed(Scs_GetRequest.with { $0.cacheKey = Data("key".utf8) })
        expect(pair.call(Self.get, body: whole, [("cache", "shop"), ("grpc-encoding", "snappy")]), 12)
        expect(
            pair.call(Self.get, body: [1] + whole.dropFirst(), [("cache", "shop"), ("grpc-encoding", "gzip")]), 3)
        let plain = pair.call(Self.get, body: whole, [("cache", "shop"), ("grpc-encoding", "gzip")])
        #expect(plain.status == 0)
    }

    @Test func aMessageOverTheLimitIsRefusedAndTheConnectionGoesOn() throws {
        let request = Scs_SetRequest.with {
            $0.cacheKey = Data("key".utf8)
            $0.cacheBody = Data(repeating: 1, count: 5_300_000)
            $0.ttlMilliseconds = 1000
        }
        let answer = try pair.call(Self.set, request)
        #expect(answer.status == 8)
        #expect(answer.value("err") == "request_size_limit_exceeded")
        #expect(answer.value("grpc-message")?.contains("request limit") ?? false)
        #expect(pair.client.goaway == nil)
        let item = try pair.call(
            Self.set,
            Scs_SetRequest.with {
                $0.cacheKey = Data("key".utf8)
                $0.cacheBody = Data(repeating: 1, count: 5_000_190)
                $0.ttlMilliseconds = 1000
            })
        expect(item, 8, err: "item_size_limit_exceeded")
        #expect(try store("key", Data(repeating: 1, count: 5_000_189)).status == 0)
        #expect(fixture.bodyBytesInFlight == 0)
        #expect(try fixture.counts(door: .grpc)[.throttled] == 2)
    }

    @Test func aTimeoutThatIsOverEndsTheCallBeforeItIsPerformed() throws {
        let whole = try framed(
            Scs_SetRequest.with {
                $0.cacheKey = Data("key".utf8)
                $0.cacheBody = Data([1])
                $0.ttlMilliseconds = 1000
            })
        let fields = [("cache", "shop"), ("grpc-timeout", "100m")]
        let stream = pair.startCall(Self.set, Array(whole.prefix(7)), fields, isComplete: false)
        pair.exchange()
        fixture.advance(milliseconds: 101)
        pair.client.upload(Array(whole.dropFirst(7)), on: stream, isLast: true)
        pair.exchange()
        expect(GRPCAnswer(pair.response(stream)), 4)
        #expect(try fetch("key").result == .miss)
        expect(pair.call(Self.set, body: whole, [("cache", "shop"), ("grpc-timeout", "soon")]), 3)
        #expect(pair.call(Self.set, body: whole, fields).status == 0)
    }

    @Test func everyErrorIsToldAsTheTableSays() throws {
        let errors: [MartletError] = [
            .cacheNotFound, .permissionDenied("no"), .wrongType, .busy(retryAfterMilliseconds: 1500),
            .rateLimited(limit: .maxOperationsPerSecond, value: 10, retryAfterMilliseconds: 20),
            .tooLarge(limit: .maxElementBytes, value: 5), .invalidArgument(field: "ключ", reason: "100 %"),
        ]
        for error in errors {
            let fields = Dictionary(uniqueKeysWithValues: error.grpcTrailers.map { ($0.name, $0.value) })
            #expect(fields["grpc-status"] == "\(error.row.grpcStatus)")
            #expect(fields["grpc-message"]?.removingPercentEncoding == error.message)
            #expect(fields["err"] == error.row.grpcErr)
            #expect(fields["grpc-retry-pushback-ms"] == error.retryAfterMilliseconds.map { "\($0)" })
        }
        #expect(MartletError.busy(retryAfterMilliseconds: 1).grpcTrailers.contains { $0.name == "retry_disposition" })
    }

    @Test func overHTTP1ItIsRefused() throws {
        let connection = try TestConnection(fixture)
        connection.request(
            "POST", Self.get, ["Authorization: \(fixture.rootKey)", "Content-Type: application/grpc"], body: "x")
        fixture.turn()
        let reply = try #require(connection.replies(to: ["POST"]).first)
        #expect(reply.status == 400)
    }

    @Test func theSameCredentialTwiceIsOne() throws {
        let message = Scs_GetRequest.with { $0.cacheKey = Data("key".utf8) }
        let fields = [("authorization", fixture.rootKey), ("authorization", fixture.rootKey), ("cache", "shop")]
        #expect(try pair.call(Self.get, message, fields).status == 0)
        let bearer = [("authorization", "Bearer \(fixture.rootKey)"), ("cache", "shop")]
        #expect(try pair.call(Self.get, message, bearer).status == 0)
    }

    // MARK: Other services

    @Test func pingNeedsACredentialAndNoCache() throws {
        #expect(try pair.call("/cache_client.Ping/Ping", Ping_PingRequest(), []).status == 0)
        expect(try pair.call("/cache_client.Ping/Ping", Ping_PingRequest(), [("authorization", "x")]), 16)
    }

    @Test func healthIsToldToAnybody() throws {
        let path = "/grpc.health.v1.Health/Check"
        for service in ["", "cache_client.Scs", "grpc.health.v1.Health"] {
            let request = Health_HealthCheckRequest.with { $0.service = service }
            let answer: Health_HealthCheckResponse = try pair.call(path, request, [("authorization", "")]).message()
            #expect(answer.status == .serving)
        }
        expect(try pair.call(path, Health_HealthCheckRequest.with { $0.service = "nobody" }, []), 5)
        let stream = pair.startCall(
            "/grpc.health.v1.Health/Watch", try framed(Health_HealthCheckRequest()), [("authorization", "")])
        pair.exchange()
        let first = GRPCAnswer(pair.response(stream))
        #expect(try first.messages.map { try Health_HealthCheckResponse(serializedBytes: $0).status } == [.serving])
        #expect(!first.isEnded)
        fixture.lane.drain()
        pair.exchange()
        let last = GRPCAnswer(pair.response(stream))
        #expect(
            try last.messages.map { try Health_HealthCheckResponse(serializedBytes: $0).status }
                == [.serving, .notServing])
        #expect(last.status == 14)
    }

    @Test func reflectionListsServicesAndGivesTheirFiles() throws {
        let path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
        let requests: [Reflection_ServerReflectionRequest] = [
            .with { $0.listServices = "*" }, .with { $0.fileContainingSymbol = "cache_client.Scs.Get" },
            .with { $0.fileByFilename = "nothing.proto" },
            .with { $0.fileContainingSymbol = "auth._LoginResponse.Error" },
            .init(),
        ]
        let body = try requests.flatMap { try framed($0) }
        let answer = pair.call(path, body: body, [("authorization", "")])
        #expect(answer.status == 0)
        let responses = try answer.messages.map { try Reflection_ServerReflectionResponse(serializedBytes: $0) }
        try #require(responses.count == 5)
        let services = responses[0].listServicesResponse.service.map { $0.name }
        #expect(services.contains("cache_client.Scs") && services.contains("grpc.health.v1.Health"))
        let files = try responses[1].fileDescriptorResponse.fileDescriptorProto.map {
            try Google_Protobuf_FileDescriptorProto(serializedBytes: $0).name
        }
        #expect(files == ["cacheclient.proto", "common.proto"])
        #expect(responses[2].errorResponse.errorCode == 5)
        #expect(responses[3].fileDescriptorResponse.fileDescriptorProto.count == 2)
        #expect(responses[4].errorResponse.errorCode == 3)
    }

    @Test func everyProcedureOfTheContractHasItsPlace() throws {
        let set = try Google_Protobuf_FileDescriptorSet(serializedBytes: WireDescriptors.fileDescriptorSet)
        var count = 0
        for file in set.file {
            for service in file.service {
                for method in service.method {
                    let path = "/\(file.package).\(service.name)/\(method.name)"
                    let found = Array(path.utf8).withUnsafeBytes { GRPCMethods.shared.method($0) }
                    #expect(found != .unknown, "\(path)")
                    count += 1
                }
            }
        }
        #expect(count >= 80)
    }
}
