#!/usr/bin/python3
"""Prints how much processor time one event takes of the backends and of the worker, with one connection and with 32:
steadier than events a second where other work goes on. Shares of what another commit's tree prints say what a change brought.

    bench/processor_time.py [SECONDS]"""
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from bench import webhooks  # noqa: E402
from bench.stand import WORKER, Stand  # noqa: E402


def spent(pid):
    """Microseconds of all threads, as the scheduler counts them."""
    return sum(int(pathlib.Path(f"/proc/{pid}/task/{task}/schedstat").read_text().split()[0]) for task in os.listdir(f"/proc/{pid}/task")) / 1e3


def main():
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 4
    stand = Stand()
    try:
        with webhooks.receivers(stand, webhooks.Ours) as (load, ours):
            ours.warm(load)
            for connections in (1, 32):
                load.run(ours, 1, connections=connections)
                backends = [row["pid"] for row in ours.database.rows("SELECT pid FROM pg_stat_activity WHERE usename = %s", (WORKER,))]
                before = [sum(map(spent, backends)), spent(ours.pid)]
                count = load.run(ours, seconds, connections=connections)["count"]
                after = [sum(map(spent, backends)), spent(ours.pid)]
                backend, worker = ((now - then) / count for then, now in zip(before, after))
                print(f"{connections} connections: {backend:.0f} µs of the backends, {worker:.0f} µs of the worker for each event", flush=True)
    finally:
        stand.close()


if __name__ == "__main__":
    main()
