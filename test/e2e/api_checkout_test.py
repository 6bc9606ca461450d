"""What users of an application's front end do, through the HTTP API and a simulated account: buy, look, change, leave."""
import concurrent.futures
import contextlib

import pytest

from harness.front_end import JWT_SECRET, KEY, ORIGIN, FrontEnd, token
from harness.simulated_stripe import SimulatedStripe
from harness.waiting import until
from harness.worker import SECRET


class Store:
    """A front end that sells what a simulated account has, and is told of what happens there."""

    def __init__(self, front_end, stripe):
        self.front_end, self.stripe, self.database = front_end, stripe, front_end.database
        self.post, self.get, self.ask = front_end.post, front_end.get, front_end.ask

    def delivered(self):
        until(lambda: self.stripe.state()["undelivered"] == 0, "all webhooks are acknowledged")

    def price(self, lookup_key):
        return self.stripe.price(lookup_key)["id"]

    def state(self, user="ada"):
        return self.get("subscription", user=user).json

    def buy(self, user="ada", **wanted):
        answer = self.post("checkout", wanted or {"plan": "pro", "cycle": "monthly"}, user=user)
        assert answer.status == 200, answer.text
        self.stripe.pay(answer.json)
        return answer.json

    def sessions(self):
        return self.stripe.everything("checkout/sessions")


@contextlib.contextmanager
def open_store(database, webhooks=True):
    """Without webhooks nothing is told of what happens from now on; the prices are known."""
    front_end = FrontEnd(database)
    stripe = SimulatedStripe(post=front_end.worker.webhook, secret=SECRET)
    front_end.worker.environment.update(stripe.environment)
    with front_end, stripe:
        store = Store(front_end, stripe)
        # What is sold is told of when it is touched.
        for price in stripe.everything("prices"):
            stripe.post(f"prices/{price['id']}", metadata={"seen": "yes"})
        store.delivered()
        pro = stripe.price("pro")
        [yearly] = [price for price in stripe.everything("prices", product=pro["product"]) if price["recurring"]["interval"] == "year"]
        database.execute("SELECT {s}.upsert_plan(jsonb_build_object('id', 'pro', 'trial_days', 14, 'rank', 1, 'features', '{\"export\": true}'::jsonb, 'prices',"
                         " jsonb_build_array(jsonb_build_object('price_id', %s, 'cycle', 'monthly'), jsonb_build_object('price_id', %s, 'cycle', 'yearly'))))", (pro["id"], yearly["id"]))
        database.execute("SELECT {s}.upsert_plan(jsonb_build_object('id', 'basic', 'prices', '[{\"lookup_key\": \"basic\", \"cycle\": \"monthly\"}]'::jsonb))")
        if not webhooks:
            stripe.steer("webhooks", deliver=False)
        yield store


@pytest.fixture
def store(database):
    with open_store(database.grant_since_ever()) as opened:
        yield opened


def test_from_checkout_to_the_end(store):
    assert store.get("authorize").told == (402, "payment_required")
    assert store.post("portal").told == (409, "no_customer")
    opened = store.post("checkout", {"plan_name": "pro", "billing_cycle": "monthly"}).json
    assert (opened["mode"], opened["trial_days"], opened["reused"]) == ("subscription", 14, False)
    session = store.stripe.get(f"checkout/sessions/{opened['session_id']}")
    assert session["client_reference_id"] == "ada" and session["metadata"]["user_id"] == "ada"
    assert session["success_url"] == f"{ORIGIN}/billing/success?session_id={{CHECKOUT_SESSION_ID}}" and session["cancel_url"] == f"{ORIGIN}/billing/canceled"
    assert store.stripe.pay(opened) == f"{ORIGIN}/billing/success?session_id={opened['session_id']}"
    store.delivered()
    state = store.state()
    assert (state["state"], state["plan"], state["has_access"]) == ("trialing", "pro", True)
    assert store.database.value("SELECT count(*) FROM {s}.trial_usage WHERE user_id = 'ada'") == 1
    assert store.get("authorize").status == 204 and store.get("authorize?feature=export").status == 204
    assert store.get("authorize?feature=none").told == (402, "payment_required")
    credits = store.get("credits").json
    assert credits["available"] == 25 and credits["transactions"][0]["type"] == "allocation"
    # Nobody buys a second one.
    again = store.post("checkout", {"plan": "basic", "cycle": "monthly"})
    assert again.told == (409, "already_subscribed") and again.json["error"]["state"] == "trialing"
    # The trial is over, and paid for.
    store.stripe.steer("clock", seconds=14 * 86400 + 7200)
    store.delivered()
    # An event that finds its user busy takes effect within a second or two.
    invoices = until(lambda: [invoice for invoice in store.get("invoices").json["data"] if invoice["amount_paid"] == 2900] and store.get("invoices").json["data"], "paid")
    assert invoices[0]["status"] == "paid"
    page = store.get("invoices?limit=1").json
    assert page["has_more"] == (len(invoices) > 1) and page["data"] == invoices[:1]
    payments = store.get("payments").json["data"]
    assert [payment["amount"] for payment in payments] == [2900]
    # The portal, where it is cancelled.
    portal = store.post("portal", {"return_url": "/account"}).json
    assert portal["url"] == portal["portal_url"]
    subscription = state["stripe_subscription_id"]
    store.stripe.submit(portal["url"], action="cancel_at_period_end", subscription=subscription)
    store.delivered()
    assert store.state()["cancel_at_period_end"] is True
    store.stripe.submit(portal["url"], action="cancel_now", subscription=subscription)
    store.delivered()
    # By the account's clock, which has gone ahead of ours.
    assert store.state()["stripe_status"] == "canceled"
    store.database.execute("UPDATE {s}.user_subscriptions SET ended_at = now() - interval '1 minute', canceled_at = now() - interval '1 minute'")
    store.database.execute("SELECT {s}.update_subscription_cache('ada')")
    assert (store.state()["state"], store.state()["has_access"]) == ("expired", False)
    # Who comes back has had his trial.
    refused = store.post("checkout", {"plan": "pro", "cycle": "monthly", "trial": True})
    assert refused.told == (409, "trial_not_available")
    assert store.post("checkout", {"plan": "pro", "cycle": "monthly"}).json["trial_days"] == 0
    said = store.front_end.worker.text()
    for secret in (KEY, JWT_SECRET, SECRET, store.stripe.key, token("ada").split(".")[2]):
        assert secret not in said


def test_one_checkout_is_open_at_a_time(store):
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: store.post("checkout", {"plan": "pro", "cycle": "monthly"}), range(4)))
    assert {answer.status for answer in answers} == {200}
    assert len({answer.json["url"] for answer in answers}) == 1
    assert [session["status"] for session in store.sessions()] == ["open"]
    assert len(store.stripe.everything("customers")) == 1
    first = answers[0].json
    assert store.post("checkout", {"plan": "pro", "cycle": "monthly"}).json == {**first, "reused": True, "expires_at": store.post("checkout", {"plan": "pro", "cycle": "monthly"}).json["expires_at"]}
    # Another one replaces it.
    other = store.post("checkout", {"plan": "basic", "cycle": "monthly"}).json
    assert {session["id"]: session["status"] for session in store.sessions()} == {first["session_id"]: "expired", other["session_id"]: "open"}
    assert store.stripe.pay(first) != "" and store.state()["state"] == "no_subscription"
    # Somebody else's is his own.
    assert store.post("checkout", {"plan": "pro", "cycle": "monthly"}, user="bob").json["session_id"] not in (first["session_id"], other["session_id"])


def test_different_checkouts_at_once_leave_one_open(store):
    wanted = [{"plan": "pro", "cycle": "monthly"}, {"plan": "pro", "cycle": "yearly"}, {"plan": "basic", "cycle": "monthly"}]
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(lambda body: store.post("checkout", body), wanted))
    assert {answer.status for answer in answers} <= {200, 409} and 200 in {answer.status for answer in answers}
    assert all(answer.code == "checkout_superseded" for answer in answers if answer.status == 409)
    assert [session["status"] for session in store.sessions()].count("open") == 1


def test_what_was_paid_meanwhile_is_not_bought_again(database):
    """The webhook is late: the session that was to be replaced tells of it."""
    with open_store(database, webhooks=False) as store:
        opened = store.post("checkout", {"plan": "pro", "cycle": "monthly", "trial": False}).json
        store.stripe.pay(opened)
        assert store.state()["state"] == "no_subscription"
        assert store.post("checkout", {"plan": "basic", "cycle": "monthly"}).told == (409, "already_subscribed")
        assert store.state()["state"] == "active"


def test_the_success_page_knows_at_once(database):
    with open_store(database, webhooks=False) as store:
        opened = store.post("checkout", {"plan": "pro", "cycle": "monthly"}).json
        early = store.get(f"subscription?session_id={opened['session_id']}").json
        assert early["state"] == "no_subscription" and early["checkout_session"]["status"] == "open"
        store.stripe.pay(opened)
        # Somebody else's session is none, and tells nothing.
        for session_id in (opened["session_id"], "cs_test_none", "in_1", "cs_../customers", ""):
            answer = store.get(f"subscription?session_id={session_id}", user="mallory")
            assert (answer.told == (422, "unknown_session")) if session_id else answer.json["state"] == "no_subscription", session_id
        assert store.database.value("SELECT count(*) FROM {s}.user_subscriptions") == 0
        shown = store.get(f"subscription?session_id={opened['session_id']}").json
        assert (shown["state"], shown["plan"]) == ("trialing", "pro")
        assert shown["checkout_session"]["status"] == "complete"
        assert store.database.value("SELECT count(*) FROM {s}.trial_usage WHERE user_id = 'ada'") == 1
        assert not store.database.rows("SELECT * FROM {s}.rebuild_billing_state()")
        # From here on nobody has to be asked; it is still his alone.
        store.stripe.steer("faults", kind="error", path=f"/v1/checkout/sessions/{opened['session_id']}", times=100)
        assert store.get(f"subscription?session_id={opened['session_id']}").json["checkout_session"]["status"] == "complete"
        assert store.get(f"subscription?session_id={opened['session_id']}", user="mallory").told == (422, "unknown_session")



def test_cancel_resume_and_change(store):
    store.buy(plan="pro", cycle="monthly", trial=False)
    store.delivered()
    ended = store.post("cancel", {"feedback": "too_expensive", "comment": "Too much"})
    assert (ended.status, ended.json["status"]) == (200, "succeeded"), ended.text
    assert (ended.json["subscription"]["state"], ended.json["subscription"]["has_access"]) == ("canceled", True)
    assert store.post("cancel").json["status"] == "already_ending"
    again = store.post("resume").json
    assert (again["status"], again["subscription"]["state"]) == ("succeeded", "active")
    assert store.post("resume").json["status"] == "not_ending"
    preview = store.post("change", {"plan": "pro", "cycle": "yearly", "preview": True}).json
    assert preview["preview"]["amount_due"] > 0 and preview["preview"]["lines"] and preview["subscription"]["price_id"] == again["subscription"]["price_id"]
    changed = store.post("change", {"plan": "pro", "cycle": "yearly"})
    assert changed.status == 200, changed.text
    assert changed.json["subscription"]["price_id"] != again["subscription"]["price_id"]
    assert store.post("change", {"plan": "pro", "cycle": "yearly"}).json["status"] == "unchanged"
    assert store.post("change", {"quantity": 3}).json["subscription"]["quantity"] == 3
    gone = store.post("cancel", {"at_period_end": False}).json
    assert (gone["subscription"]["state"], gone["subscription"]["has_access"]) == ("expired", False)
    store.delivered()
    assert store.state()["state"] == "expired"


def test_a_pack_of_credits(store):
    pack = store.stripe.post("prices", currency="eur", unit_amount=500, product_data={"name": "Hundred credits"}, metadata={"credits": "100"})
    store.delivered()
    store.buy(price=pack["id"], quantity=2)
    store.delivered()
    assert store.get("credits").json["available"] == 200
    [payment] = store.get("payments").json["data"]
    assert (payment["amount"], payment["status"]) == (1000, "completed")


def test_payments_can_be_switched_off(store):
    store.buy(user="bob", plan="pro", cycle="monthly", trial=False)
    store.delivered()
    store.database.execute("SELECT {s}.set_billing_setting('accept_payments', 'off', 'sale is over')")
    answer = store.post("checkout", {"plan": "pro", "cycle": "monthly"})
    assert answer.told == (503, "payments_off") and "retry-after" in answer.headers
    # Webhooks go on, and so does everything else.
    store.stripe.steer("clock", seconds=31 * 86400)
    store.delivered()
    assert store.state("bob")["state"] == "active" and store.post("cancel", user="bob").status == 200
