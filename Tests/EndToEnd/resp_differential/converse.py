#!/usr/bin/env python3
"""Holds the conversations of `transcripts.py` with two servers, and tells where what they say is not the same.

converse.py --port 6380                 # a redis-server of its own as the peer
converse.py --port 6380 --only watch --resp 3
"""

import argparse
import contextlib
import pathlib
import re
import shlex
import sys
import time

if __package__ in (None, ""):
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from resp_differential.comparison import same
from resp_differential.peer import RedisServer
from resp_differential.protocol import Closed, ProtocolViolation, as_arguments, encode
from resp_differential.session import Peer
from resp_differential.transcripts import TRANSCRIPTS, VERSION_3, WAITING

_LINE = re.compile(
    r"(?P<connection>\w+):\s*(?P<command>.*?)\s*(?:=>\s*(?P<count>\d+)(?P<any> in any order)?)?\s*(?P<mark>[~!])?"
)
# How long a reply is waited for. None that is due comes later than half a second.
_PATIENCE = 3.0


class _Conversation:
    """The connections to one server, by their names."""

    def __init__(self, peer, protocol):
        self._peer = peer
        self._protocol = protocol
        self._connections = {}

    def __getitem__(self, name):
        if name not in self._connections:
            made = self._peer.connect(self._protocol)
            made.socket.settimeout(_PATIENCE)
            self._connections[name] = made
        return self._connections[name]

    def close(self):
        for connection in self._connections.values():
            connection.close()

    def hold(self, text):
        """What was said, as (line, comparison, arguments, replies)."""
        return [self._say(line) for line in filter(None, (line.strip() for line in text.splitlines()))]

    def _say(self, line):
        match = _LINE.fullmatch(line)
        assert match, f"no line of a conversation: {line}"
        connection = self[match["connection"]]
        words = shlex.split(match["command"])
        count = 1 if match["count"] is None else int(match["count"])
        if words:
            connection.try_send(encode(as_arguments(words)))
        if count == 0:
            # Whoever waits must stand in line before the next one comes.
            time.sleep(0.03)
        replies = []
        try:
            replies += (connection.receive() for _ in range(count))
        except TimeoutError:
            replies.append("nothing")
        except Closed:
            replies.append("the end")
        except ProtocolViolation as violation:
            replies.append(str(violation))
        if match["mark"] == "!" and replies == ["the end"]:
            replies = []
        if match["any"]:
            replies.sort(key=repr)
        arguments = tuple(word.encode() for word in words) or (b"",)
        return line, "drawn" if match["mark"] == "~" else "exact", arguments, replies

    def rest(self):
        """What came that nobody asked for, by connection."""
        found = {}
        for name, connection in self._connections.items():
            with contextlib.suppress(Closed):
                if connection.has_more():
                    found[name] = connection.receive()
        return found


def _are_same(how, arguments, ours, theirs):
    return len(ours) == len(theirs) and all(
        one == other if isinstance(one, str) or isinstance(other, str) else same(how, arguments, one, other)
        for one, other in zip(ours, theirs, strict=True)
    )


def differences(ours, theirs, protocol, text):
    """The lines that the two servers answer differently, each with both answers. Both are emptied first."""
    for peer in (ours, theirs):
        with peer.connect(2) as connection:
            connection.call("FLUSHALL")
    conversations = [_Conversation(ours, protocol), _Conversation(theirs, protocol)]
    try:
        said = [conversation.hold(text) for conversation in conversations]
        found = []
        for (line, how, arguments, mine), (_, _, _, yours) in zip(*said, strict=True):
            if not _are_same(how, arguments, mine, yours):
                found.append(f"{line}\n    {ours.name:>8}: {mine}\n    {theirs.name:>8}: {yours}")
        rests = [conversation.rest() for conversation in conversations]
        if rests[0] != rests[1]:
            found.append(f"at the end\n    {ours.name:>8}: {rests[0]}\n    {theirs.name:>8}: {rests[1]}")
        return found
    finally:
        for conversation in conversations:
            conversation.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True, help="the server under test, on 127.0.0.1")
    parser.add_argument("--login", nargs="+", default=[], help="what follows AUTH on the server under test")
    parser.add_argument("--peer", type=int, help="the port of the other server; a new redis-server if there is none")
    parser.add_argument("--resp", type=int, choices=[2, 3], help="one version of the protocol; both by default")
    parser.add_argument("--only", default="", help="conversations whose name contains this")
    options = parser.parse_args()
    own = None if options.peer else RedisServer().start()
    ours = Peer("tested", "127.0.0.1", options.port, tuple(word.encode() for word in options.login))
    theirs = Peer("redis", "127.0.0.1", options.peer or own.port)
    code = 0
    try:
        for protocol in [options.resp] if options.resp else [2, 3]:
            texts = TRANSCRIPTS | WAITING | (VERSION_3 if protocol == 3 else {})
            for name, text in texts.items():
                if options.only not in name:
                    continue
                found = differences(ours, theirs, protocol, text)
                code |= bool(found)
                print(f"--- {name} (RESP{protocol}): {len(found) or 'no'} differences")
                for entry in found:
                    print(f"  {entry}")
    finally:
        if own is not None:
            own.stop()
    return code


if __name__ == "__main__":
    sys.exit(main())
