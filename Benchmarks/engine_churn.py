"""Resident memory of the engine over churn that changes its shape, against the one setting that bounds it.

As a program it is the soak: `python3 Benchmarks/engine_churn.py SECONDS [MEMORY_MIB]` prints a line for each interval
and exits with 1 when the budget is not met or the books do not agree.
"""

import json
import subprocess
import sys

from engine_bench import binary, line, lines, take
from process import LOAD_CORE, SERVER_CORE
from report import Figure, Measure

_BUDGET = 1.10


def engine_churn(directory, scale):
    """Churn of 16 B to 1 MiB with changing sizes, deletes, expiries and flushes: resident memory over the setting."""
    measure = Measure("engine-churn", "engine: resident memory under churn of 16 B to 1 MiB, 512 MiB allowed")
    seconds = 80 if scale.many > 100_000 else 25
    taken = take("churn", seconds=seconds, memory=512 << 20, phase=5)
    end = line(taken, "churned")
    setting = end["memory"]
    steps = [entry for entry in lines(taken, "churn") if entry["seconds"] > 2]
    measure.figures += [
        Figure("largest resident memory / setting", "", [end["largest_resident_bytes"] / setting], _BUDGET,
               note=f"{end['writes']:,} writes, {end['refused']:,} refused, in {seconds} s"),
        Figure("resident memory / setting, once a second", "", [step["resident_bytes"] / setting for step in steps]),
        Figure("accounted bytes / setting", "", [step["accounted_bytes"] / setting for step in steps]),
        Figure("resident memory a second after all is flushed", "MiB", [end["resident_bytes_after_flush"] / 2**20],
               note=f"accounted {end['accounted_bytes_after_flush'] / 2**20:.1f}"),
    ]
    return measure


def soak(seconds, mebibytes):
    """Prints the lines as they come. Gives back whether the budget is met."""
    command = [binary(), "churn", f"cores={SERVER_CORE},{LOAD_CORE}", f"seconds={seconds}",
               f"memory={mebibytes << 20}", "phase=20", f"interval={max(1, seconds // 120)}", "check=1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for text in process.stdout:
            entry = json.loads(text)
            if entry["kind"] == "churn":
                print(f"{entry['seconds']:8.1f} s  resident {entry['resident_bytes'] / 2**20:8.1f} MiB"
                      f"  accounted {entry['accounted_bytes'] / 2**20:8.1f} MiB  {entry['items']:>9,} items"
                      f"  {entry['writes']:>13,} writes", flush=True)
    if process.returncode != 0:
        return False
    largest = entry["largest_resident_bytes"] / entry["memory"]
    print(f"largest resident memory / setting: {largest:.3f} (<= {_BUDGET:.2f}); a second after a flush of all"
          f" {entry['resident_bytes_after_flush'] / 2**20:.1f} MiB; {entry['violations']} invariants broken")
    return largest <= _BUDGET and entry["violations"] == 0


if __name__ == "__main__":
    length = int(sys.argv[1]) if len(sys.argv) > 1 else 3600
    sys.exit(0 if soak(length, int(sys.argv[2]) if len(sys.argv) > 2 else 512) else 1)
