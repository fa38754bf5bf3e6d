"""Values and messages that travel compressed, over curl and a client that unpacks for itself, sealed in memory or not."""

import io
import json
import subprocess

import pytest
import zstandard

from support.server import Server
from support.topics import topic_target
from support.waiting import eventually

PAGE = json.dumps([{"id": n, "name": f"article {n}", "tags": ["a", "b"]} for n in range(200)]).encode()
SMALL = [json.dumps({"user": n, "name": f"name-{n}", "theme": "dark", "plan": "gold"}).encode() for n in range(50)]


@pytest.fixture(scope="module", params=["on", "off"])
def sealing(request, tmp_path_factory):
    """A server, once with what it stores encrypted and once in clear."""
    running = Server(tmp_path_factory.mktemp("zstd") / "data", arguments=["--seal", request.param]).start()
    running.seal = request.param
    yield running
    running.stop()


def make_cache(server, compression):
    return server.admin.make_cache(compression=compression)


@pytest.fixture
def packed(sealing):
    """A cache that compresses with plain zstd."""
    return make_cache(sealing, "zstd")


@pytest.fixture(params=["http1", "http2"])
def caller(request, sealing):
    made = sealing.client() if request.param == "http1" else sealing.http2()
    yield made
    made.close()


def frame(plain, **options):
    return zstandard.ZstdCompressor(**options).compress(plain)


def unsized(plain):
    """Frames as a pipe makes them: without the size of their content."""
    compressor = zstandard.ZstdCompressor(write_content_size=False).compressobj()
    return compressor.compress(plain) + compressor.flush()


def unpacked(body):
    return zstandard.ZstdDecompressor().stream_reader(io.BytesIO(body), read_across_frames=True).read()


def value(response):
    """What a response holds, in whichever form it came."""
    return unpacked(response.body) if response.headers.get("content-encoding") == "zstd" else response.body


def item(cache, key):
    return f"/cache/{cache}?key={key}"


def put(caller, server, cache, key, body, **headers):
    fields = server.admin.headers | {name.replace("_", "-"): value for name, value in headers.items()}
    return caller.request("PUT", item(cache, key) + "&ttl_seconds=60", headers=fields, body=body)


def get(caller, server, cache, key, method="GET", **headers):
    fields = server.admin.headers | {name.replace("_", "-"): value for name, value in headers.items()}
    return caller.request(method, item(cache, key), headers=fields)


def usage(server, cache):
    (row,) = server.admin.call("GET", "/usage", query={"cache": cache}).must_be(200).json()["rows"]
    return row


def curl(server, target, *arguments, body=None):
    command = ["curl", "-sS", "--fail-with-body", "-H", f"Authorization: {server.root_key}", *arguments]
    done = subprocess.run([*command, server.origin + target], input=body, capture_output=True, check=False, timeout=30)
    return done.returncode, done.stdout


# Reading


def test_who_accepts_zstd_gets_the_value_as_it_lies(sealing, packed, caller):
    put(caller, sealing, packed, "page", PAGE).must_be(204)
    plain = get(caller, sealing, packed, "page").must_be(200)
    assert plain.body == PAGE
    assert "content-encoding" not in plain.headers
    sent = get(caller, sealing, packed, "page", accept_encoding="gzip;q=0.5, zstd").must_be(200)
    assert sent.headers["content-encoding"] == "zstd"
    assert sent.headers["vary"] == plain.headers["vary"] == "accept-encoding"
    assert int(sent.headers["content-length"]) == len(sent.body) < len(PAGE) / 4
    assert unpacked(sent.body) == PAGE
    head = get(caller, sealing, packed, "page", "HEAD", accept_encoding="zstd").must_be(200)
    for name in ("content-length", "content-encoding", "etag", "vary"):
        assert head.headers[name] == sent.headers[name]
    assert head.body == b""


def test_curl_unpacks_what_it_asked_for(sealing, packed):
    body = frame(PAGE, level=19)
    assert curl(
        sealing,
        item(packed, "page") + "&ttl_seconds=60",
        *("-X", "PUT", "-H", "Content-Encoding: zstd", "--data-binary", "@-"),
        body=body,
    ) == (0, b"")
    assert curl(sealing, item(packed, "page"), "--compressed") == (0, PAGE)
    assert curl(sealing, item(packed, "page")) == (0, PAGE)
    assert curl(sealing, item(packed, "page"), "-H", "Accept-Encoding: zstd") == (0, body), "it lies as it came"
    code, answer = curl(
        sealing,
        item(packed, "page") + "&ttl_seconds=60",
        *("-X", "PUT", "-H", "Content-Encoding: gzip", "--data-binary", "@-", "-i"),
        body=PAGE,
    )
    assert code == 22
    head, _, document = answer.partition(b"\r\n\r\n")
    assert b" 415 " in head.splitlines()[0]
    assert b"accept-encoding: zstd" in head
    assert json.loads(document)["code"] == "UnsupportedEncoding"


def test_either_tag_names_the_value(sealing, packed, caller):
    put(caller, sealing, packed, "page", PAGE).must_be(204)
    plain = get(caller, sealing, packed, "page").headers["etag"]
    sent = get(caller, sealing, packed, "page", accept_encoding="zstd").headers["etag"]
    assert sent == plain[:-1] + '-zstd"'
    for tag in (plain, sent):
        for accepted in ("identity", "zstd"):
            answer = get(caller, sealing, packed, "page", accept_encoding=accepted, if_none_match=tag).must_be(304)
            assert answer.headers["etag"] == tag
            get(caller, sealing, packed, "page", accept_encoding=accepted, if_match=tag).must_be(200)
    put(caller, sealing, packed, "page", PAGE + b" ", if_none_match=sent).must_be(412)
    put(caller, sealing, packed, "page", PAGE + b" ", if_match=sent).must_be(204)
    put(caller, sealing, packed, "page", PAGE, if_match=plain).must_be(412)


@pytest.mark.parametrize("accepted", ["identity", "gzip", "zstd;q=0", "*;q=0", "zstd;q=0.1, identity"])
def test_who_does_not_accept_it_gets_the_value(sealing, packed, caller, accepted):
    put(caller, sealing, packed, "page", PAGE).must_be(204)
    answer = get(caller, sealing, packed, "page", accept_encoding=accepted).must_be(200)
    assert answer.body == PAGE
    assert "content-encoding" not in answer.headers


def test_what_lies_otherwise_is_sent_as_it_is(sealing, caller):
    for compression in ("off", "zstd-dictionary"):
        cache = make_cache(sealing, compression)
        for number, body in enumerate(SMALL):
            put(caller, sealing, cache, number, body).must_be(204)
        for number, body in enumerate(SMALL):
            answer = get(caller, sealing, cache, number, accept_encoding="zstd, identity;q=0").must_be(200)
            assert value(answer) == body
    empty = make_cache(sealing, "zstd")
    put(caller, sealing, empty, "empty", b"").must_be(204)
    assert get(caller, sealing, empty, "empty", accept_encoding="zstd").must_be(200).body == b""


def test_a_change_holds_for_what_is_written_next(sealing, packed, caller):
    put(caller, sealing, packed, "before", PAGE).must_be(204)
    sealing.admin.change_cache(packed, compression="off")
    put(caller, sealing, packed, "after", PAGE).must_be(204)
    before = get(caller, sealing, packed, "before", accept_encoding="zstd")
    after = get(caller, sealing, packed, "after", accept_encoding="zstd")
    assert unpacked(before.body) == after.body == PAGE
    assert before.headers.get("content-encoding") == "zstd"
    assert after.headers.get("content-encoding") is None


# Writing


@pytest.mark.parametrize("compression", ["off", "zstd", "zstd-dictionary"])
def test_a_compressed_body_is_stored_as_what_it_holds(sealing, caller, compression):
    cache = make_cache(sealing, compression)
    for body in (frame(PAGE), unsized(PAGE), frame(PAGE[:1000]) + frame(PAGE[1000:]), frame(PAGE, write_checksum=True)):
        put(caller, sealing, cache, "page", body, content_encoding="zstd").must_be(204)
        assert get(caller, sealing, cache, "page").body == PAGE
        answer = get(caller, sealing, cache, "page", accept_encoding="zstd").must_be(200)
        assert value(answer) == PAGE
        assert compression != "zstd" or answer.headers["content-encoding"] == "zstd"


def test_what_is_no_zstd_is_refused(sealing, packed, caller):
    whole = frame(PAGE)
    for body in (b"", PAGE, whole[:-1], whole + b"x", b"\x28\xb5\x2f\xfd"):
        put(caller, sealing, packed, "page", body, content_encoding="zstd").must_refuse(400, "InvalidArgument")
    get(caller, sealing, packed, "page").must_be(404)


def test_a_bomb_is_refused_without_its_memory(sealing, packed, caller):
    """A gibibyte of zeros in 32 KiB, again and again: the process grows by what a value may have, not by that."""
    announced = frame(bytes(64 << 20))
    silent = unsized(bytes(1 << 30))
    before = sealing.resident_bytes()
    for body in (announced, silent):
        assert len(body) < 64 << 10
        for _ in range(4):
            error = put(caller, sealing, packed, "bomb", body, content_encoding="zstd").must_refuse(413, "TooLarge")
            assert error["limit"] == "max_item_bytes"
    assert sealing.resident_bytes() - before < 32 << 20
    get(caller, sealing, packed, "bomb").must_be(404)


def test_the_limit_is_that_of_the_value(sealing, caller):
    cache = sealing.admin.make_cache(limits={"max_item_bytes": 10_003})
    put(caller, sealing, cache, "key", frame(bytes(10_000)), content_encoding="zstd").must_be(204)
    put(caller, sealing, cache, "key", frame(bytes(10_001)), content_encoding="zstd").must_refuse(413, "TooLarge")
    noise = bytes((n * n * 31 + n * 7) % 251 for n in range(10_000))
    put(caller, sealing, cache, "key", frame(noise, level=1), content_encoding="zstd").must_be(204)
    assert get(caller, sealing, cache, "key").body == noise


# What is told of it


def test_operations_count_the_value_and_bytes_what_travelled(sealing, packed, caller):
    body = frame(PAGE)
    put(caller, sealing, packed, "k", body, content_encoding="zstd").must_be(204)
    sent = get(caller, sealing, packed, "k", accept_encoding="zstd").must_be(200)
    get(caller, sealing, packed, "k").must_be(200)
    chunks = -(-(len(PAGE) + 1) // 1024)

    def is_counted():
        row = usage(sealing, packed)
        return row["calls"] == 3 and row

    row = eventually(is_counted)
    assert row["operations"] == 3 * chunks
    assert row["request_chunks"] == chunks + 2
    assert row["response_chunks"] == 2 * chunks
    assert row["bytes_in"] == len(body) + 3
    assert row["bytes_out"] == len(sent.body) + len(PAGE)


def test_figures_tell_what_compression_does(sealing, packed, caller):
    put(caller, sealing, packed, "page", PAGE).must_be(204)
    report = sealing.admin.call("GET", f"/caches/{packed}").must_be(200).json()
    assert report["compression"] == "zstd"
    assert report["compressed_plain_bytes"] == len(PAGE)
    assert 0 < report["compressed_stored_bytes"] < len(PAGE) / 4
    ratio = report["compressed_plain_bytes"] / report["compressed_stored_bytes"]
    assert abs(report["compression_ratio"] - ratio) < 0.01
    fresh = sealing.admin.call("GET", f"/caches/{sealing.admin.make_cache()}").must_be(200).json()
    assert fresh["compression_ratio"] is None
    assert fresh["dictionary_version"] == fresh["dictionary_bytes"] == fresh["bytes_being_freed"] == 0


def test_metrics_and_log_tell_whether_it_seals(sealing, packed, caller):
    put(caller, sealing, packed, "page", PAGE).must_be(204)
    text = sealing.client(address=sealing.ops).request("GET", "/metrics").must_be(200).body.decode()
    figures = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert figures["martlet_is_sealing"] == ("1" if sealing.seal == "on" else "0")
    assert f"seal={sealing.seal}" in sealing.errors()
    assert int(figures["martlet_engine_resident_bytes"]) > 0
    assert 0 <= float(figures["martlet_expiry_lag_seconds"]) < 60
    assert int(figures["martlet_compressed_plain_bytes_total"]) >= len(PAGE)
    assert int(figures["martlet_compressed_plain_bytes_total"]) > int(figures["martlet_compressed_stored_bytes_total"])
    for name in ("martlet_dictionary_trainings_total", "martlet_dictionary_bytes"):
        assert int(figures[name]) >= 0


# Messages


def test_a_message_may_come_compressed_and_outlives_nothing(sealing, packed, caller):
    target = topic_target(packed, "news")
    headers = sealing.admin.headers
    caller.request("POST", target, headers=headers | {"content-encoding": "zstd"}, body=frame(PAGE)).must_be(204)
    (entry,) = caller.request("GET", target, headers=headers).must_be(200).json()["items"]
    assert entry["item"]["value"] == {"text": PAGE.decode()}
    page = entry["item"]["sequence_page"]
    caller.request("POST", target, headers=headers | {"content-encoding": "br"}, body=b"x").must_be(415)
    caller.request("POST", target, headers=headers | {"content-encoding": "zstd"}, body=b"x").must_be(400)
    # What was retained goes with a flush.
    sealing.admin.call("POST", f"/caches/{packed}/flush").must_be(204)
    caller.request("POST", target, headers=headers, body=b"after").must_be(204)
    again = topic_target(packed, "news", sequence_number=1, sequence_page=page)
    items = caller.request("GET", again, headers=headers).must_be(200).json()["items"]
    assert items[-1]["item"]["value"] == {"text": "after"}
    assert PAGE.decode() not in json.dumps(items)
