"""HTTP/1.1 clients: one that behaves, and a bare socket for those that do not."""

import contextlib
import http.client
import socket
import time

from .response import Response
from .waiting import PATIENCE


class Http1Client:
    """A well-behaved client with one kept-alive connection. The target is sent byte for byte as it is given."""

    def __init__(self, address, *, context=None):
        host, port = address
        if context is None:
            self._connection = http.client.HTTPConnection(host, port, timeout=PATIENCE)
        else:
            self._connection = http.client.HTTPSConnection(host, port, timeout=PATIENCE, context=context)

    def request(self, method, target, *, headers=None, body=None, chunked=False):
        if chunked:
            body = iter([body[:3], body[3:]]) if body else iter([])
        headers = dict(headers or {})
        if chunked:
            headers["Transfer-Encoding"] = "chunked"
        elif body is None and method in ("PUT", "POST"):
            headers["Content-Length"] = "0"
        try:
            self._connection.request(method, target, body=body, headers=headers, encode_chunked=chunked)
            answer = self._connection.getresponse()
            content = answer.read()
        except BaseException:
            # The next request gets a new connection.
            self._connection.close()
            raise
        fields = {name.lower(): value for name, value in answer.getheaders()}
        return Response(answer.status, answer.reason, fields, content)

    @property
    def local_port(self):
        """Tells one connection from another; None while there is none."""
        sock = self._connection.sock
        return sock.getsockname()[1] if sock else None

    def connect(self):
        self._connection.connect()

    def close(self):
        self._connection.close()


class RawConnection:
    """A socket that sends what it is told and reads what comes."""

    def __init__(self, address, *, context=None, server_name="localhost", receive_buffer=None):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context is not None:
            self.socket = context.wrap_socket(self.socket, server_hostname=server_name)
        self._received = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def try_send(self, data):
        """Sends, and gives False when the peer has closed already."""
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def finish_sending(self):
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)

    def _receive(self, deadline):
        """More bytes, or b"" at the end of the connection, however it ended."""
        self.socket.settimeout(max(0.001, deadline - time.monotonic()))
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            return b""
        except TimeoutError:
            raise AssertionError(f"nothing came in time; so far: {self._received[:500]!r}") from None
        self._received += data
        return data

    def read_exactly(self, count, *, within=PATIENCE):
        deadline = time.monotonic() + within
        while len(self._received) < count:
            assert self._receive(deadline), f"the connection ended early: {self._received[:500]!r}"
        data, self._received = self._received[:count], self._received[count:]
        return data

    def read_until(self, mark, *, within=PATIENCE):
        deadline = time.monotonic() + within
        while mark not in self._received:
            assert self._receive(deadline), f"the connection ended early: {self._received[:500]!r}"
        end = self._received.index(mark) + len(mark)
        data, self._received = self._received[:end], self._received[end:]
        return data

    def read_to_end(self, *, within=PATIENCE):
        """All bytes until the peer closes; fails when it does not."""
        deadline = time.monotonic() + within
        while self._receive(deadline):
            pass
        data, self._received = self._received, b""
        return data

    def read_response(self, *, to_head=False, within=PATIENCE):
        """One response, delimited as RFC 9112 section 6.3 says."""
        head = self.read_until(b"\r\n\r\n", within=within).decode("latin-1")
        status_line, *lines = head[:-4].split("\r\n")
        version, status, reason = (status_line.split(" ", 2) + [""])[:3]
        assert version in ("HTTP/1.1", "HTTP/1.0"), status_line
        fields = {}
        for line in lines:
            name, _, value = line.partition(":")
            fields[name.lower()] = value.strip()
        status = int(status)
        body = b""
        if to_head or status in (204, 304) or status < 200:
            pass
        elif fields.get("transfer-encoding") == "chunked":
            while True:
                size = int(self.read_until(b"\r\n", within=within), 16)
                body += self.read_exactly(size + 2, within=within)[:-2]
                if size == 0:
                    break
        elif "content-length" in fields:
            body = self.read_exactly(int(fields["content-length"]), within=within)
        else:
            body = self.read_to_end(within=within)
        return Response(status, reason, fields, body)

    def is_closed(self, *, within=PATIENCE):
        """Waits for the peer to close; what it still sends is dropped."""
        self.read_to_end(within=within)
        return True
