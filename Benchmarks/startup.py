"""From the start of the process to the first answered request."""

import os
import time

from martlet import Martlet
from process import BenchmarkError
from report import Figure, Measure

_BUDGET_MILLISECONDS = 100


def _start(data_directory, *, is_tls):
    """Milliseconds of wall time and of CPU until `/healthz` has answered 200."""
    started = time.monotonic()
    martlet = Martlet(data_directory, is_tls=is_tls, arguments=())
    ready = time.monotonic()
    if not martlet.is_healthy():
        raise BenchmarkError("/healthz did not answer 200")
    answered = time.monotonic()
    cpu = martlet.child.cpu_seconds()
    martlet.stop()
    return (answered - started) * 1e3, (ready - started) * 1e3, cpu * 1e3


def startup(directory, scale):
    """With the defaults of `serve`. Its wall time is the only one here that counts, so other work shows in it."""
    measure = Measure("startup", "Start of the process to the first answered request, wall time")
    count = scale.starts
    for title, is_tls, is_fresh in (
        ("fresh data directory", False, True),
        ("existing data directory", False, False),
        ("TLS, fresh data directory", True, True),
        ("TLS, existing data directory", True, False),
    ):
        def place(number):
            return os.path.join(directory, f"start-{is_tls}-{is_fresh}-{number if is_fresh else 'same'}")

        if not is_fresh:
            _start(place(0), is_tls=is_tls)
        samples = [_start(place(number), is_tls=is_tls) for number in range(count)]
        cpu = sorted(sample[2] for sample in samples)[count // 2]
        ready = sorted(sample[1] for sample in samples)[count // 2]
        note = f"{ready:.0f} ms to the ready line; {cpu:.0f} ms of CPU"
        # Making an authority and its certificates happens once in the life of a data directory.
        measure.figures.append(
            Figure(f"martlet, {title}", "ms", [sample[0] for sample in samples], _BUDGET_MILLISECONDS, note=note))
    return measure
