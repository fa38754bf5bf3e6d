"""The official SDK: disposable tokens of every shape, and every kind of key as its users hold it."""

import time

import pytest
from momento import CredentialProvider
from momento.auth.access_control.disposable_token_scope import (
    AllCacheItems,
    CacheItemKey,
    CacheItemKeyPrefix,
    CacheItemSelector,
    DisposableTokenCachePermission,
    DisposableTokenCachePermissions,
    DisposableTokenProps,
    DisposableTokenScope,
)
from momento.auth.access_control.disposable_token_scopes import DisposableTokenScopes as Scopes
from momento.auth.access_control.permission_scope import (
    AllCaches,
    AllTopics,
    CachePermission,
    CacheRole,
    CacheSelector,
    Permissions,
    TopicName,
    TopicPermission,
    TopicRole,
    TopicSelector,
)
from momento.errors import MomentoErrorCode
from momento.utilities import ExpiresIn

from support.sdk import must, must_fail
from support.wire import Subscription, topic_value

HOUR = ExpiresIn.hours(1)


@pytest.fixture(scope="module")
def caches(server):
    """Two caches, the first of which the permissions name."""
    return server.admin.make_cache("shop"), server.admin.make_cache("warehouse")


def dispose(server, auth, scope, *, expires=HOUR, token_id=None):
    """A token as its holder gets it."""
    properties = DisposableTokenProps(token_id) if token_id else None
    response = auth.generate_disposable_token(scope, expires, properties)
    made = must(response, "Success")
    server.keep_secret(made.auth_token)
    return made


def allows(response):
    """Whether it was served; everything but a refusal fails the test."""
    if type(response).__name__ != "Error":
        return True
    must_fail(response, MomentoErrorCode.PERMISSION_ERROR)
    return False


def table(client, topics, caches):
    """What a credential may: cache and key for reading and writing, cache and topic for both ways."""
    read, write, publish, subscribe = set(), set(), set(), set()
    for cache in caches:
        for key in ("cart", "cart:1", "other"):
            if allows(client.get(cache, key)):
                read.add((cache, key))
            if allows(client.set(cache, key, "value")):
                write.add((cache, key))
        for topic in ("cart", "other"):
            if allows(topics.publish(cache, topic, "value")):
                publish.add((cache, topic))
            subscription = topics.subscribe(cache, topic)
            if allows(getattr(subscription, "_wrapped", subscription)):
                subscription.unsubscribe()
                subscribe.add((cache, topic))
    return read, write, publish, subscribe


def keys(*places):
    return {(cache, key) for cache in places for key in ("cart", "cart:1", "other")}


def names(*places):
    return {(cache, topic) for cache in places for topic in ("cart", "other")}


SHOP, BOTH = ("shop",), ("shop", "warehouse")
NONE = set()

# Each way to make a scope, and what it must allow: reads, writes, publishes, subscribes.
SHAPES = {
    "cache_read_write": (Scopes.cache_read_write("shop"), keys(*SHOP), keys(*SHOP), NONE, NONE),
    "cache_read_only": (Scopes.cache_read_only("shop"), keys(*SHOP), NONE, NONE, NONE),
    "cache_write_only": (Scopes.cache_write_only("shop"), NONE, keys(*SHOP), NONE, NONE),
    "cache_read_write, all": (Scopes.cache_read_write(AllCaches()), keys(*BOTH), keys(*BOTH), NONE, NONE),
    "cache_read_only, all": (Scopes.cache_read_only(AllCaches()), keys(*BOTH), NONE, NONE, NONE),
    "cache_write_only, all": (Scopes.cache_write_only(AllCaches()), NONE, keys(*BOTH), NONE, NONE),
    "cache_key_read_write": (
        Scopes.cache_key_read_write("shop", "cart"),
        {("shop", "cart")},
        {("shop", "cart")},
        NONE,
        NONE,
    ),
    "cache_key_read_only": (Scopes.cache_key_read_only("shop", "cart"), {("shop", "cart")}, NONE, NONE, NONE),
    "cache_key_write_only": (Scopes.cache_key_write_only("shop", "cart"), NONE, {("shop", "cart")}, NONE, NONE),
    "cache_key_read_only, all": (
        Scopes.cache_key_read_only(AllCaches(), "cart"),
        {("shop", "cart"), ("warehouse", "cart")},
        NONE,
        NONE,
        NONE,
    ),
    "cache_key_prefix_read_write": (
        Scopes.cache_key_prefix_read_write("shop", "cart"),
        {("shop", "cart"), ("shop", "cart:1")},
        {("shop", "cart"), ("shop", "cart:1")},
        NONE,
        NONE,
    ),
    "cache_key_prefix_read_only": (
        Scopes.cache_key_prefix_read_only("shop", "cart:"),
        {("shop", "cart:1")},
        NONE,
        NONE,
        NONE,
    ),
    "cache_key_prefix_write_only": (
        Scopes.cache_key_prefix_write_only("shop", "cart:"),
        NONE,
        {("shop", "cart:1")},
        NONE,
        NONE,
    ),
    "topic_publish_subscribe": (
        Scopes.topic_publish_subscribe("shop", "cart"),
        NONE,
        NONE,
        {("shop", "cart")},
        {("shop", "cart")},
    ),
    "topic_subscribe_only": (Scopes.topic_subscribe_only("shop", "cart"), NONE, NONE, NONE, {("shop", "cart")}),
    "topic_publish_only": (Scopes.topic_publish_only("shop", TopicName("cart")), NONE, NONE, {("shop", "cart")}, NONE),
    "topic_publish_subscribe, all": (
        Scopes.topic_publish_subscribe(AllCaches(), AllTopics()),
        NONE,
        NONE,
        names(*BOTH),
        names(*BOTH),
    ),
    "topic_subscribe_only, all topics": (
        Scopes.topic_subscribe_only("shop", AllTopics()),
        NONE,
        NONE,
        NONE,
        names(*SHOP),
    ),
    "topic_publish_only, all caches": (
        Scopes.topic_publish_only(AllCaches(), "cart"),
        NONE,
        NONE,
        {("shop", "cart"), ("warehouse", "cart")},
        NONE,
    ),
    "several, of which any allows": (
        DisposableTokenScope(
            Permissions(
                [
                    CachePermission(CacheSelector(AllCaches()), CacheRole.READ_ONLY),
                    CachePermission(CacheSelector("shop"), CacheRole.WRITE_ONLY),
                    TopicPermission(TopicRole.PUBLISH_ONLY, CacheSelector("shop"), TopicSelector("cart")),
                    TopicPermission(TopicRole.SUBSCRIBE_ONLY, CacheSelector("shop"), TopicSelector("other")),
                ]
            )
        ),
        keys(*BOTH),
        keys(*SHOP),
        {("shop", "cart")},
        {("shop", "other")},
    ),
    "items of several kinds": (
        DisposableTokenScope(
            DisposableTokenCachePermissions(
                [
                    DisposableTokenCachePermission(
                        CacheSelector("shop"), CacheRole.READ_ONLY, CacheItemSelector(AllCacheItems())
                    ),
                    DisposableTokenCachePermission(
                        CacheSelector("shop"), CacheRole.WRITE_ONLY, CacheItemSelector(CacheItemKeyPrefix("cart"))
                    ),
                    DisposableTokenCachePermission(
                        CacheSelector("warehouse"), CacheRole.READ_WRITE, CacheItemSelector(CacheItemKey("other"))
                    ),
                ]
            )
        ),
        keys(*SHOP) | {("warehouse", "other")},
        {("shop", "cart"), ("shop", "cart:1"), ("warehouse", "other")},
        NONE,
        NONE,
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_token_allows_what_its_scope_says_and_nothing_else(sdk, server, caches, shape):
    scope, *expected = SHAPES[shape]
    made = dispose(server, sdk.auth(), scope)
    client, topics = sdk.cache(made.auth_token), sdk.topics(made.auth_token)
    assert list(table(client, topics, caches)) == expected
    # Nobody may control with a token, nor make another.
    must_fail(client.list_caches(), MomentoErrorCode.PERMISSION_ERROR)
    response = sdk.auth(made.auth_token).generate_disposable_token(Scopes.cache_read_only("shop"), HOUR, None)
    must_fail(response, MomentoErrorCode.PERMISSION_ERROR)


def test_a_token_is_in_the_form_that_the_sdk_reads(sdk, server, caches):
    before = int(time.time())
    made = dispose(server, sdk.auth(), Scopes.cache_read_write("shop"))
    assert made.endpoint == "localhost"
    assert before + 3600 <= made.expires_at.epoch() <= int(time.time()) + 3601  # told in whole seconds, upwards
    read = CredentialProvider.from_disposable_token(made.auth_token)
    assert read.cache_endpoint == "cache.localhost"
    assert read.auth_token


def test_a_token_ends_when_it_was_said_to(sdk, server, caches):
    client = sdk.cache(
        dispose(server, sdk.auth(), Scopes.cache_read_write("shop"), expires=ExpiresIn.seconds(2)).auth_token
    )
    must(client.set("shop", "key", "value"), "Success")
    deadline = time.monotonic() + 4
    while type(client.get("shop", "key")).__name__ != "Error":
        assert time.monotonic() < deadline, "still served"
        time.sleep(0.05)
    must_fail(client.get("shop", "key"), MomentoErrorCode.AUTHENTICATION_ERROR)


def test_the_label_of_a_token_is_the_publisher(sdk, server, caches, caller):
    made = dispose(server, sdk.auth(), Scopes.topic_publish_only("shop", "labels"), token_id="user-42")
    with Subscription(caller, "shop", "labels") as subscription:
        must(sdk.topics(made.auth_token).publish("shop", "labels", "value"), "Success")
        (item,) = subscription.items(1)
    assert (topic_value(item), item.publisher_id) == ("value", "user-42")


@pytest.mark.parametrize(
    "scope,expires,token_id",
    [
        (Scopes.cache_read_only("shop"), ExpiresIn.hours(26), None),
        (Scopes.cache_read_only("shop"), HOUR, "x" * 65),
        (
            DisposableTokenScope(
                Permissions(
                    [
                        CachePermission(CacheSelector("shop"), CacheRole.READ_ONLY),
                        CachePermission(CacheSelector("shop"), CacheRole.WRITE_ONLY),
                    ]
                )
            ),
            HOUR,
            None,
        ),
        (
            DisposableTokenScope(
                Permissions([CachePermission(CacheSelector(f"c{number}"), CacheRole.READ_ONLY) for number in range(21)])
            ),
            HOUR,
            None,
        ),
    ],
    ids=["too long", "label too long", "the same twice", "too many statements"],
)
def test_tokens_that_cannot_be_are_refused(sdk, server, scope, expires, token_id):
    properties = DisposableTokenProps(token_id) if token_id else None
    response = sdk.auth().generate_disposable_token(scope, expires, properties)
    must_fail(response, MomentoErrorCode.INVALID_ARGUMENT_ERROR)


def test_only_super_users_make_tokens(sdk, server, caches):
    for minted in (server.admin.make_key(), server.admin.make_key(format="v2"), server.admin.make_token()):
        response = sdk.auth(minted.credential).generate_disposable_token(Scopes.cache_read_only("shop"), HOUR, None)
        must_fail(response, MomentoErrorCode.PERMISSION_ERROR)
    tenant = server.admin.make_tenant()
    tenant.make_cache("own")
    made = dispose(server, sdk.auth(tenant.credential), Scopes.cache_read_write(AllCaches()))
    client = sdk.cache(made.auth_token)
    must(client.set("own", "key", "value"), "Success")
    must_fail(client.get("shop", "key"), MomentoErrorCode.NOT_FOUND_ERROR)


def test_every_kind_of_key_is_served(sdk, server, caches):
    for minted in (
        server.admin.make_key(format="v1"),
        server.admin.make_key(format="v2"),
        server.admin.make_token(),
        server.admin.make_key("super_user", format="v1"),
        server.admin.make_key("super_user", format="v2"),
    ):
        client = sdk.cache(minted.credential)
        must(client.set("shop", "key", minted.id), "Success")
        assert must(client.get("shop", "key"), "Hit").value_string == minted.id


def test_refusals_come_in_the_order_of_the_contract(sdk, server, caches):
    """Who is calling, then what they may, then whether it exists."""
    client = sdk.cache(server.admin.make_token([{"role": "readonly", "cache": "shop", "key": "own"}]).credential)
    must_fail(client.get("never", "own"), MomentoErrorCode.PERMISSION_ERROR)
    must_fail(client.get("shop", "other"), MomentoErrorCode.PERMISSION_ERROR)
    must(client.get("shop", "own"), "Miss")
    everywhere = sdk.cache(server.admin.make_token([{"role": "readonly", "cache": "*"}]).credential)
    must_fail(everywhere.get("never", "own"), MomentoErrorCode.NOT_FOUND_ERROR)
    must_fail(everywhere.set("never", "own", "value"), MomentoErrorCode.PERMISSION_ERROR)
