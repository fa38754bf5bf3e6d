"""What the process says: log lines, its version, its help; and where its configuration comes from."""

import json
import re
import subprocess

import pytest

from support.http1 import RawConnection
from support.server import Server, binary, clean_environment
from support.waiting import eventually

FLAGS = [
    "--dev",
    "--allow-cleartext",
    "--config",
    "--data-dir",
    "--http",
    "--resp",
    "--ops",
    "--event-loops",
    "--memory",
    "--seal",
    "--endpoint",
    "--tls-cert",
    "--tls-key",
    "--emulator",
    "--emulator-admin",
]

TEXT_LINE = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (trace|debug|info|notice|warning|error|critical) \S+: .+"
)


def run(*arguments, environment=None, cwd=None):
    """A command that ends by itself."""
    return subprocess.run(
        [binary(), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=15,
        cwd=cwd,
        env=clean_environment(environment),
    )


def busy(server):
    """Uses credentials in every place where one may stand, good and bad."""
    client = server.client()
    token = server.admin.make_token().credential
    key = server.admin.make_key(format="v2").credential
    shown = token.replace("=", "%3D")
    client.request("PUT", f"/cache/default?key=k&ttl_seconds=60&token={shown}", body=b"v").must_be(204)
    client.request("GET", f"/cache/default?key=k&token={shown}").must_be(200)
    client.request("GET", f"/cache/default?token={shown}").must_be(400)
    client.request("GET", f"/cache/missing?key=k&token={shown}").must_be(404)
    client.request("GET", f"/cache/default?key=k&to%6ben={shown}").must_be(401)
    client.request("GET", f"/nothing?token={shown}").must_be(404)
    client.request("GET", f"/v1/admin/caches?token={shown}").must_be(401)
    client.request("GET", "/cache/default?key=k", headers={"authorization": f"Bearer {key}"}).must_be(200)
    client.request("GET", f"/cache/default?key=k&token={key}", headers={"authorization": token}).must_be(400)
    with server.http2() as http2:
        http2.request("GET", f"/cache/default?key=k&token={shown}").must_be(200)
        http2.request("GET", f"/cache/default?key=k&token={shown}x").must_be(401)
    with server.raw() as raw:
        raw.try_send(f"GET /cache/default?token={token} HTTP/1.1\r\nAuthorization : {token}\r\n\r\n".encode())
        raw.read_to_end()


@pytest.mark.parametrize("level", ["trace", "debug", "info"])
@pytest.mark.parametrize("log_format", ["text", "json"])
def test_every_line_of_the_log_has_its_form_and_no_secret(make_server, log_format, level):
    server = make_server(arguments=["--log-format", log_format, "--log-level", level])
    busy(server)
    server.stop()  # checks every credential that was minted
    lines = server.errors().splitlines()
    assert lines
    for line in lines:
        if log_format == "json":
            event = json.loads(line)
            assert {"time", "level", "message"} <= set(event), line
        else:
            assert TEXT_LINE.fullmatch(line), line


def test_a_request_can_be_found_in_the_log_by_its_id(make_server):
    server = make_server(arguments=["--log-format", "json", "--log-level", "debug"])
    client = server.client()
    responses = [client.request("GET", "/cache/default", headers=server.admin.headers) for _ in range(3)]
    responses.append(client.request("GET", "/cache/missing?key=k", headers=server.admin.headers))
    ids = [response.headers["x-request-id"] for response in responses]
    assert len(set(ids)) == len(ids)

    def logged():
        events = [json.loads(line) for line in server.errors().splitlines()]
        return {event["metadata"]["request_id"]: event for event in events if "request_id" in event.get("metadata", {})}

    eventually(lambda: set(ids) <= set(logged()), within=2, what="the requests in the log")


def test_a_caller_cannot_write_log_lines_of_its_own(make_server):
    server = make_server(arguments=["--log-level", "trace"])
    client = server.client()
    forged = "2026-01-01T00:00:00.000Z%20critical%20martlet:%20FORGED"
    client.request("GET", f"/cache/%0A{forged}?key=k", headers=server.admin.headers).must_be(400)
    client.request("GET", f"/%0D%0A{forged}%1B[2J", headers=server.admin.headers).must_be(404)
    server.admin.call("PUT", "/caches/x", {"\nFORGED \x1b[2J": 1}).must_be(400)
    server.stop()
    assert not [line for line in server.errors().splitlines() if line.startswith("2026-01-01T00:00:00.000Z critical")]
    assert "\x1b" not in server.errors()


def test_at_the_usual_level_no_request_is_logged(make_server):
    server = make_server()
    client = server.client()
    for _ in range(50):
        client.request("GET", "/cache/default?key=k", headers=server.admin.headers).must_be(404)
    server.stop()
    assert len(server.errors().splitlines()) < 20


# The command line


def test_the_version_is_told():
    result = run("--version")
    assert result.returncode == 0
    assert re.fullmatch(r"martlet \d+\.\d+\.\d+\S*\n", result.stdout)
    assert result.stderr == ""


def test_the_help_names_every_flag_its_variable_and_its_default():
    result = run("serve", "--help")
    assert result.returncode == 0
    text = " ".join(result.stdout.split())
    for flag in FLAGS:
        assert re.search(rf"{flag}\b", text), flag
        variable = "MARTLET_" + flag[2:].replace("-", "_").upper()
        if flag != "--config":
            assert variable in text, variable
    for default in (
        "./martlet-data",
        "127.0.0.1:8080",
        "127.0.0.1:6380",
        "0.0.0.0:8443",
        "0.0.0.0:6380",
        "127.0.0.1:9464",
    ):
        assert default in text, default


def test_without_a_command_there_is_help_and_with_a_false_one_a_refusal():
    assert "serve" in run("--help").stdout
    assert run("srve").returncode == 64


@pytest.mark.parametrize(
    "arguments,words",
    [
        (["--port", "1"], ["--port"]),
        (["--http"], ["--http"]),
        (["--http", "8080"], ["--http", "8080"]),
        (["--http", "127.0.0.1:99999"], ["--http"]),
        (["--http", "0.0.0.0:0"], ["--http", "loopback"]),
        (["--resp", "0.0.0.0:0"], ["--resp", "loopback"]),
        (["--ops", "[::]:0"], ["--ops", "loopback"]),
        (["--memory", "lots"], ["--memory", "lots"]),
        (["--memory", "512MB"], ["--memory"]),
        (["--memory", "-1"], ["--memory"]),
        (["--event-loops", "0"], ["--event-loops"]),
        (["--event-loops", "two"], ["--event-loops", "two"]),
        (["--seal", "maybe"], ["--seal", "maybe"]),
        (["--endpoint", "a b"], ["--endpoint"]),
        (["--endpoint", "host:443"], ["--endpoint"]),
        (["--tls-cert", "x"], ["--tls-cert"]),
        (["--tls-key", "x"], ["--tls-key"]),
        (["--emulator-admin", "127.0.0.1:0"], ["--emulator-admin"]),
        (["--log-level", "loud"], ["--log-level", "loud"]),
        (["--log-format", "xml"], ["--log-format", "xml"]),
        (["--config", "/nonexistent/file"], ["/nonexistent/file"]),
        (["--data-dir", ""], ["--data-dir"]),
        (["extra"], ["extra"]),
    ],
)
def test_a_flag_that_cannot_be_used_is_named_in_one_sentence(tmp_path, arguments, words):
    result = run("serve", "--dev", "--data-dir", str(tmp_path / "data"), *arguments)
    assert result.returncode > 0
    assert result.stdout == ""
    for word in words:
        assert word in result.stderr, result.stderr
    assert len(result.stderr.splitlines()) <= 4, result.stderr
    assert not (tmp_path / "data").exists(), "a start that is refused makes nothing"
    if arguments[0] in ("--port", "extra"):
        assert result.returncode == 64


def test_cleartext_needs_dev_and_the_emulator_too(tmp_path):
    for arguments in (["--allow-cleartext"], ["--emulator"]):
        result = run("serve", "--data-dir", str(tmp_path / "data"), *arguments)
        assert result.returncode > 0
        assert "--dev" in result.stderr


def test_cleartext_is_allowed_anywhere_on_demand(make_server):
    server = make_server(binds=False, arguments=["--http", "0.0.0.0:0", "--resp", "127.0.0.1:0", "--allow-cleartext"])
    port = server.http[1]
    server.client(address=("127.0.0.1", port)).request("GET", "/healthz").must_be(200)


def test_without_dev_no_listener_shows_credentials_to_the_network(make_server):
    server = make_server(
        is_development=False,
        binds=False,
        arguments=["--http", "127.0.0.1:0", "--resp", "127.0.0.1:0", "--ops", "0.0.0.0:0"],
    )
    for port in (server.http[1], server.ops[1]):
        with RawConnection(("127.0.0.1", port)) as connection:
            connection.try_send(b"GET /v1/admin/caches HTTP/1.1\r\nHost: x\r\n\r\n")
            connection.finish_sending()
            assert b"HTTP/1.1 401" not in connection.read_to_end(), "the control plane answers in cleartext"


# Where values come from


def test_flags_come_before_the_environment_and_that_before_the_file(make_server, tmp_path):
    file = tmp_path / "martlet.json"
    file.write_text(json.dumps({"log_format": "json", "log_level": "debug", "ops": "127.0.0.1:0", "event_loops": 1}))
    environment = {"MARTLET_CONFIG": str(file)}

    def first_line(server):
        eventually(lambda: server.errors(), what="a line of the log")
        return server.errors().splitlines()[0]

    from_file = make_server("one", environment=environment)
    assert first_line(from_file).startswith("{")
    from_environment = make_server("two", environment={**environment, "MARTLET_LOG_FORMAT": "text"})
    assert TEXT_LINE.fullmatch(first_line(from_environment))
    from_flag = make_server(
        "three", environment={**environment, "MARTLET_LOG_FORMAT": "text"}, arguments=["--log-format", "json"]
    )
    assert first_line(from_flag).startswith("{")
    by_flag = make_server("four", arguments=["--config", str(file)])
    assert first_line(by_flag).startswith("{")


def test_every_value_may_come_from_the_environment_alone(tmp_path):
    server = Server(tmp_path / "unused", binds=False)
    server.command = [binary(), "serve"]
    server.environment = clean_environment(
        {
            "MARTLET_DEV": "true",
            "MARTLET_DATA_DIR": str(tmp_path / "data"),
            "MARTLET_HTTP": "127.0.0.1:0",
            "MARTLET_RESP": "127.0.0.1:0",
            "MARTLET_OPS": "127.0.0.1:0",
            "MARTLET_MEMORY": "64MiB",
            "MARTLET_SIZES_MAX_ITEM_BYTES": "1000",
        }
    )
    try:
        server.start()
        assert server.ready["data_directory"] == str(tmp_path / "data")
        client = server.client()
        client.request(
            "PUT", "/cache/default?key=k&ttl_seconds=60", headers=server.admin.headers, body=b"x" * 999
        ).must_be(204)
        error = client.request(
            "PUT", "/cache/default?key=k&ttl_seconds=60", headers=server.admin.headers, body=b"x" * 1000
        ).must_refuse(413, "TooLarge")
        assert error["value"] == 1000
    finally:
        if server.is_running:
            server.stop()


@pytest.mark.parametrize(
    "text,words",
    [
        ("{", []),
        ("[]", []),
        ('{"htp": "127.0.0.1:0"}', ["htp"]),
        ('{"http": 8080}', ["http"]),
        ('{"dev": "yes"}', ["dev"]),
        ('{"event_loops": "many"}', ["event_loops"]),
        ('{"sizes": {"max_item": 1}}', ["max_item"]),
        ("", []),
        ("\x00", []),
    ],
)
def test_a_configuration_file_that_cannot_be_used_is_named(tmp_path, text, words):
    file = tmp_path / "martlet.json"
    file.write_text(text)
    result = run("serve", "--dev", "--config", str(file), "--data-dir", str(tmp_path / "data"))
    assert result.returncode > 0
    assert result.stdout == ""
    for word in [str(file), *words]:
        assert word in result.stderr, result.stderr
    assert len(result.stderr.splitlines()) == 1, result.stderr


def test_the_ready_line_is_the_contract(make_server):
    server = make_server()
    line = server.output_lines[0]
    assert line.startswith(f"martlet ready http=127.0.0.1:{server.http[1]} ")
    assert line.endswith(f"data-dir={server.data_directory} root-key={server.data_directory}/root.key")
    assert server.http[1] != 0 and server.ops[1] != 0
    no_ops = make_server("two", binds=False, arguments=["--http", "127.0.0.1:0", "--resp", "127.0.0.1:0"])
    assert no_ops.ready["ops"] is None
