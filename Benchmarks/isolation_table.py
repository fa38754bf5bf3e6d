"""The table of the isolation bench in docs/performance.md, between its two markers."""

import subprocess

from martlet import REPOSITORY, binary
from process import BenchmarkError

_BEGIN, _END = "<!-- isolation:begin -->", "<!-- isolation:end -->"
_PAGE = REPOSITORY / "docs" / "performance.md"


def versions():
    said = subprocess.run([binary(), "--version"], capture_output=True, text=True, timeout=20)
    return {"martlet": said.stdout.strip()}


def _milliseconds(figure):
    return "-" if figure is None else f"{figure.value / 1000:.2f}"


def _count(figure):
    return "-" if figure is None else f"{figure.value:,.0f}"


def _row(shape, measure):
    if measure.failure:
        return f"| {shape.title} | | | | | | | | not measured: {measure.failure} |"
    figures = {figure.name: figure for figure in measure.figures}
    offered = next((figure for name, figure in figures.items() if name.startswith("offered")), None)
    beside, hits = figures["p99 beside"], figures["hit rate beside"]
    verdict = "" if not shape.has_verdict else "met" if beside.is_met and hits.is_met else "**not met**"
    budget = "" if beside.budget is None else f" ≤ {beside.budget / 1000:.2f}, {verdict}"
    limits = f"{shape.allowed:,.0f} {shape.unit}/s" if shape.limits else "none"
    core = figures["server's core, beside"].value
    return (
        f"| {shape.title} | {limits} | {'' if offered is None or not shape.limits else f'{offered.value:.1f} x'} "
        f"| {_count(figures['aggressor was served'])} / {_count(figures['aggressor was refused'])} "
        f"| {core:.0f} % "
        f"| {_milliseconds(figures['p99 alone'])} / {_milliseconds(figures['p99.9 alone'])} "
        f"| {_milliseconds(beside)} / {_milliseconds(figures['p99.9 beside'])} "
        f"| {figures['hit rate alone'].value:.2f} / {hits.value:.2f} % |{budget} |")


def _text(shapes, measures, facts, programs, scale):
    taken = {measure.name: measure for measure in measures}
    is_client_side = any("CLIENT SIDE" in check for measure in measures for check in measure.checks)
    lines = [
        _BEGIN,
        f"{facts['processor']}, {facts['cores']} cores, Linux {facts['kernel']}; {programs['martlet']}, release build. "
        f"Medians of {scale.rounds} rounds of {scale.seconds:g} s.",
        "",
    ]
    if is_client_side:
        lines += ["**The latencies were taken by the load, not in the server: this build does not say them.**", ""]
    lines += [
        "| aggressor | may | offers | served / refused a second | server's core | p99 / p99.9 alone, ms "
        "| p99 / p99.9 beside, ms | hit rate alone / beside | budget of p99, ms |",
        "|---|---|---|---|---|---|---|---|---|",
        *(_row(shape, taken[shape.name]) for shape in shapes if shape.name in taken),
        _END,
    ]
    return "\n".join(lines)


def write(shapes, measures, facts, programs, scale):
    page = _PAGE.read_text()
    before, begin, rest = page.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise BenchmarkError(f"{_PAGE.name} has no place for the table: {_BEGIN} and {_END} are missing")
    _PAGE.write_text(before + _text(shapes, measures, facts, programs, scale) + after)
