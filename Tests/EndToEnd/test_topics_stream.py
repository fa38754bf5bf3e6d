"""`/v1/stream`: one WebSocket for many subscriptions, each under an id of its own."""

import pytest

from support.admin import fresh_name
from support.topics import STREAM, Topic, may, value_of
from support.websocket import Http2WebSocket, WebSocket


@pytest.fixture(params=[WebSocket, Http2WebSocket], ids=["http1", "http2"])
def stream(request, server):
    with request.param(server, STREAM, server.admin.headers) as made:
        yield made


def subscribe(stream, identifier, cache, topic, **position):
    stream.send({"subscribe": {"id": identifier, "cache": cache, "topic": topic, **position}})
    answer = stream.receive()
    assert answer == {"id": identifier, "subscribed": {}}, answer


def must_refuse(answer, code, identifier=None):
    error = answer.pop("error")
    assert error["code"] == code, error
    assert answer == ({} if identifier is None else {"id": identifier}), answer
    return error


def item_of(document, identifier):
    assert document["id"] == identifier and set(document) == {"id", "item"}, document
    return document["item"]


def test_a_subscription_gets_its_messages_under_its_id(stream, topic):
    topic.publish("one", "two")
    subscribe(stream, "a", topic.cache, topic.name)
    item = item_of(stream.receive(), "a")
    assert (item["topic_sequence_number"], value_of(item)) == (2, "two")
    topic.publish("three", b"\xff")
    assert value_of(item_of(stream.receive(), "a")) == "three"
    assert value_of(item_of(stream.receive(), "a")) == b"\xff"


def test_two_subscriptions_go_their_own_ways(server, stream, topic):
    other = Topic(server, server.admin.make_cache(), "other")
    subscribe(stream, "a", topic.cache, topic.name)
    subscribe(stream, "b", other.cache, other.name)
    for number in range(3):
        topic.publish(f"a{number}")
        assert value_of(item_of(stream.receive(), "a")) == f"a{number}"
        other.publish(f"b{number}")
        item = item_of(stream.receive(), "b")
        assert (item["topic_sequence_number"], value_of(item)) == (number + 1, f"b{number}")
    assert stream.ask({"unsubscribe": {"id": "a"}}) == {"id": "a", "unsubscribed": {}}
    topic.publish("nobody hears this")
    other.publish("b3")
    assert value_of(item_of(stream.receive(), "b")) == "b3"
    # The id is free again.
    subscribe(stream, "a", topic.cache, topic.name, sequence_number=3)
    assert value_of(item_of(stream.receive(), "a")) == "a2"
    assert value_of(item_of(stream.receive(), "a")) == "nobody hears this"


def test_one_topic_may_be_had_twice(stream, topic):
    subscribe(stream, "a", topic.cache, topic.name)
    subscribe(stream, "b", topic.cache, topic.name)
    topic.publish("x")
    heard = [stream.receive(), stream.receive()]
    assert {document["id"] for document in heard} == {"a", "b"}
    assert heard[0]["item"] == heard[1]["item"]


def test_resuming_and_gaps_are_each_subscription_s_own(stream, topic):
    topic.publish("one", "two", "three")
    page = topic.newest()["sequence_page"]
    subscribe(stream, "resumes", topic.cache, topic.name, sequence_number=2, sequence_page=page)
    assert [value_of(item_of(stream.receive(), "resumes")) for _ in range(2)] == ["two", "three"]
    subscribe(stream, "elsewhere", topic.cache, topic.name, sequence_number=2, sequence_page=page - 1)
    gap = stream.receive()
    assert gap["id"] == "elsewhere"
    assert gap["discontinuity"]["new_topic_sequence"] == 2
    assert gap["discontinuity"]["new_sequence_page"] == page
    assert value_of(item_of(stream.receive(), "elsewhere")) == "three"


def test_heartbeats_go_to_subscriptions_or_to_the_connection(make_server):
    server = make_server(arguments=["--topic-heartbeat", "0.25"])
    with WebSocket(server, STREAM, server.admin.headers) as stream:
        for _ in range(2):
            assert stream.receive(with_heartbeats=True) == {"heartbeat": {}}
        for identifier in ("a", "b"):
            stream.send({"subscribe": {"id": identifier, "cache": "default", "topic": identifier}})
        heard = set()
        while heard < {"a", "b"}:
            document = stream.receive(with_heartbeats=True)
            if "heartbeat" in document:
                heard.add(document.get("id"))
        for identifier in ("a", "b"):
            stream.send({"unsubscribe": {"id": identifier}})
        while "id" in stream.receive(with_heartbeats=True):
            pass
        assert stream.receive(with_heartbeats=True) == {"heartbeat": {}}


# Publishing


def test_publishing_names_its_topic_or_a_subscription(server, stream, topic):
    subscribe(stream, "a", topic.cache, topic.name)
    for fields in (
        {"id": "a"},
        {"cache": topic.cache, "topic": topic.name},
        {"id": "another", "cache": topic.cache, "topic": topic.name},
    ):
        for value in ({"text": "x"}, {"binary": "/w=="}):
            stream.send({"publish": {**fields, **value}})
            heard = [stream.receive(), stream.receive()]
            (answer,) = [document for document in heard if "published" in document]
            (item,) = [document["item"] for document in heard if "item" in document]
            assert answer.get("id") == fields.get("id")
            assert item == {**answer["published"], "value": value}
    # A topic that nobody here has subscribed to.
    stream.send({"publish": {"id": "b", "cache": topic.cache, "topic": "other", "text": "y"}})
    answer = stream.receive()
    assert (answer["id"], answer["published"]["topic_sequence_number"]) == ("b", 1)


@pytest.mark.parametrize(
    "fields",
    [{}, {"id": "nobody"}, {"cache": "{cache}"}, {"topic": "news"}, {"id": "nobody", "topic": "news"}],
    ids=str,
)
def test_publishing_to_nowhere_is_an_error(stream, topic, fields):
    fields = {name: value.format(cache=topic.cache) for name, value in fields.items()}
    answer = stream.ask({"publish": {**fields, "text": "x"}})
    code = answer["error"]["code"]
    assert code in ("InvalidArgument", "NotFound"), answer
    must_refuse(answer, code, fields.get("id"))


def test_what_is_too_long_is_refused_and_the_stream_stays(server, stream):
    cache = server.admin.make_cache(limits={"max_message_bytes": 10})
    answer = stream.ask({"publish": {"id": "p", "cache": cache, "topic": "t", "text": "x" * 11}})
    error = must_refuse(answer, "TooLarge", "p")
    assert (error["limit"], error["value"]) == ("max_message_bytes", 10)
    assert "published" in stream.ask({"publish": {"id": "p", "cache": cache, "topic": "t", "text": "x" * 10}})


# Errors


def test_an_id_is_taken_once(stream, topic):
    subscribe(stream, "a", topic.cache, topic.name)
    for name in (topic.name, "other"):
        answer = stream.ask({"subscribe": {"id": "a", "cache": topic.cache, "topic": name}})
        must_refuse(answer, "AlreadyExists", "a")
    topic.publish("x")
    assert value_of(item_of(stream.receive(), "a")) == "x"


def test_an_id_that_is_not_there_cannot_be_given_up(stream):
    must_refuse(stream.ask({"unsubscribe": {"id": "a"}}), "NotFound", "a")


def test_a_cache_that_is_not_there_ends_nothing(stream, topic):
    subscribe(stream, "a", topic.cache, topic.name)
    missing = fresh_name("missing")
    must_refuse(stream.ask({"subscribe": {"id": "b", "cache": missing, "topic": "t"}}), "NotFound", "b")
    must_refuse(stream.ask({"publish": {"id": "c", "cache": missing, "topic": "t", "text": "x"}}), "NotFound", "c")
    topic.publish("x")
    assert value_of(item_of(stream.receive(), "a")) == "x"


@pytest.mark.parametrize(
    "fields,field",
    [
        ({"topic": " "}, "topic"),
        ({"topic": ""}, "topic"),
        ({"topic": "x" * 1025}, "topic"),
        ({"topic": "a\nb"}, "topic"),
        ({"topic": 7}, "topic"),
        ({"topic": None}, "topic"),
        ({"cache": 7}, "cache"),
        ({"sequence_number": -1}, "sequence_number"),
        ({"sequence_number": 1.5}, "sequence_number"),
        ({"sequence_number": "1"}, "sequence_number"),
        ({"sequence_number": 2**64}, "sequence_number"),
        ({"sequence_page": -1}, "sequence_page"),
        ({"sequence_page": True}, "sequence_page"),
        ({"colour": "red"}, "colour"),
    ],
    ids=str,
)
def test_what_cannot_be_subscribed_is_refused_with_its_field(stream, topic, fields, field):
    answer = stream.ask({"subscribe": {"id": "a", "cache": topic.cache, "topic": "t", **fields}})
    error = answer["error"]
    assert error["code"] == "InvalidArgument", error
    assert error["field"].endswith(field), error
    subscribe(stream, "a", topic.cache, topic.name)


@pytest.mark.parametrize("identifier", ["", "x" * 129, 7, None, ["a"], {}])
def test_an_id_that_cannot_be_is_refused(stream, topic, identifier):
    for request in (
        {"subscribe": {"id": identifier, "cache": topic.cache, "topic": "t"}},
        {"unsubscribe": {"id": identifier}},
        {"publish": {"id": identifier, "cache": topic.cache, "topic": "t", "text": "x"}},
    ):
        answer = stream.ask(request)
        assert answer["error"]["code"] == "InvalidArgument", answer
    subscribe(stream, "x" * 128, topic.cache, topic.name)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"subscribe":{}}',
        '{"subscribe":{"id":"a"}}',
        '{"subscribe":{"cache":"c","topic":"t"}}',
        '{"unsubscribe":{}}',
        '{"publish":{"text":"x"}}',
        '{"subscribed":{}}',
        '{"id":"a","subscribe":{"id":"a","cache":"c","topic":"t"}}',
        '{"auth":{}}',
    ],
)
def test_what_is_no_request_gets_an_error_and_the_stream_stays(stream, topic, text):
    stream.send_text(text)
    assert stream.receive()["error"]["code"] == "InvalidArgument"
    subscribe(stream, "a", topic.cache, topic.name)


@pytest.mark.parametrize("identifier", ["a", "💡" * 32, '"\\\n', "é" * 64, " "])
def test_an_id_comes_back_as_it_was_given(stream, topic, identifier):
    subscribe(stream, identifier, topic.cache, topic.name)
    topic.publish("x")
    assert value_of(item_of(stream.receive(), identifier)) == "x"


# Permissions


def test_each_subscription_needs_its_permission(server, cache):
    token = server.admin.make_token(
        [
            *may("readonly", cache, topic="read"),
            *may("writeonly", cache, topic="write"),
            *may("readwrite", cache, topic_prefix="own:"),
            {"role": "readwrite", "cache": cache},
        ]
    )
    elsewhere = server.admin.make_cache()
    with WebSocket(server, STREAM, token.headers) as stream:
        for number, (name, topic, reads, writes) in enumerate(
            (
                (cache, "read", True, False),
                (cache, "write", False, True),
                (cache, "own:1", True, True),
                (cache, "other", False, False),
                (elsewhere, "read", False, False),
                (fresh_name("missing"), "read", False, False),
            )
        ):
            identifier = str(number)
            answer = stream.ask({"subscribe": {"id": identifier, "cache": name, "topic": topic}})
            assert ("subscribed" in answer) == reads, answer
            if not reads:
                must_refuse(answer, "PermissionDenied", identifier)
            answer = stream.ask({"publish": {"id": "p" + identifier, "cache": name, "topic": topic, "text": "x"}})
            if "item" in answer:
                answer = stream.receive()
            assert ("published" in answer) == writes, answer
            if not writes:
                must_refuse(answer, "PermissionDenied", "p" + identifier)
            elif reads:
                # The item may come before or after the answer.
                stream.send({"unsubscribe": {"id": identifier}})
                while "unsubscribed" not in stream.receive():
                    pass


def test_any_credential_may_open_a_stream(server, cache):
    for minted in (server.admin.make_token(), server.admin.make_token(may("writeonly")), server.admin.make_key()):
        with WebSocket(server, STREAM, minted.headers) as stream:
            answer = stream.ask({"subscribe": {"id": "a", "cache": cache, "topic": "t"}})
            must_refuse(answer, "PermissionDenied", "a")


# Bounds


def test_a_stream_holds_4096_subscriptions(server, cache):
    with WebSocket(server, STREAM, server.admin.headers) as stream:
        for number in range(4096):
            stream.send({"subscribe": {"id": str(number), "cache": cache, "topic": f"t{number % 64}"}})
        for number in range(4096):
            assert stream.receive() == {"id": str(number), "subscribed": {}}
        answer = stream.ask({"subscribe": {"id": "more", "cache": cache, "topic": "t"}})
        must_refuse(answer, "LimitExceeded", "more")
        Topic(server, cache, "t7").publish("x")
        assert {stream.receive()["id"] for _ in range(64)} == {str(number) for number in range(7, 4096, 64)}
        assert stream.ask({"unsubscribe": {"id": "0"}}) == {"id": "0", "unsubscribed": {}}
        subscribe(stream, "more", cache, "t")


def test_a_deleted_cache_ends_its_subscriptions_and_no_others(server, stream, topic):
    gone = server.admin.make_cache()
    for identifier in ("a", "b"):
        subscribe(stream, identifier, gone, identifier)
    subscribe(stream, "c", topic.cache, topic.name)
    server.admin.call("DELETE", f"/caches/{gone}").must_be(204)
    heard = [stream.receive(within=2) for _ in range(2)]
    assert {document["id"] for document in heard} == {"a", "b"}
    for document in heard:
        must_refuse(document, "NotFound", document["id"])
    topic.publish("x")
    assert value_of(item_of(stream.receive(), "c")) == "x"
    subscribe(stream, "a", topic.cache, topic.name)
