"""Leaderboards by the wire: order, ties, both kinds of rank, ranges and limits."""

import math
import random

import pytest

from support.admin import fresh_name
from support.wire import ASCENDING, DESCENDING, UNBOUNDED, Code, refused

MOST = 8192
BOARD = "board"


def upsert(caller, scores, board=BOARD):
    elements = [{"id": number, "score": score} for number, score in scores.items()]
    caller.leaderboard.UpsertElements(leaderboard=board, elements=elements)


def rows(response):
    return [(element.id, element.rank, element.score) for element in response.elements]


def by_rank(caller, start, end, order=ASCENDING):
    return rows(
        caller.leaderboard.GetByRank(
            leaderboard=BOARD, rank_range={"start_inclusive": start, "end_exclusive": end}, order=order
        )
    )


def by_score(caller, low=None, high=None, *, offset=0, limit=MOST, order=ASCENDING):
    scores = {"unbounded_min": UNBOUNDED} if low is None else {"min_inclusive": low}
    scores |= {"unbounded_max": UNBOUNDED} if high is None else {"max_exclusive": high}
    return rows(
        caller.leaderboard.GetByScore(
            leaderboard=BOARD, score_range=scores, offset=offset, limit_elements=limit, order=order
        )
    )


def ranked(scores, order=ASCENDING):
    """What a leaderboard is to say: by score, ties by the id as decimal text, and the reverse of both."""
    ordered = sorted(scores, key=lambda number: (scores[number], str(number)))
    if order == DESCENDING:
        ordered.reverse()
    return [(number, rank, scores[number]) for rank, number in enumerate(ordered)]


def length(caller, board=BOARD):
    return caller.leaderboard.GetLeaderboardLength(leaderboard=board).count


def test_a_leaderboard_that_does_not_exist_is_empty(caller):
    assert length(caller) == 0
    assert by_rank(caller, 0, 10) == []
    assert by_score(caller) == []
    assert rows(caller.leaderboard.GetRank(leaderboard=BOARD, ids=[1])) == []
    assert rows(caller.leaderboard.GetCompetitionRank(leaderboard=BOARD, ids=[1])) == []
    caller.leaderboard.RemoveElements(leaderboard=BOARD, ids=[1])
    caller.leaderboard.DeleteLeaderboard(leaderboard=BOARD)


def test_ties_are_in_the_order_of_their_ids_as_text(caller):
    scores = {123: 1.0, 2: 1.0, 1: 1.0, 10: 1.0, 7: 0.0, 4_294_967_295: 2.0, 0: 2.0}
    upsert(caller, scores)
    assert [number for number, _, _ in by_rank(caller, 0, 7)] == [7, 1, 10, 123, 2, 0, 4_294_967_295]
    assert by_rank(caller, 0, 7) == ranked(scores)
    assert by_rank(caller, 0, 7, DESCENDING) == ranked(scores, DESCENDING)


def test_scores_are_replaced_and_elements_removed(caller):
    upsert(caller, {1: 10.0, 2: 20.0, 3: 30.0})
    upsert(caller, {1: 25.5})
    assert by_rank(caller, 0, 10) == [(2, 0, 20.0), (1, 1, 25.5), (3, 2, 30.0)]
    caller.leaderboard.RemoveElements(leaderboard=BOARD, ids=[2, 99])
    assert by_rank(caller, 0, 10) == [(1, 0, 25.5), (3, 1, 30.0)]
    assert length(caller) == 2
    caller.leaderboard.DeleteLeaderboard(leaderboard=BOARD)
    assert length(caller) == 0


def test_slices_of_ranks_are_half_open(caller):
    scores = {number: float(number * 37 % 101) for number in range(100)}
    upsert(caller, scores)
    for order in (ASCENDING, DESCENDING):
        expected = ranked(scores, order)
        for start, end in ((0, 1), (0, 100), (99, 100), (40, 60), (95, 200), (100, 101), (5000, 5001), (0, MOST)):
            assert by_rank(caller, start, end, order) == expected[start:end]


def test_ranges_of_scores(caller):
    scores = {number: number / 4 for number in range(100)}
    upsert(caller, scores)
    for order in (ASCENDING, DESCENDING):
        expected = ranked(scores, order)
        for low, high in ((None, None), (5.0, None), (None, 5.0), (5.0, 10.0), (5.1, 5.2), (24.75, 25.0), (-1.0, 0.0)):
            inside = [row for row in expected if (low is None or row[2] >= low) and (high is None or row[2] < high)]
            # The rank is that in the whole.
            assert by_score(caller, low, high, order=order) == inside
            for offset, limit in ((0, 1), (3, 5), (1000, 5), (0, MOST)):
                found = by_score(caller, low, high, order=order, offset=offset, limit=limit)
                assert found == inside[offset : offset + limit]
    response = caller.leaderboard.GetByScore(leaderboard=BOARD, limit_elements=10)
    assert rows(response) == ranked(scores)[:10]


def test_ranks_of_ids_come_in_the_order_of_the_request(caller):
    scores = {1: 5.0, 2: 5.0, 3: 1.0, 4: 9.0}
    upsert(caller, scores)
    for order in (ASCENDING, DESCENDING):
        known = {row[0]: row for row in ranked(scores, order)}
        found = rows(caller.leaderboard.GetRank(leaderboard=BOARD, ids=[4, 99, 1, 2, 3], order=order))
        assert found == [known[number] for number in (4, 1, 2, 3)]


def test_equal_scores_share_a_competition_rank(caller):
    upsert(caller, {1: 30.0, 2: 20.0, 3: 20.0, 4: 10.0})
    ask = caller.leaderboard.GetCompetitionRank
    # 0, 1, 1, 3: from the highest, if nothing is said.
    from_above = [(1, 0, 30.0), (2, 1, 20.0), (3, 1, 20.0), (4, 3, 10.0)]
    assert rows(ask(leaderboard=BOARD, ids=[1, 2, 3, 4])) == from_above
    assert rows(ask(leaderboard=BOARD, ids=[1, 2, 3, 4], order=DESCENDING)) == from_above
    found = rows(ask(leaderboard=BOARD, ids=[4, 3, 99, 2, 1], order=ASCENDING))
    assert found == [(4, 0, 10.0), (3, 1, 20.0), (2, 1, 20.0), (1, 3, 30.0)]


def test_a_large_board_agrees_with_a_sorted_list(caller):
    generator = random.Random(5)
    scores = {generator.randrange(2**32): float(generator.randrange(500)) for _ in range(20_000)}
    ids = list(scores)
    for start in range(0, len(ids), MOST):
        upsert(caller, {number: scores[number] for number in ids[start : start + MOST]})
    assert length(caller) == len(scores)
    for order in (ASCENDING, DESCENDING):
        expected = ranked(scores, order)
        for start in (0, 1, 4095, 12_345, len(scores) - 10):
            assert by_rank(caller, start, start + 20, order) == expected[start : start + 20]
        places = {row[0]: row for row in expected}
        chosen = generator.sample(ids, 200)
        assert rows(caller.leaderboard.GetRank(leaderboard=BOARD, ids=chosen, order=order)) == [
            places[number] for number in chosen
        ]
        first = {}
        for _, rank, score in expected:
            first.setdefault(score, rank)
        found = rows(caller.leaderboard.GetCompetitionRank(leaderboard=BOARD, ids=chosen, order=order))
        assert found == [(number, first[scores[number]], scores[number]) for number in chosen]
        inside = [row for row in expected if 100 <= row[2] < 110]
        assert by_score(caller, 100.0, 110.0, order=order) == inside


def test_the_most_elements_of_a_call(caller):
    whole = {number: float(number) for number in range(MOST)}
    upsert(caller, whole)
    assert length(caller) == MOST
    assert by_rank(caller, 0, MOST) == ranked(whole)
    assert len(rows(caller.leaderboard.GetRank(leaderboard=BOARD, ids=range(MOST)))) == MOST
    ask = caller.leaderboard
    for call in (
        lambda: upsert(caller, dict.fromkeys(range(MOST + 1), 1.0)),
        lambda: ask.RemoveElements(leaderboard=BOARD, ids=range(MOST + 1)),
        lambda: ask.GetRank(leaderboard=BOARD, ids=range(MOST + 1)),
        lambda: ask.GetCompetitionRank(leaderboard=BOARD, ids=range(MOST + 1)),
        lambda: by_rank(caller, 0, MOST + 1),
        lambda: by_score(caller, limit=MOST + 1),
    ):
        with refused(Code.INVALID_ARGUMENT):
            call()
    caller.leaderboard.RemoveElements(leaderboard=BOARD, ids=range(MOST))
    assert length(caller) == 0


# The call, and the field that must be named.
CANNOT_BE = {
    "no elements": (lambda ask: ask.UpsertElements(leaderboard=BOARD), "elements"),
    "no ids to remove": (lambda ask: ask.RemoveElements(leaderboard=BOARD), "ids"),
    "no range of ranks": (lambda ask: ask.GetByRank(leaderboard=BOARD), "rank_range"),
    "an empty range": (
        lambda ask: ask.GetByRank(leaderboard=BOARD, rank_range={"start_inclusive": 5, "end_exclusive": 5}),
        "rank_range",
    ),
    "a range turned round": (
        lambda ask: ask.GetByRank(leaderboard=BOARD, rank_range={"start_inclusive": 6, "end_exclusive": 5}),
        "rank_range",
    ),
    "an unknown order": (
        lambda ask: ask.GetByRank(leaderboard=BOARD, rank_range={"start_inclusive": 0, "end_exclusive": 5}, order=7),
        "order",
    ),
    "an unknown order of ids": (lambda ask: ask.GetRank(leaderboard=BOARD, ids=[1], order=7), "order"),
    "a score that is no number": (
        lambda ask: ask.UpsertElements(leaderboard=BOARD, elements=[{"id": 1, "score": math.nan}]),
        "score",
    ),
    "a lowest score that is no number": (
        lambda ask: ask.GetByScore(leaderboard=BOARD, score_range={"min_inclusive": math.nan}, limit_elements=1),
        "score",
    ),
    "no name": (lambda ask: ask.GetLeaderboardLength(), "leaderboard"),
}


@pytest.mark.parametrize("case", CANNOT_BE)
def test_what_cannot_be_is_refused_by_the_name_of_its_field(caller, case):
    call, field = CANNOT_BE[case]
    with refused(Code.INVALID_ARGUMENT, says=field):
        call(caller.leaderboard)
    assert length(caller) == 0


def test_caches_and_roles_hold_for_leaderboards(caller, server, cache):
    with refused(Code.NOT_FOUND):
        caller.using(cache=fresh_name("missing")).leaderboard.GetLeaderboardLength(leaderboard=BOARD)
    upsert(caller, {1: 1.0})
    permission = {"cache": cache, "key_prefix": "boa"}
    reader = caller.using(credential=server.admin.make_token([{"role": "readonly", **permission}]).credential)
    assert length(reader) == 1
    for change in (
        lambda ask: ask.UpsertElements(leaderboard=BOARD, elements=[{"id": 1, "score": 1}]),
        lambda ask: ask.RemoveElements(leaderboard=BOARD, ids=[1]),
        lambda ask: ask.DeleteLeaderboard(leaderboard=BOARD),
    ):
        with refused(Code.PERMISSION_DENIED):
            change(reader.leaderboard)
    with refused(Code.PERMISSION_DENIED):
        length(reader, "other")
    writer = caller.using(credential=server.admin.make_token([{"role": "writeonly", **permission}]).credential)
    upsert(writer, {2: 2.0})
    with refused(Code.PERMISSION_DENIED):
        length(writer)
    assert length(caller) == 2


def test_a_leaderboard_lives_for_a_week(caller):
    upsert(caller, {1: 1.0})
    week = 7 * 86_400_000
    left = caller.scs.ItemGetTtl(cache_key=BOARD.encode()).found.remaining_ttl_millis
    assert week - 60_000 < left <= week


def test_a_leaderboard_on_something_else_is_told(caller):
    caller.scs.Set(cache_key=BOARD.encode(), cache_body=b"v", ttl_milliseconds=60_000)
    with refused(Code.FAILED_PRECONDITION):
        upsert(caller, {1: 1.0})
    with refused(Code.FAILED_PRECONDITION):
        length(caller)
