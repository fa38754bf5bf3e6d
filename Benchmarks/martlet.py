"""A Martlet on the server's core, and as much of its control plane as a benchmark needs."""

import http.client
import json
import os
import pathlib
import re
import select
import ssl
import time

from batches import send_batches
from load import send
from process import SERVER_CORE, BenchmarkError, Child

REPOSITORY = pathlib.Path(__file__).resolve().parents[1]
CACHE = "bench"
KEY = "value"

_READY = re.compile(r"martlet ready http=(\S+) resp=(\S+)(?: ops=(\S+))?.* root-key=(.+)")
_PATIENCE = 20.0


def binary():
    """MARTLET_BIN, or the release build of this repository."""
    path = os.environ.get("MARTLET_BIN", str(REPOSITORY / ".build" / "release" / "martlet"))
    if not os.path.isfile(path):
        raise BenchmarkError(f"there is no binary at {path}: run `swift build -c release`, or set MARTLET_BIN")
    return path


class Martlet:
    """One process with one event loop. Cleartext with `--dev`; else TLS with a certificate of its own authority."""

    name = "martlet"

    def __init__(
            self, data_directory, *, is_tls=False, is_sealed=False, variables=None,
            arguments=("--event-loops", "1", "--memory", "512MiB")):
        self.data_directory = str(data_directory)
        self.is_tls = is_tls
        self.requests_made = 0
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MARTLET_")}
        environment |= variables or {}
        command = [binary(), "serve"] + ([] if is_tls else ["--dev"])
        command += ["--data-dir", self.data_directory, "--seal", "on" if is_sealed else "off"]
        command += ["--http", "127.0.0.1:0", "--resp", "127.0.0.1:0"] + (["--ops", "127.0.0.1:0"] if is_tls else [])
        self.child = Child(
            command + list(arguments), SERVER_CORE, log=self.data_directory + ".log", wants_output=True,
            environment=environment)
        self.address, self.resp_address, self.ops_address, self.root_key = self._await_ready_line()

    def _await_ready_line(self):
        readable, _, _ = select.select([self.child.process.stdout], [], [], _PATIENCE)
        line = self.child.process.stdout.readline().rstrip("\n") if readable else ""
        match = _READY.fullmatch(line)
        if not match:
            self.child.process.poll()
            time.sleep(0.1)
            self.child.fail_if_ended()
            raise BenchmarkError(f"martlet did not say that it is ready, but {line!r}")
        addresses = (text.rpartition(":") if text else None for text in match.groups()[:3])
        # The file is read when it is needed first: a start is measured without that.
        return (
            *(address and (address[0].strip("[]"), int(address[2])) for address in addresses), pathlib.Path(match[4]))

    @property
    def children(self):
        return (self.child,)

    @property
    def authority(self):
        return f"{self.address[0]}:{self.address[1]}"

    @property
    def path(self):
        return f"/cache/{CACHE}?key={KEY}"

    @property
    def url(self):
        return f"{'https' if self.is_tls else 'http'}://{self.authority}{self.path}"

    def tls_context(self, *protocols):
        """Trusts the server's own authority and nobody else."""
        context = ssl.create_default_context(cafile=os.path.join(self.data_directory, "ca.pem"))
        context.set_alpn_protocols(protocols)
        return context

    # The control plane

    def call(self, method, target, body=None, *, credential=None):
        """One request on a connection of its own. Gives status and body."""
        connection = (
            http.client.HTTPSConnection(*self.address, timeout=_PATIENCE, context=self.tls_context("http/1.1"))
            if self.is_tls else http.client.HTTPConnection(*self.address, timeout=_PATIENCE))
        try:
            headers = {"Authorization": credential} if credential else {}
            connection.request(method, target, body=body, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except OSError as error:
            self.child.fail_if_ended()
            raise BenchmarkError(f"{method} {target.partition('?')[0]} failed: {error}") from None
        finally:
            connection.close()

    def administer(self, method, target, body=None, *, expected):
        status, answer = self.call(
            method, "/v1/admin" + target, None if body is None else json.dumps(body),
            credential=self.root_key.read_text().strip())
        if status != expected:
            raise BenchmarkError(f"{method} /v1/admin{target} answered {status}: {answer[:300]!r}")
        return json.loads(answer) if answer else None

    def prepare(self, value):
        """Makes the cache, mints a token for it, and stores the value. Gives the headers that a load sends."""
        self.make_cache({"role": "readwrite", "cache": CACHE})
        status, answer = self.call("PUT", self.path + "&ttl_seconds=3600", value, credential=self.token)
        if status != 204:
            raise BenchmarkError(f"the value was not stored: {status} {answer[:300]!r}")
        status, answer = self.call("GET", self.path, credential=self.token)
        if status != 200 or answer != value:
            raise BenchmarkError(f"the value did not come back: {status} {answer[:300]!r}")
        self.requests_made += 2
        return (f"authorization: {self.token}",)

    def make_cache(self, permission):
        """Makes the cache and mints a token with this permission."""
        self.administer("PUT", f"/caches/{CACHE}", {}, expected=201)
        minted = self.administer(
            "POST", "/tokens", {"ttl_seconds": 3600, "token_id": "benchmark", "permissions": [permission]},
            expected=201)
        self.token = minted["token"]

    def make_topics(self):
        """Makes the cache and mints a token for all its topics."""
        self.make_cache({"role": "readwrite", "cache": CACHE, "topic": "*"})

    def send_batches(self, load):
        return self.send(load, send_batches)

    def send(self, load, using=send):
        """Runs a load, and counts what the usage call must show for it."""
        answers = using(load)
        self.requests_made += answers.requests
        return answers

    def usage(self, *meters):
        """What these meters of the cache say so far, over all pages."""
        found, page = [0] * len(meters), ""
        for _ in range(100):
            answer = self.administer("GET", f"/usage?cache={CACHE}{page}", expected=200)
            for row in answer["rows"]:
                found = [so_far + row[meter] for so_far, meter in zip(found, meters)]
            if not answer.get("next_token"):
                return tuple(found)
            page = f"&next_token={answer['next_token']}"
        raise BenchmarkError("the usage call does not come to an end")

    def await_usage(self, **wanted):
        """Waits until the meters say just this: it is a second at most, here with patience."""
        deadline = time.monotonic() + 5
        while (found := dict(zip(wanted, self.usage(*wanted)))) != wanted:
            if time.monotonic() > deadline:
                raise BenchmarkError(f"the usage call says {found}, not {wanted}")
            time.sleep(0.1)

    def check_usage(self):
        """Every request that was made is on the bill, once."""
        self.await_usage(operations=self.requests_made, calls=self.requests_made)
        return self.requests_made

    def is_healthy(self):
        return self.call("GET", "/healthz")[0] == 200

    def stop(self):
        self.child.stop(within=40)
