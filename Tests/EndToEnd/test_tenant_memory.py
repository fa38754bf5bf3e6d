"""A tenant's `max_bytes`, `max_items` and `reserved_bytes` hold over all its caches, by every door, and no other tenant
notices."""

import pytest

from support.admin import EVERYTHING
from support.resp import MartletTarget
from support.waiting import eventually

LIMIT = 1_000_000
VALUE = b"x" * 1000


class Shop:
    """A tenant with two caches, its data key, and a connection to the REST door and one to RESP for each cache."""

    def __init__(self, server, **limits):
        self.server = server
        self.admin = server.admin.make_tenant(limits=limits)
        self.caches = [self.admin.make_cache(name) for name in ("first", "second")]
        self.headers = self.admin.make_key().headers
        self.http = server.client()
        self.resp = []
        for cache in self.caches:
            token = self.admin.make_token([{**EVERYTHING[0], "cache": cache}])
            self.resp.append(MartletTarget(server, cache, token.credential).connect())

    def put(self, cache, key, value=VALUE):
        return self.http.request(
            "PUT", f"/cache/{cache}?key={key}&ttl_seconds=600", headers=self.headers, body=value
        )

    def get(self, cache, key):
        return self.http.request("GET", f"/cache/{cache}?key={key}", headers=self.headers).status

    def held(self):
        """Bytes and items of both caches, as the control plane tells them."""
        shown = [self.admin.cache(cache) for cache in self.caches]
        return tuple(sum(cache[name] for cache in shown) for name in ("bytes", "items"))

    def limit(self, **limits):
        self.server.admin.call("PUT", f"/tenants/{self.admin.name}", {"limits": limits}).must_be(200)

    def close(self):
        for connection in self.resp:
            connection.close()
        self.http.close()


@pytest.fixture
def shop(server):
    """Makes tenants for one test."""
    made = []

    def make(**limits):
        made.append(Shop(server, **limits))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_max_bytes_holds_over_two_caches_and_the_other_tenant_keeps_its_items(shop):
    victim, aggressor = shop(), shop(max_bytes=LIMIT)
    for number in range(300):
        victim.put("first", f"k{number}").must_be(204)
        assert victim.resp[1].call("SET", f"k{number}", VALUE).raw == b"+OK\r\n"
    before = victim.held()
    for number in range(1500):
        aggressor.put("first", f"k{number}").must_be(204)
        assert aggressor.resp[1].call("SET", f"k{number}", VALUE).raw == b"+OK\r\n"
        if number % 100 == 0:
            assert aggressor.held()[0] <= LIMIT
    held, items = aggressor.held()
    assert LIMIT * 0.8 < held <= LIMIT
    assert 500 < items < 1000
    # Both gave, and the newest is there.
    assert all(aggressor.admin.cache(cache)["evictions"] > 0 for cache in aggressor.caches)
    assert aggressor.get("first", "k1499") == 200
    assert aggressor.resp[1].call("GET", "k1499").raw.endswith(VALUE + b"\r\n")
    # The other tenant hits with every read.
    assert victim.held() == before
    assert all(victim.get("first", f"k{number}") == 200 for number in range(300))
    assert all(victim.resp[1].call("EXISTS", f"k{number}").raw == b":1\r\n" for number in range(300))


def test_an_item_larger_than_the_tenant_may_hold_is_refused_on_both_doors(shop):
    tenant = shop(max_bytes=100_000)
    tenant.put("second", "small").must_be(204)
    large = b"x" * 150_000
    assert tenant.put("first", "large", large).status >= 400
    assert tenant.resp[0].call("SET", "large", large).is_error
    assert tenant.get("second", "small") == 200


def test_a_tenants_limit_is_changed_while_it_runs(shop):
    tenant = shop()
    for number in range(500):
        tenant.put("first", f"k{number}").must_be(204)
        assert tenant.resp[1].call("SET", f"k{number}", VALUE).raw == b"+OK\r\n"
    assert tenant.held()[1] == 1000
    tenant.limit(max_items=100)
    eventually(lambda: tenant.held()[1] <= 100, what="down to 100 items")
    for number in range(200):
        tenant.put("first", f"n{number}").must_be(204)
        assert tenant.held()[1] <= 100
    tenant.limit(max_items=None, max_bytes=50_000)
    eventually(lambda: tenant.held()[0] <= 50_000, what="down to 50 kB")
    tenant.limit(max_items=None, max_bytes=None)
    for number in range(300):
        tenant.put("first", f"m{number}").must_be(204)
    assert all(tenant.get("first", f"m{number}") == 200 for number in range(300))


def test_what_is_reserved_for_a_tenant_stays_while_another_fills_the_process(make_server):
    server = make_server(arguments=["--memory", "16MiB"])
    victim, aggressor = Shop(server, reserved_bytes=4 << 20), Shop(server)
    for number in range(1500):
        victim.put("first" if number % 2 else "second", f"k{number}").must_be(204)
    before = victim.held()
    for number in range(400):
        aggressor.put("first", f"k{number}", b"x" * 100_000).must_be(204)
    assert sum(aggressor.admin.cache(cache)["evictions"] for cache in aggressor.caches) > 0
    assert victim.held() == before
    assert all(victim.get("first" if number % 2 else "second", f"k{number}") == 200 for number in range(1500))
    victim.close()
    aggressor.close()
