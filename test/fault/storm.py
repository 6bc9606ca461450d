#!/usr/bin/env python3
"""The fault storm: whole histories are posted to real workers while everything that can die dies, again and again.

  /usr/bin/python3 test/fault/storm.py --seed 1 --seconds 60 --customers 300
  /usr/bin/python3 test/fault/storm.py --seed 1 --seconds 3600 --history DIR     (of pg_billing simulate --out DIR)

The seed decides the histories, their order of delivery and the faults; what a fault meets is up to the moment. At the
end every acknowledged event has to be there once, and every row and state as after a calm delivery of the same events.
Exits with 1 when anything is lost, doubled, different, or never acknowledged.
"""
import argparse
import pathlib
import re
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

# pylint: disable=wrong-import-position
import storm_history
from harness.worker import SECRET, binary
from storm_faults import Faults
from storm_sender import Deliveries, Operator
from storm_stage import Stage
from storm_verdict import EXAMPLES, Verdict, deliver_calmly, judge, settle

PATIENCE = 90  # seconds until everything is acknowledged once the faults have ended; a fifth of the storm is added
WORKER_PAUSE = 0.5  # before a worker is started again
# A process that nobody has killed, or that has found its data broken.
CRASHES = re.compile(r".*(?:terminated by signal (?!3\b|9\b|15\b)\d+|PANIC|TRAP: ).*")


def main():
    options = read_options()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    began = time.monotonic()
    history = (storm_history.recorded(options.history) if options.history
               else storm_history.made_up(options.seed, options.customers))
    print(f"{len(history.truth)} customers, {len(history.made)} events, {len(history.deliveries)} deliveries "
          f"in {options.seconds} s, seed {options.seed}, worker {binary()}", flush=True)
    with Stage(len(history.made), WORKER_PAUSE) as stage:
        if options.keep_logs:
            stage.callback(keep_logs, stage, pathlib.Path(options.keep_logs))
        if stage.skipped:
            print(f"no disk is filled: a tmpfs cannot be mounted here ({stage.skipped})")
        calm = deliver_calmly(stage.calm_cluster, history)
        operator = Operator(stage, history.links, options.seconds)
        faults, deliveries = storm(stage, history, options)
        stage.calm_down()
        verdict = Verdict()
        finished = deliveries.finish(PATIENCE + options.seconds / 5)
        deliveries.stop()
        operator.join(PATIENCE)
        settle(stage, calm, verdict, 30)
        judge(stage, calm, history, deliveries.acknowledged, verdict)
        crashes = CRASHES.findall(stage.cluster.log())
        deaths = [code for service in stage.services for code in service.deaths]
        report(faults, deliveries, operator, verdict, stage, crashes, deaths)
        print(f"{time.monotonic() - began:.0f} s in all")
    return 0 if finished and verdict.clean() and not crashes and not any(code < 0 for code in deaths) else 1


def read_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=60, help="how long the faults go on (default 60)")
    parser.add_argument("--customers", type=int, default=0, help="how many lives are made up (default 5 a second)")
    parser.add_argument("--history", metavar="DIR", help="post what pg_billing simulate has written there")
    parser.add_argument("--keep-logs", metavar="DIR", help="copy the server's and the workers' logs there")
    parser.add_argument("--trace", action="store_true", help="print each fault when it has been made")
    options = parser.parse_args()
    options.customers = options.customers or max(20, int(options.seconds * 5))
    return options


def storm(stage, history, options):
    """Faults until the time is over and each kind has been made once; returns what was made and what was sent."""
    faults = Faults(stage, options.seed)
    urls = [f"http://127.0.0.1:{service.to_worker.port}/stripe/webhook" for service in stage.services]
    deliveries = Deliveries(history, urls, SECRET, options.seconds)
    began = time.monotonic()
    while deliveries.open and not deliveries.failure:
        # On a slow machine the first round of faults takes longer: there has to be something left to disturb.
        deliveries.share = faults.progress()
        if deliveries.share == 1.0 and time.monotonic() > began + options.seconds:
            break
        wait_for_traffic(deliveries)
        kind, done = faults.next()
        if options.trace:
            print(f"{time.monotonic() - began:7.1f} s  {len(deliveries.acknowledged):7} acknowledged  "
                  f"{kind}{'' if done else ': nothing to strike'}", flush=True)
    deliveries.share = 1.0
    return faults, deliveries


def wait_for_traffic(deliveries):
    """After a fault the workers come back first: the next one has to strike while they work. Not for ever."""
    before, deadline = len(deliveries.acknowledged), time.monotonic() + 3
    while deliveries.open and len(deliveries.acknowledged) < before + 20 and time.monotonic() < deadline:
        time.sleep(0.02)


def report(faults, deliveries, operator, verdict, stage, crashes, deaths):
    log = stage.cluster.log()
    acknowledged = deliveries.acknowledged
    rows = [*faults.made.items(),
            ("faults", sum(faults.made.values())),
            ("worker starts", sum(service.starts for service in stage.services)),
            ("events", len(deliveries.history.made)),
            ("posts", deliveries.posts),
            ("acknowledged", len(acknowledged)),
            ("acknowledged again", sum(acknowledged.values()) - len(acknowledged)),
            *((f"refused: {status}", times) for status, times in sorted(deliveries.refused.items())),
            ("never acknowledged", deliveries.open),
            ("customers linked by hand", operator.done),
            ("deadlocks logged", log.count("deadlock detected")),
            ("retried early to settle", verdict.forced),
            ("users ambiguous", verdict.ambiguous),
            ("credits granted", verdict.credits),
            ("server crashes", len(crashes)),
            ("worker exits of their own", len(deaths)),
            ("lost", len(verdict.lost)),
            ("doubled", len(verdict.doubled)),
            ("differing", len(verdict.differing))]
    width = max(len(name) for name, _ in rows)
    for name, number in rows:
        print(f"{name:{width}} {number:8}")
    for title, lines in (("lost", verdict.lost), ("doubled", verdict.doubled), ("differing", verdict.differing),
                         ("server crash", crashes), ("worker exit", deaths)):
        for line in lines[:EXAMPLES * 4]:
            print(f"{title}: {line}")
    for status, body in sorted(deliveries.last_words.items()):
        if body:
            print(f"last answer with {status}: {body.strip()[:300]}")
    sys.stdout.flush()


def keep_logs(stage, directory):
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "server.log").write_text(stage.cluster.log())
    for number, service in enumerate(stage.services, 1):
        (directory / f"worker-{number}.log").write_text(service.worker.text())


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("interrupted; everything is stopped")
