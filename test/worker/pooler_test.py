"""Behind PgBouncer in transaction mode, which gives each transaction whichever server is free."""
import contextlib

from harness.pooler import Pooler
from harness.worker import Worker
from harness.stripe import Sender
from wire import event, logged


def test_events_go_on_when_the_pooler_hands_out_another_server(cluster, database):
    role = database.create_role("billing_worker", "worker")
    with contextlib.ExitStack() as stack:
        pooler = stack.enter_context(Pooler(cluster, role, size=4))
        others = [stack.enter_context(contextlib.closing(pooler.connect(database, role))) for _ in range(3)]
        worker = stack.enter_context(Worker(pooler.url(database, role)))
        sender = stack.enter_context(contextlib.closing(Sender(worker.webhook, worker.secret)))
        for number in range(1, 5):
            assert sender.post(event(number)).status == 200
        # They hold every server that there is, so that the worker gets a new one.
        for other in others:
            other.cursor().execute("SELECT 1")
        for number in range(5, 9):
            assert sender.post(event(number)).status == 200
        for other in others:
            other.rollback()
        for number in range(9, 13):
            assert sender.post(event(number)).status == 200
        # Once for each of its connections that met one.
        assert {line["sqlstate"] for line in logged(worker, "statements_not_kept")} == {"26000"}
    assert database.value("SELECT count(*) FROM {s}.stripe_events WHERE outcome = 'processed'") == 12


def test_a_server_of_ones_own_keeps_the_statement(database, worker):
    with contextlib.closing(Sender(worker.webhook, worker.secret)) as sender:
        for number in range(1, 9):
            assert sender.post(event(number)).status == 200
    assert logged(worker, "statements_not_kept") == []


def test_a_statement_that_is_outdated_is_sent_anew(database, worker):
    """As after ALTER EXTENSION UPDATE, which replaces functions under the worker."""
    with contextlib.closing(Sender(worker.webhook, worker.secret)) as sender:
        for number in range(1, 5):
            assert sender.post(event(number)).status == 200
        database.execute("ALTER EXTENSION pg_billing DROP FUNCTION {s}.process_stripe_events(text[], jsonb);"
                         " ALTER FUNCTION {s}.process_stripe_events(text[], jsonb) RENAME TO process_before")
        definition = database.value("SELECT pg_get_functiondef('{s}.process_before'::regproc)")
        database.execute(definition.replace("process_before", "process_stripe_events").replace("%", "%%")
                         + "; GRANT EXECUTE ON FUNCTION {s}.process_stripe_events(text[], jsonb) TO billing_worker")
        for number in range(5, 9):
            assert sender.post(event(number)).status == 200
    assert database.value("SELECT count(*) FROM {s}.stripe_events") == 8
