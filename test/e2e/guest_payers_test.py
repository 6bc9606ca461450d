"""Payments of guests, whom Stripe has no customer for: the payment intent stands for the payer, in any order of events."""
import dataclasses
import itertools

import psycopg2
import pytest

from credit_grants_test import NOW, SOLO, balance, charge, dispute, grants, pack, settle, sound, started
from harness.life import event
from harness.objects import NEW, OLD

REBUILD = "SELECT * FROM {s}.rebuild_billing_state(false)"
PRICE = dataclasses.replace(SOLO, id="price_pack", product="prod_pack", metadata={"credits": "250"})


@pytest.fixture
def granting(database):
    yield database.grant_since_ever()
    assert sound(database)
    assert database.rows(REBUILD) == []


def guest_pack(user_id=None, **changes):
    return pack(user_id, **{"customer": None, "customer_creation": "if_required", **changes})


def guest_charge(**changes):
    return {"id": "ch_pack", "object": "charge", "customer": None, "amount": 2000, "amount_captured": 2000,
            "amount_refunded": 0, "captured": True, "currency": "eur", "refunded": False, "status": "succeeded", "paid": True,
            "livemode": False, "payment_intent": "pi_pack", "metadata": {}, **changes}


def guest_intent(**changes):
    return {"id": "pi_pack", "object": "payment_intent", "amount": 2000, "amount_received": 2000, "customer": None,
            "status": "succeeded", "latest_charge": "ch_pack", "livemode": False, "currency": "eur", "metadata": {}, **changes}


def guest_dispute(status="needs_response", **changes):
    return {"id": "dp_pack", "object": "dispute", "charge": "ch_pack", "payment_intent": "pi_pack", "amount": 2000,
            "currency": "eur", "status": status, "livemode": False, "reason": "fraudulent", "metadata": {},
            "balance_transactions": [{"id": "txn_1", "object": "balance_transaction", "amount": -2000}], **changes}


COMPLETED = event("evt_session", "checkout.session.completed", guest_pack("user_ada"), NOW - 100)
BY_PRICE = event("evt_session", "checkout.session.completed",
                 guest_pack("user_ada", metadata={"price_id": "price_pack"}), NOW - 100)
BY_METADATA = event("evt_session", "checkout.session.completed",
                    guest_pack(metadata={"credits": "250", "user_id": "user_ada"}), NOW - 100)
PRICE_CREATED = event("evt_price", "price.created", PRICE.json(NEW), NOW - 50)
HALF_REFUNDED = event("evt_refund", "charge.refunded", guest_charge(amount_refunded=1000), NOW - 40)
REFUNDED = event("evt_refund", "charge.refunded", guest_charge(amount_refunded=2000, refunded=True), NOW - 40)
SUCCEEDED = event("evt_intent", "payment_intent.succeeded", guest_intent(), NOW - 99)
CHARGED = event("evt_charge", "charge.succeeded", guest_charge(), NOW - 99)
DISPUTED = event("evt_dispute", "charge.dispute.created", guest_dispute(), NOW - 30)
LOST = event("evt_lost", "charge.dispute.closed", guest_dispute("lost"), NOW - 20)
WON = event("evt_won", "charge.dispute.closed", guest_dispute("won", balance_transactions=[]), NOW - 20)

HISTORIES = {
    "bought": ([COMPLETED], 250),
    "bought, all told": ([COMPLETED, SUCCEEDED, CHARGED], 250),
    "named by metadata": ([BY_METADATA, SUCCEEDED], 250),
    "the intent names the user": ([event("evt_session", "checkout.session.completed", guest_pack(), NOW - 100),
                                   event("evt_intent", "payment_intent.succeeded",
                                         guest_intent(metadata={"user_id": "user_ada"}), NOW - 99)], 250),
    "the charge names the user": ([event("evt_session", "checkout.session.completed", guest_pack(), NOW - 100),
                                   event("evt_charge", "charge.succeeded",
                                         guest_charge(metadata={"user_id": "user_ada"}), NOW - 99), PRICE_CREATED], 250),
    "price later": ([BY_PRICE, PRICE_CREATED], 250),
    "refunded in part": ([BY_PRICE, PRICE_CREATED, HALF_REFUNDED], 125),
    "refunded": ([BY_PRICE, PRICE_CREATED, SUCCEEDED, REFUNDED], 0),
    "disputed": ([BY_PRICE, PRICE_CREATED, DISPUTED], 0),
    "disputed, all told": ([COMPLETED, CHARGED, DISPUTED, LOST], 0),
    "won": ([COMPLETED, DISPUTED, WON], 250),
}


@pytest.mark.parametrize("name", HISTORIES)
def test_any_order_of_a_guests_payment_ends_the_same(databases, name):
    events, expected = HISTORIES[name]
    results = set()
    for order in list(itertools.permutations(events)):
        database = databases().grant_since_ever()
        for one in order:
            assert database.outcomes(one)[0] in ("processed", "parked")
        settle(database)
        assert balance(database, "user_ada")["balance"] == expected, [one["id"] for one in order]
        assert sound(database) and database.rows(REBUILD) == []
        results.add(repr(database.facts("stripe_objects", "stripe_customer_links", "billing_users", "audit_logs")))
        database.drop()
    assert len(results) == 1


def test_nobody_is_looked_for_until_somebody_says(granting):
    anonymous = event("evt_session", "checkout.session.completed", guest_pack(), NOW - 100)
    assert granting.process(anonymous)[0][1:] == (
        "parked", "pi_pack has no user; run SELECT link_stripe_customer('user_1','pi_pack')")
    assert granting.value("SELECT count(*) FROM {s}.credit_grants") == 0
    # A dispute is known to be of this payment, and has nobody to touch.
    assert granting.outcomes(DISPUTED) == ["processed"]
    answer = granting.link("user_ada", "pi_pack")
    assert (answer["status"], balance(granting, "user_ada")["balance"]) == ("linked", 0)
    granting.process(WON)
    assert balance(granting, "user_ada")["balance"] == 250


def test_a_checkout_that_was_left_names_nobody(granting):
    left = event("evt_left", "checkout.session.expired",
                 guest_pack("user_eve", status="expired", payment_status="unpaid"), NOW - 200)
    granting.process(left)
    assert granting.rows("SELECT * FROM {s}.stripe_customer_links WHERE user_id IS NOT NULL") == []


def test_a_free_session_has_itself_for_a_payer(granting):
    free = guest_pack("user_ada", payment_intent=None, payment_status="no_payment_required", amount_total=0)
    granting.process(event("evt_free", "checkout.session.completed", free, NOW - 100))
    assert granting.value("SELECT stripe_customer_id FROM {s}.stripe_customer_links") == "cs_pack"
    assert balance(granting, "user_ada")["balance"] == 250


def test_two_guests_payments_are_two_payers_and_a_conflict_waits_for_a_person(granting):
    granting.process(COMPLETED)
    other = event("evt_intent", "payment_intent.succeeded", guest_intent(metadata={"user_id": "user_bob"}), NOW - 99)
    granting.process(other)
    assert granting.rows("SELECT stripe_customer_id, user_id, conflict_user_id FROM {s}.stripe_customer_links") == [
        {"stripe_customer_id": "pi_pack", "user_id": "user_ada", "conflict_user_id": "user_bob"}]
    granting.process(event("evt_2", "checkout.session.completed",
                           guest_pack("user_bob", id="cs_2", payment_intent="pi_2"), NOW - 90))
    assert [balance(granting, user)["balance"] for user in ("user_ada", "user_bob")] == [250, 250]


def test_a_guest_is_no_customer_to_start_a_checkout_with(granting):
    granting.process(COMPLETED)
    answer = granting.value("SELECT {s}.get_or_create_stripe_customer('user_ada', 'ada@example.com')")
    assert answer["status"] == "creating"


@pytest.mark.parametrize("payer", ["pi_", "cus_", "in_1", "sub_1", "", "ch", "pi_" + "x" * 253])
def test_what_stands_for_no_payer_is_not_linked(database, payer):
    with pytest.raises(psycopg2.Error) as caught:
        database.link("user_ada", payer)
    assert caught.value.pgcode == "22023"
    database.connection.rollback()


@pytest.mark.parametrize("version", [OLD, NEW])
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_an_invoice_says_whose_the_payment_that_it_names_is(granting, version, order):
    life, first = started("ada", api_version=version)
    granting.process(*first)
    told = [life.first_invoice(), [event("evt_d", "charge.dispute.created", dispute(life, 1, "needs_response"), NOW - 10)]]
    for which in order:
        granting.process(*told[which])
    settle(granting)
    assert balance(granting, "user_ada")["balance"] == 0


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_customers_pack_waits_for_its_price_too(granting, order):
    told = [event("evt_1", "checkout.session.completed", pack("user_ada", metadata={"price_id": "price_pack"}), NOW - 100),
            PRICE_CREATED]
    assert [granting.outcomes(told[which])[0] for which in order] == ["parked" if order[0] == 0 else "processed", "processed"]
    settle(granting)
    assert balance(granting, "user_ada")["balance"] == 250


def test_a_customer_says_more_than_a_guest(granting):
    """An intent without a customer whose session has one belongs to that customer."""
    granting.process(CHARGED, SUCCEEDED)
    granting.process(event("evt_session", "checkout.session.completed", pack("user_ada"), NOW - 100), REFUNDED, DISPUTED)
    settle(granting)
    assert granting.rows("""SELECT object_type, stripe_customer_id FROM {s}.stripe_objects
                             WHERE object_type IN ('charge', 'payment_intent') ORDER BY 1""") == [
        {"object_type": "charge", "stripe_customer_id": "pi_pack"},
        {"object_type": "payment_intent", "stripe_customer_id": "cus_ada"}]
    assert balance(granting, "user_ada")["balance"] == 0
