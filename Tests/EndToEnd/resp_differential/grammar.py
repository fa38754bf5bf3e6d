"""Commands as patterns, and random commands from them.

A pattern is a line of words. A word in capitals or after `'` stands for itself, a word in small letters for a random
value of that kind (see `values.py`), and

    [a]      a, or nothing                  a|b      one of them
    (a b)    a group                        a+       a, once or a few times
    <a b c>  in any order

    SET string value <[NX|XX] [GET] [EX seconds|PX milliseconds|KEEPTTL]>
"""

import functools
import re

_WORDS = re.compile(r"[\[\]()<>|+]|[^\s\[\]()<>|+]+")
_CLOSING = {"[": "]", "(": ")", "<": ">"}


@functools.cache
def parse(pattern):
    words = _WORDS.findall(pattern)
    node, rest = _alternatives(words)
    assert not rest, f"{pattern}: {rest} is left"
    return node


def _alternatives(words):
    choices = []
    while True:
        sequence, words = _sequence(words)
        choices.append(sequence)
        if not words or words[0] != "|":
            return (choices[0] if len(choices) == 1 else ("choice", choices)), words
        words = words[1:]


def _sequence(words):
    nodes = []
    while words and words[0] not in "])>|":
        word, words = words[0], words[1:]
        if word in _CLOSING:
            inner, words = _alternatives(words)
            assert words and words[0] == _CLOSING[word], f"{word} is not closed"
            words = words[1:]
            node = {"[": ("optional", inner), "(": inner, "<": ("any order", inner)}[word]
        elif word[0].islower():
            node = ("value", word)
        else:
            node = ("literal", word.removeprefix("'").encode())
        if words and words[0] == "+":
            node, words = ("repeated", node), words[1:]
        nodes.append(node)
    return ("sequence", nodes), words


def expand(node, generator, value):
    """Random arguments that follow the pattern. `value` gives the bytes of a kind, or a list of them."""
    kind, content = node
    if kind == "literal":
        return [content]
    if kind == "value":
        made = value(content)
        return list(made) if isinstance(made, (list, tuple)) else [made]
    if kind == "sequence":
        return [word for part in content for word in expand(part, generator, value)]
    if kind == "choice":
        return expand(generator.choice(content), generator, value)
    if kind == "optional":
        return expand(content, generator, value) if generator.random() < 0.4 else []
    if kind == "repeated":
        count = generator.choice([1, 1, 1, 2, 2, 3, 4, 6])
        return [word for _ in range(count) for word in expand(content, generator, value)]
    assert kind == "any order"
    parts = list(content[1]) if content[0] == "sequence" else [content]
    generator.shuffle(parts)
    return [word for part in parts for word in expand(part, generator, value)]
