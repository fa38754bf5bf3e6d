"""The official SDK: topics. Both of its faces, and both of each other's messages."""

import pytest
from momento import TopicConfigurations
from momento.errors import MomentoErrorCode

from support.admin import fresh_name
from support.sdk import kind_of, must, must_fail
from support.topics import may
from support.waiting import eventually
from support.wire import Subscription, topic_value


@pytest.fixture
def topics(sdk):
    return sdk.topics()


def subscribe(topics, cache, topic="news", number=0, page=0):
    response = topics.subscribe(cache, topic, number, page)
    # The asynchronous one is wrapped.
    kind = kind_of(getattr(response, "_wrapped", response))
    assert kind in ("Subscription", "SubscriptionAsync"), kind
    return response


def take(subscription, count):
    return [next(subscription) for _ in range(count)]


def test_what_is_published_comes_in_order_with_its_kind(topics, cache):
    subscription = subscribe(topics, cache)
    messages = ["text", b"bytes", "grüße 🜁", b"", b"\x00\xff", "x" * 100_000, "last"]
    for value in messages:
        must(topics.publish(cache, "news", value), "Success")
    items = take(subscription, len(messages))
    assert [item.value for item in items] == messages
    assert [kind_of(item) for item in items] == ["Text" if isinstance(value, str) else "Binary" for value in messages]
    assert [item.sequence_number for item in items] == list(range(1, len(messages) + 1))
    assert len({item.sequence_page for item in items}) == 1 and items[0].sequence_page > 0
    subscription.unsubscribe()


def test_whoever_comes_later_gets_the_newest_message_first(topics, cache):
    for value in ("one", "two", "three"):
        must(topics.publish(cache, "news", value), "Success")
    subscription = subscribe(topics, cache)
    first = next(subscription)
    assert (first.value, first.sequence_number) == ("three", 3)
    must(topics.publish(cache, "news", "four"), "Success")
    assert next(subscription).value == "four"
    subscription.unsubscribe()


def test_several_subscribers_get_the_same(topics, sdk, cache):
    subscriptions = [subscribe(topics, cache) for _ in range(10)] + [subscribe(sdk.topics(), cache) for _ in range(5)]
    other = subscribe(topics, cache, "another topic")
    for number in range(20):
        must(topics.publish(cache, "news", f"message {number}"), "Success")
    must(topics.publish(cache, "another topic", "aside"), "Success")
    for subscription in subscriptions:
        assert [item.value for item in take(subscription, 20)] == [f"message {number}" for number in range(20)]
        subscription.unsubscribe()
    assert next(other).value == "aside"
    other.unsubscribe()


def test_a_subscription_is_resumed_without_a_gap(topics, cache):
    subscription = subscribe(topics, cache)
    for number in range(1, 6):
        must(topics.publish(cache, "news", str(number)), "Success")
    page = take(subscription, 2)[-1].sequence_page
    subscription.unsubscribe()
    # The next one, the last one received again, and without a page.
    for number, from_page in ((3, page), (2, page), (3, 0)):
        resumed = subscribe(topics, cache, "news", number, from_page)
        items = take(resumed, 6 - number)
        assert [item.value for item in items] == [str(value) for value in range(number, 6)]
        resumed.unsubscribe()
    # Nothing was missed: only what comes.
    resumed = subscribe(topics, cache, "news", 6, page)
    must(topics.publish(cache, "news", "6"), "Success")
    assert next(resumed).value == "6"
    resumed.unsubscribe()


def test_a_resumption_elsewhere_goes_on_with_what_there_is(topics, cache):
    for number in range(1, 4):
        must(topics.publish(cache, "news", str(number)), "Success")
    for number, page in ((2, 1), (50, 0)):
        resumed = subscribe(topics, cache, "news", number, page)
        assert next(resumed).value == "3"
        resumed.unsubscribe()


def test_both_doors_carry_the_same_topic(topics, topic, cache, server):
    subscription = subscribe(topics, cache)
    topic.publish("from REST", b"\x01")
    must(topics.publish(cache, "news", "from the SDK"), "Success")
    assert [item.value for item in take(subscription, 3)] == ["from REST", b"\x01", "from the SDK"]
    assert topic.newest()["value"] == {"text": "from the SDK"}
    subscription.unsubscribe()


def test_the_publisher_is_told(topics, sdk, cache, server, caller):
    """The SDK hides who published: the wire tells it."""
    token = server.admin.make_token(may("readwrite"), token_id="user-42")
    with Subscription(caller, cache, "news") as subscription:
        must(sdk.topics(token.credential).publish(cache, "news", "by a token"), "Success")
        must(topics.publish(cache, "news", "by a key"), "Success")
        items = subscription.items(2)
    assert [(topic_value(item), item.publisher_id) for item in items] == [("by a token", "user-42"), ("by a key", "")]


def test_refusals_are_told_by_subscribe_itself(topics, sdk, server, cache):
    missing = fresh_name("missing")
    must_fail(topics.publish(missing, "news", "value"), MomentoErrorCode.NOT_FOUND_ERROR)
    must_fail(topics.subscribe(missing, "news"), MomentoErrorCode.NOT_FOUND_ERROR)
    must_fail(topics.publish(cache, "  ", "value"), MomentoErrorCode.INVALID_ARGUMENT_ERROR)
    must_fail(topics.subscribe(cache, "  "), MomentoErrorCode.INVALID_ARGUMENT_ERROR)
    writer = sdk.topics(server.admin.make_token(may("writeonly", cache, topic="news")).credential)
    must(writer.publish(cache, "news", "value"), "Success")
    must_fail(writer.subscribe(cache, "news"), MomentoErrorCode.PERMISSION_ERROR)
    must_fail(writer.publish(cache, "other", "value"), MomentoErrorCode.PERMISSION_ERROR)
    reader = sdk.topics(server.admin.make_token(may("readonly", cache, topic_prefix="ne")).credential)
    subscription = subscribe(reader, cache)
    assert next(subscription).value == "value"
    must_fail(reader.publish(cache, "news", "value"), MomentoErrorCode.PERMISSION_ERROR)
    must_fail(reader.subscribe(cache, "other"), MomentoErrorCode.PERMISSION_ERROR)
    subscription.unsubscribe()


def test_limits_are_told_as_such(sdk, server):
    cache = server.admin.make_cache(limits={"max_subscriptions": 2, "max_message_bytes": 1000})
    topics = sdk.topics()
    subscriptions = [subscribe(topics, cache) for _ in range(2)]
    error = must_fail(topics.subscribe(cache, "news"), MomentoErrorCode.LIMIT_EXCEEDED_ERROR)
    trailers = dict(error.inner_exception.transport_details.grpc.metadata)
    assert trailers["err"] == "topic_subscriptions_limit_exceeded"
    must_fail(topics.publish(cache, "news", "x" * 1001), MomentoErrorCode.LIMIT_EXCEEDED_ERROR)
    must(topics.publish(cache, "news", "x" * 1000), "Success")
    # Whoever leaves makes room.
    subscriptions.pop().unsubscribe()

    def is_served():
        response = topics.subscribe(cache, "news")
        if type(getattr(response, "_wrapped", response)).__name__ == "Error":
            return False
        subscriptions.append(response)
        return True

    eventually(is_served, what="room for another subscription")
    for subscription in subscriptions:
        subscription.unsubscribe()


def test_hundreds_of_subscriptions_of_one_client(sdk, cache):
    topics = sdk.topics(configuration=TopicConfigurations.Default.latest().with_max_subscriptions(200))
    subscriptions = [subscribe(topics, cache, f"topic {number}") for number in range(200)]
    for number in range(0, 200, 7):
        must(topics.publish(cache, f"topic {number}", str(number)), "Success")
    for number in range(0, 200, 7):
        assert next(subscriptions[number]).value == str(number)
    for subscription in subscriptions:
        subscription.unsubscribe()
