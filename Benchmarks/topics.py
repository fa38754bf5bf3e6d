"""Topics: what a delivery costs beside Redis and Mosquitto, and what subscribers hold in memory.

The load of the fan-out is a program in C of its own (fanout/fanout.c), because thousands of sockets must be read faster
than a server writes them; its head says how it counts and what it calls latency.
"""

import json
import os
import statistics
import time
from dataclasses import dataclass

from alternation import ratios
from compiled import compiled_c
from connections import connect, is_open
from idle import settled_bytes
from martlet import CACHE, Martlet
from peers import Mosquitto, Redis
from process import LOAD_CORE, BenchmarkError, Child
from report import Figure, Measure
from websocket import WebSocket

TOPIC = "fanout"
MESSAGE_BYTES = 100
BURST = 100
_CONNECTIONS_OF_TOPICS = 25
# The longest time between two heartbeats, as Martlet comes.
_HEARTBEAT_SECONDS = 10.0
_PATIENCE = 20.0


# What a delivery costs


@dataclass(frozen=True)
class Sample:
    """One run of one side. Latencies are from the write of the publish, or of the burst, to the read of a delivery."""

    microseconds: float
    # The share of them in user mode, which is what a program does about it; the rest is the kernel's.
    user: float
    busy: float
    # The share of the load's polls that found something to read: close to 1, it did not keep up.
    wakeful: float
    p50_milliseconds: float
    p99_milliseconds: float


class Side:
    """One server with its subscribers and its publisher."""

    def __init__(self, server, subscribers, load):
        self.name = server.name
        self.server = server
        self.subscribers = subscribers
        self.published = 0
        self._load = Child(load, LOAD_CORE, log=os.devnull, wants_output=True, wants_input=True)
        self._read("ready")

    def _read(self, member):
        line = self._load.process.stdout.readline()
        self.server.child.fail_if_ended()
        answer = json.loads(line) if line else {"error": "it ended without a word"}
        if member not in answer:
            raise BenchmarkError(f"the load of {self.name} failed: {answer.get('error', line)}")
        return answer

    def take(self, burst, count):
        """Publishes `count` bursts one after the other."""
        child = self.server.child
        before, ticks_before = child.cpu_seconds(), child.user_and_system_ticks()
        self._load.process.stdin.write(f"{burst} {count}\n")
        self._load.process.stdin.flush()
        answer = self._read("deliveries")
        spent = child.cpu_seconds() - before
        user, system = (after - start for after, start in zip(child.user_and_system_ticks(), ticks_before))
        self.published += answer["publishes"]
        if answer["deliveries"] != answer["publishes"] * self.subscribers:
            raise BenchmarkError(f"{self.name}: {answer['deliveries']} deliveries of {answer['publishes']} publishes")
        return Sample(
            spent / answer["deliveries"] * 1e6, user / max(1, user + system), spent / answer["seconds"],
            answer["wakeful"], answer["p50_us"] / 1e3, answer["p99_us"] / 1e3)

    def stop(self):
        self._load.process.stdin.close()
        self._load.process.wait(_PATIENCE)
        self.server.stop()


def alternate_bursts(sides, burst, scale):
    """Warms each side up and runs them in turn, each for about a second of its CPU time, two in a full run."""
    budget = scale.many / 100_000
    counts, lasting = {}, {}
    for side in sides:
        # One burst may cost a slow side more than a sample should: then two samples must do.
        deliveries = side.subscribers * burst
        count = max(1, 20_000 // deliveries)
        wanted = budget / (side.take(burst, count).microseconds * deliveries / 1e6)
        counts[side.name], lasting[side.name] = max(1, round(wanted)), wanted < 0.2
    samples = {side.name: [] for side in sides}
    for number in range(scale.rounds):
        for side in sides if number % 2 == 0 else reversed(sides):
            if number < 2 or not lasting[side.name]:
                samples[side.name].append(side.take(burst, counts[side.name]))
    return samples


def burst_figures(case, samples, floor):
    figures = []
    for name, taken in samples.items():
        each, user, busy, wakeful = (
            statistics.median(getattr(sample, member) for sample in taken)
            for member in ("microseconds", "user", "busy", "wakeful"))
        figures += [
            Figure(f"{case}, {name}", "deliveries/CPU-s", [1e6 / sample.microseconds for sample in taken],
                   note=f"{each:.3f} µs each, {user:.0%} in user mode; core {busy:.0%} busy, load {wakeful:.0%}"),
            Figure(f"{case}, {name}, p50", "ms", [sample.p50_milliseconds for sample in taken]),
            Figure(f"{case}, {name}, p99", "ms", [sample.p99_milliseconds for sample in taken]),
        ]
    ours = samples.pop("martlet")
    better = min(samples, key=lambda name: statistics.median(sample.microseconds for sample in samples[name]))
    figures.append(Figure(f"{case}, martlet / {better}", "", ratios(samples[better], ours), floor, ">="))
    return figures


def _sides(directory, binary, subscribers):
    """Martlet and its peers, each with as many subscribers of one topic."""
    martlet = Martlet(os.path.join(directory, f"fanout-{subscribers}"))
    martlet.make_topics()
    sides = [(martlet, "websocket", martlet.address[1], CACHE, martlet.token)]
    sides += [(server, server.protocol, server.port) for server in (Redis(directory), Mosquitto(directory))]
    return [
        Side(server, subscribers, [binary, protocol, port, subscribers, TOPIC, MESSAGE_BYTES, *more])
        for server, protocol, port, *more in sides
    ]


def fanout(directory, scale):
    """Publish of 100 bytes to all subscribers of a topic, over WebSocket, beside redis-server and mosquitto."""
    measure = Measure("fanout", "Publish of 100 bytes to all subscribers of a topic, beside redis-server and mosquitto")
    binary = compiled_c("fanout", "fanout/fanout.c", "fanout/load.h")
    for subscribers in (scale.connections // 10, scale.connections):
        sides = _sides(directory, binary, subscribers)
        for burst, floor in ((1, 1.0), (BURST, 1.3)):
            case = f"{subscribers:,} subscribers, {'one at a time' if burst == 1 else f'bursts of {burst}'}"
            measure.figures += burst_figures(case, alternate_bursts(sides, burst, scale), floor)
        martlet = sides[0]
        # The publisher's WebSocket is on the topic's URL, so it is a subscriber too.
        deliveries = martlet.published * (subscribers + 1)
        martlet.server.await_usage(publishes=martlet.published, deliveries=deliveries)
        measure.checks.append(
            f"every subscriber received every message once; the usage call counts {martlet.published:,} publishes "
            f"and {deliveries:,} deliveries of martlet, which is every one that was made")
        for side in sides:
            side.stop()
    return measure


# What subscribers hold in memory


def _opener_of_martlet(martlet):
    context = martlet.tls_context("http/1.1") if martlet.is_tls else None

    def open_one(number):
        connection = connect(martlet.address, number)
        if context is not None:
            connection = context.wrap_socket(connection, server_hostname="localhost")
        subscriber = WebSocket(connection, f"/topics/{CACHE}/{TOPIC}", martlet.token)
        _expect_heartbeat(subscriber)
        return subscriber

    return open_one


def _expect_heartbeat(subscriber):
    if not (received := subscriber.receive()).startswith(b'{"heartbeat":'):
        raise BenchmarkError(f"no heartbeat, but {received!r:.300}")


def _opener_of_peer(server, topics_of):
    """Opens connections that subscribe to what `topics_of` gives for their number."""

    def open_one(number):
        connection = connect(("127.0.0.1", server.port), number)
        server.subscribe(connection, topics_of(number))
        return connection

    return open_one


def growth(child, open_one, few, many, rest=lambda held: None):
    """Bytes of resident memory by which the server grows from the first `few` connections to `many`.

    `rest` is given all connections before each reading of the memory.
    """
    held, readings = [], []
    try:
        for count in (few, many):
            while len(held) < count:
                held.append(open_one(len(held)))
            rest(held)
            readings.append(settled_bytes(child))
        child.fail_if_ended()
    except OSError as error:
        child.fail_if_ended()
        raise BenchmarkError(f"connection {len(held)} failed: {error}") from None
    finally:
        kept = sum(is_open(getattr(connection, "connection", connection)) for connection in held)
    if kept < len(held):
        raise BenchmarkError(f"of {len(held)} connections, {kept} were open in the end")
    return readings[1] - readings[0]


def _rest_for_heartbeat(held):
    """Every subscriber has had a heartbeat of its own time when the one that came last has had it."""
    _expect_heartbeat(held[-1])


def idle_websocket(directory, scale):
    """Memory per idle WebSocket subscriber, in cleartext and over TLS. Each kind has a server of its own."""
    few, many = scale.connections // 10, scale.connections
    measure = Measure(
        "idle-websocket", f"Resident memory per idle subscriber of a topic after a heartbeat, {few:,} to {many:,}")

    def add(name, growth, budget=None):
        measure.figures.append(Figure(name, "KiB", [growth / (many - few) / 1024], budget))

    for name, is_tls, budget in (("martlet, WebSocket", False, 10), ("martlet, WebSocket over TLS", True, 32)):
        martlet = Martlet(os.path.join(directory, "tls" if is_tls else "clear"), is_tls=is_tls)
        martlet.make_topics()
        add(name, growth(martlet.child, _opener_of_martlet(martlet), few, many, _rest_for_heartbeat), budget)
        martlet.stop()
    for kind in (Redis, Mosquitto):
        server = kind(directory)
        add(server.name, growth(server.child, _opener_of_peer(server, lambda number: [TOPIC]), few, many))
        server.stop()
    measure.checks.append("all connections were still open in the end")
    return measure


def _names(number, topics_each):
    """The topics of the connection of that number."""
    return [f"topic-{number * topics_each + index:06}" for index in range(topics_each)]


def _opener_of_stream(martlet, topics_each):
    """Opens WebSockets on /v1/stream, each with subscriptions of its own."""

    def open_one(number):
        stream = WebSocket(connect(martlet.address, number), "/v1/stream", martlet.token)
        names = _names(number, topics_each)
        missing = set(names)
        for start in range(0, topics_each, 100):
            chunk = names[start:start + 100]
            stream.send(*(json.dumps({"subscribe": {"id": name, "cache": CACHE, "topic": name}}) for name in chunk))
            while not missing.isdisjoint(chunk):
                answer = json.loads(stream.receive())
                if "error" in answer:
                    raise BenchmarkError(f"no subscription: {answer}")
                if "subscribed" in answer:
                    missing.discard(answer["id"])
        return stream

    return open_one


def _drain_heartbeats(held):
    """Reads for the time in which every subscription has a heartbeat, so that none waits in the server."""
    deadline = time.monotonic() + _HEARTBEAT_SECONDS + 1
    while time.monotonic() < deadline:
        for stream in held:
            if any(b"heartbeat" not in payload for payload in stream.take_waiting()):
                raise BenchmarkError("a subscription without messages received something else than a heartbeat")
        time.sleep(0.2)


def topics_memory(directory, scale):
    """Memory per topic with one subscriber: 25 connections share them all."""
    topics_each = scale.connections * 10 // _CONNECTIONS_OF_TOPICS
    few, many = _CONNECTIONS_OF_TOPICS // 5, _CONNECTIONS_OF_TOPICS
    topics = (many - few) * topics_each
    measure = Measure(
        "topics-memory",
        f"Resident memory per topic with one subscriber, from {few * topics_each:,} to {many * topics_each:,} topics "
        f"over {many} connections")
    martlet = Martlet(os.path.join(directory, "topics"))
    martlet.make_topics()
    growth = growth(martlet.child, _opener_of_stream(martlet, topics_each), few, many, _drain_heartbeats)
    measure.figures.append(Figure("martlet, /v1/stream", "bytes", [growth / topics], 1024))
    martlet.stop()
    for kind in (Redis, Mosquitto):
        server = kind(directory)
        opener = _opener_of_peer(server, lambda number: _names(number, topics_each))
        growth = growth(server.child, opener, few, many)
        measure.figures.append(Figure(server.name, "bytes", [growth / topics]))
        server.stop()
    measure.checks.append("every subscription was acknowledged, and all connections were still open in the end")
    return measure
