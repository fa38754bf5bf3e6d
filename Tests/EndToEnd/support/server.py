"""A running `martlet serve`: started on free ports, stopped by SIGTERM, checked when it ends."""

import base64
import json
import os
import pathlib
import re
import signal
import ssl
import subprocess
import threading
import time

from .admin import Admin
from .http1 import Http1Client, RawConnection
from .http2 import Http2Connection, RawHttp2
from .waiting import PATIENCE, eventually

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]

_READY = re.compile(
    r"martlet ready http=(?P<http>\S+)(?: resp=(?P<resp>\S+))?(?: ops=(?P<ops>\S+))?"
    r" data-dir=(?P<data_directory>.+) root-key=(?P<root_key_path>.+?)(?: emulator-admin=(?P<emulator_admin>\S+))?"
)

# The value of a `token` parameter that is anything but taken out.
_SHOWN_TOKEN = re.compile(r"token=(?!\[redacted\])[^\s&\"']", re.IGNORECASE)


def binary():
    """The path of the binary under test: MARTLET_BIN, or the release build of this repository."""
    path = pathlib.Path(os.environ.get("MARTLET_BIN", REPOSITORY / ".build" / "release" / "martlet"))
    assert path.is_file(), f"there is no binary at {path}: build it, or set MARTLET_BIN"
    return str(path)


def clean_environment(extra=None):
    """The environment without what would configure the server."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MARTLET_")}
    return kept | (extra or {})


def outer_form(key, endpoint="localhost"):
    """An API key or a token as SDKs hand it around: base64 of what it is and where it is good."""
    return base64.b64encode(json.dumps({"api_key": key, "endpoint": endpoint}).encode()).decode()


def inner_form(credential):
    """What stands inside an outer API key; the credential itself when it is none."""
    try:
        document = json.loads(base64.b64decode(credential, validate=True))
        return document["api_key"]
    except (ValueError, KeyError, TypeError):
        return credential


def can_have_own_disk():
    """Whether this machine lets a process make a file system for itself."""
    command = ["unshare", "--user", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/tmp"]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def parse_address(text):
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


class Server:
    """One process. `data_directory` outlives it, so that another can be started on it."""

    def __init__(
        self,
        data_directory,
        *,
        arguments=(),
        environment=None,
        is_development=True,
        binds=True,
        disk_size=None,
        errors_path=None,
    ):
        """`disk_size` puts the data directory on a file system of that size, which only this process sees."""
        self.data_directory = pathlib.Path(data_directory)
        self.is_development = is_development
        command = [binary(), "serve"]
        if is_development:
            command.append("--dev")
        command += ["--data-dir", str(data_directory)]
        if binds:
            command += ["--http", "127.0.0.1:0", "--resp", "127.0.0.1:0", "--ops", "127.0.0.1:0"]
        self.command = command + list(arguments)
        self.has_own_disk = disk_size is not None
        if self.has_own_disk:
            self.data_directory.mkdir()
            mount = f'mount -t tmpfs -o size={disk_size} tmpfs "$0" && exec "$@"'
            self.command = [
                "unshare",
                "--user",
                "--map-root-user",
                "--mount",
                "sh",
                "-c",
                mount,
                str(data_directory),
                *self.command,
            ]
        self.environment = clean_environment(environment)
        self.process = None
        self.ready = None
        self.output_lines = []
        self.secrets = set()
        self.errors_path = errors_path or self.data_directory.parent / f"{self.data_directory.name}.stderr"
        self._errors_offset = 0
        self._admin = None

    # Life

    def launch(self):
        """Starts the process without waiting for anything."""
        self._errors_offset = self.errors_path.stat().st_size if self.errors_path.exists() else 0
        with open(self.errors_path, "ab") as errors:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=self.environment,
            )
        self.output_lines = []
        self._admin = None
        self._reader = threading.Thread(target=self._read_output, args=(self.process.stdout,), daemon=True)
        self._reader.start()
        return self

    def _read_output(self, stream):
        for line in stream:
            self.output_lines.append(line.rstrip("\n"))

    def start(self):
        """Starts the process and waits for the line that says that it serves."""
        self.launch()
        eventually(lambda: self.output_lines or self.process.poll() is not None, what="a line on standard output")
        assert self.output_lines, f"ended with code {self.process.poll()}: {self.errors()}"
        match = _READY.fullmatch(self.output_lines[0])
        assert match, f"not the ready line of the contract: {self.output_lines[0]!r}"
        self.ready = match.groupdict()
        self.secrets.add(self.root_key)
        self.secrets.add(inner_form(self.root_key))
        return self

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def hang_up(self):
        self.process.send_signal(signal.SIGHUP)

    def kill(self):
        """kill -9."""
        self.process.kill()
        self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        self.process.stdout.close()
        self.check_errors()

    def wait(self, *, within=PATIENCE):
        """The exit code."""
        code = self.process.wait(within)
        self._reader.join(within)
        self.process.stdout.close()
        return code

    @property
    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def stop(self):
        """Ends the process as an operator would, and checks that it went in order and gave nothing away."""
        if not self.is_running:
            assert self.process is None or self.process.returncode in (0, -signal.SIGKILL), (
                f"the server ended by itself with code {self.process.returncode}: {self.errors()[-2000:]}"
            )
            return
        self.terminate()
        try:
            code = self.wait(within=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"still running 20 s after SIGTERM: {self.errors()[-2000:]}") from None
        assert code == 0, f"exit code {code} after SIGTERM: {self.errors()[-2000:]}"
        assert len(self.output_lines) == 1, f"more than the ready line: {self.output_lines[1:5]}"
        self.check_errors()

    def restart(self):
        self.stop()
        return self.start()

    # What it says

    def errors(self):
        """What this process has written to standard error."""
        if not self.errors_path.exists():
            return ""
        return self.errors_path.read_bytes()[self._errors_offset :].decode("utf-8", "replace")

    def check_errors(self):
        """No credential that this test has held, and no `token=` value, stands on standard error."""
        text = self.errors()
        for secret in self.secrets:
            assert secret not in text, "a credential stands in the log"
        shown = _SHOWN_TOKEN.search(text)
        assert shown is None, f"a token parameter stands in the log: {text[shown.start() - 80 : shown.end()]!r}"
        assert "PRIVATE KEY" not in text
        assert "Fatal error" not in text

    def keep_secret(self, *credentials):
        """Names credentials that must never be seen on standard error."""
        for credential in credentials:
            self.secrets.update({credential, inner_form(credential)})

    # What it is

    @property
    def http(self):
        return parse_address(self.ready["http"])

    @property
    def resp(self):
        assert self.ready["resp"], "the server has no RESP door"
        return parse_address(self.ready["resp"])

    @property
    def ops(self):
        return parse_address(self.ready["ops"])

    @property
    def emulator_admin(self):
        return parse_address(self.ready["emulator_admin"])

    @property
    def origin(self):
        return f"{'http' if self.is_development else 'https'}://{self.ready['http']}"

    @property
    def seen_data_directory(self):
        """The data directory as the process itself sees it."""
        directory = pathlib.Path(self.ready["data_directory"])
        return pathlib.Path(f"/proc/{self.process.pid}/root{directory}") if self.has_own_disk else directory

    @property
    def root_key(self):
        return (self.seen_data_directory / pathlib.Path(self.ready["root_key_path"]).name).read_text().strip()

    @property
    def admin(self):
        """The control plane as the operator sees it."""
        if self._admin is None:
            self._admin = Admin(self)
        return self._admin

    def resident_bytes(self):
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("the process has no resident memory")

    def processor_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def open_files(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    # Clients

    def tls_context(self, *protocols):
        """Trusts the local authority in the data directory and nobody else."""
        context = ssl.create_default_context(cafile=str(self.data_directory / "ca.pem"))
        if protocols:
            context.set_alpn_protocols(protocols)
        return context

    def client(self, *, address=None):
        context = None if self.is_development else self.tls_context("http/1.1")
        return Http1Client(address or self.http, context=context)

    def http2(self, **options):
        context = None if self.is_development else self.tls_context("h2")
        return Http2Connection(self.http, context=context, **options)

    def raw(self, **options):
        return RawConnection(self.http, **options)

    def raw_http2(self, **options):
        return RawHttp2(self.http, **options)

    def is_healthy(self):
        """Whether the process lives and a new connection is served at once."""
        assert self.is_running, f"the server ended with code {self.process.poll()}: {self.errors()[-2000:]}"
        started = time.monotonic()
        client = self.client()
        response = client.request("GET", "/healthz")
        client.close()
        return response.status == 200 and time.monotonic() - started < PATIENCE
