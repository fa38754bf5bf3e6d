"""Standing in for the local emulator: no credential, faults on demand, clients cut off. By default nothing of it."""

import contextlib
import http.client
import subprocess
import time
import uuid
from datetime import timedelta

import grpc
import pytest
from momento import Configurations, CredentialProvider
from momento.config.middleware.synchronous import Middleware, MiddlewareMetadata, MiddlewareRequestHandler
from momento.errors import MomentoErrorCode

from support.sdk import Sdk, must, must_fail
from support.server import Server, binary, clean_environment
from support.waiting import PATIENCE, eventually
from support.wire import Code, Subscription, caller_for, publish, refused

EMULATOR = ["--emulator", "--emulator-admin", "127.0.0.1:0"]
ERRORS = {
    "cancelled": Code.CANCELLED,
    "unknown": Code.UNKNOWN,
    "invalid-argument": Code.INVALID_ARGUMENT,
    "deadline-exceeded": Code.DEADLINE_EXCEEDED,
    "not-found": Code.NOT_FOUND,
    "already-exists": Code.ALREADY_EXISTS,
    "permission-denied": Code.PERMISSION_DENIED,
    "resource-exhausted": Code.RESOURCE_EXHAUSTED,
    "failed-precondition": Code.FAILED_PRECONDITION,
    "internal": Code.INTERNAL,
    "unavailable": Code.UNAVAILABLE,
    "unauthenticated": Code.UNAUTHENTICATED,
    "aborted": Code.ABORTED,
    "out-of-range": Code.OUT_OF_RANGE,
    "unimplemented": Code.UNIMPLEMENTED,
    "data-loss": Code.DATA_LOSS,
}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    running = Server(tmp_path_factory.mktemp("martlet") / "data", arguments=EMULATOR).start()
    yield running
    running.stop()


@pytest.fixture
def caller(server, cache):
    """Without a credential."""
    made = caller_for(server, cache, credential="")
    yield made
    made.close()


def local(server):
    return CredentialProvider.for_momento_local(*server.http)


def told(caller, **metadata):
    """The same caller, ordering faults."""
    pairs = {"request-id": str(uuid.uuid4())} | {name.replace("_", "-"): value for name, value in metadata.items()}
    return caller.using(metadata=tuple(pairs.items()))


def get(caller):
    return caller.scs.Get(cache_key=b"k").result


# The empty credential


def test_the_sdk_needs_no_key(sdk, server):
    client = sdk.cache(local(server))
    must(client.create_cache("made-without-a-key"), "Success")
    must(client.set("made-without-a-key", "key", "value"), "Success")
    assert must(client.get("made-without-a-key", "key"), "Hit").value_string == "value"
    topics = sdk.topics(local(server))
    subscription = topics.subscribe("made-without-a-key", "news")
    must(topics.publish("made-without-a-key", "news", "hello"), "Success")
    assert next(subscription).value == "hello"
    subscription.unsubscribe()
    must(client.delete_cache("made-without-a-key"), "Success")


def test_a_credential_that_is_shown_must_be_good(caller, server):
    with refused(Code.UNAUTHENTICATED):
        get(caller.using(credential="nobody"))
    with refused(Code.PERMISSION_DENIED):
        get(caller.using(credential=server.admin.make_token([{"role": "writeonly", "cache": "*"}]).credential))


def rest(server, headers, path="/cache/default?key=k", method="GET"):
    """A request with these headers alone."""
    connection = http.client.HTTPConnection(*server.http, timeout=PATIENCE)
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    status = connection.getresponse().status
    connection.close()
    return status


@pytest.mark.parametrize(
    "headers,is_let_in",
    [
        ({"Host": "localhost:8080"}, True),
        ({"Host": "127.0.0.1"}, True),
        ({"Host": "[::1]:8080"}, True),
        ({"Host": "localhost", "Origin": "http://localhost:3000"}, True),
        ({"Host": "localhost", "Origin": "http://127.0.0.1:3000"}, True),
        ({"Host": "localhost", "Origin": "https://evil.example"}, False),
        ({"Host": "localhost", "Origin": "null"}, False),
        ({"Host": "localhost", "Origin": "http://localhost.evil.example"}, False),
        ({"Host": "localhost", "Origin": "http://127.0.0.1.evil.example"}, False),
        ({"Host": "rebound.evil.example"}, False),
        ({"Host": "rebound.evil.example:8080", "Origin": "http://localhost"}, False),
        ({"Host": "127.0.0.1.evil.example"}, False),
        ({"Host": "10.0.0.1"}, False),
    ],
)
def test_only_what_comes_from_here_needs_no_credential(server, headers, is_let_in):
    assert rest(server, headers) == (404 if is_let_in else 401)
    # With a credential it does not matter.
    assert rest(server, {**headers, "Authorization": server.root_key}) == 404


@pytest.mark.parametrize(
    "authority,is_let_in", [("localhost", True), ("evil.example", False), ("127.0.0.1.evil.example:443", False)]
)
def test_calls_to_other_names_need_a_credential(server, cache, authority, is_let_in):
    caller = caller_for(server, cache, credential="", grpc__default_authority=authority)
    if is_let_in:
        get(caller)
    else:
        with refused(Code.UNAUTHENTICATED):
            get(caller)
    caller.close()


def test_calls_of_strange_pages_need_a_credential(caller):
    get(caller.using(metadata=[("origin", "http://localhost:3000")]))
    for origin in ("https://evil.example", "null"):
        with refused(Code.UNAUTHENTICATED):
            get(caller.using(metadata=[("origin", origin)]))


def test_the_control_plane_needs_a_credential_all_the_same(server):
    for method, path in (("GET", "caches"), ("GET", "keys"), ("GET", "usage"), ("GET", "audit")):
        assert rest(server, {"Host": "localhost"}, f"/v1/admin/{path}", method) == 401
    assert rest(server, {"Host": "localhost", "Authorization": ""}, "/v1/admin/caches") == 401


# Errors and delays


@pytest.mark.parametrize("name", ERRORS)
def test_a_call_fails_as_it_is_told_to(caller, name):
    failing = told(caller, return_error=name, error_rpcs="get set")
    with refused(ERRORS[name], err=...):
        get(failing)
    with refused(ERRORS[name], err=...):
        failing.scs.Set(cache_key=b"k", cache_body=b"v", ttl_milliseconds=1000)
    # No other, and nobody else's.
    failing.scs.Increment(cache_key=b"n", amount=1, ttl_milliseconds=1000)
    get(caller)


# Every name of the emulator's, the rpc, and what it needs.
NAMES = {
    "get": ("Get", {"cache_key": b"k"}),
    "get-with-hash": ("GetWithHash", {"cache_key": b"k"}),
    "get-batch": ("GetBatch", {"items": [{"cache_key": b"k"}]}),
    "set": ("Set", {"cache_key": b"k"}),
    "set-batch": ("SetBatch", {"items": []}),
    "set-if": ("SetIf", {"cache_key": b"k", "absent": {}}),
    "set-if-hash": ("SetIfHash", {"cache_key": b"k", "unconditional": {}}),
    "delete": ("Delete", {"cache_key": b"k"}),
    "keys-exist": ("KeysExist", {"cache_keys": [b"k"]}),
    "increment": ("Increment", {"cache_key": b"k", "amount": 1}),
    "update-ttl": ("UpdateTtl", {"cache_key": b"k", "overwrite_to_milliseconds": 1000}),
    "item-get-ttl": ("ItemGetTtl", {"cache_key": b"k"}),
    "item-get-type": ("ItemGetType", {"cache_key": b"k"}),
    **{
        f"dictionary-{name.lower()}": (f"Dictionary{name}", {"dictionary_name": b"d"})
        for name in ("Get", "Fetch", "Set", "Increment", "Delete", "Length")
    },
    **{
        f"set-{name.lower()}": (f"Set{name}", {"set_name": b"s"})
        for name in ("Fetch", "Sample", "Union", "Difference", "Contains", "Length", "Pop")
    },
    "list-push-front": ("ListPushFront", {"list_name": b"l"}),
    "list-push-back": ("ListPushBack", {"list_name": b"l"}),
    "list-pop-front": ("ListPopFront", {"list_name": b"l"}),
    "list-pop-back": ("ListPopBack", {"list_name": b"l"}),
    "list-remove": ("ListRemove", {"list_name": b"l"}),
    "list-fetch": ("ListFetch", {"list_name": b"l"}),
    "list-length": ("ListLength", {"list_name": b"l"}),
    "list-concatenate-front": ("ListConcatenateFront", {"list_name": b"l"}),
    "list-concatenate-back": ("ListConcatenateBack", {"list_name": b"l"}),
    "list-retain": ("ListRetain", {"list_name": b"l"}),
    "sorted-set-put": ("SortedSetPut", {"set_name": b"z"}),
    "sorted-set-fetch": ("SortedSetFetch", {"set_name": b"z"}),
    "sorted-set-get-score": ("SortedSetGetScore", {"set_name": b"z"}),
    "sorted-set-remove": ("SortedSetRemove", {"set_name": b"z"}),
    "sorted-set-increment": ("SortedSetIncrement", {"set_name": b"z"}),
    "sorted-set-get-rank": ("SortedSetGetRank", {"set_name": b"z"}),
    "sorted-set-length": ("SortedSetLength", {"set_name": b"z"}),
    "sorted-set-length-by-score": ("SortedSetLengthByScore", {"set_name": b"z"}),
}


def perform(caller, method, fields):
    response = getattr(caller.scs, method)(**fields)
    if method.endswith("Batch"):
        list(response)


def test_every_call_is_known_by_the_name_of_the_emulator(caller):
    # With a quirk of the emulator's each.
    quirks = [("set-if", "SetIfNotExists", {"cache_key": b"k"}), ("list-remove", "ListErase", {"list_name": b"l"})]
    for name, method, fields in [*((name, *call) for name, call in NAMES.items()), *quirks]:
        with refused(Code.DATA_LOSS, err=...):
            perform(told(caller, return_error="data-loss", error_rpcs=name), method, fields)
    with refused(Code.DATA_LOSS, err=...):
        publish(told(caller, return_error="data-loss", error_rpcs="topic-publish"), "any", "news", "value")
    with refused(Code.DATA_LOSS, err=...):
        next(told(caller, return_error="data-loss", error_rpcs="topic-subscribe").pubsub.Subscribe())


def test_only_the_first_calls_fail_if_they_are_counted(caller):
    failing = told(caller, return_error="unavailable", error_rpcs="get", error_count="3")
    codes = []
    for _ in range(6):
        with contextlib.suppress(grpc.RpcError):
            get(failing)
            codes.append(Code.OK)
            continue
        codes.append(Code.UNAVAILABLE)
    assert codes == [Code.UNAVAILABLE] * 3 + [Code.OK] * 3
    # Another id counts for itself.
    with refused(Code.UNAVAILABLE, err=...):
        get(told(caller, return_error="unavailable", error_rpcs="get", error_count="1"))


def timed(call):
    started = time.monotonic()
    call()
    return time.monotonic() - started


def test_calls_wait_as_they_are_told_to(caller):
    waiting = told(caller, delay_rpcs="get", delay_ms="300", delay_count="2")
    assert timed(lambda: get(waiting)) >= 0.3
    assert timed(lambda: get(waiting)) >= 0.3
    assert timed(lambda: get(waiting)) < 0.3
    # First it waits, then it fails.
    both = told(caller, delay_rpcs="get", delay_ms="300", error_rpcs="get", return_error="internal")

    def fails():
        with refused(Code.INTERNAL, err=...):
            get(both)

    assert timed(fails) >= 0.3
    with refused(Code.DEADLINE_EXCEEDED, err=...):
        get(told(caller.using(timeout=0.1), delay_rpcs="get", delay_ms="5000"))


class OrderFaults(Middleware):
    """As the suites of the SDKs do it."""

    def __init__(self, **metadata):
        self.orders = [(name.replace("_", "-"), value) for name, value in metadata.items()]
        self.statuses = []

    def on_new_request(self, context):
        middleware = self

        class Handler(MiddlewareRequestHandler):
            def on_request_metadata(self, metadata):
                return MiddlewareMetadata([*(metadata.grpc_metadata or ()), *middleware.orders])

            def on_request_body(self, request):
                return request

            on_response_metadata = on_response_body = on_request_body

            def on_response_status(self, status):
                middleware.statuses.append(status.grpc_status)
                return status

        return Handler()


def test_the_sdk_tries_again_until_it_is_served(server, cache):
    made = Sdk(server, is_async=False)
    for count, expected in (("2", "Miss"), ("9", "Error")):
        orders = OrderFaults(
            request_id=str(uuid.uuid4()), return_error="unavailable", error_rpcs="get", error_count=count
        )
        configuration = Configurations.Laptop.latest().add_middleware(orders)
        response = made.cache(local(server), configuration=configuration).get(cache, "key")
        assert type(response).__name__ == expected, orders.statuses
        if expected == "Error":
            must_fail(response, MomentoErrorCode.SERVER_UNAVAILABLE)
    made.close()


def test_the_sdk_gives_up_in_time(server, cache):
    made = Sdk(server, is_async=False)
    orders = OrderFaults(request_id=str(uuid.uuid4()), delay_rpcs="get", delay_ms="5000")
    configuration = Configurations.Laptop.latest().with_client_timeout(timedelta(milliseconds=300))
    client = made.cache(local(server), configuration=configuration.add_middleware(orders))
    must_fail(client.get(cache, "key"), MomentoErrorCode.TIMEOUT_ERROR)
    made.close()


# Streams


def test_heartbeats_come_every_second(caller, cache):
    call = caller.using(timeout=3 * PATIENCE).pubsub.Subscribe(cache_name=cache, topic="news")
    times = []
    for entry in call:
        assert entry.WhichOneof("kind") == "heartbeat"
        times.append(time.monotonic())
        if len(times) == 4:
            break
    call.cancel()
    assert max(after - before for before, after in zip(times, times[1:], strict=False)) < 1.3


@pytest.mark.parametrize("limit", [1, 3])
def test_a_stream_breaks_after_so_many_messages(caller, cache, limit):
    for number in range(5):
        publish(caller, cache, "news", str(number))
    breaking = told(
        caller.using(timeout=3 * PATIENCE),
        stream_error_rpcs="topic-subscribe",
        stream_error="internal",
        stream_error_message_limit=str(limit),
    )
    call = breaking.pubsub.Subscribe(cache_name=cache, topic="news", resume_at_topic_sequence_number=1)
    seen = []
    with refused(Code.INTERNAL, err=...):
        for entry in call:
            seen.append(entry.WhichOneof("kind"))
    assert seen == ["heartbeat", "item", "item", "item"][:limit]


# Cutting off


def admin(server, path, method="GET"):
    connection = http.client.HTTPConnection(*server.emulator_admin, timeout=PATIENCE)
    connection.request(method, path)
    status = connection.getresponse().status
    connection.close()
    return status


def is_reachable(server):
    try:
        return rest(server, {"Host": "localhost"}, "/healthz") == 200
    except OSError:
        return False
    except http.client.HTTPException:
        return False


def test_clients_are_cut_off_and_resume_without_a_gap(server, cache):
    caller = caller_for(server, cache, credential="")
    with Subscription(caller, cache, "news") as subscription:
        publish(caller, cache, "news", "1")
        publish(caller, cache, "news", "2")
        seen = subscription.items(2)
        assert admin(server, "/block") == 200
        assert subscription.ending().code() == Code.UNAVAILABLE
    assert not is_reachable(server)
    with refused(Code.UNAVAILABLE, err=...):
        get(caller.using(timeout=1))
    caller.close()
    assert admin(server, "/unblock") == 200
    eventually(lambda: is_reachable(server), what="the server to be reachable again")
    caller = caller_for(server, cache, credential="")
    publish(caller, cache, "news", "3")
    last = seen[-1]
    with Subscription(
        caller, cache, "news", number=last.topic_sequence_number + 1, page=last.sequence_page
    ) as subscription:
        assert subscription.values(1) == ["3"]
    caller.close()


def test_the_admin_port_knows_two_words(server):
    assert admin(server, "/none") == 404
    assert admin(server, "/block", "POST") in (404, 405)
    assert is_reachable(server)


# Without the flag


def test_without_the_flag_faults_are_words_like_any_other(make_server):
    server = make_server()
    caller = caller_for(server, "default")
    ordered = told(caller, return_error="internal", error_rpcs="get topic-subscribe", delay_rpcs="get", delay_ms="3000")
    assert timed(lambda: get(ordered)) < 1
    # What would be refused as an order is none.
    get(told(caller, return_error="no such", error_count="x", delay_ms="-1"))
    breaking = told(
        caller, stream_error_rpcs="topic-subscribe", stream_error="internal", stream_error_message_limit="1"
    )
    with Subscription(breaking, "default", "news") as subscription:
        publish(caller, "default", "news", "value")
        assert subscription.values(1) == ["value"]
    for credential in ("", None):
        with refused(Code.UNAUTHENTICATED):
            get(caller.using(credential=credential))
    made = Sdk(server, is_async=False)
    must_fail(made.cache(local(server)).get("default", "key"), MomentoErrorCode.AUTHENTICATION_ERROR)
    made.close()
    assert server.ready["emulator_admin"] is None
    caller.close()


@pytest.mark.parametrize(
    "arguments,says",
    [
        (["--emulator"], "--dev"),
        (["--emulator", "--emulator-admin", "127.0.0.1:0"], "--dev"),
        (["--dev", "--emulator", "--emulator-admin", "0.0.0.0:0"], "loopback"),
    ],
)
def test_it_does_not_start_where_others_could_reach_it(tmp_path, arguments, says):
    command = [
        binary(),
        "serve",
        *arguments,
        "--data-dir",
        str(tmp_path / "data"),
        "--http",
        "127.0.0.1:0",
        "--ops",
        "off",
    ]
    result = subprocess.run(
        command, env=clean_environment(), capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    assert result.returncode != 0
    assert says in result.stderr
    assert result.stdout == ""
