"""gRPC-web without a proxy: binary and text, over HTTP/1.1 and HTTP/2, unary and streams, and what CORS asks for."""

import base64

import pytest

from support.frames import frame
from support.grpc_web import BINARY, TEXT, TRAILERS, WebStream, encode, headers_for, read_trailers, take
from support.server import inner_form
from support.wire import HIT, MISS, OK, Code, caller_for, pubsub, scs, token, topic_value

KINDS = ["application/grpc-web", BINARY, TEXT, "application/grpc-web-text+proto"]
ORIGIN = "https://app.example"
# What the official SDK sends.
ASKED = (
    "content-type,x-grpc-web,x-user-agent,grpc-timeout,authorization,cache,agent,runtime-version,read-concern,"
    "request-id"
)


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


class Web:
    """Calls with a credential, on a cache."""

    def __init__(self, client, kind, credential, cache):
        self._client, self.kind, self._credential, self._cache = client, kind, credential, cache

    def call(self, path, message, *, body=None, **changes):
        headers = headers_for(self.kind, self._credential, self._cache) | changes
        headers = {name: value for name, value in headers.items() if value is not None}
        sent = encode(message.SerializeToString(), self.kind) if body is None else body
        return take(self._client.request("POST", path, headers=headers, body=sent), self.kind)


@pytest.fixture
def web(client, kind, server, cache):
    return Web(client, kind, inner_form(server.root_key), cache)


def get(web, key=b"k", **changes):
    return web.call("/cache_client.Scs/Get", scs.GetRequest(cache_key=key), **changes)


def set_value(web, value, key=b"k", **changes):
    request = scs.SetRequest(cache_key=key, cache_body=value, ttl_milliseconds=60_000)
    return web.call("/cache_client.Scs/Set", request, **changes)


@pytest.mark.parametrize("value", [b"", b"v", b"va", b"val", b"\x00\xff" * 200_000], ids=len)
def test_a_value_is_set_and_got(web, value):
    (data,) = set_value(web, value).must_be(Code.OK).messages
    assert scs.SetResponse.FromString(data).result == OK
    answer = get(web).must_be(Code.OK)
    (data,) = answer.messages
    response = scs.GetResponse.FromString(data)
    assert (response.result, response.cache_body) == (HIT, value)
    (data,) = get(web, b"none").must_be(Code.OK).messages
    assert scs.GetResponse.FromString(data).result == MISS


def test_an_empty_message_is_a_frame_all_the_same(web):
    """Without one the official client takes the answer for cut short."""
    answer = web.call("/cache_client.Scs/Delete", scs.DeleteRequest(cache_key=b"k")).must_be(Code.OK)
    assert answer.messages == [b""]


def test_batches_come_item_by_item(web):
    items = [{"cache_key": b"%d" % number, "cache_body": b"x", "ttl_milliseconds": 60_000} for number in range(100)]
    answer = web.call("/cache_client.Scs/SetBatch", scs.SetBatchRequest(items=items)).must_be(Code.OK)
    assert len(answer.messages) == 100


def test_errors_stand_in_trailers(web):
    answer = get(web, cache="missing").must_be(Code.NOT_FOUND)
    assert answer.messages == [] and answer.message
    get(web, authorization="nobody").must_be(Code.UNAUTHENTICATED)
    get(web, authorization=None).must_be(Code.UNAUTHENTICATED)
    get(web, b"").must_be(Code.INVALID_ARGUMENT)
    web.call("/cache_client.Scs/NoSuch", scs.GetRequest()).must_be(Code.UNIMPLEMENTED)
    set_value(web, b"x" * 5_300_000).must_be(Code.RESOURCE_EXHAUSTED, err="request_size_limit_exceeded")
    # The connection is of use still.
    set_value(web, b"v").must_be(Code.OK)


def test_bodies_that_cannot_be_are_told(web, kind):
    bodies = [b"", frame(b"")[:3], frame(b"x" * 10)[:-1], frame(b"", flag=TRAILERS), frame(b"") * 2, frame(b"\xff" * 5)]
    if "-text" in kind:
        bodies = [base64.b64encode(body) for body in bodies] + [b"!!!!", b"AAA", b"AAAA=AAA", b"A", b"===="]
    for body in bodies:
        answer = web.call("/cache_client.Scs/Get", None, body=body)
        assert answer.code in (Code.INVALID_ARGUMENT, Code.INTERNAL, Code.UNIMPLEMENTED), body


def test_text_may_be_padded_within(client, server, cache):
    """Whoever encodes piece by piece pads each."""
    web = Web(client, TEXT, inner_form(server.root_key), cache)
    body = frame(scs.SetRequest(cache_key=b"k", cache_body=b"value", ttl_milliseconds=60_000).SerializeToString())
    pieces = b"".join(base64.b64encode(body[at : at + 4]) for at in range(0, len(body), 4))
    assert b"=" in pieces.rstrip(b"=")
    web.call("/cache_client.Scs/Set", None, body=pieces).must_be(Code.OK)
    (data,) = get(web).must_be(Code.OK).messages
    assert scs.GetResponse.FromString(data).cache_body == b"value"


def test_tokens_are_made_and_used(web, server):
    """As a browser does that holds nothing: the credential of the one who makes it stands in the message."""
    request = token.GenerateDisposableTokenRequest(
        auth_token=inner_form(server.root_key),
        expires={"valid_for_seconds": 60},
        permissions={"explicit": {"permissions": [{"cache_permissions": {"role": 2, "all_caches": {}}}]}},
    )
    answer = web.call("/token.Token/GenerateDisposableToken", request, authorization=None, cache=None).must_be(Code.OK)
    made = token.GenerateDisposableTokenResponse.FromString(answer.messages[0])
    server.keep_secret(made.api_key)
    get(web, authorization=made.api_key).must_be(Code.OK)
    set_value(web, b"v", authorization=made.api_key).must_be(Code.PERMISSION_DENIED)


# Streams


def subscribe(server, cache, kind, **changes):
    request = pubsub.SubscriptionRequest(cache_name=cache, topic="news").SerializeToString()
    headers = headers_for(kind, inner_form(server.root_key), grpc_timeout=None) | changes
    return WebStream(server, "/cache_client.pubsub.Pubsub/Subscribe", request, kind, headers)


def next_of(stream, kind):
    """The next message of that kind; heartbeats are passed over."""
    while True:
        flag, data = stream.next()
        assert flag == 0, data
        item = pubsub.SubscriptionItem.FromString(data)
        if item.WhichOneof("kind") == kind:
            return getattr(item, kind)
        assert item.WhichOneof("kind") == "heartbeat", item


def test_messages_come_at_once(server, cache, kind, topic):
    with subscribe(server, cache, kind, origin=ORIGIN) as stream:
        assert stream.status == 200
        assert stream.headers["access-control-allow-origin"] in ("*", ORIGIN)
        next_of(stream, "heartbeat")
        for value in ("a", "text", b"\x00\xff", "x" * 100_000):
            topic.publish(value)
            assert topic_value(next_of(stream, "item")) == value


def test_a_stream_ends_with_trailers(server, cache, kind):
    with subscribe(server, cache, kind) as stream:
        next_of(stream, "heartbeat")
        server.admin.call("DELETE", f"/caches/{cache}").must_be(204)
        while True:
            flag, data = stream.next()
            if flag == TRAILERS:
                break
        trailers = read_trailers(data)
        assert trailers["grpc-status"] == str(Code.NOT_FOUND.value[0])
        assert stream.next() is None


def test_a_stream_over_http2(server, cache, kind, topic):
    connection = server.http2()
    request = pubsub.SubscriptionRequest(cache_name=cache, topic="news").SerializeToString()
    stream_id = connection.open(
        "POST",
        "/cache_client.pubsub.Pubsub/Subscribe",
        headers=headers_for(kind, inner_form(server.root_key), grpc_timeout="700m"),
        ends=False,
    )
    connection.send_body(stream_id, encode(request, kind))
    connection.run(lambda: connection.streams[stream_id].body)
    topic.publish("value")
    answer = take(connection.finish(stream_id), kind)
    answer.must_be(Code.DEADLINE_EXCEEDED)
    items = [pubsub.SubscriptionItem.FromString(data) for data in answer.messages]
    assert [topic_value(item.item) for item in items if item.WhichOneof("kind") == "item"] == ["value"]
    connection.close()


def test_refusals_of_streams_are_answers(web, cache):
    request = pubsub.SubscriptionRequest(cache_name="missing", topic="news")
    web.call("/cache_client.pubsub.Pubsub/Subscribe", request).must_be(Code.NOT_FOUND)


# CORS


def preflight(client, method="POST", path="/cache_client.Scs/Get"):
    headers = {"origin": ORIGIN, "access-control-request-method": method, "access-control-request-headers": ASKED}
    return client.request("OPTIONS", path, headers=headers)


def names_of(value):
    return {name.strip().lower() for name in value.split(",")}


def test_a_browser_may_call_from_anywhere(client):
    response = preflight(client)
    assert response.status in (200, 204)
    headers = response.headers
    assert headers["access-control-allow-origin"] in ("*", ORIGIN)
    assert "POST" in headers["access-control-allow-methods"]
    assert names_of(headers["access-control-allow-headers"]) >= set(ASKED.split(","))
    assert int(headers["access-control-max-age"]) >= 3600
    assert headers.get("access-control-allow-credentials") is None


def test_a_page_may_read_what_an_answer_says(web):
    for answer in (
        get(web, origin=ORIGIN),
        get(web, origin=ORIGIN, cache="missing"),
        get(web, origin=ORIGIN, authorization="x"),
    ):
        assert answer.headers["access-control-allow-origin"] in ("*", ORIGIN)
        exposed = names_of(answer.headers["access-control-expose-headers"])
        assert exposed >= {"grpc-status", "grpc-message", "err"}


def test_calls_are_on_the_bill_of_their_own_door(web, server, cache):
    set_value(web, b"x" * 100).must_be(Code.OK)
    get(web).must_be(Code.OK)
    assert server.admin.used(cache, door="grpc-web")["operations"] == 2
    assert server.admin.usage(cache, door="grpc") == []


def test_both_doors_hold_the_same_items(web, caller):
    set_value(web, b"from the web").must_be(Code.OK)
    assert caller.scs.Get(cache_key=b"k").cache_body == b"from the web"


def test_it_works_over_tls(make_server):
    server = make_server(is_development=False)
    caller = caller_for(server)
    caller.control.CreateCache(cache_name="secure")
    caller.close()
    client = server.client()
    web = Web(client, TEXT, inner_form(server.root_key), "secure")
    set_value(web, b"v").must_be(Code.OK)
    get(web).must_be(Code.OK)
    client.close()
