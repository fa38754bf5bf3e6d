"""Who is let in at the RESP door, what they may do there, and when it ends."""

import time

import pytest
import redis

from support.admin import EVERYTHING
from support.resp import MartletTarget
from support.server import Server, outer_form
from support.waiting import eventually

NOAUTH = b"-NOAUTH Authentication required.\r\n"
WRONGPASS = b"-WRONGPASS invalid username-password pair or user is disabled.\r\n"
OK = b"+OK\r\n"


@pytest.fixture(scope="module", params=["clear", "tls"])
def door(request, tmp_path_factory):
    """These tests are about what Redis does not have."""
    directory = tmp_path_factory.mktemp("martlet") / "data"
    target = MartletTarget(Server(directory, is_development=request.param == "clear").start())
    yield target
    target.stop()


@pytest.fixture
def shop(door):
    return door.fresh()


@pytest.fixture
def as_(door, shop):
    """Connections by permissions for the cache of the test."""
    opened = []

    def connect(*statements, **options):
        target = door.on(shop.cache, [{"cache": shop.cache, **statement} for statement in statements], **options)
        connection = target.connect()
        connection.minted = target.minted
        opened.append(connection)
        return connection

    yield connect
    for connection in opened:
        connection.close()


def refusal(reply):
    assert reply.is_error, reply
    return reply.text.split(b" ")[0].decode()


def refusal_or_none(reply):
    return refusal(reply) if reply.is_error else None


# Coming in


def test_without_a_credential_in_development_there_is_cache_default_and_nothing_else(door):
    with door.open() as connection:
        if door.is_encrypted:
            assert connection.call("GET", "k").raw == NOAUTH
            assert connection.call("PING").raw == NOAUTH
            assert connection.call("NOSUCH").raw == NOAUTH
            return
        assert connection.call("SET", "open", "1").raw == OK
        assert connection.call("GET", "open").text == b"1"
    with door.on("default").connect() as connection:
        assert connection.call("GET", "open").text == b"1"


def test_before_and_after_authentication(door, shop):
    with door.open() as connection:
        assert connection.call("AUTH", shop.cache, shop.credential).raw == OK
        assert connection.call("SET", "k", "1").raw == OK
        assert connection.call("GET", "k").text == b"1"


def test_hello_authenticates_and_chooses_the_version(door, shop):
    with door.open() as connection:
        reply = connection.call("HELLO", "3", "AUTH", shop.cache, shop.credential, "SETNAME", "worker")
        assert reply.kind == b"%"
        greeting = {reply.children[place].text: reply.children[place + 1] for place in range(0, len(reply.children), 2)}
        assert set(greeting) == {b"server", b"version", b"proto", b"id", b"mode", b"role", b"modules"}
        assert greeting[b"proto"].integer == 3 and greeting[b"mode"].text == b"standalone"
        assert connection.call("CLIENT", "GETNAME").text == b"worker"
        assert connection.call("GET", "absent").raw == b"_\r\n"


def test_hello_with_a_false_credential_changes_nothing(door, shop):
    with door.open() as connection:
        assert connection.call("HELLO", "3", "AUTH", shop.cache, "false").raw == WRONGPASS
        assert connection.call("GET", "absent").raw in (b"$-1\r\n", NOAUTH)
        assert connection.call("HELLO", "2", "AUTH", shop.cache, shop.credential).kind == b"*"


def test_a_credential_alone_is_enough_for_the_only_cache(door, shop):
    with door.open() as connection:
        assert connection.call("AUTH", shop.credential).raw == OK
        assert connection.call("SET", "k", "mine").raw == OK
    with shop.connect() as connection:
        assert connection.call("GET", "k").text == b"mine"


def test_a_credential_alone_for_many_caches_means_cache_default(door, shop):
    # Without `--dev` there is none from the start.
    door.server.admin.call("PUT", "/caches/default", {})
    token = door.server.admin.make_token(EVERYTHING)
    with door.open() as connection:
        assert connection.call("AUTH", token.credential).raw == OK
        assert connection.call("SET", "of-default", "1").raw == OK
    with shop.connect() as connection:
        assert connection.call("EXISTS", "of-default").integer == 0


@pytest.mark.parametrize("format", ["v1", "v2"])
def test_api_keys_are_good_too_in_every_form(door, shop, format):
    key = door.server.admin.make_key([{"role": "readwrite", "cache": shop.cache}], format=format)
    for form in (key.credential, f"Bearer {key.credential}", outer_form(shop.credential)):
        with door.open() as connection:
            assert connection.call("AUTH", shop.cache, form).raw == OK, form[:20]
            assert connection.call("PING").raw == b"+PONG\r\n"


def test_the_root_key_is_good_for_the_caches_of_tenant_default(door, shop):
    with door.open() as connection:
        assert connection.call("AUTH", shop.cache, door.server.root_key).raw == OK
        assert connection.call("SET", "k", "1").raw == OK


def test_what_is_no_credential_is_refused(door, shop):
    with door.open() as connection:
        for words in (
            ("AUTH", shop.cache, "false"),
            ("AUTH", "false"),
            ("AUTH", shop.cache, ""),
            ("AUTH", "", shop.credential[:-4]),
            ("AUTH", shop.cache, shop.credential + "x"),
            ("AUTH", shop.cache, shop.cache),
        ):
            assert connection.call(*words).raw == WRONGPASS, words[:2]
        assert connection.call("AUTH").raw == b"-ERR wrong number of arguments for 'auth' command\r\n"
        assert connection.call("AUTH", "a", "b", "c").raw == b"-ERR syntax error\r\n"
        assert connection.call("AUTH", shop.cache, shop.credential).raw == OK


def test_a_cache_that_is_not_there_or_not_allowed_is_refused(door, shop):
    other = door.fresh()
    with door.open() as connection:
        assert refusal(connection.call("AUTH", other.cache, shop.credential)) in ("NOPERM", "WRONGPASS")
        assert connection.call("AUTH", "no-such-cache", door.server.root_key).is_error
        assert connection.call("AUTH", shop.cache, shop.credential).raw == OK


def test_another_authentication_takes_over_in_place(door, shop):
    other = door.fresh()
    with shop.connect() as connection:
        connection.call("SET", "k", "of the first")
        assert connection.call("AUTH", *other.login).raw == OK
        assert connection.call("EXISTS", "k").integer == 0
        assert connection.call("AUTH", other.cache, "false").raw == WRONGPASS
        # A refused credential leaves everything as it was.
        assert connection.call("SET", "k", "of the second").raw == OK
        assert connection.call("AUTH", *shop.login).raw == OK
        assert connection.call("GET", "k").text == b"of the first"


def test_tenants_do_not_meet(door, shop):
    tenant = door.server.admin.make_tenant()
    tenant.make_cache(shop.cache)
    theirs = tenant.make_token([{"role": "readwrite", "cache": shop.cache}])
    with shop.connect() as ours, door.open() as other:
        ours.call("SET", "k", "ours")
        assert other.call("AUTH", shop.cache, theirs.credential).raw == OK
        assert other.call("GET", "k").is_null
        assert other.call("SET", "k", "theirs").raw == OK
        assert other.call("FLUSHALL").raw == OK
        assert ours.call("GET", "k").text == b"ours"


def test_urls_of_clients_carry_cache_and_token(shop):
    with redis.from_url(shop.url()) as client:
        assert client.set("k", "v") and client.get("k") == b"v"


def test_reset_forgets_who_one_is(shop):
    with shop.connect(3) as connection:
        connection.call("CLIENT", "SETNAME", "worker")
        connection.call("SET", "k", "1")
        assert connection.call("RESET").raw == b"+RESET\r\n"
        assert connection.call("GET", "k").raw == (NOAUTH if shop.is_encrypted else b"$-1\r\n")


# What one may do


def test_a_reader_reads_and_a_writer_writes(as_):
    owner, reader, writer = as_({"role": "readwrite"}), as_({"role": "readonly"}), as_({"role": "writeonly"})
    owner.call("SET", "k", "1")
    owner.call("RPUSH", "l", "a")
    assert reader.call("GET", "k").text == b"1"
    assert reader.call("LRANGE", "l", "0", "-1").children[0].text == b"a"
    assert writer.call("SET", "k", "2").raw == OK
    for words in (
        ("SET", "k", "2"),
        ("DEL", "k"),
        ("LPUSH", "l", "a"),
        ("EXPIRE", "k", "10"),
        ("FLUSHDB",),
        ("INCR", "k"),
    ):
        assert refusal(reader.call(*words)) == "NOPERM", words
    for words in (("GET", "k"), ("LRANGE", "l", "0", "-1"), ("KEYS", "*"), ("SCAN", "0"), ("DBSIZE",), ("EXISTS", "k")):
        assert refusal(writer.call(*words)) == "NOPERM", words
    # What writes and tells what was there takes both.
    for words in (("GETDEL", "k"), ("SET", "k", "2", "GET"), ("INCR", "k"), ("LPOP", "l"), ("SETNX", "k", "1")):
        assert refusal(writer.call(*words)) == "NOPERM", words
        assert refusal(reader.call(*words)) == "NOPERM", words
    assert owner.call("GET", "k").text == b"2"


def test_every_key_of_a_command_is_asked_about_before_anything_happens(as_):
    owner, cart = as_({"role": "readwrite"}), as_({"role": "readwrite", "key_prefix": "cart:"})
    owner.call("MSET", "cart:1", "a", "user:1", "b")
    assert cart.call("GET", "cart:1").text == b"a"
    for words in (
        ("GET", "user:1"),
        ("MGET", "cart:1", "user:1"),
        ("MSET", "cart:1", "x", "user:1", "x"),
        ("DEL", "cart:1", "user:1"),
        ("RENAME", "cart:1", "user:2"),
        ("COPY", "user:1", "cart:2"),
        ("SUNIONSTORE", "user:3", "cart:1"),
        ("SINTERSTORE", "cart:3", "cart:1", "user:1"),
        ("LMPOP", "2", "cart:l", "user:l", "LEFT"),
        ("ZUNIONSTORE", "cart:z", "2", "cart:1", "user:1"),
        ("BLPOP", "cart:l", "user:l", "0.01"),
        ("BITOP", "NOT", "cart:b", "user:1"),
        ("PFMERGE", "cart:p", "user:p"),
        ("SMOVE", "cart:s", "user:s", "m"),
        ("EXISTS", "cart:1", "user:1"),
        ("WATCH", "user:1"),
        ("GEORADIUS", "cart:g", "0", "0", "1", "km", "STORE", "user:g"),
        ("SORT", "cart:l", "STORE", "user:l"),
    ):
        assert refusal(cart.call(*words)) == "NOPERM", words
    # What names no key needs all of them.
    for words in (
        ("KEYS", "cart:*"),
        ("SCAN", "0", "MATCH", "cart:*"),
        ("RANDOMKEY",),
        ("DBSIZE",),
        ("FLUSHDB",),
        ("FLUSHALL",),
        ("SORT", "cart:l", "BY", "user:*"),
        ("SORT", "cart:l", "GET", "user:*"),
        ("CLIENT", "TRACKING", "ON", "BCAST"),
        ("SLOWLOG", "GET"),
    ):
        assert refusal(cart.call(*words)) == "NOPERM", words
    assert cart.call("GET", "cart:1").text == b"a"
    assert owner.call("DBSIZE").integer == 2


def test_permissions_hold_within_transactions(as_):
    owner, cart = as_({"role": "readwrite"}), as_({"role": "readwrite", "key_prefix": "cart:"})
    owner.call("SET", "user:1", "secret")
    assert cart.call("MULTI").raw == OK
    assert cart.call("SET", "cart:1", "1").raw == b"+QUEUED\r\n"
    assert refusal(cart.call("GET", "user:1")) == "NOPERM"
    assert refusal(cart.call("EXEC")) == "EXECABORT"
    assert owner.call("EXISTS", "cart:1").integer == 0


def test_refusals_read_as_clients_expect_them(as_):
    reader = as_({"role": "readonly"})
    reply = reader.call("SET", "k", "1")
    assert reply.text == b"NOPERM this user has no permissions to run the 'set' command", reply


def test_topics_have_permissions_of_their_own(as_):
    items = as_({"role": "readwrite"})
    news = as_({"role": "readwrite", "topic": "news"})
    prefix = as_({"role": "readonly", "topic_prefix": "news:"})
    assert refusal(items.call("SUBSCRIBE", "news")) == "NOPERM"
    assert refusal(items.call("PUBLISH", "news", "x")) == "NOPERM"
    assert refusal(items.call("PSUBSCRIBE", "*")) == "NOPERM"
    assert news.call("PUBLISH", "news", "x").raw == b":0\r\n"
    assert refusal(news.call("PUBLISH", "other", "x")) == "NOPERM"
    assert refusal(news.call("SUBSCRIBE", "news", "other")) == "NOPERM"
    assert refusal(news.call("PSUBSCRIBE", "news*")) == "NOPERM"
    assert refusal(news.call("SSUBSCRIBE", "other")) == "NOPERM"
    assert refusal(news.call("GET", "k")) == "NOPERM"
    assert refusal(prefix.call("PUBLISH", "news:1", "x")) == "NOPERM"
    assert refusal(prefix.call("PSUBSCRIBE", "news*")) == "NOPERM"
    assert prefix.call("PSUBSCRIBE", "news:*").kind == b"*"


def test_others_are_not_seen(door, shop, as_):
    stranger = door.fresh()
    with stranger.connect() as other:
        other.call("CLIENT", "SETNAME", "stranger")
        mine = as_({"role": "readwrite"})
        mine.call("CLIENT", "SETNAME", "mine")
        listed = mine.call("CLIENT", "LIST").text
        assert b"name=mine" in listed and b"stranger" not in listed
        mine.call("CLIENT", "KILL", "ID", str(other.call("CLIENT", "ID").integer))
        assert other.call("PING").raw == b"+PONG\r\n"


# When it ends


@pytest.mark.timeout(90)
def test_a_token_that_expires_is_good_for_nothing_from_then_on(as_):
    connection = as_({"role": "readwrite"}, ttl_seconds=2)
    assert connection.call("SET", "k", "1").raw == OK

    def is_over():
        return refusal_or_none(connection.call("GET", "k")) == "NOAUTH"

    assert eventually(is_over, within=10)
    assert refusal(connection.call("PING")) == "NOAUTH"
    assert refusal(connection.call("MULTI")) == "NOAUTH"
    renewed = as_({"role": "readwrite"})
    assert connection.call("AUTH", renewed.minted.credential).raw == OK
    assert connection.call("GET", "k").text == b"1"


def test_a_renewal_in_place_goes_on_without_a_gap(as_):
    connection = as_({"role": "readwrite"}, ttl_seconds=3)
    renewed = as_({"role": "readwrite"})
    connection.call("SET", "k", "1")
    assert connection.call("AUTH", renewed.minted.credential).raw == OK
    deadline = time.monotonic() + 4
    while time.monotonic() < deadline:
        assert connection.call("GET", "k").text == b"1"
        time.sleep(0.05)


def test_a_revoked_token_is_good_for_nothing_within_a_second(door, as_):
    connection, waiting, listening = (as_({"role": "readwrite"}, {"role": "readwrite", "topic": "*"}) for _ in range(3))
    assert connection.call("SET", "k", "1").raw == OK
    waiting.send("BLPOP", "queue", "20")
    listening.call("SUBSCRIBE", "news")
    for one in (connection, waiting, listening):
        door.server.admin.revoke_token(one.minted.id)
    revoked = time.monotonic()
    assert eventually(lambda: refusal_or_none(connection.call("GET", "k")) == "NOAUTH")
    assert time.monotonic() - revoked < 2
    # Whoever waits is told, or the connection ends; nobody waits on without a credential.
    for one in (waiting, listening):
        one.socket.settimeout(5)
        try:
            reply = one.receive()
            assert reply.is_error or reply.is_null or reply.kind in b">*", reply
        except TimeoutError:
            pytest.fail("still waiting, or listening, 5 s after the revocation")
        except Exception as error:
            assert type(error).__name__ == "Closed", error


def test_a_revoked_api_key_is_good_for_nothing_within_a_second(door, shop):
    key = door.server.admin.make_key([{"role": "readwrite", "cache": shop.cache}])
    with door.open() as connection:
        assert connection.call("AUTH", shop.cache, key.credential).raw == OK
        door.server.admin.revoke_key(key.id)
        assert eventually(lambda: refusal_or_none(connection.call("GET", "k")) == "NOAUTH", within=3)
        assert connection.call("AUTH", shop.cache, key.credential).raw == WRONGPASS


def test_a_deleted_cache_answers_no_more(door):
    gone = door.fresh()
    with gone.connect() as connection:
        assert connection.call("SET", "k", "1").raw == OK
        door.server.admin.call("DELETE", f"/caches/{gone.cache}").must_be(204)
        assert eventually(lambda: connection.call("GET", "k").is_error, within=3)


def test_no_credential_stands_in_any_answer(shop):
    with shop.connect() as connection:
        for words in (("CLIENT", "LIST"), ("CLIENT", "INFO"), ("INFO",), ("SLOWLOG", "GET"), ("MARTLET.WHOAMI",)):
            assert shop.credential.encode() not in connection.call(*words).raw, words
