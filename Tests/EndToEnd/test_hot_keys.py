"""The keys that take the most operations, by whichever door they come."""

import base64

import pytest
import redis

from support.admin import EVERYTHING
from support.server import parse_address
from support.waiting import PATIENCE, eventually


def hot(admin, cache, **query):
    answer = admin.call("GET", f"/caches/{cache}/hot-keys", query=query).must_be(200).json()
    assert set(answer) == {"cache", "window_seconds", "sampled", "keys"}
    assert answer["cache"] == cache
    assert answer["window_seconds"] >= 1
    assert answer["sampled"] >= 0
    for key in answer["keys"]:
        assert set(key) - {"key_base64"} == {"key", "is_truncated", "operations_per_second", "share"}
        assert ("key_base64" in key) == (key["key"] is None)
        assert key["operations_per_second"] > 0 and 0 < key["share"] <= 1
    rates = [key["operations_per_second"] for key in answer["keys"]]
    assert rates == sorted(rates, reverse=True)
    return answer


def names(admin, cache, **query):
    return [key["key"] for key in hot(admin, cache, **query)["keys"]]


@pytest.fixture
def resp_client(server, cache):
    host, port = parse_address(server.ready["resp"])
    with redis.Redis(
        host=host, port=port, username=cache, password=server.root_key, socket_timeout=PATIENCE
    ) as made:
        yield made


def test_the_hottest_key_of_the_rest_door_comes_first(server, client, root, cache):
    assert hot(server.admin, cache)["keys"] == []
    for number in range(60):
        key = "hot" if number % 2 else f"cold{number}"
        client.request("GET", f"/cache/{cache}?key={key}", headers=root).must_be(404)
    answer = hot(server.admin, cache, limit=3)
    assert len(answer["keys"]) == 3
    first = answer["keys"][0]
    assert (first["key"], first["is_truncated"], first["share"]) == ("hot", False, 0.5)
    # Every one of so few was looked at.
    assert answer["sampled"] == 60


def test_a_flood_by_pipelines_is_sampled(server, cache, resp_client):
    pipeline = resp_client.pipeline(transaction=False)
    for number in range(20_000):
        pipeline.get("hot" if number % 3 == 0 else f"cold{number}")
    pipeline.execute()
    answer = hot(server.admin, cache, limit=1)
    assert answer["keys"][0]["key"] == "hot"
    assert 0.2 < answer["keys"][0]["share"] < 0.45
    assert answer["sampled"] < 20_000


def test_collections_and_commands_with_several_keys_count(server, cache, resp_client):
    for number in range(20):
        resp_client.hset("hash", "field", number)
        resp_client.mget("hash", "one", "two")
        resp_client.ping()
    answer = hot(server.admin, cache)
    assert {key["key"]: round(key["share"], 2) for key in answer["keys"]} == {"hash": 0.5, "one": 0.25, "two": 0.25}
    pipeline = resp_client.pipeline(transaction=True)
    for _ in range(100):
        pipeline.incr("counter")
    pipeline.execute()
    assert names(server.admin, cache, limit=1) == ["counter"]


def test_keys_of_the_grpc_door_count(server, cache, caller):
    for _ in range(30):
        caller.scs.Get(cache_key=b"hot")
        list(caller.scs.GetBatch(items=[{"cache_key": b"hot"}, {"cache_key": b"other"}]))
    answer = hot(server.admin, cache)
    assert {key["key"]: round(key["share"], 2) for key in answer["keys"]} == {"hot": 0.67, "other": 0.33}


def test_keys_are_shown_whatever_bytes_they_have(server, cache, resp_client):
    long = "ü" * 200
    # A character is cut in two.
    odd = "a" + "ü" * 200
    for key, count in ((b"\xff\x00", 40), (long, 30), (odd, 20), ("x" * 128, 10)):
        for _ in range(count):
            resp_client.get(key)
    first, second, third, fourth = hot(server.admin, cache)["keys"]
    assert (first["key"], base64.b64decode(first["key_base64"]), first["is_truncated"]) == (None, b"\xff\x00", False)
    assert (second["key"], second["is_truncated"]) == ("ü" * 64, True)
    assert (third["key"], third["is_truncated"]) == ("a" + "ü" * 63, True)
    assert (fourth["key"], fourth["is_truncated"]) == ("x" * 128, False)


def test_no_key_of_one_cache_is_shown_for_another(server, client, root, cache):
    other = server.admin.make_cache()
    for _ in range(10):
        client.request("GET", f"/cache/{cache}?key=mine", headers=root)
        client.request("GET", f"/cache/{other}?key=theirs", headers=root)
    assert names(server.admin, cache) == ["mine"]
    assert names(server.admin, other) == ["theirs"]


def test_flushing_and_deleting_forget_them(server, client, root, cache, resp_client):
    def load():
        for _ in range(10):
            client.request("GET", f"/cache/{cache}?key=hot", headers=root)
        assert names(server.admin, cache) == ["hot"]

    load()
    server.admin.call("POST", f"/caches/{cache}/flush").must_be(204)
    assert names(server.admin, cache) == []
    load()
    resp_client.flushdb()
    assert names(server.admin, cache) == []
    load()
    server.admin.call("DELETE", f"/caches/{cache}").must_be(204)
    server.admin.call("GET", f"/caches/{cache}/hot-keys").must_refuse(404, "NotFound")
    server.admin.make_cache(cache)
    assert names(server.admin, cache) == []


def test_only_who_manages_the_cache_is_told(server, client, root):
    tenant, other = server.admin.make_tenant(), server.admin.make_tenant()
    tenant.make_cache("shop")
    data = tenant.make_key(EVERYTHING)
    for _ in range(10):
        client.request("GET", "/cache/shop?key=secret", headers=data.headers).must_be(404)
    assert names(tenant, "shop") == ["secret"]
    answer = server.admin.call("GET", "/caches/shop/hot-keys", query={"tenant": tenant.name}).must_be(200).json()
    assert answer["keys"][0]["key"] == "secret"
    path = "/v1/admin/caches/shop/hot-keys"
    client.request("GET", path).must_refuse(401, "Unauthenticated")
    for headers, status in ((data.headers, 403), (other.headers, 404), (root, 404)):
        refused = client.request("GET", path, headers=headers).must_be(status)
        assert b"secret" not in refused.body
    client.request("GET", f"{path}?tenant={tenant.name}", headers=other.headers).must_be(403)


@pytest.mark.parametrize("limit", ["0", "65", "-1", "x", ""])
def test_a_limit_out_of_bounds_is_refused(server, cache, limit):
    error = server.admin.call("GET", f"/caches/{cache}/hot-keys", query={"limit": limit}).must_be(400).json()
    assert error["field"] == "limit"


def test_other_methods_are_refused(server, cache):
    response = server.admin.call("POST", f"/caches/{cache}/hot-keys").must_be(405)
    assert response.headers["allow"] == "GET"


def test_after_a_flood_single_operations_are_seen_again(server, cache, client, root, resp_client):
    pipeline = resp_client.pipeline(transaction=False)
    for _ in range(20_000):
        pipeline.get("flood")
    pipeline.execute()
    server.admin.call("POST", f"/caches/{cache}/flush").must_be(204)

    def is_seen():
        resp_client.get("single")
        return "single" in names(server.admin, cache)

    eventually(is_seen)
