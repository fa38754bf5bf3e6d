/// One protocol on top of HTTP exchanges. A connection asks the router for the door of each request, so several doors
/// sit on one connection.
///
/// Everything is called on the connection's event loop, and nothing here may block or suspend. A door answers through
/// the exchange, at once or later; it may let a body stream in (``Exchange/streamBody()``), have it collected
/// (``Exchange/collectBody(limit:)``), or ignore it by answering.
protocol HTTPDoor: AnyObject {
    /// The head is complete; nothing of the body has been given out.
    func receiveHead(_ exchange: Exchange)
    /// A piece of the body, only after ``Exchange/streamBody()``. The bytes live until the call returns.
    func receiveBody(_ exchange: Exchange, _ bytes: UnsafeRawBufferPointer)
    /// The request is complete. After ``Exchange/collectBody(limit:)`` its bytes are in ``Exchange/requestBody``.
    func receiveEnd(_ exchange: Exchange)
    /// An exchange that was parked may go on: its reader has made room. Called in the place of ``receiveHead(_:)``.
    func resume(_ exchange: Exchange)
    /// The reader has taken what was written of a response that goes on, after ``Exchange/isReady`` was found off.
    func responseDrained(_ exchange: Exchange)
    /// The peer or the connection went away before the response was complete. The exchange is of no use after it.
    func abandon(_ exchange: Exchange)
}

extension HTTPDoor {
    func receiveBody(_ exchange: Exchange, _ bytes: UnsafeRawBufferPointer) {}
    func resume(_ exchange: Exchange) { receiveHead(exchange) }
    func responseDrained(_ exchange: Exchange) {}
    func abandon(_ exchange: Exchange) {}
}
