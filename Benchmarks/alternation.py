"""Servers under the same load in alternation, and the CPU time that each spends on a request.

Wall time says little on a machine with other work, and CPU time shifts with the temperature of caches. So the sides
take turns, the order turns round with every round, and a ratio is taken within a round, never across two.
"""

from dataclasses import dataclass

from load import Load, send
from process import Child


@dataclass
class Side:
    """One server: the processes that do its work and the load that is put on it."""

    name: str
    children: tuple[Child, ...]
    load: Load
    # Runs the load; Martlet counts its requests on the way.
    send: object = send


@dataclass(frozen=True)
class Sample:
    """One run of one side."""

    # Microseconds of CPU for a request, process by process.
    by_process: tuple[float, ...]
    # The share of the wall time during which the server ran.
    busy: float
    tls: str | None

    @property
    def microseconds(self):
        return sum(self.by_process)


def _measure(side):
    before = [child.cpu_seconds() for child in side.children]
    answers = side.send(side.load)
    for child in side.children:
        child.fail_if_ended()
    spent = [child.cpu_seconds() - start for child, start in zip(side.children, before)]
    return Sample(
        tuple(seconds / answers.requests * 1e6 for seconds in spent), sum(spent) / answers.wall_seconds, answers.tls)


def alternate(sides, rounds):
    """Warms each side up and runs them in turn. Gives the samples of each side, round by round."""
    for side in sides:
        side.send(side.load.of(max(1, side.load.requests // 10)))
    samples = {side.name: [] for side in sides}
    for number in range(rounds):
        for side in sides if number % 2 == 0 else reversed(sides):
            samples[side.name].append(_measure(side))
    return samples


def ratios(numerators, denominators):
    """Pair by pair."""
    return [above.microseconds / below.microseconds for above, below in zip(numerators, denominators)]
