"""What was used and what it costs: exact, to the call; in JSON and CSV; in windows; a second late at most."""

import csv
import io
import time

import pytest

from support.admin import EVERYTHING, Admin, fresh_name
from support.usage import add, expect, usage_of
from support.waiting import eventually

KEY = "ten-bytes-"

# One call each: method, the query behind the key, header fields, body; and what it must add to the counters.
# Item-only counting: an operation for each 1024 bytes begun of key and value together, one at least; twice that with
# a condition.
PUT_100 = ("PUT", "&ttl_seconds=60", {}, b"x" * 100)
PUT_3000 = ("PUT", "&ttl_seconds=60", {}, b"x" * 3000)
CALLS = {
    "a miss": ([], ("GET", "", {}, None), 404, expect(1, bytes_in=10, misses=1, request_chunks=1)),
    "a set of 110 bytes": ([], PUT_100, 204, expect(1, bytes_in=110, request_chunks=1)),
    "a set of 1,024 bytes": (
        [],
        ("PUT", "&ttl_seconds=60", {}, b"x" * 1014),
        204,
        expect(1, bytes_in=1024, request_chunks=1),
    ),
    "a set of 1,025 bytes": (
        [],
        ("PUT", "&ttl_seconds=60", {}, b"x" * 1015),
        204,
        expect(2, bytes_in=1025, request_chunks=2),
    ),
    "a set of 5,000 bytes": (
        [],
        ("PUT", "&ttl_seconds=60", {}, b"x" * 4990),
        204,
        expect(5, bytes_in=5000, request_chunks=5),
    ),
    "a set of nothing": ([], ("PUT", "&ttl_seconds=60", {}, b""), 204, expect(1, bytes_in=10, request_chunks=1)),
    "a hit of 110 bytes": (
        [PUT_100],
        ("GET", "", {}, None),
        200,
        expect(1, bytes_in=10, bytes_out=100, hits=1, request_chunks=1, response_chunks=1),
    ),
    "a hit of 3,010 bytes": (
        [PUT_3000],
        ("GET", "", {}, None),
        200,
        expect(3, bytes_in=10, bytes_out=3000, hits=1, request_chunks=1, response_chunks=3),
    ),
    "a look at an item": ([PUT_3000], ("HEAD", "", {}, None), 200, expect(1, bytes_in=10, hits=1, request_chunks=1)),
    "a look at nothing": ([], ("HEAD", "", {}, None), 404, expect(1, bytes_in=10, misses=1, request_chunks=1)),
    "a set if absent that is stored": (
        [],
        ("PUT", "&ttl_seconds=60", {"if-none-match": "*"}, b"x" * 1490),
        204,
        expect(4, bytes_in=1500, request_chunks=2, conditional_operations=2),
    ),
    "a set if absent that is not": (
        [PUT_100],
        ("PUT", "&ttl_seconds=60", {"if-none-match": "*"}, b"x" * 1490),
        412,
        expect(4, bytes_in=1500, request_chunks=2, conditional_operations=2),
    ),
    "a delete": ([PUT_100], ("DELETE", "", {}, None), 204, expect(1, bytes_in=10, request_chunks=1)),
    "a delete of nothing": ([], ("DELETE", "", {}, None), 204, expect(1, bytes_in=10, request_chunks=1)),
    "a TTL of zero": ([], ("PUT", "&ttl_seconds=0", {}, b"x"), 400, expect(1, client_errors=1)),
    "no TTL": ([], ("PUT", "", {}, b"x"), 400, expect(1, client_errors=1)),
    "two keys": ([], ("GET", "&key_base64=YQ", {}, None), 400, expect(1, client_errors=1)),
}


def perform(client, cache, headers, call):
    method, query, fields, body = call
    return client.request(method, f"/cache/{cache}?key={KEY}{query}", headers={**headers, **fields}, body=body)


@pytest.mark.parametrize("name", CALLS)
def test_a_call_costs_exactly_what_it_should(server, client, cache, name):
    preparation, call, status, expected = CALLS[name]
    for before in preparation:
        perform(client, cache, server.admin.headers, before).must_be(204)
    base = usage_of(server, cache)
    assert base["calls"] == len(preparation)
    perform(client, cache, server.admin.headers, call).must_be(status)
    assert usage_of(server, cache) == add(base, expected)


def test_an_increment_costs_one_operation(server, client, cache):
    client.request(
        "POST", f"/cache/{cache}/increment?key={KEY}&by=125&ttl_seconds=60", headers=server.admin.headers
    ).must_be(200)
    assert usage_of(server, cache) == expect(1, bytes_in=10, bytes_out=3, request_chunks=1, response_chunks=1)


def test_a_value_that_is_not_sent_is_not_billed_as_sent(server, client, cache):
    perform(client, cache, server.admin.headers, PUT_3000).must_be(204)
    tag = perform(client, cache, server.admin.headers, ("HEAD", "", {}, None)).headers["etag"]
    before = usage_of(server, cache)
    perform(client, cache, server.admin.headers, ("GET", "", {"if-none-match": tag}, None)).must_be(304)
    after = usage_of(server, cache)
    assert after["calls"] == before["calls"] + 1
    assert after["operations"] >= before["operations"] + 1
    assert after["bytes_out"] == before["bytes_out"]


def test_a_call_that_is_not_permitted_costs_its_caller_one_operation(server, client, cache):
    token = server.admin.make_token([{"role": "readonly", "cache": cache, "key": "own"}]).headers
    perform(client, cache, token, PUT_100).must_be(403)
    perform(client, cache, token, ("GET", "", {}, None)).must_be(403)
    used = usage_of(server, cache)
    assert (used["calls"], used["operations"], used["client_errors"]) == (2, 2, 2)
    assert used["bytes_in"] == used["bytes_out"] == 0


def test_a_body_that_turns_out_too_long_is_counted_too(server, cache):
    cache = server.admin.make_cache(limits={"max_item_bytes": 100})
    with server.raw() as connection:
        connection.send(
            f"PUT /cache/{cache}?key=k&ttl_seconds=60 HTTP/1.1\r\nHost: x\r\nAuthorization: {server.root_key}\r\n"
            "Transfer-Encoding: chunked\r\n\r\n".encode()
            + b"200\r\n"
            + b"x" * 512
            + b"\r\n0\r\n\r\n"
        )
        connection.read_response().must_be(413)
    used = usage_of(server, cache)
    assert (used["calls"], used["operations"], used["throttled"]) == (1, 0, 1)


def test_what_a_limit_refuses_is_counted_and_not_billed(server, client):
    cache = server.admin.make_cache(limits={"max_item_bytes": 100})
    for _ in range(3):
        perform(client, cache, server.admin.headers, PUT_100).must_be(413)
    used = usage_of(server, cache)
    assert (used["calls"], used["operations"], used["throttled"]) == (3, 0, 3)
    server.admin.change_cache(cache, limits={"max_operations_per_second": 10})
    statuses = [perform(client, cache, server.admin.headers, ("GET", "", {}, None)).status for _ in range(100)]
    assert 429 in statuses
    used = usage_of(server, cache)
    assert used["operations"] == statuses.count(404) == used["misses"]
    assert used["throttled"] == 3 + statuses.count(429)
    assert used["calls"] == 103


def test_whoever_is_not_known_costs_nothing(server, client, cache):
    for credential in ("nobody", "e30.e30.e30"):
        perform(client, cache, {"authorization": credential}, PUT_100).must_be(401)
    perform(client, cache, {}, PUT_100).must_be(401)
    assert server.admin.usage(cache) == []


def test_the_control_plane_costs_nothing(server, cache):
    server.admin.change_cache(cache, labels={"a": "b"})
    server.admin.call("POST", f"/caches/{cache}/flush").must_be(204)
    server.admin.cache(cache)
    assert server.admin.used(cache).get("operations", 0) == 0


def test_every_cache_has_rows_of_its_own(server):
    tenant = server.admin.make_tenant()
    headers = tenant.make_key().headers
    client = server.client()
    expected = {}
    for number in range(1, 6):
        cache = tenant.make_cache(f"cache-{number}")
        for _ in range(number):
            perform(client, cache, headers, PUT_100).must_be(204)
        expected[cache] = number
    counted = {}
    for row in tenant.usage():
        assert (row["tenant"], row["door"]) == (tenant.name, "rest")
        assert row["start"] % 60 == 0
        counted[row["cache"]] = counted.get(row["cache"], 0) + row["operations"]
    assert counted == expected
    assert tenant.used("cache-3", door="rest")["operations"] == 3
    assert tenant.usage("cache-3", door="grpc") == []
    # Page by page it is the same bill.
    pages = tenant.items("/usage", "rows", limit=2)
    assert sum(row["operations"] for row in pages) == 15
    assert len(pages) == len(tenant.usage())


def test_the_bill_is_at_most_a_second_behind(server, cache):
    client = server.client()
    for count in range(1, 21):
        perform(client, cache, server.admin.headers, PUT_100).must_be(204)
        eventually(
            lambda: usage_of(server, cache)["operations"] == count, within=1, what=f"operation {count} on the bill"
        )


def test_csv_says_what_json_says(server, cache):
    client = server.client()
    for call in (PUT_3000, ("GET", "", {}, None), ("DELETE", "", {}, None)):
        perform(client, cache, server.admin.headers, call)
    response = server.admin.call("GET", "/usage", query={"cache": cache}, headers={"accept": "text/csv"}).must_be(200)
    assert response.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(response.body.decode())))
    listed = server.admin.usage(cache)
    assert len(rows) == len(listed) >= 1
    for told, row in zip(rows, listed, strict=True):
        assert set(told) == set(row)
        assert {name: str(value) for name, value in row.items()} == told


def test_a_name_cannot_forge_a_csv_field(server):
    client = server.client()
    for name in ('=cmd|"calc"!A1', 'a,b"c', "+1", "@x", "-1"):
        server.admin.make_cache(name)
        client.request(
            "GET", f"/cache/{''.join(f'%{byte:02x}' for byte in name.encode())}?key=k", headers=server.admin.headers
        ).must_be(404)
        response = server.admin.call("GET", "/usage", query={"cache": name}, headers={"accept": "text/csv"}).must_be(
            200
        )
        (row,) = csv.DictReader(io.StringIO(response.body.decode()))
        assert row["operations"] == "1"
        assert row["cache"] == name


@pytest.mark.parametrize("window,seconds", [("minute", 60), ("hour", 3600), ("day", 86400)])
def test_windows_begin_where_the_clock_says(server, cache, window, seconds):
    client = server.client()
    for _ in range(4):
        perform(client, cache, server.admin.headers, PUT_100).must_be(204)
    rows = server.admin.usage(cache, window=window)
    assert sum(row["operations"] for row in rows) == 4
    for row in rows:
        assert row["start"] % seconds == 0
        assert row["start"] <= time.time()
    assert len({row["start"] for row in rows}) == len(rows)


def test_from_and_to_cut_the_bill(server, cache):
    client = server.client()
    perform(client, cache, server.admin.headers, PUT_100).must_be(204)
    (row, *_) = server.admin.usage(cache)
    start = row["start"]
    inside = server.admin.usage(cache, **{"from": start, "to": start + 60})
    assert [entry["operations"] for entry in inside] == [1]
    assert server.admin.usage(cache, **{"from": start - 3600, "to": start}) == []
    assert server.admin.usage(cache, **{"from": start + 60, "to": start + 120}) == []
    assert server.admin.usage(cache, **{"from": 0, "to": start + 60}) == inside


@pytest.mark.parametrize(
    "query,field",
    [
        ({"window": "week"}, "window"),
        ({"door": "banana"}, "door"),
        ({"from": "x"}, "from"),
        ({"to": "1.5"}, "to"),
        ({"from": "9" * 30}, "from"),
        ({"from": "100", "to": "100"}, "to"),
        ({"limit": "0"}, "limit"),
        ({"limit": "10001"}, "limit"),
        ({"next_token": "x"}, "next_token"),
        ({"next_token": "1.2.3.x"}, "next_token"),
    ],
)
def test_a_query_that_cannot_be_is_refused(server, query, field):
    server.admin.call("GET", "/usage", query=query).must_refuse(400, "InvalidArgument", field=field)


def test_a_cache_that_never_was_has_no_bill(server):
    server.admin.call("GET", "/usage", query={"cache": fresh_name("never")}).must_refuse(404, "NotFound")


def test_the_bill_outlives_the_cache_and_the_tenant(server):
    tenant = server.admin.make_tenant()
    tenant.make_cache("shop")
    for _ in range(3):
        perform(server.client(), "shop", tenant.make_key().headers, PUT_100).must_be(204)
    tenant.call("DELETE", "/caches/shop").must_be(204)
    assert tenant.used("shop")["operations"] == 3
    server.admin.call("DELETE", f"/tenants/{tenant.name}").must_be(204)
    assert Admin(server, tenant=tenant.name).used("shop")["operations"] == 3


def test_the_bill_survives_a_restart_to_the_operation(make_server):
    server = make_server()
    for round_number in range(1, 4):
        client = server.client()
        for _ in range(100):
            perform(client, "default", server.admin.headers, PUT_100).must_be(204)
        assert server.admin.used("default")["operations"] == 100 * round_number
        server.restart()
        assert server.admin.used("default")["operations"] == 100 * round_number


def test_a_super_user_reads_its_own_bill_and_data_credentials_none(server):
    tenant = server.admin.make_tenant()
    tenant.call("GET", "/usage").must_be(200)
    for minted in (tenant.make_key(), tenant.make_token(EVERYTHING)):
        Admin(server, minted.credential).call("GET", "/usage").must_be(403)
