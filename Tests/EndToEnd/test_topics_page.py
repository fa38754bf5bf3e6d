"""`examples/topics.html` in a real browser. It is opened from the disk, with the origin `null`: CORS is tested too."""

import json
import subprocess
from urllib.parse import urlencode

import pytest

from support.admin import fresh_name
from support.browser import Browser
from support.server import REPOSITORY, Server
from support.subscribers import SocketSubscriber
from support.topics import may, topic_target
from support.waiting import eventually

PAGE = REPOSITORY / "examples" / "topics.html"
TRANSPORTS = ["ws", "sse"]


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """One for the file: starting it takes most of the time."""
    made = Browser(tmp_path_factory.mktemp("browser") / "profile")
    yield made
    made.close()


@pytest.fixture(params=TRANSPORTS)
def transport(request):
    return request.param


@pytest.fixture
def token(server):
    return server.admin.make_token(may("readwrite"), token_id="user-42")


class TopicsPage:
    """The page as somebody who sits before it has it."""

    def __init__(self, browser, server, cache, token, transport, *, topic="news", **more):
        self.server, self.cache, self.topic = server, cache, topic
        fields = {"server": server.origin, "cache": cache, "topic": topic, "token": token, "transport": transport}
        self.page = browser.open(f"{PAGE.as_uri()}#{urlencode(fields | more)}")

    @property
    def state(self):
        return self.page.evaluate("document.querySelector('#status').dataset.state")

    def must_become(self, state, **options):
        eventually(lambda: self.state == state, what=f"{state}, not {self.page.text('#state')}", **options)

    def rows(self):
        """The messages and gaps in the list: kind, number and what it says without the note."""
        return self.page.evaluate(
            """Array.from(document.querySelectorAll("#log .item, #log .discontinuity"), (line) => [
                line.classList[0],
                line.querySelector(".number").textContent,
                line.querySelector(".value").firstChild?.textContent ?? ""])"""
        )

    def must_show(self, *values):
        """Waits for these messages in this order, numbered without a gap, and no other row."""
        eventually(lambda: len(self.rows()) >= len(values), what=f"{len(values)} rows")
        rows = self.rows()
        assert [value for _, _, value in rows] == list(values), rows
        assert {kind for kind, _, _ in rows} == {"item"}, rows
        numbers = [int(number) for _, number, _ in rows]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))

    def publish(self, text, *, way=None, kind="text"):
        if way is not None:
            self.page.fill("#way", way)
        self.page.fill("#kind", kind)
        self.page.fill("#message", text)
        self.page.click("#publish")


@pytest.fixture
def open_page(browser, server, cache, token, transport):
    """Opens the page, connected unless told otherwise. It must have thrown nothing at the end."""
    made = []

    def make(**more):
        options = {"token": token.credential, "connect": "1"} | more
        page = TopicsPage(browser, server, cache, options.pop("token"), transport, **options)
        made.append(page)
        if options["connect"] == "1":
            page.must_become("live")
        return page

    yield make
    for page in made:
        assert [said for said in page.page.complaints() if "Error:" in said] == []
        page.page.close()


def curl(server, cache, credential, value, *, topic="news", kind="text/plain"):
    """A message from the command line."""
    command = ["curl", "--silent", "--show-error", "--fail-with-body", "--max-time", "10"]
    command += ["-H", f"Authorization: {credential}", "-H", f"Content-Type: {kind}", "--data-binary", "@-"]
    command += [f"{server.origin}{topic_target(cache, topic)}"]
    result = subprocess.run(command, input=value, capture_output=True, check=False, timeout=20)
    assert (result.returncode, result.stdout) == (0, b""), result


def test_what_is_published_elsewhere_appears(open_page, server, cache, token):
    page = open_page()
    curl(server, cache, token.credential, b"hello")
    curl(server, cache, token.credential, "grüß dich\nüber zwei Zeilen".encode())
    curl(server, cache, token.credential, b"\x00\xff", kind="application/octet-stream")
    page.must_show("hello", "grüß dich\nüber zwei Zeilen", "AP8=")
    assert page.page.texts("#log .note") == ["from user-42", "from user-42", "base64, from user-42"]
    assert page.page.text("#messages") == "3"
    assert page.page.text("#position").endswith(":3")


def test_what_is_published_in_the_page_reaches_another_subscriber(open_page, server, cache, token, transport):
    page = open_page()
    ways = ["ws", "post"] if transport == "ws" else ["post"]
    with SocketSubscriber(server, cache, "news", token.headers) as other:
        for way in ways:
            page.publish(f"by {way}", way=way)
            assert other.values(1) == [f"by {way}"]
            page.publish("AAEC/w==", way=way, kind="binary")
            assert other.values(1) == [b"\x00\x01\x02\xff"]
    page.must_show(*[value for way in ways for value in (f"by {way}", "AAEC/w==")])
    assert page.page.text("#published").startswith("Published")


def test_what_was_missed_during_a_loss_is_there_after_it(open_page, server, cache, token):
    page = open_page()
    curl(server, cache, token.credential, b"before")
    page.must_show("before")
    page.page.click("#drop")
    assert page.state == "waiting"
    # The page tries again half a second after a loss at the latest.
    for value in (b"during", b"the loss"):
        curl(server, cache, token.credential, value)
    page.must_become("live")
    curl(server, cache, token.credential, b"after")
    page.must_show("before", "during", "the loss", "after")


def test_a_gap_is_shown(open_page, server, cache, token):
    page = open_page()
    curl(server, cache, token.credential, b"before")
    page.must_show("before")
    page.page.click("#disconnect")
    page.must_become("idle")
    server.admin.call("POST", f"/caches/{cache}/flush").must_be(204)
    server.admin.call("DELETE", f"/caches/{cache}").must_be(204)
    server.admin.make_cache(cache)
    curl(server, cache, token.credential, b"on a new page")
    page.page.click("#connect")
    page.must_become("live")
    eventually(lambda: len(page.rows()) == 3, what="a gap and a message")
    assert [kind for kind, _, _ in page.rows()] == ["item", "discontinuity", "item"]
    assert page.rows()[1][2].startswith("A new page")
    assert page.rows()[2][2] == "on a new page"
    assert page.page.text("#discontinuities") == "1"


def test_messages_that_are_gone_are_counted(browser, make_server, transport):
    server = make_server(arguments=["--topic-retained-messages", "3"])
    page = TopicsPage(browser, server, "default", server.root_key, transport, connect="1")
    page.must_become("live")
    curl(server, "default", server.root_key, b"1")
    page.must_show("1")
    page.page.click("#disconnect")
    for number in range(2, 8):
        curl(server, "default", server.root_key, str(number).encode())
    page.page.click("#connect")
    eventually(lambda: len(page.rows()) == 5, what="a gap and three messages")
    assert page.rows()[1][2] == "3 messages are missing: 2 to 4"
    assert [number for _, number, _ in page.rows()[2:]] == ["5", "6", "7"]
    page.page.close()


def test_heartbeats_are_shown(browser, make_server, transport):
    server = make_server(arguments=["--topic-heartbeat", "0.25"])
    page = TopicsPage(browser, server, "default", server.root_key, transport, connect="1")
    page.page.click("#beats")
    eventually(lambda: int(page.page.text("#heartbeats")) >= 3, what="three heartbeats")
    assert "heartbeat" in page.page.texts("#log .heartbeat .value")
    assert page.rows() == []
    page.page.close()


def test_silence_counts_as_a_loss_and_the_page_comes_back(browser, make_server, transport):
    server = make_server(arguments=["--topic-heartbeat", "3600"])
    page = TopicsPage(browser, server, "default", server.root_key, transport, silence="1", connect="1")
    page.must_become("live")
    page.must_become("waiting")
    page.must_become("live")
    assert any("nothing heard for 1 s" in text for text in page.page.texts("#log .notice .value"))
    page.page.close()


def test_a_restart_of_the_server_is_survived(browser, make_server, transport):
    server = make_server()
    page = TopicsPage(browser, server, "default", server.root_key, transport, connect="1")
    page.must_become("live")
    address = server.ready["http"]
    server.stop()
    page.must_become("waiting")
    again = Server(server.data_directory, binds=False, arguments=["--http", address, "--resp", "127.0.0.1:0"]).start()
    try:
        page.must_become("live", within=20)
        curl(again, "default", again.root_key, b"after")
        page.must_show("after")
    finally:
        page.page.close()
        again.stop()


def test_a_token_is_renewed_without_a_loss(open_page, server, cache, token, transport):
    page = open_page()
    curl(server, cache, token.credential, b"before")
    page.must_show("before")
    second = server.admin.make_token(may("readwrite"), token_id="user-42")
    page.page.fill("#token", second.credential)
    page.page.click("#renew")
    if transport == "ws":
        page.page.wait_for("document.querySelector('#log').textContent.includes('The new token counts')")
        assert not any("Lost" in text for text in page.page.texts("#log .notice .value"))
    else:
        page.must_become("live")
    # Nothing hangs on the old one any more.
    server.admin.revoke_token(token.id)
    eventually(lambda: server.client().request("GET", topic_target(cache, "news"), headers=token.headers).status == 401)
    curl(server, cache, second.credential, b"after")
    page.must_show("before", "after")
    assert page.state == "live"


def test_a_token_that_does_not_permit_it_is_not_taken_up(open_page, server, cache, token, transport):
    page = open_page()
    other = server.admin.make_token(may("readonly", topic="other"))
    page.page.fill("#token", other.credential)
    page.page.click("#renew")
    if transport == "ws":
        page.page.wait_for("document.querySelector('#log .error') !== null")
        curl(server, cache, token.credential, b"still there")
        page.must_show("still there")
    else:
        page.must_become("ended")
        assert "permission" in page.page.text("#state").lower()


@pytest.mark.parametrize("fault", ["credential", "permission", "cache", "topic"])
def test_a_refusal_is_told_and_not_repeated(browser, server, cache, transport, fault):
    admin = server.admin
    token = "nonsense" if fault == "credential" else admin.make_token(may("readonly", topic_prefix="n")).credential
    place = fresh_name("none") if fault == "cache" else cache
    topic = {"permission": "other", "topic": "n\x07"}.get(fault, "news")
    page = TopicsPage(browser, server, place, token, transport, topic=topic, connect="1")
    page.must_become("ended")
    says = {"credential": "not valid", "permission": "permissions", "cache": "Cache Not Found", "topic": "control"}
    assert says[fault] in page.page.text("#state")
    page.page.close()


def test_the_end_of_a_credential_ends_it(open_page, server, token):
    page = open_page()
    server.admin.revoke_token(token.id)
    page.must_become("ended")
    assert "revoked" in page.page.text("#state")


def test_the_end_of_a_cache_ends_it(open_page, server, cache):
    page = open_page()
    server.admin.call("DELETE", f"/caches/{cache}").must_be(204)
    page.must_become("ended")
    assert "Cache Not Found" in page.page.text("#state")


def test_the_fragment_does_not_stay_in_the_address_bar_or_in_the_history(open_page, token):
    page = open_page(connect="0")
    assert page.state == "idle"
    assert page.page.evaluate("location.href") == PAGE.as_uri()
    assert page.page.evaluate("document.querySelector('#token').value") == token.credential
    assert page.page.evaluate("document.querySelector('#token').type") == "password"
    assert token.credential not in page.page.evaluate("document.documentElement.outerHTML")
    assert page.page.evaluate("performance.getEntriesByType('navigation')[0].name").startswith(PAGE.as_uri())


def test_markup_in_a_message_stays_text(open_page, server, cache):
    name = "<b>topic</b>&amp;"
    nasty = "<img src=x onerror=\"document.title='struck'\"><script>document.title='struck'</script>"
    publisher = server.admin.make_token(may("readwrite"), token_id="<i>user</i>")
    page = open_page(topic=name)
    before = page.page.evaluate("document.querySelectorAll('*').length")
    curl(server, cache, publisher.credential, nasty.encode(), topic=name)
    page.must_show(nasty)
    assert page.page.texts("#log .note") == ["from <i>user</i>"]
    assert page.page.evaluate("document.title") == "Martlet topics"
    assert page.page.evaluate("document.querySelectorAll('#log img, #log script, #log i').length") == 0
    # A row has five elements, the note included, and there are two: the message, and that the page is connected.
    assert page.page.evaluate("document.querySelectorAll('*').length") - before <= 2 * 5


def test_events_are_read_from_any_pieces_and_with_any_line_ends(browser):
    page = browser.open(PAGE.as_uri())
    # Of two pieces, cut at each character, and one character at a time; what is not one event each is given back.
    failures = page.evaluate(
        """(() => {
            const lines = ["event: heartbeat", "data: {}", "", ": a comment", "event:item", "id: 7:1", "data: {",
                           "data:}", "", "event: nothing", "", "data: x", "", "event: cut", "data: off"];
            const expected = JSON.stringify([["heartbeat", "{}"], ["item", "{\\n}"], ["message", "x"]]);
            const failures = [];
            for (const end of ["\\n", "\\r\\n", "\\r"]) {
                const text = lines.join(end) + end;
                const cuts = Array.from(text, (_, at) => [text.slice(0, at), text.slice(at)]);
                for (const pieces of [...cuts, Array.from(text)]) {
                    const found = [];
                    const parser = new EventParser(({ event, data }) => found.push([event, data]));
                    for (const piece of pieces) parser.feed(piece);
                    if (JSON.stringify(found) !== expected) failures.push([pieces, found]);
                }
            }
            return failures;
        })()"""
    )
    assert failures == []
    page.close()


def test_by_hand_as_well_as_by_the_fragment(browser, server, cache, token, transport):
    page = TopicsPage(browser, server, "other", "", transport)
    for field, value in {"#cache": cache, "#topic": "a/b ü", "#token": token.credential}.items():
        page.page.fill(field, value)
    page.page.click("#connect")
    page.must_become("live")
    curl(server, cache, token.credential, b"hello", topic="a/b ü")
    page.must_show("hello")
    page.page.click("#disconnect")
    page.must_become("idle")
    page.page.close()


def test_the_page_loads_nothing_and_stays_small():
    text = PAGE.read_text()
    assert len(text) < 64 << 10
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "localStorage", " src="):
        assert word not in text, word
    assert json.dumps("http://127.0.0.1:8080") in text
