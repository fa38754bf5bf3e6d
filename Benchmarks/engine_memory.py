"""Resident memory of items, collections and caches, beside redis-server and memcached with the same contents."""

from engine_bench import MemcachedStore, RedisStore, is_installed, line, lines, take
from process import LOAD_CORE
from report import Figure, Measure

_KEY_BYTES = 21
_VALUES = (32, 64, 100, 256)
_MILLION = 1_000_000
_COUNTS = (1_000_000, 1_300_000, 1_500_000, 1_700_000, 2_000_000)
_BUDGETS = {False: 32, True: 60}
# Kinds of collections, and how many members one has.
_COLLECTIONS = {"dictionary": 10, "sorted-set": 100, "list": 100, "set": 100}
_COLLECTION_COUNT = 100_000
_EMPTY_CACHE_BUDGET = 4096


def engine_memory(directory, scale):
    """Resident memory of an item beside key and value, of collections, of JSON under compression, of small caches."""
    measure = Measure(
        "engine-memory", "engine: resident bytes of items with a TTL, beside keys of 21 bytes and values")
    for value in _VALUES:
        for is_sealed in (False, True):
            _items(measure, value, is_sealed)
        for store in _stores(directory):
            _peer(measure, value, store)
    for kind, members in _COLLECTIONS.items():
        _collections(measure, kind, members, directory)
    _documents(measure)
    _caches(measure)
    return measure


def _overheads(readings, value):
    """Bytes beside key and value, for each item: the slope from the first million to the last, and from nothing to each
    of the counts."""
    def bytes_of(count):
        return next(resident for at, resident in readings if at == count)

    def each(low, high):
        return (bytes_of(high) - bytes_of(low)) / (high - low) - _KEY_BYTES - value

    return each(_COUNTS[0], _COUNTS[-1]), {count: each(0, count) for count in _COUNTS}


def _items(measure, value, is_sealed):
    taken = take("memory", value=value, seals=is_sealed, counts=",".join(map(str, _COUNTS)))
    readings = [(entry["count"], entry["resident_bytes"]) for entry in lines(taken, "items")]
    name = f"{value} B{', sealed' if is_sealed else ''}"
    slope, at = _overheads(readings, value)
    last = lines(taken, "items")[-1]
    charged = (last["accounted_bytes"] - lines(taken, "items")[0]["accounted_bytes"]) / _COUNTS[-1]
    measure.figures.append(Figure(
        f"{name}, martlet, 1 to 2 M", "B", [slope], _BUDGETS[is_sealed],
        note=f"charged {charged - _KEY_BYTES - value:.1f} at 2 M"))
    for count in _COUNTS[1:]:
        measure.figures.append(
            Figure(f"{name}, martlet, at {count / _MILLION:g} M", "B", [at[count]], _BUDGETS[is_sealed]))


def _stores(directory):
    yield RedisStore(directory)
    if is_installed("memcached"):
        yield MemcachedStore(directory)


def _peer(measure, value, store):
    readings, held = [(0, store.resident_bytes())], 0
    for count in _COUNTS:
        options = {"from": held, "to": count}
        take("fill", core=LOAD_CORE, port=store.port, protocol=store.name, value=value, **options)
        readings.append((count, store.resident_bytes()))
        held = count
    store.stop()
    slope, at = _overheads(readings, value)
    note = ", ".join(f"{at[count]:.1f} at {count / _MILLION:g} M" for count in _COUNTS[1:])
    measure.figures.append(Figure(f"{value} B, {store.name}, 1 to 2 M", "B", [slope], note=note))


def _collections(measure, kind, members, directory):
    """Each with a TTL; fields of a dictionary and their values, and members, have 16 bytes. Sealing is off."""
    shape = {"of": kind, "members": members, "count": _COLLECTION_COUNT}
    taken = lines(take("collections", **shape), "collections")
    before, after = taken
    store = RedisStore(directory)
    empty = store.resident_bytes()
    take("fill-collections", core=LOAD_CORE, port=store.port, **shape)
    held = store.resident_bytes() - empty
    store.stop()
    own = after["resident_bytes"] - before["resident_bytes"]
    charged = after["accounted_bytes"] - before["accounted_bytes"]
    measure.figures.append(Figure(
        f"{_COLLECTION_COUNT:,} x {kind} of {members}, martlet / redis", "", [own / held], 1,
        note=f"{own / _COLLECTION_COUNT:,.0f} and {held / _COLLECTION_COUNT:,.0f} B each;"
             f" charged {charged / _COLLECTION_COUNT:,.0f}"))


def _documents(measure):
    """JSON documents of 200 to 500 bytes, all of them written twice, so that the second time there is a dictionary."""
    count, held = 300_000, {}
    for mode in ("off", "zstd", "zstd-dictionary"):
        taken = lines(take("documents", compression=mode, count=count), "documents")
        held[mode] = (taken[-1]["resident_bytes"] - taken[0]["resident_bytes"]) / count
    for mode, floor in (("zstd", None), ("zstd-dictionary", 2)):
        measure.figures.append(Figure(
            f"small JSON, uncompressed / {mode}", "", [held["off"] / held[mode]], floor, ">=",
            note=f"{held['off']:.0f} and {held[mode]:.0f} B an item, key and all"))


def _caches(measure):
    count, items, value = 10_000, 100, 100
    taken = take("caches", caches=count, items=items, value=value)
    before, empty = lines(taken, "empty-caches")
    full = line(taken, "full-caches")
    each = (empty["resident_bytes"] - before["resident_bytes"]) / count
    charged = (empty["accounted_bytes"] - before["accounted_bytes"]) / count
    measure.figures.append(Figure(
        "an empty cache", "B", [each], _EMPTY_CACHE_BUDGET, note=f"charged {charged:.0f}"))
    held = count * items * (_KEY_BYTES + value)
    grown = full["resident_bytes"] - before["resident_bytes"]
    measure.figures.append(Figure(
        f"{count:,} caches of {items} items of {value} B / bytes of keys and values", "", [grown / held], 2,
        note=f"{grown / (count * items * value):.2f} of the values alone; charged"
             f" {(full['accounted_bytes'] - before['accounted_bytes']) / held:.2f}"))
