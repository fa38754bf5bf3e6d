"""The control plane, called as an operator or a tenant would."""

import json
import uuid
from dataclasses import dataclass
from urllib.parse import quote, urlencode

EVERYTHING = [{"role": "readwrite", "cache": "*"}]


@dataclass(frozen=True)
class Minted:
    """An API key or a token as its owner received it."""

    credential: str
    id: str
    expires_at: int | None
    refresh_token: str | None = None

    @property
    def headers(self):
        return {"authorization": self.credential}


def fresh_name(prefix):
    return f"{prefix}-{uuid.uuid4().hex[:12]}"


class Admin:
    """Calls under `/v1/admin` with one credential, on a connection of its own. Not for several threads at once."""

    def __init__(self, server, credential=None, *, tenant=None):
        self.server = server
        self.credential = credential or server.root_key
        # Only the root key picks a tenant.
        self.tenant = tenant
        self._client = server.client()

    @property
    def headers(self):
        return {"authorization": self.credential}

    def call(self, method, path, body=None, *, query=None, headers=None, raw=None):
        """One call. `body` is sent as JSON, `raw` as it is."""
        parameters = dict(query or {})
        if self.tenant is not None:
            parameters.setdefault("tenant", self.tenant)
        target = f"/v1/admin{path}"
        if parameters:
            target += f"?{urlencode(parameters, quote_via=quote)}"
        content = raw if raw is not None else None if body is None else json.dumps(body).encode()
        return self._client.request(method, target, headers={**self.headers, **(headers or {})}, body=content)

    def items(self, path, name, *, limit=None, query=None):
        """All items of a list, page by page."""
        parameters = dict(query or {})
        if limit is not None:
            parameters["limit"] = limit
        found = []
        while True:
            page = self.call("GET", path, query=parameters).must_be(200).json()
            assert set(page) <= {name, "next_token"}, page
            if limit is not None:
                assert len(page[name]) <= limit
            found += page[name]
            if not page.get("next_token"):
                return found
            parameters["next_token"] = page["next_token"]

    def make_cache(self, name=None, **body):
        name = name or fresh_name("cache")
        self.call("PUT", f"/caches/{quote(name, safe='')}", body).must_be(201)
        return name

    def change_cache(self, name, **body):
        self.call("PUT", f"/caches/{quote(name, safe='')}", body).must_be(200)

    def cache(self, name):
        return self.call("GET", f"/caches/{quote(name, safe='')}").must_be(200).json()

    def make_token(self, permissions=EVERYTHING, *, ttl_seconds=600, **body):
        answer = (
            self.call("POST", "/tokens", {"permissions": permissions, "ttl_seconds": ttl_seconds, **body})
            .must_be(201)
            .json()
        )
        self.server.keep_secret(answer["token"])
        return Minted(answer["token"], answer["id"], answer["expires_at"])

    def make_key(self, permissions=EVERYTHING, *, format="v1", **body):
        answer = self.call("POST", "/keys", {"permissions": permissions, "format": format, **body}).must_be(201).json()
        self.server.keep_secret(answer["key"])
        if answer.get("refresh_token"):
            self.server.keep_secret(answer["refresh_token"])
        return Minted(answer["key"], answer["id"], answer["expires_at"], answer.get("refresh_token"))

    def make_tenant(self, name=None, **body):
        """Makes a tenant; gives its control plane with the super-user key that came with it."""
        name = name or fresh_name("tenant")
        answer = self.call("PUT", f"/tenants/{name}", body).must_be(201).json()
        self.server.keep_secret(answer["key"])
        made = Admin(self.server, answer["key"])
        made.name = name
        return made

    def revoke_token(self, token_id):
        self.call("DELETE", f"/tokens/{token_id}").must_be(204)

    def revoke_key(self, key_id):
        self.call("DELETE", f"/keys/{key_id}").must_be(204)

    def usage(self, cache=None, **query):
        """The rows of the usage call, all pages."""
        if cache is not None:
            query["cache"] = cache
        return self.items("/usage", "rows", query=query)

    def used(self, cache, **query):
        """The sums over the rows of one cache, by meter."""
        sums = {}
        for row in self.usage(cache, **query):
            for name, value in row.items():
                if isinstance(value, int) and name != "start":
                    sums[name] = sums.get(name, 0) + value
        return sums
