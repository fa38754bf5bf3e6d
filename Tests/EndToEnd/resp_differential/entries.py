"""One pattern of commands, with what is to be known about it.

The comparison of a reply is a name from `comparison.py`; nothing means byte for byte. What comes after `then` is sent
after the command, to make the state of both servers known again where chance had a hand in it; `{0}` is the first
argument of the command.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """One pattern. `is_fragile`: a wild number in any place could keep a server busy, so none is put there."""

    pattern: str
    weight: int = 10
    compare: str = "exact"
    then: tuple = ()
    is_fragile: bool = False


def entry(pattern, weight=10, compare="exact", then=(), *, fragile=False):
    return Entry(pattern, weight, compare, tuple(then), fragile)


UNORDERED, PAIRS, SHAPE, TTL = "unordered", "pairs", "shape", "near"
