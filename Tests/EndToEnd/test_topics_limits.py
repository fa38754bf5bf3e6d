"""Limits on publishing and subscribing, and what both cost: exact, at the door where it happened."""

import time

import pytest

from support.sse import Http1EventSource
from support.subscribers import WAYS
from support.topics import STREAM, Topic, publish, topic_target, value_of
from support.waiting import eventually
from support.websocket import TEXT, TOO_BIG, RawWebSocket, WebSocket, frame, refusal

SOCKETS = ("websocket", "websocket over HTTP/2", "stream")


def subscribe(way, topic, **position):
    return WAYS[way](topic.server, topic.cache, topic.name, topic.headers, **position)


# Size


def test_a_message_over_the_cache_s_limit_is_refused(server, client, root):
    cache = server.admin.make_cache(limits={"max_message_bytes": 100})
    for size, status in ((100, 204), (101, 413), (200_000, 413), (0, 204)):
        response = publish(client, root, cache, "news", b"x" * size).must_be(status)
        if status == 413:
            error = response.must_refuse(413, "TooLarge")
            assert (error["limit"], error["value"]) == ("max_message_bytes", 100)
    server.admin.change_cache(cache, limits={"max_message_bytes": 300_000})
    publish(client, root, cache, "news", b"x" * 300_000).must_be(204)
    publish(client, root, cache, "news", b"x" * 300_001).must_be(413)


def test_a_tenant_s_limit_holds_too(server, client):
    tenant = server.admin.make_tenant(limits={"max_message_bytes": 50})
    tenant.make_cache("shop")
    headers = tenant.make_key([{"role": "readwrite", "cache": "*", "topic": "*"}]).headers
    publish(client, headers, "shop", "news", "x" * 50).must_be(204)
    publish(client, headers, "shop", "news", "x" * 51).must_refuse(413, "TooLarge")


def test_a_body_of_unknown_length_is_held_to_the_limit(server, client, root):
    cache = server.admin.make_cache(limits={"max_message_bytes": 100})
    target = topic_target(cache, "news")
    client.request("POST", target, headers=root, body=b"x" * 100, chunked=True).must_be(204)
    client.request("POST", target, headers=root, body=b"x" * 101, chunked=True).must_refuse(413, "TooLarge")


def test_a_socket_is_told_what_is_too_big(server, root):
    cache = server.admin.make_cache(limits={"max_message_bytes": 100})
    with RawWebSocket(server, topic_target(cache, "news"), root) as socket:
        error = socket.ask({"publish": {"text": "x" * 101}})["error"]
        assert (error["code"], error["limit"], error["value"]) == ("TooLarge", "max_message_bytes", 100)
        socket.publish("x" * 100)
        # What is far beyond any message is not even read.
        socket.send_bytes(frame(TEXT, b"{", length=5_000_000))
        assert socket.ending()[1] == TOO_BIG


# Rate


def test_publishing_faster_than_allowed_is_refused_with_when_to_come_back(server, root):
    cache = server.admin.make_cache(limits={"max_publish_per_second": 10})
    client = server.client()
    responses = [publish(client, root, cache, "news", "x") for _ in range(100)]
    refused = [response for response in responses if response.status != 204]
    assert responses[0].status == 204
    assert len(refused) >= 50
    for response in refused:
        error = response.must_refuse(429, "RateLimited")
        assert (error["limit"], error["value"]) == ("max_publish_per_second", 10)
        assert error["retry_after_ms"] > 0
        assert int(response.headers["retry-after"]) >= 1
    # Subscribing, and publishing elsewhere, is no publishing here.
    client.request("GET", topic_target(cache, "news"), headers=root).must_be(200)
    publish(client, root, "default", "news", "x").must_be(204)
    eventually(lambda: publish(client, root, cache, "news", "x").status == 204, within=3, what="the next second")
    server.admin.change_cache(cache, limits={"max_publish_per_second": None})
    for _ in range(50):
        publish(client, root, cache, "news", "x").must_be(204)


@pytest.mark.parametrize("path", ["topic", STREAM])
def test_publishing_on_a_socket_is_held_to_the_same_rate(server, root, path):
    cache = server.admin.make_cache(limits={"max_publish_per_second": 5})
    fields = {"id": "p", "cache": cache, "topic": "news"} if path == STREAM else {}
    with WebSocket(server, STREAM if path == STREAM else topic_target(cache, "news"), root) as socket:
        for _ in range(50):
            socket.send({"publish": {**fields, "text": "x"}})
        published, errors = 0, []
        while published + len(errors) < 50:
            document = socket.receive()
            assert document.get("id") == fields.get("id") or "item" in document
            published += "published" in document
            errors += [document["error"]] if "error" in document else []
        assert 5 <= published <= 15
        for error in errors:
            assert (error["code"], error["limit"], error["value"]) == ("RateLimited", "max_publish_per_second", 5)
            assert error["retry_after_ms"] > 0


def test_deliveries_are_never_dropped_and_hold_back_what_follows(server, root):
    # Ten operations a second; twenty deliveries put the cache in debt.
    cache = server.admin.make_cache()
    topic = Topic(server, cache)
    subscribers = [subscribe("events", topic) for _ in range(20)]
    server.admin.change_cache(cache, limits={"max_operations_per_second": 10})
    topic.publish("1")
    for subscriber in subscribers:
        assert subscriber.values(1) == ["1"]
    client = server.client()
    error = publish(client, root, cache, "news", "x").must_refuse(429, "RateLimited")
    assert (error["limit"], error["value"]) == ("max_operations_per_second", 10)
    refusal(server, topic.target, root).must_refuse(429, "RateLimited")
    client.request("GET", topic.target, headers=root).must_refuse(429, "RateLimited")
    eventually(lambda: publish(client, root, cache, "news", "2").status == 204, within=5, what="the debt's end")
    for subscriber in subscribers:
        assert subscriber.values(1) == ["2"]
        subscriber.close()


# Subscriptions


@pytest.mark.parametrize("way", WAYS)
def test_no_more_subscribe_than_may_and_a_place_is_free_when_one_leaves(server, root, way):
    cache = server.admin.make_cache()
    topic = Topic(server, cache)
    staying = [subscribe("events", topic), subscribe("websocket", topic)]
    leaving = subscribe(way, topic)
    # A poll has its place when it has arrived, which nothing says; so the limit comes after it.
    server.admin.change_cache(cache, limits={"max_subscriptions": 3})

    def probe():
        source = Http1EventSource(server, topic.target, root)
        source.close()
        return source.response

    eventually(lambda: probe().status == 429, within=2, what="three subscriptions")
    error = probe().must_refuse(429, "LimitExceeded")
    assert (error["limit"], error["value"]) == ("max_subscriptions", 3)
    refusal(server, topic.target, root).must_refuse(429, "LimitExceeded")
    server.client().request("GET", topic.target, headers=root).must_refuse(429, "LimitExceeded")
    with WebSocket(server, STREAM, root) as stream:
        answer = stream.ask({"subscribe": {"id": "a", "cache": cache, "topic": "other"}})
        assert (answer["id"], answer["error"]["code"]) == ("a", "LimitExceeded")
        topic.publish("x")
        assert leaving.values(1) == ["x"]
        leaving.close()

        def has_place():
            answer = stream.ask({"subscribe": {"id": "a", "cache": cache, "topic": "other"}})
            return "subscribed" in answer

        eventually(has_place, within=2, what="a free place")
        assert probe().status == 429
        assert stream.ask({"unsubscribe": {"id": "a"}}) == {"id": "a", "unsubscribed": {}}
        eventually(lambda: probe().status == 200, within=2, what="a free place again")
    for subscriber in staying:
        assert subscriber.values(1) == ["x"]
        subscriber.close()


def test_a_tenant_s_limit_counts_all_its_caches(server):
    tenant = server.admin.make_tenant(limits={"max_subscriptions": 2})
    headers = tenant.make_key([{"role": "readwrite", "cache": "*", "topic": "*"}]).headers
    with WebSocket(server, STREAM, headers) as stream:
        for number in range(3):
            cache = tenant.make_cache()
            answer = stream.ask({"subscribe": {"id": str(number), "cache": cache, "topic": "t"}})
            assert ("subscribed" in answer) == (number < 2), answer
        assert (answer["error"]["limit"], answer["error"]["value"]) == ("max_subscriptions", 2)


# Meters

SIZES = (0, 1, 1024, 1025, 3000)
CHUNKS = (1, 1, 1, 2, 3)


def usage(server, cache, door):
    return server.admin.used(cache, door=door)


def expect(server, cache, door, **expected):
    """The row of a door must soon say exactly this."""

    def shown():
        used = usage(server, cache, door)
        return {name: used.get(name, 0) for name in expected}

    try:
        eventually(lambda: shown() == expected, within=1.5)
    except AssertionError:
        raise AssertionError(f"{door}: {shown()}, not {expected}") from None


def test_publications_cost_what_they_weigh(server, client, topic, root):
    for size in SIZES:
        publish(client, root, topic.cache, topic.name, b"x" * size).must_be(204)
    expect(
        server,
        topic.cache,
        "rest",
        publishes=len(SIZES),
        calls=len(SIZES),
        deliveries=0,
        operations=sum(CHUNKS),
        bytes_in=sum(SIZES),
        bytes_out=0,
    )
    assert usage(server, topic.cache, "websocket") == {}


@pytest.mark.parametrize("way", WAYS)
def test_deliveries_cost_the_same_at_the_subscriber_s_door(server, topic, way):
    topic.publish("first")
    subscribers = [subscribe(way, topic) for _ in range(3)]
    for subscriber in subscribers:
        assert subscriber.values(1) == ["first"]
    topic.publish(*[b"x" * size for size in SIZES])
    for subscriber in subscribers:
        assert [len(value) for value in subscriber.values(len(SIZES))] == list(SIZES)
    published = {"publishes": len(SIZES) + 1, "operations": sum(CHUNKS) + 1, "bytes_in": sum(SIZES) + 5}
    delivered = {
        "deliveries": 3 * (len(SIZES) + 1),
        "operations": 3 * (sum(CHUNKS) + 1),
        "bytes_out": 3 * (sum(SIZES) + 5),
    }
    if way not in SOCKETS:
        both = {**published, **delivered, "operations": published["operations"] + delivered["operations"]}
        expect(server, topic.cache, "rest", **both)
        assert usage(server, topic.cache, "websocket") == {}
    else:
        expect(server, topic.cache, "rest", **published, deliveries=0, bytes_out=0)
        expect(server, topic.cache, "websocket", **delivered, publishes=0, bytes_in=0)
    for subscriber in subscribers:
        subscriber.close()


@pytest.mark.parametrize("path", ["topic", STREAM])
def test_publishing_on_a_socket_is_counted_there(server, topic, root, path):
    fields = {"cache": topic.cache, "topic": topic.name} if path == STREAM else {}
    with WebSocket(server, STREAM if path == STREAM else topic.target, root) as socket:
        for size in SIZES:
            socket.send({"publish": {**fields, "text": "x" * size}})
            while "published" not in socket.receive():
                pass
    delivers = 0 if path == STREAM else 1
    expect(
        server,
        topic.cache,
        "websocket",
        publishes=len(SIZES),
        deliveries=delivers * len(SIZES),
        operations=(1 + delivers) * sum(CHUNKS),
        bytes_in=sum(SIZES),
        bytes_out=delivers * sum(SIZES),
    )
    assert usage(server, topic.cache, "rest") == {}


def test_what_is_refused_is_no_publication(server, root):
    cache = server.admin.make_cache(limits={"max_message_bytes": 10})
    client = server.client()
    for _ in range(3):
        publish(client, root, cache, "news", "x" * 11).must_be(413)
    client.request("POST", f"/topics/{cache}/%20", headers=root, body=b"x").must_be(400)
    used = usage(server, cache, "rest")
    assert (used["publishes"], used["throttled"], used["client_errors"]) == (0, 3, 1)
    assert used["bytes_in"] == 0


def test_heartbeats_and_waiting_cost_no_operations(make_server):
    server = make_server(arguments=["--topic-heartbeat", "0.25"])
    topic = Topic(server, "default")
    topic.publish("x")
    subscribers = [subscribe(way, topic) for way in ("events", "websocket")]
    for subscriber in subscribers:
        assert subscriber.values(1) == ["x"]
        subscriber.hear(2)
    for door, operations in (("rest", 2), ("websocket", 1)):
        expect(server, "default", door, operations=operations, deliveries=1)
    for subscriber in subscribers:
        subscriber.close()


@pytest.mark.parametrize("way", WAYS)
def test_the_time_of_subscriptions_is_counted(server, topic, way):
    door = "websocket" if way in SOCKETS else "rest"
    # Of 50 ms for each.
    slack = 150
    started = time.monotonic()
    subscribers = [subscribe(way, topic) for _ in range(3)]
    topic.publish("x")
    for subscriber in subscribers:
        subscriber.values(1)
    opened = time.monotonic()
    # There is nothing to wait for but time itself.
    eventually(lambda: time.monotonic() - opened > 0.3, what="some time")
    lower = 3 * (time.monotonic() - opened) * 1000
    for subscriber in subscribers:
        subscriber.close()
    eventually(
        lambda: usage(server, topic.cache, door)["subscription_milliseconds"] >= lower - slack,
        within=2,
        what="the time on the bill",
    )
    upper = 3 * (time.monotonic() - started) * 1000
    assert usage(server, topic.cache, door)["subscription_milliseconds"] <= upper + slack


def test_the_bill_of_topics_survives_a_restart(make_server):
    server = make_server()
    topic = Topic(server, "default")
    with subscribe("websocket", topic) as subscriber:
        topic.publish(*map(str, range(20)))
        assert [int(value) for value in subscriber.values(20)] == list(range(20))
    for start in (None, server.start):
        if start:
            server.kill()
            start()
        expect(server, "default", "rest", publishes=20, operations=20)
        expect(server, "default", "websocket", deliveries=20, operations=20)


# Memory


def test_a_flood_of_topics_stays_within_the_cache_s_bytes(server, root):
    limit = 1_000_000
    cache = server.admin.make_cache(limits={"max_bytes": limit})
    client = server.http2()
    client.request("PUT", f"/cache/{cache}?key=k&ttl_seconds=600", headers=root, body=b"v").must_be(204)
    listener = WebSocket(server, topic_target(cache, "listened"), root)
    listener.publish("before")
    peak = 0
    for start in range(0, 6000, 200):
        streams = []
        for number in range(start, start + 200):
            target = topic_target(cache, f"flood-{number:05}-{'x' * 200}")
            stream = client.open("POST", target, headers=root, ends=False, flushes=False)
            client.state.send_data(stream, b"y" * 500, end_stream=True)
            streams.append(stream)
        client.flush()
        for stream in streams:
            client.finish(stream).must_be(204)
        peak = max(peak, server.admin.cache(cache)["bytes"])
    assert peak <= limit, f"{peak} bytes of {limit}"
    assert peak > limit // 10, "topics are not charged at all"
    # Neither the items nor the listeners were driven out.
    client.request("GET", f"/cache/{cache}?key=k", headers=root).must_be(200)
    listener.publish("after")
    client.close()
    listener.close()


def test_one_topic_s_messages_stay_within_the_cache_s_bytes(server, root):
    limit = 500_000
    cache = server.admin.make_cache(limits={"max_bytes": limit})
    topic = Topic(server, cache)
    with subscribe("events", topic) as subscriber:
        for number in range(60):
            topic.publish(bytes([number]) * 50_000)
            (item,) = subscriber.items(1)
            assert value_of(item)[:1] == bytes([number])
            assert server.admin.cache(cache)["bytes"] <= limit
    # The newest ones are kept, and what went is told as a gap.
    gap, *entries = topic.poll(sequence_number=1)
    assert gap["discontinuity"]["new_topic_sequence"] >= 50
    assert entries[-1]["item"]["topic_sequence_number"] == 60
