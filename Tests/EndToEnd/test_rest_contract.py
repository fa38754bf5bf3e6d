"""The cache endpoints, to the letter: both key forms, both token places, status codes, phrases and header fields."""

import base64
import re

import pytest

from support.admin import fresh_name
from support.waiting import eventually

ITEM_LIMIT = 5_000_192
TTL_CEILING = 1 << 42


@pytest.fixture
def root(server):
    return {"authorization": server.root_key}


def put(client, cache, key, value, headers, *, parameters="ttl_seconds=60"):
    return client.request("PUT", f"/cache/{cache}?key={key}&{parameters}", headers=headers, body=value)


def get(client, cache, key, headers):
    return client.request("GET", f"/cache/{cache}?key={key}", headers=headers)


# What is stored, and how it comes back


def test_what_was_put_comes_back_byte_for_byte(client, cache, root):
    value = bytes(range(256)) * 3
    response = put(client, cache, "k", value, {**root, "content-type": "text/html; charset=utf-16"}).must_be(204)
    assert response.body == b""
    assert "content-type" not in response.headers
    response = get(client, cache, "k", root).must_be(200)
    assert response.body == value
    assert response.headers["content-type"] == "application/octet-stream"
    assert response.headers["content-length"] == str(len(value))
    assert re.fullmatch(r'"[0-9a-f]{32}"', response.headers["etag"])


def test_an_empty_value_is_a_value(client, cache, root):
    put(client, cache, "k", b"", root).must_be(204)
    assert get(client, cache, "k", root).must_be(200).body == b""


def test_a_put_replaces_value_and_ttl(client, cache, root):
    put(client, cache, "k", b"one", root, parameters="ttl_ms=200").must_be(204)
    put(client, cache, "k", b"two", root, parameters="ttl_seconds=60").must_be(204)
    put(client, cache, "mark", b"", root, parameters="ttl_ms=250").must_be(204)
    eventually(lambda: get(client, cache, "mark", root).status == 404, what="the mark's expiry")
    assert get(client, cache, "k", root).must_be(200).body == b"two"


def test_delete_answers_204_whether_or_not_the_key_exists(client, cache, root):
    put(client, cache, "k", b"v", root).must_be(204)
    for _ in range(2):
        response = client.request("DELETE", f"/cache/{cache}?key=k", headers=root).must_be(204)
        assert response.body == b""
        get(client, cache, "k", root).must_be(404)


def test_a_missing_key_and_a_missing_cache_are_told_apart(client, cache, root):
    get(client, cache, "nothing", root).must_refuse(404, "NotFound", says="Key Not Found")
    missing = fresh_name("missing")
    for method, body in (("GET", None), ("PUT", b"v"), ("DELETE", None)):
        response = client.request(method, f"/cache/{missing}?key=k&ttl_seconds=60", headers=root, body=body)
        response.must_refuse(404, "NotFound", says="Cache Not Found")


def test_http1_sends_the_usual_reason_phrases(server, cache, root):
    client = server.client()
    assert put(client, cache, "k", b"v", root).reason == "No Content"
    assert get(client, cache, "k", root).reason == "OK"
    assert get(client, cache, "nothing", root).reason == "Not Found"
    for method in ("GET", "PUT", "DELETE"):
        response = client.request(method, f"/cache/{fresh_name('missing')}?key=k&ttl_seconds=1", headers=root)
        assert (response.status, response.reason.lower()) == (404, "not found")
    assert client.request("GET", f"/cache/{cache}?key=k").reason == "Unauthorized"
    assert client.request("GET", f"/cache/{cache}", headers=root).reason == "Bad Request"


def test_the_requests_of_the_javascript_suite_work(server, cache):
    # Chunked, a JSON content type, a `value` parameter beside the body, the inner key as credential.
    client = server.client()
    headers = {"Authorization": server.admin.make_key().credential, "Content-Type": "application/json"}
    response = client.request(
        "PUT", f"/cache/{cache}?key=js&value=stray&ttl_seconds=60", headers=headers, body=b"the body", chunked=True
    )
    response.must_be(204)
    assert get(client, cache, "js", headers).must_be(200).body == b"the body"


def test_a_body_of_unannounced_length_is_stored_whole(client, cache, root):
    value = bytes(range(256)) * 1000
    response = client.request("PUT", f"/cache/{cache}?key=k&ttl_seconds=60", headers=root, body=value, chunked=True)
    response.must_be(204)
    assert get(client, cache, "k", root).must_be(200).body == value


def test_head_tells_what_get_would_without_the_value(client, cache, root):
    put(client, cache, "k", b"value", root).must_be(204)
    full = get(client, cache, "k", root).must_be(200)
    head = client.request("HEAD", f"/cache/{cache}?key=k", headers=root).must_be(200)
    assert head.body == b""
    for name in ("content-type", "content-length", "etag"):
        assert head.headers[name] == full.headers[name]
    missing = client.request("HEAD", f"/cache/{cache}?key=nothing", headers=root).must_be(404)
    assert missing.body == b""
    # The connection is still in step.
    assert get(client, cache, "k", root).must_be(200).body == b"value"


# Keys


@pytest.mark.parametrize(
    "key,text",
    [
        (b"example_key", "ZXhhbXBsZV9rZXk"),
        (b"example_key", "ZXhhbXBsZV9rZXk="),
        (b"\xfb\xff\x00\xfe", "-_8A_g"),
        (b"\xfb\xff\x00\xfe", "-_8A_g=="),
        (b"\xfb\xff\x00\xfe", "+/8A/g=="),
        (b"\xfb\xff\x00\xfe", "%2B%2F8A%2Fg%3D%3D"),
    ],
)
def test_key_base64_takes_both_alphabets_with_and_without_padding(client, cache, root, key, text):
    canonical = base64.urlsafe_b64encode(key).decode()
    client.request("PUT", f"/cache/{cache}?key_base64={canonical}&ttl_seconds=60", headers=root, body=b"v").must_be(204)
    assert client.request("GET", f"/cache/{cache}?key_base64={text}", headers=root).must_be(200).body == b"v"


def test_key_and_key_base64_name_the_same_item(client, cache, root):
    put(client, cache, "caf%C3%A9%20%26%20cr%C3%A8me%2F1", b"v", root).must_be(204)
    text = base64.urlsafe_b64encode("café & crème/1".encode()).decode().rstrip("=")
    assert client.request("GET", f"/cache/{cache}?key_base64={text}", headers=root).must_be(200).body == b"v"


def test_a_plus_is_a_plus(client, cache, root):
    put(client, cache, "a+b", b"plus", root).must_be(204)
    get(client, cache, "a%20b", root).must_be(404)
    assert get(client, cache, "a%2Bb", root).must_be(200).body == b"plus"


@pytest.mark.parametrize(
    "query,field",
    [
        ("", "key"),
        ("key=a&key_base64=YQ", None),
        ("key=a&key=a", "key"),
        ("key=", "key"),
        ("key_base64=", "key_base64"),
        ("key_base64=%%%", "key_base64"),
        ("key_base64=a", "key_base64"),
        ("key_base64=YQ===", "key_base64"),
        ("key_base64=Y!==", "key_base64"),
        ("key=%4", "key"),
        ("key=%zz", "key"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
def test_exactly_one_well_formed_key_is_wanted(server, cache, root, method, query, field):
    body = b"v" if method == "PUT" else None
    response = server.client().request(method, f"/cache/{cache}?{query}&ttl_seconds=60", headers=root, body=body)
    if method == "HEAD":
        response.must_be(400)
    else:
        error = response.must_refuse(400, "InvalidArgument")
        assert error["field"] in ((field,) if field else ("key", "key_base64"))


def test_unknown_parameters_are_ignored_and_known_ones_stand_once(client, cache, root):
    put(client, cache, "k", b"v", root, parameters="ttl_seconds=60&value=x&foo&=&bar=%zz").must_be(204)
    for twice in ("ttl_seconds=60&ttl_seconds=60", "ttl_ms=60&ttl_ms=61"):
        put(client, cache, "k", b"v", root, parameters=twice).must_refuse(400, "InvalidArgument")


# Time to live


@pytest.mark.parametrize(
    "parameters,field",
    [
        ("", None),
        ("ttl_seconds=", "ttl_seconds"),
        ("ttl_seconds=0", "ttl_seconds"),
        ("ttl_seconds=-1", "ttl_seconds"),
        ("ttl_seconds=1.5", "ttl_seconds"),
        ("ttl_seconds=1e3", "ttl_seconds"),
        ("ttl_seconds=ten", "ttl_seconds"),
        ("ttl_seconds=0x10", "ttl_seconds"),
        ("ttl_seconds=%2B5", "ttl_seconds"),
        (f"ttl_seconds={TTL_CEILING // 1000 + 1}", "ttl_seconds"),
        ("ttl_seconds=18446744073709551616", "ttl_seconds"),
        ("ttl_seconds=" + "9" * 400, "ttl_seconds"),
        ("ttl_ms=0", "ttl_ms"),
        ("ttl_ms=-5", "ttl_ms"),
        (f"ttl_ms={TTL_CEILING + 1}", "ttl_ms"),
        ("ttl_seconds=5&ttl_ms=5", "ttl_ms"),
    ],
)
def test_a_ttl_that_is_none_is_refused_with_its_name(client, cache, root, parameters, field):
    error = put(client, cache, "k", b"v", root, parameters=parameters).must_refuse(400, "InvalidArgument")
    assert error["field"] == (field or "ttl_seconds")
    get(client, cache, "k", root).must_be(404)


@pytest.mark.parametrize(
    "parameters", ["ttl_seconds=1", f"ttl_seconds={TTL_CEILING // 1000}", "ttl_ms=1000", f"ttl_ms={TTL_CEILING}"]
)
def test_any_ttl_up_to_the_ceiling_is_taken(client, cache, root, parameters):
    put(client, cache, "k", b"v", root, parameters=parameters).must_be(204)
    get(client, cache, "k", root).must_be(200)


def test_an_item_is_gone_when_its_ttl_has_passed_and_not_before(client, cache, root):
    put(client, cache, "short", b"v", root, parameters="ttl_ms=300").must_be(204)
    put(client, cache, "long", b"v", root, parameters="ttl_seconds=60").must_be(204)
    get(client, cache, "short", root).must_be(200)
    eventually(lambda: get(client, cache, "short", root).status == 404, within=2, what="the item's expiry")
    client.request("HEAD", f"/cache/{cache}?key=short", headers=root).must_be(404)
    get(client, cache, "long", root).must_be(200)


def test_a_default_ttl_stands_in_for_a_missing_one(server, client, root):
    cache = server.admin.make_cache(limits={"default_ttl": 1})
    put(client, cache, "k", b"v", root, parameters="").must_be(204)
    put(client, cache, "own", b"v", root, parameters="ttl_seconds=60").must_be(204)
    get(client, cache, "k", root).must_be(200)
    eventually(lambda: get(client, cache, "k", root).status == 404, within=3, what="the default TTL")
    get(client, cache, "own", root).must_be(200)


def test_a_ttl_over_the_cache_s_ceiling_is_refused(server, client, root):
    cache = server.admin.make_cache(limits={"max_ttl": 10})
    put(client, cache, "k", b"v", root, parameters="ttl_seconds=10").must_be(204)
    put(client, cache, "k", b"v", root, parameters="ttl_seconds=11").must_refuse(400, "InvalidArgument")
    put(client, cache, "k", b"v", root, parameters="ttl_ms=10001").must_refuse(400, "InvalidArgument")


# Conditions


def test_the_etag_is_of_the_value_alone_and_survives_a_restart(make_server):
    server = make_server()
    root = server.admin.headers
    client = server.client()
    server.admin.make_cache("one")
    server.admin.make_cache("two")

    def etag(cache, key, value):
        put(client, cache, key, value, root).must_be(204)
        return get(client, cache, key, root).must_be(200).headers["etag"]

    first = etag("one", "a", b"value")
    assert etag("one", "b", b"value") == first
    assert etag("two", "a", b"value") == first
    assert etag("one", "a", b"other value") != first
    server.restart()
    client = server.client()
    assert etag("one", "a", b"value") == first


def test_the_etag_is_keyed(make_server):
    # Two installations do not give one value the same tag: it cannot be guessed outside.
    tags = set()
    for name in ("one", "two"):
        server = make_server(name)
        put(server.client(), "default", "k", b"value", server.admin.headers).must_be(204)
        tags.add(get(server.client(), "default", "k", server.admin.headers).headers["etag"])
    assert len(tags) == 2


def test_if_none_match_star_stores_only_what_is_absent(client, cache, root):
    condition = {**root, "if-none-match": "*"}
    put(client, cache, "k", b"first", condition).must_be(204)
    put(client, cache, "k", b"second", condition).must_refuse(412, "PreconditionFailed")
    assert get(client, cache, "k", root).body == b"first"
    client.request("DELETE", f"/cache/{cache}?key=k", headers=root).must_be(204)
    put(client, cache, "k", b"third", condition).must_be(204)


def test_if_match_compares_and_sets(client, cache, root):
    put(client, cache, "k", b"one", root).must_be(204)
    tag = get(client, cache, "k", root).headers["etag"]
    put(client, cache, "k", b"two", {**root, "if-match": tag}).must_be(204)
    put(client, cache, "k", b"three", {**root, "if-match": tag}).must_refuse(412, "PreconditionFailed")
    assert get(client, cache, "k", root).body == b"two"
    both = f'"{"0" * 32}", {get(client, cache, "k", root).headers["etag"]}'
    put(client, cache, "k", b"four", {**root, "if-match": both}).must_be(204)
    put(client, cache, "absent", b"v", {**root, "if-match": tag}).must_be(412)
    put(client, cache, "absent", b"v", {**root, "if-match": "*"}).must_be(412)
    put(client, cache, "k", b"five", {**root, "if-match": "*"}).must_be(204)
    # A weak tag never matches where a strong comparison is asked (RFC 9110 section 8.8.3.2).
    weak = "W/" + get(client, cache, "k", root).headers["etag"]
    put(client, cache, "k", b"six", {**root, "if-match": weak}).must_be(412)
    assert get(client, cache, "k", root).body == b"five"


def test_delete_with_if_match_deletes_what_was_seen(client, cache, root):
    put(client, cache, "k", b"one", root).must_be(204)
    tag = get(client, cache, "k", root).headers["etag"]
    put(client, cache, "k", b"two", root).must_be(204)
    client.request("DELETE", f"/cache/{cache}?key=k", headers={**root, "if-match": tag}).must_be(412)
    tag = get(client, cache, "k", root).headers["etag"]
    client.request("DELETE", f"/cache/{cache}?key=k", headers={**root, "if-match": tag}).must_be(204)
    get(client, cache, "k", root).must_be(404)


def test_a_conditional_get_saves_the_body(client, cache, root):
    put(client, cache, "k", b"value", root).must_be(204)
    tag = get(client, cache, "k", root).headers["etag"]
    for value in (tag, f'"x", {tag}', f"W/{tag}", "*"):
        response = get(client, cache, "k", {**root, "if-none-match": value}).must_be(304)
        assert response.body == b""
        assert response.headers["etag"] == tag
    assert get(client, cache, "k", {**root, "if-none-match": f'"{"0" * 32}"'}).must_be(200).body == b"value"
    assert get(client, cache, "k", {**root, "if-match": tag}).must_be(200).body == b"value"
    get(client, cache, "k", {**root, "if-match": f'"{"0" * 32}"'}).must_refuse(412, "PreconditionFailed")
    # A key that is not there stays a 404, whatever the condition.
    get(client, cache, "nothing", {**root, "if-none-match": "*"}).must_be(404)


@pytest.mark.parametrize("value", ["", "abc", '"open', '"a" "b"', '"a",', '*, "a"', "W/x"])
@pytest.mark.parametrize("field", ["if-match", "if-none-match"])
def test_a_condition_that_is_no_list_of_tags_is_refused(server, cache, root, field, value):
    client = server.client()
    put(client, cache, "k", b"v", {**root, field: value}).must_refuse(400, "InvalidArgument", field=field)
    get(client, cache, "k", root).must_be(404)


def test_both_conditions_at_once_are_refused(client, cache, root):
    headers = {**root, "if-match": "*", "if-none-match": "*"}
    put(client, cache, "k", b"v", headers).must_refuse(400, "InvalidArgument")


# Increment


def increment(client, cache, query, headers):
    return client.request("POST", f"/cache/{cache}/increment?{query}", headers=headers)


def test_increment_counts_and_stores_plain_decimal_text(client, cache, root):
    assert increment(client, cache, "key=n&ttl_seconds=60", root).must_be(200).json() == {"value": 1}
    assert increment(client, cache, "key=n&by=41&ttl_seconds=60", root).must_be(200).json() == {"value": 42}
    assert increment(client, cache, "key=n&by=-50&ttl_seconds=60", root).must_be(200).json() == {"value": -8}
    assert get(client, cache, "n", root).must_be(200).body == b"-8"
    put(client, cache, "m", b"100", root).must_be(204)
    assert increment(client, cache, "key=m&by=0&ttl_seconds=60", root).must_be(200).json() == {"value": 100}


def test_increment_keeps_the_expiry_of_what_is_there(client, cache, root):
    increment(client, cache, "key=n&ttl_ms=400", root).must_be(200)
    increment(client, cache, "key=n&ttl_seconds=60", root).must_be(200)
    eventually(lambda: get(client, cache, "n", root).status == 404, within=3, what="the first expiry")


def test_increment_refuses_what_it_cannot_add(client, cache, root):
    put(client, cache, "text", b"abc", root).must_be(204)
    increment(client, cache, "key=text&ttl_seconds=60", root).must_refuse(409, "NotAnInteger")
    put(client, cache, "most", b"9223372036854775807", root).must_be(204)
    increment(client, cache, "key=most&ttl_seconds=60", root).must_refuse(409, "IntegerOverflow")
    assert get(client, cache, "most", root).body == b"9223372036854775807"
    for by in ("", "x", "1.5", "9223372036854775808", "%2B1"):
        increment(client, cache, f"key=n&by={by}&ttl_seconds=60", root).must_refuse(400, "InvalidArgument", field="by")
    increment(client, fresh_name("missing"), "key=n&ttl_seconds=60", root).must_refuse(
        404, "NotFound", says="Cache Not Found"
    )


# Credentials: where they stand


def test_the_token_stands_in_the_header_or_in_the_query_but_not_in_both(server, client, cache):
    token = server.admin.make_token().credential
    put(client, cache, "k", b"v", {"authorization": token}).must_be(204)
    put(client, cache, "k", b"v", {"authorization": f"Bearer {token}"}).must_be(204)
    target = f"/cache/{cache}?key=k&token={token.replace('=', '%3D')}"
    assert client.request("GET", target).must_be(200).body == b"v"
    assert client.request("GET", target.replace("%3D", "=")).must_be(200).body == b"v"
    client.request("GET", target, headers={"authorization": token}).must_refuse(400, "InvalidArgument", field="token")
    client.request("GET", f"{target}&token=x").must_be(400)


def test_no_credential_and_a_false_one_are_401(client, cache):
    for headers in ({}, {"authorization": ""}, {"authorization": "nonsense"}, {"authorization": "Bearer"}):
        response = get(client, cache, "k", headers)
        response.must_refuse(401, "Unauthenticated")
        assert "www-authenticate" in response.headers


def test_refusals_come_in_their_order(server, client, cache):
    # Identify, permit, cache exists, parameters, limits: each request is wrong in all that follow, too.
    token = server.admin.make_token([{"role": "readwrite", "cache": cache, "key_prefix": "mine:"}]).headers
    missing = fresh_name("missing")
    everywhere = server.admin.make_token().headers
    client.request("GET", f"/cache/{missing}", headers={"authorization": "x"}).must_be(401)
    client.request("GET", f"/cache/{missing}?key=k", headers=token).must_be(403)
    client.request("PUT", f"/cache/{cache}?key=other&ttl_seconds=x", headers=token, body=b"").must_be(403)
    client.request("PUT", f"/cache/{missing}?key=k&ttl_seconds=x", headers=everywhere, body=b"").must_be(404)
    server.admin.change_cache(cache, limits={"max_item_bytes": 5})
    client.request("PUT", f"/cache/{cache}?key=mine:1&ttl_seconds=0", headers=token, body=b"longer").must_be(400)
    client.request("PUT", f"/cache/{cache}?key=mine:1&ttl_seconds=1", headers=token, body=b"longer").must_be(413)


# Sizes


def test_key_and_value_may_be_as_large_as_the_limit_and_no_byte_larger(server, client, cache, root):
    value = b"x" * (ITEM_LIMIT - 1)
    put(client, cache, "k", value, root).must_be(204)
    assert get(client, cache, "k", root).must_be(200).body == value
    with server.http2() as other:
        error = put(other, cache, "kk", value, root).must_refuse(413, "TooLarge")
    assert (error["limit"], error["value"]) == ("max_item_bytes", ITEM_LIMIT)
    get(client, cache, "kk", root).must_be(404)


@pytest.mark.parametrize("size", [70_000, 200_000, ITEM_LIMIT])
def test_who_sends_all_before_reading_still_learns_why_it_was_refused(server, root, size):
    # Many clients do so. Closed at once, the connection would be reset and the answer lost (RFC 9112 section 9.6).
    cache = server.admin.make_cache(limits={"max_item_bytes": 1000})
    for _ in range(5):
        put(server.client(), cache, "k", b"x" * size, root).must_refuse(413, "TooLarge")
        put(server.client(), cache, "k", b"x" * size, {}).must_refuse(401, "Unauthenticated")


def test_a_body_that_announces_too_much_is_refused_before_it_is_sent(server, cache, root):
    head = (
        f"PUT /cache/{cache}?key=k&ttl_seconds=60 HTTP/1.1\r\nHost: x\r\nAuthorization: {server.root_key}\r\n"
        f"Content-Length: {ITEM_LIMIT}\r\n\r\n"
    )
    with server.raw() as connection:
        connection.send(head.encode())
        response = connection.read_response()
        error = response.must_refuse(413, "TooLarge")
        assert (error["limit"], error["value"]) == ("max_item_bytes", ITEM_LIMIT)
    with server.http2() as connection:
        stream_id = connection.open(
            "PUT",
            f"/cache/{cache}?key=k&ttl_seconds=60",
            headers={**root, "content-length": str(ITEM_LIMIT)},
            ends=False,
        )
        connection.run(lambda: connection.streams[stream_id].is_over)
        connection.streams[stream_id].response().must_refuse(413, "TooLarge")


def test_a_body_that_grows_over_the_limit_unannounced_is_refused(server, root):
    cache = server.admin.make_cache(limits={"max_item_bytes": 100_000})
    with server.raw() as connection:
        connection.send(
            (
                f"PUT /cache/{cache}?key=k&ttl_seconds=60 HTTP/1.1\r\nHost: x\r\n"
                f"Authorization: {server.root_key}\r\nTransfer-Encoding: chunked\r\n\r\n"
            ).encode()
        )
        connection.try_send(b"186a0\r\n" + b"x" * 100_000 + b"\r\n")
        error = connection.read_response().must_refuse(413, "TooLarge")
        assert (error["limit"], error["value"]) == ("max_item_bytes", 100_000)
    with server.http2() as connection:
        response = connection.request(
            "PUT", f"/cache/{cache}?key=k&ttl_seconds=60", headers=root, body=b"x" * 300_000, chunked=True
        )
        response.must_refuse(413, "TooLarge")
        # The connection lives, and the next request on it is served.
        get(connection, cache, "k", root).must_be(404)


def test_a_key_over_its_limit_is_413_and_one_too_long_for_a_url_414(server, client, root):
    cache = server.admin.make_cache(limits={"max_key_bytes": 10})
    put(client, cache, "k" * 10, b"v", root).must_be(204)
    error = put(client, cache, "k" * 11, b"v", root).must_refuse(413, "TooLarge")
    assert (error["limit"], error["value"]) == ("max_key_bytes", 10)


@pytest.mark.parametrize("length", [16_384, 30_000, 65_537, 70_000])
@pytest.mark.parametrize("version", ["http1", "http2"])
def test_a_target_that_is_too_long_is_414(server, cache, root, version, length):
    client = server.client() if version == "http1" else server.http2()
    error = get(client, cache, "k" * length, root).must_refuse(414, "URITooLong")
    assert error["limit"] == "max_request_target_bytes"
    client.close()
    assert server.is_healthy()


def test_a_key_of_a_long_url_still_works(client, cache, root):
    key = "k" * 15_000
    put(client, cache, key, b"v", root).must_be(204)
    assert get(client, cache, key, root).must_be(200).body == b"v"


@pytest.mark.parametrize("version", ["http1", "http2"])
def test_header_fields_over_the_limit_are_431(server, cache, root, version):
    client = server.client() if version == "http1" else server.http2()
    headers = {**root, **{f"x-filler-{number}": "f" * 1000 for number in range(40)}}
    error = get(client, cache, "k", headers).must_refuse(431, "HeadersTooLarge")
    assert error["limit"] == "max_header_bytes"
    client.close()
    assert server.is_healthy()


# Names


@pytest.mark.parametrize("name", ["%20", "%20%C2%A0", "%00", "a%0Ab", "a%2Fb", "%E2%80%8B", "%ff", "n" * 256])
def test_a_name_that_no_cache_can_have_is_refused(client, root, name):
    for method, body in (("GET", None), ("PUT", b"v"), ("DELETE", None)):
        response = client.request(method, f"/cache/{name}?key=k&ttl_seconds=60", headers=root, body=body)
        response.must_refuse(400, "InvalidArgument", field="cache")


@pytest.mark.parametrize("name", ["caf%C3%A9", "a%20b", "n" * 255, "%E2%98%83" * 85, "..%3F%23%25", "A+b"])
def test_any_other_name_of_at_most_255_bytes_is_a_cache_s(server, client, root, name):
    get(client, name, "k", root).must_refuse(404, "NotFound", says="Cache Not Found")
    assert server.admin.call("PUT", f"/caches/{name}", {}).status == 201
    put(client, name, "k", b"v", root).must_be(204)
    assert get(client, name, "k", root).must_be(200).body == b"v"
    server.admin.call("DELETE", f"/caches/{name}").must_be(204)


# Methods, paths, CORS, expectations


def test_other_methods_are_405_and_told_what_there_is(client, cache, root):
    for method in ("POST", "PATCH"):
        response = client.request(method, f"/cache/{cache}?key=k", headers=root, body=b"")
        response.must_refuse(405, "MethodNotAllowed")
        assert {"GET", "HEAD", "PUT", "DELETE"} <= set(response.headers["allow"].split(", "))
    response = client.request("GET", f"/cache/{cache}/increment?key=k", headers=root)
    response.must_refuse(405, "MethodNotAllowed")
    assert "POST" in response.headers["allow"]
    response = client.request("DELETE", "/healthz", headers=root)
    assert "GET" in response.must_be(405).headers["allow"]


@pytest.mark.parametrize(
    "path", ["/", "/cache", "/caches/x?key=k", "/cache/x/y?key=k", "/favicon.ico", "/v1", "/V1/admin"]
)
def test_other_paths_are_404_and_told_what_there_is(client, root, path):
    error = client.request("GET", path, headers=root).must_refuse(404, "NotFound")
    assert "Not Found" in error["message"]


@pytest.mark.parametrize("path", ["/cache/any?key=k", "/cache/any/increment?key=k"])
def test_a_browser_may_ask_from_any_page(client, path):
    response = client.request(
        "OPTIONS",
        path,
        headers={
            "origin": "https://shop.example",
            "access-control-request-method": "PUT",
            "access-control-request-headers": "authorization,content-type",
        },
    )
    assert response.status in (200, 204)
    assert response.headers["access-control-allow-origin"] == "*"
    methods = set(response.headers["access-control-allow-methods"].replace(" ", "").split(","))
    assert {"GET", "PUT", "POST", "DELETE", "OPTIONS"} <= methods
    allowed = response.headers["access-control-allow-headers"].lower().replace(" ", "").split(",")
    assert {"authorization", "content-type"} <= set(allowed)
    assert "access-control-allow-credentials" not in response.headers


def test_a_page_of_any_origin_sees_answers_and_refusals(client, cache, root):
    origin = {"origin": "https://shop.example"}
    put(client, cache, "k", b"v", {**root, **origin}).must_be(204)
    responses = [
        get(client, cache, "k", {**root, **origin}),
        get(client, cache, "nothing", {**root, **origin}),
        get(client, cache, "k", origin),
        get(client, fresh_name("missing"), "k", {**root, **origin}),
    ]
    assert [response.status for response in responses] == [200, 404, 401, 404]
    for response in responses:
        assert response.headers["access-control-allow-origin"] == "*"
    assert "etag" in responses[0].headers["access-control-expose-headers"].lower()


def test_the_control_plane_lets_no_page_in(server, client, root):
    headers = {**root, "origin": "https://shop.example", "access-control-request-method": "PUT"}
    for method in ("OPTIONS", "GET"):
        response = client.request(method, "/v1/admin/caches", headers=headers)
        assert not [name for name in response.headers if name.startswith("access-control-")]
    token = server.root_key.replace("=", "%3D")
    client.request("GET", f"/v1/admin/caches?token={token}").must_refuse(401, "Unauthenticated")


def expecting(server, cache, credential, expectation="100-continue"):
    return (
        f"PUT /cache/{cache}?key=k&ttl_seconds=60 HTTP/1.1\r\nHost: x\r\nAuthorization: {credential}\r\n"
        f"Content-Length: 5\r\nExpect: {expectation}\r\n\r\n"
    ).encode()


def test_whoever_waits_for_100_gets_it_once_they_are_let_in(server, cache):
    with server.raw() as connection:
        connection.send(expecting(server, cache, server.root_key))
        assert connection.read_response().status == 100
        connection.send(b"value")
        connection.read_response().must_be(204)
        # The connection is kept.
        connection.send(
            f"GET /cache/{cache}?key=k HTTP/1.1\r\nHost: x\r\nAuthorization: {server.root_key}\r\n\r\n".encode()
        )
        assert connection.read_response().must_be(200).body == b"value"


def test_whoever_is_refused_gets_no_100(server, cache):
    for credential, name, status in (("nobody", cache, 401), (server.root_key, fresh_name("missing"), 404)):
        with server.raw() as connection:
            connection.send(expecting(server, name, credential))
            connection.read_response().must_be(status)


def test_another_expectation_cannot_be_met(server, cache):
    with server.raw() as connection:
        connection.send(expecting(server, cache, server.root_key, "a-miracle"))
        connection.read_response().must_refuse(417, "ExpectationFailed")


def test_http2_answers_100_too(server, cache, root):
    with server.http2() as connection:
        stream_id = connection.open(
            "PUT",
            f"/cache/{cache}?key=k&ttl_seconds=60",
            headers={**root, "expect": "100-continue", "content-length": "5"},
            ends=False,
        )
        stream = connection.streams[stream_id]
        connection.run(lambda: stream.informational)
        assert stream.informational == [100]
        connection.send_body(stream_id, b"value")
        connection.finish(stream_id).must_be(204)


def test_health_and_keys_are_served_to_everybody(client):
    assert client.request("GET", "/healthz").must_be(200).body == b"ok\n"
    assert client.request("GET", "/readyz").must_be(200).body.startswith(b"ready")
    keys = client.request("GET", "/.well-known/jwks.json").must_be(200).json()["keys"]
    assert keys and all(key["kty"] == "EC" and key["crv"] == "P-256" and "d" not in key for key in keys)
