"""gRPC-web in a real browser: a page of another origin calls with plain fetch, and reads a stream as it comes."""

import base64
import http.server
import json
import threading

import pytest

from support.browser import Browser
from support.frames import frame
from support.grpc_web import BINARY, TEXT, headers_for
from support.server import inner_form
from support.wire import HIT, Code, pubsub, scs, topic_value

# Calls, and gives every frame of the answer as base64. `stream` collects them while they come.
SCRIPT = """
const toBytes = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
const toText = (bytes) => btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
window.streams = [];
window.call = async (url, headers, body, isText) => {
    const stream = { frames: [], status: null, type: null, done: false, abort: new AbortController() };
    window.streams.push(stream);
    const sent = isText ? body : toBytes(body);
    const response = await fetch(url, { method: "POST", headers, body: sent, signal: stream.abort.signal });
    stream.status = response.status;
    stream.type = response.headers.get("content-type");
    stream.grpcStatus = response.headers.get("grpc-status");
    const reader = response.body.getReader();
    const decoder = new TextDecoder();
    let text = "";
    let pending = new Uint8Array(0);
    const add = (bytes) => {
        const joined = new Uint8Array(pending.length + bytes.length);
        joined.set(pending);
        joined.set(bytes, pending.length);
        pending = joined;
        while (pending.length >= 5) {
            const length = 5 + new DataView(pending.buffer).getUint32(1);
            if (pending.length < length) break;
            stream.frames.push([pending[0], toText(pending.slice(5, length))]);
            pending = pending.slice(length);
        }
    };
    for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        if (!isText) {
            add(value);
            continue;
        }
        text += decoder.decode(value, { stream: true });
        const whole = text.length - text.length % 4;
        // Padding may stand within: each padded piece is decoded for itself.
        for (const piece of text.slice(0, whole).match(/[^=]+={0,2}/g) ?? []) add(toBytes(piece));
        text = text.slice(whole);
    }
    stream.done = true;
    return stream.frames;
};
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """One for the file: starting it takes most of the time."""
    made = Browser(tmp_path_factory.mktemp("browser") / "profile")
    yield made
    made.close()


@pytest.fixture(scope="module")
def elsewhere():
    """The origin of another server, with an empty page."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = b"<!doctype html><title>elsewhere</title><link rel=icon href=data:,>"
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join(10)


class Page:
    def __init__(self, browser, elsewhere, server, cache, kind):
        self.page = browser.open(elsewhere)
        self.page.evaluate(SCRIPT + "; 0")
        self._server, self._cache, self._kind = server, cache, kind

    def arguments(self, path, message, **changes):
        headers = headers_for(
            self._kind, inner_form(self._server.root_key), changes.pop("cache", self._cache), **changes
        )
        body = base64.b64encode(frame(message.SerializeToString())).decode()
        values = [f"{self._server.origin}{path}", headers, body, "-text" in self._kind]
        return ", ".join(json.dumps(value) for value in values)

    def call(self, path, message, **changes):
        """The messages, and the trailers as text."""
        frames = self.page.evaluate(f"call({self.arguments(path, message, **changes)})")
        *messages, (flag, trailers) = [(flag, base64.b64decode(data)) for flag, data in frames]
        assert flag == 0x80 and {flag for flag, _ in messages} <= {0}
        return [data for _, data in messages], trailers.decode()


@pytest.fixture(params=[BINARY, TEXT])
def page(request, browser, elsewhere, server, cache):
    made = Page(browser, elsewhere, server, cache, request.param)
    yield made
    assert [said for said in made.page.complaints() if "Error" in said and "AbortError" not in said] == []
    made.page.close()


def test_a_page_sets_and_gets(page):
    value = bytes(range(256)) * 1000
    request = scs.SetRequest(cache_key=b"k", cache_body=value, ttl_milliseconds=60_000)
    messages, trailers = page.call("/cache_client.Scs/Set", request)
    assert len(messages) == 1 and "grpc-status: 0" in trailers.replace("grpc-status:0", "grpc-status: 0")
    ((data,), _) = page.call("/cache_client.Scs/Get", scs.GetRequest(cache_key=b"k"))
    response = scs.GetResponse.FromString(data)
    assert (response.result, response.cache_body) == (HIT, value)


def test_a_page_is_told_what_is_refused(page):
    arguments = page.arguments("/cache_client.Scs/Get", scs.GetRequest(cache_key=b"k"), cache="missing")
    page.page.evaluate(f"call({arguments}).then(() => 0)")
    status, told, frames = page.page.evaluate("[streams[0].status, streams[0].grpcStatus, streams[0].frames]")
    assert status == 200
    if told is None:
        ((flag, data),) = frames
        assert flag == 0x80
        told = base64.b64decode(data).decode().split("grpc-status:")[1].split("\r\n")[0].strip()
    assert int(told) == Code.NOT_FOUND.value[0]


def test_a_page_subscribes(page, cache, topic):
    request = pubsub.SubscriptionRequest(cache_name=cache, topic="news")
    arguments = page.arguments("/cache_client.pubsub.Pubsub/Subscribe", request, grpc_timeout=None)
    page.page.evaluate(f"void call({arguments}).catch(() => 0)")
    page.page.wait_for("streams[0].frames.length > 0", what="the first heartbeat")
    for number in range(5):
        topic.publish(f"message {number}")
        # Each comes when it is published, not when the answer ends.
        page.page.wait_for(f"streams[0].frames.length > {number + 1}")
    frames = [base64.b64decode(data) for _, data in page.page.evaluate("streams[0].frames")]
    items = [pubsub.SubscriptionItem.FromString(data) for data in frames]
    assert items[0].WhichOneof("kind") == "heartbeat"
    values = [topic_value(item.item) for item in items if item.WhichOneof("kind") == "item"]
    assert values == [f"message {number}" for number in range(5)]
    assert page.page.evaluate("streams[0].done") is False
    page.page.evaluate("streams[0].abort.abort()")
