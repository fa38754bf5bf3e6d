"""When two replies are the same: byte for byte, but for order that nobody promised, chance, and time."""

from collections import Counter

from .protocol import Reply

# How far two clocks may be apart, in the unit of the reply.
_TOLERANCE = {b"TTL": 1, b"EXPIRETIME": 1, b"PTTL": 500, b"PEXPIRETIME": 500}


def same(compare, arguments, ours, theirs):
    """Whether the replies to one command are the same to a client."""
    if ours.raw == theirs.raw:
        return True
    if ours.is_error or theirs.is_error or ours.is_null or theirs.is_null:
        return False
    return _COMPARISONS[compare](arguments, ours, theirs)


def _exact(_, ours, theirs):
    return ours.raw == theirs.raw


def _is_same_list(ours, theirs):
    return ours.children is not None and theirs.children is not None and ours.line == theirs.line


def _unordered(_, ours, theirs):
    if not _is_same_list(ours, theirs):
        return False
    return Counter(child.raw for child in ours.children) == Counter(child.raw for child in theirs.children)


def _pairs(_, ours, theirs):
    return _is_same_list(ours, theirs) and Counter(pairs_of(ours)) == Counter(pairs_of(theirs))


def pairs_of(reply):
    raws = [child.raw for child in reply.children]
    return list(zip(raws[::2], raws[1::2], strict=True))


def _shape(_, ours, theirs):
    if ours.kind != theirs.kind:
        return False
    if ours.children is None:
        return True
    return ours.line == theirs.line


def _drawn(_, ours, theirs):
    """As many of the same form; which is chance."""
    if ours.kind != theirs.kind:
        return False
    if ours.children is None:
        return True
    return ours.line == theirs.line and all(
        one.kind == other.kind and (one.children is None or one.line == other.line)
        for one, other in zip(ours.children, theirs.children, strict=True)
    )


def _near(arguments, ours, theirs):
    if ours.kind != b":" or theirs.kind != b":" or min(ours.integer, theirs.integer) < 0:
        return False
    return abs(ours.integer - theirs.integer) <= _TOLERANCE.get(arguments[0].upper(), 0)


def _sorted(arguments, ours, theirs):
    """Texts that compare as equal come in any order: after a NUL nothing counts, and a weight may be missing."""
    options = {argument.upper() for argument in arguments[1:]}
    if not _is_same_list(ours, theirs):
        return False
    if b"NOSORT" in options:
        # The key may have become a set.
        return b"LIMIT" in options or _unordered(arguments, ours, theirs)
    if b"ALPHA" not in options:
        return False
    if b"BY" in options or any(b"\0" in child.raw for child in theirs.children):
        return b"LIMIT" in options or _unordered(arguments, ours, theirs)
    return False


def _near_places(arguments, ours, theirs):
    options = {argument.upper() for argument in arguments[1:]}
    return not options & {b"ASC", b"DESC", b"COUNT"} and _unordered(arguments, ours, theirs)


def _scan(arguments, ours, theirs):
    """What a whole scan brought, in any order, some of it more than once."""
    if ours.children is None or theirs.children is None:
        return False
    if arguments[0].upper() in (b"HSCAN", b"ZSCAN"):
        return set(pairs_of(ours)) == set(pairs_of(theirs))
    return {child.raw for child in ours.children} == {child.raw for child in theirs.children}


def _any(*_):
    return True


_COMPARISONS = {
    "exact": _exact,
    "unordered": _unordered,
    "pairs": _pairs,
    "shape": _shape,
    "drawn": _drawn,
    "near": _near,
    "sorted": _sorted,
    "near places": _near_places,
    "scan": _scan,
    "any": _any,
    "settled": _shape,
}


def outcome(reply: Reply):
    """A word for what kind of answer this is: differences of one command and one outcome are one difference."""
    if reply.is_error:
        return reply.text.split(b" ")[0].decode("latin-1") + " " + str(len(reply.text.split(b" ")))
    return "null" if reply.is_null else reply.kind.decode("latin-1")
