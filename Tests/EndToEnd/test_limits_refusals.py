"""What a refusal for load says, on every door: its exact shape, and that it agrees with itself."""

import base64

import pytest
import redis

from support.grpc_web import BINARY, TEXT, encode, headers_for, take
from support.resp import MartletTarget
from support.topics import STREAM, topic_target
from support.waiting import eventually
from support.websocket import RawWebSocket
from support.wire import Code, caller_for, refused, scs

OPERATIONS = "max_operations_per_second"
MESSAGE = "operations are over the limit of 1 a second"
LIMIT_FIELDS = ("ratelimit-limit", "ratelimit-remaining", "ratelimit-reset", "ratelimit-policy")


@pytest.fixture
def shut(server):
    """A cache of one operation a second, which a thousand more have been charged to: no test lasts until it is paid."""
    cache = server.admin.make_cache()
    client = server.client()
    headers = server.admin.headers
    client.request("PUT", f"/cache/{cache}?key=k&ttl_seconds=600", headers=headers, body=b"x" * 2_000_000).must_be(204)
    server.admin.change_cache(cache, limits={OPERATIONS: 1})
    # What a value turns out to cost is charged when it was read.
    client.request("GET", f"/cache/{cache}?key=k", headers=headers).must_be(200)
    client.close()
    return cache


def fields_of(data):
    """The fields of a protobuf message as (number, value), numbers and bytes."""
    found, place = [], 0

    def varint():
        nonlocal place
        value = shift = 0
        while True:
            byte = data[place]
            place += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    while place < len(data):
        tag = varint()
        if tag & 7 == 0:
            found.append((tag >> 3, varint()))
        else:
            assert tag & 7 == 2
            length = varint()
            found.append((tag >> 3, data[place : place + length]))
            place += length
    assert place == len(data)
    return dict(found)


def check_details(data, code, message, milliseconds):
    """google.rpc.Status with one google.rpc.RetryInfo, by a reader of its own."""
    if isinstance(data, str):
        assert not data.endswith("=")
        data = base64.b64decode(data + "=" * (-len(data) % 4), validate=True)
    status = fields_of(data)
    assert set(status) == {1, 2, 3} and status[1] == code and status[2].decode() == message
    details = fields_of(status[3])
    assert details[1] == b"type.googleapis.com/google.rpc.RetryInfo"
    duration = fields_of(fields_of(details[2])[1])
    assert duration.get(1, 0) * 1000 + duration.get(2, 0) / 1_000_000 == milliseconds


def test_rest_tells_the_limit_and_when_to_come_back(server, client, root, shut):
    for method in ("GET", "DELETE", "HEAD"):
        for _ in range(3):
            response = client.request(method, f"/cache/{shut}?key=k", headers=root)
            seconds = int(response.headers["retry-after"])
            assert seconds >= 1
            assert {name: response.headers[name] for name in LIMIT_FIELDS} == {
                "ratelimit-limit": "1", "ratelimit-remaining": "0", "ratelimit-reset": str(seconds),
                "ratelimit-policy": "1;w=1",
            }
            assert int(response.headers["x-request-id"], 16) > 0
            if method == "HEAD":
                response.must_be(429)
                continue
            error = response.must_refuse(429, "RateLimited")
            assert (error["message"], error["limit"], error["value"]) == (MESSAGE, OPERATIONS, 1)
            assert (error["retry_after_ms"] + 999) // 1000 == seconds
    # A neighbour's answers have none of it.
    served = client.request("GET", "/cache/default?key=k", headers=root).must_be(404)
    assert not set(LIMIT_FIELDS) & set(served.headers)


def test_refusals_have_ids_of_their_own(client, root, shut):
    seen = {client.request("GET", f"/cache/{shut}?key=k", headers=root).headers["x-request-id"] for _ in range(20)}
    assert len(seen) == 20


def test_a_page_of_another_origin_may_read_the_fields(client, root, shut):
    headers = {**root, "origin": "https://app.example"}
    response = client.request("GET", f"/cache/{shut}?key=k", headers=headers)
    response.must_refuse(429, "RateLimited")
    assert response.headers["access-control-allow-origin"] == "*"
    exposed = {name.strip() for name in response.headers["access-control-expose-headers"].split(",")}
    assert {*LIMIT_FIELDS, "retry-after", "etag"} <= exposed


def test_different_limits_are_told_apart(server, client, root):
    told = {}
    for value in (2, 3):
        cache = server.admin.make_cache(limits={OPERATIONS: value})
        while value not in told:
            response = client.request("GET", f"/cache/{cache}?key=k", headers=root)
            if response.status == 429:
                told[value] = response
    for value, response in told.items():
        error = response.must_refuse(429, "RateLimited")
        assert error["value"] == value and response.headers["ratelimit-policy"] == f"{value};w=1"


@pytest.mark.parametrize(
    "limit, noun", [("max_bytes_in_per_second", "throughput bytes"), ("max_bytes_out_per_second", "throughput bytes")])
def test_throughput_is_told_as_such(server, client, root, limit, noun):
    cache = server.admin.make_cache()
    target = f"/cache/{cache}?key=k&ttl_seconds=60"
    client.request("PUT", target, headers=root, body=b"x" * 5000).must_be(204)
    server.admin.change_cache(cache, limits={limit: 1000})

    def response():
        if limit == "max_bytes_in_per_second":
            return client.request("PUT", target, headers=root, body=b"x" * 5000)
        return client.request("GET", target, headers=root)

    # More than a second's worth needs an empty bucket, and fills it for five.
    response()
    error = response().must_refuse(429, "RateLimited")
    assert (error["limit"], error["value"]) == (limit, 1000) and error["message"].startswith(noun)


def test_a_page_over_a_raised_limit_is_served_again(server, client, root, shut):
    client.request("GET", f"/cache/{shut}?key=k", headers=root).must_be(429)
    server.admin.change_cache(shut, limits={OPERATIONS: None})
    client.request("GET", f"/cache/{shut}?key=k", headers=root).must_be(200)
    server.admin.change_cache(shut, limits={OPERATIONS: 0})
    error = client.request("GET", f"/cache/{shut}?key=k", headers=root).must_refuse(429, "RateLimited")
    assert (error["value"], error["retry_after_ms"]) == (0, 1000)


def test_grpc_tells_status_err_and_retry_info(server, shut):
    caller = caller_for(server, shut)
    for call in (lambda: caller.scs.Get(cache_key=b"k"),
                 lambda: caller.scs.Set(cache_key=b"k", cache_body=b"v", ttl_milliseconds=1000)):
        with refused(Code.RESOURCE_EXHAUSTED, err="operations_rate_limit_exceeded") as told:
            call()
        assert told.message == MESSAGE
        milliseconds = int(told.trailers["grpc-retry-pushback-ms"])
        assert milliseconds > 0
        check_details(told.trailers["grpc-status-details-bin"], 8, MESSAGE, milliseconds)
    caller.close()


@pytest.mark.parametrize("kind", [BINARY, TEXT])
def test_grpc_web_tells_the_same(server, client, shut, kind):
    credential = server.admin.make_key().credential
    message = scs.GetRequest(cache_key=b"k").SerializeToString()
    response = client.request(
        "POST", "/cache_client.Scs/Get", headers=headers_for(kind, credential, shut, origin="https://app.example"),
        body=encode(message, kind))
    answer = take(response, kind)
    trailers = answer.trailers
    assert (trailers["grpc-status"], trailers["err"]) == ("8", "operations_rate_limit_exceeded")
    check_details(
        trailers["grpc-status-details-bin"], 8, MESSAGE, int(trailers["grpc-retry-pushback-ms"]))
    assert "grpc-status-details-bin" in response.headers["access-control-expose-headers"]


def test_a_websocket_is_told_in_a_frame(server, root):
    cache = server.admin.make_cache(limits={"max_publish_per_second": 1})
    with RawWebSocket(server, topic_target(cache, "news"), root) as socket:
        answers = [socket.ask({"publish": {"text": "x"}}) for _ in range(5)]
    error = next(answer["error"] for answer in answers if "error" in answer)
    assert set(error) == {"code", "message", "limit", "value", "retry_after_ms"}
    assert (error["code"], error["limit"], error["value"]) == ("RateLimited", "max_publish_per_second", 1)
    assert error["message"] == "publish operations are over the limit of 1 a second"
    assert 0 < error["retry_after_ms"] <= 1000
    cache = server.admin.make_cache(limits={"max_connections": 0})
    with RawWebSocket(server, STREAM, root) as socket:
        answer = socket.ask({"subscribe": {"id": "s", "cache": cache, "topic": "news"}})
        assert answer == {
            "id": "s",
            "error": {
                "code": "LimitExceeded", "message": "the limit max_connections of 0 is reached",
                "limit": "max_connections", "value": 0,
            },
        }


def test_resp_says_throttled_and_when_to_come_back(server, shut):
    target = MartletTarget(server).on(shut)
    with target.connect() as connection:
        for command in (("GET", "k"), ("SET", "k", "v"), ("MGET", "k", "l"), ("HGETALL", "k")):
            text = connection.call(*command).raw.decode()
            head, _, tail = text.partition(", retry after ")
            assert head == f"-THROTTLED {MESSAGE}", text
            assert tail.endswith(" ms\r\n") and int(tail[:-5]) > 0
        # The connection is as good as before.
        assert connection.call("PING").raw == b"+PONG\r\n"
    client = target.client()
    with pytest.raises(redis.ResponseError, match=f"THROTTLED {MESSAGE}, retry after [0-9]+ ms"):
        client.get("k")
    client.close()


def test_a_pipeline_is_refused_command_by_command(server, shut):
    target = MartletTarget(server).on(shut)
    client = target.client()
    pipeline = client.pipeline(transaction=False)
    for _ in range(500):
        pipeline.get("k")
    answers = pipeline.execute(raise_on_error=False)
    assert len(answers) == 500 and all("THROTTLED" in str(answer) for answer in answers)
    server.admin.change_cache(shut, limits={OPERATIONS: None})
    eventually(lambda: client.exists("k") == 1, what="the limit that is gone")
    client.close()


def test_refusals_are_written_down_as_throttled_and_cost_nothing(server, client, root, shut):
    before = server.admin.used(shut)
    for _ in range(7):
        client.request("GET", f"/cache/{shut}?key=k", headers=root).must_be(429)
    eventually(
        lambda: server.admin.used(shut).get("throttled", 0) == before.get("throttled", 0) + 7, within=5,
        what="the counters")
    after = server.admin.used(shut)
    assert after["operations"] == before["operations"] and after["bytes_out"] == before["bytes_out"]
