"""A shop that sells credits by subscription (examples/credits.sql), through HTTP and SQL: subscribing, renewing, using
credits for work that may fail, cancelling."""
import contextlib
import dataclasses
import itertools
import time

import pytest

from harness import objects
from harness.examples import Backend, run_example
from harness.life import Life, event, flat
from harness.objects import DAY, MONTH, NEW, OLD

NOW = int(time.time())
INDIVIDUAL = objects.Price("price_1individual", 999, "prod_individual", "Individual, monthly", currency="usd",
                           lookup_key="individual_monthly")
TEAM = dataclasses.replace(INDIVIDUAL, id="price_1team", unit_amount=2999, product="prod_team", lookup_key="team_monthly")
INVOICE_RECEIVED = """-- Check if webhook received
SELECT * FROM stripe_events
WHERE object_id = 'in_ada_1'  -- Invoice ID
  AND event_type = 'invoice.payment_succeeded';"""
INVOICE_CREDITED = """-- Check credit transactions
SELECT *
FROM credit_transactions
WHERE metadata->>'invoice_id' = 'in_ada_1';"""
GIVE_BY_HAND = """SELECT public.add_subscription_credits(
  'cus_ada',
  'in_ada_1',
  'sub_ada',
  30,
  'Manual credit allocation - missed webhook'
);"""
EVENT_PROCESSED = """SELECT processed, error, created_at
FROM stripe_events
WHERE stripe_event_id = %s;"""


class Shop(Backend):
    """What the service's back end does, as the role that the example made for it."""

    def __init__(self, database, worker):
        super().__init__(database, worker)
        database.execute("""CREATE TABLE stories (user_id text, title text, transaction_id bigint, failed boolean);
                            GRANT ALL ON stories TO billing_app""")

    def state(self, user, as_of=None):
        return self.asks("SELECT get_user_subscription_state(%s, %s)", user, as_of)

    def credits(self, user):
        return self.asks("SELECT get_credit_balance(%s)", user)["available"]

    def writes_story(self, user, title, price=5):
        """What POST /stories/generate-with-credits begins with: charge and keep the story, or neither."""
        self.application.autocommit = False
        try:
            with self.application:
                charged = self.asks("SELECT use_credits_validated(%s, %s, %s, idempotency_key => %s)", user, price, title,
                                    f"story:{title}")
                if charged["success"]:
                    self.database.execute("INSERT INTO stories VALUES (%s, %s, %s)",
                                          (user, title, charged["transaction_id"]), self.application)
        finally:
            self.application.autocommit = True
        return charged

    def fails(self, user, transaction_id):
        """Making the story did not work."""
        return self.asks("""WITH failed AS (UPDATE stories SET failed = true
                                             WHERE user_id = %s AND transaction_id = %s RETURNING *)
                            SELECT refund_credits(user_id, transaction_id) FROM failed""", user, transaction_id)

    def ledger(self, user):
        return [(row["transaction_type"], row["amount"], row["balance_after"])
                for row in self.database.rows("SELECT * FROM credit_statement(%s)", (user,), self.application)]


@pytest.fixture
def shop(database, worker):
    run_example(database, "credits", administrator=True, grants_since="2020-01-01T00:00:00Z")
    shop = Shop(database, worker)
    with contextlib.closing(shop.application):
        yield shop
    assert database.unsound_credits() == []


def subscribed(name, price=INDIVIDUAL, **options):
    """Somebody who has been through the checkout: in the order in which Stripe sends it, the session last."""
    life = Life(name, items=((price, 1),), **{"start": NOW - 600, **options})
    return life, flat([life.customer_created(), life.subscribed(), life.first_invoice(),
                       life.checkout_completed(f"user_{name}")])


# Test scenario 1: new user subscription.
@pytest.mark.parametrize("version", [OLD, NEW])
def test_a_new_user_subscribes(shop, version):
    assert shop.state("user_ada")["reason"] == "no_subscription" and shop.state("user_ada")["can_purchase"] is True
    wanted = shop.asks("SELECT get_or_create_stripe_customer('user_ada', 'ada@example.org')")
    assert (wanted["status"], wanted["stripe_customer_id"]) == ("creating", None)
    life, events = subscribed("ada", api_version=version)
    started = time.monotonic()
    shop.happens(events)
    state, credits = shop.state("user_ada"), shop.credits("user_ada")
    assert time.monotonic() - started < 2 * len(events)
    # Webhooks received and processed.
    for told in events:
        (row,) = shop.database.rows(EVENT_PROCESSED, (told["id"],))
        assert (row["processed"], row["error"]) == (True, None)
    # Cache updated, credits allocated.
    assert (state["state"], state["has_access"], state["plan"], state["cached"]) == ("active", True, "individual", True)
    assert shop.database.rows("SELECT status, has_access FROM subscription_cache WHERE user_id = 'user_ada'") == [
        {"status": "active", "has_access": True}]
    assert credits == 30 and state["credits"]["available"] == 30
    assert shop.asks("SELECT get_or_create_stripe_customer('user_ada', NULL)")["stripe_customer_id"] == "cus_ada"


@pytest.mark.parametrize("version", [OLD, NEW])
def test_webhooks_in_any_order_come_to_the_same(shop, version):
    for number, order in enumerate(list(itertools.permutations(range(5)))[::17]):
        name = f"ada{number}"
        _, events = subscribed(name, api_version=version)
        shop.happens([events[place] for place in order])
        for _ in range(50):
            if shop.database.value("SELECT count(*) FROM stripe_events WHERE NOT processed") == 0:
                break
            time.sleep(0.1)
        state = shop.state(f"user_{name}")
        assert (state["state"], state["plan"], state["credits"]["available"]) == ("active", "individual", 30), order


def test_the_products_metadata_decides_before_the_plan(shop):
    """The plan's credits are for products that say nothing; where one does, that counts."""
    told = objects.product("prod_team", "Team Plan", metadata={"credits": "250"})
    shop.happens(event("evt_product", "product.created", told, NOW - 5000))
    (ada, first), (bob, second) = subscribed("ada", TEAM), subscribed("bob", INDIVIDUAL)
    shop.happens(first, second)
    assert (shop.credits("user_ada"), shop.credits("user_bob")) == (250, 30)
    assert (shop.state("user_ada")["plan"], shop.state("user_bob")["plan"]) == ("team", "individual")


# Test scenario 2: monthly renewal.
def test_a_month_later_credits_come_anew(shop):
    life, events = subscribed("ada", start=NOW - MONTH - 600)
    shop.happens(events)
    life.clock = NOW - 300
    shop.happens(life.renewed())
    # Allocated once, though two events tell of the payment; what was left of the first month is over.
    assert shop.ledger("user_ada") == [("allocation", 30, 30), ("allocation", 30, 60), ("expiry", -30, 30)]
    assert shop.credits("user_ada") == 30
    # The activity log: both payments.
    assert shop.database.rows("SELECT subject FROM audit_logs WHERE user_id = 'user_ada' AND action = 'payment_succeeded'"
                              " ORDER BY subject") == [{"subject": "in_ada_1"}, {"subject": "in_ada_2"}]
    assert shop.database.rows("SELECT amount FROM credit_transactions WHERE metadata ->> 'invoice_id' = 'in_ada_2'") == [
        {"amount": 30}]
    shop.happens(life.events)
    assert shop.credits("user_ada") == 30


# Test scenario 3: credit usage.
def test_a_story_is_charged_and_given_back_when_it_fails(shop):
    shop.happens(subscribed("ada")[1])
    owl = shop.writes_story("user_ada", "The owl")
    assert (owl["status"], owl["charged"], owl["available"]) == ("charged", 5, 25)
    # The request is sent again after a lost answer: the same story, charged once.
    assert shop.writes_story("user_ada", "The owl") == owl and shop.credits("user_ada") == 25
    fox = shop.writes_story("user_ada", "The fox")
    back = shop.fails("user_ada", fox["transaction_id"])
    assert (back["status"], back["refunded"], back["available"]) == ("refunded", 5, 25)
    assert shop.fails("user_ada", fox["transaction_id"])["status"] == "already_refunded"
    assert shop.ledger("user_ada") == [("allocation", 30, 30), ("usage", -5, 25), ("usage", -5, 20), ("refund", 5, 25)]


def test_who_may_not_is_told_why_and_pays_nothing(shop):
    refused = shop.writes_story("user_ada", "The owl")
    assert (refused["success"], refused["reason"], refused["next_step"]) == (False, "unknown_user", "buy_credits")
    life, events = subscribed("ada", start=NOW - MONTH - 12 * DAY)
    shop.happens(events)
    life.clock = NOW - 12 * DAY
    shop.happens(life.payment_failed())
    # Past its grace: access and credits wait for the payment.
    assert shop.state("user_ada")["has_access"] is False
    assert shop.writes_story("user_ada", "The owl")["success"] is False
    shop.happens(life.recovered())
    assert shop.writes_story("user_ada", "The owl")["success"] is True
    too_much = shop.writes_story("user_ada", "The whale", price=1000)
    assert (too_much["status"], too_much["available"]) == ("insufficient_credits", 25)
    assert shop.database.rows("SELECT title FROM stories") == [{"title": "The owl"}]


# Test scenario 4: subscription cancellation.
@pytest.mark.parametrize("version", [OLD, NEW])
@pytest.mark.parametrize("at_once", [False, True], ids=["at the period's end", "at once"])
def test_who_cancels_uses_up_what_was_paid(shop, version, at_once):
    life, events = subscribed("ada", api_version=version)
    shop.happens(events, life.ended() if at_once else life.cancel_at_period_end())
    state = shop.state("user_ada")
    assert (state["state"], state["has_access"], state["renews_at"]) == ("canceled", True, None)
    assert state["reason"] == ("paid_through" if at_once else "cancellation_scheduled")
    assert shop.database.rows("SELECT status FROM subscription_cache WHERE user_id = 'user_ada'") == [{"status": "canceled"}]
    assert shop.writes_story("user_ada", "The owl")["status"] == "charged" and shop.credits("user_ada") == 25
    end = shop.asks("SELECT to_timestamp(%s)", life.period[1])
    after = shop.state("user_ada", end)
    assert (after["state"], after["has_access"], after["credits"]["available"]) == ("expired", False, 0)
    # To the second.
    before = shop.asks("SELECT get_user_subscription_state('user_ada', to_timestamp(%s))", life.period[1] - 1)
    assert (before["has_access"], before["credits"]["available"]) == (True, 25)


def test_credits_not_allocated(shop):
    """The runbook: the invoice was paid, and its event never came."""
    _, events = subscribed("ada")
    # Of the two events about a payment this endpoint is sent one.
    missed = [one for one in events if one["type"] == "invoice.payment_succeeded"]
    shop.happens([one for one in events if not one["type"].startswith("invoice.")])
    assert shop.database.rows(INVOICE_RECEIVED) == [] and shop.database.rows(INVOICE_CREDITED) == []
    operator = shop.database.connect(user="billing_operator")
    with contextlib.closing(operator):
        assert shop.database.value(GIVE_BY_HAND, connection=operator)["status"] == "granted"
        assert [row["amount"] for row in shop.database.rows(INVOICE_CREDITED, connection=operator)] == [30]
        # The event comes after all.
        shop.happens(missed)
        assert len(shop.database.rows(INVOICE_RECEIVED, connection=operator)) == 1
    assert shop.credits("user_ada") == 30


def test_the_former_handler_and_this_one_side_by_side(shop):
    """What the former system has granted for is not granted again, and its balances come in once."""
    an_hour_ago = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(NOW - 3600))
    run_example(shop.database, "credits", administrator=True, grants_since=an_hour_ago)
    life, events = subscribed("ada", start=NOW - 5 * DAY)
    shop.happens(events)
    assert shop.state("user_ada")["has_access"] is True and shop.credits("user_ada") == 0
    for _ in range(2):
        shop.asks("""SELECT grant_credits('user_ada', 12, 'paid', source => 'opening_balance', idempotency_key => 'import',
                                          reason => 'the former system')""")
    assert shop.credits("user_ada") == 12
    later, events = subscribed("bob")
    shop.happens(events)
    assert shop.credits("user_bob") == 30
