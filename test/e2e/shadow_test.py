"""`serve --shadow`: beside another handler, which gets the same webhooks and writes its own table."""
import subprocess
import time

import pytest

from harness.life import Life
from harness.objects import PRO
from harness.receiver import Receiver
from harness.stripe import Sender
from harness.waiting import until
from harness.worker import Worker, binary


class OtherHandler:
    """What runs today: a table that follows the events it gets, by a rule of its own, somewhat later than we do."""

    def __init__(self, database):
        self.database = database
        database.execute("CREATE TABLE public.legacy (user_id text PRIMARY KEY, has_access boolean, stripe_status text)")

    def take(self, user_id, event):
        subscription = event["data"]["object"]
        if subscription["object"] == "subscription":
            self.database.execute("INSERT INTO public.legacy VALUES (%s, %s, %s) ON CONFLICT (user_id) DO UPDATE"
                                  " SET has_access = excluded.has_access, stripe_status = excluded.stripe_status",
                                  (user_id, subscription["status"] in ("active", "trialing"), subscription["status"]))


def shadow(workers, database, query="public.legacy", interval="200ms", environment=None, **options):
    database.execute("SELECT {s}.set_billing_setting('notifications', 'off', 'shadow')")
    database.create_role("billing_worker", "worker")
    database.execute("SELECT {s}.grant_billing_role('billing_worker', 'reader'); GRANT SELECT ON public.legacy TO billing_worker")
    return workers(database, arguments=["--shadow", "--shadow-interval", interval, "--shadow-query", query], environment=environment, **options)


def comparisons(worker):
    return worker.metrics()["pg_billing_shadow_comparisons_total"]


def some_looks(worker, count=3):
    seen = comparisons(worker)
    until(lambda: comparisons(worker) >= seen + count)


def told(worker, what="shadow_difference"):
    return sorted((line["user_id"], line["field"], line.get("theirs"), line.get("ours"))
                  for line in worker.log_lines() if line.get("event") == what)


def differences(worker):
    prefix = "pg_billing_shadow_differences{field="
    return {name[len(prefix) + 1:-2]: value for name, value in worker.metrics().items() if name.startswith(prefix)}


def test_it_finds_planted_differences_and_nothing_else(any_database, workers):
    """Also while both systems are behind each other, and with nothing said to anybody else."""
    database = any_database
    with Receiver() as receiver:
        other = OtherHandler(database)
        worker = shadow(workers, database, environment=receiver.environment())
        lives = [Life(f"u{number}", items=((PRO, 1),)) for number in range(12)]
        sender = Sender(worker.webhook, worker.secret)
        late = []

        def send(life, event):
            assert sender.post(event).status == 200
            late.append((life.name, event))

        def follow():
            while late:
                other.take(*late.pop(0))

        for life in lives:
            for event in (life.customer_created(metadata={"user_id": life.name}), life.subscribed(), life.cancel_at_period_end()):
                send(life, event)
            follow()  # somewhat later
        for life in lives[::3]:
            send(life, life.ended())
        follow()
        some_looks(worker)
        assert told(worker) == [] and differences(worker) == {}

        database.execute("UPDATE public.legacy SET has_access = true WHERE user_id = 'u0'")  # canceled, and has access
        database.execute("UPDATE public.legacy SET stripe_status = 'past_due' WHERE user_id = 'u1'")
        database.execute("DELETE FROM public.legacy WHERE user_id = 'u2'")  # paid, and unknown
        some_looks(worker)
        planted = [("u0", "has_access", "true", "false"), ("u1", "stripe_status", "past_due", "active"), ("u2", "has_access", None, "true")]
        assert told(worker) == planted
        assert differences(worker) == {"has_access": 2, "stripe_status": 1}

        database.execute("UPDATE public.legacy SET has_access = false WHERE user_id = 'u0'")
        some_looks(worker)
        assert told(worker) == planted and told(worker, "shadow_difference_gone") == planted[:1]
        assert differences(worker) == {"has_access": 1, "stripe_status": 1}

        # It applied, and told nobody: neither now nor after the switch.
        assert database.state("u1")["stripe_status"] == "active"
        worker.stop()
        database.execute("SELECT {s}.set_billing_setting('notifications', 'on', 'switch')")
        after = workers(database, environment=receiver.environment())
        time.sleep(3)
        assert receiver.wait_for(0) == [] and database.value("SELECT count(*) FROM {s}.billing_notifications") == 0
        # What happens from here on is told.
        lives[1].clock = int(time.time())
        Sender(after.webhook, after.secret).post(lives[1].ended())
        assert [message["type"] for message in receiver.wait_for(1)] == ["access_lost"]


def test_while_both_are_changing_nothing_is_made_up(database, workers):
    """Two handlers that commit at different times: a look in between finds them apart."""
    other = OtherHandler(database)
    worker = shadow(workers, database, interval="300ms")
    sender = Sender(worker.webhook, worker.secret)
    stop = time.monotonic() + 6
    number = 0
    while time.monotonic() < stop:
        number += 1
        life = Life(f"u{number}", items=((PRO, 1),))
        events = [life.customer_created(metadata={"user_id": life.name}), life.subscribed()]
        if number % 3 == 0:
            events.append(life.ended())
        for event in events:
            assert sender.post(event).status == 200
        time.sleep(0.02)
        for event in events:
            other.take(life.name, event)
    some_looks(worker)
    assert number > 20 and told(worker) == [] and told(worker, "shadow_difference_gone") == []


@pytest.mark.parametrize("query", ["SELECT user_id, has_access FROM public.legacy", "legacy", " public . \"legacy\" "])
def test_a_query_or_a_name(database, workers, query):
    OtherHandler(database)
    worker = shadow(workers, database, query)
    database.execute("INSERT INTO public.legacy (user_id, has_access) VALUES ('eve', true)")
    some_looks(worker)
    assert ("eve", "has_access", "true", "false") in told(worker)


def test_a_query_that_writes_is_refused(database, workers):
    OtherHandler(database)
    database.execute("""CREATE FUNCTION public.meddle() RETURNS text LANGUAGE sql AS
                        $$ DELETE FROM public.legacy; SELECT 'eve' $$; GRANT DELETE ON public.legacy TO PUBLIC;
                        INSERT INTO public.legacy VALUES ('eve', true, 'active')""")
    worker = shadow(workers, database, "SELECT public.meddle() AS user_id")
    until(lambda: any(line.get("task") == "compare_billing_state" or "compare_billing_state" in str(line) for line in worker.log_lines()))
    assert worker.metrics()["pg_billing_shadow_compared"] == 0
    assert "read-only" in worker.text()
    assert database.value("SELECT count(*) FROM public.legacy") == 1


def test_what_it_needs_is_said(database, workers):
    """Webhooks go on being taken while the comparison has not the rights that it needs."""
    OtherHandler(database)
    worker = shadow(workers, database)
    database.execute("REVOKE SELECT ON public.legacy FROM billing_worker")
    until(lambda: worker.metrics()["pg_billing_shadow_compared"] == 0 and "permission denied" in worker.text())
    life = Life("ada")
    assert Sender(worker.webhook, worker.secret).post(life.customer_created(metadata={"user_id": "ada"})).status == 200


def test_it_does_not_run_where_notifications_are_written(database):
    role = database.create_role("billing_worker", "worker")
    worker = Worker(database.url(role), arguments=["--shadow"])
    worker.start(wait=False)
    assert worker.process.wait(20) == 2
    line = next(line for line in worker.log_lines() if line.get("reason") == "shadow_notifies")
    assert "set_billing_setting('notifications', 'off'" in line["next_step"]
    worker.stop()


def test_a_query_without_shadow_is_a_mistake():
    run = subprocess.run([binary(), "serve", "--shadow-query", "legacy"], env={"STRIPE_WEBHOOK_SECRET": "whsec_x"},
                         capture_output=True, text=True, timeout=20)
    assert run.returncode == 2 and "PG_BILLING_SHADOW" in run.stderr and "--shadow" in run.stderr
