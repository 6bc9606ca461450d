"""What is known to go wrong in systems that sync Stripe into a database, each against a real server. Left out are the
import of what existed before, and endpoints that several environments register on one account: neither is part of this."""
import os
import subprocess
import threading

import psycopg2
import pytest

from harness import objects
from harness.life import Life, event, flat
from harness.objects import MONTH, NEW, OLD, PRO, SEATS
from harness.stripe import Sender, payload_of
from harness.worker import binary

START = 1_795_000_000
BOTH_ORDERS = pytest.mark.parametrize("order", [1, -1], ids=["in order", "in reverse"])


@pytest.fixture
def sender(worker):
    return Sender(worker.webhook, worker.secret)


def linked(database, **options):
    """Ada, a user with an active subscription."""
    ada = Life("ada", start=START, **options)
    events = [ada.customer_created(), ada.subscribed(), ada.checkout_completed("user_ada")]
    assert database.outcomes(*events) == ["processed"] * 3
    return ada


def subscription(database):
    (row,) = database.rows("SELECT * FROM {s}.user_subscriptions")
    return row


def mirrored(database, object_id):
    return database.value("SELECT object FROM {s}.stripe_objects WHERE object_id = %s", (object_id,))


def within_one_second(life, *changes):
    """An update for each of the changes, all of one second; the ids sort against the order of what happened."""
    events = []
    for number, change in enumerate(changes):
        events.append(life.update(**change))
        events[-1]["id"] = f"evt_second_{9 - number}"
        life.clock -= 1
    life.clock += 1
    return events


@BOTH_ORDERS
@pytest.mark.parametrize("together", [False, True], ids=["one by one", "in one batch"])
def test_two_updates_within_one_second_keep_the_later_one(database, order, together):
    ada = linked(database)
    # The status alone, and the ids, would make past_due the last.
    events = within_one_second(ada, {"status": "past_due"}, {"status": "active", "quantity": 3})[::order]
    if together:
        database.process(*events)
    else:
        for one in events:
            database.process(one)
    assert (subscription(database)["status"], mirrored(database, "sub_ada")["quantity"]) == ("active", 3)
    assert database.value("SELECT ambiguous FROM {s}.stripe_objects WHERE object_id = 'sub_ada'") is False


def test_a_late_update_does_not_resurrect_a_deleted_subscription(database):
    ada = linked(database)
    late, later, end = ada.update(status="past_due"), ada.update(status="active"), ada.ended()
    database.process(end)
    gone = database.facts("stripe_objects", "user_subscriptions")
    # Not even one that claims to be newer.
    later["created"] = end["created"] + 100
    again = {**ada.events[1], "id": "evt_created_again", "created": end["created"] + 200}
    assert database.outcomes(late, later, again) == ["processed"] * 3
    assert database.facts("stripe_objects", "user_subscriptions") == gone
    assert subscription(database)["status"] == "canceled"
    state = database.state("user_ada")
    assert (state["state"], state["has_access"]) == ("expired", False)


def test_a_stale_parent_event_deletes_no_newer_items(database):
    ada = linked(database)
    stale = ada.update(metadata={"note": "before the seats"})
    ada.items = [(PRO, 1), (SEATS, 4)]
    made = objects.subscription("sub_ada", "cus_ada", ada.items, START, ada.period, ada.api_version)
    database.process(ada.update(items=made["items"]))
    database.process(stale)
    items = database.rows("SELECT price_id, quantity FROM {s}.stripe_subscription_items ORDER BY quantity")
    assert [(item["price_id"], item["quantity"]) for item in items] == [(PRO.id, 1), (SEATS.id, 4)]


def entitlements(number, created, features, has_more=False):
    """The summary of what Ada is entitled to, of which an event shows ten at most."""
    url = "/v1/customer/cus_ada/entitlements"
    summary = {"object": "entitlements.active_entitlement_summary", "customer": "cus_ada", "livemode": False,
               "entitlements": objects.listing([
                   {"id": f"ent_{name}", "object": "entitlements.active_entitlement", "feature": f"feat_{name}",
                    "livemode": False, "lookup_key": name} for name in features], url) | {"has_more": has_more}}
    return event(f"evt_entitlements_{number}", "entitlements.active_entitlement_summary.updated", summary, created)


def test_ten_entitlements_are_not_taken_for_all(database):
    database.process(entitlements(1, START, [f"feature_{number}" for number in range(10)], has_more=True))
    stored = mirrored(database, "cus_ada")["entitlements"]
    assert len(stored["data"]) == 10 and stored["has_more"] is True


def test_items_of_a_truncated_list_are_not_taken_for_all(database):
    ada = linked(database)
    more = {**ada.subscription["items"], "has_more": True}
    database.process(ada.update(items=more))
    assert mirrored(database, "sub_ada")["items"]["has_more"] is True
    assert subscription(database)["items_truncated"] is True


@BOTH_ORDERS
def test_a_revoked_entitlement_does_not_survive(database, order):
    for summary in [entitlements(1, START, ["api", "export"]), entitlements(2, START + 1, ["api"])][::order]:
        assert database.outcomes(summary) == ["processed"]
    assert [one["lookup_key"] for one in mirrored(database, "cus_ada")["entitlements"]["data"]] == ["api"]


@BOTH_ORDERS
def test_both_paid_events_are_one_payment(database, order):
    ada = linked(database)
    first, *paid = ada.renewed()
    database.process(first)
    for one in paid[::order]:
        assert database.outcomes(one) == ["processed"]
    payments = database.rows("SELECT subject, event_id FROM {s}.audit_logs WHERE action = 'payment_succeeded'")
    # The same one in either order.
    assert [(row["subject"], row["event_id"]) for row in payments] == [("in_ada_2", paid[0]["id"])]


def test_concurrent_events_neither_deadlock_nor_insert_twice(database):
    ada, bob = (Life(name, start=START) for name in ("ada", "bob"))
    events = [[life.customer_created(), life.subscribed(), life.checkout_completed(f"user_{life.name}"),
               *life.first_invoice(), *[life.update(quantity=number) for number in range(2, 8)]]
              for life in (ada, bob)]
    failures = []

    def send(session):
        connection = database.connect()
        try:
            # Crosswise, and everything in each session.
            first, second = events if session % 2 else events[::-1]
            for pair in zip(first, second):
                outcomes = {outcome for _, outcome, _ in database.process(*pair, connection=connection)}
                if not outcomes <= {"processed", "duplicate", "parked"}:
                    failures.append(outcomes)
        except psycopg2.Error as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=send, args=(session,)) for session in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # Two sessions that store the same event: the later one is told to run its call again.
    assert [failure for failure in failures if getattr(failure, "pgcode", None) != "40001"] == []
    for _ in range(3):
        database.execute("UPDATE {s}.stripe_events SET next_retry_at = now() WHERE NOT processed")
        database.retry()
    rows = database.rows("SELECT user_id, stripe_subscription_id, status FROM {s}.user_subscriptions ORDER BY 1")
    assert [tuple(row.values()) for row in rows] == [("user_ada", "sub_ada", "active"), ("user_bob", "sub_bob", "active")]
    assert database.value("SELECT count(*) FROM {s}.stripe_events WHERE processed") == sum(map(len, events))
    assert {mirrored(database, f"sub_{name}")["quantity"] for name in ("ada", "bob")} == {7}
    assert database.value("SELECT count(*) FROM {s}.audit_logs WHERE action = 'payment_succeeded'") == 2


@pytest.mark.parametrize("api_version", [OLD, NEW])
def test_the_period_end_is_known_since_basil(database, api_version):
    ada = linked(database, api_version=api_version)
    assert ("current_period_end" in ada.subscription) == (api_version == OLD)
    expected = START + 1 + MONTH
    assert subscription(database)["current_period_end"].timestamp() == expected
    assert database.value("SELECT current_period_end FROM {s}.stripe_subscriptions").timestamp() == expected
    assert database.state("user_ada")["current_period_end"]


def test_an_upcoming_invoice_without_id_is_accepted(database, sender):
    ada = linked(database)
    upcoming = ada.invoice_event("invoice.upcoming", paid=False, reason="upcoming")
    del upcoming["data"]["object"]["id"]
    assert sender.post(upcoming).status == 200
    (row,) = database.rows("SELECT * FROM {s}.stripe_events WHERE event_type = 'invoice.upcoming'")
    assert (row["outcome"], row["processed"], row["object_id"]) == ("processed", True, None)
    assert database.value("SELECT count(*) FROM {s}.stripe_invoices") == 0


@pytest.mark.parametrize("event_type, data_object", [
    ("climate.order.delivered", {"id": "climorder_1", "object": "climate.order", "livemode": False}),
    ("something.new.invented", {"id": "new_1", "object": "something.new", "customer": "cus_ada", "livemode": False}),
    ("balance.available", {"object": "balance", "livemode": False, "available": []}),
])
def test_an_unknown_event_type_is_accepted(database, sender, event_type, data_object):
    assert sender.post(event("evt_unknown", event_type, data_object, START)).status == 200
    (row,) = database.rows("SELECT * FROM {s}.stripe_events")
    assert (row["event_type"], row["outcome"], row["processed"]) == (event_type, "processed", True)


@pytest.mark.parametrize("secret", [None, "", " ", ","])
def test_an_unset_secret_is_a_start_up_error(database, secret):
    environment = {"PATH": os.environ["PATH"], "DATABASE_URL": database.url()}
    if secret is not None:
        environment["STRIPE_WEBHOOK_SECRET"] = secret
    result = subprocess.run([binary(), "serve"], env=environment, capture_output=True, text=True, timeout=20)
    assert result.returncode == 2 and "STRIPE_WEBHOOK_SECRET" in result.stderr and "hint: " in result.stderr


def test_without_a_secret_nothing_is_received_in_sql_either(database):
    payload = payload_of(Life("ada").customer_created())
    for signature in ("", "t=1,v1=00"):
        with pytest.raises(psycopg2.errors.ObjectNotInPrerequisiteState, match="no webhook secret is configured"):
            database.value("SELECT {s}.receive_stripe_webhook(%s, %s)", (payload, signature))
    assert database.value("SELECT count(*) FROM {s}.stripe_events") == 0


@BOTH_ORDERS
def test_customer_deleted_is_handled(database, sender, order):
    ada = linked(database)
    for one in [ada.customer_updated(name="Ada L."), ada.customer_deleted()][::order]:
        assert sender.post(one).status == 200
    assert database.value("SELECT count(*) FROM {s}.stripe_events WHERE NOT processed") == 0
    assert database.value("SELECT deleted FROM {s}.stripe_objects WHERE object_id = 'cus_ada'") is True
    assert database.state("user_ada")["has_access"] is False


def test_an_event_before_its_customer_is_linked_takes_effect_when_linked(database, sender):
    ada = Life("ada", start=START)
    for one in flat([ada.customer_created(), ada.subscribed(), ada.first_invoice(), ada.update(quantity=3)]):
        assert sender.post(one).status == 200
    assert database.value("SELECT count(*) FROM {s}.stripe_events WHERE waiting_for = 'customer:cus_ada'") == 4
    assert database.state("user_ada")["state"] == "no_subscription"
    database.link("user_ada", "cus_ada")
    assert database.state("user_ada", "2026-11-20")["state"] == "active"
    assert database.value("SELECT count(*) FROM {s}.stripe_events WHERE NOT processed") == 0
    assert database.value("SELECT count(*) FROM {s}.audit_logs WHERE action = 'payment_succeeded'") == 1


def test_a_failed_event_can_be_replayed_with_effect(database):
    ada = linked(database)
    database.execute("ALTER TABLE {s}.user_subscriptions ADD CONSTRAINT broken CHECK (status <> 'past_due')")
    failed, fine = ada.update(status="past_due"), Life("bob", start=START).customer_created()
    assert database.outcomes(failed, fine) == ["failed", "processed"]
    assert subscription(database)["status"] == "active"
    # Replayed too early it fails again, and is not lost.
    replay = "SELECT {s}.replay_stripe_event(%s)"
    assert database.value(replay, (failed["id"],))["outcome"] == "failed"
    database.execute("ALTER TABLE {s}.user_subscriptions DROP CONSTRAINT broken")
    assert database.value(replay, (failed["id"],)) == {"stripe_event_id": failed["id"], "outcome": "processed",
                                                       "error": None}
    assert subscription(database)["status"] == "past_due"
    effects = database.facts()
    assert database.value(replay, (failed["id"],))["outcome"] == "processed"
    assert database.facts() == effects


@pytest.mark.parametrize("text", [r"A\u0000da", r"\u0000", r"A\ud800da", r"\udc00\ud800", r"\\\u0000"])
def test_nul_escapes_do_not_block_the_queue(database, sender, text):
    ada = Life("ada", start=START)
    bodies = [payload_of(ada.customer_created()).replace("Ada", text), payload_of(ada.subscribed()),
              payload_of(ada.checkout_completed("user_ada"))]
    assert [sender.post(body).status for body in bodies] == [200, 200, 200]
    assert database.value("SELECT count(*) FROM {s}.stripe_events WHERE processed") == 3
    assert database.value("SELECT payload FROM {s}.stripe_event_payloads WHERE stripe_event_id = 'evt_ada_01'") == bodies[0]
    assert "�" in mirrored(database, "cus_ada")["name"]
