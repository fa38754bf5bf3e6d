"""Random values by kind: keys that collide, numbers at their borders, texts that are almost numbers."""

import functools
import random
import struct
import time

from .words import (
    ALL_KEYS,
    BIT_TYPES,
    BORDERS,
    FARTHEST_TIMES,
    FLOATS,
    INFINITIES,
    KEYS,
    LARGE,
    LOGS,
    NAMES,
    NO_FLOATS,
    NO_NUMBERS,
    NUMBERS,
    OPTIONS,
    OUTSIDE,
    PATTERNS,
    PLACES,
    SHARED,
    TEXTS,
    WORDS,
)


class Values:
    """Random values of a kind, from one source of chance."""

    def __init__(self, generator):
        self.generator = generator
        # Absolute times of a run all come from its beginning.
        self.now = int(time.time())

    def __call__(self, kind):
        maker = getattr(self, f"_{kind}", None)
        if maker is not None:
            return maker()
        if kind.startswith("counted"):
            return self._counted(kind.removeprefix("counted"))
        if kind in KEYS:
            return self.key(kind)
        raise KeyError(f"no values of kind {kind}")

    def pick(self, *weighted):
        """From one of the lists, each given with its weight."""
        lists, weights = zip(*weighted, strict=True)
        return self.generator.choice(self.generator.choices(lists, weights)[0])

    def key(self, kind):
        return self.pick((KEYS[kind], 84), (SHARED, 10), (ALL_KEYS, 6))

    def _counted(self, kind):
        """A number of keys, and the keys. Now and then the number is wrong."""
        keys = [self.key(kind) for _ in range(self.generator.choice([1, 1, 2, 2, 3, 4]))]
        count = b"%d" % len(keys)
        if self.generator.random() < 0.06:
            count = self.pick(([b"0", b"-1", b"1", b"2", b"5", b"abc", b"9223372036854775807"], 1))
        return [count, *keys]

    _log = functools.partialmethod(pick, (LOGS, 1))
    _names = functools.partialmethod(pick, (NAMES, 1))
    _any = functools.partialmethod(pick, (ALL_KEYS, 1))
    _member = functools.partialmethod(pick, (WORDS, 70), (NUMBERS, 28), (BORDERS, 2))
    _field = functools.partialmethod(pick, (WORDS, 80), (NUMBERS, 20))
    _element = functools.partialmethod(pick, (WORDS, 70), (NUMBERS, 25), (FLOATS, 5))
    _text = functools.partialmethod(pick, (TEXTS, 60), (NUMBERS, 20), (WORDS, 15), (BORDERS, 5))
    _integer = functools.partialmethod(pick, (NUMBERS, 80), (BORDERS, 12), (NO_NUMBERS, 8))
    _float = functools.partialmethod(pick, (FLOATS, 75), (NUMBERS, 12), (INFINITIES, 6), (NO_FLOATS, 7))
    _score = functools.partialmethod(pick, (FLOATS, 30), (NUMBERS, 60), (INFINITIES, 6), (NO_FLOATS, 4))
    _weight = functools.partialmethod(pick, (NUMBERS, 60), (FLOATS, 25), (INFINITIES, 8), (NO_FLOATS, 7))
    _glob = functools.partialmethod(pick, (PATTERNS, 1))
    _bittype = functools.partialmethod(pick, (BIT_TYPES, 1))
    _index = functools.partialmethod(
        pick, ([b"0", b"1", b"2", b"3", b"5", b"-1", b"-2", b"-3", b"-100", b"100"], 88), (BORDERS, 7), (NO_NUMBERS, 5)
    )
    _count = functools.partialmethod(
        pick, ([b"0", b"1", b"2", b"3", b"10", b"-1", b"-2"], 92), (BORDERS, 4), (NO_NUMBERS, 4)
    )
    # Where a number that no collection has would make a server loop.
    _draws = functools.partialmethod(
        pick, ([b"0", b"1", b"2", b"5", b"30", b"-1", b"-3", b"-30"], 94), ([b"abc", b"", b"9223372036854775808"], 6)
    )
    _offset = functools.partialmethod(
        pick,
        ([b"0", b"1", b"2", b"5", b"9", b"60", b"300"], 92),
        ([b"-1", b"9223372036854775807", b"536870912", b"x"], 8),
    )
    _bitoffset = functools.partialmethod(
        pick,
        ([b"0", b"1", b"7", b"8", b"9", b"15", b"31", b"64", b"100", b"511"], 92),
        ([b"-1", b"4294967296", b"9223372036854775808", b"x", b"1.5", b""], 8),
    )
    _fieldoffset = functools.partialmethod(
        pick,
        ([b"0", b"1", b"7", b"8", b"13", b"64", b"100", b"#0", b"#1", b"#3", b"#10"], 92),
        ([b"-1", b"#-1", b"#", b"4294967296", b"#4611686018427387904", b"x"], 8),
    )
    _bit = functools.partialmethod(pick, ([b"0", b"1"], 95), ([b"2", b"-1", b"x", b"", b"01"], 5))
    # Long enough to outlive the run, or over at once.
    _seconds = functools.partialmethod(
        pick, ([b"100", b"500", b"1000", b"5000"], 80), ([b"0", b"-1", b"-100"], 10), (BORDERS, 6), (NO_NUMBERS, 4)
    )
    _milliseconds = functools.partialmethod(
        pick, ([b"100000", b"500500", b"999999"], 80), ([b"0", b"-1"], 10), (FARTHEST_TIMES, 6), (NO_NUMBERS, 4)
    )
    _positiveseconds = functools.partialmethod(
        pick, ([b"100", b"500", b"1000", b"5000"], 86), ([b"0", b"-1"], 4), (BORDERS, 6), (NO_NUMBERS, 4)
    )
    _positivemilliseconds = functools.partialmethod(
        pick, ([b"100000", b"500500", b"999999"], 86), ([b"0", b"-1"], 4), (FARTHEST_TIMES, 6), (NO_NUMBERS, 4)
    )
    _timeout = functools.partialmethod(
        pick,
        ([b"0.01", b"0.002", b"0.005", b".01"], 88),
        ([b"-1", b"abc", b"", b"1e400", b"nan", b"-0.5", b"1e30"], 12),
    )
    _scorelimit = functools.partialmethod(
        pick,
        ([b"-inf", b"+inf", b"(1", b"(0", b"(-1", b"(10", b"(inf", b"(0.1", b"((1", b"("], 45),
        (NUMBERS, 35), (FLOATS, 14), (NO_FLOATS, 6),
    )  # fmt: skip
    _lexlimit = functools.partialmethod(
        pick,
        ([b"-", b"+", b"[a", b"(a", b"[b", b"(c", b"[alpha", b"(beta", b"[", b"(", b"[\xff", b"(d", b"[1"], 92),
        ([b"a", b"", b"++", b"--", b"1"], 8),
    )
    _unit = functools.partialmethod(pick, ([b"m", b"km", b"ft", b"mi", b"KM"], 96), ([b"x", b"", b"mm"], 4))
    _distance = functools.partialmethod(
        pick,
        ([b"1", b"0", b"100", b"200.5", b"1000", b"5000", b"10000", b"20000", b"3000000", b"30000000"], 93),
        ([b"-1", b"abc", b"nan", b"inf", b"1e300"], 7),
    )
    _sortby = functools.partialmethod(pick, ([b"number:*", b"hash:*->a", b"string:*", b"hash:*->", b"*", b"x*y->"], 1))
    _sortget = functools.partialmethod(
        pick, ([b"#", b"string:*", b"number:*", b"hash:1->*", b"hash:*->a", b"nothing", b"*->", b"hash:*"], 1)
    )
    _gate = functools.partialmethod(pick, ([b"0", b"1", b"2", b"3", b"10", b"100"], 92), ([b"-1", b"abc", b"1.5"], 8))

    def _largekey(self):
        return self.generator.choice([key for keys in LARGE.values() for key in keys])

    def _large(self, kind):
        return self.generator.choice(LARGE[kind])

    _largehash = functools.partialmethod(_large, "hash")
    _largelist = functools.partialmethod(_large, "list")
    _largeset = functools.partialmethod(_large, "set")
    _largezset = functools.partialmethod(_large, "zset")
    _largegeo = functools.partialmethod(_large, "geo")
    _largestring = functools.partialmethod(_large, "string")

    def _one(self):
        """One of a thousand members."""
        return b"m:%d" % self.generator.randrange(1000)

    def _many(self):
        start = self.generator.randrange(1000)
        return [b"m:%d" % (number % 1000) for number in range(start, start + self.generator.choice([20, 150, 400]))]

    def _manypairs(self):
        return [word for member in self._many() for word in (member, self.generator.choice(TEXTS))]

    def _manyscored(self):
        return [word for member in self._many() for word in (b"%d" % self.generator.randrange(-50, 50), member)]

    def _manynumbers(self):
        return [b"%d" % self.generator.randrange(-(1 << 40), 1 << 40) for _ in range(self.generator.choice([20, 600]))]

    def _manyplaces(self):
        # Where a member is depends on nothing but its name, so that no two are equally far away.
        members = [b"m:%d" % self.generator.randrange(300) for _ in range(40)]
        return [word for member in members for word in (*_place_of(member), member)]

    def _rank(self):
        return b"%d" % self.generator.choice([0, 1, 5, 50, 127, 128, 129, 300, 511, 900, -1, -2, -100, -400, -999])

    def _double(self):
        """Any number that a double can be, in one of its spellings."""
        way = self.generator.randrange(5)
        if way == 0:
            number = struct.unpack("<d", self.generator.randbytes(8))[0]
            return repr(number).encode() if number == number else b"0.1"
        if way == 1:
            return b"%.*f" % (self.generator.randrange(18), self.generator.uniform(-1000, 1000))
        if way == 2:
            return b"%.*g" % (self.generator.randrange(1, 18), self.generator.uniform(-1e22, 1e22))
        if way == 3:
            return b"%d" % self.generator.randrange(-(10**19), 10**19)
        return b"%.*e" % (
            self.generator.randrange(1, 17),
            self.generator.gauss(0, 1) * 10 ** self.generator.randrange(-20, 20),
        )

    def _moderate(self):
        """A number that is added to others without growing out of hand."""
        return b"%.*f" % (self.generator.randrange(12), self.generator.uniform(-1000, 1000))

    def _anyat(self):
        return [b"%.6f" % self.generator.uniform(-180, 180), b"%.6f" % self.generator.uniform(-85, 85)]

    def _secondsat(self):
        return (
            b"%d" % (self.now + self.generator.choice([100, 1000, 100_000, 0, -10]))
            if self._usual()
            else self._seconds()
        )

    def _millisecondsat(self):
        return (
            b"%d" % (self.now * 1000 + self.generator.choice([100_500, 1_000_000, -1]))
            if self._usual()
            else self._milliseconds()
        )

    def _usual(self):
        return self.generator.random() < 0.9

    def _at(self):
        """A longitude and a latitude, anywhere."""
        places = OUTSIDE if self.generator.random() < 0.06 else self.generator.choice(list(PLACES.values()))
        return self.generator.choice(places)

    def _place(self):
        return self.generator.choice(list(PLACES)) if self.generator.random() < 0.93 else self._member()

    def _located(self):
        """A longitude, a latitude and the member that belongs there."""
        member = self.generator.choice(list(PLACES))
        places = OUTSIDE if self.generator.random() < 0.05 else PLACES[member]
        return [*self.generator.choice(places), member]

    def _junk(self):
        """What an argument may be mistaken for."""
        return self.pick((NO_NUMBERS, 2), (BORDERS, 1), (NUMBERS, 1), (WORDS, 1), (ALL_KEYS, 1), (OPTIONS, 2))


def _place_of(member):
    places = random.Random(member)
    return b"%.8f" % places.uniform(-180, 180), b"%.8f" % places.uniform(-85, 85)
