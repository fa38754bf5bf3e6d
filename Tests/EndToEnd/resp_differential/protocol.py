"""RESP2 and RESP3 to the byte: what a server sends is taken apart, and nothing of it is lost."""

import socket
import ssl
import time

_LEAVES = b"+-:_#,("
_BULKS = b"$=!"
_AGGREGATES = b"*~>%|"

# What one reply may hold, so that a broken server cannot take this process with it.
_DEEPEST = 64
_LARGEST = 1 << 30


class ProtocolViolation(Exception):
    """The server sent what is no RESP."""


class Closed(Exception):
    """The server closed the connection."""


class Reply:
    """One reply: its first byte, its first line, and either the bytes of a string or the replies inside."""

    __slots__ = ("children", "kind", "line", "payload")

    def __init__(self, line, payload=None, children=None):
        self.kind = line[:1]
        self.line = line
        self.payload = payload
        self.children = children

    @property
    def raw(self):
        """The bytes as they were sent."""
        if self.children is not None:
            return self.line + b"\r\n" + b"".join(child.raw for child in self.children)
        if self.payload is not None:
            return self.line + b"\r\n" + self.payload + b"\r\n"
        return self.line + b"\r\n"

    @property
    def text(self):
        """The bytes of a string, or the line without its first byte."""
        return self.payload if self.payload is not None else self.line[1:]

    @property
    def is_error(self):
        return self.kind in b"-!"

    @property
    def is_null(self):
        return self.line in (b"$-1", b"*-1", b"_")

    @property
    def integer(self):
        assert self.kind == b":", f"not an integer: {self}"
        return int(self.line[1:])

    def __eq__(self, other):
        return isinstance(other, Reply) and self.raw == other.raw

    def __hash__(self):
        return hash(self.raw)

    def __repr__(self):
        return self.shown()

    def shown(self, limit=600):
        text = self.raw.decode("latin-1").encode("unicode_escape").decode().replace("\\r\\n", "␍")
        return text if len(text) <= limit else f"{text[:limit]}… ({len(text)} characters)"


def encode(arguments):
    """One command as an array of bulk strings."""
    parts = [b"*%d\r\n" % len(arguments)]
    for argument in arguments:
        parts.append(b"$%d\r\n%b\r\n" % (len(argument), argument))
    return b"".join(parts)


def as_arguments(words):
    """Texts and numbers as the bytes of a command."""
    return tuple(word if isinstance(word, bytes) else str(word).encode() for word in words)


class Connection:
    """One connection that sends any bytes and takes replies apart. Not for several threads at once."""

    def __init__(self, host, port, *, context=None, server_name="localhost", timeout=10.0, receive_buffer=None):
        self._buffer = bytearray()
        self._position = 0
        self._socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
        if receive_buffer is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._socket.settimeout(timeout)
        self._socket.connect((host, port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context is not None:
            self._socket = context.wrap_socket(self._socket, server_hostname=server_name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    @property
    def socket(self):
        return self._socket

    def close(self):
        self._socket.close()

    # Sending

    def send_bytes(self, data):
        self._socket.sendall(data)

    def try_send(self, data):
        """Whether it went out."""
        try:
            self._socket.sendall(data)
        except OSError:
            return False
        return True

    def send(self, *words):
        self._socket.sendall(encode(as_arguments(words)))

    def end_of_sending(self):
        self._socket.shutdown(socket.SHUT_WR)

    # Receiving

    def _fill(self):
        try:
            chunk = self._socket.recv(1 << 16)
        except (ConnectionError, ssl.SSLError) as error:
            if isinstance(error, TimeoutError):
                raise
            raise Closed(str(error)) from None
        if not chunk:
            raise Closed("the server closed the connection")
        if self._position > 1 << 16:
            del self._buffer[: self._position]
            self._position = 0
        self._buffer += chunk

    def _line(self):
        searched = self._position
        while (end := self._buffer.find(b"\n", searched)) < 0:
            searched = len(self._buffer)
            before = self._position
            self._fill()
            searched -= before - self._position
        line = bytes(self._buffer[self._position : end + 1])
        if not line.endswith(b"\r\n"):
            raise ProtocolViolation(f"a line that ends without CR: {line[:200]!r}")
        self._position = end + 1
        return line[:-2]

    def _exactly(self, count):
        while len(self._buffer) - self._position < count:
            self._fill()
        data = bytes(self._buffer[self._position : self._position + count])
        self._position += count
        return data

    def receive(self, depth=0):
        """The next reply or push."""
        line = self._line()
        kind = line[:1]
        if not kind or depth > _DEEPEST:
            raise ProtocolViolation(f"an empty line, or nesting without end: {line[:200]!r}")
        if kind in _LEAVES:
            return Reply(line)
        try:
            length = int(line[1:])
        except ValueError:
            raise ProtocolViolation(f"not a length: {line[:200]!r}") from None
        if length > _LARGEST or length < -1:
            raise ProtocolViolation(f"an impossible length: {line[:200]!r}")
        if length == -1:
            return Reply(line)
        if kind in _BULKS:
            data = self._exactly(length + 2)
            if not data.endswith(b"\r\n"):
                raise ProtocolViolation(f"a string of {length} bytes that does not end with CRLF")
            return Reply(line, payload=data[:-2])
        if kind in _AGGREGATES:
            count = length * 2 if kind in b"%|" else length
            return Reply(line, children=[self.receive(depth + 1) for _ in range(count)])
        raise ProtocolViolation(f"an unknown first byte: {line[:200]!r}")

    def call(self, *words):
        """Sends one command and takes its reply."""
        self.send(*words)
        return self.receive()

    def until_closed(self, *, within=10.0):
        """The bytes that still come before the server closes."""
        deadline = time.monotonic() + within
        data = bytes(self._buffer[self._position :])
        self._buffer.clear()
        self._position = 0
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise AssertionError(f"still open after {within} s: {data[-200:]!r}")
            self._socket.settimeout(left)
            try:
                chunk = self._socket.recv(1 << 16)
            except TimeoutError:
                continue
            except OSError:
                return data
            if not chunk:
                return data
            data += chunk

    def has_more(self, *, within=0.05):
        """Whether something comes that nobody asked for."""
        if len(self._buffer) > self._position:
            return True
        before = self._socket.gettimeout()
        self._socket.settimeout(within)
        try:
            self._fill()
        except TimeoutError:
            return False
        finally:
            self._socket.settimeout(before)
        return True
