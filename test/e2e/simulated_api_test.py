"""The simulated account as a Stripe to test against: what API calls, payers and the passing of time make of it."""
import concurrent.futures
import http.client
import time
import urllib.parse

import pytest

from harness.simulated_stripe import Refused, SimulatedStripe
from harness.waiting import until
from harness.worker import SECRET

DAY = 86400


@pytest.fixture
def stripe():
    with SimulatedStripe() as running:
        yield running


@pytest.fixture
def told(database, workers):
    """The account together with a worker that receives its webhooks."""
    worker = workers(database)
    with SimulatedStripe(post=worker.webhook, secret=SECRET) as running:
        yield running


def all_delivered(stripe, database):
    """And in effect: events of one customer that arrive together may have to wait for each other for a moment."""
    until(lambda: stripe.state()["undelivered"] == 0, "all webhooks are acknowledged")
    until(lambda: database.value("SELECT count(*) FROM {s}.stripe_events WHERE NOT processed") == 0, "all events have taken effect")


def types(stripe, **bounds):
    """Of the events, oldest first."""
    return [event["type"] for event in reversed(stripe.everything("events", **bounds))]


def test_a_checkout_is_paid_and_the_state_is_active(database, told):
    session = told.checkout(told.price("pro"), client_reference_id="ada", subscription_data={"metadata": {"plan": "pro"}})
    assert session["status"] == "open" and session["url"].startswith(told.url)
    status, _, page = told.request("GET", urllib.parse.urlsplit(session["url"]).path)
    assert status == 200 and "29.00 eur" in page and 'href="https://shop.example/cancel"' in page
    assert told.pay(session) == f"https://shop.example/thanks?session_id={session['id']}"
    all_delivered(told, database)
    state = database.state("ada")
    assert state["state"] == "active" and state["has_access"] and not state["ambiguous"]
    paid = told.get(f"checkout/sessions/{session['id']}", expand=["line_items", "subscription.latest_invoice", "customer"])
    assert (paid["status"], paid["payment_status"], paid["url"]) == ("complete", "paid", None)
    assert paid["customer"]["email"] == "payer@example.org"
    subscription = paid["subscription"]
    assert subscription["status"] == "active" and subscription["metadata"] == {"plan": "pro"}
    period = subscription["items"]["data"][0]
    assert 27 * DAY < period["current_period_end"] - period["current_period_start"] < 32 * DAY
    assert (subscription["latest_invoice"]["status"], subscription["latest_invoice"]["amount_paid"]) == ("paid", 2900)
    assert paid["line_items"]["data"][0]["price"]["lookup_key"] == "pro"
    happened = types(told)
    assert {"customer.created", "payment_method.attached", "customer.subscription.created", "invoice.paid", "charge.succeeded",
            "payment_intent.succeeded", "invoice.payment_succeeded", "invoice_payment.paid"} <= set(happened)
    assert happened[-1] == "checkout.session.completed"
    # The mirror holds what the API answers, without having asked.
    for row in database.rows("SELECT object_type, object_id, object FROM {s}.stripe_objects WHERE object_type IN ('subscription', 'invoice', 'customer', 'charge')"):
        assert told.get(f"{row['object_type']}s/{row['object_id']}") == row["object"]
    assert told.pay(session) == "This session is no longer open."


def test_a_trial_costs_nothing_and_ends_in_time(database, told):
    told.pay(told.checkout(told.price("basic"), client_reference_id="ada", subscription_data={"trial_period_days": 7}))
    all_delivered(told, database)
    assert database.state("ada")["state"] == "trialing"
    subscription = told.get("subscriptions")["data"][0]
    assert told.get(f"invoices/{subscription['latest_invoice']}")["amount_paid"] == 0
    told.steer("clock", seconds=7 * DAY + 7200)
    assert told.get(f"subscriptions/{subscription['id']}")["status"] == "active"
    assert {"customer.subscription.trial_will_end", "invoice.payment_succeeded"} <= set(types(told, created={"gt": subscription["created"] + DAY}))
    all_delivered(told, database)
    assert database.state("ada")["state"] == "active"


def test_a_one_time_payment(stripe):
    price = stripe.post("prices", currency="usd", unit_amount=500, product_data={"name": "Hundred credits"}, metadata={"credits": "100"})
    with pytest.raises(Refused, match="recurring price"):
        stripe.checkout(price)
    session = stripe.checkout(price, mode="payment", customer_creation="always", metadata={"pack": "small"})
    assert stripe.submit(session["url"], action="decline", email="a@example.org") == "Your card was declined."
    assert stripe.pay(session).endswith(session["id"])
    paid = stripe.get(f"checkout/sessions/{session['id']}", expand=["payment_intent.latest_charge"])
    assert paid["payment_status"] == "paid" and paid["metadata"] == {"pack": "small"} and paid["currency"] == "usd"
    assert paid["payment_intent"]["latest_charge"]["amount"] == 500 and paid["customer"].startswith("cus_")
    assert "charge.failed" in types(stripe)


def test_the_portal_cancels_and_keeps(database, told):
    told.pay(told.checkout(told.price("pro"), client_reference_id="ada"))
    subscription = told.get("subscriptions")["data"][0]
    portal = told.post("billing_portal/sessions", customer=subscription["customer"], return_url="https://shop.example/account")
    page = told.request("GET", urllib.parse.urlsplit(portal["url"]).path)[2]
    assert subscription["id"] in page and 'href="https://shop.example/account"' in page
    assert told.submit(portal["url"], subscription=subscription["id"], action="cancel_at_period_end") == portal["url"]
    all_delivered(told, database)
    assert database.state("ada")["cancel_at_period_end"] and database.state("ada")["has_access"]
    told.submit(portal["url"], subscription=subscription["id"], action="resume")
    all_delivered(told, database)
    assert not database.state("ada")["cancel_at_period_end"]
    told.submit(portal["url"], subscription=subscription["id"], action="cancel_now")
    all_delivered(told, database)
    assert not database.state("ada")["has_access"]
    assert told.get("subscriptions")["data"] == []
    assert [one["status"] for one in told.get("subscriptions", status="all")["data"]] == ["canceled"]


def test_webhooks_that_are_lost_are_listed_and_come_only_when_asked_for(database, told):
    told.pay(told.checkout(told.price("pro"), client_reference_id="ada"))
    all_delivered(told, database)
    assert told.get("events", delivery_success=False)["data"] == []
    told.steer("webhooks", deliver=False)
    subscription = told.get("subscriptions")["data"][0]
    told.delete(f"subscriptions/{subscription['id']}")
    told.steer("webhooks", deliver=True)
    lost = told.get("events", delivery_success=False)["data"]
    assert [(event["type"], event["pending_webhooks"]) for event in lost] == [("customer.subscription.deleted", 1)]
    assert told.get("events", delivery_success=True, types=["customer.subscription.*"])["data"][0]["type"] != "customer.subscription.deleted"
    time.sleep(0.5)
    assert database.state("ada")["has_access"]
    assert told.steer("webhooks", resend=True)["sent_again"] == 1
    all_delivered(told, database)
    assert not database.state("ada")["has_access"]


def test_an_account_renews_and_declines_as_time_passes(database, told):
    told.pay(told.checkout(told.price("pro"), client_reference_id="ada"))
    subscription = told.get("subscriptions")["data"][0]
    told.steer("clock", seconds=32 * DAY)
    invoices = told.get("invoices", subscription=subscription["id"])["data"]
    assert [(one["billing_reason"], one["status"]) for one in invoices] == [("subscription_cycle", "paid"), ("subscription_create", "paid")]
    told.steer("cards", customer=subscription["customer"])
    told.steer("clock", seconds=31 * DAY)
    assert told.get(f"subscriptions/{subscription['id']}")["status"] == "past_due"
    latest = told.get("invoices", subscription=subscription["id"])["data"][0]
    with pytest.raises(Refused) as refused:
        told.post(f"invoices/{latest['id']}/pay")
    assert (refused.value.status, refused.value.error["type"], refused.value.error["code"]) == (402, "card_error", "card_declined")
    told.steer("cards", customer=subscription["customer"], decline=False)
    assert told.post(f"invoices/{latest['id']}/pay")["status"] == "paid"
    assert told.get(f"subscriptions/{subscription['id']}")["status"] == "active"
    all_delivered(told, database)
    state = database.state("ada")
    assert state["state"] == "active" and not state["ambiguous"]


def test_changes_of_a_subscription(stripe):
    stripe.pay(stripe.checkout(stripe.price("basic")))
    subscription = stripe.get("subscriptions")["data"][0]
    path, item = f"subscriptions/{subscription['id']}", subscription["items"]["data"][0]["id"]
    change = {"items": [{"id": item, "price": stripe.price("scale")["id"]}], "proration_behavior": "always_invoice"}
    preview = stripe.post("invoices/create_preview", subscription=subscription["id"], subscription_details=change)
    assert [line["amount"] for line in preview["lines"]["data"]] == [-900, 9900] and preview["amount_due"] == 9000
    changed = stripe.post(path, change)
    assert changed["items"]["data"][0]["price"]["lookup_key"] == "scale"
    invoice = stripe.get(f"invoices/{changed['latest_invoice']}")
    assert (invoice["billing_reason"], invoice["amount_paid"]) == ("subscription_update", 9000)
    assert stripe.post(path, items=[{"id": item, "quantity": 3}], metadata={"a": "b"})["quantity"] == 3
    ending = stripe.post(path, cancel_at_period_end=True)
    assert ending["cancel_at"] == ending["items"]["data"][0]["current_period_end"] and ending["metadata"] == {"a": "b"}
    assert stripe.post(path, cancel_at_period_end=False, metadata="")["cancel_at"] is None
    # Later, by a schedule.
    schedule = stripe.post("subscription_schedules", from_subscription=subscription["id"])
    with pytest.raises(Refused, match="managed by the subscription schedule"):
        stripe.post(path, cancel_at_period_end=True)
    now = schedule["phases"][0]
    phases = [{"items": [{"price": stripe.price("scale")["id"], "quantity": 3}], "start_date": now["start_date"], "end_date": now["end_date"]},
              {"items": [{"price": stripe.price("basic")["id"], "quantity": 1}], "iterations": 1}]
    stripe.post(f"subscription_schedules/{schedule['id']}", phases=phases, end_behavior="release")
    stripe.steer("clock", seconds=32 * DAY)
    assert stripe.get(path)["items"]["data"][0]["price"]["lookup_key"] == "basic"
    assert stripe.post(f"subscription_schedules/{schedule['id']}/release")["released_subscription"] == subscription["id"]
    assert stripe.delete(path)["status"] == "canceled"
    with pytest.raises(Refused, match="No such subscription"):
        stripe.delete(path)


def test_refunds_are_never_more_than_was_paid(stripe):
    stripe.pay(stripe.checkout(stripe.price("pro")))
    charge = stripe.get("charges")["data"][0]
    first = stripe.post("refunds", charge=charge["id"], amount=900, metadata={"why": "late"})
    assert (first["status"], first["amount"], first["metadata"]) == ("succeeded", 900, {"why": "late"})
    with pytest.raises(Refused, match="greater than unrefunded amount"):
        stripe.post("refunds", charge=charge["id"], amount=2001)
    stripe.post("refunds", payment_intent=charge["payment_intent"])
    charge = stripe.get(f"charges/{charge['id']}")
    assert charge["refunded"] and charge["amount_refunded"] == 2900
    with pytest.raises(Refused) as refused:
        stripe.post("refunds", charge=charge["id"])
    assert refused.value.error["code"] == "charge_already_refunded"
    assert len(stripe.get("refunds", charge=charge["id"])["data"]) == 2


def test_the_same_key_is_one_effect(stripe):
    first, headers = stripe.call("POST", "customers", {"email": "ada@example.org"}, key="one")
    again, replayed = stripe.call("POST", "customers", {"email": "ada@example.org"}, key="one")
    assert first == again and "Idempotent-Replayed" not in headers and replayed["Idempotent-Replayed"] == "true"
    for path, values in (("customers", {"email": "other@example.org"}), ("products", {"name": "x"})):
        with pytest.raises(Refused) as refused:
            stripe.post(path, values, key="one")
        assert (refused.value.status, refused.value.error["type"]) == (400, "idempotency_error")
    # What was refused was not begun: the key is still free.
    with pytest.raises(Refused):
        stripe.post("customers", {"unheard_of": 1}, key="two")
    stripe.post("customers", {"name": "Ada"}, key="two")
    stripe.steer("faults", kind="slow", seconds=1, path="/v1/customers")
    with concurrent.futures.ThreadPoolExecutor() as threads:
        slow = threads.submit(stripe.post, "customers", {"name": "Bo"}, "three")
        time.sleep(0.3)
        with pytest.raises(Refused) as refused:
            stripe.post("customers", {"name": "Bo"}, key="three")
        assert (refused.value.status, refused.value.error["code"]) == (409, "idempotency_key_in_use")
        assert stripe.post("customers", {"name": "Bo"}, key="four")["id"] != slow.result()["id"]
    # A day later the key is forgotten.
    stripe.steer("clock", seconds=DAY + 1)
    assert stripe.post("customers", {"email": "ada@example.org"}, key="one")["id"] != first["id"]


def test_faults_on_request(stripe):
    stripe.steer("faults", kind="lost", method="POST", path="/v1/customers")
    with pytest.raises((OSError, http.client.HTTPException)):
        stripe.post("customers", {"name": "Ada"}, key="k")
    kept = stripe.get("customers")["data"]
    assert [one["name"] for one in kept] == ["Ada"]
    assert stripe.post("customers", {"name": "Ada"}, key="k")["id"] == kept[0]["id"]
    stripe.steer("faults", kind="broken")
    with pytest.raises((OSError, http.client.HTTPException)):
        stripe.post("customers", {"name": "Bo"})
    stripe.steer("faults", kind="rate_limit", seconds=3)
    with pytest.raises(Refused) as refused:
        stripe.post("customers", {"name": "Bo"})
    assert refused.value.status == 429 and refused.value.headers["Retry-After"] == "3"
    stripe.steer("faults", kind="error")
    with pytest.raises(Refused, match="500"):
        stripe.get("customers")
    assert len(stripe.get("customers")["data"]) == 1


def test_errors_say_what_stripe_says(stripe):
    cases = [("GET", "customers/cus_none", {}, 404, "resource_missing", "id"),
             ("POST", "customers", {"colour": "red"}, 400, "parameter_unknown", "colour"),
             ("POST", "checkout/sessions", {"mode": "subscription"}, 400, "parameter_missing", "line_items"),
             ("POST", "checkout/sessions", {"mode": "subscription", "line_items": [{"price": "price_none"}]}, 400, "resource_missing", "line_items[0][price]"),
             ("POST", "refunds", {"charge": "ch_none", "amount": "x"}, 400, "resource_missing", "charge"),
             ("POST", "prices", {"currency": "eur", "product": "prod_none", "unit_amount": "1.5"}, 400, "parameter_invalid_integer", "unit_amount"),
             ("GET", "tea_pots", {}, 404, None, None)]
    for method, path, values, status, code, param in cases:
        with pytest.raises(Refused) as refused:
            stripe.call(method, path, values)
        error = refused.value.error
        assert (refused.value.status, error.get("code"), error.get("param"), error["type"]) == (status, code, param, "invalid_request_error")
        assert refused.value.headers["Request-Id"].startswith("req_") and "GMT" in refused.value.headers["Date"]


def test_products_prices_and_their_lookup_keys(stripe):
    product = stripe.post("products", name="Team", metadata={"credits": "5"})
    old = stripe.post("prices", product=product["id"], currency="usd", unit_amount=700, recurring={"interval": "month"}, lookup_key="team")
    with pytest.raises(Refused, match="already uses that lookup key"):
        stripe.post("prices", product=product["id"], currency="usd", unit_amount=800, recurring={"interval": "month"}, lookup_key="team")
    new = stripe.post("prices", product=product["id"], currency="usd", unit_amount=800, recurring={"interval": "month"}, lookup_key="team",
                      transfer_lookup_key=True)
    assert stripe.price("team")["id"] == new["id"] and stripe.get(f"prices/{old['id']}")["lookup_key"] is None
    assert stripe.post(f"prices/{old['id']}", active=False)["active"] is False
    assert [one["id"] for one in stripe.get("prices", product=product["id"], active=True)["data"]] == [new["id"]]
    with pytest.raises(Refused, match="inactive"):
        stripe.checkout(old)


def test_usage_is_counted_once(stripe):
    customer = stripe.post("customers", name="Ada")
    meter = stripe.post("billing/meters", display_name="Calls", event_name="calls", default_aggregation={"formula": "sum"})
    now = stripe.state()["now"]
    usage = {"event_name": "calls", "payload": {"stripe_customer_id": customer["id"], "value": "3"}, "timestamp": now - 60}
    assert stripe.post("billing/meter_events", usage, identifier="hour 1")["identifier"] == "hour 1"
    codes = []
    for change in ({"identifier": "hour 1"}, {"timestamp": now - 36 * DAY}, {"timestamp": now + 400}, {"event_name": "none"}):
        with pytest.raises(Refused) as refused:
            stripe.post("billing/meter_events", {**usage, **change})
        codes.append(refused.value.error["code"])
    assert codes == ["duplicate_meter_event", "timestamp_too_far_in_past", "timestamp_in_future", "no_meter"]
    used = stripe.get(f"billing/meters/{meter['id']}/event_summaries", customer=customer["id"], start_time=now - 3600, end_time=now)
    assert used["data"][0]["aggregated_value"] == 3


def test_endpoints_are_told_what_they_ask_for(database, workers, stripe):
    worker = workers(database)
    endpoint = stripe.post("webhook_endpoints", url=worker.webhook, enabled_events=["customer.created"], metadata={"owner": "pg_billing"})
    assert endpoint["secret"].startswith("whsec_") and "secret" not in stripe.get(f"webhook_endpoints/{endpoint['id']}")
    stripe.post(f"webhook_endpoints/{endpoint['id']}", disabled=True)
    stripe.post("customers", name="unseen")
    stripe.post(f"webhook_endpoints/{endpoint['id']}", disabled=False)
    customer = stripe.post("customers", name="seen")
    # The worker has another secret: it is refused, and stays undelivered.
    lost = until(lambda: stripe.get("events", delivery_success=False)["data"])
    assert [event["data"]["object"]["id"] for event in lost] == [customer["id"]]
    assert stripe.delete(f"webhook_endpoints/{endpoint['id']}")["deleted"]
    assert stripe.get("events", delivery_success=False)["data"] == [] and stripe.get("webhook_endpoints")["data"] == []


def test_the_account_and_the_portals_settings(stripe):
    assert stripe.get("account")["charges_enabled"]
    stripe.steer("account", charges_enabled=False)
    assert not stripe.get("account")["charges_enabled"]
    default = stripe.get("billing_portal/configurations")["data"][0]
    assert default["is_default"] and default["features"]["subscription_cancel"]["enabled"]
    made = stripe.post("billing_portal/configurations", features={"invoice_history": {"enabled": True}}, business_profile={"headline": "Hello"})
    assert made["features"]["invoice_history"]["enabled"] and not made["features"]["subscription_cancel"]["enabled"]
    assert not stripe.post(f"billing_portal/configurations/{made['id']}", active=False)["active"]
    customer = stripe.post("customers", name="Ada")["id"]
    stripe.steer("entitlements", customer=customer, lookup_keys=[f"feature_{i}" for i in range(12)])
    entitled = stripe.everything("entitlements/active_entitlements", customer=customer, limit=5)
    assert len(entitled) == 12 and set(entitled[0]) == {"id", "object", "feature", "livemode", "lookup_key"}


def test_lists_page_by_page_in_both_directions():
    with SimulatedStripe(customers=40) as stripe:
        all_of_them = [one["id"] for one in stripe.everything("invoices", limit=7)]
        assert len(all_of_them) == len(set(all_of_them)) > 40
        page = stripe.get("invoices", ending_before=all_of_them[10], limit=4)
        assert [one["id"] for one in page["data"]] == all_of_them[6:10] and page["has_more"]
        some = stripe.get("subscriptions", status="all", limit=1)["data"][0]
        of_one = stripe.everything("subscriptions", customer=some["customer"], status="all")
        assert some["id"] in [one["id"] for one in of_one] and {one["customer"] for one in of_one} == {some["customer"]}
        # What the history made goes on: whoever paid is renewed.
        running = stripe.get("subscriptions", status="active", limit=100)["data"]
        stripe.steer("clock", seconds=33 * DAY)
        ends = [(one["items"]["data"][0]["current_period_end"], stripe.get(f"subscriptions/{one['id']}")) for one in running]
        assert running and all(now["status"] != "active" or now["items"]["data"][0]["current_period_end"] > end or end > stripe.state()["now"]
                               for end, now in ends)
