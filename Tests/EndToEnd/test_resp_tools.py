"""redis-cli and redis-benchmark, which come with Redis."""

import csv
import io

import pytest


def cli(resp, *words, **options):
    answer = resp.run_tool("redis-cli", *words, **options)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


@pytest.mark.parametrize("version", ["-2", "-3"])
def test_commands_one_by_one(resp, version):
    assert cli(resp, version, "PING") == "PONG\n"
    assert cli(resp, version, "SET", "k", "a value") == "OK\n"
    assert cli(resp, version, "GET", "k") == "a value\n"
    assert cli(resp, version, "RPUSH", "l", "a", "b") == "2\n"
    assert cli(resp, version, "LRANGE", "l", "0", "-1") == "a\nb\n"
    assert cli(resp, version, "--no-raw", "GET", "absent") == "(nil)\n"
    assert "WRONGTYPE" in cli(resp, version, "INCR", "l")
    assert cli(resp, version, "DBSIZE") == "2\n"


def test_a_conversation_over_standard_input(resp):
    assert cli(resp, input="SET a 1\nINCR a\nMULTI\nINCR a\nINCR a\nEXEC\nGET a\n").split("\n") == [
        "OK",
        "2",
        "OK",
        "QUEUED",
        "QUEUED",
        "3",
        "4",
        "4",
        "",
    ]


def test_a_value_from_standard_input(resp):
    assert cli(resp, "-x", "SET", "k", input="line\nline\n") == "OK\n"
    assert cli(resp, "STRLEN", "k") == "10\n"


def test_mass_insertion_by_pipe(resp):
    commands = "".join(f"*3\r\n$3\r\nSET\r\n${len(str(n)) + 1}\r\nk{n}\r\n$1\r\nv\r\n" for n in range(20_000))
    assert "errors: 0, replies: 20000" in cli(resp, "--pipe", input=commands)
    assert cli(resp, "DBSIZE") == "20000\n"


def test_scanning_and_big_keys(resp):
    cli(resp, input="".join(f"SET key:{n} {n}\n" for n in range(300)) + "RPUSH list a b c\n")
    assert len(cli(resp, "--scan", "--pattern", "key:*").split()) == 300
    found = cli(resp, "--bigkeys")
    assert "Sampled 301 keys in the keyspace" in found
    assert "has 3 items" in found


def test_latency_and_statistics_are_shown(resp):
    assert float(cli(resp, "--latency", "--raw", "-i", "1").split()[2]) < 1000
    assert "redis_version" in cli(resp, "INFO", "server")


# What redis-benchmark asks for by itself, without streams.
TESTS = (
    "ping_inline,ping_mbulk,set,get,incr,lpush,rpush,lpop,rpop,sadd,hset,spop,zadd,zpopmin,lrange_100,lrange_600,mset"
)


@pytest.mark.parametrize("version", [[], ["-3"]], ids=["resp2", "resp3"])
@pytest.mark.parametrize("pipeline", [1, 16])
def test_the_benchmark_runs_through(resp, version, pipeline):
    answer = resp.run_tool(
        "redis-benchmark", *version, "-t", TESTS, "-n", "2000", "-r", "1000", "-P", str(pipeline), "-c", "20", "--csv"
    )
    assert answer.returncode == 0, answer.stderr
    assert "rror" not in answer.stderr, answer.stderr
    rows = list(csv.DictReader(io.StringIO(answer.stdout)))
    assert len(rows) >= 17, answer.stdout
    assert all(float(row["rps"]) > 0 for row in rows)


def test_the_benchmark_runs_a_command_of_ones_own(resp):
    answer = resp.run_tool(
        "redis-benchmark", "-n", "1000", "-q", "-r", "100", "ZADD", "z", "__rand_int__", "m:__rand_int__"
    )
    assert answer.returncode == 0 and "requests per second" in answer.stdout, answer.stderr
    assert 0 < int(cli(resp, "ZCARD", "z")) <= 100
