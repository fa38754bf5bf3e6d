/// What a connection and its requests may use before they are refused. Every number is a default that the operator may
/// change; sizes in bytes, times in milliseconds.
package struct GatewayLimits: Sendable {
    /// Names and values of all header fields of a request, with 32 bytes for each field.
    package var headerBytes = 32_768
    /// The request target. A longer one is answered with 414.
    package var targetBytes = 16_384
    /// Streams open at once on one HTTP/2 connection. Official SDKs put several clients on one connection.
    package var concurrentStreams = 4096
    /// Bytes of request heads that one HTTP/2 connection may keep at once.
    package var headBytesPerConnection = 2 << 20
    /// Bytes of request bodies that one connection may keep at once.
    package var bodyBytesPerConnection = 32 << 20
    /// Bytes of responses that wait for one connection's reader, before further requests of it wait too.
    package var backlogBytesPerConnection = 16 << 20
    /// Bytes of responses that wait for readers on one event loop, before further requests wait.
    package var backlogBytesPerLoop = 256 << 20
    /// Bytes of messages that wait for one subscriber of the RESP door: beyond, it is disconnected.
    package var subscriberBacklogBytes = 8 << 20
    /// Bytes that wait for the RESP connections of one event loop, before every subscriber with more than its share of
    /// them is disconnected.
    package var subscriberBacklogBytesPerLoop = 128 << 20
    /// From the first byte, or from connecting, to a complete head.
    package var headMilliseconds: Int64 = 10_000
    /// Without any request or frame.
    package var idleMilliseconds: Int64 = 600_000
    /// A body or a reader that moves nothing for so long is given up.
    package var stallMilliseconds: Int64 = 30_000
    /// A body that arrives slower than this on average, after the first stall period, is given up (bytes a second).
    package var slowBodyBytesPerSecond: Int64 = 1024
    /// PING, SETTINGS, PRIORITY, WINDOW_UPDATE and empty DATA frames in ten seconds that go with no request.
    package var idleFramesPerTenSeconds = 4000
    /// TLS handshakes that take longer are given up.
    package var handshakeMilliseconds: Int64 = 10_000
    /// TLS handshakes of one event loop between the server's first message and the client's last. One more, and the one
    /// that has stood still for longest is dropped.
    package var handshakesPerLoop = 1024
    /// Connections of one event loop that have sent nothing, or whose TLS handshake has not been taken up. One more, and
    /// the stalest is dropped.
    package var unidentifiedPerLoop = 2048
    /// TLS handshakes that wait for their turn, for each event loop, before no more connections are accepted.
    package var waitingHandshakesPerLoop = 256
    /// The largest body of a control-plane request.
    package var controlBodyBytes = 65_536
    /// Bytes of request bodies that the ops listener may keep at once.
    package var operationsBodyBytes = 16 << 20
    /// Control-plane requests of a listener that wait for the catalog at once.
    package var controlQueue = 256

    package init() {}
}
