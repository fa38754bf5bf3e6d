"""Calls that break the rules of the wire: each is told a status, none is reset, and nobody else notices."""

import math
import random

import pytest
from google.protobuf.descriptor import FieldDescriptor as Field

from support.frames import GrpcConnection, frame, unframe
from support.http2 import DATA, END_HEADERS, END_STREAM, RST_STREAM
from support.http2 import frame as http2_frame
from support.server import inner_form
from support.wire import HIT, Code, message_factory, methods, pubsub, reflection, scs

GET = "/cache_client.Scs/Get"
SET = "/cache_client.Scs/Set"
GET_K = scs.GetRequest(cache_key=b"k").SerializeToString()
SET_K = scs.SetRequest(cache_key=b"k", cache_body=b"value", ttl_milliseconds=60_000).SerializeToString()


@pytest.fixture
def connection(server, cache):
    with GrpcConnection(server, inner_form(server.root_key), cache) as made:
        yield made
        # Whatever was sent, the connection is of use.
        must_serve(made)


def must_serve(connection):
    connection.send_call(SET, frame(SET_K)).must_be(Code.OK)
    answer = connection.send_call(GET, frame(GET_K)).must_be(Code.OK)
    (data,) = answer.messages
    assert scs.GetResponse.FromString(data).result == HIT
    assert connection.goaway is None


def test_an_answer_is_shaped_as_the_protocol_says(connection):
    connection.send_call(SET, frame(SET_K)).must_be(Code.OK)
    answer = connection.send_call(GET, frame(GET_K)).must_be(Code.OK)
    assert answer.headers["content-type"] in ("application/grpc", "application/grpc+proto")
    assert "grpc-status" not in answer.headers
    assert set(answer.trailers) == {"grpc-status"}
    assert len(unframe(answer.body)) == 1


def test_a_refusal_is_trailers_only(connection):
    answer = connection.send_call(GET, frame(b""), headers={"cache": "missing"}).must_be(Code.NOT_FOUND)
    assert answer.is_trailers_only
    assert answer.body == b""
    assert answer.message


@pytest.mark.parametrize(
    "content_type", ["application/grpc", "application/grpc+proto", "application/grpc; charset=utf-8"]
)
def test_content_types_of_the_protocol_are_taken(connection, content_type):
    connection.send_call(SET, frame(SET_K), headers={"content-type": content_type}).must_be(Code.OK)


def test_a_format_of_messages_that_is_not_spoken_is_told(connection):
    document = b'{"cacheKey":"aw==","cacheBody":"","ttlMilliseconds":"60000"}'
    answer = connection.send_call(SET, frame(document), headers={"content-type": "application/grpc+json"})
    assert answer.status == 415 or answer.code in (Code.UNIMPLEMENTED, Code.INVALID_ARGUMENT)


# What stands in the body, and with which status it must be told.
BODIES = {
    "nothing": (b"", {Code.INVALID_ARGUMENT, Code.INTERNAL, Code.UNIMPLEMENTED}),
    "half a prefix": (b"\x00\x00\x00", {Code.INVALID_ARGUMENT, Code.INTERNAL}),
    "a prefix alone": (frame(b"", length=5), {Code.INVALID_ARGUMENT, Code.INTERNAL}),
    "a message cut short": (frame(SET_K)[:-1], {Code.INVALID_ARGUMENT, Code.INTERNAL}),
    "a length too long": (frame(SET_K, length=len(SET_K) + 1), {Code.INVALID_ARGUMENT, Code.INTERNAL}),
    "a length too short": (
        frame(SET_K, length=len(SET_K) - 1),
        {Code.INVALID_ARGUMENT, Code.INTERNAL, Code.UNIMPLEMENTED},
    ),
    "a length of 4 GiB": (
        frame(SET_K, length=2**32 - 1),
        {Code.RESOURCE_EXHAUSTED, Code.INVALID_ARGUMENT, Code.INTERNAL},
    ),
    "two messages": (frame(SET_K) * 2, {Code.INVALID_ARGUMENT, Code.INTERNAL, Code.UNIMPLEMENTED}),
    "a message and a byte": (frame(SET_K) + b"\x00", {Code.INVALID_ARGUMENT, Code.INTERNAL, Code.UNIMPLEMENTED}),
    "an unknown flag": (frame(SET_K, flag=2), {Code.INVALID_ARGUMENT, Code.INTERNAL, Code.UNIMPLEMENTED}),
    "every flag": (frame(SET_K, flag=0xFF), {Code.INVALID_ARGUMENT, Code.INTERNAL, Code.UNIMPLEMENTED}),
    "compressed, in no coding": (frame(SET_K, flag=1), {Code.INVALID_ARGUMENT, Code.INTERNAL, Code.UNIMPLEMENTED}),
    "no message": (frame(b"\xff" * 10), {Code.INVALID_ARGUMENT}),
}


@pytest.mark.parametrize(
    "path",
    [
        SET,
        "/cache_client.Scs/SetIf",
        "/cache_client.Scs/GetBatch",
        "/cache_client.pubsub.Pubsub/Subscribe",
        "/control_client.ScsControl/CreateCache",
    ],
)
@pytest.mark.parametrize("case", BODIES)
def test_bodies_that_cannot_be_are_told(connection, path, case):
    body, codes = BODIES[case]
    answer = connection.send_call(path, body)
    # What has no field in common with the message that is sent is told by what it lacks.
    expected = codes | {Code.INVALID_ARGUMENT}
    assert answer.code in expected, (answer.code, answer.message)


def test_a_body_that_comes_byte_by_byte_is_one(connection):
    body = frame(SET_K)
    stream_id = connection.begin(SET, ends=False)
    for position in range(len(body)):
        connection.send_body(stream_id, body[position : position + 1], ends=position == len(body) - 1)
    connection.finish_call(stream_id).must_be(Code.OK)


@pytest.mark.parametrize("cut", [None, 3, 5, 10])
@pytest.mark.parametrize("ends_apart", [False, True])
def test_messages_of_a_stream_are_answered_however_they_are_cut(connection, cut, ends_apart):
    """Several in one piece, or one in several, and the end with the last of them or behind it."""
    request = reflection.ServerReflectionRequest(file_containing_symbol="cache_client.Scs")
    body = frame(request.SerializeToString()) * 3
    stream_id = connection.begin("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", ends=False)
    if cut is not None:
        connection.send_body(stream_id, body[:cut], ends=False)
    connection.send_body(stream_id, body[cut or 0 :], ends=not ends_apart)
    if ends_apart:
        connection.send_body(stream_id, b"", ends=True)
    answer = connection.finish_call(stream_id).must_be(Code.OK)
    assert len(answer.messages) == 3


def test_a_call_without_a_body_is_told(connection):
    answer = connection.send_call(SET, None)
    assert answer.code in (Code.INVALID_ARGUMENT, Code.INTERNAL, Code.UNIMPLEMENTED)


def test_a_coding_that_was_announced_and_is_not_there(connection):
    plain = connection.send_call(SET, frame(SET_K), headers={"grpc-encoding": "gzip"})
    plain.must_be(Code.OK)
    for encoding, expected in (
        ("gzip", Code.INVALID_ARGUMENT),
        ("snappy", Code.UNIMPLEMENTED),
        ("identity", None),
        ("", None),
    ):
        answer = connection.send_call(SET, frame(SET_K, flag=1), headers={"grpc-encoding": encoding})
        assert answer.code == expected or expected is None and answer.code != Code.OK, encoding
        if encoding == "snappy":
            # So that a client knows what it may use instead.
            accepted = (answer.headers | (answer.trailers or {})).get("grpc-accept-encoding", "")
            assert {"gzip", "identity"} <= {coding.strip() for coding in accepted.split(",")}


@pytest.mark.parametrize("value", ["", "x", "1", "S", "-1S", "1.5S", "999999999S", "1 S", "1X", "٣S"])
def test_a_timeout_that_is_none_is_told(connection, value):
    answer = connection.send_call(GET, frame(GET_K), headers={"grpc-timeout": value.encode().decode("latin-1")})
    assert answer.code in (Code.INVALID_ARGUMENT, Code.INTERNAL), answer.code


@pytest.mark.parametrize("value", ["10S", "1M", "1H", "99999999H", "5000m", "99999999u", "99999999n"])
def test_timeouts_in_every_unit_are_taken(connection, value):
    connection.send_call(SET, frame(SET_K), headers={"grpc-timeout": value}).must_be(Code.OK)


def test_what_is_no_call_is_told(connection):
    """A status of HTTP where the protocol has none of its own."""
    answer = connection.send_call(GET, frame(GET_K), headers={"content-type": None})
    assert 400 <= answer.status < 500
    answer = connection.send_call(GET, frame(GET_K), headers={"content-type": "application/json"})
    assert 400 <= answer.status < 500
    answer = connection.send_call(GET, None, method="GET")
    assert 400 <= answer.status < 500 or answer.code != Code.OK
    answer = connection.send_call(GET, frame(GET_K), method="PUT")
    assert 400 <= answer.status < 500 or answer.code != Code.OK


def test_a_client_that_does_not_promise_to_take_trailers_gets_them(connection):
    connection.send_call(SET, frame(SET_K), headers={"te": None}).must_be(Code.OK)


def test_metadata_without_measure_is_told(connection):
    answer = connection.send_call(GET, frame(GET_K), headers={f"x-{number}": "x" * 4000 for number in range(30)})
    assert answer.status == 431 or answer.code == Code.RESOURCE_EXHAUSTED


def test_data_behind_the_end_harms_nobody_else(server, cache):
    credential = inner_form(server.root_key)
    with server.raw_http2() as raw:
        fields = raw.fields(
            "POST",
            SET,
            [("content-type", "application/grpc"), ("te", "trailers"), ("authorization", credential), ("cache", cache)],
        )
        raw.send(raw.headers_frame(1, fields, flags=END_HEADERS))
        raw.send(http2_frame(DATA, END_STREAM, 1, frame(SET_K)))
        raw.send(http2_frame(DATA, END_STREAM, 1, b"more"))
        # RFC 9113 section 5.1: a stream error, or one of the connection.
        raw.run_to_silence()
        assert raw.goaway_code in (None, 0, 1, 5)
        assert {code for code, *_ in raw.of(RST_STREAM)} <= {RST_STREAM}
    with GrpcConnection(server, credential, cache) as other:
        must_serve(other)


def test_whoever_leaves_half_way_harms_nobody(server, cache, connection):
    for cut in (0, 3, 5, 20):
        with GrpcConnection(server, inner_form(server.root_key), cache) as leaving:
            leaving.begin(SET, frame(b"x" * 1_000_000)[: cut or None], ends=False)
    stream_id = connection.begin(SET, frame(SET_K)[:4], ends=False)
    connection.reset(stream_id)
    must_serve(connection)


def fill(generator, message, depth=0):
    """Random values in random fields."""
    for field in message.DESCRIPTOR.fields:
        if generator.random() < 0.3:
            continue
        kind = field.type
        for _ in range(generator.randrange(1, 4) if field.is_repeated else 1):
            if kind == Field.TYPE_MESSAGE:
                if depth > 3:
                    continue
                inner = getattr(message, field.name)
                fill(generator, inner.add() if field.is_repeated else inner, depth + 1)
                if not field.is_repeated:
                    inner.SetInParent()
                continue
            value = {
                Field.TYPE_BYTES: lambda: generator.randbytes(generator.randrange(20)),
                Field.TYPE_STRING: lambda: "x" * generator.randrange(20),
                Field.TYPE_BOOL: lambda: generator.random() < 0.5,
                Field.TYPE_DOUBLE: lambda: generator.choice([0.0, -1.5, 1e300, math.inf, math.nan]),
                Field.TYPE_FLOAT: lambda: generator.choice([0.0, -1.5, math.inf, math.nan]),
            }.get(kind, lambda: generator.choice([0, 1, 2, 3, 7, 1000, 2**31 - 1]))()
            if field.is_repeated:
                getattr(message, field.name).append(value)
            else:
                setattr(message, field.name, value)
    return message


def mutate(generator, data):
    data = bytearray(data)
    for _ in range(generator.randrange(0, 4)):
        kind = generator.randrange(4)
        position = generator.randrange(len(data) + 1)
        if kind == 0 and data:
            data[position % len(data)] = generator.randrange(256)
        elif kind == 1:
            data[position:position] = generator.randbytes(generator.randrange(1, 6))
        elif kind == 2:
            del data[position : position + generator.randrange(1, 6)]
        else:
            data += data[position : position + 20]
    return bytes(data)


# What is asked for with no right, or would be asked of the wrong one, is told so; what went wrong in the server is not
# among these.
TOLD = {
    Code.OK,
    Code.INVALID_ARGUMENT,
    Code.NOT_FOUND,
    Code.ALREADY_EXISTS,
    Code.FAILED_PRECONDITION,
    Code.RESOURCE_EXHAUSTED,
    Code.PERMISSION_DENIED,
    Code.UNAUTHENTICATED,
    Code.UNIMPLEMENTED,
    Code.DEADLINE_EXCEEDED,
}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_random_and_mutated_messages_of_every_method_are_told(server, make_server, seed):
    """A server of its own: caches are made and deleted."""
    print(f"seed {seed}")
    generator = random.Random(seed)
    server = make_server()
    with GrpcConnection(server, inner_form(server.root_key), "default") as connection:
        for round_number in range(8):
            for path, method in methods():
                message = fill(generator, message_factory.GetMessageClass(method.input_type)())
                data = message.SerializeToString()
                if round_number % 2:
                    data = mutate(generator, data)
                # A stream that is let in ends with its time.
                timeout = "60m" if method.server_streaming else "10S"
                answer = connection.send_call(path, frame(data), headers={"grpc-timeout": timeout})
                assert answer.code in TOLD, (path, data, answer.code, answer.message)
        assert connection.goaway is None
    assert server.is_healthy()


def test_topics_named_by_anything_are_told(connection, cache):
    for topic in ("\x00", "a\nb", " ", "x" * 5000):
        request = pubsub.PublishRequest(cache_name=cache, topic=topic, value={"text": "v"})
        answer = connection.send_call("/cache_client.pubsub.Pubsub/Publish", frame(request.SerializeToString()))
        answer.must_be(Code.INVALID_ARGUMENT)
