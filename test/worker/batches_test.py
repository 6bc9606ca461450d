"""From the request to the commit: batches, errors of the system and of an event, lost connections, lateness."""
import threading
import time

from harness.stripe import Sender
from harness.waiting import until
from wire import Wire, event, logged, request, stored


def send(worker, bodies):
    """Posts each body on a connection of its own, all at once: {body: (status, JSON)}."""
    answers = {}

    def post(body):
        sender = Sender(worker.webhook, worker.secret, timeout=30)
        answer = sender.post(body)
        answers[body] = (answer.status, answer.json(), answer.headers)
        sender.close()

    threads = [threading.Thread(target=post, args=(body,)) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def reasons(answers):
    return {status if status == 200 else (status, body["error"]["reason"]) for status, body, _ in answers.values()}


def same_customer(numbers):
    """Events that go through one connection to the database."""
    return [event(number).replace(f"cus_{number}", "cus_one") for number in numbers]


def metric(worker, name):
    return worker.metrics()[f"pg_billing_{name}"]


def test_what_arrives_while_a_batch_runs_is_the_next_batch(database, orders, workers):
    worker = workers(database)
    orders.give(sleep=0.5)
    bodies = same_customer(range(60))
    first = threading.Thread(target=send, args=(worker, bodies[:1]))
    first.start()
    until(lambda: orders.calls() == 1, "the first batch runs")
    answers = send(worker, bodies[1:])
    first.join()
    assert reasons(answers) == {200}
    assert len(stored(database)) == 60
    assert 2 <= orders.calls() <= 4
    assert metric(worker, "batch_size_sum") == 60 and metric(worker, "batch_size_count") == orders.calls()


def test_a_batch_has_at_most_200_events(database, orders, workers):
    worker = workers(database)
    orders.give(sleep=1)
    bodies = same_customer(range(450))
    assert reasons(send(worker, bodies)) == {200}
    assert len(stored(database)) == 450
    metrics = worker.metrics()
    assert metrics['pg_billing_batch_size_bucket{le="200"}'] == metrics["pg_billing_batch_size_count"] >= 3


def test_a_batch_has_at_most_4_megabytes(database, orders, workers):
    # Time enough for the bodies, also under a sanitizer on a busy machine.
    worker = workers(database, environment={"PG_BILLING_BODY_TIMEOUT": "60s", "PG_BILLING_REQUEST_TIMEOUT": "90s"})
    orders.give(sleep=0.5)
    bodies = [body[:-1] + f', "padding": "{"x" * 900_000}"}}' for body in same_customer(range(10))]
    assert reasons(send(worker, bodies)) == {200}
    assert len(stored(database)) == 10
    assert metric(worker, 'batch_size_bucket{le="5"}') == metric(worker, "batch_size_count") >= 3


def test_customers_do_not_wait_for_each_other(database, orders, workers):
    """At least two connections: while one is busy another one works."""
    worker = workers(database, environment={"PG_BILLING_CONNECTIONS": "8"})
    orders.give(sleep=1)
    began = time.monotonic()
    assert reasons(send(worker, [event(f"c{number}") for number in range(8)])) == {200}
    # One after the other on one connection would take 8 s; hashes of 8 customers do share some.
    assert time.monotonic() - began < 6 and orders.calls() >= 2
    assert metric(worker, "database_connections") == 8


def test_an_event_sent_twice_at_once_is_one_effect(database, worker):
    body = event("twice")
    senders = [Wire(worker) for _ in range(10)]
    for wire in senders:
        wire.send(request(body, worker.secret))
    outcomes = sorted(wire.answer().json()["outcome"] for wire in senders)
    assert outcomes == ["duplicate"] * 9 + ["processed"]
    assert database.value("SELECT duplicates FROM {s}.stripe_events") == 9
    metrics = worker.metrics()
    assert metrics["pg_billing_webhooks_duplicates_total"] == 9
    assert metrics["pg_billing_webhooks_acknowledged_total"] == 10


def test_errors_of_the_system_are_run_again(database, orders, workers):
    worker = workers(database)
    for number, sqlstate in enumerate(("40001", "40P01", "53200", "57014", "58030", "XX000", "25006", "55P03")):
        orders.give(**{"raise": sqlstate, "times": 2})
        answers = send(worker, [event(number)])
        assert reasons(answers) == {200}, sqlstate
        assert orders.calls() == 3
        assert len(until(lambda: logged(worker, "batch_failed", sqlstate=sqlstate), "it is logged")) == 2
    assert metric(worker, "batches_run_again_total") == 16
    assert len(stored(database)) == 8


def test_errors_of_the_system_that_stay_are_503(database, orders, workers):
    worker = workers(database)
    orders.give(**{"raise": "53100"})
    answers = send(worker, [event("full")])
    assert reasons(answers) == {(503, "database_error")}
    ((_, body, headers),) = answers.values()
    assert int(headers["Retry-After"]) > 0 and body["error"]["next_step"] and "53100" in body["error"]["message"]
    assert orders.calls() == 5
    assert stored(database) == set()
    orders.give()
    assert reasons(send(worker, [event("full")])) == {200}


def test_errors_of_the_setup_are_503_at_once(database, orders, workers):
    worker = workers(database)
    orders.give(**{"raise": "42501"})
    assert reasons(send(worker, [event("denied")])) == {(503, "database_error")}
    assert orders.calls() == 1
    orders.give()
    database.execute("ALTER FUNCTION {s}.process_stripe_events(text[], jsonb) RENAME TO gone")
    assert reasons(send(worker, [event("gone")])) == {(503, "database_error")}
    database.execute("ALTER FUNCTION {s}.gone(text[], jsonb) RENAME TO process_stripe_events")
    assert reasons(send(worker, [event("gone")])) == {200}
    assert stored(database) == {"evt_gone"}


def test_one_event_that_breaks_its_batch_does_not_take_the_others_along(database, orders, workers):
    worker = workers(database)
    for sqlstate in ("22P02", "XX000"):
        orders.give(sleep=0.5)
        first = threading.Thread(target=send, args=(worker, same_customer([f"{sqlstate}a"])))
        first.start()
        until(lambda: orders.calls() == 1, "the first batch runs")
        orders.give(poison=sqlstate)
        bodies = same_customer(f"{sqlstate}b{number}" for number in range(12))
        poisoned = bodies[5].replace("{", '{"note": "POISON", ', 1)
        answers = send(worker, [*bodies[:5], poisoned, *bodies[6:]])
        first.join()
        assert answers.pop(poisoned)[0] == 503
        assert reasons(answers) == {200}
    assert len(stored(database)) == 24


def test_a_commit_that_fails_after_the_rows_is_not_acknowledged(database, orders, workers):
    worker = workers(database)
    orders.give(fail_at_commit=1)
    assert reasons(send(worker, [event("late")])) == {(503, "database_error")}
    assert stored(database) == set()
    assert logged(worker, "batch_failed", sqlstate="23503")


def test_a_result_that_leaves_events_out_is_not_acknowledged(database, orders, workers):
    worker = workers(database)
    orders.give(forget=1)
    assert reasons(send(worker, [event("forgotten")])) == {(503, "database_error")}


def test_a_lost_connection_is_run_again(database, orders, workers):
    """Nobody knows whether the commit happened: what was stored before comes back as a duplicate."""
    worker = workers(database)
    orders.give(terminate=2)
    assert reasons(send(worker, [event("lost")])) == {200}
    assert stored(database) == {"evt_lost"}
    until(lambda: len(logged(worker, "batch_outcome_unknown")) == 2, "it is logged")
    assert metric(worker, "database_connects_total") == 4


def test_idle_connections_that_were_cut_are_made_again_before_they_are_needed(database, worker):
    sessions = "FROM pg_stat_activity WHERE usename = 'billing_worker' AND datname = %s"
    open_now, cut = f"SELECT count(*) {sessions}", f"SELECT count(pg_terminate_backend(pid)) {sessions}"
    for number in range(3):
        until(lambda: database.value(open_now, (database.name,)) == 3, "all three are there")
        assert database.value(cut, (database.name,)) == 3
        until(lambda: metric(worker, "database_connects_total") >= 2 * (number + 2), "it is connected again")
        assert reasons(send(worker, [event(number)])) == {200}
        until(lambda: worker.get("/readyz")[0] == 200, "it is ready again")
    assert not logged(worker, "batch_outcome_unknown")


def test_what_the_standby_did_not_confirm_is_not_acknowledged(cluster, database, worker):
    cluster.write_settings(synchronous_standby_names="nobody")
    cluster.reload()
    try:
        until(lambda: database.value("SHOW synchronous_standby_names") == "nobody", "the setting is in force")
        time.sleep(0.2)  # in the worker's sessions too
        answers = {}
        thread = threading.Thread(target=lambda: answers.update(send(worker, [event("alone")])))
        thread.start()
        waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND datname = %s"
        (row,) = until(lambda: database.rows(waiting, (database.name,)), "the commit waits")
        database.value("SELECT pg_cancel_backend(%s)", (row["pid"],))
        thread.join()
        assert reasons(answers) == {(503, "not_replicated")}
    finally:
        cluster.write_settings(synchronous_standby_names="")
        cluster.reload()
    # It is there, though: Stripe's next attempt is a duplicate.
    until(lambda: database.value("SHOW synchronous_standby_names") == "", "the setting is gone")
    time.sleep(0.2)
    answers = send(worker, [event("alone")])
    assert [body["outcome"] for _, body, _ in answers.values()] == ["duplicate"]


def test_who_waits_too_long_is_told_to_come_back(database, orders, workers):
    worker = workers(database, environment={"PG_BILLING_REQUEST_TIMEOUT": "500ms"})
    orders.give(sleep=1.5)
    began = time.monotonic()
    answers = send(worker, [event("slow")])
    assert reasons(answers) == {(503, "not_confirmed_in_time")} and time.monotonic() - began < 1.4
    # The batch goes on, and its event is not lost either.
    until(lambda: stored(database) == {"evt_slow"}, "it is stored")
    until(lambda: logged(worker, "stripe_webhook_handled_successfully", stripe_event_id="evt_slow"), "it is logged")
    assert metric(worker, "queue_events") == 0


def test_a_batch_that_hangs_is_cancelled_and_run_again(database, orders, workers):
    worker = workers(database, environment={"PG_BILLING_BATCH_TIMEOUT": "500ms"})
    orders.give(sleep=60)
    answers = {}
    thread = threading.Thread(target=lambda: answers.update(send(worker, [event("hung")])))
    thread.start()
    until(lambda: orders.calls() >= 2, "it is run again")
    orders.give()
    thread.join()
    assert reasons(answers) == {200} and logged(worker, "batch_failed", sqlstate="57014")
    active = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = %s"
    assert database.value(active, (database.name,)) == 0


def test_a_full_queue_is_503(database, orders, workers):
    worker = workers(database, environment={"PG_BILLING_QUEUE_EVENTS": "5"})
    orders.give(sleep=1)
    answers = send(worker, same_customer(range(20)))
    assert reasons(answers) == {200, (503, "queue_full")}
    accepted = [body for body, (status, _, _) in answers.items() if status == 200]
    assert len(accepted) == len(stored(database)) == 5
    assert int(next(headers for status, _, headers in answers.values() if status == 503)["Retry-After"]) > 0
    # Room again, and nothing was lost.
    orders.give()
    assert reasons(send(worker, [body for body in answers if body not in accepted][:5])) == {200}
