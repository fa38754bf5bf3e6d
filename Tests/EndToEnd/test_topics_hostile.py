"""Peers that break the rules of WebSockets, never read, or vanish: they are told, bounded, and disturb nobody else."""

import contextlib
import random
import socket
import struct
import time

import pytest

from support.subscribers import EventSubscriber, RawSocketSubscriber
from support.topics import STREAM, Neighbour, Topic, connect, topic_target, value_of
from support.waiting import eventually
from support.websocket import (
    BINARY,
    CLOSE,
    CONTINUATION,
    INVALID_DATA,
    PING,
    POLICY_VIOLATION,
    PONG,
    PROTOCOL_ERROR,
    TEXT,
    TOO_BIG,
    RawWebSocket,
    WebSocket,
    document_frame,
    frame,
    new_key,
    upgrade_head,
)

MEGABYTE = 1 << 20


@pytest.fixture
def neighbour(server, cache, root):
    """Another publisher and subscriber at work, who must not notice anything."""
    with Neighbour(server, WebSocket(server, topic_target(cache, "neighbour"), root)) as made:
        yield made


# Frames that break the rules

VIOLATIONS = {
    "unmasked text": (frame(TEXT, b'{"publish":{"text":"a"}}', is_masked=False), {PROTOCOL_ERROR}),
    "unmasked ping": (frame(PING, b"", is_masked=False), {PROTOCOL_ERROR}),
    "first reserved bit": (frame(TEXT, b"{}", reserved=4), {PROTOCOL_ERROR}),
    "second reserved bit": (frame(TEXT, b"{}", reserved=2), {PROTOCOL_ERROR}),
    "third reserved bit": (frame(PING, b"", reserved=1), {PROTOCOL_ERROR}),
    "reserved opcode 3": (frame(3, b"x"), {PROTOCOL_ERROR}),
    "reserved opcode 7": (frame(7, b""), {PROTOCOL_ERROR}),
    "reserved control opcode 11": (frame(11, b""), {PROTOCOL_ERROR}),
    "reserved control opcode 15": (frame(15, b"x"), {PROTOCOL_ERROR}),
    "continuation of nothing": (frame(CONTINUATION, b"x"), {PROTOCOL_ERROR}),
    "text within text": (frame(TEXT, b"{", is_final=False) + frame(TEXT, b"}"), {PROTOCOL_ERROR}),
    "bytes within text": (frame(TEXT, b"{", is_final=False) + frame(BINARY, b"}"), {PROTOCOL_ERROR}),
    "ping in pieces": (frame(PING, b"x", is_final=False), {PROTOCOL_ERROR}),
    "close in pieces": (frame(CLOSE, b"\x03\xe8", is_final=False), {PROTOCOL_ERROR}),
    "ping of 126 bytes": (frame(PING, b"x" * 126), {PROTOCOL_ERROR}),
    "pong of 126 bytes": (frame(PONG, b"x" * 126), {PROTOCOL_ERROR}),
    "close of 126 bytes": (frame(CLOSE, b"\x03\xe8" + b"x" * 124), {PROTOCOL_ERROR}),
    "close of one byte": (frame(CLOSE, b"\x03"), {PROTOCOL_ERROR}),
    "close with code 0": (frame(CLOSE, struct.pack(">H", 0)), {PROTOCOL_ERROR}),
    "close with code 999": (frame(CLOSE, struct.pack(">H", 999)), {PROTOCOL_ERROR}),
    "close with code 1005": (frame(CLOSE, struct.pack(">H", 1005)), {PROTOCOL_ERROR}),
    "close with code 1006": (frame(CLOSE, struct.pack(">H", 1006)), {PROTOCOL_ERROR}),
    "close with code 5000": (frame(CLOSE, struct.pack(">H", 5000)), {PROTOCOL_ERROR}),
    "close with a reason of no text": (frame(CLOSE, b"\x03\xe8\xff\xfe"), {PROTOCOL_ERROR, INVALID_DATA}),
    "text of no text": (frame(TEXT, b'{"publish":{"text":"\xc3"}}'), {INVALID_DATA}),
    "text cut within a character": (frame(TEXT, b'{"publish":{"text":"\xc3'), {INVALID_DATA}),
    "surrogates": (frame(TEXT, b'"\xed\xa0\x80"'), {INVALID_DATA}),
    "overlong": (frame(TEXT, b'"\xc0\xaf"'), {INVALID_DATA}),
    "a message of 2^62 bytes": (frame(TEXT, b"{", length=1 << 62), {TOO_BIG}),
    "a message of 2^63 bytes": (frame(TEXT, b"{", length=1 << 63), {TOO_BIG, PROTOCOL_ERROR}),
    "a message of 2^64 bytes": (frame(TEXT, b"{", length=(1 << 64) - 1), {TOO_BIG, PROTOCOL_ERROR}),
    "a message of a gibibyte": (frame(TEXT, b"{", length=1 << 30), {TOO_BIG}),
    "bytes of a gibibyte": (frame(BINARY, b"{", length=1 << 30), {TOO_BIG}),
    "a piece of a gibibyte": (frame(TEXT, b"{", length=1 << 30, is_final=False), {TOO_BIG}),
}


@pytest.mark.parametrize("path", ["topic", STREAM])
@pytest.mark.parametrize("name", VIOLATIONS)
def test_a_violation_ends_the_socket_with_its_reason(server, topic, root, neighbour, name, path):
    data, codes = VIOLATIONS[name]
    with RawWebSocket(server, STREAM if path == STREAM else topic.target, root) as bad:
        bad.send_bytes(data)
        _, code = bad.ending(within=3)
        assert code in codes


def test_a_violation_after_good_frames_loses_none_of_them(server, topic, root):
    with RawWebSocket(server, topic.target, root) as bad, RawWebSocket(server, topic.target, root) as good:
        bad.send_bytes(document_frame({"publish": {"text": "good"}}) + frame(3, b""))
        assert bad.ending()[1] == PROTOCOL_ERROR
        assert value_of(good.receive()["item"]) == "good"


def test_what_follows_a_violation_is_not_read(server, topic, root):
    with RawWebSocket(server, topic.target, root) as bad, RawWebSocket(server, topic.target, root) as good:
        bad.try_send(frame(3, b"") + document_frame({"publish": {"text": "bad"}}))
        bad.ending()
        topic.publish("good")
        assert value_of(good.receive()["item"]) == "good"


def test_pieces_without_end_are_bounded(server, topic, root, neighbour):
    before = server.resident_bytes()
    with RawWebSocket(server, topic.target, root) as bad:
        bad.send_bytes(frame(TEXT, b'{"publish":{"text":"', is_final=False))
        piece = frame(CONTINUATION, b"x" * 60_000, is_final=False)
        for _ in range(500):
            if not bad.try_send(piece):
                break
        assert server.resident_bytes() - before < 20 * MEGABYTE
        assert bad.ending(within=3)[1] == TOO_BIG


def test_whoever_does_not_return_a_farewell_is_left_in_time(server, topic, root):
    with RawWebSocket(server, topic.target, root) as bad:
        bad.send_bytes(frame(3, b""))
        while bad.next_frame()[0] != CLOSE:
            pass
        assert bad.connection.is_closed(within=6)


def test_empty_pieces_without_end_are_bounded(server, topic, root, neighbour):
    before = server.resident_bytes()
    with RawWebSocket(server, topic.target, root) as bad:
        bad.send_bytes(frame(TEXT, b"{", is_final=False))
        block = frame(CONTINUATION, b"", is_final=False) * 10_000
        bad.connection.socket.settimeout(1)
        for _ in range(50):
            if not bad.try_send(block):
                break
        assert server.resident_bytes() - before < 20 * MEGABYTE


def flood(bad, block, *, times, reads):
    """Sends a block again and again, and gives up when the server does; gives the close code where one came."""
    for _ in range(times):
        bad.connection.socket.settimeout(0.5)
        try:
            if not bad.try_send(block):
                return None
        except TimeoutError:
            # It takes no more.
            return None
        while reads:
            try:
                taken = bad.next_frame(within=0.001)
            except AssertionError:
                break
            if taken is None:
                return None
            if taken[0] == CLOSE:
                return struct.unpack(">H", taken[1][:2])[0]
    return None


FLOODS = {
    "pings": frame(PING, b"x" * 125) * 1000,
    "pongs": frame(PONG, b"") * 1000,
    "mistakes": document_frame({"what": 1}) * 500,
    "binary frames": frame(BINARY, b"") * 1000,
    "false credentials": document_frame({"auth": {"token": "nobody"}}) * 500,
}


@pytest.mark.parametrize("reads", [True, False], ids=["reads", "does not read"])
@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_is_ended_or_bounded(server, topic, root, neighbour, name, reads):
    before = server.resident_bytes()
    with RawWebSocket(server, topic.target, root, receive_buffer=None if reads else 4096) as bad:
        code = flood(bad, FLOODS[name], times=50, reads=reads)
        grown = server.resident_bytes() - before
        assert grown < 30 * MEGABYTE, f"{grown / MEGABYTE:.0f} MiB"
        if name == "pings" and reads:
            assert code == POLICY_VIOLATION
        else:
            assert code in (None, POLICY_VIOLATION)


@pytest.mark.parametrize("seed", range(4))
def test_mutated_frames_harm_nobody(server, topic, root, neighbour, seed):
    rng = random.Random(seed)
    good = [
        document_frame({"publish": {"text": "x"}}),
        document_frame({"publish": {"binary": "AAAA"}}),
        document_frame({"subscribe": {"id": "a", "cache": topic.cache, "topic": "t"}}),
        frame(PING, b"ping"),
        frame(TEXT, b'{"publish":', is_final=False) + frame(CONTINUATION, b'{"text":"y"}}'),
        frame(CLOSE, b"\x03\xe8"),
    ]
    for number in range(40):
        data = bytearray(b"".join(rng.choice(good) for _ in range(rng.randint(1, 5))))
        for _ in range(rng.randint(1, 8)):
            kind = rng.random()
            position = rng.randrange(len(data))
            if kind < 0.5:
                data[position] ^= 1 << rng.randrange(8)
            elif kind < 0.7:
                del data[position : position + rng.randint(1, 8)]
                data = data or bytearray(b"\x81")
            else:
                data[position:position] = rng.randbytes(rng.randint(1, 16))
        with RawWebSocket(server, rng.choice([topic.target, STREAM]), root) as bad:
            bad.try_send(bytes(data))
            if number % 2:
                bad.connection.finish_sending()
                assert bad.connection.is_closed(), f"seed {seed}, number {number}"
    assert server.is_healthy()


def test_a_conversation_may_break_off_at_every_byte(server, topic, root, neighbour):
    data = upgrade_head(topic.target, root, key=new_key())
    data += document_frame({"publish": {"text": "x"}}) + frame(PING, b"x") + frame(CLOSE, b"\x03\xe8")
    start = len(data) - 80
    for length in [*range(0, start, 20), *range(start, len(data))]:
        connection = connect(server)
        connection.send(data[:length])
        if length % 2:
            # Without a farewell of TCP either.
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
    assert server.is_healthy()


# Who does not read


def must_be_whole(entries, newest):
    """What a reader that fell behind has got: in order, nothing twice, gaps told, and to the end."""
    last = None
    for entry in entries:
        if "discontinuity" in entry:
            gap = entry["discontinuity"]
            assert last is None or gap["new_topic_sequence"] >= last, entry
            last = gap["new_topic_sequence"]
        else:
            number = entry["item"]["topic_sequence_number"]
            assert last is None or number == last + 1, (last, number)
            last = number
    assert last == newest


@pytest.mark.parametrize("slow", [RawSocketSubscriber, EventSubscriber], ids=["websocket", "events"])
def test_whoever_does_not_read_holds_up_nobody(make_server, slow):
    server = make_server(arguments=["--topic-retained-messages", "100", "--topic-heartbeat", "0.25"])
    topic = Topic(server, "default")
    before = server.resident_bytes()
    with contextlib.ExitStack() as stack:

        def subscribe(kind, **options):
            return stack.enter_context(kind(server, "default", "news", topic.headers, **options))

        sleepers = [subscribe(slow, receive_buffer=4096) for _ in range(20)]
        reader = subscribe(RawSocketSubscriber)
        slowest = 0
        for number in range(300):
            started = time.monotonic()
            topic.publish(bytes([number % 256]) * 50_000)
            (item,) = reader.items(1)
            assert item["topic_sequence_number"] == number + 1
            slowest = max(slowest, time.monotonic() - started)
        assert slowest < 3
        # 15 MB for each of twenty would be 300; the ring of one topic and what is on its way is allowed.
        grown = server.resident_bytes() - before
        assert grown < 40 * MEGABYTE, f"{grown / MEGABYTE:.0f} MiB"
        for sleeper in sleepers[:3]:
            entries = []
            while not entries or entries[-1].get("item", {}).get("topic_sequence_number") != 300:
                entries += sleeper.take(1)
            must_be_whole(entries, 300)
            assert any("discontinuity" in entry for entry in entries)
        topic.publish("at last")
        assert sleepers[0].values(1) == sleepers[2].values(1) == ["at last"]


def test_messages_that_were_delivered_are_not_kept(make_server):
    server = make_server(arguments=["--topic-retained-messages", "10"])
    topic = Topic(server, "default")
    with RawSocketSubscriber(server, "default", "news", topic.headers) as reader:
        for number in range(500):
            if number == 50:
                before = server.resident_bytes()
            topic.publish(b"x" * 50_000)
            reader.items(1)
        grown = server.resident_bytes() - before
        assert grown < 15 * MEGABYTE, f"{grown / MEGABYTE:.0f} MiB for {450 * 50_000 / MEGABYTE:.0f} MiB of messages"


def test_a_reader_that_only_pauses_misses_nothing(server, topic, root):
    sleeper = RawSocketSubscriber(server, topic.cache, topic.name, root, receive_buffer=4096)
    # More than a socket buffers, less than a topic keeps.
    for number in range(40):
        topic.publish(bytes([number]) * 100_000)
    assert [value[0] for value in sleeper.values(40)] == list(range(40))
    sleeper.close()


def test_many_that_never_read_and_never_leave_cost_little(server, topic, root, neighbour):
    before = server.resident_bytes()
    crowd = [RawWebSocket(server, topic.target, root) for _ in range(300)]
    for number in range(20):
        topic.publish(str(number))
    grown = server.resident_bytes() - before
    assert grown < 30 * MEGABYTE, f"{grown / MEGABYTE:.0f} MiB for 300 sockets"
    for socket_ in crowd:
        socket_.close()


# Who vanishes


@pytest.mark.parametrize("way", ["reset", "half closed", "closed"])
@pytest.mark.parametrize("kind", ["websocket", "events", "poll"])
def test_a_peer_that_vanishes_gives_its_place_up(server, root, way, kind):
    cache = server.admin.make_cache()
    target = topic_target(cache, "news")
    gone = []
    for _ in range(5):
        if kind == "websocket":
            connection = RawWebSocket(server, target, root).connection
        else:
            accept = "accept: text/event-stream\r\n" if kind == "events" else ""
            connection = connect(server)
            connection.send(
                f"GET {target} HTTP/1.1\r\nHost: x\r\nauthorization: {server.root_key}\r\n{accept}\r\n".encode()
            )
            if kind == "events":
                connection.read_until(b"heartbeat")
        gone.append(connection)

    # A poll has its place when it has arrived, which nothing says; so the limit comes after it.
    server.admin.change_cache(cache, limits={"max_subscriptions": 5})

    def probe():
        found = connect(server)
        found.send(upgrade_head(target, root, key=new_key()))
        response = found.read_response()
        found.close()
        return response.status

    eventually(lambda: probe() == 429, within=2, what="all places taken")
    for connection in gone:
        if way == "half closed":
            connection.finish_sending()
        else:
            if way == "reset":
                connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()
    if way == "half closed" and kind != "websocket":
        # Whoever has no more to say may still listen (RFC 9112 section 9.6); it is given up when it goes.
        for connection in gone:
            connection.close()
    eventually(lambda: probe() == 101, within=3, what="a place")
    for connection in gone:
        connection.close()


def test_a_storm_of_comers_and_goers_leaves_nothing_behind(server, topic, root, neighbour):
    files = server.open_files()
    for _ in range(100):
        with RawWebSocket(server, topic.target, root), RawWebSocket(server, STREAM, root) as stream:
            stream.send({"subscribe": {"id": "a", "cache": topic.cache, "topic": topic.name}})
    before = server.resident_bytes()
    for _ in range(300):
        with RawWebSocket(server, topic.target, root), RawWebSocket(server, STREAM, root) as stream:
            stream.send({"subscribe": {"id": "a", "cache": topic.cache, "topic": topic.name}})
    assert server.resident_bytes() - before < 10 * MEGABYTE
    eventually(lambda: server.open_files() <= files + 5, within=5, what="the end of the connections")
