"""WebSockets: the `websockets` library, bare frames for those that do not behave, and RFC 8441 over HTTP/2.

Each speaks in documents: what is sent is JSON in a text frame, and so is what comes.
"""

import base64
import contextlib
import hashlib
import json
import os
import struct
import time

import h2.exceptions
import websockets.sync.client
from websockets.exceptions import ConnectionClosed

from .http2 import Stream
from .topics import connect
from .waiting import PATIENCE

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA

GOING_AWAY, PROTOCOL_ERROR, INVALID_DATA, POLICY_VIOLATION, TOO_BIG = 1001, 1002, 1007, 1008, 1009
EXPIRED, REVOKED, CACHE_DELETED = 4401, 4403, 4404

VERSION = "martlet.v1"
_ACCEPT_SUFFIX = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_MASK = b"\x5a\xc3\x0f\x96"


def frame(opcode, payload=b"", *, is_final=True, is_masked=True, reserved=0, length=None):
    """A frame as a client sends it (RFC 6455 section 5.2); `length` announces another length than it has."""
    announced = len(payload) if length is None else length
    first = (0x80 if is_final else 0) | reserved << 4 | opcode
    mask_bit = 0x80 if is_masked else 0
    if announced < 126:
        head = bytes([first, mask_bit | announced])
    elif announced < 1 << 16:
        head = bytes([first, mask_bit | 126]) + struct.pack(">H", announced)
    else:
        head = bytes([first, mask_bit | 127]) + struct.pack(">Q", announced)
    if not is_masked:
        return head + payload
    mask = (_MASK * (len(payload) // 4 + 1))[: len(payload)]
    masked = int.from_bytes(payload, "big") ^ int.from_bytes(mask, "big")
    return head + _MASK + masked.to_bytes(len(payload), "big")


def document_frame(document):
    return frame(TEXT, json.dumps(document).encode())


class FrameReader:
    """Takes a server's bytes apart, and holds them to what a server may send."""

    def __init__(self):
        self._pending = bytearray()

    def feed(self, data):
        self._pending += data
        frames = []
        while (taken := self._take()) is not None:
            frames.append(taken)
        return frames

    def _take(self):
        if len(self._pending) < 2:
            return None
        first, second = self._pending[:2]
        assert first & 0x70 == 0, "the server sets a reserved bit"
        assert first & 0x80, "the server splits a message"
        assert second & 0x80 == 0, "the server masks its frames"
        length, start = second & 0x7F, 2
        if length == 126:
            length, start = int.from_bytes(self._pending[2:4], "big"), 4
        elif length == 127:
            length, start = int.from_bytes(self._pending[2:10], "big"), 10
        if len(self._pending) < start + length:
            return None
        payload = bytes(self._pending[start : start + length])
        del self._pending[: start + length]
        return first & 0x0F, payload


class Channel:
    """Documents both ways, whatever carries them. Heartbeats are handed out only when asked for."""

    def __init__(self):
        self.close_code = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, document):
        self.send_text(json.dumps(document))

    def receive(self, *, with_heartbeats=False, within=PATIENCE):
        """The next document, or None at the end of the connection."""
        deadline = time.monotonic() + within
        while True:
            text = self._receive_text(max(0.001, deadline - time.monotonic()))
            if text is None:
                return None
            document = json.loads(text)
            assert isinstance(document, dict), text
            if "heartbeat" not in document:
                return document
            assert document["heartbeat"] == {} and set(document) <= {"heartbeat", "id"}, text
            if with_heartbeats:
                return document

    def ask(self, document, *, within=PATIENCE):
        """Sends, and gives the next document."""
        self.send(document)
        return self.receive(within=within)

    def publish(self, value, *, within=PATIENCE, **fields):
        """Publishes, and gives the position; items that come meanwhile are dropped."""
        self.send({"publish": {**fields, **value_fields(value)}})
        while True:
            document = self.receive(within=within)
            assert document is not None, f"closed with {self.close_code}"
            if "item" not in document:
                return document["published"]

    def ending(self, *, within=PATIENCE):
        """Reads to the end; gives the last error document and the close code."""
        deadline = time.monotonic() + within
        error = None
        while (document := self.receive(within=max(0.001, deadline - time.monotonic()))) is not None:
            error = document.get("error")
        return error, self.close_code


def value_fields(value):
    if isinstance(value, bytes):
        return {"binary": base64.b64encode(value).decode()}
    return {"text": value}


class WebSocket(Channel):
    """A well-behaved client: the `websockets` library, over cleartext or TLS as the server has it."""

    def __init__(self, server, target, headers=None, *, protocols=None, **options):
        super().__init__()
        scheme, context = ("ws", None) if server.is_development else ("wss", server.tls_context("http/1.1"))
        self._connecting = websockets.sync.client.connect(
            f"{scheme}://{server.ready['http']}{target}",
            additional_headers=headers or {},
            subprotocols=protocols,
            ssl=context,
            proxy=None,
            close_timeout=1,
            # A library that stops reading does not see a farewell either.
            **{"max_queue": None, **options},
        )
        self.library = self._connecting.__enter__()

    def close(self):
        self._connecting.__exit__(None, None, None)

    def send_text(self, text):
        self.library.send(text)

    def _receive_text(self, within):
        try:
            text = self.library.recv(timeout=within)
        except TimeoutError:
            raise AssertionError("nothing came in time") from None
        except ConnectionClosed as closed:
            self.close_code = closed.rcvd.code if closed.rcvd else 1006
            return None
        assert isinstance(text, str), "a binary frame"
        return text


def upgrade_head(target, headers=None, *, key=None, version="13", method="GET"):
    """The head of a handshake (RFC 6455 section 4.1); None leaves a field out."""
    fields = {"Host": "localhost", "Upgrade": "websocket", "Connection": "Upgrade"}
    fields |= {"Sec-WebSocket-Key": key, "Sec-WebSocket-Version": version} | (headers or {})
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items() if value is not None)
    return f"{method} {target} HTTP/1.1\r\n{lines}\r\n".encode()


def new_key():
    return base64.b64encode(os.urandom(16)).decode()


def offer(server, target, headers=None, **options):
    """Asks for an upgrade and gives the connection and the answer, whatever it is."""
    connection = connect(server)
    connection.send(upgrade_head(target, headers, **{"key": new_key(), **options}))
    return connection, connection.read_response()


def refusal(server, target, headers=None, **options):
    """The answer to an upgrade that is refused."""
    connection, response = offer(server, target, headers, **options)
    connection.close()
    assert response.status != 101, "the upgrade was granted"
    return response


class _FramedChannel(Channel):
    """Frames by hand, on whatever gives bytes."""

    def __init__(self):
        super().__init__()
        self._reader = FrameReader()
        self._frames = []
        self.pongs = []

    def send_text(self, text):
        self.send_bytes(frame(TEXT, text.encode()))

    def next_frame(self, *, within=PATIENCE):
        """The next frame as (opcode, payload), or None at the end of the connection."""
        deadline = time.monotonic() + within
        while not self._frames:
            data = self._receive_bytes(max(0.001, deadline - time.monotonic()))
            if not data:
                return None
            self._frames += self._reader.feed(data)
        return self._frames.pop(0)

    def _answer_farewell(self, payload):
        with contextlib.suppress(OSError, h2.exceptions.ProtocolError):
            self.send_bytes(frame(CLOSE, payload))

    def _receive_text(self, within):
        deadline = time.monotonic() + within
        while (taken := self.next_frame(within=max(0.001, deadline - time.monotonic()))) is not None:
            opcode, payload = taken
            if opcode == CLOSE:
                self.close_code = struct.unpack(">H", payload[:2])[0] if payload else 1005
                payload[2:].decode()
                self._answer_farewell(payload[:2])
                return None
            if opcode == PING:
                self.send_bytes(frame(PONG, payload))
            elif opcode == PONG:
                self.pongs.append(payload)
            else:
                assert opcode == TEXT, f"a frame with opcode {opcode}"
                return payload.decode()
        return None


class RawWebSocket(_FramedChannel):
    """A socket behind a proper handshake, for frames that no library would send."""

    def __init__(self, server, target, headers=None, *, receive_buffer=None):
        super().__init__()
        key = new_key()
        self.connection = connect(server, receive_buffer=receive_buffer)
        self.connection.send(upgrade_head(target, headers, key=key))
        self.response = self.connection.read_response().must_be(101)
        expected = base64.b64encode(hashlib.sha1((key + _ACCEPT_SUFFIX).encode()).digest()).decode()
        assert self.response.headers["sec-websocket-accept"] == expected
        assert "sec-websocket-extensions" not in self.response.headers

    def close(self):
        self.connection.close()

    def send_bytes(self, data):
        self.connection.send(data)

    def try_send(self, data):
        return self.connection.try_send(data)

    def _receive_bytes(self, within):
        return self.connection.read_some(within=within)


class Http2WebSocket(_FramedChannel):
    """A stream of an HTTP/2 connection, opened by extended CONNECT (RFC 8441)."""

    def __init__(self, server, target, headers=None, *, connection=None, protocol="websocket"):
        super().__init__()
        self._owns_connection = connection is None
        self.connection = connection or server.http2()
        state = self.connection.state
        self.connection.run(lambda: state.remote_settings.enable_connect_protocol == 1)
        self.stream_id = state.get_next_available_stream_id()
        self.stream = self.connection.streams[self.stream_id] = Stream()
        _, *pseudo = self.connection.fields("CONNECT", target)
        fields = [(":method", "CONNECT"), (":protocol", protocol), *pseudo, ("sec-websocket-version", "13")]
        state.send_headers(self.stream_id, fields + list((headers or {}).items()), end_stream=False)
        self.connection.flush()
        self.connection.run(lambda: self.stream.status is not None or self.stream.is_over)
        if self.stream.status != 200:
            self.connection.run(lambda: self.stream.is_over)
        self.response = self.stream.response()

    def close(self):
        if self._owns_connection:
            self.connection.close()
        elif not self.stream.is_over:
            self.connection.reset(self.stream_id)

    def send_bytes(self, data):
        self.connection.send_body(self.stream_id, data, ends=False)

    def _receive_bytes(self, within):
        self.connection.run(lambda: self.stream.body or self.stream.is_over, within=within)
        data = bytes(self.stream.body)
        self.stream.body.clear()
        return data
