import Tenancy
import Testing

@testable import Gateway

private func order(_ metadata: [(key: String, value: String)]) throws(MartletError) -> FaultOrder {
    let head = RequestHead()
    for pair in metadata {
        Array(pair.key.utf8).withUnsafeBytes { key in
            Array(pair.value.utf8).withUnsafeBytes { head.add(name: key, value: $0, limit: 1 << 20) }
        }
    }
    return try FaultOrder(head)
}

@Suite struct FaultOrderTests {
    @Test func metadataOfOthersOrdersNothing() throws {
        let order = try order([
            ("authorization", "x"), ("cache", "shop"), ("agent", "nodejs"), ("delay-xx", "?"), ("error-rpcz", "get"),
        ])
        #expect(order == FaultOrder())
        let faults = FaultInjection()
        #expect(faults.fault(of: "get", order) == nil)
        #expect(faults.streamFault(of: "topic-subscribe", order) == nil)
        #expect(faults.count == 0)
    }

    @Test func everyKeyIsRead() throws {
        let order = try order([
            ("request-id", "one"), ("return-error", "unavailable"), ("error-rpcs", "get  set"), ("error-count", "3"),
            ("delay-rpcs", "increment,get"), ("delay-ms", "250"), ("delay-count", "2"),
            ("stream-error-rpcs", "topic-subscribe"), ("stream-error", "cancelled"),
            ("stream-error-message-limit", "5"),
        ])
        #expect(order.requestID == Array("one".utf8))
        #expect(order.error == .unavailable && order.errorCount == 3)
        #expect(order.errorCalls.contains("get") && order.errorCalls.contains("set"))
        #expect(!order.errorCalls.contains("get-batch") && !order.errorCalls.contains("increment"))
        #expect(order.delayMilliseconds == 250 && order.delayCount == 2)
        #expect(order.delayCalls.contains("increment") && order.delayCalls.contains("get"))
        #expect(order.streamErrorCalls.contains("topic-subscribe") && order.streamError == .cancelled)
        #expect(order.streamMessageLimit == 5)
    }

    @Test(arguments: [
        ("delay-ms", "abc"), ("delay-ms", ""), ("delay-ms", "-1"), ("delay-ms", "1.5"), ("delay-ms", "3600001"),
        ("delay-ms", "99999999999999999999"), ("error-count", "one"), ("error-count", "2147483648"),
        ("delay-count", "+1"), ("stream-error-message-limit", "0x1"), ("return-error", "UNAVAILABLE"),
        ("return-error", "ok"), ("return-error", ""), ("stream-error", "no-such-error"),
        ("request-id", String(repeating: "i", count: 129)),
    ])
    func whatCannotBeReadIsRefusedByItsKey(key: String, value: String) throws {
        let error = #expect(throws: MartletError.self) { try order([(key, value)]) }
        #expect(error?.field == key && error?.row.grpcStatus == 3)
    }

    @Test(arguments: [
        ("delay-ms", "0"), ("delay-ms", "3600000"), ("error-count", "0"), ("error-count", "2147483647"),
        ("request-id", String(repeating: "i", count: 128)), ("error-rpcs", ""), ("delay-rpcs", "no-such-rpc"),
    ])
    func whatLiesOnTheEdgeIsRead(key: String, value: String) throws {
        #expect(throws: Never.self) { try order([(key, value)]) }
    }

    /// The contract's list, and the four that are to be accepted too.
    @Test(arguments: [
        ("cancelled", 1), ("unknown", 2), ("invalid-argument", 3), ("deadline-exceeded", 4), ("not-found", 5),
        ("already-exists", 6), ("permission-denied", 7), ("resource-exhausted", 8), ("failed-precondition", 9),
        ("aborted", 10), ("out-of-range", 11), ("unimplemented", 12), ("internal", 13), ("unavailable", 14),
        ("data-loss", 15), ("unauthenticated", 16),
    ])
    func errorsHaveTheirNumbers(name: String, code: Int) throws {
        let order = try order([("return-error", name), ("error-rpcs", "get")])
        #expect(order.error == GRPCStatusCode(rawValue: code))
        #expect(GRPCStatusCode(rawValue: code).name == name)
        #expect(FaultInjection().fault(of: "get", order) == Fault(delayMilliseconds: 0, error: order.error))
    }

    @Test func aCodeWithoutANameIsItsNumber() {
        #expect(GRPCStatusCode(rawValue: 17).name == "17" && GRPCStatusCode(rawValue: -1).name == "-1")
        #expect(GRPCStatusCode.ok.name == "ok")
    }
}

@Suite struct FaultInjectionTests {
    private let faults = FaultInjection()

    private func outcomes(_ calls: [StaticString], _ order: FaultOrder) -> [Fault?] {
        calls.map { faults.fault(of: $0, order) }
    }

    @Test func withoutACountAllFailAndNothingIsKept() throws {
        let order = try order([("request-id", "a"), ("return-error", "internal"), ("error-rpcs", "get set")])
        let fault = Fault(delayMilliseconds: 0, error: .internalError)
        #expect(outcomes(["get", "delete", "set", "get"], order) == [fault, nil, fault, fault])
        #expect(faults.count == 0)
    }

    @Test func theFirstCallsFailAndOnlyTheseThatMatchAreCounted() throws {
        let order = try order([
            ("request-id", "a"), ("return-error", "unavailable"), ("error-rpcs", "get set"), ("error-count", "2"),
        ])
        let fault = Fault(delayMilliseconds: 0, error: .unavailable)
        #expect(
            outcomes(["delete", "get", "delete", "set", "get", "set"], order) == [nil, fault, nil, fault, nil, nil])
    }

    @Test func eachRequestIDHasItsOwnCount() throws {
        func order(_ id: String?) throws -> FaultOrder {
            try GatewayTests.order(
                (id.map { [("request-id", $0)] } ?? [])
                    + [("return-error", "unknown"), ("error-rpcs", "get"), ("error-count", "1")])
        }
        let fault = Fault(delayMilliseconds: 0, error: .unknown)
        for id in ["a", "b", nil] {
            #expect(outcomes(["get", "get"], try order(id)) == [fault, nil])
        }
        #expect(faults.count == 3)
    }

    @Test func aCountOfZeroFailsNone() throws {
        let order = try order([("return-error", "unknown"), ("error-rpcs", "get"), ("error-count", "0")])
        #expect(outcomes(["get", "get"], order) == [nil, nil])
    }

    @Test func delaysAreCountedApartAndComeBeforeTheError() throws {
        let order = try order([
            ("request-id", "a"), ("return-error", "deadline-exceeded"), ("error-rpcs", "get"), ("error-count", "3"),
            ("delay-rpcs", "get increment"), ("delay-ms", "1500"), ("delay-count", "2"),
        ])
        #expect(
            outcomes(["get", "increment", "get", "get", "get"], order) == [
                Fault(delayMilliseconds: 1500, error: .deadlineExceeded), Fault(delayMilliseconds: 1500, error: nil),
                Fault(delayMilliseconds: 0, error: .deadlineExceeded),
                Fault(delayMilliseconds: 0, error: .deadlineExceeded), nil,
            ])
    }

    @Test func halfAnOrderDoesNothing() throws {
        for metadata in [
            [("error-rpcs", "get")], [("return-error", "internal")], [("delay-rpcs", "get")], [("delay-ms", "5")],
            [("error-rpcs", "no-such-rpc"), ("return-error", "internal")],
        ] {
            let order = try order([("request-id", "a"), ("error-count", "1"), ("delay-count", "1")] + metadata)
            #expect(faults.fault(of: "get", order) == nil)
        }
        #expect(faults.count == 0)
    }

    @Test func aCallWithoutANameIsMetByNoOrder() throws {
        let order = try order([("return-error", "internal"), ("error-rpcs", " ,, ")])
        #expect(order.errorCalls.names.isEmpty)
        #expect(faults.fault(of: "", order) == nil)
    }

    @Test func aStreamBreaksAfterItsMessages() throws {
        let order = try order([
            ("stream-error-rpcs", "topic-subscribe"), ("stream-error", "internal"), ("stream-error-message-limit", "3"),
        ])
        for _ in 0..<2 {
            #expect(
                faults.streamFault(of: "topic-subscribe", order) == StreamFault(status: .internalError, messageLimit: 3)
            )
        }
        #expect(faults.streamFault(of: "topic-publish", order) == nil)
        #expect(faults.fault(of: "topic-subscribe", order) == nil)
        let withoutLimit = try GatewayTests.order([
            ("stream-error-rpcs", "topic-subscribe"), ("stream-error", "cancelled"),
        ])
        #expect(
            faults.streamFault(of: "topic-subscribe", withoutLimit) == StreamFault(status: .cancelled, messageLimit: 0))
    }

    @Test func theOldestIDsAreForgotten() throws {
        let faults = FaultInjection(capacity: 3)
        func isRefused(_ id: Int) throws -> Bool {
            let order = try order([
                ("request-id", "\(id)"), ("return-error", "unknown"), ("error-rpcs", "get"), ("error-count", "1"),
            ])
            return faults.fault(of: "get", order) != nil
        }
        for id in 0..<3 { #expect(try isRefused(id)) }
        for id in 0..<3 { #expect(try !isRefused(id)) }
        #expect(try isRefused(3))
        #expect(faults.count == 3)
        // 0 made room, 1 and 2 are known still.
        #expect(try !isRefused(1) && !isRefused(2) && !isRefused(3))
        #expect(try isRefused(0))
        #expect(try !isRefused(2) && isRefused(1))
        for id in 4..<1000 { #expect(try isRefused(id)) }
        #expect(faults.count == 3)
    }

    @Test func countsHoldWhoeverAsks() async throws {
        let order = try order([
            ("request-id", "a"), ("return-error", "unknown"), ("error-rpcs", "get"), ("error-count", "1000"),
        ])
        let faults = faults
        let refused = await withTaskGroup(of: Int.self) { group in
            for _ in 0..<4 {
                group.addTask { (0..<500).count { _ in faults.fault(of: "get", order) != nil } }
            }
            return await group.reduce(0, +)
        }
        #expect(refused == 1000)
    }
}
