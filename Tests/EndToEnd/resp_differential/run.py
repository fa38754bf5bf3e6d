#!/usr/bin/env python3
"""Tells two servers the same random commands and shows where they answer differently, each with a short history.

run.py --port 6380 --peer 6379 --family strings --count 5000
run.py --port 6380                      # a redis-server of its own as the peer
run.py --port 6380 --login default TOKEN --resp 3 --seed 7
run.py --port 6380 --replay commands.txt
"""

import argparse
import pathlib
import random
import shlex
import sys

if __package__ in (None, ""):
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from resp_differential.commands import FAMILIES
from resp_differential.generator import EXTRA_FAMILIES, CommandGenerator, Step
from resp_differential.minimise import minimise
from resp_differential.peer import RedisServer
from resp_differential.pipeline import explore_pipelined
from resp_differential.session import Peer, Session


def quoted(word):
    """An argument as redis-cli takes it."""
    text = "".join(
        {0x22: '\\"', 0x5C: "\\\\", 0x0A: "\\n", 0x0D: "\\r"}.get(byte)
        or (chr(byte) if 32 <= byte < 127 else f"\\x{byte:02x}")
        for byte in word
    )
    return text if text and " " not in text and "\\" not in text and "'" not in text else f'"{text}"'


def unquoted(line):
    return tuple(
        word.encode("latin-1").decode("unicode_escape").encode("latin-1")
        for word in shlex.split(line.replace("\\", "\\\\"))
    )


def shown(step):
    words = " ".join(quoted(word) for word in step.arguments)
    if len(words) > 3000:
        words = f"{words[:2000]} … ({len(step.arguments)} words)"
    if step.kind == "probe":
        return f"# the whole of {words}"
    if step.kind == "sleep":
        return f"# wait {words} ms"
    if step.kind == "woken":
        return f"{words}    # waits, until another connection says: {' '.join(quoted(word) for word in step.then[0])}"
    return words + (f"    # on connection {step.connection}" if step.connection else "")


def report(session, steps, mismatch, out=sys.stdout):
    """One mismatch with the history that leads to it."""
    print(
        f"--- {mismatch.arguments[0].decode('latin-1')} (RESP{session.protocol}), after {len(steps) - 1} steps",
        file=out,
    )
    for step in steps:
        print(f"  {shown(step)}", file=out)
    if mismatch.arguments != mismatch.step.arguments:
        print(f"  in this: {' '.join(quoted(word) for word in mismatch.arguments)}", file=out)
    print(f"  {session.peers[0].name:>8}: {mismatch.ours}", file=out)
    print(f"  {session.peers[1].name:>8}: {mismatch.theirs}", file=out, flush=True)


def explore(session, generator, count, *, most=20, minimising=20.0, on_mismatch=None, skips_unsupported=True):
    """Runs `count` commands; gives the mismatches of different groups, each as (steps, mismatch)."""
    found, groups, history = [], set(), []
    session.begin()
    for step in generator.steps(count):
        history.append(step)
        mismatch = session.perform(step)
        if mismatch is None:
            continue
        name = mismatch.arguments[0].upper()
        is_new = mismatch.group not in groups and not (skips_unsupported and name in session.unsupported)
        groups.add(mismatch.group)
        if is_new:
            shortest = minimise(session, history, mismatch, within=minimising) if minimising else None
            entry = shortest or (history, mismatch)
            found.append(entry)
            if on_mismatch is not None:
                on_mismatch(*entry, shortest is not None)
            if len(found) >= most:
                break
        history = []
        session.begin()
    return found


def replay(session, path):
    session.begin()
    steps = [
        Step(unquoted(line)) for line in pathlib.Path(path).read_text().splitlines() if line.strip() and line[0] != "#"
    ]
    for index, step in enumerate(steps):
        mismatch = session.perform(step)
        if mismatch is not None:
            report(session, steps[: index + 1], mismatch)
            return 1
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True, help="the server under test")
    parser.add_argument("--login", nargs="+", default=[], help="what follows AUTH on the server under test")
    parser.add_argument("--peer", type=int, help="the port of the other server; a new redis-server if there is none")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("--count", type=int, default=3000)
    parser.add_argument("--resp", type=int, choices=[2, 3], help="one version of the protocol; both by default")
    parser.add_argument("--family", action="append", choices=[*FAMILIES, *EXTRA_FAMILIES], help="may be repeated")
    parser.add_argument("--only", default="", help="names of commands, with commas")
    parser.add_argument("--skip", default="", help="names of commands, with commas")
    parser.add_argument("--differences", type=int, default=20, help="stop after so many")
    parser.add_argument("--first", action="store_true", help="stop after the first difference")
    parser.add_argument(
        "--minimise", type=float, default=10.0, metavar="SECONDS", help="for each difference; 0 for none"
    )
    parser.add_argument("--pipeline", action="store_true", help="send many commands at a time")
    parser.add_argument("--replay", help="a file of commands as redis-cli takes them, instead of random ones")
    options = parser.parse_args()

    own = None if options.peer else RedisServer().start()
    code = 0
    try:
        for protocol in [options.resp] if options.resp else [2, 3]:
            ours = Peer("tested", options.host, options.port, tuple(word.encode() for word in options.login))
            theirs = Peer("redis", "127.0.0.1", options.peer or own.port)
            session = Session(ours, theirs, protocol)
            if options.replay:
                code |= replay(session, options.replay)
                continue
            names = [{name.upper() for name in text.split(",") if name} for text in (options.only, options.skip)]
            generator = CommandGenerator(options.seed, options.family, only=names[0], skipped=names[1])

            def show(steps, mismatch, is_reproduced, session=session):
                report(session, steps[-40:], mismatch)
                if not is_reproduced:
                    print("  (did not come again: the history above may be incomplete)")

            if options.pipeline:
                found = explore_pipelined(session, generator, options.count, seed=options.seed)
                for steps, mismatch in found:
                    shortest = minimise(session, steps, mismatch, within=options.minimise)
                    show(*(shortest or (steps, mismatch)), shortest is not None)
                session.close()
                code |= bool(found)
                print(f"RESP{protocol}, seed {options.seed}: {session.compared} replies in pipelines")
                continue
            found = explore(
                session,
                generator,
                options.count,
                most=1 if options.first else options.differences,
                minimising=options.minimise,
                on_mismatch=show,
            )
            session.close()
            missing = b" ".join(sorted(session.unsupported)).decode("latin-1")
            print(
                f"RESP{protocol}, seed {options.seed}: {session.compared} replies compared, {len(found)} differences",
                end="",
            )
            print(f"; not there: {missing}" if missing else "")
            code |= bool(found or missing)
    finally:
        if own is not None:
            own.stop()
    return code


if __name__ == "__main__":
    sys.exit(main())
