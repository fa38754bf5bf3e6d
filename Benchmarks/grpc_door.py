"""The gRPC door beside a gRPC server in C++ (grpc_peer/peer.cpp), and beside the REST door of the same process.

The peer is sent the same metadata as Martlet, the token too, and looks at none of it. A call counts only if its answer
is whole. The status of HTTP/2 says nothing about a gRPC call, so the bytes of all answers must be those of as many
hits, and single calls before the load and after it must end with OK.
"""

import os
import struct
from dataclasses import dataclass

from alternation import Side, alternate, ratios
from compiled import compiled_c
from grpc_calls import GET, SET, Item
from load import Load, send
from martlet import CACHE, KEY, Martlet
from peers import GRPCPeer
from process import BenchmarkError
from report import Figure, Measure
from rest import VALUE, checked_usage, cpu_figure, shape_name
from topics import BURST, MESSAGE_BYTES, TOPIC, alternate_bursts, burst_figures
from topics import Side as StreamSide

_SUBSCRIPTIONS = 100
_CONNECTIONS_OF_SUBSCRIPTIONS = 4
_ITEM = Item(KEY, VALUE)
_UNIT = "requests per CPU-second"


@dataclass
class _Target:
    """A server that holds the item, and how it is called."""

    name: str
    server: object
    # The metadata of every call.
    fields: tuple
    directory: str

    def load(self, path, shape):
        return _ITEM.load(self.directory, self.server.authority, path, shape, self.fields)

    def check(self, *paths):
        for path in paths:
            _ITEM.check(self.server.authority, path, self.fields)
            if isinstance(self.server, Martlet):
                self.server.requests_made += 1

    def side(self, path, shape):
        return Side(self.name, self.server.children, self.load(path, shape), getattr(self.server, "send", send))

    def stop(self):
        self.server.stop()


def _martlet(directory, name="martlet", **options):
    martlet = Martlet(os.path.join(directory, name.replace(" ", "-")), **options)
    martlet.prepare(VALUE)
    target = _Target(name, martlet, (("authorization", martlet.token), ("cache", CACHE)), directory)
    target.check(GET)
    return target


def _peer(directory, fields, **options):
    target = _Target("gRPC C++", GRPCPeer(directory, **options), fields, directory)
    target.check(SET, GET)
    return target


def _shapes(scale):
    """Requests, connections and streams on each."""
    return (scale.many, 1, 32), (scale.many, 8, 32), (scale.few, 1, 1)


def _beside_peer(measure, directory, scale, path, budgets):
    """The call at Martlet without sealing, with it, and at the peer. Budgets are by the number of streams."""
    plain, sealed = _martlet(directory), _martlet(directory, "martlet sealing", is_sealed=True)
    peer = _peer(directory, plain.fields)
    targets = (plain, sealed, peer)
    for shape in _shapes(scale):
        samples = alternate([target.side(path, shape) for target in targets], scale.rounds)
        case = shape_name(*shape[1:])
        measure.figures += [cpu_figure(f"{case}, {target.name}", samples[target.name]) for target in targets]
        measure.figures += [
            Figure(f"{case}, martlet / gRPC C++, {_UNIT}", "", ratios(samples[peer.name], samples[plain.name]),
                   budgets.get(shape[2]), ">="),
            Figure(f"{case}, martlet sealing / gRPC C++", "", ratios(samples[peer.name], samples[sealed.name])),
        ]
    for target in targets:
        target.check(path)
    measure.checks.append(
        f"every answer was that of {path}, and single calls with grpcio ended with OK; "
        f"gRPC C++ is {peer.server.version}")
    measure.checks.append(checked_usage(plain.server, sealed.server))
    for target in targets:
        target.stop()
    return measure


def grpc_get(directory, scale):
    """gRPC Get hit of 100 bytes over h2c, authenticated and metered, beside a gRPC server in C++."""
    measure = Measure("grpc-get", "gRPC Get hit, 100 bytes, cleartext, token and metering on, beside gRPC C++")
    return _beside_peer(measure, directory, scale, GET, {32: 8, 1: 3})


def grpc_set(directory, scale):
    """gRPC Set of 100 bytes over h2c, authenticated and metered, beside a gRPC server in C++."""
    measure = Measure("grpc-set", "gRPC Set, 100 bytes, cleartext, token and metering on, beside gRPC C++")
    return _beside_peer(measure, directory, scale, SET, {})


def grpc_rest(directory, scale):
    """gRPC Get beside the REST GET of the same item from the same process."""
    measure = Measure("grpc-rest", "gRPC Get beside REST GET of the same process, 100 bytes, HTTP/2 cleartext")
    for is_sealed in (False, True):
        target = _martlet(directory, "martlet sealing" if is_sealed else "martlet", is_sealed=is_sealed)
        martlet = target.server
        for shape in _shapes(scale):
            rest = Load(martlet.url, *shape, headers=(f"authorization: {martlet.token}",))
            samples = alternate(
                [target.side(GET, shape), Side("REST", martlet.children, rest, martlet.send)], scale.rounds)
            case = f"{shape_name(*shape[1:])}, {target.name}"
            measure.figures += [
                cpu_figure(f"{case}, gRPC Get", samples[target.name]),
                cpu_figure(f"{case}, REST GET", samples["REST"]),
                Figure(f"{case}, gRPC Get / REST GET", "", ratios(samples[target.name], samples["REST"]),
                       None if is_sealed else 1.3),
            ]
        target.check(GET)
        measure.checks.append(checked_usage(martlet))
        target.stop()
    return measure


# Allocations


class _Allocations:
    """The counters that allocations/allocations.c keeps for one process."""

    def __init__(self, directory, name):
        self._path = os.path.join(directory, name)
        with open(self._path, "wb") as file:
            file.write(bytes(16))
        # The environment of the process.
        self.variables = {
            "LD_PRELOAD": compiled_c("allocations.so", "allocations/allocations.c"), "ALLOCATIONS_FILE": self._path,
        }

    def read(self):
        with open(self._path, "rb") as file:
            calls, size = struct.unpack("=QQ", file.read(16))
        if calls == 0:
            raise BenchmarkError("the interposer counts nothing")
        return calls, size

    def figure(self, name, load, run, rounds):
        """What each of a load's requests allocates, once the server knows them."""
        run(load.of(load.requests // 10))
        samples = []
        for _ in range(rounds):
            calls, size = self.read()
            run(load)
            samples.append([(after - before) / load.requests for after, before in zip(self.read(), (calls, size))])
        sizes = sorted(sample[1] for sample in samples)
        return Figure(name, "allocations", [sample[0] for sample in samples],
                      note=f"{sizes[len(sizes) // 2]:,.0f} bytes asked for")


def grpc_allocations(directory, scale):
    """Heap allocations per request in steady state, counted by an interposer."""
    measure = Measure("grpc-allocations", "Heap allocations per request in steady state, 1 connection x 32 streams")
    shape = (scale.many, 1, 32)
    for is_sealed in (False, True):
        name = "martlet sealing" if is_sealed else "martlet"
        counted = _Allocations(directory, name + ".count")
        target = _martlet(directory, name, is_sealed=is_sealed, variables=counted.variables)
        martlet = target.server
        rest = Load(martlet.url, *shape, headers=(f"authorization: {martlet.token}",))
        measure.figures += [
            counted.figure(f"{name}, gRPC Get", target.load(GET, shape), martlet.send, scale.rounds),
            counted.figure(f"{name}, gRPC Set", target.load(SET, shape), martlet.send, scale.rounds),
            counted.figure(f"{name}, REST GET", rest, martlet.send, scale.rounds),
        ]
        target.check(GET)
        measure.checks.append(checked_usage(martlet))
        target.stop()
    counted = _Allocations(directory, "peer.count")
    peer = _peer(directory, target.fields, variables=counted.variables)
    measure.figures.append(counted.figure("gRPC C++, gRPC Get", peer.load(GET, shape), send, scale.rounds))
    peer.stop()
    return measure


# Subscriptions


def grpc_stream(directory, scale):
    """Publish of 100 bytes to a hundred subscriptions over gRPC, beside the stream of a gRPC server in C++."""
    measure = Measure(
        "grpc-stream",
        f"Publish of {MESSAGE_BYTES} bytes to {_SUBSCRIPTIONS} gRPC subscriptions over "
        f"{_CONNECTIONS_OF_SUBSCRIPTIONS} connections, beside gRPC C++")
    load = compiled_c("grpc", "fanout/grpc.c", "fanout/load.h")
    martlet, peer = Martlet(os.path.join(directory, "martlet")), GRPCPeer(directory)
    martlet.make_topics()
    sides = [
        StreamSide(server, _SUBSCRIPTIONS, [
            load, port, _SUBSCRIPTIONS, TOPIC, MESSAGE_BYTES, _CONNECTIONS_OF_SUBSCRIPTIONS, CACHE, martlet.token])
        for server, port in ((martlet, martlet.address[1]), (peer, peer.port))
    ]
    for burst in (1, BURST):
        case = "one at a time" if burst == 1 else f"bursts of {burst}"
        measure.figures += burst_figures(case, alternate_bursts(sides, burst, scale), 5)
    ours = sides[0]
    deliveries = ours.published * _SUBSCRIPTIONS
    martlet.await_usage(publishes=ours.published, deliveries=deliveries)
    measure.checks.append(
        f"every subscription received every message once; the usage call counts {ours.published:,} publishes and "
        f"{deliveries:,} deliveries of martlet, which is every one that was made")
    for side in sides:
        side.stop()
    return measure
