"""The REST door beside its peers: GET over HTTP/2 in cleartext and over TLS, PUT, and GET over HTTP/1.1.

A peer is sent the same header fields as Martlet, the token too: what it costs to receive them is part of any server's
work. What it costs to know what they mean is Martlet's own.
"""

import os
from dataclasses import dataclass

from alternation import Side, alternate, ratios
from batches import BatchLoad, send_batches
from load import Load
from martlet import Martlet
from peers import H2O, WebdisAndRedis
from report import Figure, Measure

VALUE = bytes(b"martlet-"[index % 8] for index in range(100))


@dataclass(frozen=True)
class Scale:
    """How much is sent: `many` requests at 32 streams, `few` at one, so that a run takes about a second of CPU."""

    rounds: int = 7
    many: int = 200_000
    few: int = 40_000
    connections: int = 10_000
    starts: int = 10


QUICK = Scale(rounds=3, many=60_000, few=10_000, connections=2_000, starts=3)


def cpu_figure(name, samples, note=""):
    busy = sorted(sample.busy for sample in samples)[len(samples) // 2]
    return Figure(
        f"{name}: server CPU per request", "µs", [sample.microseconds for sample in samples],
        note=note or f"core {busy:.0%} busy")


def checked_usage(*servers):
    count = sum(server.check_usage() for server in servers)
    return f"all answers were 2xx; the usage call counts {count:,} requests, which is every one that was made"


def shape_name(connections, streams):
    return f"{connections} connection{'s' * (connections > 1)} x {streams} stream{'s' * (streams > 1)}"


def get(directory, scale):
    """GET hit of 100 bytes over h2c, authenticated and metered, beside h2o with a static file of that size."""
    measure = Measure("get", "REST GET hit, 100 bytes, HTTP/2 cleartext, token and metering on, beside h2o")
    martlet, h2o = Martlet(os.path.join(directory, "get")), H2O(directory, VALUE)
    headers = martlet.prepare(VALUE)
    for connections, streams, budget in ((1, 32, 1.25), (8, 32, 1.25), (1, 1, 1.1), (8, 1, 1.1)):
        shape = (scale.many if streams > 1 else scale.few, connections, streams)
        samples = alternate(
            [
                Side("martlet", martlet.children, Load(martlet.url, *shape, headers), martlet.send),
                Side("h2o", h2o.children, Load(h2o.url, *shape, headers)),
                Side("h2o bare", h2o.children, Load(h2o.url, *shape)),
            ],
            scale.rounds)
        case = shape_name(connections, streams)
        measure.figures += [
            cpu_figure(f"{case}, martlet", samples["martlet"]),
            cpu_figure(f"{case}, h2o", samples["h2o"]),
            cpu_figure(f"{case}, h2o sent no token", samples["h2o bare"]),
            Figure(f"{case}, martlet / h2o", "", ratios(samples["martlet"], samples["h2o"]), budget),
            Figure(f"{case}, martlet / h2o sent no token", "", ratios(samples["martlet"], samples["h2o bare"])),
        ]
    measure.checks.append(checked_usage(martlet))
    martlet.stop()
    h2o.stop()
    return measure


def indexed(directory, scale):
    """The same GET from a client that indexes the token, so that each request after the first is a few bytes."""
    measure = Measure("indexed", "REST GET hit as above, from a client that keeps the token in the dynamic table")
    martlet, h2o = Martlet(os.path.join(directory, "indexed")), H2O(directory, VALUE)
    martlet.prepare(VALUE)
    for connections, streams, budget in ((1, 32, 1.25), (8, 32, 1.25), (1, 1, 1.1)):
        shape = (scale.many // 2 if streams > 1 else scale.few, connections, streams, martlet.token)
        samples = alternate(
            [
                Side("martlet", martlet.children, BatchLoad(martlet.url, *shape), martlet.send_batches),
                Side("h2o", h2o.children, BatchLoad(h2o.url, *shape), send_batches),
            ],
            scale.rounds)
        case = shape_name(connections, streams)
        measure.figures += [
            cpu_figure(f"{case}, martlet", samples["martlet"]),
            cpu_figure(f"{case}, h2o", samples["h2o"]),
            Figure(f"{case}, martlet / h2o", "", ratios(samples["martlet"], samples["h2o"]), budget),
        ]
    measure.checks.append(checked_usage(martlet))
    martlet.stop()
    h2o.stop()
    return measure


def tls(directory, scale):
    """The same GET at 32 streams over TLS and in cleartext, of Martlet and of h2o."""
    measure = Measure("tls", "REST GET hit, 100 bytes, HTTP/2 over TLS beside cleartext, 32 streams a connection")
    clear, sealed = Martlet(os.path.join(directory, "clear")), Martlet(os.path.join(directory, "tls"), is_tls=True)
    h2o = H2O(directory, VALUE)
    clear_headers, sealed_headers = clear.prepare(VALUE), sealed.prepare(VALUE)
    for connections in (1, 8):
        shape = (scale.many, connections, 32)
        samples = alternate(
            [
                Side("tls", sealed.children, Load(sealed.url, *shape, sealed_headers), sealed.send),
                Side("clear", clear.children, Load(clear.url, *shape, clear_headers), clear.send),
                Side("h2o tls", h2o.children, Load(h2o.tls_url, *shape, sealed_headers)),
                Side("h2o clear", h2o.children, Load(h2o.url, *shape, clear_headers)),
            ],
            scale.rounds)
        case = shape_name(connections, 32)
        measure.figures += [
            cpu_figure(f"{case}, martlet TLS", samples["tls"], samples["tls"][0].tls or ""),
            cpu_figure(f"{case}, martlet cleartext", samples["clear"]),
            Figure(f"{case}, martlet TLS / cleartext", "", ratios(samples["tls"], samples["clear"]), 1.15),
            cpu_figure(f"{case}, h2o TLS", samples["h2o tls"], samples["h2o tls"][0].tls or ""),
            cpu_figure(f"{case}, h2o cleartext", samples["h2o clear"]),
            Figure(f"{case}, h2o TLS / cleartext", "", ratios(samples["h2o tls"], samples["h2o clear"])),
            Figure(f"{case}, martlet TLS / h2o TLS", "", ratios(samples["tls"], samples["h2o tls"])),
        ]
    measure.checks.append(checked_usage(clear, sealed))
    for server in (clear, sealed, h2o):
        server.stop()
    return measure


def put(directory, scale):
    """PUT of 100 bytes over h2c. It has no peer here: its neighbour is the GET of the same server."""
    measure = Measure("put", "REST PUT, 100 bytes, HTTP/2 cleartext, token and metering on, beside GET")
    martlet = Martlet(os.path.join(directory, "put"))
    headers = martlet.prepare(VALUE)
    body = os.path.join(directory, "body.bin")
    with open(body, "wb") as file:
        file.write(VALUE)
    for streams in (32, 1):
        requests = scale.many // 2 if streams > 1 else scale.few
        put_url = martlet.url + "&ttl_seconds=3600"
        samples = alternate(
            [
                Side("put", martlet.children, Load(put_url, requests, 1, streams, headers, body, "PUT"), martlet.send),
                Side("get", martlet.children, Load(martlet.url, requests, 1, streams, headers), martlet.send),
            ],
            scale.rounds)
        case = shape_name(1, streams)
        measure.figures += [
            cpu_figure(f"{case}, PUT", samples["put"]),
            cpu_figure(f"{case}, GET", samples["get"]),
            Figure(f"{case}, PUT / GET", "", ratios(samples["put"], samples["get"])),
        ]
    measure.checks.append(checked_usage(martlet))
    martlet.stop()
    return measure


def http1(directory, scale):
    """GET over HTTP/1.1 keep-alive beside webdis in front of redis-server, in requests per second of CPU."""
    measure = Measure("http1", "REST GET hit, 100 bytes, HTTP/1.1 keep-alive, beside webdis in front of redis-server")
    martlet, peer = Martlet(os.path.join(directory, "http1")), WebdisAndRedis(directory, VALUE)
    headers = martlet.prepare(VALUE)
    for connections in (1, 16):
        shape = {"requests": scale.few * 2, "connections": connections, "is_http1": True}
        samples = alternate(
            [
                Side("martlet", martlet.children, Load(martlet.url, headers=headers, **shape), martlet.send),
                Side("webdis + redis", peer.children, Load(peer.url, headers=headers, **shape)),
            ],
            scale.rounds)
        case = f"{connections} connection{'s' * (connections > 1)}"
        ours, theirs = samples["martlet"], samples["webdis + redis"]
        unit = "requests/CPU-s"
        measure.figures += [
            Figure(f"{case}, martlet", unit, [1e6 / sample.microseconds for sample in ours]),
            Figure(f"{case}, webdis + redis", unit, [1e6 / sample.microseconds for sample in theirs]),
            Figure(f"{case}, webdis alone", unit, [1e6 / sample.by_process[0] for sample in theirs]),
            Figure(f"{case}, martlet / (webdis + redis)", "", ratios(theirs, ours), 1.0, ">="),
            Figure(f"{case}, martlet / webdis alone", "",
                   [below.by_process[0] / above.microseconds for above, below in zip(ours, theirs)]),
        ]
    measure.checks.append(checked_usage(martlet))
    martlet.stop()
    peer.stop()
    return measure
