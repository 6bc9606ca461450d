"""Caps and crashes: whatever is killed, what was answered is counted once, and a hard cap holds."""
import contextlib
import random
import threading
import time

import psycopg2
import pytest

from credits_crash_test import SECONDS, terminate_some
from harness.cluster import Cluster
from harness.database import Database

SESSIONS = 8
USERS = ("ada", "bob")
CAP = 400  # of messages; reached early, kept open by releases
PLAN = f"""SELECT {{s}}.upsert_plan('{{"id": "free", "default": true, "features": {{
    "messages": {{"limit": {CAP}, "window": "lifetime"}}, "film": {{"unlimited": true, "window": "day", "credit_cost": 2}}}}}}')"""


@pytest.fixture(scope="module")
def database():
    with Cluster(fsync=True, settings={"restart_after_crash": "on", "recovery_init_sync_method": "syncfs"}) as durable:
        yield Database(durable)


class Session:
    """Asks the same thing again, with the same key, until it is answered."""

    def __init__(self, database, deadline):
        self.database, self.deadline = database, deadline
        self.connection, self.lost = None, 0

    def ask(self, function, *arguments):
        while True:
            try:
                if self.connection is None:
                    self.connection = self.database.connect()
                return self.database.value(f"SELECT {{s}}.{function}(%s, %s, %s, %s)", arguments, self.connection)
            except psycopg2.Error as error:
                if error.pgcode and error.pgcode[:2] not in ("08", "57"):
                    raise
                if time.monotonic() > self.deadline:
                    raise TimeoutError("nobody answers any more") from error
                self.lost += 1
                with contextlib.suppress(psycopg2.Error, AttributeError):
                    self.connection.close()
                self.connection = None
                time.sleep(0.02)


def test_what_was_answered_is_counted_once(database):
    database.execute(PLAN)
    for user in USERS:
        database.value("SELECT {s}.grant_credits(%s, 1000)", (user,))
    failures, sessions, answers = [], [], []
    stop = threading.Event()

    def work(number):
        session = Session(database, time.monotonic() + 3 * SECONDS + 60)
        sessions.append(session)
        dice = random.Random(number)
        try:
            for step in range(1_000_000):
                if stop.is_set():
                    return
                feature = dice.choice(["messages", "messages", "film"])
                # Where the cap is reached some is given back, so that sessions keep meeting at it.
                function = "release_feature" if feature == "messages" and dice.random() < 0.3 else "use_feature"
                user, key = dice.choice(USERS), f"{number}-{step}"
                answers.append((user, key, session.ask(function, user, feature, dice.randint(1, 5), key)))
        except Exception as error:  # pylint: disable=broad-except
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(SESSIONS)]
    for thread in threads:
        thread.start()
    terminate_some(database, random.Random(1), SECONDS / 2)
    database.cluster.kill9()
    database.cluster.start()
    terminate_some(database, random.Random(2), SECONDS / 2)
    stop.set()
    for thread in threads:
        thread.join()
    assert not failures, failures[:3]
    lost = sum(session.lost for session in sessions)
    assert lost > SESSIONS, "the faults came too late to hurt"

    database._connection = None
    assert database.rows("SELECT * FROM {s}.verify_usage()") == []
    assert database.rows("SELECT * FROM {s}.verify_credit_ledger()") == []
    counted = {(user, key): answer for user, key, answer in answers if answer["success"]}
    records = database.rows("SELECT user_id, idempotency_key, record_id, used_after FROM {s}.usage_records")
    assert len(records) == len(counted)
    assert {(row["user_id"], row["idempotency_key"]): (row["record_id"], row["used_after"]) for row in records} == {
        key: (answer["record_id"], answer["used"]) for key, answer in counted.items()}
    assert database.value("SELECT max(used_after) FROM {s}.usage_records WHERE feature = 'messages'") <= CAP
    # What costs credits is charged with what is counted, or neither is.
    assert database.rows("""SELECT r.user_id FROM {s}.usage_records r FULL JOIN
                                   (SELECT * FROM {s}.credit_transactions WHERE transaction_type = 'usage') t
                                   ON t.user_id = r.user_id AND t.transaction_id = r.transaction_id
                             WHERE (r.feature = 'film' OR r.record_id IS NULL) AND -t.amount IS DISTINCT FROM 2 * r.amount""") == []
    print(f"{len(answers)} answers to {SESSIONS} sessions, {lost} connections lost, {len(counted)} counted")
