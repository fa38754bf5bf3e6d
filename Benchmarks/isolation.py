#!/usr/bin/env python3
"""A victim within its limits beside an aggressor at ten times its own, in the shapes that an aggressor comes in.

    python3 Benchmarks/isolation.py [--only SHAPE]... [--quick] [--json FILE] [--check] [--no-write]

The server has one core and the loads have another. The victim's latencies are taken in the server, alone and beside the
aggressor in turns. A run of all shapes that is not quick writes its table into docs/performance.md, which says how to
read it.
"""

import argparse
import os
import statistics
import sys
import tempfile
from dataclasses import dataclass

import isolation_table
import report
from isolation_loads import Aggressor, Attack, Victim
from isolation_server import AGGRESSOR, VICTIM, IsolationServer, await_quiet
from isolation_shapes import SHAPES, fill
from martlet import binary
from process import LOAD_CORE, SERVER_CORE, BenchmarkError, begin, kill_all

_KEYS, _VALUE_BYTES = 20_000, 512
_RATE = 2_000
_VICTIM_LIMITS = {"max_operations_per_second": 10_000, "max_bytes": 64 << 20, "max_connections": 100}
# Of what was due: less means that the victim's load could not keep its pace, and then its latencies say little.
_LEAST_PACE = 0.95
# Of the requests of the victim that the server must have counted.
_COUNTED = 0.99
# The victim's connections over HTTP/2 open with a GET of a key that does not exist.
_OPENING_MISSES = 4
# An aggressor that is not refused was held back if it could not send more than this times what it may.
_HELD_BACK = 1.2
_TOLERANCE = 1.05
# No run takes so long unless something hangs.
_DEADLINE_SECONDS = 3600


@dataclass(frozen=True)
class Scale:
    rounds: int = 5
    seconds: float = 4
    # Of how long, and how large, a shape that says its own length is.
    share: float = 1


QUICK = Scale(rounds=3, seconds=1.5, share=0.25)


@dataclass(frozen=True)
class Sample:
    """The victim in one run, alone or not."""

    p99: float
    p999: float
    client_p99: float
    late_p99: float
    gets: int
    misses: int
    errors: int
    # The share of the time in which the server's core was the server's.
    busy: float
    attack: Attack | None = None

    @property
    def hit_rate(self):
        return 1 - self.misses / max(1, self.gets)


class Bench:
    """One shape: a fresh server, both tenants, and the victim's connections, which stay open from run to run."""

    def __init__(self, directory, shape, scale):
        self.shape, self.scale = shape, scale
        self.server = IsolationServer(os.path.join(directory, shape.name), is_tls=shape.is_tls)
        for name in (VICTIM, AGGRESSOR):
            self.server.make_tenant(name)
        commands = self.server.commands(VICTIM)
        commands.send_all([
            ("SET", f"key:{key:08}", (b"martlet-" * _VALUE_BYTES)[:_VALUE_BYTES]) for key in range(_KEYS)])
        commands.close()
        self.server.limit(AGGRESSOR, shape.limits_of_fill)
        commands = self.server.commands(AGGRESSOR)
        fill(shape, commands)
        commands.close()
        self.server.limit(VICTIM, _VICTIM_LIMITS)
        self.server.limit(AGGRESSOR, shape.limits_of_fill | shape.limits, shape.cache_limits)
        self.victim = Victim(
            self.server, self.server.tokens[VICTIM], keys=_KEYS, value_bytes=_VALUE_BYTES,
            log=os.path.join(directory, "victim.log"))
        self.asked = self.missed = 0

    def take(self, seconds, *, with_aggressor):
        aggressor = (
            Aggressor(self.shape, self.server, self.server.tokens[AGGRESSOR]) if with_aggressor else None)
        await_quiet(self.server)
        before, cpu = self.server.latencies(VICTIM), self.server.child.cpu_seconds()
        # The aggressor begins with the victim: the burst that its limits allow after a rest is part of what it does.
        if aggressor:
            aggressor.begin()
        self.victim.begin(_RATE, seconds)
        said = self.victim.end(seconds)
        busy = (self.server.child.cpu_seconds() - cpu) / said["seconds"]
        attack = aggressor.end() if aggressor else None
        self.server.child.fail_if_ended()
        self.asked += said["requests"]
        self.missed += said["missed"]
        if said["requests"] / said["seconds"] < _LEAST_PACE * _RATE:
            raise BenchmarkError(
                f"the victim's load sent {said['requests']} requests in {said['seconds']:.1f} s, too slowly")
        errors = said["refused"] + said["busy"] + said["failed"]
        p99, p999 = self._server_side(before, said)
        return Sample(
            p99, p999, said["p99_us"], said["late_p99_us"], said["gets"], said["missed"], errors, busy, attack)

    def _server_side(self, before, said):
        """The percentiles that the server says; the client's where this build has no answer."""
        if before is None:
            return said["p99_us"], said["p999_us"]
        latencies = self.server.latencies(VICTIM).since(before)
        if not _COUNTED * said["requests"] <= latencies.count <= (2 - _COUNTED) * said["requests"]:
            raise BenchmarkError(
                f"the server took the latency of {latencies.count} requests of the victim, not of {said['requests']}")
        return latencies.percentile(0.99), latencies.percentile(0.999)

    def run(self):
        seconds = self.scale.seconds
        attacked_seconds = seconds if self.shape.seconds is None else self.shape.seconds * self.scale.share
        self.victim.begin(_RATE, 0.5)
        self.asked += self.victim.end(0.5)["requests"]
        alone, beside = [], []
        for _ in range(self.scale.rounds):
            # Always in this order: meanwhile the aggressor's limits recover, and each attack begins with a whole burst.
            alone.append(self.take(seconds, with_aggressor=False))
            beside.append(self.take(attacked_seconds, with_aggressor=True))
        return alone, beside

    def stop(self):
        self.victim.stop()
        self.server.child.kill()


def _check_limits(shape, bench, attacks):
    """That the aggressor met its limits, and that they held."""
    refused = sum(attack.refused for attack in attacks)
    offered = min(attack.offered / attack.seconds for attack in attacks) * shape.units_per_request
    if refused == 0 and offered > _HELD_BACK * shape.allowed:
        raise BenchmarkError(
            f"the aggressor sent {offered:,.0f} {shape.unit} a second, may {shape.allowed:,.0f}, and was never refused")
    for attack in attacks:
        # What a rate allows and one burst, and the calls whose cost was known only afterwards.
        most = shape.allowed * (attack.seconds + 1) * _TOLERANCE + 4 * shape.units_per_request
        if shape.is_bounded and attack.served * shape.units_per_request > most:
            raise BenchmarkError(
                f"{attack.served * shape.units_per_request:,.0f} {shape.unit} of the aggressor were served in"
                f" {attack.seconds:.1f} s, and {most:,.0f} is the most that its limits allow")
    said = bench.server.used(AGGRESSOR, "throttled")["throttled"]
    return [f"{refused:,} refusals reached the aggressor; the usage call counts {said:,}"] + (
        ["what it was served is within its limits"] if shape.is_bounded else [])


def _check(shape, bench, alone, beside):
    """What must hold for the figures to mean anything. Gives sentences."""
    checks = [f"all {bench.asked:,} requests of the victim were sent when they were due, and answered"]
    errors = sum(sample.errors for sample in alone + beside)
    if errors:
        raise BenchmarkError(f"{errors} requests of the victim were refused or failed")
    attacks = [sample.attack for sample in beside]
    failed = sum(attack.counts["failed"] for attack in attacks)
    if failed:
        raise BenchmarkError(
            f"{failed} requests of the aggressor failed: {next(a.first_failure for a in attacks if a.first_failure)}")
    if sum(attack.served for attack in attacks) == 0:
        raise BenchmarkError("nothing of what the aggressor asked was served")
    if shape.limits:
        checks += _check_limits(shape, bench, attacks)
    bench.server.await_used(VICTIM, misses=bench.missed + _OPENING_MISSES)
    checks.append("the usage call counts the same misses of the victim as its load")
    if "max_bytes" in shape.limits:
        evictions = bench.server.evictions(AGGRESSOR)
        if evictions == 0:
            raise BenchmarkError("nothing of the aggressor was evicted")
        if victims := bench.server.evictions(VICTIM):
            raise BenchmarkError(f"{victims} items of the victim were evicted")
        checks.append(f"{evictions:,} items of the aggressor were evicted, none of the victim")
    if bench.server.has_latency:
        checks.append("the server counted the latency of each of the victim's requests in these runs")
    else:
        checks.append("CLIENT SIDE: this build does not say latencies, so these are the load's, which shares its core"
                      " with the aggressor")
    return checks


def _median(samples, figure):
    return statistics.median(figure(sample) for sample in samples)


def isolation(directory, shape, scale):
    """The victim alone and beside the aggressor in one shape."""
    measure = report.Measure(shape.name, f"{shape.name}: {shape.title}")
    bench = Bench(directory, shape, scale)
    try:
        alone, beside = bench.run()
        measure.checks = _check(shape, bench, alone, beside)
    finally:
        bench.stop()
    base = _median(alone, lambda sample: sample.p99)
    budget = max(shape.factor * base, base + 2_000)

    def figure(name, unit, samples, value, **more):
        measure.figures.append(report.Figure(name, unit, [value(sample) for sample in samples], **more))

    is_judged = shape.has_verdict
    figure("p99 alone", "µs", alone, lambda sample: sample.p99)
    figure("p99 beside", "µs", beside, lambda sample: sample.p99, budget=budget if is_judged else None)
    figure("p99.9 alone", "µs", alone, lambda sample: sample.p999)
    figure("p99.9 beside", "µs", beside, lambda sample: sample.p999)
    figure("hit rate alone", "%", alone, lambda sample: 100 * sample.hit_rate)
    figure("hit rate beside", "%", beside, lambda sample: 100 * sample.hit_rate,
           budget=100 * _median(alone, lambda sample: sample.hit_rate) - 0.01 if is_judged else None, relation=">=")
    figure("p99 that the client saw, alone", "µs", alone, lambda sample: sample.client_p99)
    figure("p99 that the client saw, beside", "µs", beside, lambda sample: sample.client_p99)
    figure("p99 of how late requests were sent, beside", "µs", beside, lambda sample: sample.late_p99)
    figure("server's core, alone", "%", alone, lambda sample: 100 * sample.busy)
    figure("server's core, beside", "%", beside, lambda sample: 100 * sample.busy)
    if shape.limits:
        figure(f"offered, of what is allowed ({shape.allowed:,.0f} {shape.unit} a second)", "x", beside,
               lambda sample: sample.attack.offered / sample.attack.seconds * shape.units_per_request / shape.allowed)
    figure("aggressor sent", "/s", beside, lambda sample: sample.attack.offered / sample.attack.seconds)
    figure("aggressor was served", "/s", beside, lambda sample: sample.attack.served / sample.attack.seconds)
    figure("aggressor was refused", "/s", beside, lambda sample: sample.attack.refused / sample.attack.seconds)
    if shape.name == "storm":
        figure("clients that are back in the end", "", beside, lambda sample: sample.attack.counts["held"])
    return measure


def parse_arguments():
    names = [shape.name for shape in SHAPES]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", choices=names, metavar="SHAPE",
                        help=f"only this shape; may stand several times ({', '.join(names)})")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter runs: a look, not a measure")
    parser.add_argument("--json", metavar="FILE", help="write the figures and all samples to a file as well")
    parser.add_argument("--check", action="store_true", help="exit with 1 if the victim was disturbed in a shape"
                        " or a shape could not be measured")
    parser.add_argument("--no-write", action="store_true", help="leave docs/performance.md as it is")
    return parser.parse_args()


def take(shape, scale):
    """One shape in a directory of its own. A failure is a result: the other shapes go on."""
    with tempfile.TemporaryDirectory(prefix="martlet-isolation-") as directory:
        try:
            return isolation(directory, shape, scale)
        except BenchmarkError as error:
            return report.Measure(shape.name, f"{shape.name}: {shape.title}", failure=str(error))
        finally:
            kill_all()


def main():
    arguments = parse_arguments()
    begin(_DEADLINE_SECONDS)
    try:
        binary()
    except BenchmarkError as error:
        sys.exit(str(error))

    facts = report.machine()
    scale = QUICK if arguments.quick else Scale()
    print(f"{facts['processor']}, {facts['cores']} cores, load average {facts['load_average']:.2f}; "
          f"server on core {SERVER_CORE}, loads on core {LOAD_CORE}; {scale.rounds} rounds of {scale.seconds:g} s\n",
          flush=True)
    if SERVER_CORE == LOAD_CORE:
        print("only one core is allowed to this process: server and loads share it, and the figures say little\n")
    measures = []
    for shape in SHAPES:
        if arguments.only and shape.name not in arguments.only:
            continue
        measures.append(take(shape, scale))
        print(report.table(measures[-1]), flush=True)
    versions = isolation_table.versions()
    if arguments.json:
        report.write_json(arguments.json, measures, facts, versions)
    if not (arguments.only or arguments.quick or arguments.no_write):
        isolation_table.write(SHAPES, measures, facts, versions, scale)
    if arguments.check and not report.is_passed(measures):
        sys.exit(1)


if __name__ == "__main__":
    main()
