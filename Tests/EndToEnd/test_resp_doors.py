"""The same items and topics through RESP and through the other doors; the bill, keys that end, and drains."""

import time

import pytest
import redis

from support.resp import MartletTarget
from support.server import Server
from support.subscribers import EventSubscriber
from support.topics import Topic, publish, topic_target, value_of
from support.waiting import eventually
from support.websocket import WebSocket
from support.wire import caller_for


@pytest.fixture(scope="module")
def door(tmp_path_factory):
    target = MartletTarget(Server(tmp_path_factory.mktemp("martlet") / "data").start())
    yield target
    target.stop()


@pytest.fixture
def shop(door):
    return door.fresh()


@pytest.fixture
def client(shop):
    made = shop.client("redis", protocol=3)
    yield made
    made.close()


# The other doors


def test_the_same_items_through_rest(door, shop, client):
    rest, headers = door.server.client(), {"authorization": shop.credential}
    client.set("from-resp", b"\x00\xff")
    assert rest.request("GET", f"/cache/{shop.cache}?key=from-resp", headers=headers).must_be(200).body == b"\x00\xff"
    rest.request("PUT", f"/cache/{shop.cache}?key=from-rest&ttl_seconds=100", headers=headers, body=b"v").must_be(204)
    assert client.get("from-rest") == b"v"
    assert 98 <= client.ttl("from-rest") <= 100
    client.incrby("n", 41)
    answer = rest.request("POST", f"/cache/{shop.cache}/increment?key=n&by=1&ttl_seconds=60", headers=headers).must_be(
        200
    )
    assert answer.json()["value"] == 42
    assert client.get("n") == b"42"
    rest.request("DELETE", f"/cache/{shop.cache}?key=from-resp", headers=headers).must_be(204)
    assert client.get("from-resp") is None
    rest.close()


def test_a_watched_key_that_rest_changes_stops_the_transaction(door, shop, client):
    rest, headers = door.server.client(), {"authorization": shop.credential}
    with client.pipeline() as pipeline:
        pipeline.watch("k")
        rest.request("PUT", f"/cache/{shop.cache}?key=k&ttl_seconds=100", headers=headers, body=b"v").must_be(204)
        pipeline.multi()
        pipeline.set("k", "mine")
        with pytest.raises(redis.WatchError):
            pipeline.execute()
    rest.close()


def test_a_tracked_key_that_rest_changes_is_told(door, shop):
    rest, headers = door.server.client(), {"authorization": shop.credential}
    with shop.connect(3) as connection:
        connection.call("CLIENT", "TRACKING", "ON")
        connection.call("GET", "k")
        rest.request("PUT", f"/cache/{shop.cache}?key=k&ttl_seconds=100", headers=headers, body=b"v").must_be(204)
        assert connection.receive().raw == b">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n"
    rest.close()


def test_whoever_waits_is_woken_through_any_door(door, shop):
    caller = caller_for(door.server, shop.cache, credential=shop.credential)
    with shop.connect() as connection:
        connection.send("BLPOP", "queue", "10")
        assert not connection.has_more(within=0.1)
        caller.scs.ListPushBack(
            list_name=b"queue", value=b"from gRPC", ttl_milliseconds=60_000, refresh_ttl=True, truncate_front_to_size=0
        )
        assert [child.text for child in connection.receive().children] == [b"queue", b"from gRPC"]
    caller.close()


def test_subscribers_of_a_topic_hear_the_same_through_every_door(door, shop, client):
    """Published by RESP and by REST; heard by RESP, by WebSocket and as server-sent events."""
    server, headers = door.server, {"authorization": shop.credential}
    rest = server.client()
    subscription = client.pubsub(ignore_subscribe_messages=True)
    subscription.subscribe("news")
    subscription.psubscribe("ne*")
    assert eventually(lambda: client.pubsub_numsub("news")[0][1] >= 1)
    socket = WebSocket(server, topic_target(shop.cache, "news"), headers)
    events = EventSubscriber(server, shop.cache, "news", headers)
    # Whoever publishes is told how many hear it, whichever door they are at.
    expected = []
    for number in range(20):
        value = f"message {number}"
        expected.append(value)
        if number % 2:
            assert client.publish("news", value) >= 2
        else:
            publish(rest, headers, shop.cache, "news", value).must_be(204)
    heard = {"message": [], "pmessage": []}
    deadline = time.monotonic() + 10
    while sum(map(len, heard.values())) < 40 and time.monotonic() < deadline:
        message = subscription.get_message(timeout=0.5)
        if message is not None:
            heard[message["type"]].append(message["data"].decode())
    assert heard == {"message": expected, "pmessage": expected}
    text = [value_of(socket.receive()["item"]) for _ in range(20)]
    assert [entry if isinstance(entry, str) else entry.decode() for entry in text] == expected
    assert [entry if isinstance(entry, str) else entry.decode() for entry in events.values(20)] == expected
    socket.close()
    events.close()
    subscription.close()
    rest.close()


def test_a_message_from_rest_is_heard_with_its_bytes(door, shop):
    with shop.connect(3) as connection:
        assert connection.call("SUBSCRIBE", "raw").raw == b">3\r\n$9\r\nsubscribe\r\n$3\r\nraw\r\n:1\r\n"
        # Nothing that was published before: Redis has no memory of messages.
        topic = Topic(door.server, shop.cache, "raw")
        topic.publish(b"\x00\xff\r\n", "grün")
        assert connection.receive().children[2].text == b"\x00\xff\r\n"
        assert connection.receive().children[2].text == "grün".encode()
        topic.close()


def test_a_subscriber_is_not_told_what_was_said_before(door, shop):
    topic = Topic(door.server, shop.cache, "news")
    topic.publish("old")
    with shop.connect() as connection:
        connection.call("SUBSCRIBE", "news")
        assert not connection.has_more(within=0.2)
        topic.publish("new")
        assert connection.receive().children[2].text == b"new"
    topic.close()


def test_what_is_done_through_resp_stands_on_the_bill(door, shop, client):
    for number in range(50):
        client.set(f"k{number}", "x" * 1000)
        client.get(f"k{number}")

    def billed():
        used = door.server.admin.used(shop.cache)
        return used.get("operations", 0) >= 100 and used.get("bytes_out", 0) >= 50_000 and used.get("hits", 0) >= 50

    assert eventually(billed)
    rows = door.server.admin.usage(shop.cache)
    assert {row["door"] for row in rows} == {"resp"}, rows


def test_flushing_a_cache_leaves_the_others(door, shop):
    other = door.fresh()
    with shop.connect() as here, other.connect() as there:
        here.call("SET", "k", "here")
        there.call("SET", "k", "there")
        for word in ("FLUSHALL", "FLUSHDB"):
            here.call("SET", "k", "here")
            assert here.call(word).raw == b"+OK\r\n"
            assert here.call("DBSIZE").integer == 0
        assert there.call("GET", "k").text == b"there"


def test_keys_that_end_are_told_to_whoever_asked_for_it(shop):
    with shop.connect(3) as setting, shop.connect(3) as listening:
        assert setting.call("CONFIG", "SET", "notify-keyspace-events", "Ex").raw == b"+OK\r\n"
        assert listening.call("SUBSCRIBE", "__keyevent@0__:expired").kind == b">"
        setting.call("SET", "k", "v", "PX", "30")
        assert [child.text for child in listening.receive().children] == [b"message", b"__keyevent@0__:expired", b"k"]


# Ends and drains


def test_a_drain_ends_everybody_in_order(make_server):
    """Also those who wait for something that never comes; the server must end well, and soon."""
    resp = MartletTarget(make_server()).fresh()
    opened = [resp.connect() for _ in range(6)]
    opened[0].send("BLPOP", "nothing", "0")
    opened[1].call("SUBSCRIBE", "news")
    opened[2].call("MULTI")
    opened[3].send_bytes(b"*3\r\n$3\r\nSET\r\n$1")
    opened[4].call("SET", "k", "v")
    opened[5].send("BZPOPMIN", "nothing", "0")
    started = time.monotonic()
    resp.server.stop()
    assert time.monotonic() - started < 10
    for connection in opened:
        connection.until_closed(within=5)
        connection.close()
