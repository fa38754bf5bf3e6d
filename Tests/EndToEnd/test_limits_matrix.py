"""Every limit at every level by every door that can meet it: at the edge, one over, at 0, at the largest value, changed
under a connection that stays open, and with what each door says of it."""

import contextlib
import json
import time
from dataclasses import dataclass

import grpc
import pytest

from support.admin import fresh_name
from support.resp import MartletTarget
from support.sse import Http1EventSource, Http2EventSource
from support.subscribers import EventSubscriber
from support.topics import STREAM, publish, topic_target, value_of
from support.waiting import eventually
from support.websocket import Http2WebSocket, RawWebSocket, offer
from support.wire import Subscription, caller_for, control, trailers_of
from support.wire import publish as publish_by_grpc
from test_limits_refusals import LIMIT_FIELDS, check_details

LARGEST = 2**53 - 1
LEVELS = ("cache", "tenant", "plan")
EVERYTHING = [{"role": "readwrite", "cache": "*"}, {"role": "readwrite", "cache": "*", "topic": "*"}]

# What refusals say, and by which `err` gRPC tells them apart.
RATE, NUMBER, SIZE = "RateLimited", "LimitExceeded", "TooLarge"
OPERATIONS, THROUGHPUT, ITEM = (
    "operations_rate_limit_exceeded", "throughput_rate_limit_exceeded", "item_size_limit_exceeded",
)
LIMITS = {
    "max_operations_per_second": (RATE, "operations are over the limit of {} a second", OPERATIONS),
    "max_bytes_in_per_second": (RATE, "throughput bytes are over the limit of {} a second", THROUGHPUT),
    "max_bytes_out_per_second": (RATE, "throughput bytes are over the limit of {} a second", THROUGHPUT),
    "max_publish_per_second": (RATE, "publish operations are over the limit of {} a second", OPERATIONS),
    "max_item_bytes": (SIZE, "the item size (key and value) is over the limit of {} bytes", ITEM),
    "max_key_bytes": (SIZE, "the key is over the limit of {} bytes", ITEM),
    "max_element_bytes": (SIZE, "the element size is over the limit of {} bytes", "element_size_limit_exceeded"),
    "max_message_bytes": (
        SIZE, "the request limit is exceeded: the message is over the limit of {} bytes", "request_size_limit_exceeded",
    ),
    "max_connections": (NUMBER, "the limit max_connections of {} is reached", OPERATIONS),
    "max_subscriptions": (
        NUMBER, "the limit max_subscriptions of {} is reached", "topic_subscriptions_limit_exceeded",
    ),
}
STATUS = {RATE: 429, NUMBER: 429, SIZE: 413}


@dataclass(frozen=True)
class Refused:
    """What a door said: the message, the limit and its value where they stand beside it, and the wait."""

    message: str
    err: str | None = None
    code: str | None = None
    limit: str | None = None
    value: int | None = None
    wait: int | None = None

    def must_be(self, limit, value):
        """The refusal of this limit, as its door writes it."""
        code, message, err = LIMITS[limit]
        assert self.message == message.format(value), self
        assert self.err in (None, err) and self.code in (None, code), self
        assert (self.limit, self.value) in ((None, None), (limit, value)), self
        if code == RATE:
            assert self.wait > 0 and (value > 0 or self.wait == 1000), self
        else:
            assert self.wait is None, self
        return True


def told_by_rest(response):
    if response.status < 400 or response.status == 404:
        return None
    error = response.json()
    response.must_refuse(STATUS.get(error["code"], 400), error["code"])
    fields = {name for name in response.headers if name.startswith("ratelimit-")}
    if error["code"] == RATE:
        value, seconds = error["value"], -(-error["retry_after_ms"] // 1000)
        assert fields == set(LIMIT_FIELDS)
        assert response.headers["retry-after"] == response.headers["ratelimit-reset"] == str(seconds)
        assert response.headers["ratelimit-limit"] == str(value) and response.headers["ratelimit-remaining"] == "0"
        assert response.headers["ratelimit-policy"] == f"{value};w=1"
    else:
        assert not fields and "retry-after" not in response.headers
    return told_in(error)


def told_in(error):
    return Refused(
        error["message"], None, error["code"], error.get("limit"), error.get("value"), error.get("retry_after_ms")
    )


def told_by_grpc(function):
    try:
        function()
        return None
    except grpc.RpcError as error:
        trailers = trailers_of(error)
        wait = trailers.get("grpc-retry-pushback-ms")
        if wait is not None:
            check_details(trailers["grpc-status-details-bin"], 8, error.details(), int(wait))
        if error.code() is not grpc.StatusCode.INVALID_ARGUMENT:
            assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED, error
            assert "err" in trailers
        return Refused(error.details(), trailers.get("err"), wait=int(wait) if wait else None)


def told_by_resp(reply):
    if not reply.is_error:
        return None
    kind, _, text = reply.text.decode().partition(" ")
    message, _, wait = text.partition(", retry after ")
    assert kind == "ERR" if "bytes" in text and not wait or "max_ttl" in text else "THROTTLED", text
    return Refused(message, wait=int(wait.removesuffix(" ms")) if wait else None)


class Door:
    """One connection that stays open, on one cache. Each call gives None, or what it was refused with."""

    def __init__(self, place, cache):
        self.server, self.cache, self.credential = place.server, cache, place.credential
        self.headers = {"authorization": self.credential}
        self.open()


class Http1(Door):
    def open(self):
        self.client = self.server.client()

    def close(self):
        self.client.close()

    def call(self, method, key, query="", body=None):
        return self.client.request(method, f"/cache/{self.cache}?key={key}{query}", headers=self.headers, body=body)

    def put(self, key="k", size=1, ttl=60):
        query = f"&ttl_seconds={ttl}" if ttl else ""
        return told_by_rest(self.call("PUT", key, query, b"x" * size))

    def get(self, key="k"):
        return told_by_rest(self.call("GET", key))

    def publish(self, size=1):
        return told_by_rest(publish(self.client, self.headers, self.cache, "news", "x" * size))


class Http2(Http1):
    def open(self):
        self.client = self.server.http2()


class Grpc(Door):
    def open(self):
        self.caller = caller_for(self.server, self.cache, credential=self.credential)

    def close(self):
        self.caller.close()

    def put(self, key="k", size=1, ttl=60):
        fields = {"ttl_milliseconds": ttl * 1000} if ttl else {}
        return told_by_grpc(lambda: self.caller.scs.Set(cache_key=key.encode(), cache_body=b"x" * size, **fields))

    def get(self, key="k"):
        return told_by_grpc(lambda: self.caller.scs.Get(cache_key=key.encode()))

    def put_element(self, size):
        fields = {"ttl_milliseconds": 60_000, "refresh_ttl": True}
        return told_by_grpc(lambda: self.caller.scs.ListPushBack(list_name=b"l", value=b"x" * size, **fields))

    def publish(self, size=1):
        return told_by_grpc(lambda: publish_by_grpc(self.caller, self.cache, "news", "x" * size))


class Resp(Door):
    def open(self):
        self.connection = MartletTarget(self.server, self.cache, self.credential).open()
        self.introduced = False

    def close(self):
        self.connection.close()

    def call(self, *words):
        if not self.introduced:
            reply = self.connection.call("AUTH", self.cache, self.credential)
            if reply.is_error:
                return told_by_resp(reply)
            self.introduced = True
        return told_by_resp(self.connection.call(*words))

    def put(self, key="k", size=1, ttl=60):
        return self.call("SET", key, "x" * size, *(("EX", ttl) if ttl else ()))

    def get(self, key="k"):
        return self.call("GET", key)

    def put_element(self, size):
        return self.call("SADD", "s", "x" * size)

    def publish(self, size=1):
        return self.call("PUBLISH", "news", "x" * size)


class Stream(Door):
    """A WebSocket for many caches."""

    def open(self):
        self.socket = RawWebSocket(self.server, STREAM, self.headers)

    def close(self):
        self.socket.close()

    def publish(self, size=1):
        return self.ask({"publish": {"id": "p", "cache": self.cache, "topic": "news", "text": "x" * size}})

    def ask(self, document):
        answer = self.socket.ask(document)
        if "error" not in answer:
            return None
        assert set(answer) == {"id", "error"}, answer
        return told_in(answer["error"])


class Stream2(Stream):
    def open(self):
        self.socket = Http2WebSocket(self.server, STREAM, self.headers)


DATA = {"http1": Http1, "http2": Http2, "grpc": Grpc, "resp": Resp}
SOCKETS = {"websocket": Stream, "websocket over http2": Stream2}
EVERY = DATA | SOCKETS
COLLECTIONS = {"grpc": Grpc, "resp": Resp}


class Place:
    """A tenant on a plan of its own, with two caches; limits are set at one of the three levels."""

    def __init__(self, server, level):
        self.server, self.level = server, level
        self.plan = fresh_name("plan")
        server.admin.call("PUT", f"/plans/{self.plan}", {}).must_be(201)
        self.tenant = server.admin.make_tenant(plan=self.plan)
        self.caches = [self.tenant.make_cache("first"), self.tenant.make_cache("second")]
        self.credential = self.tenant.make_key(EVERYTHING).credential
        self.headers = {"authorization": self.credential}
        self.doors = contextlib.ExitStack()

    def limit(self, **limits):
        if self.level == "cache":
            return self.tenant.change_cache("first", limits=limits)
        path = f"/tenants/{self.tenant.name}" if self.level == "tenant" else f"/plans/{self.plan}"
        return self.server.admin.call("PUT", path, {"limits": limits}).must_be(200)

    def use(self, limit, level=None):
        """What is told to be used, and the limit beside it."""
        path = "/caches/first" if (level or self.level) == "cache" else f"/tenants/{self.tenant.name}"
        entry = self.tenant.call("GET", path).must_be(200).json()["use"][limit]
        assert set(entry) == {"limit", "used"}
        return entry["used"], entry["limit"]

    def door(self, kind, cache="first"):
        made = kind(self, cache)
        self.doors.callback(self.close, made)
        return made

    @staticmethod
    def close(door):
        with contextlib.suppress(Exception):  # the test may have closed it
            door.close()


@pytest.fixture
def place_at(server):
    """Makes places for one test."""
    made = []

    def make(level):
        made.append(Place(server, level))
        return made[-1]

    yield make
    for place in made:
        place.doors.close()


@pytest.fixture(params=LEVELS)
def place(request, place_at):
    return place_at(request.param)


def by_doors(doors):
    return pytest.mark.parametrize("kind", [pytest.param(kind, id=name) for name, kind in doors.items()])


# Limits a second

RATES = {
    "max_operations_per_second": (DATA, lambda door: door.get()),
    "max_bytes_in_per_second": (DATA, lambda door: door.put(size=1000)),
    "max_bytes_out_per_second": (DATA, lambda door: door.get("long")),
    "max_publish_per_second": (EVERY, lambda door: door.publish()),
}


@pytest.mark.parametrize(
    "limit, kind, act",
    [pytest.param(name, kind, act, id=f"{name}-{door}") for name, (doors, act) in RATES.items() for door, kind in doors.items()],
)
def test_a_rate_holds_and_changes_under_an_open_connection(place, limit, kind, act):
    writer = place.door(Http1)
    assert writer.put("long", size=2000) is None
    door, neighbour = place.door(kind), place.door(kind, "second")
    assert act(door) is None and act(neighbour) is None
    place.limit(**{limit: 0})
    for _ in range(3):
        assert act(door).must_be(limit, 0)
    # The other cache has the same tenant and the same plan, and no limit of its own.
    other = act(neighbour)
    assert other is None if place.level == "cache" else other.must_be(limit, 0)
    assert place.use(limit)[1] == 0
    place.limit(**{limit: LARGEST})
    assert act(door) is None and act(neighbour) is None
    assert place.use(limit)[1] == LARGEST
    place.limit(**{limit: 1})
    began, served = time.monotonic(), 0
    while (told := act(door)) is None:
        served += 1
        assert served <= 3 + time.monotonic() - began
    assert served >= 1 and told.must_be(limit, 1)
    assert place.use(limit)[1] == 1
    place.limit(**{limit: None})
    assert act(door) is None and act(neighbour) is None


BURSTS = {
    "burst_operations": ("max_operations_per_second", lambda door: door.get(), 1),
    "burst_bytes_in": ("max_bytes_in_per_second", lambda door: door.put("k" * 10, size=980), 1000),
    "burst_bytes_out": ("max_bytes_out_per_second", lambda door: door.get("long"), 1000),
}


@pytest.mark.parametrize("burst", BURSTS)
@by_doors(DATA)
def test_a_burst_comes_at_once_and_no_more(place, kind, burst):
    limit, act, cost = BURSTS[burst]
    door = place.door(kind)
    assert door.put("long", size=1000) is None
    place.limit(**{limit: 1, burst: 30 * cost})
    began, served = time.monotonic(), 0
    while (told := act(door)) is None:
        served += 1
        # What is read is charged when it has been read: one more than fits is let through.
        assert served <= 31 + (time.monotonic() - began) / cost
    assert served >= 30 and told.must_be(limit, 1)
    used, value = place.use(limit)
    assert value == 1
    elapsed = time.monotonic() - began
    # By RESP the words for the time to live travel, too: a call takes some bytes less than `cost`.
    assert 29 * cost - elapsed - 1 <= used <= 31 * cost
    # What is refused costs nothing.
    for _ in range(10):
        act(door)
    assert place.use(limit)[0] <= used + 1


@by_doors(DATA)
def test_a_value_beyond_the_limit_passes_whole_and_is_paid_off(place, kind):
    door = place.door(kind)
    place.limit(max_bytes_in_per_second=1000)
    assert door.put(size=200_000) is None
    told = door.put(size=1)
    assert told.must_be("max_bytes_in_per_second", 1000) and told.wait > 1000
    assert place.use("max_bytes_in_per_second")[0] > 100_000
    # A changed limit forgives what is beyond one burst of it.
    place.limit(max_bytes_in_per_second=1001)
    assert place.use("max_bytes_in_per_second")[0] <= 1001


# Sizes

SIZES = {
    "max_item_bytes": (DATA, lambda door, size: door.put("k" * 10, size=size - 10)),
    "max_key_bytes": (DATA, lambda door, size: door.put("k" * size)),
    "max_element_bytes": (COLLECTIONS, lambda door, size: door.put_element(size)),
    "max_message_bytes": (EVERY, lambda door, size: door.publish(size)),
}


@pytest.mark.parametrize(
    "limit, kind, act",
    [pytest.param(name, kind, act, id=f"{name}-{door}") for name, (doors, act) in SIZES.items() for door, kind in doors.items()],
)
def test_a_size_at_its_limit_and_one_over(place, limit, kind, act):
    door = place.door(kind)
    for value in (100, 50, 300):
        place.limit(**{limit: value})
        assert act(door, value) is None
        assert act(door, value + 1).must_be(limit, value)
    place.limit(**{limit: LARGEST})
    assert act(door, 301) is None
    place.limit(**{limit: None})
    assert act(door, 301) is None


@by_doors(DATA)
def test_the_smaller_limit_of_cache_and_tenant_is_felt(place_at, kind):
    place = place_at("tenant")
    door = place.door(kind)
    for ours, theirs in ((20, 30), (30, 20), (None, 25), (25, None)):
        place.limit(max_key_bytes=ours)
        place.tenant.change_cache("first", limits={"max_key_bytes": theirs})
        felt = min(value for value in (ours, theirs) if value is not None)
        assert door.put("k" * felt) is None
        assert door.put("k" * (felt + 1)).must_be("max_key_bytes", felt)


# Times


@by_doors(DATA)
def test_a_time_to_live_at_its_limit_and_one_over(place, kind):
    door, reader = place.door(kind), place.door(Resp)
    for value in (1000, 500, 2000):
        place.limit(max_ttl=value)
        assert door.put(ttl=value) is None
        told = door.put(ttl=value + 1)
        assert told is not None and f"max_ttl of {value} seconds" in told.message
    place.limit(max_ttl=None)
    assert door.put(ttl=2001) is None

    def left_of_default():
        assert door.put(ttl=None) is None and reader.get() is None
        return reader.connection.call("TTL", "k").integer

    for limits, expected in (({"default_ttl": 900}, 900), ({"default_ttl": 700}, 700), ({"max_ttl": 600}, 600)):
        place.limit(**limits)
        assert expected - 20 <= left_of_default() <= expected


# Numbers


@pytest.mark.parametrize("level", ["cache", "tenant"])
def test_connections_of_all_doors_are_one_number(place_at, level):
    place = place_at(level)

    def use(door):
        return door.get() if hasattr(door, "get") else door.publish()

    doors = [place.door(kind) for kind in EVERY.values()]
    assert all(use(door) is None for door in doors)
    place.limit(max_connections=len(doors))
    assert place.use("max_connections") == (len(doors), len(doors))
    later = [place.door(kind) for kind in EVERY.values()]
    for door in later:
        assert use(door).must_be("max_connections", len(doors))
    assert all(use(door) is None for door in doors)
    assert place.use("max_connections")[0] == len(doors)
    # Each that ends leaves its place to one of another kind.
    for leaving, coming in zip(doors, [*later[3:], *later[:3]], strict=True):
        leaving.close()
        eventually(lambda coming=coming: use(coming) is None, what="the place of the one that closed")
    place.limit(max_connections=0)
    assert all(use(door) is None for door in later)
    assert use(place.door(Http1)).must_be("max_connections", 0)
    for door in later:
        door.close()
    eventually(lambda: place.use("max_connections")[0] == 0, what="every place given back")


def test_a_connection_that_authenticates_for_another_cache_moves(place_at):
    place = place_at("cache")
    door = place.door(Resp)
    assert door.put() is None and place.use("max_connections")[0] == 1
    assert door.connection.call("AUTH", "second", place.credential).raw == b"+OK\r\n"
    assert place.use("max_connections")[0] == 0 and place.use("max_connections", "tenant")[0] == 1
    assert door.connection.call("RESET").raw == b"+RESET\r\n"
    assert place.use("max_connections", "tenant")[0] == 0


class Subscriptions:
    """Ways to subscribe: each gives what closes the subscription, or what it was refused with."""

    @staticmethod
    def events(place, cache, source=Http1EventSource):
        made = source(place.server, topic_target(cache, "news"), place.headers)
        return told_by_rest(made.response) or made.close

    @staticmethod
    def events_over_http2(place, cache):
        return Subscriptions.events(place, cache, Http2EventSource)

    @staticmethod
    def websocket(place, cache):
        connection, response = offer(place.server, topic_target(cache, "news"), place.headers)
        if response.status == 101:
            return connection.close
        connection.close()
        return told_by_rest(response)

    @staticmethod
    def stream(place, cache):
        door = place.door(Stream, cache)
        told = door.ask({"subscribe": {"id": "s", "cache": cache, "topic": "news"}})
        return told or door.close

    @staticmethod
    def grpc(place, cache):
        caller = caller_for(place.server, cache, credential=place.credential)
        place.doors.callback(caller.close)
        made = []
        told = told_by_grpc(lambda: made.append(Subscription(caller, cache, "news")))
        return told or made[0].call.cancel

    @staticmethod
    def resp(place, cache):
        door = place.door(Resp, cache)
        return door.call("SUBSCRIBE", "news") or door.close


@pytest.mark.parametrize("way", ["events", "events_over_http2", "websocket", "stream", "grpc", "resp"])
def test_subscriptions_at_their_limit_and_one_over(place, way):
    subscribe = getattr(Subscriptions, way)
    place.limit(max_subscriptions=0)
    assert subscribe(place, "first").must_be("max_subscriptions", 0)
    place.limit(max_subscriptions=2)
    first = subscribe(place, "first")
    second = subscribe(place, "first" if place.level == "cache" else "second")
    assert callable(first) and callable(second)
    assert subscribe(place, "first").must_be("max_subscriptions", 2)
    assert place.use("max_subscriptions") == (2, 2)
    other = subscribe(place, "second")
    assert callable(other) if place.level == "cache" else other.must_be("max_subscriptions", 2)
    # Lowered, it cuts nobody off; raised, it lets others in.
    place.limit(max_subscriptions=1)
    assert place.use("max_subscriptions") == (2, 1)
    place.limit(max_subscriptions=3)
    third = subscribe(place, "first")
    assert callable(third)
    assert subscribe(place, "first").must_be("max_subscriptions", 3)
    third()

    def has_place():
        fourth = subscribe(place, "first")
        if not callable(fourth):
            return False
        fourth()
        return True

    eventually(has_place, what="the place of the one that left")
    for leave in (first, second, *([other] if callable(other) else [])):
        leave()
    eventually(lambda: place.use("max_subscriptions")[0] == 0, what="every place given back")
    place.limit(max_subscriptions=None)


@pytest.mark.parametrize("level", ["tenant", "plan"])
@pytest.mark.parametrize("door", ["rest", "grpc"])
def test_caches_at_their_limit_and_one_over(place_at, level, door):
    place = place_at(level)
    caller = caller_for(place.server, credential=place.tenant.credential)

    def make(name):
        if door == "rest":
            return told_by_rest(place.tenant.call("PUT", f"/caches/{name}", {}))
        return told_by_grpc(lambda: caller.control.CreateCache(control.CreateCacheRequest(cache_name=name)))

    for value in (0, 2, 3):
        place.limit(max_caches=value)
        if value == 3:
            assert make("third") is None
        told = make("more")
        assert told.message == f"the limit max_caches of {value} is reached" and told.wait is None
        assert place.use("max_caches") == (3 if value == 3 else 2, value)
    place.limit(max_caches=LARGEST)
    assert make("more") is None
    caller.close()


@pytest.mark.parametrize("level", ["tenant", "plan"])
@pytest.mark.parametrize("door", ["rest", "grpc"])
def test_tokens_at_their_limit_and_one_over(place_at, level, door):
    place = place_at(level)
    caller = caller_for(place.server, credential=place.tenant.credential)
    allowed = {"explicit": {"permissions": [{"cache_permissions": {"role": 1, "all_caches": {}}}]}}

    def make(seconds=60):
        if door == "rest":
            body = {"permissions": [{"role": "readwrite", "cache": "*"}], "ttl_seconds": seconds}
            return told_by_rest(place.tenant.call("POST", "/tokens", body))
        return told_by_grpc(
            lambda: caller.token.GenerateDisposableToken(
                expires={"valid_for_seconds": seconds}, auth_token=place.tenant.credential, permissions=allowed
            )
        )

    assert make() is None
    place.limit(max_tokens_per_second=0)
    told = make()
    assert told is not None and told.wait == 1000 and "0 a second" in told.message
    assert place.use("max_tokens_per_second")[1] == 0
    place.limit(max_tokens_per_second=1)
    began, served = time.monotonic(), 0
    while make() is None:
        served += 1
        assert served <= 3 + time.monotonic() - began
    place.limit(max_tokens_per_second=None, max_token_ttl_seconds=100)
    assert make(100) is None
    assert make(101) is not None
    place.limit(max_token_ttl_seconds=101)
    assert make(101) is None
    caller.close()


# Memory


@by_doors(DATA)
def test_items_and_bytes_at_their_limit(place, kind):
    door, neighbour = place.door(kind), place.door(kind, "second")
    place.limit(max_items=10)
    for number in range(30):
        assert door.put(f"k{number}") is None and neighbour.put(f"k{number}") is None
        assert place.use("max_items")[0] <= 10
    # The last of the first cache is there, whoever gave way to it.
    assert door.put("last", size=77) is None and place.use("max_items") == (10, 10)
    place.limit(max_items=None, max_bytes=500_000)
    for number in range(40):
        assert door.put(f"b{number}", size=20_000) is None
        assert place.use("max_bytes")[0] <= 500_000
    used, value = place.use("max_bytes")
    assert value == 500_000 and used > 300_000
    place.limit(max_bytes=200_000)
    eventually(lambda: place.use("max_bytes")[0] <= 200_000, what="the memory above the lowered limit")
    place.limit(max_bytes=LARGEST, max_items=LARGEST)
    assert door.put(size=20_000) is None


# Told


def crossing(place, limit, act):
    """The next event that the limit is wholly used up, heard while it is."""
    with EventSubscriber(place.server, "first", "__martlet:limits", place.headers) as listener:
        place.limit(**{limit: 1})
        act()
        while True:
            event = json.loads(value_of(listener.take(1)[0]["item"]))
            if event["limit"] == limit and event["event"] == "limit_reached":
                return event


@pytest.mark.parametrize("limit", [*RATES, "max_items", "max_connections", "max_subscriptions"])
def test_each_limit_that_is_used_up_is_told(place, limit):
    door = place.door(Http1)
    assert door.put("long", size=2000) is None

    def use_it_up():
        if limit in RATES:
            began = time.monotonic()
            while RATES[limit][1](door) is None:
                assert time.monotonic() - began < 10
        elif limit == "max_items":
            assert door.put("other") is None

    event = crossing(place, limit, use_it_up)
    is_of_cache = place.level == "cache"
    assert (event["scope"], event["cache"]) == (("cache", "first") if is_of_cache else ("tenant", None))
    assert (event["tenant"], event["value"]) == (place.tenant.name, 1)


@by_doors(DATA)
def test_each_door_s_keys_and_times_are_seen(place_at, kind):
    place = place_at("cache")
    door, latency = place.door(kind), f"/tenants/{place.tenant.name}/latency"
    before = place.tenant.call("GET", latency).must_be(200).json()["count"]
    for _ in range(50):
        assert door.get("hot") is None
    document = place.tenant.call("GET", "/caches/first/hot-keys").must_be(200).json()
    assert document["keys"][0]["key"] == "hot" and document["sampled"] >= 50

    def times():
        document = place.tenant.call("GET", latency).must_be(200).json()
        return document if document["count"] >= before + 50 else None

    shown = eventually(times, what="the last answer in the figures")
    assert sum(bucket["count"] for bucket in shown["buckets"]) == shown["count"]
    assert shown["p50_us"] <= shown["p99_us"] <= shown["p999_us"]
