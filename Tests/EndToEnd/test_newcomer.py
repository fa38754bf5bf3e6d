"""What a newcomer does in the first minutes, with the real curl: over HTTP/1.1, HTTP/2 and TLS."""

import contextlib
import json
import os
import signal
import ssl
import subprocess

import pytest

from support.server import REPOSITORY
from support.waiting import PATIENCE, eventually

CART = b'{"items":[{"sku":"A-1","count":2},{"sku":"B-7","count":1}]}'


class Curl:
    """curl with the options that make one transport."""

    def __init__(self, server, *options, host=None):
        self.server = server
        self.options = options
        scheme = "http" if server.is_development else "https"
        self.base = f"{scheme}://{host or server.http[0]}:{server.http[1]}"

    def run(self, *arguments):
        """Runs curl on a path and gives status, HTTP version and body."""
        *options, path = arguments
        command = [
            "curl",
            "--silent",
            "--show-error",
            "--max-time",
            "10",
            "--write-out",
            "\n%{http_code} %{http_version}",
            *self.options,
            *options,
            self.base + path,
        ]
        result = subprocess.run(command, capture_output=True, check=False, timeout=20)
        assert result.returncode == 0, result.stderr.decode()
        body, _, last = result.stdout.rpartition(b"\n")
        status, version = last.decode().split()
        return int(status), version, body


@pytest.fixture(
    params=[
        pytest.param(("--http1.1", "1.1", True), id="http1"),
        pytest.param(("--http2-prior-knowledge", "2", True), id="http2-prior-knowledge"),
        pytest.param(("--http1.1", "1.1", False), id="tls-http1"),
        pytest.param(("--http2", "2", False), id="tls-http2"),
    ]
)
def curl(request, make_server):
    option, version, is_development = request.param
    server = make_server(is_development=is_development)
    options = [option]
    if not is_development:
        options += ["--cacert", str(server.data_directory / "ca.pem")]
    made = Curl(server, *options)
    made.version = version
    return made


def test_the_transcript_of_the_readme_works(curl, tmp_path):
    server = curl.server
    (tmp_path / "cart.json").write_bytes(CART)
    root = ["-H", f"Authorization: {server.root_key}"]

    status, version, body = curl.run("-X", "PUT", *root, "-d", "{}", "/v1/admin/caches/shop")
    assert (status, version) == (201, curl.version), body

    request = {
        "ttl_seconds": 600,
        "token_id": "user-42",
        "permissions": [{"role": "readwrite", "cache": "shop", "key_prefix": "cart:"}],
    }
    status, _, body = curl.run("-X", "POST", *root, "-d", json.dumps(request), "/v1/admin/tokens")
    assert status == 201, body
    minted = json.loads(body)
    assert {"token", "id", "expires_at"} <= set(minted)
    server.keep_secret(minted["token"])
    token = ["-H", f"Authorization: {minted['token']}"]

    status, _, body = curl.run(
        "-X", "PUT", *token, "--data-binary", f"@{tmp_path / 'cart.json'}", "/cache/shop?key=cart:1&ttl_seconds=60"
    )
    assert (status, body) == (204, b"")

    status, _, body = curl.run(*token, "/cache/shop?key=cart:1")
    assert (status, body) == (200, CART)

    status, _, body = curl.run(*token, "/cache/shop?key=other")
    assert status == 403
    assert json.loads(body)["code"] == "PermissionDenied"

    def operations():
        status, _, body = curl.run(*root, "/v1/admin/usage?cache=shop")
        assert status == 200, body
        return sum(row["operations"] for row in json.loads(body)["rows"])

    # One to put, one to get, and one for the call that was refused.
    eventually(lambda: operations() == 3, within=3, what="three operations on the bill")


def test_the_topics_of_the_readme_work(make_server, tmp_path):
    """What stands in the README, word for word but for the port, which is taken on a developer's machine."""
    server = make_server()
    _, _, section = (REPOSITORY / "README.md").read_text().partition("## Topics\n")
    script = section.partition("```sh\n")[2].partition("```")[0]
    assert script.count("localhost:8080") == 3
    output = tmp_path / "output"
    with open(output, "wb") as stream:
        shell = subprocess.Popen(
            ["bash", "-eu", "-c", script.replace("localhost:8080", server.ready["http"])],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            env=os.environ | {"ROOT": server.root_key},
            # The subscriber stays in the background: it is ended with its group.
            start_new_session=True,
        )
    try:
        assert shell.wait(PATIENCE) == 0
        eventually(lambda: b"event: item" in output.read_bytes().rpartition(b"\n\n")[0], what="the message")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(shell.pid, signal.SIGTERM)
    events = output.read_text().split("\n\n")
    assert events[0] == "event: heartbeat\ndata: {}"
    name, id, data = events[1].split("\n")
    assert name == "event: item"
    item = json.loads(data.removeprefix("data: "))
    assert id == f"id: {item['sequence_page']}:1"
    assert item == {
        "topic_sequence_number": 1,
        "sequence_page": item["sequence_page"],
        "value": {"text": "hello"},
        "publisher_id": "user-42",
    }


def test_a_body_that_curl_announces_first_arrives_whole(curl, tmp_path):
    # Over 1 MB curl 7 asks with `Expect: 100-continue` on HTTP/1.1 before it sends.
    value = bytes(range(256)) * 8192
    (tmp_path / "value").write_bytes(value)
    root = ["-H", f"Authorization: {curl.server.root_key}"]
    curl.run("-X", "PUT", *root, "-d", "{}", "/v1/admin/caches/files")
    status, _, body = curl.run("-T", str(tmp_path / "value"), *root, "/cache/files?key=large&ttl_seconds=60")
    assert (status, body) == (204, b"")
    status, _, body = curl.run(*root, "/cache/files?key=large")
    assert status == 200
    assert body == value


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_the_local_certificate_names_this_machine(make_server, host):
    server = make_server(is_development=False)
    # The address stays, the name that the certificate must carry changes.
    curl = Curl(
        server,
        "--cacert",
        str(server.data_directory / "ca.pem"),
        "--connect-to",
        f"::{server.ready['http']}",
        host=host,
    )
    status, _, _ = curl.run("/healthz")
    assert status == 200


@pytest.mark.parametrize("prefix", ["cache", "control", "token", "api.cache", "web.cache", "web.control", "web.token"])
def test_the_local_certificate_names_the_hosts_of_the_endpoint(make_server, prefix):
    server = make_server(is_development=False, arguments=["--endpoint", "martlet.example"])
    curl = Curl(
        server,
        "--cacert",
        str(server.data_directory / "ca.pem"),
        "--connect-to",
        f"::{server.ready['http']}",
        host=f"{prefix}.martlet.example",
    )
    assert curl.run("/healthz")[0] == 200


def test_nobody_is_served_who_does_not_trust_the_authority_or_names_another_host(make_server):
    server = make_server(is_development=False)
    command = ["curl", "--silent", "--max-time", "10", f"https://{server.ready['http']}/healthz"]
    assert subprocess.run(command, check=False, capture_output=True).returncode == 60
    command = [
        "curl",
        "--silent",
        "--max-time",
        "10",
        "--cacert",
        str(server.data_directory / "ca.pem"),
        "--connect-to",
        f"::{server.ready['http']}",
        f"https://elsewhere.example:{server.http[1]}/healthz",
    ]
    assert subprocess.run(command, check=False, capture_output=True).returncode == 60


@pytest.mark.parametrize(
    "version,is_spoken",
    [(ssl.TLSVersion.TLSv1_1, False), (ssl.TLSVersion.TLSv1_2, True), (ssl.TLSVersion.TLSv1_3, True)],
)
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_only_tls_1_2_and_later_is_spoken(make_server, version, is_spoken):
    server = make_server(is_development=False)
    context = server.tls_context()
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = version if is_spoken else ssl.TLSVersion.TLSv1
    context.maximum_version = version
    if is_spoken:
        server.raw(context=context).close()
    else:
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            server.raw(context=context)


def test_the_authority_and_the_keys_are_for_the_operator_alone(make_server):
    server = make_server(is_development=False)
    for name in ("root.key", "ca.key", "server.key"):
        assert (server.data_directory / name).stat().st_mode & 0o077 == 0, name
    before = (server.data_directory / "ca.pem").read_bytes()
    server.restart()
    assert (server.data_directory / "ca.pem").read_bytes() == before
    assert str(server.data_directory / "ca.pem") in server.errors()
