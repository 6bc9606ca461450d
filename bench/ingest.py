"""Webhooks a second: from the request to the answer, which ours gives once the event's transaction is committed."""
from bench import floors
from bench.comparison import Comparison, Side
from bench.webhooks import OURS, THEIRS, Ours, Peer, receivers

MANY = 32


def rate(load, receiver, connections):
    def measure(seconds):
        figure = load.run(receiver, seconds, connections=connections)["rate"]
        receiver.check()
        return figure
    return measure


def comparisons(stand):
    floor = floors.Floors(stand)
    with receivers(stand, Ours, Peer) as (load, ours, peer):
        for receiver in (ours, peer):
            receiver.warm(load)
        what = f"{load.mean_size / 1000:.1f} kB signed events of real subscriptions, distinct customers"
        yield Comparison("ingest/many", f"{what}, {MANY} connections", "events/s", Side(OURS, rate(load, ours, MANY)),
                         [Side(one, floor.rate(one, MANY)) for one in (floors.A, floors.B)] + [Side(THEIRS, rate(load, peer, MANY))],
                         {floors.A: 1.0, floors.B: 0.6, THEIRS: 5})
        yield Comparison("ingest/one", f"{what}, 1 connection", "events/s", Side(OURS, rate(load, ours, 1)),
                         [Side(one, floor.rate(one, 1)) for one in (floors.A, floors.B)] + [Side(THEIRS, rate(load, peer, 1))],
                         {floors.A: 0.5})
