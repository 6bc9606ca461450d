"""Payments, refunds, disputes and what was bought in audit_logs: the same lines whatever comes first, the link included."""
import itertools

import pytest

from harness.life import event

START = 1_795_000_000
LINES = """SELECT user_id, action, subject, event_id, details ->> 'amount' AS amount FROM {s}.audit_logs
            WHERE details ? 'payment_id' ORDER BY user_id, event_created, action COLLATE "C", subject"""


def objects(number, *, customer, intents, invoice=None):
    """An intent, its charge, half refunded and then disputed, and the checkout that names what was bought."""
    intent, charge = f"pi_{number}", f"ch_{number}"
    paid = {"id": intent, "object": "payment_intent", "customer": customer, "amount": 500, "amount_received": 500,
            "currency": "eur", "status": "succeeded", "created": START, "livemode": False, "latest_charge": charge,
            "metadata": intents, "invoice": invoice}
    refunded = {"id": charge, "object": "charge", "customer": customer, "payment_intent": intent, "amount": 500,
                "amount_captured": 500, "amount_refunded": 100, "captured": True, "paid": True, "status": "succeeded",
                "currency": "eur", "created": START, "livemode": False, "metadata": {}, "refunded": False, "invoice": invoice}
    dispute = {"id": f"dp_{number}", "object": "dispute", "charge": charge, "payment_intent": intent, "amount": 400,
               "currency": "eur", "status": "lost", "created": START, "livemode": False}
    return paid, refunded, dispute


def told(number, paid, refunded, dispute):
    failed = {**paid, "status": "requires_payment_method", "amount_received": 0,
              "last_payment_error": {"code": "card_declined"}}
    return [event(f"evt_failed_{number}", "payment_intent.payment_failed", failed, START),
            event(f"evt_paid_{number}", "payment_intent.succeeded", paid, START + 1),
            event(f"evt_refunded_{number}", "charge.refunded", refunded, START + 2),
            event(f"evt_lost_{number}", "charge.dispute.closed", dispute, START + 3)]


def expected(number, *, alone=True, items=("course_1",)):
    lines = [("payment_refunded", f"pi_{number}", f"evt_refunded_{number}", "100"),
             ("dispute_lost", f"pi_{number}", f"evt_lost_{number}", "400")]
    if alone:
        lines += [("payment_failed", f"pi_{number}", f"evt_failed_{number}", "500"),
                  ("payment_succeeded", f"pi_{number}", f"evt_paid_{number}", "500")]
        lines += [("enrollment_activated", item, f"evt_paid_{number}", None) for item in items]
        lines += [("enrollment_revoked", item, f"evt_lost_{number}", None) for item in items]
    return {(f"user_{number}", *line) for line in lines}


def settle(database):
    for _ in range(6):
        database.execute("UPDATE {s}.stripe_events SET next_retry_at = now() WHERE NOT processed")
        database.retry()


def check(database, lines):
    assert {tuple(row.values()) for row in database.rows(LINES)} == lines
    assert database.rows("SELECT * FROM {s}.rebuild_billing_state()") == []
    # The metrics of subscriptions count what invoices tell.
    assert database.value("SELECT coalesce(sum(payments_succeeded + payments_failed), 0)"
                          " FROM {s}.metrics_subscription_activity") == 0


def test_every_order_leaves_the_same_lines(database):
    lines = set()
    for number, order in enumerate(itertools.permutations(range(5))):
        customer = f"cus_{number}"
        events = told(number, *objects(number, customer=customer, intents={"item_id": "course_1"}))
        for place in order:
            if place == 4:
                database.link(f"user_{number}", customer)
            else:
                database.process(events[place])
        lines |= expected(number)
    settle(database)
    check(database, lines)


def test_what_was_bought_may_be_told_last_and_by_the_checkout_of_a_guest(database):
    lines = set()
    for number, order in enumerate(itertools.permutations(range(4))):
        paid, refunded, dispute = objects(number, customer=None, intents={})
        session = {"id": f"cs_{number}", "object": "checkout.session", "mode": "payment", "customer": None,
                   "payment_intent": paid["id"], "client_reference_id": f"user_{number}", "status": "complete",
                   "payment_status": "paid", "amount_total": 500, "currency": "eur", "created": START, "livemode": False,
                   "metadata": {"item_ids": "course_1, course_2"}}
        events = [*told(number, paid, refunded, dispute)[1:],
                  event(f"evt_session_{number}", "checkout.session.completed", session, START + 1)]
        for place in order:
            database.process(events[place])
        lines |= {line for line in expected(number, items=("course_1", "course_2")) if line[1] != "payment_failed"}
    settle(database)
    check(database, lines)


@pytest.mark.parametrize("together", [False, True])
def test_what_pays_an_invoice_is_told_by_the_invoice(database, together):
    """Since basil it is told by an invoice payment, that may come last."""
    lines = set()
    for number, order in enumerate(itertools.permutations(range(4))):
        paid, refunded, dispute = objects(number, customer=f"cus_{number}", intents={"item_id": "course_1"})
        paid.pop("invoice"), refunded.pop("invoice")
        payment = {"id": f"inpay_{number}", "object": "invoice_payment", "invoice": f"in_{number}", "status": "paid",
                   "livemode": False, "payment": {"type": "payment_intent", "payment_intent": paid["id"]}}
        events = [*told(number, paid, refunded, dispute)[1:],
                  event(f"evt_inpay_{number}", "invoice_payment.paid", payment, START + 1)]
        database.link(f"user_{number}", f"cus_{number}")
        # Whose the invoice is.
        database.process(event(f"evt_in_{number}", "invoice.finalized", {
            "id": f"in_{number}", "object": "invoice", "customer": f"cus_{number}", "status": "open", "livemode": False},
            START))
        if together:
            database.process(*[events[place] for place in order])
        else:
            for place in order:
                database.process(events[place])
        lines |= expected(number, alone=False)
    settle(database)
    check(database, lines)


def test_a_payment_that_turns_out_to_be_somebody_elses_takes_its_lines_along(database):
    paid, refunded, dispute = objects(1, customer=None, intents={"user_id": "guest", "item_id": "course_1"})
    database.process(*told(1, paid, refunded, dispute))
    assert {row["user_id"] for row in database.rows(LINES)} == {"guest"}
    database.link("user_1", "cus_1")
    database.process(event("evt_whose", "charge.updated", {**refunded, "customer": "cus_1"}, START + 9))
    settle(database)
    check(database, expected(1))


def test_moving_a_customer_moves_its_lines(database):
    database.process(*told(1, *objects(1, customer="cus_1", intents={"item_id": "course_1"})))
    database.link("somebody", "cus_1")
    assert {row["user_id"] for row in database.rows(LINES)} == {"somebody"}
    database.value("SELECT {s}.resolve_link_conflict('cus_1', 'user_1', 'it is hers')")
    check(database, expected(1))


def test_erased_the_lines_stay(database):
    database.process(*told(1, *objects(1, customer="cus_1", intents={"item_id": "course_1", "to": "Ada"})))
    database.link("user_1", "cus_1")
    assert database.value("SELECT {s}.erase_user('user_1', 'asked for')")["status"] == "erased"
    check(database, expected(1))
