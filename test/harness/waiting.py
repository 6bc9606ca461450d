"""Waiting for what happens elsewhere."""
import time


def until(condition, what="what was waited for", timeout=30, pause=0.05):
    """Waits for a true value and returns it."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {timeout} s: {what}"
        time.sleep(pause)
    return value
