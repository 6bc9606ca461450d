"""What applications want of Stripe, against a whole (simulated) account that sends its webhooks."""
import json
import time

import pytest

from harness.simulated_stripe import SimulatedStripe
from harness.waiting import until
from harness.worker import SECRET

DAY = 86400


@pytest.fixture
def shop(database, workers):
    """The account and the worker that receives its webhooks and performs what the database wants of it."""
    stripe = SimulatedStripe(secret=SECRET)
    worker = workers(database, environment=stripe.environment)
    stripe.command += ["--post", worker.webhook]
    with stripe:
        for plan, rank in (("basic", 1), ("pro", 2)):
            price = stripe.price(plan)
            database.execute("SELECT {s}.upsert_plan(%s)", (json.dumps({"id": plan, "rank": rank, "prices": [{"price_id": price["id"]}]}),))
        stripe.database = database
        yield stripe


def subscribed(shop, user, plan):
    """A user who has paid for a plan, whose customer was made by the database."""
    database = shop.database
    made = until(lambda: (found := database.value("SELECT {s}.get_or_create_stripe_customer(%s, %s)", (user, f"{user}@example.org")))["status"]
                 == "linked" and found, "a customer")
    shop.pay(shop.checkout(shop.price(plan), customer=made["stripe_customer_id"]))
    return settled(shop, user)


def settled(shop, user):
    """The state when everything that was wanted is done and told."""
    until(lambda: not shop.database.value("SELECT count(*) FROM {s}.stripe_requests WHERE finished_at IS NULL"), "requests performed")
    until(lambda: shop.state()["undelivered"] == 0, "all webhooks are acknowledged")
    until(lambda: shop.database.value("SELECT coalesce(bool_and(processed), true) FROM {s}.stripe_events"), "all events applied")
    return shop.database.state(user)


def ask(shop, statement, *parameters):
    reply = shop.database.value(f"SELECT {{s}}.{statement}", parameters)
    assert reply["success"], reply
    until(lambda: shop.database.value("SELECT finished_at FROM {s}.stripe_requests WHERE request_id = %s", (reply["request_id"],)), statement)
    row = shop.database.value("SELECT {s}.stripe_request(%s)", (reply["request_id"],))
    assert row["status"] == "succeeded", row
    return row


def as_stripe_has_it(shop):
    """The mirror's subscriptions and customers are Stripe's."""
    for row in shop.database.rows("SELECT object_type, object_id, object FROM {s}.stripe_objects WHERE object_type IN ('subscription', 'customer', 'invoice')"):
        assert shop.get(f"{row['object_type']}s/{row['object_id']}") == row["object"]
    assert shop.database.value("SELECT count(*) FROM {s}.stripe_objects WHERE ambiguous") == 0
    assert shop.database.rows("SELECT * FROM {s}.rebuild_billing_state()") == []


def test_a_subscription_is_ended_kept_changed_and_ended(shop):
    assert subscribed(shop, "ada", "basic")["plan"] == "basic"
    time.sleep(2.5)  # an answer is placed two seconds early, rather than too late
    ask(shop, "cancel_subscription('ada', true, '{\"feedback\": \"too_expensive\", \"comment\": \"too dear, for me\"}')")
    assert shop.database.state("ada")["state"] == "canceled"  # before any webhook is waited for
    details = shop.get("subscriptions")["data"][0]["cancellation_details"]
    assert (details["feedback"], details["comment"]) == ("too_expensive", "too dear, for me")
    ask(shop, "resume_subscription('ada')")
    assert settled(shop, "ada")["state"] == "active"
    preview = ask(shop, "change_subscription('ada', 'pro', options => '{\"preview\": true, \"proration_behavior\": \"always_invoice\"}')")
    assert preview["response"]["amount_due"] > 0 and preview["response"]["currency"] == "eur"
    assert settled(shop, "ada")["plan"] == "basic"
    ask(shop, "change_subscription('ada', 'pro', options => '{\"proration_behavior\": \"always_invoice\"}')")
    assert settled(shop, "ada")["plan"] == "pro"
    ask(shop, "cancel_subscription('ada', false)")
    state = settled(shop, "ada")
    assert not state["has_access"] and state["stripe_status"] == "canceled"
    assert shop.database.value("SELECT {s}.cancel_subscription('ada')")["status"] == "no_subscription"
    as_stripe_has_it(shop)


def test_a_downgrade_waits_for_the_periods_end(shop):
    subscribed(shop, "ada", "pro")
    ask(shop, "change_subscription('ada', 'basic', apply_when => 'period_end')")
    state = settled(shop, "ada")
    assert state["plan"] == "pro" and state["scheduled_change"]
    # Thought better of: the schedule goes.
    ask(shop, "change_subscription('ada', 'pro')")
    assert settled(shop, "ada")["scheduled_change"] is None
    ask(shop, "change_subscription('ada', 'basic', apply_when => 'period_end')")
    settled(shop, "ada")
    shop.steer("clock", seconds=32 * DAY)
    until(lambda: settled(shop, "ada")["plan"] == "basic", "the phase to come has come")
    as_stripe_has_it(shop)


def test_money_goes_back(shop):
    subscribed(shop, "ada", "pro")
    payment = shop.database.rows("SELECT payment_id, amount FROM {s}.payments")[0]
    ask(shop, "refund_payment('ada', %s, 900, '{\"reason\": \"requested_by_customer\", \"metadata\": {\"ticket\": \"7\"}}')", payment["payment_id"])
    settled(shop, "ada")
    assert shop.database.rows("SELECT status, amount_refunded FROM {s}.payments") == [{"status": "partially_refunded", "amount_refunded": 900}]
    ask(shop, "refund_payment('ada', %s)", payment["payment_id"])
    settled(shop, "ada")
    assert shop.database.rows("SELECT status, amount_refunded FROM {s}.payments") == [{"status": "refunded", "amount_refunded": payment["amount"]}]
    assert [refund["amount"] for refund in shop.get("refunds")["data"]] == [payment["amount"] - 900, 900]
    as_stripe_has_it(shop)


def test_usage_reaches_the_meter_once(shop):
    subscribed(shop, "ada", "pro")
    meter = shop.post("billing/meters", display_name="Calls", event_name="api_calls", default_aggregation={"formula": "sum"})
    database = shop.database
    database.execute("SELECT {s}.upsert_plan(%s)", (json.dumps({"id": "free", "default": True, "features": {"calls": {"limit": 100, "window": "month"}}}),))
    database.execute("SELECT {s}.set_user_entitlement('ada', 'calls', '{\"limit\": 1000, \"window\": \"lifetime\"}')")
    database.execute("SELECT {s}.set_stripe_meter('calls', 'api_calls', now() - interval '1 day')")
    for amount in (3, 4):
        assert database.value("SELECT {s}.use_feature('ada', 'calls', %s)", (amount,))["success"]
    database.execute("UPDATE {s}.usage_records SET created_at = created_at - interval '1 hour'")
    assert database.value("SELECT {s}.push_stripe_usage()") == 1
    settled(shop, "ada")
    assert database.value("SELECT status FROM {s}.stripe_requests WHERE purpose = 'push_stripe_usage'") == "succeeded"
    customer = database.value("SELECT stripe_customer_id FROM {s}.stripe_customer_links")
    now = shop.state()["now"]
    told = shop.get(f"billing/meters/{meter['id']}/event_summaries", customer=customer, start_time=now // 60 * 60 - DAY, end_time=now // 60 * 60)
    assert sum(part["aggregated_value"] for part in told["data"]) == 7
