"""Two servers, told the same; each reply of the one is held against that of the other."""

import collections
import contextlib
import time
from dataclasses import dataclass

from .comparison import outcome, same
from .differences import known
from .generator import Step
from .protocol import Closed, Connection, ProtocolViolation, Reply, encode
from .words import ALL_KEYS, LARGE, LOGS, NAMES

# How the whole of a key is read, by its type, and how that compares.
_READING = {
    b"string": ((b"GET", None), "exact"),
    b"hash": ((b"HGETALL", None), "pairs"),
    b"list": ((b"LRANGE", None, b"0", b"-1"), "exact"),
    b"set": ((b"SMEMBERS", None), "unordered"),
    b"zset": ((b"ZRANGE", None, b"0", b"-1", b"WITHSCORES"), "exact"),
}
_MOST_SCANS = 20_000


@dataclass
class Peer:
    """Where a server is and how one comes in."""

    name: str
    host: str
    port: int
    login: tuple[bytes, ...] = ()
    context: object = None

    def connect(self, protocol):
        connection = Connection(self.host, self.port, context=self.context)
        if protocol == 3:
            words = (b"HELLO", b"3", b"AUTH", *self.login) if self.login else (b"HELLO", b"3")
            reply = connection.call(*words)
            assert reply.kind == b"%", f"{self.name} does not speak RESP3: {reply}"
        elif self.login:
            reply = connection.call(b"AUTH", *self.login)
            assert reply.raw == b"+OK\r\n", f"{self.name} refuses: {reply}"
        return connection


@dataclass(frozen=True)
class Mismatch:
    """Two replies that are not the same."""

    step: Step
    arguments: tuple[bytes, ...]
    ours: Reply
    theirs: Reply

    @property
    def group(self):
        """Mismatches of one group have, most likely, one cause."""
        return (self.arguments[0].upper(), outcome(self.ours), outcome(self.theirs))


class ServerGone(Exception):
    """A server takes no connections any more: most likely it crashed. Carries what it was told last."""


class Session:
    """Connections to both servers. `ours` is the one under test."""

    def __init__(self, ours, theirs, protocol=2):
        self.peers = (ours, theirs)
        self.protocol = protocol
        self._open = {}
        # What waits in a transaction, by connection; None outside of one.
        self._queued = {0: None, 1: None}
        # Commands that the server under test does not have.
        self.unsupported = {}
        self.explained = {}
        self.compared = 0
        self._last = collections.deque(maxlen=10)

    def close(self):
        for pair in self._open.values():
            for connection in pair:
                connection.close()
        self._open = {}
        self._queued = {0: None, 1: None}

    def begin(self):
        """New connections, and both servers empty."""
        self.close()
        try:
            pair = self.connections(0)
        except ConnectionRefusedError as error:
            raise ServerGone(f"{error}; the last steps were {list(self._last)}") from None
        for connection in pair:
            reply = connection.call(b"FLUSHDB")
            if is_unsupported(reply):
                reply = connection.call(
                    b"DEL", *ALL_KEYS, *LOGS, *NAMES, *(key for keys in LARGE.values() for key in keys)
                )
            assert reply.raw == b"+OK\r\n" or reply.kind == b":", f"FLUSHDB: {reply}"

    def connections(self, number):
        """The connection of this number to either server."""
        if number not in self._open:
            self._open[number] = tuple(peer.connect(self.protocol) for peer in self.peers)
        return self._open[number]

    # Steps

    def perform(self, step):
        """What is not the same, if anything is not."""
        self._last.append(step)
        return getattr(self, f"_{step.kind}")(step)

    def _call(self, step):
        mismatch = self._compare(step, step.arguments, step.compare, step.connection)
        if mismatch is None:
            for arguments in step.then:
                self._compare(step, arguments, "any", step.connection)
        return mismatch

    def _sleep(self, step):
        time.sleep(int(step.arguments[0]) / 1000)

    def _probe(self, step):
        if self._queued[step.connection] is not None:
            return None
        key = step.arguments[0]
        replies = self._ask((b"TYPE", key), step.connection)
        mismatch = self._judge(step, (b"TYPE", key), "exact", replies)
        if mismatch is not None or replies[1].text not in _READING:
            return mismatch
        pattern, compare = _READING[replies[1].text]
        reading = tuple(key if word is None else word for word in pattern)
        replies = self._ask(reading, step.connection)
        return self._judge(step, reading, compare, replies) or self._compare(
            step, (b"PTTL", key), "near", step.connection
        )

    def _woken(self, step):
        for key in (b"list:waited", b"zset:waited"):
            self._ask((b"DEL", key), 1)
        if self._queued[0] is not None or self._queued[1] is not None:
            return None
        self._send(step.arguments, 0)
        time.sleep(0.01)
        mismatch = self._compare(step, step.then[0], "exact", 1)
        replies = self.receive(0)
        return mismatch or self._judge(step, step.arguments, "exact", replies)

    # Replies

    def _send(self, arguments, number):
        data = encode(arguments)
        for connection in self.connections(number):
            connection.try_send(data)

    def receive(self, number):
        """The next reply of either server."""
        return tuple(self._one(connection) for connection in self.connections(number))

    @staticmethod
    def _one(connection):
        """What is not a reply becomes one, so that it compares."""
        try:
            return connection.receive()
        except Closed:
            return Reply(b"-closed the connection")
        except TimeoutError:
            return Reply(b"-gave no reply")
        except ProtocolViolation as violation:
            return Reply(f"-sent no RESP: {violation}".encode())

    def _ask(self, arguments, number):
        self._send(arguments, number)
        return self.receive(number)

    def _compare(self, step, arguments, compare, number):
        if compare == "scan" and self._queued[number] is None:
            return self._judge(step, arguments, compare, self._whole_scans(arguments, number))
        if compare == "settled" and self._queued[number] is None:
            return self._settled(step, arguments, number)
        replies = self._ask(arguments, number)
        return self.follow(step, arguments, compare, number, replies)

    def _settled(self, step, arguments, number):
        """A count of all keys: those that are over may count until somebody looks, and for a second after that."""
        deadline = time.monotonic() + 2
        while True:
            self._ask((b"EXISTS", *ALL_KEYS, *LOGS, *NAMES), number)
            replies = self._ask(arguments, number)
            if replies[0] == replies[1] or time.monotonic() > deadline:
                return self._judge(step, arguments, "exact", replies)
            time.sleep(0.05)

    def follow(self, step, arguments, compare, number, replies):
        """Keeps track of a transaction, whose replies come together in the end."""
        name, queued = arguments[0].upper(), self._queued[number]
        ours, theirs = replies
        if name == b"MULTI" and theirs.raw == b"+OK\r\n":
            self._queued[number] = []
        elif (
            name in (b"EXEC", b"DISCARD")
            and theirs.text != b"ERR wrong number of arguments for '%b' command" % name.lower()
        ):
            self._queued[number] = None
            if name == b"EXEC" and queued and ours.children is not None and theirs.children is not None:
                return self._judge_transaction(step, queued, ours, theirs)
        elif queued is not None and theirs.raw == b"+QUEUED\r\n":
            queued.append((arguments, compare))
        return self._judge(step, arguments, compare if queued is None else "exact", replies)

    def _judge_transaction(self, step, queued, ours, theirs):
        if ours.line != theirs.line or len(queued) != len(theirs.children):
            return Mismatch(step, step.arguments, ours, theirs)
        for (arguments, compare), one, other in zip(queued, ours.children, theirs.children, strict=True):
            mismatch = self._judge(step, arguments, compare, (one, other))
            if mismatch is not None:
                return mismatch
        return None

    def _judge(self, step, arguments, compare, replies):
        ours, theirs = replies
        self.compared += 1
        if same(compare, arguments, ours, theirs):
            return None
        if is_unsupported(ours) and not is_unsupported(theirs):
            name = arguments[0].upper()
            self.unsupported[name] = self.unsupported.get(name, 0) + 1
        entry = known(arguments, ours, theirs)
        if entry is not None:
            self.explained[entry.name] = self.explained.get(entry.name, 0) + 1
            return None
        return Mismatch(step, arguments, ours, theirs)

    def _whole_scans(self, arguments, number):
        return tuple(self._whole_scan(connection, arguments) for connection in self.connections(number))

    def _whole_scan(self, connection, arguments):
        """All that a scan brings until its end, as one reply; or the reply that is no part of a scan."""
        place = 1 if arguments[0].upper() == b"SCAN" else 2
        cursor, found = b"0", []
        for _ in range(_MOST_SCANS):
            if not connection.try_send(encode((*arguments[:place], cursor, *arguments[place:]))):
                return Reply(b"-closed the connection")
            reply = self._one(connection)
            if reply.children is None or len(reply.children) != 2 or reply.children[1].children is None:
                return reply
            found += reply.children[1].children
            cursor = reply.children[0].text
            if cursor == b"0":
                return Reply(b"*0", children=found)
        return Reply(b"-ended no scan")

    def is_usable(self):
        """Whether both servers still answer on the connections at hand."""
        with contextlib.suppress(OSError, Closed, ProtocolViolation):
            return all(connection.call(b"PING").is_error is False for connection in self.connections(0))
        return False


def is_unsupported(reply):
    return reply.is_error and reply.text.startswith((b"ERR unknown command", b"ERR unsupported command"))
