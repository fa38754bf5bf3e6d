"""One tenant floods, with pipelines over many connections; what another asks meanwhile is answered, and nothing of either
is lost, mixed up or left without an answer."""

import concurrent.futures
import re
import socket
import threading

import pytest

from support.admin import EVERYTHING
from support.resp import MartletTarget
from support.waiting import PATIENCE

CONNECTIONS = 12
COMMANDS = 20_000


class Party:
    """A tenant with a cache and a token for it."""

    def __init__(self, server, **limits):
        self.server = server
        self.admin = server.admin.make_tenant(limits=limits)
        self.cache = self.admin.make_cache()
        self.token = self.admin.make_token([{**EVERYTHING[0], "cache": self.cache}])
        self.target = MartletTarget(server, self.cache, self.token.credential)

    def latency(self):
        name = self.admin.name
        return self.server.admin.call("GET", f"/tenants/{name}/latency").must_be(200).json()


@pytest.fixture(params=[{}, {"weight": 1}, {"reserved_operations_per_second": 100_000}], ids=["plain", "light", "reserved"])
def parties(server, request):
    return Party(server), Party(server, **request.param)


def flood_by_resp(party, number):
    """Sends a pipeline while another thread reads what comes, as clients do that flood; gives the replies."""
    host, port = party.server.resp
    with socket.create_connection((host, port), timeout=PATIENCE) as connection:
        login = f"AUTH {party.cache} {party.token.credential}\r\n".encode()
        commands = login + f"INCR flood-{number}\r\n".encode() * COMMANDS
        sender = threading.Thread(target=connection.sendall, args=(commands,))
        sender.start()
        expected = b"+OK\r\n" + b"".join(b":%d\r\n" % count for count in range(1, COMMANDS + 1))
        got = bytearray()
        while len(got) < len(expected):
            piece = connection.recv(1 << 20)
            assert piece, "the connection was closed"
            got += piece
        sender.join()
        return bytes(got) == expected


def flood_by_http1(party, number):
    """A pipeline of requests, then half of the connection closed: all are answered, in order."""
    host, port = party.server.http
    count = COMMANDS // 20
    path = f"/cache/{party.cache}/increment?key=http-{number}&by=1&ttl_seconds=600"
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: {party.token.credential}\r\n"
    request = f"{head}content-length: 0\r\n\r\n".encode()
    with socket.create_connection((host, port), timeout=PATIENCE) as connection:

        def send():
            connection.sendall(request * count)
            connection.shutdown(socket.SHUT_WR)

        sender = threading.Thread(target=send)
        sender.start()
        got = bytearray()
        while piece := connection.recv(1 << 20):
            got += piece
        sender.join()
    values = re.findall(rb'{"value":(\d+)}', got)
    return [int(value) for value in values] == list(range(1, count + 1))


@pytest.mark.parametrize("flood", [flood_by_resp, flood_by_http1])
def test_what_is_asked_beside_a_flood_is_answered(parties, flood):
    aggressor, victim = parties
    headers = victim.token.headers
    http = victim.server.client()
    with concurrent.futures.ThreadPoolExecutor(CONNECTIONS) as pool:
        floods = [pool.submit(flood, aggressor, number) for number in range(CONNECTIONS)]
        connection = victim.target.connect()
        asked = 0
        while not all(one.done() for one in floods) or asked < 20:
            asked += 1
            path = f"/cache/{victim.cache}?key=k"
            http.request("PUT", f"{path}&ttl_seconds=600", headers=headers, body=b"%d" % asked).must_be(204)
            assert http.request("GET", path, headers=headers).body == b"%d" % asked
            assert connection.call("GET", "k").raw == b"$%d\r\n%d\r\n" % (len(str(asked)), asked)
        connection.close()
        http.close()
        assert all(one.result(timeout=PATIENCE) for one in floods)
    told = victim.latency()
    assert told["tenant"] == victim.admin.name
    # Three calls each; the login is none, and what waits for the token's check, once on each event loop, is not told.
    assert 3 * asked - 4 <= told["count"] <= 3 * asked
    assert told["count"] == sum(bucket["count"] for bucket in told["buckets"])
    assert told["p50_us"] <= told["p99_us"] <= told["p999_us"]


def test_latencies_are_for_the_tenant_and_the_operator(server):
    mine, other = Party(server), Party(server)
    path = f"/tenants/{mine.admin.name}/latency"
    nothing = {"count": 0, "p50_us": None, "p99_us": None, "p999_us": None, "buckets": []}
    assert mine.admin.call("GET", path).must_be(200).json() == {"tenant": mine.admin.name, **nothing}
    assert other.admin.call("GET", path).status in (403, 404)
    assert server.admin.call("GET", "/tenants/nobody/latency").status == 404
    assert mine.target.connect().call("SET", "k", "v").raw == b"+OK\r\n"
    assert server.admin.call("GET", path).must_be(200).json()["count"] == 1
    assert other.latency()["count"] == 0
