"""Topics with curl and plain HTTP: publishing in every form, the long poll, and the order of refusals."""

import base64
import json
import subprocess

import pytest

from support.admin import fresh_name
from support.topics import MESSAGE_LIMIT, Topic, may, publish, topic_target, value_of
from support.waiting import eventually


def curl(server, *arguments):
    """Runs curl on a path of the server and gives status and body."""
    *options, path = arguments
    command = ["curl", "--silent", "--show-error", "--max-time", "10", "--write-out", "\n%{http_code}", *options]
    if not server.is_development:
        command += ["--cacert", str(server.data_directory / "ca.pem")]
    result = subprocess.run([*command, server.origin + path], capture_output=True, check=False, timeout=20)
    assert result.returncode == 0, result.stderr.decode()
    body, _, status = result.stdout.rpartition(b"\n")
    return int(status), body


# As a newcomer does it


@pytest.mark.parametrize("is_development", [True, False], ids=["cleartext", "tls"])
def test_curl_publishes_and_polls(make_server, is_development):
    server = make_server(is_development=is_development)
    if not is_development:
        server.admin.make_cache("default")
    key = f"Authorization: {server.root_key}"
    path = "/topics/default/news"
    assert curl(server, "-H", key, "-d", "hello", path) == (204, b"")
    status, body = curl(server, "-H", key, path)
    assert status == 200
    (entry,) = json.loads(body)["items"]
    assert entry["item"]["value"] == {"text": "hello"}
    number, page = entry["item"]["topic_sequence_number"], entry["item"]["sequence_page"]
    assert number == 1
    for text in ("one", "two"):
        assert curl(server, "-H", key, "-d", text, path)[0] == 204
    status, body = curl(server, "-H", key, f"{path}?sequence_number={number + 1}&sequence_page={page}")
    assert [value_of(entry["item"]) for entry in json.loads(body)["items"]] == ["one", "two"]


@pytest.mark.parametrize(
    "options,expected",
    [
        (["-d", "a=b&c=%20d"], "a=b&c=%20d"),
        (["-d", "naïve 💡"], "naïve 💡"),
        (["-H", "Content-Type: text/plain", "-d", "plain"], "plain"),
        (["-H", "Content-Type: text/html; charset=utf-8", "-d", "<b>"], "<b>"),
        (["-H", "Content-Type: application/json", "-d", '{"a": [1]}'], '{"a": [1]}'),
        (["-H", "Content-Type: APPLICATION/JSON;charset=UTF-8", "-d", "{}"], "{}"),
        (["-H", "Content-Type:", "-d", "no type"], "no type"),
        (["-H", "Content-Type: application/octet-stream", "-d", "bytes"], b"bytes"),
        (["-H", "Content-Type: image/png", "-d", "a picture"], b"a picture"),
        (["-H", "Transfer-Encoding: chunked", "-d", "in pieces"], "in pieces"),
        (["--json", "[]"], "[]"),
        (["-X", "POST"], ""),
    ],
    ids=lambda value: " ".join(value[-3:]) if isinstance(value, list) else "",
)
def test_the_content_type_says_what_a_message_is(server, topic, options, expected):
    assert curl(server, "-H", f"Authorization: {server.root_key}", *options, topic.target) == (204, b"")
    assert value_of(topic.newest()) == expected


def test_a_publication_is_answered_with_nothing(client, topic, root):
    response = publish(client, root, topic.cache, topic.name, "x").must_be(204)
    assert response.body == b""
    assert "content-type" not in response.headers


def test_bytes_come_back_in_standard_base64(topic):
    value = bytes(range(256)) * 5
    topic.publish(value)
    item = topic.newest()
    assert item["value"] == {"binary": base64.b64encode(value).decode()}
    topic.publish(b"")
    assert topic.newest()["value"] == {"binary": ""}


def test_text_comes_back_as_it_was_sent(topic):
    for text in (
        "",
        " ",
        "\0\x01\x1f\x7f",
        '"\\/\b\f\n\r\t',
        "\u2028\u2029</script>",
        "naïve 💡 ￿ \U0010ffff",
        "x" * 100_000,
    ):
        topic.publish(text)
        assert value_of(topic.newest()) == text


@pytest.mark.parametrize("body", [b"\xff", b"a\xc3", b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80"])
def test_text_that_is_not_utf8_is_refused(client, topic, root, body):
    response = client.request("POST", topic.target, headers={**root, "content-type": "text/plain"}, body=body)
    response.must_refuse(400, "InvalidArgument")
    client.request(
        "POST", topic.target, headers={**root, "content-type": "application/octet-stream"}, body=body
    ).must_be(204)
    assert value_of(topic.newest()) == body


def test_a_message_may_be_as_long_as_its_limit(client, topic, root):
    publish(client, root, topic.cache, topic.name, b"x" * MESSAGE_LIMIT).must_be(204)
    for headers in (root, {**root, "expect": "100-continue"}):
        error = publish(client, headers, topic.cache, topic.name, b"x" * (MESSAGE_LIMIT + 1)).must_refuse(
            413, "TooLarge"
        )
        assert (error["limit"], error["value"]) == ("max_message_bytes", MESSAGE_LIMIT)
    assert len(value_of(topic.newest())) == MESSAGE_LIMIT


# The long poll


@pytest.mark.parametrize(
    "query", [{}, {"sequence_number": 0}, {"sequence_number": 0, "sequence_page": 0, "other": "x"}]
)
def test_a_fresh_poll_gets_the_newest_message(topic, query):
    topic.publish("one", "two", "three")
    (entry,) = topic.poll(**query)
    assert (entry["item"]["topic_sequence_number"], value_of(entry["item"])) == (3, "three")


def test_several_messages_come_in_one_answer(topic):
    topic.publish(*map(str, range(10)))
    page = topic.newest()["sequence_page"]
    for query in ({"sequence_number": 4, "sequence_page": page}, {"sequence_number": 4}):
        items = [entry["item"] for entry in topic.poll(**query)]
        assert [item["topic_sequence_number"] for item in items] == [4, 5, 6, 7, 8, 9, 10]
        assert [value_of(item) for item in items] == ["3", "4", "5", "6", "7", "8", "9"]
        assert {item["sequence_page"] for item in items} == {page}


def test_a_poll_waits_until_there_is_something(server, topic, root):
    topic.publish("one")
    page = topic.newest()["sequence_page"]
    with server.http2() as client:
        waiting = [
            client.open("GET", topic_target(topic.cache, topic.name, **query), headers=root)
            for query in ({"sequence_number": 2, "sequence_page": page}, {"sequence_number": 2})
        ]
        empty = client.open("GET", topic_target(topic.cache, "empty"), headers=root)
        # A round trip, and another request on the same connection: the polls have been taken in, and wait.
        client.request("GET", "/healthz").must_be(200)
        client.state.ping(b"settled!")
        client.flush()
        client.run(lambda: client.pongs)
        assert not any(client.streams[stream].is_over for stream in (*waiting, empty))
        topic.publish("two")
        for stream in waiting:
            (entry,) = client.finish(stream, within=2).must_be(200).json()["items"]
            assert value_of(entry["item"]) == "two"
        assert not client.streams[empty].is_over
        publish(server.client(), root, topic.cache, "empty", "first").must_be(204)
        (entry,) = client.finish(empty, within=2).must_be(200).json()["items"]
        assert entry["item"]["topic_sequence_number"] == 1


@pytest.mark.soak
def test_a_poll_that_gets_nothing_is_answered_after_half_a_minute(server, topic, root):
    with server.http2() as client:
        stream = client.open("GET", topic.target, headers=root)
        response = client.finish(stream, within=40).must_be(200)
        assert response.json() == {"items": []}
        assert response.headers["cache-control"] == "no-store"
    used = server.admin.used(topic.cache)
    assert 29_000 <= used["subscription_milliseconds"] <= 33_000


def test_an_answer_holds_a_thousand_items_at_most(server, topic, root):
    with server.http2() as client:
        for _ in range(10):
            streams = []
            for _ in range(102):
                stream = client.open("POST", topic.target, headers=root, ends=False, flushes=False)
                client.send_body(stream, b"x")
                streams.append(stream)
            for stream in streams:
                client.finish(stream).must_be(204)
    numbers = []
    while len(numbers) < 1020:
        entries = topic.poll(sequence_number=len(numbers) + 1)
        assert 0 < len(entries) <= 1000
        numbers += [entry["item"]["topic_sequence_number"] for entry in entries]
    assert numbers == list(range(1, 1021))


def test_an_answer_holds_about_a_mebibyte_at_most(client, topic, root):
    topic.publish(*[bytes([number]) * 100_000 for number in range(20)])
    numbers = []
    answers = 0
    while len(numbers) < 20:
        target = topic_target(topic.cache, topic.name, sequence_number=len(numbers) + 1)
        response = client.request("GET", target, headers=root).must_be(200)
        assert len(response.body) < 2 << 20
        numbers += [entry["item"]["topic_sequence_number"] for entry in response.json()["items"]]
        answers += 1
    assert numbers == list(range(1, 21))
    assert answers <= 4


def test_a_poller_that_leaves_is_forgotten(server, root):
    cache = server.admin.make_cache(limits={"max_subscriptions": 1})
    target = topic_target(cache, "news")
    with server.http2() as client:
        first = client.open("GET", target, headers=root)
        client.request("GET", target, headers=root).must_refuse(429, "LimitExceeded")
        client.reset(first)

        def is_free():
            stream = client.open("GET", target, headers=root)
            client.state.ping(b"answered")
            client.pongs.clear()
            client.flush()
            client.run(lambda: client.pongs)
            return not client.streams[stream].is_over

        eventually(is_free, within=2, what="room for a subscription")


@pytest.mark.parametrize(
    "query,field",
    [
        ("sequence_number=x", "sequence_number"),
        ("sequence_number=-1", "sequence_number"),
        ("sequence_number=1.0", "sequence_number"),
        ("sequence_number=18446744073709551616", "sequence_number"),
        ("sequence_number=", "sequence_number"),
        ("sequence_page=x", "sequence_page"),
        ("sequence_page=-1", "sequence_page"),
        ("sequence_page=18446744073709551616&sequence_number=1", "sequence_page"),
    ],
)
def test_a_position_that_cannot_be_is_refused(client, topic, root, query, field):
    topic.publish("x")
    client.request("GET", f"{topic.target}?{query}", headers=root).must_refuse(400, "InvalidArgument", field=field)


@pytest.mark.parametrize("number", [10**6, 2**53, 2**63 - 1])
def test_the_largest_position_is_only_a_gap(topic, number):
    topic.publish("x")
    gap, entry = topic.poll(sequence_number=number)
    assert gap["discontinuity"]["new_topic_sequence"] == 0
    assert value_of(entry["item"]) == "x"


# Names


@pytest.mark.parametrize(
    "name",
    ["a", "a/b", "a b", "%", "?x=1", "naïve", "💡", "x" * 1024, "é" * 512, ":", "~", "+", "&", "\u00a0x", "cafe\u0301"],
    ids=lambda name: ascii(name[:8]),
)
def test_a_name_may_be_anything_printable(server, cache, name):
    topic = Topic(server, cache, name)
    topic.publish("x")
    assert topic.newest()["topic_sequence_number"] == 1


def test_names_are_compared_byte_by_byte(server, cache):
    for name in ("caf\u00e9", "cafe\u0301", "Cafe\u0301", "cafe\u0301 "):
        topic = Topic(server, cache, name)
        topic.publish(name)
        assert (topic.newest()["topic_sequence_number"], value_of(topic.newest())) == (1, name)


@pytest.mark.parametrize(
    "segment",
    ["%20", "%20%09", "%C2%A0", "%00", "a%0Ab", "a%7Fb", "a%C2%85b", "%FF", "a%C3", "x" * 1025, "%C3%A9" * 512 + "x"],
    ids=lambda segment: segment[:12],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_name_that_cannot_be_is_refused(client, cache, root, method, segment):
    client.request(method, f"/topics/{cache}/{segment}", headers=root).must_refuse(
        400, "InvalidArgument", field="topic"
    )


@pytest.mark.parametrize(
    "path", ["/topics", "/topics/", "/topics/{cache}", "/topics/{cache}/a/b", "/topics/{cache}/a/"]
)
def test_another_path_is_no_topic(client, cache, root, path):
    response = client.request("POST", path.format(cache=cache), headers=root, body=b"x")
    response.must_refuse(404, "NotFound")


def test_a_name_must_be_there(client, cache, root):
    assert client.request("POST", f"/topics/{cache}/", headers=root, body=b"x").status in (400, 404)


# Who, where, how


def test_a_credential_comes_in_the_head_or_in_the_target(server, client, topic):
    for role, method, status in (("writeonly", "POST", 204), ("readonly", "GET", 200)):
        for minted in (server.admin.make_token(may(role)), server.admin.make_key(may(role))):
            for headers, query in (
                ({"authorization": minted.credential}, {}),
                ({"authorization": f"Bearer {minted.credential}"}, {}),
                ({}, {"token": minted.credential}),
            ):
                target = topic_target(topic.cache, topic.name, **query)
                client.request(method, target, headers=headers, body=b"x" if method == "POST" else None).must_be(status)
    both = topic_target(topic.cache, topic.name, token=minted.credential)
    for method in ("GET", "POST"):
        client.request(method, both, headers=minted.headers).must_refuse(400, "InvalidArgument")
        client.request(method, topic.target).must_refuse(401, "Unauthenticated")
        client.request(method, topic.target, headers={"authorization": "nobody"}).must_refuse(401, "Unauthenticated")


def test_refusals_come_in_their_order(server, client, cache):
    items_only = server.admin.make_token().headers
    here = server.admin.make_token(may("readwrite", cache)).headers
    everywhere = server.admin.make_token(may("readwrite")).headers
    missing, long = fresh_name("missing"), "x" * 1025
    large = b"x" * (MESSAGE_LIMIT + 1)
    for headers, name, topic, status, code in (
        ({}, missing, long, 401, "Unauthenticated"),
        ({"authorization": "nobody"}, missing, long, 401, "Unauthenticated"),
        (items_only, missing, long, 403, "PermissionDenied"),
        (here, missing, long, 403, "PermissionDenied"),
        (items_only, cache, "news", 403, "PermissionDenied"),
        (everywhere, missing, long, 404, "NotFound"),
        (everywhere, missing, "news", 404, "NotFound"),
        (everywhere, cache, long, 400, "InvalidArgument"),
    ):
        for method, body in (("GET", None), ("POST", b"x"), ("POST", large)):
            client.request(method, topic_target(name, topic), headers=headers, body=body).must_refuse(status, code)
    client.request("POST", topic_target(cache, "news"), headers=everywhere, body=large).must_refuse(413, "TooLarge")


@pytest.mark.parametrize("method", ["PUT", "DELETE", "HEAD", "PATCH"])
def test_other_methods_are_refused(client, topic, root, method):
    response = client.request(method, topic.target, headers=root)
    assert response.status == 405
    assert {name.strip() for name in response.headers["allow"].split(",")} == {"GET", "POST", "OPTIONS"}


def test_a_page_of_another_origin_may_ask(client, topic, root):
    response = client.request(
        "OPTIONS",
        topic.target,
        headers={
            "origin": "https://shop.example",
            "access-control-request-method": "POST",
            "access-control-request-headers": "authorization, content-type, last-event-id",
        },
    ).must_be(204)
    assert response.headers["access-control-allow-origin"] == "*"
    assert {"GET", "POST"} <= {name.strip() for name in response.headers["access-control-allow-methods"].split(",")}
    allowed = {name.strip().lower() for name in response.headers["access-control-allow-headers"].split(",")}
    assert {"authorization", "content-type"} <= allowed
    for method in ("POST", "GET"):
        response = client.request(method, topic.target, headers={**root, "origin": "https://shop.example"})
        assert response.headers["access-control-allow-origin"] == "*"
