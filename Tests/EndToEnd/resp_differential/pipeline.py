"""The same commands many at a time: what a server does with them must not depend on how they arrive."""

import random
import threading

from .generator import Step
from .protocol import encode
from .session import Mismatch, Session

# What cannot stand in a pipeline: what waits, or is asked again and again.
_ALONE = ("scan", "settled")


def runs_alone(step):
    return (
        step.kind != "call"
        or step.connection != 0
        or step.compare in _ALONE
        or step.arguments[0].upper().startswith(b"B")
    )


def explore_pipelined(session: Session, generator, count, *, seed, deepest=200) -> list[tuple[list[Step], Mismatch]]:
    """Runs about `count` commands, up to `deepest` in one write, cut anywhere. Stops at the first mismatch."""
    dice = random.Random(seed)
    session.begin()
    waiting: list[Step] = []
    for step in generator.steps(count):
        if not runs_alone(step):
            waiting.append(step)
            if len(waiting) < dice.randrange(1, deepest):
                continue
        mismatch = _together(session, waiting, dice)
        if mismatch is None and runs_alone(step):
            mismatch = session.perform(step)
        if mismatch is not None:
            return [([*waiting, step], mismatch)]
        waiting = []
    mismatch = _together(session, waiting, dice)
    return [] if mismatch is None else [(waiting, mismatch)]


def _together(session, steps, dice):
    """Sends all commands of the steps in a few pieces, and compares the replies in their order."""
    commands = [
        (step, arguments, "any" if place else step.compare) for step in steps for place, arguments in _commands(step)
    ]
    data = b"".join(encode(arguments) for _, arguments, _ in commands)
    pair = session.connections(0)
    senders = [
        threading.Thread(target=_send, args=(connection, _pieces(data, dice)), daemon=True) for connection in pair
    ]
    for sender in senders:
        sender.start()
    found = None
    for step, arguments, compare in commands:
        mismatch = session.follow(step, arguments, compare, 0, session.receive(0))
        if mismatch is not None and compare != "any":
            found = mismatch
            break
    for sender in senders:
        sender.join(10)
    return found


def _commands(step):
    return [(0, step.arguments), *((1, arguments) for arguments in step.then)]


def _pieces(data, dice):
    cuts = sorted(dice.randrange(len(data) + 1) for _ in range(dice.choice([0, 0, 1, 3, 20])))
    return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True) if start < end]


def _send(connection, pieces):
    for piece in pieces:
        if not connection.try_send(piece):
            return
