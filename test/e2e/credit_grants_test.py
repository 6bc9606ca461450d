"""Credits that Stripe's events grant and take back, whatever the order and however often they come."""
import dataclasses
import itertools
import time

import pytest

from harness import objects
from harness.life import Life, event, flat
from harness.objects import DAY, MONTH, NEW, OLD

NOW = int(time.time())
TEAM = dataclasses.replace(objects.PRO, id="price_team", product="prod_team", metadata={"credits": "200"})
SOLO = dataclasses.replace(objects.BASIC, id="price_solo", product="prod_solo", metadata={"credits": "30"})


@pytest.fixture
def since_ever(database):
    database.execute("SELECT {s}.set_billing_setting('grants_since', '2020-01-01T00:00:00Z', 'tests')")
    return database


def started(name, **options):
    life = Life(name, **{"items": ((SOLO, 1),), "start": NOW - 3600, **options})
    return life, [life.customer_created(), life.subscribed(), life.checkout_completed(f"user_{name}")]


def grants(database, user_id):
    return database.rows("SELECT amount, remaining, source, category, requires_subscription FROM {s}.credit_grants"
                         " WHERE user_id = %s ORDER BY grant_id", (user_id,))


def balance(database, user_id):
    return database.value("SELECT {s}.get_credit_balance(%s)", (user_id,))


def sound(database):
    return database.rows("SELECT * FROM {s}.verify_credit_ledger()") == []


def settle(database):
    for _ in range(5):
        database.execute("UPDATE {s}.stripe_events SET next_retry_at = now() WHERE NOT processed")
        database.retry()
    assert database.rows("SELECT stripe_event_id, error FROM {s}.stripe_events WHERE NOT processed") == []


@pytest.mark.parametrize("version", [OLD, NEW])
def test_a_paid_invoice_grants_once(since_ever, version):
    life, first = started("ada", api_version=version)
    paid, succeeded = life.first_invoice()
    since_ever.process(*first, paid)
    assert balance(since_ever, "user_ada") == {"balance": 30, "held": 0, "available": 30, "debt": 0}
    since_ever.process(paid, succeeded)
    since_ever.process({**succeeded, "id": "evt_again"})
    assert grants(since_ever, "user_ada") == [{"amount": 30, "remaining": 30, "source": "invoice", "category": "paid",
                                               "requires_subscription": True}]
    state = since_ever.state("user_ada")
    assert state["credits"] == {"balance": 30, "held": 0, "available": 30}
    assert since_ever.value("SELECT metadata ->> 'invoice_id' FROM {s}.credit_transactions") == "in_ada_1"
    assert sound(since_ever)


@pytest.mark.parametrize("version", [OLD, NEW])
def test_every_order_grants_the_same(databases, version):
    results = set()
    life, first = started("ada", api_version=version)
    events = [*first, *life.first_invoice()]
    for order in list(itertools.permutations(events))[::7]:
        database = databases()
        database.execute("SELECT {s}.set_billing_setting('grants_since', '2020-01-01T00:00:00Z', 'tests')")
        for one in order:
            database.process(one)
        settle(database)
        results.add(repr(grants(database, "user_ada")) + repr(balance(database, "user_ada")))
        assert sound(database)
    assert len(results) == 1


def test_a_renewal_grants_anew_and_ends_the_old(since_ever):
    life, first = started("ada", start=NOW - MONTH - 1800)
    since_ever.process(*first, *life.first_invoice())
    assert since_ever.value("SELECT ({s}.use_credits_validated('user_ada', 10)) ->> 'status'") == "charged"
    life.clock = NOW - 1000
    since_ever.process(*life.renewed())
    assert balance(since_ever, "user_ada")["balance"] == 30
    assert [(one["amount"], one["remaining"]) for one in grants(since_ever, "user_ada")] == [(30, 0), (30, 30)]
    assert sound(since_ever)


def test_a_price_that_says_nothing_grants_nothing(since_ever):
    life, first = started("ada", items=((objects.PRO, 1),))
    since_ever.process(*first, *life.first_invoice())
    assert since_ever.value("SELECT count(*) FROM {s}.credit_accounts") == 0
    assert since_ever.state("user_ada")["credits"] == {"balance": 0, "held": 0, "available": 0}


def test_the_product_may_say_it_even_later(since_ever):
    life, first = started("ada", items=((objects.PRO, 2),))
    since_ever.process(*first, *life.first_invoice())
    assert since_ever.value("SELECT count(*) FROM {s}.credit_grants") == 0
    made = objects.product("prod_pro", "Pro", metadata={"credits": "100", "credits_per": "subscription"})
    since_ever.process(event("evt_product", "product.created", made, life.clock))
    settle(since_ever)
    assert [one["amount"] for one in grants(since_ever, "user_ada")] == [100]
    # Known from now on; a change counts for what comes.
    made = {**made, "metadata": {"credits": "150", "credits_per": "subscription"}}
    since_ever.process(event("evt_product2", "product.updated", made, life.clock + 1,
                             previous={"metadata": {"credits": "100"}}))
    settle(since_ever)
    assert [one["amount"] for one in grants(since_ever, "user_ada")] == [100]


def test_an_invoice_waits_for_a_price_nobody_has_told_of(since_ever):
    life, first = started("ada", api_version=NEW)
    paid = life.first_invoice()[0]
    since_ever.link("user_ada", "cus_ada")
    assert since_ever.process(paid)[0][1:] == ("parked", "price price_solo has not been seen, which says how many "
                                               "credits are granted; send price.created or the subscription's "
                                               "events to this endpoint")
    since_ever.process(event("evt_price", "price.created", SOLO.json(NEW), life.clock))
    settle(since_ever)
    assert balance(since_ever, "user_ada")["balance"] == 30


def test_what_was_paid_before_installation_grants_nothing(database):
    life, first = started("ada", start=NOW - 3 * DAY)
    database.process(*first, *life.first_invoice())
    assert database.value("SELECT count(*) FROM {s}.credit_grants") == 0
    later, first = started("bob", start=int(time.time()) + 5)
    database.process(*first, *later.first_invoice())
    assert balance(database, "user_bob")["balance"] == 30


@pytest.mark.parametrize("manual_first", [True, False])
def test_the_runbook_and_the_late_webhook_grant_once(since_ever, manual_first):
    life, first = started("ada")
    since_ever.process(*first)
    invoices = life.first_invoice()
    runbook = """SELECT public.add_subscription_credits('cus_ada', 'in_ada_1', 'sub_ada', 30,
                                                        'Manual credit allocation - missed webhook')"""
    if not manual_first:
        since_ever.process(*invoices)
    answer = since_ever.value(runbook)
    assert (answer["success"], answer["status"]) == (True, "granted" if manual_first else "exists")
    assert since_ever.value(runbook)["status"] == "exists"
    since_ever.process(*invoices)
    assert balance(since_ever, "user_ada") == {"balance": 30, "held": 0, "available": 30, "debt": 0}
    # The runbook's own query finds it.
    assert since_ever.value("SELECT count(*) FROM {s}.credit_transactions WHERE metadata->>'invoice_id' = 'in_ada_1'") == 1
    # The next period follows it, whoever granted it.
    life.clock = NOW - 10
    since_ever.process(*life.renewed())
    assert balance(since_ever, "user_ada")["balance"] == 30
    assert sound(since_ever)


def charge(life, number, **changes):
    return {"id": f"ch_{life.name}_{number}", "object": "charge", "customer": life.customer_id, "amount": 900,
            "amount_captured": 900, "amount_refunded": 0, "captured": True, "currency": "eur", "refunded": False,
            "status": "succeeded", "paid": True, "livemode": False,
            "payment_intent": f"pi_{life.name}_{number}", "metadata": {}, **changes}


def dispute(life, number, status, **changes):
    return {"id": f"dp_{life.name}_{number}", "object": "dispute", "charge": f"ch_{life.name}_{number}",
            "payment_intent": f"pi_{life.name}_{number}", "amount": 900, "currency": "eur", "status": status,
            "livemode": False, "reason": "fraudulent", "metadata": {},
            "balance_transactions": [{"id": "txn_1", "object": "balance_transaction", "amount": -900}], **changes}


def test_a_refund_takes_back_what_is_unspent_in_proportion(since_ever):
    life, first = started("ada")
    since_ever.process(*first, *life.first_invoice())
    since_ever.value("SELECT {s}.use_credits_validated('user_ada', 20)")
    part = event("evt_r1", "charge.refunded", charge(life, 1, amount_refunded=300), life.clock)
    assert since_ever.outcomes(part) == ["processed"]
    # A third of 30 is 10: all that is left.
    assert balance(since_ever, "user_ada") == {"balance": 0, "held": 0, "available": 0, "debt": 0}
    since_ever.process(event("evt_r2", "charge.refunded", charge(life, 1, amount_refunded=900, refunded=True),
                             life.clock + 1))
    # What was spent is forgiven: only lost disputes make debt. But what comes back of it is taken.
    assert balance(since_ever, "user_ada") == {"balance": 0, "held": 0, "available": 0, "debt": 0}
    since_ever.value("SELECT {s}.refund_credits('user_ada', 2)")
    assert balance(since_ever, "user_ada")["balance"] == 0
    assert sound(since_ever)


def test_a_lost_dispute_makes_debt_and_a_won_one_gives_back(since_ever):
    life, first = started("ada")
    since_ever.process(*first, *life.first_invoice(), event("evt_c", "charge.succeeded", charge(life, 1), life.clock))
    since_ever.value("SELECT {s}.use_credits_validated('user_ada', 20)")
    since_ever.process(event("evt_d1", "charge.dispute.created", dispute(life, 1, "needs_response"), life.clock + 1))
    assert balance(since_ever, "user_ada") == {"balance": 0, "held": 0, "available": 0, "debt": 0}
    since_ever.process(event("evt_d2", "charge.dispute.closed", dispute(life, 1, "lost"), life.clock + 2))
    assert balance(since_ever, "user_ada") == {"balance": 0, "held": 0, "available": 0, "debt": 20}
    granted = since_ever.value("SELECT {s}.grant_credits('user_ada', 50)")
    assert (granted["debt_paid"], granted["balance"]) == (20, 30)
    # Won after all, on appeal: 30 of the invoice come back, and what the other grant paid of the debt.
    since_ever.process(event("evt_d3", "charge.dispute.funds_reinstated",
                             dispute(life, 1, "won", balance_transactions=[]), life.clock + 3))
    assert balance(since_ever, "user_ada") == {"balance": 60, "held": 0, "available": 60, "debt": 0}
    assert sound(since_ever)


@pytest.mark.parametrize("version", [OLD, NEW])
def test_any_order_of_payment_refund_and_dispute_ends_the_same(databases, version):
    life, first = started("ada", api_version=version)
    paid = life.first_invoice()[0]
    events = [first[1], first[2], paid,
              event("evt_c", "charge.succeeded", charge(life, 1), life.clock),
              event("evt_r", "charge.refunded", charge(life, 1, amount_refunded=300), life.clock + 1),
              event("evt_d", "charge.dispute.created", dispute(life, 1, "needs_response", amount=300), life.clock + 2)]
    results = set()
    for order in list(itertools.permutations(events))[::48]:
        database = databases()
        database.execute("SELECT {s}.set_billing_setting('grants_since', '2020-01-01T00:00:00Z', 'tests')")
        for one in order:
            database.process(one)
        settle(database)
        results.add(repr(balance(database, "user_ada")))
        assert sound(database)
    assert results == {"{'balance': 10, 'held': 0, 'available': 10, 'debt': 0}"} or \
        results == {repr({"debt": 0, "held": 0, "balance": 10, "available": 10})}


def pack(user_id, **changes):
    made = objects.checkout_session("cs_pack", "cus_ada", None, NOW - 100, 2000, "eur", user_id=user_id,
                                    metadata={"credits": "250"})
    return {**made, "mode": "payment", "payment_intent": "pi_pack", **changes}


def test_a_pack_grants_when_it_is_paid_and_never_ends(since_ever):
    waiting = event("evt_1", "checkout.session.completed", pack("user_ada", payment_status="unpaid"), NOW - 100)
    since_ever.process(waiting)
    assert since_ever.value("SELECT count(*) FROM {s}.credit_grants") == 0
    paid = event("evt_2", "checkout.session.async_payment_succeeded", pack("user_ada"), NOW - 50)
    since_ever.process(paid, {**paid, "id": "evt_3"})
    assert balance(since_ever, "user_ada") == {"balance": 250, "held": 0, "available": 250, "debt": 0}
    # Without any subscription.
    state = since_ever.state("user_ada")
    assert (state["has_access"], state["can_use_credits"]) == (False, True)
    assert since_ever.value("SELECT {s}.use_credits_validated('user_ada', 50)")["status"] == "charged"
    refunded = {"id": "ch_pack", "object": "charge", "customer": "cus_ada", "amount": 2000, "amount_captured": 2000,
                "amount_refunded": 2000, "refunded": True, "status": "succeeded", "payment_intent": "pi_pack",
                "livemode": False, "currency": "eur"}
    since_ever.process(event("evt_4", "charge.refunded", refunded, NOW - 10))
    assert balance(since_ever, "user_ada") == {"balance": 0, "held": 0, "available": 0, "debt": 0}
    assert sound(since_ever)


def test_trial_credits_come_once_per_person(since_ever):
    trial = dataclasses.replace(SOLO, metadata={"credits": "30", "trial_credits": "5"})
    life, first = started("ada", items=((trial, 1),))
    life = Life("ada", items=((trial, 1),), start=NOW - 3600)
    since_ever.process(life.customer_created(), life.subscribed(trial_days=7), life.checkout_completed("user_ada"),
                       *life.first_invoice())
    assert [(one["amount"], one["source"]) for one in grants(since_ever, "user_ada")] == [(5, "trial")]
    again = Life("ada2", items=((trial, 1),), start=NOW - 3000)
    since_ever.process(again.customer_created(), again.subscribed(trial_days=7), again.checkout_completed("user_ada"))
    assert balance(since_ever, "user_ada")["balance"] == 5
    # The first paid period ends it.
    since_ever.process(*life.activated())
    assert balance(since_ever, "user_ada")["balance"] == 30
    assert sound(since_ever)


def test_a_trial_that_an_update_adds_brings_its_credits_too(since_ever):
    price = dataclasses.replace(SOLO, metadata={"credits": "30", "trial_credits": "5"})
    life, first = started("ada", items=((price, 1),))
    added = life.update(trial_start=life.clock, trial_end=life.clock + 7 * DAY, status="trialing")
    since_ever.process(*first, added)
    assert [(one["amount"], one["source"]) for one in grants(since_ever, "user_ada")] == [(5, "trial")]
    # Moved, it is the same trial.
    since_ever.process(life.update(trial_end=life.clock + 9 * DAY))
    assert len(grants(since_ever, "user_ada")) == 1
    assert since_ever.rows("SELECT * FROM {s}.rebuild_billing_state()") == []


def test_a_canceled_plan_locks_its_credits_but_not_others(since_ever):
    life, first = started("ada")
    since_ever.process(*first, *life.first_invoice())
    since_ever.value("SELECT {s}.grant_credits('user_ada', 7)")
    since_ever.process(life.ended())
    assert balance(since_ever, "user_ada") == {"balance": 37, "held": 0, "available": 7, "debt": 0}
    refused = since_ever.value("SELECT {s}.use_credits_validated('user_ada', 10)")
    assert (refused["success"], refused["status"]) == (False, "subscription_inactive")
    assert since_ever.value("SELECT {s}.use_credits_validated('user_ada', 7)")["success"]


def test_a_yearly_plan_with_monthly_credits_accrues_by_reading(since_ever):
    yearly = dataclasses.replace(objects.PRO_YEARLY, id="price_team_yearly", product="prod_team",
                                 metadata={"credits": "100", "credit_interval": "month"})
    start = NOW - 75 * DAY
    life = Life("ada", items=((yearly, 1),), start=start)
    since_ever.process(life.customer_created(), life.subscribed(period=(start, start + 365 * DAY)),
                       life.checkout_completed("user_ada"), *life.first_invoice())
    rows = since_ever.rows("SELECT amount, started, remaining FROM {s}.credit_grants ORDER BY cycle_start")
    assert [row["amount"] for row in rows] == [100] * 12
    # The first two months are over, the third is on.
    assert [row["remaining"] for row in rows[:3]] == [0, 0, 100]
    for months, at in ((1, start + 10 * DAY), (3, NOW + 10 * DAY), (6, start + 170 * DAY)):
        assert since_ever.value("SELECT {s}.get_credit_balance('user_ada', to_timestamp(%s))",
                                (at,))["balance"] in (0, 100), months
    later = since_ever.value("SELECT {s}.get_credit_balance('user_ada', to_timestamp(%s))", (start + 200 * DAY,))
    assert later["balance"] == 100
    assert sound(since_ever)
