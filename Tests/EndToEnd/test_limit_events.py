"""Tenants are told when a limit is nearly and when it is wholly used up: once, on every way to listen, and nobody else."""

import json
import queue
import re
import threading
import time

import pytest
import redis

from support.admin import EVERYTHING
from support.receiver import Receiver
from support.server import Server, parse_address
from support.subscribers import WAYS
from support.topics import may, publish, value_of
from support.waiting import PATIENCE, eventually
from support.wire import caller_for

TOPIC = "__martlet:limits"
# Three looks.
QUIET = 3.0


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """One that may call webhooks on this machine."""
    running = Server(tmp_path_factory.mktemp("martlet") / "data", arguments=["--delivery-allow", "127.0.0.0/8"]).start()
    yield running
    running.stop()


def put(client, headers, cache, count, *, first=0, size=1):
    for number in range(first, first + count):
        target = f"/cache/{cache}?key=k{number}&ttl_seconds=600"
        client.request("PUT", target, headers=headers, body=b"x" * size).must_be(204)


def events_of(items):
    return [json.loads(value_of(item)) for item in items]


def check(event, name, cache, limit, value, used):
    at = event.pop("at")
    assert abs(at - time.time()) < 60
    percent = event.pop("percent")
    assert percent == used * 100 // value
    assert event == {
        "event": name,
        "scope": "cache",
        "cache": cache,
        "tenant": "default",
        "limit": limit,
        "value": value,
        "used": used,
    }


def metric(server, name, **labels):
    """The value of a metric; None where there is none."""
    text = server.client(address=server.ops).request("GET", "/metrics").must_be(200).body.decode()
    for line in text.splitlines():
        found = re.fullmatch(name + r"(?:\{(.*)\})? (\S+)", line)
        if found and dict(re.findall(r'(\w+)="([^"]*)"', found[1] or "")) == labels:
            return float(found[2])
    return None


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_listen_gets_each_event_once(server, root, way):
    cache = server.admin.make_cache(limits={"max_items": 10})
    client = server.client()
    with WAYS[way](server, cache, TOPIC, root) as subscriber:
        put(client, root, cache, 8)
        (near,) = events_of(subscriber.items(1))
        check(near, "limit_near", cache, "max_items", 10, 8)
        put(client, root, cache, 2, first=8)
        (reached,) = events_of(subscriber.items(1))
        check(reached, "limit_reached", cache, "max_items", 10, 10)
        # Whatever came besides would come first.
        time.sleep(QUIET)
        client.request("POST", f"/v1/admin/caches/{cache}/flush", headers=root).must_be(204)
        time.sleep(2)
        put(client, root, cache, 9)
        (again,) = events_of(subscriber.items(1))
        check(again, "limit_near", cache, "max_items", 10, 9)


def test_redis_subscribers_and_webhooks_get_them(server, root):
    cache = server.admin.make_cache(limits={"max_items": 5})
    host, port = parse_address(server.ready["resp"])
    listener = redis.Redis(host=host, port=port, username=cache, password=server.root_key, socket_timeout=PATIENCE)
    caller = caller_for(server, cache)
    with Receiver() as receiver, listener.pubsub(ignore_subscribe_messages=True) as pubsub:
        caller.webhook.PutWebhook(
            webhook={
                "webhook_id": {"cache_name": cache, "webhook_name": "limits"},
                "topic_name": TOPIC,
                "destination": {"post_url": receiver.url()},
            }
        )
        pubsub.subscribe(TOPIC)
        pubsub.get_message(timeout=PATIENCE)
        # The webhook is heard of within a second.
        eventually(lambda: metric(server, "martlet_webhooks") == 1.0)
        eventually(lambda: server.admin.cache(cache)["subscriptions"] >= 2, what="the webhook's subscription")
        put(server.client(), root, cache, 5)
        posted = [json.loads(receiver.next().body) for _ in range(2)]
        assert all((post["cache"], post["topic"], post["token_id"]) == (cache, TOPIC, "") for post in posted)
        # Posts overtake each other.
        posted = sorted((json.loads(post["text"]) for post in posted), key=lambda event: event["event"])
        check(posted[0], "limit_near", cache, "max_items", 5, 5)
        check(posted[1], "limit_reached", cache, "max_items", 5, 5)
        heard = []
        deadline = time.monotonic() + PATIENCE
        while len(heard) < 2 and time.monotonic() < deadline:
            message = pubsub.get_message(timeout=0.2)
            heard += [json.loads(message["data"])["event"]] if message else []
        assert heard == ["limit_near", "limit_reached"]
        with pytest.raises(queue.Empty):
            receiver.next(within=QUIET)
    caller.close()


def test_a_tenant_is_told_in_its_own_caches_and_another_is_not(server):
    ours = server.admin.make_tenant(limits={"max_items": 10})
    theirs = server.admin.make_tenant()
    for tenant in (ours, theirs):
        tenant.make_cache("shop")
    data = ours.make_key([{"role": "readwrite", "cache": "*"}]).headers
    our_topics = ours.make_key(may("readonly")).headers
    their_topics = theirs.make_key(may("readwrite")).headers
    client = server.client()
    with (
        WAYS["events"](server, "shop", TOPIC, our_topics) as own,
        WAYS["events"](server, "shop", TOPIC, their_topics) as other,
        WAYS["events"](server, "shop", "news", their_topics) as news,
    ):
        put(client, data, "shop", 9)
        (event,) = events_of(own.items(1))
        assert (event["scope"], event["cache"], event["tenant"]) == ("tenant", None, ours.name)
        assert (event["limit"], event["value"], event["used"]) == ("max_items", 10, 9)
        time.sleep(QUIET)
        # The other tenant's stream has had nothing: what it hears of its own comes first.
        theirs.change_cache("shop", limits={"max_subscriptions": 2})
        (first,) = events_of(other.items(1))
        assert (first["tenant"], first["limit"]) == (theirs.name, "max_subscriptions")
        publish(client, their_topics, "shop", "news", "x").must_be(204)
        assert news.values(1) == ["x"]


def test_a_steady_rate_is_told_once_and_a_refused_call_is_the_limit_reached(server, root):
    cache = server.admin.make_cache(limits={"max_operations_per_second": 100})
    client = server.client()
    stop = threading.Event()

    def load():
        # Between 80 and 100 a second.
        connection = server.client()
        due = time.monotonic()
        while not stop.is_set():
            connection.request("GET", f"/cache/{cache}?key=k", headers=root)
            due += 1 / 88
            time.sleep(max(0, due - time.monotonic()))

    with WAYS["websocket"](server, cache, TOPIC, root) as subscriber:
        thread = threading.Thread(target=load)
        thread.start()
        try:
            (event,) = events_of(subscriber.items(1))
            assert (event["event"], event["limit"]) == ("limit_near", "max_operations_per_second")
            assert 80 <= event["percent"] < 100
            time.sleep(2 * QUIET)
        finally:
            stop.set()
            thread.join()
        while client.request("GET", f"/cache/{cache}?key=k", headers=root).status != 429:
            pass
        # Of the seconds in between nothing was told.
        (event,) = events_of(subscriber.items(1))
        assert (event["event"], event["value"]) == ("limit_reached", 100)


def test_events_are_told_although_the_tenant_may_publish_nothing_more(server, root):
    cache = server.admin.make_cache(limits={"max_publish_per_second": 0, "max_items": 1})
    client = server.client()
    with WAYS["events"](server, cache, TOPIC, root) as subscriber:
        publish(client, root, cache, "news", "x").must_be(429)
        events = events_of(subscriber.items(2))
        assert [(event["event"], event["limit"]) for event in events] == [
            ("limit_near", "max_publish_per_second"),
            ("limit_reached", "max_publish_per_second"),
        ]
    assert eventually(lambda: server.admin.used(cache).get("deliveries")) == 2
    assert server.admin.used(cache)["publishes"] == 0


def test_nobody_else_publishes_there(server, root, cache):
    client = server.client()
    publish(client, root, cache, TOPIC, "{}").must_refuse(403, "PermissionDenied")
    publish(client, root, cache, "__martlet:", "{}").must_refuse(403, "PermissionDenied")
    publish(client, root, cache, "__martlet", "{}").must_be(204)
    host, port = parse_address(server.ready["resp"])
    with redis.Redis(host=host, port=port, username=cache, password=server.root_key) as other:
        with pytest.raises(redis.exceptions.ResponseError):
            other.publish(TOPIC, "{}")


def test_metrics_show_what_is_used_of_each_limit(server, root):
    tenant = server.admin.make_tenant(limits={"max_caches": 4})
    tenant.make_cache("shop", limits={"max_items": 8})
    data = tenant.make_key(EVERYTHING).headers
    before = metric(server, "martlet_limit_events_total", threshold="80")
    put(server.client(), data, "shop", 4)
    labels = {"tenant": tenant.name, "cache": "shop", "limit": "max_items"}
    eventually(lambda: metric(server, "martlet_limit_use_ratio", **labels) == 0.5)
    assert metric(server, "martlet_limit_use_ratio", **{**labels, "cache": "", "limit": "max_caches"}) == 0.25
    assert metric(server, "martlet_limit_use_ratio", **{**labels, "limit": "max_bytes"}) is None
    put(server.client(), data, "shop", 3, first=4)
    eventually(lambda: metric(server, "martlet_limit_use_ratio", **labels) == 0.875)
    assert metric(server, "martlet_limit_events_total", threshold="80") == before + 1
    tenant.call("DELETE", "/caches/shop").must_be(204)
    eventually(lambda: metric(server, "martlet_limit_use_ratio", **labels) is None)
