"""Webhooks: managed by the wire, delivered once, signed, and kept away from where they must not go."""

import base64
import contextlib
import hashlib
import hmac
import itertools
import json
import queue
import re
import time

import grpc
import pytest

from support.admin import fresh_name
from support.receiver import Receiver
from support.server import Server
from support.topics import may
from support.waiting import eventually
from support.wire import Code, Subscription, caller_for, publish, refused


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """One that may deliver to this machine."""
    running = Server(tmp_path_factory.mktemp("martlet") / "data", arguments=["--delivery-allow", "127.0.0.0/8"]).start()
    yield running
    running.stop()


@pytest.fixture
def receiver():
    with Receiver() as made:
        yield made


def put(caller, cache, url, *, name="hook", topic="news"):
    """The secret."""
    return caller.webhook.PutWebhook(
        webhook={
            "webhook_id": {"cache_name": cache, "webhook_name": name},
            "topic_name": topic,
            "destination": {"post_url": url},
        }
    ).secret_string


def put_at_work(caller, cache, receiver, path="/hook", *, topic="news", **options):
    """The secret of a webhook that has been called already: a new one is called soon, not at once."""
    secret = put(caller, cache, receiver.url(path), topic=topic, **options)
    for number in itertools.count():
        publish(caller, cache, topic, f"warm up {number}")
        with contextlib.suppress(queue.Empty):
            request = receiver.next(within=0.3)
            break
        assert number < 30, "never called"
    # What was published and has not come was published too early.
    while json.loads(request.body)["text"] != f"warm up {number}":
        request = receiver.next()
    return secret


def listed(caller, cache):
    found = caller.webhook.ListWebhooks(cache_name=cache).webhook
    return {hook.webhook_id.webhook_name: (hook.topic_name, hook.destination.post_url) for hook in found}


def signature(secret, body):
    return hmac.new(secret.encode(), body, hashlib.sha3_256).hexdigest()


def test_a_message_is_posted_signed(caller, cache, server, receiver):
    secret = put_at_work(caller, cache, receiver, "/hook?a=b")
    server.keep_secret(secret)
    token = server.admin.make_token(may("writeonly", cache), token_id="user-42").credential
    before = int(time.time() * 1000)
    with Subscription(caller, cache, "news") as subscription:
        subscription.next()
        publish(caller.using(credential=token), cache, "news", "grüße 🜁")
        (item,) = subscription.items(1)
    request = receiver.next()
    after = int(time.time() * 1000)
    assert (request.method, request.target) == ("POST", "/hook?a=b")
    assert "(Webhooks" in request.headers["user-agent"]
    assert request.headers["content-type"].startswith("application/json")
    assert request.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert request.headers["momento-signature"] == signature(secret, request.body)
    document = json.loads(request.body)
    event, fired = document.pop("event_timestamp"), document.pop("publish_timestamp")
    assert before <= event <= fired <= after
    assert document == {
        "cache": cache,
        "topic": "news",
        "topic_sequence_number": item.topic_sequence_number,
        "token_id": "user-42",
        "text": "grüße 🜁",
    }


def test_a_secret_is_told_and_changed_at_once(caller, cache, receiver):
    secret = put_at_work(caller, cache, receiver)
    told = caller.webhook.GetWebhookSecret(cache_name=cache, webhook_name="hook")
    assert (told.cache_name, told.webhook_name, told.secret_string) == (cache, "hook", secret)
    new = caller.webhook.RotateWebhookSecret(webhook_id={"cache_name": cache, "webhook_name": "hook"}).secret_string
    assert new and new != secret
    assert caller.webhook.GetWebhookSecret(cache_name=cache, webhook_name="hook").secret_string == new
    publish(caller, cache, "news", "value")
    request = receiver.next()
    assert request.headers["momento-signature"] == signature(new, request.body) != signature(secret, request.body)


def test_webhooks_are_listed_replaced_and_deleted(caller, cache, receiver, server):
    assert listed(caller, cache) == {}
    put_at_work(caller, cache, receiver, "/one", name="one")
    put_at_work(caller, cache, receiver, "/two", name="two", topic="other")
    assert listed(caller, cache) == {"one": ("news", receiver.url("/one")), "two": ("other", receiver.url("/two"))}
    put_at_work(caller, cache, receiver, "/new", name="one", topic="new")
    assert listed(caller, cache)["one"] == ("new", receiver.url("/new"))
    publish(caller, cache, "news", "to nobody any more")
    publish(caller, cache, "new", "value")
    assert receiver.next().target == "/new"
    caller.webhook.DeleteWebhook(webhook_id={"cache_name": cache, "webhook_name": "one"})
    assert list(listed(caller, cache)) == ["two"]
    publish(caller, cache, "new", "to nobody any more")
    publish(caller, cache, "other", "value")
    assert receiver.next().target == "/two"
    assert receiver.count == 0
    # In another cache they are others.
    other = server.admin.make_cache()
    assert listed(caller, other) == {}


def test_webhooks_outlive_a_restart(make_server, receiver):
    server = make_server(arguments=["--delivery-allow", "127.0.0.0/8"])
    caller = caller_for(server)
    secret = put_at_work(caller, "default", receiver)
    caller.close()
    server.restart()
    caller = caller_for(server)
    assert caller.webhook.GetWebhookSecret(cache_name="default", webhook_name="hook").secret_string == secret
    publish(caller, "default", "news", "value")
    request = receiver.next()
    assert request.headers["momento-signature"] == signature(secret, request.body)
    caller.close()


def test_webhooks_go_with_their_cache(caller, cache, receiver, server):
    put(caller, cache, receiver.url())
    server.admin.call("DELETE", f"/caches/{cache}").must_be(204)
    server.admin.make_cache(cache)
    assert listed(caller, cache) == {}


@pytest.mark.parametrize("answer", [500, 404, None, (302, {"Location": "/elsewhere"})])
def test_there_is_one_attempt_and_the_next_message_is_delivered(caller, cache, answer):
    with Receiver(lambda request: answer) as receiver:
        put_at_work(caller, cache, receiver)
        publish(caller, cache, "news", "first")
        assert json.loads(receiver.next().body)["text"] == "first"
        publish(caller, cache, "news", "second")
        request = receiver.next()
        assert (request.target, json.loads(request.body)["text"]) == ("/hook", "second")
        assert receiver.count == 0


def test_nobody_waits_for_a_receiver(caller, cache):
    """One that answers after a while delays neither the publisher nor the subscribers."""
    with Receiver(lambda request: time.sleep(1.5) or 200) as receiver:
        put_at_work(caller, cache, receiver)
        with Subscription(caller, cache, "news") as subscription:
            subscription.next()
            started = time.monotonic()
            for number in range(3):
                publish(caller, cache, "news", str(number))
            assert subscription.values(3) == ["0", "1", "2"]
            assert time.monotonic() - started < 1
        receiver.next()


def test_messages_of_every_door_are_delivered(caller, cache, receiver, topic):
    put_at_work(caller, cache, receiver)
    topic.publish("from REST")
    assert json.loads(receiver.next().body)["text"] == "from REST"


def test_bytes_are_told_from_text(caller, cache, receiver):
    secret = put_at_work(caller, cache, receiver)
    publish(caller, cache, "news", b"\x00\xff")
    request = receiver.next()
    assert request.headers["momento-signature"] == signature(secret, request.body)
    document = json.loads(request.body)
    assert "text" not in document
    assert base64.b64decode(document["binary"], validate=True) == b"\x00\xff"


# Where nobody may deliver: the flag allows loopback addresses of version 4 only.
FORBIDDEN = [
    "http://10.0.0.1/",
    "http://192.168.1.1/",
    "http://172.16.0.1/",
    "http://169.254.169.254/latest/meta-data/",
    "http://100.64.0.1/",
    "http://0.0.0.0/",
    "http://[::1]/",
    "http://[::ffff:10.0.0.1]/",
    "http://[fc00::1]/",
    "http://[fe80::1]/",
    "http://[64:ff9b::a00:1]/",
]


@pytest.mark.parametrize("url", FORBIDDEN)
def test_where_nobody_may_deliver_is_refused(caller, cache, url):
    with refused(Code.INVALID_ARGUMENT):
        put(caller, cache, url)
    assert listed(caller, cache) == {}


def test_our_own_listeners_are_not_called(caller, cache, server, receiver):
    """Even where loopback is allowed: it would let a tenant call what it may not reach, or itself without an end."""
    host, port = server.http
    token = server.admin.make_token(may("readwrite", cache)).credential
    path = f"/topics/{cache}/loop?token={token}"
    with Subscription(caller, cache, "loop") as loop:
        for number, url in enumerate((f"http://{host}:{port}{path}", f"http://localhost:{port}{path}")):
            with contextlib.suppress(grpc.RpcError):
                put(caller, cache, url, name=f"own {number}")
        put_at_work(caller, cache, receiver)
        for number in range(2):
            publish(caller, cache, "news", str(number))
            receiver.next()
        publish(caller, cache, "loop", "the end")
        assert loop.values(1) == ["the end"]


@pytest.mark.parametrize(
    "url",
    ["", "news", "ftp://127.0.0.1/", "http://", "http:///path", "http://127.0.0.1:99999/", "http://u:p@127.0.0.1/"],
)
def test_what_is_no_destination_is_refused(caller, cache, url):
    with refused(Code.INVALID_ARGUMENT):
        put(caller, cache, url)


def test_a_cache_has_so_many_webhooks_and_no_more(caller, cache, receiver):
    for number in range(5):
        put(caller, cache, receiver.url(), name=str(number))
    with refused(Code.RESOURCE_EXHAUSTED, err=...):
        put(caller, cache, receiver.url(), name="5")
    put(caller, cache, receiver.url("/again"), name="0")
    caller.webhook.DeleteWebhook(webhook_id={"cache_name": cache, "webhook_name": "0"})
    put(caller, cache, receiver.url(), name="5")
    assert sorted(listed(caller, cache)) == ["1", "2", "3", "4", "5"]


def test_limits_of_webhooks(caller, cache, receiver):
    put(caller, cache, receiver.url(), name="n" * 128)
    with refused(Code.INVALID_ARGUMENT):
        put(caller, cache, receiver.url(), name="n" * 129)
    with refused(Code.INVALID_ARGUMENT):
        put(caller, cache, receiver.url(), name="")
    with refused(Code.INVALID_ARGUMENT):
        put(caller, cache, receiver.url("/" + "x" * 1024))
    with refused(Code.INVALID_ARGUMENT):
        put(caller, cache, receiver.url(), topic=" ")


def test_without_leave_this_machine_is_no_destination(make_server, receiver):
    server = make_server()
    caller = caller_for(server)
    with refused(Code.INVALID_ARGUMENT, says="post_url"):
        put(caller, "default", receiver.url())
    # What a name means is found out when it is called.
    put(caller, "default", f"http://localhost:{receiver.port}/")

    def is_counted():
        publish(caller, "default", "news", "value")
        text = server.client(address=server.ops).request("GET", "/metrics").must_be(200).body.decode()
        counts = dict(re.findall(r'^martlet_webhook_messages_total\{outcome="(\w+)"\} (\d+)', text, re.MULTILINE))
        assert counts["delivered"] == "0", counts
        return any(int(count) > 0 for count in counts.values())

    eventually(is_counted, what="a delivery that was refused")
    assert receiver.count == 0
    caller.close()


def test_only_super_users_manage_webhooks(caller, cache, receiver, server):
    put(caller, cache, receiver.url())
    for minted in (server.admin.make_key(), server.admin.make_token()):
        limited = caller.using(credential=minted.credential)
        for call in (
            lambda ask: put(ask, cache, receiver.url()),
            lambda ask: ask.webhook.DeleteWebhook(webhook_id={"cache_name": cache, "webhook_name": "hook"}),
            lambda ask: ask.webhook.ListWebhooks(cache_name=cache),
            lambda ask: ask.webhook.GetWebhookSecret(cache_name=cache, webhook_name="hook"),
            lambda ask: ask.webhook.RotateWebhookSecret(webhook_id={"cache_name": cache, "webhook_name": "hook"}),
        ):
            with refused(Code.PERMISSION_DENIED):
                call(limited)
    assert list(listed(caller, cache)) == ["hook"]


def test_what_does_not_exist_is_told(caller, cache, receiver):
    missing = fresh_name("missing")
    with refused(Code.NOT_FOUND):
        put(caller, missing, receiver.url())
    with refused(Code.NOT_FOUND):
        caller.webhook.ListWebhooks(cache_name=missing)
    with refused(Code.NOT_FOUND):
        caller.webhook.GetWebhookSecret(cache_name=cache, webhook_name="none")
    with refused(Code.NOT_FOUND):
        caller.webhook.RotateWebhookSecret(webhook_id={"cache_name": cache, "webhook_name": "none"})


def test_tenants_do_not_see_each_others_webhooks(caller, cache, receiver, server):
    put_at_work(caller, cache, receiver)
    tenant = server.admin.make_tenant()
    tenant.make_cache(cache)
    other = caller.using(credential=tenant.credential)
    assert listed(other, cache) == {}
    publish(other, cache, "news", "theirs")
    publish(caller, cache, "news", "ours")
    assert json.loads(receiver.next().body)["text"] == "ours"
    assert receiver.count == 0


def test_deliveries_are_on_the_bill(caller, cache, receiver, server):
    put_at_work(caller, cache, receiver)
    before = eventually(lambda: server.admin.used(cache).get("deliveries", 0), what="the warm-up on the bill")
    publish(caller, cache, "news", "x" * 100)
    receiver.next()
    eventually(lambda: server.admin.used(cache).get("deliveries", 0) == before + 1, what="the delivery on the bill")
