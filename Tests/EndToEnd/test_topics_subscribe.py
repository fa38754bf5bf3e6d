"""What every way to subscribe has in common: order, numbers, resuming, gaps, heartbeats."""

import threading
import time

import pytest

from support.server import Server
from support.subscribers import WAYS
from support.topics import Topic, value_of


@pytest.fixture(params=WAYS)
def subscribe(request):
    """Subscribes to a topic in one of the ways: `subscribe(topic, sequence_number=…, sequence_page=…)`."""
    made = []

    def make(topic, *, headers=None, **position):
        subscriber = WAYS[request.param](
            topic.server, topic.cache, topic.name, headers or topic.server.admin.headers, **position
        )
        made.append(subscriber)
        return subscriber

    yield make
    for subscriber in made:
        subscriber.close()


@pytest.fixture(scope="module")
def short_memory(tmp_path_factory):
    """A server that keeps four messages of a topic, and sends heartbeats often."""
    data = tmp_path_factory.mktemp("martlet") / "data"
    running = Server(data, arguments=["--topic-retained-messages", "4", "--topic-heartbeat", "0.25"]).start()
    yield running
    running.stop()


def numbers_of(items):
    return [item["topic_sequence_number"] for item in items]


# What comes


def test_the_newest_message_comes_first_and_then_all_that_follow(topic, subscribe):
    topic.publish("one", "two", "three")
    subscriber = subscribe(topic)
    (first,) = subscriber.items(1)
    assert (first["topic_sequence_number"], value_of(first)) == (3, "three")
    topic.publish("four", "five")
    items = subscriber.items(2)
    assert [(item["topic_sequence_number"], value_of(item)) for item in items] == [(4, "four"), (5, "five")]
    assert {item["sequence_page"] for item in items} == {first["sequence_page"]}


def test_a_new_topic_begins_with_one_on_a_page_named_by_the_time(topic, subscribe):
    subscriber = subscribe(topic)
    topic.publish("first")
    (item,) = subscriber.items(1)
    assert item["topic_sequence_number"] == 1
    assert abs(item["sequence_page"] / 1000 - time.time()) < 60


def test_values_keep_their_kind_and_every_byte(topic, subscribe):
    values = [
        "",
        b"",
        "naïve 💡",
        bytes(range(256)),
        '"\\\0\n\r\t\x1f\x7f',
        "\u2028data: x\n\nevent: y\n",
        b"\xff",
        "x" * 70_000,
    ]
    values += ["x" * length for length in (125, 126, 127, 65_400)]
    topic.publish("mark")
    subscriber = subscribe(topic)
    assert subscriber.values(1) == ["mark"]
    topic.publish(*values)
    assert subscriber.values(len(values)) == values


def test_a_message_names_its_publisher_when_that_has_a_label(server, topic, subscribe):
    permissions = [{"role": "writeonly", "cache": topic.cache, "topic": "*"}]
    topic.publish("root")
    subscriber = subscribe(topic)
    (item,) = subscriber.items(1)
    assert "publisher_id" not in item
    for minted, label in (
        (server.admin.make_token(permissions, token_id="user-42"), "user-42"),
        (server.admin.make_token(permissions, token_id='é"\\💡'), 'é"\\💡'),
        (server.admin.make_token(permissions), None),
        (server.admin.make_key(permissions, token_id="machine"), "machine"),
    ):
        topic.headers = minted.headers
        topic.publish("x")
        (item,) = subscriber.items(1)
        assert item.get("publisher_id") == label
        if label is None:
            assert "publisher_id" not in item


def test_topics_caches_and_tenants_do_not_mix(server, topic, subscribe):
    tenant = server.admin.make_tenant()
    tenant.make_cache(topic.cache)
    theirs = Topic(server, topic.cache)
    theirs.headers = tenant.make_key([{"role": "readwrite", "cache": "*", "topic": "*"}]).headers
    others = [
        Topic(server, server.admin.make_cache()),
        Topic(server, topic.cache, "NEWS"),
        Topic(server, topic.cache, "news "),
        theirs,
    ]
    subscribers = [subscribe(other, headers=other.headers) for other in others]
    mine = subscribe(topic)
    topic.publish("mine")
    for number, other in enumerate(others):
        other.publish(f"other {number}")
    assert mine.values(1) == ["mine"]
    for number, subscriber in enumerate(subscribers):
        assert subscriber.values(1) == [f"other {number}"]


def test_everybody_gets_the_same_messages_in_the_same_order(topic):
    topic.publish("first")
    subscribers = [way(topic.server, topic.cache, topic.name, topic.headers) for way in WAYS.values() for _ in range(3)]
    for subscriber in subscribers:
        assert subscriber.values(1) == ["first"]
    publishers = [Topic(topic.server, topic.cache) for _ in range(4)]
    threads = [
        threading.Thread(target=publisher.publish, args=[f"{number}:{count}" for count in range(25)])
        for number, publisher in enumerate(publishers)
    ]
    for thread in threads:
        thread.start()
    received = [subscriber.items(100) for subscriber in subscribers]
    for thread in threads:
        thread.join(10)
    assert all(items == received[0] for items in received)
    assert numbers_of(received[0]) == list(range(2, 102))
    for number in range(4):
        own = [value for value in map(value_of, received[0]) if value.startswith(f"{number}:")]
        assert own == [f"{number}:{count}" for count in range(25)]
    for subscriber in subscribers:
        subscriber.close()


# Resuming


@pytest.mark.parametrize("knows_page", [True, False], ids=["page", "no page"])
def test_resuming_goes_on_where_it_ended(topic, subscribe, knows_page):
    topic.publish("one", "two", "three", "four", "five")
    page = topic.newest()["sequence_page"] if knows_page else 0
    subscriber = subscribe(topic, sequence_number=2, sequence_page=page)
    assert subscriber.values(4) == ["two", "three", "four", "five"]
    topic.publish("six")
    assert subscriber.values(1) == ["six"]


def test_resuming_from_the_first_message_gets_all(topic, subscribe):
    topic.publish("one", "two", "three")
    page = topic.newest()["sequence_page"]
    assert subscribe(topic, sequence_number=1, sequence_page=page).values(3) == ["one", "two", "three"]


@pytest.mark.parametrize("knows_page", [True, False], ids=["page", "no page"])
def test_resuming_at_the_end_gets_what_is_new(topic, subscribe, knows_page):
    topic.publish("one", "two")
    page = topic.newest()["sequence_page"] if knows_page else 0
    subscriber = subscribe(topic, sequence_number=3, sequence_page=page)
    topic.publish("three")
    (item,) = subscriber.items(1)
    assert (item["topic_sequence_number"], value_of(item)) == (3, "three")


def test_a_position_that_is_no_longer_kept_is_a_gap(short_memory, subscribe):
    topic = Topic(short_memory, short_memory.admin.make_cache())
    topic.publish(*map(str, range(1, 11)))
    page = topic.newest()["sequence_page"]
    for number in (2, 6):
        for known in (page, 0):
            gap, *entries = subscribe(topic, sequence_number=number, sequence_page=known).take(5)
            assert gap == {
                "discontinuity": {
                    "last_topic_sequence": number - 1,
                    "new_topic_sequence": 6,
                    "new_sequence_page": page,
                }
            }
            assert numbers_of(entry["item"] for entry in entries) == [7, 8, 9, 10]
    assert subscribe(topic, sequence_number=7, sequence_page=page).values(4) == ["7", "8", "9", "10"]


@pytest.mark.parametrize("knows_page", [True, False], ids=["page", "no page"])
def test_a_position_in_the_future_is_a_gap(topic, subscribe, knows_page):
    topic.publish("one", "two", "three")
    page = topic.newest()["sequence_page"]
    subscriber = subscribe(topic, sequence_number=5, sequence_page=page if knows_page else 0)
    gap, entry = subscriber.take(2)
    assert gap["discontinuity"]["new_topic_sequence"] == 2
    assert gap["discontinuity"]["new_sequence_page"] == page
    assert value_of(entry["item"]) == "three"
    topic.publish("four", "five")
    assert subscriber.values(2) == ["four", "five"]


def test_a_position_on_another_page_is_a_gap(topic, subscribe):
    topic.publish("one", "two", "three")
    page = topic.newest()["sequence_page"]
    for number in (1, 2, 4, 100):
        for other in (page - 1, page + 1, 1):
            gap, entry = subscribe(topic, sequence_number=number, sequence_page=other).take(2)
            assert gap["discontinuity"]["new_topic_sequence"] == 2
            assert gap["discontinuity"]["new_sequence_page"] == page
            assert value_of(entry["item"]) == "three"


def test_a_position_in_a_topic_that_nobody_has_used_is_a_gap(topic, subscribe):
    subscriber = subscribe(topic, sequence_number=7, sequence_page=1234)
    (gap,) = subscriber.take(1)
    assert gap["discontinuity"]["new_topic_sequence"] == 0
    topic.publish("one")
    (item,) = subscriber.items(1)
    assert item["topic_sequence_number"] == 1
    assert gap["discontinuity"]["new_sequence_page"] == item["sequence_page"]


def test_a_flush_takes_what_was_kept_and_not_the_subscribers(server, topic, subscribe):
    topic.publish("one", "two")
    subscriber = subscribe(topic)
    (item,) = subscriber.items(1)
    page = item["sequence_page"]
    server.admin.call("POST", f"/caches/{topic.cache}/flush").must_be(204)
    topic.publish("three")
    (item,) = subscriber.items(1)
    assert (item["topic_sequence_number"], item["sequence_page"]) == (3, page)
    gap, entry = subscribe(topic, sequence_number=1, sequence_page=page).take(2)
    assert gap == {"discontinuity": {"last_topic_sequence": 0, "new_topic_sequence": 2, "new_sequence_page": page}}
    assert value_of(entry["item"]) == "three"


# Heartbeats


def test_whoever_waits_hears_the_heart(short_memory):
    topic = Topic(short_memory, short_memory.admin.make_cache())
    subscribers = [
        way(short_memory, topic.cache, topic.name, topic.headers) for name, way in WAYS.items() if name != "poll"
    ]

    # At 0.25 s, two come in half a second; at the default of ten they would not.
    started = time.monotonic()
    for subscriber in subscribers:
        subscriber.hear(2)
    assert time.monotonic() - started < 4
    # They never cost a number.
    topic.publish("one")
    for subscriber in subscribers:
        (item,) = subscriber.items(1)
        assert item["topic_sequence_number"] == 1
        subscriber.close()


# The ends


def test_a_cache_that_is_deleted_ends_its_subscriptions(server, subscribe, request):
    cache, other = server.admin.make_cache(), server.admin.make_cache()
    subscriber, staying = subscribe(Topic(server, cache)), subscribe(Topic(server, other))
    server.admin.call("DELETE", f"/caches/{cache}").must_be(204)
    ending = subscriber.ending(within=2)
    assert ending.error["code"] == "NotFound"
    way = request.node.callspec.params["subscribe"]
    expected = {"poll": 404, "websocket": 4404, "websocket over HTTP/2": 4404}
    assert ending.code == expected.get(way)
    # A new cache under the old name is another one.
    server.admin.make_cache(cache)
    again = subscribe(Topic(server, cache))
    Topic(server, cache).publish("new")
    assert again.values(1) == ["new"]
    Topic(server, other).publish("other")
    assert staying.values(1) == ["other"]
    if way == "stream":
        # The connection stays, and its other subscriptions would.
        answer = subscriber.channel.ask({"subscribe": {"id": "t", "cache": other, "topic": "news"}})
        assert answer == {"id": "t", "subscribed": {}}
