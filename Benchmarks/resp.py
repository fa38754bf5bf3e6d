"""The RESP door beside redis-server, under redis-benchmark: CPU per command, memory per idle connection.

Martlet authenticates, limits and meters every command; redis-server is asked for no password. Both have one thread for
commands, on the same core in turns; redis-benchmark has the other core. `__rand_int__` spreads the keys.
"""

import os
import re
import time
from dataclasses import dataclass, replace

from alternation import Side, alternate, ratios
from connections import connect
from load import Answers
from martlet import CACHE, Martlet
from peers import Redis
from process import LOAD_CORE, BenchmarkError, run
from report import Figure, Measure
from rest import cpu_figure
from topics import growth

_KEYS = 100_000
_CONNECTIONS = 50
_VALUE = "x" * 100
_GET, _SET = ("GET", "key:__rand_int__"), ("SET", "key:__rand_int__", _VALUE)
_OTHERS = {
    "INCR": ("INCR", "counter:__rand_int__"),
    "LPUSH": ("LPUSH", "list:__rand_int__", _VALUE),
    "HSET": ("HSET", "hash", "field:__rand_int__", _VALUE),
    "ZADD": ("ZADD", "sorted", "__rand_int__", "member:__rand_int__"),
    "MGET of 10": ("MGET",) + ("key:__rand_int__",) * 10,
    "ZRANGE of 100": ("ZRANGE", "hundred", "0", "99"),
}
_WITHIN = 300


@dataclass(frozen=True)
class CommandLoad:
    """One command, so many times, `pipeline` of them sent at once on each connection."""

    port: int
    requests: int
    pipeline: int
    command: tuple
    credential: str | None = None

    def of(self, requests):
        return replace(self, requests=requests)


def benchmark(load):
    """Runs redis-benchmark, which fails the run by itself where a reply is an error."""
    who = ("--user", CACHE, "-a", load.credential) if load.credential else ()
    start = time.monotonic()
    said = run(
        ["redis-benchmark", "-p", load.port, "-n", load.requests, "-c", _CONNECTIONS, "-P", load.pipeline, "-r", _KEYS,
         *who, "-e", "--csv", *load.command], core=LOAD_CORE, within=_WITHIN)
    if "Error" in said or "rror from server" in said or not re.search(r'",?"?[0-9.]+', said):
        raise BenchmarkError(f"redis-benchmark: {said[-300:]}")
    return Answers(load.requests, load.requests, time.monotonic() - start)


def _port(martlet):
    return martlet.resp_address[1]


def _fill(martlet, redis):
    """What the reads find, on both sides."""
    for port, credential in ((_port(martlet), martlet.token), (redis.port, None)):
        benchmark(CommandLoad(port, _KEYS * 3, 64, _SET, credential))
        members = [part for index in range(100) for part in (str(index), f"member:{index:03}")]
        benchmark(CommandLoad(port, 50, 1, ("ZADD", "hundred", *members), credential))


def _servers(directory, name, is_sealed=False):
    martlet, redis = Martlet(os.path.join(directory, name), is_sealed=is_sealed), Redis(directory)
    martlet.make_cache({"role": "readwrite", "cache": CACHE})
    _fill(martlet, redis)
    return martlet, redis


def _compare(measure, case, martlet, redis, command, pipeline, requests, rounds, *, cpu=None, rate=None):
    """Both under the same load; the ratio as CPU per command, or as commands for a second of CPU."""
    shape = (requests, pipeline, command)
    samples = alternate(
        [
            Side("martlet", martlet.children, CommandLoad(_port(martlet), *shape, martlet.token), benchmark),
            Side("redis", (redis.child,), CommandLoad(redis.port, *shape), benchmark),
        ],
        rounds)
    ours, theirs = samples["martlet"], samples["redis"]
    measure.figures += [cpu_figure(f"{case}, martlet", ours), cpu_figure(f"{case}, redis", theirs)]
    if rate is None:
        measure.figures.append(Figure(f"{case}, CPU, martlet / redis", "", ratios(ours, theirs), cpu))
    else:
        measure.figures.append(
            Figure(f"{case}, commands per CPU, martlet / redis", "", ratios(theirs, ours), rate, ">="))


def _requests(scale, pipeline):
    return {1: scale.few, 16: scale.many, 64: scale.many * 2}[pipeline]


def _scalars(name, is_sealed, directory, scale, budgets):
    measure = Measure(
        name, f"RESP GET and SET, 100 bytes, {_KEYS:,} keys, {_CONNECTIONS} connections,"
        f" {'sealed' if is_sealed else 'not sealed'}, beside redis-server")
    martlet, redis = _servers(directory, name, is_sealed)
    for pipeline, budget in budgets.items():
        for word, command in (("GET", _GET), ("SET", _SET)):
            limit = {"cpu": budget} if pipeline == 1 else {"rate": budget}
            _compare(
                measure, f"{word}, pipeline {pipeline}", martlet, redis, command, pipeline,
                _requests(scale, pipeline), scale.rounds, **limit)
    martlet.stop()
    redis.stop()
    return measure


def resp(directory, scale):
    """GET and SET with sealing off."""
    return _scalars("resp", False, directory, scale, {1: 1.0, 16: 1.2, 64: 1.5})


def resp_sealed(directory, scale):
    """GET and SET with sealing on."""
    return _scalars("resp-sealed", True, directory, scale, {1: 1.05, 16: 0.75, 64: 0.75})


def resp_commands(directory, scale):
    """Other commands, in pipelines of 16."""
    measure = Measure("resp-commands", "Other RESP commands, pipeline 16, not sealed, beside redis-server")
    martlet, redis = _servers(directory, "commands")
    for word, command in _OTHERS.items():
        requests = scale.many // (8 if " of " in word else 2)
        _compare(measure, word, martlet, redis, command, 16, requests, scale.rounds, rate=1.0)
    martlet.stop()
    redis.stop()
    return measure


def _command(*words):
    return b"*%d\r\n" % len(words) + b"".join(
        b"$%d\r\n%s\r\n" % (len(word), word) for word in (word.encode() for word in words))


def _opener(address, *commands):
    """Opens connections on which these commands were answered."""
    sent = b"".join(_command(*command) for command in commands)

    def open_one(number):
        connection = connect(address, number)
        connection.sendall(sent)
        answer = b""
        while answer.count(b"\r\n") < len(commands):
            data = connection.recv(4096)
            if not data or answer.startswith(b"-"):
                raise BenchmarkError(f"a connection was refused: {answer!r}")
            answer += data
        return connection

    return open_one


def resp_idle(directory, scale):
    """Memory per idle connection beside redis-server."""
    few, many = scale.connections // 10, scale.connections
    measure = Measure("resp-idle", f"Resident memory per idle RESP connection, {few:,} to {many:,}, beside redis-server")
    martlet = Martlet(os.path.join(directory, "idle"))
    martlet.make_cache({"role": "readwrite", "cache": CACHE})
    opener = _opener(martlet.resp_address, ("AUTH", CACHE, martlet.token), ("PING",))
    ours = growth(martlet.child, opener, few, many) / (many - few) / 1024
    martlet.stop()
    redis = Redis(directory)
    theirs = growth(redis.child, _opener(("127.0.0.1", redis.port), ("PING",)), few, many) / (many - few) / 1024
    redis.stop()
    measure.figures += [
        Figure("martlet", "KiB", [ours]), Figure("redis", "KiB", [theirs]),
        Figure("martlet / redis", "", [ours / theirs], 1.0),
    ]
    measure.checks.append("all connections were answered, and open in the end")
    return measure
