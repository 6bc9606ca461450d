"""The resident memory of the process that receives webhooks."""
import re

from bench.comparison import Comparison, Side
from bench.webhooks import OURS, THEIRS, Ours, Peer, receivers

EVENTS, MANY_EVENTS = 200_000, 1_000_000
STEP = 50_000


def resident(receiver):
    """MB"""
    with open(f"/proc/{receiver.pid}/status") as file:
        return int(re.search(r"VmRSS:\s+(\d+) kB", file.read())[1]) * 1024 / 1e6


def under_load(load, receiver):
    def measure(seconds):
        load.run(receiver, seconds)
        return resident(receiver)
    return measure


class Long:
    """One long run: the memory after its first events, and after all of them."""

    def __init__(self, load, receiver, events):
        self.load = load
        self.receiver = receiver
        self.events = events
        self.seen = {}

    def after(self, events):
        def measure(_):
            while events not in self.seen:
                self.load.run(self.receiver, 600, count=STEP)
                self.receiver.check()
                self.seen[self.receiver.sent] = resident(self.receiver)
            return self.seen[events]
        return measure


def comparisons(stand):
    with receivers(stand, Ours) as (load, ours):
        long = Long(load, ours, MANY_EVENTS if stand.large else EVENTS)
        yield Comparison("memory/flat", f"resident memory of the worker after {long.events:,} events, and after {STEP:,}", "MB",
                         Side(f"after {long.events:,}", long.after(long.events)), [Side(f"after {STEP:,}", long.after(STEP))],
                         {f"after {STEP:,}": 1.1}, better="less")
    with receivers(stand, Ours, Peer) as (load, ours, peer):
        for receiver in (ours, peer):
            receiver.warm(load)
        yield Comparison("memory/resident", "resident memory under load, 32 connections", "MB", Side(OURS, under_load(load, ours)),
                         [Side(THEIRS, under_load(load, peer))], {THEIRS: 0.4}, better="less")
