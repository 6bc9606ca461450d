"""What applications want of Stripe: written in their transactions, performed by a worker, once."""
import contextlib
import json
import signal
import time

import pytest

from harness import objects
from harness.account import KEY, LOST, Account
from harness.life import Life, event
from harness.objects import BASIC, PRO
from harness.stripe import Sender
from harness.waiting import until


@pytest.fixture
def account():
    with contextlib.closing(Account()) as running:
        yield running


def finished(database, request_id):
    row = database.value("SELECT {s}.stripe_request(%s)", (request_id,))
    return row if row["finished_at"] else None


def performed(database, statement, *parameters):
    reply = database.value(statement, parameters)
    assert reply["success"], reply
    return until(lambda: finished(database, reply["request_id"]), statement)


def living(database, name="ada", **options):
    """A subscriber as Stripe's webhooks told of it a minute ago."""
    life = Life(name, start=int(time.time()) - 60, **options)
    database.process(life.customer_created(metadata={"user_id": name}), life.subscribed())
    return life


def test_a_committed_request_is_performed_once_and_its_answer_is_kept(any_database, workers, account):
    database = any_database
    worker = workers(database, environment=account.environment)
    with contextlib.closing(database.connect()) as other:
        other.autocommit = False
        database.value("SELECT {s}.enqueue_stripe_request('ada', '/v1/coupons', '{\"name\": \"never\"}')", connection=other)
        other.rollback()
    listener = database.connect()
    listener.cursor().execute("LISTEN pg_billing_answers")
    account.answers["POST", "/v1/coupons"] = lambda told: (200, {"id": "co_1", "secret": "hush", "client_secret": "hush", **told})
    row = performed(database, "SELECT {s}.enqueue_stripe_request('ada', '/v1/coupons',"
                              " '{\"name\": \"ten & more\", \"metadata\": {\"a b\": 1}, \"applies_to\": {\"products\": [\"prod_1\"]}}')")
    assert account.effects == [("POST", "/v1/coupons", {"name": "ten & more", "metadata[a b]": "1", "applies_to[products][0]": "prod_1"})]
    assert row["status"] == "succeeded" and row["http_status"] == 200 and row["stripe_request_id"] == "req_test"
    assert row["response"]["id"] == "co_1" and "hush" not in json.dumps(row)
    until(lambda: listener.poll() or listener.notifies, "NOTIFY")
    told = json.loads(listener.notifies[0].payload)
    listener.close()
    assert told == {"request_id": row["request_id"], "user_id": "ada", "purpose": "request", "status": "succeeded"}
    assert KEY not in worker.text()
    assert worker.metrics()['pg_billing_stripe_requests_total{outcome="succeeded"}'] == 1


def test_a_customer_is_made_and_linked(database, workers, account):
    workers(database, environment=account.environment)
    account.answers["POST", "/v1/customers"] = lambda told: (200, objects.customer("cus_new", int(time.time()), objects.NEW, metadata={
        "user_id": told["metadata[user_id]"]}))
    for _ in range(3):
        database.value("SELECT {s}.get_or_create_stripe_customer('ada', 'ada@example.com')")
    until(lambda: database.value("SELECT {s}.get_or_create_stripe_customer('ada', NULL)")["status"] == "linked", "linked")
    assert account.effects == [("POST", "/v1/customers", {"email": "ada@example.com", "metadata[user_id]": "ada"})]
    assert database.rows("SELECT user_id, source FROM {s}.stripe_customer_links") == [{"user_id": "ada", "source": "customer_metadata"}]


def test_a_cancellation_takes_effect_with_the_answer_and_its_webhook_changes_nothing(database, workers, account):
    worker = workers(database, environment=account.environment)
    life = living(database)

    def canceled(parameters):
        assert parameters == {"cancel_at_period_end": "true", "cancellation_details[feedback]": "unused"}
        life.clock = int(time.time())
        account.webhook = life.update(cancel_at_period_end=True)
        return 200, life.subscription

    account.answers["POST", "/v1/subscriptions/sub_ada"] = canceled
    row = performed(database, "SELECT {s}.cancel_subscription('ada', options => '{\"feedback\": \"unused\"}')")
    assert row["status"] == "succeeded"
    state = database.state("ada")
    assert state["state"] == "canceled" and state["has_access"] and state["cancel_at_period_end"]
    Sender(worker.webhook, worker.secret).post(account.webhook)
    assert {**database.state("ada"), "cached_at": None, "expires_at": None} == {**state, "cached_at": None, "expires_at": None}
    assert database.value("SELECT {s}.cancel_subscription('ada')")["status"] == "already_ending"
    assert database.rows("SELECT * FROM {s}.rebuild_billing_state()") == []


@pytest.mark.parametrize("faults", [[LOST], [500, LOST, 429], [0, 0, LOST, LOST], [409, 503]])
def test_what_goes_wrong_on_the_way_makes_no_second_effect(database, workers, account, faults):
    account.faults = list(faults)
    workers(database, environment=account.environment)
    row = performed(database, "SELECT {s}.enqueue_stripe_request('ada', '/v1/coupons', '{\"name\": \"ten\"}')")
    assert row["status"] == "succeeded" and len(account.effects) == 1 and len(account.requests) == len(faults) + 1


def test_what_stripe_refuses_says_why(database, workers, account):
    workers(database, environment=account.environment)
    account.answers["POST", "/v1/coupons"] = lambda _: (402, {"error": {
        "type": "card_error", "code": "card_declined", "decline_code": "insufficient_funds", "param": "x", "message": "declined"}})
    row = performed(database, "SELECT {s}.enqueue_stripe_request('ada', '/v1/coupons')")
    assert row["status"] == "failed" and row["http_status"] == 402 and row["attempts"] == 1
    assert row["error"] == {"type": "card_error", "code": "card_declined", "decline_code": "insufficient_funds", "param": "x", "message": "declined"}


def test_a_wrong_key_loses_nothing(database, workers, account):
    account.faults = [401]
    workers(database, environment=account.environment)
    reply = database.value("SELECT {s}.enqueue_stripe_request('ada', '/v1/coupons')")
    row = until(lambda: (found := database.value("SELECT {s}.stripe_request(%s)", (reply["request_id"],)))["error"] and found, "refused")
    assert row["status"] == "pending" and account.effects == []
    assert database.value("SELECT in_doubt_since IS NULL AND next_attempt_at > now() FROM {s}.stripe_requests")
    assert until(lambda: finished(database, reply["request_id"]), "sent again")["status"] == "succeeded"


def test_requests_about_one_thing_are_sent_in_their_order(database, workers, account):
    account.delay = 0.2
    life = living(database)
    account.answers["POST", "/v1/subscriptions/sub_ada"] = lambda told: (200, life.subscription)
    for turn in range(4):
        database.value(f"SELECT {{s}}.{'resume' if turn % 2 else 'cancel'}_subscription('ada')")
    database.value("SELECT {s}.cancel_subscription('ada', false)")
    account.answers["DELETE", "/v1/subscriptions/sub_ada"] = lambda _: (200, {**life.subscription, "status": "canceled", "ended_at": life.clock})
    workers(database, environment=account.environment)
    workers(database, environment=account.environment)
    until(lambda: database.value("SELECT bool_and(finished_at IS NOT NULL) FROM {s}.stripe_requests"), "all performed")
    assert [(method, told.get("cancel_at_period_end")) for method, _, told in account.effects] == [
        ("POST", "true"), ("POST", "false"), ("POST", "true"), ("POST", "false"), ("DELETE", None)]


def test_a_change_at_the_periods_end_is_a_schedule_with_a_phase_to_come(database, workers, account):
    life = living(database, items=((PRO, 1),))
    for plan, price in (("pro", PRO), ("basic", BASIC)):
        database.execute("SELECT {s}.upsert_plan(%s)", (json.dumps({"id": plan, "rank": len(plan), "prices": [{"price_id": price.id}]}),))
    start, end = life.period
    account.answers["POST", "/v1/subscription_schedules"] = lambda told: (200, {
        "id": "sub_sched_1", "object": "subscription_schedule", "created": int(time.time()), "status": "active", "customer": life.customer_id,
        "subscription": told["from_subscription"], "livemode": False, "metadata": {},
        "phases": [{"start_date": start, "end_date": end, "items": [{"price": PRO.id, "quantity": 1}]}]})
    workers(database, environment=account.environment)
    performed(database, "SELECT {s}.change_subscription('ada', 'basic', apply_when => 'period_end')")
    _, _, told = until(lambda: len(account.effects) == 2 and account.effects[1], "the phase to come")
    assert told["phases[0][items][0][price]"] == PRO.id and told["phases[0][end_date]"] == str(end)
    assert told["phases[1][items][0][price]"] == BASIC.id and told["end_behavior"] == "release"


def test_a_refund_never_exceeds_the_payment(database, workers, account):
    now = int(time.time()) - 60
    database.link("ada", "cus_ada")
    charge = {"id": "ch_1", "object": "charge", "amount": 1000, "amount_captured": 1000, "amount_refunded": 0, "captured": True, "created": now,
              "currency": "eur", "customer": "cus_ada", "livemode": False, "metadata": {}, "paid": True, "payment_intent": "pi_1", "refunded": False, "status": "succeeded"}
    database.process(event("evt_1", "charge.succeeded", charge, now))
    one = database.value("SELECT {s}.refund_payment('ada', 'pi_1', 600, '{\"idempotency_key\": \"r1\"}')")
    assert one["status"] == "requested"
    assert database.value("SELECT {s}.refund_payment('ada', 'pi_1', 600, '{\"idempotency_key\": \"r1\"}')")["request_id"] == one["request_id"]
    refused = database.value("SELECT {s}.refund_payment('ada', 'pi_1', 401)")
    assert (refused["status"], refused["reason"], refused["refundable"]) == ("not_refundable", "amount_exceeds_payment", 400)
    assert database.value("SELECT {s}.refund_payment('ada', 'pi_1')")["status"] == "requested"
    refunds = iter((600, 400))
    account.answers["POST", "/v1/refunds"] = lambda told: (200, {
        "id": f"re_{told['amount']}", "object": "refund", "amount": int(told["amount"]), "charge": "ch_1", "payment_intent": told["payment_intent"],
        "created": int(time.time()), "currency": "eur", "status": "succeeded", "metadata": {}, "livemode": False})
    workers(database, environment=account.environment)
    until(lambda: database.value("SELECT amount_refunded FROM {s}.payments") == 1000, "both refunded")
    assert [told["amount"] for _, _, told in account.effects] == [str(next(refunds)), str(next(refunds))]
    assert database.value("SELECT status FROM {s}.payments") == "refunded"
    assert database.value("SELECT {s}.refund_payment('ada', 'pi_1')")["status"] == "not_refundable"


def test_a_shadow_asks_nothing_of_stripe(database, workers, account):
    database.execute("SELECT {s}.set_billing_setting('notifications', 'off', 'shadow')")
    workers(database, environment=account.environment, arguments=["--shadow"])
    database.value("SELECT {s}.enqueue_stripe_request('ada', '/v1/coupons')")
    time.sleep(2.5)
    assert account.requests == [] and database.value("SELECT attempts FROM {s}.stripe_requests") == 0


def test_a_worker_ends_with_what_it_has_sent_or_at_once(database, workers, account):
    account.delay = 1.5
    worker = workers(database, environment=account.environment)
    reply = database.value("SELECT {s}.enqueue_stripe_request('ada', '/v1/coupons')")
    until(lambda: account.requests, "on its way")
    assert worker.stop() == 0  # drains
    assert finished(database, reply["request_id"])["status"] == "succeeded"
    worker = workers(database, environment=account.environment)
    database.value("SELECT {s}.enqueue_stripe_request('ada', '/v1/plans')")
    until(lambda: len(account.requests) == 2, "on its way")
    worker.process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    worker.process.send_signal(signal.SIGTERM)
    assert worker.process.wait(10) == 1
