"""How long an acknowledgement takes at half of the rate that is the most: events are due at fixed times, and what one waits
for its turn counts."""
from bench import floors
from bench.comparison import Comparison, Side
from bench.webhooks import OURS, Ours, receivers

CONNECTIONS = 32
FIRST = 3  # seconds to find the highest rate


def comparisons(stand):
    floor = floors.Floors(stand)
    with receivers(stand, Ours) as (load, ours):
        ours.warm(load)
        most = load.run(ours, FIRST, connections=CONNECTIONS)["rate"]
        most_of_floor = floor.measure(floors.A, FIRST, CONNECTIONS)["tps"]

        def acknowledgement(seconds):
            said = load.run(ours, seconds, connections=CONNECTIONS, rate=most / 2)
            ours.check()
            return said["p99"]

        def transaction(seconds):
            return floor.measure(floors.A, seconds, CONNECTIONS, rate=most_of_floor / 2)["p99"]

        what = f"p99 of the acknowledgement at half the highest rate, {most / 2:.0f}/s"
        yield Comparison("latency/acknowledgement", what, "ms", Side(OURS, acknowledgement), better="less", limit=10)
        yield Comparison("latency/beside the floor", f"{what}; the floor's at {most_of_floor / 2:.0f}/s", "ms", Side(OURS, acknowledgement),
                         [Side(floors.A, transaction)], {floors.A: 5}, better="less")
