"""Who is let in: forged, confused, expired and revoked credentials, rotation, and who may mint what."""

import base64
import hashlib
import hmac
import json
import random
import subprocess
import time

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from support.admin import EVERYTHING, Admin
from support.server import binary, clean_environment, inner_form, outer_form
from support.waiting import eventually


def encode(value):
    text = value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def decode(segment):
    return json.loads(base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))


class Probe:
    """Asks with a credential, and tells the status."""

    def __init__(self, server, cache):
        self.server = server
        self.cache = cache
        self.client = server.client()

    def __call__(self, credential):
        return self.client.request("GET", f"/cache/{self.cache}?key=k", headers={"authorization": credential})


@pytest.fixture
def probe(make_server):
    """On a server of its own: false signatures are throttled by address, and every test here has the same one."""
    server = make_server()
    return Probe(server, "default")


def published_keys(server):
    return server.client().request("GET", "/.well-known/jwks.json").must_be(200).json()["keys"]


def public_key(jwk):
    return jwt.PyJWK(jwk).key


# What a token is


def test_a_token_verifies_with_the_published_keys_and_says_what_it_should(probe):
    minted = probe.server.admin.make_token(ttl_seconds=600, token_id="user-42")
    token = inner_form(minted.credential)
    header = jwt.get_unverified_header(token)
    assert header["alg"] == "ES256"
    (jwk,) = [key for key in published_keys(probe.server) if key["kid"] == header["kid"]]
    assert jwk["alg"] == "ES256"
    assert jwk.get("use", "sig") == "sig"
    unverified = decode(token.split(".")[1])
    claims = jwt.decode(
        token,
        public_key(jwk),
        algorithms=["ES256"],
        audience=unverified["aud"],
        options={"require": ["exp", "iat", "iss", "aud"]},
    )
    assert claims["exp"] == minted.expires_at
    assert abs(claims["exp"] - claims["iat"] - 600) <= 1
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(token[:-8] + "AAAAAAAA", public_key(jwk), algorithms=["ES256"], audience=unverified["aud"])


def test_outer_forms_fit_every_sdk(probe):
    # Standard alphabet with padding for one SDK, url-safe for another, a WebSocket subprotocol for browsers.
    for _ in range(20):
        credential = probe.server.admin.make_key().credential
        assert not set(credential) & set("+/=-_"), credential[:20]
        document = json.loads(base64.b64decode(credential, validate=True))
        assert document["api_key"] and document["endpoint"] == "localhost"
        assert not set(probe.server.admin.make_token().credential) & set("+/=")


def test_a_v2_key_is_a_global_key_to_an_sdk(probe):
    key = probe.server.admin.make_key(format="v2").credential
    payload = decode(key.split(".")[1])
    assert payload["t"] == "g"
    probe(key).must_be(404)


# False credentials


def false_tokens(server, token):
    """Forgeries of a good token: name and text. None may be let in."""
    head, body, signature = token.split(".")
    header, claims = decode(head), decode(body)
    kid = header["kid"]
    published = [key for key in published_keys(server) if key["kid"] == kid][0]
    public = public_key(published)
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    stranger = ec.generate_private_key(ec.SECP256R1())
    later = {**claims, "exp": claims["exp"] + 3600}

    def symmetric(secret, name="HS256", digest=hashlib.sha256):
        text = f"{encode({**header, 'alg': name})}.{body}"
        return f"{text}.{encode(hmac.new(secret, text.encode(), digest).digest())}"

    for alg in ("none", "None", "NONE", "nOnE", ""):
        yield f"alg {alg!r}", f"{encode({**header, 'alg': alg})}.{body}."
        yield f"alg {alg!r} with the old signature", f"{encode({**header, 'alg': alg})}.{body}.{signature}"
    yield "no alg", f"{encode({key: value for key, value in header.items() if key != 'alg'})}.{body}.{signature}"
    for name, secret in (
        ("PEM", pem),
        ("stripped PEM", pem.strip()),
        ("DER", der),
        ("empty", b""),
        ("JWK", json.dumps(published).encode()),
        ("kid", kid.encode()),
    ):
        yield f"HS256 with the public key as {name}", symmetric(secret)
    yield "HS512 with the public key", symmetric(pem, "HS512", hashlib.sha512)
    for alg in ("ES384", "ES512", "RS256", "PS256", "EdDSA", "es256"):
        yield f"alg {alg}", f"{encode({**header, 'alg': alg})}.{body}.{signature}"
    yield "a stranger's signature", jwt.encode(claims, stranger, "ES256", headers={"kid": kid})
    yield "a stranger's kid", jwt.encode(claims, stranger, "ES256", headers={"kid": "stranger"})
    yield "no kid", jwt.encode(claims, stranger, "ES256")
    own = {
        "kty": "EC",
        "crv": "P-256",
        **{name: encode(getattr(stranger.public_key().public_numbers(), name).to_bytes(32, "big")) for name in "xy"},
    }
    yield "a key of its own", jwt.encode(claims, stranger, "ES256", headers={"kid": kid, "jwk": own})
    yield (
        "a key from elsewhere",
        jwt.encode(claims, stranger, "ES256", headers={"kid": kid, "jku": "https://example.com/keys"}),
    )
    for trick in ("../../../../dev/null", "' OR 1=1 --", "\u0000", "a" * 5000, 7, None, ["x"]):
        yield f"kid {trick!r:.20}", f"{encode({**header, 'kid': trick})}.{body}.{signature}"
    yield "a longer life", f"{head}.{encode(later)}.{signature}"
    for name in claims:
        yield f"without {name}", f"{head}.{encode({key: claims[key] for key in claims if key != name})}.{signature}"
    for tenant in (1, 2, 0, -1, "1", 2**63):
        changed = {
            key: tenant if isinstance(value, int) and key not in ("exp", "iat") else value
            for key, value in claims.items()
        }
        if changed != claims:
            yield f"tenant {tenant!r}", f"{head}.{encode(changed)}.{signature}"
    yield "no signature", f"{head}.{body}."
    yield "two parts", f"{head}.{body}"
    yield "four parts", f"{token}.{signature}"
    yield "a zero signature", f"{head}.{body}.{encode(bytes(64))}"
    yield "a DER signature", f"{head}.{body}.{encode(bytes.fromhex('3006020101020101'))}"
    yield "a short signature", f"{head}.{body}.{signature[:20]}"
    yield "a changed signature", f"{head}.{body}.{signature[:-10]}AAAAAAAAAA"
    yield "a critical extension", f"{encode({**header, 'crit': ['x'], 'x': 1})}.{body}.{signature}"
    yield "deep JSON", f"{encode(b'[' * 3000 + b']' * 3000)}.{body}.{signature}"
    yield "no JSON", f"{encode(b'header')}.{encode(b'body')}.{signature}"


# So few on one server that nobody has to wait: after many false signatures an address must, which is tested by itself.
SHARES = 6


@pytest.mark.parametrize("share", range(SHARES))
def test_no_forgery_is_let_in(probe, share):
    token = inner_form(probe.server.admin.make_token().credential)
    forgeries = list(false_tokens(probe.server, token))
    assert len(forgeries) > 50
    answers = {}
    for name, forgery in forgeries[share::SHARES]:
        for form, credential in (("inner", forgery), ("outer", outer_form(forgery))):
            answers[name, form] = probe(credential).status
    assert {name: status for name, status in answers.items() if status != 401} == {}
    probe(token).must_be(404)


@pytest.mark.parametrize(
    "name",
    [
        "alg 'none'",
        "HS256 with the public key as PEM",
        "a stranger's signature",
        "a longer life",
        "a zero signature",
        "no signature",
    ],
)
def test_a_forgery_is_401_from_the_first_try_on(probe, name):
    token = inner_form(probe.server.admin.make_token().credential)
    forgery = dict(false_tokens(probe.server, token))[name]
    for _ in range(3):
        probe(forgery).must_refuse(401, "Unauthenticated")
    # Whoever holds the real one is not locked out by it.
    probe(token).must_be(404)


def test_base64_of_anything_is_401(probe):
    generator = random.Random(20240611)
    texts = [base64.b64encode(generator.randbytes(length)).decode() for length in range(1, 120)]
    texts += [
        base64.b64encode(text).decode()
        for text in (
            b"{}",
            b"[]",
            b"null",
            b'"x"',
            b'{"api_key":""}',
            b'{"api_key":null,"endpoint":"x"}',
            b'{"api_key":{},"endpoint":1}',
            b'{"api_key":"x","endpoint":"localhost"}',
            b'{"api_key":"' + b"x" * 4000 + b'","endpoint":"x"}',
            b"{" * 3000,
        )
    ]
    texts += [
        "Bearer",
        "Bearer x",
        "bearer x",
        "Basic dXNlcjpwYXNz",
        ".",
        "..",
        "...",
        "a.b.c",
        "e30.e30.e30",
        "=",
        "===",
    ]
    for text in texts:
        assert probe(text).status == 401, text[:60]


def test_false_signatures_cost_their_sender_time_and_nobody_else_theirs(probe):
    token = inner_form(probe.server.admin.make_token().credential)
    known = probe.server.client()
    target = f"/cache/{probe.cache}?key=k"
    known.request("GET", target, headers={"authorization": token}).must_be(404)
    head, body, _ = token.split(".")
    generator = random.Random(1)

    def is_throttled():
        response = probe(f"{head}.{body}.{encode(generator.randbytes(64))}")
        if response.status == 401:
            return False
        error = response.must_refuse(429, "Throttled")
        assert error["retry_after_ms"] > 0
        assert int(response.headers["retry-after"]) >= 1
        return True

    for _ in range(5000):
        if is_throttled():
            break
    else:
        pytest.fail("5,000 false signatures in a row and no throttle")
    # A credential that is known to be good is not a signature to check.
    known.request("GET", target, headers={"authorization": token}).must_be(404)
    key = probe.server.admin.make_key().credential
    probe(key).must_be(404)


# Expiry and revocation


def test_an_expired_token_and_an_expired_key_are_401(probe):
    admin = probe.server.admin
    connection = probe.client
    minted = [
        admin.make_token(ttl_seconds=1),
        admin.make_key(ttl_seconds=1),
        admin.make_key(format="v2", ttl_seconds=1),
    ]
    for one in minted:
        assert one.expires_at - time.time() <= 2
        probe(one.credential).must_be(404)
    port = connection.local_port
    for one in minted:
        eventually(lambda: probe(one.credential).status == 401, within=4, what="the expiry")
        probe(one.credential).must_refuse(401, "CredentialExpired")
    assert connection.local_port == port, "an expired credential ends no connection"


def open_connections(server, cache, credential):
    """An HTTP/1.1 and an HTTP/2 connection on which the credential has been used."""
    made = [server.client(), server.http2()]
    for client in made:
        client.request("GET", f"/cache/{cache}?key=k", headers={"authorization": credential}).must_be(404)
    return made


@pytest.mark.parametrize("kind", ["token", "label", "v1", "v2"])
def test_a_revocation_reaches_open_connections_within_a_second(probe, kind):
    admin = probe.server.admin
    if kind in ("token", "label"):
        minted = admin.make_token(token_id="user-42")
    else:
        minted = admin.make_key(format=kind)
    clients = open_connections(probe.server, probe.cache, minted.credential)
    if kind == "label":
        admin.call("DELETE", "/tokens", query={"token_id": "user-42"}).must_be(204)
    elif kind == "token":
        admin.revoke_token(minted.id)
    else:
        admin.revoke_key(minted.id)
    for client in [*clients, probe.server.client()]:

        def is_refused(client=client):
            return client.request("GET", "/cache/default?key=k", headers=minted.headers).status == 401

        eventually(is_refused, within=1, what="the revocation")


def test_a_label_revokes_all_that_carry_it_and_nothing_else(probe):
    admin = probe.server.admin
    labelled = [
        admin.make_token(token_id="user-1"),
        admin.make_token(token_id="user-1"),
        admin.make_key(token_id="user-1"),
    ]
    others = [admin.make_token(token_id="user-10"), admin.make_token(), admin.make_key(token_id="user-2")]
    admin.call("DELETE", "/tokens", query={"token_id": "user-1"}).must_be(204)
    for one in labelled:
        eventually(lambda: probe(one.credential).status == 401, within=1, what="the revocation")
    for one in others:
        probe(one.credential).must_be(404)


def test_a_revocation_reaches_a_body_that_is_on_its_way(probe):
    minted = probe.server.admin.make_token()
    other = probe.server.admin.make_token()
    value = b"x" * 1000
    with probe.server.raw() as connection:
        connection.send(
            f"PUT /cache/default?key=late&ttl_seconds=60 HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: {minted.credential}\r\nContent-Length: 1000\r\n\r\n".encode()
            + value[:500]
        )
        probe.server.admin.revoke_token(minted.id)
        eventually(lambda: probe(minted.credential).status == 401, within=1, what="the revocation")
        connection.send(value[500:])
        connection.read_response().must_be(401)
    response = probe.client.request("GET", "/cache/default?key=late", headers=other.headers)
    response.must_be(404)


def test_a_revoked_credential_stays_revoked_after_a_restart(probe):
    server = probe.server
    gone = [server.admin.make_token(), server.admin.make_key()]
    kept = [server.admin.make_token(), server.admin.make_key(), server.admin.make_key(format="v2")]
    server.admin.revoke_token(gone[0].id)
    server.admin.revoke_key(gone[1].id)
    server.restart()
    again = Probe(server, "default")
    for one in gone:
        assert again(one.credential).status == 401
    for one in kept:
        again(one.credential).must_be(404)


def test_what_was_never_minted_cannot_be_revoked(probe):
    probe.server.admin.call("DELETE", "/tokens/unknown").must_refuse(404, "NotFound")
    probe.server.admin.call("DELETE", "/keys/unknown").must_refuse(404, "NotFound")


# Rotation


def test_rotation_keeps_live_tokens_and_all_keys(probe):
    server = probe.server
    before = [server.admin.make_token(), server.admin.make_key(), server.admin.make_key(format="v2")]
    first = {key["kid"] for key in published_keys(server)}
    server.admin.call("POST", "/signing-keys/rotate").must_be(201)
    after = server.admin.make_token()
    kid = jwt.get_unverified_header(inner_form(after.credential))["kid"]
    assert kid not in first
    assert {key["kid"] for key in published_keys(server)} == first | {kid}
    listed = server.admin.call("GET", "/signing-keys").must_be(200)
    assert "PRIVATE" not in listed.body.decode() and '"d"' not in listed.body.decode()
    assert kid in listed.body.decode()
    for _ in range(2):
        for one in [*before, after]:
            probe(one.credential).must_be(404)
        server.restart()
        probe = Probe(server, "default")


def test_the_root_key_rotates_with_the_server_stopped(probe):
    server = probe.server
    old = server.root_key
    server.admin.make_cache("kept")
    server.stop()
    result = subprocess.run(
        [binary(), "root-key", "rotate", "--data-dir", str(server.data_directory)],
        capture_output=True,
        text=True,
        check=False,
        env=clean_environment(),
        timeout=20,
    )
    assert result.returncode == 0, result.stderr
    server.start()
    assert server.root_key != old
    assert server.root_key not in result.stdout + result.stderr
    assert (server.data_directory / "root.key").stat().st_mode & 0o777 == 0o600
    server.admin.cache("kept")
    assert Admin(server, old).call("GET", "/caches").status == 401


# Tenants


def test_a_token_opens_the_cache_of_its_own_tenant_only(probe):
    server = probe.server
    tenant = server.admin.make_tenant()
    for admin in (server.admin, tenant):
        admin.make_cache("shop")
    client = server.client()
    for admin, value in ((server.admin, b"operator"), (tenant, b"tenant")):
        headers = admin.make_token().headers
        client.request("PUT", "/cache/shop?key=k&ttl_seconds=60", headers=headers, body=value).must_be(204)
    for make in ("make_token", "make_key"):
        for admin, value in ((server.admin, b"operator"), (tenant, b"tenant")):
            response = client.request("GET", "/cache/shop?key=k", headers=getattr(admin, make)().headers)
            assert response.must_be(200).body == value
    tenant.make_cache("theirs")
    client.request("GET", "/cache/theirs?key=k", headers=server.admin.headers).must_be(404)


def test_the_credentials_of_a_deleted_tenant_end_with_it(probe):
    server = probe.server
    tenant = server.admin.make_tenant()
    tenant.make_cache("shop")
    held = [tenant.make_token(), tenant.make_key(), tenant.make_key(format="v2")]
    clients = [client for one in held for client in (server.client(), server.http2())]
    server.admin.call("DELETE", f"/tenants/{tenant.name}").must_be(204)
    server.admin.call("PUT", f"/tenants/{tenant.name}", {}).must_be(201)
    again = Admin(server, tenant=tenant.name)
    again.make_cache("shop")
    for client in clients:
        for one in held:

            def is_refused(client=client, one=one):
                return client.request("GET", "/cache/shop?key=k", headers=one.headers).status == 401

            eventually(is_refused, within=1, what="the end of the tenant")
    assert tenant.call("GET", "/caches").status == 401


# Minting


def test_only_the_root_key_mints_super_users(probe):
    tenant = probe.server.admin.make_tenant()
    response = tenant.call("POST", "/keys", {"permissions": "super_user", "format": "v1"})
    response.must_refuse(403, "PermissionDenied", says="Insufficient permissions")
    own = Admin(probe.server, tenant=tenant.name)
    minted = Admin(probe.server, own.make_key("super_user").credential)
    minted.make_cache("made-by-super-user")
    assert {cache["name"] for cache in tenant.items("/caches", "caches")} == {"made-by-super-user"}
    minted.make_key()
    minted.make_token()


def test_tenants_and_signing_keys_are_the_operator_s(probe):
    tenant = probe.server.admin.make_tenant()
    for method, path in (
        ("PUT", "/tenants/another"),
        ("DELETE", "/tenants/default"),
        ("GET", "/tenants"),
        ("POST", "/signing-keys/rotate"),
    ):
        tenant.call(method, path, {} if method == "PUT" else None).must_refuse(403, "PermissionDenied")
    response = Admin(probe.server, tenant.credential, tenant="default").call("GET", "/caches")
    assert response.status in (400, 403)


STATEMENT = {"role": "readonly", "cache": "shop"}


@pytest.mark.parametrize(
    "permissions,field",
    [
        ([], "permissions"),
        ([STATEMENT, {**STATEMENT, "role": "readwrite"}], "permissions[1]"),
        ([{**STATEMENT, "key": "a"}, {**STATEMENT, "key_base64": "YQ"}], "permissions[1]"),
        ([{**STATEMENT, "topic": "a"}, {**STATEMENT, "topic": "a"}], "permissions[1]"),
        ([{**STATEMENT, "key": str(number)} for number in range(21)], "permissions"),
        ([{"role": "owner", "cache": "shop"}], "permissions[0].role"),
        ([{"cache": "shop"}], "permissions[0].role"),
        ([{"role": "readonly"}], "permissions[0].cache"),
        ([{**STATEMENT, "cache": " "}], "permissions[0].cache"),
        ([{**STATEMENT, "cache": 7}], "permissions[0].cache"),
        ([{**STATEMENT, "key": ""}], "permissions[0].key"),
        ([{**STATEMENT, "key": "a", "key_prefix": "b"}], "permissions[0].key_prefix"),
        ([{**STATEMENT, "key": "a", "topic": "b"}], "permissions[0].topic"),
        ([{**STATEMENT, "key_base64": "!"}], "permissions[0].key_base64"),
        ([{**STATEMENT, "deny": True}], "permissions[0].deny"),
        (["readonly"], "permissions[0]"),
        ({"role": "readonly"}, "permissions"),
        ("everything", "permissions"),
        (None, "permissions"),
    ],
)
@pytest.mark.parametrize("path", ["/keys", "/tokens"])
def test_permissions_that_mean_nothing_are_refused_with_the_field(server, path, permissions, field):
    body = {"permissions": permissions, "ttl_seconds": 60}
    if path == "/keys":
        body["format"] = "v1"
    server.admin.call("POST", path, body).must_refuse(400, "InvalidArgument", field=field)


def test_twenty_statements_fit(server):
    permissions = [{**STATEMENT, "key_prefix": f"p{number}:" + "x" * 100} for number in range(20)]
    for make in (server.admin.make_token, server.admin.make_key):
        response = server.client().request("GET", "/cache/shop?key=p19:" + "x" * 100, headers=make(permissions).headers)
        response.must_be(404)


@pytest.mark.parametrize(
    "change,field",
    [
        ({"ttl_seconds": 0}, "ttl_seconds"),
        ({"ttl_seconds": -1}, "ttl_seconds"),
        ({"ttl_seconds": "60"}, "ttl_seconds"),
        ({"ttl_seconds": 1.5}, "ttl_seconds"),
        ({"ttl_seconds": 90_001}, "ttl_seconds"),
        ({"ttl_seconds": None}, "ttl_seconds"),
        ({"ttl_seconds": 2**63}, "ttl_seconds"),
        ({"token_id": "x" * 65}, "token_id"),
        ({"token_id": 7}, "token_id"),
        ({"extra": 1}, "extra"),
    ],
)
def test_a_token_is_minted_within_its_rules(server, change, field):
    server.admin.call("POST", "/tokens", {"permissions": EVERYTHING, "ttl_seconds": 60, **change}).must_refuse(
        400, "InvalidArgument", field=field
    )


def test_tokens_last_as_long_as_their_ceiling_lets_them(server):
    server.admin.make_token(ttl_seconds=90_000, token_id="é" * 64)
    tenant = server.admin.make_tenant(limits={"max_token_ttl_seconds": 100})
    tenant.make_token(ttl_seconds=100)
    tenant.call("POST", "/tokens", {"permissions": EVERYTHING, "ttl_seconds": 101}).must_refuse(
        400, "InvalidArgument", field="ttl_seconds"
    )


def test_a_key_without_a_life_time_never_expires(server):
    assert server.admin.make_key().expires_at is None
    minted = server.admin.make_key(ttl_seconds=3600, description="for the shop")
    assert 3590 < minted.expires_at - time.time() < 3610
    (listed,) = [key for key in server.admin.items("/keys", "keys") if key["id"] == minted.id]
    assert (listed["description"], listed["expires_at"]) == ("for the shop", minted.expires_at)
    shown = json.dumps(server.admin.items("/keys", "keys"))
    assert minted.credential not in shown and inner_form(minted.credential) not in shown


def test_a_rotation_where_no_installation_is_makes_none(tmp_path):
    result = subprocess.run(
        [binary(), "root-key", "rotate", "--data-dir", str(tmp_path)], capture_output=True, text=True, timeout=20
    )
    assert result.returncode != 0
    assert "holds no catalog" in result.stderr
    assert list(tmp_path.iterdir()) == []
