import NIOCore
import Tenancy

/// What carries a WebSocket's bytes: a whole HTTP/1.1 connection that was upgraded, or a stream of HTTP/2.
protocol WebSocketCarrier: AnyObject {
    var peer: Peer { get }
    /// Whether the client takes more. A carrier that was asked and had to say no calls
    /// ``WebSocketSession/carrierIsReady()`` later.
    var isReady: Bool { get }
    /// Sends whole frames now, in one write.
    func write(_ frames: ByteBuffer)
    /// Whether bytes of the client are to be left where they are.
    func pauseReading(_ isPaused: Bool)
    /// Tells the client that nothing more comes, once everything written has left, while it may go on sending.
    func endOutput()
    /// Ends the connection or stream once everything written has left.
    func finish()
}

/// What a WebSocket is used for.
protocol WebSocketApplication: AnyObject {
    /// The session is open.
    func begin(_ session: WebSocketSession)
    /// The longest message that the client may send now. Asked before what has arrived is read, so that a limit that was
    /// changed holds for a socket that is open: it costs a look-up at most.
    var messageBytesLimit: Int { get }
    /// A text message; its bytes live until the call returns.
    func receive(_ text: UnsafeRawBufferPointer)
    /// The session takes frames again, after it did not.
    func sessionIsReady()
    /// Called some times a second.
    func tick(now: Timestamp)
    /// The session is over; no frame is sent any more.
    func sessionEnded()
}
