"""Where Martlet answers otherwise on purpose, each with its reason."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from .protocol import Reply


@dataclass(frozen=True)
class Difference:
    """`matches` is asked with the arguments, Martlet's reply and the peer's."""

    name: str
    reason: str
    matches: Callable[[tuple[bytes, ...], Reply, Reply], bool]


# The longest that an item may live, in milliseconds.
_LONGEST = 1 << 42
_TIMES = {b"TTL": 1000, b"EXPIRETIME": 1000, b"PTTL": 1, b"PEXPIRETIME": 1}


def _is_beyond_all_time(arguments, ours, theirs):
    unit = _TIMES.get(arguments[0].upper())
    if unit is None or ours.kind != b":" or theirs.kind != b":":
        return False
    return theirs.integer * unit > _LONGEST and ours.integer * unit >= _LONGEST - 1000


def _as_quoted(text):
    """An error without what stands behind a NUL in what it quotes, and with what is no text replaced."""
    return re.sub(r"\0[^']*", "", text.decode(errors="replace")).rstrip()


def _quotes_otherwise(_, ours, theirs):
    return ours.is_error and theirs.is_error and _as_quoted(ours.text) == _as_quoted(theirs.text)


_NEGATIVE_ZERO = re.compile(rb"(?:\$2\r\n|,)-0\r\n")


def _is_a_signed_zero(arguments, ours, theirs):
    if not arguments[0].upper().startswith((b"Z", b"BZ", b"GEO")):
        return False
    unsigned = _NEGATIVE_ZERO.sub(lambda match: b",0\r\n" if match[0][:1] == b"," else b"$1\r\n0\r\n", theirs.raw)
    if arguments[0].upper() == b"ZSCAN":
        # In no order.
        return sorted(unsigned.split(b"\r\n")) == sorted(ours.raw.split(b"\r\n"))
    return unsigned == ours.raw


def _without_count(raw):
    """A HyperLogLog without the count that Redis keeps in its header."""
    start = raw.find(b"HYLL")
    return raw if start < 0 else raw[: start + 8] + raw[start + 16 :]


def _is_a_kept_count(_, ours, theirs):
    return b"HYLL" in ours.raw and _without_count(ours.raw) == _without_count(theirs.raw)


def _is_an_error_of_another_time(arguments, ours, theirs):
    return (
        arguments[0].upper() in (b"SORT", b"SORT_RO") and not ours.is_error
        and theirs.text == b"ERR One or more scores can't be converted into double"
    )


KNOWN: list[Difference] = [
    Difference("time", "No item lives longer than 2^42 ms, which is 139 years.", _is_beyond_all_time),
    Difference(
        "quoted", "Redis cuts an argument that an error quotes at its first NUL; Martlet quotes some as UTF-8 text.",
        _quotes_otherwise),
    Difference(
        "errno", "Redis refuses to sort numbers where an earlier command has met one too small for a double.",
        _is_an_error_of_another_time),
    Difference("count", "PFCOUNT writes nothing: it only needs a permission to read.", _is_a_kept_count),
    Difference("zero", "Redis keeps the sign of a score of zero in one of its two encodings.", _is_a_signed_zero),
]


def known(arguments, ours, theirs):
    """The difference that explains the two replies, if one does."""
    return next((entry for entry in KNOWN if entry.matches(arguments, ours, theirs)), None)
