"""A service that answers messages, through HTTP and SQL: few a month on the free plan, as many as one likes when
subscribed, and back to few at the end. examples/monthly_cap.sql sets it up."""
import dataclasses
import time

import psycopg2
import pytest

from harness.examples import run_example
from harness.life import Life, event, flat
from harness.objects import MONTH, Price
from harness.stripe import Sender, post

CAP = 5
UNLIMITED = Price("price_made_by_terraform", 999, "prod_subscription", "Unlimited, monthly", currency="usd",
                  lookup_key="unlimited_monthly")


class Service:
    """The application: a role of kind app, its own table of messages, and what it asks for each message."""

    def __init__(self, database, worker):
        self.database = database
        self.sender = Sender(worker.webhook, worker.secret)
        run_example(database, "monthly_cap")
        role = database.create_role("message_service", "app")
        database.execute(f"CREATE TABLE messages (user_id text, body text); GRANT ALL ON messages TO {role}")
        self.connection = database.connect(user=role, autocommit=False)

    def happens(self, *happenings):
        outcomes = []
        for one in flat(happenings):
            answer = self.sender.post(one)
            assert answer.status == 200, answer.body
            outcomes.append(answer.json()["outcome"])
        assert "failed" not in outcomes
        return outcomes

    def profile(self, user):
        """The two facts that used to be columns of the user: (isSubscribed, plan_monthly_cap)."""
        with self.connection, self.connection.cursor() as cursor:
            cursor.execute("SELECT has_active_subscription(%(user)s) AS is_subscribed,"
                           " (check_entitlement(%(user)s, 'messages') ->> 'limit')::bigint AS plan_monthly_cap",
                           {"user": user})
            return cursor.fetchone()

    def settings(self, user):
        """What the page of settings shows."""
        return self.database.state(user)

    def send(self, user, body="Hello", key=None):
        """Keeps the message and counts it, or neither."""
        try:
            with self.connection.cursor() as cursor:
                cursor.execute("INSERT INTO messages VALUES (%s, %s)", (user, body))
                cursor.execute("SELECT use_feature(%s, 'messages', idempotency_key => %s)", (user, key))
                answer = cursor.fetchone()[0]
            self.connection.commit() if answer["success"] else self.connection.rollback()
        finally:
            self.connection.rollback()
        return answer

    def kept(self, user):
        return self.database.value("SELECT count(*) FROM messages WHERE user_id = %s", (user,))


@pytest.fixture
def service(database, worker):
    running = Service(database, worker)
    yield running
    running.connection.close()


def subscriber(name, **options):
    return Life(name, items=((UNLIMITED, 1),), **options)


def subscribes(life, user):
    return flat([life.customer_created(), life.subscribed(), life.first_invoice(), life.checkout_completed(user)])


def test_the_file_may_run_again(any_database):
    first = run_example(any_database, "monthly_cap")
    plans = any_database.value("SELECT {s}.export_plans()")
    changes = any_database.value("SELECT count(*) FROM {s}.audit_logs")
    assert run_example(any_database, "monthly_cap") == first
    assert any_database.value("SELECT {s}.export_plans()") == plans and len(plans) == 2
    assert any_database.value("SELECT count(*) FROM {s}.audit_logs") == changes
    assert any_database.value("SELECT count(*) FROM {s}.usage_records") == 0  # what it tries it takes back


def test_the_cap_of_the_free_plan(service):
    assert service.profile("user_ada") == (False, CAP)
    assert [service.send("user_ada")["remaining"] for _ in range(CAP)] == [4, 3, 2, 1, 0]
    refused = service.send("user_ada")
    assert (refused["success"], refused["reason"], refused["next_step"]) == (False, "cap_exceeded", "subscribe")
    assert service.kept("user_ada") == CAP
    month = service.database.value("SELECT (date_trunc('month', now() AT TIME ZONE 'UTC') + interval '1 month')::date")
    assert refused["next_reset_at"] == f"{month}T00:00:00+00:00"
    assert service.profile("user_bob") == (False, CAP) and service.send("user_bob")["used"] == 1


def test_a_message_counts_when_it_is_kept_and_once(service):
    with service.connection.cursor() as cursor:
        cursor.execute("SELECT use_feature('user_ada', 'messages')")
    service.connection.rollback()  # sending failed
    answers = [service.send("user_ada", key="SM0001") for _ in range(3)]
    assert answers[0] == answers[1] == answers[2] and answers[0]["used"] == 1
    assert service.send("user_ada", key="SM0002")["used"] == 2


def test_events_that_the_command_line_triggers(service):
    """`stripe trigger` makes customers that are nobody's: taken, kept, and without effect on anybody."""
    stranger = subscriber("stranger")
    made = subscribes(stranger, None)
    outcomes = service.happens(made[-1], stranger.payment_failed()[1])
    assert outcomes == ["parked", "parked"]
    assert service.database.rows("SELECT * FROM {s}.user_subscriptions") == []
    assert service.profile("test-user-123") == (False, CAP)
    # Whose they are can be said afterwards.
    service.database.link("test-user-123", stranger.customer_id)
    service.happens(made[1])
    assert service.settings("test-user-123")["state"] == "active"


def test_from_signing_up_to_the_end_of_the_subscription(service):
    # 1. Sign up new user: nothing has to be written for that. The free messages are soon used up.
    assert service.settings("user_ada")["next_step"] == "subscribe" and service.settings("user_ada")["can_purchase"]
    for _ in range(CAP):
        service.send("user_ada")
    assert not service.send("user_ada")["success"]

    # 2. Subscribe to monthly plan. 3. Complete checkout.
    ada = subscriber("ada")
    started = time.monotonic()
    service.happens(subscribes(ada, "user_ada"))
    assert service.profile("user_ada") == (True, None) and time.monotonic() - started < 5

    # 4. Verify subscription shows in settings.
    shown = service.settings("user_ada")
    assert (shown["state"], shown["plan"], shown["can_purchase"], shown["stripe_customer_id"]) == \
        ("active", "unlimited", False, "cus_ada")
    assert service.database.value("SELECT {s}.get_plan('unlimited') ->> 'price_monthly'") == "9.99"

    # 5. Send SMS messages (should be unlimited).
    answers = [service.send("user_ada") for _ in range(4 * CAP)]
    assert all(answer["success"] and answer["unlimited"] and answer["limit"] is None for answer in answers)
    assert service.kept("user_ada") == 5 * CAP

    # 6. The portal. 7. Cancel subscription: what is paid for stays until the period's end, in a few seconds here.
    end = int(time.time()) + 8
    service.happens(ada.update(period=(end - MONTH, end), cancel_at_period_end=True, cancel_at=end, canceled_at=ada.clock))
    shown = service.settings("user_ada")
    assert (shown["state"], shown["reason"]) == ("canceled", "cancellation_scheduled")
    assert service.profile("user_ada") == (True, None) and service.send("user_ada")["success"]
    assert time.time() < end, "this machine is too slow for this test"

    # 8. Verify reverts to free plan after period ends: without any event, and at the same second everywhere.
    while time.time() < end + 0.1:
        time.sleep(0.1)
    assert service.profile("user_ada") == (False, CAP)
    refused = service.send("user_ada")
    assert (refused["status"], refused["used"], refused["remaining"]) == ("cap_exceeded", 5 * CAP + 1, 0)
    ada.clock = end
    service.happens(ada.ended())
    assert service.profile("user_ada") == (False, CAP)
    shown = service.settings("user_ada")
    assert (shown["state"], shown["can_purchase"], shown["next_step"]) == ("expired", True, "subscribe")
    assert service.database.rows("SELECT * FROM {s}.verify_usage()") == []

    # And he may come back.
    again = subscriber("ada_again")
    again.customer_id = ada.customer_id
    service.happens(*subscribes(again, "user_ada")[1:])
    assert service.profile("user_ada") == (True, None) and service.send("user_ada")["success"]


def test_a_renewal_that_is_not_paid(service):
    """Some days are forgiven; then it is the free plan until he has paid."""
    ada, bob = (subscriber(name, start=int(time.time()) - MONTH - 86400 * days) for name, days in (("ada", 1), ("bob", 9)))
    service.happens(subscribes(ada, "user_ada"), subscribes(bob, "user_bob"))
    for life in (ada, bob):
        life.clock = life.period[1] + 60
        service.happens(life.payment_failed())
    assert service.profile("user_ada") == (True, None)
    assert service.settings("user_ada")["next_step"] == "update_payment_method"
    assert service.profile("user_bob") == (False, CAP)
    assert (service.send("user_bob")["success"], service.settings("user_bob")["reason"]) == (True, "past_due_grace_over")
    service.happens(bob.recovered())
    assert service.profile("user_bob") == (True, None)


def test_any_order_and_any_number_of_deliveries(service):
    ada = subscriber("ada")
    events = subscribes(ada, "user_ada")
    service.happens(*reversed(events), *events, *events)
    assert service.profile("user_ada") == (True, None)
    health = service.database.rows("SELECT * FROM {s}.metrics_webhooks WHERE received > 0 LIMIT 1")[0]
    assert (health["success_rate"], health["received"], health["duplicates"]) == (1, len(events), 2 * len(events))


def test_each_environment_by_itself(databases, workers):
    """Development and staging have the same file, the same customers' names, and prices with other ids."""
    services = []
    for number, environment in enumerate(("dev", "staging")):
        database = databases()
        own = Service(database, workers(database))
        services.append(own)
        price = dataclasses.replace(UNLIMITED, id=f"price_{environment}", product=f"prod_{environment}")
        ada = Life("ada", items=((price, 1),))
        if number == 0:
            own.happens(subscribes(ada, "user_ada"))
    assert [own.profile("user_ada") for own in services] == [(True, None), (False, CAP)]
    for own in services:
        own.connection.close()


def test_production(database, workers):
    """Real money: test events have no effect, and the smoke test with a subscription that is cancelled at once."""
    database.execute("SELECT {s}.set_billing_setting('mode', 'live', 'production')")
    worker = workers(database, environment={"STRIPE_LIVE_MODE": "true"})
    service = Service(database, worker)
    assert worker.get("/healthz")[0] == worker.get("/readyz")[0] == 200
    eve = subscriber("eve")
    assert set(service.happens(subscribes(eve, "user_eve"))) == {"ignored"}
    assert service.profile("user_eve") == (False, CAP)

    # 1. Sign up as test user. 2. and 3. Subscribe with a real card. 4. Verify webhook received.
    ada = subscriber("ada", livemode=True)
    outcomes = service.happens(subscribes(ada, "user_ada"))
    assert set(outcomes) <= {"processed", "parked"} and outcomes[-1] == "processed"
    assert database.value("SELECT count(*) FROM {s}.stripe_events WHERE NOT processed") == 0
    # 5. isSubscribed=true, plan_monthly_cap=null
    assert service.profile("user_ada") == (True, None)
    # 6. Cancel subscription immediately (to avoid ongoing charges).
    ada.clock = int(time.time())
    service.happens(ada.ended())
    assert service.profile("user_ada") == (False, CAP)
    # A test key's forgery: signed with another secret it is refused, and nothing of it is kept.
    forged = event("evt_forged", "customer.subscription.updated", ada.subscription, ada.clock, livemode=True)
    assert post(worker.webhook, forged, "whsec_of_staging").status == 400
    assert database.value("SELECT count(*) FROM {s}.stripe_events WHERE stripe_event_id = 'evt_forged'") == 0
    service.connection.close()


def test_the_application_may_not_write_its_own_plan(service):
    for forbidden in ("UPDATE plan_features SET limit_value = 1000", "DELETE FROM usage_windows",
                      "SELECT upsert_plan('{\"id\": \"free\", \"default\": true}')"):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            with service.connection.cursor() as cursor:
                cursor.execute(forbidden)
        service.connection.rollback()
