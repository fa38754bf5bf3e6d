"""The programs that are the victim and the aggressor: started, told to begin and to end, and what they count.

They share the core of the load. The aggressor's run at a lower priority, so that the victim's requests leave when
they are due and the victim's load stays what it is. The aggressor still gets all that is left of the core.
"""

import json
import os
import select
from dataclasses import dataclass, field

from compiled import compiled_c
from martlet import CACHE
from process import LOAD_CORE, BenchmarkError, Child

_SHARED = ("isolation/client.h", "isolation/link.h")
_PATIENCE = 60.0
_COUNTS = ("sent", "good", "missed", "refused", "busy", "failed", "pushes", "closed", "refused_connections", "finished",
           "failed_connections", "held", "bytes")


def _program(name):
    return compiled_c(f"isolation_{name}", f"isolation/{name}.c", *_SHARED, libraries=("ssl", "crypto"))


@dataclass(frozen=True)
class Flood:
    """See isolation/flood.c. What does not count is no part of what the aggressor offers: subscribers that only wait."""

    protocol: str
    connections: int
    depth: int
    rate: float
    requests: tuple
    keys: int = 10_000
    value_bytes: int = 100
    counts: bool = True

    def command(self, server, token):
        port = (server.resp_address if self.protocol == "resp" else server.address)[1]
        return [_program("flood"), self.protocol, port, self.connections, self.depth, self.rate, self.keys,
                self.value_bytes, CACHE, token, *self.requests]


@dataclass(frozen=True)
class Churn:
    """See isolation/churn.c."""

    mode: str
    protocol: str
    connections: int
    rate: float
    request: str
    counts: bool = True

    def command(self, server, token):
        port = (server.resp_address if self.protocol == "resp" else server.address)[1]
        return [_program("churn"), self.mode, self.protocol, port, "tls" if server.is_tls else "clear",
                self.connections, self.rate, CACHE, token, self.request]


class Load:
    """One program that says in lines of JSON what it did."""

    def __init__(self, name, command, log):
        self.name = name
        self._child = Child(command, LOAD_CORE, log=log, wants_output=True, wants_input=True)
        self.ready = self.read("ready")

    def tell(self, line):
        try:
            self._child.process.stdin.write(line + "\n")
            self._child.process.stdin.flush()
        except OSError:
            self._child.process.poll()

    def read(self, member, within=_PATIENCE):
        readable, _, _ = select.select([self._child.process.stdout], [], [], within)
        line = self._child.process.stdout.readline() if readable else ""
        answer = json.loads(line) if line else {"error": "it ended without a word" if readable else "it hangs"}
        if member not in answer:
            raise BenchmarkError(f"the load of the {self.name} failed: {answer.get('error', line)}")
        return answer

    def stop(self):
        self._child.kill()
        for pipe in (self._child.process.stdin, self._child.process.stdout):
            pipe.close()


class Victim(Load):
    """A steady load over HTTP/2 and RESP. See isolation/victim.c."""

    def __init__(self, server, token, *, keys, value_bytes, log):
        super().__init__("victim", [
            _program("victim"), server.address[1], server.resp_address[1], "tls" if server.is_tls else "clear",
            4, 4, keys, value_bytes, CACHE, token], log)

    def begin(self, rate, seconds):
        self.tell(f"{rate} {seconds}")

    def end(self, seconds):
        return self.read("requests", within=seconds + _PATIENCE)


@dataclass
class Attack:
    """What the programs of the aggressor did together, in one run."""

    seconds: float = 0
    # Requests, or connections where they are what is offered, that left; of those that count as offered.
    offered: int = 0
    counts: dict = field(default_factory=lambda: dict.fromkeys(_COUNTS, 0))
    first_failure: str = ""

    @property
    def served(self):
        return self.counts["good"] + self.counts["missed"]

    @property
    def refused(self):
        return sum(self.counts[name] for name in ("refused", "busy", "refused_connections", "failed_connections"))


class Aggressor:
    """The programs of one shape. They connect at once and begin when they are told."""

    def __init__(self, shape, server, token):
        self._shape = shape
        self._loads = [
            Load("aggressor", ["nice", "-n", "5", *program.command(server, token)], os.devnull)
            for program in shape.programs]

    def begin(self):
        for load in self._loads:
            load.tell("go")

    def end(self):
        for load in self._loads:
            load.tell("stop")
        attack = Attack()
        for program, load in zip(self._shape.programs, self._loads):
            said = load.read("sent")
            attack.seconds = max(attack.seconds, said["seconds"])
            for name in _COUNTS:
                if program.counts or name in ("pushes", "failed"):
                    attack.counts[name] += said.get(name, 0)
            if program.counts:
                attack.offered += said["sent"]
            attack.first_failure = attack.first_failure or said["first_failure"]
        self.stop()
        return attack

    def stop(self):
        for load in self._loads:
            load.stop()
