"""The ends of a process: drained, killed, or refused at the start; and what is still true afterwards."""

import http.client
import os
import signal
import socket
import sqlite3
import ssl
import struct
import threading

import pytest

from support.admin import Admin, fresh_name
from support.certificates import serial_of, write_certificate
from support.http1 import RawConnection
from support.http2 import Http2Connection
from support.server import can_have_own_disk
from support.waiting import eventually

LARGE = 5_000_000


# Drain


def test_a_drain_finishes_what_is_in_flight_on_http2(make_server):
    server = make_server()
    value = os.urandom(LARGE)
    root = server.admin.headers
    with server.http2() as client:
        client.request("PUT", "/cache/default?key=k&ttl_seconds=600", headers=root, body=value).must_be(204)
    with server.http2(initial_window=10_000, returns_window=False) as client:
        download = client.open("GET", "/cache/default?key=k", headers=root)
        upload = client.open("PUT", "/cache/default?key=up&ttl_seconds=60", headers=root, ends=False)
        client.send_body(upload, b"first half, ", ends=False)
        client.run(lambda: len(client.streams[download].body) >= 10_000)
        server.terminate()
        client.run(lambda: client.goaway is not None)
        assert client.goaway[0] == 0
        assert server.is_running
        client.send_body(upload, b"second half")
        client.run(lambda: client.streams[upload].is_over)
        client.streams[upload].response().must_be(204)
        client.returns_window = True
        client.give_window(LARGE, download)
        client.give_window(LARGE)
        assert client.finish(download).must_be(200).body == value
        client.run_to_end()
    assert server.wait() == 0
    server.check_errors()


def test_a_drain_finishes_what_is_in_flight_on_http1(make_server):
    server = make_server()
    value = os.urandom(LARGE)
    root = server.admin.headers
    server.client().request("PUT", "/cache/default?key=k&ttl_seconds=600", headers=root, body=value).must_be(204)
    authorization = f"Authorization: {server.root_key}\r\n"
    with server.raw(receive_buffer=4096) as download, server.raw() as upload, server.raw() as idle:
        idle.send(f"GET /healthz HTTP/1.1\r\nHost: x\r\n{authorization}\r\n".encode())
        idle.read_response().must_be(200)
        download.send(f"GET /cache/default?key=k HTTP/1.1\r\nHost: x\r\n{authorization}\r\n".encode())
        download.read_until(b"\r\n\r\n")
        upload.send(
            f"PUT /cache/default?key=up&ttl_seconds=60 HTTP/1.1\r\nHost: x\r\n{authorization}"
            "Content-Length: 10\r\n\r\n12345".encode()
        )
        assert server.client().request("GET", "/readyz").status == 200
        server.terminate()
        # Who waits for nothing is let go at once.
        assert idle.is_closed()
        upload.send(b"67890")
        upload.read_response().must_be(204)
        assert upload.is_closed()
        assert download.read_exactly(LARGE, within=20) == value
        assert download.is_closed()
    assert server.wait() == 0


def test_a_drain_takes_no_new_connection_and_says_that_it_is_not_ready(make_server):
    server = make_server()
    with server.http2() as client:
        stream_id = client.open("PUT", "/cache/default?key=k&ttl_seconds=60", headers=server.admin.headers, ends=False)
        client.send_body(stream_id, b"x", ends=False)
        client.state.ping(b"together")
        client.flush()
        client.run(lambda: client.pongs)
        server.terminate()
        client.run(lambda: client.goaway is not None)

        def is_refused():
            try:
                with socket.create_connection(server.http, timeout=1):
                    return False
            except ConnectionRefusedError:
                return True

        eventually(is_refused, what="the listener's end")
        client.send_body(stream_id, b"y")
        client.finish(stream_id).must_be(204)
    assert server.wait() == 0


def test_a_peer_that_never_finishes_holds_a_drain_up_no_longer_than_its_grace(make_server):
    server = make_server(arguments=["--shutdown-grace", "1"])
    with server.raw() as connection:
        connection.send(
            f"PUT /cache/default?key=k&ttl_seconds=60 HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: {server.root_key}\r\nContent-Length: 10\r\n\r\n1".encode()
        )
        assert server.is_healthy()
        server.terminate()
        assert server.wait(within=8) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_server_ends_at_once(make_server, number):
    server = make_server()
    kept = [server.client(), server.http2()]
    for client in kept:
        client.request("GET", "/healthz").must_be(200)
    server.process.send_signal(number)
    assert server.wait(within=5) == 0
    assert len(server.output_lines) == 1


# Kill


class Writer(threading.Thread):
    """Writes as fast as it is answered, and counts what it asked and what was acknowledged."""

    def __init__(self, server, cache, number):
        super().__init__(daemon=True)
        self.client = server.client() if number % 2 else server.http2()
        self.headers = {"authorization": server.root_key}
        self.target = f"/cache/{cache}?key=w{number}&ttl_seconds=600"
        self.sent = self.acknowledged = 0

    def run(self):
        try:
            while True:
                self.sent += 1
                response = self.client.request("PUT", self.target, headers=self.headers, body=b"x" * 100)
                assert response.status == 204
                self.acknowledged += 1
        except (OSError, AssertionError, http.client.HTTPException):
            pass


class Operator(threading.Thread):
    """Changes the catalog without a pause, and remembers what was acknowledged."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.admin = Admin(server)
        self.caches, self.deleted, self.tenants = [], [], []
        self.revoked, self.live = [], []

    def run(self):
        try:
            while True:
                self.caches.append(self.admin.make_cache(labels={"made": "in haste"}))
                gone = self.admin.make_cache()
                self.admin.call("DELETE", f"/caches/{gone}").must_be(204)
                self.deleted.append(gone)
                self.live.append(self.admin.make_token())
                for minted, revoke in (
                    (self.admin.make_token(), self.admin.revoke_token),
                    (self.admin.make_key(), self.admin.revoke_key),
                ):
                    revoke(minted.id)
                    self.revoked.append(minted)
                self.live.append(self.admin.make_key())
                tenant = fresh_name("tenant")
                answer = self.admin.call("PUT", f"/tenants/{tenant}", {}).must_be(201).json()
                self.tenants.append((tenant, answer["key"]))
        except (OSError, AssertionError, http.client.HTTPException):
            pass


@pytest.mark.timeout(120)
def test_a_kill_in_the_middle_of_everything_loses_nothing_that_was_acknowledged(make_server):
    server = make_server()
    server.admin.make_cache("shop")
    sent = acknowledged = 0
    made, deleted, tenants, revoked, live = [], [], [], [], []
    for _ in range(3):
        writers = [Writer(server, "shop", number) for number in range(4)]
        operator = Operator(server)
        for thread in (*writers, operator):
            thread.start()
        eventually(
            lambda: sum(writer.acknowledged for writer in writers) > 1500 and len(operator.tenants) >= 3,
            within=20,
            what="a good deal of work",
        )
        server.kill()
        for thread in (*writers, operator):
            thread.join(20)
            assert not thread.is_alive()
        sent += sum(writer.sent for writer in writers)
        acknowledged += sum(writer.acknowledged for writer in writers)
        made += operator.caches
        deleted += operator.deleted
        tenants += operator.tenants
        revoked += operator.revoked
        live += operator.live

        server.start()
        names = {cache["name"] for cache in server.admin.items("/caches", "caches", limit=1000)}
        assert {"shop", "default", *made} <= names
        assert names.isdisjoint(deleted)
        client = server.client()
        for minted in revoked:
            response = client.request("GET", "/cache/shop?key=none", headers=minted.headers)
            response.must_be(401)
        for minted in live:
            client.request("GET", "/cache/default?key=none", headers=minted.headers).must_be(404)
        for name, key in tenants:
            assert server.admin.call("GET", f"/tenants/{name}").status == 200
            Admin(server, key).call("GET", "/caches").must_be(200)
        # Everything that was answered is on the bill, once; what was in flight may be, as it may have been carried out.
        operations = server.admin.used("shop")["operations"]
        assert acknowledged <= operations <= sent, (acknowledged, operations, sent)
        acknowledged, sent = operations, operations
    events = server.admin.items("/audit", "events", limit=1000)
    told = {(event["action"], event["subject"]) for event in events}
    assert {("cache.create", name) for name in made} <= told
    assert {("cache.delete", name) for name in deleted} <= told


def test_usage_is_folded_once_however_often_the_process_dies(make_server):
    server = make_server()
    for count in range(1, 6):
        client = server.client()
        for _ in range(10):
            client.request(
                "PUT", "/cache/default?key=k&ttl_seconds=60", headers=server.admin.headers, body=b"v"
            ).must_be(204)
        if count % 2:
            # Folded before the kill, and not.
            assert server.admin.used("default")["operations"] == 10 * count
        server.kill()
        server.start()
        assert server.admin.used("default")["operations"] == 10 * count


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_understood_from_the_ready_line_on(make_server, number):
    for attempt in range(8):
        server = make_server(f"data-{attempt}")
        server.process.send_signal(number)
        if number == signal.SIGHUP:
            assert server.is_healthy()
            server.terminate()
        assert server.wait(within=5) == 0


def test_a_kill_before_the_first_catalog_was_whole_leaves_a_directory_that_starts(make_server, tmp_path):
    # What SQLite leaves when it dies while it turns a new file into one with a write-ahead log: a first page, and a
    # journal that says that there was none (https://www.sqlite.org/fileformat2.html section 3).
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    with sqlite3.connect(data / "catalog.sqlite") as database:
        database.execute("PRAGMA journal_mode = WAL")
    database.close()
    assert (data / "catalog.sqlite").stat().st_size == 4096
    header = bytes.fromhex("d9d505f920a163d7") + struct.pack(">IIIII", 0, 12345, 0, 512, 4096)
    (data / "catalog.sqlite-journal").write_bytes(header.ljust(512, b"\0"))
    server = make_server()
    server.admin.make_cache("shop")


def test_a_process_killed_while_it_starts_leaves_a_directory_that_starts(make_server):
    server = make_server(starts=False)
    for milliseconds in (0, 5, 10, 20, 30, 50, 80):
        server.launch()
        with_deadline = threading.Event()
        with_deadline.wait(milliseconds / 1000)  # where the kill lands is the point; nothing waits for this
        server.kill()
    server.start()
    server.admin.make_cache("shop")


# The certificate


def test_hang_up_reloads_the_certificate_and_drops_nobody(make_server, tmp_path):
    certificate, key = tmp_path / "server.pem", tmp_path / "server.key"
    first = write_certificate(certificate, key)
    server = make_server(is_development=False, arguments=["--tls-cert", str(certificate), "--tls-key", str(key)])

    def connect(protocol="http/1.1"):
        context = ssl.create_default_context(cadata=certificate.read_text())
        context.set_alpn_protocols([protocol])
        return context

    def shown():
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with RawConnection(server.http, context=context) as connection:
            return serial_of(connection.socket)

    assert shown() == first
    with (
        RawConnection(server.http, context=connect()) as old,
        Http2Connection(server.http, context=connect("h2")) as older,
    ):
        older.request("GET", "/healthz").must_be(200)
        second = write_certificate(certificate, key)
        server.hang_up()
        eventually(lambda: shown() == second, what="the new certificate")
        old.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        old.read_response().must_be(200)
        older.request("GET", "/healthz").must_be(200)

        # What cannot be used is not taken, and said.
        certificate.write_text("not a certificate")
        server.hang_up()
        eventually(lambda: "could not be reloaded" in server.errors(), what="the refusal in the log")
        assert shown() == second
        old.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        old.read_response().must_be(200)


def test_hang_up_does_nothing_to_a_server_without_a_certificate(make_server):
    server = make_server()
    client = server.client()
    client.request("GET", "/healthz").must_be(200)
    server.hang_up()
    client.request("GET", "/healthz").must_be(200)
    assert server.is_healthy()


# Starts that fail


def must_not_start(server, *words):
    """Starts a process that cannot serve: one sentence on standard error, nothing on standard output, not code 0."""
    server.launch()
    code = server.wait(within=15)
    text = server.errors()
    assert code > 0, f"code {code}: {text}"
    assert server.output_lines == []
    lines = [line for line in text.splitlines() if line.strip()]
    sentences = [line for line in lines if line.startswith("martlet: ")]
    assert len(sentences) == 1, text
    for word in words:
        assert str(word) in sentences[0], text
    assert len(sentences[0]) < 600
    assert "Fatal error" not in text and "Stack dump" not in text and "Error Domain" not in text
    # Whatever is logged besides is a line of the log.
    assert len(lines) <= 3, text
    server.process = None
    return sentences[0]


def test_a_busy_port_is_named(make_server):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        for flag in ("--http", "--ops"):
            others = ["--http", "127.0.0.1:0"] if flag == "--ops" else []
            server = make_server(fresh_name("data"), starts=False, binds=False, arguments=[flag, address, *others])
            must_not_start(server, address, "in use")


def test_an_address_of_another_machine_is_named(make_server):
    server = make_server(starts=False, binds=False, arguments=["--http", "192.0.2.1:0", "--allow-cleartext"])
    must_not_start(server, "192.0.2.1")


def test_a_data_directory_that_cannot_be_is_named(make_server, tmp_path):
    (tmp_path / "file").write_text("a file")
    errors = tmp_path / "stderr"
    must_not_start(make_server("file/data", starts=False, errors_path=errors), tmp_path / "file" / "data")
    must_not_start(make_server("file", starts=False, errors_path=errors), tmp_path / "file")


def test_a_directory_that_cannot_be_written_is_named(make_server, tmp_path):
    # Not even root writes here.
    link = tmp_path / "data"
    link.symlink_to("/proc/self")
    must_not_start(make_server("data", starts=False), link)


needs_own_disk = pytest.mark.skipif(not can_have_own_disk(), reason="user namespaces are not allowed here")


@needs_own_disk
def test_a_full_disk_stops_the_start(make_server):
    # 64 KiB are not enough for a catalog.
    server = make_server(starts=False, disk_size="64k")
    must_not_start(server, server.data_directory)


@needs_own_disk
def test_a_disk_that_fills_up_while_serving_stops_changes_and_not_reads(make_server):
    server = make_server(disk_size="24m")
    client = server.client()
    token = server.admin.make_token()
    target = "/cache/default?key=k"
    client.request("PUT", f"{target}&ttl_seconds=600", headers=token.headers, body=b"v").must_be(204)
    filler = server.seen_data_directory / "filler"
    with open(filler, "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass

    def change():
        return server.admin.call("PUT", f"/caches/{fresh_name('cache')}", {"labels": {"l": "x" * 200}})

    # A write-ahead log has some room of its own; in the end a change is refused, and said to be the server's fault.
    eventually(lambda: change().status >= 500, within=20, what="a change that is refused")
    for _ in range(50):
        client.request("PUT", f"{target}&ttl_seconds=600", headers=token.headers, body=b"v").must_be(204)
        client.request("GET", target, headers=token.headers).must_be(200)
    filler.unlink()
    eventually(lambda: change().status == 201, within=20, what="changes when there is room again")
    assert server.admin.used("default")["operations"] == 101


@pytest.mark.parametrize("damage", ["rubbish", "torn", "scribbled", "another file"])
@pytest.mark.parametrize("name", ["catalog.sqlite", "ledger.sqlite", "meters.bin"])
def test_a_damaged_file_stops_the_start_or_is_told(make_server, name, damage):
    server = make_server()
    for number in range(50):
        server.admin.make_cache(f"cache-{number:03}", labels={"filler": "x" * 200})
        server.client().request("GET", f"/cache/cache-{number:03}?key=k", headers=server.admin.headers)
    server.admin.usage()
    server.stop()
    path = server.data_directory / name
    if path.suffix == ".sqlite":
        # All of it into the one file that is to be damaged.
        with sqlite3.connect(path) as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        database.close()
    whole = path.read_bytes()
    assert len(whole) > 8192
    if damage == "rubbish":
        path.write_bytes(os.urandom(len(whole)))
    elif damage == "torn":
        path.write_bytes(whole[: len(whole) // 2 + 7])
    elif damage == "scribbled":
        start = 0 if name == "meters.bin" else 4096
        path.write_bytes(whole[: start + 16] + os.urandom(len(whole) - start - 16))
    else:
        path.write_bytes(b"This is a letter to a friend.\n" * 500)
    found = path.read_bytes()
    server.launch()
    eventually(lambda: server.output_lines or not server.is_running, what="an end or a start")
    if not server.is_running:
        server.process.wait()
        must_not_start(server, name)
        if name != "ledger.sqlite":
            assert path.read_bytes() == found, "what is damaged is left for those who may repair it"
    else:
        # Serving on is allowed when it is said.
        assert name in server.errors(), server.errors()


def test_two_processes_do_not_share_a_directory(make_server):
    first = make_server()
    first.admin.make_cache("shop")
    second = make_server(starts=False)
    second.errors_path = first.errors_path.with_name("second.stderr")
    must_not_start(second, first.data_directory)
    assert first.is_healthy()
    first.admin.cache("shop")
    client = first.client()
    client.request("PUT", "/cache/shop?key=k&ttl_seconds=60", headers=first.admin.headers, body=b"v").must_be(204)
    assert first.admin.used("shop")["operations"] == 1


def test_a_certificate_that_cannot_be_used_is_named(make_server, tmp_path):
    certificate, key = tmp_path / "server.pem", tmp_path / "server.key"
    write_certificate(certificate, key)
    write_certificate(tmp_path / "other.pem", tmp_path / "other.key")

    def arguments(first, second):
        return ["--tls-cert", str(first), "--tls-key", str(second)]

    (tmp_path / "empty").write_text("")
    for number, (first, second) in enumerate(
        (
            (certificate, tmp_path / "other.key"),
            (tmp_path / "missing", key),
            (certificate, tmp_path / "missing"),
            (key, key),
            (tmp_path / "empty", key),
            (certificate, tmp_path / "empty"),
        )
    ):
        server = make_server(f"data-{number}", starts=False, is_development=False, arguments=arguments(first, second))
        must_not_start(server)
