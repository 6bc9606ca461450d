"""pg_billing reconcile: webhooks that were lost for an hour are found, named one by one, and made good."""
import json
import os
import subprocess

import pytest

from harness.simulated_stripe import SimulatedStripe
from harness.waiting import until
from harness.worker import SECRET, binary

HANDLED = ("customer", "subscription", "invoice", "payment_intent", "charge", "invoice_payment", "payment_method", "checkout.session",
           "refund", "credit_note", "dispute", "price", "product", "subscription_schedule")


def reconcile(database, stripe, *arguments, code=0):
    run = subprocess.run([binary(), "reconcile", *arguments], capture_output=True, text=True, timeout=120,
                         env={"PATH": os.environ["PATH"], "DATABASE_URL": database.url(), **stripe.environment})
    assert run.returncode == code, run.stdout + run.stderr
    assert stripe.key not in run.stdout + run.stderr
    return run.stdout


def report_of(text):
    return json.loads(text)


@pytest.fixture
def shop(database, workers):
    """A worker, and an account that posts to it."""
    stripe = SimulatedStripe(secret=SECRET)
    stripe.command += ["--post", workers(database, environment=stripe.environment).webhook]
    with stripe:
        yield stripe


def buy(stripe, user):
    session = stripe.checkout(stripe.get("prices", active=True, type="recurring", limit=1)["data"][0], client_reference_id=user)
    stripe.pay(session)
    return stripe.get(f"checkout/sessions/{session['id']}")


def wait_until_quiet(database, stripe):
    until(lambda: stripe.state()["undelivered"] == 0, "all webhooks are delivered", 60)
    until(lambda: database.value("SELECT count(*) FROM {s}.stripe_events WHERE NOT processed AND next_retry_at < now() + '1 minute'") == 0)


def test_an_hour_of_lost_webhooks(database, shop):
    told = buy(shop, "ada")
    wait_until_quiet(database, shop)
    assert database.state("ada")["has_access"]
    known = database.value("SELECT count(*) FROM {s}.stripe_events")
    report = report_of(reconcile(database, shop, "--json"))
    assert (report["updated"], report["missing"], report["differences"]) == (0, 0, []) and report["matched"] > 0

    shop.steer("webhooks", deliver=False)
    lost_since = shop.state()["now"]
    shop.post(f"subscriptions/{told['subscription']}", cancel_at_period_end=True)
    buy(shop, "bea")
    shop.steer("clock", seconds=3600)
    lost = {event["id"] for event in shop.everything("events", created={"gte": lost_since})
            if event["data"]["object"]["object"] in HANDLED and not database.value("SELECT count(*) FROM {s}.stripe_events WHERE stripe_event_id = %s", (event["id"],))}
    assert lost and not database.state("bea")["has_access"] and not database.state("ada")["cancel_at_period_end"]

    dry = report_of(reconcile(database, shop, "--json", "--dry-run", code=3))
    assert {one["stripe_event_id"] for one in dry["differences"] if one["difference"] == "event_missing"} == lost
    assert not any(one["repaired"] for one in dry["differences"])
    assert any(one["difference"] == "object_updated" and one["object_id"] == told["subscription"] and one["was"]["cancel_at_period_end"] is False
               and one["now"]["cancel_at_period_end"] is True and one["stripe_event_id"] in lost for one in dry["differences"])
    assert database.value("SELECT count(*) FROM {s}.stripe_events") == known and not database.state("bea")["has_access"]

    report = report_of(reconcile(database, shop, "--json"))
    assert {one["stripe_event_id"] for one in report["differences"] if one["difference"] == "event_missing"} == lost
    assert report["events"]["missing"] == len(lost) and report["objects"] == {**report["objects"], "updated": 0, "missing": 0}
    assert database.state("bea")["has_access"] and database.state("ada")["cancel_at_period_end"]
    for object_type, path in (("subscription", "subscriptions"), ("invoice", "invoices"), ("customer", "customers"), ("charge", "charges")):
        stored = {row["object_id"]: row["object"] for row in database.rows(
            "SELECT object_id, object FROM {s}.stripe_objects WHERE object_type = %s AND object IS NOT NULL", (object_type,))}
        assert stored == {one["id"]: one for one in shop.everything(path, **({"status": "all"} if object_type == "subscription" else {}))}
    assert database.rows("SELECT table_name, row_key, difference FROM {s}.rebuild_billing_state()") == []

    # What comes after all is a duplicate.
    shop.steer("webhooks", deliver=True, resend=True)
    wait_until_quiet(database, shop)
    again = report_of(reconcile(database, shop, "--json"))
    assert (again["updated"], again["missing"]) == (0, 0)
    text = reconcile(database, shop)
    assert "0 missing" in text and "0 updated, 0 missing" in text


def test_an_object_of_which_no_event_tells(database, shop):
    told = buy(shop, "ada")
    wait_until_quiet(database, shop)
    shop.steer("clock", seconds=60)  # what is read within the same second settles nothing
    database.execute("UPDATE {s}.stripe_objects SET object = jsonb_set(object, '{metadata}', '{\"note\": \"wrong\"}') WHERE object_id = %s", (told["subscription"],))
    report = report_of(reconcile(database, shop, "--json"))
    found = [(one["difference"], one["object_id"], one["was"], one["event_type"], one["stripe_event_id"]) for one in report["differences"]]
    assert found == [("object_updated", told["subscription"], {"metadata": {"note": "wrong"}}, "customer.subscription.updated", None)]
    assert database.value("SELECT object #>> '{metadata,note}' FROM {s}.stripe_objects WHERE object_id = %s", (told["subscription"],)) is None
    assert database.value("SELECT repaired FROM {s}.stripe_reconciliation_differences")


def test_after_a_restored_backup_requests_wait_for_a_person(database):
    with SimulatedStripe() as stripe:
        told = buy(stripe, "ada")
        database.execute("SELECT {s}.enqueue_stripe_request('ada', %s, '{\"metadata\": {\"a\": \"b\"}}')", (f"/v1/subscriptions/{told['subscription']}",))
        report = report_of(reconcile(database, stripe, "--json", "--after-restore"))
        assert report["held"] == 1 and database.value("SELECT status FROM {s}.stripe_requests") == "held"
        assert database.state("ada")["has_access"]
        run = subprocess.run([binary(), "reconcile", "--after-restore", "--dry-run"], capture_output=True, text=True, timeout=20, env={})
        assert run.returncode == 2 and "a dry run changes nothing" in run.stderr


def test_on_a_timer_one_worker_does_it(database, workers):
    with SimulatedStripe() as stripe:
        session = buy(stripe, "ada")
        running = [workers(database, environment={**stripe.environment, "PG_BILLING_RECONCILE_EVERY": "2s"}) for _ in range(2)]
        until(lambda: database.state("ada")["has_access"], "it is found", 30)
        assert session["subscription"]
        until(lambda: any(line.get("event") == "reconciled" for one in running for line in one.log_lines()), "it is told")
        rows = database.rows("SELECT began_at FROM {s}.stripe_reconciliations ORDER BY 1")
        assert all((after["began_at"] - before["began_at"]).total_seconds() >= 0.9 for before, after in zip(rows, rows[1:]))


@pytest.mark.parametrize("arguments, message", [(("--since", "40d"), "not a time from 1m to 30d"), (("--since", "soon"), "not a time"),
                                                (("--sinse", "1h"), "unknown argument")])
def test_misuse_is_refused(database, arguments, message):
    run = subprocess.run([binary(), "reconcile", *arguments], capture_output=True, text=True, timeout=20,
                         env={"DATABASE_URL": database.url(), "STRIPE_SECRET_KEY": "sk_test_0123456789abcdef"})
    assert run.returncode == 2 and message in run.stderr and "hint: " in run.stderr
