"""The same calls through REST and through gRPC, each on a cache of its own: the same answers, and the same state."""

import random
from urllib.parse import quote

import grpc
import pytest

from support.server import inner_form
from support.wire import HIT, Code, caller_for

KEYS = [b"a", b"b", b"c", b"\xff\x00", "schlüssel".encode(), b"k" * 500]
VALUES = [b"", b"1", b"-5", b"42", b"9223372036854775807", b"not a number", b"\x00\xff" * 40, b"x" * 5000]
STEPS = 1500


class Rest:
    """Each call gives what both doors can tell: a value, or a word."""

    def __init__(self, server, cache):
        self._client, self._headers, self._cache = server.client(), server.admin.headers, cache
        self.operations = {
            "get": self.get,
            "set": self.set,
            "delete": self.delete,
            "increment": self.increment,
            "set if absent": lambda key, value, ttl: self.set(key, value, ttl, {"if-none-match": "*"}),
            "set if present": lambda key, value, ttl: self.set(key, value, ttl, {"if-match": "*"}),
            "exists": self.exists,
        }

    def _call(self, method, key, path="", query="", headers=None, body=None):
        target = f"/cache/{self._cache}{path}?key_base64={quote_key(key)}{query}"
        return self._client.request(method, target, headers={**self._headers, **(headers or {})}, body=body)

    def get(self, key, *_):
        response = self._call("GET", key)
        return response.body if response.status == 200 else word(response)

    def exists(self, key, *_):
        return self._call("HEAD", key).status == 200

    def set(self, key, value, ttl, headers=None):
        response = self._call("PUT", key, query=f"&ttl_seconds={ttl}", headers=headers, body=value)
        return "stored" if response.status == 204 else word(response)

    def delete(self, key, *_):
        return self._call("DELETE", key).must_be(204).status == 204

    def increment(self, key, value, ttl):
        amount = amount_of(value)
        response = self._call("POST", key, "/increment", f"&by={amount}&ttl_seconds={ttl}")
        return response.json()["value"] if response.status == 200 else word(response)

    def close(self):
        self._client.close()


def quote_key(key):
    import base64

    return quote(base64.urlsafe_b64encode(key).decode(), safe="")


def word(response):
    """What a refusal means, whichever door says it."""
    return {404: "missing", 412: "not stored", 409: "failed precondition", 400: "invalid argument"}[response.status]


def amount_of(value):
    """A number that depends on the value, now and then a huge one."""
    return [1, -1, 7, 2**62, -(2**62), 0][len(value) % 6]


class Grpc:
    def __init__(self, server, cache):
        self._caller = caller_for(server, cache, credential=inner_form(server.root_key))
        self._scs = self._caller.scs
        self.operations = {
            "get": self.get,
            "set": lambda key, value, ttl: self._told(
                lambda: self._scs.Set(cache_key=key, cache_body=value, ttl_milliseconds=ttl * 1000) and "stored"
            ),
            "delete": lambda key, *_: self._scs.Delete(cache_key=key) is not None,
            "increment": lambda key, value, ttl: self._told(
                lambda: self._scs.Increment(cache_key=key, amount=amount_of(value), ttl_milliseconds=ttl * 1000).value
            ),
            "set if absent": lambda key, value, ttl: self._conditional(key, value, ttl, absent={}),
            "set if present": lambda key, value, ttl: self._conditional(key, value, ttl, present={}),
            "exists": lambda key, *_: self._scs.KeysExist(cache_keys=[key]).exists[0],
        }

    @staticmethod
    def _told(call):
        try:
            return call()
        except grpc.RpcError as error:
            return {
                Code.FAILED_PRECONDITION: "failed precondition",
                Code.INVALID_ARGUMENT: "invalid argument",
            }[error.code()]

    def get(self, key, *_):
        response = self._scs.Get(cache_key=key)
        return response.cache_body if response.result == HIT else "missing"

    def _conditional(self, key, value, ttl, **condition):
        def call():
            response = self._scs.SetIf(cache_key=key, cache_body=value, ttl_milliseconds=ttl * 1000, **condition)
            return "stored" if response.WhichOneof("result") == "stored" else "not stored"

        return self._told(call)

    def close(self):
        self._caller.close()


@pytest.mark.parametrize("seed", [11, 12])
def test_both_doors_do_the_same(server, seed):
    print(f"seed {seed}")
    generator = random.Random(seed)
    caches = [server.admin.make_cache() for _ in range(2)]
    doors = [Rest(server, caches[0]), Grpc(server, caches[1])]
    assert doors[0].operations.keys() == doors[1].operations.keys()
    seen = set()
    for step in range(STEPS):
        name = generator.choice(list(doors[0].operations))
        key, value = generator.choice(KEYS), generator.choice(VALUES)
        # Now and then a time that cannot be.
        ttl = generator.choice([60, 3600, 86_400, 0])
        # A time of nothing is for a gRPC call that the cache decides, and here it decides the same.
        answers = [door.operations[name](key, value, ttl) for door in doors]
        assert answers[0] == answers[1], (step, name, key, value[:20], ttl)
        seen.add((name, answers[0] if isinstance(answers[0], (str, bool)) else type(answers[0]).__name__))
    # All that can come of a call did.
    assert {result for _, result in seen} >= {
        "stored",
        "not stored",
        "missing",
        "failed precondition",
        "invalid argument",
        "bytes",
        "int",
        True,
        False,
    }, seen
    # Each door sees the same in either cache, whoever wrote it.
    others = [Rest(server, caches[1]), Grpc(server, caches[0])]
    for key in KEYS:
        assert len({door.get(key) for door in [*doors, *others]}) == 1, key
    live = [server.admin.cache(cache) for cache in caches]
    assert live[0].get("items") == live[1].get("items")
    for door in [*doors, *others]:
        door.close()
