"""A customer on one of Stripe's test clocks lives through a year in a moment: judged at the clock's time, never at ours."""
import random

from harness.life import Life, flat
from harness.objects import DAY, MONTH, Price
from harness.stripe import Sender
from harness.worker import SECRET

LONG_AGO = 1_577_836_800  # 2020-01-01
PRICE = Price("price_pro_monthly", 2900, "prod_pro", "Pro, monthly", lookup_key="pro", metadata={"credits": "30"})


def life():
    return Life("ada", start=LONG_AGO, items=((PRICE, 1),), metadata={"user_id": "user_ada"}, test_clock="clock_1")


def word(state):
    return state["state"], state["has_access"], state["reason"], state["credits"]["available"]


def test_a_clock_that_is_advanced_takes_its_customers_along(database, worker):
    ada = life()
    with_sender = Sender(worker.webhook, SECRET)

    def tell(*happenings):
        for event in flat(happenings):
            answer = with_sender.post(event)
            assert answer.status == 200 and answer.json()["outcome"] == "processed", (event["type"], answer.json())

    def told(*happenings):
        tell(*happenings)
        return word(database.state("user_ada"))

    trial = told(ada.clock_moved("created"), ada.customer_created(), ada.subscribed(trial_days=14), ada.first_invoice())
    assert trial == ("trialing", True, "trialing", 0)
    # Time alone ends the trial, though a renewal may be on its way; then nobody has confirmed it.
    assert told(ada.advance(days=14).clock_moved()) == ("trialing", True, "awaiting_renewal", 0)
    assert told(ada.advance(days=3).clock_moved()) == ("expired", False, "renewal_not_confirmed", 0)
    # It is confirmed after all, and grants what it paid for.
    assert told(ada.activated()) == ("active", True, "active", 30)
    charged = database.value("SELECT {s}.use_credits_validated('user_ada', 10, 'story')")
    assert charged["success"] and charged["available"] == 20
    # A month later, the clock first: what was granted lapses with the renewal that replaces it.
    assert told(ada.advance(days=28).clock_moved()) == ("active", True, "awaiting_renewal", 20)
    assert told(ada.renewed()) == ("active", True, "active", 30)
    # The end is decided, and comes with the clock; the event that tells of it changes nothing any more.
    assert told(ada.cancel_at_period_end()) == ("canceled", True, "cancellation_scheduled", 30)
    assert told(ada.advance(days=30).clock_moved("advancing")) == ("expired", False, "subscription_ended", 0)
    assert told(ada.clock_moved()) == ("expired", False, "subscription_ended", 0)
    assert told(ada.ended()) == ("expired", False, "subscription_ended", 0)
    # What our own clock says of an instant is another question.
    assert database.state("user_ada", "2020-01-05T00:00:00Z")["state"] == "canceled"
    why = database.value("SELECT {s}.explain_user('user_ada')")["why"]
    assert any("is on test clock clock_1" in line for line in why), why
    assert database.unsound_credits() == []
    assert database.rows("SELECT * FROM {s}.rebuild_billing_state()") == []
    with_sender.close()


def test_any_order_of_clock_and_customer_gives_the_same(databases):
    ada = life()
    events = flat([
        ada.clock_moved("created"), ada.customer_created(), ada.subscribed(trial_days=14), ada.first_invoice(),
        ada.advance(days=14).clock_moved("advancing"), ada.clock_moved(), ada.activated(),
        ada.advance(days=25).clock_moved(), ada.advance(seconds=DAY).renewed(), ada.clock_moved()])
    assert ada.clock < LONG_AGO + 3 * MONTH
    expected = None
    for seed in range(8):
        database = databases()
        shuffled = list(events)
        if seed:
            random.Random(seed).shuffle(shuffled)
        size = 1 + seed % 4
        for first in range(0, len(shuffled), size):
            database.process(*shuffled[first:first + size])
        database.retry(1000)
        state = database.state("user_ada")
        facts = [word(state), state["test_clock"], state["current_period_end"],
                 database.rows("SELECT status, frozen_time FROM {s}.subscription_cache"),
                 database.rows("SELECT test_clock, status FROM {s}.user_subscriptions")]
        expected = expected or facts
        assert facts == expected, seed
        assert database.rows("SELECT * FROM {s}.rebuild_billing_state()") == []
    assert expected[0] == ("active", True, "active", 30)
