"""The official SDK, pointed at a server of ours: synchronous, or asynchronous behind the same face."""

import asyncio
import contextlib
import dataclasses
import functools
import inspect
import warnings
from datetime import timedelta

from momento import (
    AuthClient,
    AuthClientAsync,
    CacheClient,
    CacheClientAsync,
    Configurations,
    CredentialProvider,
    TopicClient,
    TopicClientAsync,
    TopicConfigurations,
)
from momento.config.auth_configurations import AuthConfigurations
from momento.errors import InvalidArgumentException

from .server import inner_form, outer_form
from .waiting import PATIENCE

TTL = timedelta(seconds=60)
HTTPS = 443


def parse(credential):
    """What the SDK itself makes of a credential in the form in which its users hold it. The root key and the tokens of
    our own control plane have no such form: they are put into it."""
    if credential.count(".") == 2:
        with contextlib.suppress(InvalidArgumentException):
            return CredentialProvider.from_api_key_v2(credential, "localhost")
    is_outer = inner_form(credential) != credential
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return CredentialProvider.from_string(credential if is_outer else outer_form(credential))


def provider(server, credential):
    """The same with the server's address. The SDK takes TLS for port 443 only, whatever stands behind the name."""
    host, port = server.http
    if not server.is_development:
        host, port = f"localhost:{port}", HTTPS
    place = {"control_endpoint": host, "cache_endpoint": host, "token_endpoint": host, "port": port}
    return dataclasses.replace(parse(credential), **place)


@functools.cache
def _loop():
    """One for the process: the library binds itself to it."""
    return asyncio.new_event_loop()


class Awaited:
    """Something asynchronous, each of whose calls is waited for."""

    def __init__(self, wrapped):
        self._wrapped = wrapped

    def __getattr__(self, name):
        member = getattr(self._wrapped, name)
        if not callable(member):
            return member

        def call(*arguments, **options):
            return _settle(member(*arguments, **options))

        return call

    def __iter__(self):
        return self

    def __next__(self):
        return _settle(self._wrapped.__anext__())


def _settle(value):
    async def settled():
        return await asyncio.wait_for(value, 3 * PATIENCE)

    if inspect.isawaitable(value):
        value = _loop().run_until_complete(settled())
    return Awaited(value) if hasattr(value, "__anext__") else value


class Sdk:
    """Makes clients of one kind, and closes them."""

    def __init__(self, server, *, is_async):
        self.server = server
        self.is_async = is_async
        self._made = []

    def _keep(self, make):
        """Makes a client; an asynchronous one within the loop."""

        async def made():
            return make()

        client = Awaited(_loop().run_until_complete(made())) if self.is_async else make()
        self._made.append(client)
        return client

    def _provider(self, credential):
        if isinstance(credential, CredentialProvider):
            return credential
        return provider(self.server, credential or self.server.root_key)

    def cache(self, credential=None, *, configuration=None, ttl=TTL):
        kind = CacheClientAsync if self.is_async else CacheClient
        configuration = configuration or Configurations.Laptop.latest()
        return self._keep(lambda: kind(configuration, self._provider(credential), ttl))

    def topics(self, credential=None, *, configuration=None):
        kind = TopicClientAsync if self.is_async else TopicClient
        configuration = configuration or TopicConfigurations.Default.latest()
        return self._keep(lambda: kind(configuration, self._provider(credential)))

    def auth(self, credential=None):
        kind = AuthClientAsync if self.is_async else AuthClient
        return self._keep(lambda: kind(AuthConfigurations.Laptop.latest(), self._provider(credential)))

    def close(self):
        for client in self._made:
            # The cache clients have no `close`, and end where a `with` would.
            wrapped = getattr(client, "_wrapped", client)
            with contextlib.suppress(AttributeError):
                if self.is_async:
                    _settle(wrapped.__aexit__(None, None, None))
                else:
                    wrapped.__exit__(None, None, None)


def kind_of(response):
    """`Hit`, `Miss`, `Success`, `Set` …; an error shows itself."""
    name = type(response).__name__
    assert name != "Error", f"{response.error_code}: {response.message}"
    return name


def must(response, kind):
    """Gives the response back if it is of that kind."""
    assert kind_of(response) == kind, response
    return response


def must_fail(response, code):
    """Gives the error back if the response is one with that code."""
    assert type(response).__name__ == "Error", f"expected {code}, got {response}"
    assert response.error_code == code, f"expected {code}, got {response.error_code}: {response.message}"
    return response
