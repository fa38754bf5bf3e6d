"""The wire contract as Python: messages and calls, made from `api/proto` when the tests start.

The descriptors live in a pool of their own: the official SDK brings files of the same names into the common one.

A message is a class of its package (`scs.GetRequest` is `cache_client._GetRequest`), a service an object of whoever
calls (`caller.scs.Get(cache_key=b"k")`).
"""

import contextlib
import functools
import pathlib
import tempfile

import grpc
import grpc_tools
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_tools import protoc

from .admin import fresh_name
from .server import REPOSITORY, inner_form
from .waiting import PATIENCE

PROTOS = REPOSITORY / "api" / "proto"
Code = grpc.StatusCode


@functools.cache
def descriptor_set():
    """All of `api/proto`, as protoc understands it."""
    builtin = pathlib.Path(grpc_tools.__file__).parent / "_proto"
    with tempfile.TemporaryDirectory() as directory:
        output = pathlib.Path(directory) / "contract"
        sources = [str(path) for path in sorted(PROTOS.glob("*.proto"))]
        arguments = ["protoc", f"-I{PROTOS}", f"-I{builtin}", f"--descriptor_set_out={output}", *sources]
        assert protoc.main(arguments) == 0, "protoc refused the contract: see above"
        return descriptor_pb2.FileDescriptorSet.FromString(output.read_bytes())


@functools.cache
def pool():
    made = descriptor_pool.DescriptorPool()
    waiting = list(descriptor_set().file)
    known = set()
    while waiting:
        ready = [file for file in waiting if known.issuperset(file.dependency)]
        assert ready, "the files import each other in a circle"
        for file in ready:
            made.Add(file)
            known.add(file.name)
            waiting.remove(file)
    return made


@functools.cache
def message(full_name):
    return message_factory.GetMessageClass(pool().FindMessageTypeByName(full_name))


class Package:
    """The messages of one package: `_Name` and `Name` are both asked for as `Name`."""

    def __init__(self, name):
        self._name = name

    def __getattr__(self, attribute):
        for spelling in (f"_{attribute}", attribute):
            with contextlib.suppress(KeyError):
                return message(f"{self._name}.{spelling}")
        raise AttributeError(f"{self._name} has no message {attribute}")


scs = Package("cache_client")
common = Package("common")
pubsub = Package("cache_client.pubsub")
control = Package("control_client")
auth = Package("auth")
token = Package("token")
permissions = Package("permission_messages")
leaderboard = Package("leaderboard")
webhook = Package("webhook")
health = Package("grpc.health.v1")
reflection = Package("grpc.reflection.v1")

INVALID, OK, HIT, MISS = range(4)
ASCENDING, DESCENDING = range(2)
UNBOUNDED = {}

SERVICES = {
    "scs": "cache_client.Scs",
    "ping": "cache_client.Ping",
    "pubsub": "cache_client.pubsub.Pubsub",
    "control": "control_client.ScsControl",
    "auth": "auth.Auth",
    "token": "token.Token",
    "leaderboard": "leaderboard.Leaderboard",
    "webhook": "webhook.Webhook",
    "health": "grpc.health.v1.Health",
    "reflection": "grpc.reflection.v1.ServerReflection",
}


def methods():
    """Every method of every service, as (path, descriptor)."""
    for service_name in SERVICES.values():
        for method in pool().FindServiceByName(service_name).methods:
            yield f"/{service_name}/{method.name}", method


def open_channel(server, **options):
    """A connection of its own: the library would share one among all channels to an address."""
    settings = {
        "grpc.use_local_subchannel_pool": 1,
        "grpc.max_receive_message_length": -1,
        "grpc.max_send_message_length": -1,
        "grpc.enable_retries": 0,
        "grpc.enable_http_proxy": 0,
    } | {name.replace("__", "."): value for name, value in options.items()}
    host, port = server.http
    if server.is_development:
        return grpc.insecure_channel(f"{host}:{port}", options=list(settings.items()))
    authority = (server.data_directory / "ca.pem").read_bytes()
    credentials = grpc.ssl_channel_credentials(root_certificates=authority)
    return grpc.secure_channel(f"localhost:{port}", credentials, options=list(settings.items()))


class _Service:
    def __init__(self, caller, name):
        self._caller = caller
        self._descriptor = pool().FindServiceByName(name)

    def __getattr__(self, attribute):
        method = self._descriptor.methods_by_name.get(attribute)
        if method is None:
            raise AttributeError(f"{self._descriptor.full_name} has no method {attribute}")
        return functools.partial(self._caller.call, method)


class Caller:
    """Calls with a credential, on a cache, over a channel. What `using` gives shares the channel."""

    def __init__(self, channel, *, credential=None, cache=None, metadata=(), timeout=PATIENCE, compression=None):
        self.channel = channel
        self._settings = {
            "credential": credential,
            "cache": cache,
            "metadata": tuple(metadata),
            "timeout": timeout,
            "compression": compression,
        }

    def using(self, **changes):
        """The same with other settings; None leaves a piece of metadata out."""
        return Caller(self.channel, **(self._settings | changes))

    def __getattr__(self, attribute):
        if attribute not in SERVICES:
            raise AttributeError(attribute)
        return _Service(self, SERVICES[attribute])

    @property
    def metadata(self):
        pairs = []
        if self._settings["credential"] is not None:
            pairs.append(("authorization", self._settings["credential"]))
        if self._settings["cache"] is not None:
            pairs.append(("cache", self._settings["cache"]))
        return [*pairs, *self._settings["metadata"]]

    def method(self, method):
        """The callable of the library."""
        kind = f"{'stream' if method.client_streaming else 'unary'}_{'stream' if method.server_streaming else 'unary'}"
        request_class = message_factory.GetMessageClass(method.input_type)
        response_class = message_factory.GetMessageClass(method.output_type)
        return getattr(self.channel, kind)(
            f"/{method.containing_service.full_name}/{method.name}",
            request_serializer=request_class.SerializeToString,
            response_deserializer=response_class.FromString,
        )

    def call(self, method, request=None, /, **fields):
        """The response, or for a stream the call; raises what the server refuses."""
        if request is None:
            request = message_factory.GetMessageClass(method.input_type)(**fields)
        return self.method(method)(request, **self.options)

    def future(self, service, name, /, **fields):
        """A unary call that is not waited for."""
        method = pool().FindServiceByName(SERVICES[service]).methods_by_name[name]
        return self.method(method).future(message_factory.GetMessageClass(method.input_type)(**fields), **self.options)

    @property
    def options(self):
        """What goes with every call."""
        return {
            "metadata": self.metadata,
            "timeout": self._settings["timeout"],
            "compression": self._settings["compression"],
        }

    def send(self, path, data, *, gives_stream=False):
        """Bytes that need not be a message; gives the bytes of the answer."""
        method = self.channel.unary_stream if gives_stream else self.channel.unary_unary
        return method(path, request_serializer=None, response_deserializer=None)(data, **self.options)

    def close(self):
        self.channel.close()


def caller_for(server, cache=None, *, credential=None, timeout=PATIENCE, **options):
    """Whoever holds the credential (the root key if none is named), on a connection of its own."""
    if credential is None:
        credential = inner_form(server.root_key)
    return Caller(open_channel(server, **options), credential=credential, cache=cache, timeout=timeout)


def trailers_of(call):
    """The trailing metadata, by name."""
    return dict(call.trailing_metadata() or ())


def code_of(function):
    """The status of a call: OK if it gave something."""
    try:
        function()
    except grpc.RpcError as error:
        return error.code()
    return Code.OK


class Refusal:
    """What a refused call was told."""

    def __init__(self):
        self.code = self.message = None
        self.trailers = {}


@contextlib.contextmanager
def refused(code, *, err=None, says=None):
    """What is called inside must be refused with this status, this `err` (`...`: any) and this piece of the message."""
    told = Refusal()
    try:
        yield told
    except grpc.RpcError as error:
        told.code, told.message, told.trailers = error.code(), error.details(), trailers_of(error)
    assert told.code is not None, f"served, and not refused with {code}"
    said = f"{told.code}: {told.message!r}, {told.trailers}"
    assert told.code == code, f"expected {code}, got {said}"
    assert told.message, f"without a word: {said}"
    assert err is ... or told.trailers.get("err") == err, said
    if says is not None:
        assert says in told.message, said


class Subscription:
    """A stream of Subscribe that is known to stand. Heartbeats are counted and passed over."""

    def __init__(self, caller, cache, topic, *, number=0, page=0):
        self.heartbeats = 0
        self.call = caller.using(timeout=3 * PATIENCE).pubsub.Subscribe(
            cache_name=cache, topic=topic, resume_at_topic_sequence_number=number, sequence_page=page
        )
        first = next(self.call)
        assert first.WhichOneof("kind") == "heartbeat", f"the first message is {first}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.call.cancel()

    def next(self):
        """The next item or discontinuity."""
        for entry in self.call:
            kind = entry.WhichOneof("kind")
            assert kind is not None, "an empty message"
            if kind != "heartbeat":
                return getattr(entry, kind)
            self.heartbeats += 1
        raise AssertionError("the stream ended well")

    def items(self, count):
        """The next items, numbered without a gap."""
        found = [self.next() for _ in range(count)]
        for item in found:
            assert item.DESCRIPTOR.name == "_TopicItem", item
        numbers = [item.topic_sequence_number for item in found]
        assert numbers == list(range(numbers[0], numbers[0] + count)), numbers
        return found

    def values(self, count):
        return [topic_value(item) for item in self.items(count)]

    def ending(self):
        """The status with which the stream ends; what still comes is dropped."""
        try:
            for _ in self.call:
                pass
        except grpc.RpcError as error:
            return error
        raise AssertionError("the stream ended well")


def topic_value(item):
    return getattr(item.value, item.value.WhichOneof("kind"))


def publish(caller, cache, topic, value):
    kind = "binary" if isinstance(value, bytes) else "text"
    return caller.pubsub.Publish(cache_name=cache, topic=topic, value={kind: value})


def fresh_key():
    return fresh_name("key").encode()
