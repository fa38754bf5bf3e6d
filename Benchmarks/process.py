"""Child processes that are pinned to a core, whose CPU time and memory are read, and that never outlive the run.

CPU time comes from the CPU clock of the process (clock_getcpuclockid(3)): user and system time of all its threads, the
ended ones too. It is what utime + stime of /proc/PID/stat count, in nanoseconds instead of ticks of 10 ms.
"""

import atexit
import ctypes
import os
import resource
import signal
import subprocess
import sys
import time

_PR_SET_PDEATHSIG = 1
_CPUCLOCK_SCHED = 2
_libc = ctypes.CDLL(None, use_errno=True)
_running = set()


class BenchmarkError(Exception):
    """A measure could not be taken; the message says why in one sentence."""


def cores():
    """The core of the servers and the core of the load. They are the same one on a machine that has only one."""
    available = sorted(os.sched_getaffinity(0))
    return available[0], available[-1]


SERVER_CORE, LOAD_CORE = cores()


def begin(deadline_seconds):
    """Makes this process the one that takes measures: on the core of the loads, with files enough, for so long at most, and
    stopped by a signal so that what it has started is stopped too."""

    def stop(number, frame):
        sys.exit(f"stopped by {signal.Signals(number).name}")

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM):
        signal.signal(number, stop)
    signal.alarm(deadline_seconds)
    raise_file_limit()
    os.sched_setaffinity(0, {LOAD_CORE})


def raise_file_limit(wanted=65_536):
    """Raises the limit on open files of this process, which its children inherit, as far as is allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limit in ((wanted, max(wanted, hard)), (hard, hard)):
        try:
            if soft < limit[0]:
                resource.setrlimit(resource.RLIMIT_NOFILE, limit)
            break
        except (ValueError, OSError):
            continue
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


class Child:
    """One process on one core, with everything that it may use given to it."""

    def __init__(self, command, core, *, log, wants_output=False, wants_input=False, environment=None):
        self.command = [str(part) for part in command]
        self.core = core
        self.log = log

        def prepare():
            # The kernel kills the child when this process dies, however it dies.
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            os.sched_setaffinity(0, {core})

        try:
            with open(log, "ab") as errors:
                self.process = subprocess.Popen(
                    self.command, stdin=subprocess.PIPE if wants_input else subprocess.DEVNULL,
                    stdout=subprocess.PIPE if wants_output else errors, stderr=errors, text=True, preexec_fn=prepare,
                    env=environment)
        except FileNotFoundError:
            raise BenchmarkError(f"{self.command[0]} is not installed") from None
        _running.add(self)

    @property
    def pid(self):
        return self.process.pid

    @property
    def is_running(self):
        return self.process.poll() is None

    def cpu_seconds(self):
        """User and system time of all threads so far."""
        return time.clock_gettime((~self.pid << 3) | _CPUCLOCK_SCHED)

    def user_and_system_ticks(self):
        """utime and stime of /proc/PID/stat: coarse, but they tell the kernel's part from the program's."""
        with open(f"/proc/{self.pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        return int(fields[11]), int(fields[12])

    def resident_bytes(self):
        with open(f"/proc/{self.pid}/status") as file:
            for line in file:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) * 1024
        raise BenchmarkError(f"{self.command[0]} has no resident memory: it has ended")

    def open_files(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def fail_if_ended(self):
        if not self.is_running:
            with open(self.log, errors="replace") as file:
                said = " ".join(file.read()[-500:].split())
            raise BenchmarkError(f"{self.command[0]} ended with code {self.process.returncode}: {said}")

    def stop(self, within=15.0):
        """SIGTERM, and SIGKILL when the process has not ended in time. Gives back whether it ended by itself."""
        _running.discard(self)
        ended = True
        if self.is_running:
            self.process.terminate()
            try:
                self.process.wait(within)
            except subprocess.TimeoutExpired:
                ended = False
                self.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                pipe.close()
        return ended

    def kill(self):
        _running.discard(self)
        self.process.kill()
        self.process.wait()


def run(command, *, core, within):
    """Runs a program to its end on `core` and gives back what it printed on standard output."""
    child = Child(command, core, log=os.devnull, wants_output=True)
    try:
        output, _ = child.process.communicate(timeout=within)
    except subprocess.TimeoutExpired:
        raise BenchmarkError(f"{command[0]} did not end within {within:.0f} s") from None
    finally:
        child.kill()
    if child.process.returncode != 0:
        raise BenchmarkError(f"{command[0]} ended with code {child.process.returncode}: {output[-300:].strip()}")
    return output


def await_condition(condition, *, within, what):
    """Calls `condition` until it gives something true; a deadline, never a length of time."""
    deadline = time.monotonic() + within
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise BenchmarkError(f"not within {within:.0f} s: {what}")
        time.sleep(0.02)


@atexit.register
def kill_all():
    for child in list(_running):
        child.kill()
