"""p99.9 of a GET while another thread does something large, beside the same without. engine/Tail.swift says how."""

from engine_bench import line, lines, take
from report import Figure, Measure

_BUDGET = 2
# What the other thread does, in words, and whether the budget is held against it.
_DISTURBANCES = {
    "flush": ("a cache of 1 GiB is flushed", True),
    "cleaning": ("the same items are overwritten by other sizes", True),
    "eviction": ("the full cache takes new items", True),
    "training": ("a dictionary is trained", True),
    "copying": ("control: the other core only copies memory", False),
}


_HUGE = {
    "fetch": ("a set of 1 M is fetched", True),
    "union": ("a union of two sets of 1 M is fetched", True),
    "union-store": ("a union of two sets of 1 M is stored", True),
}


def engine_tail(directory, scale):
    """p99.9 of GETs on one core while the other flushes, cleans, evicts or trains, over that without."""
    measure = Measure("engine-tail", "engine: p99.9 of a GET while the other core is busy / while it rests")
    _take(measure, _DISTURBANCES, scale)
    return measure


def engine_huge(directory, scale):
    """p99.9 of GETs of a cache while another thread goes over sets of a million members of it, over that without."""
    measure = Measure("engine-huge", "engine: p99.9 of a GET beside an operation on 1 M members / without")
    _take(measure, _HUGE, scale)
    return measure


def _take(measure, disturbances, scale):
    for what, (name, is_held) in disturbances.items():
        taken = take("tail", what=what, rounds=scale.rounds)
        entry = line(taken, "tail")
        times = sorted(entry["milliseconds"])
        middle = times[len(times) // 2]
        note = (f"p50 {entry['quiet_median']:.0f} and {entry['disturbed_median']:.0f} ns, p99.99"
                f" {entry['quiet_four_nines'] / 1e3:.1f} and {entry['disturbed_four_nines'] / 1e3:.1f} µs")
        note += f"; {entry['counted']:.0%} of the reads count"
        note += {"flush": f"; all work done after {middle:.0f} ms",
                 "training": f"; trained after {middle:.0f} ms"}.get(what, "")
        if what in _HUGE:
            note += f"; longest slice {middle:.2f} ms"
        # A flush is over after some milliseconds, so that only all rounds together have enough reads.
        ratios = [entry["pooled_ratio"]] if what == "flush" else entry["ratios"]
        measure.figures += [
            Figure(f"{name}: p99.9 without", "µs", [value / 1e3 for value in entry["quiet"]]),
            Figure(f"{name}: p99.9 with", "µs", [value / 1e3 for value in entry["disturbed"]]),
            Figure(f"{name}: with / without", "", ratios, _BUDGET if is_held else None, note=note),
        ]
        if what == "flush":
            # The budget of the operation itself.
            answers = [answer["milliseconds"] for answer in lines(taken, "flushed")]
            measure.figures.append(Figure("the call that flushes 1 GiB", "ms", answers, 1))
