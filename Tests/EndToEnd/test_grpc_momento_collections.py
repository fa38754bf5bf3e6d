"""The official SDK: dictionaries, sets, lists and sorted sets."""

from datetime import timedelta

import pytest
from momento.errors import MomentoErrorCode
from momento.requests import CollectionTtl, SortOrder

from support.sdk import must, must_fail
from support.waiting import eventually

TEN = [str(number) for number in range(10)]


@pytest.fixture
def client(sdk):
    return sdk.cache()


# Dictionaries


def test_a_dictionary_keeps_fields(client, cache):
    must(client.dictionary_fetch(cache, "d"), "Miss")
    must(client.dictionary_get_field(cache, "d", "a"), "Miss")
    must(client.dictionary_get_fields(cache, "d", ["a", "b"]), "Miss")
    must(client.dictionary_set_fields(cache, "d", {"a": "1", b"\xff": b"\x00", "": ""}), "Success")
    must(client.dictionary_set_field(cache, "d", "b", "2"), "Success")
    fetched = must(client.dictionary_fetch(cache, "d"), "Hit")
    assert fetched.value_dictionary_bytes_bytes == {b"a": b"1", b"\xff": b"\x00", b"": b"", b"b": b"2"}
    found = must(client.dictionary_get_fields(cache, "d", ["b", "none", "a", "b"]), "Hit")
    assert [type(part).__name__ for part in found.responses] == ["Hit", "Miss", "Hit", "Hit"]
    assert [part.value_string for part in found.responses if type(part).__name__ == "Hit"] == ["2", "1", "2"]
    must(client.dictionary_get_field(cache, "d", "none"), "Miss")
    assert must(client.dictionary_get_field(cache, "d", b"\xff"), "Hit").value_bytes == b"\x00"
    must(client.dictionary_set_field(cache, "d", "a", "changed"), "Success")
    assert must(client.dictionary_get_field(cache, "d", "a"), "Hit").value_string == "changed"


def test_fields_are_removed_and_with_the_last_the_dictionary(client, cache):
    must(client.dictionary_remove_fields(cache, "d", ["a"]), "Success")
    must(client.dictionary_set_fields(cache, "d", {"a": "1", "b": "2", "c": "3"}), "Success")
    must(client.dictionary_remove_field(cache, "d", "a"), "Success")
    must(client.dictionary_remove_fields(cache, "d", ["b", "none"]), "Success")
    assert must(client.dictionary_fetch(cache, "d"), "Hit").value_dictionary_string_string == {"c": "3"}
    must(client.dictionary_remove_fields(cache, "d", ["c"]), "Success")
    must(client.dictionary_fetch(cache, "d"), "Miss")
    must(client.dictionary_set_field(cache, "d", "e", "5"), "Success")
    must(client.delete(cache, "d"), "Success")
    must(client.dictionary_fetch(cache, "d"), "Miss")


def test_fields_count(client, cache):
    assert must(client.dictionary_increment(cache, "d", "n"), "Success").value == 1
    assert must(client.dictionary_increment(cache, "d", "n", 41), "Success").value == 42
    assert must(client.dictionary_increment(cache, "d", "n", -1042), "Success").value == -1000
    assert must(client.dictionary_get_field(cache, "d", "n"), "Hit").value_string == "-1000"
    must(client.dictionary_set_field(cache, "d", "n", "10"), "Success")
    assert must(client.dictionary_increment(cache, "d", "n", 0), "Success").value == 10
    must(client.dictionary_set_field(cache, "d", "n", "abcxyz"), "Success")
    must_fail(client.dictionary_increment(cache, "d", "n"), MomentoErrorCode.FAILED_PRECONDITION_ERROR)
    must(client.dictionary_set_field(cache, "d", "n", str(2**63 - 1)), "Success")
    must_fail(client.dictionary_increment(cache, "d", "n"), MomentoErrorCode.FAILED_PRECONDITION_ERROR)


def test_a_large_dictionary_comes_back_whole(client, cache):
    items = {f"field-{number}": f"value-{number}" * 5 for number in range(3000)}
    must(client.dictionary_set_fields(cache, "d", items), "Success")
    assert must(client.dictionary_fetch(cache, "d"), "Hit").value_dictionary_string_string == items


# Sets


def test_a_set_keeps_elements(client, cache):
    must(client.set_fetch(cache, "s"), "Miss")
    must(client.set_remove_element(cache, "s", "a"), "Success")
    must(client.set_add_element(cache, "s", "a"), "Success")
    must(client.set_add_element(cache, "s", "a"), "Success")
    must(client.set_add_elements(cache, "s", ["b", "a", "c", ""]), "Success")
    assert must(client.set_fetch(cache, "s"), "Hit").value_set_string == {"", "a", "b", "c"}
    must(client.set_remove_element(cache, "s", "none"), "Success")
    must(client.set_remove_elements(cache, "s", ["a", "none", ""]), "Success")
    assert must(client.set_fetch(cache, "s"), "Hit").value_set_string == {"b", "c"}
    must(client.set_remove_elements(cache, "s", ["b", "c"]), "Success")
    must(client.set_fetch(cache, "s"), "Miss")


def test_a_set_of_bytes_and_many_elements(client, cache):
    elements = {bytes([number & 255, number >> 8]) for number in range(5000)}
    must(client.set_add_elements(cache, "s", elements), "Success")
    assert must(client.set_fetch(cache, "s"), "Hit").value_set_bytes == elements


# Lists


def values(client, cache, name="l"):
    return must(client.list_fetch(cache, name), "Hit").value_list_string


def test_a_list_is_pushed_to_and_popped_from_at_both_ends(client, cache):
    must(client.list_fetch(cache, "l"), "Miss")
    must(client.list_length(cache, "l"), "Miss")
    must(client.list_pop_front(cache, "l"), "Miss")
    must(client.list_pop_back(cache, "l"), "Miss")
    assert must(client.list_push_back(cache, "l", "b"), "Success").list_length == 1
    assert must(client.list_push_back(cache, "l", "c"), "Success").list_length == 2
    assert must(client.list_push_front(cache, "l", "a"), "Success").list_length == 3
    assert values(client, cache) == ["a", "b", "c"]
    assert must(client.list_length(cache, "l"), "Hit").length == 3
    assert must(client.list_pop_front(cache, "l"), "Hit").value_string == "a"
    assert must(client.list_pop_back(cache, "l"), "Hit").value_string == "c"
    assert must(client.list_pop_back(cache, "l"), "Hit").value_string == "b"
    must(client.list_fetch(cache, "l"), "Miss")
    must(client.list_length(cache, "l"), "Miss")


def test_values_are_put_at_either_end_in_their_order(client, cache):
    assert must(client.list_concatenate_back(cache, "l", ["3"]), "Success").list_length == 1
    assert must(client.list_concatenate_front(cache, "l", ["1", "2"]), "Success").list_length == 3
    assert must(client.list_concatenate_back(cache, "l", ["4", "", b"5"]), "Success").list_length == 6
    assert values(client, cache) == ["1", "2", "3", "4", "", "5"]


def test_a_list_is_cut_at_the_other_end(client, cache):
    must(client.list_concatenate_back(cache, "l", TEN), "Success")
    length = must(client.list_concatenate_back(cache, "l", ["a", "b"], truncate_front_to_size=5), "Success").list_length
    assert (length, values(client, cache)) == (5, ["7", "8", "9", "a", "b"])
    length = must(client.list_concatenate_front(cache, "l", ["x", "y"], truncate_back_to_size=4), "Success").list_length
    assert (length, values(client, cache)) == (4, ["x", "y", "7", "8"])
    assert must(client.list_push_back(cache, "l", "z", truncate_front_to_size=2), "Success").list_length == 2
    assert values(client, cache) == ["8", "z"]
    assert must(client.list_push_front(cache, "l", "w", truncate_back_to_size=1), "Success").list_length == 1
    assert values(client, cache) == ["w"]
    # What is put itself is cut too.
    assert must(client.list_concatenate_back(cache, "l", TEN, truncate_front_to_size=3), "Success").list_length == 3
    assert values(client, cache) == ["7", "8", "9"]
    # A limit over the length cuts nothing.
    assert must(client.list_push_back(cache, "l", "a", truncate_front_to_size=100), "Success").list_length == 4


def test_every_equal_value_is_removed(client, cache):
    must(client.list_remove_value(cache, "l", "a"), "Success")
    must(client.list_concatenate_back(cache, "l", ["a", "b", "a", "c", "a"]), "Success")
    must(client.list_remove_value(cache, "l", "none"), "Success")
    must(client.list_remove_value(cache, "l", "a"), "Success")
    assert values(client, cache) == ["b", "c"]
    must(client.list_remove_value(cache, "l", "b"), "Success")
    must(client.list_remove_value(cache, "l", "c"), "Success")
    must(client.list_fetch(cache, "l"), "Miss")


# Sorted sets

SCORES = {"e": 5.0, "a": 1.0, "d": 4.0, "b": 2.0, "c": 3.0}


@pytest.fixture
def sorted_set(client, cache):
    must(client.sorted_set_put_elements(cache, "z", SCORES), "Success")
    return "z"


def test_a_sorted_set_that_does_not_exist_is_a_miss(client, cache):
    for response in (
        client.sorted_set_fetch_by_rank(cache, "z"),
        client.sorted_set_fetch_by_score(cache, "z"),
        client.sorted_set_get_score(cache, "z", "a"),
        client.sorted_set_get_scores(cache, "z", ["a"]),
        client.sorted_set_get_rank(cache, "z", "a"),
    ):
        must(response, "Miss")
    must(client.sorted_set_remove_element(cache, "z", "a"), "Success")


def test_scores_are_put_replaced_and_told(client, cache, sorted_set):
    must(client.sorted_set_put_element(cache, "z", "a", -0.5), "Success")
    assert must(client.sorted_set_get_score(cache, "z", "a"), "Hit").score == -0.5
    must(client.sorted_set_get_score(cache, "z", "none"), "Miss")
    found = must(client.sorted_set_get_scores(cache, "z", ["c", "none", "a"]), "Hit")
    assert [type(part).__name__ for part in found.responses] == ["Hit", "Miss", "Hit"]
    assert found.value_dictionary_string == {"c": 3.0, "a": -0.5}
    fetched = must(client.sorted_set_fetch_by_rank(cache, "z"), "Hit").value_list_string
    assert fetched == [("a", -0.5), ("b", 2.0), ("c", 3.0), ("d", 4.0), ("e", 5.0)]


@pytest.mark.parametrize(
    "start,end,order,expected",
    [
        (None, None, "ASCENDING", "abcde"),
        (None, None, "DESCENDING", "edcba"),
        (1, 3, "ASCENDING", "bc"),
        (1, 3, "DESCENDING", "dc"),
        (-2, None, "ASCENDING", "de"),
        (-2, None, "DESCENDING", "ba"),
        (None, -2, "ASCENDING", "abc"),
        (-4, -1, "ASCENDING", "bcd"),
        (1, -1, "ASCENDING", "bcd"),
        (-100, 100, "ASCENDING", "abcde"),
        (4, None, "ASCENDING", "e"),
        # An empty slice of a sorted set is found, and empty.
        (5, None, "ASCENDING", ""),
        (3, 3, "ASCENDING", ""),
        (4, 2, "ASCENDING", ""),
        (None, 0, "ASCENDING", ""),
        (-1, -3, "ASCENDING", ""),
    ],
)
def test_ranks_slice_a_sorted_set(client, cache, sorted_set, start, end, order, expected):
    found = must(client.sorted_set_fetch_by_rank(cache, "z", start, end, SortOrder[order]), "Hit").value_list_string
    assert found == [(letter, SCORES[letter]) for letter in expected]


@pytest.mark.parametrize(
    "low,high,order,offset,count,expected",
    [
        (None, None, "ASCENDING", None, None, "abcde"),
        (None, None, "DESCENDING", None, None, "edcba"),
        (2.0, 4.0, "ASCENDING", None, None, "bcd"),
        (2.0, 4.0, "DESCENDING", None, None, "dcb"),
        (2.5, None, "ASCENDING", None, None, "cde"),
        (None, 2.5, "ASCENDING", None, None, "ab"),
        (None, None, "ASCENDING", 2, None, "cde"),
        (None, None, "ASCENDING", 1, 2, "bc"),
        (None, None, "DESCENDING", 1, 2, "dc"),
        (None, None, "ASCENDING", None, 0, ""),
        (None, None, "ASCENDING", 9, None, ""),
        (6.0, 7.0, "ASCENDING", None, None, ""),
        (3.0, 3.0, "ASCENDING", None, None, "c"),
    ],
)
def test_scores_slice_a_sorted_set(client, cache, sorted_set, low, high, order, offset, count, expected):
    response = client.sorted_set_fetch_by_score(cache, "z", low, high, SortOrder[order], offset, count)
    found = must(response, "Hit").value_list_string
    assert found == [(letter, SCORES[letter]) for letter in expected]


def test_equal_scores_are_in_the_order_of_their_values(client, cache):
    must(client.sorted_set_put_elements(cache, "z", {"b": 1.0, "a": 1.0, "c": 1.0, "Z": 1.0, "low": 0.0}), "Success")
    ascending = ["low", "Z", "a", "b", "c"]
    fetched = must(client.sorted_set_fetch_by_rank(cache, "z"), "Hit").value_list_string
    assert [name for name, _ in fetched] == ascending
    fetched = must(client.sorted_set_fetch_by_rank(cache, "z", sort_order=SortOrder.DESCENDING), "Hit")
    assert [name for name, _ in fetched.value_list_string] == ascending[::-1]
    for rank, name in enumerate(ascending):
        assert must(client.sorted_set_get_rank(cache, "z", name), "Hit").rank == rank
        found = must(client.sorted_set_get_rank(cache, "z", name, SortOrder.DESCENDING), "Hit")
        assert found.rank == len(ascending) - 1 - rank
    must(client.sorted_set_get_rank(cache, "z", "none"), "Miss")


def test_scores_are_added_to(client, cache):
    assert must(client.sorted_set_increment_score(cache, "z", "a"), "Success").score == 1.0
    assert must(client.sorted_set_increment_score(cache, "z", "a", 41.5), "Success").score == 42.5
    assert must(client.sorted_set_increment_score(cache, "z", "a", -42.5), "Success").score == 0.0
    assert must(client.sorted_set_get_score(cache, "z", "a"), "Hit").score == 0.0


def test_elements_are_removed_and_with_the_last_the_sorted_set(client, cache, sorted_set):
    must(client.sorted_set_remove_element(cache, "z", "a"), "Success")
    must(client.sorted_set_remove_elements(cache, "z", ["b", "none", "c"]), "Success")
    fetched = must(client.sorted_set_fetch_by_rank(cache, "z"), "Hit").value_list_string
    assert fetched == [("d", 4.0), ("e", 5.0)]
    must(client.sorted_set_remove_elements(cache, "z", ["d", "e"]), "Success")
    must(client.sorted_set_fetch_by_rank(cache, "z"), "Miss")


# Times

SHORT = timedelta(seconds=3)
LONG = timedelta(seconds=60)

# A write to a collection of each kind, and how it is read.
WRITES = {
    "dictionary": (
        lambda client, cache, name, value, ttl: client.dictionary_set_field(cache, name, value, value, ttl=ttl),
        lambda client, cache, name: client.dictionary_fetch(cache, name),
    ),
    "dictionary number": (
        lambda client, cache, name, value, ttl: client.dictionary_increment(cache, name, value, ttl=ttl),
        lambda client, cache, name: client.dictionary_fetch(cache, name),
    ),
    "set": (
        lambda client, cache, name, value, ttl: client.set_add_element(cache, name, value, ttl=ttl),
        lambda client, cache, name: client.set_fetch(cache, name),
    ),
    "list back": (
        lambda client, cache, name, value, ttl: client.list_push_back(cache, name, value, ttl=ttl),
        lambda client, cache, name: client.list_fetch(cache, name),
    ),
    "list front": (
        lambda client, cache, name, value, ttl: client.list_push_front(cache, name, value, ttl=ttl),
        lambda client, cache, name: client.list_fetch(cache, name),
    ),
    "list of several": (
        lambda client, cache, name, value, ttl: client.list_concatenate_back(cache, name, [value, value], ttl=ttl),
        lambda client, cache, name: client.list_fetch(cache, name),
    ),
    "sorted set": (
        lambda client, cache, name, value, ttl: client.sorted_set_put_element(cache, name, value, 1.0, ttl=ttl),
        lambda client, cache, name: client.sorted_set_fetch_by_rank(cache, name),
    ),
    "sorted set number": (
        lambda client, cache, name, value, ttl: client.sorted_set_increment_score(cache, name, value, ttl=ttl),
        lambda client, cache, name: client.sorted_set_fetch_by_rank(cache, name),
    ),
}


def test_a_collection_lives_as_its_writes_say(client, cache):
    """All kinds at once, so that one wait is enough."""
    for kind, (write, _) in WRITES.items():
        # Created with the time, whether or not it asks for a refresh.
        must(write(client, cache, f"{kind} kept", "a", CollectionTtl(SHORT, refresh_ttl=False)), "Success")
        must(write(client, cache, f"{kind} refreshed", "a", CollectionTtl(SHORT, refresh_ttl=False)), "Success")
    for kind, (write, _) in WRITES.items():
        must(write(client, cache, f"{kind} kept", "b", CollectionTtl(LONG, refresh_ttl=False)), "Success")
        must(write(client, cache, f"{kind} refreshed", "b", CollectionTtl(LONG, refresh_ttl=True)), "Success")
    # Whatever was refreshed in time is there; all the others go.
    for kind, (_, read) in WRITES.items():
        eventually(
            lambda kind=kind, read=read: type(read(client, cache, f"{kind} kept")).__name__ == "Miss",
            within=15,
            what=f"the end of {kind}",
        )
    for kind, (_, read) in WRITES.items():
        must(read(client, cache, f"{kind} refreshed"), "Hit")


def test_a_collection_that_was_emptied_is_made_anew(client, cache):
    must(client.list_push_back(cache, "l", "a", ttl=CollectionTtl(LONG)), "Success")
    must(client.list_pop_back(cache, "l"), "Hit")
    must(client.list_push_back(cache, "l", "b", ttl=CollectionTtl(SHORT, refresh_ttl=False)), "Success")
    eventually(lambda: type(client.list_fetch(cache, "l")).__name__ == "Miss", within=15, what="a miss")


def test_names_and_elements_of_every_kind_are_kept(client, cache):
    name = "Sammlung 🜁 / ?#%"
    must(client.set_add_elements(cache, name, ["ä", "🜁", "x" * 131_072]), "Success")
    assert must(client.set_fetch(cache, name), "Hit").value_set_string == {"ä", "🜁", "x" * 131_072}
    error = must_fail(client.set_add_element(cache, name, "x" * 131_073), MomentoErrorCode.LIMIT_EXCEEDED_ERROR)
    trailers = dict(error.inner_exception.transport_details.grpc.metadata)
    assert trailers["err"] == "element_size_limit_exceeded"
    must(client.dictionary_set_field(cache, "d", "f", "x" * 131_000), "Success")
