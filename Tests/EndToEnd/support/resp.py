"""The RESP door as its clients see it: where it is, who they are, and the client libraries that they have.

The tests of the door run against a redis-server as well, which shows that they ask for nothing that Redis does not do.
"""

import pathlib
import subprocess
from urllib.parse import quote

import redis
import redis.asyncio
import valkey
import valkey.asyncio

from resp_differential.protocol import Connection
from resp_differential.session import Peer

from .admin import EVERYTHING, fresh_name
from .waiting import PATIENCE

# A client library, by name: its module, and that of its asynchronous face.
LIBRARIES = {"redis": (redis, redis.asyncio), "valkey": (valkey, valkey.asyncio)}


class _Target:
    """What both servers have in common."""

    name = "server"
    # The name of the cache and the token, which are user and password for a client.
    login = ()
    authority = None
    process_id = None

    @property
    def is_encrypted(self):
        return self.authority is not None

    @property
    def context(self):
        return None

    # Raw connections

    def open(self, **options):
        """A connection that has said nothing yet."""
        host, port = self.address
        return Connection(host, port, context=self.context, timeout=PATIENCE, **options)

    def connect(self, protocol=2, **options):
        """A connection of whoever holds the token."""
        connection = self.open(**options)
        words = ("AUTH", *self.login) if self.login else ()
        if protocol == 3:
            assert connection.call("HELLO", "3", *words).kind == b"%"
        elif words:
            assert connection.call(*words).raw == b"+OK\r\n"
        return connection

    def peer(self):
        """The same for the differential test."""
        login = tuple(word.encode() for word in self.login)
        return Peer(self.name, *self.address, login, self.context)

    # Client libraries

    def options(self, **others):
        host, port = self.address
        made = {"host": "localhost" if self.is_encrypted else host, "port": port, "socket_timeout": PATIENCE}
        if self.login:
            made |= {"username": self.login[0], "password": self.login[1]}
        if self.is_encrypted:
            made |= {"ssl": True, "ssl_ca_certs": str(self.authority)}
        return made | others

    def client(self, library="redis", **options):
        return getattr(LIBRARIES[library][0], library.capitalize())(**self.options(**options))

    def asynchronous(self, library="redis", **options):
        return getattr(LIBRARIES[library][1], library.capitalize())(**self.options(**options))

    def url(self, library="redis", **query):
        host, port = self.address
        scheme = f"{library}s" if self.is_encrypted else library
        user = f"{quote(self.login[0], safe='')}:{quote(self.login[1], safe='')}@" if self.login else ""
        if self.is_encrypted:
            host, query = "localhost", {"ssl_ca_certs": str(self.authority), **query}
        text = "&".join(f"{name}={quote(str(value), safe='')}" for name, value in query.items())
        return f"{scheme}://{user}{host}:{port}{'?' + text if text else ''}"

    # Tools

    def tool(self, name):
        """The command line of redis-cli or redis-benchmark with whom to connect to and as whom."""
        host, port = self.address
        command = [name, "-h", "localhost" if self.is_encrypted else host, "-p", str(port)]
        if self.login:
            command += ["--user", self.login[0], "--pass" if name == "redis-cli" else "-a", self.login[1]]
            if name == "redis-cli":
                command.append("--no-auth-warning")
        if self.is_encrypted:
            command += ["--tls", "--cacert", str(self.authority)]
        return command

    def run_tool(self, name, *words, input=None, within=3 * PATIENCE):
        return subprocess.run(
            [*self.tool(name), *words], input=input, capture_output=True, text=True, timeout=within, check=False
        )

    def resident_bytes(self):
        for line in pathlib.Path(f"/proc/{self.process_id}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("the process has no resident memory")


class RedisTarget(_Target):
    """A redis-server, which has one cache and no tokens."""

    name = "redis"
    is_martlet = False

    def __init__(self, server):
        self.server = server

    @property
    def address(self):
        return self.server.address

    @property
    def process_id(self):
        return self.server.process.pid

    def fresh(self):
        with self.connect() as connection:
            connection.call("FLUSHALL")
        return self

    def restart(self):
        self.server.restart()

    def is_healthy(self):
        with self.connect() as connection:
            return connection.call("PING").raw == b"+PONG\r\n"

    def stop(self):
        self.server.stop()


class MartletTarget(_Target):
    """A martlet, seen from one of its caches with one credential."""

    name = "martlet"
    is_martlet = True

    def __init__(self, server, cache="default", credential=None):
        self.server = server
        self.cache = cache
        self.credential = credential
        self.login = (cache, credential) if credential is not None else ()

    @property
    def address(self):
        return self.server.resp

    @property
    def authority(self):
        return None if self.server.is_development else self.server.data_directory / "ca.pem"

    @property
    def context(self):
        return None if self.server.is_development else self.server.tls_context()

    @property
    def process_id(self):
        return self.server.process.pid

    def fresh(self):
        """On a new cache, with a token for it and nothing else."""
        return self.on(self.server.admin.make_cache(fresh_name("resp")))

    def on(self, cache, permissions=None, **options):
        """On a cache, with a token for it."""
        statements = permissions or [
            {**EVERYTHING[0], "cache": cache},
            {"role": "readwrite", "cache": cache, "topic": "*"},
        ]
        token = self.server.admin.make_token(statements, **options)
        made = MartletTarget(self.server, cache, token.credential)
        made.minted = token
        return made

    def restart(self):
        """On the same ports, as an operator would."""
        # The next process must be found where this one was.
        words = self.server.command
        for flag, address in (("--resp", self.server.ready["resp"]), ("--http", self.server.ready["http"])):
            words[words.index(flag) + 1] = address
        self.server.restart()

    def is_healthy(self):
        return self.server.is_healthy()

    def stop(self):
        self.server.stop()
