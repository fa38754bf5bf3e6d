"""A sorted set of a million members, beside redis-server's own time for the same: engine/SortedSets.swift says how."""

from engine_bench import RedisStore, lines, take
from report import Figure, Measure

_BUDGET = 1.2
_NAMES = {
    "add": "add, from empty to 1 M", "rank": "rank", "range-by-rank": "range of 100 by rank",
    "range-by-score": "range of 100 by score",
}


def engine_sorted_set(directory, scale):
    """Add, rank, range of 100 by rank and by score in a sorted set of 1 M, beside Redis's `commandstats`."""
    measure = Measure("engine-sorted-set", "engine: a sorted set of 1 M members of 16 bytes, beside redis-server")
    store = RedisStore(directory)
    taken = lines(take("sorted-set", port=store.port, rounds=scale.rounds, operations=scale.many // 2), "sorted-set")
    store.stop()
    for entry in taken:
        own, peer, name = entry["nanoseconds"], entry["peer_nanoseconds"], _NAMES[entry["operation"]]
        measure.figures += [
            Figure(f"{name}, martlet", "ns", own),
            Figure(f"{name}, redis", "ns", peer),
            Figure(f"{name}, martlet / redis", "", [above / below for above, below in zip(own, peer)], _BUDGET),
        ]
        if entry["operation"] == "add":
            # Log n grows by a sixth from the first tenth of a million to the whole.
            measure.figures.append(Figure("the last tenth of the adds / the first", "", [own[-1] / own[0]]))
    return measure
