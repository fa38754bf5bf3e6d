"""Collections by the wire: what the SDK in the tests does not call, every slice, and what cannot be."""

import collections
import math

import pytest

from support.admin import fresh_name
from support.wire import ASCENDING, DESCENDING, HIT, MISS, UNBOUNDED, Code, refused

KEPT = {"ttl_milliseconds": 60_000, "refresh_ttl": True}
TEN = [b"%d" % number for number in range(10)]


def name(prefix="name"):
    return fresh_name(prefix).encode()


# Dictionaries


def fetch_dictionary(caller, key):
    response = caller.scs.DictionaryFetch(dictionary_name=key)
    if response.WhichOneof("dictionary") == "missing":
        return None
    fields = [pair.field for pair in response.found.items]
    assert len(set(fields)) == len(fields)
    return {pair.field: pair.value for pair in response.found.items}


def set_dictionary(caller, key, pairs, **times):
    items = [{"field": field, "value": value} for field, value in pairs]
    caller.scs.DictionarySet(dictionary_name=key, items=items, **(times or KEPT))


def test_the_length_of_a_dictionary(caller):
    assert caller.scs.DictionaryLength(dictionary_name=b"d").WhichOneof("dictionary") == "missing"
    set_dictionary(caller, b"d", [(b"%d" % number, b"v") for number in range(1000)])
    assert caller.scs.DictionaryLength(dictionary_name=b"d").found.length == 1000


def test_of_equal_fields_the_last_holds(caller):
    set_dictionary(caller, b"d", [(b"f", b"1"), (b"g", b"2"), (b"f", b"3")])
    assert fetch_dictionary(caller, b"d") == {b"f": b"3", b"g": b"2"}


def test_some_or_all_of_a_dictionary_are_deleted(caller):
    caller.scs.DictionaryDelete(dictionary_name=b"d", all={})
    caller.scs.DictionaryDelete(dictionary_name=b"d", some={"fields": [b"f"]})
    set_dictionary(caller, b"d", [(b"a", b"1"), (b"b", b"2"), (b"c", b"3")])
    caller.scs.DictionaryDelete(dictionary_name=b"d", some={"fields": [b"a", b"none", b"a"]})
    assert fetch_dictionary(caller, b"d") == {b"b": b"2", b"c": b"3"}
    caller.scs.DictionaryDelete(dictionary_name=b"d", some={})
    assert fetch_dictionary(caller, b"d") == {b"b": b"2", b"c": b"3"}
    caller.scs.DictionaryDelete(dictionary_name=b"d", all={})
    assert fetch_dictionary(caller, b"d") is None


def test_fields_are_got_in_the_order_of_the_request(caller):
    assert caller.scs.DictionaryGet(dictionary_name=b"d", fields=[b"a"]).WhichOneof("dictionary") == "missing"
    set_dictionary(caller, b"d", [(b"%d" % number, b"value %d" % number) for number in range(500)])
    wanted = [b"%d" % (number * 7 % 600) for number in range(2000)]
    parts = caller.scs.DictionaryGet(dictionary_name=b"d", fields=wanted).found.items
    assert [part.result for part in parts] == [HIT if int(field) < 500 else MISS for field in wanted]
    assert [part.cache_body for part in parts] == [b"value " + field if int(field) < 500 else b"" for field in wanted]


# Sets


def fetch_set(caller, key):
    response = caller.scs.SetFetch(set_name=key)
    if response.WhichOneof("set") == "missing":
        return None
    assert len(set(response.found.elements)) == len(response.found.elements)
    return set(response.found.elements)


def make_set(caller, elements, key=b"s"):
    caller.scs.SetUnion(set_name=key, elements=elements, **KEPT)


def test_what_a_set_contains_is_told_in_order(caller):
    assert caller.scs.SetContains(set_name=b"s", elements=[b"a"]).WhichOneof("set") == "missing"
    assert caller.scs.SetLength(set_name=b"s").WhichOneof("set") == "missing"
    make_set(caller, [b"a", b"b", b"", b"a"])
    assert caller.scs.SetLength(set_name=b"s").found.length == 3
    contains = caller.scs.SetContains(set_name=b"s", elements=[b"b", b"none", b"", b"a", b"b"]).found.contains
    assert list(contains) == [True, False, True, True, True]
    response = caller.scs.SetContains(set_name=b"s")
    assert response.WhichOneof("set") == "found" and list(response.found.contains) == []


def test_a_sample_changes_nothing(caller):
    assert caller.scs.SetSample(set_name=b"s", limit=1).WhichOneof("set") == "missing"
    make_set(caller, TEN)
    for limit, count in ((0, 0), (1, 1), (4, 4), (10, 10), (100, 10), (2**64 - 1, 10)):
        response = caller.scs.SetSample(set_name=b"s", limit=limit)
        assert response.WhichOneof("set") == "found"
        assert len(set(response.found.elements)) == len(response.found.elements) == count
        assert set(response.found.elements) <= set(TEN)
    assert fetch_set(caller, b"s") == set(TEN)


def test_samples_are_drawn_from_everywhere(caller):
    make_set(caller, TEN)
    seen = collections.Counter(caller.scs.SetSample(set_name=b"s", limit=1).found.elements[0] for _ in range(400))
    # Every one of ten is missing 400 draws with a chance of 10^-18.
    assert set(seen) == set(TEN)


def test_what_is_popped_is_gone(caller):
    assert caller.scs.SetPop(set_name=b"s", count=1).WhichOneof("set") == "missing"
    make_set(caller, TEN)
    popped = set(caller.scs.SetPop(set_name=b"s", count=3).found.elements)
    assert len(popped) == 3 and fetch_set(caller, b"s") == set(TEN) - popped
    rest = set(caller.scs.SetPop(set_name=b"s", count=2**32 - 1).found.elements)
    assert popped | rest == set(TEN) and not popped & rest
    assert fetch_set(caller, b"s") is None


def test_the_differences_of_sets(caller):
    minuend = {"minuend": {"elements": [b"1", b"2", b"new"]}}
    some = {"subtrahend": {"set": {"elements": [b"1", b"none"]}}}
    whole = {"subtrahend": {"identity": {}}}
    for difference in (minuend, some, whole):
        assert caller.scs.SetDifference(set_name=b"s", **difference).WhichOneof("set") == "missing"
        assert fetch_set(caller, b"s") is None
    make_set(caller, TEN)
    assert caller.scs.SetDifference(set_name=b"s", **some).WhichOneof("set") == "found"
    assert fetch_set(caller, b"s") == set(TEN) - {b"1"}
    # What was removed already.
    assert caller.scs.SetDifference(set_name=b"s", **some).WhichOneof("set") == "found"
    # What is asked with and not stored takes the place of what is.
    assert caller.scs.SetDifference(set_name=b"s", **minuend).WhichOneof("set") == "found"
    assert fetch_set(caller, b"s") == {b"1", b"new"}
    assert caller.scs.SetDifference(set_name=b"s", **whole).WhichOneof("set") == "found"
    assert fetch_set(caller, b"s") is None
    make_set(caller, [b"1"])
    assert caller.scs.SetDifference(set_name=b"s", minuend={"elements": [b"1"]}).WhichOneof("set") == "found"
    assert fetch_set(caller, b"s") is None


# Lists


def make_list(caller, values, key=b"l"):
    caller.scs.Delete(cache_key=key)
    if values:
        assert caller.scs.ListConcatenateBack(list_name=key, values=values, **KEPT).list_length == len(values)


def fetch_list(caller, key=b"l", **bounds):
    response = caller.scs.ListFetch(list_name=key, **bounds)
    return list(response.found.values) if response.WhichOneof("list") == "found" else None


def bounds_of(start, end):
    """A slice as the message says it; None is open."""
    first = {"unbounded_start": UNBOUNDED} if start is None else {"inclusive_start": start}
    return first | ({"unbounded_end": UNBOUNDED} if end is None else {"exclusive_end": end})


POSITIONS = [None, 0, 1, 2, 5, 9, 10, 11, 2**31 - 1, -1, -2, -5, -9, -10, -11, -(2**31)]


@pytest.mark.parametrize("length", [0, 1, 2, 10])
def test_every_slice_of_a_list_is_that_of_python(caller, length):
    make_list(caller, TEN[:length])
    for start in POSITIONS:
        for end in POSITIONS:
            # A slice without elements is missing.
            expected = TEN[:length][start:end] or None
            assert fetch_list(caller, **bounds_of(start, end)) == expected, (start, end)
    assert fetch_list(caller) == (TEN[:length] or None)


@pytest.mark.parametrize(
    "start,end",
    [
        (2, 6),
        (2, -6),
        (-7, -2),
        (None, -5),
        (-5, None),
        (None, None),
        (0, 1),
        (9, 100),
        (-100, 3),
        (5, 5),
        (5, 0),
        (-2, -6),
    ],
)
def test_a_slice_is_retained(caller, start, end):
    assert caller.scs.ListRetain(list_name=b"l", **bounds_of(start, end), **KEPT).WhichOneof("list") == "missing"
    make_list(caller, TEN)
    expected = TEN[start:end]
    response = caller.scs.ListRetain(list_name=b"l", **bounds_of(start, end), **KEPT)
    assert response.WhichOneof("list") == "found"
    assert response.found.list_length == len(expected)
    assert fetch_list(caller) == (expected or None)


def test_ranges_are_erased(caller):
    def erase(*ranges):
        some = {"ranges": [{"begin_index": begin, "count": count} for begin, count in ranges]}
        return caller.scs.ListErase(list_name=b"l", some=some)

    assert erase((0, 1)).WhichOneof("list") == "missing"
    assert caller.scs.ListErase(list_name=b"l", all={}).WhichOneof("list") == "missing"
    for ranges, expected in (
        ([(0, 1)], TEN[1:]),
        ([(2, 3)], TEN[:2] + TEN[5:]),
        # Positions in the list as it was, in any order, overlapping or beyond its end.
        ([(8, 2), (0, 2)], TEN[2:8]),
        ([(1, 4), (3, 4)], [TEN[0], *TEN[7:]]),
        ([(8, 100)], TEN[:8]),
        ([(50, 1)], TEN),
        ([(0, 0)], TEN),
        ([(2**32 - 1, 2**32 - 1)], TEN),
        ([(0, 2**32 - 1)], []),
    ):
        make_list(caller, TEN)
        response = erase(*ranges)
        assert response.WhichOneof("list") == "found"
        assert response.found.list_length == len(expected), ranges
        assert fetch_list(caller) == (expected or None), ranges
    make_list(caller, TEN)
    caller.scs.ListErase(list_name=b"l", all={})
    assert fetch_list(caller) is None


def test_what_is_left_is_told(caller):
    make_list(caller, [b"a", b"b", b"a"])
    assert caller.scs.ListPopFront(list_name=b"l").found.list_length == 2
    response = caller.scs.ListRemove(list_name=b"l", all_elements_with_value=b"a")
    assert response.found.list_length == 1
    response = caller.scs.ListPopBack(list_name=b"l")
    assert (response.found.back, response.found.list_length) == (b"b", 0)
    assert caller.scs.ListPopBack(list_name=b"l").WhichOneof("list") == "missing"
    assert caller.scs.ListRemove(list_name=b"l", all_elements_with_value=b"a").WhichOneof("list") == "missing"


def test_a_concatenation_of_thousands(caller):
    values = [b"%d" % number for number in range(10_000)]
    assert caller.scs.ListConcatenateBack(list_name=b"l", values=values, **KEPT).list_length == 10_000
    assert fetch_list(caller) == values
    assert fetch_list(caller, **bounds_of(5000, 5003)) == values[5000:5003]
    response = caller.scs.ListConcatenateFront(list_name=b"l", values=values, truncate_back_to_size=15_000, **KEPT)
    assert response.list_length == 15_000
    assert fetch_list(caller) == values + values[:5000]


# Sorted sets


def put(caller, scores, key=b"z"):
    elements = [{"value": value, "score": score} for value, score in scores.items()]
    caller.scs.SortedSetPut(set_name=key, elements=elements, **KEPT)


def scored(caller, key=b"z", **options):
    response = caller.scs.SortedSetFetch(set_name=key, with_scores=True, **options)
    if response.WhichOneof("sorted_set") == "missing":
        return None
    assert response.found.WhichOneof("elements") == "values_with_scores"
    return [(element.value, element.score) for element in response.found.values_with_scores.elements]


SCORES = {b"a": 1.0, b"b": 2.0, b"c": 2.0, b"d": 3.0, b"e": math.inf, b"f": -math.inf, b"g": -0.5}
ASCENDINGLY = sorted(SCORES.items(), key=lambda item: (item[1], item[0]))


def test_values_come_without_scores_unless_they_are_asked_for(caller):
    put(caller, SCORES)
    response = caller.scs.SortedSetFetch(set_name=b"z")
    assert response.found.WhichOneof("elements") == "values"
    assert list(response.found.values.values) == [value for value, _ in ASCENDINGLY]
    assert scored(caller) == ASCENDINGLY
    assert scored(caller, order=DESCENDING) == ASCENDINGLY[::-1]


def test_every_slice_of_ranks_is_that_of_python(caller):
    put(caller, SCORES)
    for order, ordered in ((ASCENDING, ASCENDINGLY), (DESCENDING, ASCENDINGLY[::-1])):
        for start in POSITIONS:
            for end in POSITIONS:
                by_index = {"unbounded_start": UNBOUNDED} if start is None else {"inclusive_start_index": start}
                by_index |= {"unbounded_end": UNBOUNDED} if end is None else {"exclusive_end_index": end}
                assert scored(caller, order=order, by_index=by_index) == ordered[start:end], (order, start, end)


@pytest.mark.parametrize("order", [ASCENDING, DESCENDING])
@pytest.mark.parametrize("low", [None, (-0.5, False), (-0.5, True), (2.0, False), (2.0, True), (-math.inf, False)])
@pytest.mark.parametrize("high", [None, (2.0, False), (2.0, True), (3.0, False), (math.inf, False), (math.inf, True)])
def test_every_range_of_scores(caller, order, low, high):
    put(caller, SCORES)
    inside = [
        (value, score)
        for value, score in ASCENDINGLY
        if (low is None or score > low[0] or (score == low[0] and not low[1]))
        and (high is None or score < high[0] or (score == high[0] and not high[1]))
    ]
    if order == DESCENDING:
        inside.reverse()
    for offset, count in ((0, -1), (1, -1), (0, 2), (2, 3), (100, -1), (0, 0), (0, 2**31 - 1), (0, -(2**31))):
        by_score = {"offset": offset, "count": count}
        by_score |= (
            {"unbounded_min": UNBOUNDED} if low is None else {"min_score": {"score": low[0], "exclusive": low[1]}}
        )
        by_score |= (
            {"unbounded_max": UNBOUNDED} if high is None else {"max_score": {"score": high[0], "exclusive": high[1]}}
        )
        expected = inside[offset:] if count < 0 else inside[offset : offset + count]
        assert scored(caller, order=order, by_score=by_score) == expected, (offset, count)
    bounds = {}
    if low is not None:
        bounds["exclusive_min" if low[1] else "inclusive_min"] = low[0]
    if high is not None:
        bounds["exclusive_max" if high[1] else "inclusive_max"] = high[0]
    response = caller.scs.SortedSetLengthByScore(set_name=b"z", **bounds)
    assert response.WhichOneof("sorted_set") == "found"
    assert response.found.length == len(inside)


def test_the_length_of_a_sorted_set(caller):
    assert caller.scs.SortedSetLength(set_name=b"z").WhichOneof("sorted_set") == "missing"
    assert caller.scs.SortedSetLengthByScore(set_name=b"z").WhichOneof("sorted_set") == "missing"
    put(caller, SCORES)
    assert caller.scs.SortedSetLength(set_name=b"z").found.length == 7
    response = caller.scs.SortedSetLengthByScore(set_name=b"z", unbounded_min=UNBOUNDED, unbounded_max=UNBOUNDED)
    assert response.found.length == 7


def test_scores_and_ranks_are_told(caller):
    assert caller.scs.SortedSetGetScore(set_name=b"z", values=[b"a"]).WhichOneof("sorted_set") == "missing"
    # Not `missing`, which one of the official SDKs does not understand here.
    assert caller.scs.SortedSetGetRank(set_name=b"z", value=b"a").element_rank.result == MISS
    put(caller, SCORES)
    parts = caller.scs.SortedSetGetScore(set_name=b"z", values=[b"e", b"none", b"a", b"f"]).found.elements
    assert [(part.result, part.score) for part in parts] == [(HIT, math.inf), (MISS, 0), (HIT, 1), (HIT, -math.inf)]
    for order, ordered in ((ASCENDING, ASCENDINGLY), (DESCENDING, ASCENDINGLY[::-1])):
        for rank, (value, _) in enumerate(ordered):
            found = caller.scs.SortedSetGetRank(set_name=b"z", value=value, order=order).element_rank
            assert (found.result, found.rank) == (HIT, rank)
    none = caller.scs.SortedSetGetRank(set_name=b"z", value=b"none")
    assert none.WhichOneof("rank") == "element_rank" and none.element_rank.result == MISS


def test_some_or_all_of_a_sorted_set_are_removed(caller):
    caller.scs.SortedSetRemove(set_name=b"z", all={})
    caller.scs.SortedSetRemove(set_name=b"z", some={"values": [b"a"]})
    put(caller, SCORES)
    caller.scs.SortedSetRemove(set_name=b"z", some={"values": [b"a", b"none", b"e"]})
    assert [value for value, _ in scored(caller)] == [b"f", b"g", b"b", b"c", b"d"]
    caller.scs.SortedSetRemove(set_name=b"z", all={})
    assert scored(caller) is None


def store_union(caller, sources, aggregate=0, key=b"union", ttl=60_000):
    named = [{"set_name": source, "weight": weight} for source, weight in sources]
    return caller.scs.SortedSetUnionStore(set_name=key, sources=named, aggregate=aggregate, ttl_milliseconds=ttl).length


def test_unions_are_stored(caller):
    put(caller, {b"a": 1.0, b"b": 2.0}, b"x")
    put(caller, {b"b": 10.0, b"c": 20.0}, b"y")
    for aggregate, both in ((0, 2.0 * 2 - 10), (1, -10.0), (2, 4.0)):
        assert store_union(caller, [(b"x", 2.0), (b"y", -1.0), (b"none", 5.0)], aggregate) == 3
        assert dict(scored(caller, b"union")) == {b"a": 2.0, b"b": both, b"c": -20.0}
    # The target is written over, whatever it was, and is no source unless it is named.
    put(caller, {b"old": 1.0}, b"union")
    assert store_union(caller, [(b"x", 1.0)]) == 2
    assert dict(scored(caller, b"union")) == {b"a": 1.0, b"b": 2.0}
    assert store_union(caller, [(b"union", 1.0), (b"x", 1.0)]) == 2
    assert dict(scored(caller, b"union")) == {b"a": 2.0, b"b": 4.0}
    assert store_union(caller, [(b"x", 1.0), (b"x", 1.0)]) == 2
    assert dict(scored(caller, b"union")) == {b"a": 2.0, b"b": 4.0}
    assert 50_000 < caller.scs.ItemGetTtl(cache_key=b"union").found.remaining_ttl_millis <= 60_000
    # Nothing in it, and nothing is left.
    assert store_union(caller, [(b"none", 1.0)]) == 0
    assert scored(caller, b"union") is None


def test_a_weight_of_nothing_gives_nothing(caller):
    put(caller, {b"a": -5.0, b"b": 7.0}, b"x")
    assert store_union(caller, [(b"x", 0.0)]) == 2
    found = dict(scored(caller, b"union"))
    assert found == {b"a": 0.0, b"b": 0.0}
    assert [math.copysign(1, score) for score in found.values()] == [1, 1]


def test_a_union_needs_every_source_and_the_target(caller, server, cache):
    put(caller, {b"a": 1.0}, b"own:x")
    put(caller, {b"a": 1.0}, b"foreign")
    token = server.admin.make_token([{"role": "readwrite", "cache": cache, "key_prefix": "own:"}]).credential
    limited = caller.using(credential=token)
    assert store_union(limited, [(b"own:x", 1.0)], key=b"own:union") == 1
    with refused(Code.PERMISSION_DENIED):
        store_union(limited, [(b"own:x", 1.0), (b"foreign", 1.0)], key=b"own:union")
    with refused(Code.PERMISSION_DENIED):
        store_union(limited, [(b"own:x", 1.0)], key=b"union")


# What cannot be

NAN = math.nan
CANNOT_BE = {
    "no condition": ("SetIf", {"cache_key": b"k", "cache_body": b"v", "ttl_milliseconds": 1000}, "condition"),
    "no condition on a hash": (
        "SetIfHash",
        {"cache_key": b"k", "cache_body": b"v", "ttl_milliseconds": 1000},
        "condition",
    ),
    "no change of time": ("UpdateTtl", {"cache_key": b"k"}, "update_ttl"),
    "nothing to delete": ("DictionaryDelete", {"dictionary_name": b"k"}, "delete"),
    "no difference": ("SetDifference", {"set_name": b"k"}, "difference"),
    "no subtrahend": ("SetDifference", {"set_name": b"k", "subtrahend": {}}, "subtrahend"),
    "nothing to erase": ("ListErase", {"list_name": b"k"}, "erase"),
    "nothing to remove": ("ListRemove", {"list_name": b"k"}, "remove"),
    "no elements to remove": ("SortedSetRemove", {"set_name": b"k"}, "remove_elements"),
    "an unknown order": ("SortedSetFetch", {"set_name": b"k", "order": 7}, "order"),
    "an unknown order of ranks": ("SortedSetGetRank", {"set_name": b"k", "value": b"v", "order": 7}, "order"),
    "an unknown aggregate": (
        "SortedSetUnionStore",
        {"set_name": b"k", "sources": [{"set_name": b"x", "weight": 1}], "aggregate": 7, "ttl_milliseconds": 1000},
        "aggregate",
    ),
    "no sources": ("SortedSetUnionStore", {"set_name": b"k", "ttl_milliseconds": 1000}, "sources"),
    "a weight that is no number": (
        "SortedSetUnionStore",
        {"set_name": b"k", "sources": [{"set_name": b"x", "weight": NAN}], "ttl_milliseconds": 1000},
        "weight",
    ),
    "an infinite weight": (
        "SortedSetUnionStore",
        {"set_name": b"k", "sources": [{"set_name": b"x", "weight": math.inf}], "ttl_milliseconds": 1000},
        "weight",
    ),
    "a score that is no number": (
        "SortedSetPut",
        {"set_name": b"k", "elements": [{"value": b"v", "score": NAN}], "ttl_milliseconds": 1000},
        "score",
    ),
    "an amount that is no number": (
        "SortedSetIncrement",
        {"set_name": b"k", "value": b"v", "amount": NAN, "ttl_milliseconds": 1000},
        "amount",
    ),
    "a lowest score that is no number": (
        "SortedSetFetch",
        {"set_name": b"k", "by_score": {"min_score": {"score": NAN}, "count": -1}},
        "score",
    ),
    "a highest score that is no number": (
        "SortedSetLengthByScore",
        {"set_name": b"k", "inclusive_max": NAN},
        "score",
    ),
}


@pytest.mark.parametrize("case", CANNOT_BE)
def test_what_cannot_be_is_refused_by_the_name_of_its_field(caller, case):
    method, fields, field = CANNOT_BE[case]
    with refused(Code.INVALID_ARGUMENT, says=field):
        getattr(caller.scs, method)(**fields)
    assert list(caller.scs.KeysExist(cache_keys=[b"k"]).exists) == [False]


def test_infinities_that_cancel_out_are_refused(caller):
    put(caller, {b"a": math.inf})
    with refused(Code.INVALID_ARGUMENT):
        caller.scs.SortedSetIncrement(set_name=b"z", value=b"a", amount=-math.inf, **KEPT)
    assert scored(caller) == [(b"a", math.inf)]


# An rpc on every kind of collection, and the fields that it needs beside the name.
ON_COLLECTIONS = {
    "DictionaryGet": ("dictionary_name", {"fields": [b"f"]}),
    "DictionaryFetch": ("dictionary_name", {}),
    "DictionarySet": ("dictionary_name", {"items": [{"field": b"f", "value": b"v"}], **KEPT}),
    "DictionaryIncrement": ("dictionary_name", {"field": b"f", "amount": 1, **KEPT}),
    "DictionaryDelete": ("dictionary_name", {"some": {"fields": [b"f"]}}),
    "DictionaryLength": ("dictionary_name", {}),
    "SetFetch": ("set_name", {}),
    "SetSample": ("set_name", {"limit": 1}),
    "SetUnion": ("set_name", {"elements": [b"e"], **KEPT}),
    "SetDifference": ("set_name", {"subtrahend": {"set": {"elements": [b"e"]}}}),
    "SetContains": ("set_name", {"elements": [b"e"]}),
    "SetLength": ("set_name", {}),
    "SetPop": ("set_name", {"count": 1}),
    "ListPushFront": ("list_name", {"value": b"v", **KEPT}),
    "ListPushBack": ("list_name", {"value": b"v", **KEPT}),
    "ListPopFront": ("list_name", {}),
    "ListPopBack": ("list_name", {}),
    "ListErase": ("list_name", {"all": {}}),
    "ListRemove": ("list_name", {"all_elements_with_value": b"v"}),
    "ListFetch": ("list_name", {}),
    "ListLength": ("list_name", {}),
    "ListConcatenateFront": ("list_name", {"values": [b"v"], **KEPT}),
    "ListConcatenateBack": ("list_name", {"values": [b"v"], **KEPT}),
    "ListRetain": ("list_name", {**KEPT}),
    "SortedSetPut": ("set_name", {"elements": [{"value": b"v", "score": 1}], **KEPT}),
    "SortedSetFetch": ("set_name", {}),
    "SortedSetGetScore": ("set_name", {"values": [b"v"]}),
    "SortedSetRemove": ("set_name", {"some": {"values": [b"v"]}}),
    "SortedSetIncrement": ("set_name", {"value": b"v", "amount": 1, **KEPT}),
    "SortedSetGetRank": ("set_name", {"value": b"v"}),
    "SortedSetLength": ("set_name", {}),
    "SortedSetLengthByScore": ("set_name", {}),
}


def make_one_of_each(caller):
    caller.scs.Set(cache_key=b"Scalar", cache_body=b"v", ttl_milliseconds=60_000)
    caller.scs.DictionarySet(dictionary_name=b"Dictionary", items=[{"field": b"x", "value": b"v"}], **KEPT)
    caller.scs.SetUnion(set_name=b"Set", elements=[b"x"], **KEPT)
    caller.scs.ListPushBack(list_name=b"List", value=b"x", **KEPT)
    caller.scs.SortedSetPut(set_name=b"SortedSet", elements=[{"value": b"x", "score": 1}], **KEPT)
    return ["Scalar", "Dictionary", "Set", "List", "SortedSet"]


@pytest.mark.parametrize("method", ON_COLLECTIONS)
def test_a_key_that_holds_something_else_is_told(caller, method):
    field, fields = ON_COLLECTIONS[method]
    kinds = make_one_of_each(caller)
    own = max((kind for kind in kinds if method.startswith(kind)), key=len)
    for kind in kinds:
        if kind == own:
            getattr(caller.scs, method)(**{field: kind.encode()}, **fields)
            continue
        with refused(Code.FAILED_PRECONDITION):
            getattr(caller.scs, method)(**{field: kind.encode()}, **fields)
    for other in {"Dictionary", "Set", "List", "SortedSet"} - {own}:
        named = {"Dictionary": "dictionary_name", "List": "list_name"}.get(other, "set_name")
        assert (
            getattr(caller.scs, f"{other}Length")(**{named: other.encode()}).WhichOneof(
                {"SortedSet": "sorted_set"}.get(other, other.lower())
            )
            == "found"
        )


# What the role of a credential is enough for: read-only, write-only.
ROLES = {
    "readonly": {
        "DictionaryGet", "DictionaryFetch", "DictionaryLength", "SetFetch", "SetSample", "SetContains", "SetLength",
        "ListFetch", "ListLength", "SortedSetFetch", "SortedSetGetScore", "SortedSetGetRank", "SortedSetLength",
        "SortedSetLengthByScore",
    },
    "writeonly": {
        "DictionarySet", "DictionaryDelete", "SetUnion", "SetDifference", "SortedSetPut", "SortedSetRemove",
    },
    "readwrite": set(ON_COLLECTIONS),
}  # fmt: skip


@pytest.mark.parametrize("role", ROLES)
def test_roles_allow_what_the_table_says(caller, server, cache, role):
    limited = caller.using(credential=server.admin.make_token([{"role": role, "cache": cache}]).credential)
    for method, (field, fields) in ON_COLLECTIONS.items():
        key = name()
        if method in ROLES[role]:
            getattr(limited.scs, method)(**{field: key}, **fields)
        else:
            with refused(Code.PERMISSION_DENIED, says="Insufficient permissions"):
                getattr(limited.scs, method)(**{field: key}, **fields)


def test_elements_at_their_limit(caller):
    most, over = b"x" * 131_072, b"x" * 131_073
    for method, field, fields in (
        ("ListPushBack", "list_name", lambda value: {"value": value}),
        ("ListPushFront", "list_name", lambda value: {"value": value}),
        ("ListConcatenateBack", "list_name", lambda value: {"values": [b"a", value]}),
        ("ListConcatenateFront", "list_name", lambda value: {"values": [b"a", value]}),
        ("SetUnion", "set_name", lambda value: {"elements": [b"a", value]}),
        ("SortedSetPut", "set_name", lambda value: {"elements": [{"value": value, "score": 1}]}),
        ("SortedSetIncrement", "set_name", lambda value: {"value": value, "amount": 1}),
    ):
        key = name(method)
        getattr(caller.scs, method)(**{field: key}, **fields(most), **KEPT)
        with refused(Code.RESOURCE_EXHAUSTED, err="element_size_limit_exceeded", says="element size"):
            getattr(caller.scs, method)(**{field: key}, **fields(over), **KEPT)
    with refused(Code.RESOURCE_EXHAUSTED, err="element_size_limit_exceeded"):
        set_dictionary(caller, name(), [(b"a", b"1"), (b"f", over)])
