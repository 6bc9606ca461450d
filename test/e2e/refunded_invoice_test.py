"""A refunded invoice, told by objects that name each other: whoever comes last, also at the same instant, the period it
paid does not count."""
import contextlib
import copy
import itertools
import threading

import pytest

from harness import objects
from harness.life import Life, event

START = 1_795_000_000


def refunded(number):
    """A subscription's events, then what tells of one paid and refunded invoice: invoice, payment, charge."""
    life = Life(f"refund{number}", start=START)
    first = [life.customer_created(), life.subscribed(), life.checkout_completed(f"user_{number}")]
    paid = life.first_invoice()[0]
    invoice_id, intent = paid["data"]["object"]["id"], f"pi_{number}"
    payment = event(f"evt_payment_{number}", "invoice_payment.paid",
                    {"id": f"inpay_{number}", "object": "invoice_payment", "invoice": invoice_id, "status": "paid",
                     "livemode": False, "payment": {"type": "payment_intent", "payment_intent": intent}}, START + 20)
    charge = event(f"evt_charge_{number}", "charge.refunded",
                   {"id": f"ch_{number}", "object": "charge", "customer": life.customer_id, "refunded": True,
                    "status": "succeeded", "payment_intent": intent, "amount": 2900, "amount_refunded": 2900,
                    "currency": objects.PRO.currency, "livemode": False}, START + 30)
    return first, [charge, payment, paid]


def test_a_refunded_period_never_counts_whoever_comes_last(database):
    for number in range(40):
        first, (charge, payment, paid) = refunded(number)
        database.process(*first, charge)
        start = threading.Barrier(2)

        def send(one):
            with contextlib.closing(database.connect()) as connection:
                connection.autocommit = True
                start.wait()
                database.process(one, connection=connection)

        threads = [threading.Thread(target=send, args=(one,)) for one in (payment, paid)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for _ in range(5):
        database.execute("UPDATE {s}.stripe_events SET next_retry_at = now() WHERE NOT processed")
        database.retry()
    assert database.value("SELECT count(*) FROM {s}.stripe_events WHERE NOT processed") == 0
    assert database.value("SELECT count(*) FROM {s}.user_subscriptions") == 40
    assert database.rows("SELECT user_id, paid_through FROM {s}.user_subscriptions"
                         " WHERE paid_through IS NOT NULL") == []
    assert database.rows("SELECT * FROM {s}.rebuild_billing_state()") == []


def test_a_paid_period_counts_until_it_is_refunded(database):
    first, (charge, payment, paid) = refunded(1)
    database.process(*first, paid)
    assert database.value("SELECT paid_through FROM {s}.user_subscriptions") is not None
    database.process(charge)
    assert database.value("SELECT paid_through FROM {s}.user_subscriptions") is not None, "not known to be its charge"
    database.process(payment)
    assert database.value("SELECT paid_through FROM {s}.user_subscriptions") is None


def embedded_payment(life, number, kind, named):
    """What names the payment of an invoice: the invoice alone, without an event of the payment itself."""
    paid = life.first_invoice()[0]
    payments = paid["data"]["object"]["payments"]["data"]
    payments[0]["payment"] = {"type": kind, kind: named if number % 2 else {"id": named, "object": kind}}
    return paid


def charge_of(life, kind, named, **changes):
    return {"id": named if kind == "charge" else f"ch_{life.name}", "object": "charge", "customer": life.customer_id,
            "payment_intent": named if kind == "payment_intent" else None, "amount": 2900, "amount_captured": 2900,
            "amount_refunded": 0, "refunded": False, "paid": True, "captured": True, "status": "succeeded",
            "currency": objects.PRO.currency, "livemode": False, "created": START} | changes


def what_came_back(life, kind, named, how):
    charge = charge_of(life, kind, named)
    if how == "charge.refunded":
        return [event(f"evt_back_{life.name}", how, charge | {"refunded": True, "amount_refunded": 2900}, START + 50)]
    part = {"id": f"re_{life.name}", "object": "refund", "charge": charge["id"], "amount": 2900, "status": "succeeded",
            "payment_intent": charge["payment_intent"], "currency": "eur", "created": START + 40, "livemode": False}
    if how == "charge.dispute.closed":
        part |= {"id": f"dp_{life.name}", "object": "dispute", "status": "lost"}
    return [event(f"evt_charge_{life.name}", "charge.succeeded", charge, START + 21),
            event(f"evt_back_{life.name}", how, part, START + 50)]


@pytest.mark.parametrize("how", ["charge.refunded", "refund.created", "charge.dispute.closed"])
@pytest.mark.parametrize("kind,prefix", [("payment_intent", "pi_embedded"), ("charge", "ch_embedded")])
def test_the_payment_that_an_invoice_names_itself_ends_the_period_when_it_goes_back(database, kind, prefix, how):
    database.execute("SELECT {s}.set_billing_setting('canceled_access', 'paid_through', 'tests')")
    for number, order in enumerate(itertools.permutations(range(2))):
        named = f"{prefix}_{number}"
        life = Life(f"embedded{number}", start=START)
        first = [life.customer_created(), life.subscribed(), life.checkout_completed(f"user_{number}")]
        paid = embedded_payment(life, number, kind, named)
        back = what_came_back(life, kind, named, how)
        database.process(*first)
        for batch in [[[paid], back][place] for place in order]:
            assert {outcome for _, outcome, _ in database.process(*batch)} <= {"processed", "parked"}
        database.execute("UPDATE {s}.stripe_events SET next_retry_at = now() WHERE NOT processed")
        database.retry()
        assert database.value("SELECT count(*) FROM {s}.stripe_events WHERE NOT processed") == 0
        database.process(life.ended())
        assert database.value("SELECT paid_through FROM {s}.user_subscriptions WHERE user_id = %s",
                              (f"user_{number}",)) is None, order
        assert database.state(f"user_{number}")["has_access"] is False
    assert database.rows("SELECT * FROM {s}.rebuild_billing_state()") == []


def test_a_part_that_goes_back_leaves_the_period_paid(database):
    life = Life("part", start=START)
    database.process(life.customer_created(), life.subscribed(), life.checkout_completed("user_1"))
    paid = embedded_payment(life, 1, "payment_intent", "pi_part")
    charge = charge_of(life, "payment_intent", "pi_part", amount_refunded=2899)
    database.process(paid, event("evt_part", "charge.refunded", charge, START + 50))
    assert database.value("SELECT paid_through FROM {s}.user_subscriptions") is not None
    won = {"id": "dp_won", "object": "dispute", "charge": charge["id"], "payment_intent": "pi_part", "amount": 2900,
           "status": "won", "created": START + 60, "livemode": False}
    database.process(event("evt_won", "charge.dispute.closed", won, START + 60))
    assert database.value("SELECT paid_through FROM {s}.user_subscriptions") is not None


def test_of_two_payments_of_one_invoice_both_have_to_go_back(database):
    life = Life("two", start=START)
    database.process(life.customer_created(), life.subscribed(), life.checkout_completed("user_1"))
    paid = embedded_payment(life, 1, "payment_intent", "pi_two_1")
    payments = paid["data"]["object"]["payments"]["data"]
    payments.append(copy.deepcopy(payments[0]) | {"id": "inpay_two_2", "is_default": False,
                                                  "payment": {"type": "payment_intent", "payment_intent": "pi_two_2"}})
    half = {"amount": 1450, "amount_captured": 1450, "amount_refunded": 1450, "refunded": True}
    first, second = (event(f"evt_half_{number}", "charge.refunded",
                           charge_of(life, "payment_intent", f"pi_two_{number}", id=f"ch_two_{number}", **half),
                           START + 50) for number in (1, 2))
    database.process(paid, first)
    assert database.value("SELECT paid_through FROM {s}.user_subscriptions") is not None
    database.process(second)
    assert database.value("SELECT paid_through FROM {s}.user_subscriptions") is None


def test_the_latest_period_that_stays_paid_counts(database):
    life = Life("latest", start=START)
    database.process(life.customer_created(), life.subscribed(), life.checkout_completed("user_1"), *life.first_invoice())
    until = database.value("SELECT paid_through FROM {s}.user_subscriptions")
    for number in range(2, 5):
        life.advance(days=30)
        database.process(*life.renewed())
        assert database.value("SELECT paid_through FROM {s}.user_subscriptions") > until
        charge = charge_of(life, "payment_intent", f"pi_latest_{number}", id=f"ch_latest_{number}", refunded=True,
                           amount_refunded=2900)
        database.process(event(f"evt_back_{number}", "charge.refunded", charge, life.clock))
        assert database.value("SELECT paid_through FROM {s}.user_subscriptions") == until
