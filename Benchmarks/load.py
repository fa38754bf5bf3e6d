"""One run of h2load against one URL, and what it says of the answers."""

import re
import time
from dataclasses import dataclass, field

from process import LOAD_CORE, BenchmarkError, run

# A run takes seconds; on a machine with other work it may take many times as long.
_PATIENCE = 180.0

_REQUESTS = re.compile(r"requests: (\d+) total, \d+ started, (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored")
_STATUS = re.compile(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx")
_TRAFFIC = re.compile(r"traffic: .*\((\d+)\) data")
_TLS = re.compile(r"TLS Protocol: (\S+)\s+Cipher: (\S+)")


@dataclass(frozen=True)
class Load:
    """A number of requests for one URL: as many connections, and streams on each, as it says."""

    url: str
    requests: int
    connections: int = 1
    streams: int = 1
    headers: tuple = ()
    body: str | None = None
    method: str | None = None
    is_http1: bool = False
    # What the body of each answer holds, where a 2xx alone does not tell that it is the one that was asked for.
    answer_bytes: int | None = None

    def of(self, requests):
        return Load(**{**self.__dict__, "requests": requests})

    def command(self):
        command = ["h2load", "-t", "1", "-n", self.requests, "-c", self.connections, "-m", self.streams]
        if self.is_http1:
            command.append("--h1")
        for header in self.headers:
            command += ["-H", header]
        if self.body is not None:
            command += ["-d", self.body]
        if self.method is not None:
            command += ["-H", f":method: {self.method}"]
        return [str(part) for part in command] + [self.url]


@dataclass(frozen=True)
class Answers:
    """What came back. `wall_seconds` includes the start of h2load."""

    requests: int
    succeeded: int
    wall_seconds: float
    tls: str | None = field(default=None)


def send(load):
    """Runs the load to its end; refuses to go on when any answer was not a 2xx, or all are not of the right size."""
    started = time.monotonic()
    output = run(load.command(), core=LOAD_CORE, within=_PATIENCE)
    wall_seconds = time.monotonic() - started
    requests, status = _REQUESTS.search(output), _STATUS.search(output)
    if not requests or not status:
        raise BenchmarkError(f"h2load said nothing of its requests: {output[-300:].strip()}")
    succeeded = int(status[1])
    if int(requests[2]) != load.requests or succeeded != load.requests:
        raise BenchmarkError(f"{succeeded} of {load.requests} answers were 2xx ({status[0]}; {requests[0]})")
    if load.answer_bytes is not None:
        traffic = _TRAFFIC.search(output)
        if not traffic or int(traffic[1]) != load.answer_bytes * load.requests:
            raise BenchmarkError(
                f"{load.requests} answers of {load.answer_bytes} bytes were due, and came to {traffic and traffic[1]}")
    tls = _TLS.search(output)
    return Answers(load.requests, succeeded, wall_seconds, f"{tls[1]} {tls[2]}" if tls else None)
