"""gRPC-web as browsers speak it, over either version of HTTP.

https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md
"""

import base64
import urllib.parse
from dataclasses import dataclass, field

from .frames import CODES, frame, unframe
from .topics import connect
from .waiting import PATIENCE

BINARY, TEXT = "application/grpc-web+proto", "application/grpc-web-text"
TRAILERS = 0x80


def encode(data, content_type):
    """A body with one message."""
    body = frame(data)
    return base64.b64encode(body) if "-text" in content_type else body


def decode(body, content_type):
    """The bytes of a body; in text each chunk may have been padded for itself."""
    if "-text" not in content_type:
        return body
    assert len(body) % 4 == 0, f"no whole groups of four: {body[-20:]!r}"
    return b"".join(base64.b64decode(body[at : at + 4], validate=True) for at in range(0, len(body), 4))


def read_trailers(data):
    assert data.endswith(b"\r\n"), data
    pairs = [line.split(b":", 1) for line in data[:-2].split(b"\r\n")]
    assert all(name == name.lower() and b" " not in name for name, _ in pairs), data
    return {name.decode(): value.decode().removeprefix(" ") for name, value in pairs}


@dataclass
class WebAnswer:
    status: int
    headers: dict
    messages: list
    trailers: dict = field(default_factory=dict)

    @property
    def code(self):
        return CODES[int(self.trailers["grpc-status"])]

    @property
    def message(self):
        return urllib.parse.unquote(self.trailers.get("grpc-message", ""))

    def must_be(self, code, *, err=None):
        assert self.status == 200
        assert self.code == code, f"expected {code}, got {self.code}: {self.message}"
        assert self.trailers.get("err") == err, self.trailers
        return self


def take(response, content_type):
    """A response that has come whole."""
    kind = response.headers["content-type"]
    assert kind.startswith("application/grpc-web") and ("-text" in kind) == ("-text" in content_type), kind
    if "grpc-status" in response.headers:
        # Trailers-only, as header fields.
        assert response.body == b""
        return WebAnswer(response.status, response.headers, [], response.headers)
    *messages, last = unframe(decode(response.body, kind))
    assert {flag for flag, _ in messages} <= {0}
    assert last[0] == TRAILERS, f"no trailers at the end: {last}"
    return WebAnswer(response.status, response.headers, [data for _, data in messages], read_trailers(last[1]))


def headers_for(content_type, credential=None, cache=None, **others):
    """What the official SDK for browsers sends."""
    fields = {
        "content-type": content_type,
        "accept": content_type,
        "x-grpc-web": "1",
        "x-user-agent": "grpc-web-javascript/0.1",
        "grpc-timeout": "10000m",
        "authorization": credential,
        "cache": cache,
        "agent": "web:cache:1.0.0",
        "runtime-version": "test",
        **{name.replace("_", "-"): value for name, value in others.items()},
    }
    return {name: value for name, value in fields.items() if value is not None}


class WebStream:
    """A stream over HTTP/1.1, frame by frame as it comes."""

    def __init__(self, server, path, data, content_type, headers):
        self._connection = connect(server)
        body = encode(data, content_type)
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"POST {path} HTTP/1.1\r\nHost: {server.ready['http']}\r\n{lines}Content-Length: {len(body)}\r\n\r\n"
        self._connection.send(head.encode() + body)
        status_line, *fields = self._connection.read_until(b"\r\n\r\n").decode("latin-1")[:-4].split("\r\n")
        self.status = int(status_line.split()[1])
        self.headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in fields)}
        assert self.headers["transfer-encoding"] == "chunked", self.headers
        self._content_type = self.headers["content-type"]
        self._pending = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._connection.close()

    def next(self, *, within=PATIENCE):
        """The next frame, as (flag, bytes); None at the end."""
        while len(self._pending) < 5 or len(self._pending) < 5 + int.from_bytes(self._pending[1:5], "big"):
            size = int(self._connection.read_until(b"\r\n", within=within), 16)
            chunk = self._connection.read_exactly(size + 2, within=within)[:-2]
            if size == 0:
                assert self._pending == b"", "cut short"
                return None
            # Each chunk is of whole groups of four, so that it can be read when it comes.
            self._pending += decode(chunk, self._content_type)
        length = 5 + int.from_bytes(self._pending[1:5], "big")
        found, self._pending = self._pending[:length], self._pending[length:]
        return found[0], found[5:]
