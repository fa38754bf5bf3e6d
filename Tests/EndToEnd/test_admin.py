"""The control plane: every call of its table, what is refused and how; a change is in force when it is answered."""

import base64
import json
import time
from urllib.parse import quote

import pytest

from support.admin import EVERYTHING, Admin, fresh_name
from support.waiting import eventually


def put(server, cache, key, value, headers, *, parameters="ttl_seconds=60"):
    return server.client().request("PUT", f"/cache/{cache}?key={key}&{parameters}", headers=headers, body=value)


def get(server, cache, key, headers):
    return server.client().request("GET", f"/cache/{cache}?key={key}", headers=headers)


# Tenants


def test_a_tenant_lives_from_201_to_404(server):
    admin = server.admin
    name = fresh_name("tenant")
    made = admin.call("PUT", f"/tenants/{name}", {"limits": {"max_caches": 3}, "plan": "gold", "labels": {"team": "a"}})
    key = made.must_be(201).json()["key"]
    server.keep_secret(key)
    shown = admin.call("GET", f"/tenants/{name}").must_be(200).json()
    assert shown["name"] == name
    assert (shown["limits"], shown["plan"], shown["labels"]) == ({"max_caches": 3}, "gold", {"team": "a"})
    assert "key" not in shown
    changed = admin.call("PUT", f"/tenants/{name}", {"limits": {"max_caches": 4}}).must_be(200).json()
    assert "key" not in changed
    shown = admin.call("GET", f"/tenants/{name}").must_be(200).json()
    assert (shown["limits"], shown["plan"], shown["labels"]) == ({"max_caches": 4}, "gold", {"team": "a"})
    assert name in {tenant["name"] for tenant in admin.items("/tenants", "tenants")}
    assert Admin(server, key).call("GET", f"/tenants/{name}").must_be(200).json()["name"] == name
    assert admin.call("DELETE", f"/tenants/{name}").must_be(204).body == b""
    for method in ("GET", "DELETE"):
        admin.call(method, f"/tenants/{name}").must_refuse(404, "NotFound", says="Tenant Not Found")
    assert name not in {tenant["name"] for tenant in admin.items("/tenants", "tenants")}
    assert Admin(server, key).call("GET", "/caches").status == 401


def test_the_tenant_default_stays(server):
    assert server.admin.call("GET", "/tenants/default").must_be(200).json()["name"] == "default"
    server.admin.call("DELETE", "/tenants/default").must_refuse(400, "InvalidArgument")


def test_a_tenant_that_is_made_again_is_another(server):
    first = server.admin.make_tenant()
    first.make_cache("shop")
    headers = first.make_key().headers
    put(server, "shop", "k", b"v", headers).must_be(204)
    server.admin.call("DELETE", f"/tenants/{first.name}").must_be(204)
    again = server.admin.make_tenant(first.name)
    assert again.items("/caches", "caches") == []
    again.make_cache("shop")
    get(server, "shop", "k", again.make_key().headers).must_be(404)
    get(server, "shop", "k", headers).must_be(401)


def test_the_root_key_picks_a_tenant_and_a_tenant_sees_only_itself(server):
    one, two = server.admin.make_tenant(), server.admin.make_tenant()
    for tenant in (one, two):
        tenant.make_cache("shop", labels={"of": tenant.name})
        put(server, "shop", "k", tenant.name.encode(), tenant.make_key().headers).must_be(204)
    for tenant in (one, two):
        assert Admin(server, tenant=tenant.name).cache("shop")["labels"] == {"of": tenant.name}
        assert tenant.cache("shop")["labels"] == {"of": tenant.name}
        assert [cache["name"] for cache in tenant.items("/caches", "caches")] == ["shop"]
    assert get(server, "shop", "k", one.make_key().headers).body == one.name.encode()
    assert get(server, "shop", "k", two.make_key().headers).body == two.name.encode()
    one.call("GET", "/caches", query={"tenant": two.name}).must_refuse(403, "PermissionDenied")
    one.call("GET", f"/tenants/{two.name}").must_refuse(403, "PermissionDenied")
    one.call("GET", "/caches", query={"tenant": one.name}).must_be(200)
    server.admin.call("GET", "/caches", query={"tenant": "nobody"}).must_refuse(404, "NotFound")
    # What belongs to one is not there for the other, whatever its id.
    token, key = two.make_token(), two.make_key()
    one.call("DELETE", f"/tokens/{token.id}").must_be(404)
    one.call("DELETE", f"/keys/{key.id}").must_be(404)
    one.call("POST", "/caches/shop/flush").must_be(204)
    assert get(server, "shop", "k", key.headers).body == two.name.encode()
    assert {key["id"] for key in one.items("/keys", "keys")}.isdisjoint(key["id"] for key in two.items("/keys", "keys"))
    assert {row["tenant"] for row in one.usage()} <= {one.name}
    assert {row["tenant"] for row in one.items("/audit", "events")} <= {one.name}


# Caches


def test_a_cache_lives_from_201_to_404(server):
    admin = server.admin
    name = fresh_name("cache")
    before = int(time.time())
    admin.call("PUT", f"/caches/{name}", {"limits": {"max_items": 7}, "labels": {"team": "a", "tier": "1"}}).must_be(
        201
    )
    shown = admin.call("GET", f"/caches/{name}").must_be(200).json()
    assert (shown["name"], shown["limits"], shown["labels"]) == (name, {"max_items": 7}, {"team": "a", "tier": "1"})
    assert before <= shown["created_at"] <= time.time() + 1
    # What is not named stays, what is null goes.
    admin.call(
        "PUT", f"/caches/{name}", {"limits": {"max_bytes": 100_000, "max_items": None}, "labels": {"tier": None}}
    ).must_be(200)
    shown = admin.cache(name)
    assert (shown["limits"], shown["labels"]) == ({"max_bytes": 100_000}, {"team": "a"})
    admin.call("PUT", f"/caches/{name}", {}).must_be(200)
    assert admin.cache(name)["limits"] == {"max_bytes": 100_000}
    assert admin.call("DELETE", f"/caches/{name}").must_be(204).body == b""
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/flush")):
        admin.call(method, f"/caches/{name}{path}").must_refuse(404, "NotFound", says="Cache Not Found")


def test_no_body_makes_a_cache_as_an_empty_object_does(server):
    server.admin.call("PUT", f"/caches/{fresh_name('cache')}").must_be(201)


def test_json_is_read_whatever_the_content_type(server):
    for content_type in ("application/x-www-form-urlencoded", "text/plain", "application/xml", ""):
        server.admin.call("PUT", f"/caches/{fresh_name('cache')}", {}, headers={"content-type": content_type}).must_be(
            201
        )


def test_the_live_figures_follow_the_items(server, cache):
    headers = server.admin.headers
    empty = server.admin.cache(cache)
    assert (empty["items"], empty["bytes"]) == (0, 0)
    for number in range(20):
        put(server, cache, f"k{number}", b"x" * 1000, headers).must_be(204)
    full = server.admin.cache(cache)
    assert full["items"] == 20
    assert full["bytes"] >= 20 * 1002
    server.client().request("DELETE", f"/cache/{cache}?key=k0", headers=headers).must_be(204)
    assert server.admin.cache(cache)["items"] == 19
    listed = {entry["name"]: entry for entry in server.admin.items("/caches", "caches")}
    assert listed[cache]["items"] == 19
    put(server, cache, "short", b"v", headers, parameters="ttl_ms=50").must_be(204)
    eventually(lambda: server.admin.cache(cache)["items"] == 19, within=2, what="the expired item's removal")


def test_a_deleted_cache_takes_its_items_along(server, cache):
    headers = server.admin.headers
    put(server, cache, "k", b"v", headers).must_be(204)
    open_clients = [server.client(), server.http2()]
    for client in open_clients:
        client.request("GET", f"/cache/{cache}?key=k", headers=headers).must_be(200)
    server.admin.call("DELETE", f"/caches/{cache}").must_be(204)
    for client in open_clients:
        client.request("GET", f"/cache/{cache}?key=k", headers=headers).must_refuse(
            404, "NotFound", says="Cache Not Found"
        )
    server.admin.make_cache(cache)
    for client in open_clients:
        client.request("GET", f"/cache/{cache}?key=k", headers=headers).must_refuse(
            404, "NotFound", says="Key Not Found"
        )
    assert server.admin.cache(cache)["items"] == 0


def test_a_write_that_is_on_its_way_does_not_reach_a_deleted_cache(server, cache):
    with server.raw() as connection:
        connection.send(
            f"PUT /cache/{cache}?key=k&ttl_seconds=60 HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: {server.root_key}\r\nContent-Length: 10\r\n\r\n12345".encode()
        )
        get(server, cache, "k", server.admin.headers).must_be(404)
        server.admin.call("DELETE", f"/caches/{cache}").must_be(204)
        server.admin.make_cache(cache)
        connection.send(b"67890")
        connection.read_response().must_refuse(404, "NotFound", says="Cache Not Found")
    get(server, cache, "k", server.admin.headers).must_refuse(404, "NotFound", says="Key Not Found")


def test_a_flush_empties_the_cache_and_nothing_else(server, cache):
    headers = server.admin.headers
    other = server.admin.make_cache()
    for name in (cache, other):
        for number in range(50):
            put(server, name, f"k{number}", b"v", headers).must_be(204)
    assert server.admin.call("POST", f"/caches/{cache}/flush").must_be(204).body == b""
    get(server, cache, "k1", headers).must_be(404)
    assert server.admin.cache(cache)["items"] == 0
    assert server.admin.cache(other)["items"] == 50
    put(server, cache, "k1", b"new", headers).must_be(204)
    assert get(server, cache, "k1", headers).body == b"new"


@pytest.mark.parametrize("name", ["%20", "a%00b", "n" * 256, "%ff"])
def test_a_name_that_no_cache_can_have_is_refused(server, name):
    for method in ("PUT", "GET", "DELETE"):
        server.admin.call(method, f"/caches/{name}", {} if method == "PUT" else None).must_be(400)


def test_a_name_may_hold_anything_printable(server):
    name = 'Grüße & "Küsse" %20 <b>?#+.. 日本'
    server.admin.make_cache(name)
    assert server.admin.cache(name)["name"] == name
    assert name in {cache["name"] for cache in server.admin.items("/caches", "caches")}
    server.admin.call("DELETE", f"/caches/{quote(name, safe='')}").must_be(204)


# Limits in force at once


def test_a_limit_is_in_force_when_its_change_is_answered(server, cache):
    headers = server.admin.headers
    client = server.http2()

    def store(size):
        return client.request("PUT", f"/cache/{cache}?key=k&ttl_seconds=60", headers=headers, body=b"x" * size).status

    assert store(1000) == 204
    for _ in range(5):
        server.admin.change_cache(cache, limits={"max_item_bytes": 100})
        assert store(1000) == 413
        server.admin.change_cache(cache, limits={"max_item_bytes": None})
        assert store(1000) == 204


def test_a_cache_over_its_bytes_evicts_its_own_items(server, cache):
    headers = server.admin.headers
    neighbour = server.admin.make_cache()
    put(server, neighbour, "k", b"v", headers).must_be(204)
    server.admin.change_cache(cache, limits={"max_bytes": 200_000})
    client = server.client()
    for number in range(100):
        client.request(
            "PUT", f"/cache/{cache}?key=k{number}&ttl_seconds=60", headers=headers, body=b"x" * 10_000
        ).must_be(204)
        assert server.admin.cache(cache)["bytes"] <= 200_000
    shown = server.admin.cache(cache)
    assert 5 <= shown["items"] < 20
    get(server, cache, "k99", headers).must_be(200)
    get(server, neighbour, "k", headers).must_be(200)


def test_a_cache_over_its_items_evicts_its_own(server):
    cache = server.admin.make_cache(limits={"max_items": 5})
    for number in range(20):
        put(server, cache, f"k{number}", b"v", server.admin.headers).must_be(204)
        assert server.admin.cache(cache)["items"] <= 5
    get(server, cache, "k19", server.admin.headers).must_be(200)


def test_a_rate_limit_refuses_with_its_value_and_when_to_come_back(server):
    cache = server.admin.make_cache(limits={"max_operations_per_second": 20})
    client = server.client()
    statuses = []
    for _ in range(500):
        response = client.request("GET", f"/cache/{cache}?key=k", headers=server.admin.headers)
        statuses.append(response.status)
        if response.status == 429:
            error = response.must_refuse(429, "RateLimited")
            assert (error["limit"], error["value"]) == ("max_operations_per_second", 20)
            assert error["retry_after_ms"] > 0
            assert int(response.headers["retry-after"]) >= 1
    assert statuses[0] == 404
    assert statuses.count(429) > 100
    # A neighbour without a limit is none the slower, and the limited one is served again when it may be.
    get(server, "default", "k", server.admin.headers).must_be(404)
    eventually(lambda: get(server, cache, "k", server.admin.headers).status == 404, within=5, what="the next second")
    server.admin.change_cache(cache, limits={"max_operations_per_second": None})
    for _ in range(100):
        client.request("GET", f"/cache/{cache}?key=k", headers=server.admin.headers).must_be(404)


def test_a_tenant_has_no_more_caches_than_it_may(server):
    tenant = server.admin.make_tenant(limits={"max_caches": 2})
    tenant.make_cache("one")
    tenant.make_cache("two")
    error = tenant.call("PUT", "/caches/three", {}).must_refuse(429, "LimitExceeded")
    assert (error["limit"], error["value"]) == ("max_caches", 2)
    tenant.call("PUT", "/caches/two", {}).must_be(200)
    tenant.call("DELETE", "/caches/one").must_be(204)
    tenant.make_cache("three")


def test_a_tenant_mints_no_more_tokens_a_second_than_it_may(server):
    tenant = server.admin.make_tenant(limits={"max_tokens_per_second": 2})
    responses = [tenant.call("POST", "/tokens", {"permissions": EVERYTHING, "ttl_seconds": 60}) for _ in range(30)]
    assert responses[0].status == 201
    refused = [response for response in responses if response.status != 201]
    assert refused
    error = refused[0].must_refuse(429, "RateLimited")
    assert (error["limit"], error["value"]) == ("max_tokens_per_second", 2)


def test_limits_of_a_tenant_hold_for_its_caches(server):
    tenant = server.admin.make_tenant(limits={"max_item_bytes": 100})
    tenant.make_cache("shop")
    headers = tenant.make_key().headers
    put(server, "shop", "k", b"x" * 99, headers).must_be(204)
    put(server, "shop", "k", b"x" * 100, headers).must_refuse(413, "TooLarge")


# Malformed documents


@pytest.mark.parametrize(
    "raw",
    [
        b"{",
        b"}",
        b"[]",
        b'"x"',
        b"1",
        b"true",
        b"{'a':1}",
        b'{"limits":{}} x',
        b'{"limits":{},}',
        b"\xff\xfe",
        b'{"a":"\x01"}',
        b'{"limits":{},"limits":{}}',
        b"{" * 5000,
        b'{"labels":{"a":"\\ud800"}}',
        b"\x00",
        b"\xef\xbb\xbf{}",
        b'{"limits":NaN}',
    ],
)
def test_what_is_no_json_object_is_refused(server, raw):
    name = fresh_name("cache")
    server.admin.call("PUT", f"/caches/{name}", raw=raw).must_refuse(400, "InvalidArgument")
    server.admin.call("GET", f"/caches/{name}").must_be(404)


@pytest.mark.parametrize(
    "body,field",
    [
        ({"limit": {}}, "limit"),
        ({"limits": []}, "limits"),
        ({"limits": "x"}, "limits"),
        ({"limits": {"max_byte": 1}}, "limits.max_byte"),
        ({"limits": {"max_bytes": "1"}}, "limits.max_bytes"),
        ({"limits": {"max_bytes": -1}}, "limits.max_bytes"),
        ({"limits": {"max_bytes": 1.5}}, "limits.max_bytes"),
        ({"limits": {"max_bytes": True}}, "limits.max_bytes"),
        ({"limits": {"max_bytes": 2**64}}, "limits.max_bytes"),
        ({"limits": {"max_caches": 1}}, "limits.max_caches"),
        ({"labels": {"a": 1}}, "labels.a"),
        ({"labels": []}, "labels"),
        ({"labels": {"": "x"}}, "labels"),
        ({"labels": {"k" * 64: "x"}}, "labels"),
        ({"labels": {"k": "v" * 256}}, "labels"),
        ({"labels": {f"k{number}": "v" for number in range(65)}}, "labels"),
        ({"compression": "gzip"}, "compression"),
        ({"compression": 1}, "compression"),
        ({"plan": "gold"}, "plan"),
    ],
)
def test_a_wrong_field_of_a_cache_is_named(server, body, field):
    name = fresh_name("cache")
    error = server.admin.call("PUT", f"/caches/{name}", body).must_refuse(400, "InvalidArgument")
    assert error["field"].startswith(field.split(".")[0]), error
    if "." in field and not field.startswith("labels"):
        assert error["field"] == field
    server.admin.call("GET", f"/caches/{name}").must_be(404)


@pytest.mark.parametrize(
    "body,field",
    [
        ({"owner": "x"}, "owner"),
        ({"plan": 1}, "plan"),
        ({"plan": "p" * 256}, "plan"),
        ({"compression": "off"}, "compression"),
        ({"limits": {"max_caches": -1}}, "limits.max_caches"),
    ],
)
def test_a_wrong_field_of_a_tenant_is_named(server, body, field):
    server.admin.call("PUT", f"/tenants/{fresh_name('tenant')}", body).must_refuse(400, "InvalidArgument", field=field)


@pytest.mark.parametrize(
    "body,field",
    [
        ({"format": "v3"}, "format"),
        ({"format": None}, "format"),
        ({"ttl_seconds": 0}, "ttl_seconds"),
        ({"ttl_seconds": -1}, "ttl_seconds"),
        ({"ttl_seconds": "1"}, "ttl_seconds"),
        ({"description": 1}, "description"),
        ({"description": "d" * 1025}, "description"),
        ({"token_id": "t" * 65}, "token_id"),
        ({"role": "x"}, "role"),
    ],
)
def test_a_wrong_field_of_a_key_is_named(server, body, field):
    server.admin.call("POST", "/keys", {"format": "v1", "permissions": EVERYTHING, **body}).must_refuse(
        400, "InvalidArgument", field=field
    )


def test_a_document_over_the_limit_is_413(server):
    body = {"labels": {f"k{number}": "v" * 200 for number in range(400)}}
    error = Admin(server).call("PUT", f"/caches/{fresh_name('cache')}", body).must_refuse(413, "TooLarge")
    assert error["limit"] == "max_body_bytes"
    # Announced, it is refused before it is sent.
    with server.raw() as connection:
        connection.send(
            f"PUT /v1/admin/caches/x HTTP/1.1\r\nHost: x\r\nAuthorization: {server.root_key}\r\n"
            "Content-Length: 100000000\r\n\r\n".encode()
        )
        connection.read_response().must_be(413)


# Paths and methods


@pytest.mark.parametrize(
    "path,allowed",
    [
        ("/tenants", {"GET"}),
        ("/tenants/default", {"PUT", "GET", "DELETE"}),
        ("/caches", {"GET"}),
        ("/caches/default", {"PUT", "GET", "DELETE"}),
        ("/caches/default/flush", {"POST"}),
        ("/keys", {"GET", "POST"}),
        ("/keys/x", {"DELETE"}),
        ("/tokens", {"POST", "DELETE"}),
        ("/tokens/x", {"DELETE"}),
        ("/signing-keys", {"GET"}),
        ("/signing-keys/rotate", {"POST"}),
        ("/usage", {"GET"}),
        ("/audit", {"GET"}),
    ],
)
def test_every_path_answers_its_methods_and_says_which(server, path, allowed):
    response = server.admin.call("PATCH", path, {})
    response.must_refuse(405, "MethodNotAllowed")
    told = set(response.headers["allow"].replace(" ", "").split(",")) - {"HEAD", "OPTIONS"}
    assert told == allowed


@pytest.mark.parametrize("path", ["", "/", "/nothing", "/caches/a/b", "/caches/a/flush/b", "/tenants/a/b", "/usage/x"])
def test_other_paths_are_404(server, path):
    server.admin.call("GET", path).must_refuse(404, "NotFound")


def test_the_control_plane_wants_a_credential_first(server):
    client = server.client()
    for path in ("/caches", "/nothing", "/tenants/default"):
        client.request("GET", f"/v1/admin{path}").must_refuse(401, "Unauthenticated")
        client.request("GET", f"/v1/admin{path}", headers={"authorization": "x"}).must_refuse(401, "Unauthenticated")


def test_both_listeners_have_the_control_plane_and_the_health(server):
    for address in (server.http, server.ops):
        client = server.client(address=address)
        for path in ("/healthz", "/readyz"):
            client.request("GET", path).must_be(200)
        client.request("GET", "/v1/admin/caches", headers=server.admin.headers).must_be(200)
        client.request("GET", "/v1/admin/caches").must_be(401)
    ops = server.client(address=server.ops)
    metrics = ops.request("GET", "/metrics").must_be(200)
    assert metrics.headers["content-type"].startswith("text/plain")
    assert server.root_key not in metrics.body.decode()
    ops.request("GET", "/cache/default?key=k", headers=server.admin.headers).must_be(404)
    server.client().request("GET", "/metrics").must_be(404)


# Lists


@pytest.mark.parametrize("limit", [1, 3, 7, 1000])
def test_a_list_gives_each_entry_once_whatever_the_page(server, limit):
    tenant = server.admin.make_tenant()
    names = {tenant.make_cache(f"cache-{number:02}") for number in range(12)}
    listed = [cache["name"] for cache in tenant.items("/caches", "caches", limit=limit)]
    assert listed == sorted(names)
    made = {tenant.make_key().id for _ in range(5)}
    ids = [key["id"] for key in tenant.items("/keys", "keys", limit=limit)]
    assert len(ids) == len(set(ids)) and made <= set(ids)
    events = tenant.items("/audit", "events", limit=limit)
    assert len(events) >= 17


def test_a_list_goes_on_where_it_was_whatever_comes_and_goes(server):
    tenant = server.admin.make_tenant()
    for number in range(10):
        tenant.make_cache(f"c{number}")
    page = tenant.call("GET", "/caches", query={"limit": 5}).must_be(200).json()
    tenant.make_cache("a-new-one")
    tenant.call("DELETE", "/caches/c4").must_be(204)
    rest = tenant.call("GET", "/caches", query={"limit": 100, "next_token": page["next_token"]}).must_be(200).json()
    assert [cache["name"] for cache in page["caches"] + rest["caches"]] == [f"c{number}" for number in range(10)]


@pytest.mark.parametrize(
    "query,field",
    [
        ({"limit": 0}, "limit"),
        ({"limit": -1}, "limit"),
        ({"limit": 1001}, "limit"),
        ({"limit": "x"}, "limit"),
        ({"limit": ""}, "limit"),
        ({"next_token": "x"}, "next_token"),
        ({"next_token": "=" * 9}, "next_token"),
        ({"next_token": "é"}, "next_token"),
    ],
)
@pytest.mark.parametrize("path", ["/caches", "/tenants", "/keys", "/audit"])
def test_a_page_that_cannot_be_is_refused(server, path, query, field):
    server.admin.call("GET", path, query=query).must_refuse(400, "InvalidArgument", field=field)


def test_the_token_of_one_list_is_none_of_another(server):
    tenant = server.admin.make_tenant()
    for number in range(3):
        tenant.make_cache(f"c{number}")
    token = tenant.call("GET", "/caches", query={"limit": 1}).json()["next_token"]
    tenant.call("GET", "/keys", query={"next_token": token}).must_refuse(400, "InvalidArgument", field="next_token")


# Keys, tokens, audit


def test_a_key_is_listed_with_all_but_its_secret(server):
    tenant = server.admin.make_tenant()
    permissions = [
        {"role": "readonly", "cache": "shop", "key_prefix": "a:"},
        {"role": "readwrite", "cache": "*", "key_base64": base64.b64encode(b"\xff\x00").decode()},
        {"role": "writeonly", "cache": "shop", "topic": "*"},
    ]
    minted = tenant.make_key(permissions, format="v2", description="for the shop", token_id="shop")
    (shown,) = [key for key in tenant.items("/keys", "keys") if key["id"] == minted.id]
    assert shown["permissions"] == permissions
    assert (shown["format"], shown["description"], shown["token_id"]) == ("v2", "for the shop", "shop")
    assert "key" not in shown and "refresh_token" not in shown
    assert minted.refresh_token
    tenant.revoke_key(minted.id)
    tenant.call("DELETE", f"/keys/{minted.id}").must_be(404)


def test_the_audit_log_tells_who_changed_what_and_when(server):
    tenant = server.admin.make_tenant()
    started = int(time.time())
    cache = tenant.make_cache()
    tenant.change_cache(cache, limits={"max_items": 5})
    tenant.call("POST", f"/caches/{cache}/flush").must_be(204)
    token, key = tenant.make_token(), tenant.make_key()
    tenant.revoke_token(token.id)
    tenant.revoke_key(key.id)
    tenant.call("DELETE", f"/caches/{cache}").must_be(204)
    events = tenant.items("/audit", "events")
    times = [event["at"] for event in events]
    assert times == sorted(times, reverse=True), "the newest first"
    assert started <= times[0] <= time.time() + 1
    told = [(event["action"], event["subject"]) for event in reversed(events)]
    for expected in (("cache.create", cache), ("cache.update", cache), ("cache.flush", cache), ("cache.delete", cache)):
        assert expected in told, told
    for subject in (token.id, key.id):
        assert sum(1 for _, of in told if of == subject) == 2, told
    actors = {event["actor"] for event in events if event["action"].startswith("cache.")}
    assert len(actors) == 1 and actors != {"root"}
    text = json.dumps(events)
    for secret in (tenant.credential, token.credential, key.credential):
        assert secret not in text
    server.admin.call("PUT", f"/caches/{fresh_name('cache')}", {}).must_be(201)
    assert server.admin.items("/audit", "events", query={"limit": 1000})[0]["actor"] == "root"


def test_reading_and_changing_nothing_leave_no_trace(server):
    tenant = server.admin.make_tenant()
    cache = tenant.make_cache()
    before = tenant.items("/audit", "events")
    tenant.cache(cache)
    tenant.change_cache(cache)
    tenant.call("DELETE", "/caches/unknown").must_be(404)
    tenant.call("PUT", f"/caches/{cache}", {"limits": {"max_items": -1}}).must_be(400)
    assert tenant.items("/audit", "events") == before


def test_everything_survives_a_restart(make_server):
    server = make_server()
    tenant = server.admin.make_tenant("acme", limits={"max_caches": 5}, plan="gold", labels={"a": "b"})
    tenant.make_cache("shop", limits={"max_items": 9}, labels={"c": "d"}, compression="zstd")
    key = tenant.make_key(format="v2")
    token = tenant.make_token()

    def state():
        root = Admin(server, tenant="acme")
        return {
            "tenant": server.admin.call("GET", "/tenants/acme").must_be(200).json(),
            "cache": root.cache("shop"),
            "keys": root.items("/keys", "keys"),
            "audit": root.items("/audit", "events"),
            "signing": server.admin.call("GET", "/signing-keys").must_be(200).json(),
        }

    before = state()
    server.restart()
    assert state() == before
    for minted in (key, token):
        get(server, "shop", "k", minted.headers).must_be(404)
