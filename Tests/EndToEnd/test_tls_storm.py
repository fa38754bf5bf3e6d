"""Many TLS clients at once, those that say nothing, and those that say half of it."""

import asyncio
import contextlib
import socket
import ssl

import pytest
from support.server import Server
from support.waiting import PATIENCE, eventually

_REQUEST = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n"
# Handshakes cost both ends, and here they share a machine.
_STORMS_PATIENCE = 12 * PATIENCE


@pytest.fixture(scope="module")
def secure(tmp_path_factory):
    """A server with TLS, one for the file."""
    running = Server(tmp_path_factory.mktemp("secure") / "data", is_development=False).start()
    yield running
    running.stop()


def _metric(server, name):
    # The ops listener is on loopback, in cleartext.
    with socket.create_connection(server.ops, PATIENCE) as peer:
        peer.sendall(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        text = b""
        while data := peer.recv(1 << 16):
            text += data
    lines = [line for line in text.decode().splitlines() if line.startswith(f"{name} ")]
    assert len(lines) == 1, name
    return int(float(lines[0].split()[1]))


async def _ask(reader, writer):
    writer.write(_REQUEST)
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 "), head
    await reader.readexactly(3)


async def _visit(address, context):
    reader, writer = await asyncio.open_connection(
        *address, ssl=context, server_hostname="localhost", ssl_handshake_timeout=_STORMS_PATIENCE
    )
    try:
        await _ask(reader, writer)
    finally:
        writer.close()


async def _command(address, context):
    reader, writer = await asyncio.open_connection(
        *address, ssl=context, server_hostname="localhost", ssl_handshake_timeout=_STORMS_PATIENCE
    )
    try:
        writer.write(b"*1\r\n$4\r\nPING\r\n")
        assert (await reader.readline()).startswith((b"+PONG", b"-NOAUTH"))
    finally:
        writer.close()


def test_a_storm_is_served_to_the_last(secure):
    context = secure.tls_context("http/1.1")
    dropped = _metric(secure, "martlet_tls_handshakes_dropped_total")
    completed = _metric(secure, "martlet_tls_handshakes_total")

    async def storm():
        reader, writer = await asyncio.open_connection(*secure.http, ssl=context, server_hostname="localhost")
        plain = secure.tls_context()
        clients = [asyncio.create_task(_visit(secure.http, context)) for _ in range(300)]
        clients += [asyncio.create_task(_command(secure.resp, plain)) for _ in range(100)]
        # One that was there before is answered all the time.
        while not all(client.done() for client in clients):
            await _ask(reader, writer)
            await asyncio.sleep(0.01)
        writer.close()
        await asyncio.gather(*clients)

    asyncio.run(asyncio.wait_for(storm(), _STORMS_PATIENCE))
    assert _metric(secure, "martlet_tls_handshakes_dropped_total") == dropped
    assert _metric(secure, "martlet_tls_handshakes_total") == completed + 401
    eventually(lambda: _metric(secure, "martlet_tls_handshakes_waiting") == 0)
    eventually(lambda: _metric(secure, "martlet_tls_handshakes_underway") == 0)


def _client_hello():
    """What a client sends first."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


@pytest.mark.parametrize("share", [0, 0.5, 1])
def test_who_does_not_go_on_holds_nobody_up(secure, share):
    hello = _client_hello()
    beginning = hello[: int(len(hello) * share)]
    with contextlib.ExitStack() as stack:
        for _ in range(200):
            for address in (secure.http, secure.resp):
                peer = stack.enter_context(socket.create_connection(address, PATIENCE))
                peer.sendall(beginning)
        for _ in range(10):
            assert secure.is_healthy()
        if share == 1:
            eventually(lambda: _metric(secure, "martlet_tls_handshakes_underway") == 400)
        else:
            assert _metric(secure, "martlet_tls_handshakes_underway") == 0
    eventually(lambda: _metric(secure, "martlet_tls_handshakes_underway") == 0)


def test_a_handshake_that_does_not_go_on_is_closed(secure):
    dropped = _metric(secure, "martlet_tls_handshakes_dropped_total")
    hello = _client_hello()
    peers = [socket.create_connection(secure.http, PATIENCE) for _ in range(3)]
    peers[1].sendall(hello[:40])
    peers[2].sendall(hello)
    for peer in peers:
        # The bound is ten seconds.
        peer.settimeout(_STORMS_PATIENCE)
        with contextlib.suppress(ConnectionResetError):
            while peer.recv(1 << 16):
                pass
        peer.close()
    assert _metric(secure, "martlet_tls_handshakes_dropped_total") == dropped + 3


def test_cleartext_on_the_tls_port_is_closed(secure):
    for address in (secure.http, secure.resp):
        with socket.create_connection(address, PATIENCE) as peer:
            peer.sendall(_REQUEST)
            with contextlib.suppress(ConnectionResetError):
                answer = b""
                while data := peer.recv(1 << 16):
                    answer += data
                assert not answer.startswith(b"HTTP")
    assert secure.is_healthy()


def test_many_silent_connections_in_cleartext_hold_nobody_up(server):
    with contextlib.ExitStack() as stack:
        for _ in range(300):
            stack.enter_context(socket.create_connection(server.http, PATIENCE))
            stack.enter_context(socket.create_connection(server.resp, PATIENCE))
        for _ in range(10):
            assert server.is_healthy()
