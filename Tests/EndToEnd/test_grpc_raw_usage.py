"""What calls by gRPC put on the bill: exact, in rows of that door, and nothing on any other."""

import pytest

from support.admin import fresh_name
from support.usage import add, expect, usage_of
from support.waiting import eventually
from support.wire import Code, Subscription, caller_for, publish, refused

TTL = {"ttl_milliseconds": 60_000}
COLLECTION = {**TTL, "refresh_ttl": True}
KEY = b"ten-bytes-"


def set_of(count, key=KEY):
    return lambda ask: ask.scs.Set(cache_key=key, cache_body=b"x" * count, **TTL)


def pairs(count, size):
    return [{"field": b"f%03d" % number, "value": b"x" * (size - 4)} for number in range(count)]


def put_dictionary(ask):
    ask.scs.DictionarySet(dictionary_name=KEY, items=pairs(4, 100), **COLLECTION)


def push_ten(ask):
    ask.scs.ListConcatenateBack(list_name=KEY, values=[b"x" * 20] * 10, **COLLECTION)


# What was done before, the call, and what it must add. As for the door of REST: an operation for each 1024 bytes begun
# of an item or an element, one at least; twice that with a condition.
CALLS = {
    "a miss": ([], lambda ask: ask.scs.Get(cache_key=KEY), expect(1, bytes_in=10, misses=1, request_chunks=1)),
    "a set of 110 bytes": ([], set_of(100), expect(1, bytes_in=110, request_chunks=1)),
    "a set of 1,024 bytes": ([], set_of(1014), expect(1, bytes_in=1024, request_chunks=1)),
    "a set of 1,025 bytes": ([], set_of(1015), expect(2, bytes_in=1025, request_chunks=2)),
    "a set of 5,000 bytes": ([], set_of(4990), expect(5, bytes_in=5000, request_chunks=5)),
    "a hit of 110 bytes": (
        [set_of(100)],
        lambda ask: ask.scs.Get(cache_key=KEY),
        expect(1, bytes_in=10, bytes_out=100, hits=1, request_chunks=1, response_chunks=1),
    ),
    "a hit of 3,010 bytes": (
        [set_of(3000)],
        lambda ask: ask.scs.Get(cache_key=KEY),
        expect(3, bytes_in=10, bytes_out=3000, hits=1, request_chunks=1, response_chunks=3),
    ),
    "a delete": ([set_of(100)], lambda ask: ask.scs.Delete(cache_key=KEY), expect(1, bytes_in=10, request_chunks=1)),
    "a set if absent": (
        [],
        lambda ask: ask.scs.SetIf(cache_key=KEY, cache_body=b"x" * 1490, absent={}, **TTL),
        expect(4, bytes_in=1500, request_chunks=2, conditional_operations=2),
    ),
    "a set if not exists that is not stored": (
        [set_of(100)],
        lambda ask: ask.scs.SetIfNotExists(cache_key=KEY, cache_body=b"x" * 1490, **TTL),
        expect(4, bytes_in=1500, request_chunks=2, conditional_operations=2),
    ),
    "an increment": (
        [],
        lambda ask: ask.scs.Increment(cache_key=KEY, amount=125, **TTL),
        expect(1, bytes_in=10, bytes_out=3, request_chunks=1, response_chunks=1),
    ),
    "a time that cannot be": (
        [],
        lambda ask: ask.scs.Set(cache_key=KEY, cache_body=b"x"),
        expect(1, client_errors=1),
    ),
    "a ping": ([], lambda ask: ask.ping.Ping(), None),
    "four pairs of 100 bytes": (
        [],
        put_dictionary,
        expect(4, bytes_in=410, request_chunks=4, elements_in=4),
    ),
    "the fetch of four pairs": (
        [put_dictionary],
        lambda ask: ask.scs.DictionaryFetch(dictionary_name=KEY),
        expect(4, bytes_in=10, bytes_out=400, hits=1, request_chunks=1, response_chunks=4, elements_out=4),
    ),
    "the fetch of a dictionary that is not there": (
        [],
        lambda ask: ask.scs.DictionaryFetch(dictionary_name=KEY),
        expect(1, bytes_in=10, misses=1, request_chunks=1),
    ),
    "ten elements of 20 bytes": (
        [],
        push_ten,
        expect(10, bytes_in=210, request_chunks=10, elements_in=10),
    ),
    "the fetch of a slice": (
        [push_ten],
        lambda ask: ask.scs.ListFetch(list_name=KEY, inclusive_start=2, exclusive_end=5),
        expect(3, bytes_in=10, bytes_out=60, hits=1, request_chunks=1, response_chunks=3, elements_out=3),
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_call_costs_exactly_what_it_should(server, cache, caller, name):
    preparation, call, expected = CALLS[name]
    for before in preparation:
        before(caller)
    base = usage_of(server, cache, door="grpc")
    assert base["calls"] == len(preparation)
    if name == "a time that cannot be":
        with refused(Code.INVALID_ARGUMENT):
            call(caller)
    else:
        call(caller)
    used = usage_of(server, cache, door="grpc")
    assert used == (base if expected is None else add(base, expected))
    assert server.admin.usage(cache, door="rest") == []


def test_batches_cost_what_their_items_do(server, cache, caller):
    items = [{"cache_key": b"key-%05d" % number, "cache_body": b"x" * 1500, **TTL} for number in range(10)]
    list(caller.scs.SetBatch(items=items))
    used = usage_of(server, cache, door="grpc")
    assert (used["operations"], used["bytes_in"], used["request_chunks"]) == (20, 10 * 1509, 20)
    list(caller.scs.GetBatch(items=[*({"cache_key": item["cache_key"]} for item in items), {"cache_key": b"none"}]))
    both = usage_of(server, cache, door="grpc")
    assert both["operations"] - used["operations"] == 21
    assert both["bytes_out"] == 15_000
    assert (both["hits"], both["misses"]) == (10, 1)


def test_messages_cost_on_their_way_in_and_out(server, cache, caller):
    with Subscription(caller, cache, "news") as one, Subscription(caller, cache, "news") as two:
        for size in (100, 1400):
            publish(caller, cache, "news", "x" * size)
        one.items(2)
        two.items(2)
        eventually(lambda: usage_of(server, cache, door="grpc")["deliveries"] == 4, within=2, what="all deliveries")
    used = usage_of(server, cache, door="grpc")
    assert used["publishes"] == 2
    # One and two chunks, published once and delivered twice each.
    assert used["operations"] == 3 + 6


def test_refusals_and_strangers(server, cache, caller):
    token = server.admin.make_token([{"role": "readonly", "cache": cache, "key": "own"}]).credential
    with refused(Code.PERMISSION_DENIED):
        caller.using(credential=token).scs.Get(cache_key=KEY)
    with refused(Code.UNAUTHENTICATED):
        caller.using(credential="nobody").scs.Get(cache_key=KEY)
    with refused(Code.NOT_FOUND):
        caller.using(cache=fresh_name("missing")).scs.Get(cache_key=KEY)
    assert usage_of(server, cache, door="grpc") == expect(1, client_errors=1)


def test_a_known_day_of_a_tenant(server):
    """Many calls on several connections at once: the sums are exact."""
    tenant = server.admin.make_tenant()
    cache = tenant.make_cache("shop")
    callers = [caller_for(server, cache, credential=tenant.credential) for _ in range(3)]
    # One that takes the data plane of the tenant: a key of its own.
    key = tenant.make_key().credential
    calls = []
    for number in range(300):
        caller = callers[number % 3].using(credential=key)
        calls.append(caller.future("scs", "Set", cache_key=b"%010d" % number, cache_body=b"x" * 100, **TTL))
    for call in calls:
        call.result()
    calls = [
        callers[number % 3].using(credential=key).future("scs", "Get", cache_key=b"%010d" % number)
        for number in range(400)
    ]
    for call in calls:
        call.result()
    used = tenant.used(cache, door="grpc")
    assert used["calls"] == used["operations"] == 700
    assert (used["hits"], used["misses"]) == (300, 100)
    assert used["bytes_in"] == 300 * 110 + 400 * 10
    assert used["bytes_out"] == 300 * 100
    for caller in callers:
        caller.close()
