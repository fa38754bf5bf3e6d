"""The transport and what travels beside a message: metadata, errors, deadlines, sizes, compression, connections."""

import random
import struct
import threading
import time

import grpc
import pytest

from support.admin import fresh_name
from support.server import inner_form, outer_form
from support.topics import may
from support.waiting import PATIENCE, eventually
from support.wire import (
    HIT,
    MISS,
    OK,
    Caller,
    Code,
    Subscription,
    caller_for,
    code_of,
    open_channel,
    publish,
    refused,
    scs,
    trailers_of,
)

TTL = 60_000


def set_value(caller, value=b"value", key=b"k"):
    return caller.scs.Set(cache_key=key, cache_body=value, ttl_milliseconds=TTL)


def must_serve(caller):
    """The caller's connection is of use still."""
    assert caller.scs.Get(cache_key=b"none").result == MISS


# Who is calling, and for which cache


def test_every_form_of_a_credential_is_taken(caller, server):
    for minted in (server.admin.make_key(), server.admin.make_key(format="v2"), server.admin.make_token()):
        inner = inner_form(minted.credential)
        forms = {minted.credential, inner} | ({outer_form(inner)} if "." not in minted.credential else set())
        for form in forms:
            for prefix in ("", "Bearer ", "bearer "):
                must_serve(caller.using(credential=prefix + form))


def test_a_credential_that_stands_twice_is_taken_if_it_is_the_same(caller, server):
    """One of the official SDKs sends it twice."""
    key = inner_form(server.root_key)
    must_serve(caller.using(metadata=[("authorization", key)]))
    other = server.admin.make_token().credential
    for second in (other, "nobody"):
        code = code_of(lambda second=second: must_serve(caller.using(metadata=[("authorization", second)])))
        assert code in (Code.UNAUTHENTICATED, Code.INVALID_ARGUMENT)


@pytest.mark.parametrize("credential", [None, "", "nobody", "e30.e30.e30", "Bearer", "Bearer nobody", "x" * 4000])
def test_whoever_is_not_known_is_refused(caller, credential):
    with refused(Code.UNAUTHENTICATED) as told:
        must_serve(caller.using(credential=credential))
    assert credential in (None, "") or credential not in told.message
    with refused(Code.UNAUTHENTICATED):
        next(caller.using(credential=credential).pubsub.Subscribe(cache_name="any", topic="news"))
    with refused(Code.UNAUTHENTICATED):
        caller.using(credential=credential).control.ListCaches()


def test_the_cache_must_be_named_and_exist(caller):
    for name in (None, ""):
        with refused(Code.INVALID_ARGUMENT, says="cache"):
            must_serve(caller.using(cache=name))
    with refused(Code.NOT_FOUND, err=None):
        must_serve(caller.using(cache=fresh_name("missing")))
    with refused(Code.NOT_FOUND):
        list(caller.using(cache=fresh_name("missing")).scs.GetBatch(items=[{"cache_key": b"k"}]))


def test_names_of_caches_beyond_ascii_are_reached_as_the_door_of_REST_does(caller, server):
    """Metadata is text of visible ASCII: such a cache is reached where its name stands in the message."""
    name = server.admin.make_cache(fresh_name("überall"))
    publish(caller, name, "news", "value")
    with Subscription(caller, name, "news") as subscription:
        assert subscription.values(1) == ["value"]


def test_metadata_that_sdks_send_does_nothing(caller):
    must_serve(
        caller.using(
            metadata=[
                ("agent", "python:cache:1.29.1"),
                ("runtime-version", "python 3.11"),
                ("read-concern", "balanced"),
                ("store", "any"),
                ("x-binary-bin", b"\x00\xff"),
                ("grpc-previous-rpc-attempts", "2"),
            ]
        )
    )


@pytest.mark.parametrize("concern", ["balanced", "consistent"])
def test_read_concerns_are_taken(caller, concern):
    set_value(caller)
    assert caller.using(metadata=[("read-concern", concern)]).scs.Get(cache_key=b"k").result == HIT


# What comes with a refusal


def test_an_answer_has_its_trailers(caller):
    method = caller.method(scs.GetRequest.DESCRIPTOR.file.pool.FindMethodByName("cache_client.Scs.Get"))
    response, call = method.with_call(scs.GetRequest(cache_key=b"k"), **caller.options)
    assert response.result == 3
    assert call.code() == Code.OK
    assert "err" not in trailers_of(call)


def test_errors_say_which_limit_was_met(server):
    limits = {"max_item_bytes": 1000, "max_message_bytes": 1000, "max_subscriptions": 1}
    caller = caller_for(server, server.admin.make_cache(limits=limits))
    cache = caller.using()._settings["cache"]
    with refused(Code.RESOURCE_EXHAUSTED, err="item_size_limit_exceeded", says="item size"):
        set_value(caller, b"x" * 1000)
    with refused(Code.RESOURCE_EXHAUSTED, err="request_size_limit_exceeded", says="request limit"):
        publish(caller, cache, "news", "x" * 1001)
    with Subscription(caller, cache, "news"):
        with refused(Code.RESOURCE_EXHAUSTED, err="topic_subscriptions_limit_exceeded", says="subscri"):
            Subscription(caller, cache, "news")
    server.admin.change_cache(cache, limits={"max_operations_per_second": 2})
    with refused(Code.RESOURCE_EXHAUSTED, err="operations_rate_limit_exceeded", says="operations"):
        for _ in range(50):
            must_serve(caller)
    caller.using(cache=server.admin.make_cache(limits={"max_bytes_in_per_second": 100_000}))
    slow = caller.using(cache=server.admin.make_cache(limits={"max_bytes_in_per_second": 100_000}))
    with refused(Code.RESOURCE_EXHAUSTED, err="throughput_rate_limit_exceeded", says="throughput"):
        for _ in range(50):
            set_value(slow, b"x" * 50_000)
    caller.close()


def test_messages_beyond_ascii_come_whole(caller):
    """A status message is percent-encoded on the wire."""
    with refused(Code.INVALID_ARGUMENT) as told:
        caller.control.CreateCache(cache_name="%\n" * 200)
    assert told.message
    with refused(Code.ALREADY_EXISTS) as told:
        for _ in range(2):
            caller.control.CreateCache(cache_name="50 % grüße 🜁")
    assert "%2" not in told.message
    caller.control.DeleteCache(cache_name="50 % grüße 🜁")


def test_what_is_not_offered_is_unimplemented(caller):
    for path in (
        "/cache_client.Scs/NoSuch",
        "/cache_client.Scs/get",
        "/no.Such/Get",
        "/cache_client.Scs/Get/",
        "/store.Store/Get",
        "/function.FunctionHost/InvokeWebFunction",
        "/",
        "/cache/default",
        "/v1/admin/caches",
    ):
        with refused(Code.UNIMPLEMENTED):
            caller.send(path, b"")
    for call in (caller.control.CreateIndex, caller.control.DeleteIndex, caller.control.ListIndexes):
        with refused(Code.UNIMPLEMENTED):
            call()
    with refused(Code.UNIMPLEMENTED):
        list(caller.auth.Login())
    must_serve(caller)


# What stands in a message

# Field 1000 of each wire type, a group, and one within a known message.
UNKNOWN = b"".join(
    [b"\xc0\x3e\x05", b"\xc1\x3e" + bytes(8), b"\xc2\x3e\x03abc", b"\xc5\x3e" + bytes(4), b"\xc3\x3e\x08\x01\xc4\x3e"]
)


def test_fields_that_are_not_known_are_passed_over(caller):
    message = scs.SetRequest(cache_key=b"k", cache_body=b"value", ttl_milliseconds=TTL).SerializeToString()
    for data in (UNKNOWN + message, message + UNKNOWN):
        caller.send("/cache_client.Scs/Set", data)
        assert (
            scs.GetResponse.FromString(
                caller.send("/cache_client.Scs/Get", UNKNOWN + b"\x0a\x01k" + UNKNOWN)
            ).cache_body
            == b"value"
        )
    element = b"\x12" + bytes([3 + len(UNKNOWN)]) + b"\x0a\x01e" + UNKNOWN
    for path, name in (("DictionarySet", b"d"), ("SortedSetPut", b"z")):
        caller.send(f"/cache_client.Scs/{path}", b"\x0a\x01" + name + element + b"\x18\x60" + UNKNOWN)
    assert caller.scs.DictionaryLength(dictionary_name=b"d").found.length == 1
    assert caller.scs.SortedSetLength(set_name=b"z").found.length == 1


def test_of_a_field_that_stands_twice_the_last_holds(caller):
    set_value(caller, b"1", b"one")
    set_value(caller, b"2", b"two")
    response = scs.GetResponse.FromString(caller.send("/cache_client.Scs/Get", b"\x0a\x03one\x0a\x03two"))
    assert response.cache_body == b"2"


@pytest.mark.parametrize(
    "data",
    [
        b"\x0a",
        b"\x0a\x05ab",
        b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        b"\x0a\xff\xff\xff\xff\x0f",
        b"\x80" * 11,
        b"\x00\x01",
        b"\x0f",
        b"\x0b\x08\x01",
        b"\x0c",
    ],
    ids=[
        "tag alone",
        "short",
        "endless length",
        "length of 4 GiB",
        "endless varint",
        "field 0",
        "wire type 7",
        "open group",
        "end of no group",
    ],
)
@pytest.mark.parametrize("path", ["Get", "Set", "GetBatch", "SetIf", "DictionarySet", "SortedSetUnionStore"])
def test_what_is_no_message_is_told(caller, path, data):
    with refused(Code.INVALID_ARGUMENT):
        response = caller.send(f"/cache_client.Scs/{path}", data, gives_stream=path == "GetBatch")
        if path == "GetBatch":
            list(response)
    must_serve(caller)


def test_text_that_is_none_is_told(caller, cache):
    with refused(Code.INVALID_ARGUMENT):
        caller.send("/cache_client.pubsub.Pubsub/Publish", b"\x0a\x02\xff\xfe\x12\x01t\x1a\x03\x0a\x01v")
    with refused(Code.INVALID_ARGUMENT):
        caller.send("/control_client.ScsControl/CreateCache", b"\x0a\x02\xff\xfe")
    must_serve(caller)


def test_a_message_to_publish_must_have_a_value(caller, cache):
    with refused(Code.INVALID_ARGUMENT, says="value"):
        caller.pubsub.Publish(cache_name=cache, topic="news")
    with refused(Code.INVALID_ARGUMENT, says="value"):
        caller.pubsub.Publish(cache_name=cache, topic="news", value={})
    with refused(Code.INVALID_ARGUMENT, says="topic"):
        publish(caller, cache, "", "value")
    with refused(Code.INVALID_ARGUMENT, says="cache"):
        publish(caller, "", "news", "value")


# Sizes


def test_a_request_that_is_too_large_is_told_and_the_connection_is_kept(caller):
    assert set_value(caller, b"x" * 5_000_000).result == OK
    for size in (5_300_000, 20_000_000):
        with refused(Code.RESOURCE_EXHAUSTED, err="request_size_limit_exceeded"):
            set_value(caller, b"y" * size)
        must_serve(caller)
    assert caller.scs.Get(cache_key=b"k").cache_body == b"x" * 5_000_000
    with refused(Code.RESOURCE_EXHAUSTED, err="request_size_limit_exceeded"):
        caller.scs.ListConcatenateBack(list_name=b"l", values=[b"x" * 100_000] * 60, ttl_milliseconds=TTL)
    must_serve(caller)


def test_large_requests_side_by_side_do_not_hold_each_other_up(caller):
    calls = [
        caller.future("scs", "Set", cache_key=b"%d" % number, cache_body=b"x" * 4_000_000, ttl_milliseconds=TTL)
        for number in range(8)
    ]
    assert [call.result().result for call in calls] == [OK] * 8


# Compression


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.NoCompression])
def test_requests_may_be_compressed(caller, compression):
    generator = random.Random(3)
    for value in (b"", b"x" * 3_000_000, generator.randbytes(300_000)):
        assert set_value(caller.using(compression=compression), value).result == OK
        assert caller.using(compression=compression).scs.Get(cache_key=b"k").cache_body == value
    items = [{"cache_key": b"k"}] * 3
    assert [part.result for part in caller.using(compression=compression).scs.GetBatch(items=items)] == [HIT] * 3


def test_a_coding_that_is_not_taken_is_told(caller):
    with refused(Code.UNIMPLEMENTED):
        set_value(caller.using(compression=grpc.Compression.Deflate), b"x" * 10_000)
    must_serve(caller)


def test_what_swells_beyond_the_limit_is_refused(caller, server):
    before = server.resident_bytes()
    with refused(Code.RESOURCE_EXHAUSTED, err="request_size_limit_exceeded"):
        set_value(caller.using(compression=grpc.Compression.Gzip), bytes(80_000_000))
    assert server.resident_bytes() - before < 60_000_000
    must_serve(caller)


# Deadlines and cancelling


def test_a_deadline_that_has_passed_is_told(caller):
    with refused(Code.DEADLINE_EXCEEDED):
        set_value(caller.using(timeout=0.001), b"x" * 5_000_000)
    must_serve(caller)


def test_a_stream_ends_with_its_deadline(caller, cache):
    started = time.monotonic()
    call = caller.using(timeout=0.4).pubsub.Subscribe(cache_name=cache, topic="news")
    with refused(Code.DEADLINE_EXCEEDED):
        for _ in call:
            pass
    assert 0.3 < time.monotonic() - started < 2


def test_cancelled_subscriptions_make_room_at_once(server):
    caller = caller_for(server, server.admin.make_cache(limits={"max_subscriptions": 1}))
    cache = caller._settings["cache"]
    for _ in range(30):

        def is_let_in():
            try:
                subscription = Subscription(caller, cache, "news")
            except grpc.RpcError as error:
                assert error.code() == Code.RESOURCE_EXHAUSTED, error
                return None
            return subscription

        eventually(is_let_in, within=2, what="room").call.cancel()
    caller.close()


def test_cancelled_calls_leave_the_connection_as_it_was(caller):
    for _ in range(200):
        call = caller.future("scs", "Set", cache_key=b"k", cache_body=b"x" * 100_000, ttl_milliseconds=TTL)
        call.cancel()
    must_serve(caller)


# Connections


def test_pings_of_an_idle_connection_are_answered_at_any_rate(server, cache):
    """Keepalive pings far more often than any SDK sends them, without a call: the connection lives on."""
    caller = caller_for(
        server,
        cache,
        grpc__keepalive_time_ms=10,
        grpc__keepalive_timeout_ms=5000,
        grpc__keepalive_permit_without_calls=1,
        grpc__http2__max_pings_without_data=0,
    )
    must_serve(caller)
    states = []
    caller.channel.subscribe(states.append)
    with Subscription(caller, cache, "news") as subscription:
        time.sleep(1)
        publish(caller, cache, "news", "still here")
        assert subscription.values(1) == ["still here"]
    must_serve(caller)
    assert set(states) <= {grpc.ChannelConnectivity.READY, grpc.ChannelConnectivity.IDLE}
    assert states.count(grpc.ChannelConnectivity.IDLE) <= 1
    caller.close()


def test_a_flood_of_pings_is_answered_to_the_last(server):
    from support.http2 import PING, frame

    with server.raw_http2() as connection:
        count = 500
        connection.send(b"".join(frame(PING, 0, 0, struct.pack(">Q", number)) for number in range(count)))
        connection.run(lambda: len(connection.of(PING)) >= count)
        assert [payload for _, flags, _, payload in connection.of(PING) if flags & 1] == [
            struct.pack(">Q", number) for number in range(count)
        ]
        assert connection.goaway_code is None


def test_hundreds_of_subscriptions_share_a_connection(caller, cache):
    subscriptions = [Subscription(caller, cache, f"topic {number % 50}") for number in range(500)]
    for number in range(50):
        publish(caller, cache, f"topic {number}", str(number))
    for number, subscription in enumerate(subscriptions):
        assert subscription.values(1) == [str(number % 50)]
    must_serve(caller)
    for subscription in subscriptions:
        subscription.call.cancel()


def test_many_calls_at_once_on_one_connection(caller):
    calls = [caller.future("scs", "Increment", cache_key=b"n", amount=1, ttl_milliseconds=TTL) for _ in range(1000)]
    assert sorted(call.result().value for call in calls) == list(range(1, 1001))


def test_subscriptions_end_with_their_cache(caller, cache, server):
    with Subscription(caller, cache, "news") as subscription:
        server.admin.call("DELETE", f"/caches/{cache}").must_be(204)
        assert subscription.ending().code() == Code.NOT_FOUND


def test_subscriptions_end_with_their_credential(caller, cache, server):
    minted = server.admin.make_key(may("readwrite"))
    with Subscription(caller.using(credential=minted.credential), cache, "news") as subscription:
        server.admin.revoke_key(minted.id)
        started = time.monotonic()
        assert subscription.ending().code() == Code.UNAUTHENTICATED
        assert time.monotonic() - started < 2
    token = server.admin.make_token(may("readwrite"), ttl_seconds=1).credential
    with Subscription(caller.using(credential=token), cache, "news") as subscription:
        assert subscription.ending().code() == Code.UNAUTHENTICATED


def test_a_server_that_ends_says_so_to_subscribers_and_serves_what_is_under_way(make_server):
    server = make_server()
    caller = caller_for(server, "default")
    subscription = Subscription(caller, "default", "news")
    codes = []
    ended = threading.Thread(target=lambda: codes.append(subscription.ending().code()))
    ended.start()
    server.terminate()
    ended.join(PATIENCE)
    assert codes == [Code.UNAVAILABLE]
    assert server.wait() == 0
    assert code_of(lambda: must_serve(caller)) == Code.UNAVAILABLE
    caller.close()


def test_tls_carries_the_same(make_server):
    server = make_server(is_development=False)
    caller = caller_for(server)
    cache = "default"
    caller.control.CreateCache(cache_name="secure")
    caller = caller.using(cache="secure")
    assert set_value(caller, b"x" * 3_000_000).result == OK
    assert caller.scs.Get(cache_key=b"k").cache_body == b"x" * 3_000_000
    with Subscription(caller, "secure", "news") as subscription:
        publish(caller, "secure", "news", "value")
        assert subscription.values(1) == ["value"]
    with refused(Code.NOT_FOUND):
        must_serve(caller.using(cache=fresh_name(cache)))
    caller.close()


def test_any_authority_is_served(server, cache):
    for name in ("cache.example.com", "control.cell-1.example.com:443", "x"):
        channel = open_channel(server, grpc__default_authority=name)
        caller = Caller(channel, credential=inner_form(server.root_key), cache=cache)
        must_serve(caller)
        caller.close()
