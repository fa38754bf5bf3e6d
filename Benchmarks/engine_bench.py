"""EngineBench, the program that calls the engine in its own process (engine/), and the stores beside it."""

import json
import os
import socket
import subprocess

from compiled import compiled_c
from martlet import REPOSITORY
from peers import accepts, free_port
from process import LOAD_CORE, SERVER_CORE, BenchmarkError, Child, await_condition, run

_PATIENCE = 20.0
# The longest that one run of EngineBench takes on a machine with other work.
_DEADLINE_SECONDS = 900


def binary():
    """MARTLET_ENGINE_BENCH, or the release build of this repository."""
    path = os.environ.get("MARTLET_ENGINE_BENCH", str(REPOSITORY / ".build" / "release" / "EngineBench"))
    if not os.path.isfile(path):
        raise BenchmarkError(
            f"there is no {path}: run `MARTLET_DEV=1 swift build -c release --product EngineBench`")
    return path


def take(measure, *, core=SERVER_CORE, within=_DEADLINE_SECONDS, **options):
    """Runs one measure to its end and gives back the lines that it wrote, each as a dictionary."""
    arguments = [f"{name}={int(value) if isinstance(value, bool) else value}" for name, value in options.items()]
    output = run([binary(), measure, f"cores={SERVER_CORE},{LOAD_CORE}", *arguments], core=core, within=within)
    return [json.loads(line) for line in output.splitlines()]


def lines(taken, kind):
    """Those of one kind."""
    return [line for line in taken if line["kind"] == kind]


def line(taken, kind):
    """The only one of its kind."""
    found = lines(taken, kind)
    if len(found) != 1:
        raise BenchmarkError(f"EngineBench wrote {len(found)} lines of {kind}")
    return found[0]


class RedisStore:
    """redis-server as a store: without persistence; limits and policy are set while it runs.

    `hurry` makes its wall clock that much faster (hurry/hurry.c), for a trace that is replayed in seconds: its LRU
    knows the time in seconds, its LFU forgets by the minute. It then looks at its clock 500 times a second, not ten.
    """

    name = "redis"

    def __init__(self, directory, *, hurry=1):
        self.port = free_port()
        environment = dict(os.environ)
        if hurry > 1:
            library = compiled_c("hurry.so", "hurry/hurry.c")
            environment |= {"LD_PRELOAD": library, "HURRY": str(hurry)}
        self.child = Child(
            ["redis-server", "--port", self.port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
             "--daemonize", "no", "--dir", directory, "--protected-mode", "no", "--hz", 500 if hurry > 1 else 10],
            SERVER_CORE, log=os.path.join(directory, "redis-store.log"), environment=environment)
        _await_port(self.child, self.port)

    def call(self, *parts):
        """One command; an answer that is not a string or number is given back as its first line."""
        words = [str(part).encode() for part in parts]
        with socket.create_connection(("127.0.0.1", self.port), timeout=120) as connection:
            connection.sendall(
                b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words))
            with connection.makefile("rb") as answers:
                head = answers.readline().strip()
                if head.startswith(b"-"):
                    raise BenchmarkError(f"redis-server: {head[1:].decode(errors='replace')}")
                if head.startswith(b"$"):
                    return answers.read(int(head[1:])).decode()
                return head[1:].decode()

    def info(self, section):
        """The fields of INFO, as text."""
        fields = (entry.partition(":") for entry in self.call("INFO", section).splitlines() if ":" in entry)
        return {name: value for name, _, value in fields}

    def resident_bytes(self):
        """What Redis itself calls its resident memory."""
        return int(self.info("memory")["used_memory_rss"])

    def stop(self):
        self.child.kill()


class MemcachedStore:
    """memcached with one thread and room for everything."""

    name = "memcached"

    def __init__(self, directory):
        self.port = free_port()
        # Started by root, it wants to be told that it may stay that.
        user = ["-u", "root"] if os.geteuid() == 0 else []
        self.child = Child(
            ["memcached", "-p", self.port, "-l", "127.0.0.1", "-m", "4096", "-t", "1", "-U", "0", *user],
            SERVER_CORE, log=os.path.join(directory, "memcached.log"))
        _await_port(self.child, self.port)

    def resident_bytes(self):
        return self.child.resident_bytes()

    def stop(self):
        self.child.kill()


def is_installed(program):
    try:
        subprocess.run([program, "--version"], capture_output=True, timeout=10, stdin=subprocess.DEVNULL)
        return True
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return False


def _await_port(child, port):
    def is_ready():
        child.fail_if_ended()
        return accepts(port)

    await_condition(is_ready, within=_PATIENCE, what=f"{child.command[0]} accepting connections")
