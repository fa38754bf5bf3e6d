"""An HTTP server on a free port that keeps what it is sent, and answers as a test tells it to."""

import http.server
import queue
import threading
from dataclasses import dataclass

from .waiting import PATIENCE


@dataclass(frozen=True)
class Received:
    method: str
    target: str
    # Names in lower case.
    headers: dict
    body: bytes


class Receiver:
    """`answer` is called with each request and gives a status, or (status, headers), or None to close without one."""

    def __init__(self, answer=lambda request: 200):
        self.answer = answer
        self._requests = queue.Queue()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("content-length", "0")))
                headers = {name.lower(): value for name, value in self.headers.items()}
                request = Received(self.command, self.path, headers, body)
                receiver._requests.put(request)
                answer = receiver.answer(request)
                if answer is None:
                    self.close_connection = True
                    return
                status, fields = answer if isinstance(answer, tuple) else (answer, {})
                self.send_response(status)
                for name, value in fields.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_GET = do_PUT = do_POST

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(PATIENCE)

    @property
    def port(self):
        return self._server.server_address[1]

    def url(self, path="/hook"):
        return f"http://127.0.0.1:{self.port}{path}"

    def next(self, *, within=PATIENCE):
        """The next request."""
        return self._requests.get(timeout=within)

    @property
    def count(self):
        """How many have come that nobody has taken."""
        return self._requests.qsize()
