"""Topics from outside: where they are, how one publishes, who may, and a neighbour who must not notice anything."""

import base64
import threading
import time
from urllib.parse import quote, urlencode

from .http1 import RawConnection

STREAM = "/v1/stream"
MESSAGE_LIMIT = 102_400


def topic_target(cache, topic, **query):
    target = f"/topics/{quote(cache, safe='')}/{quote(topic, safe='')}"
    return f"{target}?{urlencode(query)}" if query else target


def publish(client, headers, cache, topic, value):
    """One message, text or binary as the value is; gives the response."""
    kind, body = ("application/octet-stream", value) if isinstance(value, bytes) else ("text/plain", value.encode())
    return client.request("POST", topic_target(cache, topic), headers={**headers, "content-type": kind}, body=body)


def value_of(item):
    """The value of an item: text, or bytes where it is binary."""
    (kind, value), *others = item["value"].items()
    assert not others and kind in ("text", "binary"), item
    return value if kind == "text" else base64.b64decode(value, validate=True)


def values_of(items):
    return [value_of(item) for item in items]


def may(role, cache="*", **selector):
    """Permissions for topics: all of them, or those that `topic` or `topic_prefix` name."""
    return [{"role": role, "cache": cache, **(selector or {"topic": "*"})}]


class Connection(RawConnection):
    """A socket that also gives whatever has come."""

    def read_some(self, *, within):
        """Some bytes, or b"" at the end of the connection."""
        if not self._received:
            self._receive(time.monotonic() + within)
        data, self._received = self._received, b""
        return data


def connect(server, *, receive_buffer=None):
    context = None if server.is_development else server.tls_context("http/1.1")
    return Connection(server.http, context=context, receive_buffer=receive_buffer)


class Topic:
    """A topic as its publisher sees it, with a connection and the server's root key."""

    def __init__(self, server, cache, name="news"):
        self.server = server
        self.cache = cache
        self.name = name
        self.headers = server.admin.headers
        self._client = server.client()

    @property
    def target(self):
        return topic_target(self.cache, self.name)

    def publish(self, *values):
        for value in values:
            publish(self._client, self.headers, self.cache, self.name, value).must_be(204)

    def poll(self, **query):
        """The entries of one long poll, which must be answered at once."""
        target = topic_target(self.cache, self.name, **query)
        return self._client.request("GET", target, headers=self.headers).must_be(200).json()["items"]

    def newest(self):
        """The newest message."""
        (entry,) = self.poll()
        return entry["item"]

    def close(self):
        self._client.close()


class Neighbour:
    """Publishes to itself and listens, all the time: every message must come back in order, and soon."""

    def __init__(self, server, socket):
        self._server = server
        self._socket = socket
        self._stop = threading.Event()
        self._failures = []
        self.slowest = 0.0
        self.count = 0
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def _work(self):
        try:
            while not self._stop.is_set():
                started = time.monotonic()
                self.count += 1
                self._socket.send({"publish": {"text": str(self.count)}})
                # The answer and the message come in no promised order.
                seen = {}
                while len(seen) < 2:
                    seen |= self._socket.receive()
                position, item = seen["published"], seen["item"]
                assert item["topic_sequence_number"] == position["topic_sequence_number"], seen
                assert value_of(item) == str(self.count), seen
                self.slowest = max(self.slowest, time.monotonic() - started)
                # A neighbour, not a load.
                self._stop.wait(0.002)
        except Exception as error:  # whatever it is, the test must show it
            self._failures.append(error)

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join(20)
        self._socket.close()
        assert not self._failures, self._failures
        assert self.count > 0
        assert self.slowest < 5, f"another subscriber waited for {self.slowest:.1f} s"
        assert self._server.is_healthy()
