"""Random sequences of commands, the same for the same seed."""

import random
from dataclasses import dataclass

from .commands import FAMILIES, WEIGHTS
from .grammar import expand, parse
from .values import Values
from .words import ALL_KEYS

# Beside the families of patterns: transactions over all families, and keys whose time ends.
EXTRA_FAMILIES = ("transactions", "expiry")


@dataclass(frozen=True)
class Step:
    """One thing that happens to both servers.

    `kind` is `call`, or `probe` (the whole state of the key in `arguments`), `sleep` (milliseconds in `arguments`),
    `woken` (the command waits on connection 0 until `then` happens on connection 1).
    """

    arguments: tuple[bytes, ...]
    compare: str = "exact"
    then: tuple[tuple[bytes, ...], ...] = ()
    connection: int = 0
    kind: str = "call"


class CommandGenerator:
    """`families` of `FAMILIES` and `EXTRA_FAMILIES`, all by default; `only` and `skipped` are names of commands."""

    def __init__(self, seed, families=None, *, only=(), skipped=()):
        self.generator = random.Random(seed)
        self.values = Values(self.generator)
        chosen = set(families or [*FAMILIES, *EXTRA_FAMILIES])
        assert chosen <= {*FAMILIES, *EXTRA_FAMILIES}, f"no such family: {chosen - {*FAMILIES, *EXTRA_FAMILIES}}"
        self._extras = chosen & set(EXTRA_FAMILIES)
        names = [name for name in FAMILIES if name in chosen] or list(FAMILIES)
        self._entries = {
            name: [
                entry
                for entry in FAMILIES[name]
                if command_name(entry.pattern) not in skipped and (not only or command_name(entry.pattern) in only)
            ]
            for name in names
        }
        self._families = [name for name in names if self._entries[name]]
        assert self._families, "nothing is left to be tried"
        self._weights = [WEIGHTS[name] for name in self._families]

    def steps(self, count):
        """About `count` commands."""
        made = 0
        while made < count:
            steps = list(self._scene())
            made += len(steps)
            yield from steps

    def _scene(self):
        """One command, or a few that belong together."""
        dice = self.generator.random()
        if "transactions" in self._extras and dice < 0.02:
            yield from self._transaction()
        elif "transactions" in self._extras and dice < 0.03:
            yield from self._watch()
        elif "expiry" in self._extras and dice < 0.036:
            yield from self._expiry()
        elif "blocking" in self._families and dice < 0.041:
            yield self._woken()
        elif dice < 0.043:
            yield Step((b"FLUSHDB",))
        else:
            yield from self._commands()

    def _commands(self):
        step = self.command()
        yield step
        if len(step.arguments) > 1 and self.generator.random() < 0.08:
            key = self.generator.choice(step.arguments[1:])
            yield Step((key if key in ALL_KEYS else step.arguments[1],), kind="probe")

    def command(self, *, without=()):
        """One random command."""
        while True:
            family = self.generator.choices(self._families, self._weights)[0]
            entries = self._entries[family]
            entry = self.generator.choices(entries, [entry.weight for entry in entries])[0]
            if entry.compare not in without and family not in without:
                break
        arguments = expand(parse(entry.pattern), self.generator, self.values)
        if self.generator.random() < 0.06 and arguments[0] != b"COMMAND":
            # That one alone lists all commands, in any order.
            self._spoil(arguments, entry)
        if self.generator.random() < 0.05:
            arguments[0] = self.generator.choice([arguments[0].lower(), arguments[0].capitalize()])
        first = arguments[1] if len(arguments) > 1 else b"missing"
        then = tuple(tuple(first if word == "{0}" else word.encode() for word in text.split()) for text in entry.then)
        return Step(tuple(arguments), entry.compare, then)

    def _spoil(self, arguments, entry):
        """Makes the command wrong, or at least odd."""
        place = self.generator.randrange(1, len(arguments)) if len(arguments) > 1 else None
        way = self.generator.randrange(5)
        if way == 0 and place is not None and not entry.is_fragile:
            del arguments[place]
        elif way == 1 and not entry.is_fragile:
            arguments.append(self.values("junk"))
        elif way == 2 and place is not None and not entry.is_fragile:
            arguments[place] = self.values("junk")
        elif way == 3 and place is not None and not entry.is_fragile:
            arguments.insert(place, arguments[place])
        elif way == 4:
            arguments[1:] = (
                arguments[1 : self.generator.randrange(1, len(arguments) + 1)] if not entry.is_fragile else []
            )

    def _transaction(self):
        yield Step((b"MULTI",))
        for _ in range(self.generator.choice([0, 1, 2, 3, 5])):
            if self.generator.random() < 0.04:
                yield Step(self.generator.choice([(b"MULTI",), (b"WATCH", b"string:1"), (b"NOSUCH", b"a"), (b"GET",)]))
            yield self._queued()
        yield Step((b"DISCARD",) if self.generator.random() < 0.15 else (b"EXEC",))

    def _queued(self):
        """A command for a transaction. What chance does to the state is mended within it."""
        while True:
            step = self.command(without=("scan", "connection", "blocking"))
            if step.arguments[0].upper() not in (b"EXEC", b"DISCARD", b"MULTI"):
                return step

    def _watch(self):
        keys = [self.generator.choice(ALL_KEYS) for _ in range(self.generator.choice([1, 1, 2, 3]))]
        yield Step((b"WATCH", *keys))
        for _ in range(self.generator.choice([0, 1, 1])):
            step = self._queued()
            yield Step(step.arguments, step.compare, step.then, connection=self.generator.choice([0, 1, 1]))
        if self.generator.random() < 0.2:
            yield Step((b"UNWATCH",))
        yield from self._transaction()

    def _expiry(self):
        key = self.generator.choice(ALL_KEYS)
        setting = [
            (b"SET", key, b"value", b"PX", b"1"),
            (b"PEXPIRE", key, b"1"),
            (b"PEXPIREAT", key, b"%d" % (self.values.now * 1000)),
            (b"PSETEX", key, b"2", b"value"),
            (b"GETEX", key, b"PX", b"1"),
        ]
        yield Step(self.generator.choice(setting))
        yield Step((b"6",), kind="sleep")
        after = [
            (b"GET", key),
            (b"EXISTS", key),
            (b"TYPE", key),
            (b"TTL", key),
            (b"APPEND", key, b"x"),
            (b"RENAME", key, b"missing"),
        ]
        after += [(b"LPUSH", key, b"a"), (b"SADD", key, b"a"), (b"HSET", key, b"a", b"1"), (b"DEL", key)]
        yield Step(self.generator.choice(after))
        yield Step((key,), kind="probe")

    def _woken(self):
        """A command that waits, and what ends its waiting."""
        key, other = b"list:waited", b"zset:waited"
        target = self.values.key("list")
        block, pushes = b"0.5", [(b"RPUSH", key, b"a", b"b"), (b"LPUSH", key, b"a", b"b", b"c")]
        moves = [(b"RPOPLPUSH", target, key), (b"LMOVE", target, key, b"LEFT", b"LEFT")]
        scores = [(b"ZADD", other, b"1", b"a", b"2", b"b"), (b"ZUNIONSTORE", other, b"1", b"zset:1")]
        ways = [
            ((b"BLPOP", key, block), pushes),
            ((b"BRPOP", b"missing:1", key, block), pushes + moves),
            ((b"BLMOVE", key, target, b"LEFT", b"RIGHT", block), pushes),
            ((b"BRPOPLPUSH", key, target, block), pushes),
            ((b"BLMPOP", block, b"2", b"missing:1", key, b"LEFT", b"COUNT", b"2"), pushes + moves),
            ((b"BZPOPMIN", other, block), scores),
            ((b"BZPOPMAX", b"missing:1", other, block), scores),
            ((b"BZMPOP", block, b"1", other, b"MAX", b"COUNT", b"5"), scores),
        ]
        waiting, waking = self.generator.choice(ways)
        return Step(waiting, then=(self.generator.choice(waking),), kind="woken")


def command_name(pattern):
    return pattern.split()[0].strip("('").split("|")[0].upper()
