"""What limits cost: the admit step, and a refused call beside a served one, in the server's process and over the wire.

A refusal must be cheaper than the work that it refuses, or a flood of calls over the limit would cost more than one
within it.
"""

import json
import os
import re
import socket
import time
from dataclasses import dataclass, replace

from alternation import Side, alternate, ratios
from grpc_calls import GET, Item
from load import Answers, Load, send
from martlet import CACHE, KEY, REPOSITORY, Martlet
from process import LOAD_CORE, SERVER_CORE, BenchmarkError, run
from report import Figure, Measure
from rest import VALUE, cpu_figure

SHUT = "shut"
# A value that costs so many operations to read that no run sees them paid off.
_DEBT = b"x" * 4_000_000
_WITHIN = 300
_ADMIT_NANOSECONDS = 60
_REFUSAL_SHARE = 0.5


def admission_binary():
    """MARTLET_ADMISSION_BENCH, or the release build of this repository."""
    path = os.environ.get("MARTLET_ADMISSION_BENCH", str(REPOSITORY / ".build" / "release" / "AdmissionBench"))
    if not os.path.isfile(path):
        raise BenchmarkError(
            f"there is no {path}: run `MARTLET_DEV=1 swift build -c release --product AdmissionBench`")
    return path


def admission(directory, scale):
    """The admit step and refused calls, in one process and without a wire."""
    measure = Measure("admission", "The admit step, and GET served and refused, in the server's own code")
    output = run(
        [admission_binary(), f"rounds={scale.rounds}", f"calls={scale.many * 5}"], core=SERVER_CORE, within=_WITHIN)
    cases = {case["name"]: case["nanoseconds"] for case in map(json.loads, output.splitlines())}
    for name, samples in cases.items():
        budget = _ADMIT_NANOSECONDS if name.startswith("admit") else None
        measure.figures.append(Figure(name, "ns", samples, budget))
    for name in ("service, GET", "commands, GET"):
        shares = [refused / served for refused, served in zip(cases[f"{name} refused"], cases[name])]
        measure.figures.append(Figure(f"{name}, refused / served", "", shares, _REFUSAL_SHARE))
    return measure


_REQUESTS = re.compile(r"requests: \d+ total, \d+ started, (\d+) done")
_REFUSED = re.compile(r"status codes: 0 2xx, 0 3xx, (\d+) 4xx, 0 5xx")


def send_refused(load):
    """As `send`, for a load of which all must be refused."""
    started = time.monotonic()
    output = run(load.command(), core=LOAD_CORE, within=_WITHIN)
    done, refused = _REQUESTS.search(output), _REFUSED.search(output)
    if not done or not refused or {int(done[1]), int(refused[1])} != {load.requests}:
        raise BenchmarkError(f"not all of {load.requests} requests were refused: {output[-300:].strip()}")
    return Answers(load.requests, 0, time.monotonic() - started)


@dataclass(frozen=True)
class _Commands:
    """So many GETs on one connection, `pipeline` of them sent at once: redis-benchmark ends at the first error."""

    address: tuple
    cache: str
    credential: str
    requests: int
    pipeline: int

    @property
    def lines(self):
        """Of each reply."""
        return 1 if self.cache == SHUT else 2

    def of(self, requests):
        return replace(self, requests=requests)


def _encoded(*words):
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in (word.encode() for word in words))


def _send_commands(load):
    """Replies are told apart by their first byte, and the last by its end."""
    start = time.monotonic()
    batch = _encoded("GET", KEY) * load.pipeline
    rounds = max(1, load.requests // load.pipeline)
    with socket.create_connection(load.address, timeout=_WITHIN) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(_encoded("AUTH", load.cache, load.credential))
        if connection.recv(64) != b"+OK\r\n":
            raise BenchmarkError("a connection was refused")
        for _ in range(rounds):
            connection.sendall(batch)
            lines = 0
            while lines < load.pipeline * load.lines:
                data = connection.recv(1 << 16)
                if not data or lines == 0 and data[:1] != (b"-" if load.cache == SHUT else b"$"):
                    raise BenchmarkError(f"not the answer that was due: {data[:100]!r}")
                lines += data.count(b"\n")
    return Answers(rounds * load.pipeline, rounds * load.pipeline, time.monotonic() - start)


def _throttled(martlet):
    rows = martlet.administer("GET", f"/usage?cache={SHUT}", expected=200)["rows"]
    return sum(row["throttled"] for row in rows)


def _make(directory):
    """A server with a cache that serves and one that owes more than it will ever pay."""
    martlet = Martlet(directory)
    martlet.make_cache({"role": "readwrite", "cache": "*"})
    martlet.administer("PUT", f"/caches/{SHUT}", {}, expected=201)
    for cache, value in ((CACHE, VALUE), (SHUT, _DEBT)):
        status, answer = martlet.call(
            "PUT", f"/cache/{cache}?key={KEY}&ttl_seconds=3600", value, credential=martlet.token)
        if status != 204:
            raise BenchmarkError(f"the value was not stored: {status} {answer[:300]!r}")
    martlet.administer("PUT", f"/caches/{SHUT}", {"limits": {"max_operations_per_second": 1}}, expected=200)
    for expected in (200, 429):
        status, _ = martlet.call("GET", f"/cache/{SHUT}?key={KEY}", credential=martlet.token)
        if status != expected:
            raise BenchmarkError(f"the cache is not shut: {status}, not {expected}")
    return martlet


def refusal(directory, scale):
    """Server CPU for a refused GET beside one that is a hit, over HTTP/2, HTTP/1.1, gRPC and RESP."""
    measure = Measure("refusal", "A refused GET beside a hit of 100 bytes, one server, its two caches in turns")
    martlet = _make(os.path.join(directory, "refusal"))
    headers = (f"authorization: {martlet.token}",)
    shut_url = martlet.url.replace(f"/{CACHE}?", f"/{SHUT}?")
    expected = 1

    # A refusal is read, framed and written like a hit, so on the wire it cannot cost less than half: it must not cost
    # more than what it refuses.
    def compare(case, served, refused, budget=1.0):
        nonlocal expected
        samples = alternate([served, refused], scale.rounds)
        measure.figures += [
            cpu_figure(f"{case}, hit", samples["hit"]), cpu_figure(f"{case}, refused", samples["refused"]),
            Figure(f"{case}, refused / hit", "", ratios(samples["refused"], samples["hit"]), budget),
        ]
        expected += refused.load.requests * scale.rounds

    def loads(url, *shape, **options):
        return Load(url, *shape, headers, **options)

    for case, shape, options in (
            ("REST, HTTP/2, 32 streams", (scale.many, 1, 32), {}),
            ("REST, HTTP/1.1, 16 connections", (scale.few * 2, 16, 1), {"is_http1": True})):
        compare(
            case, Side("hit", martlet.children, loads(martlet.url, *shape, **options)),
            Side("refused", martlet.children, loads(shut_url, *shape, **options), send_refused))
    item, shape = Item(KEY, VALUE), (scale.many, 1, 32)
    fields = [(("authorization", martlet.token), ("cache", cache)) for cache in (CACHE, SHUT)]
    hits, refusals = (item.load(directory, martlet.authority, GET, shape, each) for each in fields)
    # A call that is refused ends with its head: no byte of a body.
    refusals = Load(**{**refusals.__dict__, "answer_bytes": 0})
    compare(
        "gRPC, 32 streams", Side("hit", martlet.children, hits, send),
        Side("refused", martlet.children, refusals, send))
    for pipeline, requests in ((1, scale.few), (16, scale.many)):
        shape = (martlet.token, requests, pipeline)
        compare(
            f"RESP, pipeline {pipeline}",
            Side("hit", martlet.children, _Commands(martlet.resp_address, CACHE, *shape), _send_commands),
            Side("refused", martlet.children, _Commands(martlet.resp_address, SHUT, *shape), _send_commands))
    deadline = time.monotonic() + 5
    while _throttled(martlet) < expected and time.monotonic() < deadline:
        time.sleep(0.1)
    if _throttled(martlet) < expected:
        raise BenchmarkError(f"{_throttled(martlet)} calls were refused, not {expected}")
    measure.checks.append(f"the usage call counts {_throttled(martlet):,} refused calls, which is every one")
    martlet.stop()
    return measure
