"""gRPC below its libraries: frames, trailers, and calls over an HTTP/2 connection that does as it is told."""

import struct
import urllib.parse

import h2.events

from .http2 import Http2Connection
from .wire import Code

# By the number that travels.
CODES = {code.value[0]: code for code in Code}


def frame(data, *, flag=0, length=None):
    return bytes([flag]) + struct.pack(">I", len(data) if length is None else length) + data


def unframe(data):
    """The frames of a body, as (flag, bytes); what is cut short fails."""
    frames = []
    while data:
        flag, length = data[0], int.from_bytes(data[1:5], "big")
        assert len(data) >= 5 + length, f"cut short: {data[:40]!r}"
        frames.append((flag, data[5 : 5 + length]))
        data = data[5 + length :]
    return frames


class Answer:
    """What came for a call."""

    def __init__(self, stream):
        self.status = stream.status
        self.headers = stream.headers
        self.body = bytes(stream.body)
        self.trailers = getattr(stream, "trailers", None)

    @property
    def is_trailers_only(self):
        return self.trailers is None and "grpc-status" in self.headers

    @property
    def told(self):
        return self.headers if self.trailers is None else self.trailers

    @property
    def code(self):
        assert "grpc-status" in self.told, f"no status: {self.status}, {self.headers}, {self.trailers}"
        return CODES[int(self.told["grpc-status"])]

    @property
    def message(self):
        return urllib.parse.unquote(self.told.get("grpc-message", ""))

    def must_be(self, code):
        assert self.code == code, f"expected {code}, got {self.code}: {self.message}"
        assert self.status == 200
        assert self.headers["content-type"].startswith("application/grpc")
        return self

    @property
    def messages(self):
        found = unframe(self.body)
        assert {flag for flag, _ in found} <= {0}, found
        return [data for _, data in found]


class GrpcConnection(Http2Connection):
    """Calls as bytes."""

    def __init__(self, server, credential, cache, **options):
        context = None if server.is_development else server.tls_context("h2")
        super().__init__(server.http, context=context, **options)
        self.common = {
            "content-type": "application/grpc",
            "te": "trailers",
            "authorization": credential,
            "cache": cache,
        }

    def _take(self, event):
        if isinstance(event, h2.events.TrailersReceived):
            self.streams[event.stream_id].trailers = dict(event.headers)
        super()._take(event)

    def headers_for(self, changes=None):
        """What every call carries, with changes; None leaves a field out."""
        fields = self.common | (changes or {})
        return {name: value for name, value in fields.items() if value is not None}

    def begin(self, path, body=None, *, headers=None, method="POST", ends=True):
        stream_id = self.open(method, path, headers=self.headers_for(headers), ends=body is None and ends)
        if body is not None:
            self.send_body(stream_id, body, ends=ends)
        return stream_id

    def finish_call(self, stream_id):
        stream = self.streams[stream_id]
        self.run(lambda: stream.is_over)
        assert stream.reset_code is None, f"reset with code {stream.reset_code}, after {stream.headers}"
        return Answer(self.streams.pop(stream_id))

    def send_call(self, path, body, **options):
        """A whole call; a reset fails."""
        return self.finish_call(self.begin(path, body, **options))
