"""Payments and what they bought: the same rows whatever the order, the repetitions and the selection of events."""
import contextlib
import itertools
import random
import threading
import time

import psycopg2
import pytest

from harness.life import event

NOW = int(time.time())
METADATA = {"item_id": "course_sql", "seller_id": "seller_zoe"}
REBUILD = "SELECT table_name, row_key, difference FROM {s}.rebuild_billing_state(false)"


def session(payer="customer", **changes):
    return {"id": "cs_1", "object": "checkout.session", "mode": "payment", "status": "complete", "payment_status": "paid",
            "customer": "cus_ada" if payer == "customer" else None, "client_reference_id": "user_ada",
            "payment_intent": "pi_1", "invoice": None, "amount_total": 4900, "currency": "eur", "created": NOW - 100,
            "customer_details": {"email": "ada@example.com"}, "livemode": False, "metadata": METADATA, **changes}


def intent(payer="customer", **changes):
    return {"id": "pi_1", "object": "payment_intent", "customer": "cus_ada" if payer == "customer" else None, "amount": 4900,
            "amount_received": 4900, "status": "succeeded", "latest_charge": "ch_1", "currency": "eur", "created": NOW - 99,
            "description": "SQL for all", "last_payment_error": None, "livemode": False, "metadata": METADATA, **changes}


def charge(payer="customer", **changes):
    return {"id": "ch_1", "object": "charge", "customer": "cus_ada" if payer == "customer" else None, "payment_intent": "pi_1",
            "amount": 4900, "amount_captured": 4900, "amount_refunded": 0, "captured": True, "refunded": False, "paid": True,
            "status": "succeeded", "currency": "eur", "created": NOW - 95, "livemode": False, "metadata": METADATA,
            "billing_details": {"email": "ada@example.com"}, **changes}


def dispute(status, **changes):
    return {"id": "dp_1", "object": "dispute", "charge": "ch_1", "payment_intent": "pi_1", "amount": 4900, "currency": "eur",
            "created": NOW - 50, "status": status, "livemode": False, "metadata": {}, **changes}


def refund(status="succeeded", **changes):
    return {"id": "re_1", "object": "refund", "charge": "ch_1", "payment_intent": "pi_1", "amount": 4900, "currency": "eur",
            "created": NOW - 40, "status": status, "livemode": False, "metadata": {}, **changes}


def unpaid(payer):
    return intent(payer, status="processing", amount_received=0, latest_charge=None)


def declined(payer):
    return intent(payer, status="requires_payment_method", amount_received=0, latest_charge=None,
                  last_payment_error={"code": "card_declined"})


def told(name, kind, made, at):
    return event(f"evt_{name}", kind, made, at)


# name: (events of a payer, status, enrollment, refunded)
HISTORIES = {
    "bought": (lambda p: [told("s", "checkout.session.completed", session(p), NOW - 90),
                          told("i", "payment_intent.succeeded", intent(p), NOW - 94),
                          told("c", "charge.succeeded", charge(p), NOW - 94)], "completed", "active", 0),
    "only the intent": (lambda p: [told("i", "payment_intent.succeeded", intent(p), NOW - 94)], "completed", "active", 0),
    "declined, then paid": (lambda p: [told("i1", "payment_intent.payment_failed", declined(p), NOW - 98),
                                       told("i2", "payment_intent.succeeded", intent(p), NOW - 94)], "completed", "active", 0),
    "declined": (lambda p: [told("i0", "payment_intent.created", intent(p, status="requires_payment_method", amount_received=0,
                                                                        latest_charge=None), NOW - 99),
                            told("i1", "payment_intent.payment_failed", declined(p), NOW - 98),
                            told("c1", "charge.failed", charge(p, status="failed", paid=False, captured=False,
                                                               amount_captured=0), NOW - 98)], "failed", "failed", 0),
    "3D Secure is asked for": (lambda p: [told("i", "payment_intent.requires_action",
                                               intent(p, status="requires_action", amount_received=0, latest_charge=None),
                                               NOW - 98)], "pending", "pending", 0),
    "canceled": (lambda p: [told("i1", "payment_intent.payment_failed", declined(p), NOW - 98),
                            told("i2", "payment_intent.canceled", intent(p, status="canceled", amount_received=0,
                                                                         latest_charge=None), NOW - 90)],
                 "canceled", "canceled", 0),
    "on its way": (lambda p: [told("s", "checkout.session.completed", session(p, payment_status="unpaid"), NOW - 90),
                              told("i", "payment_intent.processing", unpaid(p), NOW - 90)], "processing", "pending", 0),
    "arrived late": (lambda p: [told("s", "checkout.session.completed", session(p, payment_status="unpaid"), NOW - 90),
                                told("s2", "checkout.session.async_payment_succeeded", session(p), NOW - 20),
                                told("i", "payment_intent.processing", unpaid(p), NOW - 90)], "completed", "active", 0),
    "never arrived": (lambda p: [told("s", "checkout.session.completed", session(p, payment_status="unpaid"), NOW - 90),
                                 told("s2", "checkout.session.async_payment_failed", session(p, payment_status="unpaid"),
                                      NOW - 20),
                                 told("i", "payment_intent.processing", unpaid(p), NOW - 90)], "failed", "failed", 0),
    "refunded, and only that is told": (lambda p: [told("r", "charge.refunded", charge(p, amount_refunded=4900, refunded=True),
                                                        NOW - 40)], "refunded", "refunded", 4900),
    "refunded in part": (lambda p: [told("i", "payment_intent.succeeded", intent(p), NOW - 94),
                                    told("r", "charge.refunded", charge(p, amount_refunded=900), NOW - 40)],
                         "partially_refunded", "active", 900),
    "refunded, told twice": (lambda p: [told("i", "payment_intent.succeeded", intent(p), NOW - 94),
                                        told("r", "charge.refunded", charge(p, amount_refunded=4900, refunded=True), NOW - 40),
                                        told("re", "refund.created", refund(), NOW - 40)], "refunded", "refunded", 4900),
    "a refund that failed": (lambda p: [told("i", "payment_intent.succeeded", intent(p), NOW - 94),
                                        told("re", "refund.created", refund("pending"), NOW - 40),
                                        told("re2", "refund.failed", refund("failed"), NOW - 30)], "completed", "active", 0),
    "disputed, and only that is told": (lambda p: [told("i", "payment_intent.succeeded", intent(p), NOW - 94),
                                                   told("d", "charge.dispute.created", dispute("needs_response"), NOW - 50)],
                                        "disputed", "suspended", 0),
    "an inquiry": (lambda p: [told("c", "charge.succeeded", charge(p), NOW - 94),
                              told("d", "charge.dispute.created", dispute("warning_needs_response", balance_transactions=[]),
                                   NOW - 50)], "completed", "active", 0),
    "a dispute won": (lambda p: [told("c", "charge.succeeded", charge(p), NOW - 94),
                                 told("d", "charge.dispute.created", dispute("needs_response"), NOW - 50),
                                 told("d2", "charge.dispute.closed", dispute("won"), NOW - 30)], "completed", "active", 0),
    "a dispute lost": (lambda p: [told("c", "charge.succeeded", charge(p), NOW - 94),
                                  told("d", "charge.dispute.created", dispute("needs_response"), NOW - 50),
                                  told("d2", "charge.dispute.closed", dispute("lost"), NOW - 30)],
                       "charged_back", "revoked", 0),
}


def settle(database):
    for _ in range(4):
        database.execute("UPDATE {s}.stripe_events SET next_retry_at = now() WHERE NOT processed")
        database.retry()
    assert database.rows("SELECT stripe_event_id, error FROM {s}.stripe_events WHERE NOT processed") == []


def payment(database, user_id="user_ada"):
    rows = database.rows("SELECT * FROM {s}.payments WHERE user_id = %s", (user_id,))
    assert len(rows) == 1, rows
    return rows[0]


@pytest.mark.parametrize("payer", ["customer", "guest"])
@pytest.mark.parametrize("name", HISTORIES)
def test_any_order_and_repetition_ends_in_the_same_row(databases, name, payer):
    make, status, enrollment, refunded = HISTORIES[name]
    events = make(payer)
    rng = random.Random(name)
    results = set()
    database = databases()
    for number, order in enumerate(itertools.permutations(events)):
        database.execute("TRUNCATE {s}.stripe_events, {s}.stripe_event_payloads, {s}.stripe_objects, {s}.stripe_customer_links,"
                         " {s}.billing_users, {s}.payments, {s}.enrollments, {s}.audit_logs, {s}.subscription_cache")
        link = ("user_ada", "cus_ada" if payer == "customer" else "pi_1")
        if number % 2:
            database.link(*link)
        for one in order:
            database.process(*[one] * rng.randint(1, 2))
        database.link(*link)
        settle(database)
        row = payment(database)
        assert (row["payment_id"], row["status"], row["amount"], row["currency"], row["amount_refunded"], row["seller_id"]) == \
            ("pi_1", status, 4900, "eur", refunded, "seller_zoe"), [one["id"] for one in order]
        assert (row["refunded_at"] is not None) == (refunded > 0)
        assert database.rows("SELECT item_id, payment_id, status, payment_status FROM {s}.enrollments") == [
            {"item_id": "course_sql", "payment_id": "pi_1", "status": enrollment, "payment_status": status}]
        assert database.value("SELECT {s}.has_access_to_item('user_ada', 'course_sql')") == (enrollment == "active")
        assert database.rows("SELECT * FROM {s}.unlinked_payments") == []
        assert database.rows(REBUILD) == []
        results.add(repr(database.facts("payments", "enrollments", "stripe_objects")))
    assert len(results) == 1


def test_a_link_while_the_user_is_busy_loses_no_earlier_payment(database):
    database.link("user_ada", "cus_other")
    database.process(told("i", "payment_intent.succeeded", intent(id="pi_0", latest_charge="ch_0"), NOW - 94))
    with contextlib.closing(database.connect()) as busy:
        busy.autocommit = False
        database.rows("SELECT * FROM {s}.billing_users WHERE user_id = 'user_ada' FOR UPDATE", (), busy)
        assert database.outcomes(told("s", "checkout.session.completed", session(), NOW - 90)) == ["parked"]
        busy.rollback()  # a connection that is closed gives its locks back some time later
    assert database.rows("SELECT * FROM {s}.payments") == []
    settle(database)
    assert [row["payment_id"] for row in database.rows("SELECT * FROM {s}.payments ORDER BY 1, 2")] == ["pi_0", "pi_1"]
    assert database.rows(REBUILD) == []


def test_a_rebuild_repairs_payments(database):
    for made in HISTORIES["refunded, told twice"][0]("guest"):
        database.process(made)
    database.link("user_ada", "pi_1")
    before = database.facts("payments", "enrollments")
    database.execute("DELETE FROM {s}.enrollments")
    database.execute("UPDATE {s}.payments SET status = 'completed', amount = 1, amount_refunded = 0")
    assert {(row["table_name"], row["difference"]) for row in database.rows(REBUILD)} == {
        ("payments", "different"), ("enrollments", "missing")}
    database.rows("SELECT * FROM {s}.rebuild_billing_state(true)")
    assert database.facts("payments", "enrollments") == before
    assert database.rows(REBUILD) == []


def test_money_of_nobody_is_told_until_somebody_says_whose_it_is(database):
    database.process(told("i", "payment_intent.succeeded", intent("guest", receipt_email="eve@example.com"), NOW - 94),
                     told("c", "charge.succeeded", charge("customer", id="ch_2", payment_intent="pi_2"), NOW - 80),
                     told("s", "checkout.session.completed", session("guest", id="cs_3", payment_intent="pi_3",
                                                                     client_reference_id=None), NOW - 70))
    assert database.rows("SELECT payment_id, stripe_customer_id, status, amount, customer_email, next_step"
                         " FROM {s}.unlinked_payments ORDER BY 1") == [
        {"payment_id": "pi_1", "stripe_customer_id": "pi_1", "status": "succeeded", "amount": 4900,
         "customer_email": "eve@example.com", "next_step": "SELECT link_stripe_customer('user_1', 'pi_1')"},
        {"payment_id": "pi_2", "stripe_customer_id": "cus_ada", "status": "succeeded", "amount": 4900,
         "customer_email": "ada@example.com", "next_step": "SELECT link_stripe_customer('user_1', 'cus_ada')"},
        {"payment_id": "pi_3", "stripe_customer_id": "pi_3", "status": "paid", "amount": 4900,
         "customer_email": "ada@example.com", "next_step": "SELECT link_stripe_customer('user_1', 'pi_3')"}]
    assert database.rows("SELECT * FROM {s}.payments") == []
    for user_id, payer in (("user_eve", "pi_1"), ("user_ada", "cus_ada"), ("user_ada", "pi_3")):
        database.link(user_id, payer)
    settle(database)
    assert database.rows("SELECT * FROM {s}.unlinked_payments") == []
    assert [(row["user_id"], row["payment_id"], row["status"]) for row in
            database.rows("SELECT * FROM {s}.payments ORDER BY payment_id")] == [
        ("user_eve", "pi_1", "completed"), ("user_ada", "pi_2", "completed"), ("user_ada", "pi_3", "completed")]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_a_payment_belongs_to_its_customer_as_soon_as_one_is_told(database, order):
    """The intent is created for a guest, named by its metadata; the customer, somebody else's, is made while it is paid."""
    events = [told("i1", "payment_intent.created",
                   intent("guest", status="requires_payment_method", amount_received=0, latest_charge=None,
                          metadata={**METADATA, "user_id": "user_bob"}), NOW - 99),
              told("i2", "payment_intent.succeeded", intent(metadata={**METADATA, "user_id": "user_bob"}), NOW - 94),
              told("s", "checkout.session.completed", session(), NOW - 90)]
    for which in order:
        database.process(events[which])
    settle(database)
    assert [(row["user_id"], row["stripe_customer_id"], row["status"]) for row in
            database.rows("SELECT * FROM {s}.payments")] == [("user_ada", "cus_ada", "completed")]
    assert database.value("SELECT string_agg(user_id, ',') FROM {s}.enrollments") == "user_ada"
    assert database.rows(REBUILD) == []


def test_a_free_checkout_is_a_payment_of_nothing(database):
    free = session("guest", payment_intent=None, payment_status="no_payment_required", amount_total=0,
                   metadata={"item_ids": "course_a, course_b"})
    database.process(told("s", "checkout.session.completed", free, NOW - 90))
    row = payment(database)
    assert (row["payment_id"], row["status"], row["amount"]) == ("cs_1", "completed", 0)
    assert [database.value("SELECT {s}.has_access_to_item('user_ada', %s)", (item,))
            for item in ("course_a", "course_b", "course_c")] == [True, True, False]
    assert database.value("SELECT {s}.has_access_to_item('user_bob', 'course_a')") is False


def test_a_second_purchase_outlives_the_refund_of_the_first(database):
    database.process(told("s", "checkout.session.completed", session(), NOW - 90),
                     told("i2", "payment_intent.succeeded", intent(id="pi_2", latest_charge="ch_2"), NOW - 80),
                     told("r", "charge.refunded", charge(amount_refunded=4900, refunded=True), NOW - 40))
    assert database.rows("SELECT payment_id, status FROM {s}.enrollments ORDER BY 1") == [
        {"payment_id": "pi_1", "status": "refunded"}, {"payment_id": "pi_2", "status": "active"}]
    assert database.value("SELECT {s}.has_access_to_item('user_ada', 'course_sql')") is True


def test_what_the_seller_says_of_the_item_later_counts(database):
    database.process(told("i", "payment_intent.succeeded", intent(), NOW - 94),
                     told("s", "checkout.session.completed", session(metadata={}), NOW - 90))
    database.process(told("u", "payment_intent.amount_capturable_updated", intent(metadata={"item_id": "course_other"}),
                          NOW - 10))
    assert database.rows("SELECT item_id, status FROM {s}.enrollments") == [{"item_id": "course_other", "status": "active"}]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_an_invoice_that_a_checkout_makes_hides_no_charge(database, order):
    """Before basil a charge names the invoice that it paid, and belongs to that in the mirror."""
    events = [told("c", "charge.succeeded", charge(invoice="in_1", amount_captured=4000), NOW - 94),
              told("s", "checkout.session.completed", session(invoice="in_1"), NOW - 90),
              told("d", "charge.dispute.created", dispute("needs_response"), NOW - 50)]
    for which in order:
        database.process(events[which])
    settle(database)
    row = payment(database)
    assert (row["stripe_invoice_id"], row["status"], row["amount"]) == ("in_1", "disputed", 4000)
    assert database.rows(REBUILD) == []


@pytest.mark.parametrize("order", list(itertools.permutations(range(2))))
@pytest.mark.parametrize("linked_first", [True, False])
def test_a_payment_that_only_a_dispute_and_an_invoice_tell_of(database, order, linked_first):
    events = [told("d", "charge.dispute.created", dispute("needs_response"), NOW - 50),
              told("v", "invoice.paid", {"id": "in_1", "object": "invoice", "customer": "cus_ada", "status": "paid",
                                         "charge": "ch_1", "payment_intent": "pi_1", "lines": {"data": []},
                                         "livemode": False}, NOW - 93)]
    if linked_first:
        database.link("user_ada", "cus_ada")
    for which in order:
        database.process(events[which])
    if not linked_first:
        database.link("user_ada", "cus_ada")
    settle(database)
    row = payment(database)
    assert (row["payment_id"], row["status"], row["amount"]) == ("pi_1", "disputed", 4900)
    assert database.rows(REBUILD) == []


@pytest.mark.parametrize("status", ["paid", "draft"])
@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_a_payment_names_its_invoice_in_both_shapes(database, order, status):
    database.link("user_ada", "cus_ada")
    database.process(told("i1", "payment_intent.succeeded", intent(metadata={}, invoice="in_1"), NOW - 94))
    events = [told("i2", "payment_intent.succeeded", intent(id="pi_2", latest_charge="ch_2", metadata={}), NOW - 94),
              told("p", "invoice_payment.paid",
                   {"id": "inpay_1", "object": "invoice_payment", "invoice": "in_2", "status": "paid", "livemode": False,
                    "payment": {"type": "payment_intent", "payment_intent": "pi_2"}}, NOW - 93),
              told("v", "invoice.updated", {"id": "in_2", "object": "invoice", "customer": "cus_ada", "status": status,
                                            "lines": {"data": []}, "livemode": False}, NOW - 93)]
    for which in order:
        database.process(events[which])
    assert [(row["payment_id"], row["stripe_invoice_id"]) for row in
            database.rows("SELECT * FROM {s}.payments ORDER BY payment_id")] == [("pi_1", "in_1"), ("pi_2", "in_2")]
    assert database.rows("SELECT * FROM {s}.enrollments") == []
    assert database.rows(REBUILD) == []


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_a_payment_keeps_its_invoice_when_its_later_snapshots_do_not_name_it(database, order):
    """Since basil neither charges nor intents name their invoice: an account that changes its version, or what is
    fetched in a newer one, must not make older charges unfindable."""
    database.link("user_ada", "cus_ada")
    events = [told("old", "payment_intent.created", intent(invoice="in_1", status="requires_payment_method", amount_received=0), NOW - 90),
              told("declined", "charge.failed", charge(id="ch_0", invoice="in_1", status="failed", paid=False, captured=False), NOW - 80),
              told("new", "payment_intent.succeeded", intent(), NOW - 70)]
    for index in order:
        database.process(events[index])
    assert database.value("SELECT stripe_invoice_id FROM {s}.payments") == "in_1"
    assert database.rows(REBUILD) == []


def test_the_mode_decides_what_an_item_is_worth(database):
    database.process(told("s", "checkout.session.completed", session(), NOW - 90))
    database.execute("SELECT {s}.set_billing_setting('mode', 'live', 'going live')")
    assert database.value("SELECT {s}.has_access_to_item('user_ada', 'course_sql')") is False


def test_many_sessions_at_once_write_what_one_would(databases):
    rng = random.Random(7)
    events = []
    for number in range(24):
        own = {"id": f"pi_{number}", "latest_charge": f"ch_{number}"}
        named = {"metadata": {**METADATA, "user_id": f"user_{number % 5}"}}
        events += [told(f"{number}a", "payment_intent.created", intent("guest", status="requires_payment_method",
                                                                       amount_received=0, **own, **named), NOW - 99),
                   told(f"{number}b", "payment_intent.succeeded", intent(("guest", "customer")[number % 2], **own, **named),
                        NOW - 94),
                   told(f"{number}c", "checkout.session.completed",
                        session(("guest", "customer")[number % 3 > 0], id=f"cs_{number}", payment_intent=f"pi_{number}",
                                client_reference_id="user_ada" if number % 3 else f"user_{number % 5}"), NOW - 90),
                   told(f"{number}d", "charge.refunded",
                        charge(("guest", "customer")[number % 2], id=f"ch_{number}", payment_intent=f"pi_{number}",
                               amount_refunded=number % 3 * 100), NOW - 40)]
    calm, database = databases(), databases()
    calm.process(*events)
    settle(calm)
    rng.shuffle(events)
    failures = []

    def send(some):
        try:
            with contextlib.closing(database.connect()) as connection:
                connection.autocommit = True
                while some:
                    batch, some = some[:3], some[3:]
                    while True:
                        try:
                            database.process(*batch, connection=connection)
                            break
                        except psycopg2.Error as error:
                            if error.pgcode[:2] != "40":
                                raise
        except Exception as error:  # pylint: disable=broad-except
            failures.append(error)

    threads = [threading.Thread(target=send, args=(events[first::6] + events[first + 1::6][:4],)) for first in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    settle(database)
    tables = ("payments", "enrollments", "stripe_objects")
    assert database.facts(*tables) == calm.facts(*tables)
    assert database.rows(REBUILD) == calm.rows(REBUILD) == []
    assert calm.value("SELECT count(*) FROM {s}.payments") == 24


@pytest.mark.parametrize("arguments", [(None, "x"), ("", "x"), ("u" * 256, "x"), ("user_ada", None), ("user_ada", "")])
def test_misuse_is_an_error(database, arguments):
    with pytest.raises(psycopg2.Error) as caught:
        database.value("SELECT {s}.has_access_to_item(%s, %s)", arguments)
    assert caught.value.pgcode in ("22023", "22004")
    database.connection.rollback()
