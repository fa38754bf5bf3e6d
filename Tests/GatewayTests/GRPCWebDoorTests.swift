import Foundation
import NIOCore
import SwiftProtobuf
import Tenancy
import Testing
import Wire

@testable import Gateway

/// gRPC-web, binary and in base64, over both HTTP versions.
@Suite struct GRPCWebDoorTests {
    private let stage: TopicStage

    init() throws {
        stage = try TopicStage()
    }

    private static let get = "/cache_client.Scs/Get"
    private static let set = "/cache_client.Scs/Set"
    private static let forms = [
        "application/grpc-web+proto", "application/grpc-web-text", "application/grpc-web-text+proto",
    ]

    /// The frames of a body: messages, and the trailers as text.
    private func frames(_ body: [UInt8], isText: Bool) throws -> (messages: [[UInt8]], trailers: [String: String]) {
        var bytes = body[...]
        if isText {
            // Each piece that was flushed is padded by itself.
            var plain: [UInt8] = []
            for start in stride(from: 0, to: body.count, by: 4) {
                let group = Data(body[start..<min(start + 4, body.count)])
                plain += try #require(Data(base64Encoded: group))
            }
            bytes = plain[...]
        }
        var messages: [[UInt8]] = []
        var trailers: [String: String] = [:]
        while bytes.count >= 5 {
            let flag = bytes.first
            let length = bytes.dropFirst().prefix(4).reduce(0) { $0 << 8 | Int($1) }
            let payload = Array(bytes.dropFirst(5).prefix(length))
            try #require(payload.count == length)
            bytes = bytes.dropFirst(5 + length)
            if flag == 0x80 {
                for line in String(decoding: payload, as: UTF8.self).split(separator: "\r\n") {
                    let parts = line.split(separator: ":", maxSplits: 1)
                    trailers[String(parts[0])] = parts[1].trimmingCharacters(in: .whitespaces)
                }
            } else {
                messages.append(payload)
            }
        }
        #expect(bytes.isEmpty)
        return (messages, trailers)
    }

    private func body(_ frame: [UInt8], _ form: String) -> [UInt8] {
        form.contains("text") ? Array(Data(frame).base64EncodedString().utf8) : frame
    }

    private func call(
        _ path: String, _ frame: [UInt8], _ form: String, isHTTP2: Bool, cache: String = "shop"
    ) throws -> (status: Int, fields: [String: String], messages: [[UInt8]], trailers: [String: String]) {
        let body = body(frame, form)
        let fields = [
            ("authorization", stage.fixture.rootKey), ("cache", cache), ("content-type", form),
            ("origin", "https://page.test"), ("x-grpc-web", "1"),
        ]
        if isHTTP2 {
            let pair = try HTTP2Pair(stage.fixture)
            let response = pair.perform("POST", path, fields, body: body)
            let (messages, trailers) = try frames(response.body, isText: form.contains("text"))
            return (
                response.status, Dictionary(response.fields.map { ($0.name, $0.value) }) { $1 }, messages, trailers
            )
        }
        let connection = try TestConnection(stage.fixture)
        let head = fields.map { "\($0.0): \($0.1)\r\n" }.joined()
        connection.send(
            Array("POST \(path) HTTP/1.1\r\nHost: h\r\n\(head)Content-Length: \(body.count)\r\n\r\n".utf8) + body)
        stage.settle()
        let reply = try #require(connection.replies(to: ["POST"]).first)
        let (messages, trailers) = try frames(reply.body, isText: form.contains("text"))
        return (reply.status, reply.fields, messages, trailers)
    }

    @Test(arguments: forms, [true, false])
    func unaryCallsWorkInEveryForm(form: String, isHTTP2: Bool) throws {
        let value = Data((0...255).map { UInt8($0) })
        let set = Scs_SetRequest.with {
            $0.cacheKey = Data("key".utf8)
            $0.cacheBody = value
            $0.ttlMilliseconds = 1000
        }
        let stored = try call(Self.set, try framed(set), form, isHTTP2: isHTTP2)
        #expect(stored.status == 200)
        #expect(
            stored.fields["content-type"]?.hasPrefix(form.contains("text") ? Self.forms[1] : Self.forms[0]) ?? false)
        #expect(stored.fields["access-control-allow-origin"] == "*")
        #expect(stored.fields["access-control-expose-headers"]?.contains("grpc-status") ?? false)
        #expect(stored.trailers == ["grpc-status": "0"])
        #expect(stored.messages.count == 1)
        let got = try call(
            Self.get, try framed(Scs_GetRequest.with { $0.cacheKey = Data("key".utf8) }), form, isHTTP2: isHTTP2)
        #expect(try Scs_GetResponse(serializedBytes: try #require(got.messages.first)).cacheBody == value)
        #expect(try stage.fixture.counts(door: .grpcWeb)[.calls] == 2)
        // A message without a field is there all the same.
        let deleted = try call(
            "/cache_client.Scs/Delete", try framed(Scs_DeleteRequest.with { $0.cacheKey = Data("key".utf8) }), form,
            isHTTP2: isHTTP2)
        #expect(deleted.messages == [[]])
    }

    @Test(arguments: forms, [true, false])
    func errorsAreTrailersInTheBody(form: String, isHTTP2: Bool) throws {
        let message = try framed(Scs_GetRequest.with { $0.cacheKey = Data("key".utf8) })
        let answer = try call(Self.get, message, form, isHTTP2: isHTTP2, cache: "nowhere")
        #expect(answer.status == 200)
        #expect(answer.messages.isEmpty)
        #expect(answer.trailers["grpc-status"] == "5")
        #expect(answer.trailers["grpc-message"] == "Cache Not Found")
        let large = try call(
            Self.get, [0, 0, 0, 0, 4, 0x0A, 200, 1, 1], form, isHTTP2: isHTTP2)
        #expect(large.trailers["grpc-status"] == "3")
    }

    @Test(arguments: [true, false])
    func textThatIsNotBase64IsRefused(isHTTP2: Bool) throws {
        let pair = try HTTP2Pair(stage.fixture)
        for text in ["AAA", "====", "A A A A", "AA=A", "AAAA=AAA", "\u{0}\u{0}\u{0}\u{0}"] {
            let response = pair.perform(
                "POST", Self.get, [("cache", "shop"), ("content-type", "application/grpc-web-text")],
                body: Array(text.utf8))
            let (_, trailers) = try frames(response.body, isText: true)
            #expect(trailers["grpc-status"] == "3", "\(text)")
        }
    }

    @Test(arguments: forms, [true, false])
    func aSubscriptionFlowsAsItIsPublished(form: String, isHTTP2: Bool) throws {
        let request = try framed(
            Pubsub_SubscriptionRequest.with {
                $0.cacheName = "shop"
                $0.topic = "news"
            })
        let fields = [("authorization", stage.fixture.rootKey), ("content-type", form)]
        var received: [UInt8] = []
        if isHTTP2 {
            let pair = try HTTP2Pair(stage.fixture)
            let stream = pair.start(
                "POST", "/cache_client.pubsub.Pubsub/Subscribe", fields, body: body(request, form))
            pair.exchange()
            stage.publish("one", type: "text/plain")
            pair.exchange()
            received = pair.response(stream).body
        } else {
            let connection = try TestConnection(stage.fixture)
            let head = fields.map { "\($0.0): \($0.1)\r\n" }.joined()
            let body = body(request, form)
            connection.send(
                Array(
                    "POST /cache_client.pubsub.Pubsub/Subscribe HTTP/1.1\r\nHost: h\r\n\(head)Content-Length: \(body.count)\r\n\r\n"
                        .utf8) + body)
            stage.settle()
            stage.publish("one", type: "text/plain")
            received = try Self.chunks(connection.receive())
        }
        let (messages, _) = try frames(received, isText: form.contains("text"))
        let items = try messages.map { try Pubsub_SubscriptionItem(serializedBytes: $0) }
        #expect(items.count == 2)
        #expect(items.first?.heartbeat != nil)
        #expect(items.last?.item.value.text == "one")
    }

    /// The body of a chunked response that goes on.
    private static func chunks(_ bytes: [UInt8]) throws -> [UInt8] {
        let text = String(decoding: bytes, as: Unicode.ASCII.self)
        #expect(text.lowercased().contains("transfer-encoding: chunked"))
        let separator = Array("\r\n\r\n".utf8)
        let start = try #require(bytes.indices.first { bytes[$0...].starts(with: separator) }) + 4
        var rest = bytes[start...]
        var body: [UInt8] = []
        while let end = rest.firstIndex(of: 13) {
            let count = try #require(Int(String(decoding: rest[..<end], as: UTF8.self), radix: 16))
            body += rest[(end + 2)...].prefix(count)
            rest = rest[(end + 2)...].dropFirst(count + 2)
        }
        return body
    }

    @Test(arguments: ["/cache_client.Scs/Get", "/cache_client.pubsub.Pubsub/Subscribe", "/auth.Auth/Login"])
    func aPreflightIsAnsweredWithoutACredential(path: String) throws {
        let pair = try HTTP2Pair(stage.fixture)
        let response = pair.perform(
            "OPTIONS", path,
            [
                ("authorization", ""), ("origin", "https://page.test"), ("access-control-request-method", "POST"),
                ("access-control-request-headers", "authorization,cache,x-grpc-web,my-own"),
            ])
        #expect(response.status == 204)
        #expect(response.value("access-control-allow-origin") == "*")
        #expect(response.value("access-control-allow-methods")?.contains("POST") ?? false)
        #expect(response.value("access-control-allow-headers") == "authorization,cache,x-grpc-web,my-own")
    }
}
