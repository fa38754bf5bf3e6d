"""max_connections, of a cache and of a tenant, on every door: at the edge, one over, when one closes, and when it changes.

A connection over the limit is refused its requests and stays open as its protocol keeps it.
"""

import contextlib

import grpc
import pytest
import redis

from support.resp import MartletTarget
from support.sse import Http1EventSource, Http2EventSource
from support.topics import STREAM, publish, topic_target
from support.waiting import eventually
from support.websocket import Http2WebSocket, RawWebSocket, refusal
from support.wire import Code, caller_for, refused

LIMIT = "max_connections"


class Door:
    """One connection, of a kind. `is_served` makes a request on it; what is refused must be refused for this limit."""

    def __init__(self, server, cache, credential):
        self.server, self.cache, self.credential = server, cache, credential
        self.headers = {"authorization": credential}

    def must_name(self, error, value=None):
        assert error["code"] == "LimitExceeded" and error["limit"] == LIMIT, error
        assert value is None or error["value"] == value
        assert "retry_after_ms" not in error
        return error["value"]


class Rest(Door):
    kind = "http1"

    def open(self):
        self.client = self.server.client() if self.kind == "http1" else self.server.http2()
        return self

    def close(self):
        self.client.close()

    def is_served(self):
        response = self.client.request("GET", f"/cache/{self.cache}?key=k", headers=self.headers)
        if response.status == 404:
            return True
        self.refused_at = self.must_name(response.must_refuse(429, "LimitExceeded"))
        assert not {name for name in response.headers if name.startswith("ratelimit") or name == "retry-after"}
        return False


class Rest2(Rest):
    kind = "http2"


class LongPoll(Rest):
    def is_served(self):
        response = self.client.request("GET", topic_target(self.cache, "news"), headers=self.headers)
        if response.status == 200:
            return True
        self.refused_at = self.must_name(response.must_refuse(429, "LimitExceeded"))
        return False


class Grpc(Door):
    def open(self):
        self.caller = caller_for(self.server, self.cache, credential=self.credential)
        return self

    def close(self):
        self.caller.close()

    def is_served(self):
        try:
            self.caller.scs.Get(cache_key=b"k")
            return True
        except grpc.RpcError as error:
            assert error.code() is Code.RESOURCE_EXHAUSTED, error
            assert error.details().startswith(f"the limit {LIMIT} of ")
            self.refused_at = int(error.details().split()[4])
            trailers = dict(error.trailing_metadata())
            assert trailers["err"] == "operations_rate_limit_exceeded"
            return False


class Socket(Door):
    """The frames of one WebSocket for many caches: it is open before it uses any."""

    def open(self):
        self.socket = self.make()
        self.number = 0
        return self

    def make(self):
        return RawWebSocket(self.server, STREAM, self.headers)

    def close(self):
        self.socket.close()

    def is_served(self):
        self.number += 1
        publishing = {"id": str(self.number), "cache": self.cache, "topic": "news", "text": "x"}
        answer = self.socket.ask({"publish": publishing})
        assert answer["id"] == str(self.number)
        if "published" in answer:
            return True
        self.refused_at = self.must_name(answer["error"])
        return False


class Socket2(Socket):
    def make(self):
        return Http2WebSocket(self.server, STREAM, self.headers)


class Resp(Door):
    def open(self):
        target = MartletTarget(self.server, self.cache, self.credential)
        self.connection = target.open()
        return self

    def close(self):
        self.connection.close()

    def is_served(self):
        reply = self.connection.call("AUTH", self.cache, self.credential)
        if reply.raw == b"+OK\r\n":
            assert self.connection.call("GET", "k").raw == b"$-1\r\n"
            return True
        text = reply.raw.decode()
        assert text.startswith(f"-THROTTLED the limit {LIMIT} of ") and text.endswith(" is reached\r\n"), text
        self.refused_at = int(text.split()[5])
        return False


DOORS = {
    "http1": Rest, "http2": Rest2, "long poll": LongPoll, "grpc": Grpc, "websocket": Socket,
    "websocket over http2": Socket2, "resp": Resp,
}


def close_quietly(door):
    # The test may have closed it.
    with contextlib.suppress(Exception):
        door.close()


@pytest.fixture(params=DOORS)
def open_door(request, server):
    """Opens connections of one kind; closes those that the test leaves open."""
    opened = contextlib.ExitStack()

    def open_one(cache, credential, kind=DOORS[request.param]):
        made = kind(server, cache, credential).open()
        opened.callback(close_quietly, made)
        return made

    yield open_one
    opened.close()


def make_tenant(server, **body):
    tenant = server.admin.make_tenant()
    tenant.key = tenant.make_key([{"role": "readwrite", "cache": "*"}, {"role": "readwrite", "cache": "*", "topic": "*"}])
    client = server.client()
    for cache in ("a", "b"):
        tenant.make_cache(cache)
        # For long polls, which wait for something.
        publish(client, tenant.key.headers, cache, "news", "x").must_be(204)
    client.close()
    if body:
        # The publisher's place is free when another can have it, who gives it back by saying so.
        limit_tenant(server, tenant, 1)
        with MartletTarget(server).open() as probe:
            login = ("AUTH", "a", tenant.key.credential)
            eventually(lambda: probe.call(*login).raw == b"+OK\r\n", what="the publisher's end")
            assert probe.call("RESET").raw == b"+RESET\r\n"
        server.admin.call("PUT", f"/tenants/{tenant.name}", body).must_be(200)
    return tenant


def limit_tenant(server, tenant, value):
    server.admin.call("PUT", f"/tenants/{tenant.name}", {"limits": {LIMIT: value}}).must_be(200)


def test_a_cache_takes_so_many_connections_and_another_when_one_ends(server, open_door):
    tenant = make_tenant(server)
    credential = tenant.key.credential
    tenant.change_cache("a", limits={LIMIT: 2})
    first, second, third = (open_door("a", credential) for _ in range(3))
    assert first.is_served() and second.is_served()
    for _ in range(2):
        assert not third.is_served() and third.refused_at == 2
        assert first.is_served()
    # The neighbour has a limit of its own: none.
    assert open_door("b", credential).is_served()
    first.close()
    eventually(third.is_served, what="the place of the one that closed")
    assert second.is_served()


def test_a_tenant_takes_so_many_connections_over_all_its_caches(server, open_door):
    tenant, other = make_tenant(server, limits={LIMIT: 2}), make_tenant(server)
    credential = tenant.key.credential
    first, second, third = (open_door(cache, credential) for cache in ("a", "b", "a"))
    assert first.is_served() and second.is_served()
    assert not third.is_served() and third.refused_at == 2
    # Another tenant does not notice.
    others = [open_door("a", other.key.credential) for _ in range(4)]
    assert all(door.is_served() for door in others)
    second.close()
    eventually(third.is_served, what="the place of the one that closed")


def test_a_changed_limit_holds_at_once_and_cuts_nobody(server, open_door):
    tenant = make_tenant(server)
    doors = [open_door("a", tenant.key.credential) for _ in range(4)]
    assert all(door.is_served() for door in doors[:3])
    tenant.change_cache("a", limits={LIMIT: 1})
    assert not doors[3].is_served() and doors[3].refused_at == 1
    assert all(door.is_served() for door in doors[:3])
    tenant.change_cache("a", limits={LIMIT: 4})
    assert doors[3].is_served()
    # The tenant's, in the same way.
    limit_tenant(server, tenant, 1)
    fifth = open_door("b", tenant.key.credential)
    assert not fifth.is_served() and fifth.refused_at == 1
    assert all(door.is_served() for door in doors)
    limit_tenant(server, tenant, None)
    assert fifth.is_served()


def test_a_connection_over_the_limit_goes_on_where_it_may(server, open_door):
    tenant = make_tenant(server)
    tenant.change_cache("a", limits={LIMIT: 1})
    first, second = open_door("a", tenant.key.credential), open_door("a", tenant.key.credential)
    assert first.is_served() and not second.is_served()
    second.cache = "b"
    if isinstance(second, Grpc):
        second.caller = second.caller.using(cache="b")
    assert second.is_served()


@pytest.mark.parametrize("source", [Http1EventSource, Http2EventSource])
def test_a_stream_of_events_is_refused_before_it_begins(server, source):
    tenant = make_tenant(server)
    tenant.change_cache("a", limits={LIMIT: 1})
    target = topic_target("a", "news")
    first = source(server, target, tenant.key.headers)
    assert first.response.status == 200
    second = source(server, target, tenant.key.headers)
    second.response.must_refuse(429, "LimitExceeded")
    second.close()
    first.close()

    def is_taken():
        third = source(server, target, tenant.key.headers)
        third.close()
        return third.response.status == 200

    eventually(is_taken, what="the place of the one that closed")


def test_a_handshake_over_the_limit_is_refused(server):
    tenant = make_tenant(server)
    tenant.change_cache("a", limits={LIMIT: 1})
    target = topic_target("a", "news")
    with RawWebSocket(server, target, tenant.key.headers) as socket:
        assert socket.publish("x")
        error = refusal(server, target, tenant.key.headers).must_refuse(429, "LimitExceeded")
        assert (error["limit"], error["value"]) == (LIMIT, 1)

    def is_taken():
        with contextlib.suppress(AssertionError), RawWebSocket(server, target, tenant.key.headers):
            return True
        return False

    eventually(is_taken, what="the place of the socket that closed")


def test_one_connection_counts_once_for_each_cache_that_it_uses(server):
    tenant = make_tenant(server, limits={LIMIT: 1})
    tenant.change_cache("b", limits={LIMIT: 1})
    with server.http2() as connection:
        for cache in ("a", "b", "a", "b"):
            connection.request("GET", f"/cache/{cache}?key=k", headers=tenant.key.headers).must_be(404)
        client = server.client()
        client.request("GET", "/cache/b?key=k", headers=tenant.key.headers).must_refuse(429, "LimitExceeded")
        client.close()


def test_a_credential_of_another_tenant_counts_there_too(server):
    one, other = make_tenant(server, limits={LIMIT: 1}), make_tenant(server, limits={LIMIT: 1})
    shared, client = server.client(), server.client()
    for tenant in (one, other, one):
        shared.request("GET", "/cache/a?key=k", headers=tenant.key.headers).must_be(404)
    for tenant in (one, other):
        client.request("GET", "/cache/a?key=k", headers=tenant.key.headers).must_refuse(429, "LimitExceeded")
    shared.close()
    for tenant in (one, other):
        eventually(
            lambda: client.request("GET", "/cache/a?key=k", headers=tenant.key.headers).status == 404,
            what="the place of the shared connection")
    client.close()


def test_whoever_may_do_nothing_counts_as_well(server):
    tenant = make_tenant(server, limits={LIMIT: 1})
    poor = tenant.make_key([{"role": "readonly", "cache": "b"}])
    client, other = server.client(), server.client()
    client.request("GET", "/cache/a?key=k", headers=poor.headers).must_refuse(403, "PermissionDenied")
    other.request("GET", "/cache/a?key=k", headers=tenant.key.headers).must_refuse(429, "LimitExceeded")
    # What is wrong besides goes before the limit.
    other.request("GET", "/cache/a?key=k", headers=poor.headers).must_refuse(403, "PermissionDenied")
    other.request("GET", "/cache/nothing?key=k", headers=tenant.key.headers).must_refuse(404, "NotFound")
    client.close()
    eventually(
        lambda: other.request("GET", "/cache/a?key=k", headers=tenant.key.headers).status == 404,
        what="the place of the one that closed")


def test_the_control_plane_is_there_for_whoever_is_over_the_limit(server):
    tenant = make_tenant(server, limits={LIMIT: 0})
    caller = caller_for(server, "a", credential=tenant.key.credential)
    with refused(Code.RESOURCE_EXHAUSTED, err="operations_rate_limit_exceeded"):
        caller.scs.Get(cache_key=b"k")
    caller.close()
    assert tenant.cache("a")["name"] == "a"
    limit_tenant(server, tenant, None)


def test_a_refused_call_is_written_down_as_throttled(server):
    tenant = make_tenant(server)
    tenant.change_cache("a", limits={LIMIT: 0})
    eventually(lambda: tenant.used("a").get("operations") == 1, within=5, what="the message that there is")
    client = server.client()
    for _ in range(3):
        client.request("PUT", "/cache/a?key=k&ttl_seconds=60", headers=tenant.key.headers, body=b"v").must_refuse(
            429, "LimitExceeded")
    client.close()
    eventually(lambda: tenant.used("a").get("throttled") == 3, within=5, what="the counters")
    assert tenant.used("a")["operations"] == 1
    tenant.change_cache("a", limits={LIMIT: None})
    client = server.client()
    client.request("GET", "/cache/a?key=k", headers=tenant.key.headers).must_be(404)
    client.close()


def test_a_cache_made_again_counts_anew(server):
    tenant = make_tenant(server, limits={LIMIT: 2})
    client, other = server.client(), server.client()
    client.request("GET", "/cache/a?key=k", headers=tenant.key.headers).must_be(404)
    tenant.call("DELETE", "/caches/a").must_be(204)
    tenant.make_cache("a", limits={LIMIT: 1})
    other.request("GET", "/cache/a?key=k", headers=tenant.key.headers).must_be(404)
    client.request("GET", "/cache/a?key=k", headers=tenant.key.headers).must_refuse(429, "LimitExceeded")
    other.close()
    eventually(
        lambda: client.request("GET", "/cache/a?key=k", headers=tenant.key.headers).status == 404,
        what="the place of the one that closed")
    client.close()


# RESP


def used_connections(connection):
    reply = connection.execute_command("MARTLET.LIMITS")
    limits = dict(zip(reply[::2], reply[1::2])) if isinstance(reply, list) else reply
    entry = limits[b"max_connections"]
    return (dict(zip(entry[::2], entry[1::2])) if isinstance(entry, list) else entry)[b"used"]


def test_redis_py_is_refused_at_its_introduction_and_let_in_later(server):
    tenant = make_tenant(server)
    tenant.change_cache("a", limits={LIMIT: 1})
    target = MartletTarget(server, "a", tenant.key.credential)
    first, second = target.client(single_connection_client=True), None
    assert first.get("k") is None
    assert used_connections(first) == 1
    with pytest.raises(redis.ResponseError, match="THROTTLED the limit max_connections of 1 is reached"):
        second = target.client(single_connection_client=True)
        second.get("k")
    first.close()
    third = target.client()
    eventually(lambda: not isinstance(attempt(third.get, "k"), Exception), what="the place of the one that closed")
    third.close()


def attempt(function, *arguments):
    try:
        return function(*arguments)
    except redis.RedisError as error:
        return error


def test_another_credential_and_reset_give_the_place_back(server):
    tenant, other = make_tenant(server), make_tenant(server, limits={LIMIT: 1})
    tenant.change_cache("a", limits={LIMIT: 1})
    login = tenant.key.credential
    target = MartletTarget(server, "a", login)
    with target.open() as first, target.open() as second:
        assert first.call("AUTH", "a", login).raw == b"+OK\r\n"
        # Once more for the same cache: it has its place.
        assert first.call("AUTH", "a", login).raw == b"+OK\r\n"
        assert second.call("AUTH", "a", login).raw.startswith(b"-THROTTLED ")
        # To another cache of the tenant, and back.
        assert first.call("AUTH", "b", login).raw == b"+OK\r\n"
        assert second.call("AUTH", "a", login).raw == b"+OK\r\n"
        # A refused change leaves everything as it was.
        assert first.call("AUTH", "a", login).raw.startswith(b"-THROTTLED ")
        assert first.call("SET", "k", "v").raw == b"+OK\r\n"
        assert second.call("GET", "k").raw == b"$-1\r\n"
        assert second.call("RESET").raw == b"+RESET\r\n"
        assert first.call("AUTH", "a", login).raw == b"+OK\r\n"
        # To another tenant, which has one place.
        assert first.call("AUTH", "a", other.key.credential).raw == b"+OK\r\n"
        assert second.call("AUTH", "b", other.key.credential).raw.startswith(b"-THROTTLED ")
        assert second.call("HELLO", "3", "AUTH", "a", login).kind == b"%"
        assert first.call("AUTH", "b", other.key.credential).raw == b"+OK\r\n"
        # What was refused left no trace with the other tenant.
        assert first.call("RESET").raw == b"+RESET\r\n"
        assert second.call("AUTH", "b", other.key.credential).raw == b"+OK\r\n"


def test_a_connection_without_a_credential_is_told_with_each_command(make_server):
    server = make_server()
    server.admin.change_cache("default", limits={LIMIT: 1})
    target = MartletTarget(server)
    with target.open() as first, target.open() as second:
        assert first.call("SET", "k", "v").raw == b"+OK\r\n"
        for command in (("GET", "k"), ("GET", "k"), ("NOTHING",), ("CLIENT", "ID")):
            assert second.call(*command).raw == b"-THROTTLED the limit max_connections of 1 is reached\r\n"
        assert first.call("RESET").raw == b"+RESET\r\n"
        assert second.call("GET", "k").raw == b"$1\r\nv\r\n"
        assert first.call("GET", "k").raw.startswith(b"-THROTTLED ")
    with target.open() as third:
        eventually(lambda: third.call("GET", "k").raw == b"$1\r\nv\r\n", what="a free place")


def test_what_is_cut_off_gives_its_place_back(server, open_door):
    tenant = make_tenant(server)
    tenant.change_cache("a", limits={LIMIT: 1})
    door = open_door("a", tenant.key.credential)
    for _ in range(20):
        eventually(door.is_served, what="the place of the one before")
        door.close()
        door = open_door("a", tenant.key.credential)
    eventually(door.is_served, what="the place of the last")
