"""The official SDK over TLS, trusting our local authority, in processes of its own: the roots are read but once."""

import os
import subprocess
import sys

import pytest

from support.server import REPOSITORY, Server

# Everything by the endpoints alone, so that each of the SDK's channels is made as its users get it.
PROGRAM = """
import asyncio, json, sys
from datetime import timedelta
from momento import *
from momento.auth.access_control.disposable_token_scopes import DisposableTokenScopes
from momento.config.auth_configurations import AuthConfigurations
from momento.utilities import ExpiresIn

sys.path.insert(0, sys.argv[3])
from support.sdk import parse

port, credential = sys.argv[1], sys.stdin.read()
place = f"localhost:{port}"
known = parse(credential)
provider = CredentialProvider(known.auth_token, place, place, place, 443)
ttl = timedelta(seconds=60)
said = []

def say(response):
    said.append(type(response).__name__)
    return response

def sync():
    with CacheClient(Configurations.Laptop.latest(), provider, ttl) as client:
        say(client.create_cache("tls"))
        say(client.set("tls", "key", b"x" * 100_000))
        assert len(say(client.get("tls", "key")).value_bytes) == 100_000
        say(client.list_push_back("tls", "list", "value"))
        with TopicClient(TopicConfigurations.Default.latest(), provider) as topics:
            subscription = say(topics.subscribe("tls", "news"))
            say(topics.publish("tls", "news", "hello"))
            assert say(next(subscription)).value == "hello"
            subscription.unsubscribe()
        with AuthClient(AuthConfigurations.Laptop.latest(), provider) as auth:
            scope = DisposableTokenScopes.cache_read_only("tls")
            token = say(auth.generate_disposable_token(scope, ExpiresIn.minutes(1)))
        limited = CredentialProvider(parse(token.auth_token).auth_token, place, place, place, 443)
        with CacheClient(Configurations.Laptop.latest(), limited, ttl) as reader:
            say(reader.get("tls", "key"))
            say(reader.set("tls", "key", "value"))
        say(client.delete_cache("tls"))

async def asynchronous():
    async with CacheClientAsync(Configurations.Laptop.latest(), provider, ttl) as client:
        say(await client.create_cache("tls"))
        say(await client.set("tls", "key", b"x" * 100_000))
        assert len(say(await client.get("tls", "key")).value_bytes) == 100_000
        say(await client.list_push_back("tls", "list", "value"))
        async with TopicClientAsync(TopicConfigurations.Default.latest(), provider) as topics:
            subscription = say(await topics.subscribe("tls", "news"))
            say(await topics.publish("tls", "news", "hello"))
            assert say(await subscription.__anext__()).value == "hello"
            subscription.unsubscribe()
        async with AuthClientAsync(AuthConfigurations.Laptop.latest(), provider) as auth:
            scope = DisposableTokenScopes.cache_read_only("tls")
            token = say(await auth.generate_disposable_token(scope, ExpiresIn.minutes(1)))
        limited = CredentialProvider(parse(token.auth_token).auth_token, place, place, place, 443)
        async with CacheClientAsync(Configurations.Laptop.latest(), limited, ttl) as reader:
            say(await reader.get("tls", "key"))
            say(await reader.set("tls", "key", "value"))
        say(await client.delete_cache("tls"))

sync() if sys.argv[2] == "sync" else asyncio.run(asynchronous())
print(json.dumps(said))
"""

EXPECTED = [
    "Success",
    "Success",
    "Hit",
    "Success",
    "Subscription",
    "Success",
    "Text",
    "Success",
    "Hit",
    "Error",
    "Success",
]


@pytest.fixture(scope="module")
def secure(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("secure") / "data", is_development=False).start()
    yield server
    server.stop()


def run(server, face):
    environment = {
        **os.environ,
        "GRPC_VERBOSITY": "NONE",
        "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": str(server.data_directory / "ca.pem"),
    }
    tests = str(REPOSITORY / "Tests" / "EndToEnd")
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, str(server.http[1]), face, tests],
        input=server.root_key,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )


@pytest.mark.parametrize("face", ["sync", "async"])
def test_everything_works_over_tls(secure, face):
    result = run(secure, face)
    assert result.returncode == 0, result.stderr
    expected = [name + "Async" if name == "Subscription" and face == "async" else name for name in EXPECTED]
    assert result.stdout.strip() == str(expected).replace("'", '"')
