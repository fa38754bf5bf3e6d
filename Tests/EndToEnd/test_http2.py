"""HTTP/2: many streams, flow control both ways, and peers that mean harm. The server lives, others go on unharmed."""

import random
import socket
import struct
import threading
import time

import hpack
import pytest

from support.http2 import (
    ACK,
    CANCEL,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    ENHANCE_YOUR_CALM,
    FLOW_CONTROL_ERROR,
    GOAWAY,
    HEADERS,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    PROTOCOL_ERROR,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
    settings_frame,
    window_update,
)
from support.waiting import eventually

MEGABYTE = 1 << 20
LARGE = 5_000_000


@pytest.fixture
def root(server):
    return {"authorization": server.root_key}


@pytest.fixture
def neighbour(server, cache, root):
    """Another client at work: it must be answered while the test does what it does, and after it."""
    client = server.http2()
    client.request("PUT", f"/cache/{cache}?key=neighbour&ttl_seconds=600", headers=root, body=b"value").must_be(204)
    stop = threading.Event()
    failures, slowest = [], [0.0]

    def work():
        try:
            while not stop.is_set():
                started = time.monotonic()
                response = client.request("GET", f"/cache/{cache}?key=neighbour", headers=root)
                slowest[0] = max(slowest[0], time.monotonic() - started)
                assert (response.status, response.body) == (200, b"value")
        except Exception as error:  # whatever it is, the test must show it
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    yield
    stop.set()
    thread.join(20)
    client.close()
    assert not failures, failures
    assert slowest[0] < 5, f"another client waited for {slowest[0]:.1f} s"
    assert server.is_healthy()


def store(server, cache, root, key, value):
    with server.http2() as client:
        client.request("PUT", f"/cache/{cache}?key={key}&ttl_seconds=600", headers=root, body=value).must_be(204)


# Many streams, large bodies, windows


def test_a_thousand_streams_at_once_each_get_their_own_answer(server, cache, root):
    with server.http2() as client:
        for number in range(100):
            client.request(
                "PUT", f"/cache/{cache}?key=k{number}&ttl_seconds=60", headers=root, body=f"value {number}".encode()
            ).must_be(204)
        opened = {}
        for number in range(1000):
            stream_id = client.open("GET", f"/cache/{cache}?key=k{number % 100}", headers=root, flushes=False)
            opened[stream_id] = f"value {number % 100}".encode()
        client.flush()
        client.run(lambda: all(client.streams[stream_id].is_over for stream_id in opened))
        for stream_id, value in opened.items():
            assert client.streams[stream_id].response().must_be(200).body == value


@pytest.mark.parametrize("window", [1_000, 65_535, 1 << 24])
def test_a_large_value_goes_up_and_down_through_any_window(server, cache, root, window):
    value = random.Random(window).randbytes(LARGE)
    with server.http2(initial_window=window) as client:
        client.request("PUT", f"/cache/{cache}?key=k&ttl_seconds=60", headers=root, body=value).must_be(204)
        assert client.request("GET", f"/cache/{cache}?key=k", headers=root).must_be(200).body == value


def test_many_large_uploads_share_one_connection(server, cache, root):
    values = {number: random.Random(number).randbytes(MEGABYTE) for number in range(4)}
    with server.http2() as client:
        opened = {
            number: client.open("PUT", f"/cache/{cache}?key=u{number}&ttl_seconds=60", headers=root, ends=False)
            for number in values
        }
        step = 50_000
        for position in range(0, MEGABYTE, step):
            for number, stream_id in opened.items():
                client.send_body(stream_id, values[number][position : position + step], ends=False)
        for stream_id in opened.values():
            client.send_body(stream_id, b"")
            client.finish(stream_id).must_be(204)
        for number, value in values.items():
            assert client.request("GET", f"/cache/{cache}?key=u{number}", headers=root).body == value


def test_nothing_is_sent_into_a_window_that_is_shut(server, cache, root):
    store(server, cache, root, "k", b"x" * 1000)
    with server.raw_http2(opening=PREFACE + settings_frame(initial_window_size=0)) as raw:
        raw.send(raw.headers_frame(1, raw.fields("GET", f"/cache/{cache}?key=k", [("authorization", server.root_key)])))
        raw.run(lambda: raw.of(HEADERS, 1))
        raw.ping()
        assert raw.of(DATA) == []
        raw.send(window_update(1, 10))
        raw.run(lambda: raw.of(DATA))
        raw.ping()
        assert sum(len(payload) for *_, payload in raw.of(DATA)) == 10
        # A change of the initial window opens streams that are there already (RFC 9113 section 6.9.2).
        raw.send(settings_frame(initial_window_size=5000))
        raw.run(lambda: any(flags & END_STREAM for _, flags, _, _ in raw.of(DATA)))
        assert b"".join(payload for *_, payload in raw.of(DATA)) == b"x" * 1000


def test_an_upload_gets_no_more_window_than_the_caller_is_known_for(server, cache):
    # What comes before anybody knows who it is must fit into one small window.
    with server.raw_http2() as raw:
        raw.ping()
        sizes = [
            struct.unpack(">I", payload[index + 2 : index + 6])[0]
            for _, flags, _, payload in raw.of(SETTINGS)
            if not flags & ACK
            for index in range(0, len(payload), 6)
            if payload[index : index + 2] == b"\x00\x04"
        ]
        assert all(size <= 65_535 for size in sizes)
        raw.send(
            raw.headers_frame(
                1,
                raw.fields("PUT", f"/cache/{cache}?key=k&ttl_seconds=60", [("authorization", "nobody")]),
                flags=END_HEADERS,
            )
        )
        raw.run(lambda: raw.of(HEADERS, 1))
        raw.ping()
        assert raw.of(WINDOW_UPDATE, 1) == []


# A reader that stops reading


STALLED = 100


@pytest.fixture(scope="module")
def large_cache(server):
    name = server.admin.make_cache()
    store(server, name, {"authorization": server.root_key}, "large", b"x" * LARGE)
    store(server, name, {"authorization": server.root_key}, "small", b"small")
    return name


def test_a_connection_that_is_not_read_costs_bounded_memory(server, large_cache, root, neighbour):
    before = server.resident_bytes()
    with server.raw_http2(opening=PREFACE + settings_frame(initial_window_size=2**31 - 1)) as raw:
        raw.send(window_update(0, 2**31 - 1 - 65_535))
        fields = raw.fields("GET", f"/cache/{large_cache}?key=large", [("authorization", server.root_key)])
        for number in range(STALLED):
            raw.send(raw.headers_frame(2 * number + 1, fields))
        # Nothing is read here. Another connection is answered, and the memory stays where it is.
        peak = 0
        deadline = time.monotonic() + 2
        with server.http2() as other:
            while time.monotonic() < deadline:
                assert (
                    other.request("GET", f"/cache/{large_cache}?key=small", headers=root).must_be(200).body == b"small"
                )
                peak = max(peak, server.resident_bytes())
        assert peak - before < 100 * MEGABYTE, f"{(peak - before) / MEGABYTE:.0f} MiB for a reader that does not read"
        # Once it reads, it gets all of it.
        received = [0]

        def is_complete():
            received[0] += sum(len(payload) for kind, _, _, payload in raw.frames if kind == DATA)
            raw.frames.clear()
            return received[0] >= 10 * LARGE

        raw.run(is_complete, within=20)


def test_streams_that_are_not_read_do_not_hold_up_the_others(server, large_cache, root, neighbour):
    before = server.resident_bytes()
    # The connection is read; only the windows of the large streams stay shut after their first 65,535 bytes.
    with server.raw_http2() as raw:
        raw.send(window_update(0, 2**31 - 1 - 65_535))
        fields = raw.fields("GET", f"/cache/{large_cache}?key=large", [("authorization", server.root_key)])
        small = raw.fields("GET", f"/cache/{large_cache}?key=small", [("authorization", server.root_key)])
        for number in range(STALLED):
            raw.send(raw.headers_frame(2 * number + 1, fields))
        raw.ping()
        for number in range(STALLED, STALLED + 20):
            stream_id = 2 * number + 1
            raw.send(raw.headers_frame(stream_id, small))
            raw.run(lambda stream_id=stream_id: raw.of(DATA, stream_id), within=5)
        grown = server.resident_bytes() - before
        assert grown < 100 * MEGABYTE, f"{grown / MEGABYTE:.0f} MiB for streams that are not read"


def test_uploads_that_stop_half_way_cost_bounded_memory(server, cache, root, neighbour):
    before = server.resident_bytes()
    with server.http2() as client:
        for number in range(200):
            client.open(
                "PUT",
                f"/cache/{cache}?key=u{number}&ttl_seconds=60",
                headers={**root, "content-length": "4000000"},
                ends=False,
            )
        client.state.ping(b"settled!")
        client.flush()
        client.run(lambda: client.pongs)
        client.socket.settimeout(2)
        sent = 0
        try:
            for stream_id in list(client.streams):
                window = client.state.local_flow_control_window(stream_id)
                while window > 0:
                    count = min(window, 16_384)
                    client.state.send_data(stream_id, b"x" * count)
                    client.flush()
                    sent += count
                    window = client.state.local_flow_control_window(stream_id)
        except TimeoutError:
            pass  # it takes no more, as it should
        grown = server.resident_bytes() - before
        assert grown < 100 * MEGABYTE, f"{grown / MEGABYTE:.0f} MiB held for bodies that do not end ({sent} bytes sent)"


# Floods


def flood(raw, chunk, *, times):
    """Sends a chunk again and again without reading. Gives up when the server does."""
    raw.socket.settimeout(2)
    for _ in range(times):
        if not raw.try_send(chunk):
            return


def test_a_rapid_reset_flood_ends_the_connection(server, cache, root, neighbour):
    spent = server.processor_seconds()
    with server.raw_http2() as raw:
        fields = raw.fields("GET", f"/cache/{cache}?key=k", [("authorization", server.root_key)])
        cancel = struct.pack(">I", CANCEL)
        for start in range(0, 20_000, 100):
            chunk = b"".join(
                raw.headers_frame(2 * number + 1, fields) + frame(RST_STREAM, 0, 2 * number + 1, cancel)
                for number in range(start, start + 100)
            )
            if not raw.try_send(chunk):
                break
        raw.run_to_end()
        assert raw.goaway_code in (None, ENHANCE_YOUR_CALM, PROTOCOL_ERROR, 2)
        assert len(raw.of(HEADERS)) < 5_000
    assert server.processor_seconds() - spent < 10


def test_resets_that_the_peer_provokes_end_the_connection(server, cache, root, neighbour):
    # Each of these makes the server reset a stream: the other way to work it for nothing.
    with server.raw_http2() as raw:
        fields = raw.fields("GET", f"/cache/{cache}?key=k", [("authorization", server.root_key)])
        for start in range(0, 20_000, 100):
            chunk = b"".join(
                raw.headers_frame(2 * number + 1, fields, flags=END_HEADERS) + window_update(2 * number + 1, 0)
                for number in range(start, start + 100)
            )
            if not raw.try_send(chunk):
                break
        raw.run_to_end()


@pytest.mark.parametrize(
    "name,chunk",
    [
        ("PING", frame(PING, 0, 0, b"12345678")),
        ("SETTINGS", settings_frame(initial_window_size=65_535)),
        ("empty SETTINGS", settings_frame()),
        ("PRIORITY", frame(PRIORITY, 0, 1, struct.pack(">IB", 0, 16))),
        ("WINDOW_UPDATE", window_update(0, 1)),
    ],
)
def test_a_flood_of_idle_frames_ends_the_connection(server, neighbour, name, chunk):
    before = server.resident_bytes()
    with server.raw_http2() as raw:
        flood(raw, chunk * 500, times=100)
        raw.run_to_end()
    assert server.resident_bytes() - before < 50 * MEGABYTE


def test_a_flood_of_empty_data_ends_the_connection(server, cache, neighbour):
    with server.raw_http2() as raw:
        raw.send(
            raw.headers_frame(
                1,
                raw.fields("PUT", f"/cache/{cache}?key=k&ttl_seconds=60", [("authorization", server.root_key)]),
                flags=END_HEADERS,
            )
        )
        flood(raw, frame(DATA, 0, 1) * 500, times=100)
        raw.run_to_end()


def test_a_flood_of_padding_costs_nothing_but_its_bytes(server, cache, neighbour):
    before = server.resident_bytes()
    with server.raw_http2() as raw:
        fields = raw.fields("PUT", f"/cache/{cache}?key=k&ttl_seconds=60", [("authorization", server.root_key)])
        raw.send(raw.headers_frame(1, fields, flags=END_HEADERS))
        # One byte of length, no byte of data, 255 of padding.
        flood(raw, frame(DATA, PADDED, 1, b"\xff" + bytes(255)) * 100, times=1000)
        assert server.is_healthy()
    assert server.resident_bytes() - before < 50 * MEGABYTE


@pytest.mark.parametrize("payload", [b"", b"\x00\x03x-a\x01b" * 100])
def test_a_head_that_never_ends_ends_the_connection(server, neighbour, payload):
    before = server.resident_bytes()
    with server.raw_http2() as raw:
        raw.try_send(frame(HEADERS, END_STREAM, 1, raw.encoder.encode(raw.fields("GET", "/healthz"))))
        flood(raw, frame(CONTINUATION, 0, 1, payload) * 100, times=200)
        raw.run_to_end()
    assert server.resident_bytes() - before < 50 * MEGABYTE


def test_a_small_block_that_swells_to_a_huge_head_is_refused(server, neighbour):
    before = server.resident_bytes()
    with server.raw_http2() as raw:
        # One field of 4,000 bytes goes into the compression table; each byte after it stands for the whole field.
        block = raw.encoder.encode(raw.fields("GET", "/healthz"))
        literal = b"\x40" + b"\x06x-bomb" + encoded_length(4000) + b"a" * 4000
        payload = block + literal + b"\xbe" * 12_000
        raw.try_send(frame(HEADERS, END_HEADERS | END_STREAM, 1, payload))
        raw.run(lambda: raw.is_closed or raw.of(HEADERS, 1) or raw.of(RST_STREAM, 1))
    assert server.resident_bytes() - before < 20 * MEGABYTE


def encoded_length(length):
    """An HPACK string length without Huffman coding (RFC 7541 section 5.1, a 7-bit prefix)."""
    if length < 127:
        return bytes([length])
    length -= 127
    result = b"\x7f"
    while length >= 128:
        result += bytes([length % 128 | 0x80])
        length //= 128
    return result + bytes([length])


def test_no_more_streams_are_open_than_allowed(server, cache, neighbour):
    before = server.resident_bytes()
    with server.raw_http2() as raw:
        raw.run(lambda: raw.of(SETTINGS))
        allowed = [
            struct.unpack(">I", payload[index + 2 : index + 6])[0]
            for _, flags, _, payload in raw.of(SETTINGS)
            if not flags & ACK
            for index in range(0, len(payload), 6)
            if payload[index : index + 2] == b"\x00\x03"
        ]
        assert allowed and 100 <= allowed[-1] <= 10_000
        raw.send(frame(SETTINGS, ACK, 0))
        fields = raw.fields("PUT", f"/cache/{cache}?key=k&ttl_seconds=60", [("authorization", server.root_key)])
        for number in range(allowed[-1] + 10):
            if not raw.try_send(raw.headers_frame(2 * number + 1, fields, flags=END_HEADERS)):
                break
        # Each one too many is refused, or the connection ends, as libnghttp2 has it.
        raw.run(lambda: raw.is_closed or raw.goaway_code is not None or len(raw.of(RST_STREAM)) >= 10)
    assert server.resident_bytes() - before < 100 * MEGABYTE


# Malformed requests: the stream ends, the connection goes on


MALFORMED = {
    "an upper-case name": lambda good: [*good, ("X-Upper", "a")],
    "no path": lambda good: [field for field in good if field[0] != ":path"],
    "no method": lambda good: [field for field in good if field[0] != ":method"],
    "two methods": lambda good: [good[0], *good],
    "two paths": lambda good: [*good[:4], (":path", "/healthz"), *good[4:]],
    "an unknown pseudo field": lambda good: [(":version", "2"), *good],
    "a response's pseudo field": lambda good: [(":status", "200"), *good],
    "a pseudo field behind others": lambda good: [good[0], good[1], good[2], ("x-a", "b"), good[3]],
    "a connection field": lambda good: [*good, ("connection", "keep-alive")],
    "a transfer coding": lambda good: [*good, ("transfer-encoding", "chunked")],
    "an upgrade": lambda good: [*good, ("upgrade", "h2c")],
    "te other than trailers": lambda good: [*good, ("te", "gzip")],
    "a line break in a value": lambda good: [*good, ("x-a", "b\r\nx-c: d")],
    "a NUL in a value": lambda good: [*good, ("x-a", "b\0")],
    "a space in a name": lambda good: [*good, ("x a", "b")],
    "an empty name": lambda good: [*good, ("", "b")],
    "an empty path": lambda good: [*good[:3], (":path", "")],
    "two lengths": lambda good: [*good, ("content-length", "0"), ("content-length", "5")],
    "a negative length": lambda good: [*good, ("content-length", "-1")],
    "a length and no body": lambda good: [*good, ("content-length", "5")],
    "a length too large": lambda good: [*good, ("content-length", "99999999999999999999")],
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_request_ends_its_stream_and_not_the_connection(server, cache, root, name):
    with server.raw_http2() as raw:
        good = raw.fields("GET", f"/cache/{cache}?key=k")
        raw.send(raw.headers_frame(1, MALFORMED[name](good)))
        raw.run(lambda: raw.is_closed or raw.of(RST_STREAM, 1) or raw.of(HEADERS, 1))
        statuses = [raw_status(payload) for *_, payload in raw.of(HEADERS, 1)]
        assert all(status is None or 400 <= status < 500 for status in statuses), statuses
        raw.send(raw.headers_frame(3, raw.fields("GET", "/healthz")))
        raw.run(lambda: raw.of(DATA, 3))
        assert raw.of(DATA, 3)[0][3] == b"ok\n"


def raw_status(payload):
    """The status when it is the first field and in the static table (RFC 7541 appendix A), else what `hpack` says."""
    try:
        return int(dict(hpack.Decoder().decode(payload))[":status"])
    except Exception:  # a block that needs the table of earlier ones
        return None


def test_a_body_that_is_not_as_long_as_announced_ends_its_stream(server, cache, root):
    for announced, sent in ((10, 5), (5, 10)):
        with server.raw_http2() as raw:
            raw.send(
                raw.headers_frame(
                    1,
                    raw.fields(
                        "PUT",
                        f"/cache/{cache}?key=k&ttl_seconds=60",
                        [("authorization", server.root_key), ("content-length", str(announced))],
                    ),
                    flags=END_HEADERS,
                )
            )
            raw.send(frame(DATA, END_STREAM, 1, b"x" * sent))
            raw.run(lambda: raw.reset_code(1) is not None)
            assert raw.reset_code(1) == PROTOCOL_ERROR
            raw.ping()
        assert server.client().request("GET", f"/cache/{cache}?key=k", headers=root).status == 404


def test_trailers_of_a_request_are_taken(server, cache, root):
    with server.raw_http2() as raw:
        raw.send(
            raw.headers_frame(
                1,
                raw.fields("PUT", f"/cache/{cache}?key=k&ttl_seconds=60", [("authorization", server.root_key)]),
                flags=END_HEADERS,
            )
        )
        raw.send(frame(DATA, 0, 1, b"value"))
        raw.send(raw.headers_frame(1, [("x-checksum", "abc"), ("authorization", "nobody")]))
        raw.run(lambda: raw.of(HEADERS, 1))
        assert raw_status(raw.of(HEADERS, 1)[0][3]) == 204
    assert server.client().request("GET", f"/cache/{cache}?key=k", headers=root).must_be(200).body == b"value"


# Violations: the connection ends


VIOLATIONS = {
    "no preface": lambda raw: b"GET / HTTP/9.9\r\n\r\n" + bytes(100),
    "HEADERS on stream 0": lambda raw: frame(
        HEADERS, END_HEADERS | END_STREAM, 0, raw.encoder.encode(raw.fields("GET", "/"))
    ),
    "HEADERS on an even stream": lambda raw: raw.headers_frame(2, raw.fields("GET", "/healthz")),
    "DATA on stream 0": lambda raw: frame(DATA, 0, 0, b"x"),
    "DATA on an idle stream": lambda raw: frame(DATA, 0, 7, b"x"),
    "RST_STREAM on an idle stream": lambda raw: frame(RST_STREAM, 0, 7, struct.pack(">I", 8)),
    "RST_STREAM of 3 bytes": lambda raw: frame(RST_STREAM, 0, 1, b"abc"),
    "PING of 7 bytes": lambda raw: frame(PING, 0, 0, b"1234567"),
    "PING on a stream": lambda raw: frame(PING, 0, 1, b"12345678"),
    "SETTINGS of 5 bytes": lambda raw: frame(SETTINGS, 0, 0, b"12345"),
    "SETTINGS on a stream": lambda raw: frame(SETTINGS, 0, 1, b""),
    "a SETTINGS acknowledgement with a payload": lambda raw: frame(SETTINGS, ACK, 0, bytes(6)),
    "a window over 2^31-1": lambda raw: settings_frame(initial_window_size=2**31),
    "a frame size of 10": lambda raw: settings_frame(max_frame_size=10),
    "WINDOW_UPDATE of zero": lambda raw: window_update(0, 0),
    "WINDOW_UPDATE over the top": lambda raw: window_update(0, 2**31 - 1) * 2,
    "WINDOW_UPDATE of 3 bytes": lambda raw: frame(WINDOW_UPDATE, 0, 0, b"abc"),
    "PUSH_PROMISE from a client": lambda raw: frame(PUSH_PROMISE, END_HEADERS, 1, struct.pack(">I", 2)),
    "CONTINUATION of nothing": lambda raw: frame(CONTINUATION, END_HEADERS, 1, b""),
    "another frame inside a head": lambda raw: (
        frame(HEADERS, END_STREAM, 1, raw.encoder.encode(raw.fields("GET", "/"))) + frame(PING, 0, 0, b"12345678")
    ),
    "padding longer than the frame": lambda raw: frame(HEADERS, END_HEADERS | END_STREAM | PADDED, 1, b"\xff\x82"),
    "a frame over the size": lambda raw: frame(DATA, 0, 1, b"x" * 20_000),
    "a block that cannot be decompressed": lambda raw: frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\xff" * 60),
    "an index beyond the table": lambda raw: frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\xfe"),
    "a table size over the limit": lambda raw: frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x3f\xe1\xff\x7f\x82"),
}


@pytest.mark.parametrize("name", VIOLATIONS)
def test_a_violation_ends_the_connection_with_its_reason(server, neighbour, name):
    opening = b"" if name == "no preface" else PREFACE + settings_frame()
    with server.raw_http2(opening=opening) as raw:
        raw.try_send(VIOLATIONS[name](raw))
        raw.run_to_end()
        if name != "no preface":
            assert raw.goaway_code not in (None, 0), raw.summary()


def test_frames_and_settings_of_unknown_kinds_are_passed_over(server):
    with server.raw_http2() as raw:
        raw.send(frame(0xEE, 0xFF, 0, b"whatever") + frame(0x0C, 0, 1, bytes(50)))
        raw.send(frame(SETTINGS, 0, 0, struct.pack(">HI", 0xBEEF, 7)))
        raw.send(raw.headers_frame(1, raw.fields("GET", "/healthz")))
        raw.run(lambda: raw.of(DATA, 1))


def test_a_priority_and_a_padded_head_are_understood(server):
    with server.raw_http2() as raw:
        block = raw.encoder.encode(raw.fields("GET", "/healthz"))
        payload = b"\x05" + struct.pack(">IB", 0, 255) + block + bytes(5)
        raw.send(frame(HEADERS, END_HEADERS | END_STREAM | PADDED | 0x20, 1, payload))
        raw.run(lambda: raw.of(DATA, 1))


def test_a_head_in_a_few_pieces_is_one_head(server):
    with server.raw_http2() as raw:
        block = raw.encoder.encode(raw.fields("GET", "/healthz", [("x-filler", "f" * 100)]))
        third = len(block) // 3
        raw.send(
            frame(HEADERS, END_STREAM, 1, block[:third])
            + frame(CONTINUATION, 0, 1, block[third : 2 * third])
            + frame(CONTINUATION, END_HEADERS, 1, block[2 * third :])
        )
        raw.run(lambda: raw.of(DATA, 1))


# Cut and mutated input


def whole_request(server, cache, raw):
    """A valid connection with a PUT, a GET and a PING."""
    credential = [("authorization", server.root_key)]
    return (
        PREFACE
        + settings_frame(initial_window_size=100_000)
        + window_update(0, 1000)
        + raw.headers_frame(1, raw.fields("PUT", f"/cache/{cache}?key=k&ttl_seconds=60", credential), flags=END_HEADERS)
        + frame(DATA, END_STREAM, 1, b"some value")
        + raw.headers_frame(3, raw.fields("GET", f"/cache/{cache}?key=k", credential))
        + frame(PING, 0, 0, b"12345678")
    )


def test_a_connection_may_break_off_at_every_byte(server, cache, neighbour):
    with server.raw_http2() as raw:
        data = whole_request(server, cache, raw)
    before = server.open_files()
    for cut in range(len(data)):
        with socket.create_connection(server.http, timeout=10) as connection:
            connection.sendall(data[:cut])
    eventually(lambda: server.open_files() <= before + 2, what="the sockets of broken connections")


@pytest.mark.parametrize(
    "sent", ["nothing", "half a preface", "a preface", "half a head", "a head", "half a body", "all"]
)
def test_a_peer_that_says_no_more_is_let_go(server, cache, sent):
    with server.raw_http2(opening=b"") as raw:
        fields = raw.fields("PUT", f"/cache/{cache}?key=gone&ttl_seconds=60", [("authorization", server.root_key)])
        opening, put = PREFACE + settings_frame(), raw.headers_frame(1, fields, flags=END_HEADERS)
        raw.send(
            {
                "nothing": b"",
                "half a preface": PREFACE[:12],
                "a preface": opening,
                "half a head": opening + put[:20],
                "a head": opening + put,
                "half a body": opening + put + frame(DATA, 0, 1, b"half"),
                "all": opening + put + frame(DATA, END_STREAM, 1, b"all"),
            }[sent]
        )
        raw.socket.shutdown(socket.SHUT_WR)
        raw.run_to_end(within=5)
        assert bool(raw.of(HEADERS, 1)) or sent != "all"


def test_input_that_comes_byte_by_byte_is_the_same_input(server, cache, root):
    with server.raw_http2(opening=b"") as raw:
        for byte in whole_request(server, cache, raw):
            raw.send(bytes([byte]))
        raw.run(lambda: raw.of(DATA, 3))
        assert raw.of(DATA, 3)[0][3] == b"some value"


@pytest.mark.parametrize("seed", range(12))
def test_mutated_input_harms_nobody(server, cache, neighbour, seed):
    generator = random.Random(seed)
    for _ in range(40):
        with server.raw_http2(opening=b"") as raw:
            data = bytearray(whole_request(server, cache, raw))
            for _ in range(generator.randint(1, 8)):
                place = generator.randrange(len(PREFACE), len(data))
                kind = generator.randrange(4)
                if kind == 0:
                    data[place] = generator.randrange(256)
                elif kind == 1:
                    data[place] ^= 1 << generator.randrange(8)
                elif kind == 2:
                    del data[place : place + generator.randint(1, 20)]
                else:
                    data[place:place] = generator.randbytes(generator.randint(1, 20))
            raw.try_send(bytes(data))
            raw.run_to_silence()


@pytest.mark.parametrize("seed", range(4))
def test_random_frames_harm_nobody(server, neighbour, seed):
    generator = random.Random(1000 + seed)
    for _ in range(40):
        with server.raw_http2() as raw:
            data = b"".join(
                frame(
                    generator.randrange(12),
                    generator.randrange(256),
                    generator.choice((0, 1, 2, 3, 2**31 - 1)),
                    generator.randbytes(generator.choice((0, 4, 5, 6, 8, 30, 200))),
                )
                for _ in range(30)
            )
            raw.try_send(data)
            raw.run_to_silence()


@pytest.mark.soak
@pytest.mark.timeout(120)
def test_a_connection_without_a_request_is_closed_in_time(server):
    for opening in (b"", PREFACE[:10], PREFACE, PREFACE + settings_frame() + frame(HEADERS, 0, 1, b"\x82")):
        with server.raw_http2(opening=opening) as raw:
            started = time.monotonic()
            if opening == PREFACE:
                continue  # complete: it may idle for long
            raw.run_to_end(within=20)
            assert time.monotonic() - started > 5


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_a_body_and_a_reader_that_stall_are_given_up(server, large_cache, root):
    with server.raw_http2(opening=PREFACE + settings_frame(initial_window_size=10)) as raw:
        raw.send(
            raw.headers_frame(
                1, raw.fields("GET", f"/cache/{large_cache}?key=large", [("authorization", server.root_key)])
            )
        )
        raw.send(
            raw.headers_frame(
                3,
                raw.fields("PUT", f"/cache/{large_cache}?key=u&ttl_seconds=60", [("authorization", server.root_key)]),
                flags=END_HEADERS,
            )
        )
        raw.run(lambda: raw.of(RST_STREAM, 1), within=60)
        raw.run(lambda: raw.of(HEADERS, 3), within=60)
        raw.ping()
        assert GOAWAY not in [kind for kind, *_ in raw.frames]
        assert FLOW_CONTROL_ERROR != raw.reset_code(1)
