"""HTTP/2 clients: one on the `h2` library that behaves as it is told, and bare frames for those that do not."""

import socket
import struct
import time

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.settings
import hpack

from .response import Response
from .waiting import PATIENCE

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED = 0x1, 0x1, 0x4, 0x8

NO_ERROR, PROTOCOL_ERROR, FLOW_CONTROL_ERROR = 0x0, 0x1, 0x3
REFUSED_STREAM, CANCEL, ENHANCE_YOUR_CALM = 0x7, 0x8, 0xB


class Stream:
    """What has come for one request."""

    def __init__(self):
        self.status = None
        self.informational = []
        self.headers = {}
        self.body = bytearray()
        self.is_ended = False
        self.reset_code = None

    @property
    def is_over(self):
        return self.is_ended or self.reset_code is not None

    def response(self):
        return Response(self.status, "", self.headers, bytes(self.body))


class _State(h2.connection.H2Connection):
    """h2 takes a GOAWAY for the end of the connection, but streams below it go on (RFC 9113 section 6.8)."""

    def _receive_goaway_frame(self, frame):
        taken = super()._receive_goaway_frame(frame)
        if frame.error_code == 0:
            self.state_machine.state = h2.connection.ConnectionState.CLIENT_OPEN
        return taken


class Http2Connection:
    """One HTTP/2 connection with prior knowledge, or by ALPN over TLS."""

    def __init__(self, address, *, context=None, initial_window=None, returns_window=True):
        self.socket = socket.create_connection(address, timeout=PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.authority = f"{address[0]}:{address[1]}"
        self.scheme = "http"
        if context is not None:
            self.socket = context.wrap_socket(self.socket, server_hostname="localhost")
            self.scheme = "https"
            assert self.socket.selected_alpn_protocol() == "h2"
        self.returns_window = returns_window
        configuration = h2.config.H2Configuration(
            client_side=True,
            header_encoding="latin-1",
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
        self.state = _State(configuration)
        values = {h2.settings.SettingCodes.ENABLE_PUSH: 0}
        if initial_window is not None:
            values[h2.settings.SettingCodes.INITIAL_WINDOW_SIZE] = initial_window
        self.state.local_settings = h2.settings.Settings(client=True, initial_values=values)
        self.state.initiate_connection()
        self.streams = {}
        self.goaway = None
        self.is_closed = False
        self.pongs = []
        self.flush()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    # Sending

    def flush(self):
        data = self.state.data_to_send()
        if data:
            self.socket.sendall(data)

    def fields(self, method, target, headers=None):
        pseudo = [(":method", method), (":scheme", self.scheme), (":authority", self.authority), (":path", target)]
        return pseudo + [(name.lower(), value) for name, value in (headers or {}).items()]

    def open(self, method, target, *, headers=None, ends=True, flushes=True):
        """Sends the head of a request and gives the number of its stream."""
        stream_id = self.state.get_next_available_stream_id()
        self.streams[stream_id] = Stream()
        self.state.send_headers(stream_id, self.fields(method, target, headers), end_stream=ends)
        if flushes:
            self.flush()
        return stream_id

    def send_body(self, stream_id, body, *, ends=True, within=PATIENCE):
        """Sends a body as the server's windows let it; stops when the server has answered."""
        stream = self.streams[stream_id]
        position = 0
        while position < len(body) and not stream.is_over:
            window = self.state.local_flow_control_window(stream_id)
            if window == 0:
                self.run(lambda: stream.is_over or self.state.local_flow_control_window(stream_id) > 0, within=within)
                continue
            count = min(window, self.state.max_outbound_frame_size, len(body) - position)
            self.state.send_data(stream_id, body[position : position + count])
            position += count
            self.flush()
        if ends and not stream.is_over:
            self.state.end_stream(stream_id)
            self.flush()

    def give_window(self, count, stream_id=None):
        self.state.increment_flow_control_window(count, stream_id)
        self.flush()

    def reset(self, stream_id, code=CANCEL):
        self.state.reset_stream(stream_id, code)
        self.flush()

    # Receiving

    def run(self, until, *, within=PATIENCE):
        """Reads until the condition holds; fails when the connection ends before it does, or time runs out."""
        deadline = time.monotonic() + within
        while not until():
            assert not self.is_closed, f"the connection was closed; GOAWAY: {self.goaway}"
            self._receive(deadline)

    def run_to_end(self, *, within=PATIENCE):
        deadline = time.monotonic() + within
        while not self.is_closed:
            self._receive(deadline)

    def _receive(self, deadline):
        self.socket.settimeout(max(0.001, deadline - time.monotonic()))
        try:
            data = self.socket.recv(262_144)
        except TimeoutError:
            raise AssertionError("the server did not go on in time") from None
        except (ConnectionResetError, BrokenPipeError):
            data = b""
        if not data:
            self.is_closed = True
            return
        for event in self.state.receive_data(data):
            self._take(event)
        if self.is_closed:
            return
        try:
            self.flush()
        except (ConnectionResetError, BrokenPipeError):
            pass

    def _take(self, event):
        stream = self.streams.get(getattr(event, "stream_id", None))
        if isinstance(event, h2.events.ResponseReceived):
            stream.headers = {name: value for name, value in event.headers if name != ":status"}
            stream.status = int(dict(event.headers)[":status"])
        elif isinstance(event, h2.events.InformationalResponseReceived):
            stream.informational.append(int(dict(event.headers)[":status"]))
        elif isinstance(event, h2.events.DataReceived):
            stream.body += event.data
            if self.returns_window and event.flow_controlled_length:
                self.state.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            stream.is_ended = True
        elif isinstance(event, h2.events.StreamReset):
            if stream and not stream.is_ended:
                stream.reset_code = int(event.error_code)
        elif isinstance(event, h2.events.PingAckReceived):
            self.pongs.append(event.ping_data)
        elif isinstance(event, h2.events.ConnectionTerminated):
            self.goaway = (int(event.error_code), event.last_stream_id)

    # Whole requests

    def request(self, method, target, *, headers=None, body=None, chunked=False):
        """One request and its response. `chunked` only leaves the length out: HTTP/2 has frames."""
        headers = dict(headers or {})
        if body is not None and not chunked:
            headers.setdefault("content-length", str(len(body)))
        stream_id = self.open(method, target, headers=headers, ends=body is None)
        if body is not None:
            self.send_body(stream_id, body)
        return self.finish(stream_id)

    def finish(self, stream_id, *, within=PATIENCE):
        stream = self.streams[stream_id]
        self.run(lambda: stream.is_over, within=within)
        assert stream.reset_code is None, f"the stream was reset with code {stream.reset_code}"
        del self.streams[stream_id]
        return stream.response()


# Bare frames


def frame(kind, flags, stream_id, payload=b"", *, length=None):
    length = len(payload) if length is None else length
    return struct.pack(">I", length)[1:] + bytes([kind, flags]) + struct.pack(">I", stream_id) + payload


def settings_frame(**values):
    numbers = {
        "header_table_size": 1,
        "enable_push": 2,
        "max_concurrent_streams": 3,
        "initial_window_size": 4,
        "max_frame_size": 5,
        "max_header_list_size": 6,
    }
    payload = b"".join(struct.pack(">HI", numbers[name], value) for name, value in values.items())
    return frame(SETTINGS, 0, 0, payload)


def window_update(stream_id, increment):
    return frame(WINDOW_UPDATE, 0, stream_id, struct.pack(">I", increment))


class RawHttp2:
    """A connection that sends the frames that it is told, right or wrong, and collects those that come."""

    def __init__(self, address, *, opening=PREFACE + settings_frame()):
        self.socket = socket.create_connection(address, timeout=PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.authority = f"{address[0]}:{address[1]}"
        self.encoder = hpack.Encoder()
        self.frames = []
        self.is_closed = False
        self._pending = b""
        if opening:
            self.socket.sendall(opening)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def fields(self, method, target, headers=()):
        return [(":method", method), (":scheme", "http"), (":authority", self.authority), (":path", target), *headers]

    def headers_frame(self, stream_id, fields, *, flags=END_HEADERS | END_STREAM):
        return frame(HEADERS, flags, stream_id, self.encoder.encode(fields))

    def send(self, data):
        self.socket.sendall(data)

    def try_send(self, data):
        """Sends without ever reading; False when the peer has closed, or takes nothing more."""
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError, TimeoutError):
            return False
        return True

    def run(self, until, *, within=PATIENCE):
        deadline = time.monotonic() + within
        while not until():
            assert not self.is_closed, f"the connection was closed after {self.summary()}"
            self._receive(deadline)

    def run_to_end(self, *, within=PATIENCE):
        """Reads until the peer has closed; fails when it does not."""
        deadline = time.monotonic() + within
        while not self.is_closed:
            self._receive(deadline)

    def run_to_silence(self, *, within=0.1):
        """Reads until the peer has closed, or has nothing more to say."""
        deadline = time.monotonic() + PATIENCE
        while not self.is_closed:
            assert time.monotonic() < deadline, f"no end of {self.summary()}"
            try:
                self._receive(time.monotonic() + within)
            except AssertionError:
                return

    def _receive(self, deadline):
        self.socket.settimeout(max(0.001, deadline - time.monotonic()))
        try:
            data = self.socket.recv(262_144)
        except TimeoutError:
            raise AssertionError(f"nothing came in time after {self.summary()}") from None
        except (ConnectionResetError, BrokenPipeError):
            data = b""
        if not data:
            self.is_closed = True
            return
        self._pending += data
        while len(self._pending) >= 9:
            length = int.from_bytes(self._pending[:3], "big")
            if len(self._pending) < 9 + length:
                break
            kind, flags = self._pending[3], self._pending[4]
            stream_id = int.from_bytes(self._pending[5:9], "big") & 0x7FFF_FFFF
            self.frames.append((kind, flags, stream_id, self._pending[9 : 9 + length]))
            self._pending = self._pending[9 + length :]

    def summary(self):
        return [(kind, flags, stream_id, len(payload)) for kind, flags, stream_id, payload in self.frames[-20:]]

    def of(self, kind, stream_id=None):
        return [entry for entry in self.frames if entry[0] == kind and stream_id in (None, entry[2])]

    @property
    def goaway_code(self):
        """The error code of the last GOAWAY, or None."""
        frames = self.of(GOAWAY)
        return struct.unpack(">I", frames[-1][3][4:8])[0] if frames else None

    def reset_code(self, stream_id):
        frames = self.of(RST_STREAM, stream_id)
        return struct.unpack(">I", frames[-1][3])[0] if frames else None

    def ping(self, *, within=PATIENCE):
        """A round trip: the server has taken in all that was sent before."""
        self.send(frame(PING, 0, 0, b"roundtrp"))
        self.run(
            lambda: any(flags & ACK and payload == b"roundtrp" for _, flags, _, payload in self.of(PING)), within=within
        )
