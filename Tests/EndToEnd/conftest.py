"""Fixtures of all end-to-end tests.

Each file has a server of its own (`server`), so that what one does to its server is nothing to the others; tests of one
file keep apart by caches and tenants of their own (`cache`). A test that needs a server of another kind, or one that it
may break, makes it with `make_server`.
"""

import os
import pathlib
import tempfile

import pytest

from support.sdk import Sdk
from support.server import Server
from support.topics import Topic
from support.wire import caller_for

# Nothing of what generated tests remember belongs into the repository.
os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", str(pathlib.Path(tempfile.gettempdir()) / "martlet-hypothesis"))


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
