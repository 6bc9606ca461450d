"""The main job, end to end: signed webhooks over real sockets become subscription state, in both API shapes."""
import time

import pytest

from harness.life import Life, flat
from harness.objects import BASIC, NEW, OLD, PRO, PRO_YEARLY, SEATS
from harness.stripe import Sender, payload_of


@pytest.fixture
def sender(worker):
    return Sender(worker.webhook, worker.secret)


@pytest.mark.parametrize("api_version", [OLD, NEW])
def test_a_whole_life(any_database, workers, api_version):
    database = any_database
    worker = workers(database)
    sender = Sender(worker.webhook, worker.secret)
    ada = Life("ada", api_version=api_version)

    def happens(*happenings):
        for event in flat(happenings):
            answer = sender.post(event)
            assert answer.status == 200, answer.body
        return database.state("user_ada")

    assert happens(ada.customer_created(), ada.subscribed(trial_days=14), ada.first_invoice())["state"] \
        == "no_subscription"
    state = happens(ada.checkout_completed("user_ada"))
    assert (state["state"], state["stripe_status"], state["has_access"]) == ("trialing", "trialing", True)
    assert (state["price_id"], state["stripe_customer_id"]) == (PRO.id, "cus_ada") and state["trial_end"]
    assert happens(ada.trial_will_end())["state"] == "trialing"
    state = happens(ada.activated())
    assert (state["state"], state["has_access"], state["cancel_at_period_end"]) == ("active", True, False)
    assert state["renews_at"] and not state["ends_at"]
    state = happens(ada.payment_failed())
    assert (state["state"], state["has_access"]) == ("past_due", True)
    state = database.state("user_ada", time.strftime("%Y-%m-%d", time.gmtime(time.time() + 9 * 86400)))
    assert (state["state"], state["has_access"]) == ("past_due", False)
    assert happens(ada.recovered())["state"] == "active"
    assert happens(ada.scheduled(PRO_YEARLY))["scheduled_change"]["price_id"] == PRO_YEARLY.id
    state = happens(ada.price_changed(BASIC, 3))
    assert (state["price_id"], state["quantity"]) == (BASIC.id, 3)
    state = happens(ada.cancel_at_period_end())
    assert (state["state"], state["has_access"]) == ("canceled", True) and state["ends_at"]
    state = database.state("user_ada", time.strftime("%Y-%m-%d", time.gmtime(time.time() + 70 * 86400)))
    assert (state["state"], state["has_access"]) == ("expired", False)
    assert happens(ada.resumed())["state"] == "active"
    state = happens(ada.ended())
    assert (state["state"], state["has_access"]) == ("expired", False)
    assert happens(ada.customer_deleted())["has_access"] is False
    assert database.rows("SELECT * FROM {s}.stripe_events WHERE outcome NOT IN ('processed', 'ignored')") == []
    assert [row["event_id"] for row in database.rows("SELECT event_id FROM {s}.audit_logs WHERE user_id = 'user_ada'")]


def test_both_shapes_tell_the_same(databases):
    said = []
    for api_version in (OLD, NEW):
        database, ada = databases(), Life("ada", api_version=api_version, items=((PRO, 1), (SEATS, 4)),
                                          start=1_795_000_000)
        database.process(*flat([ada.customer_created(), ada.subscribed(), ada.first_invoice(),
                                ada.checkout_completed("user_ada"), ada.cancel_at_period_end()]))
        said.append((database.state("user_ada", "2026-11-20"),
                     database.rows("SELECT * FROM {s}.stripe_subscription_items ORDER BY 1"),
                     database.rows("SELECT * FROM {s}.stripe_subscriptions"),
                     database.rows("SELECT * FROM {s}.stripe_invoices")))
    for old, new in zip(*said):
        def shape_free(rows):
            hidden = {"api_version", "updated_at", "object", "charge_id", "subscription_metadata"}  # named in one shape only
            return [{k: v for k, v in row.items() if k not in hidden} for row in rows] \
                if isinstance(rows, list) else rows
        assert shape_free(old) == shape_free(new)
    assert len(said[0][1]) == 2


def test_sent_twice_is_one_effect(database, sender):
    ada = Life("ada")
    events = flat([ada.customer_created(), ada.subscribed(), ada.first_invoice(), ada.checkout_completed("user_ada")])
    for event in events:
        assert sender.post(event).status == 200
    before = database.facts()
    for event in events * 2:
        assert sender.post(event).status == 200
    assert database.facts() == before
    assert database.value("SELECT sum(duplicates) FROM {s}.stripe_events") == 2 * len(events)


def test_metrics_and_log_follow(database, worker, sender):
    """Scraped as Prometheus would; one line a webhook, never a body, a signature or the secret."""
    ada, bob = Life("ada"), Life("bob")
    events = flat([ada.customer_created(), ada.subscribed(), ada.checkout_completed("user_ada"), bob.subscribed()])
    for event in events:
        sender.post(event)
    sender.post(events[0])
    assert sender.post(events[0], signature="t=1,v1=00").status == 400
    for _ in range(3):
        database.state("user_ada")
    text = worker.get("/metrics")[1]
    numbers = worker.metrics()
    assert any("duplicate" in name and value == 1 for name, value in numbers.items()), text
    assert any("parked" in name and "customer_link" in name and value == 1 for name, value in numbers.items()), text
    assert any("bucket" in name for name in numbers) and any("reject" in name and value == 1
                                                             for name, value in numbers.items()), text
    lines = worker.log_lines()
    logged = worker.text()
    for event in events:
        assert any(event["id"] in str(line) for line in lines), event["id"]
    assert any("stripe_webhook_invalid_signature" in str(line) for line in lines)
    assert any("stripe_webhook_verified" in str(line) for line in lines)
    assert "cus_bob has no user" in logged and "link_stripe_customer" in logged
    assert worker.secret not in logged and "v1=" not in logged and "ada@example.org" not in logged
    assert worker.secret not in text


@pytest.mark.parametrize("payload", ["not json", "[]", "{}", '{"id": 5}', '{"object": "event", "data": null}',
                                     "[" * 100 + "]" * 100])
def test_signed_nonsense_is_kept_and_acknowledged(database, sender, payload):
    assert sender.post(payload).status == 200
    (row,) = database.rows("SELECT * FROM {s}.stripe_events e JOIN {s}.stripe_event_payloads USING (stripe_event_id)")
    assert (row["outcome"], row["processed"], row["payload"]) == ("failed", False, payload)
    assert row["error"] and row["retry_count"] >= 1
    assert sender.post(payload).status == 200
    assert database.value("SELECT duplicates FROM {s}.stripe_events") == 1


def test_an_unusual_text_is_kept_as_sent(database, sender):
    """NUL escapes and lone surrogates, which jsonb refuses, block nothing."""
    ada = Life("ada")
    event = payload_of(ada.customer_created()).replace('"Ada"', '"A\\u0000d\\ud800a"')
    assert sender.post(event).status == 200
    assert database.value("SELECT payload FROM {s}.stripe_event_payloads") == event
    assert database.value("SELECT count(*) FROM {s}.stripe_customers") == 1


def test_events_of_the_other_mode_have_no_effect_until_the_switch(database, sender):
    ada = Life("ada", livemode=True)
    for event in flat([ada.subscribed(), ada.checkout_completed("user_ada")]):
        assert sender.post(event).status == 200
    assert {row["outcome"] for row in database.rows("SELECT outcome FROM {s}.stripe_events")} == {"ignored"}
    assert database.state("user_ada")["state"] == "no_subscription"
    database.value("SELECT {s}.set_billing_setting('mode', 'live', 'we open')")
    for event in ada.events:
        database.value("SELECT {s}.replay_stripe_event(%s)", (event["id"],))
    assert database.state("user_ada")["state"] == "active"
