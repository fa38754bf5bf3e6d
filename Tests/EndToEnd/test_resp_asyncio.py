"""The asynchronous faces of redis-py and valkey-py, and the client-side caching of redis-py."""

import asyncio
import time

import pytest
from redis.cache import CacheConfig

from support.resp import LIBRARIES
from support.waiting import eventually


@pytest.fixture(params=[2, 3], ids=["resp2", "resp3"])
def protocol(request):
    return request.param


@pytest.fixture(params=LIBRARIES)
def library(request):
    return request.param


@pytest.fixture
def run(resp, library, protocol):
    """Runs a coroutine function with a client."""

    def runner(function, *arguments, **options):
        async def work():
            async with resp.asynchronous(library, protocol=protocol, **options) as client:
                return await asyncio.wait_for(function(client, *arguments), 20)

        return asyncio.run(work())

    return runner


def test_items(run):
    async def work(client):
        assert await client.set("k", b"\x00v")
        assert await client.get("k") == b"\x00v"
        assert await client.hset("h", mapping={"a": 1}) == 1
        assert await client.hgetall("h") == {b"a": b"1"}
        assert await client.zadd("z", {"m": 2.5}) == 1
        assert await client.zscore("z", "m") == 2.5
        return [key async for key in client.scan_iter()]

    assert sorted(run(work)) == [b"h", b"k", b"z"]


def test_many_at_once(run):
    async def work(client):
        await asyncio.gather(*(client.set(f"k{number}", number) for number in range(80)))
        return await asyncio.gather(*(client.get(f"k{number}") for number in range(80)))

    assert run(work) == [b"%d" % number for number in range(80)]


def test_pipelines_and_transactions(run, library):
    errors = LIBRARIES[library][0].exceptions

    async def work(client):
        async with client.pipeline(transaction=False) as pipeline:
            for _ in range(200):
                pipeline.incr("n").get("absent")
            answers = await pipeline.execute()
        assert answers[::2] == list(range(1, 201)) and set(answers[1::2]) == {None}
        async with client.pipeline(transaction=True) as pipeline:
            assert await pipeline.set("a", 1).incr("a").execute() == [True, 2]
        async with client.pipeline(transaction=True) as pipeline:
            await pipeline.watch("a")
            await client.set("a", 9)
            pipeline.multi()
            pipeline.set("a", 3)
            with pytest.raises(errors.WatchError):
                await pipeline.execute()
        assert await client.get("a") == b"9"

    run(work)


def test_waiting_holds_up_nobody_else(run):
    async def work(client):
        waiting = asyncio.create_task(client.blpop("queue", timeout=10))
        await asyncio.sleep(0.05)
        started = time.monotonic()
        await client.set("k", 1)
        assert time.monotonic() - started < 5 and not waiting.done()
        await client.rpush("queue", "x")
        assert list(await waiting) == [b"queue", b"x"]
        assert await client.blpop("queue", timeout=0.1) is None

    run(work)


def test_whoever_stops_waiting_takes_nothing(run):
    async def work(client):
        waiting = asyncio.create_task(client.blpop("queue", timeout=10))
        await asyncio.sleep(0.1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await asyncio.sleep(0.1)
        await client.rpush("queue", "kept")
        return await client.llen("queue")

    assert run(work) == 1


def test_messages(run):
    async def work(client):
        async with client.pubsub(ignore_subscribe_messages=False) as subscription:
            await subscription.subscribe("news")
            await subscription.psubscribe("n*")
            for _ in range(2):
                assert await subscription.get_message(timeout=5) is not None
            assert await client.publish("news", "hello") == 2
            found = [await subscription.get_message(timeout=5) for _ in range(2)]
            return sorted((message["type"], message["data"]) for message in found)

    assert run(work) == [("message", b"hello"), ("pmessage", b"hello")]


def test_a_pool_survives_the_restart_of_the_server(resp_door, run, library):
    errors = LIBRARIES[library][0].exceptions

    async def work(client):
        await asyncio.gather(*(client.set(f"k{number}", 1) for number in range(5)))
        await asyncio.get_running_loop().run_in_executor(None, resp_door.restart)
        for _ in range(100):
            try:
                await client.set("after", 1)
                break
            except errors.ConnectionError:
                await asyncio.sleep(0.05)
        return await asyncio.gather(*(client.incr("n") for _ in range(20)))

    assert sorted(run(work)) == list(range(1, 21))


# Client-side caching


@pytest.fixture
def caching(resp):
    if not resp.is_martlet:
        pytest.skip("the library asks for a later Redis than the one to compare with")
    made = resp.client("redis", protocol=3, cache_config=CacheConfig())
    yield made
    made.close()


def test_a_cached_value_is_not_asked_for_again_and_is_dropped_when_it_changes(resp, caching):
    with resp.client("redis", protocol=3) as other:
        other.set("k", "1")
        assert caching.get("k") == b"1"
        cache = caching.get_cache()
        assert cache.size == 1
        assert caching.get("k") == b"1"
        other.set("k", "2")
        assert eventually(lambda: caching.get("k") == b"2")
        assert cache.size == 1
        other.delete("k")
        assert eventually(lambda: caching.get("k") is None)


def test_collections_are_cached_too(resp, caching):
    with resp.client("redis", protocol=3) as other:
        other.hset("h", "a", 1)
        other.rpush("l", "a")
        other.zadd("z", {"a": 1})
        assert caching.hget("h", "a") == b"1"
        assert caching.lrange("l", 0, -1) == [b"a"]
        assert caching.zscore("z", "a") == 1
        assert caching.get_cache().size == 3
        other.hset("h", "a", 2)
        other.rpush("l", "b")
        other.zadd("z", {"a": 2})
        assert eventually(lambda: caching.hget("h", "a") == b"2")
        assert eventually(lambda: caching.lrange("l", 0, -1) == [b"a", b"b"])
        assert eventually(lambda: caching.zscore("z", "a") == 2)


def test_a_cached_value_is_dropped_when_its_time_ends_or_all_is_flushed(resp, caching):
    with resp.client("redis", protocol=3) as other:
        other.set("k", "1", px=150)
        assert caching.get("k") == b"1"
        assert eventually(lambda: caching.get("k") is None)
        other.set("k", "2")
        assert eventually(lambda: caching.get("k") == b"2")
        other.flushdb()
        assert eventually(lambda: caching.get("k") is None)
