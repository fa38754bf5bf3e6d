"""Server-sent events over both HTTP versions, taken apart as browsers do it.

https://html.spec.whatwg.org/multipage/server-sent-events.html section 9.2.6
"""

import json
import time
from dataclasses import dataclass

from .http2 import Http2Connection
from .response import Response
from .topics import connect
from .waiting import PATIENCE

ACCEPT = {"accept": "text/event-stream"}


@dataclass(frozen=True)
class Event:
    name: str
    id: str | None
    data: str

    def json(self):
        return json.loads(self.data)


class EventParser:
    """Bytes in, whole events out."""

    def __init__(self):
        self._pending = b""

    def feed(self, data):
        self._pending += data
        *blocks, self._pending = self._pending.split(b"\n\n")
        return [event for event in map(self._event, blocks) if event is not None]

    def _event(self, block):
        name, identifier, data = "message", None, []
        for line in block.decode().split("\n"):
            field, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if field == "event":
                name = value
            elif field == "id":
                identifier = value
            elif field == "data":
                data.append(value)
            else:
                assert field in ("", "retry"), f"a line that browsers pass over: {line!r}"
        # What has no data never reaches a page.
        return Event(name, identifier, "\n".join(data)) if data else None


class EventSource:
    """A stream of events. `response` is its head, or the whole refusal."""

    def __init__(self):
        self._parser = EventParser()
        self._events = []
        self.is_over = False

    def next(self, *, within=PATIENCE):
        """The next event, or None at the end of the stream."""
        deadline = time.monotonic() + within
        while not self._events and not self.is_over:
            self._events += self._parser.feed(self._receive(max(0.001, deadline - time.monotonic())))
        return self._events.pop(0) if self._events else None

    def expect(self, name, *, within=PATIENCE):
        event = self.next(within=within)
        assert event is not None and event.name == name, f"not {name}: {event}"
        return event


class Http1EventSource(EventSource):
    def __init__(self, server, target, headers, *, receive_buffer=None):
        super().__init__()
        self.connection = connect(server, receive_buffer=receive_buffer)
        lines = "".join(f"{name}: {value}\r\n" for name, value in {**ACCEPT, **headers}.items())
        self.connection.send(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n".encode())
        status_line, *fields = self.connection.read_until(b"\r\n\r\n").decode("latin-1")[:-4].split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
        status = int(status_line.split(" ")[1])
        body = b"" if status == 200 else self.connection.read_exactly(int(headers["content-length"]))
        self.response = Response(status, "", headers, body)
        # The size of the chunk that is being read: a wait that was given up goes on there.
        self._size = None

    def close(self):
        self.connection.close()

    def _receive(self, within):
        assert self.response.headers["transfer-encoding"] == "chunked"
        if self._size is None:
            self._size = int(self.connection.read_until(b"\r\n", within=within), 16)
        data = self.connection.read_exactly(self._size + 2, within=within)[:-2]
        self._size = None
        self.is_over = not data
        return data


class Http2EventSource(EventSource):
    """A stream of `connection`, which may carry others; without one it has a connection to itself."""

    def __init__(self, server, target, headers, *, connection=None):
        super().__init__()
        self._owns_connection = connection is None
        self.connection: Http2Connection = connection or server.http2()
        self.stream_id = self.connection.open("GET", target, headers={**ACCEPT, **headers})
        self._stream = self.connection.streams[self.stream_id]
        self.connection.run(lambda: self._stream.status is not None or self._stream.is_over)
        if self._stream.status != 200:
            self.connection.run(lambda: self._stream.is_over)
        self.response = self._stream.response()

    def close(self):
        if self._owns_connection:
            self.connection.close()
        elif not self._stream.is_over:
            self.connection.reset(self.stream_id)

    def _receive(self, within):
        self.connection.run(lambda: self._stream.body or self._stream.is_over, within=within)
        data = bytes(self._stream.body)
        self._stream.body.clear()
        self.is_over = self._stream.is_over and not data
        return data
