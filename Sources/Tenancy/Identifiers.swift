/// The identity of a tenant: given once by the catalog and never reused, so that a credential of a deleted tenant can
/// never reach a later tenant of the same name.
package struct TenantID: RawRepresentable, Hashable, Comparable, Sendable {
    package let rawValue: UInt64

    package init(rawValue: UInt64) {
        self.rawValue = rawValue
    }

    package static func < (left: TenantID, right: TenantID) -> Bool {
        left.rawValue < right.rawValue
    }
}

/// The identity of a cache: given once by the catalog and never reused, so that a cache which is deleted and made again
/// under the same name is a new cache to the engine, the meters and the bill.
package struct CacheID: RawRepresentable, Hashable, Comparable, Sendable {
    package let rawValue: UInt64

    package init(rawValue: UInt64) {
        self.rawValue = rawValue
    }

    package static func < (left: CacheID, right: CacheID) -> Bool {
        left.rawValue < right.rawValue
    }
}

/// The identity of a webhook: given once by the catalog and never reused.
package struct WebhookID: RawRepresentable, Hashable, Sendable {
    package let rawValue: UInt64

    package init(rawValue: UInt64) {
        self.rawValue = rawValue
    }
}

/// One wire protocol through which callers come in, and the way out to webhooks.
package enum Door: UInt8, CaseIterable, Sendable {
    case rest = 1
    case grpc = 2
    case grpcWeb = 3
    case webSocket = 4
    case resp = 5
    case webhook = 6

    /// The door's name in usage rows, metrics and logs.
    package var name: String {
        switch self {
        case .rest: "rest"
        case .grpc: "grpc"
        case .grpcWeb: "grpc-web"
        case .webSocket: "websocket"
        case .resp: "resp"
        case .webhook: "webhook"
        }
    }

    /// The door of that name, or nil.
    package init?(name: String) {
        guard let door = Door.allCases.first(where: { $0.name == name }) else { return nil }
        self = door
    }
}

/// A 128-bit keyed hash of a value and of nothing else: the `ETag` of REST and the value hash of gRPC. Equal values have
/// equal hashes on every node and after every restart of one installation; another installation's differ.
package struct ValueHash: Hashable, Sendable {
    package let low: UInt64
    package let high: UInt64

    @inlinable @inline(__always)
    package init(low: UInt64, high: UInt64) {
        self.low = low
        self.high = high
    }
}
