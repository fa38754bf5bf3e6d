"""WebSockets as well-behaved clients use them: the handshake, every place of a credential, publishing, mistakes."""

import asyncio
import json
import struct

import pytest
import websockets.asyncio.client
from websockets.exceptions import InvalidStatus

from support.admin import fresh_name
from support.http1 import RawConnection
from support.server import inner_form
from support.topics import MESSAGE_LIMIT, may, topic_target, value_of
from support.websocket import (
    CLOSE,
    CONTINUATION,
    INVALID_DATA,
    PING,
    PONG,
    TEXT,
    VERSION,
    RawWebSocket,
    WebSocket,
    document_frame,
    frame,
    new_key,
    offer,
    refusal,
    upgrade_head,
)

AUTH = "martlet.auth."


# Libraries


@pytest.mark.parametrize("is_development", [True, False], ids=["cleartext", "tls"])
def test_a_conversation_of_two(make_server, is_development):
    server = make_server(is_development=is_development)
    cache = server.admin.make_cache("chat")
    target = topic_target(cache, "room")
    with WebSocket(server, target, server.admin.headers) as one, WebSocket(server, target, server.admin.headers) as two:
        for socket in (one, two):
            assert socket.receive(with_heartbeats=True) == {"heartbeat": {}}
        position = one.publish("hello")
        assert set(position) == {"topic_sequence_number", "sequence_page"}
        assert position["topic_sequence_number"] == 1
        item = two.receive()["item"]
        assert item == {**position, "value": {"text": "hello"}}
        assert two.publish(b"\x00\xff") == {**position, "topic_sequence_number": 2}
        assert two.receive()["item"]["value"] == {"binary": "AP8="}
        one.library.close()
        two.publish("alone")
    assert one.library.close_code == 1000


@pytest.mark.parametrize("is_development", [True, False], ids=["cleartext", "tls"])
def test_a_crowd_with_asyncio(make_server, is_development):
    server = make_server(is_development=is_development)
    cache = server.admin.make_cache("crowd")
    context = None if is_development else server.tls_context("http/1.1")
    target = f"{'ws' if is_development else 'wss'}://{server.ready['http']}{topic_target(cache, 'room')}"

    def connect():
        return websockets.asyncio.client.connect(
            target, additional_headers=server.admin.headers, ssl=context, proxy=None
        )

    async def listen(socket, count):
        numbers = []
        while len(numbers) < count:
            document = json.loads(await socket.recv())
            if "item" in document:
                numbers.append(document["item"]["topic_sequence_number"])
        return numbers

    async def meet():
        sockets = [await connect() for _ in range(20)]
        for socket in sockets:
            assert json.loads(await socket.recv()) == {"heartbeat": {}}
        for number in range(5):
            for socket in sockets:
                await socket.send(json.dumps({"publish": {"text": str(number)}}))
        heard = await asyncio.gather(*(listen(socket, 100) for socket in sockets))
        assert all(numbers == list(range(1, 101)) for numbers in heard)
        await asyncio.gather(*(socket.close() for socket in sockets))
        assert all(socket.close_code == 1000 for socket in sockets)

    asyncio.run(asyncio.wait_for(meet(), 20))


def test_a_library_is_told_why_it_is_refused(server, cache):
    with pytest.raises(InvalidStatus) as caught:
        WebSocket(server, topic_target(cache, "news"))
    assert caught.value.response.status_code == 401
    assert json.loads(caught.value.response.body)["code"] == "Unauthenticated"


# The place of the credential


def test_a_credential_may_come_in_every_form_and_place(server, topic):
    topic.publish("x")
    for minted in (
        server.admin.make_token(may("readonly")),
        server.admin.make_key(may("readonly"), format="v1"),
        server.admin.make_key(may("readonly"), format="v2"),
    ):
        for form in {minted.credential, inner_form(minted.credential)}:
            for headers, protocols, query in (
                ({"authorization": form}, None, {}),
                ({"authorization": f"Bearer {form}"}, [VERSION], {}),
                ({}, None, {"token": form}),
                # As browsers do it; in either order.
                ({}, [VERSION, AUTH + form], {}),
                ({}, [AUTH + form, VERSION], {}),
            ):
                target = topic_target(topic.cache, topic.name, **query)
                with WebSocket(server, target, headers, protocols=protocols) as socket:
                    assert socket.library.subprotocol == (VERSION if protocols else None)
                    assert value_of(socket.receive()["item"]) == "x"


@pytest.mark.parametrize("path", ["topic", "/v1/stream"])
def test_a_credential_comes_once(server, topic, path):
    token = server.admin.make_token(may("readonly")).credential
    path = topic.target if path == "topic" else path
    in_field, in_protocol = {"authorization": token}, {"sec-websocket-protocol": f"{VERSION}, {AUTH}{token}"}
    for headers, query in (
        (in_field, f"?token={token}"),
        (in_protocol, f"?token={token}"),
        ({**in_field, **in_protocol}, ""),
    ):
        refusal(server, path + query, headers).must_refuse(400, "InvalidArgument")
    twice = {"sec-websocket-protocol": f"{VERSION}, {AUTH}{token}, {AUTH}{token}"}
    assert refusal(server, path, twice).status in (400, 401)


def test_only_the_version_is_echoed(server, topic, root):
    token = server.admin.make_token(may("readonly")).credential
    for offered, headers in (
        (VERSION, root),
        (f"chat, {VERSION},other", root),
        (f"{AUTH}{token},{VERSION}", {}),
        (f"{VERSION}, {AUTH}{token}", {}),
    ):
        connection, response = offer(server, topic.target, {**headers, "sec-websocket-protocol": offered})
        connection.close()
        assert response.must_be(101).headers["sec-websocket-protocol"] == VERSION
    connection, response = offer(server, topic.target, root)
    connection.close()
    assert "sec-websocket-protocol" not in response.must_be(101).headers


def test_protocols_without_the_version_are_refused(server, topic, root):
    token = server.admin.make_token(may("readonly")).credential
    for headers in (
        {**root, "sec-websocket-protocol": "chat"},
        {**root, "sec-websocket-protocol": "martlet.v2"},
        {**root, "sec-websocket-protocol": "MARTLET.V1"},
        {"sec-websocket-protocol": AUTH + token},
    ):
        refusal(server, topic.target, headers).must_refuse(400, "InvalidArgument")


def test_cookies_are_nobody_s_credential(server, topic, root):
    token = server.admin.make_token(may("readwrite")).credential
    cookies = {"cookie": f"token={token}; authorization={token}; martlet={token}; session={token}"}
    for origin in ({}, {"origin": "https://evil.example"}, {"origin": server.origin}):
        for path in (topic.target, "/v1/stream"):
            refusal(server, path, {**cookies, **origin}).must_refuse(401, "Unauthenticated")
    # A page of another origin that has a credential of its own is welcome.
    connection, response = offer(server, topic.target, {**root, **cookies, "origin": "https://shop.example"})
    connection.close()
    response.must_be(101)


# The handshake


def test_refusals_before_the_upgrade_are_plain_answers(server, topic, root):
    readers = server.admin.make_token(may("readonly", topic.cache)).headers
    writers = server.admin.make_token(may("writeonly")).headers
    items_only = server.admin.make_token().headers
    missing = fresh_name("missing")
    for headers, target, status, code in (
        ({}, topic.target, 401, "Unauthenticated"),
        ({"authorization": "nobody"}, topic.target, 401, "Unauthenticated"),
        (writers, topic.target, 403, "PermissionDenied"),
        (items_only, topic.target, 403, "PermissionDenied"),
        (readers, topic_target(missing, "news"), 403, "PermissionDenied"),
        (root, topic_target(missing, "news"), 404, "NotFound"),
        (root, f"/topics/{topic.cache}/%20", 400, "InvalidArgument"),
        (root, f"/topics/{topic.cache}/{'x' * 1025}", 400, "InvalidArgument"),
        (root, f"/topics/{topic.cache}/a/b", 404, "NotFound"),
        (root, f"{topic.target}?sequence_number=x", 400, "InvalidArgument"),
        ({}, "/v1/stream", 401, "Unauthenticated"),
        (root, "/v1/stream/x", 404, "NotFound"),
    ):
        refusal(server, target, headers).must_refuse(status, code)


def test_a_refusal_keeps_the_connection_for_another_try(server, topic, root):
    with RawConnection(server.http) as connection:
        connection.send(upgrade_head(topic.target, key=new_key()))
        response = connection.read_response().must_be(401)
        if response.headers.get("connection") != "close":
            connection.send(upgrade_head(topic.target, root, key=new_key()))
            connection.read_response().must_be(101)


def test_another_version_is_told_which_one_is_spoken(server, topic, root):
    for version in ("8", "12", "14", "0", "x", "13, 8"):
        response = refusal(server, topic.target, root, version=version).must_be(426)
        assert response.headers["sec-websocket-version"] == "13"


@pytest.mark.parametrize(
    "key", [None, "", "x", "AAAA", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25jZ!==", "dGhlIHNhbXBsZSBub25jZTIK"]
)
def test_a_handshake_needs_its_key(server, topic, root, key):
    refusal(server, topic.target, root, key=key).must_refuse(400, "InvalidArgument")


def test_an_upgrade_has_no_other_method(server, topic, root):
    for method in ("PUT", "DELETE"):
        refusal(server, topic.target, root, method=method).must_be(405)


@pytest.mark.parametrize("target", ["/cache/{cache}?key=k", "/healthz", "/v1/admin/caches", "/"])
def test_there_are_no_websockets_elsewhere(server, cache, root, target):
    response = refusal(server, target.format(cache=cache), root)
    assert response.status in (200, 404)


def test_a_stream_needs_an_upgrade(server, client, root):
    assert client.request("GET", "/v1/stream", headers=root).status in (400, 404, 426)
    assert client.request("POST", "/v1/stream", headers=root, body=b"{}").status in (400, 404, 405, 426)


def test_fields_are_taken_however_they_are_spelled(server, topic, root):
    for changes in (
        {"Upgrade": "WebSocket", "Connection": "upgrade"},
        {"Upgrade": "WEBSOCKET", "Connection": "keep-alive, Upgrade"},
    ):
        connection, response = offer(server, topic.target, {**root, **changes})
        connection.close()
        response.must_be(101)
        assert response.headers["upgrade"].lower() == "websocket"
        assert "upgrade" in response.headers["connection"].lower()


def test_frames_may_come_together_with_the_handshake(server, topic, root):
    with RawWebSocket(server, topic.target, root) as listener, RawConnection(server.http) as connection:
        frames = b"".join(document_frame({"publish": {"text": str(number)}}) for number in range(20))
        connection.send(upgrade_head(topic.target, root, key=new_key()) + frames)
        connection.read_response().must_be(101)
        assert [value_of(listener.receive()["item"]) for _ in range(20)] == [str(number) for number in range(20)]


def test_input_that_comes_byte_by_byte_is_the_same_input(server, topic, root):
    with RawConnection(server.http) as connection, RawWebSocket(server, topic.target, root) as listener:
        data = upgrade_head(topic.target, root, key=new_key()) + document_frame({"publish": {"text": "slowly" * 30}})
        for byte in data:
            connection.send(bytes([byte]))
        connection.read_response().must_be(101)
        assert value_of(listener.receive()["item"]) == "slowly" * 30


# Frames


def test_a_message_may_come_in_pieces(server, topic, root):
    with RawWebSocket(server, topic.target, root) as socket:
        text = json.dumps({"publish": {"text": "naïve 💡"}}, ensure_ascii=False).encode()
        # Cut within characters, with control frames in between, and with empty pieces.
        socket.send_bytes(frame(TEXT, text[:20], is_final=False))
        socket.send_bytes(frame(PING, b"between"))
        for byte in text[20:]:
            socket.send_bytes(frame(CONTINUATION, bytes([byte]), is_final=False))
        socket.send_bytes(frame(CONTINUATION, b"", is_final=False) + frame(CONTINUATION, b""))
        documents = {}
        while len(documents) < 2:
            documents |= socket.receive()
        assert value_of(documents["item"]) == "naïve 💡"
        assert socket.pongs == [b"between"]


def test_a_ping_is_answered_with_what_it_carried(server, topic, root):
    with RawWebSocket(server, topic.target, root) as socket:
        assert socket.next_frame()[0] == TEXT
        for payload in (b"", b"x", bytes(range(125))):
            socket.send_bytes(frame(PING, payload))
            assert socket.next_frame() == (PONG, payload)
        # A pong that nobody asked for says that the peer lives, and nothing else.
        socket.send_bytes(frame(PONG, b"unasked") + frame(PING, b"next"))
        assert socket.next_frame() == (PONG, b"next")


@pytest.mark.parametrize("payload", [b"", struct.pack(">H", 1000), struct.pack(">H", 1001) + b"away", b"\x0f\xa0bye"])
def test_a_farewell_is_returned(server, topic, root, payload):
    with RawWebSocket(server, topic.target, root) as socket:
        assert socket.next_frame()[0] == TEXT
        socket.send_bytes(frame(CLOSE, payload))
        opcode, answer = socket.next_frame()
        assert opcode == CLOSE
        assert answer[:2] == payload[:2] or answer[:2] == struct.pack(">H", 1000)
        assert socket.connection.is_closed()


# Publishing


def test_a_publication_over_its_limit_is_refused_and_the_socket_stays(server, topic, root):
    with WebSocket(server, topic.target, root, max_size=None) as socket:
        for value in ("x" * MESSAGE_LIMIT, "\0" * (MESSAGE_LIMIT // 6), b"\xff" * MESSAGE_LIMIT):
            socket.publish(value)
        for value in ("x" * (MESSAGE_LIMIT + 1), b"x" * (MESSAGE_LIMIT + 1)):
            socket.send({"publish": {"text": value} if isinstance(value, str) else {"binary": "eHh4" * 34_134}})
            while "error" not in (answer := socket.receive()):
                pass
            error = answer["error"]
            assert (error["code"], error["limit"], error["value"]) == ("TooLarge", "max_message_bytes", MESSAGE_LIMIT)
        socket.publish("x")


def test_publishing_needs_its_permission(server, topic):
    reader = server.admin.make_token(may("readonly")).headers
    with WebSocket(server, topic.target, reader) as socket:
        answer = socket.ask({"publish": {"text": "x"}})
        assert answer["error"]["code"] == "PermissionDenied"
        topic.publish("from elsewhere")
        assert value_of(socket.receive()["item"]) == "from elsewhere"


def test_publications_in_a_row_are_answered_in_their_order(server, topic, root):
    with WebSocket(server, topic.target, root) as socket:
        for number in range(200):
            socket.send({"publish": {"text": str(number)}})
        positions, items = [], []
        while len(positions) < 200 or len(items) < 200:
            document = socket.receive()
            if "published" in document:
                positions.append(document["published"]["topic_sequence_number"])
            else:
                items.append(document["item"])
        assert positions == list(range(1, 201))
        assert [int(value_of(item)) for item in items] == list(range(200))


# Mistakes


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "{",
        "[]",
        "null",
        "42",
        '"x"',
        "{}",
        "NaN",
        "[" * 50_000,
        '{"publish":' * 10_000,
        '{"publish":{}}',
        '{"publish":"text"}',
        '{"publish":null}',
        '{"publish":{"text":1}}',
        '{"publish":{"text":null}}',
        '{"publish":{"text":"a","binary":"YQ=="}}',
        '{"publish":{"binary":"!"}}',
        '{"publish":{"binary":"YQ"}}x',
        '{"publish":{"text":"a","extra":1}}',
        '{"publish":{"text":"a","id":"x"}}',
        '{"publish":{"text":"a","cache":"c","topic":"t"}}',
        '{"publish":{"text":"a","text":"b"}}',
        '{"publish":{"text":"a"},"publish":{"text":"b"}}',
        '{"publish":{"text":"a"},"auth":{"token":"x"}}',
        '{"publish":{"text":"a"}} {"publish":{"text":"b"}}',
        '{"publish":{"text":"\\ud800"}}',
        '{"publish":{"text":"\\x"}}',
        '{"publish":{"text":"line\nbreak"}}',
        '{"Publish":{"text":"a"}}',
        '{"other":{}}',
        '{"heartbeat":{}}',
        '{"subscribe":{"id":"a","cache":"c","topic":"t"}}',
        '{"unsubscribe":{"id":"a"}}',
        '{"auth":{}}',
        '{"auth":{"token":1}}',
        '{"auth":{"token":"x","more":1}}',
        '{"auth":"x"}',
    ],
    ids=lambda text: text[:40],
)
def test_what_is_no_request_gets_an_error_and_the_socket_stays(server, topic, root, text):
    with WebSocket(server, topic.target, root) as socket:
        socket.send_text(text)
        error = socket.receive()["error"]
        assert error["code"] == "InvalidArgument", error
        assert isinstance(error["message"], str) and error["message"]
        assert set(error) <= {"code", "message", "field", "limit", "value"}, error
        assert socket.publish("still here")["topic_sequence_number"] == 1


def test_a_binary_frame_gets_an_error_and_the_socket_stays(server, topic, root):
    with WebSocket(server, topic.target, root) as socket:
        for data in (b"", b'{"publish":{"text":"a"}}', b"\xff"):
            socket.library.send(data)
            assert socket.receive()["error"]["code"] == "InvalidArgument"
        assert socket.publish("still here")["topic_sequence_number"] == 1


def test_an_error_names_the_field(server, topic, root):
    with WebSocket(server, topic.target, root) as socket:
        for document, field in (
            ({"publish": {"text": "a", "colour": "red"}}, "colour"),
            ({"publish": {"text": 1}}, "text"),
            ({"publish": {"binary": "!"}}, "binary"),
        ):
            error = socket.ask(document)["error"]
            assert field in error.get("field", ""), error


def test_a_text_that_is_not_utf8_ends_the_socket(server, topic, root):
    with RawWebSocket(server, topic.target, root) as socket:
        socket.send_bytes(frame(TEXT, b'{"publish":{"text":"\xff"}}'))
        assert socket.ending()[1] == INVALID_DATA
