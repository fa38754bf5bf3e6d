"""What the gRPC benchmarks send and must get back, and single calls with grpcio.

The messages are few and fixed, so they are written here by hand, as Protocol Buffers encode them; no generated code is
needed. A load is a file with the one message of a call behind its length, as gRPC sends it over HTTP/2.
"""

import os

from load import Load
from process import BenchmarkError

GET, SET = "/cache_client.Scs/Get", "/cache_client.Scs/Set"

_PATIENCE = 20.0
_TTL_MILLISECONDS = 3_600_000


def _varint(number):
    encoded = b""
    while number > 0x7F:
        encoded += bytes([number & 0x7F | 0x80])
        number >>= 7
    return encoded + bytes([number])


def _field(number, content):
    """A field of bytes."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _enumeration(number, value):
    return _varint(number << 3) + _varint(value)


def framed(message):
    """Not compressed, and this long."""
    return b"\0" + len(message).to_bytes(4, "big") + message


class Item:
    """The requests for one item, and the answers that they must have."""

    def __init__(self, key, value):
        self._requests = {
            GET: _field(1, key.encode()),
            SET: _field(1, key.encode()) + _field(2, value) + _varint(3 << 3) + _varint(_TTL_MILLISECONDS),
        }
        # ECacheResult: Hit is 2, Ok is 1.
        self._answers = {GET: _enumeration(1, 2) + _field(2, value), SET: _enumeration(1, 1)}

    def load(self, directory, authority, path, shape, fields):
        """h2load with this call; `shape` is the number of requests, of connections, and of streams on each."""
        body = os.path.join(directory, path.rpartition("/")[2].lower() + ".grpc")
        with open(body, "wb") as file:
            file.write(framed(self._requests[path]))
        headers = ("content-type: application/grpc", "te: trailers", *(f"{name}: {value}" for name, value in fields))
        return Load(
            f"http://{authority}{path}", *shape, headers=headers, body=body,
            answer_bytes=len(framed(self._answers[path])))

    def check(self, authority, path, fields):
        """One call: its status must be OK and its answer what a load counts on."""
        answer = call(authority, path, self._requests[path], fields)
        if answer != self._answers[path]:
            raise BenchmarkError(f"{path} at {authority} answered {answer[:100]!r}")


def call(authority, path, message, fields=()):
    """One unary call with grpcio. Gives the message that came back; any status but OK is an error."""
    # Children are started with threads of gRPC about, and do nothing but to execute their program.
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    try:
        import grpc
    except ImportError:
        raise BenchmarkError("grpcio is not installed: see Benchmarks/requirements.txt") from None
    with grpc.insecure_channel(authority) as channel:
        try:
            return channel.unary_unary(path)(message, metadata=tuple(fields), timeout=_PATIENCE)
        except grpc.RpcError as error:
            raise BenchmarkError(
                f"{path} at {authority} ended with {error.code().name}: {error.details()}") from None
