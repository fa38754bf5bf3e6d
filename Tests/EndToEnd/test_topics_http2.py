"""Topics over HTTP/2: WebSockets by extended CONNECT (RFC 8441), thousands of subscriptions on one connection."""

import struct

import h2.settings
import pytest

from support.http2 import (
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PREFACE,
    PROTOCOL_ERROR,
    RST_STREAM,
    Http2Connection,
    settings_frame,
    window_update,
)
from support.subscribers import Http2EventSubscriber
from support.topics import STREAM, Topic, publish, topic_target, value_of
from support.waiting import eventually
from support.websocket import CLOSE, PING, PONG, TEXT, VERSION, FrameReader, Http2WebSocket, document_frame, frame

MEGABYTE = 1 << 20
CROWD = 4000


# Extended CONNECT


@pytest.mark.parametrize("is_development", [True, False], ids=["cleartext", "tls"])
def test_the_server_says_that_it_takes_extended_connect(make_server, is_development):
    server = make_server(is_development=is_development)
    server.admin.make_cache("shop")
    with server.http2() as connection:
        connection.run(lambda: connection.state.remote_settings.enable_connect_protocol == 1)
        target = topic_target("shop", "news")
        with Http2WebSocket(server, target, server.admin.headers, connection=connection) as socket:
            assert socket.response.status == 200
            assert socket.receive(with_heartbeats=True) == {"heartbeat": {}}
            assert socket.publish("x")["topic_sequence_number"] == 1


def test_sockets_and_requests_share_a_connection(server, topic, root):
    with server.http2() as connection:
        sockets = [Http2WebSocket(server, topic.target, root, connection=connection) for _ in range(20)]
        stream = Http2WebSocket(server, STREAM, root, connection=connection)
        assert stream.ask({"subscribe": {"id": "a", "cache": topic.cache, "topic": topic.name}})["subscribed"] == {}
        events = connection.open("GET", topic.target, headers={**root, "accept": "text/event-stream"})
        connection.request("PUT", f"/cache/{topic.cache}?key=k&ttl_seconds=60", headers=root, body=b"v").must_be(204)
        publish(connection, root, topic.cache, topic.name, "x").must_be(204)
        connection.request("GET", f"/cache/{topic.cache}?key=k", headers=root).must_be(200)
        for socket in (*sockets, stream):
            assert value_of(socket.receive()["item"]) == "x"
        connection.run(lambda: b"event: item\n" in connection.streams[events].body)
        # One that ends takes no other along.
        sockets[0].send_bytes(frame(CLOSE, struct.pack(">H", 1000)))
        assert sockets[0].ending() == (None, 1000)
        connection.run(lambda: sockets[0].stream.is_over)
        sockets[1].close()
        sockets[2].send_bytes(frame(TEXT, b"\xff"))
        assert sockets[2].ending()[1] == 1007
        topic.publish("y")
        for socket in (*sockets[3:], stream):
            assert value_of(socket.receive()["item"]) == "y"


def test_frames_need_not_begin_where_data_frames_do(server, topic, root):
    with Http2WebSocket(server, topic.target, root) as socket:
        for byte in document_frame({"publish": {"text": "slowly"}}) + frame(PING, b"x"):
            socket.send_bytes(bytes([byte]))
        many = b"".join(document_frame({"publish": {"text": str(number)}}) for number in range(20))
        socket.send_bytes(many)
        values = []
        while len(values) < 21:
            document = socket.receive()
            if "item" in document:
                values.append(value_of(document["item"]))
        assert values == ["slowly", *map(str, range(20))]
        assert socket.pongs == [b"x"]


def test_refusals_are_plain_answers(server, cache, root):
    with server.http2() as connection:
        for target, headers, status in (
            (topic_target(cache, "news"), {}, 401),
            (topic_target(cache, "news"), {"authorization": "nobody"}, 401),
            (topic_target(cache, "news"), {"cookie": "token=x", "origin": "https://evil.example"}, 401),
            (topic_target(cache, "news", token=server.root_key), root, 400),
            (topic_target("missing", "news"), root, 404),
            (topic_target(cache, " "), root, 400),
            (topic_target(cache, "news"), {**root, "sec-websocket-protocol": "chat"}, 400),
            (STREAM, {}, 401),
        ):
            socket = Http2WebSocket(server, target, headers, connection=connection)
            socket.response.must_be(status)
            assert socket.response.json()["code"]
        headers = {
            "sec-websocket-protocol": f"{VERSION}, martlet.auth.{server.admin.make_key('super_user').credential}"
        }
        socket = Http2WebSocket(server, topic_target(cache, "news"), headers, connection=connection)
        assert socket.response.must_be(200).headers["sec-websocket-protocol"] == VERSION
        connection.request("GET", "/healthz").must_be(200)


@pytest.mark.parametrize("target", ["/cache/default?key=k", "/healthz", "/v1/admin/caches", "/"])
def test_there_are_no_websockets_elsewhere(server, root, target):
    with server.http2() as connection:
        socket = Http2WebSocket(server, target, root, connection=connection)
        assert socket.response.status in (400, 404, 405, 501), socket.response
        connection.request("GET", "/healthz").must_be(200)


@pytest.mark.parametrize("protocol", ["webtransport", "connect-udp", "WebSocket2", "x"])
def test_another_protocol_is_refused(server, topic, root, protocol):
    with server.http2() as connection:
        socket = Http2WebSocket(server, topic.target, root, connection=connection, protocol=protocol)
        assert socket.response.status in (400, 404, 405, 501), socket.response
        connection.request("GET", "/healthz").must_be(200)


def test_a_protocol_on_another_method_is_malformed(server, topic, root):
    with server.raw_http2() as raw:
        fields = [*raw.fields("GET", topic.target), (":protocol", "websocket"), *root.items()]
        raw.send(raw.headers_frame(1, fields))
        raw.run(lambda: raw.of(RST_STREAM, 1) or raw.of(HEADERS, 1))
        if not raw.of(HEADERS, 1):
            assert raw.reset_code(1) == PROTOCOL_ERROR
        raw.ping()


def test_the_end_of_a_stream_is_the_end_of_its_subscription(server, root):
    cache = server.admin.make_cache(limits={"max_subscriptions": 1})
    target = topic_target(cache, "news")
    with server.http2() as connection:
        for end in ("ends", "is reset"):
            socket = Http2WebSocket(server, target, root, connection=connection)
            socket.response.must_be(200)
            Http2WebSocket(server, target, root, connection=connection).response.must_be(429)
            if end == "ends":
                connection.state.end_stream(socket.stream_id)
                connection.flush()
                connection.run(lambda socket=socket: socket.stream.is_over)
            else:
                socket.close()

            def is_free():
                probe = Http2WebSocket(server, target, root, connection=connection)
                probe.close()
                return probe.response.status == 200

            eventually(is_free, within=2, what="room")
            eventually(is_free, within=2, what="room again")


# Flow control


@pytest.mark.parametrize("kind", [Http2WebSocket, Http2EventSubscriber], ids=["websocket", "events"])
def test_a_shut_window_holds_up_nobody_else(server, topic, root, kind):
    topic.publish("first")
    page = topic.newest()["sequence_page"]
    with Http2Connection(server.http, initial_window=0, returns_window=False) as shut:
        if kind is Http2WebSocket:
            stream_id = Http2WebSocket(server, topic.target, root, connection=shut).stream_id
        else:
            stream_id = shut.open("GET", topic.target, headers={**root, "accept": "text/event-stream"})
            shut.run(lambda: shut.streams[stream_id].status == 200)
        with Http2EventSubscriber(server, topic.cache, topic.name, root) as other:
            topic.publish(*map(str, range(50)))
            assert other.values(51) == ["first", *map(str, range(50))]
        shut.state.ping(b"settled!")
        shut.flush()
        shut.run(lambda: shut.pongs)
        stream = shut.streams[stream_id]
        assert bytes(stream.body) == b""
        # What it gets once it may is whole and in order, drop by drop.
        while b'"49"' not in bytes(stream.body):
            before = len(stream.body)
            shut.give_window(100, stream_id)
            shut.run(lambda before=before: len(stream.body) == before + 100 or b'"49"' in bytes(stream.body))
        if kind is Http2WebSocket:
            shut.give_window(1000, stream_id)
            documents = [payload for opcode, payload in FrameReader().feed(bytes(stream.body)) if opcode == TEXT]
            assert b"heartbeat" in documents[0]
            assert len([payload for payload in documents if b'"item"' in payload]) >= 50
        else:
            assert bytes(stream.body).startswith(b"event: heartbeat\n")
            assert bytes(stream.body).count(f"\nid: {page}:".encode()) >= 51


def test_a_client_s_window_may_change_under_way(server, topic, root):
    with server.http2() as connection:
        socket = Http2WebSocket(server, topic.target, root, connection=connection)
        for window in (100_000, 1000, 65_535):
            connection.state.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window})
            connection.flush()
            topic.publish("x" * 50_000)
            assert len(value_of(socket.receive()["item"])) == 50_000


def test_a_socket_s_ping_is_answered_over_http2(server, topic, root):
    with Http2WebSocket(server, topic.target, root) as socket:
        assert socket.next_frame()[0] == TEXT
        socket.send_bytes(frame(PING, b"x" * 125))
        assert socket.next_frame() == (PONG, b"x" * 125)


# Many


@pytest.mark.parametrize("kind", ["events", "websocket"])
def test_four_thousand_subscriptions_on_one_connection(make_server, kind):
    server = make_server()
    root, target = server.admin.headers, topic_target("default", "news")
    publisher = Topic(server, "default")
    before = server.resident_bytes()
    opening = PREFACE + settings_frame(initial_window_size=1 << 20)
    with server.raw_http2(opening=opening + window_update(0, 2**30)) as raw:
        received = {}

        def collect():
            for frame_kind, _, stream_id, payload in raw.frames:
                if frame_kind == DATA:
                    received[stream_id] = received.get(stream_id, b"") + payload
                assert frame_kind != RST_STREAM, stream_id
            raw.frames.clear()

        def have(mark, count):
            def condition():
                collect()
                return len(received) == CROWD and sum(data.count(mark) for data in received.values()) >= count

            return condition

        if kind == "events":
            fields = raw.fields("GET", target, [("accept", "text/event-stream"), *root.items()])
            flags, heartbeat, item = END_HEADERS | END_STREAM, b"event: heartbeat\n", b"event: item\n"
        else:
            _, *pseudo = raw.fields("CONNECT", target)
            version = ("sec-websocket-version", "13")
            fields = [(":method", "CONNECT"), (":protocol", "websocket"), *pseudo, version, *root.items()]
            flags, heartbeat, item = END_HEADERS, b'{"heartbeat":', b'{"item":'
        for first in range(0, CROWD, 500):
            block = [raw.headers_frame(2 * number + 1, fields, flags=flags) for number in range(first, first + 500)]
            raw.send(b"".join(block))
        raw.run(have(heartbeat, CROWD), within=20)
        for number in range(3):
            publisher.publish(f"message {number}")
            raw.run(have(item, CROWD * (number + 1)), within=10)
        for data in received.values():
            assert data.count(item) == 3
            assert data.index(b"message 0") < data.index(b"message 1") < data.index(b"message 2")
        grown = server.resident_bytes() - before
        assert grown < 100 * MEGABYTE, f"{grown / MEGABYTE:.0f} MiB for {CROWD} subscriptions"
        with server.http2() as other:
            other.request("GET", "/healthz").must_be(200)
    # All of it was counted, and a connection that breaks off takes its subscriptions along.
    eventually(lambda: server.admin.used("default").get("deliveries") == 3 * CROWD, what="the deliveries on the bill")
    server.admin.change_cache("default", limits={"max_subscriptions": 1})

    def is_free():
        with server.http2() as other:
            stream = Http2WebSocket(server, target, root, connection=other)
            return stream.response.status == 200

    eventually(is_free, within=5, what="the end of the subscriptions")
