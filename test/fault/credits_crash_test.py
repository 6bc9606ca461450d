"""Credits and crashes: whatever is killed, everything that was answered happened once, and nothing else did."""
import contextlib
import json
import os
import random
import signal
import threading
import time

import psycopg2
import pytest

from harness.cluster import Cluster
from harness.credits import Mix, Replay
from harness.database import Database

SESSIONS = 8
SECONDS = float(os.environ.get("PG_BILLING_CREDITS_SECONDS", "3"))
USERS = [f"user_{name}" for name in ("ada", "bob", "cy")]
KINDS = {"grant", "use", "hold", "capture", "release", "refund", "batch", "expire"}


@pytest.fixture(scope="module")
def database():
    """On a cluster with fsync on: what is lost here is lost for real. syncfs: it is about crashes, not their length."""
    settings = {"restart_after_crash": "on", "recovery_init_sync_method": "syncfs"}
    with Cluster(fsync=True, settings=settings) as durable:
        yield Database(durable)


class Session:
    """Asks the same thing again, with the same key, until it is answered."""

    def __init__(self, database, deadline):
        self.database = database
        self.deadline = deadline
        self.connection = None
        self.lost = 0

    def ask(self, mix, kind, arguments):
        while True:
            try:
                if self.connection is None:
                    self.connection = self.database.connect()
                return mix.call(self.database, self.connection, kind, arguments)
            except psycopg2.errors.InvalidParameterValue as error:
                assert kind == "grant" and "not after effective_at, or past" in str(error), error
                return []  # by now it would be over at once; had it been granted before, that would be the answer
            except psycopg2.Error as error:
                if error.pgcode and error.pgcode[:2] not in ("08", "57"):
                    raise
                if time.monotonic() > self.deadline + 60:
                    raise TimeoutError("nobody answers any more") from error
                self.lost += 1
                with contextlib.suppress(psycopg2.Error, AttributeError):
                    self.connection.close()
                self.connection = None
                time.sleep(0.02)


def backends(database):
    with contextlib.closing(database.connect()) as connection:
        return [row["pid"] for row in database.rows(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
            connection=connection)]


def terminate_some(database, rng, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(psycopg2.Error), contextlib.closing(database.connect()) as connection:
            found = backends(database)
            for pid in rng.sample(found, min(2, len(found))):
                database.value("SELECT pg_terminate_backend(%s)", (pid,), connection)
        time.sleep(0.05)


def test_everything_answered_happened_once(database):
    mix, failures, sessions = Mix(USERS), [], []
    rng = random.Random(1)
    deadline = time.monotonic() + 3 * SECONDS
    stop = threading.Event()

    def work(number):
        session = Session(database, deadline)
        sessions.append(session)
        mine = random.Random(number)
        try:
            while not stop.is_set():
                kind, arguments = mix.plan(mine, kinds=KINDS)
                mix.remember(session.ask(mix, kind, arguments))
        except Exception as error:  # pylint: disable=broad-except
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(SESSIONS)]
    for thread in threads:
        thread.start()
    terminate_some(database, rng, SECONDS / 2)
    database.cluster.kill9()  # the postmaster and all of its children, in the middle of whatever they do
    database.cluster.start()
    terminate_some(database, rng, SECONDS / 2)
    while not (found := backends(database)):
        time.sleep(0.01)
    os.kill(found[0], signal.SIGKILL)  # the server restarts by itself
    time.sleep(SECONDS / 4)
    stop.set()
    for thread in threads:
        thread.join()
    assert not failures, failures[:3]
    lost = sum(session.lost for session in sessions)
    assert lost > SESSIONS, "the faults came too late to hurt"

    database._connection = None
    assert database.rows("SELECT * FROM {s}.verify_credit_ledger()") == []
    time.sleep(1.1)
    tidied = database.value("SELECT clock_timestamp()")
    database.execute("SELECT {s}.expire_credits()")
    assert database.rows("SELECT * FROM {s}.verify_credit_ledger()") == []

    # What was answered is there, with that answer; and nothing that was not answered.
    answered = {(one.user, one.arguments.get("key") or one.arguments["idempotency_key"]): one.answer for one in mix.done
                if one.kind not in ("expire", "release") and one.answer["success"]}
    kept = {(row["user_id"], row["idempotency_key"]): row["answer"]
            for row in database.rows("SELECT user_id, idempotency_key, answer FROM {s}.credit_requests")}
    assert kept == answered
    entries = database.rows("SELECT user_id, idempotency_key, count(*) AS n, min(transaction_id) AS id, min(amount) AS amount"
                            " FROM {s}.credit_transactions WHERE idempotency_key IS NOT NULL AND transaction_type <> 'allocation'"
                            " GROUP BY 1, 2")
    charged = {key: answer for key, answer in answered.items() if answer["status"] in ("charged", "partial", "captured", "refunded")}
    assert {(row["user_id"], row["idempotency_key"]): (row["n"], row["id"], row["amount"]) for row in entries} == {
        key: (1, answer["transaction_id"], answer["refunded"] if answer["status"] == "refunded" else -answer["charged"])
        for key, answer in charged.items()}
    assert database.value("SELECT count(*) FROM {s}.credit_grants") == sum(
        answer["status"] in ("granted", "scheduled") for answer in answered.values())
    # And all of it together is what a naive account makes of it.
    for user in USERS:
        replay = Replay(database, user, mix.done, asked_again=True)
        replay.run(tidied)
        replay.compare()
    print(f"{len(mix.done)} operations by {SESSIONS} sessions, {lost} connections lost, {len(kept)} effects: "
          f"{json.dumps({kind: sum(one.kind == kind for one in mix.done) for kind in sorted(KINDS - {'batch'})})}")
