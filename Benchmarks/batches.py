"""A load of GETs whose header fields stand in the connection's dynamic table after the first request.

h2load is built on libnghttp2, which never indexes `authorization`, so it sends the whole token, Huffman coded, with
every request. Other encoders index it (RFC 7541 section 6.2.1): from the second request on, a header block is a few
bytes. This client does that. It sends the requests of all streams of a connection in one write, and the next ones when
all are answered, so that both sides of a comparison are given batches of the same size.
"""

import select
import struct
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from connections import connect, frame, get_over_http2, hold_http2, integer
from load import Answers
from process import BenchmarkError

_PATIENCE = 20.0
_DEADLINE_SECONDS = 180.0
_WHOLE_WINDOW = frame(0x8, 0, 0, struct.pack(">I", (1 << 30) - 1))


@dataclass(frozen=True)
class BatchLoad:
    """As `load.Load`, over cleartext HTTP/2 alone."""

    url: str
    requests: int
    connections: int
    streams: int
    authorization: str

    def of(self, requests):
        return BatchLoad(self.url, requests, self.connections, self.streams, self.authorization)


class _Connection:
    """One connection that has asked once, so that its header fields are indexed."""

    def __init__(self, number, load):
        url = urlsplit(load.url)
        path = f"{url.path}?{url.query}" if url.query else url.path
        self.socket = connect((url.hostname, url.port), number)
        hold_http2(self.socket, get_over_http2(url.netloc, path, load.authorization))
        self.socket.sendall(_WHOLE_WINDOW)
        # :method GET and :scheme http of the static table; then the entries that the first request made, newest first.
        block = b"\x82\x86" + b"".join(integer(index, 7, 0x80) for index in (64, 63, 62))
        self._prefix = frame(0x1, 0x5, 0, block)[:5]
        self._block = block
        self._next_stream = 3
        self._pending = b""
        self.outstanding = 0

    def ask(self, count):
        first, self._next_stream = self._next_stream, self._next_stream + 2 * count
        prefix, block, pack = self._prefix, self._block, struct.Struct(">I").pack
        self.outstanding = count
        self.socket.sendall(b"".join([prefix + pack(stream) + block for stream in range(first, first + 2 * count, 2)]))

    def take(self):
        """Reads what is there; gives how many answers ended. An answer that is not a 200 is an error."""
        data = self.socket.recv(262_144)
        if not data:
            raise BenchmarkError("the server closed a connection under load")
        data = self._pending + data
        position, size, ended = 0, len(data), 0
        while size - position >= 9:
            end = position + 9 + (data[position] << 16 | data[position + 1] << 8 | data[position + 2])
            if end > size:
                break
            kind = data[position + 3]
            if kind == 0x1 and data[position + 9] != 0x88:
                raise BenchmarkError("an answer was not a 200")
            if kind in (0x3, 0x7):
                raise BenchmarkError("the server reset a stream, or the connection, under load")
            if kind <= 0x1 and data[position + 4] & 0x1:
                ended += 1
            position = end
        self._pending = data[position:]
        self.outstanding -= ended
        return ended


def send_batches(load):
    """Sends exactly `load.requests` requests, those that open the connections included."""
    started = time.monotonic()
    deadline = started + _DEADLINE_SECONDS
    connections = {}
    try:
        poll = select.poll()
        for number in range(load.connections):
            connection = _Connection(number, load)
            connections[connection.socket.fileno()] = connection
            poll.register(connection.socket, select.POLLIN)
        unsent, answered = load.requests - load.connections, 0
        for connection in connections.values():
            unsent -= (count := min(load.streams, unsent))
            if count:
                connection.ask(count)
        while answered < load.requests - load.connections:
            ready = poll.poll(_PATIENCE * 1000)
            if not ready or time.monotonic() > deadline:
                raise BenchmarkError(f"only {answered} of {load.requests} requests were answered in time")
            for descriptor, _ in ready:
                connection = connections[descriptor]
                answered += connection.take()
                if connection.outstanding == 0 and unsent:
                    unsent -= (count := min(load.streams, unsent))
                    connection.ask(count)
    except OSError as error:
        raise BenchmarkError(f"a connection failed under load: {error}") from None
    finally:
        for connection in connections.values():
            connection.socket.close()
    return Answers(load.requests, load.requests, time.monotonic() - started)
