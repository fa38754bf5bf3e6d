"""Drain, death and restart under load: everybody is told, order holds, and nothing is lost for those who stay."""

import asyncio
import contextlib
import json
import time

import pytest
import websockets.asyncio.client
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from support.subscribers import WAYS, EventSubscriber, RawSocketSubscriber
from support.topics import STREAM, Topic, topic_target
from support.websocket import GOING_AWAY, WebSocket

# Drain


@pytest.mark.parametrize("is_development", [True, False], ids=["cleartext", "tls"])
def test_a_drain_tells_every_subscriber_and_ends_at_once(make_server, is_development):
    server = make_server(is_development=is_development)
    cache = server.admin.make_cache("shop")
    topic = Topic(server, cache)
    topic.publish("x")
    with contextlib.ExitStack() as stack:
        subscribers = {
            name: stack.enter_context(way(server, cache, "news", topic.headers)) for name, way in WAYS.items()
        }
        for subscriber in subscribers.values():
            assert subscriber.values(1) == ["x"]
        idle = stack.enter_context(WebSocket(server, STREAM, server.admin.headers))
        started = time.monotonic()
        server.terminate()
        error, code = idle.ending(within=3)
        assert (error["code"], code) == ("Unavailable", GOING_AWAY)
        poll = subscribers.pop("poll")
        for name, subscriber in subscribers.items():
            ending = subscriber.ending(within=3)
            assert ending.error["code"] == "Unavailable", (name, ending)
            if not name.startswith("events"):
                assert ending.code == GOING_AWAY, (name, ending)
        # Nothing has come, or try another server: either sends the client on its way, and says that it must leave.
        ending = poll.ending(within=3)
        assert ending.code in (200, 503), ending
        assert ending.error is None or ending.error["code"] == "Unavailable"
        assert server.wait(within=5) == 0
        assert time.monotonic() - started < 5
    server.check_errors()


def test_a_drain_does_not_wait_for_whoever_does_not_read(make_server):
    server = make_server(arguments=["--shutdown-grace", "2"])
    topic = Topic(server, "default")
    kinds = (EventSubscriber, RawSocketSubscriber)
    sleepers = [kind(server, "default", "news", topic.headers, receive_buffer=4096) for kind in kinds]
    for number in range(40):
        topic.publish(bytes([number]) * 100_000)
    server.terminate()
    assert server.wait(within=8) == 0
    for sleeper in sleepers:
        sleeper.close()


def test_what_was_published_before_a_drain_is_delivered(make_server):
    server = make_server()
    topic = Topic(server, "default")
    names = [name for name in WAYS if name != "poll"]
    subscribers = [WAYS[name](server, "default", "news", topic.headers) for name in names for _ in range(3)]
    topic.publish(*map(str, range(100)))
    server.terminate()
    for subscriber in subscribers:
        assert subscriber.values(100) == list(map(str, range(100)))
        assert subscriber.ending(within=3).error["code"] == "Unavailable"
    assert server.wait(within=5) == 0


# Restart


@pytest.mark.parametrize("way", WAYS)
def test_after_a_restart_a_new_page_begins(make_server, way):
    server = make_server()
    topic = Topic(server, "default")
    topic.publish("one", "two", "three")
    old = topic.newest()["sequence_page"]
    # A process that is killed at once after its start must still give out a larger page.
    for end in (server.stop, server.kill):
        end()
        server.start()
        topic = Topic(server, "default")
        assert topic.poll(sequence_number=4, sequence_page=old)[0]["discontinuity"]["new_sequence_page"] > old
        with WAYS[way](server, "default", "news", topic.headers, sequence_number=4, sequence_page=old) as subscriber:
            (gap,) = subscriber.take(1)
            new = gap["discontinuity"]["new_sequence_page"]
            assert new > old
            assert gap["discontinuity"]["new_topic_sequence"] == 0
            topic.publish("again")
            (item,) = subscriber.items(1)
            assert (item["topic_sequence_number"], item["sequence_page"]) == (1, new)
        old = new


# Load

SUBSCRIBERS, PUBLISHERS = 100, 20


class Listener:
    """One of many subscribers: holds a position, and everything that it was told."""

    def __init__(self):
        self.position = (0, 0)
        self.entries = []
        self.code = None

    async def connect(self, server, cache):
        number, page = self.position
        target = topic_target(cache, "news", sequence_number=number, sequence_page=page)
        self._socket = await websockets.asyncio.client.connect(
            f"ws://{server.ready['http']}{target}",
            additional_headers=server.admin.headers,
            proxy=None,
            compression=None,
            max_queue=None,
        )
        assert json.loads(await self._socket.recv()) == {"heartbeat": {}}

    async def listen(self, until):
        """Reads until the condition holds, or the connection ends."""
        try:
            while not until(self):
                document = json.loads(await self._socket.recv())
                if "item" in document:
                    item = document["item"]
                    self.position = (item["topic_sequence_number"] + 1, item["sequence_page"])
                    self.entries.append(document)
                elif "discontinuity" in document:
                    self.entries.append(document)
        except ConnectionClosed as closed:
            self.code = closed.rcvd.code if closed.rcvd else 1006

    async def close(self):
        await self._socket.close()


class Publisher:
    """Publishes one message after the other and remembers which were acknowledged."""

    def __init__(self, number):
        self.number = number
        self.acknowledged = {}
        self.sent = 0

    async def run(self, server, cache, count):
        stream = await websockets.asyncio.client.connect(
            f"ws://{server.ready['http']}{STREAM}",
            additional_headers=server.admin.headers,
            proxy=None,
            compression=None,
            max_queue=None,
        )
        try:
            while self.sent < count:
                text = f"{self.number}:{self.sent}"
                self.sent += 1
                await stream.send(json.dumps({"publish": {"cache": cache, "topic": "news", "text": text}}))
                while "heartbeat" in (answer := json.loads(await stream.recv())):
                    pass
                if "published" in answer:
                    position = answer["published"]
                    self.acknowledged[position["sequence_page"], position["topic_sequence_number"]] = text
                else:
                    assert answer["error"]["code"] == "Unavailable", answer
                    return
            await stream.close()
        except ConnectionClosed:
            pass


def by_page(entries):
    """The texts by page and number; checks order, gaps and duplicates on the way."""
    texts = {}
    page = last = None
    for entry in entries:
        if "discontinuity" in entry:
            page, last = entry["discontinuity"]["new_sequence_page"], entry["discontinuity"]["new_topic_sequence"]
            continue
        item = entry["item"]
        assert page is None or item["sequence_page"] == page, "a new page without a word"
        assert last is None or item["topic_sequence_number"] == last + 1, "a gap without a word"
        page, last = item["sequence_page"], item["topic_sequence_number"]
        assert (page, last) not in texts, "twice"
        texts[page, last] = item["value"]["text"]
    return texts


def must_keep_the_order_of_publishers(texts):
    latest = {}
    for _, text in sorted(texts.items()):
        publisher, _, count = text.partition(":")
        assert int(count) > latest.get(publisher, -1), text
        latest[publisher] = int(count)


@pytest.mark.timeout(90)
def test_twenty_publish_and_a_hundred_listen_through_a_restart(make_server):
    server = make_server()
    cache = server.admin.make_cache("crowd")
    listeners = [Listener() for _ in range(SUBSCRIBERS)]
    publishers = [Publisher(number) for number in range(PUBLISHERS)]

    async def before():
        await asyncio.gather(*(listener.connect(server, cache) for listener in listeners))
        hearing = asyncio.gather(*(listener.listen(lambda _: False) for listener in listeners))
        sending = asyncio.gather(*(publisher.run(server, cache, 10_000) for publisher in publishers))
        while sum(len(publisher.acknowledged) for publisher in publishers) < 100:
            await asyncio.sleep(0.005)
        # In the middle of everything.
        acknowledged = {}
        for publisher in publishers:
            acknowledged |= publisher.acknowledged
        server.terminate()
        await asyncio.wait_for(asyncio.gather(hearing, sending), 20)
        return acknowledged

    acknowledged = asyncio.run(before())
    assert server.wait(within=10) == 0
    heard = [by_page(listener.entries) for listener in listeners]
    for listener, texts in zip(listeners, heard, strict=True):
        assert listener.code == GOING_AWAY
        assert not [entry for entry in listener.entries if "discontinuity" in entry]
        assert acknowledged.items() <= texts.items(), "a listener that stayed missed something"
        must_keep_the_order_of_publishers(texts)
    # Those who heard more than was acknowledged heard the same.
    together = {}
    for texts in heard:
        for position, text in texts.items():
            assert together.setdefault(position, text) == text
    (old,) = {page for page, _ in together}

    server.start()
    for listener in listeners:
        listener.entries, listener.code = [], None
    again = [Publisher(number) for number in range(PUBLISHERS)]
    total = PUBLISHERS * 5

    async def after():
        await asyncio.gather(*(listener.connect(server, cache) for listener in listeners))
        sending = asyncio.gather(*(publisher.run(server, cache, 5) for publisher in again))

        def has_all(listener):
            return sum("item" in entry for entry in listener.entries) == total

        await asyncio.wait_for(asyncio.gather(sending, *(listener.listen(has_all) for listener in listeners)), 20)
        await asyncio.gather(*(listener.close() for listener in listeners))

    asyncio.run(after())
    acknowledged = {}
    for publisher in again:
        acknowledged |= publisher.acknowledged
    assert len(acknowledged) == total
    for listener in listeners:
        gap, *_ = listener.entries
        assert gap["discontinuity"]["new_sequence_page"] > old
        assert by_page(listener.entries) == acknowledged
    used = server.admin.used(cache, door="websocket")
    assert used["publishes"] >= total + 100
    assert used["deliveries"] == sum(map(len, heard)) + SUBSCRIBERS * total


def test_a_reader_that_comes_back_misses_nothing(make_server):
    # Reconnecting again and again while others publish: every message exactly once.
    server = make_server()
    cache = "default"
    listener, publishers = Listener(), [Publisher(number) for number in range(4)]
    total = 4 * 60

    async def run():
        sending = asyncio.gather(*(publisher.run(server, cache, 60) for publisher in publishers))
        while len(listener.entries) < total:
            count = len(listener.entries)
            await listener.connect(server, cache)
            await asyncio.wait_for(
                listener.listen(lambda one, count=count: len(one.entries) >= min(total, count + 7)), 5
            )
            await listener.close()
        await sending

    # Known from the first message on, so that nothing is before its time.
    Topic(server, cache).publish("0:-1")
    listener.position = (2, 0)
    try:
        asyncio.run(asyncio.wait_for(run(), 20))
    except InvalidHandshake as error:
        raise AssertionError(str(error)) from None
    texts = by_page(listener.entries)
    assert sorted(texts.values()) == sorted(f"{number}:{count}" for number in range(4) for count in range(60))
