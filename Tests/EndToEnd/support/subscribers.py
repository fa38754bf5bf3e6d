"""A subscriber for each way to subscribe. They all give entries as the long poll writes them:
`{"item": …}` or `{"discontinuity": …}`; heartbeats are passed over, or waited for with `hear`.
"""

import time
from dataclasses import dataclass

from .sse import Http1EventSource, Http2EventSource
from .topics import STREAM, connect, topic_target, values_of
from .waiting import PATIENCE
from .websocket import Http2WebSocket, RawWebSocket, WebSocket

ITEM_FIELDS = {"topic_sequence_number", "sequence_page", "value", "publisher_id"}
DISCONTINUITY_FIELDS = {"last_topic_sequence", "new_topic_sequence", "new_sequence_page"}


@dataclass(frozen=True)
class Ending:
    """How a subscription ended: the error's document, and where there is one the status or the close code."""

    error: dict | None
    code: int | None


def checked(entry):
    """The entry, when it is as the contract says."""
    ((kind, body),) = entry.items()
    if kind == "item":
        assert set(body) <= ITEM_FIELDS and set(body) >= ITEM_FIELDS - {"publisher_id"}, entry
        assert body["topic_sequence_number"] >= 1 and body["sequence_page"] >= 1, entry
    else:
        assert kind == "discontinuity" and set(body) == DISCONTINUITY_FIELDS, entry
    return entry


class Subscriber:
    """Subscribed, and known to be so, when it is made."""

    def __init__(self, server, cache, topic, headers):
        self.server = server
        self.cache = cache
        self.topic = topic
        self.headers = headers
        self.ended = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def take(self, count, *, within=PATIENCE):
        """The next entries, so many."""
        deadline = time.monotonic() + within
        entries = []
        while len(entries) < count:
            entry = self._next(max(0.001, deadline - time.monotonic()))
            assert entry is not None, f"ended with {self.ended} after {entries}"
            entries.append(checked(entry))
        return entries

    def items(self, count, *, within=PATIENCE):
        """The next items, so many, without a gap between them."""
        return [entry["item"] for entry in self.take(count, within=within)]

    def values(self, count, *, within=PATIENCE):
        return values_of(self.items(count, within=within))

    def ending(self, *, within=PATIENCE):
        """Waits for the end; items that still come are dropped."""
        deadline = time.monotonic() + within
        while self._next(max(0.001, deadline - time.monotonic())) is not None:
            pass
        return self.ended


class PollSubscriber(Subscriber):
    """Polls again as soon as it is answered, as clients do."""

    def __init__(self, server, cache, topic, headers, *, sequence_number=0, sequence_page=0):
        super().__init__(server, cache, topic, headers)
        self._position = (sequence_number, sequence_page)
        self._entries = []
        self._connection = connect(server)
        self._ask()

    def close(self):
        self._connection.close()

    def _ask(self):
        number, page = self._position
        target = topic_target(self.cache, self.topic, sequence_number=number, sequence_page=page)
        lines = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
        self._connection.send(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n".encode())

    def _next(self, within):
        while not self._entries and self.ended is None:
            response = self._connection.read_response(within=within)
            if response.status != 200:
                self.ended = Ending(response.json(), response.status)
                break
            assert response.headers["content-type"] == "application/json"
            assert response.headers["cache-control"] == "no-store"
            document = response.json()
            assert set(document) == {"items"}, document
            self._entries += document["items"]
            for entry in document["items"]:
                if "item" in entry:
                    last, page = entry["item"]["topic_sequence_number"], entry["item"]["sequence_page"]
                else:
                    gap = entry["discontinuity"]
                    last, page = gap["new_topic_sequence"], gap["new_sequence_page"]
                self._position = (last + 1, page)
            if response.headers.get("connection") == "close":
                self.ended = Ending(None, response.status)
            else:
                self._ask()
        return self._entries.pop(0) if self._entries else None


class EventSubscriber(Subscriber):
    """Server-sent events over HTTP/1.1."""

    source = Http1EventSource

    def __init__(self, server, cache, topic, headers, *, sequence_number=0, sequence_page=0, **options):
        super().__init__(server, cache, topic, headers)
        if sequence_number or sequence_page:
            headers = {**headers, "last-event-id": f"{sequence_page}:{sequence_number - 1}"}
        self.events = self.source(server, topic_target(cache, topic), headers, **options)
        assert self.events.response.must_be(200).headers["content-type"].startswith("text/event-stream")
        # The first event says that the subscription stands.
        assert self.events.expect("heartbeat").json() == {}

    def close(self):
        self.events.close()

    def hear(self, count, *, within=PATIENCE):
        """Waits for heartbeats, so many; nothing else may come."""
        for _ in range(count):
            self.events.expect("heartbeat", within=within)

    def _next(self, within):
        deadline = time.monotonic() + within
        while (event := self.events.next(within=max(0.001, deadline - time.monotonic()))) is not None:
            assert self.ended is None, f"{event} after the error"
            if event.name == "heartbeat":
                assert event.json() == {} and event.id is None
            elif event.name == "error":
                self.ended = Ending(event.json(), None)
            else:
                body = event.json()
                if event.name == "item":
                    assert event.id == f"{body['sequence_page']}:{body['topic_sequence_number']}"
                else:
                    assert event.id == f"{body['new_sequence_page']}:{body['new_topic_sequence']}"
                return {event.name: body}
        self.ended = self.ended or Ending(None, None)
        return None


class Http2EventSubscriber(EventSubscriber):
    source = Http2EventSource


class SocketSubscriber(Subscriber):
    """A WebSocket for one topic."""

    socket = WebSocket

    def __init__(self, server, cache, topic, headers, *, sequence_number=0, sequence_page=0, **options):
        super().__init__(server, cache, topic, headers)
        query = {"sequence_number": sequence_number, "sequence_page": sequence_page}
        self.channel = self.socket(server, topic_target(cache, topic, **query), headers, **options)
        assert self.channel.receive(with_heartbeats=True) == {"heartbeat": {}}

    def close(self):
        self.channel.close()

    def hear(self, count, *, within=PATIENCE):
        for _ in range(count):
            document = self.channel.receive(with_heartbeats=True, within=within)
            assert document is not None and "heartbeat" in document, document

    def _next(self, within):
        deadline = time.monotonic() + within
        error = None
        while (document := self.channel.receive(within=max(0.001, deadline - time.monotonic()))) is not None:
            if "error" not in document:
                return document
            error = document["error"]
        self.ended = self.ended or Ending(error, self.channel.close_code)
        return None


class RawSocketSubscriber(SocketSubscriber):
    socket = RawWebSocket


class Http2SocketSubscriber(SocketSubscriber):
    socket = Http2WebSocket


class StreamSubscriber(SocketSubscriber):
    """One subscription of `/v1/stream`."""

    def __init__(self, server, cache, topic, headers, *, sequence_number=0, sequence_page=0):
        Subscriber.__init__(self, server, cache, topic, headers)
        self.channel = self.socket(server, STREAM, headers)
        position = {"sequence_number": sequence_number, "sequence_page": sequence_page}
        answer = self.channel.ask({"subscribe": {"id": "s", "cache": cache, "topic": topic, **position}})
        assert answer == {"id": "s", "subscribed": {}}

    def _next(self, within):
        if self.ended is not None:
            return None
        deadline = time.monotonic() + within
        error = None
        while (document := self.channel.receive(within=max(0.001, deadline - time.monotonic()))) is not None:
            identifier = document.pop("id", None)
            if "error" not in document:
                assert identifier == "s", document
                return document
            error = document["error"]
            if identifier == "s":
                # The subscription is over, the connection stays.
                break
        self.ended = Ending(error, self.channel.close_code)
        return None


# By the names that tests go by.
WAYS = {
    "poll": PollSubscriber,
    "events": EventSubscriber,
    "events over HTTP/2": Http2EventSubscriber,
    "websocket": SocketSubscriber,
    "websocket over HTTP/2": Http2SocketSubscriber,
    "stream": StreamSubscriber,
}
