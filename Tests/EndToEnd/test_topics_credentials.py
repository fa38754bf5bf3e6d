"""Who may publish and subscribe, and what becomes of a subscription whose credential expires, is renewed or revoked."""

import contextlib
import json
import time

import pytest

from support.admin import fresh_name
from support.subscribers import WAYS
from support.topics import STREAM, Topic, may, publish, topic_target, value_of
from support.waiting import eventually
from support.websocket import EXPIRED, REVOKED, Http2WebSocket, RawWebSocket, WebSocket, offer

READ, WRITE, BOTH = "readonly", "writeonly", "readwrite"
TOPICS = ("chat:1", "chat:12", "chat:", "chat", "Chat:1", "other")

# What becomes of each kind of subscription: the close code of a socket, the status of a poll, nothing for events.
SOCKETS = ("websocket", "websocket over HTTP/2", "stream")


@pytest.fixture
def everybody():
    """Subscribes in every way at once: `everybody(topic, headers)` gives them by the name of the way."""
    made = []

    def make(topic, headers):
        subscribers = {name: way(topic.server, topic.cache, topic.name, headers) for name, way in WAYS.items()}
        made.extend(subscribers.values())
        return subscribers

    yield make
    for subscriber in made:
        subscriber.close()


def must_hear(topic, subscribers):
    text = fresh_name("message")
    topic.publish(text)
    for name, subscriber in subscribers.items():
        assert subscriber.values(1) == [text], name


def must_end(subscribers, code, *, status, close_code, within):
    """Every subscriber must be told why, within so many seconds from now."""
    deadline = time.monotonic() + within
    for name, subscriber in subscribers.items():
        ending = subscriber.ending(within=max(0.01, deadline - time.monotonic()))
        assert ending.error is not None and ending.error["code"] == code, (name, ending)
        assert ending.error["message"], name
        expected = status if name == "poll" else close_code if name in SOCKETS else None
        assert ending.code == expected, (name, ending)


# Permissions


def selectors(cache):
    """Each way to say what a permission is for, and by itself what that means: cache and topic."""
    return {
        "all topics": ({"cache": "*", "topic": "*"}, lambda name, topic: True),
        "topics of a cache": ({"cache": cache, "topic": "*"}, lambda name, topic: name == cache),
        "one topic": ({"cache": cache, "topic": "chat:1"}, lambda name, topic: (name, topic) == (cache, "chat:1")),
        "a topic everywhere": ({"cache": "*", "topic": "chat:1"}, lambda name, topic: topic == "chat:1"),
        "a prefix": (
            {"cache": cache, "topic_prefix": "chat:"},
            lambda name, topic: name == cache and topic.startswith("chat:"),
        ),
        "a prefix everywhere": ({"cache": "*", "topic_prefix": "chat:"}, lambda name, topic: topic.startswith("chat:")),
        "all items": ({"cache": "*"}, lambda name, topic: False),
        "an item": ({"cache": cache, "key": "chat:1"}, lambda name, topic: False),
        "items by prefix": ({"cache": cache, "key_prefix": "chat:"}, lambda name, topic: False),
    }


@pytest.fixture(scope="module")
def caches(server):
    names = server.admin.make_cache(), server.admin.make_cache()
    for cache in names:
        for topic in TOPICS:
            Topic(server, cache, topic).publish("there is one")
    return names


@pytest.mark.parametrize("role", [READ, WRITE, BOTH])
@pytest.mark.parametrize("selector", selectors("any"))
def test_the_table_holds(server, client, caches, role, selector):
    statement, is_meant = selectors(caches[0])[selector]
    for minted in (
        server.admin.make_token([{"role": role, **statement}]),
        server.admin.make_key([{"role": role, **statement}]),
    ):
        for cache in caches:
            for name in TOPICS:
                response = publish(client, minted.headers, cache, name, "x")
                allowed = role in (WRITE, BOTH) and is_meant(cache, name)
                assert response.status == (204 if allowed else 403), (cache, name)
                response = client.request("GET", topic_target(cache, name), headers=minted.headers)
                allowed = role in (READ, BOTH) and is_meant(cache, name)
                assert response.status == (200 if allowed else 403), (cache, name)
                if not allowed:
                    response.must_refuse(403, "PermissionDenied", says="Insufficient permissions")


def test_permissions_hold_at_every_way_in(server, topic):
    topic.publish("x")
    for permissions, is_allowed in (
        (may(READ, topic.cache, topic="news"), True),
        (may(READ, topic.cache, topic_prefix="ne"), True),
        (may(WRITE, topic.cache, topic="news"), False),
        (may(READ, topic.cache, topic="new"), False),
        (may(BOTH, topic.cache, topic_prefix="news:"), False),
        ([{"role": BOTH, "cache": topic.cache}], False),
    ):
        headers = server.admin.make_token(permissions).headers
        connection, response = offer(server, topic.target, headers)
        connection.close()
        assert response.status == (101 if is_allowed else 403)
        with Http2WebSocket(server, topic.target, headers) as socket:
            assert socket.response.status == (200 if is_allowed else 403)
        with WebSocket(server, STREAM, headers) as stream:
            answer = stream.ask({"subscribe": {"id": "a", "cache": topic.cache, "topic": topic.name}})
            assert ("subscribed" in answer) == is_allowed


def test_items_are_closed_to_whoever_has_topics_only(server, client, cache):
    headers = server.admin.make_token(may(BOTH)).headers
    client.request("PUT", f"/cache/{cache}?key=news&ttl_seconds=60", headers=headers, body=b"x").must_be(403)
    client.request("GET", f"/cache/{cache}?key=news", headers=headers).must_be(403)


# Expiry and renewal


def test_a_subscription_ends_when_its_token_does(server, topic, everybody):
    token = server.admin.make_token(may(READ), ttl_seconds=2)
    lasting = server.admin.make_token(may(READ))
    topic.publish("x")
    subscribers, others = everybody(topic, token.headers), everybody(topic, lasting.headers)
    for subscriber in (*subscribers.values(), *others.values()):
        subscriber.values(1)
    # Not before its time, and hardly after it.
    assert time.time() < token.expires_at
    must_end(
        subscribers,
        "CredentialExpired",
        status=401,
        close_code=EXPIRED,
        within=token.expires_at - time.time() + 1.5,
    )
    assert time.time() >= token.expires_at - 0.1
    must_hear(topic, others)


def test_a_token_that_is_renewed_in_time_keeps_its_subscriptions(server, topic):
    old = server.admin.make_token(may(READ), ttl_seconds=2)
    new = server.admin.make_token(may(BOTH, topic.cache, topic_prefix="ne"), ttl_seconds=600)
    with contextlib.ExitStack() as stack:
        singles, streams = (
            [stack.enter_context(kind(server, target, old.headers)) for kind in (WebSocket, Http2WebSocket)]
            for target in (topic.target, STREAM)
        )
        for stream in streams:
            document = {"subscribe": {"id": "a", "cache": topic.cache, "topic": topic.name}}
            assert stream.ask(document)["subscribed"] == {}
        for socket in (*singles, *streams):
            answer = socket.ask({"auth": {"token": new.credential}})
            assert answer == {"authenticated": {"expires_at": new.expires_at}}
        client = server.client()
        # Until then it is known, and may not publish.
        eventually(
            lambda: publish(client, old.headers, topic.cache, topic.name, "x").status == 401,
            what="the end of the old token",
        )
        topic.publish("x")
        for socket in (*singles, *streams):
            assert value_of(socket.receive()["item"]) == "x"
        # It may now do what the new token may.
        for single in singles:
            single.publish("y")


def test_a_renewal_says_when_it_ends(server, topic):
    reader = server.admin.make_token(may(READ), ttl_seconds=600)
    with WebSocket(server, topic.target, reader.headers) as socket:
        for minted in (
            server.admin.make_token(may(READ), ttl_seconds=60),
            server.admin.make_key(may(READ)),
            server.admin.make_key(may(READ), ttl_seconds=100),
            server.admin.make_key("super_user"),
        ):
            answer = socket.ask({"auth": {"token": minted.credential}})
            assert answer == {"authenticated": {"expires_at": minted.expires_at}}
        assert socket.ask({"auth": {"token": server.root_key}}) == {"authenticated": {"expires_at": None}}


def test_a_socket_ends_with_the_token_that_it_has_now(server, topic):
    first = server.admin.make_token(may(READ), ttl_seconds=600)
    with WebSocket(server, topic.target, first.headers) as socket, WebSocket(server, STREAM, first.headers) as stream:
        second = server.admin.make_token(may(READ), ttl_seconds=1)
        for one in (socket, stream):
            answer = one.ask({"auth": {"token": second.credential}})
            assert answer == {"authenticated": {"expires_at": second.expires_at}}
        # A stream without a subscription too.
        for one in (socket, stream):
            error, code = one.ending(within=4)
            assert (error["code"], code) == ("CredentialExpired", EXPIRED)


def test_a_renewal_that_cannot_be_leaves_things_as_they_are(server, topic):
    reader = server.admin.make_token(may(READ, topic.cache), ttl_seconds=600)
    tenant = server.admin.make_tenant()
    tenant.make_cache(topic.cache)
    revoked = server.admin.make_token(may(READ))
    server.admin.revoke_token(revoked.id)
    expired = server.admin.make_token(may(READ), ttl_seconds=1)
    eventually(lambda: time.time() > expired.expires_at, what="an expiry")
    with RawWebSocket(server, topic.target, reader.headers) as socket:
        for credential, codes in (
            ("nobody", {"Unauthenticated"}),
            ("", {"Unauthenticated", "InvalidArgument"}),
            (expired.credential, {"CredentialExpired"}),
            (revoked.credential, {"CredentialRevoked"}),
            (server.admin.make_token(may(WRITE)).credential, {"PermissionDenied"}),
            (server.admin.make_token(may(BOTH, topic.cache, topic="other")).credential, {"PermissionDenied"}),
            (server.admin.make_token().credential, {"PermissionDenied"}),
            (tenant.make_key(may(BOTH)).credential, {"PermissionDenied", "Unauthenticated"}),
        ):
            answer = socket.ask({"auth": {"token": credential}})
            assert answer["error"]["code"] in codes, answer
        topic.publish("x")
        assert value_of(socket.receive()["item"]) == "x"
        # The old credential is the one that counts.
        server.admin.revoke_token(reader.id)
        error, code = socket.ending(within=1)
        assert (error["code"], code) == ("CredentialRevoked", REVOKED)


def test_a_renewal_on_a_stream_ends_what_it_does_not_permit(server, topic):
    first = server.admin.make_token(may(READ))
    second = server.admin.make_token(may(READ, topic.cache, topic_prefix="ne"))
    with WebSocket(server, STREAM, first.headers) as stream:
        for identifier in ("news", "other"):
            document = {"subscribe": {"id": identifier, "cache": topic.cache, "topic": identifier}}
            assert stream.ask(document)["subscribed"] == {}
        stream.send({"auth": {"token": second.credential}})
        answers = [stream.receive(), stream.receive()]
        assert {"authenticated": {"expires_at": second.expires_at}} in answers
        (ended,) = [answer for answer in answers if "error" in answer]
        assert (ended["id"], ended["error"]["code"]) == ("other", "PermissionDenied")
        Topic(server, topic.cache, "other").publish("unheard")
        topic.publish("heard")
        assert value_of(stream.receive()["item"]) == "heard"
        # The old token may go; it is of no account any more.
        server.admin.revoke_token(first.id)
        topic.publish("heard")
        assert value_of(stream.receive()["item"]) == "heard"


# Revocation


@pytest.mark.parametrize("kind", ["token", "key"])
def test_a_revocation_by_id_ends_subscriptions_within_a_second(server, topic, everybody, kind):
    make = server.admin.make_token if kind == "token" else server.admin.make_key
    minted, other = make(may(READ)), make(may(READ))
    subscribers, others = everybody(topic, minted.headers), everybody(topic, other.headers)
    must_hear(topic, subscribers)
    for subscriber in others.values():
        subscriber.items(1)
    (server.admin.revoke_token if kind == "token" else server.admin.revoke_key)(minted.id)
    must_end(subscribers, "CredentialRevoked", status=401, close_code=REVOKED, within=1)
    must_hear(topic, others)


def test_a_revocation_by_label_ends_all_that_carry_it(server, topic, everybody):
    label = fresh_name("user")
    labelled = [server.admin.make_token(may(READ), token_id=label) for _ in range(2)]
    other = server.admin.make_token(may(READ), token_id=fresh_name("user"))
    groups = [everybody(topic, minted.headers) for minted in labelled]
    others = everybody(topic, other.headers)
    server.admin.call("DELETE", "/tokens", query={"token_id": label}).must_be(204)
    for subscribers in groups:
        must_end(subscribers, "CredentialRevoked", status=401, close_code=REVOKED, within=1)
    must_hear(topic, others)


def test_a_deleted_tenant_s_subscriptions_end(server, everybody):
    tenant = server.admin.make_tenant()
    tenant.make_cache("shop")
    topic = Topic(server, "shop")
    topic.headers = tenant.make_key(may(BOTH)).headers
    topic.publish("x")
    subscribers = everybody(topic, topic.headers)
    server.admin.call("DELETE", f"/tenants/{tenant.name}").must_be(204)
    for name, subscriber in subscribers.items():
        ending = subscriber.ending(within=2)
        assert ending.error is not None, name
        assert ending.error["code"] in ("CredentialRevoked", "Unauthenticated", "NotFound"), (name, ending)


def test_no_credential_is_seen_in_a_frame_or_in_the_log(server, topic):
    token = server.admin.make_token(may(READ)).credential
    with WebSocket(server, topic_target(topic.cache, topic.name, token=token)) as socket:
        for document in ({"auth": {"token": token, "x": 1}}, {"auth": {"token": token[:-4] + "AAAA"}}, {"auth": token}):
            assert token[:-4] not in json.dumps(socket.ask(document))
    server.check_errors()
