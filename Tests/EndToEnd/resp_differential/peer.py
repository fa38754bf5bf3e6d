"""A redis-server to compare with: on a free port, alone, keeping nothing."""

import os
import shutil
import socket
import subprocess
import tempfile
import time


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def is_installed():
    return shutil.which("redis-server") is not None


class RedisServer:
    """`arguments` are options of redis-server, after those that every one gets."""

    def __init__(self, *arguments):
        self.port = free_port()
        self._directory = tempfile.TemporaryDirectory(prefix="redis-peer-")
        self.command = [
            "redis-server",
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
        ]
        # One database, as a cache is one.
        self.command += ["--databases", "1", "--dir", self._directory.name, "--daemonize", "no", *arguments]
        self.process = None

    @property
    def address(self):
        return "127.0.0.1", self.port

    def start(self):
        # Texts compare by their bytes, whatever the language of the machine.
        environment = os.environ | {"LC_ALL": "C"}
        self.process = subprocess.Popen(
            self.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment,
        )
        deadline = time.monotonic() + 10
        while True:
            assert self.process.poll() is None, f"redis-server ended with code {self.process.returncode}"
            try:
                socket.create_connection(self.address, timeout=1).close()
            except OSError:
                assert time.monotonic() < deadline, "redis-server does not answer"
                time.sleep(0.02)
            else:
                return self

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._directory.cleanup()

    def restart(self):
        self.process.terminate()
        self.process.wait(10)
        return self.start()
