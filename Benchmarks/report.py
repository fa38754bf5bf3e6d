"""What was measured: figures with their units, as a table for people and as JSON for programs."""

import json
import os
import platform
import statistics
from dataclasses import asdict, dataclass, field

from process import LOAD_CORE, SERVER_CORE


@dataclass
class Figure:
    """The median of its samples. A budget is a ceiling (`<=`) or a floor (`>=`) in the same unit."""

    name: str
    unit: str
    samples: list
    budget: float | None = None
    relation: str = "<="
    note: str = ""
    value: float = field(init=False)
    is_met: bool | None = field(init=False)

    def __post_init__(self):
        self.value = statistics.median(self.samples)
        self.is_met = None
        if self.budget is not None:
            self.is_met = self.value <= self.budget if self.relation == "<=" else self.value >= self.budget


@dataclass
class Measure:
    """The figures of one measure, what was checked while they were taken, or why there are none."""

    name: str
    title: str
    figures: list = field(default_factory=list)
    checks: list = field(default_factory=list)
    failure: str | None = None


def _number(value):
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.1f}" if abs(value) >= 100 else f"{value:.2f}"


def _row(figure):
    low, high = min(figure.samples), max(figure.samples)
    spread = f"{_number(low)} .. {_number(high)}" if len(figure.samples) > 1 else ""
    budget = "" if figure.budget is None else f"{figure.relation} {figure.budget:g}"
    verdict = {None: "", True: "met", False: "NOT MET"}[figure.is_met]
    return [figure.name, f"{_number(figure.value)} {figure.unit}", spread, budget, verdict, figure.note]


def table(measure):
    """A measure as lines of text with aligned columns."""
    lines = [measure.title]
    rows = [_row(figure) for figure in measure.figures]
    if rows:
        rows.insert(0, ["", "median", "lowest .. highest", "budget", "", ""])
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines += ["  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
    lines += [f"  checked: {check}" for check in measure.checks]
    if measure.failure:
        lines.append(f"  NOT MEASURED: {measure.failure}")
    return "\n".join(lines) + "\n"


def machine():
    model = "unknown"
    with open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    return {
        "processor": model, "cores": os.cpu_count(), "kernel": platform.release(),
        "server_core": SERVER_CORE, "load_core": LOAD_CORE, "load_average": os.getloadavg()[0],
    }


def write_json(path, measures, machine_facts, versions):
    document = {"machine": machine_facts, "versions": versions, "measures": [asdict(measure) for measure in measures]}
    with open(path, "w") as file:
        json.dump(document, file, indent=2)
        file.write("\n")


def is_passed(measures):
    """Whether everything was measured and every budget is met."""
    return all(
        measure.failure is None and all(figure.is_met is not False for figure in measure.figures)
        for measure in measures)
