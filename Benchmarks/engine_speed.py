"""The engine's operations on one thread beside a pointer chase and beside libcrypto, and on two threads beside one.

Nothing but EngineBench runs: engine/Speed.swift, Libcrypto.swift and Threads.swift say what a sample is.
"""

from engine_bench import line, lines, take
from report import Figure, Measure

# Operations as multiples of the chase.
_BUDGETS = {"get": 2.6, "set": 3.0, "get-of-batch": 1.3}
_NAMES = {
    "get": "GET", "set": "SET", "get-of-batch": "GET in a batch of 16", "sealed-get": "sealed GET",
    "sealed-set": "sealed SET",
}


def _ratios(above, below):
    return [numerator / denominator for numerator, denominator in zip(above, below)]


def engine_speed(directory, scale):
    """In-process GET and SET of 100 bytes, a million items, uniform keys of 21 bytes, beside a chase over 200 MB."""
    measure = Measure("engine-speed", "engine, one thread: 100-byte values, 21-byte keys, 1 M items, uniform keys")
    operations = scale.many * 5
    taken = take("speed", rounds=scale.rounds, operations=operations)
    sides = {entry["side"]: entry["nanoseconds"] for entry in lines(taken, "speed")}
    facts = line(taken, "facts")
    chase = sides["chase"]
    huge = facts["huge_bytes"] / 2**20
    measure.figures.append(Figure(
        "one step of the chase", "ns", chase,
        note=f"memory of malloc; huge pages: {facts['huge_page_policy']}, {huge:.0f} MiB of the process lie in them"))
    measure.figures.append(Figure("drawing and writing a key, in every figure below", "ns", sides["keys"]))
    for side, name in _NAMES.items():
        if side in sides:
            measure.figures += [
                Figure(name, "ns", sides[side]),
                Figure(f"{name} / chase", "", _ratios(sides[side], chase), _BUDGETS.get(side)),
            ]
    for plain, sealed, alone, name in (
        ("get", "sealed-get", "libcrypto-open", "GET"), ("set", "sealed-set", "libcrypto-seal", "SET")
    ):
        measure.figures.append(Figure(f"libcrypto alone for a {name}", "ns", sides[alone]))
        added = [above - below for above, below in zip(sides[sealed], sides[plain])]
        measure.figures.append(Figure(
            f"what sealing adds to a {name} / libcrypto", "", _ratios(added, sides[alone]), 1.1))
    ticks = facts["tick_nanoseconds_of_set"]
    measure.figures.append(Figure("background work after SETs, for each", "ns", ticks))
    _two_threads(measure, scale)
    return measure


def _two_threads(measure, scale):
    for entry in lines(take("threads", rounds=scale.rounds), "threads"):
        writes = entry["writes_percent"]
        name = {0: "GETs", 100: "SETs"}.get(writes, f"{100 - writes} % GETs, {writes} % SETs")
        measure.figures.append(Figure(
            f"two threads / one, same keys, {name}", "", _ratios(entry["two"], entry["one"]), 1.7, ">=",
            note=f"one: {sorted(entry['one'])[len(entry['one']) // 2] / 1e6:.2f} M a second;"
                 f" {min(entry['counted']):.0%} of the slices count"))
