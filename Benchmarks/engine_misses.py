"""Misses on five traces, beside S3-FIFO, SIEVE and LRU as libCacheSim has them, and beside Redis's LRU and LFU.

The simulated caches get as many bytes as the engine's cache may be charged, and account an object with its key, its
value and the 32 bytes that the engine's own budget allows an item; whatever else the engine takes counts against it.
Redis gets `maxmemory` of that many bytes above what it uses when it is empty, which leaves out what its allocator
wastes, and its items have no TTL, which would cost it more; both are to its advantage.
"""

import importlib
import os

from engine_bench import RedisStore, line, take
from process import LOAD_CORE, BenchmarkError
from report import Figure, Measure

_TRACES = ("zipf-0.8", "zipf-1.1", "scans", "shifting", "mixed")
_POLICIES = {"s3-fifo": "S3FIFO", "sieve": "Sieve", "lru": "LRU"}
_REDIS_POLICIES = {"redis lru": "allkeys-lru", "redis lfu": "allkeys-lfu"}
# Of all that a trace asks for, the cache holds this share; the small one shows how the engine divides little room.
_SHARE, _SMALL_SHARE = 0.1, 0.01
_BUDGET = 1.02
# How much faster Redis's clock runs while a trace is replayed: its LRU counts seconds, its LFU minutes.
_HURRY = 100


def engine_misses(directory, scale):
    """Misses at equal memory on five traces, beside S3-FIFO, SIEVE, LRU (libCacheSim) and Redis's LRU and LFU."""
    measure = Measure("engine-misses", "engine: misses of get-then-set at equal memory, after a third of each trace")
    simulator = _simulator()
    requests = 3_000_000 if scale.many > 100_000 else 1_000_000
    for name in _TRACES:
        path = os.path.join(directory, f"{name}.trace")
        count = requests // 2 if name == "mixed" else requests
        # A quick run has fewer objects too, so that the cache has the same work to do.
        facts = line(take("trace", name=name, requests=count, out=path, scale=3_000_000 // requests), "trace")
        warm = count // 3
        _compare(measure, simulator, name, path, facts, warm, _SHARE, directory)
        if requests > 1_000_000:
            _compare(measure, simulator, name, path, facts, warm, _SMALL_SHARE, None)
        os.unlink(path)
    return measure


def _simulator():
    try:
        return importlib.import_module("libcachesim")
    except ImportError:
        raise BenchmarkError("libcachesim is not installed: pip install libcachesim==0.3.5") from None


def _compare(measure, simulator, name, path, facts, warm, share, directory):
    """All caches on one trace and one size; Redis only where there is a directory for it."""
    size = int(facts["footprint_bytes"] * share)
    asked = facts["requests"] - warm
    case = f"{name}, {share:.0%}"
    engine = line(take("replay", trace=path, max=size, warm=warm), "replay")
    note = (f"{size / 2**20:.1f} MiB, resident {engine['resident_bytes'] / 2**20:.1f}; {engine['items']:,} items;"
            f" bytes {engine['missed_bytes'] / engine['bytes']:.4f}")
    if engine["refused"]:
        note += f"; {engine['refused']:,} refused"
    figures = [Figure(f"{case}, martlet, objects missed", "", [engine["misses"] / asked], note=note)]
    for policy, kind in _POLICIES.items():
        misses, missed_bytes = _simulate(simulator, kind, path, size, facts["requests"], warm)
        is_held = policy == "s3-fifo" and directory is not None
        figures.append(Figure(
            f"{case}, martlet / {policy}", "", [engine["misses"] / misses], _BUDGET if is_held else None,
            note=f"it misses {misses / asked:.4f} of the objects, {missed_bytes:.4f} of the bytes"))
    if directory is not None:
        figures += [_beside_redis(case, label, policy, path, size, warm, asked, engine, directory)
                    for label, policy in _REDIS_POLICIES.items()]
    measure.figures += figures


def _simulate(simulator, kind, path, size, requests, warm):
    """Misses after the first `warm` requests, and the share of bytes missed over the whole trace. libCacheSim tells no
    misses of a part, so the part that does not count is run once more alone and taken off."""
    def run(limit):
        reader = simulator.TraceReader(trace=path, trace_type=simulator.TraceType.ORACLE_GENERAL_TRACE)
        # The table of 2^24 places that it makes otherwise takes longer to clear than the trace.
        cache = getattr(simulator, kind)(cache_size=size, hashpower=20)
        return cache.process_trace(reader, max_req=limit)

    objects, missed_bytes = run(requests)
    return round(objects * requests) - round(run(warm)[0] * warm), missed_bytes


def _beside_redis(case, label, policy, path, size, warm, asked, engine, directory):
    store = RedisStore(directory, hurry=_HURRY)
    baseline, resident = int(store.info("memory")["used_memory"]), store.resident_bytes()
    store.call("CONFIG", "SET", "maxmemory", baseline + size)
    store.call("CONFIG", "SET", "maxmemory-policy", policy)
    taken = line(take("replay-redis", core=LOAD_CORE, trace=path, port=store.port, warm=warm), "replay")
    grown = store.resident_bytes() - resident
    store.stop()
    return Figure(
        f"{case}, martlet / {label}", "", [engine["misses"] / max(1, taken["misses"])], 1,
        note=f"it misses {taken['misses'] / asked:.4f} of the objects; resident {grown / 2**20:.1f} MiB")
