"""Crashes: nothing that was acknowledged is lost, nothing is doubled, whoever dies and whenever."""
import os
import signal
import threading
import time

import psycopg2
import pytest

from harness.cluster import Cluster
from harness.database import Database
from harness.life import Life
from harness.load import Load, lives
from harness.stripe import post
from harness.waiting import until

LIVES = 60
START = int(time.time()) - 600


@pytest.fixture(scope="module")
def durable():
    """A cluster with fsync on: what is lost here is lost for real."""
    with Cluster(fsync=True, settings={"restart_after_crash": "on"}) as running:
        yield running


@pytest.fixture
def database(durable):
    made = Database(durable).grant_since_ever()
    made.create_role("billing_worker", "worker")
    yield made
    made.drop()


@pytest.fixture(scope="module")
def calm(durable):
    """What an undisturbed run ends in."""
    database = Database(durable).grant_since_ever()
    for events in lives(LIVES, START):
        database.process(*events)
    facts = database.facts(ignore={"waiting_for"})
    assert len(facts["user_subscriptions"]) == LIVES
    database.drop()
    return facts


def check_against(database, calm):
    unprocessed = "SELECT count(*) FROM {s}.stripe_events WHERE NOT processed"
    until(lambda: database.value(unprocessed) == 0, "every event is processed")
    found = database.facts(ignore={"waiting_for"})
    for table, rows in calm.items():
        assert found[table] == rows, table
    assert database.unsound_credits() == []


def reconnected(database):
    """Until the server is back, connections fail."""
    def alive():
        try:
            database._connection = None
            return database.value("SELECT NOT pg_is_in_recovery()")
        except psycopg2.Error:
            return False
    until(alive, "the server is back")


def test_worker_killed_between_commit_and_200(durable, database, workers):
    """The commit is held back by a synchronous standby that does not exist; the worker is frozen before it is let go,
    so that it can never answer for what it committed."""
    ada = Life("ada")
    database.process(ada.checkout_completed("user_ada"))
    event = ada.subscribed()
    worker = workers(database)
    durable.write_settings(synchronous_standby_names="nobody")
    durable.reload()
    answers = []

    def send():
        try:
            answers.append(post(worker.webhook, event, worker.secret).status)
        except OSError as error:
            answers.append(type(error).__name__)

    thread = threading.Thread(target=send)
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND wait_event = 'SyncRep'"
    # The reload reaches backends when they are idle next.
    time.sleep(0.2)
    thread.start()
    until(lambda: database.value(waiting, (database.name,)) == 1, "the commit waits")
    os.kill(worker.pid, signal.SIGSTOP)
    durable.write_settings(synchronous_standby_names="")
    durable.reload()
    stored = "SELECT count(*) FROM {s}.stripe_events WHERE stripe_event_id = %s AND processed"
    until(lambda: database.value(stored, (event["id"],)) == 1, "the commit is visible")
    assert answers == []
    worker.kill()
    thread.join()
    assert answers and answers[0] != 200
    before = database.facts()
    assert database.state("user_ada")["state"] == "active"
    # Stripe sends it again.
    worker = workers(database)
    assert post(worker.webhook, event, worker.secret).status == 200
    assert database.facts() == before
    assert database.value("SELECT duplicates FROM {s}.stripe_events WHERE stripe_event_id = %s", (event["id"],)) == 1


def test_worker_killed_under_load(database, workers, calm):
    worker = workers(database)
    load = Load(worker, lives(LIVES, START)).start()
    for share in (0.2, 0.4, 0.6, 0.8):
        load.wait_for(share)
        worker.kill()
        worker.start()
    load.finish()
    assert load.refusals, "the kills came too late to hurt"
    check_against(database, calm)


@pytest.mark.parametrize("mode", ["immediate", "fast"])
def test_server_restarted_under_load(durable, database, workers, calm, mode):
    worker = workers(database)
    load = Load(worker, lives(LIVES, START)).start()
    for share in (0.3, 0.6):
        load.wait_for(share)
        durable.restart(mode)
    load.finish()
    reconnected(database)
    check_against(database, calm)
    # Housekeeping has a connection of its own, which comes back in its own time.
    until(lambda: worker.get("/readyz")[0] == 200, "the worker is ready again")


def test_server_killed_under_load(durable, database, workers, calm):
    """kill -9 of the postmaster: crash recovery from the write-ahead log."""
    load = Load(workers(database), lives(LIVES, START)).start()
    load.wait_for(0.5)
    durable.kill9()
    durable.start()
    load.finish()
    reconnected(database)
    check_against(database, calm)


def test_backend_killed_mid_batch(database, workers, calm):
    """kill -9 of the worker's own backends: the server restarts itself, the batch was never acknowledged."""
    load = Load(workers(database), lives(LIVES, START)).start()
    for share in (0.3, 0.6):
        load.wait_for(share)
        reconnected(database)
        busy = database.rows("SELECT pid FROM pg_stat_activity WHERE datname = %s AND usename = 'billing_worker'",
                             (database.name,))
        for row in busy[:1]:
            os.kill(row["pid"], signal.SIGKILL)
    load.finish()
    reconnected(database)
    check_against(database, calm)


def test_unreachable_database_is_503_with_retry_after(durable, database, workers):
    worker = workers(database)
    durable.stop("fast")
    try:
        until(lambda: worker.get("/readyz")[0] == 503, "it notices")
        answer = post(worker.webhook, Life("ada").customer_created(), worker.secret)
        assert answer.status == 503 and int(answer.headers["Retry-After"]) >= 1
        assert worker.get("/healthz")[0] == 200
    finally:
        durable.start()
    reconnected(database)
    worker.wait_until_ready()
    assert post(worker.webhook, Life("ada").customer_created(), worker.secret).status == 200


def test_drain_answers_what_was_accepted(database, workers):
    """SIGTERM under load: what is not acknowledged is refused or cut off, never lost after a 200."""
    worker = workers(database)
    load = Load(worker, lives(LIVES, START)).start()
    load.wait_for(0.3)
    assert worker.stop() == 0
    with load.lock:
        acknowledged = set(load.acknowledged)
        load.queues.clear()
        load.deadline = 0
    for thread in load.threads:
        thread.join()
    stored = {row["stripe_event_id"] for row in database.rows("SELECT stripe_event_id FROM {s}.stripe_events")}
    assert acknowledged and acknowledged <= stored


def test_two_workers_serve_one_database(database, workers, calm):
    """Every event through both, at the same time."""
    first, second = workers(database), workers(database)
    loads = [Load(worker, flip(lives(LIVES, START)), threads=4).start()
             for worker, flip in ((first, list), (second, lambda x: list(reversed(x))))]
    for load in loads:
        load.finish()
    check_against(database, calm)
    total = sum(map(len, lives(LIVES, START)))
    assert database.value("SELECT sum(duplicates) FROM {s}.stripe_events") == total


def test_events_in_reverse_order_under_load(database, workers, calm):
    backwards = [list(reversed(events)) for events in lives(LIVES, START)]
    Load(workers(database), backwards).start().finish()
    check_against(database, calm)

