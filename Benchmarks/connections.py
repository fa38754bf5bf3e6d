"""Clients that open a connection, ask at most one thing, and then only hold it: just enough HTTP for that.

HTTP/2 (RFC 9113) and HPACK (RFC 7541) without a library: the request is a header block of literals without Huffman
coding that enter the dynamic table, the token too, so the server keeps the most that such a request makes it keep.
"""

import socket
import struct

from process import BenchmarkError

_PATIENCE = 20.0
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _GOAWAY = 0x0, 0x1, 0x3, 0x4, 0x7
_END_STREAM, _ACK, _END_HEADERS = 0x1, 0x1, 0x4
_IP_BIND_ADDRESS_NO_PORT = 24
# Fewer than there are ephemeral ports for one pair of addresses.
_CONNECTIONS_PER_ADDRESS = 5000


def connect(address, number):
    """The connection of that number, from a loopback address that still has ports."""
    plain = socket.socket()
    try:
        plain.settimeout(_PATIENCE)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        plain.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
        plain.bind((f"127.0.0.{2 + number // _CONNECTIONS_PER_ADDRESS}", 0))
        plain.connect(address)
        return plain
    except OSError:
        plain.close()
        raise


def integer(value, prefix_bits, pattern):
    """An integer with a prefix of so many bits (RFC 7541 section 5.1)."""
    limit = (1 << prefix_bits) - 1
    if value < limit:
        return bytes([pattern | value])
    encoded = bytearray([pattern | limit])
    value -= limit
    while value >= 128:
        encoded.append(value & 127 | 128)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _literal(name_index, value):
    """A literal with incremental indexing whose name stands in the static table (RFC 7541 section 6.2.1)."""
    text = value.encode("ascii")
    return integer(name_index, 6, 0x40) + integer(len(text), 7, 0) + text


def frame(kind, flags, stream, payload=b""):
    """A frame with its head (RFC 9113 section 4.1)."""
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def is_status_200(block):
    """Whether a header block starts with `:status 200`, entry 8 of the static table (RFC 7541 appendix A)."""
    position = 0
    # Changes of the table's size stand before it (section 6.3): an integer with a prefix of five bits.
    while position < len(block) and block[position] & 0xE0 == 0x20:
        if block[position] & 0x1F == 0x1F:
            position += 1
            while position < len(block) and block[position] & 0x80:
                position += 1
        position += 1
    return block[position:position + 1] == b"\x88"


def get_over_http2(authority, path, authorization=None, *, is_tls=False):
    """The HEADERS frame of a GET on stream 1."""
    block = b"\x82" + (b"\x87" if is_tls else b"\x86") + _literal(1, authority) + _literal(4, path)
    if authorization:
        block += _literal(23, authorization)
    return frame(_HEADERS, _END_STREAM | _END_HEADERS, 1, block)


def hold_http2(connection, request):
    """Opens HTTP/2; waits until both sides' SETTINGS are acknowledged and `request`, if any, is answered with 200."""
    connection.sendall(_PREFACE + frame(_SETTINGS, 0, 0) + (request or b""))
    pending, is_acknowledged, has_settings = b"", False, False
    is_good, is_answered = False, request is None
    while not (is_acknowledged and has_settings and is_answered):
        data = connection.recv(65_536)
        if not data:
            raise BenchmarkError("the server closed a connection that was to be held")
        pending += data
        while len(pending) >= 9 and len(pending) >= 9 + (length := int.from_bytes(pending[:3], "big")):
            kind, flags, payload = pending[3], pending[4], pending[9:9 + length]
            pending = pending[9 + length:]
            if kind == _SETTINGS and flags & _ACK:
                is_acknowledged = True
            elif kind == _SETTINGS:
                has_settings = True
                connection.sendall(frame(_SETTINGS, _ACK, 0))
            elif kind == _HEADERS:
                is_good = is_status_200(payload)
            elif kind in (_RST_STREAM, _GOAWAY):
                raise BenchmarkError("the server refused a connection that was to be held")
            if kind in (_HEADERS, _DATA) and flags & _END_STREAM:
                is_answered = True
    if request is not None and not is_good:
        raise BenchmarkError("a held connection's request was not answered with 200")


def get_over_http1(authority, path, authorization=None):
    lines = [f"GET {path} HTTP/1.1", f"Host: {authority}"]
    if authorization:
        lines.append(f"Authorization: {authorization}")
    return "\r\n".join(lines + ["", ""]).encode("ascii")


def hold_http1(connection, request):
    """Sends a request and reads its answer, which must have a length."""
    connection.sendall(request)
    answer = b""
    while True:
        head, end, body = answer.partition(b"\r\n\r\n")
        if end:
            fields = head.lower().split(b"\r\n")
            length = next((int(f.partition(b":")[2]) for f in fields if f.startswith(b"content-length:")), 0)
            if len(body) >= length:
                break
        data = connection.recv(65_536)
        if not data:
            raise BenchmarkError("the server closed a connection that was to be held")
        answer += data
    if not answer.startswith(b"HTTP/1.1 200"):
        raise BenchmarkError(f"a held connection's request was answered with {answer[:60]!r}")


def is_open(connection):
    """Whether the server has kept the connection, without taking anything from it."""
    plain = connection if type(connection) is socket.socket else socket.socket(fileno=connection.detach())
    try:
        plain.setblocking(False)
        return plain.recv(1, socket.MSG_PEEK) != b""
    except (BlockingIOError, InterruptedError):
        return True
    except OSError:
        return False
    finally:
        plain.close()
