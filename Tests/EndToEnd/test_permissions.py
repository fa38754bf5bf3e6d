"""The whole table of roles, selectors and operations, walked against the running server in every form of credential."""

import base64
import itertools
from dataclasses import dataclass

import pytest

from support.admin import fresh_name
from support.server import inner_form, outer_form

READ, WRITE, BOTH = "readonly", "writeonly", "readwrite"
ROLES = (READ, WRITE, BOTH)

# One for each row of the table that the REST door can ask: what is asked, and the roles that are enough for it.
OPERATIONS = {
    "get": ("GET", "/cache/{cache}?{key}", {}, {READ, BOTH}),
    "facts": ("HEAD", "/cache/{cache}?{key}", {}, {READ, BOTH}),
    "conditional get": ("GET", "/cache/{cache}?{key}", {"if-none-match": "*"}, {READ, BOTH}),
    "set": ("PUT", "/cache/{cache}?{key}&ttl_seconds=60", {}, {WRITE, BOTH}),
    "set if absent": ("PUT", "/cache/{cache}?{key}&ttl_seconds=60", {"if-none-match": "*"}, {BOTH}),
    "set if present": ("PUT", "/cache/{cache}?{key}&ttl_seconds=60", {"if-match": "*"}, {BOTH}),
    "delete": ("DELETE", "/cache/{cache}?{key}", {}, {WRITE, BOTH}),
    "delete if present": ("DELETE", "/cache/{cache}?{key}", {"if-match": "*"}, {BOTH}),
    "increment": ("POST", "/cache/{cache}/increment?{key}&ttl_seconds=60", {}, {BOTH}),
}

KEYS = (b"cart:1", b"cart:12", b"cart:", b"cart", b"Cart:1", b"other", b"\xff\x00cart:1")


@dataclass(frozen=True)
class Selector:
    """A way to say what a permission is for, and by itself what that means."""

    name: str
    statement: dict
    is_for_cache: object
    is_for_key: object


def base64_text(value):
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


def selectors(shop):
    """Every selector of the contract, for a cache called `shop` beside another."""
    here, anywhere = (lambda cache: cache == shop), (lambda cache: True)
    binary = b"\xff\x00"
    return [
        Selector("all caches", {"cache": "*"}, anywhere, lambda key: True),
        Selector(
            "all caches, prefix", {"cache": "*", "key_prefix": "cart:"}, anywhere, lambda key: key.startswith(b"cart:")
        ),
        Selector("one cache", {"cache": shop}, here, lambda key: True),
        Selector("one key", {"cache": shop, "key": "cart:1"}, here, lambda key: key == b"cart:1"),
        Selector("prefix", {"cache": shop, "key_prefix": "cart:"}, here, lambda key: key.startswith(b"cart:")),
        Selector(
            "one binary key",
            {"cache": shop, "key_base64": base64_text(b"\xff\x00cart:1")},
            here,
            lambda key: key == b"\xff\x00cart:1",
        ),
        Selector(
            "binary prefix",
            {"cache": shop, "key_prefix_base64": base64_text(binary)},
            here,
            lambda key: key.startswith(binary),
        ),
        Selector("all topics", {"cache": "*", "topic": "*"}, anywhere, lambda key: False),
        Selector("one topic", {"cache": shop, "topic": "cart:1"}, here, lambda key: False),
        Selector("topic prefix", {"cache": shop, "topic_prefix": "cart:"}, here, lambda key: False),
    ]


SELECTOR_COUNT = len(selectors("any"))


@pytest.fixture(scope="module")
def caches(server):
    return server.admin.make_cache("shop"), server.admin.make_cache("warehouse")


def forms(minted, *, has_outer_form=True):
    """Every way in which the holder of a credential may present it."""
    inner = inner_form(minted.credential)
    plain = {minted.credential, inner}
    if has_outer_form and len(plain) == 1:
        plain.add(outer_form(inner))
    return sorted(plain) + sorted(f"Bearer {form}" for form in plain)


def walk(server, caches, credentials, is_allowed, keys=KEYS):
    """Asks for every operation on every key of every cache in every form; gives the differences to what is allowed."""
    client = server.client()
    differences = []
    count = 0
    for (name, (method, target, fields, roles)), cache, key, credential in itertools.product(
        OPERATIONS.items(), caches, keys, credentials
    ):
        path = target.format(cache=cache, key=f"key_base64={base64_text(key)}")
        response = client.request(
            method, path, headers={"authorization": credential, **fields}, body=b"1" if method == "PUT" else None
        )
        count += 1
        if (response.status != 403) != is_allowed(name, roles, cache, key):
            differences.append((name, cache, key, response.status))
        elif response.status not in (200, 204, 304, 403, 404, 412):
            differences.append((name, cache, key, response.status, response.body))
    assert count == len(OPERATIONS) * len(caches) * len(keys) * len(credentials)
    return differences


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("index", range(SELECTOR_COUNT), ids=[made.name for made in selectors("any")])
def test_the_table_holds_for_every_credential(server, caches, role, index):
    selector = selectors(caches[0])[index]
    permissions = [{"role": role, **selector.statement}]
    credentials = [
        *forms(server.admin.make_key(permissions, format="v1")),
        *forms(server.admin.make_key(permissions, format="v2"), has_outer_form=False),
        *forms(server.admin.make_token(permissions)),
    ]
    # v1 keys and tokens come in an outer and an inner form, v2 keys in one; each with and without `Bearer`.
    assert len(credentials) == 10

    def is_allowed(_, roles, cache, key):
        return role in roles and selector.is_for_cache(cache) and selector.is_for_key(key)

    assert walk(server, caches, credentials, is_allowed) == []


def test_statements_add_up(server, caches):
    shop, warehouse = caches
    permissions = [
        {"role": READ, "cache": "*"},
        {"role": WRITE, "cache": shop, "key_prefix": "cart:"},
        {"role": BOTH, "cache": warehouse, "key": "other"},
    ]

    def is_allowed(_, roles, cache, key):
        return (
            READ in roles
            or (WRITE in roles and cache == shop and key.startswith(b"cart:"))
            or (BOTH in roles and cache == warehouse and key == b"other")
        )

    credential = server.admin.make_token(permissions).credential
    assert walk(server, caches, [credential], is_allowed) == []


def test_a_readonly_and_a_writeonly_statement_do_not_make_a_readwrite_one(server, caches):
    # A condition needs one statement that both reads and writes; two halves are for two keys' worth of trust.
    permissions = [{"role": READ, "cache": caches[0]}, {"role": WRITE, "cache": caches[0], "key": "cart:1"}]
    token = server.admin.make_token(permissions).credential
    client = server.client()
    response = client.request(
        "POST", f"/cache/{caches[0]}/increment?key=cart:1&ttl_seconds=60", headers={"authorization": token}
    )
    response.must_refuse(403, "PermissionDenied")


def test_super_users_may_do_everything_with_their_own_data(server, caches):
    credentials = [server.root_key, *forms(server.admin.make_key("super_user"))]
    assert walk(server, caches, credentials, lambda *_: True, keys=(b"cart:1",)) == []


def test_a_forbidden_key_is_403_whether_or_not_it_or_its_cache_exists(server, caches):
    token = server.admin.make_token([{"role": BOTH, "cache": caches[0], "key_prefix": "cart:"}]).headers
    client = server.client()
    for cache in (caches[0], caches[1], fresh_name("missing")):
        client.request("GET", f"/cache/{cache}?key=secret", headers=token).must_refuse(
            403, "PermissionDenied", says="Insufficient permissions"
        )


def test_a_selector_takes_a_name_byte_by_byte(server):
    # Composed and decomposed, the same to the eye: two caches and two keys.
    composed, decomposed = "caf%C3%A9", "cafe%CC%81"
    for name in (composed, decomposed):
        server.admin.call("PUT", f"/caches/{name}", {}).must_be(201)
    token = server.admin.make_token([{"role": BOTH, "cache": "café"}]).headers
    client = server.client()
    client.request("GET", f"/cache/{composed}?key=k", headers=token).must_be(404)
    client.request("GET", f"/cache/{decomposed}?key=k", headers=token).must_be(403)
    token = server.admin.make_token([{"role": BOTH, "cache": "*", "key": "café"}]).headers
    client.request("GET", f"/cache/{composed}?key=caf%C3%A9", headers=token).must_be(404)
    client.request("GET", f"/cache/{composed}?key=cafe%CC%81", headers=token).must_be(403)


@pytest.mark.parametrize("make", ["make_key", "make_token"])
def test_the_control_plane_is_closed_to_data_credentials(server, caches, make):
    minted = getattr(server.admin, make)()
    client = server.client()
    calls = [
        ("GET", "/caches"),
        ("PUT", "/caches/mine"),
        ("DELETE", f"/caches/{caches[0]}"),
        ("POST", f"/caches/{caches[0]}/flush"),
        ("GET", "/keys"),
        ("POST", "/keys"),
        ("POST", "/tokens"),
        ("GET", "/usage"),
        ("GET", "/audit"),
        ("GET", "/tenants"),
        ("POST", "/signing-keys/rotate"),
        ("GET", "/x"),
    ]
    for credential in forms(minted):
        for method, path in calls:
            body = b"{}" if method in ("PUT", "POST") else None
            client.request(method, f"/v1/admin{path}", headers={"authorization": credential}, body=body).must_refuse(
                403, "PermissionDenied", says="Insufficient permissions"
            )
