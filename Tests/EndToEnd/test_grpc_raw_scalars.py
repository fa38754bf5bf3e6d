"""Scalars by the wire: what the SDK in the tests does not call. Batches, conditions, hashes, times, kinds."""

import itertools
import time

import pytest

from support.admin import fresh_name
from support.waiting import eventually
from support.wire import HIT, MISS, OK, Code, caller_for, code_of, refused

TTL = 60_000


def set_value(caller, key, value=b"value", ttl=TTL):
    assert caller.scs.Set(cache_key=key, cache_body=value, ttl_milliseconds=ttl).result == OK


def get(caller, key):
    """The value, or None."""
    response = caller.scs.Get(cache_key=key)
    assert response.result in (HIT, MISS)
    return response.cache_body if response.result == HIT else None


# Batches


@pytest.mark.parametrize("count", [0, 1, 2, 3000])
def test_a_batch_is_answered_item_by_item_in_order(caller, count):
    items = [
        {"cache_key": b"%d" % number, "cache_body": b"value %d" % number, "ttl_milliseconds": TTL}
        for number in range(count)
    ]
    stored = list(caller.scs.SetBatch(items=items))
    assert [response.result for response in stored] == [OK] * count
    # Each key twice, and one that is not there between them.
    wanted = [b"%d" % number for number in range(count)] * 2 + [b"none"] * (count > 0)
    found = list(caller.scs.GetBatch(items=[{"cache_key": key} for key in wanted]))
    assert [response.result for response in found] == [HIT] * (2 * count) + [MISS] * (count > 0)
    assert [response.cache_body for response in found[: 2 * count]] == [b"value " + key for key in wanted[: 2 * count]]


def test_of_equal_keys_in_a_batch_the_last_holds(caller):
    items = [{"cache_key": b"k", "cache_body": value, "ttl_milliseconds": TTL} for value in (b"1", b"2", b"3")]
    assert len(list(caller.scs.SetBatch(items=items))) == 3
    assert get(caller, b"k") == b"3"


def test_a_batch_with_large_values_comes_whole(caller):
    value = b"x" * 1_000_000
    for number in range(12):
        set_value(caller, b"%d" % number, value)
    found = list(caller.scs.GetBatch(items=[{"cache_key": b"%d" % number} for number in range(12)]))
    assert [response.cache_body for response in found] == [value] * 12


def test_a_batch_that_is_let_go_half_way_disturbs_nobody(caller):
    value = b"x" * 1_000_000
    for number in range(20):
        set_value(caller, b"%d" % number, value)
    for _ in range(5):
        call = caller.scs.GetBatch(items=[{"cache_key": b"%d" % number} for number in range(20)])
        assert next(call).cache_body == value
        call.cancel()
    assert get(caller, b"0") == value


def test_a_batch_needs_every_key(caller, server, cache):
    token = server.admin.make_token([{"role": "readwrite", "cache": cache, "key_prefix": "own:"}]).credential
    limited = caller.using(credential=token)
    items = [{"cache_key": key, "cache_body": b"1", "ttl_milliseconds": TTL} for key in (b"own:1", b"own:2")]
    assert len(list(limited.scs.SetBatch(items=items))) == 2
    assert [response.result for response in limited.scs.GetBatch(items=[{"cache_key": b"own:1"}])] == [HIT]
    foreign = {"cache_key": b"foreign", "cache_body": b"1", "ttl_milliseconds": TTL}
    with refused(Code.PERMISSION_DENIED):
        list(limited.scs.SetBatch(items=[*items, foreign]))
    with refused(Code.PERMISSION_DENIED):
        list(limited.scs.GetBatch(items=[{"cache_key": b"own:1"}, {"cache_key": b"foreign"}]))
    with refused(Code.PERMISSION_DENIED):
        limited.scs.KeysExist(cache_keys=[b"own:1", b"foreign"])
    assert get(caller, b"foreign") is None


# Conditions

# By the name of the condition: what it takes, and whether it holds when the key is missing, holds the value that is
# checked, or another.
CONDITIONS = {
    "present": ({}, False, True, True),
    "absent": ({}, True, False, False),
    "equal": ({"value_to_check": b"checked"}, False, True, False),
    "not_equal": ({"value_to_check": b"checked"}, True, False, True),
    "present_and_not_equal": ({"value_to_check": b"checked"}, False, False, True),
    "absent_or_equal": ({"value_to_check": b"checked"}, True, True, False),
}


@pytest.mark.parametrize("name", CONDITIONS)
def test_a_value_is_stored_if_the_condition_holds(caller, name):
    condition, *expected = CONDITIONS[name]
    for before, holds in zip((None, b"checked", b"another"), expected, strict=True):
        key = fresh_name("key").encode()
        if before is not None:
            set_value(caller, key, before)
        response = caller.scs.SetIf(cache_key=key, cache_body=b"new", ttl_milliseconds=TTL, **{name: condition})
        assert response.WhichOneof("result") == ("stored" if holds else "not_stored"), before
        assert get(caller, key) == (b"new" if holds else before)


def test_conditions_take_empty_and_large_values(caller):
    for value in (b"", b"x" * 1_000_000):
        key = fresh_name("key").encode()
        set_value(caller, key, value)
        for check, result in ((value, "stored"), (value + b"y", "not_stored")):
            response = caller.scs.SetIf(
                cache_key=key, cache_body=value, ttl_milliseconds=TTL, equal={"value_to_check": check}
            )
            assert response.WhichOneof("result") == result


def test_set_if_not_exists(caller):
    for value, result in ((b"first", "stored"), (b"second", "not_stored")):
        response = caller.scs.SetIfNotExists(cache_key=b"k", cache_body=value, ttl_milliseconds=TTL)
        assert response.WhichOneof("result") == result
    assert get(caller, b"k") == b"first"


# Hashes


def hash_of(caller, key):
    response = caller.scs.GetWithHash(cache_key=key)
    return response.found.hash if response.WhichOneof("result") == "found" else None


def test_a_hash_depends_on_the_value_alone(caller):
    assert caller.scs.GetWithHash(cache_key=b"none").WhichOneof("result") == "missing"
    set_value(caller, b"a", b"value")
    set_value(caller, b"b", b"value", 30_000)
    set_value(caller, b"c", b"another")
    found = caller.scs.GetWithHash(cache_key=b"a").found
    assert found.value == b"value" and len(found.hash) >= 8
    assert hash_of(caller, b"b") == found.hash != hash_of(caller, b"c")


def test_a_hash_outlives_the_server(make_server):
    server = make_server()
    hashes = []
    for _ in range(2):
        caller = caller_for(server, "default")
        set_value(caller, b"k", b"value")
        hashes.append(hash_of(caller, b"k"))
        caller.close()
        server.restart()
    assert hashes[0] == hashes[1]


HASH_CONDITIONS = {
    "present_and_hash_equal": (False, True, False),
    "present_and_not_hash_equal": (False, False, True),
    "absent_or_hash_equal": (True, True, False),
    "absent_or_not_hash_equal": (True, False, True),
    "unconditional": (True, True, True),
}


@pytest.mark.parametrize("name", HASH_CONDITIONS)
def test_a_value_is_stored_if_the_hash_is_as_it_must_be(caller, name):
    set_value(caller, b"checked", b"checked")
    check = hash_of(caller, b"checked")
    condition = {} if name == "unconditional" else {"hash_to_check": check}
    for before, holds in zip((None, b"checked", b"another"), HASH_CONDITIONS[name], strict=True):
        key = fresh_name("key").encode()
        if before is not None:
            set_value(caller, key, before)
        response = caller.scs.SetIfHash(cache_key=key, cache_body=b"new", ttl_milliseconds=TTL, **{name: condition})
        assert response.WhichOneof("result") == ("stored" if holds else "not_stored"), before
        if holds:
            assert response.stored.new_hash == hash_of(caller, key)
        assert get(caller, key) == (b"new" if holds else before)


@pytest.mark.parametrize("false_hash", [b"", b"x", b"\x00" * 8, b"x" * 1000])
def test_a_hash_that_is_none_equals_nothing(caller, false_hash):
    set_value(caller, b"k", b"before")
    check = {"hash_to_check": false_hash}
    response = caller.scs.SetIfHash(cache_key=b"k", cache_body=b"1", ttl_milliseconds=TTL, present_and_hash_equal=check)
    assert response.WhichOneof("result") == "not_stored"
    response = caller.scs.SetIfHash(
        cache_key=b"k", cache_body=b"2", ttl_milliseconds=TTL, present_and_not_hash_equal=check
    )
    assert response.WhichOneof("result") == "stored"


def test_one_of_many_writers_wins_with_a_hash(caller):
    """Compare and set, over and over: no write is lost."""
    set_value(caller, b"k", b"0")
    for round_number in range(20):
        found = caller.scs.GetWithHash(cache_key=b"k").found
        change = {
            "cache_key": b"k",
            "cache_body": b"%d" % (int(found.value) + 1),
            "ttl_milliseconds": TTL,
            "present_and_hash_equal": {"hash_to_check": found.hash},
        }
        futures = [caller.future("scs", "SetIfHash", **change) for _ in range(5)]
        results = [future.result().WhichOneof("result") for future in futures]
        # Equal values have equal hashes, but what was stored is one more than what was checked.
        assert sorted(results) == ["not_stored"] * 4 + ["stored"]
        assert get(caller, b"k") == b"%d" % (round_number + 1)


# Existence, kind and time


def make_all_kinds(caller, ttl=TTL):
    """A key of each kind; the names by the number that tells the kind."""
    set_value(caller, b"scalar", b"v", ttl)
    times = {"ttl_milliseconds": ttl, "refresh_ttl": True}
    caller.scs.DictionarySet(dictionary_name=b"dictionary", items=[{"field": b"f", "value": b"v"}], **times)
    caller.scs.SetUnion(set_name=b"set", elements=[b"e"], **times)
    caller.scs.ListPushBack(list_name=b"list", value=b"v", **times)
    caller.scs.SortedSetPut(set_name=b"sorted-set", elements=[{"value": b"v", "score": 1}], **times)
    return [b"scalar", b"dictionary", b"set", b"list", b"sorted-set"]


def test_existence_is_told_in_order(caller):
    assert list(caller.scs.KeysExist().exists) == []
    assert list(caller.scs.KeysExist(cache_keys=[b"none"]).exists) == [False]
    kinds = make_all_kinds(caller)
    wanted = [b"none", *kinds, b"none", kinds[0]]
    assert list(caller.scs.KeysExist(cache_keys=wanted).exists) == [False, *[True] * 5, False, True]
    many = list(itertools.islice(itertools.cycle([b"scalar", b"none"]), 5000))
    assert list(caller.scs.KeysExist(cache_keys=many).exists) == [True, False] * 2500


def test_kinds_are_told(caller):
    for number, name in enumerate(make_all_kinds(caller)):
        assert caller.scs.ItemGetType(cache_key=name).found.item_type == number
    assert caller.scs.ItemGetType(cache_key=b"none").WhichOneof("result") == "missing"


def test_every_kind_is_deleted_by_the_same_call(caller):
    kinds = make_all_kinds(caller)
    for name in kinds:
        caller.scs.Delete(cache_key=name)
        caller.scs.Delete(cache_key=name)
    assert list(caller.scs.KeysExist(cache_keys=kinds).exists) == [False] * 5


def remaining(caller, key):
    response = caller.scs.ItemGetTtl(cache_key=key)
    return response.found.remaining_ttl_millis if response.WhichOneof("result") == "found" else None


def test_the_time_that_is_left_is_told(caller):
    for name in make_all_kinds(caller):
        time.sleep(0.002)
        assert 0 < TTL - 10_000 < remaining(caller, name) < TTL
    assert remaining(caller, b"none") is None


# What is asked for, and whether it is done on an item with a minute left.
UPDATES = {
    "overwrite with more": ({"overwrite_to_milliseconds": 120_000}, "set"),
    "overwrite with less": ({"overwrite_to_milliseconds": 30_000}, "set"),
    "increase to more": ({"increase_to_milliseconds": 120_000}, "set"),
    "increase to less": ({"increase_to_milliseconds": 30_000}, "not_set"),
    "decrease to less": ({"decrease_to_milliseconds": 30_000}, "set"),
    "decrease to more": ({"decrease_to_milliseconds": 120_000}, "not_set"),
}


@pytest.mark.parametrize("name", UPDATES)
def test_times_are_changed_as_they_are_asked_to(caller, name):
    update, result = UPDATES[name]
    (target,) = update.values()
    for key in make_all_kinds(caller):
        assert caller.scs.UpdateTtl(cache_key=key, **update).WhichOneof("result") == result
        expected = target if result == "set" else TTL
        assert expected - 10_000 < remaining(caller, key) <= expected
    assert caller.scs.UpdateTtl(cache_key=b"none", **update).WhichOneof("result") == "missing"


def test_an_item_is_never_served_past_its_time(caller):
    kinds = make_all_kinds(caller, ttl=300)
    set_value(caller, b"kept", ttl=300)
    assert caller.scs.UpdateTtl(cache_key=b"kept", overwrite_to_milliseconds=60_000).WhichOneof("result") == "set"
    set_value(caller, b"cut", ttl=60_000)
    assert caller.scs.UpdateTtl(cache_key=b"cut", decrease_to_milliseconds=1).WhichOneof("result") == "set"
    eventually(
        lambda: list(caller.scs.KeysExist(cache_keys=[*kinds, b"cut"]).exists) == [False] * 6, within=2, what="the end"
    )
    assert list(caller.scs.GetBatch(items=[{"cache_key": b"scalar"}]))[0].result == MISS
    assert remaining(caller, b"scalar") is None
    assert caller.scs.DictionaryLength(dictionary_name=b"dictionary").WhichOneof("dictionary") == "missing"
    assert caller.scs.SetLength(set_name=b"set").WhichOneof("set") == "missing"
    assert caller.scs.ListLength(list_name=b"list").WhichOneof("list") == "missing"
    assert caller.scs.SortedSetLength(set_name=b"sorted-set").WhichOneof("sorted_set") == "missing"
    response = caller.scs.SetIf(cache_key=b"scalar", cache_body=b"new", ttl_milliseconds=TTL, absent={})
    assert response.WhichOneof("result") == "stored"
    assert get(caller, b"kept") == b"value"


def test_a_cache_gives_its_own_time_to_what_comes_without_one(caller, server):
    with refused(Code.INVALID_ARGUMENT, says="ttl_milliseconds"):
        caller.scs.Set(cache_key=b"k", cache_body=b"v")
    timed = caller.using(cache=server.admin.make_cache(limits={"default_ttl": 100}))
    set_value(timed, b"k", ttl=0)
    assert 90_000 < remaining(timed, b"k") <= 100_000


@pytest.mark.parametrize("ttl", [2**42 + 1, 2**63, 2**64 - 1])
def test_times_that_cannot_be_are_refused(caller, ttl):
    with refused(Code.INVALID_ARGUMENT, says="ttl_milliseconds"):
        set_value(caller, b"k", ttl=ttl)
    with refused(Code.INVALID_ARGUMENT, says="ttl_milliseconds"):
        caller.scs.ListPushBack(list_name=b"l", value=b"v", ttl_milliseconds=ttl)
    set_value(caller, b"k")
    with refused(Code.INVALID_ARGUMENT, says="overwrite_to_milliseconds"):
        caller.scs.UpdateTtl(cache_key=b"k", overwrite_to_milliseconds=ttl)


def test_a_time_of_nothing_is_refused(caller):
    set_value(caller, b"k")
    for kind in ("overwrite", "increase", "decrease"):
        with refused(Code.INVALID_ARGUMENT, says=f"{kind}_to_milliseconds"):
            caller.scs.UpdateTtl(cache_key=b"k", **{f"{kind}_to_milliseconds": 0})
    assert code_of(lambda: caller.scs.Get(cache_key=b"k")) == Code.OK


# Keys and values at their limits


def test_keys_at_their_limits(caller):
    with refused(Code.INVALID_ARGUMENT, says="cache_key"):
        caller.scs.Get(cache_key=b"")
    with refused(Code.INVALID_ARGUMENT, says="cache_key"):
        set_value(caller, b"")
    set_value(caller, b"k" * 65_536)
    with refused(Code.RESOURCE_EXHAUSTED, err="item_size_limit_exceeded"):
        set_value(caller, b"k" * 65_537)
    for name in ("Dictionary", "Set", "List", "SortedSet"):
        field = {"Dictionary": "dictionary_name", "List": "list_name"}.get(name, "set_name")
        with refused(Code.INVALID_ARGUMENT, says=field):
            getattr(caller.scs, f"{name}Length")(**{field: b""})


def test_the_largest_item_is_taken_and_one_byte_more_is_not(caller):
    key = b"k" * 100
    set_value(caller, key, b"x" * (5_000_192 - 100))
    with refused(Code.RESOURCE_EXHAUSTED, err="item_size_limit_exceeded", says="item size"):
        set_value(caller, key, b"x" * (5_000_192 - 99))
    assert len(get(caller, key)) == 5_000_192 - 100
