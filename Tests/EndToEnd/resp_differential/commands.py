"""The commands that are tried: for each family its patterns, and how often it has its turn."""

from .commands_collections import BLOCKING, HASHES, LISTS, NAME_RANGES, SETS, SORTED_SETS, STORES
from .commands_scalars import BITS, CONNECTION, KEYS, NUMBERS, SCAN, SORT, STRINGS
from .commands_special import FLOATS, GEO, LARGE, LOGS

# Steps that the generator writes by itself are in `generator.py`: transactions, WATCH, keys that expire.

FAMILIES = {
    "strings": STRINGS,
    "numbers": NUMBERS,
    "bits": BITS,
    "keys": KEYS,
    "sort": SORT,
    "scan": SCAN,
    "hashes": HASHES,
    "lists": LISTS,
    "blocking": BLOCKING,
    "sets": SETS,
    "zsets": SORTED_SETS,
    "names": NAME_RANGES,
    "stores": STORES,
    "hyperloglog": LOGS,
    "geo": GEO,
    "floats": FLOATS,
    "large": LARGE,
    "connection": CONNECTION,
}
# How often each family has its turn.
WEIGHTS = {
    "strings": 12, "numbers": 6, "bits": 8, "keys": 14, "sort": 4, "scan": 5, "hashes": 10, "lists": 10, "blocking": 3,
    "sets": 10, "zsets": 16, "names": 6, "stores": 6, "hyperloglog": 3, "geo": 8,
    "floats": 5, "large": 8, "connection": 5,
}  # fmt: skip
assert WEIGHTS.keys() == FAMILIES.keys()
