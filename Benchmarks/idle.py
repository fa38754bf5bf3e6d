"""Resident memory of the server for each connection that is open and idle, in kinds and in steps."""

import os
import ssl
import time
from dataclasses import dataclass

from connections import connect, get_over_http1, get_over_http2, hold_http1, hold_http2, is_open
from martlet import Martlet
from peers import H2O
from process import BenchmarkError
from report import Figure, Measure
from rest import VALUE

_STEPS = 4
# All connections of one kind, TLS handshakes on a busy machine included.
_DEADLINE_SECONDS = 300.0


@dataclass(frozen=True)
class Kind:
    """What a connection did before it fell idle. A budget is in KiB."""

    name: str
    is_http2: bool
    asks: bool
    is_tls: bool
    budget: float | None


_KINDS = (
    Kind("HTTP/1.1 after a request", is_http2=False, asks=True, is_tls=False, budget=None),
    Kind("HTTP/2 after SETTINGS", is_http2=True, asks=False, is_tls=False, budget=32),
    Kind("HTTP/2 after a request", is_http2=True, asks=True, is_tls=False, budget=32),
    Kind("HTTP/2 over TLS after a request", is_http2=True, asks=True, is_tls=True, budget=52),
)


@dataclass(frozen=True)
class Target:
    """Where the connections go and what they ask for there."""

    address: tuple
    path: str
    authorization: str | None
    context: ssl.SSLContext | None

    def open(self, kind, number):
        """Opens the connection of that number and leaves it idle."""
        authority = f"{self.address[0]}:{self.address[1]}"
        connection = connect(self.address, number)
        if self.context is not None:
            connection = self.context.wrap_socket(connection, server_hostname="localhost")
            if connection.selected_alpn_protocol() != "h2":
                raise BenchmarkError("the server did not choose h2 over TLS")
        if kind.is_http2:
            request = get_over_http2(authority, self.path, self.authorization, is_tls=kind.is_tls)
            hold_http2(connection, request if kind.asks else None)
        else:
            hold_http1(connection, get_over_http1(authority, self.path, self.authorization))
        return connection


def settled_bytes(child):
    """Resident memory once it has stopped moving: three readings alike, or what it is after five seconds."""
    readings = []
    for _ in range(25):
        readings.append(child.resident_bytes())
        if len(readings) >= 3 and max(readings[-3:]) - min(readings[-3:]) <= 16_384:
            break
        time.sleep(0.2)
    return readings[-1]


def _steps(child, kind, target, count):
    """Opens the connections and gives KiB per connection at each step, the last one for all of them."""
    deadline = time.monotonic() + _DEADLINE_SECONDS
    # The first connection makes what is made once; it stays out of the account. By the time that memory has settled,
    # the connections of the control plane are closed.
    held, steps = [target.open(kind, 0)], []
    start = settled_bytes(child)
    files = child.open_files() - len(held)
    try:
        for step in range(1, _STEPS + 1):
            while len(held) <= count * step // _STEPS:
                held.append(target.open(kind, len(held)))
                if time.monotonic() > deadline:
                    raise BenchmarkError(f"only {len(held)} connections opened within {_DEADLINE_SECONDS:.0f} s")
            steps.append((settled_bytes(child) - start) / (len(held) - 1) / 1024)
        child.fail_if_ended()
        in_server = child.open_files() - files
    except OSError as error:
        child.fail_if_ended()
        raise BenchmarkError(f"connection {len(held)} failed: {error}") from None
    finally:
        kept = sum(is_open(connection) for connection in held)
    if min(kept, in_server) < len(held):
        raise BenchmarkError(f"of {len(held)} connections, {kept} were open here and {in_server} there in the end")
    return steps


def _of_martlet(directory, kind, count):
    martlet = Martlet(os.path.join(directory, kind.name.replace("/", "-")), is_tls=kind.is_tls)
    martlet.prepare(VALUE)
    context = martlet.tls_context("h2") if kind.is_tls else None
    steps = _steps(martlet.child, kind, Target(martlet.address, martlet.path, martlet.token, context), count)
    martlet.stop()
    return steps


def _of_h2o(directory, kind, count):
    h2o = H2O(directory, VALUE)
    context = None
    if kind.is_tls:
        context = ssl.create_default_context(cafile=os.path.join(directory, "peer.pem"))
        context.set_alpn_protocols(["h2"])
    address = ("127.0.0.1", h2o.tls_port if kind.is_tls else h2o.port)
    steps = _steps(h2o.child, kind, Target(address, "/value.bin", None, context), count)
    h2o.stop()
    return steps


def idle(directory, scale):
    """Memory per idle connection. Each kind has a server of its own, so that none lives in what another has left."""
    measure = Measure("idle", f"Resident memory per idle connection, {scale.connections:,} of each kind")
    for who, take in (("martlet", _of_martlet), ("h2o", _of_h2o)):
        for kind in _KINDS:
            steps = take(directory, kind, scale.connections)
            shown = ", ".join(f"{step:.1f}" for step in steps)
            budget = kind.budget if who == "martlet" else None
            measure.figures.append(Figure(f"{who}, {kind.name}", "KiB", [steps[-1]], budget, note=f"in steps: {shown}"))
    measure.checks.append("all connections were still open in the end, on both sides")
    return measure
