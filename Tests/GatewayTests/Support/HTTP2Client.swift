import CNGHTTP2
import NIOCore
import Testing

/// The client's side of one HTTP/2 connection: a libnghttp2 client session without a socket.
final class HTTP2Client {
    /// What came back on one stream.
    struct Response {
        var interim: [Int] = []
        var status = 0
        var fields: [(name: String, value: String)] = []
        var body: [UInt8] = []
        var trailers: [(name: String, value: String)] = []
        /// The stream is closed, with this code; 0 when it ended as it should.
        var closeCode: UInt32?

        var text: String { String(decoding: body, as: UTF8.self) }

        func value(_ name: String) -> String? { fields.first { $0.name == name }?.value }

        /// All that two runs of one request must have in common.
        var essence: String {
            let fields = fields.map { $0.name == "x-request-id" ? "x-request-id" : "\($0.name): \($0.value)" }
            return "\(interim) \(status) \(fields) \(body.count) \(text.prefix(2000)) \(trailers) \(closeCode ?? 999)"
        }
    }

    /// A request body that may come in pieces.
    private struct Upload {
        var bytes: [UInt8]
        var offset = 0
        var isComplete: Bool
        var trailers: [(name: String, value: String)] = []
    }

    private var session: OpaquePointer?
    private(set) var responses: [Int32: Response] = [:]
    private var uploads: [Int32: Upload] = [:]
    private(set) var goaway: (lastStream: Int32, code: UInt32)?
    private(set) var goawayCount = 0
    private(set) var settingsAcknowledgements = 0
    private(set) var pingAcknowledgements = 0
    private(set) var windowUpdates: [(stream: Int32, increment: Int32)] = []
    /// Whether what arrives is acknowledged by itself. False: a reader that does not read.
    private let readsEverything: Bool
    private var unacknowledged: [Int32: Int] = [:]

    /// - Parameters:
    ///   - streamWindow: Of each stream's response, in bytes.
    ///   - connectionWindow: Of all of them together; nil for the protocol's 65,535.
    init(streamWindow: Int = 65_535, connectionWindow: Int32? = nil, readsEverything: Bool = true) {
        self.readsEverything = readsEverything
        var callbacks: OpaquePointer?
        var options: OpaquePointer?
        nghttp2_session_callbacks_new(&callbacks)
        nghttp2_option_new(&options)
        nghttp2_option_set_no_auto_window_update(options, 1)
        nghttp2_option_set_max_outbound_ack(options, 1_000_000)
        nghttp2_session_callbacks_set_on_header_callback(callbacks) {
            _, frame, name, nameLength, value, valueLength, _, me in
            let name = String(decoding: UnsafeRawBufferPointer(start: name, count: nameLength), as: UTF8.self)
            let value = String(decoding: UnsafeRawBufferPointer(start: value, count: valueLength), as: UTF8.self)
            client(me).header(frame.unsafelyUnwrapped.pointee.hd.stream_id, name, value)
            return 0
        }
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks) { _, _, stream, bytes, count, me in
            client(me).data(stream, UnsafeRawBufferPointer(start: bytes, count: count))
            return 0
        }
        nghttp2_session_callbacks_set_on_stream_close_callback(callbacks) { _, stream, code, me in
            client(me).responses[stream, default: Response()].closeCode = code
            return 0
        }
        nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks) { _, frame, me in
            client(me).frame(frame.unsafelyUnwrapped.pointee)
            return 0
        }
        nghttp2_session_client_new2(&session, callbacks, Unmanaged.passUnretained(self).toOpaque(), options)
        nghttp2_session_callbacks_del(callbacks)
        nghttp2_option_del(options)
        var settings = [
            nghttp2_settings_entry(
                settings_id: Int32(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE.rawValue), value: UInt32(streamWindow)),
            nghttp2_settings_entry(settings_id: Int32(NGHTTP2_SETTINGS_ENABLE_PUSH.rawValue), value: 0),
        ]
        nghttp2_submit_settings(session, 0, &settings, settings.count)
        if let connectionWindow { nghttp2_session_set_local_window_size(session, 0, 0, connectionWindow) }
    }

    deinit {
        nghttp2_session_del(session)
    }

    // MARK: Requests

    /// Submits a request.
    ///
    /// - Parameters:
    ///   - body: Nil for none: the head ends the request.
    ///   - isComplete: False when more of the body follows by ``upload(_:on:isLast:)``.
    /// - Returns: The stream.
    @discardableResult
    func request(
        _ method: String, _ path: String, _ fields: [(name: String, value: String)] = [], body: [UInt8]? = nil,
        isComplete: Bool = true
    ) -> Int32 {
        let head = [(":method", method), (":scheme", "http"), (":authority", "cache.test"), (":path", path)]
        return withFields(head + fields) { fields, count in
            guard let body else { return nghttp2_submit_request(session, nil, fields, count, nil, nil) }
            var provider = nghttp2_data_provider()
            provider.read_callback = { session, stream, buffer, capacity, flags, _, me in
                client(me).fill(
                    stream, UnsafeMutableRawBufferPointer(start: buffer, count: capacity), flags.unsafelyUnwrapped)
            }
            let stream = nghttp2_submit_request(session, nil, fields, count, &provider, nil)
            uploads[stream] = Upload(bytes: body, isComplete: isComplete)
            return stream
        }
    }

    func upload(_ bytes: [UInt8], on stream: Int32, isLast: Bool) {
        uploads[stream]?.bytes += bytes
        if isLast { uploads[stream]?.isComplete = true }
        nghttp2_session_resume_data(session, stream)
    }

    func reset(_ stream: Int32) {
        nghttp2_submit_rst_stream(session, 0, stream, UInt32(NGHTTP2_CANCEL.rawValue))
    }

    func ping() {
        nghttp2_submit_ping(session, 0, nil)
    }

    /// Says that a reader which does not read by itself has read everything of a stream.
    func acknowledge(_ stream: Int32) {
        guard let count = unacknowledged.removeValue(forKey: stream) else { return }
        nghttp2_session_consume(session, stream, count)
    }

    /// Opens the window of one stream as far as the protocol goes.
    func openWindow(_ stream: Int32) {
        nghttp2_session_set_local_window_size(session, 0, stream, 1 << 30)
    }

    // MARK: Bytes

    /// What the session wants to send.
    func takeOutput() -> [UInt8] {
        var output: [UInt8] = []
        var bytes: UnsafePointer<UInt8>?
        while true {
            let count = nghttp2_session_mem_send(session, &bytes)
            guard count > 0 else { return output }
            output.append(contentsOf: UnsafeRawBufferPointer(start: bytes, count: count))
        }
    }

    /// - Returns: Whether the server kept to the protocol.
    @discardableResult
    func receive(_ bytes: [UInt8]) -> Bool {
        nghttp2_session_mem_recv(session, bytes, bytes.count) == bytes.count
    }

    // MARK: Callbacks

    fileprivate func header(_ stream: Int32, _ name: String, _ value: String) {
        if name == ":status" {
            let status = Int(value) ?? -1
            if status < 200 {
                responses[stream, default: Response()].interim.append(status)
            } else {
                responses[stream, default: Response()].status = status
                responses[stream]?.fields = []
            }
        } else if responses[stream]?.body.isEmpty == false {
            responses[stream]?.trailers.append((name, value))
        } else {
            responses[stream]?.fields.append((name, value))
        }
    }

    fileprivate func data(_ stream: Int32, _ bytes: UnsafeRawBufferPointer) {
        responses[stream, default: Response()].body.append(contentsOf: bytes)
        if readsEverything {
            nghttp2_session_consume(session, stream, bytes.count)
        } else {
            unacknowledged[stream, default: 0] += bytes.count
        }
    }

    fileprivate func frame(_ frame: nghttp2_frame) {
        switch frame.hd.type {
        case UInt8(NGHTTP2_GOAWAY.rawValue):
            goaway = (frame.goaway.last_stream_id, frame.goaway.error_code)
            goawayCount += 1
        case UInt8(NGHTTP2_SETTINGS.rawValue) where frame.hd.flags & 1 != 0: settingsAcknowledgements += 1
        case UInt8(NGHTTP2_PING.rawValue) where frame.hd.flags & 1 != 0: pingAcknowledgements += 1
        case UInt8(NGHTTP2_WINDOW_UPDATE.rawValue):
            windowUpdates.append((frame.hd.stream_id, frame.window_update.window_size_increment))
        default: break
        }
    }

    fileprivate func fill(
        _ stream: Int32, _ buffer: UnsafeMutableRawBufferPointer, _ flags: UnsafeMutablePointer<UInt32>
    ) -> Int {
        guard var upload = uploads[stream] else { return Int(NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue) }
        let count = min(buffer.count, upload.bytes.count - upload.offset)
        if count == 0, !upload.isComplete { return Int(NGHTTP2_ERR_DEFERRED.rawValue) }
        upload.bytes[upload.offset..<upload.offset + count].withUnsafeBytes { buffer.copyMemory(from: $0) }
        upload.offset += count
        if upload.offset == upload.bytes.count, upload.isComplete {
            flags.pointee |= UInt32(NGHTTP2_DATA_FLAG_EOF.rawValue)
        }
        uploads[stream] = upload
        return count
    }

    private func withFields<Result>(
        _ fields: [(name: String, value: String)], _ body: (UnsafePointer<nghttp2_nv>?, Int) -> Result
    ) -> Result {
        var text = fields.flatMap { Array($0.name.utf8) + Array($0.value.utf8) }
        return text.withUnsafeMutableBufferPointer { text in
            var position = 0
            var list: [nghttp2_nv] = []
            for field in fields {
                let start = text.baseAddress.map { $0 + position }
                let (nameCount, valueCount) = (field.name.utf8.count, field.value.utf8.count)
                list.append(
                    nghttp2_nv(
                        name: start, value: start.map { $0 + nameCount }, namelen: nameCount, valuelen: valueCount,
                        flags: UInt8(NGHTTP2_NV_FLAG_NONE.rawValue)))
                position += nameCount + valueCount
            }
            return list.withUnsafeBufferPointer { body($0.baseAddress, $0.count) }
        }
    }
}

private func client(_ pointer: UnsafeMutableRawPointer?) -> HTTP2Client {
    // Never nil: every session is made with its client.
    Unmanaged.fromOpaque(pointer.unsafelyUnwrapped).takeUnretainedValue()
}

/// A client and a connection of a fixture, wired together.
final class HTTP2Pair {
    let fixture: GatewayFixture
    let client: HTTP2Client
    let connection: TestConnection

    init(_ fixture: GatewayFixture, client: HTTP2Client = HTTP2Client()) throws {
        self.fixture = fixture
        self.client = client
        connection = try TestConnection(fixture)
        exchange()
    }

    /// Carries bytes in both directions until nothing moves.
    func exchange() {
        while true {
            let output = client.takeOutput()
            if !output.isEmpty { connection.send(output) } else { connection.deliver() }
            let input = connection.receive()
            if !input.isEmpty { client.receive(input) }
            if output.isEmpty, input.isEmpty { return }
        }
    }

    /// Performs one request to its end, as far as it comes.
    func perform(
        _ method: String, _ path: String, _ fields: [(name: String, value: String)] = [], body: [UInt8]? = nil
    ) -> HTTP2Client.Response {
        let stream = start(method, path, fields, body: body)
        exchange()
        return client.responses[stream] ?? HTTP2Client.Response()
    }

    /// Submits a request with the root key, unless it brings a credential.
    @discardableResult
    func start(
        _ method: String, _ path: String, _ fields: [(name: String, value: String)] = [], body: [UInt8]? = nil,
        isComplete: Bool = true
    ) -> Int32 {
        let hasCredential = fields.contains { $0.name == "authorization" }
        let credential = hasCredential ? [] : [("authorization", fixture.rootKey)]
        return client.request(method, path, credential + fields, body: body, isComplete: isComplete)
    }

    func response(_ stream: Int32) -> HTTP2Client.Response {
        client.responses[stream] ?? HTTP2Client.Response()
    }
}

/// Frames that no well-behaved client makes (RFC 9113 section 4.1).
enum RawFrame {
    static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8) + frame(type: 4)

    static func frame(type: UInt8, flags: UInt8 = 0, stream: UInt32 = 0, _ payload: [UInt8] = []) -> [UInt8] {
        let length = payload.count
        return [
            UInt8(truncatingIfNeeded: length >> 16), UInt8(truncatingIfNeeded: length >> 8),
            UInt8(truncatingIfNeeded: length), type, flags, UInt8(truncatingIfNeeded: stream >> 24),
            UInt8(truncatingIfNeeded: stream >> 16), UInt8(truncatingIfNeeded: stream >> 8),
            UInt8(truncatingIfNeeded: stream),
        ] + payload
    }

    /// A literal field that is not indexed (RFC 7541 section 6.2.2), without Huffman coding.
    static func field(_ name: String, _ value: String) -> [UInt8] {
        [0] + text(name) + text(value)
    }

    private static func text(_ text: String) -> [UInt8] {
        var bytes: [UInt8] = []
        let count = text.utf8.count
        if count < 127 {
            bytes.append(UInt8(count))
        } else {
            bytes.append(127)
            var rest = count - 127
            while rest >= 128 {
                bytes.append(UInt8(rest & 127) | 128)
                rest >>= 7
            }
            bytes.append(UInt8(rest))
        }
        return bytes + Array(text.utf8)
    }

    /// The fields of a GET.
    static func get(_ path: String = "/healthz") -> [UInt8] {
        field(":method", "GET") + field(":scheme", "http") + field(":authority", "cache.test") + field(":path", path)
    }

    static let data: UInt8 = 0
    static let headers: UInt8 = 1
    static let priority: UInt8 = 2
    static let reset: UInt8 = 3
    static let settings: UInt8 = 4
    static let ping: UInt8 = 6
    static let windowUpdate: UInt8 = 8
    static let continuation: UInt8 = 9
    static let endStream: UInt8 = 1
    static let endHeaders: UInt8 = 4
}
