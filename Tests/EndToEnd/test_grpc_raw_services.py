"""Services beside the data: API keys and tokens by the wire, caches page by page, ping, health, reflection."""

import time

import grpc
import pytest
from google.protobuf import descriptor_pb2

from support import wire
from support.admin import fresh_name
from support.waiting import PATIENCE
from support.wire import Code, caller_for, message, refused

EVERYTHING = {
    "explicit": {
        "permissions": [
            {"cache_permissions": {"role": 1, "all_caches": {}}},
            {"topic_permissions": {"role": 1, "all_caches": {}, "all_topics": {}}},
        ]
    }
}
READ_WRITE, READ_ONLY, WRITE_ONLY = 1, 2, 3


def cache_permission(role=READ_WRITE, **selectors):
    return {"explicit": {"permissions": [{"cache_permissions": {"role": role, **(selectors or {"all_caches": {}})}}]}}


def keep(server, *made):
    for response in made:
        server.keep_secret(response.api_key)
        if getattr(response, "refresh_token", ""):
            server.keep_secret(response.refresh_token)


def generate(caller, server, permissions=EVERYTHING, **fields):
    """An API key, made by whoever calls."""
    expiry = {} if "expires" in fields else {"never": {}}
    response = caller.auth.GenerateApiToken(permissions=permissions, **expiry, **fields)
    keep(server, response)
    return response


def read(caller, cache, credential, key=b"k"):
    return caller.using(credential=credential, cache=cache).scs.Get(cache_key=key)


@pytest.fixture
def tenant(server):
    """One of its own: its control plane and a caller with its super-user key."""
    made = server.admin.make_tenant()
    caller = caller_for(server, credential=made.credential)
    made.make_cache("shop")
    yield made, caller.using(cache="shop")
    caller.close()


# API keys


def test_a_key_that_never_ends(tenant, server):
    _, caller = tenant
    made = generate(caller, server, description="of a test", token_id="user-42")
    assert made.valid_until == 0
    assert made.endpoint == "localhost"
    assert made.api_key and made.refresh_token
    assert read(caller, "shop", made.api_key).result == wire.MISS


def test_a_key_ends_when_it_was_said_to(tenant, server):
    _, caller = tenant
    made = generate(caller, server, expires={"valid_for_seconds": 1})
    assert 0 < made.valid_until - int(time.time()) <= 2
    deadline = time.monotonic() + 4
    with refused(Code.UNAUTHENTICATED):
        while time.monotonic() < deadline:
            read(caller, "shop", made.api_key)
            time.sleep(0.02)
    with refused(Code.UNAUTHENTICATED):
        caller.auth.RefreshApiToken(api_key=made.api_key, refresh_token=made.refresh_token)


def test_a_key_is_refreshed_with_its_permissions_and_its_time(tenant, server):
    _, caller = tenant
    permissions = cache_permission(READ_ONLY, cache_selector={"cache_name": "shop"})
    made = generate(caller, server, permissions, expires={"valid_for_seconds": 1000})
    # Nothing but the message says who calls.
    nobody = caller.using(credential=None, cache=None)
    before = int(time.time())
    renewed = nobody.auth.RefreshApiToken(api_key=made.api_key, refresh_token=made.refresh_token)
    keep(server, renewed)
    assert renewed.api_key != made.api_key and renewed.refresh_token != made.refresh_token
    assert before + 1000 <= renewed.valid_until <= int(time.time()) + 1001
    assert read(caller, "shop", renewed.api_key).result == wire.MISS
    with refused(Code.PERMISSION_DENIED):
        caller.using(credential=renewed.api_key).scs.Set(cache_key=b"k", cache_body=b"v", ttl_milliseconds=1000)


@pytest.mark.parametrize("api_key,refresh_token", [("", ""), ("nobody", "nothing"), (None, "nothing"), (None, "")])
def test_a_false_pair_is_not_refreshed(tenant, server, api_key, refresh_token):
    _, caller = tenant
    made = generate(caller, server, expires={"valid_for_seconds": 1000})
    with pytest.raises(grpc.RpcError) as told:
        caller.auth.RefreshApiToken(api_key=made.api_key if api_key is None else api_key, refresh_token=refresh_token)
    assert told.value.code() in (Code.UNAUTHENTICATED, Code.INVALID_ARGUMENT)


def test_the_credential_may_stand_in_the_message(tenant, server):
    """As browsers and Node send it."""
    admin, caller = tenant
    inner = wire.inner_form(admin.credential)
    nobody = caller.using(credential=None, cache=None)
    key = generate(nobody, server, auth_token=inner)
    token = nobody.token.GenerateDisposableToken(
        auth_token=inner, permissions=EVERYTHING, expires={"valid_for_seconds": 60}
    )
    keep(server, token)
    for made in (key, token):
        assert read(caller, "shop", made.api_key).result == wire.MISS
    for call in (
        lambda: nobody.auth.GenerateApiToken(never={}, permissions=EVERYTHING),
        lambda: nobody.auth.GenerateApiToken(never={}, permissions=EVERYTHING, auth_token="nobody"),
        lambda: nobody.token.GenerateDisposableToken(permissions=EVERYTHING, expires={"valid_for_seconds": 60}),
    ):
        with refused(Code.UNAUTHENTICATED):
            call()


def test_super_users_are_not_made_by_super_users(tenant, server):
    _, caller = tenant
    with refused(Code.PERMISSION_DENIED, says="Insufficient permissions"):
        caller.auth.GenerateApiToken(never={}, permissions={"super_user": 0})
    with refused(Code.PERMISSION_DENIED, says="Insufficient permissions"):
        caller.token.GenerateDisposableToken(permissions={"super_user": 0}, expires={"valid_for_seconds": 60})


def test_whoever_has_data_alone_makes_no_keys(tenant, server):
    _, caller = tenant
    for made in (
        generate(caller, server),
        caller.token.GenerateDisposableToken(permissions=EVERYTHING, expires={"valid_for_seconds": 60}),
    ):
        keep(server, made)
        limited = caller.using(credential=made.api_key)
        with refused(Code.PERMISSION_DENIED, says="Insufficient permissions"):
            limited.auth.GenerateApiToken(never={}, permissions=EVERYTHING)
        with refused(Code.PERMISSION_DENIED):
            limited.token.GenerateDisposableToken(permissions=EVERYTHING, expires={"valid_for_seconds": 60})


TWICE = {
    "one cache, two roles": [
        {"cache_permissions": {"role": READ_ONLY, "cache_selector": {"cache_name": "shop"}}},
        {"cache_permissions": {"role": WRITE_ONLY, "cache_selector": {"cache_name": "shop"}}},
    ],
    "all caches": [{"cache_permissions": {"role": READ_ONLY, "all_caches": {}}}] * 2,
    "one topic": [
        {
            "topic_permissions": {
                "role": role,
                "cache_selector": {"cache_name": "shop"},
                "topic_selector": {"topic_name": "news"},
            }
        }
        for role in (READ_ONLY, WRITE_ONLY)
    ],
}
CANNOT_BE = {
    "no permissions": {"never": {}},
    "permissions of no kind": {"never": {}, "permissions": {}},
    "an empty list": {"never": {}, "permissions": {"explicit": {}}},
    "a permission of no kind": {"never": {}, "permissions": {"explicit": {"permissions": [{}]}}},
    "no cache": {"never": {}, "permissions": {"explicit": {"permissions": [{"cache_permissions": {"role": 1}}]}}},
    "an unknown role": {"never": {}, "permissions": cache_permission(9)},
    "an unknown super user": {"never": {}, "permissions": {"super_user": 9}},
    "no expiry": {"permissions": EVERYTHING},
    "an expiry of nothing": {"expires": {}, "permissions": EVERYTHING},
    "a label too long": {"never": {}, "permissions": EVERYTHING, "token_id": "x" * 65},
    "21 statements": {
        "never": {},
        "permissions": {
            "explicit": {
                "permissions": [
                    {"cache_permissions": {"role": 1, "cache_selector": {"cache_name": f"cache-{number}"}}}
                    for number in range(21)
                ]
            }
        },
    },
    **{
        f"{name} twice": {"never": {}, "permissions": {"explicit": {"permissions": twice}}}
        for name, twice in TWICE.items()
    },
}


@pytest.mark.parametrize("case", CANNOT_BE)
def test_keys_that_cannot_be_are_refused(tenant, case):
    _, caller = tenant
    with refused(Code.INVALID_ARGUMENT):
        caller.auth.GenerateApiToken(**CANNOT_BE[case])


@pytest.mark.parametrize("seconds", [0, 25 * 3600 + 1, 2**32 - 1])
def test_tokens_live_for_25_hours_at_most(tenant, server, seconds):
    _, caller = tenant
    longest = caller.token.GenerateDisposableToken(permissions=EVERYTHING, expires={"valid_for_seconds": 25 * 3600})
    keep(server, longest)
    with refused(Code.INVALID_ARGUMENT):
        caller.token.GenerateDisposableToken(permissions=EVERYTHING, expires={"valid_for_seconds": seconds})


# Selectors: what stands in the message, and the keys and topics of cache `shop` that it is for.
ITEMS = {
    "all items": ({"all_items": {}}, {b"cart", b"cart:1", b"\xff"}),
    "nothing said": ({}, {b"cart", b"cart:1", b"\xff"}),
    "a key": ({"item_selector": {"key": b"cart"}}, {b"cart"}),
    "a prefix": ({"item_selector": {"key_prefix": b"cart"}}, {b"cart", b"cart:1"}),
    "bytes": ({"item_selector": {"key": b"\xff"}}, {b"\xff"}),
}
TOPICS = {
    "all topics": ({"all_topics": {}}, {"cart", "cart:1", "other"}),
    "a topic": ({"topic_selector": {"topic_name": "cart"}}, {"cart"}),
    "a prefix": ({"topic_selector": {"topic_name_prefix": "cart"}}, {"cart", "cart:1"}),
}


def dispose(caller, server, statement):
    made = caller.token.GenerateDisposableToken(
        permissions={"explicit": {"permissions": [statement]}}, expires={"valid_for_seconds": 60}
    )
    keep(server, made)
    return caller.using(credential=made.api_key)


@pytest.mark.parametrize("selector", ITEMS)
@pytest.mark.parametrize("role", [READ_WRITE, READ_ONLY, WRITE_ONLY])
def test_every_selector_of_items(tenant, server, selector, role):
    _, caller = tenant
    fields, expected = ITEMS[selector]
    statement = {"cache_permissions": {"role": role, "cache_selector": {"cache_name": "shop"}, **fields}}
    limited = dispose(caller, server, statement)
    for key in (b"cart", b"cart:1", b"\xff"):
        for reads, call in (
            (True, lambda key: limited.scs.Get(cache_key=key)),
            (False, lambda key: limited.scs.Set(cache_key=key, cache_body=b"v", ttl_milliseconds=60_000)),
        ):
            is_allowed = key in expected and role in (READ_WRITE, READ_ONLY if reads else WRITE_ONLY)
            code = wire.code_of(lambda call=call, key=key: call(key))
            assert code == (Code.OK if is_allowed else Code.PERMISSION_DENIED), (key, reads)


@pytest.mark.parametrize("selector", TOPICS)
@pytest.mark.parametrize("role", [READ_WRITE, READ_ONLY, WRITE_ONLY])
def test_every_selector_of_topics(tenant, server, selector, role):
    _, caller = tenant
    fields, expected = TOPICS[selector]
    statement = {"topic_permissions": {"role": role, "cache_selector": {"cache_name": "shop"}, **fields}}
    limited = dispose(caller, server, statement)
    for topic in ("cart", "cart:1", "other"):
        for subscribes, call in (
            (True, lambda topic: wire.Subscription(limited, "shop", topic).call.cancel()),
            (False, lambda topic: wire.publish(limited, "shop", topic, "value")),
        ):
            is_allowed = topic in expected and role in (READ_WRITE, READ_ONLY if subscribes else WRITE_ONLY)
            code = wire.code_of(lambda call=call, topic=topic: call(topic))
            assert code == (Code.OK if is_allowed else Code.PERMISSION_DENIED), (topic, subscribes)


def test_a_role_of_nothing_allows_nothing(tenant, server):
    _, caller = tenant
    statements = [
        {"cache_permissions": {"role": 0, "all_caches": {}}},
        {"cache_permissions": {"role": READ_WRITE, "cache_selector": {"cache_name": "shop"}}},
    ]
    try:
        made = caller.token.GenerateDisposableToken(
            permissions={"explicit": {"permissions": statements[:1]}}, expires={"valid_for_seconds": 60}
        )
    except grpc.RpcError as error:
        assert error.code() == Code.INVALID_ARGUMENT
        return
    keep(server, made)
    with refused(Code.PERMISSION_DENIED):
        read(caller, "shop", made.api_key)


# Caches


def test_caches_are_listed_with_their_limits(tenant):
    admin, caller = tenant
    admin.make_cache("limited", limits={"max_operations_per_second": 500, "max_ttl": 60})
    response = caller.control.ListCaches()
    assert response.next_token == ""
    listed = {cache.cache_name: cache for cache in response.cache}
    assert set(listed) == {"shop", "limited"}
    for cache in listed.values():
        assert cache.HasField("cache_limits") and cache.HasField("topic_limits")
        assert cache.cache_limits.max_item_size_kb == 4883
        assert cache.cache_limits.max_throughput_kbps >= 10_240
        assert cache.topic_limits.max_publish_message_size_kb == 100
        assert cache.topic_limits.max_publish_rate >= 100
        assert cache.topic_limits.max_subscription_count >= 100
    assert listed["shop"].cache_limits.max_traffic_rate >= 500
    assert listed["shop"].cache_limits.max_ttl_seconds == 86_400
    assert listed["limited"].cache_limits.max_traffic_rate == 500
    assert listed["limited"].cache_limits.max_ttl_seconds == 60


def test_thousands_of_caches_are_listed_page_by_page(tenant):
    admin, caller = tenant
    made = sorted(f"cache-{number:04}" for number in range(1200))
    for cache in made:
        admin.make_cache(cache)
    found, token, pages = [], "", 0
    while True:
        response = caller.control.ListCaches(next_token=token)
        found += [cache.cache_name for cache in response.cache]
        token, pages = response.next_token, pages + 1
        if not token:
            break
        assert pages < 1300
    assert sorted(found) == [*made, "shop"]
    with refused(Code.INVALID_ARGUMENT, says="next_token"):
        caller.control.ListCaches(next_token="no token")


@pytest.mark.parametrize("name", ["", " ", "\t", "x" * 256, "a/b", "a\x00"])
def test_names_that_cannot_be_are_refused_by_name(tenant, name):
    _, caller = tenant
    for call in (caller.control.CreateCache, caller.control.DeleteCache, caller.control.FlushCache):
        with refused(Code.INVALID_ARGUMENT, says="cache"):
            call(cache_name=name)


def test_signing_keys_need_a_time(tenant):
    _, caller = tenant
    with refused(Code.INVALID_ARGUMENT, says="ttl_minutes"):
        caller.control.CreateSigningKey(ttl_minutes=0)
    with refused(Code.NOT_FOUND):
        caller.control.RevokeSigningKey(key_id=fresh_name("none"))


# Ping, health, reflection


def test_ping_answers_whoever_is_known(caller, server):
    caller.using(cache=None).ping.Ping()
    for role in ("readonly", "writeonly"):
        minted = server.admin.make_token([{"role": role, "cache": "none", "key": "any"}])
        caller.using(credential=minted.credential, cache=None).ping.Ping()
    with refused(Code.UNAUTHENTICATED):
        caller.using(credential="nobody").ping.Ping()


SERVING, SERVICE_UNKNOWN = 1, 3


def test_health_is_told_without_a_credential(caller):
    nobody = caller.using(credential=None, cache=None)
    assert nobody.health.Check().status == SERVING
    for service in ("cache_client.Scs", "cache_client.pubsub.Pubsub", "control_client.ScsControl", "auth.Auth"):
        assert nobody.health.Check(service=service).status == SERVING
    with refused(Code.NOT_FOUND):
        nobody.health.Check(service="no.Such")


def test_health_is_watched_until_the_end(make_server):
    server = make_server()
    caller = caller_for(server, credential="")
    known = caller.using(timeout=3 * PATIENCE).health.Watch()
    unknown = caller.using(timeout=3 * PATIENCE).health.Watch(service="no.Such")
    assert next(known).status == SERVING
    assert next(unknown).status == SERVICE_UNKNOWN
    server.terminate()
    said = []
    with pytest.raises(grpc.RpcError) as ended:
        said.extend(response.status for response in known)
        raise AssertionError("ended well")
    # It may say that it does not serve any more before it ends.
    assert set(said) <= {2}
    assert ended.value.code() == Code.UNAVAILABLE
    assert server.wait() == 0
    caller.close()


def ask(caller, *requests):
    """The answers to requests of one reflection stream."""
    make = message("grpc.reflection.v1.ServerReflectionRequest")
    method = wire.pool().FindMethodByName("grpc.reflection.v1.ServerReflection.ServerReflectionInfo")
    made = [make(**request) for request in requests]
    answers = list(caller.method(method)(iter(made), **caller.options))
    assert [answer.original_request for answer in answers] == made
    return answers


def test_services_are_listed(caller):
    (answer,) = ask(caller, {"list_services": ""})
    listed = {service.name for service in answer.list_services_response.service}
    assert listed >= set(wire.SERVICES.values())


def test_every_service_and_message_is_described_as_it_is(caller):
    symbols = [*wire.SERVICES.values(), "cache_client.Scs.Get", "cache_client._GetRequest", "leaderboard._Order"]
    answers = ask(caller, *({"file_containing_symbol": symbol} for symbol in symbols))
    ours = {file.name: file for file in wire.descriptor_set().file}
    for symbol, answer in zip(symbols, answers, strict=True):
        files = [
            descriptor_pb2.FileDescriptorProto.FromString(data)
            for data in answer.file_descriptor_response.file_descriptor_proto
        ]
        assert files, symbol
        for file in files:
            assert strip(file) == strip(ours[file.name]), file.name
        # The one that was asked for is among them.
        assert any(symbol.startswith(f"{file.package}.") for file in files)


def strip(file):
    """A definition without how its names begin in Swift, which is nobody else's concern."""
    copy = descriptor_pb2.FileDescriptorProto.FromString(file.SerializeToString())
    copy.options.ClearField("swift_prefix")
    if not copy.options.ByteSize():
        copy.ClearField("options")
    return copy


def test_reflection_answers_what_it_does_not_know_and_goes_on(caller):
    answers = ask(
        caller,
        {"file_containing_symbol": "no.Such"},
        {"file_by_filename": "none.proto"},
        {"file_by_filename": "common.proto"},
        {"file_containing_extension": {"containing_type": "cache_client._GetRequest", "extension_number": 1}},
        {"list_services": "*"},
    )
    kinds = [answer.WhichOneof("message_response") for answer in answers]
    assert kinds == [
        "error_response",
        "error_response",
        "file_descriptor_response",
        "error_response",
        "list_services_response",
    ]
    assert [answer.error_response.error_code for answer in answers[:2]] == [5, 5]
