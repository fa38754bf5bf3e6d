"""What the RESP door has beside what Redis 7.0 has, what it refuses, and its table of commands."""

import json
import re
import time

import pytest

from resp_differential.commands import FAMILIES
from resp_differential.protocol import Connection
from support.resp import MartletTarget
from support.server import REPOSITORY, Server
from support.waiting import eventually

UNSUPPORTED = {
    "scripting": ["EVAL", "EVALSHA", "EVAL_RO", "FCALL", "FUNCTION", "SCRIPT"],
    "streams": ["XADD", "XREAD", "XRANGE", "XLEN", "XGROUP", "XREADGROUP"],
    "replication": ["REPLICAOF", "SLAVEOF", "PSYNC", "SYNC", "FAILOVER"],
    "administration": ["SHUTDOWN", "SAVE", "BGSAVE", "BGREWRITEAOF", "DEBUG", "MONITOR", "MODULE", "MIGRATE"],
    "serialisation": ["DUMP", "RESTORE"],
}


@pytest.fixture(scope="module")
def door(tmp_path_factory):
    target = MartletTarget(Server(tmp_path_factory.mktemp("martlet") / "data").start())
    yield target
    target.stop()


@pytest.fixture
def shop(door):
    return door.fresh()


@pytest.fixture
def call(shop):
    with shop.connect() as connection:
        yield connection.call


@pytest.fixture
def client(shop):
    made = shop.client("redis", protocol=3)
    yield made
    made.close()


# What there is not


@pytest.mark.parametrize("name", [name for names in UNSUPPORTED.values() for name in names])
def test_what_is_known_and_not_offered_says_so(call, name):
    reply = call(name, "a", "b", "c")
    assert reply.raw.lower() == f"-err unsupported command '{name.lower()}'\r\n".encode()


def test_what_is_missed_is_counted_for_the_cache(door, shop, call):
    for _ in range(3):
        call("XADD", "stream", "*", "a", "b")
    call("EVAL", "return 1", "0")

    def counted():
        text = json.dumps(door.server.admin.cache(shop.cache)).lower()
        return re.search(r'"xadd"\W+(count\W+)?3\b', text) and re.search(r'"eval"\W+(count\W+)?1\b', text)

    assert eventually(counted, within=5)


def test_a_transaction_with_an_unsupported_command_is_aborted(call):
    call("MULTI")
    assert call("XADD", "s", "*", "a", "b").text.startswith(b"ERR unsupported command")
    assert call("EXEC").text.startswith(b"EXECABORT")


def test_clients_that_know_clusters_fall_back(shop, call):
    assert b"cluster_enabled:0" in call("INFO", "cluster").text
    reply = call("CLUSTER", "INFO")
    assert reply.is_error or b"cluster_state" in reply.text
    for word in ("SLOTS", "NODES", "SHARDS", "MYID"):
        # Any answer does, as long as there is one.
        call("CLUSTER", word)


def test_the_compatibility_page_lists_every_command(call):
    pages = [path for path in (REPOSITORY / "docs").rglob("*.md") if "unsupported" in path.read_text().lower()]
    text = "\n".join(page.read_text() for page in pages).upper()
    known = {entry.children[0].text.decode().upper() for entry in call("COMMAND").children}
    missing = {name for name in known | {"XADD", "EVAL", "DUMP"} if not re.search(rf"\b{re.escape(name)}\b", text)}
    assert not missing, sorted(missing)


# The table


def entries(reply):
    return {entry.children[0].text.decode(): entry for entry in reply.children if entry.children}


def test_commands_have_the_arity_and_the_key_positions_that_they_have_in_redis(call, redis_server):
    with Connection(*redis_server.address) as connection:
        theirs = entries(connection.call("COMMAND"))
    ours = entries(call("COMMAND"))
    different = {}
    for name in sorted(ours.keys() & theirs.keys()):
        figures = [tuple(table[name].children[place].raw for place in (1, 3, 4, 5)) for table in (ours, theirs)]
        # Shard channels are topics here and no keys: nothing is to be allowed on an item of that name.
        if figures[0] != figures[1] and name not in ("spublish", "ssubscribe", "sunsubscribe"):
            different[name] = figures
    assert not different
    offered = {name for name in theirs if call("COMMAND", "INFO", name).children[0].children}
    tried = {entry.pattern.split()[0].strip("(").lower() for family in FAMILIES.values() for entry in family}
    missing = {name for name in tried if name in theirs and name not in offered}
    assert not missing, f"offered, and not in COMMAND INFO: {sorted(missing)}"


def test_write_and_read_are_told_as_redis_tells_them(call, redis_server):
    with Connection(*redis_server.address) as connection:
        theirs = entries(connection.call("COMMAND"))
    ours = entries(call("COMMAND"))

    def flags(entry):
        return {flag.text for flag in entry.children[2].children} & {b"write", b"readonly", b"blocking", b"pubsub"}

    different = {name: (flags(ours[name]), flags(theirs[name])) for name in ours.keys() & theirs.keys()}
    assert not {name: pair for name, pair in different.items() if pair[0] != pair[1]}


@pytest.mark.parametrize(
    "words",
    [
        "GET a", "MSET a 1 b 2", "DEL a b c", "ZUNIONSTORE d 2 a b WEIGHTS 1 2", "LMPOP 2 a b LEFT",
        "BLMPOP 0 2 a b LEFT",
        "SORT a BY x GET y STORE b", "GEORADIUS g 0 0 1 km STORE d", "BITOP AND d a b", "SINTERCARD 2 a b LIMIT 1",
        "ZINTER 2 a b", "BZMPOP 0 1 a MIN", "OBJECT FREQ a", "MEMORY USAGE a", "LCS a b", "COPY a b", "BLPOP a b c 0",
        "PFCOUNT a b", "SMOVE a b m", "RENAME a b", "ZRANGESTORE a b 0 -1", "HSET h f v", "PING", "ZDIFF 1 a",
    ],
)  # fmt: skip
def test_keys_are_found_as_redis_finds_them(call, redis_server, words):
    with Connection(*redis_server.address) as connection:
        assert call("COMMAND", "GETKEYS", *words.split()) == connection.call("COMMAND", "GETKEYS", *words.split())


def test_documentation_is_there_for_redis_cli(call):
    reply = call("COMMAND", "DOCS", "get", "zadd")
    assert reply.children[0].text == b"get" and reply.children[2].text == b"zadd"
    fields = [child.text for child in reply.children[1].children[::2]]
    assert {b"summary", b"group"} <= set(fields)
    assert call("COMMAND", "COUNT").integer == len(call("COMMAND").children)
    assert call("COMMAND", "INFO", "nosuch").children[0].is_null


# Its own commands


def test_whoever_asks_is_told_who_he_is(shop, call, client):
    text = call("MARTLET.WHOAMI").raw.decode()
    assert shop.cache in text and "default" in text
    assert shop.credential not in text
    assert isinstance(client.execute_command("MARTLET.WHOAMI"), dict)


def test_limits_are_told(door, call):
    text = call("MARTLET.LIMITS").raw.decode()
    assert "5000192" in text


def test_usage_is_told(shop, call):
    for number in range(10):
        call("SET", f"k{number}", "v")
    assert eventually(lambda: re.search(rb"\b1\d\b", call("MARTLET.USAGE").raw))


def test_limits_refuse_with_the_time_to_wait(door):
    shop = door.fresh()
    door.server.admin.change_cache(shop.cache, limits={"max_operations_per_second": 5})
    time.sleep(1.2)
    with shop.connect() as connection:
        replies = [connection.call("SET", "k", "v") for _ in range(100)]
    refused = [reply for reply in replies if reply.is_error]
    assert refused, "nothing was refused"
    for reply in refused:
        assert reply.text.startswith(b"THROTTLED "), reply
        assert re.search(rb"\d+", reply.text), reply


# Times to live of fields


def test_fields_end_one_by_one(call):
    call("HSET", "h", "a", "1", "b", "2", "c", "3")
    assert [child.integer for child in call("HEXPIRE", "h", "100", "FIELDS", "2", "a", "absent").children] == [1, -2]
    assert [child.integer for child in call("HTTL", "h", "FIELDS", "3", "a", "b", "absent").children] == [100, -1, -2]
    assert [child.integer for child in call("HPEXPIRE", "h", "30", "FIELDS", "1", "b").children] == [1]
    assert eventually(lambda: call("HGET", "h", "b").is_null)
    assert call("HLEN", "h").integer == 2
    assert [child.integer for child in call("HPERSIST", "h", "FIELDS", "2", "a", "c").children] == [1, -1]
    assert [child.integer for child in call("HTTL", "h", "FIELDS", "1", "a").children] == [-1]
    assert [child.integer for child in call("HEXPIREAT", "h", "1", "FIELDS", "1", "a").children] == [2]
    assert call("HEXISTS", "h", "a").integer == 0
    assert [child.integer for child in call("HPTTL", "absent", "FIELDS", "1", "a").children] == [-2]
    assert call("HEXPIRE", "h", "x", "FIELDS", "1", "a").is_error
    assert call("HEXPIRE", "h", "10", "FIELDS", "2", "a").is_error
    assert [child.integer for child in call("HEXPIRE", "h", "100", "NX", "FIELDS", "1", "c").children] == [1]
    assert [child.integer for child in call("HEXPIRE", "h", "50", "NX", "FIELDS", "1", "c").children] == [0]
    assert [child.integer for child in call("HEXPIRE", "h", "50", "GT", "FIELDS", "1", "c").children] == [0]
    assert [child.integer for child in call("HEXPIRE", "h", "50", "LT", "FIELDS", "1", "c").children] == [1]
    now = int(time.time())
    assert abs(call("HEXPIRETIME", "h", "FIELDS", "1", "c").children[0].integer - now - 50) <= 2
    assert abs(call("HPEXPIRETIME", "h", "FIELDS", "1", "c").children[0].integer - (now + 50) * 1000) <= 2000
    call("HSET", "h", "c", "new")
    assert [child.integer for child in call("HTTL", "h", "FIELDS", "1", "c").children] == [-1]


def test_a_hash_whose_last_field_ended_is_gone(call):
    call("HSET", "h", "a", "1")
    call("HPEXPIRE", "h", "20", "FIELDS", "1", "a")
    assert eventually(lambda: call("EXISTS", "h").integer == 0)
    assert call("TYPE", "h").raw == b"+none\r\n"
