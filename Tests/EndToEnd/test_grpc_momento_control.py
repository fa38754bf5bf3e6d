"""The official SDK: caches, signing keys, and what it is told when something is refused."""

import json
import time
from datetime import datetime, timedelta

import pytest
from momento import Configurations
from momento.errors import MomentoErrorCode
from momento.responses import CreateCache

from support.admin import fresh_name
from support.sdk import Sdk, must, must_fail
from support.server import inner_form

# A legacy token with a false signature, as the SDK's own suite sends it.
BAD_KEY = (
    "eyJhbGciOiJIUzUxMiJ9.eyJzdWIiOiJpbnRlZ3JhdGlvbiIsImNwIjoiY29udHJvbC5jZWxsLWFscGhhLWRldi5wcmVwcm9kLmEubW9tZW50b2hx"
    "LmNvbSIsImMiOiJjYWNoZS5jZWxsLWFscGhhLWRldi5wcmVwcm9kLmEubW9tZW50b2hxLmNvbSJ9.gdghdjjfjyehhdkkkskskmmls76573jnajhj"
    "jjhjdhnndy"
)


@pytest.fixture
def client(sdk):
    return sdk.cache()


def names(client):
    return [cache.name for cache in must(client.list_caches(), "Success").caches]


def test_a_cache_is_made_listed_and_deleted(client):
    name = fresh_name("made")
    assert name not in names(client)
    must(client.create_cache(name), "Success")
    assert names(client).count(name) == 1
    assert type(client.create_cache(name)) is CreateCache.CacheAlreadyExists
    must(client.set(name, "key", "value"), "Success")
    must(client.delete_cache(name), "Success")
    assert name not in names(client)
    must_fail(client.delete_cache(name), MomentoErrorCode.NOT_FOUND_ERROR)
    must_fail(client.get(name, "key"), MomentoErrorCode.NOT_FOUND_ERROR)


def test_what_one_door_makes_the_other_knows(client, server):
    name = fresh_name("both")
    must(client.create_cache(name), "Success")
    assert server.admin.cache(name)["name"] == name
    server.admin.call("DELETE", f"/caches/{name}").must_be(204)
    assert name not in names(client)


def test_a_cache_made_again_is_empty(client, cache):
    must(client.set(cache, "key", "value"), "Success")
    must(client.delete_cache(cache), "Success")
    must(client.create_cache(cache), "Success")
    must(client.get(cache, "key"), "Miss")


def test_flushing_empties_the_cache_and_keeps_it(client, cache):
    must(client.set(cache, "key", "value"), "Success")
    must(client.list_push_back(cache, "list", "value"), "Success")
    must(client.flush_cache(cache), "Success")
    must(client.get(cache, "key"), "Miss")
    must(client.list_fetch(cache, "list"), "Miss")
    assert cache in names(client)
    must_fail(client.flush_cache(fresh_name("never")), MomentoErrorCode.NOT_FOUND_ERROR)


@pytest.mark.parametrize("name", [" ", "\t \n", "x" * 256, "a/b", "nul\x00"])
def test_names_that_cannot_be_are_refused(client, name):
    must_fail(client.create_cache(name), MomentoErrorCode.INVALID_ARGUMENT_ERROR)


def test_all_caches_are_listed(sdk, server):
    tenant = server.admin.make_tenant()
    client = sdk.cache(tenant.credential)
    made = sorted(f"cache-{number:03}" for number in range(150))
    for name in made:
        tenant.make_cache(name)
    assert sorted(names(client)) == made


def test_tenants_do_not_see_each_other(sdk, server, cache):
    other = sdk.cache(server.admin.make_tenant().credential)
    assert names(other) == []
    must_fail(other.get(cache, "key"), MomentoErrorCode.NOT_FOUND_ERROR)
    must_fail(other.delete_cache(cache), MomentoErrorCode.NOT_FOUND_ERROR)
    must(other.create_cache(cache), "Success")
    must(sdk.cache().set(cache, "key", "ours"), "Success")
    must(other.get(cache, "key"), "Miss")


def test_signing_keys_are_made_listed_and_revoked(client, server):
    key = must(client.create_signing_key(timedelta(minutes=30)), "Success")
    document = json.loads(key.key)
    # What the SDK hands on, and what whoever signs with it needs.
    assert document["kid"] == key.key_id and document["alg"]
    server.keep_secret(key.key)
    assert timedelta(minutes=29) < key.expires_at - datetime.now() <= timedelta(minutes=30, seconds=1)
    listed = {entry.key_id: entry.expires_at for entry in must(client.list_signing_keys(), "Success").signing_keys}
    assert listed[key.key_id] == key.expires_at
    must(client.revoke_signing_key(key.key_id), "Success")
    listed = [entry.key_id for entry in must(client.list_signing_keys(), "Success").signing_keys]
    assert key.key_id not in listed


def test_signing_keys_belong_to_their_tenant(sdk, server):
    ours, theirs = (sdk.cache(server.admin.make_tenant().credential) for _ in range(2))
    key = must(ours.create_signing_key(timedelta(minutes=30)), "Success")
    assert must(theirs.list_signing_keys(), "Success").signing_keys == []
    theirs.revoke_signing_key(key.key_id)
    assert [entry.key_id for entry in must(ours.list_signing_keys(), "Success").signing_keys] == [key.key_id]


def test_data_credentials_control_nothing(sdk, server, cache):
    for credential in (server.admin.make_key().credential, server.admin.make_key(format="v2").credential):
        client = sdk.cache(credential)
        must(client.set(cache, "key", "value"), "Success")
        for response in (
            client.create_cache(fresh_name("never")),
            client.delete_cache(cache),
            client.flush_cache(cache),
            client.list_caches(),
            client.create_signing_key(timedelta(minutes=1)),
            client.list_signing_keys(),
            client.revoke_signing_key("any"),
        ):
            must_fail(response, MomentoErrorCode.PERMISSION_ERROR)
        must(client.get(cache, "key"), "Hit")


@pytest.mark.parametrize("credential", [BAD_KEY, "nobody", ""], ids=["false signature", "no key", "nothing"])
def test_whoever_is_not_known_is_told_so(sdk, server, cache, credential):
    provider = Sdk(server, is_async=False)._provider(None)
    provider.auth_token = credential
    client = sdk.cache(provider)
    for response in (client.get(cache, "key"), client.set(cache, "key", "value"), client.create_cache("any")):
        must_fail(response, MomentoErrorCode.AUTHENTICATION_ERROR)
    topics = sdk.topics(provider)
    must_fail(topics.publish(cache, "topic", "value"), MomentoErrorCode.AUTHENTICATION_ERROR)
    must_fail(topics.subscribe(cache, "topic"), MomentoErrorCode.AUTHENTICATION_ERROR)


def test_a_revoked_key_is_refused_within_a_second(sdk, server, cache):
    minted = server.admin.make_key()
    client = sdk.cache(minted.credential)
    must(client.set(cache, "key", "value"), "Success")
    server.admin.revoke_key(minted.id)
    deadline = time.monotonic() + 1
    while type(client.get(cache, "key")).__name__ != "Error":
        assert time.monotonic() < deadline
    must_fail(client.get(cache, "key"), MomentoErrorCode.AUTHENTICATION_ERROR)


def test_an_error_carries_what_the_server_said(client, server):
    missing = fresh_name("missing")
    error = must_fail(client.get(missing, "key"), MomentoErrorCode.NOT_FOUND_ERROR)
    details = error.inner_exception.transport_details.grpc
    assert details.code.name == "NOT_FOUND"
    assert details.details
    # With `err` another error would be meant.
    assert details.metadata is None or "err" not in dict(details.metadata)
    assert inner_form(server.root_key) not in str(error)


def test_a_deadline_that_cannot_be_met_is_a_timeout(sdk, cache):
    configuration = Configurations.Laptop.latest().with_client_timeout(timedelta(milliseconds=1))
    client = sdk.cache(configuration=configuration)
    value = b"x" * 4_000_000
    must_fail(client.set(cache, "key", value), MomentoErrorCode.TIMEOUT_ERROR)


def test_the_prebuilt_configurations_work(sdk, cache):
    for make in (
        Configurations.Laptop.latest,
        Configurations.Lambda.latest,
        Configurations.InRegion.Default.latest,
        Configurations.InRegion.LowLatency.latest,
    ):
        client = sdk.cache(configuration=make())
        must(client.set(cache, "key", "value"), "Success")
        assert must(client.get(cache, "key"), "Hit").value_string == "value"


def test_a_client_connects_eagerly(server, cache):
    from momento import CacheClient

    from support.sdk import TTL, provider

    with CacheClient.create(
        Configurations.Laptop.latest(), provider(server, server.root_key), TTL, timedelta(seconds=10)
    ) as client:
        must(client.get(cache, "key"), "Miss")
