"""A refunded invoice, told by three objects that name each other: whoever comes last, also at the same instant, the
period it paid does not count."""
import contextlib
import threading

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
