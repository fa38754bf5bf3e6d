"""The official SDK: scalars. What only the wire offers is in `test_grpc_scalars.py`."""

import random
import time
from datetime import timedelta

import pytest
from momento.errors import MomentoErrorCode

from support.admin import fresh_name
from support.sdk import TTL, must, must_fail
from support.waiting import eventually


@pytest.fixture
def client(sdk):
    return sdk.cache()


@pytest.mark.parametrize(
    "key,value",
    [
        ("key", "value"),
        (b"\x00\xff\x80", b"\xff\x00" * 100),
        ("schlüssel", "🜁 Wert"),
        ("empty", ""),
        (b"k" * 65_536, b"longest key"),
        ("newline\r\nset: x", "a\r\n"),
    ],
    ids=["text", "binary", "unicode", "empty", "longest key", "line ends"],
)
def test_a_value_comes_back_as_it_was_set(client, cache, key, value):
    must(client.get(cache, key), "Miss")
    must(client.set(cache, key, value), "Success")
    expected = value.encode() if isinstance(value, str) else value
    assert must(client.get(cache, key), "Hit").value_bytes == expected
    must(client.set(cache, key, b"another"), "Success")
    assert must(client.get(cache, key), "Hit").value_bytes == b"another"
    must(client.delete(cache, key), "Success")
    must(client.get(cache, key), "Miss")
    must(client.delete(cache, key), "Success")


def test_a_value_of_five_megabytes_is_taken_and_one_over_the_limit_told(client, cache):
    value = random.Random(1).randbytes(5_000_000)
    must(client.set(cache, "large", value), "Success")
    assert must(client.get(cache, "large"), "Hit").value_bytes == value
    # What the SDK's own limit lets through and ours does not: 5,000,192 bytes with the key.
    error = must_fail(client.set(cache, "large", b"x" * 5_000_192), MomentoErrorCode.LIMIT_EXCEEDED_ERROR)
    assert dict(error.inner_exception.transport_details.grpc.metadata)["err"] == "item_size_limit_exceeded"
    assert must(client.get(cache, "large"), "Hit").value_bytes == value


def test_an_item_is_gone_when_its_time_is_over(client, cache):
    started = time.monotonic()
    must(client.set(cache, "short", "value", timedelta(milliseconds=600)), "Success")
    must(client.set(cache, "long", "value", timedelta(seconds=60)), "Success")
    must(client.increment(cache, "number", 5, timedelta(milliseconds=600)), "Success")
    must(client.set_if_not_exists(cache, "once", "value", timedelta(milliseconds=600)), "Stored")
    # An increment of what exists does not lengthen its life.
    must(client.increment(cache, "number", 5, timedelta(seconds=60)), "Success")
    if time.monotonic() - started < 0.5:
        must(client.get(cache, "short"), "Hit")
    eventually(lambda: type(client.get(cache, "short")).__name__ == "Miss", within=2, what="a miss")
    assert time.monotonic() - started > 0.5
    while time.monotonic() - started < 0.8:
        time.sleep(0.01)
    for key in ("short", "number", "once"):
        must(client.get(cache, key), "Miss")
    must(client.get(cache, "long"), "Hit")


def test_only_the_first_is_stored_when_a_key_must_not_exist(client, cache):
    must(client.set_if_not_exists(cache, "key", "first"), "Stored")
    must(client.set_if_not_exists(cache, "key", "second"), "NotStored")
    assert must(client.get(cache, "key"), "Hit").value_string == "first"
    must(client.delete(cache, "key"), "Success")
    must(client.set_if_not_exists(cache, "key", "third"), "Stored")
    assert must(client.get(cache, "key"), "Hit").value_string == "third"


def test_increments_count(client, cache):
    assert must(client.increment(cache, "number"), "Success").value == 1
    assert must(client.increment(cache, "number", 41), "Success").value == 42
    assert must(client.get(cache, "number"), "Hit").value_string == "42"
    assert must(client.increment(cache, "number", -1042), "Success").value == -1000
    assert must(client.increment(cache, "number", 0), "Success").value == -1000
    must(client.set(cache, "number", "10"), "Success")
    assert must(client.increment(cache, "number", 90), "Success").value == 100


def test_increments_reach_the_ends_of_the_range(client, cache):
    assert must(client.increment(cache, "most", 2**63 - 1), "Success").value == 2**63 - 1
    must_fail(client.increment(cache, "most", 1), MomentoErrorCode.FAILED_PRECONDITION_ERROR)
    assert must(client.get(cache, "most"), "Hit").value_string == str(2**63 - 1)
    assert must(client.increment(cache, "least", -(2**63)), "Success").value == -(2**63)
    must_fail(client.increment(cache, "least", -1), MomentoErrorCode.FAILED_PRECONDITION_ERROR)


@pytest.mark.parametrize("value", ["abcxyz", "", " 1", "1.0", "0x1", "9223372036854775808", "1\n"])
def test_what_is_no_number_is_not_incremented(client, cache, value):
    must(client.set(cache, "text", value), "Success")
    must_fail(client.increment(cache, "text", 1), MomentoErrorCode.FAILED_PRECONDITION_ERROR)
    assert must(client.get(cache, "text"), "Hit").value_string == value


def test_a_collection_is_no_scalar(client, cache):
    must(client.list_push_back(cache, "key", "value"), "Success")
    must_fail(client.get(cache, "key"), MomentoErrorCode.FAILED_PRECONDITION_ERROR)
    must_fail(client.increment(cache, "key", 1), MomentoErrorCode.FAILED_PRECONDITION_ERROR)
    must(client.set_if_not_exists(cache, "key", "value"), "NotStored")
    must(client.set(cache, "key", "value"), "Success")
    assert must(client.get(cache, "key"), "Hit").value_string == "value"
    for response in (
        client.list_fetch(cache, "key"),
        client.list_push_back(cache, "key", "value"),
        client.dictionary_fetch(cache, "key"),
        client.dictionary_set_field(cache, "key", "field", "value"),
        client.set_fetch(cache, "key"),
        client.set_add_element(cache, "key", "element"),
        client.sorted_set_fetch_by_rank(cache, "key"),
        client.sorted_set_put_element(cache, "key", "value", 1.0),
    ):
        must_fail(response, MomentoErrorCode.FAILED_PRECONDITION_ERROR)
    assert must(client.get(cache, "key"), "Hit").value_string == "value"


def test_a_cache_that_does_not_exist_is_told_for_every_call(client):
    missing = fresh_name("missing")
    for response in (
        client.get(missing, "key"),
        client.set(missing, "key", "value"),
        client.set_if_not_exists(missing, "key", "value"),
        client.delete(missing, "key"),
        client.increment(missing, "key"),
        client.dictionary_fetch(missing, "key"),
        client.dictionary_get_fields(missing, "key", ["field"]),
        client.dictionary_set_fields(missing, "key", {"field": "value"}),
        client.dictionary_remove_fields(missing, "key", ["field"]),
        client.dictionary_increment(missing, "key", "field"),
        client.set_add_elements(missing, "key", {"element"}),
        client.set_fetch(missing, "key"),
        client.set_remove_elements(missing, "key", {"element"}),
        client.list_concatenate_back(missing, "key", ["value"]),
        client.list_concatenate_front(missing, "key", ["value"]),
        client.list_fetch(missing, "key"),
        client.list_length(missing, "key"),
        client.list_pop_back(missing, "key"),
        client.list_pop_front(missing, "key"),
        client.list_push_back(missing, "key", "value"),
        client.list_push_front(missing, "key", "value"),
        client.list_remove_value(missing, "key", "value"),
        client.sorted_set_put_elements(missing, "key", {"value": 1.0}),
        client.sorted_set_fetch_by_rank(missing, "key"),
        client.sorted_set_fetch_by_score(missing, "key"),
        client.sorted_set_get_scores(missing, "key", ["value"]),
        client.sorted_set_get_rank(missing, "key", "value"),
        client.sorted_set_remove_elements(missing, "key", ["value"]),
        client.sorted_set_increment_score(missing, "key", "value"),
    ):
        must_fail(response, MomentoErrorCode.NOT_FOUND_ERROR)


def test_a_time_over_the_limit_of_the_cache_is_refused(client, server):
    cache = server.admin.make_cache(limits={"max_ttl": 100})
    must(client.set(cache, "key", "value", timedelta(seconds=100)), "Success")
    must_fail(client.set(cache, "key", "value", timedelta(seconds=101)), MomentoErrorCode.INVALID_ARGUMENT_ERROR)
    must_fail(client.increment(cache, "number", 1, timedelta(days=1)), MomentoErrorCode.INVALID_ARGUMENT_ERROR)


def test_a_flood_over_the_limit_is_told_as_one(client, server):
    cache = server.admin.make_cache(limits={"max_operations_per_second": 5})
    responses = [client.set(cache, "key", "value") for _ in range(50)]
    refused = [response for response in responses if type(response).__name__ == "Error"]
    assert 0 < len(refused) < 50
    for response in refused:
        must_fail(response, MomentoErrorCode.LIMIT_EXCEEDED_ERROR)
        trailers = dict(response.inner_exception.transport_details.grpc.metadata)
        assert trailers["err"] == "operations_rate_limit_exceeded"


def test_many_at_once_do_not_lose_a_count(server, cache):
    """Increments of several clients at once."""
    import concurrent.futures

    from support.sdk import Sdk

    made = Sdk(server, is_async=False)
    clients = [made.cache(ttl=TTL) for _ in range(4)]
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        calls = [threads.submit(clients[number % 4].increment, cache, "number", 1) for number in range(400)]
        values = sorted(must(call.result(), "Success").value for call in calls)
    made.close()
    assert values == list(range(1, 401))
