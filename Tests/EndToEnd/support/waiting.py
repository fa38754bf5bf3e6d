"""Waiting for a condition with a deadline, never for a length of time."""

import time

# How long a loaded machine may take for what a free one does at once.
PATIENCE = 10.0
_INTERVAL = 0.005


def eventually(condition, *, within=PATIENCE, what=None):
    """Calls `condition` until it gives something true, and gives that back; fails when `within` seconds have passed."""
    deadline = time.monotonic() + within
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within} s: {what or condition.__name__}")
        time.sleep(_INTERVAL)
