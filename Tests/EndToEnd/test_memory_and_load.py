"""Load with h2load: every request is answered well, over both HTTP versions and over TLS, and memory comes back."""

import re
import subprocess
import time

import pytest

REQUESTS = 10_000


def h2load(server, target, *options, headers=()):
    """Runs h2load and gives what it counted."""
    command = ["h2load", "-n", str(REQUESTS), "-c", "4", "-t", "1", "-m", "32", *options]
    for name, value in {"authorization": server.root_key, **dict(headers)}.items():
        command += ["-H", f"{name}: {value}"]
    result = subprocess.run(
        [*command, f"{server.origin}{target}"], capture_output=True, text=True, check=False, timeout=60
    )
    assert result.returncode == 0, result.stderr
    requests = re.search(r"requests: (\d+) total, .* (\d+) succeeded, (\d+) failed, (\d+) errored", result.stdout)
    statuses = re.search(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", result.stdout)
    assert requests and statuses, result.stdout
    return [int(count) for count in requests.groups()], [int(count) for count in statuses.groups()]


@pytest.mark.parametrize("is_development", [True, False], ids=["cleartext", "tls"])
@pytest.mark.parametrize("options", [[], ["--h1"]], ids=["http2", "http1"])
def test_ten_thousand_reads_are_all_answered(make_server, is_development, options):
    server = make_server(is_development=is_development)
    server.admin.make_cache("shop")
    client = server.client()
    client.request("PUT", "/cache/shop?key=k&ttl_seconds=600", headers=server.admin.headers, body=b"x" * 100).must_be(
        204
    )
    if options:
        options = [*options, "-m", "1"]
    requests, statuses = h2load(server, "/cache/shop?key=k", *options)
    assert requests == [REQUESTS, REQUESTS, 0, 0]
    assert statuses == [REQUESTS, 0, 0, 0]
    used = server.admin.used("shop")
    assert (used["operations"], used["hits"], used["bytes_out"]) == (REQUESTS + 1, REQUESTS, 100 * REQUESTS)


def test_ten_thousand_writes_are_all_stored(make_server, tmp_path):
    server = make_server()
    (tmp_path / "value").write_bytes(b"x" * 100)
    requests, statuses = h2load(
        server, "/cache/default?key=k&ttl_seconds=600", "-d", str(tmp_path / "value"), headers=[(":method", "PUT")]
    )
    assert requests == [REQUESTS, REQUESTS, 0, 0]
    assert statuses == [REQUESTS, 0, 0, 0]
    assert server.admin.cache("default")["items"] == 1
    assert server.admin.used("default")["operations"] == REQUESTS


def test_the_process_keeps_to_its_memory(make_server):
    # Four times what fits is written: the server evicts, answers, and stays where it was told.
    server = make_server(arguments=["--memory", "64MiB"])
    client = server.http2()
    value = b"x" * 100_000
    for number in range(2560):
        client.request(
            "PUT", f"/cache/default?key=k{number}&ttl_seconds=600", headers=server.admin.headers, body=value
        ).must_be(204)
    shown = server.admin.cache("default")
    assert 100 < shown["items"] < 700
    assert shown["bytes"] <= 64 << 20
    assert server.resident_bytes() < 256 << 20
    client.request("GET", "/cache/default?key=k2559", headers=server.admin.headers).must_be(200)


def test_the_memory_of_deleted_caches_is_used_again(make_server):
    server = make_server(arguments=["--memory", "512MiB"])
    client = server.http2()
    empty = server.resident_bytes()
    payload = 1000 * 100_000
    for _ in range(6):
        server.admin.make_cache("heavy")
        for number in range(1000):
            target = f"/cache/heavy?key=k{number}&ttl_seconds=600"
            client.request("PUT", target, headers=server.admin.headers, body=b"x" * 100_000).must_be(204)
        assert server.admin.cache("heavy")["items"] == 1000
        server.admin.call("DELETE", "/caches/heavy").must_be(204)
    # It comes back in the background, so two caches may stand beside each other for a moment, but not six.
    assert server.resident_bytes() - empty < 3 * payload


def test_the_first_request_is_answered_soon_after_the_start(make_server):
    # Generous, for any machine; the benchmark holds the budget.
    server = make_server(starts=False)
    started = time.monotonic()
    server.start()
    server.client().request("GET", "/healthz").must_be(200)
    assert time.monotonic() - started < 3
