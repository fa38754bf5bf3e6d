"""Fixtures of all end-to-end tests.

Each file has a server of its own (`server`), so that what one does to its server is nothing to the others; tests of one
file keep apart by caches and tenants of their own (`cache`). A test that needs a server of another kind, or one that it
may break, makes it with `make_server`.
"""

import os
import pathlib
import tempfile

import pytest

from resp_differential.peer import RedisServer
from support.resp import MartletTarget, RedisTarget
from support.sdk import Sdk
from support.server import Server
from support.topics import Topic
from support.wire import caller_for

# Nothing of what generated tests remember belongs into the repository.
os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", str(pathlib.Path(tempfile.gettempdir()) / "martlet-hypothesis"))


def pytest_addoption(parser):
    parser.addoption("--resp-seed", type=int, help="the seed of the random commands; a new one by default")
    parser.addoption("--resp-count", type=int, default=2500, help="how many random commands, in each version of RESP")
    parser.addoption(
        "--resp-against",
        choices=["martlet", "redis"],
        default="martlet",
        help="what tests of the RESP door run against: a redis-server, to see that they ask no more of Martlet",
    )


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server with `--dev`, one for the file. It must end well, and must have kept its secrets."""
    running = Server(tmp_path_factory.mktemp("martlet") / "data").start()
    yield running
    running.stop()


@pytest.fixture
def make_server(tmp_path):
    """Makes servers for one test: `make_server(arguments=[...])`. Those still running at its end must end well."""
    made = []

    def make(name="data", *, starts=True, **options):
        server = Server(tmp_path / name, **options)
        made.append(server)
        return server.start() if starts else server

    yield make
    for server in made:
        server.stop()


@pytest.fixture
def cache(server):
    """The name of a new, empty cache of tenant `default`."""
    return server.admin.make_cache()


@pytest.fixture(params=["http1", "http2"])
def client(request, server):
    """A well-behaved client, once for each HTTP version."""
    made = server.client() if request.param == "http1" else server.http2()
    yield made
    made.close()


@pytest.fixture
def root(server):
    """The header fields of the root key."""
    return server.admin.headers


@pytest.fixture
def topic(server, cache):
    """A publisher to the topics of the new cache."""
    made = Topic(server, cache)
    yield made
    made.close()


@pytest.fixture
def caller(server, cache):
    """The root key by gRPC, on the new cache."""
    made = caller_for(server, cache)
    yield made
    made.close()


@pytest.fixture(params=["sync", "async"])
def sdk(request, server):
    """The official SDK, once for each of its two faces."""
    made = Sdk(server, is_async=request.param == "async")
    yield made
    made.close()


@pytest.fixture(scope="session")
def redis_server():
    """A redis-server to compare with. Tests empty it."""
    running = RedisServer().start()
    yield running
    running.stop()


@pytest.fixture(scope="module", params=["clear", "tls"])
def resp_door(request, tmp_path_factory):
    """The RESP door of a server, one for the file, once in cleartext and once over TLS."""
    is_clear = request.param == "clear"
    if request.config.getoption("--resp-against") == "redis":
        if not is_clear:
            pytest.skip("the redis-server to compare with has no certificate")
        target = RedisTarget(RedisServer().start())
    else:
        directory = tmp_path_factory.mktemp("martlet") / "data"
        target = MartletTarget(Server(directory, is_development=is_clear).start())
    yield target
    target.stop()


@pytest.fixture
def resp(resp_door):
    """The RESP door on a new cache, with a token for it."""
    return resp_door.fresh()


@pytest.fixture(scope="module")
def resp_clear_door(request, tmp_path_factory):
    """The RESP door of a server with `--dev`, for what has nothing to do with TLS."""
    if request.config.getoption("--resp-against") == "redis":
        target = RedisTarget(RedisServer().start())
    else:
        target = MartletTarget(Server(tmp_path_factory.mktemp("martlet") / "data").start())
    yield target
    target.stop()


@pytest.fixture
def resp_clear(resp_clear_door):
    """That door on a new cache."""
    return resp_clear_door.fresh()
