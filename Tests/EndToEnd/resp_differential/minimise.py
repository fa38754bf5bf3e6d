"""From a long history that ends in a mismatch to a short one."""

import time

from .session import Mismatch


def minimise(session, steps, mismatch, *, within=20.0):
    """The shortest history found that ends in a mismatch of the same group. Both servers are emptied again and again.

    Gives the steps and their mismatch; None where the mismatch does not come again.
    """
    deadline = time.monotonic() + within
    search = _Search(session, mismatch.group, deadline)
    found = search.attempt(steps)
    if found is None:
        return None
    best = (steps, found)
    # Most often only what touches the same keys matters.
    words = {word for word in (*found.arguments, *found.step.arguments) if len(word) > 3}
    for related in (_related(steps, words), _related(steps, words | _neighbours(steps, words))):
        found = search.attempt(related) if len(related) < len(best[0]) else None
        if found is not None:
            best = (related, found)
            break
    best = search.without_pieces(best)
    return search.without_words(best)


def _related(steps, words):
    return [step for step in steps[:-1] if words & set(step.arguments) or step.kind == "sleep"] + steps[-1:]


def _neighbours(steps, words):
    return {word for step in steps if words & set(step.arguments) for word in step.arguments if len(word) > 3}


class _Search:
    def __init__(self, session, group, deadline):
        self.session, self.group, self.deadline = session, group, deadline

    def attempt(self, steps) -> Mismatch | None:
        """The mismatch of the last step, if it is of the group and no step before it has one."""
        self.session.begin()
        for step in steps[:-1]:
            if self.session.perform(step) is not None:
                return None
        found = self.session.perform(steps[-1])
        return found if found is not None and found.group == self.group else None

    def without_pieces(self, best):
        """Leaves out halves, quarters, … of the history."""
        size = max(1, (len(best[0]) - 1) // 2)
        while time.monotonic() < self.deadline:
            start, has_shrunk = 0, False
            while start < len(best[0]) - 1 and time.monotonic() < self.deadline:
                history = best[0][:-1]
                candidate = history[:start] + history[start + size :] + best[0][-1:]
                found = self.attempt(candidate)
                if found is not None:
                    best, has_shrunk = (candidate, found), True
                else:
                    start += size
            if size == 1 and not has_shrunk:
                break
            size = max(1, size // 2)
        return best

    def without_words(self, best):
        """Leaves out arguments."""
        for index in reversed(range(len(best[0]))):
            place = len(best[0][index].arguments) - 1
            while place >= 1 and time.monotonic() < self.deadline:
                step = best[0][index]
                if step.kind == "call":
                    # First a pair, such as a field with its value.
                    for width in (2, 1):
                        shorter = step.arguments[: place - width + 1] + step.arguments[place + 1 :]
                        if place - width + 1 < 1:
                            continue
                        candidate = list(best[0])
                        candidate[index] = type(step)(shorter, step.compare, step.then, step.connection, step.kind)
                        found = self.attempt(candidate)
                        if found is not None:
                            best = (candidate, found)
                            break
                place = min(place, len(best[0][index].arguments)) - 1
        return best
