"""HTTP/1.1 on bare sockets: what two servers in a row could read differently is refused, order kept; nothing hangs."""

import random
import re
import time

import pytest

from support.waiting import eventually


@pytest.fixture
def stored(server, cache):
    """The target of an item that exists; whoever gets hold of it sees `stored value`."""
    client = server.client()
    target = f"/cache/{cache}?key=k"
    client.request("PUT", f"{target}&ttl_seconds=600", headers=server.admin.headers, body=b"stored value").must_be(204)
    return target


def head(method, target, *lines, version="HTTP/1.1", host="Host: x", end="\r\n"):
    """A request head with a valid frame around what is tested."""
    first = [f"{method} {target} {version}"]
    if host:
        first.append(host)
    return (end.join([*first, *lines]) + end + end).encode("latin-1")


def status_lines(data):
    return re.findall(rb"HTTP/1\.[01] (\d\d\d)", data)


# Request smuggling (RFC 9112 sections 5.1, 5.2, 6.1, 6.3, 7.1, 11.2)


def smuggling(server, stored):
    """Heads that are refused, and behind each a second request that must never be answered."""
    authorization = f"Authorization: {server.root_key}"
    put = f"{stored}&ttl_seconds=60"
    inner = head("GET", stored, authorization)
    chunked = b"5\r\nhello\r\n0\r\n\r\n"

    def form(*lines, body=chunked, method="PUT", **options):
        return head(method, put, authorization, *lines, **options) + body

    length = f"Content-Length: {len(chunked)}"
    return {
        "length and chunks": form(length, "Transfer-Encoding: chunked"),
        "chunks and length": form("Transfer-Encoding: chunked", length),
        "two lengths": form("Content-Length: 5", "Content-Length: 6", body=b"hello!"),
        "two lengths in one": form("Content-Length: 5, 6", body=b"hello!"),
        "two equal lengths": form("Content-Length: 5", "Content-Length: 5", body=b"hello"),
        "a list of equal lengths": form("Content-Length: 5, 5", body=b"hello"),
        "a negative length": form("Content-Length: -5", body=b"hello"),
        "a length with a sign": form("Content-Length: +5", body=b"hello"),
        "a hexadecimal length": form("Content-Length: 0x5", body=b"hello"),
        "a length with a space in it": form("Content-Length: 5 0", body=b"hello"),
        "an empty length": form("Content-Length:", body=b"hello"),
        "a length beyond 64 bits": form("Content-Length: 18446744073709551621", body=b"hello"),
        "an unknown coding": form("Transfer-Encoding: xchunked"),
        "gzip and chunked": form("Transfer-Encoding: gzip, chunked"),
        "chunked and identity": form("Transfer-Encoding: chunked, identity"),
        "two codings": form("Transfer-Encoding: chunked", "Transfer-Encoding: identity"),
        "chunked twice": form("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
        "a coding in quotes": form('Transfer-Encoding: "chunked"'),
        "a coding with a vertical tab": form("Transfer-Encoding: \x0bchunked"),
        "an empty coding": form("Transfer-Encoding:", length),
        "a space before the colon": form("Transfer-Encoding : chunked", length),
        "a tab before the colon": form("Content-Length\t: 5", body=b"hello"),
        "a space before the first name": head("PUT", put, " Content-Length: 5", authorization, host="Host: x")
        + b"hello",
        "a folded field": form("X-Folded: a", " Transfer-Encoding: chunked", length),
        "a folded coding": form("Transfer-Encoding:", " chunked", length),
        "a bare line feed between fields": form(f"X-A: b\n{length}\nTransfer-Encoding: chunked"),
        "a bare carriage return": form(f"X-A: b\rTransfer-Encoding: chunked\r{length}"),
        "a NUL in a value": form("X-A: a\0b", "Content-Length: 5", body=b"hello"),
        "a NUL in a name": form("X\0A: b", "Content-Length: 5", body=b"hello"),
        "an empty name": form(": x", "Content-Length: 5", body=b"hello"),
        "a field without a colon": form("Content-Length", "Content-Length: 5", body=b"hello"),
        "no host": head("PUT", put, authorization, "Content-Length: 5", host=None) + b"hello",
        "two hosts": form("Host: y", "Content-Length: 5", body=b"hello"),
        "two equal hosts": form("Host: x", "Content-Length: 5", body=b"hello"),
        "chunks in HTTP/1.0": form("Transfer-Encoding: chunked", version="HTTP/1.0"),
        "a version that is none": form("Content-Length: 5", body=b"hello", version="HTTP/1.9x"),
        "version 0.9": b"GET " + stored.encode() + b"\r\n",
        "version 2.0": form("Content-Length: 5", body=b"hello", version="HTTP/2.0"),
        "a space in the target": head("GET", stored + " x", authorization),
        "a bare line feed after the request line": f"GET {stored} HTTP/1.1\nHost: x\n{authorization}\n\n".encode(),
        "a chunk size that is none": form("Transfer-Encoding: chunked", body=b"x5\r\nhello\r\n0\r\n\r\n"),
        "a negative chunk size": form("Transfer-Encoding: chunked", body=b"-5\r\nhello\r\n0\r\n\r\n"),
        "a chunk size beyond 64 bits": form(
            "Transfer-Encoding: chunked", body=b"10000000000000005\r\nhello\r\n0\r\n\r\n"
        ),
        "a chunk that is longer than it says": form("Transfer-Encoding: chunked", body=b"3\r\nhello\r\n0\r\n\r\n"),
        "a chunk size with a prefix": form("Transfer-Encoding: chunked", body=b"0x5\r\nhello\r\n0\r\n\r\n"),
        "a chunk ended by a line feed": form("Transfer-Encoding: chunked", body=b"5\nhello\n0\n\n"),
    }, inner


SMUGGLING = sorted(smuggling(type("Names", (), {"root_key": "x"}), "/x?key=k")[0])


@pytest.mark.parametrize("name", SMUGGLING)
def test_a_request_that_could_be_read_in_two_ways_is_refused_and_ends_the_connection(server, stored, name):
    forms, inner = smuggling(server, stored)
    with server.raw() as connection:
        connection.try_send(forms[name] + inner)
        answer = connection.read_to_end()
    assert b"stored value" not in answer, "the request behind it was answered"
    statuses = status_lines(answer)
    assert len(statuses) <= 1, answer[:600]
    assert not statuses or 400 <= int(statuses[0]) < 500, answer[:600]
    value = server.client().request("GET", stored, headers=server.admin.headers)
    assert value.body == b"stored value", "the write was carried out"


@pytest.mark.parametrize(
    "lines,body",
    [
        (["Content-Length: 5"], b"hello"),
        (["content-length:5"], b"hello"),
        (["Content-Length:   5  "], b"hello"),
        (["Transfer-Encoding: chunked"], b"5\r\nhello\r\n0\r\n\r\n"),
        (["Transfer-Encoding: Chunked"], b"2;extension=x\r\nhe\r\n003\r\nllo\r\n0\r\nX-Trailer: y\r\n\r\n"),
        (["X-Empty:", "Content-Length: 5"], b"hello"),
    ],
)
def test_what_is_valid_is_taken_however_it_is_spelled(server, cache, lines, body):
    with server.raw() as connection:
        connection.send(
            head("PUT", f"/cache/{cache}?key=v&ttl_seconds=60", f"Authorization: {server.root_key}", *lines) + body
        )
        connection.read_response().must_be(204)
        connection.send(head("GET", f"/cache/{cache}?key=v", f"Authorization: {server.root_key}"))
        assert connection.read_response().must_be(200).body == b"hello"


# Pipelining and keeping the connection


def test_a_hundred_pipelined_requests_are_answered_in_order(server, cache):
    authorization = f"Authorization: {server.root_key}"
    requests = []
    for number in range(50):
        value = f"value {number}".encode()
        requests.append(
            head("PUT", f"/cache/{cache}?key=k{number}&ttl_seconds=60", authorization, f"Content-Length: {len(value)}")
            + value
        )
        requests.append(head("GET", f"/cache/{cache}?key=k{number}", authorization))
    with server.raw() as connection:
        connection.send(b"".join(requests))
        for number in range(50):
            connection.read_response().must_be(204)
            assert connection.read_response().must_be(200).body == f"value {number}".encode()


def test_slow_and_quick_answers_of_a_pipeline_keep_their_order(server, cache, stored):
    # The control plane answers from another thread, a new token is verified on one: what follows waits its turn.
    token = server.admin.make_token().credential
    root = f"Authorization: {server.root_key}"
    with server.raw() as connection:
        connection.send(
            head("GET", "/v1/admin/caches/default", root)
            + head("GET", stored, f"Authorization: {token}")
            + head("GET", "/healthz")
            + head("GET", "/v1/admin/usage", root)
            + head("GET", f"/cache/{cache}?key=none", root)
            + head("HEAD", stored, root)
            + head("GET", stored, root)
        )
        assert connection.read_response().must_be(200).json()["name"] == "default"
        assert connection.read_response().must_be(200).body == b"stored value"
        assert connection.read_response().must_be(200).body == b"ok\n"
        assert "rows" in connection.read_response().must_be(200).json()
        connection.read_response().must_be(404)
        connection.read_response(to_head=True).must_be(200)
        assert connection.read_response().must_be(200).body == b"stored value"


def test_large_answers_of_a_pipeline_come_whole_to_a_slow_reader(server, cache):
    value = random.Random(5).randbytes(2_000_000)
    server.client().request(
        "PUT", f"/cache/{cache}?key=l&ttl_seconds=60", headers=server.admin.headers, body=value
    ).must_be(204)
    before = server.resident_bytes()
    with server.raw(receive_buffer=4096) as connection:
        connection.send(head("GET", f"/cache/{cache}?key=l", f"Authorization: {server.root_key}") * 50)
        assert server.is_healthy()
        for _ in range(50):
            assert connection.read_response().must_be(200).body == value
            assert server.resident_bytes() - before < 60 << 20


def test_a_refusal_keeps_the_connection(server, stored):
    root = f"Authorization: {server.root_key}"
    with server.raw() as connection:
        for request, status in (
            (head("GET", stored), 401),
            (head("GET", "/nothing"), 404),
            (head("GET", stored.partition("?")[0], root), 400),
            (head("PUT", stored, root, "Content-Length: 5") + b"hello", 400),
            (head("DELETE", "/healthz"), 405),
            (head("PUT", f"{stored}&ttl_seconds=1", "Content-Length: 5") + b"hello", 401),
            (head("PUT", f"{stored}&ttl_seconds=1", "Transfer-Encoding: chunked") + b"5\r\nhello\r\n0\r\n\r\n", 401),
        ):
            connection.send(request)
            response = connection.read_response().must_be(status)
            assert response.headers.get("connection") != "close"
        connection.send(head("GET", stored, root))
        connection.read_response().must_be(200)


def test_connection_close_is_honoured(server, stored):
    root = f"Authorization: {server.root_key}"
    with server.raw() as connection:
        connection.send(head("GET", stored, root, "Connection: close") + head("GET", stored, root))
        response = connection.read_response().must_be(200)
        assert response.headers["connection"] == "close"
        assert connection.read_to_end() == b""


@pytest.mark.parametrize("ending", ["Connection: close", "HTTP/1.0"])
def test_a_large_answer_is_sent_whole_before_the_connection_ends(server, cache, ending):
    value = random.Random(7).randbytes(5_000_000)
    client = server.client()
    target = f"/cache/{cache}?key=l"
    client.request("PUT", f"{target}&ttl_seconds=60", headers=server.admin.headers, body=value).must_be(204)
    root = f"Authorization: {server.root_key}"
    with server.raw(receive_buffer=4096) as connection:
        if ending == "HTTP/1.0":
            connection.send(head("GET", target, root, version="HTTP/1.0"))
        else:
            connection.send(head("GET", target, root, ending))
        assert server.is_healthy()
        assert connection.read_response().must_be(200).body == value
        assert connection.read_to_end() == b""


def test_http_1_0_is_answered_and_kept_only_when_asked(server, stored):
    root = f"Authorization: {server.root_key}"
    with server.raw() as connection:
        connection.send(head("GET", stored, root, version="HTTP/1.0", host=None))
        assert connection.read_response().must_be(200).body == b"stored value"
        assert connection.read_to_end() == b""
    with server.raw() as connection:
        for _ in range(3):
            connection.send(head("GET", stored, root, "Connection: keep-alive", version="HTTP/1.0"))
            response = connection.read_response().must_be(200)
            assert response.headers["connection"].lower() == "keep-alive"


def test_a_half_closed_connection_still_gets_its_answers(server, stored):
    root = f"Authorization: {server.root_key}"
    with server.raw() as connection:
        connection.send(head("GET", stored, root) * 3)
        connection.finish_sending()
        assert status_lines(connection.read_to_end()) == [b"200"] * 3


# Targets and methods


def test_an_absolute_target_means_its_path(server, stored):
    # RFC 9112 section 3.2.2: a server must accept it.
    with server.raw() as connection:
        for scheme in ("http", "HTTP"):
            connection.send(
                head("GET", f"{scheme}://elsewhere.example:80{stored}", f"Authorization: {server.root_key}")
            )
            assert connection.read_response().must_be(200).body == b"stored value"


@pytest.mark.parametrize(
    "target",
    [
        "*",
        "x",
        "//",
        "http://",
        "http://x",
        "/%",
        "/cache/%zz?key=k",
        "/cache/a?key=%",
        "?key=k",
        "/cache/../cache/a?key=k",
        "/cache//a?key=k",
        "/cache/a#x",
    ],
)
@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
def test_an_odd_target_gets_an_answer_and_no_harm(server, method, target):
    with server.raw() as connection:
        connection.send(head(method, target, f"Authorization: {server.root_key}"))
        assert connection.read_response().status in (200, 204, 400, 404)
    assert server.is_healthy()


@pytest.mark.parametrize("method", ["PATCH", "TRACE", "CONNECT", "PROPFIND", "BREW", "get", "G", "M-SEARCH", "QUERY"])
def test_an_unknown_method_is_refused(server, stored, method):
    with server.raw() as connection:
        connection.try_send(head(method, stored, f"Authorization: {server.root_key}"))
        response = connection.read_response()
        assert response.status in (400, 405, 501), response
        assert b"stored value" not in response.body


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
        b"\x80\x2e\x01\x00\x02" + bytes(50),
        b"*1\r\n$4\r\nPING\r\n",
        b"AUTH default secret\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x00" * 1000,
        b"\xff" * 1000,
        b"GET",
        b"GET ",
        b"GET / ",
        b"GET / HTTP/1.1",
        b"A" * 100_000,
        b": :\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"a" * 200_000,
        b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 50_000 + b"\r\n",
        b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n" + bytes(50),
        b"PRI * HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
def test_what_is_no_request_ends_the_connection(server, data):
    with server.raw() as connection:
        connection.try_send(data)
        connection.finish_sending()
        answer = connection.read_to_end()
    assert b"200" not in status_lines(answer)
    assert len(status_lines(answer)) <= 1
    assert server.is_healthy()


@pytest.mark.parametrize("seed", range(6))
def test_mutated_requests_harm_nobody(server, stored, seed):
    generator = random.Random(seed)
    whole = (
        head(
            "PUT",
            f"{stored}&ttl_seconds=60",
            f"Authorization: {server.root_key}",
            "Content-Length: 5",
            "Expect: 100-continue",
        )
        + b"hello"
        + head("GET", stored, f"Authorization: {server.root_key}")
    )
    for _ in range(50):
        data = bytearray(whole)
        for _ in range(generator.randint(1, 5)):
            place = generator.randrange(len(data))
            if generator.random() < 0.5:
                data[place] = generator.randrange(256)
            else:
                data[place : place + generator.randint(0, 9)] = generator.randbytes(generator.randint(0, 9))
        with server.raw() as connection:
            connection.try_send(bytes(data))
            connection.finish_sending()
            connection.read_to_end()
    assert server.is_healthy()


# Cut and slow input


@pytest.mark.parametrize(
    "lines,body",
    [(["Content-Length: 12"], b"hello, world"), (["Transfer-Encoding: chunked"], b"c\r\nhello, world\r\n0\r\n\r\n")],
)
def test_a_request_may_break_off_at_every_byte(server, cache, lines, body):
    target = f"/cache/{cache}?key=cut&ttl_seconds=60"
    data = head("PUT", target, f"Authorization: {server.root_key}", *lines) + body
    before = server.open_files()
    for cut in range(len(data)):
        with server.raw() as connection:
            connection.send(data[:cut])
        with server.raw() as connection:
            connection.send(data[:cut])
            connection.finish_sending()
            assert b"204" not in status_lines(connection.read_to_end()), cut
    response = server.client().request("GET", f"/cache/{cache}?key=cut", headers=server.admin.headers)
    response.must_be(404)
    eventually(lambda: server.open_files() <= before + 2, what="the sockets of broken connections")


def test_input_that_comes_byte_by_byte_is_the_same_input(server, cache):
    data = (
        head(
            "PUT",
            f"/cache/{cache}?key=b&ttl_seconds=60",
            f"Authorization: {server.root_key}",
            "Transfer-Encoding: chunked",
        )
        + b"5\r\nhello\r\n0\r\n\r\n"
        + head("GET", f"/cache/{cache}?key=b", f"Authorization: {server.root_key}")
    )
    with server.raw() as connection:
        for byte in data:
            connection.send(bytes([byte]))
        connection.read_response().must_be(204)
        assert connection.read_response().must_be(200).body == b"hello"


@pytest.mark.parametrize("length", ["5000193", "9223372036854775807", "9223372036854775813", "18446744073709551615"])
def test_an_enormous_length_is_refused_and_nothing_is_kept_for_it(server, cache, length):
    target = f"/cache/{cache}?key=k&ttl_seconds=60"
    with server.raw() as connection:
        connection.send(head("PUT", target, f"Authorization: {server.root_key}", f"Content-Length: {length}"))
        connection.send(head("GET", "/healthz"))
        connection.finish_sending()
        statuses = status_lines(connection.read_to_end())
    # What stands behind it is its body.
    assert statuses in ([], [b"400"], [b"413"])


def test_a_connection_that_will_not_be_kept_says_so(server, cache):
    client = server.client()
    for size in (70_000, 200_000):
        server.admin.change_cache(cache, limits={"max_item_bytes": 1000})
        target = f"/cache/{cache}?key=k&ttl_seconds=60"
        response = client.request("PUT", target, headers=server.admin.headers, body=b"x" * size).must_be(413)
        if response.headers.get("connection") != "close":
            client.request("GET", "/healthz").must_be(200)


def test_a_body_that_nobody_wants_is_not_waited_for(server, cache):
    # Refused on its head: the answer is there before the body is, and a long one costs the connection, not memory.
    before = server.resident_bytes()
    with server.raw() as connection:
        connection.send(head("PUT", f"/cache/{cache}?key=k&ttl_seconds=60", "Content-Length: 1000000000"))
        connection.read_response().must_be(401)
        for _ in range(1000):
            if not connection.try_send(b"x" * 65_536):
                break
        else:
            pytest.fail("64 MB of a refused body were read")
    assert server.resident_bytes() - before < 20 << 20


def test_many_connections_that_do_nothing_keep_nobody_out(server, stored):
    idle = [server.raw() for _ in range(500)]
    for number, connection in enumerate(idle):
        connection.send(b"GET / HTTP/1.1\r\nX-Slow: "[: number % 20])
    started = time.monotonic()
    assert server.client().request("GET", stored, headers=server.admin.headers).must_be(200).body == b"stored value"
    assert time.monotonic() - started < 2
    for connection in idle:
        connection.close()


@pytest.mark.soak
@pytest.mark.timeout(120)
def test_a_head_that_comes_in_drops_is_given_up(server):
    connections = [server.raw() for _ in range(20)]
    for connection in connections:
        connection.send(b"GET / HTTP/1.1\r\nX-Slow: ")
    started = time.monotonic()

    def all_closed():
        # A byte for each of them every now and then: never silent, never done.
        return not any([connection.try_send(b"x") for connection in connections])

    eventually(all_closed, within=30, what="the end of slow heads")
    assert time.monotonic() - started > 5
    for connection in connections:
        connection.close()


@pytest.mark.soak
@pytest.mark.timeout(180)
def test_a_body_that_comes_in_drops_is_given_up(server, cache):
    with server.raw() as connection:
        connection.send(
            head(
                "PUT",
                f"/cache/{cache}?key=k&ttl_seconds=60",
                f"Authorization: {server.root_key}",
                "Content-Length: 1000000",
            )
        )
        eventually(lambda: not connection.try_send(b"x"), within=90, what="the end of a slow body")


# Another protocol: the offer is not taken (RFC 9110 section 7.8), and what follows it costs nothing.


@pytest.mark.parametrize(
    "lines",
    [
        ("GET", "/healthz", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"),
        ("GET", "/healthz", "Connection: upgrade", "Upgrade: websocket"),
        ("CONNECT", "elsewhere.example:80"),
    ],
)
def test_an_offer_to_leave_http_ends_with_its_answer(server, lines):
    method, target, *fields = lines
    with server.raw() as connection:
        connection.send(head(method, target, *fields))
        response = connection.read_response()
        assert response.status == (200 if method == "GET" else 404)
        assert response.headers.get("connection") == "close"
        assert connection.is_closed()


def test_bytes_behind_an_offer_to_leave_http_are_not_kept(server):
    before = server.resident_bytes()
    with server.raw() as connection:
        connection.send(head("GET", "/healthz", "Connection: Upgrade", "Upgrade: websocket"))
        for _ in range(1600):
            if not connection.try_send(b"x" * 65536):
                break
    assert server.resident_bytes() - before < 32 << 20
