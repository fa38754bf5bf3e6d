"""Publishing and subscribing by the Redis protocol, and how it meets the topics of the other doors."""

import asyncio
import socket
import time

import pytest
import redis
import redis.asyncio

from support.server import parse_address
from support.sse import Http1EventSource
from support.topics import may, publish, topic_target, value_of
from support.waiting import PATIENCE, eventually
from support.websocket import WebSocket

VERSIONS = (2, 3)


@pytest.fixture(params=VERSIONS)
def version(request):
    return request.param


@pytest.fixture
def connect(server, cache):
    """Makes clients of the cache, with the root key unless another credential is given."""
    made = []

    def make(credential=None, *, protocol=2, kind=redis.Redis, to=None, **options):
        host, port = parse_address(server.ready["resp"])
        client = kind(
            host=host,
            port=port,
            username=to or cache,
            password=credential or server.root_key,
            protocol=protocol,
            socket_timeout=PATIENCE,
            **options,
        )
        made.append(client)
        return client

    yield make
    for client in made:
        if isinstance(client, redis.Redis):
            client.close()


def next_message(pubsub, *, within=PATIENCE):
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        message = pubsub.get_message(timeout=0.2)
        if message is not None:
            return message
    raise AssertionError("no message came")


def take(pubsub, count):
    return [next_message(pubsub) for _ in range(count)]


def told(message):
    return message["type"], message["pattern"], message["channel"], message["data"]


def expect_silence(pubsub):
    assert pubsub.get_message(timeout=0.1) is None


# Alone


def test_channels_patterns_and_shards(connect, version):
    client = connect(protocol=version)
    pubsub = client.pubsub()
    pubsub.subscribe("news", "sport")
    pubsub.psubscribe("n?ws", "w*")
    pubsub.ssubscribe("news")
    assert [(m["type"], m["data"]) for m in take(pubsub, 5)] == [
        ("subscribe", 1),
        ("subscribe", 2),
        ("psubscribe", 3),
        ("psubscribe", 4),
        ("ssubscribe", 1),
    ]
    assert client.publish("news", "a") == 2
    assert client.publish("weather", b"\xff\x00b") == 1
    assert client.publish("nobody", "c") == 0
    assert client.execute_command("SPUBLISH", "news", "d") == 1
    assert [told(m) for m in take(pubsub, 4)] == [
        ("message", None, b"news", b"a"),
        ("pmessage", b"n?ws", b"news", b"a"),
        ("pmessage", b"w*", b"weather", b"\xff\x00b"),
        ("smessage", None, b"news", b"d"),
    ]
    pubsub.unsubscribe()
    pubsub.punsubscribe("w*")
    assert sorted(m["data"] for m in take(pubsub, 3)) == [1, 2, 3]
    assert client.publish("sport", "e") == 0
    assert client.publish("weather", "e") == 0
    assert client.publish("news", "f") == 1
    assert told(next_message(pubsub))[0] == "pmessage"
    pubsub.close()
    eventually(lambda: client.publish("news", "g") == 0)


def test_nothing_of_before_comes(connect, topic):
    topic.publish("old", "older")
    client = connect()
    pubsub = client.pubsub(ignore_subscribe_messages=True)
    pubsub.subscribe("news")
    expect_silence(pubsub)
    topic.publish("new")
    assert next_message(pubsub)["data"] == b"new"


def test_messages_of_all_channels_come_in_the_order_of_their_publishing(connect, version):
    client = connect(protocol=version)
    pubsub = client.pubsub(ignore_subscribe_messages=True)
    pubsub.psubscribe("*")
    expect_silence(pubsub)
    pipeline = client.pipeline(transaction=False)
    for number in range(3000):
        pipeline.publish(f"channel-{number % 7}", number)
    assert pipeline.execute() == [1] * 3000
    assert [int(m["data"]) for m in take(pubsub, 3000)] == list(range(3000))


def test_who_is_subscribed_is_known_on_every_event_loop(connect):
    clients = [connect() for _ in range(4)]
    pubsubs = [client.pubsub() for client in clients for _ in range(3)]
    for pubsub in pubsubs:
        pubsub.subscribe("a", "b")
        pubsub.psubscribe("c*")
        take(pubsub, 3)
    pubsubs[0].ssubscribe("s")
    take(pubsubs[0], 1)
    for client in clients:
        assert sorted(client.pubsub_channels()) == [b"a", b"b"]
        assert client.pubsub_channels("[a]") == [b"a"]
        assert client.pubsub_numsub("a", "b", "c") == [(b"a", 12), (b"b", 12), (b"c", 0)]
        assert client.pubsub_numpat() == 1
        assert client.pubsub_shardchannels() == [b"s"]
        assert client.pubsub_shardnumsub("s", "a") == [(b"s", 1), (b"a", 0)]
        assert client.publish("a", "x") == 12
    for pubsub in pubsubs:
        pubsub.close()
    eventually(lambda: clients[0].pubsub_numsub("a") == [(b"a", 0)])
    assert clients[0].pubsub_channels() == []
    assert clients[0].pubsub_numpat() == 0


def test_one_connection_of_version_3_does_everything(connect):
    client = connect(protocol=3, single_connection_client=True)
    connection = client.connection
    connection.send_command("SUBSCRIBE", "news")
    assert connection.read_response(push_request=True) == [b"subscribe", b"news", 1]
    connection.send_command("SET", "key", "value")
    assert connection.read_response() == b"OK"
    client_of_others = connect()
    client_of_others.publish("news", "hello")
    assert connection.read_response(push_request=True) == [b"message", b"news", b"hello"]


def test_a_subscriber_of_version_2_may_do_little_else(connect):
    connection = connect(single_connection_client=True).connection
    connection.send_command("SUBSCRIBE", "news")
    connection.read_response()
    connection.send_command("GET", "key")
    with pytest.raises(redis.ResponseError, match=r"Can't execute 'get': only \(P\|S\)SUBSCRIBE"):
        connection.read_response()
    connection.send_command("PING", "hi")
    assert connection.read_response() == [b"pong", b"hi"]
    connection.send_command("RESET")
    assert connection.read_response() == b"RESET"


def test_asyncio(connect, version):
    async def run():
        client = connect(protocol=version, kind=redis.asyncio.Redis)
        async with client.pubsub() as pubsub:
            await pubsub.subscribe("news")
            await pubsub.psubscribe("n*")
            for _ in range(2):
                await pubsub.get_message(timeout=PATIENCE)
            assert await client.publish("news", "hello") == 2
            messages = [await pubsub.get_message(timeout=PATIENCE) for _ in range(2)]
            assert [told(m) for m in messages] == [
                ("message", None, b"news", b"hello"),
                ("pmessage", b"n*", b"news", b"hello"),
            ]
        await client.aclose()

    asyncio.run(run())


def test_a_channel_is_the_name_of_a_topic(connect):
    client = connect()
    for name in (b"", b"\xff", b"a\nb", b"   ", b"x" * 1025):
        with pytest.raises(redis.ResponseError, match="channel must"):
            client.publish(name, "x")
        pubsub = client.pubsub()
        pubsub.subscribe(name)
        with pytest.raises(redis.ResponseError, match="channel must"):
            next_message(pubsub)
        pubsub.close()


# With the other doors


def test_all_doors_see_the_same(server, connect, cache, root, client):
    target = topic_target(cache, "news")
    resp = connect()
    pubsub = resp.pubsub(ignore_subscribe_messages=True)
    pubsub.subscribe("news")
    pubsub.ssubscribe("news")
    expect_silence(pubsub)
    with WebSocket(server, target, root) as websocket:
        events = Http1EventSource(server, target, root)
        events.expect("heartbeat")
        sent = ["text", b"\xff\x00\xfe", "grüße", ""]
        for value in sent:
            if value == "text":
                publish(client, root, cache, "news", value).must_be(204)
                kinds = {"message", "smessage"}
            elif isinstance(value, bytes):
                assert resp.publish("news", value) == 1
                kinds = {"message"}
            else:
                assert resp.execute_command("SPUBLISH", "news", value) == 1
                kinds = {"smessage"}
            wire = value if isinstance(value, bytes) else value.encode()
            messages = take(pubsub, len(kinds))
            assert {m["type"] for m in messages} == kinds
            assert {m["data"] for m in messages} == {wire}
            assert value_of(websocket.receive()["item"]) == value
            assert value_of(events.expect("item").json()) == value
        events.close()


# Who may


def test_permissions_are_those_of_topics(server, connect, cache):
    admin = server.admin
    prefixed = connect(admin.make_key(may("readwrite", topic_prefix="news/")).credential)
    assert prefixed.publish("news/a", "x") == 0
    with pytest.raises(redis.ResponseError, match="no permissions to access one of the channels"):
        prefixed.publish("sport", "x")
    for kind, name, is_allowed in (
        ("subscribe", "news/a", True),
        ("subscribe", "news", False),
        ("ssubscribe", "news/a", True),
        ("ssubscribe", "sport", False),
        ("psubscribe", "news/*", True),
        ("psubscribe", "news/[ab]*", True),
        ("psubscribe", "news*", False),
        ("psubscribe", "*", False),
        ("psubscribe", "__keyevent@0__:*", False),
    ):
        pubsub = prefixed.pubsub()
        getattr(pubsub, kind)(name)
        if is_allowed:
            assert next_message(pubsub)["type"] == kind
        else:
            with pytest.raises(redis.exceptions.NoPermissionError):
                next_message(pubsub)
        pubsub.close()
    reader = connect(admin.make_key(may("readonly", topic="news")).credential)
    with pytest.raises(redis.ResponseError, match="no permissions to run the 'publish' command"):
        reader.publish("news", "x")
    # All items may be read, so what happens to them may be heard; topics may not.
    items = connect(admin.make_key([{"role": "readonly", "cache": cache}]).credential)
    pubsub = items.pubsub()
    pubsub.subscribe("__keyevent@0__:expired")
    assert next_message(pubsub)["type"] == "subscribe"
    pubsub.subscribe("news")
    with pytest.raises(redis.exceptions.NoPermissionError):
        next_message(pubsub)


def test_what_others_are_subscribed_to_is_not_everybody_s_business(server, connect):
    root = connect()
    pubsub = root.pubsub()
    pubsub.subscribe("news/a", "secret")
    take(pubsub, 2)
    few = connect(server.admin.make_key(may("readonly", topic_prefix="news/")).credential)
    assert few.pubsub_channels() == [b"news/a"]
    assert few.pubsub_numsub("news/a", "secret") == [(b"news/a", 1), (b"secret", 0)]


def raw_subscriber(server, cache, credential, *commands):
    sock = socket.create_connection(parse_address(server.ready["resp"]), timeout=PATIENCE)
    lines = [f"AUTH {cache} {credential}", *commands]
    sock.sendall("".join(line + "\r\n" for line in lines).encode())
    return sock


def read_to_end(sock):
    received = b""
    while data := sock.recv(65536):
        received += data
    return received


@pytest.mark.parametrize("hello", [(), ("HELLO 3",)])
def test_a_revoked_credential_ends_the_connection_of_a_subscriber(server, cache, hello):
    key = server.admin.make_key(may("readonly"))
    sock = raw_subscriber(server, cache, key.credential, *hello, "SUBSCRIBE news", "PSUBSCRIBE n*")
    eventually(lambda: b"psubscribe" in sock.recv(65536))
    started = time.monotonic()
    server.admin.revoke_key(key.id)
    assert read_to_end(sock).startswith(b"-NOAUTH")
    assert time.monotonic() - started < 1.5


def test_a_token_ends_and_another_goes_on(server, connect, cache):
    first, second = (server.admin.make_token(may("readwrite"), ttl_seconds=seconds) for seconds in (2, 60))
    sock = raw_subscriber(server, cache, first.credential, "HELLO 3", "SUBSCRIBE news")
    renewed = raw_subscriber(server, cache, first.credential, "HELLO 3", "SUBSCRIBE news")
    eventually(lambda: b"subscribe" in renewed.recv(65536))
    renewed.sendall(f"AUTH {cache} {second.credential}\r\n".encode())
    assert renewed.recv(65536) == b"+OK\r\n"
    assert b"-NOAUTH" in read_to_end(sock)
    connect().publish("news", "hello")
    assert b"hello" in renewed.recv(65536)


def test_the_end_of_a_cache_ends_its_subscribers(server, cache):
    sock = raw_subscriber(server, cache, server.root_key, "SUBSCRIBE news")
    eventually(lambda: b"subscribe" in sock.recv(65536))
    server.admin.call("DELETE", f"/caches/{cache}").must_be(204)
    assert read_to_end(sock).startswith(b"-")


def test_a_flush_takes_nothing_from_subscribers(server, connect, cache):
    client = connect()
    pubsub = client.pubsub(ignore_subscribe_messages=True)
    pubsub.subscribe("news")
    expect_silence(pubsub)
    server.admin.call("POST", f"/caches/{cache}/flush").must_be(204)
    assert client.publish("news", "hello") == 1
    assert next_message(pubsub)["data"] == b"hello"


def test_the_end_of_the_server_ends_subscribers(make_server):
    server = make_server()
    sock = raw_subscriber(server, "default", server.root_key, "SUBSCRIBE news")
    eventually(lambda: b"subscribe" in sock.recv(65536))
    server.terminate()
    assert read_to_end(sock) == b""
    assert server.wait() == 0


# How much


def test_subscriptions_are_limited(server, connect):
    limited = server.admin.make_cache(limits={"max_subscriptions": 3})
    client = connect(to=limited)
    pubsub = client.pubsub()
    pubsub.subscribe("a", "b")
    pubsub.psubscribe("c*")
    take(pubsub, 3)
    pubsub.subscribe("d")
    with pytest.raises(redis.ResponseError, match="THROTTLED .*max_subscriptions"):
        next_message(pubsub)
    pubsub.unsubscribe("a")
    next_message(pubsub)
    pubsub.subscribe("d")
    assert next_message(pubsub)["type"] == "subscribe"
    assert server.admin.cache(limited)["live"]["subscriptions"] == 3 if "live" in server.admin.cache(limited) else True


def test_patterns_are_bounded(connect):
    client = connect()
    pubsub = client.pubsub()
    pubsub.psubscribe(*[f"p{number}*" for number in range(1024)])
    take(pubsub, 1024)
    pubsub.psubscribe("more*")
    with pytest.raises(redis.ResponseError, match="no more than 1024 different patterns"):
        next_message(pubsub)
    other = client.pubsub()
    other.psubscribe("*" + "a" * 1100)
    with pytest.raises(redis.ResponseError, match="pattern must be at most 1024 bytes"):
        next_message(other)


def test_deliveries_are_metered(server, connect, cache):
    client = connect()
    pubsub = client.pubsub(ignore_subscribe_messages=True)
    pubsub.subscribe("news")
    pubsub.psubscribe("n*")
    expect_silence(pubsub)
    client.publish("news", b"x" * 1500)
    take(pubsub, 2)

    def counts():
        rows = [row for row in server.admin.usage(cache) if row["door"] == "resp"]
        return {name: sum(row.get(name, 0) for row in rows) for name in ("publishes", "deliveries")}

    eventually(lambda: counts() == {"publishes": 1, "deliveries": 2}, what="what was metered")


def test_a_subscriber_that_does_not_read_is_disconnected(server, connect, cache):
    host, port = parse_address(server.ready["resp"])
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect((host, port))
    sock.sendall(f"AUTH {cache} {server.root_key}\r\nSUBSCRIBE news\r\n".encode())
    client = connect()
    eventually(lambda: client.pubsub_numsub("news") == [(b"news", 1)])
    reader = client.pubsub(ignore_subscribe_messages=True)
    reader.subscribe("news")
    expect_silence(reader)
    before = server.resident_bytes()
    payload = b"x" * 100_000
    sent = 0
    while client.pubsub_numsub("news") == [(b"news", 2)]:
        client.publish("news", payload)
        assert next_message(reader)["data"] == payload
        sent += 1
        assert sent < 1000, "still connected"
    assert server.resident_bytes() - before < 100 << 20
    assert client.publish("news", "on") == 1
    assert next_message(reader)["data"] == b"on"
    sock.close()
