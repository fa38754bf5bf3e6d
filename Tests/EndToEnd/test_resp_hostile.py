"""Peers that break the rules of RESP, never read, or send without end: they are told what Redis would tell them, are
bounded, and disturb nobody else."""

import contextlib
import random
import socket
import threading
import time

import pytest

from resp_differential.protocol import Closed, Connection, encode
from support.resp import MartletTarget
from support.server import Server
from support.waiting import eventually

MEGABYTE = 1 << 20


@pytest.fixture
def neighbour(resp_clear):
    """Somebody else at work, who must not notice anything."""
    with Neighbour(resp_clear) as made:
        yield made


class Neighbour:
    def __init__(self, resp):
        self.resp = resp
        self._connection = resp.connect()
        self._stop = threading.Event()
        self._failures = []
        self.slowest = 0.0
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def _work(self):
        number = 0
        try:
            while not self._stop.wait(0.005):
                started = time.monotonic()
                number += 1
                assert self._connection.call("SET", "neighbour", number).raw == b"+OK\r\n"
                assert self._connection.call("GET", "neighbour").text == b"%d" % number
                self.slowest = max(self.slowest, time.monotonic() - started)
        except Exception as error:  # whatever it is, the test must show it
            self._failures.append(error)

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join(20)
        self._connection.close()
        assert not self._failures, self._failures
        assert self.slowest < 5, f"somebody else waited for {self.slowest:.1f} s"
        assert self.resp.is_healthy()


def answers(resp, data, *, login=True, is_finished=True):
    """All bytes that come back for these until the end of the connection, which the sender ends too."""
    connection = resp.connect() if login else resp.open()
    with connection, contextlib.suppress(OSError):
        connection.try_send(data)
        if is_finished and not resp.is_encrypted:
            connection.end_of_sending()
        return connection.until_closed(within=5)


# What breaks the protocol

# Each with what Redis 7.0 answers before it closes.
VIOLATIONS = {
    "a negative number of arguments": (b"*-5\r\n", b""),
    "a thousand million arguments": (b"*1000000000\r\n", b""),
    "too many arguments for an integer": (b"*2147483648\r\n", b"-ERR Protocol error: invalid multibulk length\r\n"),
    "too many arguments for anybody": (
        b"*9223372036854775807\r\n",
        b"-ERR Protocol error: invalid multibulk length\r\n",
    ),
    "more than any number": (b"*99999999999999999999\r\n", b"-ERR Protocol error: invalid multibulk length\r\n"),
    "no number of arguments": (b"*abc\r\n", b"-ERR Protocol error: invalid multibulk length\r\n"),
    "an empty number of arguments": (b"*\r\n", b"-ERR Protocol error: invalid multibulk length\r\n"),
    "a number with a plus": (b"*+1\r\n", b"-ERR Protocol error: invalid multibulk length\r\n"),
    "a number with a blank": (b"* 1\r\n", b"-ERR Protocol error: invalid multibulk length\r\n"),
    "no string": (b"*1\r\n+PING\r\n", b"-ERR Protocol error: expected '$', got '+'\r\n"),
    "an integer": (b"*1\r\n:1\r\n", b"-ERR Protocol error: expected '$', got ':'\r\n"),
    "an array within": (b"*1\r\n*1\r\n$4\r\nPING\r\n", b"-ERR Protocol error: expected '$', got '*'\r\n"),
    "a negative length": (b"*1\r\n$-1\r\n", b"-ERR Protocol error: invalid bulk length\r\n"),
    "a giant length": (b"*2\r\n$3\r\nGET\r\n$1000000000\r\n", b"-ERR Protocol error: invalid bulk length\r\n"),
    "a length beyond any": (b"*1\r\n$9223372036854775808\r\n", b"-ERR Protocol error: invalid bulk length\r\n"),
    "no length": (b"*1\r\n$abc\r\n", b"-ERR Protocol error: invalid bulk length\r\n"),
    "an empty length": (b"*1\r\n$\r\n", b"-ERR Protocol error: invalid bulk length\r\n"),
    "a line without end": (b"x" * 70_000, b"-ERR Protocol error: too big inline request\r\n"),
    "a number without end": (b"*" + b"1" * 70_000, b"-ERR Protocol error: too big mbulk count string\r\n"),
    "a length without end": (b"*1\r\n$" + b"1" * 70_000, b"-ERR Protocol error: too big bulk count string\r\n"),
    "an open quote": (b'SET k "a\r\n', b"-ERR Protocol error: unbalanced quotes in request\r\n"),
    "an open single quote": (b"SET k 'a\r\n", b"-ERR Protocol error: unbalanced quotes in request\r\n"),
    "something behind a quote": (b'SET k "a"b\r\n', b"-ERR Protocol error: unbalanced quotes in request\r\n"),
}


@pytest.mark.parametrize("name", VIOLATIONS)
def test_a_violation_is_answered_as_redis_does_and_ends_the_connection(resp_clear, neighbour, name):
    data, expected = VIOLATIONS[name]
    assert answers(resp_clear, data) == expected


@pytest.mark.parametrize("name", VIOLATIONS)
def test_a_violation_after_good_commands_loses_none_of_them(resp_clear, name):
    data, expected = VIOLATIONS[name]
    assert answers(resp_clear, encode((b"SET", b"k", b"v")) + b"GET k\r\n" + data) == b"+OK\r\n$1\r\nv\r\n" + expected


@pytest.mark.parametrize("name", VIOLATIONS)
def test_what_follows_a_violation_is_not_executed(resp_clear, name):
    data, expected = VIOLATIONS[name]
    if not expected or name.endswith("without end"):
        pytest.skip("the connection goes on, or what follows is still part of it")
    answers(resp_clear, data + encode((b"SET", b"followed", b"v")))
    with resp_clear.connect() as connection:
        assert connection.call("EXISTS", "followed").integer == 0


ODDITIES = {
    "empty lines": (b"\r\n\r\n\n\r\nPING\r\n", b"+PONG\r\n"),
    "blanks": (b"   PING   \r\n", b"+PONG\r\n"),
    "only blanks": (b"    \r\nPING\r\n", b"+PONG\r\n"),
    "a line feed alone": (b"PING\nPING\n", b"+PONG\r\n+PONG\r\n"),
    "tabs": (b"ECHO\ta\r\n", b"$1\r\na\r\n"),
    "an empty array": (b"*0\r\nPING\r\n", b"+PONG\r\n"),
    "a negative array": (b"*-1\r\nPING\r\n", b"+PONG\r\n"),
    "an empty name": (b"*1\r\n$0\r\n\r\n", b"-ERR unknown command '', with args beginning with: \r\n"),
    "quotes": (b"ECHO \"a b\"\r\nECHO 'a b'\r\n", b"$3\r\na b\r\n$3\r\na b\r\n"),
    "escapes": (rb'ECHO "\x41\n\r\t\a\b\q\"\\"' + b"\r\n", b'$9\r\nA\n\r\t\a\bq"\\\r\n'),
    "single quotes": (rb"ECHO 'a\'\n'" + b"\r\n", b"$4\r\na'\\n\r\n"),
    "broken escapes": (rb'ECHO "\xZZ\x4"' + b"\r\n", b"$5\r\nxZZx4\r\n"),
    "an empty argument": (b'ECHO ""\r\n', b"$0\r\n\r\n"),
    "bytes in a line": (b"ECHO \xff\x01\r\n", b"$2\r\n\xff\x01\r\n"),
    "a quote within a word": (b'ECHO a"b c"\r\n', b"$4\r\nab c\r\n"),
    "any two bytes as the end of a string": (b"*1\r\n$4\r\nPINGxx*1\r\n$4\r\nPING\r\n", b"+PONG\r\n+PONG\r\n"),
    "any byte as the end of a line": (b"*1\rx$4\rxPING\r\n", b"+PONG\r\n"),
    "mixed forms": (b"PING\r\n*1\r\n$4\r\nPING\r\nPING\r\n", b"+PONG\r\n" * 3),
    "small letters": (b"ping\r\n*1\r\n$4\r\npInG\r\n", b"+PONG\r\n" * 2),
    "leading zeros": (b"*01\r\n$04\r\nPING\r\n", b"-ERR Protocol error: invalid multibulk length\r\n"),
    "minus zero": (b"*-0\r\nPING\r\n", b"-ERR Protocol error: invalid multibulk length\r\n"),
}


@pytest.mark.parametrize("name", ODDITIES)
def test_an_oddity_is_read_as_redis_reads_it(resp_clear, redis_server, name):
    data, _ = ODDITIES[name]
    with Connection(*redis_server.address) as connection:
        connection.send_bytes(data)
        connection.end_of_sending()
        theirs = connection.until_closed(within=5)
    assert answers(resp_clear, data) == theirs


@pytest.mark.parametrize("name", VIOLATIONS)
def test_the_texts_here_are_those_of_redis(redis_server, name):
    data, expected = VIOLATIONS[name]
    with Connection(*redis_server.address) as connection, contextlib.suppress(OSError):
        connection.try_send(data)
        connection.end_of_sending()
        if b"$1000000000" not in data:
            assert connection.until_closed(within=5) == expected


@pytest.mark.parametrize("seed", range(4))
def test_random_bytes_end_in_an_error_or_a_reply_and_nothing_else(resp_clear, neighbour, seed):
    generator = random.Random(seed)
    pieces = [
        b"*1\r\n",
        b"*2\r\n",
        b"$3\r\n",
        b"$-1\r\n",
        b"GET",
        b"SET",
        b"\r\n",
        b"\n",
        b"\r",
        b'"',
        b"\x00",
        b"*",
        b"$",
        b"9" * 5,
        b" ",
    ]
    for _ in range(100):
        data = b"".join(generator.choice(pieces) for _ in range(generator.randrange(1, 40)))
        answers(resp_clear, data + bytes(generator.randrange(256) for _ in range(generator.randrange(20))))


# HTTP


@pytest.mark.parametrize(
    "line", [b"POST / HTTP/1.1\r\n", b"post / HTTP/1.1\r\n", b"Host: localhost\r\n", b"GET / HTTP/1.1\r\nHost: a\r\n"]
)
def test_a_browser_is_cut_off_before_it_does_harm(resp_clear, line):
    came = answers(resp_clear, line + b"\r\nSET smuggled 1\r\n")
    assert b"+OK" not in came
    with resp_clear.connect() as connection:
        assert connection.call("EXISTS", "smuggled").integer == 0


# Pieces


COMMANDS = (
    encode((b"SET", b"k\x00\r\n", b"value\r\n$3\r\n"))
    + b"GET 'k k'\r\n"
    + encode((b"GET", b"k\x00\r\n"))
    + b"*0\r\n\r\n"
    + encode((b"MGET", b"a", b"k\x00\r\n", b""))
    + b"nosuch\r\n"
    + encode((b"ECHO", b""))
)


def test_commands_cut_at_every_byte_give_the_same(resp_clear):
    whole = answers(resp_clear, COMMANDS)
    assert whole.count(b"\r\n") >= 10
    for place in range(1, len(COMMANDS)):
        with resp_clear.connect() as connection:
            connection.send_bytes(COMMANDS[:place])
            # Nagle is off: the pieces are packets of their own, and mostly reads of their own.
            connection.send_bytes(COMMANDS[place:])
            connection.end_of_sending()
            assert connection.until_closed(within=5) == whole, place


def test_commands_byte_by_byte_give_the_same(resp_clear):
    whole = answers(resp_clear, COMMANDS)
    with resp_clear.connect() as connection:
        for place in range(len(COMMANDS)):
            connection.send_bytes(COMMANDS[place : place + 1])
            if place % 16 == 0:
                time.sleep(0.001)
        connection.end_of_sending()
        assert connection.until_closed(within=5) == whole


def test_what_is_cut_off_for_good_is_not_executed(resp_clear):
    command = encode((b"SET", b"half", b"v" * 100))
    for place in range(0, len(command) - 2, 7):
        assert answers(resp_clear, command[:place]) == b"", place
    with resp_clear.connect() as connection:
        assert connection.call("EXISTS", "half").integer == 0


# Much


@pytest.mark.timeout(120)
@pytest.mark.parametrize("form", ["array", "inline"])
def test_a_hundred_thousand_commands_in_one_write(resp_clear, neighbour, form):
    count = 100_000
    command = encode((b"INCR", b"n")) if form == "array" else b"INCR n\r\n"
    with resp_clear.connect() as connection:
        sender = threading.Thread(target=connection.try_send, args=(command * count,), daemon=True)
        sender.start()
        for number in range(1, count + 1):
            assert connection.receive().line == b":%d" % number
        sender.join(10)
        assert connection.call("GET", "n").text == b"%d" % count


def test_whoever_never_reads_does_not_fill_the_memory(resp_clear, neighbour):
    if not resp_clear.is_martlet:
        pytest.skip("Redis keeps it all")
    with resp_clear.connect() as connection:
        connection.call("SET", "big", b"x" * 1_000_000)
    before = resp_clear.resident_bytes()
    with resp_clear.connect(receive_buffer=4096) as deaf:
        deaf.socket.settimeout(1)
        # Two gigabytes of replies.
        for _ in range(20):
            if not deaf.try_send(encode((b"GET", b"big")) * 100):
                break
        most = 0
        for _ in range(20):
            most = max(most, resp_clear.resident_bytes() - before)
            time.sleep(0.05)
        assert most < 64 * MEGABYTE, f"{most / MEGABYTE:.0f} MiB for replies that nobody reads"
    assert eventually(lambda: resp_clear.resident_bytes() - before < 64 * MEGABYTE)


def test_a_subscriber_that_never_reads_does_not_fill_the_memory(resp_clear, neighbour):
    with resp_clear.connect(receive_buffer=4096) as deaf, resp_clear.connect() as publisher:
        deaf.call("SUBSCRIBE", "news")
        before = resp_clear.resident_bytes()
        message = b"x" * 100_000
        for _ in range(2000):
            assert publisher.call("PUBLISH", "news", message).kind == b":"
        assert resp_clear.resident_bytes() - before < 100 * MEGABYTE


def test_gigabytes_that_are_only_announced_cost_nothing(resp_clear, neighbour):
    before = resp_clear.resident_bytes()
    opened = []
    for _ in range(200):
        connection = resp_clear.connect()
        connection.send_bytes(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870912\r\nx")
        opened.append(connection)
    time.sleep(0.3)
    assert resp_clear.resident_bytes() - before < 64 * MEGABYTE
    for connection in opened:
        connection.close()


def test_many_arguments_that_are_only_announced_cost_nothing(resp_clear, neighbour):
    before = resp_clear.resident_bytes()
    opened = []
    for _ in range(200):
        connection = resp_clear.connect()
        connection.send_bytes(b"*1048576\r\n$4\r\nMGET\r\n$1\r\nk\r\n")
        opened.append(connection)
    time.sleep(0.3)
    assert resp_clear.resident_bytes() - before < 64 * MEGABYTE
    for connection in opened:
        connection.close()


def test_large_values_come_back_whole(resp_clear):
    value = random.Random(5).randbytes(4_900_000)
    with resp_clear.connect() as connection:
        assert connection.call("SET", "big", value).raw == b"+OK\r\n"
        assert connection.call("GET", "big").text == value
        assert connection.call("GETRANGE", "big", "4000000", "4000009").text == value[4_000_000:4_000_010]


def test_a_value_beyond_the_limit_is_refused_and_the_connection_goes_on(resp_clear, neighbour):
    if not resp_clear.is_martlet:
        pytest.skip("Redis takes it")
    with resp_clear.connect() as connection:
        reply = connection.call("SET", "big", b"x" * 6_000_000)
        assert reply.is_error, reply
        assert connection.call("EXISTS", "big").integer == 0
        assert connection.call("PING").raw == b"+PONG\r\n"
        connection.call("SET", "k", b"x" * 4_999_000)
        assert connection.call("APPEND", "k", b"x" * 100_000).is_error
        assert connection.call("SETRANGE", "k", "5000300", "x").is_error
        assert connection.call("SETBIT", "bits", str(8 * 5_000_200), "1").is_error
        assert connection.call("STRLEN", "k").integer == 4_999_000


def test_a_command_with_ten_thousand_arguments(resp_clear):
    names = [f"k{number}" for number in range(10_000)]
    with resp_clear.connect() as connection:
        assert connection.call("MSET", *(word for name in names for word in (name, name))).raw == b"+OK\r\n"
        reply = connection.call("MGET", *names)
        assert [child.text for child in reply.children] == [name.encode() for name in names]
        assert connection.call("DEL", *names).integer == 10_000


# Slow, idle, half-open


def test_slow_senders_hold_up_nobody(resp_clear, neighbour):
    opened = [resp_clear.connect() for _ in range(50)]
    data = encode((b"SET", b"slow", b"value"))
    for place in range(len(data)):
        for connection in opened:
            connection.send_bytes(data[place : place + 1])
    assert all(connection.receive().raw == b"+OK\r\n" for connection in opened)
    for connection in opened:
        connection.close()


@pytest.mark.timeout(120)
def test_thousands_of_idle_connections_are_cheap(resp_clear, neighbour):
    count = 3000
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 2 * count)), hard))
    before = resp_clear.resident_bytes()
    opened = []
    try:
        for _ in range(count):
            opened.append(socket.create_connection(resp_clear.address, timeout=10))
        for connection in opened:
            connection.sendall(b"PING\r\n")
        for connection in opened:
            assert connection.recv(100) in (b"+PONG\r\n", b"-NOAUTH Authentication required.\r\n")
        used = (resp_clear.resident_bytes() - before) / count
        assert used < 24_000, f"{used:.0f} bytes for each"
    finally:
        for connection in opened:
            connection.close()
    assert eventually(lambda: resp_clear.is_healthy())


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_ten_thousand_idle_and_half_open_connections_harm_nobody(resp_clear, neighbour):
    resource = pytest.importorskip("resource")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 30_000), hard))
    before = resp_clear.resident_bytes()
    beginnings = [b"", b"*", b"*3\r\n$3\r\nSET\r\n", b"PING\r\n", b"*2\r\n$3\r\nGET\r\n$500000000\r\n", b"SET k"]
    opened = []
    try:
        for number in range(10_000):
            connection = socket.create_connection(resp_clear.address, timeout=10)
            connection.sendall(beginnings[number % len(beginnings)])
            opened.append(connection)
        assert (resp_clear.resident_bytes() - before) / len(opened) < 24_000
        with resp_clear.connect() as connection:
            assert connection.call("PING").raw == b"+PONG\r\n"
    finally:
        for connection in opened:
            connection.close()


def test_connections_that_come_and_go_leave_nothing(resp_clear, neighbour):
    for _ in range(3):
        before = resp_clear.resident_bytes()
        for number in range(500):
            connection = resp_clear.open()
            if number % 3 == 0:
                connection.send_bytes(b"*3\r\n$3\r\nSET\r\n$1")
            elif number % 3 == 1:
                connection.send("BLPOP", "nothing", "0")
            connection.close()
    assert resp_clear.resident_bytes() - before < 16 * MEGABYTE


# Nobody known


def test_the_unknown_may_say_little(tmp_path_factory, resp_clear_door):
    if not resp_clear_door.is_martlet:
        pytest.skip("the redis-server to compare with has no password")
    target = MartletTarget(Server(tmp_path_factory.mktemp("martlet") / "data", is_development=False).start())
    try:
        for data, expected in (
            (b"*11\r\n", b"-ERR Protocol error: unauthenticated multibulk length\r\n"),
            (b"*2\r\n$4\r\nAUTH\r\n$16385\r\n", b"-ERR Protocol error: unauthenticated bulk length\r\n"),
        ):
            with target.open() as connection:
                connection.send_bytes(data)
                assert connection.until_closed(within=5) == expected
        with target.open() as connection:
            connection.send_bytes(b"*2\r\n$4\r\nAUTH\r\n$16384\r\n" + b"x" * 16_384 + b"\r\n")
            assert connection.receive().text.startswith(b"WRONGPASS")
            assert connection.call("GET", "k").text == b"NOAUTH Authentication required."
            assert connection.call("QUIT").raw == b"+OK\r\n"
            with pytest.raises(Closed):
                connection.receive()
    finally:
        target.stop()


def test_tls_that_is_none_is_cut_off(tmp_path_factory, resp_clear_door):
    if not resp_clear_door.is_martlet:
        pytest.skip("the redis-server to compare with has no certificate")
    target = MartletTarget(Server(tmp_path_factory.mktemp("martlet") / "data", is_development=False).start())
    try:
        with Connection(*target.address) as connection:
            connection.send_bytes(b"PING\r\n" * 100)
            assert b"PONG" not in connection.until_closed(within=10)
        assert target.is_healthy()
    finally:
        target.stop()
