"""A Martlet with two tenants, a victim and an aggressor, and what the server itself says of them."""

import http.client
import json
import socket
import time
from dataclasses import dataclass

from martlet import CACHE, Martlet
from process import BenchmarkError

VICTIM, AGGRESSOR = "victim", "aggressor"
MEMORY_MEBIBYTES = 256
_PATIENCE = 30.0


@dataclass(frozen=True)
class Latencies:
    """Requests of a tenant by how long they took in the server: buckets by their upper end, in microseconds."""

    count: int
    buckets: dict

    def since(self, earlier):
        counts = {end: count - earlier.buckets.get(end, 0) for end, count in self.buckets.items()}
        return Latencies(self.count - earlier.count, {end: count for end, count in counts.items() if count})

    def percentile(self, share):
        """The upper end of the bucket that it falls in: never less than the true figure."""
        if self.count <= 0 or sum(self.buckets.values()) != self.count:
            raise BenchmarkError(f"the latency buckets hold {sum(self.buckets.values())} of {self.count} requests")
        seen = 0
        for end in sorted(self.buckets):
            seen += self.buckets[end]
            if seen >= share * self.count:
                return end
        return max(self.buckets)


class IsolationServer(Martlet):
    """Both tenants have a cache of the same name; the control plane is asked on the ops listener, on its own loop."""

    def __init__(self, directory, *, is_tls=False):
        arguments = ("--event-loops", "1", "--memory", f"{MEMORY_MEBIBYTES}MiB")
        super().__init__(
            directory, is_tls=is_tls, arguments=arguments + (() if is_tls else ("--ops", "127.0.0.1:0")))
        self.tokens = {}
        self.has_latency = None

    def operate(self, method, target, body=None, *, allowing=()):
        """One request of the control plane; gives None for a status of `allowing`."""
        connection = http.client.HTTPConnection(*self.ops_address, timeout=_PATIENCE)
        try:
            connection.request(
                method, "/v1/admin" + target, body=None if body is None else json.dumps(body),
                headers={"Authorization": self.root_key.read_text().strip()})
            answer = connection.getresponse()
            said = answer.read()
        except OSError as error:
            self.child.fail_if_ended()
            raise BenchmarkError(f"{method} /v1/admin{target} on the ops listener failed: {error}") from None
        finally:
            connection.close()
        if answer.status in allowing:
            return None
        if answer.status not in (200, 201, 204):
            raise BenchmarkError(f"{method} /v1/admin{target} answered {answer.status}: {said[:300]!r}")
        return json.loads(said) if said else None

    def make_tenant(self, name):
        """A tenant with its cache and a token for all that is in it."""
        self.operate("PUT", f"/tenants/{name}", {})
        self.operate("PUT", f"/caches/{CACHE}?tenant={name}", {})
        minted = self.operate("POST", f"/tokens?tenant={name}", {
            "ttl_seconds": 7200, "token_id": name,
            "permissions": [{"role": "readwrite", "cache": CACHE}, {"role": "readwrite", "cache": CACHE, "topic": "*"}],
        })
        self.tokens[name] = minted["token"]

    def limit(self, name, limits, cache_limits=None):
        """In force at once, on connections that are open too."""
        self.operate("PUT", f"/tenants/{name}", {"limits": limits})
        self.operate("PUT", f"/caches/{CACHE}?tenant={name}", {"limits": cache_limits or {}})

    def latencies(self, name):
        """Of all requests so far; None where this build does not say."""
        answer = self.operate("GET", f"/tenants/{name}/latency", allowing=(404, 405))
        self.has_latency = answer is not None
        if answer is None:
            return None
        return Latencies(answer["count"], {bucket["le_us"]: bucket["count"] for bucket in answer["buckets"]})

    def used(self, name, *meters):
        """What these meters of the tenant's cache say so far."""
        found = [0] * len(meters)
        page = self.operate("GET", f"/usage?tenant={name}&cache={CACHE}&limit=10000")
        for row in page["rows"]:
            found = [so_far + row[meter] for so_far, meter in zip(found, meters)]
        return dict(zip(meters, found))

    def await_used(self, name, **wanted):
        """Waits until the meters say just this: it is a second at most, here with patience."""
        deadline = time.monotonic() + 5
        while (found := self.used(name, *wanted)) != wanted:
            if time.monotonic() > deadline:
                raise BenchmarkError(f"the usage call says {found} of the {name}, not {wanted}")
            time.sleep(0.1)

    def evictions(self, name):
        connection = http.client.HTTPConnection(*self.ops_address, timeout=_PATIENCE)
        try:
            connection.request("GET", "/metrics")
            text = connection.getresponse().read().decode()
        finally:
            connection.close()
        for line in text.splitlines():
            if line.startswith("martlet_cache_evictions_total{") and f'tenant="{name}"' in line:
                return int(float(line.split()[-1]))
        return 0

    def commands(self, name):
        """A connection of that tenant for commands."""
        return Commands(self, self.tokens[name])


class Commands:
    """Commands of RESP, many at once, all of which must succeed. For filling a cache before anything is measured."""

    def __init__(self, server, token):
        plain = socket.create_connection(server.resp_address, timeout=_PATIENCE)
        self._socket = server.tls_context().wrap_socket(plain, server_hostname="localhost") if server.is_tls else plain
        self._file = self._socket.makefile("rb")
        self.send([("AUTH", CACHE, token)])

    def send(self, commands):
        """A few thousand at once; answers must be of one line."""
        encoded = []
        for words in commands:
            encoded.append(b"*%d\r\n" % len(words))
            for word in words:
                word = word if isinstance(word, bytes) else str(word).encode()
                encoded.append(b"$%d\r\n%s\r\n" % (len(word), word))
        self._socket.sendall(b"".join(encoded))
        for _ in commands:
            line = self._file.readline()
            if not line or line.startswith(b"-"):
                raise BenchmarkError(f"a command to fill a cache was answered with {line[:200]!r}")

    def send_all(self, commands, at_once=500):
        for start in range(0, len(commands), at_once):
            self.send(commands[start:start + at_once])

    def close(self):
        self._file.close()
        self._socket.close()


def await_quiet(server, within=15.0):
    """Waits until the server has worked off what the last load left in its sockets."""
    deadline = time.monotonic() + within
    while True:
        before, started = server.child.cpu_seconds(), time.monotonic()
        time.sleep(0.1)
        if server.child.cpu_seconds() - before < 0.05 * (time.monotonic() - started):
            return
        if time.monotonic() > deadline:
            raise BenchmarkError(f"the server is still busy {within:.0f} s after the aggressor went")
