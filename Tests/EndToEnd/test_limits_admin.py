"""Limits as an operator sets and sees them: plans, bursts, changes that hold for connections that are open, live use."""

import time

import pytest

from support.admin import Admin, fresh_name
from support.resp import MartletTarget
from support.topics import STREAM
from support.waiting import eventually
from support.websocket import WebSocket

EVERY_TOPIC = {"role": "readwrite", "cache": "*", "topic": "*"}


class Customer:
    """A tenant with a cache, and one connection to each of two doors that stays open."""

    def __init__(self, server, **body):
        self.server = server
        self.root = server.admin
        self.admin = server.admin.make_tenant(**body)
        self.name = self.admin.name
        self.admin.make_cache("shop")
        self.key = self.admin.make_key([{"role": "readwrite", "cache": "*"}, EVERY_TOPIC])
        self.http = server.client()
        token = self.admin.make_token([{"role": "readwrite", "cache": "*"}, EVERY_TOPIC])
        self.resp = MartletTarget(server, "shop", token.credential).connect()

    def put(self, size=1, key="k"):
        return self.http.request(
            "PUT", f"/cache/shop?key={key}&ttl_seconds=60", headers=self.key.headers, body=b"x" * size
        )

    def set(self, size=1):
        return self.resp.call("SET", "k", b"x" * size, "EX", "60")

    def limit(self, **limits):
        self.root.call("PUT", f"/tenants/{self.name}", {"limits": limits}).must_be(200)

    def shown(self):
        return self.root.call("GET", f"/tenants/{self.name}").must_be(200).json()


@pytest.fixture
def plan(server):
    name = fresh_name("plan")
    server.admin.call("PUT", f"/plans/{name}", {}).must_be(201)
    return name


@pytest.fixture
def customer(server, plan):
    return Customer(server, plan=plan)


def set_plan(server, plan, **limits):
    return server.admin.call("PUT", f"/plans/{plan}", {"limits": limits}).must_be(200).json()


# Plans


def test_a_plan_lives_from_201_to_404(server):
    name = fresh_name("plan")
    made = server.admin.call("PUT", f"/plans/{name}", {"limits": {"max_caches": 2, "weight": 300}}).must_be(201).json()
    assert (made["name"], made["limits"], made["tenants"]) == (name, {"max_caches": 2, "weight": 300}, 0)
    set_plan(server, name, max_caches=None, max_items=5)
    shown = server.admin.call("GET", f"/plans/{name}").must_be(200).json()
    assert shown["limits"] == {"max_items": 5, "weight": 300}
    tenant = server.admin.make_tenant(plan=name)
    assert server.admin.call("GET", f"/plans/{name}").json()["tenants"] == 1
    assert name in {plan["name"] for plan in server.admin.items("/plans", "plans", limit=1)}
    server.admin.call("DELETE", f"/plans/{name}").must_refuse(409, "InUse", says="the plan has a tenant")
    for method, path in (("GET", "/plans"), ("GET", f"/plans/{name}"), ("PUT", f"/plans/{name}")):
        tenant.call(method, path).must_refuse(403, "PermissionDenied")
    server.admin.call("PUT", f"/tenants/{tenant.name}", {"plan": None}).must_be(200)
    server.admin.call("DELETE", f"/plans/{name}").must_be(204)
    server.admin.call("GET", f"/plans/{name}").must_refuse(404, "NotFound", says="Plan Not Found")
    mine = [row for row in server.admin.items("/audit", "events") if row["subject"] == name]
    assert [row["action"] for row in mine] == ["plan.delete", "plan.update", "plan.create"]


def test_a_tenant_has_its_own_limits_over_its_plan_s(server, plan, customer):
    set_plan(server, plan, max_items=5, max_caches=3)
    customer.limit(max_items=9)
    shown = customer.shown()
    assert shown["limits"] == {"max_items": 9}
    assert shown["plan_limits"] == {"max_items": 5, "max_caches": 3}
    assert shown["limits_in_force"] == {"max_items": 9, "max_caches": 3}
    assert customer.admin.call("GET", f"/tenants/{customer.name}").json()["limits_in_force"]["max_items"] == 9


def test_a_plan_that_is_not_defined_has_no_effect_until_it_is(server):
    name = fresh_name("plan")
    tenant = server.admin.make_tenant(plan=name)
    assert server.admin.call("GET", f"/tenants/{tenant.name}").json()["plan_limits"] is None
    server.admin.call("PUT", f"/plans/{name}", {"limits": {"max_caches": 0}}).must_be(201)
    tenant.call("PUT", "/caches/shop").must_refuse(429, "LimitExceeded")


def test_a_changed_plan_holds_for_connections_that_are_open(server, plan, customer):
    other = Customer(server, plan=plan)
    both = (customer, other)
    for round in range(3):
        for one in both:
            one.put(100).must_be(204)
            assert not one.set(100).is_error
        set_plan(server, plan, max_item_bytes=50)
        for one in both:
            error = one.put(100).must_refuse(413, "TooLarge")
            assert (error["limit"], error["value"]) == ("max_item_bytes", 50)
            assert one.set(100).is_error
        set_plan(server, plan, max_item_bytes=None, max_operations_per_second=0)
        for one in both:
            assert one.put().must_refuse(429, "RateLimited")["limit"] == "max_operations_per_second"
            assert one.set().text.startswith(b"THROTTLED")
        set_plan(server, plan, max_operations_per_second=None)


def test_plans_survive_a_restart(make_server):
    server = make_server()
    server.admin.call("PUT", "/plans/gold", {"limits": {"max_caches": 1, "burst_operations": 9}}).must_be(201)
    tenant = server.admin.make_tenant(plan="gold")
    server.restart()
    shown = Admin(server).call("GET", f"/tenants/{tenant.name}").must_be(200).json()
    assert shown["limits_in_force"] == {"max_caches": 1, "burst_operations": 9}


# Changed while it is used


@pytest.mark.parametrize("level", ["tenant", "cache"])
def test_a_limit_is_lowered_and_raised_under_open_connections(server, customer, level):
    def change(**limits):
        if level == "tenant":
            customer.limit(**limits)
        else:
            customer.admin.change_cache("shop", limits=limits)

    for round in range(2):
        change(max_operations_per_second=0)
        customer.put().must_be(429)
        assert customer.set().is_error
        change(max_operations_per_second=1000)
        customer.put().must_be(204)
        assert not customer.set().is_error
        change(max_operations_per_second=None, max_key_bytes=3)
        customer.put(key="k" * 4).must_refuse(413, "TooLarge")
        change(max_key_bytes=4)
        customer.put(key="k" * 4).must_be(204)
        change(max_key_bytes=None)


@pytest.mark.parametrize("target", [STREAM, "/topics/shop/news"])
def test_an_open_socket_takes_longer_messages_once_it_may(server, plan, customer, target):
    set_plan(server, plan, max_message_bytes=100)
    with WebSocket(server, target, customer.key.headers) as socket:
        named = {"cache": "shop", "topic": "news"} if target == STREAM else {}
        assert socket.ask({"publish": {"text": "x" * 101, **named}})["error"]["limit"] == "max_message_bytes"
        set_plan(server, plan, max_message_bytes=300_000)
        long = "x" * 300_000
        socket.send({"publish": {"text": long, **named}})
        frames = [socket.receive()] + ([socket.receive()] if target != STREAM else [])
        assert any("published" in frame for frame in frames)


def test_bursts_come_at_once_and_the_rate_holds_behind_them(server, customer):
    customer.limit(max_operations_per_second=1, burst_operations=20)
    began = time.monotonic()
    admitted = sum(customer.put().status == 204 for _ in range(60))
    assert 20 <= admitted <= 21 + (time.monotonic() - began)
    customer.limit(burst_operations=1)
    assert sum(customer.put().status == 204 for _ in range(10)) <= 3 + (time.monotonic() - began)


@pytest.mark.parametrize("level", ["tenants", "plans", "caches"])
def test_what_a_limit_may_not_be_is_named(server, customer, plan, level):
    path = {"tenants": f"/tenants/{customer.name}", "plans": f"/plans/{plan}", "caches": "/caches/shop"}[level]
    who = customer.admin if level == "caches" else server.admin
    wrong = {"weight": 0, "burst_operations": 0, "burst_bytes_in": 0, "burst_bytes_out": 0, "max_items": -1}
    if level != "caches":
        wrong |= {"weight": 10_001}
        who.call("PUT", path, {"limits": {"weight": 10_000}}).must_be(200)
    for name, value in wrong.items():
        who.call("PUT", path, {"limits": {name: value}}).must_refuse(400, "InvalidArgument", field=f"limits.{name}")
    if level == "caches":
        who.call("PUT", path, {"limits": {"weight": 5}}).must_refuse(400, "InvalidArgument", field="limits.weight")


# Use


def test_use_stands_beside_each_limit(server, plan, customer):
    set_plan(server, plan, max_items=100, max_subscriptions=7, max_bytes_in_per_second=1_000_000)
    customer.admin.change_cache("shop", limits={"max_bytes": 1_000_000, "max_operations_per_second": 1000})
    customer.admin.make_cache("desk")
    for number in range(5):
        customer.put(1000, key=f"k{number}").must_be(204)
    use = customer.admin.cache("shop")["use"]
    assert use["max_items"] == {"limit": None, "used": 5}
    assert use["max_bytes"]["limit"] == 1_000_000 and use["max_bytes"]["used"] >= 5000
    assert use["max_operations_per_second"]["limit"] == 1000
    assert set(use) == {
        "max_bytes",
        "max_items",
        "max_operations_per_second",
        "max_bytes_in_per_second",
        "max_bytes_out_per_second",
        "max_connections",
        "max_subscriptions",
        "max_publish_per_second",
    }
    sums = customer.shown()["use"]
    assert set(sums) == set(use) | {"max_caches", "max_tokens_per_second"}
    assert sums["max_items"] == {"limit": 100, "used": 5}
    assert sums["max_caches"] == {"limit": None, "used": 2}
    assert sums["max_bytes"]["used"] >= use["max_bytes"]["used"]
    customer.put(50_000).must_be(204)
    assert customer.shown()["use"]["max_bytes_in_per_second"]["used"] > 10_000
    with WebSocket(server, "/topics/shop/news", customer.key.headers):
        eventually(lambda: customer.shown()["use"]["max_subscriptions"] == {"limit": 7, "used": 1})
        assert customer.admin.cache("shop")["use"]["max_subscriptions"] == {"limit": None, "used": 1}
    eventually(lambda: customer.shown()["use"]["max_subscriptions"]["used"] == 0)
    listed = {tenant["name"]: tenant for tenant in server.admin.items("/tenants", "tenants")}
    assert listed[customer.name]["use"]["max_items"] == {"limit": 100, "used": 6}
    assert listed[customer.name]["plan_limits"]["max_items"] == 100
