"""How money that comes and goes is told decides nothing: finalized invoices, refunds and disputes without a charge's event,
prices that change afterwards."""
import contextlib
import copy
import dataclasses
import itertools
import threading
import time

import psycopg2
import pytest

from credit_grants_test import NOW, SOLO, balance, charge, dispute, pack, settle, sound, started
from harness import objects
from harness.life import Life, event
from harness.objects import DAY, NEW, OLD


@pytest.fixture
def granting(database):
    yield database.grant_since_ever()
    assert sound(database)


@pytest.mark.parametrize("version", [OLD, NEW])
def test_an_invoice_may_grant_when_it_is_finalized_and_gives_back_when_it_is_void(granting, version):
    price = dataclasses.replace(SOLO, metadata={"credits": "30", "grant_on": "finalized"})
    life, first = started("ada", items=((price, 1),), api_version=version)
    granting.process(*first)
    finalized = life.invoice_event("invoice.finalized", paid=False, reason="subscription_create", attempts=0)
    granting.process(finalized)
    assert balance(granting, "user_ada")["balance"] == 30
    void = copy.deepcopy(finalized)
    void |= {"id": "evt_void", "type": "invoice.voided", "created": void["created"] + 10}
    void["data"]["object"]["status"] = "void"
    granting.process(void)
    assert balance(granting, "user_ada")["balance"] == 0


def intent(life, status, **changes):
    succeeded = status == "succeeded"
    return {"id": f"pi_{life.name}_1", "object": "payment_intent", "amount": 900, "customer": life.customer_id,
            "amount_received": 900 if succeeded else 0, "status": status, "livemode": False, "currency": "eur",
            "latest_charge": f"ch_{life.name}_1" if succeeded else None, "metadata": {}, **changes}


def refund(life):
    return {"id": f"re_{life.name}", "object": "refund", "amount": 900, "charge": f"ch_{life.name}_1",
            "payment_intent": f"pi_{life.name}_1", "status": "succeeded", "currency": "eur", "metadata": {}}


@pytest.mark.parametrize("version", [OLD, NEW])
@pytest.mark.parametrize("order", list(itertools.permutations(["created", "succeeded", "refund"])))
def test_a_refund_without_its_charge_is_found_by_the_intent(granting, order, version):
    life, first = started("ada", api_version=version)
    granting.process(*first, *life.first_invoice())
    told = {"created": event("evt_pic", "payment_intent.created", intent(life, "requires_payment_method"), NOW - 3000),
            "succeeded": event("evt_pis", "payment_intent.succeeded", intent(life, "succeeded"), NOW - 2990),
            "refund": event("evt_re", "refund.created", refund(life), NOW - 100)}
    for name in order:
        granting.process(told[name])
    # What waited is due by itself.
    granting.retry()
    assert granting.rows("SELECT stripe_event_id, error FROM {s}.stripe_events WHERE NOT processed") == []
    assert balance(granting, "user_ada")["balance"] == 0


def test_a_dispute_of_a_pack_whose_charge_was_never_told(granting):
    paid = {"id": "pi_pack", "object": "payment_intent", "amount": 2000, "customer": "cus_ada", "status": "succeeded",
            "latest_charge": "ch_pack", "livemode": False, "currency": "eur"}
    opened = {"id": "dp_1", "object": "dispute", "charge": "ch_pack", "payment_intent": "pi_pack", "amount": 2000,
              "status": "needs_response", "livemode": False,
              "balance_transactions": [{"id": "txn_1", "object": "balance_transaction", "amount": -2000}]}
    granting.process(event("evt_1", "checkout.session.completed", pack("user_ada"), NOW - 100),
                     event("evt_2", "payment_intent.succeeded", paid, NOW - 99))
    assert balance(granting, "user_ada")["balance"] == 250
    granting.process(event("evt_3", "charge.dispute.created", opened, NOW - 10))
    assert balance(granting, "user_ada")["balance"] == 0


def test_a_debt_ends_with_its_dispute_whatever_else_was_refunded(granting):
    life, first = started("ada")
    granting.process(*first, *life.first_invoice(), event("evt_c", "charge.succeeded", charge(life, 1), NOW - 1000))
    granting.value("SELECT {s}.use_credits_validated('user_ada', 30)")
    granting.process(event("evt_d1", "charge.dispute.closed", dispute(life, 1, "lost"), NOW - 900))
    assert balance(granting, "user_ada")["debt"] == 30
    granting.process(event("evt_r", "charge.refunded", charge(life, 1, amount_refunded=900, refunded=True), NOW - 800),
                     event("evt_d2", "charge.dispute.closed", dispute(life, 1, "won", balance_transactions=[]),
                           NOW - 700))
    assert balance(granting, "user_ada")["debt"] == 0


@pytest.mark.parametrize("before, after", [
    ({"credits": "1200"}, {"credits": "600"}),
    ({"credits": "100"}, {"credits": "100", "credit_interval": "month"}),
    ({"credits": "100", "credit_interval": "month"}, {"credits": "100"}),
    ({"credits": "100", "credit_interval": "month"}, {"credits": "50", "credit_interval": "month"}),
    ({"credits": "1200"}, {"credits": "0"})])
def test_a_price_that_changes_leaves_what_was_granted(granting, before, after):
    price = dataclasses.replace(objects.PRO_YEARLY, id="price_year", metadata=before)
    start = NOW - 40 * DAY
    life = Life("ada", items=((price, 1),), start=start)
    granting.process(event("evt_price", "price.created", price.json(NEW), start), life.customer_created(),
                     life.subscribed(period=(start, start + 365 * DAY)), life.checkout_completed("user_ada"),
                     *life.first_invoice())
    had = balance(granting, "user_ada")
    rows = granting.value("SELECT count(*) FROM {s}.credit_grants")
    changed = dataclasses.replace(price, metadata=after)
    granting.process(event("evt_price_2", "price.updated", changed.json(NEW), NOW - 1000,
                           previous={"metadata": before}))
    granting.process(event("evt_c", "charge.updated", charge(life, 1, amount=29000, amount_captured=29000), NOW - 500))
    assert balance(granting, "user_ada") == had
    assert granting.value("SELECT count(*) FROM {s}.credit_grants") == rows


def test_charging_and_linking_in_one_transaction_deadlocks_with_nobody(granting):
    granting.value("SELECT {s}.grant_credits('user_ada', 100)")
    life, first = started("ada")
    granting.process(*first[:2], *life.first_invoice())
    errors = []
    with contextlib.closing(granting.connect()) as mine, contextlib.closing(granting.connect()) as other:
        mine.autocommit, other.autocommit = False, True
        granting.value("SELECT {s}.use_credits_validated('user_ada', 1)", connection=mine)

        def link():
            try:
                granting.value("SELECT {s}.link_stripe_customer('user_ada', 'cus_ada')", connection=other)
            except psycopg2.Error as error:
                errors.append(error)

        thread = threading.Thread(target=link)
        thread.start()
        time.sleep(0.5)
        granting.value("SELECT {s}.link_stripe_customer('user_ada', 'cus_other')", connection=mine)
        mine.commit()
        thread.join()
    assert errors == []
    settle(granting)
    assert balance(granting, "user_ada")["balance"] == 129


@pytest.mark.parametrize("version", [OLD, NEW])
def test_a_manual_grant_of_an_invoice_that_is_refunded_goes_back(granting, version):
    life, first = started("ada", api_version=version)
    granting.process(*first)
    granting.value("SELECT {s}.add_subscription_credits('cus_ada', 'in_ada_1', 'sub_ada', 30, 'missed')")
    refunded = charge(life, 1, amount_refunded=900, refunded=True, invoice="in_ada_1")
    granting.process(event("evt_r", "charge.refunded", refunded, NOW - 800, version))
    assert balance(granting, "user_ada")["balance"] == 0


@pytest.mark.parametrize("order", [("product", "first", "invoice"), ("product", "invoice", "first"),
                                   ("first", "product", "invoice")])
def test_an_attribute_of_the_product_holds_where_the_invoice_carries_the_price(granting, order):
    price = dataclasses.replace(SOLO, metadata={"credits": "100"})
    product = objects.product("prod_solo", "Solo", metadata={"credits_per": "subscription"})
    life, first = started("ada", items=((price, 3),), api_version=OLD)
    told = {"product": [event("evt_product", "product.created", product, NOW - 5000)], "first": first,
            "invoice": life.first_invoice()}
    for name in order:
        granting.process(*told[name])
    settle(granting)
    assert balance(granting, "user_ada")["balance"] == 100


@pytest.mark.parametrize("version", [OLD, NEW])
def test_a_refund_of_one_of_two_payments_takes_its_share_of_the_invoice(granting, version):
    life, first = started("ada", api_version=version)
    granting.process(*first, *life.first_invoice())
    # 300 of the invoice's 900 came by this charge; nobody tells of the other.
    part = charge(life, 1, amount=300, amount_captured=300, amount_refunded=300, refunded=True, invoice="in_ada_1")
    granting.process(event("evt_r", "charge.refunded", part, NOW - 800, version))
    assert balance(granting, "user_ada")["balance"] == 20


@pytest.mark.parametrize("order", list(itertools.permutations(range(4)))[::3])
def test_a_pack_that_also_makes_an_invoice_is_taken_back_with_it(granting, order):
    life, _ = started("ada")
    events = [event("evt_1", "checkout.session.completed",
                    pack("user_ada", payment_intent=None, invoice="in_pack"), NOW - 100),
              event("evt_2", "invoice_payment.paid",
                    {"id": "inpay_1", "object": "invoice_payment", "invoice": "in_pack", "status": "paid",
                     "amount_paid": 2000, "livemode": False,
                     "payment": {"type": "payment_intent", "payment_intent": "pi_ada_1"}}, NOW - 90),
              event("evt_3", "charge.refunded",
                    charge(life, 1, amount=2000, amount_captured=2000, amount_refunded=500), NOW - 10),
              event("evt_4", "invoice.paid",
                    {"id": "in_pack", "object": "invoice", "customer": "cus_ada", "status": "paid", "livemode": False,
                     "billing_reason": "manual", "amount_paid": 2000, "created": NOW - 100}, NOW - 95)]
    for number in order:
        granting.process(events[number])
    settle(granting)
    # 62.5 are not due; what can't be halved stays with the user.
    assert balance(granting, "user_ada")["balance"] == 188


def test_connect_accounts_may_use_the_same_price_ids(granting):
    for account, credits in (("acct_one", "30"), ("acct_two", "70")):
        price = dataclasses.replace(SOLO, metadata={"credits": credits})
        life, first = started(account[5:], items=((price, 1),))
        granting.process(*({**one, "account": account} for one in [
            event(f"evt_{account}", "price.created", price.json(NEW), NOW - 5000), *first, *life.first_invoice()]))
    assert balance(granting, "user_one")["balance"] == 30
    assert balance(granting, "user_two")["balance"] == 70


def test_grants_since_moved_later_leaves_what_was_granted(granting):
    life, first = started("ada")
    granting.process(*first, *life.first_invoice())
    granting.value("SELECT {s}.set_billing_setting('grants_since', '2100-01-01T00:00:00Z', 'tests')")
    granting.process(event("evt_c", "charge.updated", charge(life, 1), NOW - 500))
    assert balance(granting, "user_ada")["balance"] == 30
    # Its refund is still its refund.
    granting.process(event("evt_r", "charge.refunded", charge(life, 1, amount_refunded=900, refunded=True), NOW - 400))
    assert balance(granting, "user_ada")["balance"] == 0
