"""A marketplace of courses (examples/course_sales.sql), through HTTP and SQL: payment intents of guests with metadata, and
only four kinds of events sent (payment_intent.succeeded, payment_intent.payment_failed, charge.refunded,
charge.dispute.created), but where a test says otherwise."""
import contextlib
import json
import time

import pytest

from harness.examples import run_example
from harness.life import event
from harness.stripe import Sender


class Sale:
    """One purchase of a course, as Stripe tells of it."""

    def __init__(self, number, buyer, course="course_sql", seller="zoe", amount=4900):
        self.number, self.amount, self.sent, self.began = number, amount, 0, int(time.time()) - 1000
        self.metadata = {"user_id": buyer, "item_id": course, "seller_id": seller}

    def told(self, kind, made):
        self.sent += 1
        return event(f"evt_{self.number}_{self.sent}", kind, made, self.began + self.sent)

    def intent(self, status, **changes):
        paid = status == "succeeded"
        return {"id": f"pi_{self.number}", "object": "payment_intent", "customer": None, "amount": self.amount,
                "amount_received": self.amount if paid else 0, "currency": "usd", "status": status, "created": self.began,
                "latest_charge": f"ch_{self.number}" if paid else None, "receipt_email": "ada@example.com",
                "last_payment_error": None, "livemode": False, "metadata": self.metadata, **changes}

    def succeeded(self):
        return self.told("payment_intent.succeeded", self.intent("succeeded"))

    def declined(self):
        return self.told("payment_intent.payment_failed",
                          self.intent("requires_payment_method", last_payment_error={"code": "card_declined"}))

    def refunded(self, amount=None):
        back = self.amount if amount is None else amount
        return self.told("charge.refunded", {
            "id": f"ch_{self.number}", "object": "charge", "customer": None, "payment_intent": f"pi_{self.number}",
            "amount": self.amount, "amount_captured": self.amount, "amount_refunded": back, "refunded": back == self.amount,
            "captured": True, "paid": True, "status": "succeeded", "currency": "usd", "created": self.began + 1,
            "livemode": False, "metadata": self.metadata})

    def disputed(self):
        return self.told("charge.dispute.created", {
            "id": f"dp_{self.number}", "object": "dispute", "charge": f"ch_{self.number}", "amount": self.amount,
            "payment_intent": f"pi_{self.number}", "currency": "usd", "status": "needs_response", "created": self.began + 500,
            "livemode": False, "metadata": {}})


@pytest.fixture
def school(database, worker):
    run_example(database, "course_sales", administrator=True)

    class School:
        sender = Sender(worker.webhook, worker.secret)

        @staticmethod
        def happens(*events):
            for one in events:
                answer = School.sender.post(one)
                assert answer.status == 200, answer.body

        @staticmethod
        def may(user, course="course_sql"):
            return database.value("SELECT {s}.has_access_to_item(%s, %s)", (user, course))

        @staticmethod
        def enrollments():
            return [tuple(row.values()) for row in
                    database.rows("SELECT user_id, item_id, status, payment_status FROM {s}.enrollments ORDER BY payment_id")]

        @staticmethod
        def rows(statement, *parameters):
            return database.rows(statement, parameters)

        @staticmethod
        def sees(seller):
            """What a specialist who is signed in sees, in the role that the example made."""
            with contextlib.closing(database.connect(user="marketplace_specialist", autocommit=False)) as connection:
                claims = json.dumps({"sub": seller})
                database.execute("SELECT set_config('request.jwt.claims', %s, true)", (claims,), connection)
                return [tuple(row.values()) for row in database.rows(
                    "SELECT item_id, user_id, status FROM marketplace.my_enrollments ORDER BY 1, 2, 3", None, connection)]

        @staticmethod
        def alerts():
            with contextlib.closing(database.connect(user="billing_reader")) as connection:
                alerts = database.rows("SELECT alert FROM marketplace.alerts ORDER BY 1", None, connection)
                return [row["alert"] for row in alerts]

    return School


def test_a_payment_that_succeeds_activates_the_enrollment(school):
    sale = Sale(1, "user_ada")
    started = time.monotonic()
    school.happens(sale.succeeded())
    assert school.may("user_ada") and time.monotonic() - started < 2
    # The specialist sees the enrollment, others do not.
    assert school.sees("zoe") == [("course_sql", "user_ada", "active")] and school.sees("yan") == []
    assert school.alerts() == []


def test_zero_duplicate_enrollments(school):
    sale = Sale(1, "user_ada")
    made = sale.succeeded()
    school.happens(made, made, {**made, "id": "evt_the_same_under_another_id"}, made)
    assert school.enrollments() == [("user_ada", "course_sql", "active", "completed")]
    assert len(school.rows("SELECT * FROM {s}.payments")) == 1


def test_declined_and_tried_again(school):
    sale = Sale(1, "user_ada")
    school.happens(sale.declined())
    assert school.enrollments() == [("user_ada", "course_sql", "failed", "failed")] and not school.may("user_ada")
    school.happens(sale.declined(), sale.succeeded())
    assert school.enrollments() == [("user_ada", "course_sql", "active", "completed")] and school.may("user_ada")


def test_the_refund_runbook(school):
    first, second = Sale(1, "user_ada"), Sale(2, "user_bob")
    school.happens(first.succeeded(), second.succeeded())
    # 1. Find payment. 2. Get payment intent ID. 3. The refund is made at Stripe. 4. and 5. follow by themselves.
    found = school.rows("SELECT payment_id FROM {s}.payments WHERE customer_email = %s AND user_id = %s", "ada@example.com",
                        "user_ada")
    assert found == [{"payment_id": "pi_1"}]
    school.happens(first.refunded())
    assert school.rows("SELECT status, amount_refunded, refunded_at IS NOT NULL AS has_time FROM {s}.payments"
                       " WHERE payment_id = 'pi_1'") == [{"status": "refunded", "amount_refunded": 4900, "has_time": True}]
    assert school.enrollments() == [("user_ada", "course_sql", "refunded", "refunded"),
                                    ("user_bob", "course_sql", "active", "completed")]
    assert (school.may("user_ada"), school.may("user_bob")) == (False, True)


def test_a_part_goes_back_and_a_dispute_comes(school):
    sale, other = Sale(1, "user_ada"), Sale(2, "user_bob")
    school.happens(sale.succeeded(), sale.refunded(900), other.disputed(), other.succeeded())
    for _ in range(50):
        if school.rows("SELECT count(*) FROM {s}.stripe_events WHERE NOT processed")[0]["count"] == 0:
            break
        time.sleep(0.1)
    assert school.enrollments() == [("user_ada", "course_sql", "active", "partially_refunded"),
                                    ("user_bob", "course_sql", "suspended", "disputed")]
    assert (school.may("user_ada"), school.may("user_bob")) == (True, False)


def test_an_outage_is_made_good_by_what_is_sent_again(school):
    """Reconciliation: Stripe's list of the last day's events, sent again whether they came or not."""
    sales = [Sale(number, f"user_{number}") for number in range(6)]
    told = [sale.succeeded() for sale in sales]
    school.happens(*told[:3])
    school.happens(*told[::-1])
    assert school.enrollments() == [(f"user_{number}", "course_sql", "active", "completed") for number in range(6)]
    # "Stuck on its way" finds nothing, and nothing differs from what the events say.
    assert school.rows("SELECT * FROM {s}.payments WHERE status = 'processing'") == []
    assert school.rows("SELECT * FROM {s}.rebuild_billing_state(false)") == []


def test_operators_are_called_for_what_matters(school):
    assert school.alerts() == ["no webhook received within an hour"]
    sales = [Sale(number, f"user_{number}") for number in range(12)]
    school.happens(*[sale.declined() for sale in sales])
    assert school.alerts() == ["less than 95 % of payments succeed", "more than 10 payments failed within an hour"]
    # Tried again, all of them; one goes back.
    school.happens(*[sale.succeeded() for sale in sales], sales[0].refunded())
    assert school.alerts() == ["more than 5 % of payments are refunded"]


def test_three_d_secure_and_a_payment_that_is_given_up(school):
    """The customer has to act first; another one leaves midway, and comes back later."""
    secured, left = Sale(1, "user_ada"), Sale(2, "user_bob")
    school.happens(secured.told("payment_intent.requires_action", secured.intent("requires_action")),
                   left.told("payment_intent.canceled", left.intent("canceled")))
    assert school.enrollments() == [("user_ada", "course_sql", "pending", "pending"),
                                    ("user_bob", "course_sql", "canceled", "canceled")]
    assert not school.may("user_ada") and not school.may("user_bob")
    school.happens(secured.succeeded(), Sale(3, "user_bob").succeeded())
    assert school.may("user_ada") and school.may("user_bob")
    assert school.sees("zoe") == [("course_sql", "user_ada", "active"), ("course_sql", "user_bob", "active"),
                                  ("course_sql", "user_bob", "canceled")]
