import Testing

@testable import Tenancy

@Suite struct MartletErrorTests {
    /// One of each case, so that what holds for all of them can be tested.
    private static let all: [MartletError] = [
        .missingCredential, .invalidCredential, .expiredCredential, .revokedCredential, .permissionDenied("x"),
        .cacheNotFound, .keyNotFound, .notFound("Tenant"), .methodNotAllowed(allowed: "GET"),
        .unimplemented("x"), .alreadyExists("x"), .inUse("x"),
        .invalidArgument(field: "x", reason: "y"), .malformed("x"), .unsupportedEncoding,
        .uriTooLong(limit: 1), .headersTooLarge(limit: 1),
        .requestTimeout, .expectationFailed, .upgradeRequired, .preconditionFailed, .wrongType, .notAnInteger,
        .integerOverflow, .tooLarge(limit: .maxMessageBytes, value: 1), .bodyTooLarge(limit: 1),
        .rateLimited(limit: .maxPublishPerSecond, value: 1, retryAfterMilliseconds: 1),
        .countLimited(limit: .maxSubscriptions, value: 1), .tooMany("webhooks", limit: 1),
        .throttled(retryAfterMilliseconds: 1), .memoryExhausted,
        .busy(retryAfterMilliseconds: 1), .unavailable("x"), .internalFailure("x"),
    ]

    @Test(arguments: all)
    func everyErrorIsToldOnEveryWire(error: MartletError) {
        let row = error.row
        #expect(row.code.first?.isUppercase == true && row.code.allSatisfy { $0.isLetter && $0.isASCII })
        #expect((400...599).contains(row.httpStatus))
        #expect((1...16).contains(row.grpcStatus))
        #expect(!row.respPrefix.isEmpty && !error.message.isEmpty)
    }

    /// RFC 6455, section 7.4: 1004, 1005, 1006 and 1015 are never sent, 1000 says that all went well, and 1012 and up to
    /// 2999 are the registry's. What an application means by itself is 4000 and up.
    @Test(arguments: all)
    func everyErrorMayEndAWebSocket(error: MartletError) {
        let sendable: Set<UInt16> = [1001, 1002, 1003, 1007, 1008, 1009, 1011, 1013, 4401, 4403, 4404]
        #expect(sendable.contains(error.row.webSocketClose))
    }

    @Test(
        arguments: [
            (.expiredCredential, 4401), (.invalidCredential, 4401), (.missingCredential, 4401),
            (.revokedCredential, 4403), (.permissionDenied("x"), 4403), (.cacheNotFound, 4404),
            (.notFound("Tenant"), 4404), (.unavailable("draining"), 1001), (.malformed("x"), 1002),
            (.upgradeRequired, 1002), (.tooLarge(limit: .maxMessageBytes, value: 1), 1009),
            (.bodyTooLarge(limit: 1), 1009), (.throttled(retryAfterMilliseconds: 1), 1008),
            (.rateLimited(limit: .maxPublishPerSecond, value: 1, retryAfterMilliseconds: 1), 1008),
            (.countLimited(limit: .maxSubscriptions, value: 1), 1008), (.internalFailure("x"), 1011),
            (.memoryExhausted, 1013), (.busy(retryAfterMilliseconds: 1), 1013),
        ] as [(MartletError, UInt16)])
    func whatEndsAStreamHasItsCloseCode(error: MartletError, code: UInt16) {
        #expect(error.row.webSocketClose == code)
    }

    @Test func aBodyInACodingThatIsNotTakenHasItsOwnCodes() {
        let row = MartletError.unsupportedEncoding.row
        #expect(row.code == "UnsupportedEncoding")
        #expect(row.httpStatus == 415)
        // UNIMPLEMENTED, as gRPC itself answers a compression that it does not have.
        #expect(row.grpcStatus == 12 && row.respPrefix == "ERR" && row.webSocketClose == 1003)
    }

    @Test func aCallThatIsNotOfferedHasItsOwnCodes() {
        let error = MartletError.unimplemented("a vector index")
        #expect(error.row == ErrorRow("Unimplemented", http: 501, grpc: 12))
        #expect(error.message == "a vector index is not offered here")
    }

    @Test func otherVersionsOfTheWebSocketProtocolAreToldWhichIsSpoken() {
        let row = MartletError.upgradeRequired.row
        #expect(row.code == "UpgradeRequired")
        #expect(row.httpStatus == 426)
        #expect(row.grpcStatus == 3)
        #expect(MartletError.upgradeRequired.message == "only version 13 of the WebSocket protocol is spoken here")
    }
}
