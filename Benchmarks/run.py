#!/usr/bin/env python3
"""Martlet beside its peers: server CPU per request, memory per connection, time to start.

    python3 Benchmarks/run.py [--only NAME]... [--quick] [--json FILE] [--check]

The servers run on one core and the load on another; everything stays on loopback and in a temporary directory.
docs/performance.md says what each measure is and how to read it.
"""

import argparse
import sys
import tempfile

import report
import rest
from engine_churn import engine_churn
from engine_memory import engine_memory
from engine_misses import engine_misses
from engine_sorted_set import engine_sorted_set
from engine_speed import engine_speed
from engine_tail import engine_huge, engine_tail
from grpc_door import grpc_allocations, grpc_get, grpc_rest, grpc_set, grpc_stream
from idle import idle
from martlet import binary
from peers import versions
from process import LOAD_CORE, SERVER_CORE, BenchmarkError, begin, kill_all
from refusals import admission, refusal
from resp import resp, resp_commands, resp_idle, resp_sealed
from startup import startup
from topics import fanout, idle_websocket, topics_memory

MEASURES = {
    "get": rest.get,
    "indexed": rest.indexed,
    "tls": rest.tls,
    "put": rest.put,
    "http1": rest.http1,
    "idle": idle,
    "grpc-get": grpc_get,
    "grpc-set": grpc_set,
    "grpc-rest": grpc_rest,
    "grpc-allocations": grpc_allocations,
    "grpc-stream": grpc_stream,
    "resp": resp,
    "resp-sealed": resp_sealed,
    "resp-commands": resp_commands,
    "resp-idle": resp_idle,
    "fanout": fanout,
    "idle-websocket": idle_websocket,
    "topics-memory": topics_memory,
    "admission": admission,
    "refusal": refusal,
    "startup": startup,
    "engine-speed": engine_speed,
    "engine-memory": engine_memory,
    "engine-misses": engine_misses,
    "engine-tail": engine_tail,
    "engine-sorted-set": engine_sorted_set,
    "engine-huge": engine_huge,
    "engine-churn": engine_churn,
}
# No run takes so long unless something hangs.
_DEADLINE_SECONDS = 7200


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", choices=list(MEASURES), metavar="NAME",
                        help=f"take only this measure; may stand several times ({', '.join(MEASURES)})")
    parser.add_argument("--quick", action="store_true", help="fewer rounds and requests: a look, not a measure")
    parser.add_argument("--json", metavar="FILE", help="write the figures and all samples to a file as well")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a budget is not met"
                        " or a measure could not be taken")
    return parser.parse_args()


def take(name, scale):
    """One measure in a directory of its own. A failure is a result: the other measures go on."""
    with tempfile.TemporaryDirectory(prefix="martlet-bench-") as directory:
        try:
            return MEASURES[name](directory, scale)
        except BenchmarkError as error:
            return report.Measure(name, MEASURES[name].__doc__.splitlines()[0], failure=str(error))
        finally:
            kill_all()


def main():
    arguments = parse_arguments()
    begin(_DEADLINE_SECONDS)
    try:
        binary()
    except BenchmarkError as error:
        sys.exit(str(error))

    facts, programs = report.machine(), versions()
    print(f"{facts['processor']}, {facts['cores']} cores, load average {facts['load_average']:.2f}; "
          f"servers on core {SERVER_CORE}, load on core {LOAD_CORE}")
    print("; ".join(programs.values()))
    if SERVER_CORE == LOAD_CORE:
        print("only one core is allowed to this process: servers and load share it, and the figures say little")
    print(flush=True)

    measures = []
    for name in arguments.only or MEASURES:
        measure = take(name, rest.QUICK if arguments.quick else rest.Scale())
        measures.append(measure)
        print(report.table(measure), flush=True)
    if arguments.json:
        report.write_json(arguments.json, measures, facts, programs)
    if arguments.check and not report.is_passed(measures):
        sys.exit(1)


if __name__ == "__main__":
    main()
