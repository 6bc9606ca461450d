"""What docs/credits.md lists under known limits: each test says what would be right, and fails until it is. Strict, so
that none of them can be mended without being moved to where it belongs."""
import dataclasses

import pytest

from credit_grants_test import NOW, SOLO, balance, charge, dispute, pack, started
from harness import objects
from harness.life import event
from harness.objects import NEW, OLD

pytestmark = pytest.mark.xfail(strict=True, reason="known limit, see docs/credits.md")


@pytest.fixture
def granting(database):
    return database.grant_since_ever()


def settled_balance(database):
    for _ in range(3):
        database.execute("UPDATE {s}.stripe_events SET next_retry_at = now() WHERE NOT processed")
        database.retry()
    return balance(database, "user_ada")["balance"]


def test_a_pack_whose_price_is_told_later(granting):
    price = dataclasses.replace(SOLO, id="price_pack", product="prod_pack", metadata={"credits": "250"})
    session = pack("user_ada", metadata={"price_id": "price_pack"})
    granting.process(event("evt_1", "checkout.session.completed", session, NOW - 100))
    granting.process(event("evt_2", "price.created", price.json(NEW), NOW - 50))
    assert settled_balance(granting) == 250


def test_a_pack_of_a_guest(granting):
    granting.process(event("evt_1", "checkout.session.completed", pack("user_ada", customer=None), NOW - 100))
    assert settled_balance(granting) == 250


@pytest.mark.parametrize("version", [OLD, NEW])
def test_a_dispute_whose_charge_only_the_invoice_names(granting, version):
    life, first = started("ada", api_version=version)
    granting.process(*first, *life.first_invoice())
    granting.process(event("evt_d", "charge.dispute.created", dispute(life, 1, "needs_response"), NOW - 10))
    assert settled_balance(granting) == 0
