"""rebuild_billing_state(apply => true) over and over while events come in through several sessions: it undoes nothing.
PG_BILLING_RACE_CUSTOMERS makes the history longer."""
import contextlib
import os
import random
import threading
import time

import psycopg2
import pytest

from harness.history import Run, deliver, divergent_rows, fingerprints, finish

SESSIONS = 4
CUSTOMERS = int(os.environ.get("PG_BILLING_RACE_CUSTOMERS", "14"))
REBUILD = "SELECT * FROM {s}.rebuild_billing_state(%s)"
# Customers and what belongs to nobody change without a customer's link being locked; rows that are gone cannot be locked.
DAMAGES = (
    """UPDATE {s}.stripe_objects SET object = object || '{"damaged": true}'
        WHERE object_id IN (SELECT object_id FROM {s}.stripe_objects WHERE object IS NOT NULL ORDER BY random() LIMIT 40)""",
    """DELETE FROM {s}.stripe_objects
        WHERE object_id IN (SELECT object_id FROM {s}.stripe_objects WHERE object IS NOT NULL ORDER BY random() LIMIT 20)""",
    """UPDATE {s}.user_subscriptions SET status = 'unpaid', quantity = 99
        WHERE user_id IN (SELECT user_id FROM {s}.billing_users ORDER BY random() LIMIT 5)""",
    """DELETE FROM {s}.user_subscriptions
        WHERE user_id IN (SELECT user_id FROM {s}.billing_users ORDER BY random() LIMIT 5)""",
    """WITH chosen AS (SELECT user_id FROM {s}.credit_accounts ORDER BY random() LIMIT 3),
            entries AS (DELETE FROM {s}.credit_transactions t USING chosen c WHERE t.user_id = c.user_id),
            grants AS (DELETE FROM {s}.credit_grants g USING chosen c WHERE g.user_id = c.user_id)
       DELETE FROM {s}.credit_accounts a USING chosen c WHERE a.user_id = c.user_id""")


class Senders:
    """Several sessions that send a history's events in small batches, for as long as they may."""

    def __init__(self, database, events):
        self.database = database
        self.events = events[::-1]
        self.lock = threading.Lock()
        self.sent = 0
        self.failures = []
        self.run_again = 0

    @contextlib.contextmanager
    def sending(self):
        self.pause = threading.Event()
        threads = [threading.Thread(target=self._send, args=(number,)) for number in range(SESSIONS)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.pause.set()
            for thread in threads:
                thread.join()
        assert not self.failures, self.failures[:5]

    def _send(self, number):
        rng = random.Random(number)
        try:
            with contextlib.closing(self.database.connect()) as connection:
                connection.autocommit = True
                while not self.pause.is_set():
                    with self.lock:
                        batch = [self.events.pop() for _ in range(min(rng.randint(1, 6), len(self.events)))]
                        self.sent += len(batch)
                    if not batch:
                        return
                    self._process(batch, connection)
                    # The history has to last for several rebuilds.
                    time.sleep(rng.uniform(0, 0.05))
        except Exception as error:  # pylint: disable=broad-except
            self.failures.append(error)

    def _process(self, batch, connection):
        while True:
            try:
                outcomes = self.database.process(*batch, connection=connection)
                break
            except psycopg2.Error as error:
                if error.pgcode[:2] != "40":
                    raise
                self.run_again += 1
        self.failures += [row for row in outcomes if row[1] not in ("processed", "duplicate", "parked", "ignored")]


def retry_what_was_busy(database):
    database.execute("""UPDATE {s}.stripe_events SET next_retry_at = now()
                         WHERE NOT processed AND waiting_for NOT LIKE 'customer:%%'""", ())
    while database.retry(1000):
        pass


def told(row):
    stored, rebuilt = row["stored"] or {}, row["rebuilt"] or {}
    changed = {name: (stored.get(name), rebuilt.get(name)) for name in {**stored, **rebuilt}
               if stored.get(name) != rebuilt.get(name)}
    return row["table_name"], row["difference"], row["row_key"], str(changed)[:300]


@pytest.fixture
def history(databases, tmp_path):
    """A history, and the rows that it leads to when nothing disturbs it."""
    run = Run(tmp_path, "--seed", 11, "--customers", CUSTOMERS, "--bursts", "0.3", "--duplicates", "0.05",
              "--order", "shuffled", "--window", "200")
    calm = databases().grant_since_ever()
    deliver(calm, run)
    finish(calm, run)
    return run, fingerprints(calm)


@pytest.mark.parametrize("damaged", [True, False], ids=["damaged", "healthy"])
def test_a_rebuild_undoes_nothing_that_comes_in_meanwhile(databases, history, damaged):
    run, expected = history
    database = databases().grant_since_ever()
    senders = Senders(database, run.events)
    database.execute("SELECT setseed(0.5)")
    rebuilds = repaired = during = 0
    while senders.events:
        if damaged:
            for damage in DAMAGES:
                database.execute(damage)
        with senders.sending():
            before = senders.sent
            found = database.rows(REBUILD, (True,))
            during += senders.sent - before
        assert all(row["repaired"] for row in found)
        if not damaged:
            assert not found, f"nothing was wrong: {[told(row) for row in found][:3]}"
        rebuilds, repaired = rebuilds + 1, repaired + len(found)
        retry_what_was_busy(database)
        left = [told(row) for row in database.rows(REBUILD, (False,))]
        assert not left, f"rebuild {rebuilds} has left or undone: {left[:5]}"
    finish(database, run)
    assert not divergent_rows(expected, fingerprints(database))
    assert database.unsound_credits() == []
    assert database.rows(REBUILD, (False,)) == []
    assert rebuilds >= 3 and (repaired > 0) == damaged
    print(f"{rebuilds} rebuilds beside {SESSIONS} sessions, {during} of {len(run.events)} events came in meanwhile, "
          f"{repaired} rows repaired, {senders.run_again} calls run again: nothing undone")
