"""What the RESP door says of itself, of connections and of the caller's cache, and transactions beside other doors."""

import pytest

from support.resp import MartletTarget
from support.server import Server
from support.waiting import eventually

OK = b"+OK\r\n"
NULL = b"*-1\r\n"


@pytest.fixture(scope="module")
def door(tmp_path_factory):
    target = MartletTarget(Server(tmp_path_factory.mktemp("martlet") / "data").start())
    yield target
    target.stop()


@pytest.fixture
def shop(door):
    return door.fresh()


@pytest.fixture
def root(door, shop):
    """Someone who may do everything in the tenant."""
    with MartletTarget(door.server, shop.cache, door.server.root_key).connect() as connection:
        yield connection


def fields(reply):
    """A map as version 2 of the protocol has it."""
    values = [value.text if value.kind == b"$" else value for value in reply.children]
    return dict(zip(values[::2], values[1::2], strict=True))


# Transactions


def test_a_watched_key_that_another_door_changes_stops_the_transaction(door, shop):
    with shop.connect() as connection:
        connection.call("SET", "k", "1")
        connection.call("WATCH", "k")
        put = f"/cache/{shop.cache}?key=k&ttl_seconds=60"
        headers = {"authorization": shop.credential}
        door.server.client().request("PUT", put, headers=headers, body=b"2").must_be(204)
        connection.call("MULTI")
        connection.call("SET", "k", "3")
        assert connection.call("EXEC").raw == NULL
        assert connection.call("GET", "k").text == b"2"


def test_a_transaction_is_refused_as_a_whole_by_a_limit(door, shop):
    door.server.admin.change_cache(shop.cache, limits={"max_operations_per_second": 20})
    with shop.connect() as connection:
        # What is more than a second's allowance is admitted where nothing was used yet, and owed then.
        for prefix in ("a", "b"):
            connection.call("MULTI")
            for number in range(60):
                assert connection.call("SET", f"{prefix}{number}", "1").raw == b"+QUEUED\r\n"
            answer = connection.call("EXEC")
        assert answer.text.startswith(b"EXECABORT Transaction discarded because of: THROTTLED ")
        door.server.admin.change_cache(shop.cache, limits={"max_operations_per_second": None})
        assert connection.call("GET", "a59").raw == b"$1\r\n1\r\n"
        assert connection.call("GET", "b0").raw == b"$-1\r\n"


def test_what_would_wait_is_not_queued(shop):
    with shop.connect() as connection:
        connection.call("MULTI")
        assert connection.call("AUTH", *shop.login).text == b"ERR Command not allowed inside a transaction"
        assert connection.call("EXEC").text.startswith(b"EXECABORT ")


# Connections


def test_a_super_user_sees_and_ends_the_connections_of_its_tenant(root, shop):
    with shop.connect() as connection:
        connection.call("CLIENT", "SETNAME", "worker")
        own = connection.call("CLIENT", "ID").integer
        assert connection.call("CLIENT", "LIST").text.count(b"\n") == 1
        assert b"name=worker" in root.call("CLIENT", "LIST").text
        assert connection.call("CLIENT", "KILL", "ID", str(root.call("CLIENT", "ID").integer)).integer == 0
        assert root.call("CLIENT", "KILL", "ID", str(own)).integer == 1
        assert eventually(lambda: b"name=worker" not in root.call("CLIENT", "LIST").text)


def test_replies_are_left_out_as_asked_and_pushes_are_not(shop):
    with shop.connect(3) as connection, shop.connect() as other:
        connection.call("CLIENT", "TRACKING", "ON")
        connection.call("GET", "k")
        connection.send("CLIENT", "REPLY", "SKIP")
        connection.send("PING")
        other.call("SET", "k", "1")
        assert connection.receive().raw == b">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n"
        assert connection.call("PING").raw == b"+PONG\r\n"


def test_broadcasts_are_for_whom_all_items_are(door, shop):
    with shop.connect(3) as connection, shop.connect() as other:
        assert connection.call("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", "user:").raw == OK
        other.call("MSET", "cart:1", "x", "user:1", "x")
        assert connection.receive().raw == b">2\r\n$10\r\ninvalidate\r\n*1\r\n$6\r\nuser:1\r\n"
    cart = door.on(shop.cache, [{"role": "readwrite", "cache": shop.cache, "key_prefix": "cart:"}])
    with cart.connect(3) as connection:
        assert connection.call("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", "cart:").text.startswith(b"NOPERM ")


def test_invalidations_go_to_another_connection(shop):
    with shop.connect() as listener, shop.connect() as connection, shop.connect() as other:
        id = listener.call("CLIENT", "ID").integer
        assert listener.call("SUBSCRIBE", "__redis__:invalidate").kind == b"*"
        assert connection.call("CLIENT", "TRACKING", "ON", "REDIRECT", str(id)).raw == OK
        connection.call("GET", "k")
        other.call("SET", "k", "1")
        assert listener.receive().raw == b"*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n*1\r\n$1\r\nk\r\n"


# The caller's cache


def test_refused_commands_are_counted_for_the_cache(door, shop):
    with shop.connect() as connection:
        for words in (("EVAL", "return 1", "0"), ("eval", "", "0"), ("XADD", "s", "*", "a", "b"), ("JSON.GET", "k")):
            assert connection.call(*words).text == b"ERR unsupported command '%s'" % words[0].upper().encode()
        assert connection.call("CLIENT", "PAUSE", "1").text == b"ERR unsupported command 'CLIENT|PAUSE'"
        assert b"unsupported_commands:client|pause=1,eval=2,json.*=1,xadd=1" in connection.call("INFO", "martlet").text
    counts = door.server.admin.cache(shop.cache)["unsupported_commands"]
    assert counts == {"client|pause": 1, "eval": 2, "json.*": 1, "xadd": 1}


def test_who_one_is_and_what_one_may_use(door, shop):
    door.server.admin.change_cache(shop.cache, limits={"max_bytes": 10_000_000})
    cart = door.on(shop.cache, [{"role": "readonly", "cache": shop.cache, "key_prefix": "cart:"}])
    with cart.connect() as connection:
        me = fields(connection.call("MARTLET.WHOAMI"))
        assert (me[b"cache"].decode(), me[b"kind"]) == (shop.cache, b"token")
        assert [entry.text for entry in me[b"permissions"].children] == [b"readonly key_prefix cart:"]
        assert connection.call("MARTLET.USAGE").text.startswith(b"NOPERM ")
        assert b"used_memory" not in connection.call("INFO").text
    with shop.connect() as connection:
        connection.call("SET", "k", "v")
        limits = fields(connection.call("MARTLET.LIMITS"))
        bytes_ = fields(limits[b"max_bytes"])
        assert bytes_[b"limit"].integer == 10_000_000 and 0 < bytes_[b"used"].integer < 10_000_000
        usage = fields(connection.call("MARTLET.USAGE"))
        assert usage[b"items"].integer == 1
        assert fields(usage[b"resp"])[b"bytes_in"].integer >= 2


def test_events_of_expired_keys(shop):
    with shop.connect() as connection, shop.connect() as listener:
        assert connection.call("CONFIG", "SET", "notify-keyspace-events", "Ex").raw == OK
        assert connection.call("CONFIG", "SET", "notify-keyspace-events", "Kg").is_error
        listener.call("SUBSCRIBE", "__keyevent@0__:expired")
        connection.call("SET", "k", "v", "PX", "50")
        assert listener.receive().raw == b"*3\r\n$7\r\nmessage\r\n$22\r\n__keyevent@0__:expired\r\n$1\r\nk\r\n"
