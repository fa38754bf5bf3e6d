"""Random commands, told to Martlet and to a redis-server: every reply must be the same, byte for byte.

The seed is printed; `--resp-seed` and `--resp-count` run the same again, or more.
`resp_differential/run.py` does so outside of pytest.
"""

import io
import random

import pytest

from resp_differential.commands import FAMILIES
from resp_differential.generator import EXTRA_FAMILIES, CommandGenerator
from resp_differential.grammar import expand, parse
from resp_differential.minimise import minimise
from resp_differential.peer import RedisServer
from resp_differential.pipeline import explore_pipelined
from resp_differential.run import explore, report
from resp_differential.session import Peer, Session
from resp_differential.values import Values
from support.resp import MartletTarget


@pytest.fixture(scope="module")
def seed(request):
    chosen = request.config.getoption("--resp-seed")
    return random.randrange(1 << 30) if chosen is None else chosen


def redis_peer(server):
    return Peer("redis", *server.address)


def check(session, seed, count, families=None):
    """Fails with every difference found, each with its short history."""
    print(f"--resp-seed {seed}")
    text = io.StringIO()
    found = explore(
        session,
        CommandGenerator(seed, families),
        count,
        most=10,
        minimising=3.0,
        on_mismatch=lambda steps, mismatch, _: report(session, steps[-30:], mismatch, out=text),
        skips_unsupported=False,
    )
    session.close()
    assert not found, f"--resp-seed {seed}: {len(found)} differences\n{text.getvalue()}"
    assert session.compared > count * 0.9


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.timeout(180)
def test_every_reply_is_that_of_redis(request, resp_clear, redis_server, seed, protocol):
    session = Session(resp_clear.peer(), redis_peer(redis_server), protocol)
    check(session, seed + protocol, request.config.getoption("--resp-count"))


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("family", [*FAMILIES, *EXTRA_FAMILIES])
def test_every_family_by_itself(request, resp_clear, redis_server, seed, family, protocol):
    families = [family] if family in FAMILIES else ["strings", "keys", "lists", "zsets", family]
    session = Session(resp_clear.peer(), redis_peer(redis_server), protocol)
    count = request.config.getoption("--resp-count") // (40 if family == "blocking" else 20)
    check(session, seed + protocol, count, families)


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.timeout(120)
def test_a_pipeline_changes_nothing(request, resp_clear, redis_server, seed, protocol):
    check_pipelined(request, Session(resp_clear.peer(), redis_peer(redis_server), protocol), seed + protocol)


@pytest.mark.timeout(120)
def test_without_sealing_every_reply_is_the_same(request, make_server, redis_server, seed):
    if request.config.getoption("--resp-against") == "redis":
        pytest.skip("Redis seals nothing")
    resp = MartletTarget(make_server(arguments=["--seal", "off"])).fresh()
    check(Session(resp.peer(), redis_peer(redis_server), 3), seed, request.config.getoption("--resp-count") // 2)
    check_pipelined(request, Session(resp.peer(), redis_peer(redis_server), 2), seed)


def check_pipelined(request, session, seed):
    print(f"--resp-seed {seed}")
    count = request.config.getoption("--resp-count") // 2
    found = explore_pipelined(session, CommandGenerator(seed), count, seed=seed)
    text = io.StringIO()
    for steps, mismatch in found:
        alone = minimise(session, steps, mismatch, within=3.0)
        report(session, *(alone or (steps[-40:], mismatch)), out=text)
        print("only in a pipeline" if alone is None else "also one by one", file=text)
    session.close()
    assert not found, f"--resp-seed {seed}\n{text.getvalue()}"


# The comparison itself


def test_every_pattern_makes_commands():
    values = Values(random.Random(1))
    for entries in FAMILIES.values():
        for entry in entries:
            for _ in range(20):
                arguments = expand(parse(entry.pattern), values.generator, values)
                assert arguments and all(isinstance(argument, bytes) for argument in arguments), entry


def test_the_same_seed_makes_the_same_commands():
    assert [step.arguments for step in CommandGenerator(7).steps(500) if step.arguments[0] in (b"GET", b"LPUSH")] == [
        step.arguments for step in CommandGenerator(7).steps(500) if step.arguments[0] in (b"GET", b"LPUSH")
    ]


@pytest.mark.parametrize("protocol", [2, 3])
def test_redis_differs_nowhere_from_itself(redis_server, seed, protocol):
    other = RedisServer().start()
    try:
        check(Session(redis_peer(other), redis_peer(redis_server), protocol), seed, 1500)
        session = Session(redis_peer(other), redis_peer(redis_server), protocol)
        assert not explore_pipelined(session, CommandGenerator(seed), 1500, seed=seed)
        session.close()
    finally:
        other.stop()


def test_a_server_that_confuses_two_commands_is_found(redis_server, seed):
    renamed = [("LPUSH", "OTHER"), ("RPUSH", "LPUSH"), ("OTHER", "RPUSH")]
    other = RedisServer(*(word for pair in renamed for word in ("--rename-command", *pair))).start()
    try:
        session = Session(redis_peer(other), redis_peer(redis_server))
        found = explore(session, CommandGenerator(seed, ["lists"]), 1000, most=1, minimising=5.0)
        session.close()
    finally:
        other.stop()
    (steps, mismatch) = found[0]
    assert mismatch.ours != mismatch.theirs
    assert len(steps) <= 3, [step.arguments for step in steps]
