"""`api/asyncapi.yaml` and the server, held against each other.

Whatever the server sends is described, whatever is described it sends, and it takes what is described and nothing else.
"""

import copy
import json
import re

import jsonschema_rs
import pytest
import yaml

from support.admin import fresh_name
from support.server import REPOSITORY, Server
from support.topics import may, publish, topic_target
from support.waiting import PATIENCE
from support.websocket import (
    BINARY,
    CLOSE,
    PING,
    TEXT,
    VERSION,
    RawWebSocket,
    WebSocket,
    frame,
    refusal,
)

document = yaml.safe_load((REPOSITORY / "api" / "asyncapi.yaml").read_text())
openapi = yaml.safe_load((REPOSITORY / "api" / "openapi.yaml").read_text())

# What the server is asked for between two heartbeats, in seconds.
HEARTBEAT = 0.25


# The file


def pointed_at(reference):
    assert reference.startswith("#/"), reference
    node = document
    for part in reference[2:].split("/"):
        node = node[part.replace("~1", "/").replace("~0", "~")]
    return node


def resolved(node):
    """The node with what its references point at in their place."""
    if isinstance(node, list):
        return [resolved(value) for value in node]
    if not isinstance(node, dict):
        return node
    if isinstance(node.get("$ref"), str):
        return resolved(pointed_at(node["$ref"]))
    return {name: resolved(value) for name, value in node.items()}


class Description:
    """One channel of the file."""

    def __init__(self, name):
        self.name = name
        self.node = document["channels"][name]
        self.address = self.node["address"]
        self.close_codes = set(self.node["x-close-codes"])
        self.sent = self._messages("send")
        self.taken = self._messages("receive")
        self._validators = {
            message: jsonschema_rs.Draft7Validator(resolved(body["payload"]))
            for message, body in self.node["messages"].items()
        }

    def _messages(self, action):
        return [
            reference["$ref"].rpartition("/")[2]
            for operation in document["operations"].values()
            if operation["action"] == action and operation["channel"]["$ref"] == f"#/channels/{self.name}"
            for reference in operation["messages"]
        ]

    def kinds(self, payload, among):
        """The messages that the payload is valid as."""
        return [message for message in among if self._validators[message].is_valid(payload)]

    def why_not(self, payload):
        """For people: what is wrong with the payload as each message that has its word."""
        return [
            f"{message}: {error.message}"
            for message in self.sent + self.taken
            if message in payload
            for error in self._validators[message].iter_errors(payload)
        ]

    def examples(self, message):
        return [example["payload"] for example in self.node["messages"][message].get("examples", [])]


TOPIC, STREAM = Description("topic"), Description("stream")
CHANNELS = {"topic": TOPIC, "stream": STREAM}


def walk(node, place=""):
    """Every dictionary of the file with its place."""
    if isinstance(node, dict):
        yield place, node
        for name, value in node.items():
            yield from walk(value, f"{place}/{name}")
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from walk(value, f"{place}/{index}")


def test_every_reference_of_the_file_leads_somewhere():
    for _, node in walk(document):
        if isinstance(node.get("$ref"), str):
            pointed_at(node["$ref"])


def test_every_message_of_a_channel_goes_one_way():
    for channel in CHANNELS.values():
        assert sorted(channel.sent + channel.taken) == sorted(channel.node["messages"])


def test_every_payload_of_the_file_is_strict():
    # What stands beside the payloads (the head and the query of a handshake) may carry more than the file knows.
    # `propertyNames` and the like have no objects of their own.
    for channel in CHANNELS.values():
        for name, message in channel.node["messages"].items():
            for place, node in walk(resolved(message["payload"]), name):
                if node.get("type") == "object":
                    assert node.get("additionalProperties") is False, f"{channel.name}: {place}"


@pytest.mark.parametrize("channel", CHANNELS.values(), ids=CHANNELS)
def test_every_message_of_the_file_has_examples_that_are_this_message_alone(channel):
    for among in (channel.sent, channel.taken):
        for message in among:
            assert channel.examples(message), message
            for payload in channel.examples(message):
                assert channel.kinds(payload, among) == [message], (payload, channel.why_not(payload))


def test_both_descriptions_describe_one_thing():
    def bare(node):
        """A schema without the words for people."""
        if isinstance(node, dict):
            return {name: bare(value) for name, value in node.items() if name != "description"}
        return [bare(value) for value in node] if isinstance(node, list) else node

    def plain(file, node):
        if isinstance(node, dict):
            if isinstance(node.get("$ref"), str):
                return plain(file, file["components"]["schemas"][node["$ref"].rpartition("/")[2]])
            return {name: plain(file, value) for name, value in node.items()}
        return [plain(file, value) for value in node] if isinstance(node, list) else node

    here, there = (file["components"]["schemas"] for file in (document, openapi))
    for name, other in {"Item": "TopicItem", "Discontinuity": "Discontinuity"}.items():
        assert bare(plain(document, here[name])) == bare(plain(openapi, there[other])), name
    here, there = here["Error"]["properties"], there["Error"]["properties"]
    assert set(here) == set(there)
    assert set(here["code"]["enum"]) <= set(there["code"]["enum"])


# The server


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    running = Server(
        tmp_path_factory.mktemp("martlet") / "data", arguments=["--topic-heartbeat", str(HEARTBEAT)]
    ).start()
    yield running
    running.stop()


class Described(WebSocket):
    """A connection whose every frame is held against its channel of the file."""

    def __init__(self, witness, channel, target, headers=None, **options):
        self._witness = witness
        self.channel = channel
        super().__init__(witness.server, target, headers, **options)

    def _receive_text(self, within):
        text = super()._receive_text(within)
        if text is None:
            self._witness.note_end(self.channel, self.close_code)
        else:
            self._witness.note(self.channel, json.loads(text))
        return text

    def until(self, *messages, within=PATIENCE):
        """Reads until each of these messages has come, in whatever order; gives what stood in them, by message."""
        seen = {}
        while not set(messages) <= set(seen):
            payload = self.receive(with_heartbeats=True, within=within)
            assert payload is not None, f"closed with {self.close_code} before {messages}"
            (kind,) = self.channel.kinds(payload, self.channel.sent)
            seen.setdefault(kind, payload)
        return seen

    def one(self, message, **options):
        return self.until(message, **options)[message]

    def answer(self):
        """The next frame that does not come by itself; None at the end."""
        while (payload := self.receive()) is not None and {"item", "discontinuity"} & set(payload):
            pass
        return payload

    def last_error(self):
        """Reads to the end, which an error must come before."""
        error, code = self.ending()
        assert error is not None, f"closed with {code} without an error"
        return error, code


class Witness:
    """Plays scenarios, and remembers what was seen in them."""

    def __init__(self, server):
        self.server = server
        self.headers = server.admin.headers
        self.seen = {name: set() for name in CHANNELS}
        self.ended = {name: set() for name in CHANNELS}
        self._played = set()

    def play(self, scenario, *arguments):
        if (scenario, *arguments) not in self._played:
            self._played.add((scenario, *arguments))
            scenario(self, *arguments)

    def note(self, channel, payload):
        kinds = channel.kinds(payload, channel.sent)
        assert len(kinds) == 1, f"not one message of the file: {payload}; {kinds or channel.why_not(payload)}"
        self.seen[channel.name].add(kinds[0])
        # A name for each of the two forms that one message has on a connection for many.
        if channel is STREAM:
            self.seen[channel.name].add(f"{kinds[0]} {'with' if 'id' in payload else 'without'} id")

    def note_end(self, channel, code):
        assert code in channel.close_codes, f"a close code that the file does not know: {code}"
        self.ended[channel.name].add(code)

    def cache(self, **limits):
        return self.server.admin.make_cache(**({"limits": limits} if limits else {}))

    def topic(self, cache, topic="news", headers=None, **query):
        made = Described(self, TOPIC, topic_target(cache, topic, **query), headers or self.headers)
        assert made.receive(with_heartbeats=True) == {"heartbeat": {}}
        return made

    def stream(self, headers=None):
        return Described(self, STREAM, STREAM.address, headers or self.headers)

    def subscribed(self, cache, *, headers=None, topic="news", id="a", **position):
        made = self.stream(headers)
        made.send({"subscribe": {"id": id, "cache": cache, "topic": topic, **position}})
        assert made.one("subscribed") == {"id": id, "subscribed": {}}
        return made

    def publish(self, cache, value, topic="news"):
        client = self.server.client()
        publish(client, self.headers, cache, topic, value).must_be(204)
        client.close()


@pytest.fixture(scope="module")
def witness(server):
    return Witness(server)


# The scenarios. Each plays on both channels.


def open_on(witness, channel, cache, headers=None):
    """A connection with a subscription to `news`, and the fields that say so in its frames."""
    if channel is TOPIC:
        return witness.topic(cache, headers=headers), {}
    return witness.subscribed(cache, headers=headers), {"id": "a"}


def messages_of_both_kinds(witness, channel):
    cache = witness.cache()
    publisher = witness.server.admin.make_token(may("readwrite"), token_id="user-42")
    socket, fields = open_on(witness, channel, cache, publisher.headers)
    with socket:
        for number, value in enumerate(({"text": "grüß dich"}, {"text": ""}, {"binary": "AAEC/w=="}), 1):
            socket.send({"publish": {**fields, **value}})
            seen = socket.until("published", "item")
            item = seen["item"]["item"]
            assert item["value"] == value
            assert item["publisher_id"] == "user-42"
            assert item["topic_sequence_number"] == number
            assert seen["published"]["published"]["topic_sequence_number"] == number
            if fields:
                assert seen["item"]["id"] == "a" and seen["published"]["id"] == "a"


def a_message_of_nobody_in_particular(witness, channel):
    cache = witness.cache()
    key = witness.server.admin.make_key(may("readwrite"))
    socket, fields = open_on(witness, channel, cache, key.headers)
    with socket:
        socket.send({"publish": {**fields, "text": "hello"}})
        assert "publisher_id" not in socket.one("item")["item"]


def heartbeats(witness, channel):
    socket, _ = open_on(witness, channel, witness.cache())
    with socket:
        for _ in range(3):
            socket.one("heartbeat")


def a_gap(witness, channel):
    cache = witness.cache()
    witness.publish(cache, "hello")
    position = {"sequence_number": 7, "sequence_page": 1}
    if channel is TOPIC:
        socket = witness.topic(cache, **position)
    else:
        socket = witness.subscribed(cache, **position)
    with socket:
        # Read up to the item and not further: it must come behind the gap.
        gap = socket.one("discontinuity")["discontinuity"]
        item = socket.one("item")["item"]
        assert gap["new_topic_sequence"] == item["topic_sequence_number"] - 1
        assert gap["new_sequence_page"] == item["sequence_page"]


def another_credential(witness, channel):
    admin = witness.server.admin
    first, second = (admin.make_token(may("readwrite")) for _ in range(2))
    socket, fields = open_on(witness, channel, witness.cache(), first.headers)
    with socket:
        socket.send({"auth": {"token": second.credential}})
        assert socket.one("authenticated") == {"authenticated": {"expires_at": second.expires_at}}
        socket.send({"auth": {"token": admin.make_key(may("readwrite")).credential}})
        assert socket.one("authenticated") == {"authenticated": {"expires_at": None}}
        socket.send({"publish": {**fields, "text": "hello"}})
        socket.one("published")


def refused_frames(witness, channel):
    cache = witness.cache(max_message_bytes=16, max_publish_per_second=1)
    admin = witness.server.admin
    token = admin.make_token(may("readwrite"))
    reader = admin.make_token(may("readonly"))

    socket, fields = open_on(witness, channel, cache, token.headers)
    with socket:

        def refused(payload, code):
            socket.send(payload)
            answer = socket.one("error")
            assert answer["error"]["code"] == code, answer
            return answer["error"]

        refused({"auth": {"token": "nonsense"}}, "Unauthenticated")
        error = refused({"publish": {**fields, "text": "x" * 17}}, "TooLarge")
        assert (error["limit"], error["value"]) == ("max_message_bytes", 16)
        # One passes at a rate of one a second; a second one right behind it does not.
        for _ in range(2):
            socket.send({"publish": {**fields, "text": "x"}})
        error = socket.one("error")["error"]
        assert (error["code"], error["limit"], error["value"]) == ("RateLimited", "max_publish_per_second", 1)
        assert error["retry_after_ms"] > 0

    socket, fields = open_on(witness, channel, cache, reader.headers)
    with socket:
        socket.send({"publish": {**fields, "text": "x"}})
        assert socket.one("error")["error"]["code"] == "PermissionDenied"


def the_credential_is_revoked(witness, channel):
    token = witness.server.admin.make_token(may("readonly"))
    socket, _ = open_on(witness, channel, witness.cache(), token.headers)
    witness.server.admin.revoke_token(token.id)
    error, code = socket.last_error()
    assert (error["code"], code) == ("CredentialRevoked", 4403)


def the_credential_expires(witness, channel):
    token = witness.server.admin.make_token(may("readonly"), ttl_seconds=1)
    socket, _ = open_on(witness, channel, witness.cache(), token.headers)
    error, code = socket.last_error()
    assert (error["code"], code) == ("CredentialExpired", 4401)


def the_cache_is_deleted(witness, channel):
    cache = witness.cache()
    socket, _ = open_on(witness, channel, cache)
    witness.server.admin.call("DELETE", f"/caches/{cache}").must_be(204)
    if channel is TOPIC:
        error, code = socket.last_error()
        assert (error["code"], code) == ("NotFound", 4404)
    else:
        with socket:
            answer = socket.one("error")
            assert (answer["id"], answer["error"]["code"]) == ("a", "NotFound")
            # The connection stays, and has a heartbeat of its own again.
            while "id" in socket.one("heartbeat"):
                pass


def the_server_drains(witness, channel):
    running = witness.server
    directory = running.data_directory.parent / fresh_name("drained")
    other = Server(directory, arguments=["--topic-heartbeat", str(HEARTBEAT)]).start()
    try:
        witness.server, witness.headers = other, other.admin.headers
        socket, _ = open_on(witness, channel, witness.cache())
        other.terminate()
        error, code = socket.last_error()
        assert (error["code"], code) == ("Unavailable", 1001)
        assert other.wait() == 0
    finally:
        witness.server, witness.headers = running, running.admin.headers
        other.stop()


def broken_protocol(witness, channel):
    """What no library sends: the close code stands in the frame that ends the connection."""
    limit = 4 * 102_400 + 65_536  # a message as base64 or with escapes, and something around it
    for sent, code in {
        frame(TEXT, b"{}", is_masked=False): 1002,
        frame(TEXT, b"{}", reserved=4): 1002,
        frame(0x3, b"{}"): 1002,
        frame(PING, b"x" * 126): 1002,
        frame(TEXT, b"\xff\xfe"): 1007,
        frame(TEXT, b"{", length=64 * limit): 1009,
    }.items():
        target = channel.address if channel is STREAM else topic_target(witness.cache(), "news")
        with RawWebSocket(witness.server, target, witness.headers) as socket:
            socket.send_bytes(sent)
            while (taken := socket.next_frame()) is not None:
                opcode, payload = taken
                if opcode == CLOSE:
                    break
                witness.note(channel, json.loads(payload))
            assert taken is not None, f"ended without a close frame, not with {code}"
            assert int.from_bytes(payload[:2], "big") == code
            witness.note_end(channel, code)


SCENARIOS = [
    messages_of_both_kinds,
    a_message_of_nobody_in_particular,
    heartbeats,
    a_gap,
    another_credential,
    refused_frames,
    the_credential_is_revoked,
    the_credential_expires,
    the_cache_is_deleted,
    the_server_drains,
    broken_protocol,
]


def subscriptions_come_and_go(witness):
    cache = witness.cache()
    with witness.stream() as socket:
        assert socket.one("heartbeat") == {"heartbeat": {}}
        for id in ("a", "x" * 128, "\N{HEDGEHOG}"):
            socket.send({"subscribe": {"id": id, "cache": cache, "topic": "news"}})
            assert socket.one("subscribed") == {"id": id, "subscribed": {}}
            while socket.one("heartbeat").get("id") != id:
                pass
            socket.send({"unsubscribe": {"id": id}})
            assert socket.one("unsubscribed") == {"id": id, "unsubscribed": {}}


def publications_with_and_without_an_id(witness):
    cache = witness.cache()
    with witness.stream() as socket:
        socket.send({"publish": {"id": "x", "cache": cache, "topic": "news", "text": "hello"}})
        assert socket.one("published")["id"] == "x"
        socket.send({"publish": {"cache": cache, "topic": "news", "text": "hello"}})
        assert "id" not in socket.one("published")


def errors_with_and_without_an_id(witness):
    cache = witness.cache()
    with witness.subscribed(cache) as socket:
        for sent, id, code in [
            ({"subscribe": {"id": "a", "cache": cache, "topic": "news"}}, "a", "AlreadyExists"),
            ({"subscribe": {"id": "b", "cache": fresh_name("none"), "topic": "news"}}, "b", "NotFound"),
            ({"unsubscribe": {"id": "b"}}, "b", "NotFound"),
            ({"publish": {"id": "x", "cache": fresh_name("none"), "topic": "t", "text": ""}}, "x", "NotFound"),
            ({"publish": {"cache": fresh_name("none"), "topic": "t", "text": ""}}, None, "NotFound"),
            ({"nonsense": {}}, None, "InvalidArgument"),
        ]:
            socket.send(sent)
            answer = socket.one("error")
            assert (answer.get("id"), answer["error"]["code"]) == (id, code), sent


def a_credential_that_permits_less(witness):
    cache = witness.cache()
    admin = witness.server.admin
    wide, narrow = admin.make_token(may("readonly")), admin.make_token(may("readonly", topic="b"))
    with witness.subscribed(cache, headers=wide.headers) as socket:
        socket.send({"subscribe": {"id": "b", "cache": cache, "topic": "b"}})
        socket.one("subscribed")
        socket.send({"auth": {"token": narrow.credential}})
        seen = socket.until("authenticated", "error")
        assert (seen["error"]["id"], seen["error"]["error"]["code"]) == ("a", "PermissionDenied")
        while socket.one("heartbeat") != {"id": "b", "heartbeat": {}}:
            pass


STREAM_SCENARIOS = [
    subscriptions_come_and_go,
    publications_with_and_without_an_id,
    errors_with_and_without_an_id,
    a_credential_that_permits_less,
]
PLAYS = [(scenario, channel) for scenario in SCENARIOS for channel in CHANNELS.values()]
PLAYS += [(scenario,) for scenario in STREAM_SCENARIOS]


def title(play):
    scenario, *channel = play
    return "-".join([scenario.__name__, *(channel.name for channel in channel)])


@pytest.mark.parametrize("play", PLAYS, ids=title)
def test_every_frame_of_the_server_is_described(witness, play):
    witness.play(*play)


def test_every_message_of_the_file_is_sent(witness):
    for play in PLAYS:
        witness.play(*play)
    assert witness.seen["topic"] == set(TOPIC.sent)
    seen = witness.seen["stream"]
    assert {kind for kind in seen if " " not in kind} == set(STREAM.sent)
    # The file leaves the id open where there are both.
    for message in STREAM.sent:
        is_required = "id" in STREAM.node["messages"][message]["payload"]["required"]
        can_have = "id" in STREAM.node["messages"][message]["payload"]["properties"]
        assert (f"{message} with id" in seen) == can_have, message
        assert (f"{message} without id" in seen) == (not is_required), message


def test_every_close_code_of_the_file_is_used(witness):
    for play in PLAYS:
        witness.play(*play)
    # Those left out are for floods, for faults of the server, and for a server that has no memory to spare.
    for name, channel in CHANNELS.items():
        assert witness.ended[name] == channel.close_codes - {1008, 1011, 1013}, name


# What clients send

ANSWERS = {
    "publish": "published",
    "auth": "authenticated",
    "subscribe": "subscribed",
    "unsubscribe": "unsubscribed",
}
EXAMPLES = [
    pytest.param(channel, message, index, id=f"{channel.name}-{message}-{index}")
    for channel in CHANNELS.values()
    for message in channel.taken
    for index in range(len(channel.examples(message)))
]


def usable(payload, cache, credential):
    """An example with a cache and a token that there are."""
    made = copy.deepcopy(payload)
    for _, node in walk(made):
        if "cache" in node:
            node["cache"] = cache
        if "token" in node:
            node["token"] = credential
    return made


def prepared(witness, channel, payload, cache):
    """A connection on which the frame makes sense: one that has the subscription that it names."""
    if channel is TOPIC:
        return witness.topic(cache)
    ((word, body),) = payload.items()
    if word == "unsubscribe" or word == "publish" and "topic" not in body:
        return witness.subscribed(cache, id=body["id"])
    return witness.stream()


@pytest.mark.parametrize("channel,message,index", EXAMPLES)
def test_every_example_of_the_file_is_taken(witness, channel, message, index):
    cache, token = witness.cache(), witness.server.admin.make_token(may("readwrite"))
    payload = usable(channel.examples(message)[index], cache, token.credential)
    with prepared(witness, channel, payload, cache) as socket:
        socket.send(payload)
        answer = socket.answer()
        assert channel.kinds(answer, channel.sent) == [ANSWERS[message]], answer


# One for each type of JSON, and one for each bound that a schema of the file sets.
STRANGE = [
    None,
    True,
    7,
    -1,
    1.5,
    1 << 64,
    "",
    " ",
    "\x07",
    "*",
    "a\x00",
    "x" * 129,
    "x" * 1025,
    "AAE",
    "AA==A",
    [],
    {},
]


def broken(payload):
    """The payload with one thing wrong: a field more, a field less, or another value in one place."""

    def at(path, change):
        made = copy.deepcopy(payload)
        node = made
        for name in path[:-1]:
            node = node[name]
        change(node, path[-1])
        return made

    def paths(node, path=()):
        for name, value in node.items():
            yield (*path, name)
            if isinstance(value, dict):
                yield from paths(value, (*path, name))

    yield {**payload, "stray": 1}
    yield {**payload, "id": "stray"}
    for path in paths(payload):
        yield at(path, lambda node, name: node.pop(name))
        for value in STRANGE:
            yield at(path, lambda node, name, value=value: node.__setitem__(name, value))
        for others in ({"stray": 1}, {"text": "x"}, {"binary": ""}, {"token": "x"}, {"id": "a"}):
            yield at(path, lambda node, name, others=others: isinstance(node[name], dict) and node[name].update(others))


@pytest.mark.parametrize("channel,message,index", EXAMPLES)
def test_every_frame_that_violates_the_file_is_refused(witness, channel, message, index):
    cache, token = witness.cache(), witness.server.admin.make_token(may("readwrite"))
    payload = usable(channel.examples(message)[index], cache, token.credential)
    violations = [made for made in broken(payload) if not channel.kinds(made, channel.taken)]
    assert len(violations) > 20
    # A flood of bad frames may cost the connection; so many do not.
    for some in batches(violations, 20):
        with prepared(witness, channel, payload, cache) as socket:
            for violation in some:
                socket.send(violation)
                answer = socket.answer()
                assert answer is not None, f"closed with {socket.close_code} after {violation}"
                assert "error" in answer, f"taken: {violation}, answered with {answer}"
                assert answer["error"]["code"] in ("InvalidArgument", "NotFound", "Unauthenticated"), violation
            # The connection stays as good as it was.
            socket.send(payload)
            socket.one(ANSWERS[message])


def batches(values, size):
    return [values[start : start + size] for start in range(0, len(values), size)]


@pytest.mark.parametrize("channel", CHANNELS.values(), ids=CHANNELS)
def test_what_is_no_object_of_json_is_refused_and_the_connection_stays(witness, channel):
    cache = witness.cache()
    value = {"text": "x"} if channel is TOPIC else {"cache": cache, "topic": "news", "text": "x"}
    publication = json.dumps({"publish": value})
    lines = [
        "",
        " ",
        "nonsense",
        "{",
        "null",
        "7",
        '"publish"',
        "[]",
        f"[{publication}]",
        "{}",
        publication + publication,
        publication + ",",
        publication.replace('"x"', "'x'"),
        publication.replace('"x"', r'"\ud800"'),
        publication.replace('"x"', r'"\x41"'),
        publication.replace('"x"', '"\t"'),
        publication.replace('"publish"', "publish"),
        "[" * 2000,
        '{"publish":' * 500,
    ]
    target = channel.address if channel is STREAM else topic_target(cache, "news")
    with RawWebSocket(witness.server, target, witness.headers) as socket:

        def answered(sent):
            socket.send_bytes(sent)
            answer = socket.receive()
            assert answer is not None, f"closed with {socket.close_code} after {sent[:100]!r}"
            witness.note(channel, answer)
            return answer

        for sent in [frame(TEXT, line.encode()) for line in lines] + [frame(BINARY, publication.encode())]:
            assert answered(sent)["error"]["code"] == "InvalidArgument", sent
        assert "published" in answered(frame(TEXT, publication.encode()))


# The handshake


@pytest.mark.parametrize("channel", CHANNELS.values(), ids=CHANNELS)
def test_every_security_scheme_of_the_file_opens_the_channel(witness, channel):
    target = channel.address if channel is STREAM else topic_target(witness.cache(), "news")
    token = witness.server.admin.make_token(may("readonly")).credential
    offers = {
        "credential": {"headers": {"authorization": token}},
        "subprotocol": {"protocols": [VERSION, f"martlet.auth.{token}"]},
        "token": {"target": f"{target}?token={token}"},
    }
    assert set(document["components"]["securitySchemes"]) == set(offers)
    for server in document["servers"].values():
        assert {scheme["$ref"].rpartition("/")[2] for scheme in server["security"]} == set(offers)
    for name, offer in offers.items():
        with Described(witness, channel, offer.pop("target", target), **offer) as socket:
            assert socket.receive(with_heartbeats=True) == {"heartbeat": {}}
            assert socket.library.subprotocol == (VERSION if name == "subprotocol" else None)
            assert socket.library.response.headers.get("Sec-WebSocket-Extensions") is None

    inside = {"Sec-WebSocket-Protocol": f"{VERSION}, martlet.auth.{token}"}
    header = {"Authorization": token}
    for place, headers in [
        (target, inside | header),
        (f"{target}?token={token}", inside),
        (f"{target}?token={token}", header),
    ]:
        refusal(witness.server, place, headers).must_refuse(400, "InvalidArgument")
    refusal(witness.server, target).must_refuse(401, "Unauthenticated")


@pytest.mark.parametrize("channel", CHANNELS.values(), ids=CHANNELS)
def test_the_handshake_is_the_one_of_the_file(witness, channel):
    target = channel.address if channel is STREAM else topic_target(witness.cache(), "news")
    description = resolved(channel.node["bindings"]["ws"])
    assert description["method"] == "GET"
    version = description["headers"]["properties"]["Sec-WebSocket-Version"]["const"]
    assert (
        refusal(witness.server, target, witness.headers, version="12").must_be(426).headers["sec-websocket-version"]
        == version
    )
    strange = witness.headers | {"Sec-WebSocket-Protocol": "graphql-ws"}
    refusal(witness.server, target, strange).must_refuse(400, "InvalidArgument")
    refusal(witness.server, target, witness.headers, key=None).must_refuse(400, "InvalidArgument")


def test_the_addresses_of_the_file_are_those_of_the_server():
    assert re.sub(r"\{[^}]*\}", "{}", TOPIC.address) == "/topics/{}/{}"
    assert STREAM.address == "/v1/stream"
    assert set(TOPIC.node["parameters"]) == {"cache", "topic"}
