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
