"""The keys, texts and numbers that random commands are made of."""

# Each type has keys of its own, and now and then is asked for one of another.
KEYS = {
    "string": [b"string:1", b"string:2", b"string:3"],
    "number": [b"number:1", b"number:2"],
    "bits": [b"bits:1", b"bits:2", b"bits:3"],
    "hash": [b"hash:1", b"hash:2", b"hash:\xff\x00\r\n"],
    "list": [b"list:1", b"list:2", b"list:3"],
    "set": [b"set:1", b"set:2", b"set:3", b"set:4"],
    "zset": [b"zset:1", b"zset:2", b"zset:3", b"zset:4"],
    "geo": [b"geo:1", b"geo:2"],
}
# Keys that any command may make into anything.
SHARED = [b"shared:1", b"shared:2", b"", b"{tag}:1", b"\x80\x00\n", b"missing"]
ALL_KEYS = [key for keys in KEYS.values() for key in keys] + SHARED
# HyperLogLogs, apart from all others: their bytes, which other commands would show, are a server's own.
LOGS = [b"log:1", b"log:2", b"log:3"]
# Sorted sets of one score, apart from all others.
NAMES = [b"names:1", b"names:2"]

WORDS = [
    b"a",
    b"b",
    b"c",
    b"d",
    b"alpha",
    b"beta",
    b"gamma",
    b"delta",
    b"",
    b"A",
    b"\x00",
    b"\xff\xfe",
    b"x y",
    b"a" * 70,
]
NUMBERS = [
    b"0",
    b"1",
    b"2",
    b"3",
    b"5",
    b"10",
    b"-1",
    b"-2",
    b"-7",
    b"100",
    b"255",
    b"256",
    b"32767",
    b"32768",
    b"-32769",
]
BORDERS = [
    b"9223372036854775807",
    b"-9223372036854775808",
    b"9223372036854775808",
    b"-9223372036854775809",
    b"18446744073709551616",
    b"4611686018427387904",
    b"2147483648",
    b"-2147483649",
    b"4294967296",
]
# Nothing between what an item may live and what Redis can count: see `differences.py`.
FARTHEST_TIMES = [b"9223372036854775808", b"-9223372036854775808", b"18446744073709551616", b"4294967296"]
NO_NUMBERS = [b"", b"+1", b"01", b" 1", b"1 ", b"-", b"-0", b"1.0", b"1e2", b"0x10", b"abc", b"\x00", b"1\x00", b"nan"]
FLOATS = [
    b'0', b'1', b'-1', b'0.1', b'0.2', b'0.30000000000000004', b'1.5', b'-2.25', b'3.0', b'1e3', b'5.0e3', b'1e17',
    b'1e21', b'1e-7', b'123456789.123456789', b'0.1234567890123456789', b'1234567890123456.7', b'17179869184.5',
    b'1e308', b'-1e308', b'4.9e-324', b'2.2250738585072014e-308', b'9007199254740993', b'100000000000000000000',
    b'-0.0',
]  # fmt: skip
INFINITIES = [b"inf", b"-inf", b"+inf", b"Infinity", b"INF"]
NO_FLOATS = [b"", b"nan", b"1e400", b"-1e400", b"1.2.3", b" 1", b"1 ", b"abc", b"0x1p3", b"1e", b"--1", b"\x00"]
TEXTS = [
    b'', b'hello', b'Hello World', b'foobar', b'\x00\xff\x0f\xf0', b'\xff\xff\xff', b'mytext', b'ohmytext',
    b'abababababababababababababababababababababababababababababababababababababababab',
    b'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx',
    b'line\r\nbreak', b'gr\xc3\xbcn', b'a', b'1', b'10', b'3.5',
]  # fmt: skip
PATTERNS = [
    b'*', b'', b'a*', b'*a*', b'?', b'[ab]*', b'[^a]*', b'string:*', b'*:1', b'h?sh:*', b'[a-z]*[12]', b'\\*',
    b'alph[a-c]', b'[', b'[a', b'a\\', b'**:*', b'[z-a]*', b'[]a]',
]  # fmt: skip
# Collections that have outgrown their packed form.
LARGE = {
    kind: [f"large:{kind}:{number}".encode() for number in (1, 2)]
    for kind in ("hash", "list", "set", "zset", "geo", "string")
}
# Every member keeps to places of its own, so that no two are equally far from anything.
PLACES = {
    b"Palermo": [(b"13.361389", b"38.115556"), (b"13.3", b"38.2")],
    b"Catania": [(b"15.087269", b"37.502669")],
    b"Rome": [(b"12.496366", b"41.902782"), (b"12.5", b"41.8")],
    b"Sydney": [(b"151.20929", b"-33.86882")],
    b"Origin": [(b"0", b"0"), (b"0.0001", b"-0.0002")],
    b"Fiji": [(b"179.9", b"-17.7"), (b"-179.95", b"-17.1")],
    b"North": [(b"10", b"85.05112878"), (b"-120.5", b"84.9")],
    b"South": [(b"-70.25", b"-85.05112878")],
    b"Paris": [(b"2.352222", b"48.856613")],
    b"Quito": [(b"-78.467834", b"-0.180653")],
    b"": [(b"100.1", b"20.2")],
}
OUTSIDE = [
    (b"181", b"0"),
    (b"0", b"86"),
    (b"abc", b"0"),
    (b"nan", b"1"),
    (b"0", b"-85.06"),
    (b"inf", b"0"),
    (b"1", b""),
]
BIT_TYPES = [
    b'u8', b'i8', b'u1', b'i1', b'u4', b'i5', b'u16', b'i16', b'u32', b'i64', b'u63', b'u64', b'i65', b'u0', b'x8',
    b'u', b'i',
]  # fmt: skip
OPTIONS = [
    b'NX', b'XX', b'GT', b'LT', b'CH', b'INCR', b'GET', b'EX', b'PX', b'KEEPTTL', b'PERSIST', b'COUNT', b'MATCH',
    b'TYPE', b'LIMIT', b'WITHSCORES', b'WITHVALUES', b'REV', b'BYSCORE', b'ASC', b'DESC', b'STORE', b'STOREDIST',
    b'WITHDIST', b'ANY', b'LEFT', b'RIGHT', b'BEFORE', b'RANK', b'MAXLEN', b'WEIGHTS', b'AGGREGATE', b'SUM', b'ALPHA',
    b'BY', b'REPLACE', b'DB', b'IDX', b'BIT', b'BYTE',
]  # fmt: skip
