"""The ops listener while the main one is flooded: the operator is let in, whatever the others do."""

import base64
import contextlib
import json
import selectors
import socket
import threading
import time

import pytest
from support.admin import EVERYTHING
from support.waiting import PATIENCE, eventually

# How long the operator may have to wait for one answer, on a machine that has nothing to spare.
_OPERATORS_PATIENCE = 3 * PATIENCE


class Flood:
    """Connections that send their request again as soon as anything of an answer has come, from a thread."""

    def __init__(self, address, request, *, connections):
        self.request = request
        self.received_bytes = 0
        self.refused = 0
        self._is_over = False
        self._selector = selectors.DefaultSelector()
        for _ in range(connections):
            peer = socket.create_connection(address, PATIENCE)
            peer.setblocking(False)
            self._selector.register(peer, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        for key in list(self._selector.get_map().values()):
            self._send(key.fileobj)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._is_over = True
        self._thread.join(PATIENCE)
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()
        self._selector.close()

    def _send(self, peer):
        with contextlib.suppress(BlockingIOError):
            peer.send(self.request)

    def _run(self):
        while not self._is_over:
            for key, _ in self._selector.select(0.05):
                try:
                    data = key.fileobj.recv(1 << 18)
                    if not data:
                        raise ConnectionResetError
                    self.received_bytes += len(data)
                    self.refused += data.count(b"HTTP/1.1 503 ")
                    self._send(key.fileobj)
                except BlockingIOError:
                    continue
                except OSError:
                    self._selector.unregister(key.fileobj)
                    key.fileobj.close()


def _request(method, target, credential, body=b""):
    head = f"{method} {target} HTTP/1.1\r\nhost: localhost\r\nauthorization: {credential}\r\n"
    if body:
        head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


def _false_token(genuine):
    """The token with another signature."""
    head, payload, signature = genuine.split(".")
    bits = bytearray(base64.urlsafe_b64decode(signature + "=="))
    bits[10] ^= 1
    return f"{head}.{payload}.{base64.urlsafe_b64encode(bytes(bits)).decode().rstrip('=')}"


def _floods(server, kind):
    """The flood's address, request and number of connections."""
    root = server.root_key
    match kind:
        case "control":
            # Each change waits for the disk, so that the main listener's queue of 256 is full.
            change = json.dumps({"labels": {"flood": "x"}}).encode()
            return [
                (server.http, _request("PUT", f"/v1/admin/caches/flood-{number}", root, change), 40)
                for number in range(10)
            ]
        case "lists":
            return [(server.http, _request("GET", "/v1/admin/audit?limit=1000", root) * 4, 300)]
        case "credentials":
            token = _false_token(_token(server))
            server.keep_secret(token)
            false_key = root[:-4] + "AAAA"
            server.keep_secret(false_key)
            return [
                (server.http, _request("GET", "/v1/admin/tenants", token) * 8, 40),
                (server.http, _request("GET", "/v1/admin/tenants", false_key) * 8, 40),
                (server.http, _request("GET", "/cache/default?key=k", token) * 8, 40),
            ]
        case "pipelines":
            return [
                (server.http, _request("GET", "/cache/default?key=k", root) * 256, 16),
                (server.resp, b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n" * 1024, 16),
            ]


def _token(server):
    """A token, as soon as the main listener has done what the test before had left it to do."""
    answers = []

    def asks():
        body = {"permissions": EVERYTHING, "ttl_seconds": 600}
        answers.append(server.admin.call("POST", "/tokens", body))
        return answers[-1].status == 201

    eventually(asks, within=_OPERATORS_PATIENCE, what="a token")
    token = answers[-1].json()["token"]
    server.keep_secret(token)
    return token


def _ask(server, method, target, *, credential=None, body=None):
    """One request on a new connection to the ops listener: how long it took, and what came."""
    started = time.monotonic()
    with socket.create_connection(server.ops, _OPERATORS_PATIENCE) as peer:
        request = _request(method, target, credential or "none", body or b"")
        peer.sendall(request.replace(b"\r\n", b"\r\nconnection: close\r\n", 1))
        answer = b""
        while data := peer.recv(1 << 16):
            answer += data
    return time.monotonic() - started, answer


@pytest.mark.parametrize("kind", ["control", "lists", "credentials", "pipelines"])
def test_the_operator_is_answered(server, kind):
    root = server.root_key
    with contextlib.ExitStack() as stack:
        floods = [
            stack.enter_context(Flood(address, request, connections=count))
            for address, request, count in _floods(server, kind)
        ]
        for flood in floods:
            eventually(lambda flood=flood: flood.received_bytes > 0, within=_OPERATORS_PATIENCE, what="a flood")
        if kind == "control":
            eventually(
                lambda: sum(flood.refused for flood in floods) > 0,
                within=_OPERATORS_PATIENCE,
                what="a full queue on the main listener",
            )
        quickest = {}
        for _ in range(5):
            for method, target, credential, body, status in (
                ("GET", "/healthz", None, None, b"200"),
                ("GET", "/readyz", None, None, b"200"),
                ("GET", "/metrics", None, None, b"200"),
                ("GET", "/v1/admin/tenants", root, None, b"200"),
                ("PUT", "/v1/admin/caches/operators", root, b'{"labels":{"a":"b"}}', b"20"),
            ):
                took, answer = _ask(server, method, target, credential=credential, body=body)
                assert answer.startswith(b"HTTP/1.1 " + status), (kind, target, answer[:300])
                quickest[target] = min(took, quickest.get(target, took))
        # Not each of them, on a machine that is busy with this very flood; but none that has to wait for its end.
        assert all(took < PATIENCE for took in quickest.values()), quickest
    assert server.is_healthy()
