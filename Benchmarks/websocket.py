"""A WebSocket client (RFC 6455) of a few lines: text frames, no extensions, and the opening handshake with a token."""

from collections import deque

from process import BenchmarkError

# The key of RFC 6455 section 1.3 and the answer to it.
_KEY, _ACCEPT = "dGhlIHNhbXBsZSBub25jZQ==", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
_MASK = b"\x5a\x13\xc7\x8e"
_TEXT = 0x81
_PATIENCE = 20.0


class WebSocket:
    """An open WebSocket on a connection, in cleartext or over TLS."""

    def __init__(self, connection, target, token):
        self.connection = connection
        self._pending = b""
        self._frames = deque()
        lines = (
            f"GET {target} HTTP/1.1", "Host: localhost", "Upgrade: websocket", "Connection: Upgrade",
            "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {_KEY}", f"Authorization: Bearer {token}", "", "")
        connection.sendall("\r\n".join(lines).encode())
        while b"\r\n\r\n" not in self._pending:
            self._read()
        head, _, self._pending = self._pending.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 101 ") or _ACCEPT not in head:
            raise BenchmarkError(f"no WebSocket was opened: {head + self._pending!r:.300}")
        self._take_frames()

    def send(self, *texts):
        """All of them in one write."""
        frames = bytearray()
        for text in texts:
            payload = text.encode()
            short = len(payload) < 126
            frames += bytes([_TEXT, 0x80 | (len(payload) if short else 126)])
            frames += b"" if short else len(payload).to_bytes(2, "big")
            frames += _MASK + bytes(byte ^ _MASK[index % 4] for index, byte in enumerate(payload))
        self.connection.sendall(frames)

    def receive(self):
        """The payload of the next frame."""
        while not self._frames:
            self._read()
            self._take_frames()
        return self._frames.popleft()

    def take_waiting(self):
        """The payloads of all frames that have arrived, without waiting for any; cleartext only."""
        self.connection.setblocking(False)
        try:
            while True:
                self._read()
        except (BlockingIOError, InterruptedError):
            pass
        finally:
            self.connection.settimeout(_PATIENCE)
        self._take_frames()
        taken = list(self._frames)
        self._frames.clear()
        return taken

    def _read(self):
        data = self.connection.recv(262_144)
        if not data:
            raise BenchmarkError(f"the server closed a WebSocket that was to be held: {self._pending!r:.300}")
        self._pending += data

    def _take_frames(self):
        """Cuts what was read into frames. All of them must be text, and of less than 64 KiB."""
        data, position = self._pending, 0
        while len(data) - position >= 4:
            start, length = position + 2, data[position + 1]
            if length == 126:
                start, length = position + 4, int.from_bytes(data[position + 2:position + 4], "big")
            elif length > 126:
                length = 0
            if data[position] != _TEXT or length == 0:
                raise BenchmarkError(f"a frame that nobody expected: {data[position:]!r:.300}")
            if len(data) < start + length:
                break
            self._frames.append(data[start:start + length])
            position = start + length
        self._pending = data[position:]
